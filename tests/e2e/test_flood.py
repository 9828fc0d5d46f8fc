#!/usr/bin/python3
"""Floods: of logins, of requests for new passwords, of reports, of tokens that are none, of streams.

Every request is answered, nobody else's fails, memory stays within what the threads for passwords may take, nothing of
it is left behind, whose login it is gets in, and trail and store grow by a bounded amount. Latencies are printed, not
judged.
"""
import collections
import concurrent.futures
import os
import sqlite3
import threading
import time

import requests

import promtext
from human import PASSWORD, From, Human
from lab import PATIENCE, Lab, main
from proc import check, free_port, wait_for

TENANT = "acme"
HASH_KIB = 64 * 1024  # as shipped
MARGIN_KIB = 64 * 1024  # connections of the flood, the store's cache, and what a sanitizer adds to all of it
ACCOUNTS, CLIENTS, SOURCES = 4, 96, 48
CALM = {401, 429, 503}


class Client:
    """A connection from an address of one's own, which is kept; asks as anybody can."""

    def __init__(self, lab, address, token=None):
        self.base, self.session = f"https://{lab.host}:{lab.cloud.api_port}", requests.Session()
        self.session.verify, self.session.trust_env = f"{lab.cloud.pki}/ca.crt", False
        self.session.mount("https://", From(address))
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"

    def ask(self, method, path, body=None, **more):
        r = self.session.request(method, self.base + path, json=body, timeout=120, **more)
        if r.status_code in (429, 503):
            check(int(r.headers.get("Retry-After", 0)) > 0, f"{method} {path}: {r.status_code} without Retry-After")
        return r

    def log_in(self, login, password):
        self.session.cookies.clear()
        return self.ask("POST", "/v1/sessions", {"tenant": TENANT, "login": login, "password": password}).status_code


class Machine:
    """What punchcloud takes of it, from /proc."""

    def __init__(self, lab):
        self.lab, self.highest, self.ending = lab, 0, threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def status(self, name):
        with open(f"/proc/{self.lab.cloud.proc.pid}/status", encoding="ascii") as f:
            return int(next(line.split()[1] for line in f if line.startswith(name + ":")))

    def sockets(self):
        """Connections to the store are kept, up to a bounded number, and do not count."""
        folder, n = f"/proc/{self.lab.cloud.proc.pid}/fd", 0
        for name in os.listdir(folder):
            try:
                n += os.readlink(f"{folder}/{name}").startswith("socket:")
            except FileNotFoundError:
                pass  # closed meanwhile
        return n

    def watch(self):
        while not self.ending.wait(0.05):
            try:
                self.highest = max(self.highest, self.status("VmRSS"))
            except (FileNotFoundError, ProcessLookupError, StopIteration):
                return  # it has ended


class Others(threading.Thread):
    """Everybody else: people are read all the time, now and then something is changed, and nothing of it fails."""

    def __init__(self, lab, token):
        super().__init__(daemon=True)
        self.client, self.waits, self.failed, self.ending = Client(lab, "127.0.0.1", token), [], [], threading.Event()

    def run(self):
        n = 0
        while not self.ending.wait(0.01):
            n += 1
            write = n % 20 == 0
            began = time.monotonic()
            try:
                r = self.client.ask("POST" if write else "GET", "/v1/people", {"name": f"P {n}"} if write else None)
                if r.status_code != (201 if write else 200):
                    self.failed.append(f"{r.status_code} {r.text[:200]}")
            except Exception as e:  # whatever it is, it is somebody's request that failed
                self.failed.append(repr(e))
            if not write:
                self.waits.append(time.monotonic() - began)

    def p99(self):
        check(len(self.waits) >= 20, f"only {len(self.waits)} requests came through")
        return sorted(self.waits)[len(self.waits) * 99 // 100] * 1000

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.ending.set()
        self.join()
        if kind is None:
            check(not self.failed, f"{len(self.failed)} requests of others failed: {self.failed[:3]}")


def stored(lab):
    """How many events the trail has, and how many bytes the store and what waits for the trail, log or not."""
    db = sqlite3.connect(f"file:{lab.cloud.state}/store.db?mode=ro", uri=True)
    events, pages, size = (db.execute(q).fetchone()[0] for q in ("SELECT count(*) FROM audit", "PRAGMA page_count",
                                                                  "PRAGMA page_size"))
    db.close()
    return events, pages * size + os.path.getsize(os.path.join(lab.cloud.state, "audit.journal"))


def hashes(lab):
    r = requests.get(f"http://{lab.host}:{lab.metrics_port}/metrics", timeout=30)
    return promtext.value(promtext.parse(r.text), "punchcloud_password_hashes_total")


def costs_alike(lab):
    """One hash each, whether there is such an account, and whether the password is its own."""
    client = Client(lab, "127.0.0.2")
    for login, password, status in (("nobody", PASSWORD, 401), ("u0", "wrong", 401), ("u0", PASSWORD, 201)):
        before = hashes(lab)
        check(client.log_in(login, password) == status, f"login of {login}")
        check(hashes(lab) - before == 1, f"the login of {login} ({status}) cost {hashes(lab) - before} hashes")


def flood(lab, rng, seconds, rate, logins):
    """`rate` logins a second, by whichever client is free; returns how often which status came."""
    plan = []
    for n in range(int(seconds * rate)):
        kind = rng.randrange(3)
        plan.append((rng.choice(["ada", "bela"] + logins), "wrong-Password-1") if kind == 0 else
                    (rng.choice(logins), PASSWORD) if kind == 1 else (f"nobody{n}", PASSWORD))
    answers, lock, at, began = collections.Counter(), threading.Lock(), iter(enumerate(plan)), time.monotonic()

    def work(number):
        client = Client(lab, f"127.0.1.{number % SOURCES + 1}")
        while True:
            with lock:
                n, who = next(at, (None, None))
            if n is None:
                break
            time.sleep(max(0.0, began + n / rate - time.monotonic()))
            status = client.log_in(*who)
            with lock:
                answers[status] += 1
        client.session.close()
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(work, i) for i in range(CLIENTS)]:
            done.result()
    return answers, len(plan), time.monotonic() - began


