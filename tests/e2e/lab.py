"""A whole throw-away installation: certificate authority, broker, punchcloud, punchgate and simulated readers.

    with Lab("lossless") as lab:
        lab.cloud.init(); lab.broker.start(); lab.cloud.start() ...

Leaving the block, also by a failure or a SIGTERM, ends every process that it started and removes every file that it
made. The programs are taken from $PUNCH_BIN (ctest sets it), else from build/asan or build/release of the tree.
"""
import argparse
import atexit
import datetime
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings

import requests
import yaml

import pki
import pywire
from proc import Failure, Proc, check, free_port, port_open, sanitizer_findings, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SIM = os.path.join(ROOT, "tests", "sim")
# Sanitizer builds on a busy two-core machine need patience; these are deadlines, not measurements.
PATIENCE = float(os.environ.get("PUNCH_PATIENCE", "1"))


def find_bin():
    """The folder(s) with the programs under test."""
    given = os.environ.get("PUNCH_BIN")
    candidates = [given] if given else [os.path.join(ROOT, "build", b) for b in ("asan", "release")]
    for c in candidates:
        if os.path.exists(os.path.join(c, "daemon", "punchgate")) or os.path.exists(os.path.join(c, "punchgate")):
            return os.path.abspath(c)
    raise Failure(f"no punchgate below {candidates}: build it, or set PUNCH_BIN to the build folder")


def program(name, bin_dir=None):
    base = bin_dir or find_bin()
    for path in (os.path.join(base, "daemon", name), os.path.join(base, "api", name), os.path.join(base, name),
                 os.path.join(base, "tests", "fault", name), os.path.join(base, "tests", "e2e", name)):
        if os.path.exists(path):
            return path
    raise Failure(f"{name} is not below {base}")


class Api:
    """The cloud's HTTPS API as a user's program sees it: the certificate is checked, every answer is JSON."""
    recorded = set()

    def __init__(self, port, ca, token=None):
        self.base, self.token = f"https://127.0.0.1:{port}", token
        self.session = requests.Session()
        self.session.verify = ca
        self.session.trust_env = False
        self.holder, self.handed_out = None, set()

    def call(self, method, path, body=None, token=..., **query):
        token = self.token if token is ... else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        r = self.session.request(method, self.base + path, json=body, headers=headers, timeout=30,
                                 params={k: v for k, v in query.items() if v is not None})
        self.record(r)
        return r

    @staticmethod
    def record(r):
        """What was answered, for tests/contract/check.py, as tests/unit/api_client.h writes it."""
        folder = os.environ.get("PUNCH_EXCHANGES")
        if not folder:
            return
        os.makedirs(folder, exist_ok=True)
        name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        mode = "a" if name in Api.recorded else "w"
        Api.recorded.add(name)
        body = r.request.body
        line = {"method": r.request.method, "path": r.request.path_url, "status": r.status_code,
                "request": body.decode() if isinstance(body, bytes) else body,
                "head": "".join(f"{k}: {v}\r\n" for k, v in r.headers.items()), "body": r.text}
        with open(os.path.join(folder, f"e2e_{name}.jsonl"), mode) as f:
            f.write(json.dumps(line) + "\n")

    def get(self, path, **query):
        r = self.call("GET", path, **query)
        check(r.status_code == 200, f"GET {path} {query}: {r.status_code} {r.text[:300]}")
        return r.json()

    def post(self, path, body, expect=201):
        r = self.call("POST", path, body)
        check(r.status_code == expect, f"POST {path}: {r.status_code} {r.text[:300]}")
        return r.json() if r.text else None

    def punches(self, page=1000, **query):
        """Every punch that the query yields, page after page."""
        cursor, items = None, []
        for _ in range(10000):
            answer = self.get("/v1/punches", limit=page, cursor=cursor, **query)
            items += answer["items"]
            cursor = answer["next"]
            if not cursor:
                return items
        raise Failure("GET /v1/punches: pages without end")

    def with_cards(self, items, cards):
        """The punches as they are, with the whole of their cards, which the API tells nobody but who holds them: each of
        `cards` (technology and bits as gateways say them, hex) that nobody holds is handed to one person, and the
        exports of all who hold one tell. A punch with any other card is left without, so that it matches none."""
        if self.holder is None:
            self.holder = self.post("/v1/people", {"name": "Holder of cards"})["id"]
        for tech, bits, data in set(cards) - self.handed_out:
            r = self.call("POST", f"/v1/people/{self.holder}/credentials",
                          {"tech": pywire.TECHS[tech], "bits": bits, "data": data})
            check(r.status_code in (201, 409, 422), f"handing out {data}: {r.status_code} {r.text[:300]}")
            self.handed_out.add((tech, bits, data))
        people = {self.holder} | {it["person"]["id"] for it in items if it["person"]}
        whole = {p["id"]: p["credential"] for person in people
                 for p in self.get(f"/v1/people/{person}/export")["punches"]}
        return [{**it, "credential": whole.get(it["id"], it["credential"])} for it in items]

    def ready(self):
        try:
            return self.call("GET", "/readyz", token=None).status_code == 200
        except requests.RequestException:
            return False


