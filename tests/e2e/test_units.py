#!/usr/bin/python3
"""The units, started for real: `cmake --install` into a container booted with systemd, a broker with our configuration,
punchcloud and punchgate under their own users and in their sandboxes, a reader on a pty, and what a technician does as
root. Killed and hanging processes come back, nothing is written where it should not be, the journal names no card.

Where the machine cannot run a container, the units are looked at by systemd-analyze only, and the test counts as
skipped (77). The release build is what is tested: sanitizers do not run in such a sandbox.
"""
import json
import os
import re
import subprocess
import sys
import time
import types
import urllib.parse

import yaml

from container import Container, Unavailable
from lab import PATIENCE, ROOT, Api, Lab, find_one, main
from proc import Failure, check, wait_for

SKIPPED = 77
SRC = "/punchline"
RELEASE = os.environ.get("PUNCH_RELEASE", os.path.join(ROOT, "build", "release"))
DAEMONS = ("punchgate", "punchcloud")
API = "https://127.0.0.1:8443"
BROKER = """\
[Service]
ExecStart=
ExecStart=/usr/sbin/mosquitto -c /etc/mosquitto/punchline.conf
"""
# A pty is no device of a gateway; and nobody wants to wait for a minute.
GATE = "[Service]\nDeviceAllow=char-pts rw\nWatchdogSec=8\nExecStartPre=/usr/bin/perl /usr/local/lib/clock.pl\n"
# What the gateway asks for the state of the clock has to be allowed in its sandbox; it asks without a word when it is not.
# syscall(2) adjtimex and clock_adjtime, with all zero: only to read.
CLOCK = {"x86_64": (159, 305), "aarch64": (171, 266)}.get(os.uname().machine)
CLOCK_PL = "exit 0;" if not CLOCK else ('$t = pack("x256"); '
                                        f"exit(syscall({CLOCK[0]}, $t) < 0 || syscall({CLOCK[1]}, 0, $t) < 0);")
CLOUD = "[Service]\nWatchdogSec=10\n"
STATUS = {"punchgate": "storing punches", "punchcloud": "serving"}


