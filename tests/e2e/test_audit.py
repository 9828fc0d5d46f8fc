#!/usr/bin/python3
"""Whatever kills punchcloud, each read and write that it answered is in the audit trail exactly once, and the trail is
proven by the public key alone.

punchcloud-fault dies by SIGKILL where a reading is recorded, moved into the chain, and where the journal begins anew, or
at any moment by our hand, while clients read and write. Each person is made, read and changed by one request each that
is never repeated, so what the trail says of them can be counted. `punchcloud audit verify` and pyaudit.py, which was
written from the document, have to agree about the exported trail and about each tampering with it.
"""
import collections
import concurrent.futures
import json
import os
import socket
import sqlite3
import ssl
import threading
import time

import requests
from cryptography.hazmat.primitives import serialization

import pyaudit
from lab import PATIENCE, Lab, main
from proc import check, wait_for
from searcher import Searcher

TENANT = "acme"
POINTS = {"audit-written": 40, "audit-synced": 40, "audit-move": 2, "audit-moved": 2, "audit-renew": 1, "audit-renewed": 1}
IDLE = ("audit-renew", "audit-renewed")  # the journal begins anew when nobody asks for anything
CLIENTS = 4
MAKE, READ, CHANGE = "POST /v1/people", "GET /v1/people/{id}", "PATCH /v1/people/{id}"


class Client:
    """Makes, reads and changes people, each by one request; None: not answered."""

    def __init__(self, api, number, open_gate, done):
        self.api, self.number, self.open_gate, self.done = api, number, open_gate, done
        self.made, self.read, self.changed = {}, {}, {}  # by name, id, id: whether it was answered
        self.unanswered = 0

    def once(self, method, path, body=None, **headers):
        try:
            r = self.api.session.request(method, self.api.base + path, json=body, timeout=20,
                                         headers={"Authorization": f"Bearer {self.api.token}", **headers})
        except requests.RequestException:
            self.unanswered += 1
            self.api.session.close()
            time.sleep(0.05)
            return None
        if r.status_code == 503:  # refused: nothing was shown or done
            return None
        check(r.status_code in (200, 201), f"{method} {path}: {r.status_code} {r.text[:300]}")
        return r

    def run(self):
        n = 0
        while not self.done.is_set():
            if not self.open_gate.wait(0.2):
                continue
            n += 1
            name = f"unforgotten-{self.number}-{n}"
            r = self.once("POST", "/v1/people", {"name": name})
            self.made[name] = r is not None
            if r is None:
                continue
            person = r.json()["id"]
            r = self.once("GET", f"/v1/people/{person}")
            self.read[person] = r is not None
            if r is not None:
                self.changed[person] = self.once("PATCH", f"/v1/people/{person}", {"name": name + "-changed"},
                                                 **{"If-Match": r.headers["ETag"]}) is not None


