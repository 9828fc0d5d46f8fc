#!/usr/bin/python3
"""The live stream: who comes back with Last-Event-ID misses nothing and gets nothing twice, however often punchcloud is
killed; and it ends in the middle when the right does.

A gateway that was enrolled by invitation, with curl's line of docs/OPERATIONS.md, delivers a simulated reader's punches.
A program follows the stream meanwhile and comes back as browsers do; in the end what it heard is compared with
GET /v1/changes and GET /v1/punches. Then an employee, an inspector and a program with a token listen, and each
loses the right while punches go on: `event: end` is the last that they hear.
"""
import json
import os
import re
import threading
import time

import requests
import urllib3

import pywire
from human import Human
from lab import PATIENCE, ROOT, Gateway, Lab, main, utc
from proc import check, wait_for
from sims import ModbusTcp

TENANT = "acme"
CARDS = 6
LISTENER = ["changes.read", "people.read", "punches.read"]


class Stream(threading.Thread):
    """An EventSource, by the rules of the HTML standard (9.2): an event counts when its blank line has come."""

    def __init__(self, cloud, headers, after=None):
        super().__init__(daemon=True)
        self.url, self.ca = f"https://127.0.0.1:{cloud.api_port}/v1/stream", f"{cloud.pki}/ca.crt"
        self.headers, self.after, self.last_id = headers, after, None
        self.changes, self.reason, self.refused = [], None, None  # (id, item)
        self.late, self.connections, self.leaving = [], 0, False
        self.start()
        wait_for("the stream to begin", lambda: self.last_id or self.refused, 30 * PATIENCE)
        check(not self.refused, f"the stream is refused: {self.refused}")

    def run(self):
        while not self.leaving and not self.reason and not self.refused:
            try:
                self.connect()
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
                pass  # killed: come back
            time.sleep(0.05)

    def connect(self):
        came_back = {"Last-Event-ID": self.last_id} if self.last_id else {}
        with requests.Session() as s:
            s.trust_env, s.verify = False, self.ca
            r = s.get(self.url, headers={**self.headers, **came_back}, stream=True, timeout=60,
                      params={"after": self.after} if self.after else {})
            if r.status_code != 200:
                self.refused = f"{r.status_code} {r.text[:300]}" if r.status_code < 500 else None
                return
            self.connections += 1
            fields = {}
            for line in r.iter_lines():
                if self.leaving:
                    return
                if line:
                    name, _, value = line.decode().partition(":")
                    fields[name] = value.removeprefix(" ")
                else:
                    self.dispatch(fields)
                    fields = {}

    def dispatch(self, fields):
        if self.reason and fields:
            self.late.append(fields)
        self.last_id = fields.get("id", self.last_id)
        if fields.get("event") == "change":
            self.changes.append((fields["id"], json.loads(fields["data"])))
        elif fields.get("event") == "end":
            self.reason = json.loads(fields["data"])["reason"]

    def leave(self):
        self.leaving = True


def seq_of(position):
    return int(position.rsplit(".", 1)[1])


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def logged_in(human):
    return {"Cookie": "; ".join(f"{c.name}={c.value}" for c in human.session.cookies)}


