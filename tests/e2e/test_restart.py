#!/usr/bin/python3
"""Random requests to a punchcloud that is killed and started again, against a model of what was asked for.

punchcloud-fault dies by SIGKILL before or after commits, behind what it sent or wrote into the audit trail, or at any
moment by our hand; each request is repeated under its Idempotency-Key until it is answered. In the end everything that
was asked for is there once; each mail and each event arrived, under one id however often; what counts once counted
once; delays after failed logins went on; and the audit trail is whole and knows of every request.
"""
import collections
import http.server
import json
import ssl
import threading
import time
import uuid

import requests

import pki
from human import PASSWORD, Human, role_id, totp
from lab import PATIENCE, Lab, main
from postbox import Mailbox
from proc import check, free_port, wait_for

TENANT = "acme"
POINTS = ("api-before-commit", "api-after-commit", "api-after-commit", "mail-sent", "webhook-sent", "audit-written",
          "audit-synced", "audit-move", "audit-moved")


class Mortal:
    """punchcloud, and how it is asked until it answers."""

    def __init__(self, lab, rng):
        self.lab, self.rng, self.deaths = lab, rng, 0
        self.chaos = True

    def start(self, point=None):
        """It may die on the way up as well."""
        cloud = self.lab.cloud
        while True:
            cloud.env = {"PUNCH_FAULT_KILL": point} if point else {}
            cloud.start(wait=False)
            api = cloud.api(None)
            wait_for("punchcloud to be ready or dead", lambda: not cloud.proc.alive() or api.ready(), 60 * PATIENCE)
            if cloud.proc.alive():
                return
            check(point, "punchcloud ended by itself:\n" + cloud.proc.log_text()[-3000:].decode(errors="replace"))
            self.deaths, point = self.deaths + 1, None

    def restart(self, point=None):
        self.lab.cloud.proc.kill()
        self.deaths += 1
        self.start(point)

    def killer(self):
        if not self.chaos or self.rng.random() < 0.8:
            return None
        timer = threading.Timer(self.rng.random() * 0.05, self.lab.cloud.proc.kill)
        timer.start()
        return timer

    def ask(self, human, method, path, body=None, key=None, **query):
        while True:
            timer = self.killer()
            try:
                r = human.call(method, path, body, key=key, **query)
                if len(r.content) < int(r.headers.get("Content-Length", 0)):  # which requests takes for all
                    r = None
            except requests.RequestException:
                r = None
            if timer:
                timer.join()
            if r is None or timer:
                wait_for("punchcloud to be dead", lambda: not self.lab.cloud.proc.alive(), 20 * PATIENCE)
                self.deaths += 1
                human.session.close()
                armed = self.chaos and self.rng.random() < 0.7
                self.start(f"{self.rng.choice(POINTS)}:{self.rng.randrange(1, 5)}" if armed else None)
            if r is not None:
                return r

    def dies(self, human, method, path, body):
        """A request that has to meet its end."""
        try:
            r = human.call(method, path, body)
        except requests.RequestException:
            human.session.close()
            wait_for("punchcloud to be dead", lambda: not self.lab.cloud.proc.alive(), 20 * PATIENCE)
            self.deaths += 1
            return
        check(False, f"{method} {path} survived: {r.status_code} {r.text[:300]}")