def install(box):
    env = {**os.environ, "DESTDIR": box.root}
    r = subprocess.run(["cmake", "--install", RELEASE, "--prefix", "/usr"], env=env, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(r.returncode == 0, f"cmake --install: {r.stdout[-2000:]}")
    box.write("/etc/systemd/system/mosquitto.service.d/test.conf", BROKER)
    box.write("/usr/local/lib/clock.pl", CLOCK_PL)
    box.write("/etc/systemd/system/punchgate.service.d/test.conf", GATE)
    box.write("/etc/systemd/system/punchcloud.service.d/test.conf", CLOUD)


def owned(box, user, *folders):
    """Everything in there is the user's, and no folder is anybody else's to enter."""
    bad = box.run("find", *folders, "-not", "-user", user, "-o", "-not", "-group", user, "-o", "-type", "d", "-perm",
                  "/077", "-o", "-name", "*.key", "-perm", "/077").stdout
    check(not bad, f"not {user}'s alone:\n{bad}")


def set_up_cloud(box):
    """What README says, by root."""
    box.run("systemd-sysusers")
    box.run("systemd-tmpfiles", "--create", "punchgate.conf", "punchcloud.conf")
    box.write("/etc/punchcloud.yaml", yaml.safe_dump({"broker": {"address": "127.0.0.1:8883"}}))
    token = find_one(r"operator token: (pct_\S+)", box.run("punchcloud", "init").stdout)
    box.run("punchcloud", "tenant", "add", "acme")
    tenant_token = find_one(r"token: (pct_\S+)", box.run("punchcloud", "token", "add", "--tenant", "acme").stdout)
    owned(box, "punchcloud", "/var/lib/punchcloud", "/var/lib/punchcloud-escrow")
    check(token != tenant_token, "one token for all")
    return tenant_token


def set_up_broker(box):
    pki = "/etc/mosquitto/pki"
    box.run("install", "-d", "-o", "mosquitto", "-m", "700", pki)
    for name in ("ca.crt", "ca.crl", "broker.crt", "broker.key"):
        box.run("install", "-o", "mosquitto", "-m", "600", f"/var/lib/punchcloud/pki/{name}", pki)
    with open(box.path("/usr/share/doc/punchcloud/examples/mosquitto.conf.in")) as f:
        text = f.read()
    acl = "/usr/share/doc/punchcloud/examples/mosquitto.acl"
    box.write("/etc/mosquitto/punchline.conf",
              text.replace("@PORT@", "8883").replace("@PKI@", pki).replace("@ACL@", acl))


def set_up_gateway(box):
    box.write("/etc/punchgate.yaml", yaml.safe_dump({
        "uplink": {"backoff_min": "200ms", "backoff_max": "2s"},
        "buses": [{"name": "line", "serial": "/run/sim/tty"}],
        "readers": [{"name": "gate", "bus": "line", "driver": "ascii125"}]}))
    said = box.run("punchgate", "check", expect=1).stderr
    check("keygen" in said, f"check does not say what is next: {said}")
    box.run("systemctl", "start", "punchgate", expect=1)  # too early: systemd makes the folders its own
    box.run("systemctl", "stop", "punchgate")
    box.run("install", "-m", "600", "/dev/null", "/var/lib/punchgate/lock")  # as of a root who went round us
    box.run("systemctl", "start", "punchgate", expect=1)
    box.run("systemctl", "stop", "punchgate")
    check("chown -R punchgate:punchgate" in box.run("journalctl", "--no-pager", "-u", "punchgate").stdout, "no hint")
    box.run("chown", "-R", "punchgate:punchgate", "/var/lib/punchgate")
    box.run("punchgate", "keygen", "--out", "/srv/request.txt")
    box.run("punchcloud", "gateway", "add", "--tenant", "acme", "--site", "Main gate", "--request", "/srv/request.txt",
            "--out", "/srv/bundle.txt")
    box.run("punchgate", "enrol", "/srv/bundle.txt")
    owned(box, "punchgate", "/var/lib/punchgate")
    check(box.run("stat", "-c", "%U", "/srv/request.txt").stdout == "root\n", "the request is not root's")
    box.run("punchgate", "check")


class Reader:
    """A 125 kHz reader on a pty in there; the group of its line is what udev would give it."""

    def __init__(self, lab, box, seed):
        self.box, self.ledger = box, "/run/sim/ledger"
        box.run("install", "-d", "-m", "755", "/run/sim")
        self.proc = lab.proc("sim", box.argv("/usr/bin/python3", f"{SRC}/tests/sim/serial125.py", "--link", "/run/sim/tty",
                                             "--ledger", self.ledger, "--rate", "0", "--seed", str(seed)), commands=True)
        self.proc.start()
        wait_for("the reader", lambda: b"ready " in self.proc.log_text(), 30 * PATIENCE)
        box.run("sh", "-c", "tty=$(readlink -f /run/sim/tty) && chgrp dialout $tty && chmod 660 $tty")

    def cards(self):
        lines = self.box.run("cat", self.ledger).stdout.splitlines()
        return [e["card"] for e in map(json.loads, lines) if e["event"] == "present"]


class BoxApi(Api):
    """The API as curl sees it in there."""

    def __init__(self, box, token):
        super().__init__(0, None, token)
        self.box = box

    def call(self, method, path, body=None, token=..., **query):
        query = urllib.parse.urlencode({k: v for k, v in query.items() if v is not None})
        r = self.box.run("curl", "-sS", "--max-time", "20", "--cacert", "/var/lib/punchcloud/pki/ca.crt", "-X", method, "-H",
                         f"Authorization: Bearer {self.token}", "-H", "Content-Type: application/json", "-w",
                         "\n%{http_code}", *(["-d", json.dumps(body)] if body else []), f"{API}{path}?{query}", expect=None)
        text, _, status = r.stdout.rpartition("\n")
        return types.SimpleNamespace(status_code=int(status or 0), text=text, json=lambda: json.loads(text))


class Site:
    def __init__(self, lab, box, token, reader):
        self.lab, self.box, self.api, self.reader = lab, box, BoxApi(box, token), reader

    def stored(self):
        try:
            items = self.api.with_cards(self.api.punches(), [(3, 40, card) for card in self.reader.cards()])
        except Failure:  # it does not answer yet
            return []
        return [p["credential"].get("data") for p in items]

    def punch(self):
        """A card, seen at the API in the end."""
        wait_for("the reader's line to be open", self.reader_up, 60 * PATIENCE, 0.2)
        self.reader.proc.say("present")
        wait_for("its punch in the API", lambda: sorted(self.stored()) == sorted(self.reader.cards())
                 and self.reader.cards(), 90 * PATIENCE, 0.5)

    def reader_up(self):
        r = self.box.run("punchgate", "status", "--json", expect=None)
        return r.returncode == 0 and json.loads(r.stdout)["readers"][0]["up"]

    def pid(self, daemon):
        return int(self.box.show(daemon, "MainPID")["MainPID"])

    def running(self, daemon):
        s = self.box.show(daemon, "ActiveState", "SubState", "StatusText")
        return s["ActiveState"] == "active" and s["SubState"] == "running" and STATUS[daemon] in s["StatusText"]

    def restarted(self, daemon, before):
        return self.running(daemon) and self.pid(daemon) not in (0, before)


def looks_right(site, daemon):
    """What the kernel says of the process."""
    box, pid = site.box, site.pid(daemon)
    status = dict(line.split(":\t", 1) for line in box.run("cat", f"/proc/{pid}/status").stdout.splitlines() if ":\t" in line)
    uid = box.run("id", "-u", daemon).stdout.strip()
    check(uid != "0" and status["Uid"].split() == [uid] * 4, f"{daemon} runs as {status['Uid']}, not {uid}")
    check(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", f"{daemon}: no sandbox: {status}")
    check(all(int(status[c], 16) == 0 for c in ("CapEff", "CapPrm", "CapBnd", "CapAmb")), f"{daemon} has capabilities")
    limits = box.run("cat", f"/proc/{pid}/limits").stdout
    check(re.search(r"Max core file size +0 +0 ", limits), f"{daemon} may leave a core:\n{limits}")
    text = box.run("systemctl", "status", daemon).stdout
    check("active (running)" in text and STATUS[daemon] in text, f"systemctl status:\n{text}")


def cannot_write(site, daemon, own, others):
    """As its user, in its own view of the files."""
    box, pid = site.box, site.pid(daemon)
    inside = ["nsenter", "-t", str(pid), "-m", "setpriv", f"--reuid={daemon}", f"--regid={daemon}", "--init-groups"]
    for folder in own:
        box.run(*inside, "sh", "-c", f"echo x > {folder}/probe && rm {folder}/probe")
    found = box.run(*inside, "find", "/", "-xdev", "-type", "d", "-writable", "-not", "-path", "/proc/*", "-not", "-path",
                    "/sys/*", "-not", "-path", "/dev/*", expect=None).stdout.split()
    wrong = [f for f in found if not f.startswith((*own, "/tmp", "/var/tmp")) and box.run(
        *inside, "sh", "-c", f"touch '{f}/probe' 2>/dev/null && rm '{f}/probe'", expect=None).returncode == 0]
    check(not wrong, f"{daemon} can write into {wrong[:10]}")
    for folder in others:
        check(box.run(*inside, "ls", folder, expect=None).returncode != 0, f"{daemon} can read {folder}")
    check(box.run(*inside, "sh", "-c", "echo 0 > /proc/sys/vm/swappiness", expect=None).returncode != 0, "it can tune")


def killed(site, daemon, own):
    """SIGKILL and a standing still process: systemd brings it back, and what it must keep is there."""
    box = site.box
    for how, wanted in (("KILL", "signal"), ("STOP", "watchdog")):
        pid = site.pid(daemon)
        kept = [box.run("sha256sum", f).stdout for f in own]
        box.run("kill", f"-{how}", str(pid))
        wait_for(f"{daemon} to be back after SIG{how}", lambda: site.restarted(daemon, pid), 120 * PATIENCE, 0.2)
        check(kept == [box.run("sha256sum", f).stdout for f in own], f"{daemon} lost {own} by SIG{how}")
        log = box.run("journalctl", "-u", daemon, "--no-pager", "-o", "cat").stdout
        check({"signal": "status=9/KILL", "watchdog": "Watchdog timeout"}[wanted] in log, f"no {wanted}: {log[-800:]}")


def stops(site, daemon):
    began = time.monotonic()
    site.box.run("systemctl", "stop", daemon)
    s = site.box.show(daemon, "ActiveState", "Result", "ExecMainStatus", "ExecMainCode")
    check(s["ActiveState"] == "inactive" and s["Result"] == "success" and s["ExecMainStatus"] == "0", f"{daemon}: {s}")
    return time.monotonic() - began


def cores(box):
    return box.run("find", "/", "-xdev", "-name", "core*", "-newer", "/etc/hostname", "-type", "f", "-size", "+16k").stdout


def in_container(lab, args):
    box = Container(lab)
    install(box)
    box.boot(f"{ROOT}:{SRC}")
    said = box.run("systemd-analyze", "verify", *(f"/usr/lib/systemd/system/{d}.service" for d in DAEMONS)).stderr
    check(not said, f"systemd-analyze verify: {said}")
    token = set_up_cloud(box)
    set_up_broker(box)
    reader = Reader(lab, box, args.seed)
    set_up_gateway(box)
    box.run("systemctl", "start", "mosquitto", *DAEMONS)
    site = Site(lab, box, token, reader)
    for d in DAEMONS:
        looks_right(site, d)
    site.punch()
    cannot_write(site, "punchgate", ("/var/lib/punchgate", "/run/punchgate"), ("/var/lib/punchcloud",))
    cannot_write(site, "punchcloud", ("/var/lib/punchcloud",), ("/var/lib/punchgate", "/run/punchgate"))
    killed(site, "punchgate", ("/run/punchgate/hash.key",))
    site.punch()
    killed(site, "punchcloud", ())
    site.punch()
    for d in DAEMONS:
        line = box.run("systemd-analyze", "security", "--no-pager", d).stdout.strip().splitlines()[-1]
        print(f"{d}: {line.strip(' →>')}", flush=True)
    owned(box, "punchgate", "/var/lib/punchgate")
    owned(box, "punchcloud", "/var/lib/punchcloud", "/var/lib/punchcloud-escrow")
    print(", ".join(f"{d} stopped in {stops(site, d):.1f} s" for d in DAEMONS), flush=True)
    check(box.run("ls", "/run/punchgate", expect=None).returncode != 0, "the hash key outlives a stop")

    box.run("punchcloud", "tenant", "add", "later")  # root, nobody runs: still all the service's own
    owned(box, "punchcloud", "/var/lib/punchcloud", "/var/lib/punchcloud-escrow")
    box.run("systemctl", "start", *DAEMONS)
    site.punch()

    journal = box.run("journalctl", "--no-pager", "-o", "json").stdout
    cards = reader.cards()
    check(len(cards) >= 4, f"{cards}")
    for c in cards:
        for form in (c, c.lower(), str(int(c, 16)), f"{int(c, 16):010d}"):
            check(form not in journal, "the journal names a card")
    check(not cores(box), f"cores:\n{cores(box)}")
    print(f"{len(cards)} punches through two units", flush=True)


def look_only():
    r = subprocess.run([os.path.join(ROOT, "scripts", "lint"), "units"], stdin=subprocess.DEVNULL)
    check(r.returncode == 0, "scripts/lint units")


def test(args, _rng):
    if not os.path.exists(os.path.join(RELEASE, "daemon", "punchgate")):
        raise Failure(f"no release build in {RELEASE}: cmake --preset release && cmake --build --preset release")
    with Lab("units", keep=args.keep) as lab:
        try:
            in_container(lab, args)
            return
        except Unavailable as e:
            print(f"no container on this machine: {e}", flush=True)
        lab.close()
    look_only()
    print("skipped, but for systemd-analyze verify", flush=True)
    sys.exit(SKIPPED)


if __name__ == "__main__":
    main(test, __doc__, limit=500)