def get_in(ada, owner, bela, link):
    """Whom a browser knows, who has a session, and who has a link: places are kept for them, whatever strangers do."""
    def enters(who):  # with the cookies of before, unlike log_in()
        r = who.call("POST", "/v1/sessions", {"tenant": TENANT, "login": who.login, "password": who.password})
        check(r.status_code == 201, f"{who.login} is kept out: {r.status_code} {r.text[:300]}")
    enters(ada)
    owner.step_up()
    bela.post("/v1/password-resets/accept", {"link": link, "password": bela.password}, 200)
    enters(bela)


def logins(lab, args, rng, machine, token, ada, owner, bela):
    with Others(lab, token) as others:
        time.sleep(3)
    idle, before = machine.status("VmRSS"), hashes(lab)
    threads, sockets = machine.status("Threads"), machine.sockets()
    machine.highest = 0
    entered = concurrent.futures.ThreadPoolExecutor(1)
    link = owner.post(f"/v1/accounts/{bela.account}/password-reset", None, 200)["link"].split("=")[1]
    new = Human(lab.cloud, TENANT, "bela", "battery-Staple-8 horse")  # a browser that nobody knows
    with Others(lab, token) as beside:
        time.sleep(1)
        into = entered.submit(lambda: time.sleep(args.seconds / 2) or get_in(ada, owner, new, link))
        answers, n, took = flood(lab, rng, args.seconds, args.rate, [f"u{i}" for i in range(ACCOUNTS)])
        into.result()
    check(sum(answers.values()) == n and set(answers) <= CALM | {201}, f"{n} logins: {answers}")
    check(answers[201] and answers[401], f"nobody came through: {answers}")
    cost, most = hashes(lab) - before, idle + HASH_KIB + MARGIN_KIB  # one thread
    check(cost >= answers[201] + answers[401], f"{answers} cost {cost} hashes")
    check(machine.highest <= most, f"memory: {machine.highest} KiB, idle {idle} KiB, allowed {most} KiB")
    wait_for("the connections to go", lambda: machine.sockets() <= sockets + 2, 60 * PATIENCE, 0.2)
    check(machine.status("Threads") <= threads, f"{threads} threads before, {machine.status('Threads')} after")
    wait_for("memory to be as before", lambda: machine.status("VmRSS") <= idle + MARGIN_KIB, 30 * PATIENCE, 0.2)
    with Others(lab, token) as after:
        time.sleep(2)
    fresh = Client(lab, "127.0.0.3")  # neither address nor device are known: the longest wait is 30 s
    wait_for("ada to get in from a new device", lambda: fresh.log_in("ada", PASSWORD) == 201, 60 * PATIENCE, 1)
    print(f"{n} logins in {took:.1f} s: {dict(sorted(answers.items()))}, {cost:.0f} hashes\n"
          f"memory: {idle // 1024} MiB idle, {machine.highest // 1024} at most, {machine.status('VmRSS') // 1024} after\n"
          f"p99 of GET /v1/people: {others.p99():.1f} ms idle, {beside.p99():.1f} beside, {after.p99():.1f} after",
          flush=True)


