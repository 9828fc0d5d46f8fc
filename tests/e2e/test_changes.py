#!/usr/bin/python3
"""A replica that is kept by the changes feed equals what the API answers, whatever kills the consumer.

A reader punches without a broker until there is a backlog; then it drains while cards are handed out and taken back,
people and a gateway's site are renamed, people are erased, and punchcloud is killed. The consumer (consumer.py) is
killed with SIGKILL again and again. In the end its replica is compared, member by member, with the API's answers.
"""
import datetime
import json
import os
import sqlite3
import time

from lab import HERE, PATIENCE, Gateway, Lab, main, utc
from proc import check, wait_for
from sims import ModbusTcp

TENANT = "acme"
CARDS = 8


class Scene:
    def __init__(self, lab, args, rng):
        self.lab, self.rng = lab, rng
        self.figures = dict.fromkeys(("created", "renamed", "assigned", "unassigned", "moved", "erased", "cloud killed"), 0)
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        self.token = lab.cloud.token(TENANT)
        self.api = lab.cloud.api(self.token)
        self.gw = Gateway(lab)
        self.sim = self.gw.reader(ModbusTcp(lab, "door", seed=args.seed, rate=args.rate, cards=CARDS), hold="0s")
        self.gw.enrol(TENANT, "Head office")
        self.replica = lab.path("replica.db")
        self.argv = ["/usr/bin/python3", os.path.join(HERE, "consumer.py"), "--url", self.api.base, "--ca",
                     os.path.join(lab.cloud.pki, "ca.crt"), "--token", self.token, "--replica", self.replica]
        self.consumer = lab.proc("consumer", [*self.argv, "--limit", "20"])
        self.people, self.credentials = [], []

    def backlog(self, seconds):
        """The cloud is there, its broker is not."""
        self.lab.cloud.start(wait=False)
        self.sim.start()
        self.gw.start()
        self.gw.wait_readers()
        time.sleep(seconds)
        check(self.gw.spool()["unacked"] > 0, "no backlog")
        self.consumer.start()
        self.lab.broker.start()
        self.lab.cloud.wait_ready()

    # ---- what people do meanwhile ----
    def create(self):
        self.people.append(self.api.post("/v1/people", {"name": f"Person {len(self.people)}"})["id"])
        self.figures["created"] += 1

    def patch(self, path, body):
        r = self.api.call("PATCH", path, body)
        check(r.status_code == 200, f"PATCH {path}: {r.status_code} {r.text[:300]}")

    def rename(self):
        if self.people:
            self.patch(f"/v1/people/{self.rng.choice(self.people)}", {"name": f"Renamed {self.rng.randrange(10**6)}"})
            self.figures["renamed"] += 1

    def move(self):
        """To another site, or the site under another name."""
        name = f"Site {self.figures['moved']}"  # no two sites have one name
        if self.rng.random() < 0.5:
            self.patch(f"/v1/gateways/{self.gw.id}", {"site": name})
        else:
            site = self.rng.choice(self.api.get("/v1/sites", limit=1000)["items"])
            self.patch(f"/v1/sites/{site['id']}", {"name": name})
        self.figures["moved"] += 1

    def between(self):
        """A time in the middle of the punches."""
        return utc(time.time() * 1e6 - self.rng.uniform(0, 10) * 1e6).isoformat()

    def assign(self):
        waiting = self.api.get("/v1/credentials/waiting")["items"]
        if not waiting or not self.people:
            return
        body = {"waiting": self.rng.choice(waiting)["id"]}
        if self.rng.random() < 0.5:
            body["from"] = self.between()
        r = self.api.call("POST", f"/v1/people/{self.rng.choice(self.people)}/credentials", body)
        check(r.status_code in (201, 404, 409), f"assigning: {r.status_code} {r.text[:300]}")
        if r.status_code == 201:
            self.credentials.append(r.json()["id"])
            self.figures["assigned"] += 1

    def unassign(self):
        if not self.credentials:
            return
        c = self.api.get(f"/v1/credentials/{self.rng.choice(self.credentials)}")
        begun = datetime.datetime.fromisoformat(c["from"].replace("Z", "+00:00")) if c["from"] else None
        until = datetime.datetime.fromisoformat(self.between())
        if c["until"] is None:
            until = max(until, begun) if begun else until
            self.api.post(f"/v1/credentials/{c['id']}/unassign", {"until": until.isoformat()}, expect=200)
            self.figures["unassigned"] += 1

    def erase(self):
        """Somebody who holds cards, so that there is something to take along."""
        holders = [p for p in self.people if self.api.get(f"/v1/people/{p}/credentials")["items"]]
        if not holders:
            return
        person = self.rng.choice(holders)
        gone = [c["id"] for c in self.api.get(f"/v1/people/{person}/credentials")["items"]]
        self.api.post(f"/v1/people/{person}/erasure", {"dry_run": False}, expect=200)
        self.people.remove(person)
        self.credentials = [c for c in self.credentials if c not in gone]
        self.figures["erased"] += 1

    def kill_cloud(self):
        self.lab.cloud.proc.kill()
        time.sleep(self.rng.uniform(0.0, 0.5))
        self.lab.cloud.start()
        self.figures["cloud killed"] += 1

    def act(self):
        for _ in range(self.rng.randrange(1, 4)):
            self.rng.choice((self.create, self.rename, self.move, self.assign, self.assign, self.unassign))()

    # ---- the consumer ----
    def round(self):
        end = time.monotonic() + self.rng.uniform(0.3, 1.2)
        while time.monotonic() < end:
            self.act()
            check(self.consumer.alive(), "the consumer ended:\n" + self.consumer.log_text()[-2000:].decode())
        self.consumer.kill()
        if self.rng.random() < 0.5:
            self.act()  # while nobody follows
        self.consumer.start()

    def settle(self):
        self.sim.pause()
        wait_for("every latched card to be taken",
                 lambda: len(self.sim.presented()) == len(self.sim.cleared()), 30 * PATIENCE, every=0.2)
        self.gw.wait_drained()
        wait_for("no punch to be pending", lambda: not self.api.punches(state="pending"), 60 * PATIENCE, every=0.5)
        self.consumer.kill()
        self.lab.run([*self.argv, "--once"])

    def verdict(self):
        db = sqlite3.connect(self.replica)
        held = {t: {i: json.loads(b) for i, b in db.execute(f"SELECT id, body FROM {t}")}
                for t in ("punch", "person", "credential")}
        people = everybody(self.api)
        told = {"punch": self.api.punches(), "person": people,
                "credential": [c for p in people for c in self.api.get(f"/v1/people/{p['id']}/credentials")["items"]]}
        bad = []
        for what, items in told.items():
            bad += differences(what, held[what], {i["id"]: i for i in items})
        check(not bad, f"{len(bad)} differences between the replica and the API:\n  " + "\n  ".join(bad[:20]))
        check(len(told["punch"]) == len(self.sim.presented()) or self.figures["erased"],
              f"{len(told['punch'])} punches of {len(self.sim.presented())}")
        figures = {t: len(v) for t, v in held.items()}
        return {**figures, **self.figures, "applied": dict(db.execute("SELECT what, n FROM counts"))}


