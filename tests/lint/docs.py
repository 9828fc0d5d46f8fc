#!/usr/bin/python3
"""The documents against the programs: docs.py BUILD-DIR.

  - docs/OPERATIONS.md explains every log line of warn, error, note and info, with its level, and no other
  - a log line is key=value pairs and nothing else: what is done is action="...", what to look at hint="..."
  - the manual pages have every command with the operands and options that --help prints, and no other
  - a test that a document names exists
  - docs/API.md names every path of docs/openapi.yaml, and no other
"""
import collections
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOMS = {"base": "both", "wire": "both", "readers": "punchgate", "daemon": "punchgate", "cloud": "punchcloud", "api": "punchcloud"}
CALL = re.compile(r'\blog_(error|warn|note|info)\(\s*"([^"]+)"\s*,\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
VALUE = r'(?:"[^"=]*"|(?:%[a-z0-9.]+|[A-Za-z0-9_.-]+)+)'
FORM = re.compile(rf"[a-z_]+={VALUE}(?: [a-z_]+={VALUE})*")
ROW = re.compile(r"^\| `([a-z0-9_.]+)` \| ((?:error|warn|note|info)(?:, (?:error|warn|note|info))*) \| (.+?) \| (.+?) \|$")
bad = []


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def logged():
    """{(program, event): levels}; tells what is not of the form."""
    found = collections.defaultdict(set)
    files = subprocess.run(["git", "ls-files"] + [f"{r}/*.c" for r in ROOMS], cwd=ROOT, stdout=subprocess.PIPE,
                           text=True, check=True).stdout.split()
    for path in files:
        text = re.sub(r'"\s+PRI([a-zA-Z]\w+)', r'u"', read(path))
        for level, event, strings in CALL.findall(text):
            form = "".join(STRING.findall(strings)).replace('\\"', '"')
            found[ROOMS[path.split("/")[0]], event].add(level)
            if not FORM.fullmatch(form.replace("%s%s%s", "%s")):
                bad.append(f"{path}: {event}: not key=value pairs alone: {form}")
    return found


def explained():
    found, program = {}, None
    for line in read("docs", "OPERATIONS.md").splitlines():
        if line.startswith("#"):
            head = re.fullmatch(r"### Log lines of (punchgate|punchcloud|both)", line)
            program = head.group(1) if head else None
        row = ROW.match(line) if program else None
        if row:
            if (program, row.group(1)) in found:
                bad.append(f"docs/OPERATIONS.md: {row.group(1)} of {program} twice")
            found[program, row.group(1)] = set(row.group(2).split(", "))
    return found


def logs():
    have, want = explained(), logged()
    for key in sorted(have.keys() | want.keys()):
        if have.get(key) != want.get(key):
            bad.append(f"docs/OPERATIONS.md, log lines of {key[0]}: {key[1]}: "
                       f"explained as {sorted(have.get(key, []))}, logged as {sorted(want.get(key, []))}")


def parts(usage):
    """"[--tenant NAME] ID" as {"[--tenant NAME]", "ID"}"""
    return set(re.findall(r"\[.*?\]|--\S+ [A-Z]+|--\S+|[A-Z]+", usage))


def helped(program, build):
    """{"token add": {"[--tenant NAME]", ...}}"""
    path = os.path.join(build, {"punchgate": "daemon", "punchcloud": "api"}[program], program)
    text = subprocess.run([path, "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        m = re.fullmatch(r"  punchcloud (.+)|  ([a-z]+) +(.*?) {2,}\S.*", line)
        if m:
            usage = m.group(1) or f"{m.group(2)} {m.group(3)}".strip()
            name = re.match(r"[a-z]+(?: [a-z]+)*", usage).group()
            found[name] = parts(usage[len(name):])
    return found


def paged(program):
    """The same from the `.It Cm` heads of the page's commands."""
    found = {}
    page = read("docs", "man", f"{program}.8").split(".Sh COMMANDS", 1)[1].split("\n.Sh ", 1)[0]
    for head in re.findall(r"^\.It Cm (.*)", page, re.M):
        usage = head.replace("Fl -", "--").replace("Oo ", "[").replace(" Oc", "]").replace("Ar ", "")
        name = re.match(r"[a-z]+(?: [a-z]+)*", usage).group()
        found[name] = parts(usage[len(name):])
    return found


def commands(build):
    for program in ("punchgate", "punchcloud"):
        want, have = helped(program, build), paged(program)
        if not want:
            bad.append(f"{program} --help: no commands found")
        for name in sorted(want.keys() | have.keys()):
            if want.get(name) != have.get(name):
                bad.append(f"docs/man/{program}.8: {name}: the page has {have.get(name)}, --help {want.get(name)}")


def tests():
    known = set(re.findall(r"\bNAME (fault_\w+)", read("tests", "fault", "CMakeLists.txt")))
    for folder, prefix in (("e2e", "e2e_"), ("unit", "test_")):
        for f in os.listdir(os.path.join(ROOT, "tests", folder)):
            known.update(prefix + n for n in re.findall(r"^test_(\w+)\.(?:c|py)$", f))
    for page in ("README.md", "docs/THREATS.md", "docs/OPERATIONS.md", "docs/READERS.md"):
        for name in re.findall(r"`((?:e2e|test|fault)_\w+)`", read(page)):
            if name not in known:
                bad.append(f"{page}: there is no test {name}")


def paths():
    want = set(re.findall(r"^  (/\S+):$", read("docs", "openapi.yaml"), re.M))
    named = {m.rstrip("/.") for m in re.findall(r"(?<![A-Za-z0-9_.}])/(?:v1/[A-Za-z0-9_/{}.-]+|healthz|readyz|\.well-known/[a-z.]+)",
                                               read("docs", "API.md"))}
    for path in sorted(want - named):
        bad.append(f"docs/API.md: nothing about {path}")
    for path in sorted(named - want):
        bad.append(f"docs/API.md: there is no {path}")


logs()
commands(sys.argv[1])
tests()
paths()
for line in bad:
    print(line)
sys.exit(1 if bad else 0)
