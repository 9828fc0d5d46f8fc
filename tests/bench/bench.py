#!/usr/bin/python3
"""Measures Punchline, and beside each figure, in the same run, what the libraries below it can do at best.

    scripts/bench [--runs N] [--only NAME[,NAME]] [--quick] [--svg FILE] [--json] [--list]

A figure and its limit are measured in turn, N times. The table shows medians, the ratio's median with its least and
greatest value, the aim, and whether the ratio's median meets it. Absolute values are this machine's; ratios travel
better. Everything runs in a throw-away folder on loopback: real Mosquitto, mutual TLS, ptys, simulated readers.
"""
import argparse
import json
import os
import re
import signal
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import crowd  # noqa: E402
import pki  # noqa: E402
import plot  # noqa: E402
import pywire  # noqa: E402
from human import Human  # noqa: E402
from lab import Gateway, Lab, find_bin, program  # noqa: E402
from proc import Failure, check, wait_for  # noqa: E402
from sims import ModbusTcp, Serial  # noqa: E402
from test_pycloud import enrol  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
BARE = 2  # times the messages of a drain, to take about as long
FULL = dict(runs=5, latency=400, latency_rate=20, drain=2_000_000, ingest=50_000, people=300, cpu=1500, cpu_rate=50,
            poll_s=20, http_s=6, day=300, everybody=1000, crowd_s=60)
QUICK = dict(FULL, runs=2, latency=60, drain=500_000, ingest=8_000, cpu=300, poll_s=4, http_s=2, crowd_s=10)
CHECK = dict(FULL, runs=1, latency=3, latency_rate=10, drain=600, ingest=600, people=20, cpu=20, cpu_rate=10, poll_s=1,
             http_s=1, day=100, everybody=100, crowd_s=2)


class Figure:
    """One line of the table. aim: what the ratio value/limit should be, at most or at least; without a limit it is the
    value's own."""

    def __init__(self, name, unit, limit_is, aim=None, most=True):
        self.name, self.unit, self.limit_is, self.aim, self.most = name, unit, limit_is, aim, most
        self.values, self.limits = [], []

    def add(self, value, limit=None):
        self.values.append(value)
        if limit is not None:
            self.limits.append(limit)

    @property
    def ratios(self):
        return [v / l for v, l in zip(self.values, self.limits)]

    @property
    def judged(self):
        """What the aim speaks of."""
        return self.ratios if self.limits else self.values

    def met(self):
        m = statistics.median(self.judged)
        return None if self.aim is None else m <= self.aim if self.most else m >= self.aim

    def row(self):
        fixed = self.aim is not None and not self.limits
        aim = "" if self.aim is None else f"{'at most' if self.most else 'at least'} {self.aim:g}{'' if fixed else 'x'}"
        spread = f" ({min(self.judged):.2f}..{max(self.judged):.2f})" if len(self.values) > 1 else ""
        limit = number(statistics.median(self.limits)) if self.limits else ""
        ratio = f"{statistics.median(self.ratios):.2f}{spread}" if self.limits else spread.strip()
        verdict = {None: "", True: "met", False: "SHORT"}[self.met()]
        return [self.name, f"{number(statistics.median(self.values))} {self.unit}", limit, ratio, aim, verdict,
                self.limit_is]

    def as_json(self):
        return {"figure": self.name, "unit": self.unit, "values": self.values, "limit": self.limit_is,
                "limits": self.limits, "ratios": self.ratios, "aim": self.aim, "at_most": self.most, "met": self.met()}


def number(v):
    return f"{v:,.0f}" if v >= 1000 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"


def percentile(values, p):
    s = sorted(values)
    return s[min(len(s) - 1, int(len(s) * p / 100))]


# ---- processes ----
def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def cpu_exact(pid):
    """By the scheduler's own count, in nanoseconds, of every thread; utime and stime only have ticks of 10 ms."""
    total = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:
            pass
    return total / 1e9


