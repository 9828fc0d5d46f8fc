#!/usr/bin/python3
"""LEDs of the kernel's LED class, as far as the `transient` trigger goes (Documentation/leds/ledtrig-transient.rst).

    leds.py --dir /tmp/x/leds --leds green red --ledger /tmp/x/leds.jsonl

Makes a folder per LED whose files are pipes, so that each write is seen, in order, and none is merged with another.
Prints `ready <dir>`. The ledger is the timeline: `lit` with the time it was asked `for` in ms, `dark` with `by`: told
(activate 0, or another trigger) or timer (the kernel's own, when nobody told it in time).

As the kernel: `activate` 1 does nothing while the timer runs or when no duration is set; changing `trigger` darkens
the LED and forgets its settings; and while no trigger, or another one, is set, there is nothing to activate.
"""
import argparse
import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from simlib import Ledger, Loop, stdin_commands  # noqa: E402

FILES = ("activate", "duration", "state", "trigger")


class Led:
    def __init__(self, loop, folder, ledger):
        self.loop, self.ledger, self.name = loop, ledger, os.path.basename(folder)
        os.makedirs(folder)
        self.fds = {}
        for name in FILES:
            path = os.path.join(folder, name)
            os.mkfifo(path, 0o644)
            self.fds[name] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.reset()
        # What is written before an `activate` is there when the `activate` is: one reader drains them in this order.
        loop.on_read(self.fds["activate"], self.readable)
        loop.on_read(self.fds["trigger"], self.settings)

    def reset(self):
        self.transient, self.state, self.durations, self.duration, self.until = False, 0, [], 0, None

    def words(self, name):
        try:
            return os.read(self.fds[name], 65536).decode().split()
        except BlockingIOError:
            return []

    def settings(self):
        for word in self.words("trigger"):
            self.dark("told")
            self.reset()
            self.transient = word == "transient"
        for word in self.words("state"):
            self.state = int(word)
        self.durations += [int(word) for word in self.words("duration")]

    def readable(self):
        words = self.words("activate")
        self.settings()
        for word in words:
            if word == "0":
                self.dark("told")
            elif self.transient and self.until is None:
                if self.durations:
                    self.duration = self.durations.pop(0)
                self.light()

    def light(self):
        if self.state != 1 or self.duration == 0:
            return
        self.until = time.monotonic() + self.duration / 1000
        self.ledger.write("lit", led=self.name, **{"for": self.duration})

    def dark(self, by):
        if self.until is not None:
            self.until = None
            self.ledger.write("dark", led=self.name, by=by)

    def tick(self):
        """Seconds until the timer runs out; None when it does not run."""
        if self.until is None:
            return None
        left = self.until - time.monotonic()
        if left <= 0:
            self.readable()  # what came in time goes first
            if self.until is not None and self.until <= time.monotonic():
                self.dark("timer")
        return max(0.0, left) if self.until else None


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dir", required=True, help="folder to make the LEDs' folders in")
    p.add_argument("--leds", nargs="+", required=True, help="their names")
    p.add_argument("--ledger", help="JSON lines file to append to")
    a = p.parse_args()
    loop, ledger = Loop(), Ledger(a.ledger, "leds")
    leds = [Led(loop, os.path.join(a.dir, name), ledger) for name in a.leds]
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    signal.signal(signal.SIGINT, lambda *_: loop.stop())
    stdin_commands(loop, lambda words: loop.stop() if words == ["quit"] else None)
    print("ready", a.dir, flush=True)
    loop.run(lambda: min((w for w in [led.tick() for led in leds] if w is not None), default=None))


if __name__ == "__main__":
    main()
