#!/usr/bin/python3
"""The first day by the book: the first steps of README.md, and each line of docs/API.md that has an example, by a shell and
as they stand there. What is put in their place is what differs from one installation to the next: names and ports, and
what was shown before."""
import itertools
import os
import re
import subprocess
import textwrap

from lab import PATIENCE, ROOT, Gateway, Lab, find_one, main
from proc import check, wait_for
from sims import ModbusTcp

TENANT, CA = "acme", "/var/lib/punchcloud/pki/ca.crt"


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


class Shell:
    """A bash of its own for each piece, in one folder; any command that fails ends it."""

    def __init__(self, lab):
        self.lab, self.dir = lab, lab.path("shell")
        os.makedirs(self.dir, exist_ok=True)
        self.known = f"punchcloud() {{ {lab.program('punchcloud')} \"$@\" --config {lab.cloud.config}; }}\n"

    def run(self, text, allowed=(0,)):
        text = text.replace(CA, f"{self.lab.cloud.pki}/ca.crt")
        text = re.sub(r"https://localhost:8443", f"https://localhost:{self.lab.cloud.api_port}", text)
        r = subprocess.run(["bash", "-c", "set -euo pipefail\n" + self.known + text], cwd=self.dir, text=True,
                           capture_output=True, timeout=120 * PATIENCE)
        check(r.returncode in allowed, f"{text}\nexit {r.returncode}\n{r.stdout[-1500:]}{r.stderr[-1500:]}")
        return r.stdout


# ---- README.md ----
AUTHENTICATOR = textwrap.dedent("""\
    import sys, time
    sys.path.insert(0, {here!r})
    from human import totp
    print(totp(open("secret").read().strip(), int(time.time()) // 30))
""")


def first_steps(lab, shell):
    section = read("README.md").partition("## First steps")[2].partition("\n## ")[0]
    operator, owner, more = re.findall(r"```sh\n(.*?)```", section, re.S)
    shown = ""
    for line in operator.splitlines():
        if line.startswith("punchcloud run &"):
            lab.broker.start()
            lab.cloud.start()
        else:
            shown += shell.run(line)
    lab.cloud.operator_token = find_one(r"operator token: (pct_\S+)", shown)
    with open(os.path.join(shell.dir, "code.py"), "w", encoding="utf-8") as f:
        f.write(AUTHENTICATOR.format(here=os.path.dirname(os.path.abspath(__file__))))
    owner = owner.replace("INVITATION", find_one(r"invitation: (\S+)", shown))
    check("jq -r .secret" in owner and '"CODE"' in owner, "the README enrols no second factor")
    owner = owner.replace("jq -r .secret", "jq -r .secret | tee secret")
    owner = owner.replace('"CODE"', "\"'$(/usr/bin/python3 code.py)'\"")
    shown = shell.run(owner + more)
    check('"label":"payroll"' in shown, f"no token: {shown}")
    check("#invitation=" in shown and '"reason":"looks after people"' in shown, f"no account: {shown}")
    # what was shown is good for what it says
    token = find_one(r'"token":"(pct_[^"]+)"', shown)
    check(lab.cloud.api(token).call("GET", "/v1/punches").status_code == 200, "the token reads no punches")
    check(lab.cloud.api(token).call("GET", "/v1/people").status_code == 403, "the token reads people")