def memory_mb(pid):
    """Resident, and of that what no other process could share. The second needs root: our daemons are not dumpable."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            kb = {k: int(v) for k, v in re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M)}
        return kb["Rss"] / 1024, (kb["Private_Clean"] + kb["Private_Dirty"]) / 1024
    except PermissionError:
        with open(f"/proc/{pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) / 1024, None


def tool(lab, name):
    return program(os.path.join("tests", "bench", name), lab.bin)


def output(p, pattern, seconds=60, what=None):
    """Waits until the process printed pattern; all matches."""
    def found():
        text = p.log_text().decode(errors="replace")
        m = re.findall(pattern, text, re.M)
        check(m or p.alive() or p.child.returncode == 0, f"{p.name} ended:\n{text[-2000:]}")
        return m
    return wait_for(what or f"{p.name}: {pattern}", found, seconds, every=0.02)


class Puncher:
    """bench_punch: a serial reader, a tail and a bare LMDB."""

    def __init__(self, lab, gw, name="gate"):
        os.makedirs(lab.path("bare"), exist_ok=True)
        self.link, self.lines = lab.path(f"tty-{name}"), 0
        self.proc = lab.proc(f"bench-{name}", [tool(lab, "bench_punch"), self.link,
                                               os.path.join(gw.runtime, "punchgate.sock"), lab.path("bare")],
                             commands=True)
        gw.buses.append({"name": name, "serial": self.link, "baud": 9600})
        gw.readers.append({"name": name, "bus": name, "driver": "ascii125", "layout": "A"})
        self.proc.start()
        output(self.proc, "^ready", 10)

    def run(self, command, seconds):
        """What it printed about this command."""
        self.proc.say(command)

        def done():
            lines = self.proc.log_text().decode().splitlines()
            check(self.proc.alive(), f"bench_punch ended: {lines[-3:]}")
            return lines if lines and lines[-1] == "done" and len(lines) > self.lines + 1 else None
        lines = wait_for(command, done, seconds, every=0.05)
        fresh, self.lines = lines[self.lines:-1], len(lines)
        return [line.split() for line in fresh]


# ---- the figures ----
def latency(n):
    """Punches from a serial line, and commits of bare LMDB, in turn on the same file system; the link is up, and a
    subscriber that stores nothing acknowledges."""
    p50 = Figure("read to durable, p50", "ms", "LMDB commit of one record")
    p99 = Figure("read to durable, p99", "ms", "LMDB commit of one record", 1.5)
    cpu = Figure("CPU a punch, punchgate at " + f"{n.latency_rate}/s", "us", "LMDB commit of one record")
    with Lab("bench-latency", n.bin) as lab:
        gw, p = sunk(lab)
        lab.broker.start()
        sink(lab, 1, 1 << 60)
        gw.start()
        gw.wait_readers()
        p.run("latency 5 20", 30)
        for _ in range(n.runs):
            began = cpu_exact(gw.proc.pid)
            got = p.run(f"latency {n.latency} {n.latency_rate}", 60 + 4 * n.latency / n.latency_rate)
            used = cpu_exact(gw.proc.pid) - began
            ms = {what: [int(v) / 1e6 for k, v in got if k == what] for what in ("punch", "commit", "commit_cpu")}
            for fig, at in ((p50, 50), (p99, 99)):
                fig.add(percentile(ms["punch"], at), percentile(ms["commit"], at))
            cpu.add(used / n.latency * 1e6, statistics.mean(ms["commit_cpu"]) * 1e3)
    return [p50, p99, cpu]


def sunk(lab, budget="256MiB"):
    """A gateway whose cloud is a subscriber of ours, and its reader."""
    lab.cloud.pki = lab.path("pki")
    pki.make_authority(lab.cloud.pki, [lab.host, "localhost"])
    root, recipient = pywire.new_key(), pywire.new_key()
    with open(lab.path("recipient"), "wb") as f:
        f.write(recipient.private_numbers().private_value.to_bytes(32, "big"))
    gw = Gateway(lab)
    gw.spool_settings = {"budget": budget}
    p = Puncher(lab, gw)
    gw.keygen()
    gw.ctl("enrol", enrol(lab, gw, root, [recipient], 1)[2])
    return gw, p


def sink(lab, epoch, records, *file):
    ends = [os.path.join(lab.cloud.pki, f) for f in ("ca.crt", "cloud.crt", "cloud.key")]
    p = lab.proc(f"sink{epoch}", [tool(lab, "bench_mqtt"), "sink", lab.host, lab.broker.port, *ends, "punchcloud",
                                  records, lab.path("recipient"), epoch, *file]).start()
    output(p, "^ready", 20)
    return p


def drain(n):
    """A backlog against a subscriber that acknowledges; the same messages by libmosquitto alone, to one that does not."""
    rate = Figure("drain of a backlog", "punches/s", "libmosquitto, QoS 1, window 16, same messages, no acks", 0.5,
                  most=False)
    bare = BARE * n.drain
    fill = Figure("punches stored as fast as they come", "punches/s", "")
    with Lab("bench-drain", n.bin) as lab:
        lab.broker.observer("bench-pub", "topic write bench/up")
        lab.broker.observer("bench-sub", "topic read bench/up")
        gw, p = sunk(lab, "512MiB")
        gw.start()
        gw.wait_readers()
        took = int(p.run(f"flood {n.drain}", 120 + n.drain / 200)[-1][2]) / 1e9
        fill.add(n.drain / took)
        lab.broker.start()

        def once(i):
            """The first time from the spool; then the epoch rises and everything retained is offered again."""
            file = lab.path("uploads")
            cloud = sink(lab, i + 1, n.drain, file)
            gw.start()
            value = rate_of(output(cloud, r"^rate (\d+) (\d+) (\d+)", 300))
            gw.proc.stop()
            sub, pub = [os.path.join(lab.cloud.pki, "ca.crt"), *lab.client_cert("bench-sub")], \
                [os.path.join(lab.cloud.pki, "ca.crt"), *lab.client_cert("bench-pub")]
            listen = lab.proc(f"listen{i}", [tool(lab, "bench_mqtt"), "listen", lab.host, lab.broker.port, *sub,
                                             "bench-sub", bare])
            listen.start()
            output(listen, "^ready", 20)
            lab.proc(f"publish{i}", [tool(lab, "bench_mqtt"), "publish", lab.host, lab.broker.port, *pub, "bench-pub",
                                     bare, file]).start()
            rate.add(value, rate_of(output(listen, r"^rate (\d+) (\d+) (\d+)", 300)))
        gw.proc.stop()
        for i in range(n.runs):
            once(i)
    return [rate, fill]


def rate_of(matches):
    records, _, ns = map(int, matches[-1])
    return records / (max(ns, 1) / 1e9)


def ingest(n):
    """punchcloud's ingest by its seam (ingest_put), and the rows that it made by bare inserts."""
    rate = Figure("cloud ingest into SQLite", "punches/s", "bare inserts of the same rows, same batches", 0.5,
                  most=False)
    cpu = Figure("CPU a punch, cloud ingest", "us", "bare inserts of the same rows, same batches")
    with Lab("bench-ingest", n.bin) as lab:
        for _ in range(n.runs):
            out = lab.run([tool(lab, "bench_ingest"), n.ingest, n.people], timeout=600).stdout
            got = {what: (int(c) / (int(ns) / 1e9), int(used) / int(c) / 1e3)
                   for what, c, ns, used, _ in (line.split() for line in out.splitlines())}
            rate.add(got["ingest"][0], got["insert"][0])
            cpu.add(got["ingest"][1], got["insert"][1])
    return [rate, cpu]


