#!/usr/bin/python3
"""The gateway's own lights (feedback: host): green only for what is stored, red for what is not and for trouble, and
dark, by the kernel's hand, when the daemon is killed.

The LEDs are tests/sim/leds.py. The gateway has no broker and no cloud all the while: that is no trouble. The state
folder is a small tmpfs in a mount namespace of the test's own, so that a disk can be full. At the end punchgate-early-ack,
which answers before the commit, has to be caught by the same look at the same full disk.
"""
import os
import subprocess
import time

from lab import PATIENCE, SIM, Gateway, Lab, main
from proc import Failure, check, wait_for
from sims import ModbusTcp, Serial
from simlib import read_ledger
from test_faults import enter_namespace, fill_up

ACCEPTED_MS = 1000  # green is asked for longer than this only by an acceptance; a ready flash is 100 ms and the grace


class Leds:
    """The lights of one door, and what they have shown since a mark."""

    def __init__(self, lab, name):
        self.dir, self.ledger, self.since = lab.path(name), lab.path(f"{name}.ledger"), 0
        self.proc = lab.proc(name, ["/usr/bin/python3", os.path.join(SIM, "leds.py"), "--dir", self.dir, "--ledger",
                                    self.ledger, "--leds", "green", "red", "buzzer"], commands=True)
        self.proc.start()
        wait_for("the LEDs", lambda: b"ready " in self.proc.log_text(), 20 * PATIENCE)

    def settings(self):
        return {"feedback": "host", **{led: os.path.join(self.dir, led) for led in ("green", "red", "buzzer")}}

    def mark(self):
        self.since = len(read_ledger(self.ledger))

    def events(self, event, led):
        return [e for e in read_ledger(self.ledger)[self.since:] if e["event"] == event and e["led"] == led]

    def accepted(self):
        return [e for e in self.events("lit", "green") if e["for"] > ACCEPTED_MS]

    def ready(self):
        return self.events("lit", "green")

    def alarmed(self):
        return self.events("lit", "red")

    def last(self, led):
        events = [e for e in read_ledger(self.ledger) if e["led"] == led]
        return events[-1] if events else None

    def lit(self):
        return [led for led in ("green", "red", "buzzer") if (self.last(led) or {}).get("event") == "lit"]


def until_accepted(gw, sim, leds):
    """Cards until one is shown as accepted (on a machine that is very late one of them may not be seen)."""
    def seen():
        sim.present()
        wait_for("the light for a card", lambda: leds.accepted() or leds.events("lit", "buzzer"), 3 * PATIENCE)
        return leds.accepted() and leds.events("lit", "buzzer")
    leds.mark()
    stored = gw.status()["punches"]
    wait_for("an accepted card", seen, 30 * PATIENCE)
    check(gw.status()["punches"] > stored, "a card was shown as accepted, and none is stored")


def refusals(gw, sim, leds, wanted=4):
    """Cards, one at a time, until so many were refused on the full disk. Says for how many of those green was shown."""
    green, end = 0, time.monotonic() + 100 * PATIENCE
    while wanted > 0:
        check(time.monotonic() < end, "the disk is full and no card is refused")
        wait_for("the last card's lights to be over", lambda: leds.lit() in ([], ["red"]), 10 * PATIENCE)
        time.sleep(0.3)  # an acceptance begins and ends dark
        before = gw.status()
        leds.mark()
        sim.present()
        wait_for("a card to be answered", lambda: [gw.status()[k] for k in ("punches", "refused")] !=
                 [before[k] for k in ("punches", "refused")], 20 * PATIENCE)
        wait_for("its light", lambda: leds.accepted() or leds.alarmed() and leds.events("lit", "buzzer"), 20 * PATIENCE)
        time.sleep(1.2)  # what is to be shown has been shown
        if gw.status()["refused"] > before["refused"]:
            wanted -= 1
            green += len(leds.accepted()) > 0
    return green


