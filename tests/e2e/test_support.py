#!/usr/bin/python3
"""The vendor's people and a customer's data: a support access from request to summary, with punchcloud killed in the
middle of it; one that runs out while it is used; and break-glass, which one human being alone does not open."""
import sqlite3
import time

from human import Human
from lab import PATIENCE, Lab, main
from proc import check, wait_for

TENANT, VENDOR = "acme", "_vendor"
ASK = {"tenant": TENANT, "ticket": "T-4711", "reason": "a card is read twice", "permissions": ["people.read"], "hours": 1}


def account(cloud, tenant, login, role):
    """With its second factor, and logged in by it."""
    human = Human(cloud, tenant, login).invited(role)
    human.enrol()
    return human.log_in()


def refused(human, method, path, slug, status=403, body=None, acts_in=None):
    human.acts_in = acts_in
    r = human.call(method, path, body)
    human.acts_in = None
    check(r.status_code == status and r.json()["type"].endswith(":" + slug), f"{method} {path}: {r.status_code} {r.text}")


def reads(human):
    human.acts_in = TENANT
    try:
        return human.get("/v1/people")
    finally:
        human.acts_in = None


class Scene:
    def __init__(self, lab):
        self.lab, self.cloud = lab, lab.cloud
        self.cloud.init()
        lab.broker.start()
        self.cloud.tenant(TENANT)
        self.cloud.start()
        self.owner = account(self.cloud, TENANT, "ines", "owner")
        self.mira, self.paul = (account(self.cloud, VENDOR, n, "support") for n in ("mira", "paul"))
        self.person = self.owner.post("/v1/people", {"name": "Ottilie Zwölf"})["id"]

    def sign(self, human):
        human.step_up()
        human.post("/v1/me/confidentiality", {"version": human.get("/v1/me/confidentiality")["version"]}, 200)

    def run_out(self):
        """The end of what is open, now: an hour is long for a test."""
        db = sqlite3.connect(f"{self.cloud.state}/store.db", timeout=30)
        try:
            n = db.execute("UPDATE support SET ends = ? WHERE state = 2", (int(time.time() * 1e6),)).rowcount
            db.commit()
        finally:
            db.close()
        check(n == 1, f"{n} are open")

    def told(self):
        db = sqlite3.connect(f"file:{self.cloud.state}/store.db?mode=ro", uri=True)
        try:
            return db.execute("SELECT count(*) FROM support WHERE told = 1").fetchone()[0]
        finally:
            db.close()

    def restart(self):
        self.cloud.proc.kill()
        self.cloud.start()


def access(scene):
    owner, mira = scene.owner, scene.mira
    refused(mira, "POST", "/v1/support-requests", "confidentiality-needed", body=ASK)
    scene.sign(mira)
    scene.sign(scene.paul)
    refused(mira, "POST", "/v1/support-requests", "invalid", 400, {**ASK, "permissions": ["grants.change"]})
    path = "/v1/support-requests/" + mira.post("/v1/support-requests", ASK)["id"]
    refused(mira, "GET", "/v1/people", "forbidden", acts_in=TENANT)
    owner.step_up()
    owner.post(path + "/decision", {"approve": True, "reason": "go on"}, 200)
    check(reads(mira)["items"][0]["id"], "nobody is shown")
    refused(scene.paul, "GET", "/v1/people", "forbidden", acts_in=TENANT)
    wait_for("the read to show", lambda: owner.get(path + "/events")["items"], 20 * PATIENCE, 0.2)
    scene.restart()
    check(any(p["id"] == scene.person for p in reads(mira)["items"]), "a restart ended the access")

    scene.run_out()
    refused(mira, "GET", "/v1/people", "forbidden", acts_in=TENANT)
    check(owner.get(path)["state"] == "ended", "it goes on")
    scene.restart()
    before = scene.told()
    wait_for("the end to be noticed", lambda: owner.get(path)["ended_by"] == "time", 100 * PATIENCE, 1)
    scene.restart()  # the summary is still to be told
    wait_for("the summary to be told", lambda: scene.told() == before + 1, 200 * PATIENCE, 1)
    y = owner.get(path + "/summary")
    check(y["reads"] == 2 and y["changes"] == 0, f"2 reads, not {y}")
    check({"id": scene.person, "name": "Ottilie Zwölf"} in y["people"], f"whose data it was: {y['people']}")
    check(scene.mira.get(path + "/summary")["people"] == [], "the vendor's people see names afterwards")




def stream(scene):
    """The end comes in the middle of one: what happens afterwards is not in it."""
    owner, mira = scene.owner, scene.mira
    path = "/v1/support-requests/" + mira.post("/v1/support-requests", {
        **ASK, "permissions": ["changes.read", "people.read"]})["id"]
    owner.step_up()
    owner.post(path + "/decision", {"approve": True}, 200)
    with mira.session.get(mira.base + "/v1/stream", headers={"Punch-Tenant": TENANT}, params={"after": "0"}, stream=True,
                          timeout=60 * PATIENCE) as answer:
        check(answer.status_code == 200, f"no stream: {answer.status_code}")
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        check(any(scene.person in line for line in lines), "the person is not in the stream")
        scene.run_out()
        later = owner.post("/v1/people", {"name": "Berta"})["id"]
        rest = list(lines)
    check(not any(later in line for line in rest), "what came after the end is in the stream")
    check("event: end" in rest, f"the stream ended without a word: {rest[-10:]}")
    refused(mira, "GET", "/v1/stream", "forbidden", acts_in=TENANT)


def break_glass(scene):
    mira, paul, owner = scene.mira, scene.paul, scene.owner
    ask = {"tenant": TENANT, "category": "availability", "reason": "no punch arrives", "permissions": ["people.read"],
           "minutes": 30}
    path = "/v1/break-glass/" + mira.step_up().post("/v1/break-glass", ask)["id"]
    refused(mira, "POST", path + "/second", "forbidden")
    refused(mira, "GET", "/v1/people", "forbidden", acts_in=TENANT)
    paul.step_up().post(path + "/second", None, 200)
    check(reads(mira)["items"], "two human beings opened it, and it is shut")
    check([b["state"] for b in owner.get("/v1/break-glass")["items"]] == ["active"], "the customer does not see it")
    refused(paul, "POST", "/v1/break-glass", "review-owed", 409, ask)
    owner.post(path + "/end", None, 200)
    refused(mira, "GET", "/v1/people", "forbidden", acts_in=TENANT)
    refused(mira, "POST", path + "/review", "forbidden", body={"findings": "all well"})
    rosa = account(scene.cloud, VENDOR, "rosa", "owner")
    scene.sign(rosa)
    rosa.post(path + "/review", {"findings": "the broker's disk was full"}, 200)
    check(owner.get(path)["findings"] == "the broker's disk was full", "the review is not the customer's to read")


def test(args, rng):
    with Lab("support", keep=args.keep) as lab:
        scene = Scene(lab)
        access(scene)
        stream(scene)
        break_glass(scene)


if __name__ == "__main__":
    main(test, __doc__, 360)