class Broker:
    """A real Mosquitto with the repository's configuration: mutual TLS, access by pattern."""

    def __init__(self, lab):
        self.lab, self.dir, self.port = lab, lab.path("broker"), free_port()
        self.proc = None
        self.extra_acl, self.bind = [], lab.host

    def observer(self, cn, *rules):
        """Lines of ACL for a client of a test's own; takes effect at the next start."""
        self.extra_acl.append("\n".join([f"user {cn}", *rules]))

    def configure(self):
        os.makedirs(self.dir, exist_ok=True)
        acl, conf = os.path.join(self.dir, "acl"), os.path.join(self.dir, "mosquitto.conf")
        with open(os.path.join(ROOT, "config", "mosquitto.acl")) as f:
            rules = f.read()
        with open(acl, "w") as f:
            f.write("\n\n".join([rules, *self.extra_acl, ""]))
        with open(os.path.join(ROOT, "config", "mosquitto.conf.in")) as f:
            text = f.read()
        for mark, value in (("listener @PORT@", f"listener {self.port} {self.bind}"), ("@PKI@", self.lab.cloud.pki),
                            ("@ACL@", acl)):
            check(mark in text, f"config/mosquitto.conf.in has no {mark}")
            text = text.replace(mark, value)
        text += "log_dest stdout\n"
        if os.geteuid() == 0:
            text += "user root\n"  # the throw-away folder is ours alone
        with open(conf, "w") as f:
            f.write(text)

    def start(self, wait=True):
        self.configure()
        if self.proc is None:
            argv = ["/usr/sbin/mosquitto", "-c", os.path.join(self.dir, "mosquitto.conf")]
            self.proc = self.lab.proc("mosquitto", argv, cwd=self.dir)
        self.proc.start()
        if wait and not self.lab.netns:
            wait_for("the broker to listen", lambda: self._up(), 20 * PATIENCE)
        return self

    def _up(self):
        check(self.proc.alive(), "mosquitto ended:\n" + self.proc.log_text()[-2000:].decode(errors="replace"))
        return port_open(self.port)