class Receiver:
    """Takes what webhooks post."""

    def __init__(self, lab):
        self.got, self.port = [], free_port()
        crt, key = lab.path("hooks.crt"), lab.path("hooks.key")
        pki.issue(lab.cloud.pki, "hooks", crt, key, ["localhost"])
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((self.path, self.headers["Punch-Delivery"], json.loads(body), body))
                self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that was killed

        self.server = Server(("127.0.0.1", self.port), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(crt, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, name):
        return f"https://localhost:{self.port}/{name}"


class Model:
    """What was asked for, and what has to be there because of it."""

    def __init__(self, mortal, owner, support, box, receiver):
        self.mortal, self.rng, self.owner, self.support = mortal, mortal.rng, owner, support
        self.box, self.receiver = box, receiver
        self.done = collections.defaultdict(list)  # route: ids, of what was made or of what it was about
        self.made = collections.defaultdict(dict)  # list: id: what tells it from the others
        self.mails = collections.Counter()  # by address
        self.events = collections.defaultdict(list)  # of each webhook's path: type and id
        self.told = {}  # webhook's path: id
        self.cards, self.kept, self.access = {}, [], None
        self.reads = self.replayed = self.n = 0

    def post(self, who, route, body, expect=201, **ids):
        key = str(uuid.UUID(int=self.rng.getrandbits(128)))
        r = self.mortal.ask(who, "POST", route.format(**ids), body, key)
        check(r.status_code == expect, f"POST {route} {ids}: {r.status_code} {r.text[:300]}")
        self.replayed += "Idempotency-Replayed" in r.headers
        answer = r.json() if r.text else {}
        check(expect not in (201, 202) or "id" in answer, f"POST {route}: {r.status_code}, {r.headers}, no id: {r.text}")
        self.done[route].append(answer["id"] if expect in (201, 202) else next(iter(ids.values()), None))
        return answer

    def create(self, path, body, tell):
        answer = self.post(self.owner, path, body)
        self.made[path][answer["id"]] = body[tell]
        if path == "/v1/accounts":
            self.made["/v1/people"][answer["person"]] = body["name"]
        return answer["id"]

    def one_of(self, path):
        return self.rng.choice(list(self.made[path]))

    def step(self):
        self.n += 1
        self.rng.choice(STEPS)(self, self.n)

    # ---- what may be asked for ----
    def person(self, n):
        self.create("/v1/people", {"name": f"Person {n}"}, "name")

    def card(self, n):
        person = self.one_of("/v1/people")
        card = self.post(self.owner, "/v1/people/{id}/credentials",
                         {"tech": "em4100", "bits": 40, "data": f"67{n:08X}"}, id=person)["id"]
        self.cards[card] = person
        if self.rng.random() < 0.3:
            self.post(self.owner, "/v1/credentials/{id}/unassign", {}, 200, id=card)

    def site(self, n):
        self.create("/v1/sites", {"name": f"Site {n}"}, "name")

    def unit(self, n):
        self.create("/v1/units", {"name": f"Unit {n}", "site": self.one_of("/v1/sites")}, "name")

    def gateway(self, _n):
        self.create("/v1/gateway-invitations", {"site_id": self.one_of("/v1/sites")}, "site_id")

    def account(self, n):
        mail = f"a{n}@example.com"
        account = self.create("/v1/accounts", {"login": f"a{n}", "name": f"A {n}", "mail": mail}, "login")
        self.mails[mail] += 1
        if self.rng.random() < 0.4:
            self.post(self.owner, "/v1/accounts/{id}/invitation", None, 200, id=account)
            self.mails[mail] += 1

    def grant(self, n):
        body = {"account": self.one_of("/v1/accounts"), "role": self.role, "reach": "site",
                "reach_id": self.one_of("/v1/sites"), "reason": f"Reason {n}"}
        grant = self.create("/v1/grants", body, "reason")
        if self.rng.random() < 0.3:
            self.post(self.owner, "/v1/grants/{id}/revocation", None, 200, id=grant)

    def token(self, n):
        until = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 30 * 86400))
        if len(self.made["/v1/tokens"]) < 40:
            body = {"label": f"Token {n}", "permissions": ["people.read"], "expires": until}
            self.create("/v1/tokens", body, "label")

    def webhook(self, n):
        if len(self.told) < 6:
            url = self.receiver.url(f"h{n}")
            self.told[f"/h{n}"] = self.create("/v1/webhooks", {"url": url, "types": ["support.*"]}, "url")

    def ping(self, _n):
        path = self.rng.choice(list(self.told))
        delivery = self.post(self.owner, "/v1/webhooks/{id}/ping", None, 202, id=self.told[path])["id"]
        self.events[path].append(("ping", delivery))

    def correction(self, n):
        self.create("/v1/corrections", {"person": self.one_of("/v1/people"), "kind": "add", "reason": f"Forgot {n}",
                                        "time": f"2026-11-{n % 20 + 1:02d}T07:00:00Z"}, "reason")

    def of_access(self, kind):
        for path in self.told:
            self.events[path].append((kind, self.access[0]))
        self.access = (self.access[0], kind)

    def support_access(self, n):
        """It is asked for, decided and ended, one after the other."""
        if self.access is None:
            body = {"tenant": TENANT, "ticket": f"Ticket {n}", "reason": "It does not work", "hours": 2,
                    "permissions": ["gateways.read"]}
            self.access = (self.post(self.support, "/v1/support-requests", body)["id"], None)
            self.made["/v1/support-requests"][self.access[0]] = body["ticket"]
            self.mails["owner@example.com"] += 1
            self.of_access("support.requested")
        elif self.access[1] == "support.requested" and self.rng.random() < 0.3:
            self.post(self.support, "/v1/support-requests/{id}/withdraw", None, 200, id=self.access[0])
            self.of_access("support.withdrawn")
            self.access = None
        elif self.access[1] == "support.requested":
            approve = self.rng.random() < 0.6
            self.post(self.owner, "/v1/support-requests/{id}/decision", {"approve": approve}, 200, id=self.access[0])
            self.mails["support@example.com"] += 1
            self.of_access("support.approved" if approve else "support.denied")
            self.access = self.access if approve else None
        else:
            self.post(self.owner, "/v1/support-requests/{id}/end", None, 200, id=self.access[0])
            self.of_access("support.ended")
            self.access = None

    def read(self, _n):
        person = self.one_of("/v1/people")
        r = self.mortal.ask(self.owner, "GET", f"/v1/people/{person}")
        check(r.status_code == 200 and r.json()["name"] == self.made["/v1/people"][person], f"{r.text[:300]}")
        self.reads += 1

    # ---- what has to be there ----
    def everything(self, path):
        cursor, items = None, []
        while True:
            page = self.owner.get(path, cursor=cursor)
            items += page["items"]
            cursor = page.get("next")
            if not cursor:
                return items

    def stored_once(self):
        tell = {"/v1/people": "name", "/v1/sites": "name", "/v1/units": "name", "/v1/accounts": "login",
                "/v1/grants": "reason", "/v1/tokens": "label", "/v1/webhooks": "url", "/v1/corrections": "reason",
                "/v1/support-requests": "ticket"}
        for path, member in tell.items():
            stored = collections.Counter(i[member] for i in self.everything(path) if i["id"] not in self.kept)
            wanted = collections.Counter(self.made[path].values())
            check(stored == wanted, f"{path}: too much {stored - wanted}, missing {wanted - stored}")
        for person in self.made["/v1/people"]:
            held = sorted(c["id"] for c in self.owner.get(f"/v1/people/{person}/credentials")["items"])
            check(held == sorted(c for c, p in self.cards.items() if p == person), f"cards of {person}: {held}")

    def mailed(self):
        def all_there():
            return all(len(self.box.ids(to)) >= n for to, n in self.mails.items())
        wait_for("every mail to arrive", all_there, 90 * PATIENCE, 0.2)
        for to, n in self.mails.items():
            check(len(self.box.ids(to)) == n, f"{to}: {n} mails were due, {len(self.box.ids(to))} Message-IDs came")
        came = collections.defaultdict(set)
        for m in self.box.messages():
            check(m["tls"], f"a mail came in the clear: {m}")
            came[m["headers"]["Message-ID"]].add(m["text"])
        check(all(len(texts) == 1 for texts in came.values()), "two texts under one Message-ID")
        return len(self.box.messages()), len(came)

    def posted(self):
        def came(path):
            got = {i: (b["type"], i if b["type"] == "ping" else b["data"]["id"])
                   for p, i, b, _ in self.receiver.got if p == path}
            return collections.Counter(got.values())
        for path, due in self.events.items():
            wait_for(f"the events of {path}", lambda p=path, d=due: not collections.Counter(d) - came(p),
                     90 * PATIENCE, 0.2)
            check(came(path) == collections.Counter(due), f"{path}: {came(path)} instead of {due}")
        bodies = collections.defaultdict(set)
        for path, delivery, event, body in self.receiver.got:
            check(delivery == event["id"], f"{path}: header {delivery}, body {event['id']}")
            bodies[delivery].add(body)
        check(all(len(b) == 1 for b in bodies.values()), "two bodies under one id")
        return len(self.receiver.got), len(bodies)

    def audited(self):
        events = self.everything("/v1/audit")
        check([e["seq"] for e in events] == list(range(1, len(events) + 1)), "the trail has holes")
        by_route = collections.defaultdict(list)
        for e in events:
            if e["outcome"] == "done":
                by_route[e.get("route")].append(e.get("resource"))
        for route, ids in self.done.items():
            found = by_route["POST " + route]
            if "/people" in route:
                found, ids = len(found), len(ids)
            else:
                found, ids = collections.Counter(found), collections.Counter(ids)
            check(found == ids, f"POST {route}: the trail has {found}, done was {ids}")
        check(len(by_route["GET /v1/people/{id}"]) >= self.reads, f"{self.reads} people were read; the trail has "
              f"{len(by_route['GET /v1/people/{id}'])}")
        return len(events)


