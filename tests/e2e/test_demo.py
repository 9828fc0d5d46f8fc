#!/usr/bin/python3
"""scripts/demo twice side by side: one ends by --seconds, one by Ctrl-C; what it prints is true; nothing is left."""
import os
import re
import shlex
import signal
import subprocess
import threading
import time

from lab import PATIENCE, ROOT, find_bin, main
from proc import Failure, check, wait_for

NAMES = ("Anna Schmidt", "Björn Åkesson", "Chidi Okafor", "Dana Novák", "Eva Lindqvist")
ROW = re.compile(r"^\d\d:\d\d:\d\d\.\d{3}  ?(\(unassigned card\)|\S.*?\S) {2,}Head office +(gate|lift|yard) +(in|out)$", re.M)


class Run:
    """One demo, its output collected by a thread."""

    def __init__(self, *args):
        self.text = ""
        self.child = subprocess.Popen([os.path.join(ROOT, "scripts", "demo"), *args], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, start_new_session=True,
                                      env={**os.environ, "PUNCH_BIN": find_bin()})
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.text += line

    def wait_text(self, what, pattern, seconds):
        def seen():
            check(self.child.poll() is None or re.search(pattern, self.text, re.M), f"the demo ended:\n{self.text}")
            return re.search(pattern, self.text, re.M)
        return wait_for(what, seen, seconds * PATIENCE)

    def end(self, seconds):
        try:
            return self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"the demo does not end:\n{self.text}") from None


def descendants(pid):
    """Processes below pid, itself included."""
    parent = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", "rb") as f:
                    parent[int(entry)] = int(f.read().rsplit(b")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                pass
    found, grew = {pid}, True
    while grew:
        more = {c for c, p in parent.items() if p in found} - found
        found, grew = found | more, bool(more)
    return found


def mentioning(folder):
    """Processes whose command line names the folder."""
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    if folder.encode() in f.read():
                        out.append(entry)
            except (FileNotFoundError, ProcessLookupError):
                pass
    return out


def curl(run):
    """The printed line, run as it stands, while the demo runs."""
    line = run.wait_text("a curl line", r"^ *(curl .*)$", 60).group(1)
    words = shlex.split(line)
    check(words[0] == "curl" and "--cacert" in words and "-k" not in words, f"the curl line: {line}")

    def answer():
        r = subprocess.run(["bash", "-c", line + " --silent --show-error --fail"], capture_output=True, text=True,
                           timeout=30)
        check(r.returncode == 0, f"{line}: exit {r.returncode} {r.stderr}")
        return '"items"' in r.stdout and '"reader"' in r.stdout
    wait_for("a punch by the curl line", answer, 30 * PATIENCE, every=0.5)


def test(args, _rng):
    runs = [Run("--seconds", str(args.seconds)), Run()]
    try:
        folders = [r.wait_text("the folder", r"installation in (/\S+)$", 60).group(1) for r in runs]
        check(folders[0] != folders[1] and all(os.path.isdir(f) for f in folders), f"folders {folders}")
        for r in runs:
            curl(r)
        below = [descendants(r.child.pid) for r in runs]
        check(all(len(b) >= 6 for b in below), f"too few processes: {below}")
        check(runs[0].end(args.seconds + 60) == 0, f"exit {runs[0].child.returncode}:\n{runs[0].text}")
        runs[1].wait_text("punches in the second demo", ROW.pattern, 60)
        os.kill(runs[1].child.pid, signal.SIGINT)
        check(runs[1].end(40) == 0, f"exit {runs[1].child.returncode} after Ctrl-C:\n{runs[1].text}")
        time.sleep(0.2)
        for r, folder, pids in zip(runs, folders, below):
            rows = ROW.findall(r.text)
            check(any(who in NAMES for who, _, _ in rows), f"no punch of a named person:\n{r.text}")
            check(not os.path.exists(folder), f"{folder} was left behind")
            left = [p for p in pids if os.path.exists(f"/proc/{p}")] + mentioning(folder)
            check(not left, f"processes left: {left}")
        told = re.search(r"(\d+) cards presented, (\d+) punches in the cloud", runs[0].text)
        check(told and told.group(1) == told.group(2) and int(told.group(1)) > 3, f"the summary:\n{runs[0].text}")
        rows = ROW.findall(runs[0].text)
        check({r for _, r, _ in rows} == {"gate", "lift", "yard"} or len(rows) < 12, f"readers missing:\n{runs[0].text}")
        print(f"{[len(ROW.findall(r.text)) for r in runs]} rows shown; {told.group(0)}; nothing left behind", flush=True)
    finally:
        for r in runs:
            if r.child.poll() is None:
                r.child.terminate()
                try:
                    r.child.wait(20)
                except subprocess.TimeoutExpired:
                    r.child.kill()


if __name__ == "__main__":
    main(test, __doc__, limit=200, seconds=12)
