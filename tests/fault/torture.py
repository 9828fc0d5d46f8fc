#!/usr/bin/python3
"""Each fallible call of ours fails once (strike.h): over the unit tests, and over the scenarios torture_<room>.c.

Each test is run once to see from which places it calls: a place is the call and up to seven lines of the rooms' code
above it. Then each place is struck once: the first call there fails, in a test drawn from those that reach it (the
quicker, the likelier). --each program or test strikes it once in each of these, --sample N so many of them by seed.

  fine    it went on without noticing, or the test noticed, or it said no
  broken  a signal, a sanitizer's report, an assertion of ours, a hang; of a scenario also a leak, or a broken promise

Unit tests run without LeakSanitizer: an assertion that fails jumps over what the test would free."""
import argparse
import collections
import concurrent.futures
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

KINDS = ("alloc", "io", "lmdb", "sqlite", "other")
NOTICED = 99  # strike.h
REPORT = re.compile(rb"ERROR: \w+Sanitizer|runtime error:|^bug: |SUMMARY: \w+Sanitizer", re.M)
SANITIZER = "handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2:handle_abort=1:exitcode=77:"
# Where it stands: the innermost frame that is the project's.
STANDS = re.compile(rb"^ *#\d+ .* (?:\S*/)?((?:base|wire|readers|daemon|cloud|api|tests/\w+)/\w+\.[ch]):\d+", re.M)
ROOMS = ("base/", "wire/", "readers/", "daemon/", "cloud/", "api/")
TRIES = 3  # at a place that was not reached again: threads
Unit = collections.namedtuple("Unit", "program test")
# pick: in which way it fails; reach: the tests that come by, and the line (PUNCH_FAIL_PLACE) by which each knows it
Shot = collections.namedtuple("Shot", "place pick reach")


class Stopped(Exception):
    pass


def program_name(unit):
    return os.path.basename(unit.program)


def unit_name(unit):
    return program_name(unit) + (":" + unit.test if unit.test else "")


def units_of(programs):
    found = []
    for program in programs:
        if os.path.basename(program).startswith("torture-test_"):
            names = subprocess.run([program], env={**os.environ, "PUNCH_TEST": "?"}, capture_output=True, text=True)
            found += [Unit(program, name) for name in names.stdout.split()]
        else:
            found.append(Unit(program, None))
    return found