def building(lab):
    """A whole installation but for its readers. Returns the gateway and a token."""
    lab.cloud.init()
    lab.cloud.tenant("bench")
    token = lab.cloud.token("bench")
    lab.broker.start()
    lab.cloud.start()
    return Gateway(lab), token


def processes(n):
    """Everything at a steady rate."""
    gate, cloud, broker = (Figure(f"CPU a punch at {n.cpu_rate}/s, {p}", "us", "") for p in
                           ("punchgate", "punchcloud", "broker"))
    with Lab("bench-cpu", n.bin) as lab:
        gw, _ = building(lab)
        cards = 4 * n.cpu_rate  # each comes again after 4 s, twice the time within which it would be a repeat
        sim = gw.reader(Serial(lab, "gate", seed=1, cards=cards)).start()
        gw.enrol("bench", "hq").start()
        gw.wait_readers()
        for _ in range(cards):  # an unknown card costs the cloud a key, once
            sim.present()
        wait_for("every card to be known", lambda: gw.status()["punches"] >= cards, 30)
        gw.wait_drained()
        for _ in range(n.runs):
            before = {p: cpu_exact(p.pid) for p in (gw.proc, lab.cloud.proc, lab.broker.proc)}
            stored = gw.status()["punches"]
            sim.go(n.cpu_rate)
            time.sleep(n.cpu / n.cpu_rate)
            sim.go(0)
            gw.wait_drained()
            count = gw.status()["punches"] - stored
            check(count > 0, "no punches")
            for fig, p in ((gate, gw.proc), (cloud, lab.cloud.proc), (broker, lab.broker.proc)):
                fig.add((cpu_exact(p.pid) - before[p]) / count * 1e6)
        lab.stop_daemons()
    return [gate, cloud, broker]


