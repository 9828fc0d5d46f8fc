#!/usr/bin/python3
"""People are erased while others punch, and punchcloud is killed at some step of each erasure.

Afterwards no file of the cloud holds a name, a reference, a card or a sealed row of theirs, which the searcher did find
before; a store of before, put beside the keyring of after, gives none of them back, although the gateway sends again
everything that it retains; and an erased one's card in another hand yields what that hand does with it.
"""
import os
import shutil
import sqlite3
import time

import requests

from lab import PATIENCE, Gateway, Lab, main
from proc import check, wait_for
from searcher import Searcher
from sims import ModbusTcp

TENANT = "acme"
STEPS = 29  # FAULT_KILL("erase") passes of an erasure with one escrow folder: some twenty; beyond them nobody is killed


class Scene:
    def __init__(self, lab, args, rng):
        self.lab, self.rng = lab, rng
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        self.api = lab.cloud.api(lab.cloud.token(TENANT))
        lab.broker.start()
        self.gw = Gateway(lab)
        self.sim = self.gw.reader(ModbusTcp(lab, "door", seed=args.seed, rate=12, cards=args.people + 4,
                                            extra=["--id-bytes", "8"]), hold="0s")
        self.gw.enrol(TENANT, "Head office")
        lab.cloud.program_name = "punchcloud-fault"
        lab.cloud.start()
        self.sim.start()
        self.gw.start()
        self.gw.wait_readers()
        self.people = {}  # card: (id, name, reference)
        self.rows, self.counts, self.deaths = set(), 0, 0
        self.store = os.path.join(lab.cloud.state, "store.db")

    def hire(self, n):
        wait_for("enough cards", lambda: len(set(self.sim.presented())) >= n + 2, 60 * PATIENCE)
        for i, card in enumerate(sorted(set(self.sim.presented()))[:n]):
            name, reference = f"Ottilie Überall-{i}-Zwölf", f"personnel-no-{i}-77123"
            person = self.api.post("/v1/people", {"name": name, "personnel_number": reference})["id"]
            self.api.post(f"/v1/people/{person}/credentials", {"tech": "iso14443", "bits": 64, "data": card})
            self.people[card] = (person, name, reference)

    def sealed(self):
        db = sqlite3.connect(f"file:{self.store}?mode=ro", uri=True)
        try:
            return {r[0] for t in ("punch", "pending", "person", "credential") for r in db.execute(f"SELECT sealed FROM {t}")}
        finally:
            db.close()

    def search(self, rows):
        """Where in the cloud's folder and the logs sealed rows are."""
        s = Searcher()
        for row in rows:
            s.add("a sealed row", [("sealed", row[20:60], False), ("sealed", row[-40:], False)])
        return s.files(self.lab.path("cloud"), skip=(r"/saved",))[0]

    def try_erase(self, person):
        try:
            return self.api.call("POST", f"/v1/people/{person}/erasure", {"dry_run": False})
        except requests.RequestException:
            return None

    def erase(self, card, step):
        """Killed at that step, perhaps again while it rolls forward, until it is done."""
        cloud, person = self.lab.cloud, self.people[card][0]
        cloud.proc.stop(30 * PATIENCE)
        cloud.env = {"PUNCH_FAULT_KILL": f"erase:{step}"}
        cloud.start()
        before = self.sealed()
        check(self.search(list(before)[:50]), "the searcher does not find rows that are there")
        answer = self.try_erase(person)
        for again in (self.rng.randrange(1, 12), None):
            if answer is None:
                wait_for("punchcloud to be dead", lambda: not cloud.proc.alive(), 20 * PATIENCE)
                self.deaths += 1
                cloud.env = {"PUNCH_FAULT_KILL": f"erase:{again}"} if again else {}
                cloud.start(wait=again is None)
                if again:  # it may die on its way up
                    try:
                        cloud.wait_ready(5)
                        answer = self.api.call("GET", "/healthz")
                    except Exception:
                        answer = None
        cloud.proc.stop(30 * PATIENCE)
        cloud.env = {}
        cloud.start()
        if self.api.call("GET", f"/v1/people/{person}").status_code == 200:  # it had not been journalled
            self.api.post(f"/v1/people/{person}/erasure", {"dry_run": False}, expect=200)

        def record():
            found = [e for e in self.api.get("/v1/erasures", limit=1000)["items"] if e["person"] == person]
            return found and found[0]["state"] == "done" and found[0]
        e = wait_for("the erasure to be done", record, 90 * PATIENCE, every=0.5)
        gone = before - self.sealed()
        check(0 < len(gone) <= sum(e["counts"][k] for k in ("punches", "pending", "credentials")) + 1,
              f"{len(gone)} rows are gone, {e['counts']}")
        self.rows |= gone
        self.counts += e["counts"]["punches"]
        check(self.api.call("POST", f"/v1/people/{person}/erasure", {"dry_run": False}).status_code == 200,
              "who asks again is not told that it is done")

    def nothing_left(self, erased):
        s = Searcher()
        for card in erased:
            s.card(card)
            s.text(self.people[card][1])
            s.text(self.people[card][2])
        planted = self.lab.path("cloud", "planted")
        with open(planted, "wb") as f:
            f.write(os.urandom(5000) + self.people[erased[0]][1].encode() + bytes.fromhex(erased[0]) + os.urandom(5000))
        check(len(s.files(planted)[0]) >= 2, "the searcher is blind")
        os.unlink(planted)
        hits = s.files(self.lab.path("cloud"), self.lab.path("logs"), skip=(r"\.ledger$", r"/saved"))[0]
        check(not hits, "readable: " + "\n  ".join(hits[:10]))
        hits = self.search(self.rows)
        check(not hits, "sealed rows are left: " + "\n  ".join(hits[:10]))

    def cards(self, **query):
        """The API shows the end of a number; no two cards here end alike."""
        card = {c[-4:]: c for c in self.sim.presented()}
        check(len(card) == len(set(self.sim.presented())), "two cards end alike: the test would mean little")
        return [(card[p["credential"]["number_last4"]], p["id"], p["time"]) for p in self.api.punches(**query)]

    # ---- an old backup ----
    def save(self):
        """What a backup of a stopped cloud holds."""
        self.lab.cloud.proc.stop(30 * PATIENCE)
        saved = self.lab.path("cloud", "saved")
        os.makedirs(saved)
        shutil.copy(self.store, saved)
        shutil.copy(os.path.join(self.lab.cloud.state, "keyring", TENANT, "ring"), saved)
        self.lab.cloud.start()

    def restore(self):
        """The saved store and ring in the state of now, with a new epoch, so that the gateway sends all again."""
        cloud = self.lab.cloud
        cloud.proc.stop(30 * PATIENCE)
        shutil.copy(self.lab.path("cloud", "saved", "store.db"), self.store)
        shutil.copy(self.lab.path("cloud", "saved", "ring"), os.path.join(cloud.state, "keyring", TENANT, "ring"))
        epoch = int(time.time()) + 1000
        db = sqlite3.connect(self.store)
        db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))
        db.commit()
        db.close()
        with open(os.path.join(cloud.state, "keyring", "epoch"), "w") as f:
            f.write(f"{epoch}\n")
        cloud.start()


