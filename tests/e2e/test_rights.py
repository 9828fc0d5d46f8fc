#!/usr/bin/python3
"""Who may do what: every route of the OpenAPI document, by every shipped role, in its own company and in another's, without
a token, with one that is expired, revoked or made for something else, and within a site, a unit or a person.

What each cell has to be follows from the document (x-permission, x-reach, x-step-up), from what the roles hold
(GET /v1/roles) and from where the things of this small world are; the answers are those of a real punchcloud to a real
client. A route without a sample below fails, as does a sample without a route.
"""
import collections
import itertools
import json
import re
import subprocess
import time

import requests

from lab import Gateway, Lab, main
from proc import check

TENANTS = ("acme", "globex")
ROLES = ("owner", "dpo", "hr", "team-lead", "auditor", "inspector", "technician", "employee")
SIDES = ("A", "B")
# What a reach holds by itself: {id} of such a thing, on side A of the world, is inside.
COVERS = {"tenant": {"person", "credential", "site", "unit", "gateway", "company"},
          "site": {"person", "credential", "site", "unit", "gateway"}, "unit": {"person", "credential", "unit"},
          "person": {"person", "credential"}}
NOBODY = "0" * 32
SHORT = 2  # s that a token lives which is to be expired
count = itertools.count(1)


class S:
    """A valid request. ok: its statuses when it is allowed. thing: what {id} names (None: nothing that there is, so that
    `ok` is 404). about: without {id}, what the body names. body: a function of (world, tenant, side)."""

    def __init__(self, ok, thing=None, body=None, about=None, query="", headers=None, size=16, outside=(404,), last=False, elsewhere=None):
        self.ok = (ok,) if isinstance(ok, int) else ok
        self.thing, self.body, self.about, self.query, self.size = thing, body, about, query, size
        self.headers, self.outside = headers or {}, outside
        self.elsewhere = elsewhere or outside  # in one's own company, beyond one's reach
        self.last = last  # who sends it is no longer logged in


def no_body(*_):
    return {}


def wrong(*_):
    return {"no-such-member": 1}


