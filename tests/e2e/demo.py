#!/usr/bin/python3
"""The demonstration behind scripts/demo: a whole throw-away installation, and punches arriving at the cloud, live.

What is shown comes from the HTTPS API alone, as any customer's program would see it.
"""
import argparse
import datetime
import os
import random
import shlex
import signal
import sys
import time

import requests

from lab import PATIENCE, Gateway, Lab
from proc import Failure, wait_for
from sims import ModbusRtu, ModbusTcp, Serial

PEOPLE = ["Anna Schmidt", "Björn Åkesson", "Chidi Okafor", "Dana Novák", "Eva Lindqvist"]
SITE = "Head office"
COLUMNS = "{:<13} {:<20} {:<12} {:<9} {}"


def say(text=""):
    print(text, flush=True)


class Screen:
    """Lines that scroll, and below them one line that is rewritten where the output is a terminal."""

    def __init__(self):
        self.tty, self.below = sys.stdout.isatty(), ""

    def line(self, text):
        if self.tty and self.below:
            sys.stdout.write("\r\x1b[K")
        say(text)
        if self.tty and self.below:
            sys.stdout.write(self.below)
            sys.stdout.flush()

    def status(self, text):
        if text == self.below:
            return
        if self.tty:
            sys.stdout.write("\r\x1b[K" + text)
            sys.stdout.flush()
        elif text:
            say(text)
        self.below = text

    def done(self):
        if self.tty and self.below:
            sys.stdout.write("\r\x1b[K")
        self.below = ""


class Demo:
    def __init__(self, lab, rng):
        self.lab, self.rng, self.screen = lab, rng, Screen()
        self.seen, self.presented, self.recent = set(), 0, {}

    def set_up(self):
        lab = self.lab
        say(f"making a throw-away installation in {lab.dir}")
        lab.cloud.init()
        lab.cloud.tenant("demo")
        self.token = lab.cloud.token("demo", "--expires", "1d")
        self.api = lab.cloud.api(self.token)
        lab.broker.start()
        self.gw = Gateway(lab)
        self.sims = [self.gw.reader(Serial(lab, "gate"), direction="in"),
                     self.gw.reader(ModbusTcp(lab, "lift"), direction="in"),
                     self.gw.reader(ModbusRtu(lab, "yard"), direction="out")]
        self.gw.enrol("demo", SITE, f"{lab.host}:{lab.broker.port}")
        lab.cloud.start()
        self.assign()
        for sim in self.sims:
            sim.start()
        self.gw.start()
        self.gw.wait_readers()
        self.began = time.time() - 60
        self.show_head()

    def assign(self):
        """Everyone has a fob for the gate and a card for the Modbus readers; two of each belong to nobody yet. With any
        first byte, some id would be one that names no card."""
        self.fobs, self.cards = (["04" + self.rng.randbytes(n).hex().upper() for _ in range(len(PEOPLE) + 2)]
                                 for n in (4, 3))
        for name, fob, card in zip(PEOPLE, self.fobs, self.cards):
            person = self.api.post("/v1/people", {"name": name})["id"]
            for tech, number in (("em4100", fob), ("iso14443", card)):
                self.api.post(f"/v1/people/{person}/credentials",
                              {"tech": tech, "bits": 4 * len(number), "data": number})

    def show_head(self):
        lab, ca = self.lab, os.path.join(self.lab.cloud.pki, "ca.crt")
        url = f"https://{lab.host}:{lab.cloud.api_port}"
        say(f"  broker   Mosquitto, mutual TLS, {lab.host}:{lab.broker.port}")
        say(f"  cloud    {url}/v1 (token of tenant \"demo\" below)")
        say(f"  gateway  {self.gw.id} at \"{SITE}\"")
        say("  readers  gate (125 kHz, serial on a pty), lift (Modbus TCP), yard (Modbus RTU on a pty)")
        say()
        say("Ask for the last punches yourself, while this runs:")
        say(f"  curl --cacert {shlex.quote(ca)} -H 'Authorization: Bearer {self.token}' '{url}/v1/punches?limit=5'")
        say()
        say(COLUMNS.format("TIME", "PERSON", "SITE", "READER", "DIRECTION"))

    def someone_punches(self):
        sim = self.rng.choice(self.sims)
        card = self.rng.choice(self.fobs if sim.cred[1] == 40 else self.cards)
        # The same card at the same reader within the hold time is one presentation: let them walk on first.
        if time.monotonic() - self.recent.get((sim.name, card), -9) < 3:
            return
        self.recent[(sim.name, card)] = time.monotonic()
        sim.present(card)
        self.presented += 1

    def poll(self):
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(max(self.began, time.time() - 600)))
        pending = 0
        for item in self.api.punches(page=200, **{"from": since}):
            if item["state"] == "pending":
                pending += 1
            elif item["id"] not in self.seen:
                self.seen.add(item["id"])
                self.show(item)
        self.screen.status(f"{pending} pending: the gateway does not know the time yet" if pending else "")

    def show(self, item):
        stamp = item["time"].replace("Z", "+00:00")
        when = time.strftime("%H:%M:%S", time.localtime(_seconds(stamp))) + stamp[19:23]
        who = item["person"]["name"] if item["person"] else "(unassigned card)"
        self.screen.line(COLUMNS.format(when, who, item["site"], item["reader"], item["direction"]))

    def run(self, seconds):
        end = time.monotonic() + seconds if seconds else float("inf")
        due = 0.0
        while time.monotonic() < end:
            if time.monotonic() >= due:
                self.someone_punches()
                due = time.monotonic() + self.rng.uniform(0.3, 1.2)
            self.poll()
            for p in self.lab.procs:
                if not p.alive():
                    raise Failure(f"{p.name} ended by itself")
            time.sleep(0.2)

    def finish(self):
        """Nothing is lost by the end of the demonstration either."""
        def all_here():
            self.poll()
            return len(self.seen) >= self.presented
        try:
            wait_for("the last punches", all_here, 20 * PATIENCE, every=0.2)
        finally:
            self.screen.done()
            say(f"\n{self.presented} cards presented, {len(self.seen)} punches in the cloud")


def _seconds(stamp):
    return datetime.datetime.fromisoformat(stamp).timestamp()


def main():
    p = argparse.ArgumentParser(prog="scripts/demo", description="Shows punches travelling from three simulated readers "
                                "through punchgate, Mosquitto and punchcloud to the API, until Ctrl-C. Leaves no process "
                                "and no file behind.")
    p.add_argument("--seconds", type=float, metavar="N", help="end by itself after N seconds of punching")
    p.add_argument("--seed", type=int, default=None, help="the same people at the same readers again")
    args = p.parse_args()

    def ended(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ended)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
    try:
        with Lab("demo") as lab:
            demo = Demo(lab, random.Random(args.seed))
            try:
                demo.set_up()
                demo.run(args.seconds)
            except KeyboardInterrupt:
                demo.screen.done()
                say("\nending")
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the clean-up is not interrupted
                return
            demo.finish()
            lab.stop_daemons()
    except (Failure, requests.RequestException) as e:
        sys.exit(f"scripts/demo: {e}")


if __name__ == "__main__":
    main()