class Scene:
    def __init__(self, lab, args, rng):
        self.lab, self.rng, self.cloud = lab, rng, lab.cloud
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        lab.broker.start()
        lab.cloud.start()
        self.owner = Human(lab.cloud, TENANT, "ines").invited("owner").enrol().step_up()
        self.site = self.owner.post("/v1/sites", {"name": "Head office"})["id"]
        self.token, _ = self.make_token("consumer")
        self.api = lab.cloud.api(self.token)
        self.gw = Gateway(lab)
        self.sim = self.gw.reader(ModbusTcp(lab, "door", seed=args.seed, rate=args.rate, cards=CARDS), hold="0s")
        self.enrol_by_invitation()
        self.sim.start()
        self.gw.start()
        self.gw.wait_readers()

    def make_token(self, label):
        made = self.owner.post("/v1/tokens", {"label": label, "expires": utc((time.time() + 3600) * 1e6).isoformat(),
                                              "permissions": LISTENER + ["people.change", "credentials.read",
                                                                         "credentials.change"]})
        return made["token"], made["id"]

    def enrol_by_invitation(self):
        """As docs/OPERATIONS.md says it, word for word but for what stands for something."""
        gw = self.gw.keygen()
        code = self.owner.post("/v1/gateway-invitations", {"site_id": self.site})["code"]
        with open(os.path.join(ROOT, "docs", "OPERATIONS.md")) as f:
            line = re.search(r"^curl [^`]*/v1/gateways/enrol$", f.read(), re.M).group(0)
        for word, meant in (("ca.crt", f"{self.cloud.pki}/ca.crt"), ("7K3MQ-...", code),
                            ("request.txt", gw.request), ("bundle.txt", f"{gw.dir}/bundle.txt"),
                            ("https://cloud.example:8443", f"https://localhost:{self.cloud.api_port}")):
            check(line.count(word) == 1, f"docs/OPERATIONS.md: {word} in {line}")
            line = line.replace(word, meant)
        self.lab.run(["bash", "-c", line])
        gw.ctl("enrol", f"{gw.dir}/bundle.txt")
        with open(gw.request) as f:
            gw.id = pywire.parse_request(f.read())[0].hex()
        check(self.owner.get(f"/v1/gateways/{gw.id}")["site_id"] == self.site, "enrolled elsewhere")

    # ---- nothing is missed, nothing comes twice ----
    def hand_out(self, n):
        """Each of n people gets one of the cards that wait."""
        people = []
        for item in wait_for("cards that wait", lambda: len(w := self.waiting()) >= n and w, 60 * PATIENCE)[:n]:
            person = self.api.post("/v1/people", {"name": f"Person {len(people)}"})["id"]
            self.api.post(f"/v1/people/{person}/credentials", {"waiting": item["id"]})
            people.append(person)
        return people

    def waiting(self):
        return self.api.get("/v1/credentials/waiting")["items"]

    def kill_and_start(self):
        self.cloud.proc.kill()
        time.sleep(self.rng.uniform(0.0, 0.5))
        self.cloud.start()

    def settle(self):
        self.sim.pause()
        wait_for("every latched card to be taken",
                 lambda: len(self.sim.presented()) == len(self.sim.cleared()), 30 * PATIENCE, every=0.2)
        self.gw.wait_drained()
        wait_for("no punch to be pending", lambda: not self.api.punches(state="pending"), 60 * PATIENCE, every=0.5)

    def feed(self):
        """All of it, and the position behind."""
        items, after = [], "0"
        while True:
            page = self.api.get("/v1/changes", after=after, limit=1000)
            items, after = items + page["items"], page["next"]
            if not page["more"]:
                return items, after

    def verdict(self, stream):
        feed, end = self.feed()
        wait_for("the stream to have told everything", lambda: seq_of(stream.last_id) >= seq_of(end), 30 * PATIENCE)
        heard = [item["seq"] for _, item in stream.changes]
        check(all(seq_of(i) == item["seq"] for i, item in stream.changes), "an id is not the item's position")
        twice = sorted({s for s in heard if heard.count(s) > 1})
        check(not twice and heard == sorted(heard), f"heard twice or out of order: {twice[:20]}")
        # What an entry names may have changed once more since, and is then only there at the later entry.
        missed = sorted({item["seq"] for item in feed} - set(heard))
        check(not missed, f"{len(missed)} changes were never heard: {missed[:20]}")
        last = {item["punch"]["id"]: item["punch"] for _, item in stream.changes if item["type"] == "punch"}
        told = {p["id"]: p for p in self.api.punches()}
        check(last == told, f"{len(last)} punches heard, {len(told)} in the API; first that differ: "
              f"{[(i, last.get(i), told.get(i)) for i in {**last, **told} if last.get(i) != told.get(i)][:2]}")
        check(len(told) == len(self.sim.presented()), f"{len(told)} punches of {len(self.sim.presented())}")
        return {"changes": len(heard), "punches": len(told), "connections": stream.connections}

    # ---- it ends when the right does ----
    def role(self, kind):
        """A shipped role that may listen, which the company adds."""
        role = next(r for r in self.owner.get("/v1/roles")["items"] if r["kind"] == kind)
        r = self.owner.call("PATCH", f"/v1/roles/{role['id']}", {"permissions": sorted({*role["permissions"], *LISTENER})})
        check(r.status_code == 200, f"PATCH of the role: {r.status_code} {r.text[:300]}")
        return role["id"]

    def invited(self, login, person=None):
        body = {"login": login, **({"person": person} if person else {"name": login.title()})}
        human = Human(self.cloud, TENANT, login)
        human.accept(self.owner.post("/v1/accounts", body)["link"].rpartition("=")[2])
        return human if human.secret else human.enrol()

    def grant(self, human, role, reach, reach_id, until):
        self.owner.post("/v1/grants", {"account": human.account, "role": role, "reach": reach, "reach_id": reach_id,
                                       "until": utc(until * 1e6).isoformat(), "reason": "a short visit"})

    def ends(self, seconds):
        self.sim.resume()
        person = next(p["person"]["id"] for p in self.api.punches(state="assigned"))
        self.owner.step_up()
        employee, inspector = self.role("employee"), self.role("inspector")
        emil, inge = self.invited("emil", person), self.invited("inge")
        token, token_id = self.make_token("to be revoked")
        over = time.time() + seconds
        self.grant(emil, employee, "person", person, over)
        self.grant(inge, inspector, "site", self.site, over)
        streams = {"employee": Stream(self.cloud, logged_in(emil)), "inspector": Stream(self.cloud, logged_in(inge)),
                   "token": Stream(self.cloud, bearer(token))}
        for who, s in streams.items():
            wait_for(f"the {who} to hear of punches", lambda s=s: s.changes or s.reason, 30 * PATIENCE)
        time.sleep(max(0.0, over - time.time()))
        self.owner.post(f"/v1/tokens/{token_id}/revocation", None, 200)
        self.last_heard(streams)
        check(all(item["punch"]["person"]["id"] == person for _, item in streams["employee"].changes
                  if item["type"] == "punch"), "the employee heard of others")

    def last_heard(self, streams):
        _, position = self.feed()
        for who, s in streams.items():
            wait_for(f"the stream of the {who} to end", lambda s=s: s.reason, 60 * PATIENCE)
        wait_for("punches to go on", lambda: seq_of(self.feed()[1]) > seq_of(position) + 5, 60 * PATIENCE, every=0.2)
        for who, s in streams.items():
            s.join(30 * PATIENCE)
            check(not s.is_alive() and not s.late, f"the stream of the {who} goes on behind its end: {s.late[:3]}")
            check(s.reason == ("token-unknown" if who == "token" else "forbidden"), f"{who}: the reason is {s.reason}")
            check(s.changes, f"the {who} has heard nothing before the end: this run means little")
            behind = [i for i, _ in s.changes if seq_of(i) > seq_of(position)]
            check(not behind, f"the {who} heard of {behind[:5]} when the right was over at {position}")
            check(s.connections == 1, f"the {who} came back {s.connections - 1} times")


def test(args, rng):
    with Lab("stream", keep=args.keep) as lab:
        s = Scene(lab, args, rng)
        stream = Stream(lab.cloud, bearer(s.token), after="0")
        s.hand_out(3)
        for i in range(args.rounds):
            time.sleep(rng.uniform(0.2, args.seconds))
            s.api.post("/v1/people", {"name": f"Round {i}"})
            s.kill_and_start()
        s.settle()
        figures = s.verdict(stream)
        stream.leave()
        check(figures["connections"] > args.rounds and figures["punches"] >= 10, f"too little happened: {figures}")
        s.ends(args.visit)
        print(f"{args.rounds} times killed, {figures}", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    # The soak: --rounds 30 --seconds 3
    main(test, __doc__, limit=280, rounds=3, seconds=1.0, rate=10.0, visit=3.0)
