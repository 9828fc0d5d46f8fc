"""People with accounts, as the API meets them: an invitation is accepted, a password chosen, a second factor enrolled,
and from then on there is a session with its cookie, which asks for what its owner may do."""
import base64
import hashlib
import hmac
import json
import struct
import time

import requests

from lab import PATIENCE, Api
from proc import Failure, check

PASSWORD = "correct-Horse-7 staple"


def totp(secret, step):
    """RFC 6238 with what every authenticator takes for granted: SHA-1, six digits, 30 s."""
    mac = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1).digest()
    at = mac[19] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7fffffff) % 10**6:06d}"


class From(requests.adapters.HTTPAdapter):
    """Connections from a loopback address of one's own, as somebody elsewhere has one."""

    def __init__(self, address, **more):
        self.address = address
        super().__init__(**more)

    def init_poolmanager(self, *args, **more):
        super().init_poolmanager(*args, source_address=(self.address, 0), **more)


class Human(Api):
    """One account. call() sends the session's cookie, and the CSRF value with what changes something."""

    def __init__(self, cloud, tenant, login, password=PASSWORD, address=None):
        super().__init__(cloud.api_port, f"{cloud.pki}/ca.crt")
        if address:
            self.session.mount("https://", From(address))
        self.cloud, self.tenant, self.login, self.password = cloud, tenant, login, password
        self.csrf = self.secret = self.account = self.person = self.acts_in = None
        self.step = 0  # of the last code: none counts twice
        self.recovery = []

    def call(self, method, path, body=None, token=..., key=None, **query):
        headers = {"Punch-CSRF": self.csrf} if self.csrf and method not in ("GET", "HEAD") else {}
        if key:
            headers["Idempotency-Key"] = key
        if self.acts_in:
            headers["Punch-Tenant"] = self.acts_in
        r = self.session.request(method, self.base + path, json=body, headers=headers, timeout=60 * PATIENCE,
                                 params={k: v for k, v in query.items() if v is not None})
        self.record(r)
        return r

    def invited(self, role=None, *more):
        """By the command line, which the first Owner has to be."""
        where = ["--vendor"] if self.tenant == "_vendor" else ["--tenant", self.tenant]
        out = self.cloud.ctl("account", "invite", *where, "--login", self.login, "--name", self.login.title(), "--json",
                             *(["--role", role] if role else []), *more).stdout
        return self.accept(json.loads(out)["invitation"])

    def accept(self, link):
        check(self.post("/v1/invitations/accept", {"link": link, "password": self.password}, 200)["login"] == self.login,
              "an invitation of somebody else")
        return self.log_in()

    def code(self):
        """The next one that counts, waiting for it where need be: a step of tolerance, and none twice."""
        while True:
            now = int(time.time()) // 30
            step = max(now - 1, self.step + 1)
            if step <= now + 1:
                self.step = step
                return totp(self.secret, step)
            time.sleep(0.2)

    def log_in(self, code=None):
        self.session.cookies.clear()
        self.csrf = None
        r = self.call("POST", "/v1/sessions", {"tenant": self.tenant, "login": self.login, "password": self.password})
        if r.status_code == 200:
            r = self.call("POST", "/v1/sessions/second-factor", {"code": code or self.code()})
        check(r.status_code == 201, f"login of {self.login}: {r.status_code} {r.text[:300]}")
        begun = r.json()
        self.csrf, self.account, self.person = begun["csrf"], begun["account"], begun["person"]
        return self

    def enrol(self):
        """A second factor."""
        self.secret = self.post("/v1/me/second-factor", None, 200)["secret"]
        r = self.call("POST", "/v1/me/second-factor/confirm", {"code": self.code()})
        check(r.status_code in (200, 201), f"second factor of {self.login}: {r.status_code} {r.text[:300]}")
        self.recovery = r.json()["recovery_codes"]
        return self

    def step_up(self):
        body = {"password": self.password, **({"code": self.code()} if self.secret else {})}
        r = self.call("POST", "/v1/session/step-up", body)
        check(r.status_code == 204, f"step-up of {self.login}: {r.status_code} {r.text[:300]}")
        return self

    def ready(self):
        try:
            return self.call("GET", "/readyz").status_code == 200
        except requests.RequestException:
            return False


def role_id(api, name):
    """A role of the tenant by the name that it was shipped with."""
    for role in api.get("/v1/roles")["items"]:
        if role["name"] == name:
            return role["id"]
    raise Failure(f"there is no role {name}")
