#!/usr/bin/python3
"""Refused, counted and survived (first light, point 6): a hostile gateway at punchcloud, a hostile broker at punchgate.

Hostile gateway: an upload with a bit flipped in each of its fields in turn, a wrong signer, another gateway's topic, a
wrong <p>, an unknown recipient key, an old generation, a revoked gateway, replays, garbage. Nothing of it may reach
the API, be acknowledged, or go uncounted; the unharmed upload must be taken afterwards.
Hostile broker: a forged ack, an ack of another segment, a changed one, an old epoch, replays, garbage. The spool may
not move; a good punch afterwards must still arrive.
"""
import os
import random
import signal
import socket
import ssl

from cryptography import x509

import pywire as w
from building import Building
from forger import ACL, CN
from lab import PATIENCE, Lab, main
from mqtt5 import Client
from proc import Failure, check, wait_for
from pypeers import PyGateway
from sims import ModbusTcp


# ---- hostile gateway ----
def field_spans(seg, upload):
    """(name, offset, length) of each field's own bytes in an encoded upload of seg."""
    at_signed = upload.index(seg.signed)
    at_payload = at_signed + seg.signed.index(seg.payload)
    at_hdr = at_payload + seg.payload.index(seg.hdr)
    protected = w.parse_signed(seg.signed)[0]
    at_protected = at_signed + seg.signed.index(protected)
    spans = [("alg", at_protected + 2, 1), ("kid", at_protected + 5, 8),
             ("unprotected", at_protected + len(protected), 1), ("signature", at_signed + len(seg.signed) - 64, 64),
             ("enc", at_payload + seg.payload.index(seg.enc), 65)]
    at = at_hdr + 1
    for name, value in zip(w.HDR, w.decode(seg.hdr)):
        encoded = w.encode(value)
        if name == "suite":
            spans += [(f"suite.{part}", at + i, 1) for i, part in enumerate(("kem", "kdf", "aead"), 1)]
        else:
            # Of a byte string the content, of a number its last byte: the encoding stays well-formed.
            own = len(value) if isinstance(value, bytes) else 1
            spans.append((name, at + len(encoded) - own, own))
        at += len(encoded)
    check(at == at_hdr + len(seg.hdr), "the header's fields do not add up")
    for i, record in enumerate(seg.records):
        at = upload.index(record)
        spans += [(f"record {i} ciphertext", at, len(record) - 16), (f"record {i} tag", at + len(record) - 16, 16)]
    first_at = at_signed + len(seg.signed)
    return spans + [("first", first_at, 1)]