STALE = {"If-Match": '"stale"'}  # allowed, and changes nothing: 412
LIST = S(200)
GONE = S(404)
# One line a route. Whoever adds a route adds its line here: what a valid request to it is, which changes as little as
# can be, and what it is answered with when it is allowed. `wrong` is a body that is refused with 400 after the right
# was looked at.
SAMPLES = {
    "GET /healthz": S(200),
    "GET /readyz": S((200, 503)),
    "GET /v1/openapi.json": S(200),
    "GET /v1/permissions": S(200),
    "GET /v1/status": S(200),
    "GET /v1/tenants": LIST,
    "POST /v1/tenants": S(400, body=wrong),
    "GET /v1/tenants/{id}": S(200, thing="company"),
    "PATCH /v1/tenants/{id}": S(400, thing="company", body=wrong),

    "GET /v1/people": LIST,
    "POST /v1/people": S(201, about="unit",
                         body=lambda w, t, side: {"name": f"N {next(count)}", "unit": w[t]["unit"][side]}),
    "GET /v1/people/{id}": S(200, "person"),
    "PATCH /v1/people/{id}": S(412, "person", no_body, headers=STALE),
    "GET /v1/people/{id}/export": S(200, "person"),
    "GET /v1/people/{id}/credentials": S(200, "person"),
    "POST /v1/people/{id}/credentials": S(201, "person", lambda *_: {"tech": "em4100", "bits": 40,
                                                                     "data": f"{next(count):010x}"}),
    "POST /v1/people/{id}/erasure": S(200, "person", lambda *_: {"dry_run": True}),
    "GET /v1/erasures": LIST,
    "GET /v1/erasures/{id}": GONE,
    "GET /v1/credentials/waiting": LIST,
    "GET /v1/credentials/{id}": S(200, "credential"),
    "POST /v1/credentials/{id}/unassign": S((200, 409), "credential", lambda *_: {"until": "2099-01-01T00:00:00Z"}),

    "GET /v1/gateways": LIST,
    "GET /v1/gateways/{id}": S(200, "gateway", size=8),
    "PATCH /v1/gateways/{id}": S(412, "gateway", lambda w, t, side: {"site": f"{t} {side}"}, headers=STALE, size=8),
    "POST /v1/gateways/{id}/revocation": S((200, 400), "gateway", size=8),
    "GET /v1/gateways/{id}/generations": S(200, "gateway", size=8),
    "GET /v1/gateways/{id}/events": S(200, "gateway", size=8),
    "POST /v1/gateways/enrol": S((401, 415), body=wrong),  # by an invitation, which is no token of the API
    "GET /v1/gateway-invitations": LIST,
    "POST /v1/gateway-invitations": S(400, body=wrong),
    "GET /v1/gateway-invitations/{id}": GONE,
    "DELETE /v1/gateway-invitations/{id}": GONE,
    "GET /v1/readers": LIST,
    "GET /v1/readers/{id}": GONE,
    "PATCH /v1/readers/{id}": S(404, body=no_body),
    "GET /v1/sites": LIST,
    "POST /v1/sites": S(201, body=lambda *_: {"name": f"S {next(count)}"}),
    "GET /v1/sites/{id}": S(200, "site"),
    "PATCH /v1/sites/{id}": S(412, "site", no_body, headers=STALE),
    "DELETE /v1/sites/{id}": S(412, "site", headers=STALE),
    "GET /v1/units": LIST,
    "POST /v1/units": S(201, about="site",
                        body=lambda w, t, side: {"name": f"U {next(count)}", "site": w[t]["site"][side]}),
    "GET /v1/units/{id}": S(200, "unit"),
    "PATCH /v1/units/{id}": S(412, "unit", no_body, headers=STALE),

    "GET /v1/roles": LIST,
    "POST /v1/roles": S(400, body=wrong),
    "GET /v1/roles/{id}": S(200, "role"),
    "PATCH /v1/roles/{id}": S(412, "role", no_body, headers=STALE),
    "GET /v1/grants": LIST,
    "POST /v1/grants": S(400, body=wrong),
    "GET /v1/grants/{id}": S(200, "grant"),
    "POST /v1/grants/{id}/revocation": S(200, "grant"),  # of one that is revoked already
    "GET /v1/settings": S(200),
    "PATCH /v1/settings": S(412, body=no_body, headers=STALE),
    "GET /v1/tokens": LIST,
    "POST /v1/tokens": S(400, body=wrong),
    "GET /v1/tokens/{id}": S(404, size=8),
    "POST /v1/tokens/{id}/revocation": S(404, size=8),
    "GET /v1/approvals": LIST,
    "GET /v1/approvals/{id}": GONE,
    "GET /v1/approvals/{id}/body": GONE,
    "POST /v1/approvals/{id}/answer": S(404),
    "POST /v1/approvals/{id}/decision": S(404, body=lambda *_: {"approve": True}),

    "GET /v1/punches": S(200, query="?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"),
    "GET /v1/changes": LIST,
    "GET /v1/stream": S(200),
    "GET /v1/sites/{id}/presence": S(200, "site", elsewhere=(200,)),  # of another site: who of one's own people is there
    "GET /v1/corrections": LIST,
    "POST /v1/corrections": S(201, about="person",
                              body=lambda w, t, side: {"person": w[t]["person"][side], "kind": "add", "reason": "forgot",
                                                       "time": "2026-01-01T08:00:00Z"}),
    "GET /v1/corrections/{id}": GONE,
    "POST /v1/corrections/{id}/decision": S((400, 404), body=wrong),
    "GET /v1/requests": LIST,
    "POST /v1/requests/{id}/decision": S((400, 404), body=wrong),
    "GET /v1/me/export": S(200),
    "GET /v1/me/requests": LIST,
    "GET /v1/me/requests/{id}": GONE,
    "POST /v1/me/erasure-request": S(400, body=wrong),
    "POST /v1/me/restriction-request": S(400, body=wrong),
    "POST /v1/me/rectification-request": S(400, body=wrong),
    "POST /v1/imports": S((400, 415), body=wrong),
    "GET /v1/imports": LIST,
    "GET /v1/imports/{id}": GONE,

    "GET /v1/audit": LIST,
    "GET /v1/audit/checkpoints": LIST,
    "POST /v1/audit/checkpoints": S((200, 201)),
    "GET /v1/audit/export": S(200),
    "GET /v1/audit/key": S(200),
    "GET /v1/support-requests/{id}/events": GONE,
    "GET /v1/support-requests/{id}/summary": GONE,
    "GET /v1/break-glass/{id}/events": GONE,
    "GET /v1/break-glass/{id}/summary": GONE,

    "GET /.well-known/security.txt": S((200, 404)),
    "GET /v1/contact": S(200),
    "POST /v1/security-reports": S((400, 429), body=wrong),  # few from one address
    "GET /v1/security-reports": LIST,
    "GET /v1/security-reports/{id}": GONE,
    "PATCH /v1/security-reports/{id}": S((400, 404), body=wrong),

    "POST /v1/sessions": S(400, body=wrong),
    "POST /v1/sessions/second-factor": S((400, 401), body=wrong),
    "GET /v1/sessions": LIST,
    "DELETE /v1/sessions/{id}": GONE,
    "GET /v1/session": S(200),
    "POST /v1/session/step-up": S(400, body=wrong),
    "DELETE /v1/session": S(204, last=True),
    "POST /v1/invitations/accept": S(400, body=wrong),
    "POST /v1/password-resets": S(400, body=wrong),
    "POST /v1/password-resets/accept": S(400, body=wrong),
    "GET /v1/me": S(200),
    "PATCH /v1/me": S((400, 412), body=wrong),
    "POST /v1/me/password": S(400, body=wrong),
    "POST /v1/me/second-factor": S(409),
    "POST /v1/me/second-factor/confirm": S(400, body=wrong),
    "DELETE /v1/me/second-factor": S(403),  # the company wants one
    "POST /v1/me/recovery-codes": S((200, 201)),
    "GET /v1/accounts": LIST,
    "POST /v1/accounts": S(400, body=wrong),
    "GET /v1/accounts/{id}": S(200, "account"),
    "PATCH /v1/accounts/{id}": S(412, "account", no_body, headers=STALE),
    "POST /v1/accounts/{id}/invitation": S(409, "account"),
    "POST /v1/accounts/{id}/password-reset": S((200, 202, 204, 409), "account"),
    "DELETE /v1/accounts/{id}/second-factor": S((200, 204), "account"),

    "GET /v1/accounts/{id}/sessions": S(200, "account"),
    "DELETE /v1/accounts/{id}/sessions/{session}": S(404, "account"),

    "GET /v1/webhooks": LIST,
    "POST /v1/webhooks": S(400, body=wrong),
    "GET /v1/webhooks/{id}": GONE,
    "PATCH /v1/webhooks/{id}": S((400, 404), body=no_body),
    "DELETE /v1/webhooks/{id}": GONE,
    "POST /v1/webhooks/{id}/secret": GONE,
    "POST /v1/webhooks/{id}/ping": GONE,
    "GET /v1/webhooks/{id}/deliveries": GONE,
    "GET /v1/webhooks/{id}/deliveries/{delivery}": GONE,
    "POST /v1/webhooks/{id}/deliveries/{delivery}/redeliver": GONE,

    "GET /v1/support-requests": LIST,
    "POST /v1/support-requests": S(400, body=wrong),
    "GET /v1/support-requests/{id}": GONE,
    "POST /v1/support-requests/{id}/decision": S((400, 404), body=wrong),
    "POST /v1/support-requests/{id}/end": GONE,
    "POST /v1/support-requests/{id}/withdraw": GONE,
    "GET /v1/break-glass": LIST,
    "POST /v1/break-glass": S(400, body=wrong),
    "GET /v1/break-glass/{id}": GONE,
    "POST /v1/break-glass/{id}/second": GONE,
    "POST /v1/break-glass/{id}/end": GONE,
    "POST /v1/break-glass/{id}/withdraw": GONE,
    "POST /v1/break-glass/{id}/review": S((400, 404), body=wrong),
    "GET /v1/me/confidentiality": S((200, 403, 404)),  # of the vendor's people
    "POST /v1/me/confidentiality": S((400, 403, 404), body=wrong),
}