class Cloud:
    """punchcloud, with its state folder and configuration."""

    def __init__(self, lab, name="cloud"):
        self.lab, self.dir = lab, lab.path(name)
        os.makedirs(self.dir, exist_ok=True)
        self.state = os.path.join(self.dir, "state")
        self.pki = os.path.join(self.state, "pki")
        self.config = os.path.join(self.dir, "punchcloud.yaml")
        self.api_port = free_port()
        self.proc, self.program_name = None, "punchcloud"  # which `run` is; commands are always the real one's
        self.env, self.listener = {}, {}  # listener: more keys below `api`
        self.operator_token = None

    def settings(self, broker_address):
        return {"state": self.state, "escrow": [os.path.join(self.dir, "escrow")], "log": "info",
                "api": {"listen": f"{self.lab.host}:{self.api_port}", "names": ["localhost", self.lab.host],
                        **self.listener},
                "limits": {"source": 0, "token": 0, "tenant": 0},  # tests and benchmarks ask as fast as they can
                "ingest": {"backoff_min": "200ms", "backoff_max": "2s"},
                "broker": {"address": broker_address,
                           "names": sorted({"localhost", self.lab.host, self.lab.broker_name})}}

    def configure(self, broker_address=None, **changes):
        s = self.settings(broker_address or f"{self.lab.host}:{self.lab.broker.port}")
        s.update(changes)
        write_yaml(self.config, s)

    def ctl(self, *args, expect=0):
        return self.lab.run([self.lab.program("punchcloud"), *args, "--config", self.config], expect=expect)

    def init(self):
        self.configure()
        out = self.ctl("init").stdout
        self.operator_token = find_one(r"operator token: (pct_\S+)", out)
        return self

    def tenant(self, name):
        self.ctl("tenant", "add", name)
        return name

    def token(self, tenant, *more):
        return find_one(r"token: (pct_\S+)", self.ctl("token", "add", "--tenant", tenant, *more).stdout)

    def start(self, wait=True):
        self.configure()
        if self.proc is None:
            argv = [self.lab.program(self.program_name), "run", "--config", self.config]
            self.proc = self.lab.proc("punchcloud", argv, cwd=self.dir)
        self.proc.env = dict(self.env)
        self.proc.start()
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=30):
        api = self.api(None)

        def up():
            check(self.proc.alive(), "punchcloud ended:\n" + self.proc.log_text()[-3000:].decode(errors="replace"))
            return api.ready()
        wait_for("punchcloud to be ready", up, seconds * PATIENCE)

    def api(self, token):
        return Api(self.api_port, os.path.join(self.pki, "ca.crt"), token)

    def status(self):
        return json.loads(self.ctl("status", "--json").stdout)


