#!/usr/bin/python3
"""Every mail that somebody acts upon, caused by real requests and commands, while no mail server is there.

punchcloud is killed before any of them is delivered; then the mail server comes, and each arrives once, over TLS, in
the language of its reader, and tells no name but the reader's own. Invitation and reset links are used as they came.
"""
import base64
import re
import sqlite3
import threading
import time

import cutter
import pyaudit
from human import Human, role_id
from lab import PATIENCE, Lab, main
from postbox import Mailbox
from proc import check, free_port, wait_for

TENANT, VENDOR = "acme", "_vendor"
URL = "https://punch.example"
CARD_HOLDER = "Ottilie Zwölf"
ASK = {"tenant": TENANT, "ticket": "T-4711", "reason": "a card is read twice", "permissions": ["gateways.read"],
       "hours": 1}
GLASS = {"tenant": TENANT, "category": "availability", "reason": "no punch arrives", "permissions": ["gateways.read"],
         "minutes": 30}


class Post:
    """punchcloud, and a mail server that is there or not."""

    def __init__(self, lab):
        self.lab, self.cloud, self.box, self.boxes, self.all = lab, lab.cloud, None, 0, []
        settings = self.cloud.settings
        self.address = f"localhost:{free_port()}"
        self.cloud.listener = {"public_url": URL}
        self.cloud.settings = lambda broker: {
            **settings(broker), "contact": {"security": ["mailto:security@example.com"]},
            "mail": {"server": self.address, "from": "punch@example.com", "ca_file": f"{self.cloud.pki}/ca.crt"}}

    def store(self, sql):
        db = sqlite3.connect(f"{self.cloud.state}/store.db", timeout=30)
        try:
            rows = db.execute(sql).fetchall()
            db.commit()
            return rows
        finally:
            db.close()

    def waiting(self):
        return self.store("SELECT count(*) FROM mail")[0][0]

    def arrive(self, n):
        """Killed with n mails in the queue, or more: the day's first checkpoint of the trail is mailed whenever it is
        made. Started again where a mail server is, it delivers them."""
        wait_for(f"{n} mails to wait", lambda: self.waiting() >= n, 90 * PATIENCE, 0.5)
        self.cloud.proc.kill()
        self.store("UPDATE mail SET due = 0")  # nobody listened: its next try would come in a minute
        n = self.waiting()
        self.boxes += 1
        self.box = Mailbox(self.lab, f"smtpd{self.boxes}")
        self.all.append(self.box)
        self.address = f"localhost:{self.box.port}"
        self.cloud.start()
        wait_for("the mails", lambda: len(self.box.messages()) >= n, 60 * PATIENCE, 0.2)
        mails = self.box.messages()
        check(len({m["headers"]["Message-ID"] for m in mails}) == len(mails), "a mail came twice")
        return mails

    def lose(self):
        """The mail server goes."""
        self.box.proc.stop()
        self.cloud.proc.stop()
        self.address = f"localhost:{free_port()}"
        self.cloud.start()


def person(cloud, tenant, login, role, *more):
    human = Human(cloud, tenant, login).invited(role, "--mail", f"{login}@example.com", *more).enrol()
    return human.log_in()


def one(mails, to, subject, *texts):
    """The one to that address with that subject: over TLS, with these texts, and no name of anybody else."""
    found = [m for m in mails if m["to"] == [to] and m["headers"]["Subject"].startswith(subject)]
    check(len(found) == 1, f"{len(found)} mails to {to} about {subject!r} among "
          f"{[(m['to'], m['headers']['Subject']) for m in mails]}")
    mail = found[0]
    check(mail["tls"] and not mail["defects"], f"{subject}: {mail}")
    for text in texts:
        check(text in mail["text"], f"{subject}: no {text!r} in\n{mail['text']}")
    me = to.split("@")[0]
    for name in ("Ines", "Jan", "Ana", "Mira", "Paul", CARD_HOLDER, "example.com"):
        check(name.lower() == me or name not in mail["text"], f"{subject}, to {to}, names {name}:\n{mail['text']}")
    return mail


def invitations(post, owner):
    """Ana reads Romanian, and Jan English."""
    accounts = {}
    for login, language in (("ana", "ro"), ("jan", "en")):
        accounts[login] = owner.post("/v1/accounts", {"login": login, "name": login.title(), "language": language,
                                                      "mail": f"{login}@example.com"})
        check(accounts[login]["link"] is None, "the answer tells what the mail is to tell")
    mails = post.arrive(2)
    one(mails, "ana@example.com", "Contul dumneavoastră la acme", "Bună ziua, Ana,", f"{URL}/#invitation=")
    one(mails, "jan@example.com", "Your account with acme", "Hello Jan,", f"{URL}/#invitation=")
    people = [Human(post.cloud, TENANT, n).accept(post.box.link(f"{n}@example.com", "invitation")) for n in accounts]
    owner.step_up()
    owner.post("/v1/grants", {"account": people[1].account, "role": role_id(owner, "Owner"), "reach": "tenant",
                              "reason": "a second pair of eyes"})
    return people


def guess(post, login, times):
    """Wrong passwords from elsewhere, as fast as they are heard."""
    guesser = Human(post.cloud, TENANT, login, "wrong", address="127.0.0.9")
    while times > 0:
        r = guesser.call("POST", "/v1/sessions", {"tenant": TENANT, "login": login, "password": "wrong"})
        if r.status_code == 429:
            time.sleep(int(r.headers["Retry-After"]))
        else:
            check(r.status_code == 401, f"a wrong password: {r.status_code} {r.text}")
            times -= 1