def killed(gw, sim, leds):
    """SIGKILL while green is lit: the kernel darkens it, and nothing is lit again."""
    def caught_lit():
        until_accepted(gw, sim, leds)
        gw.proc.kill()
        wait_for("all lights to go dark", lambda: not leds.lit(), 20 * PATIENCE)
        if leds.last("green")["by"] == "timer":
            return True
        gw.start()
        gw.wait_readers()
        return False
    wait_for("a death while green is lit", caught_lit, 60 * PATIENCE)
    leds.mark()
    time.sleep(2.5)  # a ready light would flash
    check(not leds.events("lit", "green") and not leds.alarmed(), "a dead daemon's lights are lit")


def install(lab, program):
    lab.cloud.init()
    tenant = lab.cloud.tenant("acme")
    gw = Gateway(lab, program_name=program)
    sim, leds = Serial(lab, "door"), Leds(lab, "leds")
    gw.reader(sim, hold="0s", **leds.settings())
    os.makedirs(gw.state)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", gw.state], check=True)
    lab.on_close(lambda: subprocess.run(["umount", "-l", gw.state], check=False))
    gw.spool_settings = {"budget": "16MiB"}
    lift = gw.reader(ModbusTcp(lab, "lift"), feedback="none")
    gw.enrol(tenant, "site", f"localhost:{lab.broker.port}")
    return gw, sim, lift, leds


def test(_args, _rng):
    with Lab("lights") as lab:
        gw, sim, lift, leds = install(lab, "punchgate")
        said = gw.ctl("check").stdout
        check(f"{sim.link} is not there now" in said, f"`check` about an absent device: {said}")
        check("door: one-way" in said and f"green {leds.dir}/green" in said and "lift: its read is cleared" in said
              and "feedback: none" in said, f"`check` about feedback: {said}")

        gw.start()
        wait_for("trouble: the door's reader is absent", leds.alarmed, 20 * PATIENCE)
        check(not leds.ready(), "green without a reader")
        sim.start()
        wait_for("the ready light", leds.ready, 30 * PATIENCE)
        leds.mark()
        wait_for("the ready light again", leds.ready, 20 * PATIENCE)
        check(not leds.alarmed(), "red while all is well: without a network punches are stored all the same")
        until_accepted(gw, sim, leds)

        # The other reader is not there yet, and gets its answers though it has no lights.
        lift.start()
        lift.present()
        wait_for("the latched card to be cleared", lambda: len(lift.cleared()) == 1, 30 * PATIENCE)

        leds.mark()
        sim.kill()
        wait_for("trouble: the reader is gone", leds.alarmed, 20 * PATIENCE)
        wait_for("green to be dark", lambda: leds.last("green")["event"] == "dark", 20 * PATIENCE)
        sim.start()
        leds.mark()
        wait_for("the ready light, again", leds.ready, 30 * PATIENCE)

        killed(gw, sim, leds)
        gw.start()
        gw.wait_readers()
        full = fill_up(gw)
        green = refusals(gw, sim, leds)
        check(green == 0, f"green was shown for {green} of the cards that were refused")
        os.unlink(full)
        until_accepted(gw, sim, leds)
        lights = gw.status()["lights"]
        check(len(lights) == 3 and all(x["working"] and x["failures"] == 0 for x in lights), f"{lights}")
        print(f"{gw.status()['punches']} stored, {gw.status()['refused']} refused and shown as such", flush=True)
        check(gw.proc.stop(20 * PATIENCE) == 0, "did not end well")
        wait_for("all dark after the end", lambda: not leds.lit(), 20 * PATIENCE)
    with Lab("lights-early") as lab:
        gw, sim, lift, leds = install(lab, "punchgate-early-ack")
        sim.start()
        lift.start()
        gw.start()
        gw.wait_readers()
        fill_up(gw)
        check(refusals(gw, sim, leds) > 0, "punchgate-early-ack showed green for nothing, and it was not noticed")
        print("punchgate-early-ack: caught", flush=True)


if __name__ == "__main__":
    if not os.environ.get("PUNCH_INSIDE"):
        if os.geteuid() != 0:
            raise Failure("needs root, to make a mount namespace of its own")
        enter_namespace(__file__)
    main(test, __doc__, limit=200)