def poll(n):
    """100 Modbus polls a second over TCP."""
    cpu = Figure("punchgate at 100 Modbus polls/s", "% of a core", "libmodbus alone, same polls")
    limit = Figure("punchgate at 100 Modbus polls/s, CPU", "% of a core", "", 2.7)
    rss = Figure("punchgate at 100 Modbus polls/s, resident", "MB", "", 6.0)
    own = Figure("punchgate at 100 Modbus polls/s, private", "MB", "")
    beep = Figure("card shown to flag cleared, 10 ms polls, p50", "ms", "")
    with Lab("bench-poll", n.bin) as lab:
        gw, _ = building(lab)
        sim = gw.reader(ModbusTcp(lab, "lift", seed=1, rate=0), poll="10ms").start()
        gw.enrol("bench", "hq").start()
        gw.wait_readers()
        for _ in range(3):
            sim.present()
            time.sleep(0.3)
        gw.wait_drained()
        for i in range(n.runs):
            used, polls = polled(gw, n.poll_s)
            share = used / polls * 100 * 100
            bare = lab.proc(f"poll{i}", [tool(lab, "bench_poll"), lab.host, sim.port, 10]).start()
            output(bare, "^ready", 10)
            before, t = cpu_exact(bare.pid), time.monotonic()
            time.sleep(n.poll_s)
            cpu.add(share, (cpu_exact(bare.pid) - before) / (time.monotonic() - t) * 100)
            bare.kill()
            limit.add(share)
            resident, private = memory_mb(gw.proc.pid)
            rss.add(resident)
            if private is not None:
                own.add(private)
            sim.present()
            time.sleep(0.2)
        events = sim.events()
        shown = {e["seq"]: e["mono_ns"] for e in events if e["event"] == "present"}
        waits = [(e["mono_ns"] - shown[e["seq"]]) / 1e6 for e in events if e["event"] == "cleared"]
        beep.add(percentile(waits, 50))
        lab.stop_daemons()
    return [limit, cpu, rss] + ([own] if own.values else []) + [beep]


def polled(gw, seconds):
    """CPU seconds and polls of the gateway over some seconds."""
    def polls():
        return gw.status()["readers"][0]["polls"]
    count, used = polls(), cpu_exact(gw.proc.pid)
    time.sleep(seconds)
    used = cpu_exact(gw.proc.pid) - used
    return used, max(1, polls() - count)


def owner(lab, tenant):
    """Its first, and a token of his for everything: rights are looked up, reads go on record."""
    someone = Human(lab.cloud, tenant, "owner").invited("owner").enrol().log_in().step_up()
    perms = ["people.read", "people.change", "punches.read"]
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))
    return someone.post("/v1/tokens", {"label": "bench", "permissions": perms, "expires": expires})["token"]


