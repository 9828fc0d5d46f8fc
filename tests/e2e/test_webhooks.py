#!/usr/bin/python3
"""Webhooks against a real HTTPS receiver, and against everything that they must not reach.

All of it runs in a network namespace of its own where every route ends on the loopback, so no packet leaves and each
that is sent is seen (AF_PACKET). The receiver has a public address there; the forbidden ones are there as well, each
with a listener that would answer: what is not tried cannot be told from what fails otherwise. Names come from a DNS
server here.
"""
import hashlib
import hmac
import http.server
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import cutter
import pki
from lab import PATIENCE, ROOT, Lab, find_one, main
from proc import check, die_with_parent, wait_for

PUBLIC, PORT, DEAD_PORT = "93.184.216.34", 8443, 9443
DNS_IP = "127.0.0.1"
FORBIDDEN = {"loop": "127.0.0.1", "private": "10.0.0.1", "link": "169.254.169.254", "cgnat": "100.64.0.1",
             "loop6": "::1", "ula": "fd00::1", "mapped": "::ffff:127.0.0.1", "nat64": "64:ff9b::7f00:1"}
NAMES = {"hooks": [PUBLIC], "mixed": [PUBLIC, "10.0.0.1"], **{k: [v] for k, v in FORBIDDEN.items()}}


def enter_namespace():
    """As in test_blackhole.py: it dies with its last process."""
    resolv = os.path.join(tempfile.gettempdir(), f"punch-resolv-{os.getpid()}")
    with open(resolv, "w") as f:
        f.write(f"nameserver {DNS_IP}\noptions timeout:2 attempts:1\n")
    script = f"""set -e
mount --bind {resolv} "$(readlink -f /etc/resolv.conf)"
rm -f {resolv}
ip link set lo up
for a in {PUBLIC}/32 10.0.0.1/32 169.254.169.254/32 100.64.0.1/32; do ip addr add $a dev lo; done
ip -6 addr add fd00::1/128 dev lo nodad
ip route add default dev lo
ip -6 route add default dev lo
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


class Dns(threading.Thread):
    """<name>.hooks.test as NAMES says; rebind.hooks.test is public once and the loopback from then on."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((DNS_IP, 53))
        self.asked = {}
        self.start()

    def addresses(self, name):
        if name == "rebind":
            return [PUBLIC] if self.asked[name] == 1 else ["127.0.0.1"]
        return NAMES.get(name, [])

    def run(self):
        while True:
            query, peer = self.sock.recvfrom(1500)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            kind, question = struct.unpack("!H", query[at + 1:at + 3])[0], query[12:at + 5]
            known = labels[1:] == ["hooks", "test"]
            if known and kind == 1:
                self.asked[labels[0]] = self.asked.get(labels[0], 0) + 1
            family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)
            found = [a for a in self.addresses(labels[0]) if (":" in a) == (kind == 28)] if known and family else []
            records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(p)) + p
                               for p in (socket.inet_pton(family, a) for a in found))
            head = query[:2] + (b"\x85\x80" if known else b"\x85\x83") + struct.pack("!HHHH", 1, len(found), 0, 0)
            self.sock.sendto(head + question + records, peer)


class Sniffer(threading.Thread):
    """Where a connection to one of the receivers' ports was begun."""

    def __init__(self):
        super().__init__(daemon=True)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.seen = set()
        self.start()

    def run(self):
        while True:
            packet, (_, protocol, *_) = self.sock.recvfrom(65536)
            if protocol == 0x0800 and packet[9] == 6:
                tcp, dst = packet[(packet[0] & 15) * 4:], socket.inet_ntop(socket.AF_INET, packet[16:20])
            elif protocol == 0x86dd and packet[6] == 6:
                tcp, dst = packet[40:], socket.inet_ntop(socket.AF_INET6, packet[24:40])
            else:
                continue
            port = struct.unpack("!H", tcp[2:4])[0]
            if tcp[13] & 0x12 == 0x02 and port in (PORT, DEAD_PORT):
                self.seen.add(dst)


