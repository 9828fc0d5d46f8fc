#!/usr/bin/python3
"""Each fallible call of ours fails once (strike.h): over the unit tests, and over the scenarios torture_<room>.c.

A program is run once to see which calls it makes; then again for each place that calls (the call and the eight frames
of ours above it), with the first call there failing. --sample N takes N of them by seed, --each every single call.

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
import time

KINDS = ("alloc", "io", "lmdb", "sqlite", "other")
NOTICED = 99  # strike.h
REPORT = re.compile(rb"ERROR: \w+Sanitizer|runtime error:|^bug: |SUMMARY: \w+Sanitizer", re.M)
SANITIZER = "handle_segv=2:handle_sigbus=2:handle_sigfpe=2:handle_sigill=2:handle_abort=1:exitcode=77:"
Unit = collections.namedtuple("Unit", "program test")
Shot = collections.namedtuple("Shot", "unit kind at pick name")


def unit_name(unit):
    return os.path.basename(unit.program) + (":" + unit.test if unit.test else "")


def run(unit, scratch, seconds, **fail):
    """(exit code or None, output, lines of the log); what the process left behind is removed."""
    here = tempfile.mkdtemp(dir=scratch)
    log, made = os.path.join(here, "log"), os.path.join(here, "made")
    env = {k: v for k, v in os.environ.items() if not k.startswith("PUNCH_")}
    env.update(TMPDIR=here, PUNCH_FAIL_LOG=log, PUNCH_FAIL_MADE=made, **fail)
    env["ASAN_OPTIONS"] = SANITIZER + "detect_leaks=%d" % (unit.test is None)
    env["UBSAN_OPTIONS"] = "exitcode=77:print_stacktrace=1"
    if unit.test:
        env["PUNCH_TEST"] = unit.test
    child = subprocess.Popen([unit.program], env=env, cwd=here, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True)
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
    try:
        os.killpg(child.pid, signal.SIGKILL)  # its own session, whatever it started
    except ProcessLookupError:
        pass
    lines = open(log).read().splitlines() if os.path.exists(log) else []
    for path in open(made).read().splitlines() if os.path.exists(made) else []:
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(here, ignore_errors=True)
    return code, out, lines


def units_of(programs):
    found = []
    for program in programs:
        if os.path.basename(program).startswith("torture-test_"):
            names = subprocess.run([program], env={**os.environ, "PUNCH_TEST": "?"}, capture_output=True, text=True)
            found += [Unit(program, name) for name in names.stdout.split()]
        else:
            found.append(Unit(program, None))
    return found


def shots_of(unit, lines, kinds, each):
    """The calls to let fail, and how many calls there were of each kind."""
    seen, count, shots = set(), collections.Counter(), []
    for line in lines:
        kind, name = line.split()[:2]
        count[kind] += 1
        if kind in kinds and (each or line not in seen):
            seen.add(line)
            shots.append((kind, count[kind], name))
    return [Shot(unit, kind, at, i, name) for i, (kind, at, name) in enumerate(shots)], count


def judge(shot, code, out, lines):
    if code is None:
        return "HANG"
    if code < 0 or REPORT.search(out):
        return "LEAK" if b"LeakSanitizer" in out and b"AddressSanitizer: " not in out.replace(b"LeakSanitizer", b"") \
            else "CRASH"
    if not lines:
        return "not reached"
    if code == NOTICED:
        return "noticed"
    if code == 0:
        return "went on"
    return "PROMISE" if shot.unit.test is None else "said no"


class Torture:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.calls, self.injected = collections.Counter(), collections.Counter()
        self.outcomes = collections.defaultdict(collections.Counter)
        self.places, self.bad, self.seconds = 0, [], {}

    def count(self, unit):
        began = time.monotonic()
        code, out, lines = run(unit, self.scratch, 240)
        self.seconds[unit] = time.monotonic() - began
        if code != 0:
            print("torture: %s fails without a fault (%s)\n%s" % (unit_name(unit), code, out.decode(errors="replace")))
            self.bad.append(unit_name(unit))
            return []
        shots, count = shots_of(unit, lines, self.args.kind, self.args.each)
        for kind, n in count.items():
            self.calls[os.path.basename(unit.program), kind] += n
        self.places += len(shots)
        return shots

    def fire(self, shot):
        limit = 20 + 10 * self.seconds.get(shot.unit, 10)
        code, out, lines = run(shot.unit, self.scratch, limit, PUNCH_FAIL_KIND=shot.kind, PUNCH_FAIL_AT=str(shot.at),
                               PUNCH_FAIL_PICK=str(shot.pick))
        verdict = judge(shot, code, out, lines)
        program = os.path.basename(shot.unit.program)
        self.injected[program, shot.kind] += 1
        self.outcomes[program][verdict] += 1
        if verdict.isupper():
            again = "--only '^%s$' --kind %s --at %d --pick %d" % (unit_name(shot.unit), shot.kind, shot.at, shot.pick)
            self.bad.append("%s %s: torture.py %s" % (verdict, shot.name, again))
            places = lines[0].split()[2:] if lines else []
            print("torture: %s\n%s" % (self.bad[-1], where(shot.unit.program, places)))
            print(out.decode(errors="replace")[-self.args.tail:], flush=True)

    def table(self):
        verdicts = sorted({v for c in self.outcomes.values() for v in c})
        print("%-36s %s   %s" % ("calls/injected", " ".join("%12s" % k for k in KINDS),
                                 " ".join("%11s" % v for v in verdicts)))
        for program in sorted({p for p, _ in self.calls} | set(self.outcomes)):
            cells = ["%d/%d" % (self.calls[program, k], self.injected[program, k]) for k in KINDS]
            print("%-36s %s   %s" % (program, " ".join("%12s" % c for c in cells),
                                     " ".join("%11d" % self.outcomes[program][v] for v in verdicts)))
        total = sum((c for c in self.outcomes.values()), collections.Counter())
        print("torture: %d calls counted, %d to fail, %d failed; %s; %d broken" % (
            sum(self.calls.values()), self.places, sum(self.injected.values()),
            ", ".join("%s %d" % item for item in sorted(total.items())), len(self.bad)))


def where(program, places):
    if not places:
        return ""
    found = subprocess.run(["addr2line", "-fpse", program] + places, capture_output=True, text=True)
    return re.sub(r"^", "    ", re.sub(r" at \S*/(\w+/\w+\.\w+:)", r" \1", found.stdout), flags=re.M)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", default=os.path.join(os.environ.get("PUNCH_BIN", "build/asan"), "tests/fault/torture"))
    p.add_argument("--only", default="", metavar="REGEX", help="of the names program:test")
    p.add_argument("--kind", action="append", choices=KINDS, help="only these kinds")
    p.add_argument("--at", type=int, help="only this call (with --only and --kind)")
    p.add_argument("--pick", type=int, default=0, help="in which way it fails")
    p.add_argument("--sample", type=int, help="so many shots, by seed")
    p.add_argument("--seconds", type=float, help="begin nothing after so long; with --sample, so much counting at most")
    p.add_argument("--each", action="store_true", help="every call, not every place")
    p.add_argument("--seed", type=int, default=int(os.environ.get("PUNCH_SEED", random.randrange(1 << 31))))
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--tail", type=int, default=3500, help="bytes of output shown of what is broken")
    args = p.parse_args()
    args.kind = args.kind or list(KINDS)
    return args


def main():
    args = arguments()
    programs = [os.path.abspath(os.path.join(args.bin, n)) for n in sorted(os.listdir(args.bin))]
    units = [u for u in units_of(programs) if re.search(args.only, unit_name(u))]
    if not units:
        sys.exit("torture: no such test")
    rng = random.Random(args.seed)
    rng.shuffle(units)
    units.sort(key=lambda u: u.test is not None)  # the scenarios first, where time is short
    print("torture: seed=%d" % args.seed, flush=True)
    began = time.monotonic()
    scratch = tempfile.mkdtemp(prefix="torture-")
    try:
        t = Torture(args, scratch)
        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            if args.at:
                shots = [Shot(u, k, args.at, args.pick, "?") for u in units for k in args.kind]
            else:
                late = lambda part: args.seconds and time.monotonic() - began > args.seconds * part  # noqa: E731
                part = 0.4 if args.sample else 1
                counted = pool.map(lambda u: [] if late(part) else t.count(u), units)
                shots = [s for found in counted for s in found]
                rng.shuffle(shots)
                shots = shots[:args.sample] if args.sample else shots
            late = lambda: args.seconds and time.monotonic() - began > args.seconds  # noqa: E731
            list(pool.map(lambda s: None if late() else t.fire(s), shots))
        t.table()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for line in t.bad:
        print("torture: broken: " + line)
    sys.exit(1 if t.bad else 0)


if __name__ == "__main__":
    main()