class Page:
    """A page of 100, 8 connections kept alive; the same bytes by libmicrohttpd alone."""
    LIMIT = "libmicrohttpd over TLS, same bytes"

    def __init__(self, lab, path, token, what):
        self.lab, self.path, self.token = lab, path, token
        self.rate = Figure(f"GET {what}", "requests/s", self.LIMIT)
        self.p99 = Figure(f"GET {what}, p99", "ms", self.LIMIT)
        page = lab.cloud.api(token).call("GET", path)
        check(page.status_code == 200 and len(page.json()["items"]) == 100, f"no page of 100: {page.text[:300]}")
        with open(lab.path("page"), "wb") as f:
            f.write(page.content)
        self.bare = lab.proc("bench-http", [tool(lab, "bench_http"), os.path.join(lab.cloud.pki, "api.crt"),
                                            os.path.join(lab.cloud.pki, "api.key"), lab.path("page"), 4], commands=True)
        self.bare.start()
        self.port = int(output(self.bare, r"^port (\d+)", 10)[0])

    def measure(self, n):
        for _ in range(n.runs):
            ours = wrk(self.lab, self.lab.cloud.api_port, self.path, self.token, n.http_s)
            theirs = wrk(self.lab, self.port, self.path, self.token, n.http_s)
            self.rate.add(ours[0], theirs[0])
            self.p99.add(ours[1], theirs[1])
        self.bare.kill()
        return [self.rate, self.p99]


def http(n):
    """Pages of punches, with rights looked up and reads on record; the same bytes by libmicrohttpd alone."""
    with Lab("bench-http", n.bin) as lab:
        gw, _ = building(lab)
        token = owner(lab, "bench")
        p = Puncher(lab, gw)
        gw.enrol("bench", "hq").start()
        gw.wait_readers()
        p.run(f"flood {n.day}", 60)
        gw.wait_drained()
        figures = Page(lab, "/v1/punches?limit=100", token, "/v1/punches, 100 of a day").measure(n)
        gw.proc.stop()
        lab.cloud.proc.stop()
    return figures


def people(n):
    """Pages of people, with rights looked up and reads on record; the same bytes by libmicrohttpd alone."""
    with Lab("bench-people", n.bin) as lab:
        building(lab)
        token = owner(lab, "bench")
        api = lab.cloud.api(token)
        for i in range(n.everybody):
            api.post("/v1/people", {"name": f"Person {i}", "personnel_number": str(i)})
        figures = Page(lab, "/v1/people?limit=100", token, f"/v1/people, 100 of {n.everybody}").measure(n)
        lab.stop_daemons()
    return figures


class Peak:
    """The most that a process has resident while this lasts, in MB."""

    def __init__(self, pid):
        self.pid, self.mb, self.over = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.over.wait(0.02):
            self.mb = max(self.mb, memory_mb(self.pid)[0])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def logins(n):
    """As many as there can be; and what a flood of them does to everybody else."""
    rate = Figure("logins as fast as they go", "logins/s", "libargon2 alone, same cost, as many threads", 0.8, most=False)
    p99 = Figure("GET /v1/people beside 200 logins/s, p99", "ms", "the same without logins", 3)
    rss = Figure("punchcloud after a flood of logins, resident", "MB", "before", 1.2)
    peak = Figure("punchcloud in a flood of logins, most", "MB", "before, and a hash's memory for each thread", 1.2)
    with Lab("bench-logins", n.bin) as lab:
        building(lab)
        token = owner(lab, "bench")
        path = "/v1/people?limit=10"
        crowd_ = [Human(lab.cloud, "bench", f"user{i}") for i in range(20)]
        for h in crowd_:
            h.invited(None, "--emergency", "bench")
        threads = max(1, os.cpu_count() // 2)
        for _ in range(n.runs):
            with crowd.Logins(lab, crowd_, None, 4) as flood:
                time.sleep(n.http_s)
                done, spent = flood.answers.get(201, 0), time.monotonic() - flood.began
            bare = lab.run([tool(lab, "bench_argon2"), 65536, 3, 1, threads, n.http_s]).stdout
            hashes, seconds = re.search(r"hashes (\d+) seconds ([\d.]+)", bare).groups()
            rate.add(done / spent, int(hashes) / float(seconds))
            idle = percentile(crowd.ask(lab, path, token, 40, n.crowd_s / 3), 99)
            before = memory_mb(lab.cloud.proc.pid)[0]
            with crowd.Logins(lab, crowd_, 200, 16) as flood, Peak(lab.cloud.proc.pid) as most:
                p99.add(percentile(crowd.ask(lab, path, token, 40, n.crowd_s), 99), idle)
            peak.add(most.mb, before + threads * 64)
            rss.add(memory_mb(lab.cloud.proc.pid)[0], before)
            check(not flood.errors, f"connections failed: {flood.errors[:3]}")
            check(set(flood.answers) <= {201, 503}, f"answers {flood.answers}")
        lab.stop_daemons()
    return [rate, p99, peak, rss]


def wrk(lab, port, path, token, seconds):
    """Requests a second and the 99th percentile in ms."""
    out = lab.run(["wrk", "-t1", "-c8", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}",
                   f"https://{lab.host}:{port}{path}"]).stdout
    check("Non-2xx" not in out and "Socket errors" not in out, out)
    ms = {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", out).groups()
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), float(value) * ms[unit]


