#!/usr/bin/python3
"""Mistakes of people, refused in words that help (first light, point 6).

Configurations with an unknown key, a wrong type or unit, a missing unit, a value out of range, two readers of one
name: file, line, column and the quoted text; nothing is started; exit code 1. For both programs, `check` and `run`.
Commands with a wrong name, role or id, or past an Owner.
The API without a token, with a wrong, expired or revoked one, and with another tenant's: 404 there, not 403.
"""
import json
import os
import re

from human import Human
from lab import PATIENCE, ROOT, Lab, main
from proc import check, free_port, wait_for
from pypeers import PyGateway

GATE = """\
state: {dir}/state
runtime: {dir}/run
log: info
profiles: {profiles}
spool: {{budget: 64MiB, keep: 7d, keep_size: 16MiB}}
uplink:
  backoff_min: 1s
  backoff_max: 60s
  keepalive: 30s
  ack_timeout: 10s
buses:
  - name: line
    serial: {dir}/tty
    baud: 9600
  - name: host
    tcp: 127.0.0.1:15020
readers:
  - name: gate
    bus: line
    driver: ascii125
    layout: A
    hold: 2s
  - name: lift
    bus: host
    driver: modbus
    profile: inveo-rfid-ind
    unit: 1
    poll: 100ms
"""
# what: (text, replacement, the text that must be pointed at, words that the message must have)
GATE_MISTAKES = {
    "an unknown key": ("    hold: 2s", "    hodl: 2s", "hodl", ["hodl", "hold"]),
    "an unknown key at the top": ("log: info", "logg: info", "logg", ["logg", "log"]),
    "a word for a number": ("    baud: 9600", "    baud: fast", "fast", ["baud"]),
    "a list for a number": ("    baud: 9600", "    baud: [9600]", "[9600]", ["baud"]),
    "a missing unit": ("    hold: 2s", "    hold: 2", "2", ["hold"]),
    "a wrong unit": ("    hold: 2s", "    hold: 2MiB", "2MiB", ["hold"]),
    "a size without unit": ("budget: 64MiB", "budget: 64", "64", ["budget"]),
    "a number out of range": ("    unit: 1", "    unit: 300", "300", ["unit"]),
    "a time out of range": ("  keepalive: 30s", "  keepalive: 900d", "900d", ["keepalive"]),
    "a negative number": ("    baud: 9600", "    baud: -9600", "-9600", ["baud"]),
    "no such choice": ("    layout: A", "    layout: Q", "Q", ["layout"]),
    "two readers of one name": ("  - name: lift", "  - name: gate", "gate", ["gate"]),
    "two buses of one name": ("  - name: host", "  - name: line", "line", ["line"]),
    "a bus that is not there": ("    bus: host", "    bus: hoist", "hoist", ["hoist"]),
    "a driver that does not fit the bus": ("    driver: ascii125", "    driver: modbus", None, ["gate"]),
    "a profile that is not there": ("    profile: inveo-rfid-ind", "    profile: nobody", "nobody", ["nobody"]),
    "a key twice": ("log: info", "log: info\nlog: debug", None, ["log"]),
    "a tab": ("    baud: 9600", "\tbaud: 9600", None, []),
    "an open bracket": ("keep: 7d,", "keep: [7d,", None, []),
    "a name too long": ("  - name: gate", "  - name: " + "g" * 25, "g" * 25, ["name"]),
}
CLOUD = """\
state: {dir}/cstate
escrow: [{dir}/cescrow]
log: info
api:
  listen: 127.0.0.1:{port}
  names: [localhost]
broker:
  address: localhost:{port2}
ingest:
  batch: 50ms
"""
CLOUD_MISTAKES = {
    "an unknown key": ("  names:", "  naems:", "naems", ["naems", "names"]),
    "an unknown key at the top": ("escrow:", "escrew:", "escrew", ["escrew", "escrow"]),
    "a wrong type": ("api:\n  listen: 127.0.0.1:{port}\n  names: [localhost]", "api: yes", "yes", ["api"]),
    "a missing unit": ("batch: 50ms", "batch: 50", "50", ["batch"]),
    "a time out of range": ("batch: 50ms", "batch: 50min", "50min", ["batch"]),
    "no such choice": ("log: info", "log: loud", "loud", ["log"]),
    "an address without a port": ("localhost:{port2}", "localhost", "localhost", ["port"]),
    "escrow in the state folder": ("[{dir}/cescrow]", "[{dir}/cstate]", None, ["escrow"]),
}