class Receiver:
    """Takes what is posted at one address."""

    def __init__(self, address, crt, key):
        self.got, self.pause = [], 0.0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, dict(self.headers), body))
                time.sleep(outer.pause)
                redirect = self.path == "/redirect"
                self.send_response(307 if redirect else 204)
                if redirect:
                    self.send_header("Location", f"https://127.0.0.1:{PORT}/inside")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that was killed

        self.server = Server((address, PORT), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(crt, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ids(self):
        return [json.loads(body)["id"] for _, _, body in self.got]


def genuine(secret, header, body):
    """By the lines of docs/API.md themselves, which a receiver's developer takes from there."""
    with open(os.path.join(ROOT, "docs", "API.md"), encoding="utf-8") as f:
        lines = find_one(r"(?s)```python\n(def genuine\(.*?)```", f.read())
    names = {"hmac": hmac, "hashlib": hashlib}
    exec(lines, names)
    return names["genuine"](secret, header, body, time.time())


class Hooks:
    def __init__(self, lab, api):
        self.lab, self.api = lab, api

    def make(self, name, path="/", types=("support.*",), port=PORT):
        return self.api.post("/v1/webhooks", {"url": f"https://{name}.hooks.test:{port}{path}", "types": list(types)})

    def ping(self, hook):
        return self.api.post(f"/v1/webhooks/{hook['id']}/ping", None, expect=202)["id"]

    def delivery(self, hook, delivery):
        return self.api.get(f"/v1/webhooks/{hook['id']}/deliveries/{delivery}")

    def tried(self, hook, delivery, seconds=40):
        """What came of its first try."""
        wait_for(f"a try of {hook['url']}", lambda: self.delivery(hook, delivery)["tries"], seconds * PATIENCE, 0.1)
        return self.delivery(hook, delivery)

    def remove(self, hook):
        r = self.api.call("DELETE", f"/v1/webhooks/{hook['id']}")
        check(r.status_code == 204, f"DELETE: {r.status_code}")


def arrives(hooks, receiver):
    hook = hooks.make("hooks", "/in?x=1")
    delivery = hooks.ping(hook)
    done = hooks.tried(hook, delivery)
    check(done["state"] == "delivered" and done["status"] == 204, f"not delivered: {done}")
    path, headers, body = receiver.got[-1]
    event = json.loads(body)
    check(path == "/in?x=1" and event["type"] == headers["Punch-Event"] == "ping", f"{path} {headers} {body}")
    check(event["id"] == headers["Punch-Delivery"] == delivery and event["tenant"] == "acme", f"{headers} {body}")
    check(genuine(hook["secret"], headers["Punch-Signature"], body), "the signature is not ours")
    check(not genuine(hook["secret"], headers["Punch-Signature"], body + b" "), "it signs anything")
    late = headers["Punch-Signature"].replace("t=", "t=1")
    check(not genuine(hook["secret"], late, body), "it signs any time")
    new = hooks.api.post(f"/v1/webhooks/{hook['id']}/secret", None, expect=200)["secret"]
    hooks.tried(hook, hooks.ping(hook))
    _, headers, body = receiver.got[-1]
    for secret in (hook["secret"], new):
        check(genuine(secret, headers["Punch-Signature"], body), "one of the two secrets does not sign")
    hooks.remove(hook)


def tells_of_changes(hooks, receiver):
    hook = hooks.make("hooks", "/feed", ["changes"])

    def told():
        return [json.loads(b) for p, _, b in receiver.got if p == "/feed"]
    hooks.api.post("/v1/people", {"name": "Ada"})
    wait_for("the first change to be told", told, 20 * PATIENCE)
    for i in range(20):
        hooks.api.post("/v1/people", {"name": f"Person {i}"})
    last = int(hooks.api.get("/v1/changes", after="0", limit=1000)["next"].rsplit(".", 1)[1])
    wait_for("the last change to be told", lambda: told()[-1]["data"]["seq"] == last, 30 * PATIENCE)
    check(len(told()) < 15, f"{len(told())} messages for 21 changes: they are not gathered")
    check("Ada" not in json.dumps(told()) and "Person" not in json.dumps(told()), "a name in an event")
    hooks.remove(hook)


def keeps_a_checkpoint(lab, hooks, receiver):
    hook = hooks.make("hooks", "/trail", ["audit.checkpoint"])
    hooks.api.post("/v1/people", {"name": "Grace"})
    made = hooks.api.post("/v1/audit/checkpoints", None)

    def arrived():
        return [(h, b) for p, h, b in receiver.got if p == "/trail" and json.loads(b)["data"]["seq"] == made["seq"]]
    wait_for("the checkpoint", arrived, 30 * PATIENCE)
    headers, body = arrived()[0]
    check(headers["Punch-Event"] == "audit.checkpoint" and genuine(hook["secret"], headers["Punch-Signature"], body),
          f"{headers} {body}")
    check(json.loads(body)["data"]["checkpoint"] == made["checkpoint"], f"{body}")
    hooks.remove(hook)
    cutter.kept(lab, "acme", body, made["seq"])


def refused(hooks, sniffer, traps):
    for name in (*FORBIDDEN, "mixed"):
        hook = hooks.make(name)
        result = hooks.tried(hook, hooks.ping(hook))
        check(result["state"] == "waiting" and result["status"] is None and "not public" in result["error"],
              f"{name}: {result}")
        hooks.remove(hook)
        print(f"  {name}: {result['error']}", flush=True)
    check(sniffer.seen <= {PUBLIC}, f"packets went to {sniffer.seen}")
    check(PUBLIC in sniffer.seen, "the sniffer is blind")
    check(not any(t.got for t in traps.values()), "a forbidden receiver got something")


def redirected(hooks, sniffer, receiver):
    hook = hooks.make("hooks", "/redirect")
    result = hooks.tried(hook, hooks.ping(hook))
    check(result["status"] == 307 and "redirects are not followed" in result["error"], f"{result}")
    check(receiver.got[-1][0] == "/redirect" and sniffer.seen <= {PUBLIC}, f"packets went to {sniffer.seen}")
    hooks.remove(hook)


def rebound(hooks, sniffer, receiver, dns, traps):
    """The name is public when it is looked at and leads inside from then on: asked once, connected to what was seen."""
    hook = hooks.make("rebind", "/rebind")
    result = hooks.tried(hook, hooks.ping(hook))
    check(result["state"] == "delivered" and dns.asked["rebind"] == 1, f"{result}, asked {dns.asked['rebind']} times")
    result = hooks.tried(hook, hooks.ping(hook))
    check("not public" in result["error"] and dns.asked["rebind"] == 2, f"{result}")
    check(sniffer.seen <= {PUBLIC} and not traps["127.0.0.1"].got, f"packets went to {sniffer.seen}")
    hooks.remove(hook)


def dead_ones_delay_nobody(lab, hooks, receiver):
    """Receivers that take a connection and never say a word."""
    silent = socket.create_server((PUBLIC, DEAD_PORT), backlog=64)
    dead = [hooks.make("hooks", f"/dead{i}", port=DEAD_PORT) for i in range(10)]
    for hook in dead:
        hooks.ping(hook)
    time.sleep(2)  # they have the threads by now
    good = hooks.make("hooks", "/good")
    before = time.monotonic()
    first = hooks.ping(good)
    wait_for("a live receiver beside dead ones", lambda: first in receiver.ids(), 60 * PATIENCE, 0.1)
    print(f"  beside 10 dead receivers: {time.monotonic() - before:.1f} s", flush=True)
    for hook in dead:
        wait_for("a dead receiver's failure", lambda h=hook: hooks.api.get(f"/v1/webhooks/{h['id']}")["failures"],
                 90 * PATIENCE, 0.2)
    for hook in dead:
        d = hooks.api.get(f"/v1/webhooks/{hook['id']}/deliveries")["items"][0]
        check(d["state"] == "waiting" and d["tries"] == 1, f"{d}")
    for hook in (*dead, good):
        hooks.remove(hook)
    silent.close()


def survives_kills(lab, hooks, receiver, rng, rounds):
    hook = hooks.make("hooks", "/kill")
    receiver.pause = 0.05
    sent = [hooks.ping(hook) for _ in range(10 * rounds)]
    for _ in range(rounds):
        time.sleep(rng.uniform(0.05, 1.5))
        lab.cloud.proc.kill()
        lab.cloud.start()
    wait_for("everything to arrive", lambda: set(sent) <= set(receiver.ids()), 120 * PATIENCE, 0.2)
    order = list(dict.fromkeys(i for i in receiver.ids() if i in set(sent)))
    check(order == sent, "out of order")
    wait_for("the last to be settled", lambda: hooks.delivery(hook, sent[-1])["state"] == "delivered", 30 * PATIENCE)
    twice = len([i for i in receiver.ids() if i in set(sent)]) - len(sent)
    print(f"  {rounds} kills: {len(sent)} events, each there, in order; {twice} came twice under the same id", flush=True)
    receiver.pause = 0.0
    hooks.remove(hook)


def allowed(lab, hooks, traps):
    """What the settings allow is reached: so the listeners would have answered all along."""
    hook = hooks.make("loop", "/allowed")
    delivery = hooks.ping(hook)
    hooks.tried(hook, delivery)
    lab.cloud.proc.stop()
    start(lab, ["127.0.0.0/8"])
    # It waits for its turn, a minute: another address, which is the same one, is tried at once.
    hooks.api.call("PATCH", f"/v1/webhooks/{hook['id']}", {"url": hook["url"] + "?again"})
    wait_for("the allowed receiver", lambda: hooks.delivery(hook, delivery)["state"] == "delivered", 40 * PATIENCE, 0.1)
    check(traps["127.0.0.1"].got[-1][0] == "/allowed?again", f"{traps['127.0.0.1'].got}")
    hooks.remove(hook)


def start(lab, allow):
    settings = {**lab.cloud.settings(f"{lab.host}:{lab.broker.port}"),
                "webhooks": {"ca_file": os.path.join(lab.cloud.pki, "ca.crt"), "allow": allow}}
    lab.cloud.settings = lambda _address: settings
    lab.cloud.start()


def test(args, rng):
    if not os.environ.get("PUNCH_INSIDE"):
        enter_namespace()
    dns, sniffer = Dns(), Sniffer()
    with Lab("webhooks", keep=args.keep) as lab:
        # A proxy that the environment names must not be asked.
        lab.cloud.env = {"https_proxy": f"http://127.0.0.1:{PORT}", "HTTPS_PROXY": f"http://127.0.0.1:{PORT}"}
        lab.cloud.init()
        lab.broker.start()
        crt, key = lab.path("hooks.crt"), lab.path("hooks.key")
        pki.issue(lab.cloud.pki, "hooks", crt, key, [f"{n}.hooks.test" for n in (*NAMES, "rebind")])
        receiver = Receiver(PUBLIC, crt, key)
        traps = {a: Receiver(a, crt, key) for a in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::1",
                                                    "fd00::1")}
        start(lab, [])
        hooks = Hooks(lab, lab.cloud.api(lab.cloud.token(lab.cloud.tenant("acme"))))
        arrives(hooks, receiver)
        tells_of_changes(hooks, receiver)
        refused(hooks, sniffer, traps)
        redirected(hooks, sniffer, receiver)
        rebound(hooks, sniffer, receiver, dns, traps)
        dead_ones_delay_nobody(lab, hooks, receiver)
        survives_kills(lab, hooks, receiver, rng, args.rounds)
        check(sniffer.seen <= {PUBLIC}, f"packets went to {sniffer.seen}")
        allowed(lab, hooks, traps)
        keeps_a_checkpoint(lab, hooks, receiver)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, 300, rounds=3)