FIGURES = {f.__name__: f for f in (latency, drain, ingest, processes, poll, http, people, logins)}


# ---- the tool ----
def table(figures):
    head = ["figure", "value", "limit", "ratio (spread)", "aim", "verdict", "the limit is"]
    rows = [head] + [f.row() for f in figures]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    return "\n".join("  ".join(c.rjust(w) if i in (1, 2) else c.ljust(w) for i, (c, w) in enumerate(zip(r, widths)))
                     .rstrip() for r in rows)


def machine(began):
    with open("/proc/loadavg") as f:
        load = " ".join(f.read().split()[:3])
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return (f"{os.cpu_count()} cores ({model.group(1) if model else 'unknown'}), load average {began} before and {load} "
            f"after, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, {os.uname().release}")


def arguments():
    p = argparse.ArgumentParser(prog="scripts/bench", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--runs", type=int, help=f"how often each is measured ({FULL['runs']})")
    p.add_argument("--only", help="only these, with commas: " + ", ".join(FIGURES))
    p.add_argument("--quick", action="store_true", help="small counts: a first impression within a minute or two")
    p.add_argument("--check", action="store_true", help="tiny counts; says only whether every figure came out")
    p.add_argument("--svg", default=os.path.join(ROOT, "build", "bench.svg"), help="where the plot goes")
    p.add_argument("--json", action="store_true", help="every single value, instead of the table")
    p.add_argument("--list", action="store_true", help="what there is to measure")
    return p.parse_args()


def main():
    a = arguments()
    if a.list:
        print("\n".join(f"{name:10} {f.__doc__}" for name, f in FIGURES.items()))
        return 0
    for number_ in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number_, lambda *_: sys.exit(1))
    n = argparse.Namespace(**(CHECK if a.check else QUICK if a.quick else FULL), bin=find_bin())
    n.runs = a.runs or n.runs
    names = a.only.split(",") if a.only else list(FIGURES)
    unknown = [x for x in names if x not in FIGURES]
    check(not unknown, f"there is no {unknown}; use {', '.join(FIGURES)}")
    with open("/proc/loadavg") as f:
        began = " ".join(f.read().split()[:3])
    figures = []
    for name in names:
        print(f"measuring {name}, {n.runs} runs", file=sys.stderr, flush=True)
        figures += FIGURES[name](n)
    check(all(f.values for f in figures), "a figure did not come out")
    if a.check:
        print(f"PASS {len(figures)} figures of {len(names)} measurements came out")
        return 0
    foot = machine(began)
    if a.json:
        print(json.dumps({"machine": foot, "figures": [f.as_json() for f in figures]}, indent=1))
    else:
        print(table(figures) + f"\n\n{foot}")
    os.makedirs(os.path.dirname(os.path.abspath(a.svg)), exist_ok=True)
    with open(a.svg, "w") as f:
        f.write(plot.svg(figures, foot))
    print(f"plot: {os.path.relpath(a.svg)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as e:
        sys.exit(f"FAIL {e}")