class Human:
    """An account, logged in: what its role holds, and within what."""

    def __init__(self, tenant, role, reach, made=None):
        self.tenant, self.role, self.reach = tenant, role, reach
        self.account, self.cookie, self.csrf, self.tokens, self.grants, self.person = None, None, None, [], [], None

    def headers(self):
        return {"Cookie": f"__Host-punch={self.cookie}", "Punch-CSRF": self.csrf}


# ---- the world ----
def build(lab):
    """Each company with two sites, a unit, a person, a card and a gateway at each."""
    world = {t: collections.defaultdict(dict) for t in TENANTS}
    cloud = lab.cloud
    for tenant in TENANTS:
        cloud.tenant(tenant)
        token = cloud.token(tenant)
        for side in SIDES:
            gateway = Gateway(lab, f"gw-{tenant}-{side}")
            gateway.enrol(tenant, f"{tenant} {side}")
            world[tenant]["gateway"][side] = gateway.id
        world[tenant]["bootstrap"] = token
    cloud.start()
    for tenant, w in world.items():
        api = cloud.api(w["bootstrap"])
        sites = {s["name"]: s["id"] for s in api.get("/v1/sites")["items"]}
        for side in SIDES:
            w["site"][side] = sites[f"{tenant} {side}"]
            w["unit"][side] = api.post("/v1/units", {"name": f"Unit {side}", "site": w["site"][side]})["id"]
            w["person"][side] = api.post("/v1/people", {"name": f"Person {side}", "unit": w["unit"][side]})["id"]
            card = {"tech": "em4100", "bits": 40, "data": f"ff{next(count):08x}"}
            w["credential"][side] = api.post(f"/v1/people/{w['person'][side]}/credentials", card)["id"]
            w["company"][side] = tenant
        w["roles"] = {r["kind"]: r for r in api.get("/v1/roles")["items"]}
        w["role"] = {side: w["roles"]["hr"]["id"] for side in SIDES}
    check(cloud.proc.stop(60) == 0, "punchcloud did not end well")
    return world