STEPS = (Model.person, Model.person, Model.card, Model.site, Model.unit, Model.gateway, Model.account, Model.account,
         Model.grant, Model.token, Model.webhook, Model.ping, Model.ping, Model.correction, Model.support_access,
         Model.support_access, Model.read)


# ---- what counts once ----
def invited(model, name):
    """An account with an invitation that nobody has used yet."""
    body = {"login": name, "name": name.title(), "mail": f"{name}@example.com"}
    model.kept.append(model.owner.post("/v1/accounts", body)["id"])
    return Human(model.owner.cloud, TENANT, name), model.box.link(body["mail"], "invitation")


def begin(human):
    human.session.cookies.clear()
    human.csrf = None
    return human.call("POST", "/v1/sessions", {"tenant": TENANT, "login": human.login, "password": human.password})


def twice(mortal, human, point, path, body, good, refused, before=None):
    """Killed before its commit, a secret is still good, once; killed behind it, it is used up."""
    if before:
        before()
    mortal.restart(f"login-{point}-commit:{2 if before else 1}")
    if before:
        before()
    mortal.dies(human, "POST", path, body)
    mortal.start()
    if point == "before":
        if before:
            before()
        r = human.call("POST", path, body)
        check(r.status_code == good, f"{path}, killed before its commit: {r.status_code} {r.text[:300]}")
        mortal.restart()
    if before:
        before()
    r = human.call("POST", path, body)
    check(r.status_code == refused, f"{path}, killed {point} its commit, again: {r.status_code} {r.text[:300]}")


