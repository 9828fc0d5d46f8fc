#!/usr/bin/python3
"""A POST under an Idempotency-Key is done once, whatever kills punchcloud and however often the request is repeated.

punchcloud-fault dies by SIGKILL right before or right after the commit of a request, or at any moment by our hand; the
client repeats the request under its key until it is answered. In the end everybody is there once and holds one card.
"""
import threading
import uuid

import requests

from lab import PATIENCE, Lab, main
from proc import check, wait_for

TENANT = "acme"
POINTS = ("api-before-commit", "api-after-commit")


class Client:
    def __init__(self, lab, rng):
        self.lab, self.rng = lab, rng
        self.api = lab.cloud.api(lab.cloud.token(TENANT))
        self.figures = dict.fromkeys(("requests", "deaths", "replayed"), 0)

    def start(self):
        """Mostly with a point to die at in store."""
        self.lab.cloud.env = {}
        if self.rng.random() < 0.8:
            self.lab.cloud.env["PUNCH_FAULT_KILL"] = f"{self.rng.choice(POINTS)}:{self.rng.randrange(1, 4)}"
        self.lab.cloud.start()

    def try_post(self, path, body, key):
        self.figures["requests"] += 1
        r = self.api.session.post(self.api.base + path, json=body, timeout=30,
                                  headers={"Authorization": f"Bearer {self.api.token}", "Idempotency-Key": key})
        self.api.record(r)
        return r

    def killer(self):
        """Somebody who pulls the plug at any moment of the next request, or never."""
        if self.rng.random() < 0.7:
            return None
        timer = threading.Timer(self.rng.random() * 0.05, self.lab.cloud.proc.kill)
        timer.start()
        return timer

    def post(self, path, body, expect):
        """Until it is answered."""
        key = str(uuid.UUID(int=self.rng.getrandbits(128)))
        while True:
            timer = self.killer()
            try:
                r = self.try_post(path, body, key)
            except requests.RequestException:
                r = None
            if timer:
                timer.join()
            if r is None or timer:
                wait_for("punchcloud to be dead", lambda: not self.lab.cloud.proc.alive(), 20 * PATIENCE)
                self.figures["deaths"] += 1
                self.api.session.close()
                self.start()
            if r is not None:
                check(r.status_code == expect, f"POST {path}: {r.status_code} {r.text[:300]}")
                self.figures["replayed"] += "Idempotency-Replayed" in r.headers
                return r.json()


def test(args, rng):
    with Lab("once") as lab:
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        lab.cloud.program_name = "punchcloud-fault"
        lab.broker.start()
        client = Client(lab, rng)
        client.start()
        people, cards = {}, {}
        for i in range(args.people):
            person = client.post("/v1/people", {"name": f"Person {i}"}, 201)
            people[person["id"]] = f"Person {i}"
            card = client.post(f"/v1/people/{person['id']}/credentials",
                               {"tech": "em4100", "bits": 40, "data": f"67{i:08X}"}, 201)
            cards[person["id"]] = card["id"]
            if i % 3 == 0:
                ended = client.post(f"/v1/credentials/{card['id']}/unassign", {}, 200)
                check(ended["until"], f"taken back, but open: {ended}")
        lab.cloud.proc.kill()
        lab.cloud.env = {}
        lab.cloud.start()
        stored = client.api.get("/v1/people", limit=1000)["items"]
        check(sorted((p["id"], p["name"]) for p in stored) == sorted(people.items()),
              f"{args.people} people were made; stored: {[p['name'] for p in stored]}")
        for person, card in cards.items():
            held = [c["id"] for c in client.api.get(f"/v1/people/{person}/credentials")["items"]]
            check(held == [card], f"{people[person]} was given {card} and holds {held}")
        check(client.figures["deaths"] > 0, "punchcloud never died")
        check(client.figures["replayed"] > 0, "no request was ever answered as a repeat")
        print(", ".join(f"{n} {what}" for what, n in client.figures.items()), flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, 240, people=15)