def everything(post, owner, ana, mira, paul):
    """Causes what the mails are about; returns the ids that they have to name."""
    cloud = post.cloud
    guesses = threading.Thread(target=guess, args=(post, "jan", 10))
    guesses.start()
    ana.call("POST", "/v1/password-resets", {"tenant": TENANT, "login": "ana"})
    support = "/v1/support-requests/" + mira.post("/v1/support-requests", ASK)["id"]
    owner.step_up()
    owner.post(support + "/decision", {"approve": True}, 200)
    owner.post(support + "/end", None, 200)
    glass = mira.step_up().post("/v1/break-glass", GLASS)["id"]
    paul.step_up().post(f"/v1/break-glass/{glass}/second", None, 200)
    cloud.ctl("account", "reset-second-factor", "ana", "--tenant", TENANT, "--emergency", "telephone lost")
    owner.step_up()
    leaver = owner.post("/v1/people", {"name": "Leaver"})["id"]
    r = owner.call("POST", f"/v1/people/{leaver}/erasure", {"dry_run": False})
    check(r.status_code in (200, 201, 202), f"erasure: {r.status_code} {r.text}")
    r = owner.call("PATCH", "/v1/settings", {"four_eyes": ["sites.change"]})
    check(r.status_code == 200, f"four eyes: {r.status_code} {r.text}")
    approval = owner.post("/v1/sites", {"name": "East"}, 202)["id"]
    asked = cloud.api(None).post("/v1/security-reports", {"information": CARD_HOLDER, "steps": ["look"]}, 202)
    guesses.join()
    return glass, approval, asked["reference"]


def keeps_a_checkpoint(post):
    """The day's first one, which came to who may read the trail."""
    def arrived():
        found = (re.search(r"^([A-Za-z0-9_-]{150,})\r?$", m["text"], re.M) for box in post.all for m in box.messages())
        return [m.group(1) for m in found if m]
    wait_for("a checkpoint by mail", arrived, 90 * PATIENCE, 0.5)
    for text in arrived():
        said = pyaudit.take(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))[0][2]
        _, tenant, seq, *_ = pyaudit.take(said)[0]
        if tenant == TENANT:
            cutter.kept(post.lab, tenant, text.encode(), seq)
            return
    check(False, f"no checkpoint of {TENANT} among {arrived()}")


def test(args, rng):
    with Lab("mails", keep=args.keep) as lab:
        post = Post(lab)
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        lab.broker.start()
        lab.cloud.start()
        owner = person(lab.cloud, TENANT, "ines", "owner")
        mira, paul = (person(lab.cloud, VENDOR, n, "support") for n in ("mira", "paul"))
        for human in (mira, paul):
            human.post("/v1/me/confidentiality", {"version": human.get("/v1/me/confidentiality")["version"]}, 200)
        owner.post("/v1/people", {"name": CARD_HOLDER})
        r = owner.call("PATCH", "/v1/me", {"language": "de"})
        check(r.status_code == 200, f"another language: {r.status_code} {r.text}")
        ana, jan = invitations(post, owner)
        post.lose()

        glass, approval, report = everything(post, owner, ana, mira, paul)
        mails = post.arrive(13)
        one(mails, "ana@example.com", "O parolă nouă", "Bună ziua, Ana,", f"{URL}/#password-reset=")
        one(mails, "jan@example.com", "Failed logins", "Hello Jan,")
        one(mails, "mira@example.com", "", "T-4711")
        for to, hello in (("ines@example.com", "Guten Tag Ines,"), ("jan@example.com", "Hello Jan,")):
            mine = [m for m in mails if m["to"] == [to] and m["text"].startswith(hello)]
            check(sum("T-4711" in m["text"] for m in mine) >= 1, f"the support request to {to}")
            for m in mine:
                one(mails, to, m["headers"]["Subject"])
            check(sum(glass in m["text"] for m in mine) == 1, f"the broken glass to {to}")
            check(sum("rasure" in m["headers"]["Subject"] or "Löschung" in m["headers"]["Subject"] for m in mine) == 1,
                  f"the erasure to {to}")
            check(sum("telephone lost" in m["text"] for m in mine) == 1, f"the emergency to {to}")
        one(mails, "jan@example.com", "Your approval is wanted", "sites.change", approval)
        one(mails, "security@example.com", "A security report", report)
        link = post.box.link("ana@example.com", "password-reset")
        ana.password = "another-Horse-8 staple"
        r = ana.call("POST", "/v1/password-resets/accept", {"link": link, "password": ana.password})
        check(r.status_code in (200, 204), f"a new password: {r.status_code} {r.text}")
        ana.log_in()
        r = ana.call("POST", "/v1/password-resets/accept", {"link": link, "password": ana.password + "!"})
        check(r.status_code >= 400, "a reset link counted twice")
        print("all but the summary", flush=True)
        for to in ("ines@example.com", "jan@example.com"):
            wait_for("the summary", lambda to=to: sum(m["to"] == [to] and "T-4711" in m["text"]
                                                      for m in post.box.messages()) == 2, 200 * PATIENCE, 0.5)
        print(f"{4 + len(mails)} mails caused, none lost by a kill -9; both kinds of link used", flush=True)
        keeps_a_checkpoint(post)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, 420)