def home_reach(role):
    return {"inspector": "site", "employee": "self"}.get(role, "tenant")


def populate(lab, world):
    """The people, made while punchcloud does not run."""
    humans, asked = [], []
    for role in ROLES:
        reaches = [home_reach(role)] + (["site", "unit", "person"] if home_reach(role) == "tenant" else [])
        humans += [Human("acme", role, reach) for reach in reaches]
    humans += [Human("acme", "hr", "spare"), Human("globex", "hr", "spare")]  # whose grants are looked at
    humans += [Human("globex", "owner", "tenant"), Human("acme", None, "tenant")]
    for n, h in enumerate(humans):
        w = world[h.tenant]
        grant = {"role": h.role, "reach": {"self": "person", "spare": "tenant"}.get(h.reach, h.reach)}
        if h.reach in ("site", "unit", "person"):
            grant["reach_id"] = w[h.reach]["A"]
        held = w["roles"][h.role]["permissions"] if h.role else []
        asked.append({"tenant": h.tenant, "login": f"human-{n}", "grants": [grant] if h.role else [], "tokens": [
            {"permissions": held, "seconds": 3600}, {"permissions": held, "seconds": SHORT},
            {"permissions": held, "seconds": 3600}, {"permissions": ["audit.read"], "seconds": 3600},
            {"permissions": ["sites.read"], "seconds": 3600}]})
    done = subprocess.run([lab.program("humans"), lab.cloud.config], input=json.dumps(asked), capture_output=True, text=True,
                          timeout=120, check=False)
    check(done.returncode == 0, f"humans: {done.stderr[-1500:]}")
    for h, made in zip(humans, json.loads(done.stdout)):
        h.account, h.person, h.cookie, h.csrf, h.grants = (made[k] for k in ("account", "person", "cookie", "csrf", "grants"))
        h.tokens = [t["token"] for t in made["tokens"]]
        lab.cloud.ctl("token", "revoke", made["tokens"][2]["id"])
    return humans


# ---- the model ----
class Route:
    def __init__(self, method, path, operation):
        self.method, self.path, self.name = method, path, f"{method} {path}"
        self.permission = operation.get("x-permission")
        self.reach, self.step_up = operation.get("x-reach"), operation.get("x-step-up", False)
        self.sample = SAMPLES.get(self.name)


def allowed(route, side, same):
    """The statuses of a request that the permission covers everywhere."""
    if route.sample.thing and not same:
        return route.sample.outside
    return route.sample.ok