def everybody(api):
    people, cursor = [], None
    while True:
        page = api.get("/v1/people", limit=1000, cursor=cursor)
        people += page["items"]
        cursor = page["next"]
        if not cursor:
            return people


def differences(what, held, told):
    def text(value):
        return json.dumps(value, sort_keys=True)
    bad = [f"{what} {i} is missing" for i in sorted(told.keys() - held.keys())]
    bad += [f"{what} {i} is too much" for i in sorted(held.keys() - told.keys())]
    return bad + [f"{what}: {text(held[i])}\n    is in truth {text(told[i])}"
                  for i in sorted(told.keys() & held.keys()) if text(held[i]) != text(told[i])]


def test(args, rng):
    with Lab("changes", keep=args.keep) as lab:
        s = Scene(lab, args, rng)
        s.backlog(args.seconds)
        for _ in range(3):
            s.create()
        wait_for("cards that wait", lambda: s.api.get("/v1/credentials/waiting")["items"], 30 * PATIENCE, every=0.1)
        for _ in range(3):
            s.assign()
        for i in range(args.rounds):
            s.round()
            if i == args.rounds // 2:
                s.kill_cloud()
            if i in (args.rounds // 3, 2 * args.rounds // 3):
                s.erase()
        s.settle()
        figures = s.verdict()
        print(f"{args.rounds} times killed, {figures}", flush=True)
        check(figures["punch"] >= 10 and figures["erased"] >= 1, "too little happened: the run means little")
        lab.stop_daemons()


if __name__ == "__main__":
    # The soak: --rounds 20
    main(test, __doc__, limit=280, rounds=4, seconds=4.0, rate=15.0)