def one_mistake(lab, program, base, mistake, what, values):
    text, replacement, pointed, words = mistake
    check(text in base, f"{what}: the test's own text {text!r} is not in its base")
    good, bad = base.format(**values), base.replace(text, replacement, 1)
    if replacement.startswith("  - name: gate") or replacement.startswith("  - name: line"):
        bad = base.replace(text, replacement)
    bad = bad.format(**values)
    path = lab.path(f"{program}-bad.yaml")
    with open(path, "w") as f:
        f.write(bad)
    before = sorted(os.listdir(lab.dir))
    for command in (["check"] if program == "punchgate" else []) + ["run"]:
        r = lab.run([lab.program(program), command, "--config", path], expect=None, timeout=20)
        said = r.stdout + r.stderr
        check(r.returncode == 1, f"{program} {command}, {what}: exit {r.returncode}\n{said}")
        place = re.search(rf"{re.escape(path)}:(\d+):(\d+): ", said) or re.search(r"\.yaml:(\d+):(\d+): ", said)
        check(place, f"{program} {command}, {what}: no file:line:column in\n{said}")
        line, column = int(place.group(1)), int(place.group(2))
        changed = [n for n, (a, b) in enumerate(zip(good.splitlines() + [""] * 9, bad.splitlines()), 1) if a != b]
        check(pointed is None or line == changed[0], f"{program} {command}, {what}: line {line}, not {changed}\n{said}")
        quoted = bad.splitlines()[line - 1]
        check(quoted.strip() in said, f"{program} {command}, {what}: {quoted!r} is not quoted in\n{said}")
        if pointed:
            check(quoted[column - 1:].startswith(pointed) or quoted[column - 1:].startswith(quoted.strip("- ").split(":")[0]),
                  f"{program} {command}, {what}: column {column} is {quoted[column - 1:]!r}, not {pointed!r}\n{said}")
        for word in words:
            check(word in said, f"{program} {command}, {what}: no {word!r} in\n{said}")
    check(sorted(os.listdir(lab.dir)) == before, f"{what}: something was started: {set(os.listdir(lab.dir)) - set(before)}")


def configurations(lab):
    values = {"dir": lab.dir, "profiles": os.path.join(ROOT, "config", "profiles"), "port": free_port(),
              "port2": free_port()}
    for program, base, mistakes in (("punchgate", GATE, GATE_MISTAKES), ("punchcloud", CLOUD, CLOUD_MISTAKES)):
        for what, mistake in mistakes.items():
            one_mistake(lab, program, base, mistake, what, values)
    # Every mistake at once is told at once.
    bad = GATE.format(**values).replace("baud: 9600", "baud: fast").replace("unit: 1", "unit: 300")
    bad = bad.replace("log: info", "lgo: info")
    path = lab.path("three.yaml")
    with open(path, "w") as f:
        f.write(bad)
    said = lab.run([lab.program("punchgate"), "check", "--config", path], expect=1).stderr
    check(len(re.findall(r"three\.yaml:\d+:\d+: ", said)) >= 3, f"three mistakes, told:\n{said}")
    for program in ("punchgate", "punchcloud"):
        for argv in ([], ["frobnicate"], ["run", "--frobnicate"]):
            lab.run([lab.program(program), *argv], expect=2)
        lab.run([lab.program(program), "--help"], expect=0)
        lab.run([lab.program(program), "--version"], expect=0)
        lab.run([lab.program(program), "run", "--config", lab.path("absent.yaml")], expect=1)
    print(f"{len(GATE_MISTAKES)} mistakes of punchgate's and {len(CLOUD_MISTAKES)} of punchcloud's told by line and column",
          flush=True)