def flip(data, offset, length, rng, name):
    """One random bit; for a small number the lowest, so that it becomes another number and not another type."""
    bit = 0 if length == 1 and name not in ("alg", "unprotected") else rng.randrange(8 * length)
    out = bytearray(data)
    out[offset + bit // 8] ^= 1 << bit % 8
    return bytes(out)


def fence(gw):
    """Uploads of a gateway are handled in order: when this one is acknowledged, those before it have been dealt with."""
    seg = gw.segment()
    gw.upload(seg)
    gw.wait_acked(seg)


def refused_sum(status):
    return sum(status["refused"].values())


def expect_refusals(lab, what, reason, send, count=1):
    """Runs send(); punchcloud must then count `count` more refusals, by a reason of that name."""
    before = lab.cloud.status()["refused"]
    check(reason in before, f"punchcloud counts no {reason!r}: {sorted(before)}")
    send()
    after = {}

    def counted():
        after.update(lab.cloud.status()["refused"])
        return after[reason] >= before[reason] + count
    try:
        wait_for("the refusal to be counted", counted, 15 * PATIENCE, every=0.1)
    except Failure:
        raise Failure(f"{what}: not counted as {reason}: before {before}, after {after}") from None
    moved = {k: after[k] - before[k] for k in after if after[k] != before[k]}
    check(moved == {reason: count}, f"{what}: counted as {moved}")


def flipped_fields(lab, gw, api, rng):
    trial = gw.segment()
    gw.punch(trial, "door", (3, 40, bytes(4) + b"\1"))
    names = [name for name, _, _ in field_spans(trial, w.upload(trial.signed, 0, trial.records))]
    segs, before = {}, lab.cloud.status()
    for n, name in enumerate(names):
        seg = w.Sealer(gw.gw, gw.gen, gw.boot, 1000 + n, gw.recipient, gw.sign_key)
        seg.seal(w.clock(gw._next(), 1, 2, 63, 0))
        gw.held[seg.id] = seg
        punch = gw.punch(seg, "door", (3, 40, bytes([5, 0, 0, 0, n])))
        good = w.upload(seg.signed, 0, seg.records)
        span = next(s for s in field_spans(seg, good) if s[0] == name)
        gw.publish(w.topic(gw.gw, "up"), flip(good, *span[1:], rng, name))
        segs[name] = (seg, punch, good)
    fence(gw)
    after, stored = lab.cloud.status(), {i["id"] for i in api.punches()}
    for name, (seg, punch, _) in segs.items():
        check(punch["id"] not in stored, f"a bit flipped in {name}: the punch was stored")
        allowed = {"first": 0, "record 0 ciphertext": 0, "record 0 tag": 0, "record 1 ciphertext": 1, "record 1 tag": 1}
        top = allowed.get(name, -1)
        check(gw.acked(seg) <= top, f"a bit flipped in {name}: acknowledged up to {gw.acked(seg)}")
    ahead = after["counters"]["ahead"] - before["counters"]["ahead"]
    grown = refused_sum(after) - refused_sum(before)
    check((ahead, grown) == (1, len(names) - 1), f"{len(names)} flips: {grown} refusals and {ahead} ahead were counted")
    for seg, _, good in segs.values():
        gw.publish(w.topic(gw.gw, "up"), good)
    for seg, _, _ in segs.values():
        gw.wait_acked(seg)
    stored = {i["id"] for i in api.punches()}
    check(all(punch["id"] in stored for _, punch, _ in segs.values()), "an unharmed upload was not taken afterwards")
    print(f"flipped a bit in each of {len(names)} fields ({', '.join(names)}): refused, then taken unharmed", flush=True)


def hostile_uploads(lab, gw, other, api, rng):
    """One lie each, all else in order; each counted under its own reason."""
    def lie(what, reason, topic=None, **otherwise):
        seg = gw.segment(**{"segno": 2000, **otherwise})
        punch = gw.punch(seg, "door", (3, 40, rng.randbytes(5)))
        lies.append((what, seg, punch))
        expect_refusals(lab, what, reason, lambda: gw.upload(seg, topic=topic))

    lies = []
    forged = w.new_key()
    lie("a wrong signer", "signature", key=forged, kid=w.kid_of(w.point(gw.sign_key)))
    lie("a wrong signer that says so", "signature", key=forged)
    lie("a signature for another purpose", "signature", aad=b"punch1 status")
    lie("another recipient key", "recipient_key", recipient=w.point(w.new_key()))
    lie("a point off the curve", "open", enc=b"\4" + bytes(63) + b"\1")
    lie("a generation that is to come", "gateway", gen=gw.gen + 1)
    lie("a generation that cannot be", "cbor", gen=0)
    lie("a wrong <p>", "topic", topic=w.topic(gw.gw, "up", p=f"{(gw.gw[0] >> 4) ^ 1:x}"))
    lie("another gateway's topic", "topic", topic=w.topic(other.gw, "up"))
    lie("the topic of nobody", "gateway", topic=w.topic(bytes(8), "up"), gw=bytes(8))
    lie("an unknown version", "cbor", version=2)
    lie("an unknown suite", "cbor", suite=[16, 1, 3])
    seg = gw.segment()
    gw.punch(seg, "door", (3, 40, rng.randbytes(5)))
    up = w.topic(gw.gw, "up")
    good = w.upload(seg.signed, 0, seg.records)
    for what, reason, payload in (("nothing at all", "size", b""), ("noise", "cbor", rng.randbytes(300)),
                                  ("half an upload", "cbor", good[:len(good) // 2]),
                                  ("an upload and more", "cbor", good + b"\0"),
                                  ("no records", "cbor", w.encode([seg.signed, 0, [], 0])),
                                  ("a record too short", "cbor", w.encode([seg.signed, 0, [bytes(100)], 0])),
                                  ("beyond the segment", "cbor", w.upload(seg.signed, 65535, seg.records)),
                                  ("too large", "size", good + bytes(65537))):
        expect_refusals(lab, what, reason, lambda p=payload: gw.publish(up, p))
    fence(gw)
    stored = {i["id"] for i in api.punches()}
    for what, bad, punch in lies:
        check(punch["id"] not in stored, f"{what}: the punch was stored")
        check(gw.acked(bad) < 0, f"{what}: acknowledged")
    print(f"{len(lies) + 8} lies refused, each under its reason", flush=True)
    replay(lab, gw, api, seg, good, up)


def replay(lab, gw, api, seg, good, up):
    """The same upload again and again changes nothing and is answered."""
    gw.publish(up, good)
    gw.wait_acked(seg)
    before, count = len(api.punches()), lab.cloud.status()["counters"]["duplicates"]
    for _ in range(5):
        gw.publish(up, good)
    fence(gw)
    check(len(api.punches()) == before, "a replay made punches")
    check(lab.cloud.status()["counters"]["duplicates"] >= count + 5 * len(seg.records), "replays were not counted")


def statuses(lab, gw, other):
    """A status by the wrong key, or about somebody else, moves nothing."""
    key, gw.sign_key = gw.sign_key, w.new_key()
    forged = gw.status(False)
    gw.sign_key = key
    expect_refusals(lab, "a forged status", "signature", lambda: gw.publish(w.topic(gw.gw, "status"), forged))
    expect_refusals(lab, "a status on another's topic", "topic",
                    lambda: other.publish(w.topic(other.gw, "status"), gw.status(True)))


def revoke_and_die(lab, gw):
    """Killed when the revocation is committed and its list not written: the next start writes it."""
    def listed():
        with open(os.path.join(lab.cloud.pki, "ca.crl"), "rb") as f:
            return len(list(x509.load_pem_x509_crl(f.read())))
    lab.cloud.proc.stop(30 * PATIENCE)
    lab.cloud.env = {"PUNCH_FAULT_KILL": "revoked:1"}
    lab.cloud.start()
    lab.cloud.ctl("gateway", "revoke", gw.id, expect=None)
    wait_for("punchcloud to be dead", lambda: not lab.cloud.proc.alive(), 20 * PATIENCE)
    check(listed() == 0, "the list was written before it died")
    lab.cloud.env = {}
    lab.cloud.start()
    check(listed() == 2, "the next start did not list both certificates of the revoked gateway")


def old_and_revoked(lab, gw, api):
    """After a new enrolment the old generation is refused; after a revocation, everything."""
    old_gen, seg = gw.gen, gw.segment()
    gw.punch(seg, "door", (3, 40, b"OLDGN"))
    gw.enrol("acme", "Tor 2")
    check(gw.gen > old_gen, f"generation {gw.gen} after {old_gen}")
    expect_refusals(lab, "an old generation", "generation", lambda: gw.upload(seg))
    new = gw.segment()
    punch = gw.punch(new, "door", (3, 40, b"NEWGN"))
    gw.upload(new)
    gw.wait_acked(new)
    revoke_and_die(lab, gw)
    gone = gw.segment()
    gw.punch(gone, "door", (3, 40, b"REVOK"))
    expect_refusals(lab, "a revoked gateway", "revoked", lambda: gw.upload(gone))
    expect_refusals(lab, "a revoked gateway's replay", "revoked", lambda: gw.upload(new))
    ids = {i["id"] for i in api.punches()}
    check(punch["id"] in ids and f"{seg.id.hex()}-1" not in ids and f"{gone.id.hex()}-1" not in ids,
          "what an old generation or a revoked gateway sent is in the API")
    check(gw.acked(gone) < 0, "a revoked gateway was acknowledged")


def let_in(lab, gw):
    """Whether the broker takes this gateway's certificate; with TLS 1.3 a client is told when it reads."""
    own = ssl.create_default_context(cafile=os.path.join(gw.dir, "ca.crt"))
    own.load_cert_chain(os.path.join(gw.dir, "own.crt"), os.path.join(gw.dir, "own.key"))
    try:
        with socket.create_connection((lab.host, lab.broker.port), 20) as raw, \
                own.wrap_socket(raw, server_hostname=lab.host) as s:
            s.sendall(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00")
            return s.recv(1) == b"\x20"
    except (ssl.SSLError, ConnectionError):
        return False


def broker_reload(lab, revoked, other):
    """What `gateway revoke` wrote keeps the gateway out of the broker as soon as that reads it, and nobody else."""
    check(let_in(lab, revoked), "the broker refuses a gateway by a list that it has not read")
    lab.broker.proc.send(signal.SIGHUP)
    wait_for("the broker to refuse the revoked gateway", lambda: not let_in(lab, revoked), 20 * PATIENCE, every=0.2)
    check(let_in(lab, other), "the broker refuses a gateway that is not revoked")


def hostile_gateway(args, rng):
    with Lab("hostile-gw", keep=args.keep) as lab:
        lab.cloud.program_name = "punchcloud-fault"
        lab.cloud.init()
        lab.cloud.tenant("acme")
        api = lab.cloud.api(lab.cloud.token("acme"))
        # The ACL keeps a gateway to its own topics; a hostile broker would not, and punchcloud must not need it.
        gw, other = PyGateway(lab, "pygw"), PyGateway(lab, "pygw2")
        for g in (gw, other):
            lab.broker.observer(g.id, *ACL)
        lab.broker.start()
        lab.cloud.start()
        for g in (gw, other):
            g.enrol("acme", "Tor 1").connect()
        fence(gw)
        flipped_fields(lab, gw, api, rng)
        hostile_uploads(lab, gw, other, api, rng)
        statuses(lab, gw, other)
        old_and_revoked(lab, gw, api)
        seg = other.segment()
        punch = other.punch(seg, "door", (3, 40, b"ALIVE"))
        other.upload(seg)
        other.wait_acked(seg)
        check(any(i["id"] == punch["id"] for i in api.punches()), "a good punch afterwards did not arrive")
        broker_reload(lab, gw, other)
        print(f"punchcloud: {lab.cloud.status()['refused']}", flush=True)
        lab.stop_daemons()


# ---- hostile broker ----
class Wiretap:
    """A client with the rights of the broker itself: sees uploads and acks, may publish what it likes."""

    def __init__(self, lab):
        self.uploads, self.acks, self.segments = [], [], {}
        self.client = Client(lab, CN, ("punch/v1/+/+/up", "punch/v1/+/+/ack"), self._saw)

    def _saw(self, topic, payload):
        try:
            if topic.endswith("/up"):
                seg = w.Opened(w.parse_upload(payload)[0])
                self.segments[seg.id] = seg
                self.uploads.append((topic, payload))
            else:
                self.acks.append((topic, w.parse_ack(payload)))
        except w.Bad:
            pass

    def ack(self, gw_id, payload):
        self.client.publish(w.topic(bytes.fromhex(gw_id), "ack"), payload)


def hostile_broker(args, rng):
    with Lab("hostile-broker", keep=args.keep) as lab:
        b = Building(lab, args.seed, forger=(), sims=[ModbusTcp(lab, "lift", seed=args.seed)], acl=True)
        tap, sim = Wiretap(lab), b.sims[0]

        def punch(n):
            for _ in range(n):
                sim.present()
            want = len(sim.presented()) + 0
            wait_for("the cards to be taken", lambda: len(sim.cleared()) >= len(sim.presented()) >= want, 30 * PATIENCE)

        punch(3)
        wait_for("punches in the API", lambda: len(b.api.punches()) >= 3, 30 * PATIENCE, every=0.2)
        b.gw.wait_drained()
        epoch = b.gw.spool()["epoch"]
        # From here on the cloud is silent: whatever moves the spool is a lie that was believed.
        lab.cloud.proc.stop(30 * PATIENCE)
        wait_for("the reader to be idle", lambda: len(sim.cleared()) == len(sim.presented()), 20 * PATIENCE)
        # A reconnect with something unacknowledged closes the segment: what comes next is in another one.
        sim.present()
        wait_for("an unacknowledged punch", lambda: b.gw.spool()["unacked"] > 0, 20 * PATIENCE)
        connects = b.gw.status()["uplink"]["connects"]
        b.proxy.cut("reset")
        b.proxy.mend()
        wait_for("the gateway to be back", lambda: b.gw.status()["uplink"]["connects"] > connects, 30 * PATIENCE)
        before_uploads = len(tap.uploads)
        for _ in range(4):
            sim.present()
        wait_for("uploads without an answer", lambda: len(tap.uploads) > before_uploads and len(sim.cleared()) >= 8,
                 30 * PATIENCE)
        spool = b.gw.spool()
        waiting = [s for s in spool["segments"] if s["next"] < s["records"]]
        check(spool["unacked"] >= 4 and waiting, f"the spool is not waiting: {spool}")
        target = bytes.fromhex(waiting[-1]["id"])
        real = next((i for _, items in reversed(tap.acks) for i in items if i[0] != target), None)
        check(real, f"the test has one segment only: {spool}")
        segid, e, now, next_, mac = real
        lies = {"forged": [target, e, now, 65536, rng.randbytes(16)],
                "of another segment": [target, e, now, next_, mac],
                "changed next": [segid, e, now, next_ + 1000, mac],
                "changed now": [segid, e, now + 1, next_, mac],
                "changed epoch": [segid, e + 1, now, next_, mac],
                "a zero key": w.ack_item(bytes(32), target, e, now, 65536),
                "a far epoch": [target, w.INT_MAX, now, 65536, rng.randbytes(16)],
                "an old epoch": [target, e - 1, now, 65536, rng.randbytes(16)]}

        def counted():
            s = b.gw.status()
            return s["uplink"]["dropped_acks"] + sum(s["sender"][k] for k in ("acks_bad", "acks_unknown", "acks_old_epoch"))
        bad = counted()
        for item in lies.values():
            tap.ack(b.gw.id, w.ack([item]))
        for garbage in (b"", b"\0", rng.randbytes(100), w.ack([real])[:-1], w.encode([1, []]), w.encode([2, [real]])):
            tap.ack(b.gw.id, garbage)
        for _, items in tap.acks[-20:]:
            tap.ack(b.gw.id, w.ack(items))
        want = bad + len(lies) + 6
        wait_for(f"{len(lies) + 6} bad acks to be counted", lambda: counted() >= want, 20 * PATIENCE, every=0.2)
        after = b.gw.spool()
        check(after["epoch"] == epoch, f"a lie moved the epoch from {epoch} to {after['epoch']}")
        check(after["unacked"] >= spool["unacked"], f"a lie was believed: unacked {spool['unacked']} -> {after['unacked']}")
        for seg in waiting:
            now_ = next((s for s in after["segments"] if s["id"] == seg["id"]), None)
            check(now_ and now_["next"] == seg["next"], f"a lie moved segment {seg} to {now_}")
        # An old epoch with a true mac: what a broker could have kept from before a restore.
        lab.cloud.start()
        punch(1)
        b.settle()
        check(len(b.items()) == len(sim.presented()), "a good punch afterwards did not arrive")
        b.verdict()
        print(f"{len(lies)} lying acks and 6 pieces of garbage refused; gateway counts {b.gw.status()['sender']}",
              flush=True)
        lab.stop_daemons()


def test(args, rng):
    hostile_gateway(args, random.Random(rng.random()))
    hostile_broker(args, random.Random(rng.random()))


if __name__ == "__main__":
    main(test, __doc__, limit=240)