class Audited:
    def __init__(self, lab, rng, args):
        self.lab, self.rng, self.args = lab, rng, args
        self.api = lab.cloud.api(lab.cloud.token(TENANT))
        self.deaths = collections.Counter()

    def die_once(self, gate, point):
        """Started with a point to die at in store; afterwards it is dead."""
        cloud = self.lab.cloud
        cloud.env = {"PUNCH_FAULT_KILL": f"{point}:{self.rng.randint(1, POINTS[point])}"} if point else {}
        cloud.start(wait=False)
        gate.set()
        pause = time.monotonic() + 1.5 * PATIENCE
        deadline = time.monotonic() + (8 * PATIENCE if point else self.rng.uniform(0.3, 2.5))
        while cloud.proc.alive() and time.monotonic() < deadline:
            if point in IDLE and time.monotonic() > pause:
                gate.clear()
            time.sleep(0.02)
        self.deaths[point if point and not cloud.proc.alive() else "by hand"] += 1
        cloud.proc.kill()
        gate.set()

    def rounds(self):
        """The clients as they were when the last one had died."""
        gate, done = threading.Event(), threading.Event()
        points = [*POINTS, None] * self.args.rounds
        clients = [Client(self.lab.cloud.api(self.api.token), i, gate, done) for i in range(CLIENTS)]
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(c.run) for c in clients]
            try:
                for point in points[:self.args.rounds]:
                    self.die_once(gate, point)
            finally:
                done.set()
            for r in running:
                r.result()
        return clients

    def all_people(self):
        people, cursor = {}, None
        while True:
            page = self.api.get("/v1/people", limit=1000, cursor=cursor)
            people.update((p["id"], p["name"]) for p in page["items"])
            cursor = page["next"]
            if not cursor:
                return people

    def read_one(self, person, times):
        api = self.lab.cloud.api(self.api.token)
        for _ in range(times):
            r = api.session.request("HEAD", f"{api.base}/v1/people/{person}", timeout=60,
                                    headers={"Authorization": f"Bearer {api.token}"})
            check(r.status_code == 200, f"HEAD: {r.status_code}")

    def fill(self):
        """Until the trail has as many events as are wanted, each of which is a read; returns events/s."""
        last, before = self.api.post("/v1/audit/checkpoints", None)["seq"], time.monotonic()
        wanted = self.args.events - last
        if wanted <= 0:
            return None
        person = self.api.post("/v1/people", {"name": "somebody else"})["id"]
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(self.read_one, person, wanted // CLIENTS + 1) for _ in range(CLIENTS)]:
                done.result()
        return wanted / (time.monotonic() - before)

    def export(self, name):
        r = self.api.session.get(self.api.base + "/v1/audit/export", timeout=600,
                                 headers={"Authorization": f"Bearer {self.api.token}"})
        check(r.status_code == 200, f"export: {r.status_code} {r.text[:300]}")
        path = self.lab.path(name)
        with open(path, "wb") as f:
            f.write(r.content)
        return path

    # ---- proving ----

    def keep_key(self):
        self.key_file = self.lab.path("audit-key.pem")
        pem = self.api.get("/v1/audit/key")["pem"]
        with open(self.key_file, "w") as f:
            f.write(pem)
        self.key = serialization.load_pem_public_key(pem.encode())

    def proven(self, path, expect=True):
        """Both readers have to agree."""
        before = time.monotonic()
        out = self.lab.run([self.lab.program("punchcloud"), "audit", "verify", path, "--key", self.key_file],
                           expect=0 if expect else 4, timeout=300).stdout
        self.seconds = time.monotonic() - before
        check(("NOT PROVEN" not in out) == expect, f"{path}: {out}")
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        try:
            last, damaged = pyaudit.verify(lines, self.key)
        except pyaudit.Wrong as e:
            check(not expect, f"pyaudit.py finds {e} where `audit verify` says: {out}")
            return None
        check(expect, f"pyaudit.py proves what `audit verify` does not: {out}")
        check(not damaged, f"damaged events: {damaged}")
        check(f" to {last}," in out, f"pyaudit.py proves up to {last}, but: {out}")
        return last

    def tampered(self, path):
        with open(path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        events = [i for i, line in enumerate(lines) if line.startswith('{"core"')]
        at = self.rng.choice(events[:-2])
        after = next(i for i in events if i > at)
        changed, swapped = list(lines), list(lines)
        check('"outcome":"done"' in lines[at] or '"outcome":"refused"' in lines[at], f"no outcome in {lines[at][:200]}")
        changed[at] = lines[at].replace('"outcome":"done"', '"outcome":"failed"').replace('"refused"', '"done"')
        swapped[at], swapped[after] = lines[after], lines[at]
        for what, bad in (("changed", changed), ("dropped", lines[:at] + lines[at + 1:]), ("swapped", swapped),
                          ("cut", lines[:events[-1]])):
            name = self.lab.path(f"{what}.jsonl")
            with open(name, "w", encoding="utf-8") as f:
                f.write("\n".join(bad) + "\n")
            self.proven(name, expect=False)

    # ---- evading ----

    def events(self, kind):
        cursor = None
        while True:
            page = self.api.get("/v1/audit", kind=kind, limit=1000, cursor=cursor)
            yield from page["items"]
            cursor = page["next"]
            if not cursor:
                return

    def raw(self, path, times, enough):
        """So many requests in one write; the connection is cut when `enough` says so of what came."""
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.api.token}\r\n\r\n"
        context = ssl.create_default_context(cafile=f"{self.lab.cloud.pki}/ca.crt")
        got = b""
        with socket.create_connection(("127.0.0.1", int(self.api.base.rsplit(":", 1)[1])), timeout=60) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as s:
                s.sendall(request.encode() * times)
                while not enough(got):
                    more = s.recv(65536)
                    check(more, f"cut by the server behind {got[-300:]}")
                    got += more
        return got

    def evade(self):
        """Requests that are sent at once, and an export whose reader goes behind the first event."""
        shy = self.api.post("/v1/people", {"name": "Shy"})["id"]
        self.raw(f"/v1/people/{shy}", 5, lambda got: got.count(b"HTTP/1.1 200 ") == 5 and got.endswith(b"}\n"))
        self.raw("/v1/audit/export", 1, lambda got: b'{"core":' in got)
        told = sum(shy in o["whose"] for o in self.events("people.read"))
        check(told == 5, f"five reads at once are {told} in the trail")
        cut = [o["detail"]["from"] for o in self.events("audit.export")]
        check(1 in cut, f"pieces of an export that was cut: {cut}")

    # ---- damaged ----

    def store(self, sql, *values):
        db = sqlite3.connect(f"{self.lab.cloud.state}/store.db", timeout=30)
        try:
            rows = db.execute(sql, values).fetchall()
            db.commit()
            return rows
        finally:
            db.close()

    def damaged(self, last):
        """Rows that do not open are missing from the export, not from the chain, and both readers name them."""
        numbers = sorted(self.rng.sample(range(2, last), 3))
        self.lab.cloud.proc.stop()
        rows = [self.store("SELECT sealed FROM audit WHERE tenant_id = ? AND seq = ?", TENANT, n)[0][0] for n in numbers]
        for n, sealed in zip(numbers, rows):
            torn = sealed[:30] + bytes([sealed[30] ^ 1]) + sealed[31:] if n != numbers[0] else b""
            self.store("UPDATE audit SET sealed = ? WHERE tenant_id = ? AND seq = ?", torn, TENANT, n)
        self.lab.cloud.start()
        path = self.export("damaged.jsonl")
        out = self.lab.run([self.lab.program("punchcloud"), "audit", "verify", path, "--key", self.key_file],
                           expect=5, timeout=300).stdout
        check(f"DAMAGED: 3 events, proven by hash only: {', '.join(map(str, numbers))}\n" in out, out)
        with open(path, encoding="utf-8") as f:
            found = pyaudit.verify(f.read().splitlines(), self.key)[1]
        check(found == numbers, f"pyaudit.py names {found} as damaged, not {numbers}")
        for n, sealed in zip(numbers, rows):
            self.store("UPDATE audit SET sealed = ? WHERE tenant_id = ? AND seq = ?", sealed, TENANT, n)

    # ---- counting ----

    def count(self, path, clients, people):
        told = collections.Counter()
        with open(path, encoding="utf-8") as f:
            for line in f:
                o = json.loads(line)
                if "core" in o and o["core"].get("outcome") == "done":
                    for w in o["whose"]:
                        told[o["core"].get("route"), w.get("person")] += 1
        ids = {name.removesuffix("-changed"): i for i, name in people.items()}
        answered = 0
        for c in clients:
            for name, ok in c.made.items():
                check(not ok or name in ids, f"{name} was made and is not there")
                if name in ids:  # an unanswered one may have come to be; then so has its event
                    check(told[MAKE, ids[name]] == 1, f"{name}: made once, {told[MAKE, ids[name]]} times in the trail")
                answered += ok
            for person, ok in c.read.items():
                n = told[READ, person]
                check(n == 1 or (n == 0 and not ok), f"{person}: read once, answered: {ok}; {n} times in the trail")
                answered += ok
            for person, ok in c.changed.items():
                n, now = told[CHANGE, person], people[person].endswith("-changed")
                check(now or not ok, f"{person}: a change was answered and is not there")
                check(n == now, f"{person}: changed: {now}, answered: {ok}; {n} times in the trail")
                answered += ok
        return answered

    def erase(self, path, people):
        """Afterwards it is proven still, and nothing of them is in the trail, nor in any file."""
        person, name = self.rng.choice(sorted(p for p in people.items() if p[1].endswith("-changed")))
        with open(path, encoding="utf-8") as f:
            before = f.read()
        check(name in before and person in before, f"{name} is not in the trail at all")
        self.api.post(f"/v1/people/{person}/erasure", {"dry_run": False}, expect=200)
        wait_for("the erasure to be done", lambda: self.api.get("/v1/erasures")["items"][0]["done"], 120 * PATIENCE, 0.5)
        after = self.export("erased.jsonl")
        self.proven(after)
        with open(after, encoding="utf-8") as f:
            lines = f.read().splitlines()
        kinds = collections.Counter(json.loads(line).get("core", {}).get("kind") for line in lines)
        check((kinds["erasure.begun"], kinds["erasure.done"]) == (1, 1), f"an erasure is two events: {kinds}")
        self.lab.stop_daemons()
        s = Searcher()
        s.text(name)
        s.text(person)
        check(not any(name in line or person in line for line in lines), f"{name} is in the trail still")
        check(s.files(path)[0], "the searcher is blind")
        hits, _, _ = s.files(after, self.lab.cloud.state)
        check(not hits, f"after the erasure: {hits}")


def test(args, rng):
    with Lab("audit") as lab:
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        lab.broker.start()
        a = Audited(lab, rng, args)
        lab.cloud.program_name = "punchcloud-fault"
        clients = a.rounds()
        lab.cloud.env = {}
        lab.cloud.start()
        people = a.all_people()
        a.keep_key()
        a.evade()
        filled, before = a.fill(), time.monotonic()
        path = a.export("trail.jsonl")
        exported = time.monotonic() - before
        last = a.proven(path)
        if filled:
            print(f"events/s: recorded {filled:.0f}, exported {last / exported:.0f}, verified {last / a.seconds:.0f}",
                  flush=True)
        answered = a.count(path, clients, people)
        unanswered = sum(c.unanswered for c in clients)
        print(f"{dict(a.deaths)}, {answered} answers, {unanswered} none, {last} events", flush=True)
        check(answered > 20 * args.rounds, f"only {answered} requests were answered")
        check(sum(n for p, n in a.deaths.items() if p != "by hand") > args.rounds // 2, f"it died by hand only: {a.deaths}")
        check(os.path.getsize(path) > 0 and last >= args.events, f"{last} events")
        a.tampered(path)
        a.damaged(last)
        a.erase(path, people)


if __name__ == "__main__":
    main(test, __doc__, 600, rounds=7, events=0)