def expected(route, human, held, side, same):
    """The statuses of a request to a thing of the human's own company (same) on that side, or of another's."""
    s = route.sample
    if route.permission in ("open", "self"):
        return s.ok
    if route.permission == "operator" or route.permission not in held:
        return (403,)
    if human.reach == "tenant":
        return allowed(route, side, same)
    if route.reach == "tenant":
        return (403,)
    thing = s.thing or s.about
    if not thing:
        return s.ok
    inside = same and side == "A" and (thing == "person" if human.reach == "self" else thing in COVERS[human.reach])
    return s.ok if inside else (403, 404) if not s.thing else s.elsewhere if same else s.outside


# ---- the client ----
class Client:
    def __init__(self, lab):
        self.base = f"https://127.0.0.1:{lab.cloud.api_port}"
        self.session = requests.Session()
        self.session.verify = f"{lab.cloud.pki}/ca.crt"
        self.session.trust_env = False
        self.sent = 0

    def send(self, route, world, tenant, side, headers, person=None):
        s = route.sample
        thing = NOBODY[:2 * s.size]
        if s.thing:
            thing = person if person and s.thing == "person" else world[tenant][s.thing][side]
        path = re.sub(r"\{\w+\}", NOBODY[:2 * s.size], route.path.replace("{id}", thing))
        body = s.body(world, tenant, side) if s.body else None
        if person and s.about == "person":
            body["person"] = person
        endless = route.path == "/v1/stream"
        r = self.session.request(route.method, self.base + path + s.query, json=body, headers={**s.headers, **headers},
                                 timeout=60, stream=endless)
        if endless:
            r.close()
            r._content = b""
        self.sent += 1
        return r


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Table:
    def __init__(self):
        self.rows, self.wrong, self.cells = collections.OrderedDict(), [], 0

    def cell(self, route, column, r, want):
        self.cells += 1
        good = r.status_code in want
        self.rows.setdefault(route.name, []).append((column, r.status_code, good))
        if not good:
            self.wrong.append(f"{route.name} [{column}]: {r.status_code}, not {'/'.join(map(str, want))}: {r.text[:160]}")

    def show(self):
        """A line a route: for each role what its own company's thing (or list) is answered, by reach of the grant."""
        marks = {401: "?", 403: ".", 404: "-"}
        print("reach of the grant: tenant site unit person, where the role has it; + done, . 403, - 404, ? 401")
        print(f"{'':56s}" + " ".join(f"{role[:9]:9s}" for role in ROLES))
        for name, cells in self.rows.items():
            own = {c.split(":")[0]: status for c, status, _ in cells if c.endswith(":own")}
            text = " ".join("".join(marks.get(s, "+") for c, s in own.items() if c.startswith(role + "@")).ljust(9)
                            for role in ROLES)
            print(f"{name:55s} {text}")


def try_tokens(table, client, world, route, human, label):
    """No token, and tokens that are not good for this."""
    is_open = route.permission == "open"
    other = human.tokens[4 if route.permission == "audit.read" else 3]
    for column, headers, want in (("none", {}, (401,)), ("expired", bearer(human.tokens[1]), (401,)),
                                  ("revoked", bearer(human.tokens[2]), (401,)), ("other", bearer(other), (403,))):
        table.cell(route, f"{label}:{column}", client.send(route, world, "acme", "A", headers),
                   route.sample.ok if is_open else want)


def try_human(table, client, world, route, human):
    held = set(world["acme"]["roles"][human.role]["permissions"]) if human.role else set()
    label = f"{human.role or 'nobody'}@{human.reach}"
    person = human.person if human.reach == "self" else None
    table.cell(route, f"{label}:own", client.send(route, world, "acme", "A", human.headers(), person),
               expected(route, human, held, "A", True))
    if route.sample.thing or route.sample.about:
        if human.reach != "tenant":
            table.cell(route, f"{label}:outside", client.send(route, world, "acme", "B", human.headers()),
                       expected(route, human, held, "B", True))
        if route.sample.thing:
            table.cell(route, f"{label}:foreign", client.send(route, world, "globex", "A", human.headers()),
                       expected(route, human, held, "A", False))
    if route.step_up and route.permission in held:
        r = client.send(route, world, "acme", "A", bearer(human.tokens[0]))
        table.cell(route, f"{label}:token", r, (403,))
    if home_reach(human.role or "hr") == human.reach and human.role:
        try_tokens(table, client, world, route, human, human.role)


