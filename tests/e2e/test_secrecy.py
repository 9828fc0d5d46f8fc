#!/usr/bin/python3
"""Nothing readable at rest (first light, point 4).

The searcher first shows that it finds planted cards in each rendering. Then some 1,000 punches go through, a part of
them to named people, and no file of gateway, broker or cloud shows a card or a name: while all runs, and after both
daemons were crashed with core dumps allowed, in a folder they may write to. A program without our precautions does
leave a core there, which is shown too.
"""
import os
import resource
import shutil
import signal
import sys

from building import Building
from lab import PATIENCE, Lab, main
from proc import check, wait_for
from searcher import Searcher, all_files, renderings, text_renderings
from sims import ModbusRtu, ModbusTcp, Serial

NAMES = ["Anna Schmidt-Grünberg", "Ömer Yıldırım"]
# The simulators' ledgers hold the cards on purpose; proc is not the programs' doing.
SKIP = (r"\.ledger$",)


def searcher_finds(folder):
    """Plants every rendering into noise, in a file each, and demands that each is found."""
    planted = 0
    for card in ("67003B51C6", "E00401005475C74F", "0000000001AB03C4"):
        s = Searcher()
        s.card(card)
        for name, pattern, _ in renderings(bytes.fromhex(card)):
            for text in {pattern, pattern.upper() if "hex" in name else pattern}:
                path = os.path.join(folder, "planted")
                with open(path, "wb") as f:
                    f.write(b"\0" * 70000 + os.urandom(30000) + b" " + text + b" " + os.urandom(5000))
                hits = s.files(path)[0]
                check(any(name in h for h in hits), f"the searcher is blind to {card} as {name} ({text!r})")
                planted += 1
    for name, pattern, _ in text_renderings(NAMES[0]):
        s = Searcher()
        s.text(NAMES[0])
        check(s.data(os.urandom(100) + pattern + b"x"), f"the searcher is blind to a name as {name}")
        planted += 1
    s = Searcher()
    s.card("67003B51C6")
    check(not s.data(os.urandom(200000)), "the searcher finds what is not there")
    return planted


def look(searcher, lab, when):
    roots = [lab.gw_dir, lab.path("logs"), lab.path("broker"), lab.path("cloud"), lab.crash_dir]
    hits, files, size = searcher.files(*roots, skip=SKIP)
    check(not hits, f"readable {when}: " + "\n  ".join(hits[:20]))
    check(files > 10, "too few files searched")
    print(f"{when}: nothing of {searcher.patterns} patterns in {files} files, {size} bytes", flush=True)


def control_core(lab):
    """A program that takes no precautions, crashed in the same way, does leave a core. False: this machine sends
    cores elsewhere (core_pattern) or forbids them, and the absence of a file would prove little."""
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read().strip()
    folder = lab.path("control")
    os.makedirs(folder)
    p = lab.proc("control", [sys.executable, "-c", "import time; time.sleep(60)"], cwd=folder, core=True).start()
    wait_for("the control to run", lambda: os.readlink(f"/proc/{p.pid}/exe") != "", 10)
    code = p.kill(signal.SIGSEGV)
    cores = os.listdir(folder)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    check(code == -signal.SIGSEGV, f"the control ended with {code}")
    shutil.rmtree(folder)
    if pattern.startswith(("|", "/")) or hard == 0:
        print(f"control: cores go to {pattern!r}, limit {hard}: only the processes' own state is checked", flush=True)
        return False
    check(cores, "the control left no core: this test could not fail")
    print(f"control: an unprotected program left {cores}", flush=True)
    return True


def protected(proc, uid):
    """What the kernel says of a process that may not be dumped: no core, and its /proc belongs to root."""
    with open(f"/proc/{proc.pid}/limits") as f:
        line = next(x for x in f if x.startswith("Max core file size"))
    check(line.split()[4:6] == ["0", "0"], f"{proc.name}: {line.strip()}")
    if uid != 0:
        owner = os.stat(f"/proc/{proc.pid}/environ").st_uid
        check(owner == 0, f"{proc.name} runs as uid {uid} and its /proc is owned by {owner}: it is dumpable")


