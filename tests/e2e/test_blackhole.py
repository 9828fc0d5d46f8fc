#!/usr/bin/python3
"""A black-holed broker and a dead DNS delay no acknowledgement to a reader (first light, point 5).

All of it runs in a network namespace of its own that has a loopback and nothing else, so no packet leaves. The broker
is known to the gateway by a name that a small DNS server here answers. Then, one after the other: packets of the
established connection vanish; DNS is silent and new connections vanish; DNS answers and new connections vanish.
Readers must be told as before; afterwards everything must arrive.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from building import Building
from lab import PATIENCE, Lab, main
from proc import check, die_with_parent, wait_for
from sims import ModbusRtu, ModbusTcp

BROKER_IP, DNS_IP, NAME = "10.99.0.1", "10.99.0.53", "broker.punch.test"
# What a blocking name service or connect would cost starts at 5 s; a commit on a busy machine stays far below this.
BOUND = 3.0


def enter_namespace():
    """Runs this file again inside a namespace that dies with its last process: nothing to clean up, even after a
    SIGKILL. /etc/resolv.conf is ours in there by a bind mount that nobody else sees."""
    resolv = os.path.join(tempfile.gettempdir(), f"punch-resolv-{os.getpid()}")
    with open(resolv, "w") as f:
        f.write(f"nameserver {DNS_IP}\noptions timeout:5 attempts:2\n")
    script = f"""set -e
mount --bind {resolv} "$(readlink -f /etc/resolv.conf)"
rm -f {resolv}
ip link set lo up
ip addr add {BROKER_IP}/32 dev lo
ip addr add {DNS_IP}/32 dev lo
nft 'add table inet blackhole; add chain inet blackhole in {{ type filter hook input priority 0; }}'
exec "$@" """
    os.environ["PUNCH_INSIDE"] = "1"
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    argv = ["unshare", *user, "--net", "--mount", "--propagation", "private", "--", "bash", "-c", script, "bash",
            "/usr/bin/python3", os.path.abspath(__file__), *sys.argv[1:]]
    child = subprocess.Popen(argv, preexec_fn=lambda: die_with_parent(signal.SIGTERM))

    def pass_on(number, _frame):
        child.send_signal(number)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, pass_on)
    code = child.wait()
    if os.path.exists(resolv):
        os.unlink(resolv)
    sys.exit(code if code >= 0 else 128 - code)


class Dns:
    """Answers A queries for NAME, everything else with 'no such name'."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((DNS_IP, 53))
        self.queries = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            query, peer = self.sock.recvfrom(1500)
            self.queries += 1
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind, question = query[at + 1:at + 3], query[12:at + 5]
            known = ".".join(labels).lower() == NAME
            answer = known and kind == b"\0\1"
            head = query[:2] + (b"\x85\x80" if known else b"\x85\x83") + bytes([0, 1, 0, int(answer), 0, 0, 0, 0])
            record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(BROKER_IP)
            self.sock.sendto(head + question + (record if answer else b""), peer)


def nft(*rules):
    subprocess.run(["nft", "; ".join(["flush chain inet blackhole in",
                                      *(f"add rule inet blackhole in {r}" for r in rules)])], check=True)


def dropped():
    """Packets that the rules swallowed."""
    out = subprocess.run(["nft", "list", "chain", "inet", "blackhole", "in"], check=True, capture_output=True,
                         text=True).stdout
    return sum(int(line.split("packets ")[1].split()[0]) for line in out.splitlines() if "packets " in line)


def delays(sims, since, until):
    """Seconds from latching to clearing of all cards latched in [since, until); inf for one not cleared."""
    out = []
    for sim in sims:
        cleared = {e["seq"]: e["mono_ns"] for e in sim.events() if e["event"] == "cleared"}
        out += [(cleared[e["seq"]] - e["mono_ns"]) / 1e9 if e["seq"] in cleared else float("inf")
                for e in sim.events() if e["event"] == "present" and since <= e["mono_ns"] / 1e9 < until]
    return out


def test(args, _rng):
    with Lab("blackhole", keep=args.keep, broker_name=NAME) as lab:
        dns = Dns()
        lab.broker.bind = "0.0.0.0"
        sims = [kind(lab, name, seed=args.seed, rate=5.0) for kind, name in ((ModbusTcp, "lift"), (ModbusRtu, "yard"))]
        b = Building(lab, args.seed, sims=sims, broker=f"{NAME}:{lab.broker.port}", forger=())
        check(dns.queries > 0 or wait_for("a DNS query", lambda: dns.queries, 20), "the gateway asked no DNS")
        wait_for("punches to arrive", lambda: b.api.punches(), 30 * PATIENCE, every=0.3)
        began = time.monotonic()
        b.run(max(4.0, args.seconds / 4))
        cut, lost = time.monotonic(), 0

        port, part = lab.broker.port, args.seconds / 3
        broker = f"ip daddr {BROKER_IP} tcp dport {port}"
        nft(f"{broker} counter drop", f"ip saddr {BROKER_IP} tcp sport {port} counter drop")
        b.run(part)
        lost += dropped()
        # The established connection dies by the broker's death; what comes next is name service and connect.
        nft("udp dport 53 counter drop", f"{broker} tcp flags syn counter drop")
        b.kill("mosquitto", 0.2)
        b.run(part)
        asked = dropped()
        nft(f"{broker} tcp flags syn counter drop")
        b.run(part)
        lost += dropped()
        mended = time.monotonic()
        backlog = b.gw.spool()["unacked"]
        nft()
        time.sleep(BOUND)
        before, during = delays(sims, began, cut), delays(sims, cut, mended)
        print(f"before: {len(before)} cards, longest {max(before):.3f} s; black-holed {mended - cut:.0f} s: {len(during)} "
              f"cards, longest {max(during):.3f} s; {lost} packets and {asked} during dead DNS vanished; "
              f"{backlog} records waited", flush=True)
        check(lost and asked and backlog > len(during) // 2, "the broker was not out of reach: the run means nothing")
        check(len(during) >= 0.5 * len(before) / (cut - began) * (mended - cut), "fewer cards were taken while black-holed")
        check(max(during) < max(BOUND, 2 * max(before)), f"a reader waited {max(during):.1f} s for its acknowledgement")
        b.settle(120)
        print(f"afterwards: {b.verdict()}", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    if not os.environ.get("PUNCH_INSIDE"):
        enter_namespace()
    main(test, __doc__, limit=360, seconds=15.0)