def test(args, rng):
    with Lab("erasure", keep=args.keep) as lab:
        b = Scene(lab, args, rng)
        b.hire(args.people + 2)
        b.save()
        time.sleep(2)
        erased = sorted(b.people)[:args.people]
        steps = [1 + (i * STEPS // len(erased) + rng.randrange(STEPS // len(erased))) for i in range(len(erased))]
        for card, step in zip(erased, steps):
            b.erase(card, step)
        b.sim.pause()
        b.gw.wait_drained()
        print(f"{len(erased)} erased with {b.counts} punches, killed {b.deaths} times (steps {steps})", flush=True)
        stay = sorted(set(b.people) - set(erased))
        kept = b.cards(state="all")
        check(not [c for c, *_ in kept if c in erased], "punches of erased people")
        check({c for c, *_ in kept} >= set(stay), "cards of the others are missing")
        for card in stay:
            check(b.cards(person=b.people[card][0], state="all"), f"{card} has no punches")
        b.nothing_left(erased)

        b.restore()
        b.sim.resume()  # by the next ack the gateway learns of the new epoch
        wait_for("punches to come late", lambda: lab.cloud.status()["counters"]["erased"] > 0, 60 * PATIENCE, every=0.3)
        b.sim.pause()
        b.gw.wait_drained()
        again = b.cards(state="all")
        check(not [c for c, *_ in again if c in erased], "a backup and a gateway gave erased punches back")
        check({p[1] for p in kept} <= {p[1] for p in again}, "others' punches did not come back")
        for card in erased:
            check(b.api.call("GET", f"/v1/people/{b.people[card][0]}").status_code == 404, "a backup gave a person back")
        ends = {card[-4:] for card in erased} - {c[-4:] for c, *_ in again if c not in erased}
        check(not [w for w in b.api.get("/v1/credentials/waiting")["items"] if w["credential"]["number_last4"] in ends],
              "an erased one's card is in the inbox")
        print(f"restored from before: {len(again)} punches, {lab.cloud.status()['counters']['erased']} dropped", flush=True)

        heir = b.api.post("/v1/people", {"name": "Heir"})["id"]
        made = b.api.post(f"/v1/people/{heir}/credentials", {"tech": "iso14443", "bits": 64, "data": erased[0]})["created"]
        b.sim.resume()
        wait_for("the heir to punch", lambda: b.cards(person=heir), 60 * PATIENCE, every=0.5)
        b.sim.pause()
        b.gw.wait_drained()
        check(all(t >= made for _, _, t in b.cards(person=heir)), "the heir got punches of before")
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=280, people=4)