def problem(answer, status, what):
    check(answer.status_code == status, f"{what}: {answer.status_code} {answer.text[:200]}")
    check(answer.headers["Content-Type"].startswith("application/problem+json"), f"{what}: {answer.headers}")
    body = answer.json()
    check(body.get("status") == status and body.get("title"), f"{what}: {body}")


def foreign(lab, api, other, ids, gateway):
    """Whatever is another tenant's is not there: the same answer as for an id that never was."""
    person, credential = ids
    calls = [("GET", f"/v1/people/{person}", None), ("GET", f"/v1/people/{person}/credentials", None),
             ("POST", f"/v1/people/{person}/credentials", {"tech": "em4100", "bits": 40, "data": "0102030405"}),
             ("POST", f"/v1/credentials/{credential}/unassign", {}), ("GET", f"/v1/gateways/{gateway}", None),
             ("PATCH", f"/v1/gateways/{gateway}", {"site": "mine"}), ("GET", f"/v1/punches?person={person}", None)]
    for method, path, body in calls:
        problem(other.call(method, path, body), 404, f"another tenant's {method} {path}")
        absent = re.sub(r"[0-9a-f]{16,}", lambda m: "0" * len(m.group()), path)
        problem(api.call(method, absent, body), 404, f"nobody's {method} {absent}")
        a, b = other.call(method, path, body).json(), other.call(method, absent, body).json()
        check((a["title"], a["status"], a.get("type")) == (b["title"], b["status"], b.get("type")),
              f"{method} {path} tells foreign from absent: {a} {b}")
    check(not other.punches() and not other.get("/v1/people")["items"] and not other.get("/v1/gateways")["items"],
          "another tenant sees something in a list")
    item = [g for g in api.get("/v1/gateways")["items"] if g["id"] == gateway][0]
    check(item["site"] == "Gate", f"another tenant changed the site to {item['site']}")


def tokens(lab):
    lab.cloud.init()
    lab.cloud.tenant("acme")
    lab.cloud.tenant("other")
    lab.broker.start()
    lab.cloud.start()
    api, other = (lab.cloud.api(lab.cloud.token(t)) for t in ("acme", "other"))
    gw = PyGateway(lab).enrol("acme", "Gate").connect()
    seg = gw.segment()
    gw.punch(seg, "door", (3, 40, bytes.fromhex("67003B51C6")))
    gw.upload(seg)
    gw.wait_acked(seg)
    person = api.post("/v1/people", {"name": "Anna"})["id"]
    credential = api.post(f"/v1/people/{person}/credentials", {"number": "0003887558", "rendering": "dec10"})["id"]
    check([i["person"]["name"] for i in api.punches(state="assigned")] == ["Anna"], "dec10 did not claim the waiting card")

    paths = ["/v1/punches", "/v1/people", "/v1/gateways", "/v1/credentials/waiting", f"/v1/people/{person}"]
    expiring = lab.cloud.api(lab.cloud.token("acme", "--expires", "2s"))
    expiring.get("/v1/people")
    listing = lab.cloud.ctl("token", "list").stdout
    for path in paths:
        r = api.call("GET", path, token=None)
        problem(r, 401, f"no token, {path}")
        check(r.headers.get("WWW-Authenticate", "").startswith("Bearer"), f"no token: {r.headers}")
        for bad in ("pct_" + "A" * 43, "nonsense", api.token[:-1], api.token + "A"):
            problem(api.call("GET", path, token=bad), 401, f"a wrong token, {path}")
    wait_for("the token to expire", lambda: expiring.call("GET", "/v1/people").status_code == 401, 20 * PATIENCE, 0.3)
    for path in paths:
        problem(expiring.call("GET", path), 401, f"an expired token, {path}")
    operator = lab.cloud.api(lab.cloud.operator_token)
    for path in paths:
        r = operator.call("GET", path)
        check(r.status_code in (401, 403, 404), f"the operator's token opens {path}: {r.status_code} {r.text[:200]}")
    foreign(lab, api, other, (person, credential), gw.id)
    check(api.token not in listing and "pct_" not in listing, "token list shows a token")

    doomed = lab.cloud.api(lab.cloud.token("acme", "--label", "doomed"))
    line = next(x for x in lab.cloud.ctl("token", "list").stdout.splitlines() if "doomed" in x)
    doomed.get("/v1/people")
    lab.cloud.ctl("token", "revoke", line.split()[0])
    problem(doomed.call("GET", "/v1/people"), 401, "a revoked token")
    check(len(api.punches()) == 1, "afterwards the API serves on")
    print(f"{len(paths)} paths refused without, with wrong, expired, revoked and operator tokens; another tenant's: 404",
          flush=True)