def check_lists(client, world, humans):
    """What is outside of the reach is left out of lists, whatever the list is."""
    lists = {"people": "person", "sites": "site", "units": "unit", "gateways": "gateway"}
    for h in humans:
        if h.tenant != "acme" or h.reach not in ("site", "unit", "person", "self") or not h.role:
            continue
        for name, thing in lists.items():
            r = client.session.get(f"{client.base}/v1/{name}?limit=1000", headers=h.headers(), timeout=60)
            client.sent += 1
            if r.status_code != 200:
                continue
            ids = {item["id"] for item in r.json()["items"]}
            for tenant, side in (("acme", "B"), ("globex", "A"), ("globex", "B")):
                check(world[tenant][thing][side] not in ids, f"{h.role}@{h.reach} sees {thing} {tenant} {side} in /v1/{name}")
            inside = h.reach != "self" and thing in COVERS[h.reach]
            check(not inside or world["acme"][thing]["A"] in ids, f"{h.role}@{h.reach} misses its {thing} in /v1/{name}")


def routes_of(client):
    doc = client.session.get(client.base + "/v1/openapi.json", timeout=60).json()
    routes = [Route(m.upper(), path, o) for path, item in doc["paths"].items() for m, o in item.items() if m != "parameters"]
    missing = sorted(r.name for r in routes if r.sample is None)
    check(not missing, "no sample in SAMPLES of tests/e2e/test_rights.py; add one line for each of: " + ", ".join(missing))
    extra = sorted(set(SAMPLES) - {r.name for r in routes})
    check(not extra, "samples of routes that are not in docs/openapi.yaml: " + ", ".join(extra))
    return routes


def prepare(client, world, humans):
    """Presence is on. A grant of each company is revoked already, so that revoking it again changes nothing."""
    owners = {h.tenant: h for h in humans if h.role == "owner" and h.reach == "tenant"}
    r = client.session.patch(f"{client.base}/v1/settings", headers=owners["acme"].headers(), json={"presence": True},
                             timeout=60)
    check(r.status_code == 200, f"the settings could not be changed: {r.status_code} {r.text}")
    for h in humans:
        if h.reach != "spare":
            continue
        r = client.session.post(f"{client.base}/v1/grants/{h.grants[0]}/revocation", headers=owners[h.tenant].headers(),
                                timeout=60)
        check(r.status_code == 200, f"a grant could not be revoked: {r.status_code} {r.text}")
        world[h.tenant]["account"] = {side: h.account for side in SIDES}
        world[h.tenant]["grant"] = {side: h.grants[0] for side in SIDES}


def test(args, rng):
    with Lab("rights") as lab:
        lab.cloud.init()
        limits = {"source": 0, "token": 0, "tenant": 0}
        configure = lab.cloud.configure
        lab.cloud.configure = lambda *a, **k: configure(*a, **{"limits": limits, **k})
        lab.broker.start()
        world = build(lab)
        humans = populate(lab, world)
        lab.cloud.start()
        made = time.monotonic()
        client, table = Client(lab), Table()
        routes = routes_of(client)
        prepare(client, world, humans)
        time.sleep(max(0.0, SHORT + 1 - (time.monotonic() - made)))  # until the short-lived tokens are over
        for route in routes:
            want = route.sample.ok if route.permission in ("open", "operator") else (403,)
            table.cell(route, "operator", client.send(route, world, "acme", "A", bearer(lab.cloud.operator_token)), want)
        # a session counts as fresh for five minutes only, so the routes that want that come first
        for route in sorted(routes, key=lambda r: (r.sample.last, not r.step_up)):
            for h in humans:
                if h.tenant == "acme" and h.reach != "spare":
                    try_human(table, client, world, route, h)
        check_lists(client, world, humans)
        table.show()
        print(f"routes={len(routes)} cells={table.cells} requests={client.sent} wrong={len(table.wrong)}")
        check(not table.wrong, f"{len(table.wrong)} cells are not what the rights model says:\n  " + "\n  ".join(table.wrong[:60]))
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, 560)