def crash(lab, b, uid):
    """As an unprivileged user where we can, so that /proc tells whether a process is dumpable."""
    env = {"ASAN_OPTIONS": "handle_segv=0:handle_abort=0:disable_coredump=0:detect_leaks=0",
           "UBSAN_OPTIONS": "handle_segv=0:handle_abort=0"}
    for proc, sig in ((b.gw.proc, signal.SIGSEGV), (lab.cloud.proc, signal.SIGABRT)):
        check(proc.stop(30 * PATIENCE) == 0, f"{proc.name} did not leave with 0")
        proc.cwd, proc.core, proc.env = lab.crash_dir, True, env
        if uid != os.geteuid():
            proc.argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *proc.argv]
    os.chmod(lab.dir, 0o755)
    if uid != os.geteuid():
        # the sources may lie where only their owner may look, such as /root
        b.gw.profiles = shutil.copytree(b.gw.profiles, os.path.join(lab.gw_dir, "profiles"))
        for path in [lab.gw_dir, lab.path("cloud"), lab.crash_dir]:
            for folder, dirs, files in os.walk(path):
                for x in [folder, *(os.path.join(folder, n) for n in dirs + files)]:
                    os.lchown(x, uid, uid)
        for sim in b.sims:
            if os.path.islink(sim.link):
                os.chown(sim.link, uid, uid)
    lab.cloud.start()
    b.gw.env = env
    b.gw.start()
    for sim in b.sims:
        sim.resume()
    before = len(b.api.punches())
    wait_for("punches while protected", lambda: len(b.api.punches()) > before, 30 * PATIENCE, every=0.5)
    for proc, sig in ((b.gw.proc, signal.SIGSEGV), (lab.cloud.proc, signal.SIGABRT)):
        protected(proc, uid)
        code = proc.kill(sig)
        check(code == -sig, f"{proc.name} ended with {code}, not by signal {sig}")
    left = [f for f in all_files([lab.dir]) if "core" in os.path.basename(f) or os.path.dirname(f) == lab.crash_dir]
    check(not left, f"a crash left {left}")
    for sim in b.sims:
        sim.pause()


def test(args, _rng):
    with Lab("secrecy", keep=args.keep) as lab:
        lab.crash_dir = lab.path("crash")
        os.makedirs(lab.crash_dir)
        planted = searcher_finds(lab.crash_dir)
        os.unlink(os.path.join(lab.crash_dir, "planted"))
        print(f"searcher: found {planted} of {planted} planted renderings", flush=True)
        control_core(lab)

        each = -(-args.punches // 3)
        sims = [Serial(lab, "gate", seed=args.seed, rate=25, cards=40)]
        sims += [kind(lab, name, seed=args.seed, rate=25, extra=["--id-bytes", "8"])
                 for kind, name in ((ModbusTcp, "lift"), (ModbusRtu, "yard"))]
        b = Building(lab, args.seed, sims=sims, forger=())
        lab.gw_dir = b.gw.dir
        wait_for("first presentations", lambda: all(s.presented() for s in sims), 20 * PATIENCE)
        for name, sim in zip(NAMES, sims):
            person = b.api.post("/v1/people", {"name": name, "personnel_number": f"secret-number-4711-{sim.name}"})
            card = sim.presented()[0]
            b.api.post(f"/v1/people/{person['id']}/credentials",
                       {"tech": "em4100" if len(card) == 10 else "iso14443", "bits": len(card) * 4, "data": card})
        wait_for(f"{args.punches} presentations", lambda: all(len(s.presented()) >= each for s in sims), 90 * PATIENCE,
                 every=0.3)
        b.settle()
        count = len(b.api.punches())
        check(count >= args.punches * 0.9, f"only {count} punches arrived")
        s = Searcher()
        for text in [*NAMES, "secret-number-4711"]:
            s.text(text)
        cards = {card for sim in sims for card in sim.presented()}
        for card in cards:
            s.card(card)
        print(f"{count} punches of {len(cards)} cards", flush=True)
        look(s, lab, "while running")

        uid = 65534 if os.geteuid() == 0 else os.geteuid()
        crash(lab, b, uid)
        for card in {card for sim in sims for card in sim.presented()} - cards:
            s.card(card)
        look(s, lab, "after the crashes")


if __name__ == "__main__":
    main(test, __doc__, limit=240, punches=1000)