def links(mortal, model, point):
    human, link = invited(model, f"link-{point}")
    mail = f"{human.login}@example.com"
    twice(mortal, human, point, "/v1/invitations/accept", {"link": link, "password": PASSWORD}, 200, 410)
    human.log_in()
    human.post("/v1/password-resets", {"tenant": TENANT, "login": human.login}, 202)
    human.password = PASSWORD + "!"
    link = model.box.link(mail, "password-reset")
    twice(mortal, human, point, "/v1/password-resets/accept", {"link": link, "password": human.password}, 200, 410)
    human.log_in()


def codes(mortal, model, point):
    human, link = invited(model, f"code-{point}")
    human.accept(link).enrol()
    path = "/v1/sessions/second-factor"

    def first():
        check(begin(human).status_code == 200, "the password is not asked for a second factor")
    while human.step > int(time.time()) // 30 or time.time() % 30 > 25:
        time.sleep(0.2)
    human.step = int(time.time()) // 30 + 1  # good for a minute, so what refuses it is not its age
    twice(mortal, human, point, path, {"code": totp(human.secret, human.step)}, 201, 401, first)
    twice(mortal, human, point, path, {"code": human.recovery[0]}, 201, 401, first)


def over(mortal, model):
    """A session that was ended stays ended, one that was not goes on, and with it what was confirmed."""
    human = Human(model.owner.cloud, TENANT, "link-after", PASSWORD + "!").log_in()
    kept = Human(model.owner.cloud, TENANT, "link-after", PASSWORD + "!").log_in()
    r = human.call("DELETE", "/v1/session")
    check(r.status_code == 204, f"end of a session: {r.status_code}")
    human.session.cookies.set("__Host-punch", r.request.headers["Cookie"].split("__Host-punch=")[1].split(";")[0],
                              secure=True)
    was = kept.get("/v1/session")["session"]
    mortal.restart()
    check(human.call("GET", "/v1/session").status_code == 401, "a session that was ended is good again")
    now = kept.get("/v1/session")["session"]
    check((now["id"], now["created"]) == (was["id"], was["created"]), f"another session: {was}, {now}")
    r = kept.call("POST", "/v1/me/second-factor")  # wants a password of the last five minutes
    check(r.status_code == 200, f"step-up is lost: {r.status_code} {r.text[:300]}")