def escrow(lab):
    """The disk of the escrow folder is not mounted: nothing starts, nothing is written there, and the text helps."""
    lab.cloud.init()
    folder, aside = os.path.join(lab.cloud.dir, "escrow"), os.path.join(lab.cloud.dir, "disk")
    with open(os.path.join(folder, "installation.id")) as f:
        installation = f.read().strip()
    os.rename(folder, aside)
    os.mkdir(folder)
    for command in (["run"], ["tenant", "add", "acme"], ["token", "add", "--operator"]):
        said = lab.cloud.ctl(*command, expect=1).stderr
        for word in (folder, installation, "found=nothing", "mount", "punchcloud escrow adopt"):
            check(word in said, f"{command} without the escrow disk: no {word!r} in\n{said}")
        check(os.listdir(folder) == [], f"{command} wrote to the mount point: {os.listdir(folder)}")
    os.rmdir(folder)
    os.rename(aside, folder)
    lab.cloud.tenant("acme")

    said = lab.cloud.ctl("escrow", "adopt", aside, expect=1).stderr
    check("settings" in said, f"a folder that is not in the settings: {said}")
    lab.cloud.configure(escrow=[folder, aside])
    said = lab.cloud.ctl("escrow", "adopt", aside, expect=1).stderr
    check(aside in said and not os.path.exists(aside), f"a folder that is not there: {said}")
    os.mkdir(aside, 0o700)
    check(aside in lab.cloud.ctl("tenant", "add", "zeta", expect=1).stderr, "a new folder that nobody adopted")
    lab.cloud.ctl("escrow", "adopt", aside)
    lab.cloud.tenant("zeta")
    check({"acme", "zeta"} <= set(os.listdir(aside)), f"the new folder lacks keys: {os.listdir(aside)}")
    lab.cloud.ctl("escrow", "adopt", aside)  # once more changes nothing
    trail = [json.loads(line) for line in lab.cloud.ctl("audit", "export", "--tenant", "_vendor").stdout.splitlines()]
    kinds = [o["core"]["kind"] for o in trail if "core" in o]
    check(kinds[:2] == ["init", "key.audit"] and kinds.count("cli.escrow.adopt") == 2, f"{kinds}")
    os.remove(os.path.join(aside, "installation.id"))
    said = lab.cloud.ctl("escrow", "adopt", aside, expect=1).stderr
    check("holds keys" in said, f"a folder with keys: {said}")
    print("an escrow folder without its disk refused; a new one taken into use by command", flush=True)