def named(program, lines):
    """What the program calls its places: the same lines of the rooms' code, whichever test goes through them."""
    addresses = sorted({a for line in lines for a in line.split()[2:]})
    found = subprocess.run(["addr2line", "-e", program], input="\n".join(addresses), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    at = {a: "/".join(f.split(" ")[0].split("/")[-2:]) for a, f in zip(addresses, found)}
    return {line: " ".join(line.split()[:2] + [at[a] for a in line.split()[2:] if at[a].startswith(ROOMS)])
            for line in lines}


def stumbled(unit, out):
    """The test itself, over what it did not get: reading a text that is not there is as good as an assertion."""
    stands = STANDS.search(out)
    return unit.test is not None and b": SEGV on unknown address" in out and stands is not None \
        and stands.group(1).startswith(b"tests/unit/")


def judge(unit, code, out, struck):
    if code is None:
        return "HANG"
    if struck and stumbled(unit, out):
        return "noticed"
    if code < 0 or REPORT.search(out):
        return "LEAK" if b"LeakSanitizer" in out and b"AddressSanitizer: " not in out.replace(b"LeakSanitizer", b"") \
            else "CRASH"
    if not struck:
        return "not reached"
    if code == NOTICED:
        return "noticed"
    if code == 0:
        return "went on"
    return "PROMISE" if unit.test is None else "said no"


class Torture:
    def __init__(self, args, scratch):
        self.args, self.scratch, self.rng = args, scratch, random.Random(args.seed)
        self.seconds, self.reached, self.bad = {}, {}, []
        self.tested, self.outcomes, self.struck = set(), collections.defaultdict(collections.Counter), 0
        self.lock, self.running, self.stop = threading.Lock(), set(), False

    def run(self, unit, seconds, **fail):
        """(exit code or None, output, lines of the log); what the process left behind is removed."""
        here = tempfile.mkdtemp(dir=self.scratch)
        log, made = os.path.join(here, "log"), os.path.join(here, "made")
        env = {k: v for k, v in os.environ.items() if not k.startswith("PUNCH_")}
        env.update(TMPDIR=here, PUNCH_FAIL_LOG=log, PUNCH_FAIL_MADE=made, **fail)
        env["ASAN_OPTIONS"] = SANITIZER + "detect_leaks=%d" % (unit.test is None)
        env["UBSAN_OPTIONS"] = "exitcode=77:print_stacktrace=1"
        if unit.test:
            env["PUNCH_TEST"] = unit.test
        with self.lock:
            if self.stop:
                raise Stopped
            child = subprocess.Popen([unit.program], env=env, cwd=here, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
            self.running.add(child)
        try:
            out, code = child.communicate(timeout=seconds)[0], child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGABRT)  # AddressSanitizer says where it stands
            try:
                out = child.communicate(timeout=20)[0]
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                out = child.communicate()[0]
            code = None
        with self.lock:
            self.running.remove(child)
        kill_session(child)  # whatever it started
        lines = lines_of(log)
        for path in open(made).read().splitlines() if os.path.exists(made) else []:
            shutil.rmtree(path, ignore_errors=True)
            if os.path.isfile(path):
                os.unlink(path)
        shutil.rmtree(here, ignore_errors=True)
        if self.stop:
            raise Stopped
        return code, out, lines

    def end(self):
        """No more runs; those under way are killed and clean up after themselves."""
        with self.lock:
            self.stop = True
            for child in self.running:
                kill_session(child)

    def look(self, unit):
        began = time.monotonic()
        code, out, lines = self.run(unit, 300)
        self.seconds[unit] = time.monotonic() - began
        if code != 0:
            print("torture: %s fails without a fault (%s)\n%s" % (unit_name(unit), code, out.decode(errors="replace")))
            self.bad.append(unit_name(unit))
        else:
            self.reached[unit] = named(unit.program, [line for line in lines if line.split()[0] in self.args.kind])

    def shots(self):
        """A scenario's places are its own; those of the unit tests are shared as --each says."""
        share = {"place": lambda u: u.program if u.test is None else None, "program": lambda u: u.program,
                 "test": lambda u: u}[self.args.each]
        reach = collections.defaultdict(lambda: collections.defaultdict(list))
        for unit, lines in sorted(self.reached.items(), key=str):
            for line, place in lines.items():
                if self.args.at is None or re.search(self.args.at, place):
                    reach[share(unit), place][unit].append(line)
        pick = (lambda: self.rng.randrange(60)) if self.args.pick is None else lambda: self.args.pick
        found = [Shot(place, pick(), units) for (_, place), units in reach.items()]
        self.rng.shuffle(found)
        found.sort(key=lambda s: any(u.test for u in s.reach))  # the scenarios first, where time is short
        return found

    def fire(self, shot):
        for _ in range(TRIES):
            units = list(shot.reach)
            unit = self.rng.choices(units, [self.seconds[u] ** -2 for u in units])[0]
            code, out, lines = self.run(unit, 20 + 10 * self.seconds[unit], PUNCH_FAIL_PICK=str(shot.pick),
                                        PUNCH_FAIL_PLACE=self.rng.choice(shot.reach[unit]),
                                        PUNCH_FAIL_AT=str(self.args.nth))
            verdict = judge(unit, code, out, bool(lines))
            if verdict != "not reached":
                break
        with self.lock:
            self.tested.add(unit)
            self.outcomes[program_name(unit)][verdict] += 1
            self.struck += verdict != "not reached"
            if self.struck % 1000 == 0:
                print("torture: %d struck" % self.struck, flush=True)
            if verdict.isupper():
                self.bad.append("%s: torture.py --only '^%s$' --at '^%s$' --pick %d" % (
                    verdict, unit_name(unit), shot.place, shot.pick))
                print("torture: %s\n%s" % (self.bad[-1], out.decode(errors="replace")[-self.args.tail:]), flush=True)

    def table(self, shots):
        verdicts = sorted({v for c in self.outcomes.values() for v in c})
        print("%-36s %s" % ("", " ".join("%11s" % v for v in verdicts)))
        for program, count in sorted(self.outcomes.items()):
            print("%-36s %s" % (program, " ".join("%11d" % count[v] for v in verdicts)))
        for line in self.bad:
            print("torture: broken: " + line)
        print("torture: seed=%d, %d of %d places of %d tests struck, in %d of them, %d broken" % (
            self.args.seed, self.struck, len(shots), len(self.reached), len(self.tested), len(self.bad)))


def lines_of(log):
    """struct log of strike.c; a process that was killed may leave a hole."""
    if not os.path.exists(log):
        return []
    with open(log, "rb") as f:
        used = int.from_bytes(f.read(8), sys.byteorder)
        return [line for line in f.read(used).decode().splitlines() if line and "\0" not in line]


def kill_session(child):
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default=os.path.join(os.environ.get("PUNCH_BIN", "build/asan"), "tests/fault/torture"))
    p.add_argument("--only", default="", metavar="REGEX", help="of the names program:test")
    p.add_argument("--kind", action="append", choices=KINDS, help="only these kinds")
    p.add_argument("--at", metavar="REGEX", help="only these places, as they are printed")
    p.add_argument("--nth", type=int, default=1, metavar="N", help="there the N-th call fails, not the first")
    p.add_argument("--pick", type=int, help="in which way it fails, else by seed")
    p.add_argument("--each", choices=("place", "program", "test"), default="place")
    p.add_argument("--sample", type=int, help="so many places, by seed")
    p.add_argument("--seconds", type=float, default=float("inf"), help="strike no more after so long")
    p.add_argument("--seed", type=int, default=int(os.environ.get("PUNCH_SEED", random.randrange(1 << 31))))
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--tail", type=int, default=3500, help="bytes of output shown of what is broken")
    args = p.parse_args()
    args.kind = args.kind or list(KINDS)
    return args


def interrupted(number, _):
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    args = arguments()
    programs = [os.path.abspath(os.path.join(args.bin, n)) for n in sorted(os.listdir(args.bin))]
    units = [u for u in units_of(programs) if re.search(args.only, unit_name(u))]
    if not units:
        sys.exit("torture: no such test")
    print("torture: seed=%d" % args.seed, flush=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    began = time.monotonic()
    scratch = tempfile.mkdtemp(prefix="torture-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    t = Torture(args, scratch)
    try:
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            try:
                list(pool.map(t.look, units))
                shots = t.shots()
                list(pool.map(lambda s: time.monotonic() - began > args.seconds or t.fire(s), shots[:args.sample]))
            finally:
                t.end()
        t.table(shots)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(1 if t.bad else 0)


if __name__ == "__main__":
    main()