def delays(mortal, model):
    """What a failed login costs is counted once, before and behind a kill, and the wait goes on."""
    human = Human(model.owner.cloud, TENANT, "link-after", "wrong", address="127.0.0.9")
    ask = ("POST", "/v1/sessions", {"tenant": TENANT, "login": human.login, "password": "wrong"})

    def fail():
        while True:
            r = human.call(*ask)
            if r.status_code != 429:
                break
            time.sleep(int(r.headers["Retry-After"]))
        check(r.status_code == 401, f"a wrong password: {r.status_code} {r.text[:300]}")
    for _ in range(4):
        fail()
    mortal.restart("login-before-commit:1")
    mortal.dies(human, *ask)  # does not count
    mortal.start("login-after-commit:1")
    mortal.dies(human, *ask)  # the fifth
    mortal.start()
    fail()
    fail()
    fail()  # the eighth: 8 s
    at = time.monotonic()
    r = human.call(*ask)
    wait = int(r.headers.get("Retry-After", 0))
    check(r.status_code == 429 and 6 <= wait <= 8, f"behind eight failures: {r.status_code}, wait {wait} s")
    mortal.restart()
    asked = time.monotonic() - at
    r = human.call(*ask)
    answered = time.monotonic() - at
    if answered < wait - 1 or r.status_code == 429:
        left = int(r.headers.get("Retry-After", 0))
        check(r.status_code == 429 and wait - answered - 1 <= left <= wait - asked + 1,
              f"{wait} s were left, {asked:.1f} to {answered:.1f} s later: {r.status_code}, {left} s")
    else:
        check(r.status_code == 401, f"{r.status_code}")
    human.password = PASSWORD + "!"
    while (r := begin(human)).status_code == 429:
        time.sleep(int(r.headers["Retry-After"]))
    check(r.status_code == 201, f"the right password, later: {r.status_code} {r.text[:300]}")


def proven(lab, model):
    """The trail as anybody proves it who has the public key."""
    model.owner.post("/v1/audit/checkpoints", None, 201)
    path, key = lab.path("trail.jsonl"), lab.path("audit.pem")
    with open(path, "wb") as f:
        r = model.owner.call("GET", "/v1/audit/export")
        check(r.status_code == 200, f"export: {r.status_code} {r.text[:300]}")
        f.write(r.content)
    with open(key, "w") as f:
        f.write(lab.cloud.ctl("audit", "key").stdout)
    lab.run([lab.program("punchcloud"), "audit", "verify", path, "--key", key])


def configure(lab, box):
    settings = {**lab.cloud.settings(f"{lab.host}:{lab.broker.port}"),
                "webhooks": {"ca_file": f"{lab.cloud.pki}/ca.crt", "allow": ["127.0.0.0/8", "::1/128"]},
                "mail": {"server": f"localhost:{box.port}", "from": "punchline@example.com",
                         "ca_file": f"{lab.cloud.pki}/ca.crt"},
                "passwords": {"memory": "19MiB", "passes": 2}}
    lab.cloud.settings = lambda _address: settings


def people(lab, mortal, box, receiver):
    owner = Human(lab.cloud, TENANT, "owner").invited("owner", "--mail", "owner@example.com").enrol()
    support = Human(lab.cloud, "_vendor", "support").invited("support", "--mail", "support@example.com").enrol()
    support.post("/v1/me/confidentiality", {"version": support.get("/v1/me/confidentiality")["version"]}, 200)
    model = Model(mortal, owner, support, box, receiver)
    model.kept += [owner.account, owner.person]
    model.kept += [g["id"] for g in owner.get("/v1/grants")["items"]]
    model.role = role_id(owner, "Technician")
    for make in (Model.person, Model.site, Model.account, Model.webhook):
        model.n += 1
        make(model, model.n)
    return model


def test(args, rng):
    with Lab("restart", keep=args.keep) as lab:
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        box, receiver = Mailbox(lab), Receiver(lab)
        configure(lab, box)
        lab.cloud.program_name = "punchcloud-fault"
        lab.broker.start()
        mortal = Mortal(lab, rng)
        mortal.chaos = False
        mortal.start()
        model = people(lab, mortal, box, receiver)
        for number in range(args.requests):
            mortal.chaos = True
            if number % 50 == 49:  # before the five minutes are over
                mortal.chaos = False
                mortal.restart()
                model.owner.step_up()
            model.step()
        mortal.chaos = False
        mortal.restart()
        model.stored_once()
        mails, messages = model.mailed()
        posts, deliveries = model.posted()
        events = model.audited()
        for point in ("before", "after"):
            links(mortal, model, point)
            codes(mortal, model, point)
        over(mortal, model)
        delays(mortal, model)
        mortal.restart()
        model.owner.step_up()
        proven(lab, model)
        check(model.replayed > 0, "no request was ever answered as a repeat")
        done = sum(len(ids) for ids in model.done.values())
        print(f"{done} requests, {mortal.deaths} deaths, {model.replayed} repeats; {messages} mails came {mails} times, "
              f"{deliveries} deliveries {posts} times; {events} events of the trail", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, 280, requests=120)
