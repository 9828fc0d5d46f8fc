#!/usr/bin/python3
"""A full disk, a truncated spool, a lost hash key, a stopped broker, and being asked to end at any moment.

The state folder is a small tmpfs in a mount namespace of the test's own, which dies with it.
"""
import os
import signal
import subprocess
import sys
import time

import cbor2

from compare import cards_of
from lab import PATIENCE, Gateway, Lab, main
from mqtt5 import Client
from proc import Failure, check, die_with_parent, wait_for
from sims import ModbusTcp, Serial


def enter_namespace(script=__file__):
    """Runs the script again, as it was called, in a mount namespace of its own."""
    os.environ["PUNCH_INSIDE"] = "1"
    argv = ["unshare", "--mount", "--propagation", "private", "--", "/usr/bin/python3", os.path.abspath(script),
            *sys.argv[1:]]
    child = subprocess.Popen(argv, preexec_fn=lambda: die_with_parent(signal.SIGTERM))

    def pass_on(number, _frame):
        child.send_signal(number)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, pass_on)
    code = child.wait()
    sys.exit(code if code >= 0 else 128 - code)


def told(sim, seconds=20):
    wait_for("every card to be acknowledged to the reader", lambda: len(sim.cleared()) == len(sim.presented()),
             seconds * PATIENCE)


def show(sim):
    """One card, until its reader was told."""
    before = len(sim.cleared())
    sim.present()
    wait_for("a card to be acknowledged to its reader", lambda: len(sim.cleared()) > before, 20 * PATIENCE)


def fill_up(gw):
    """Until the disk is full and a punch was refused."""
    path = os.path.join(gw.state, "fill")
    with open(path, "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    return path


def full_disk(lab, gw, sim, door, statuses):
    path = fill_up(gw)

    def refused():
        sim.present()
        door.present()
        return gw.status()["refused"]
    wait_for("a punch to be refused", refused, 60 * PATIENCE, every=0.05)
    cleared = len(sim.cleared())
    sim.present()
    time.sleep(1.5)
    check(len(sim.cleared()) == cleared < len(sim.presented()), "a reader was told that a refused punch is stored")
    # Of what lies there the cloud must not think that it is gone: it destroys keys that nobody lists.
    statuses.clear()
    lab.broker.proc.kill()
    lab.broker.start()
    s = wait_for("a status", lambda: [s for s in statuses if s[3]], 20 * PATIENCE)[-1]
    check(s[9] and s[10].get(3, 0) >= 5, f"the status on a full disk: rkids {s[9]}, counts {s[10]}")
    os.unlink(path)
    told(sim)


def stop_anywhere(gw, lab):
    """SIGTERM at any moment of a start, then in front of a broker that hangs."""
    slowest = 0.0
    for i in range(20):
        if i == 15:
            lab.broker.proc.send(signal.SIGSTOP)
        gw.start(wait=False)
        time.sleep(i * 0.03)
        began = time.monotonic()
        code = gw.proc.stop(20 * PATIENCE)
        slowest = max(slowest, time.monotonic() - began)
        check(code in (0, -signal.SIGTERM), f"asked to end after {i * 0.03:.2f} s it left with {code}")
    lab.broker.proc.send(signal.SIGCONT)
    check(slowest < 5 * PATIENCE, f"it took {slowest:.1f} s to end")
    return slowest


def truncated(gw, sim, size):
    with open(os.path.join(gw.state, "spool", "data.mdb"), "r+b") as f:
        f.truncate(size)
    before = {n for n in os.listdir(gw.state) if n.startswith("damaged-spool")}
    gw.start()
    gw.wait_readers()
    show(sim)
    now = {n for n in os.listdir(gw.state) if n.startswith("damaged-spool")}
    check(len(now) == len(before) + 1, f"a spool cut to {size} bytes: {now}")
    check(gw.proc.stop(20 * PATIENCE) == 0, "did not end well")


def test(_args, _rng):
    with Lab("faults") as lab:
        lab.cloud.init()
        tenant = lab.cloud.tenant("acme")
        api = lab.cloud.api(lab.cloud.token(tenant))
        lab.broker.observer("watcher", "topic read punch/v1/#")
        lab.broker.start()
        gw = Gateway(lab)
        gw.spool_settings = {"budget": "16MiB"}
        sim = gw.reader(ModbusTcp(lab, "lift"), hold="0s").start()
        door = gw.reader(Serial(lab, "door"), hold="0s").start()
        os.makedirs(gw.state)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", gw.state], check=True)
        lab.on_close(lambda: subprocess.run(["umount", "-l", gw.state], check=False))
        gw.enrol(tenant, "site", f"localhost:{lab.broker.port}")
        statuses = []
        Client(lab, "watcher", ["punch/v1/+/+/status"], lambda _, p: statuses.append(cbor2.loads(cbor2.loads(p)[2])))
        gw.start()
        gw.wait_readers()
        for _ in range(5):
            show(sim)

        full_disk(lab, gw, sim, door, statuses)
        lab.cloud.start()
        gw.wait_drained()
        print(f"full disk: {len(sim.presented())} cards, {gw.status()['refused']} refusals, "
              f"{gw.status()['recoveries']} recoveries", flush=True)

        lab.broker.proc.send(signal.SIGSTOP)
        for _ in range(4):
            show(sim)
        check(gw.proc.stop(20 * PATIENCE) == 0, "did not end well in front of a broker that hangs")
        lab.broker.proc.send(signal.SIGCONT)
        print(f"slowest end: {stop_anywhere(gw, lab):.2f} s", flush=True)

        os.unlink(os.path.join(gw.runtime, "hash.key"))
        gw.start()
        gw.wait_readers()
        show(sim)
        gw.wait_drained()
        shown = sorted(sim.presented())
        items = api.with_cards([i for i in api.punches(state="all") if i["reader"] == "lift"], cards_of([sim]))
        stored = sorted(i["credential"].get("data", "").lower() for i in items)
        check(stored == sorted(c.lower() for c in shown), f"{len(shown)} cards were shown, {len(stored)} are stored")
        check(gw.proc.stop(20 * PATIENCE) == 0, "did not end well")
        for size in (0, 100, 8192, 40000):
            truncated(gw, sim, size)
        print("spools cut short were set aside", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    if not os.environ.get("PUNCH_INSIDE"):
        if os.geteuid() != 0:
            raise Failure("needs root, to make a mount namespace of its own")
        enter_namespace()
    main(test, __doc__, limit=280)
