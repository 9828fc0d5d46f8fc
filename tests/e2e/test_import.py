#!/usr/bin/python3
"""A table of people and cards goes on where it was, whatever kills punchcloud in the middle of it, and keeps nobody waiting.

punchcloud-fault dies by SIGKILL behind a slice, or at any moment by our hand. Afterwards the import says that it was
interrupted, what was taken is there, and the same table brings the rest: in the end everybody is there once and holds one
card. While a table is taken others write, and two tables at a time come in one after the other.
"""
import sqlite3
import threading
import time

import requests

from lab import PATIENCE, Lab, main
from proc import check, wait_for

TENANT, SLICE = "acme", 200


class Tables:
    def __init__(self, lab, rows):
        self.lab, self.rows = lab, rows
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        self.api = lab.cloud.api(lab.cloud.token(TENANT))
        lab.broker.start()
        lab.cloud.program_name = "punchcloud-fault"
        self.table = self.make(0, rows)

    @staticmethod
    def make(first, n):
        lines = [f"{i},Person {i},{'67%08X' % i},hex10" for i in range(first, first + n)]
        return "\n".join(["personnel_number,name,card,card_rendering", *lines]) + "\n"

    def start(self, fault=None):
        self.lab.cloud.env = {"PUNCH_FAULT_KILL": fault} if fault else {}
        self.lab.cloud.start()

    def send(self, table=None):
        """None: nobody answers any more."""
        session = requests.Session()
        session.verify, session.trust_env = self.api.session.verify, False
        try:
            r = session.post(self.api.base + "/v1/imports?mode=apply", data=table or self.table, timeout=300 * PATIENCE,
                             headers={"Authorization": f"Bearer {self.api.token}", "Content-Type": "text/csv"})
        except requests.RequestException:
            return None
        check(r.status_code == 201, f"import: {r.status_code} {r.text[:300]}")
        return r.json()

    def runs(self):
        """(id, state, done) of every import, the last one last; a client that lost its answer has no id to ask for."""
        db = sqlite3.connect(f"file:{self.lab.cloud.state}/store.db?mode=ro", uri=True)
        try:
            return db.execute("SELECT lower(hex(id)), state, done FROM import_run ORDER BY started").fetchall()
        finally:
            db.close()

    def latest(self):
        """As who waits for the answer sees it."""
        return self.api.get("/v1/imports")["items"][0]

    def numbers(self):
        cursor, found = None, []
        while True:
            page = self.api.get("/v1/people", limit=1000, cursor=cursor)
            found += [p["personnel_number"] for p in page["items"]]
            cursor = page["next"]
            if not cursor:
                return found

    def dead(self):
        wait_for("punchcloud to be dead", lambda: not self.lab.cloud.proc.alive(), 20 * PATIENCE)

    # ---- what is tried ----
    def killed(self, what):
        """After a death: the resource, and exactly what it says is there."""
        self.dead()
        self.start()
        run = self.api.get(f"/v1/imports/{self.runs()[-1][0]}")
        check(run["state"] == "interrupted" and run["rows"] == self.rows, f"{what}: {run}")
        found = self.numbers()
        check(len(found) == len(set(found)), f"{what}: somebody is there twice")
        return run, found

    def at_a_slice(self, n):
        self.start(f"import:{n}")
        check(self.send() is None, "an answer although it died")
        run, found = self.killed(f"behind slice {n}")
        check(run["done"] == n * SLICE and len(found) == n * SLICE, f"behind slice {n}: {run}, {len(found)} people")

    def at_any_moment(self, rng):
        before = self.latest()["id"]
        sender = threading.Thread(target=self.send)
        sender.start()
        wait_for("the import to be on its way", lambda: self.latest()["id"] != before, 60 * PATIENCE, every=0.01)
        time.sleep(3 * rng.random())
        self.lab.cloud.proc.kill()
        sender.join()
        done = self.runs()[-1][1] == 2
        if done:  # it was faster
            self.start()
        else:
            self.killed("at any moment")

    def the_rest(self):
        had = len(self.numbers())
        run = self.send()
        figures = [run[k] for k in ("state", "created", "changed", "unchanged", "bad")]
        check(figures == ["done", self.rows - had, 0, had, 0], f"the rest of {self.rows} after {had}: {figures}")
        check(sorted(self.numbers(), key=int) == [str(i) for i in range(self.rows)], "not everybody is there once")
        again = self.send()
        check(again["unchanged"] == self.rows, f"the same once more: {again}")
        for p in self.api.get("/v1/people", limit=20)["items"]:
            held = self.api.get(f"/v1/people/{p['id']}/credentials")["items"]
            check([c["number_last4"] for c in held] == ["%04X" % (int(p["personnel_number"]) % 65536)], f"cards of {p}: {held}")
        return had

    def others_write(self):
        """Two tables and single requests at a time. Returns how many requests were answered before the tables were."""
        before, answers, between, shown = len(self.runs()), [], 0, set()
        senders = [threading.Thread(target=lambda i=i: answers.append(self.send(self.make(10000 * i, self.rows))))
                   for i in (1, 2)]
        for s in senders:
            s.start()
        wait_for("an import to be on its way", lambda: len(self.runs()) > before, 60 * PATIENCE, every=0.01)
        while any(s.is_alive() for s in senders):
            self.api.post("/v1/people", {"name": "Between"})
            check(len([r for r in self.runs() if r[1] == 1]) <= 1, "two imports run at a time")
            between += any(r[1] == 1 for r in self.runs())
            shown.update(i["done"] for i in self.api.get("/v1/imports")["items"] if i["state"] == "running")
        check([a["created"] for a in answers] == 2 * [self.rows], f"{answers}")
        check(between > 0, "nobody could write while an import ran")
        check(any(0 < n < self.rows for n in shown), f"nobody was told how far an import is: {sorted(shown)}")
        return between


def test(args, rng):
    with Lab("import", keep=args.keep) as lab:
        t = Tables(lab, args.people)
        t.at_a_slice(3)
        lab.cloud.proc.stop(20 * PATIENCE)
        for _ in range(args.rounds):
            if not lab.cloud.proc.alive():
                t.start()
            t.at_any_moment(rng)
        had = t.the_rest()
        between = t.others_write()
        print(f"{args.people} people, {had} of them before the last run; {between} requests while two more tables came in",
              flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=280, people=2000, rounds=2)