def bounded(lab, what, events, size, run):
    """Whatever it was, the trail grew by no more events than that, and the store by no more bytes."""
    time.sleep(1.5)  # the journal moves within a second
    had, was = stored(lab)
    text = run()
    time.sleep(1.5)
    now, size_now = stored(lab)
    more, grown = now - had, size_now - was
    check(more <= events, f"{what}: {more} events")
    check(grown <= size, f"{what}: the store grew by {grown} bytes")
    print(f"{what}: {text}; {more} events, {grown} bytes", flush=True)


def counted(lab, n, address, ask, allowed):
    client, answers = Client(lab, address), collections.Counter()
    for i in range(n):
        answers[ask(client, i).status_code] += 1
    check(sum(answers.values()) == n and set(answers) <= allowed, f"{answers}")
    return dict(sorted(answers.items()))


def resets(lab, args):
    def ask(client, i):
        return client.ask("POST", "/v1/password-resets", {"tenant": TENANT, "login": f"u{i % 12}"})
    bounded(lab, f"{args.resets} password resets", 60, 1 << 20,
            lambda: counted(lab, args.resets, "127.0.0.4", ask, {202, 429, 503}))


def reports(lab, args):
    def ask(client, i):
        return client.ask("POST", "/v1/security-reports", {"information": "x" * 500, "steps": [f"try {i}"] * 4})

    def run():
        one = counted(lab, args.reports // 2, "127.0.0.5", ask, {202, 429})
        check(one[202] == 5, f"reports of one address: {one}")
        many = collections.Counter()
        for i in range(args.reports // 20):
            many.update(counted(lab, 10, f"127.0.2.{i % 250 + 1}", ask, {202, 429}))
        check(many[202] == 55, f"reports of many addresses: {many}")
        return f"{one} of one address, {dict(many)} of many"
    bounded(lab, f"{args.reports} security reports", 80, 1 << 20, run)


def tokens(lab, args):
    def ask(client, i):
        return client.ask("GET", "/v1/people", headers={"Authorization": f"Bearer pct_{i:043d}"})
    bounded(lab, f"{args.tokens} refused tokens", 30, 1 << 20,
            lambda: counted(lab, args.tokens, "127.0.0.6", ask, {401, 429}))


def streams(lab, machine, token):
    sockets = machine.sockets()

    def begin(i):
        client = Client(lab, f"127.0.3.{i // 25 + 1}", token)
        return client, client.ask("GET", "/v1/stream", stream=True)
    with Others(lab, token), concurrent.futures.ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(begin, range(100)))
        answers = collections.Counter(r.status_code for _, r in opened)
        check(answers == {200: 32, 503: 68}, f"100 streams of one customer, who may have half of 64: {answers}")
        client = Client(lab, "127.0.3.9", lab.cloud.token("another"))
        r = client.ask("GET", "/v1/stream", stream=True)
        check(r.status_code == 200, f"a stream of another customer meanwhile: {r.status_code}")
        opened.append((client, r))
        time.sleep(2)
        for client, r in opened:
            r.close()
            client.session.close()
    wait_for("the streams to go", lambda: machine.sockets() <= sockets + 2, 60 * PATIENCE, 0.2)
    _, r = begin(0)
    check(r.status_code == 200, f"a stream, afterwards: {r.status_code}")
    r.close()
    print(f"100 streams: {dict(answers)}", flush=True)


def configure(lab):
    lab.metrics_port = free_port()
    settings = {**lab.cloud.settings(f"{lab.host}:{lab.broker.port}"),
                "metrics": {"listen": f"{lab.host}:{lab.metrics_port}"}}
    settings["api"]["password_threads"] = 1
    lab.cloud.settings = lambda _address: settings
    # What was freed is to be seen as free: a sanitizer keeps some, else, to find its use.
    lab.cloud.env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}


def test(args, rng):
    with Lab("flood", keep=args.keep) as lab:
        lab.cloud.init()
        lab.cloud.tenant(TENANT)
        lab.cloud.tenant("another")
        configure(lab)
        lab.broker.start()
        lab.cloud.start()
        machine = Machine(lab)
        for i in range(ACCOUNTS):
            Human(lab.cloud, TENANT, f"u{i}").invited()
        ada, bela = (Human(lab.cloud, TENANT, n).invited() for n in ("ada", "bela"))
        owner = Human(lab.cloud, TENANT, "owner").invited("owner").enrol()
        until = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() + 30 * 86400))
        token = owner.post("/v1/tokens", {"label": "others", "expires": until, "permissions": [
            "people.read", "people.change", "changes.read"]})["token"]
        costs_alike(lab)
        logins(lab, args, rng, machine, token, ada, owner, bela)
        resets(lab, args)
        reports(lab, args)
        tokens(lab, args)
        streams(lab, machine, token)
        machine.ending.set()
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, 280, seconds=5, rate=200, resets=300, reports=400, tokens=1000)