class Gateway:
    """punchgate, with its keys, spool and configuration."""

    def __init__(self, lab, name="gw", program_name="punchgate"):
        self.lab, self.name, self.program_name = lab, name, program_name
        self.dir = lab.path(name)
        os.makedirs(self.dir, exist_ok=True)
        self.state, self.runtime = os.path.join(self.dir, "state"), os.path.join(self.dir, "run")
        self.config = os.path.join(self.dir, "punchgate.yaml")
        self.buses, self.readers = [], []
        self.uplink = {"backoff_min": "200ms", "backoff_max": "2s", "keepalive": "5s", "ack_timeout": "3s"}
        self.spool_settings = {"budget": "64MiB"}
        self.profiles = os.path.join(ROOT, "config", "profiles")
        self.env = {}
        self.proc = None
        self.id = None

    def reader(self, sim, **settings):
        """Adds a simulated reader: a bus of its own and the reader on it."""
        bus, reader = sim.bus_settings(), {**sim.reader_settings(), **settings}
        self.buses.append(bus)
        self.readers.append(reader)
        return sim

    def configure(self, **changes):
        s = {"state": self.state, "runtime": self.runtime, "log": "info",
             "profiles": self.profiles, "spool": self.spool_settings, "uplink": self.uplink,
             "buses": self.buses, "readers": self.readers}
        s.update(changes)
        write_yaml(self.config, {k: v for k, v in s.items() if v is not None})

    def ctl(self, *args, expect=0):
        return self.lab.run([self.lab.program(self.program_name), *args, "--config", self.config], expect=expect)

    def keygen(self):
        self.configure()
        self.request = os.path.join(self.dir, "request.txt")
        self.ctl("keygen", "--out", self.request)
        return self

    def enrol(self, tenant, site, broker_address=None):
        """keygen, `gateway add` at the cloud (which hands out broker_address), enrol."""
        if not os.path.exists(os.path.join(self.dir, "request.txt")):
            self.keygen()
        bundle = os.path.join(self.dir, "bundle.txt")
        cloud = self.lab.cloud
        cloud.configure(broker_address)
        cloud.ctl("gateway", "add", "--tenant", tenant, "--site", site, "--request", self.request, "--out", bundle)
        cloud.configure()
        with open(self.request) as f:
            self.id = pywire.parse_request(f.read())[0].hex()
        self.ctl("enrol", bundle)
        return self

    def enrol_again(self, tenant, site):
        """The same request answered once more. Returns the new generation."""
        self.enrol(tenant, site)
        with open(os.path.join(self.dir, "bundle.txt")) as f:
            return pywire.parse_bundle(f.read())["gen"]

    def start(self, wait=True):
        self.configure()
        if self.proc is None:
            argv = [self.lab.program(self.program_name), "run", "--config", self.config]
            self.proc = self.lab.proc(self.name, argv, cwd=self.dir)
        self.proc.env = dict(self.env)
        self.proc.start()
        if wait:
            self.wait_up()
        return self

    def wait_up(self, seconds=30):
        def up():
            check(self.proc.alive(), f"{self.name} ended:\n" + self.proc.log_text()[-3000:].decode(errors="replace"))
            return self.lab.run([self.lab.program(self.program_name), "status", "--config", self.config],
                                expect=None).returncode == 0
        wait_for(f"{self.name} to answer", up, seconds * PATIENCE, every=0.1)

    def wait_readers(self, seconds=30):
        """A serial reader speaks to nobody until its line is open."""
        wait_for("the readers to be up", lambda: all(r["up"] for r in self.status()["readers"]), seconds * PATIENCE, 0.1)

    def status(self):
        return json.loads(self.ctl("status", "--json").stdout)

    def spool(self):
        return json.loads(self.ctl("spool", "--json").stdout)

    def wait_drained(self, seconds=60):
        """Until the cloud has acknowledged everything that the spool holds."""
        def drained():
            r = self.lab.run([self.lab.program(self.program_name), "spool", "--json", "--config", self.config],
                             expect=None)
            return r.returncode == 0 and json.loads(r.stdout)["unacked"] == 0
        try:
            wait_for("every record to be acknowledged by the cloud", drained, seconds * PATIENCE, every=0.2)
        except Failure:
            raise Failure(f"not drained: {json.dumps(self.spool())[:1500]}") from None

    def hash_key(self):
        with open(os.path.join(self.runtime, "hash.key"), "rb") as f:
            return f.read()


