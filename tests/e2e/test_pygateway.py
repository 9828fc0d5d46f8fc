#!/usr/bin/python3
"""A gateway in Python, written from docs/WIRE.md, enrols at the real punchcloud, and its punches appear in the API.

Also what only a gateway of one's own can bring about: credentials of every technology, a clock that was never set,
uploads out of order, a record of a later version, poison, a record declared damaged, a fold by ext 1.
"""
import pywire as w
from lab import PATIENCE, Lab, main, utc
from mqtt5 import Client
from proc import check, wait_for
from pypeers import PyGateway, mono_us, now_us

CREDS = [(1, 26, bytes.fromhex("C0FFEE40")), (2, 56, bytes.fromhex("04A1B2C3D4E5F6")), (2, 32, bytes.fromhex("00000001")),
         (3, 40, bytes.fromhex("67003B51C6")), (4, 37, bytes.fromhex("8000000008")), (5, 32, b"4711"), (6, 64, b"Gate 7-A"),
         (7, 64, bytes.fromhex("E00401005475C74F")), (8, 96, bytes.fromhex("350646766781206510000011"))]
expected = {}  # by the punch's id: technology, bits and content as they were sealed
CLOCK = ("never", "rtc", "synchronised", "free")


def expect(api, punch, **fields):
    """The one item of this punch, its fields as they were sealed."""
    found = [i for i in api.punches() if i["id"] == punch["id"]]
    check(len(found) == 1, f"{punch['id']}: {len(found)} items in the API")
    item = found[0]
    tech, bits, data = punch["cred"]
    got = item["credential"]
    expected[punch["id"]] = (tech, bits, data.hex())
    check(got["bits"] == bits, f"credential {got}, sent {punch['cred']}")
    check(got["tech"] == w.TECHS[tech], f"technology {got['tech']}, sent {w.TECHS[tech]}")
    o = item["original"]
    check((o["real_us"], o["mono_us"], o["clock"]) == (punch["real"], punch["mono"], CLOCK[punch["ck"] // 64]),
          f"original {o}, sent {punch}")
    check((item["reader"], item["gseq"]) == (punch["reader"], punch["gseq"]), f"item {item}, sent {punch}")
    for name, value in fields.items():
        check(item[name] == value, f"{name} is {item[name]!r}, expected {value!r}: {item}")
    return item


def expect_cards(api):
    """The whole card of each punch that expect() was asked about: last, since all of them get a holder by it."""
    for item in api.with_cards([i for i in api.punches() if i["id"] in expected], expected.values()):
        tech, bits, data = expected.pop(item["id"])
        check(item["credential"].get("data") == data.upper(), f"credential {item['credential']}, sent {tech}/{bits}/{data}")
    check(not expected, f"not in the API: {expected}")


def all_kinds(gw, api, tenant_site):
    """Every technology, assigned and not."""
    anna = api.post("/v1/people", {"name": "Anna Schmidt", "personnel_number": "P-1"})
    api.post(f"/v1/people/{anna['id']}/credentials", {"tech": "em4100", "bits": 40, "data": "67003B51C6"})
    seg = gw.segment()
    sent = [gw.punch(seg, "door", cred) for cred in CREDS]
    gw.upload(seg)
    gw.wait_acked(seg)
    for p in sent:
        mine = p["cred"][0] == 3
        item = expect(api, p, state="assigned" if mine else "unassigned", site=tenant_site, gateway=gw.id)
        check((item["person"] or {}).get("id") == (anna["id"] if mine else None), f"person {item['person']}")
        check(item["time"] is not None and item["uncertainty_us"] <= 1024, f"time of a synchronised punch: {item}")
    listed = api.punches(person=anna["id"])
    check([i["id"] for i in listed] == [sent[3]["id"]], f"by person: {listed}")


def never_set(gw, api):
    """A punch of a boot without a clock waits; the first clock record of that boot files it, its original untouched."""
    boot, gw.boot = gw.boot, w.new_id() * 2
    seg = w.Sealer(gw.gw, gw.gen, gw.boot, 500, gw.recipient, gw.sign_key)
    gw.held[seg.id] = seg
    p = gw.punch(seg, "door", CREDS[1], real=86_400_000_000, ck=w.ck(0))
    gw.upload(seg)
    gw.wait_acked(seg)
    expect(api, p, state="pending", time=None)
    anchor = now_us() - 5_000_000
    seg.seal(w.clock(gw._next(), anchor, p["mono"] + 60_000_000, w.ck(2, 20_000), 3))
    gw.upload(seg, first=1)
    gw.wait_acked(seg)
    item = wait_for("the pending punch to be filed", lambda: next(
        (i for i in api.punches() if i["id"] == p["id"] and i["state"] != "pending"), None), 10 * PATIENCE)
    item = expect(api, p, state="unassigned")
    low, high = w.ck_uncertainty(w.ck(2, 20_000)), w.ck_uncertainty(w.ck(2, 20_000)) + 15_001
    check(low < item["uncertainty_us"] <= high, f"uncertainty {item['uncertainty_us']}, expected about {high}")
    shown = item["time"].rstrip("Z")[:26]
    want = f"{utc(anchor - 60_000_000):%Y-%m-%dT%H:%M:%S.%f}"
    check(shown == want, f"corrected time {item['time']}, expected {want}")
    gw.boot = boot


def disorder(gw, api):
    """An upload that begins beyond what is stored commits nothing and is answered with where to go on."""
    seg = gw.segment()
    sent = [gw.punch(seg, "door", (3, 40, bytes([9, 0, 0, 0, n]))) for n in range(6)]
    gw.upload(seg, first=4)
    wait_for("an ack that says go back", lambda: gw.acked(seg) == 0, 20 * PATIENCE)
    check(not [i for i in api.punches() if i["id"] == sent[5]["id"]], "a gap was stored over")
    gw.upload(seg, first=0, count=4)
    gw.wait_acked(seg, 4)
    gw.upload(seg, first=2)
    gw.wait_acked(seg)
    for _ in range(3):
        gw.upload(seg, flags=2)
    gw.wait_acked(seg)
    for p in sent:
        expect(api, p)


def poison(gw, api):
    """What is sealed well but cannot be understood counts as committed and hides nothing behind it."""
    seg = gw.segment()
    first = gw.punch(seg, "door", (3, 40, bytes([8, 0, 0, 0, 1])))
    for plain in (w.pad(w.encode([9, "from a later version", {1: None}])), bytes(96), b"\xff" * 96,
                  w.pad(w.encode([1, gw._next(), "door", 77, 8, b"x", 0, now_us(), mono_us(), 155])),
                  w.pad(w.encode([1, 0, "", 3, 40, b"", 0, now_us(), 1, 155])), bytes(1024)):
        seg.seal(plain)
    last = gw.punch(seg, "door", (3, 40, bytes([8, 0, 0, 0, 2])))
    gw.upload(seg)
    gw.wait_acked(seg)
    expect(api, first)
    expect(api, last)


def damaged(gw, api):
    """Event 4 voids an index, and what follows it in the segment fits."""
    seg = gw.segment()
    sent = [gw.punch(seg, "door", (3, 40, bytes([7, 0, 0, 0, n]))) for n in range(3)]
    gw.upload(seg, first=0, count=2)
    gw.wait_acked(seg, 2)
    other = gw.segment()
    other.seal(w.event(gw._next(), now_us(), mono_us(), w.ck(2, 1000), 4, [seg.id, 2]))
    gw.upload(other)
    gw.wait_acked(other)
    gw.upload(seg, first=3)
    gw.wait_acked(seg)
    expect(api, sent[0])
    expect(api, sent[2])
    check(not [i for i in api.punches() if i["id"] == sent[1]["id"]], "a void record is in the API")


def folded(gw, api):
    """ext 1: a first report after a power cut is the same presentation only if reader and credential match."""
    seg = gw.segment()
    first = gw.punch(seg, "door", (3, 40, bytes([6, 0, 0, 0, 1])))
    same = gw.punch(seg, "door", (3, 40, bytes([6, 0, 0, 0, 1])), ext={1: first["gseq"]})
    other = gw.punch(seg, "door", (3, 40, bytes([6, 0, 0, 0, 2])), ext={1: first["gseq"]})
    gw.upload(seg)
    gw.wait_acked(seg)
    item = expect(api, first)
    check(item["repeat"], f"the fold keeps no second time: {item}")
    check(not [i for i in api.punches() if i["id"] == same["id"]], "one presentation, two punches")
    expect(api, other, repeat=None)


def own_topics_only(lab, gw):
    """What config/mosquitto.acl lets a gateway say reaches a listener at the broker; nothing else does."""
    heard, own, p = [], gw.id, gw.id[0]
    watcher = Client(lab, "watcher", ["#"], lambda topic, payload: heard.append((topic, payload)))
    stranger = w.new_id()
    for topic in (w.topic(stranger, "up"), w.topic(stranger, "status"), w.topic(gw.gw, "ack"), w.topic(gw.gw, "cmd"),
                  f"punch/v1/zz/{own}/status", f"punch/v1/{p}{p}/{own}/up", f"punch/v1/{p}/{own}/else",
                  f"punch/v2/{p}/{own}/up", f"punch/v1/{p}/{own}", own):
        gw.publish(topic, b"not ours", retain=True)
    gw.publish(w.topic(gw.gw, "result"), b"ours")
    wait_for("what is allowed to pass", lambda: (w.topic(gw.gw, "result"), b"ours") in heard, 20 * PATIENCE)
    passed = [topic for topic, payload in heard if payload == b"not ours"]
    check(not passed and not watcher.errors, f"the broker took {passed}; {watcher.errors[:3]}")


def test(args, _rng):
    with Lab("pygateway", keep=args.keep) as lab:
        lab.cloud.init()
        lab.cloud.tenant("acme")
        api = lab.cloud.api(lab.cloud.token("acme"))
        lab.broker.observer("watcher", "topic read #")
        lab.broker.start()
        lab.cloud.start()
        gw = PyGateway(lab).enrol("acme", "Werk Süd").connect()
        wait_for("the gateway to be listed", lambda: gw.id in str(api.get("/v1/gateways")), 10 * PATIENCE)
        for step in (lambda: all_kinds(gw, api, "Werk Süd"), lambda: never_set(gw, api), lambda: disorder(gw, api),
                     lambda: poison(gw, api), lambda: damaged(gw, api), lambda: folded(gw, api),
                     lambda: own_topics_only(lab, gw), lambda: expect_cards(api)):
            step()
            check(not gw.errors, f"the Python gateway found: {gw.errors[:3]}")
        counted = lab.cloud.status()
        print(f"{len(api.punches())} punches in the API; status {counted}", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=180)