def commands(lab):
    """Of punchcloud's commands: what is refused says why, names what was given and what to do instead."""
    cloud = lab.cloud.init()
    cloud.tenant("acme")
    invite = ["account", "invite", "--tenant", "acme", "--name", "Ines Beck"]
    asked = [
        (["tenant", "show", "acmee"], 1, ['"acmee"', "punchcloud tenant list"]),
        (["tenant", "add", "_vendor"], 1, ['"_vendor"', "a-z"]),
        (["tenant", "show", "_vendor"], 1, ['"_vendor"']),
        (["gateway", "list", "--tenant", "acmee"], 1, ['"acmee"']),
        (["gateway", "invite", "--tenant", "acme", "--site", "Gate"], 1, ['"Gate"', "POST /v1/sites"]),
        (["gateway", "revoke", "1234"], 1, ['"1234"', "punchcloud gateway list"]),
        (["token", "add", "--tenant", "_vendor"], 1, ['"_vendor"', "punchcloud tenant list"]),
        (["token", "add", "--tenant", "acme", "--expires", "2 weeks"], 2, ["2 weeks", "90d"]),
        (["token", "revoke", "nonsense"], 1, ['"nonsense"', "punchcloud token list"]),
        ([*invite, "--login", "ines beck"], 1, ['"ines beck"', "letters, digits"]),
        ([*invite, "--login", "ines", "--role", "boss"], 1, ['"boss"', "owner, dpo, hr"]),
        (["account", "invite", "--login", "ines", "--name", "Ines"], 2, ["--tenant NAME or --vendor"]),
        (["account", "archive", "ines", "--tenant", "acme"], 1, ['"ines"']),
        (["tenant"], 2, ["after tenant comes one of add, list, show", "punchcloud help tenant"]),
        (["tenant", "remove"], 2, ["unknown command tenant remove", "punchcloud help tenant"]),
        (["tenant", "add"], 2, ["NAME is missing", "punchcloud help tenant"]),
        (["nonsense"], 2, ["unknown command nonsense"]),
    ]
    owner = [
        ([*invite, "--login", "jan", "--role", "owner"], 1, ["--emergency REASON", "Owners and DPO are told"]),
        (["account", "archive", "ines", "--tenant", "acme"], 1, ["--emergency REASON"]),
        (["account", "archive", "ines", "--tenant", "acme", "--emergency", "gone"], 1, ["last Owner"]),
        (["token", "add", "--tenant", "acme"], 1, ["has an Owner", "POST /v1/tokens"]),
    ]
    for words in (["help", "tenant", "add"], ["tenant", "add", "--help"], ["help"], ["--help"]):
        said = cloud.ctl(*words).stdout
        check("punchcloud tenant add NAME" in said and ("audit" in said) == (len(words) == 1), f"{words}: {said}")
    check("unknown command nonsense" in cloud.ctl("help", "nonsense", expect=2).stderr, "help for what is not there")
    for json_too in ([], ["--json"]):
        for words, code, said in asked:
            refused(cloud, [*words, *json_too], code, said)
    lab.broker.start()
    cloud.start()
    Human(cloud, "acme", "ines").invited("owner").enrol()
    for words, code, said in [a for a in asked if a[0][:1] != ["account"]] + owner:
        refused(cloud, words, code, said)
    out = cloud.ctl(*invite, "--login", "jan", "--emergency", "Ines is ill", "--json").stdout
    check(json.loads(out)["link"].endswith("#invitation=" + json.loads(out)["invitation"]), out)
    check(json.loads(cloud.ctl("tenant", "show", "acme", "--json").stdout) | {"created": 0} ==
          {"tenant": "acme", "created": 0, "archived": None, "owners": 1, "accounts": 2, "gateways": 0}, "what acme is")
    print(f"{len(asked + owner)} mistaken commands refused, with and without the daemon", flush=True)


def refused(cloud, words, code, said):
    r = cloud.ctl(*words, expect=code)
    check(r.stdout == "", f"{words} prints {r.stdout}")
    for word in said:
        check(word in r.stderr, f"{words}: no {word!r} in\n{r.stderr}")


def test(args, _rng):
    with Lab("commands", keep=args.keep) as lab:
        commands(lab)
        lab.stop_daemons()
    with Lab("mistakes", keep=args.keep) as lab:
        configurations(lab)
    with Lab("escrow", keep=args.keep) as lab:
        escrow(lab)
    with Lab("tokens", keep=args.keep) as lab:
        tokens(lab)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=240)