# ---- docs/API.md ----
class Book:
    """Something there to name by $ID, for each kind of thing; each time a new one, where there can be."""

    def __init__(self, lab, shell):
        self.lab, self.shell, self.n = lab, shell, itertools.count(1)
        token = lab.cloud.token(TENANT)
        self.api, self.other = lab.cloud.api(token), lab.cloud.token(TENANT)
        self.site = self.api.post("/v1/sites", {"name": "Head office"})["id"]
        check(self.api.call("PATCH", "/v1/settings", {"presence": True}).status_code == 200, "presence stays off")
        with open(os.path.join(shell.dir, "people.csv"), "w", encoding="utf-8") as f:
            f.write("personnel_number,name\n81,Grace Hopper\n82,Alan Turing\n")
        self.fence = find_one(r"(?s)```sh\n(A=https://localhost:8443.*?)```", read("docs/API.md"))
        check("pct_..." in self.fence, "docs/API.md does not say where the token goes")

    def person(self):
        return self.api.post("/v1/people", {"name": f"Person {next(self.n)}"})["id"]

    def credential(self):
        card = {"tech": "em4100", "bits": 40, "data": f"{next(self.n):010X}"}
        return self.api.post(f"/v1/people/{self.person()}/credentials", card)["id"]

    def correction(self):
        return self.api.post("/v1/corrections", {"person": self.person(), "kind": "add", "time": "2026-11-23T07:15:00Z",
                                                 "direction": "in", "reason": "Forgot the card"})["id"]

    def some(self, path):
        """An id for that path of the API."""
        kind = re.match(r"/v1/([a-z-]+)", path).group(1)
        if kind in ("gateways", "readers"):
            return self.api.get(f"/v1/{kind}")["items"][0]["id"]
        if kind == "sites":
            return self.site if path.endswith("presence") else self.api.post("/v1/sites", {"name": f"S{next(self.n)}"})["id"]
        if kind == "imports":
            with open(os.path.join(self.shell.dir, "people.csv"), "rb") as f:
                r = self.api.session.post(self.api.base + "/v1/imports?mode=apply", data=f.read(), timeout=60,
                                          headers={"Authorization": f"Bearer {self.api.token}", "Content-Type": "text/csv"})
            return r.json()["id"]
        if kind == "corrections" and "{id}" in path:
            return self.correction()
        return {"people": self.person, "credentials": self.credential, "corrections": self.person,
                "gateway-invitations": lambda: self.site}[kind]()

    def token(self, what, path):
        if "operator's token" in what:
            return self.lab.cloud.operator_token
        return self.other if path.endswith("/decision") else self.api.token

    def follow(self, path, what, example):
        fence = self.fence.replace("pct_...", self.token(what, path))
        given = f"ID={self.some(path)}\n" if "$ID" in example else ""
        endless = path == "/v1/stream"
        if endless:
            example = example.replace("$C", "$C -m 2")
        return self.shell.run(fence + given + example, allowed=(0, 28) if endless else (0,))


def each_line(lab, shell):
    book, followed = Book(lab, shell), []
    rows = re.findall(r"(?m)^\| `([A-Z]+) (/[^`]*)`[^|]* \| (.*) \| `(.*)` \|$", read("docs/API.md"))
    # a gateway that is revoked says no more
    for method, path, what, example in sorted(rows, key=lambda row: row[1].endswith("/revocation")):
        check(re.search(r"\$A" + re.sub(r"\\{[a-z]+\\}", r"\\$ID", re.escape(path.split("?")[0])), example),
              f"the example of {method} {path} asks for something else: {example}")
        book.follow(path, what, example)
        followed.append(f"{method} {path}")
    check(len(followed) > 40, f"only {followed} have examples")
    return followed


def punched(lab):
    """A gateway with a reader that a card was held to."""
    gw = Gateway(lab)
    sim = gw.reader(ModbusTcp(lab, "door", cards=1)).start()
    gw.enrol(TENANT, "Main gate")
    gw.start()
    gw.wait_readers()
    sim.present()
    api = lab.cloud.api(lab.cloud.token(TENANT))
    wait_for("the punch", lambda: api.get("/v1/readers")["items"], 60 * PATIENCE, 0.2)


def test(args, _rng):
    with Lab("firstday", keep=args.keep) as lab:
        lab.cloud.configure()
        first_steps(lab, Shell(lab))
        lab.stop_daemons()
    with Lab("lines", keep=args.keep) as lab:
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        lab.broker.start()
        lab.cloud.start()
        punched(lab)
        print(f"{len(each_line(lab, Shell(lab)))} lines of docs/API.md followed", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, 200)