class Lab:
    host = "127.0.0.1"

    def __init__(self, name="lab", bin_dir=None, keep=False, netns=None, broker_name="localhost"):
        self.name, self.keep, self.netns, self.broker_name = name, keep, netns, broker_name
        self.bin = bin_dir or find_bin()
        self.dir = tempfile.mkdtemp(prefix=f"punch-{name}-")
        self.procs, self.closers = [], []
        self._closed = False
        atexit.register(self.close)
        self.cloud = Cloud(self)
        self.broker = Broker(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        findings = sanitizer_findings([p.log for p in self.procs])
        if kind is not None and kind is not SystemExit:
            self.show_logs()
        self.close()
        if kind is None and findings:
            raise Failure("found in the logs:\n  " + "\n  ".join(findings[:20]))

    # ---- pieces ----
    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def program(self, name):
        return program(name, self.bin)

    def proc(self, name, argv, **kw):
        """A child whose end is ours to see to. In a namespace of the test's own when the lab has one."""
        if self.netns:
            argv = ["ip", "netns", "exec", self.netns, *argv]
        os.makedirs(self.path("logs"), exist_ok=True)
        p = Proc(name, argv, self.path("logs", f"{name}.log"), **kw)
        self.procs.append(p)
        return p

    def run(self, argv, expect=0, timeout=60, env=None):
        """A command to its end; its output is returned, and any sanitizer report is a failure."""
        if self.netns:
            argv = ["ip", "netns", "exec", self.netns, *argv]
        try:
            r = subprocess.run([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, timeout=timeout * PATIENCE, cwd=self.dir,
                               env={**os.environ, **(env or {})})
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(map(str, argv))}: no end within {timeout * PATIENCE:g} s") from None
        for mark in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
            check(mark not in r.stderr, f"{' '.join(map(str, argv))}:\n{r.stderr}")
        if expect is not None:
            check(r.returncode == expect, f"{' '.join(map(str, argv))}: exit {r.returncode}, not {expect}\n"
                  f"{r.stdout[-1500:]}{r.stderr[-3000:]}")
        return r

    def client_cert(self, cn):
        """A client certificate of the installation's CA for an observer, a forger or a gateway of the test's own."""
        crt, key = self.path(f"{cn}.crt"), self.path(f"{cn}.key")
        pki.issue(self.cloud.pki, cn, crt, key)
        return crt, key

    def on_close(self, function):
        self.closers.append(function)

    def show_logs(self, lines=25):
        for p in self.procs:
            text = p.log_text().decode(errors="replace").splitlines()
            print(f"---- {p.name}: {p.log} ({'alive' if p.alive() else 'ended'}), last lines", file=sys.stderr)
            print("\n".join(text[-lines:]), file=sys.stderr)

    def stop_daemons(self):
        """An orderly end: each must leave with 0 when asked."""
        for p in self.procs:
            if p.name.startswith("punch") or p.name.startswith("gw"):
                code = p.stop(30 * PATIENCE)
                check(code in (0, None), f"{p.name} left with {code} when asked to end")

    def close(self):
        if self._closed:
            return
        self._closed = True
        for p in reversed(self.procs):
            p.end()
        for function in reversed(self.closers):
            try:
                function()
            except Exception as e:  # a clean-up goes on whatever happens
                print(f"clean-up: {e}", file=sys.stderr)
        if self.keep:
            print(f"kept: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        atexit.unregister(self.close)


# ---- small helpers ----
def write_yaml(path, value):
    with open(path, "w") as f:
        yaml.safe_dump(value, f, sort_keys=False, allow_unicode=True)


def find_one(pattern, text):
    m = re.search(pattern, text)
    check(m, f"expected {pattern!r} in: {text[-1000:]}")
    return m.group(1)


def arguments(description, **defaults):
    """--seed, --rounds, --seconds, --keep. The soak passes larger numbers than the test's defaults."""
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--seed", type=int, default=int(os.environ.get("PUNCH_SEED") or
                                                        int.from_bytes(os.urandom(4), "big")))
    p.add_argument("--keep", action="store_true", help="keep the folder with state and logs")
    for name, value in defaults.items():
        p.add_argument(f"--{name}", type=type(value), default=value)
    return p.parse_args()


def main(test, description, limit, **defaults):
    """Runs test(args, rng): prints seed, rounds and one PASS or FAIL line. `limit` s is the test's own deadline:
    it ends with a clean-up, as a SIGTERM does."""
    args = arguments(description, **defaults)
    shown = " ".join(f"{k}={v}" for k, v in vars(args).items() if k != "keep")
    name = os.path.basename(sys.argv[0])
    print(f"{name}: {shown}", flush=True)
    warnings.simplefilter("ignore")

    def on_signal(number, _frame):
        signal.alarm(0)
        raise SystemExit(f"{name}: ended by {signal.Signals(number).name}")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, on_signal)
    signal.alarm(int(limit * PATIENCE))
    began = time.monotonic()
    try:
        test(args, random.Random(args.seed))
    except Failure as e:
        print(f"FAIL {name} seed={args.seed}: {e}", flush=True)
        sys.exit(1)
    print(f"PASS {name} {time.monotonic() - began:.1f} s", flush=True)


def utc(us):
    return datetime.datetime.fromtimestamp(us / 1e6, datetime.timezone.utc)
