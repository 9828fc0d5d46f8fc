#!/usr/bin/python3
"""A cloud in Python, written from docs/WIRE.md, takes the place of punchcloud at a live broker (first light, point 1).

Nothing of punchcloud runs here: the authority, the root, the recipient key and the bundle are Python's. The real
punchgate enrols, three simulated readers punch; the Python cloud checks every signature, opens every record, and its
acks are accepted: the spool says that nothing is unacknowledged.
"""
import os

from cryptography import x509

import pki
import pywire as w
from compare import read_tail, tag_of
from lab import PATIENCE, Gateway, Lab, main
from proc import check, wait_for
from pypeers import PyCloud, now_us
from sims import ModbusRtu, ModbusTcp, Serial


def enrol(lab, gw, root, recipients, gen):
    """Section 11, the cloud's half: request in, certificate and bundle out."""
    with open(gw.request) as f:
        gw_id, csr_pem, sign_point = w.parse_request(f.read())
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    check(csr.is_signature_valid, "the CSR is not signed by its own key")
    check(csr.subject.rfc4514_string() == f"CN={gw_id.hex()}", f"the CSR's subject is {csr.subject.rfc4514_string()}")
    cert = pki.sign_certificate(lab.cloud.pki, gw_id.hex(), csr.public_key()).decode()
    with open(os.path.join(lab.cloud.pki, "ca.crt")) as f:
        ca = f.read()
    text = w.bundle(root, gw_id, gen, cert, ca, [w.point(r) for r in recipients], f"{lab.host}:{lab.broker.port}")
    path = os.path.join(gw.dir, f"bundle-{gen}.txt")
    with open(path, "w") as f:
        f.write("carried by hand\n" + text)
    return gw_id, sign_point, path


def test(args, _rng):
    with Lab("pycloud", keep=args.keep) as lab:
        lab.cloud.pki = lab.path("pki")
        pki.make_authority(lab.cloud.pki, [lab.host, "localhost"])
        lab.broker.start()
        root, old, recipient = w.new_key(), w.new_key(), w.new_key()
        gw = Gateway(lab)
        sims = [gw.reader(kind(lab, name, seed=args.seed, count=args.punches))
                for kind, name in ((Serial, "gate"), (ModbusTcp, "lift"), (ModbusRtu, "yard"))]
        gw.keygen()
        gw_id, sign_point, bundle = enrol(lab, gw, root, [old, recipient], 1)
        gw.ctl("enrol", bundle)

        cloud = PyCloud(lab, recipient)
        cloud.enrol(gw_id, 1, sign_point)
        cloud.acking = False
        cloud.connect()
        for s in sims:
            s.start()
        gw.start()
        tail = lab.proc("tail", [lab.program("punchgate"), "tail", "--json", "--config", gw.config],
                        errors=lab.path("logs", "tail.err"))
        tail.start()
        gw.wait_readers()
        for s in sims:
            s.go(args.rate / 3)

        wait_for("uploads to arrive", lambda: cloud.uploads > 2, 30 * PATIENCE)
        wait_for("unacknowledged records in the spool", lambda: gw.spool()["unacked"] > 0, 30 * PATIENCE)
        before = gw.spool()
        check(before["epoch"] == 0, f"epoch before any ack: {before['epoch']}")
        with cloud.lock:
            cloud.acking = True
        wait_for("every presentation to be taken",
                 lambda: all(len(s.cleared()) == args.punches for s in sims if s.acked)
                 and len(sims[0].presented()) == args.punches, 60 * PATIENCE)
        wait_for("every punch at the Python cloud", lambda: len(cloud.punches()) >= 3 * args.punches, 60 * PATIENCE)
        gw.wait_drained()
        after = gw.spool()
        check(after["epoch"] == cloud.epoch, f"the gateway took epoch {after['epoch']}, the cloud's is {cloud.epoch}")

        punches = cloud.punches()
        for s in sims:
            got = [p for p in sorted(punches, key=lambda p: p["gseq"]) if p["reader"] == s.name]
            check([p["data"].hex().upper() for p in got] == s.presented(), f"{s.name}: other punches than presented")
            check(all((p["tech"], p["bits"]) == s.cred for p in got), f"{s.name}: other technology or length")
        tags = {tag_of(gw.hash_key(), (p["tech"], p["bits"]), p["data"].hex()) for p in punches}
        seen = {t["tag"] for t in read_tail(tail.log)}
        check(seen and seen <= tags, "tail's tags are not HMAC(hash key, CBOR [tech, bits, data])")
        check([r for r in cloud.records.values() if r["kind"] == 2], "no clock record came")
        check(any(r["kind"] == 2 and r["src"] == 3 for r in cloud.records.values()),
              "no clock record from the cloud's time came")
        gseqs = [r["gseq"] for r in cloud.records.values()]
        check(len(set(gseqs)) == len(gseqs), "one gseq twice")
        for segid, seg in cloud.segments.items():
            prev = seg.hdr["prev"]
            check(prev == w.ZERO16 or prev in cloud.segments, f"segment {segid.hex()}: unknown prev {prev.hex()}")
            if prev in cloud.segments:
                check(cloud.segments[prev].next == seg.hdr["prevlen"],
                      f"prevlen {seg.hdr['prevlen']}, {cloud.segments[prev].next} records came")

        # A new epoch: everything retained is offered again, and changes nothing.
        uploads, records = cloud.uploads, len(cloud.records)
        with cloud.lock:
            cloud.epoch += 1
            for seg in cloud.segments.values():
                seg.next = 0
            cloud.ack(gw_id, list(cloud.segments.values())[-1])
        wait_for("the gateway to take the new epoch", lambda: gw.spool()["epoch"] == cloud.epoch, 30 * PATIENCE)
        gw.wait_drained()
        check(cloud.uploads > uploads, "a new epoch brought nothing again")
        check(all(seg.next > 0 for seg in cloud.segments.values()), "a segment was not offered again")
        check(len(cloud.punches()) == 3 * args.punches, "a resend made punches")
        print(f"{len(records_of(cloud))} records of {len(cloud.segments)} segments in {cloud.uploads} uploads, "
              f"{records} before the new epoch; {len(cloud.statuses)} statuses", flush=True)

        # A true ack of the old epoch, such as a broker may have kept: without effect, although its mac is right.
        with cloud.lock:
            cloud.acking = False
            uploads = cloud.uploads
        sims[1].present()
        wait_for("an upload that is not answered", lambda: cloud.uploads > uploads and gw.spool()["unacked"] > 0,
                 30 * PATIENCE)
        waiting = gw.spool()["unacked"]
        with cloud.lock:
            for seg in list(cloud.segments.values()):
                cloud.publish(w.topic(gw_id, "ack"),
                              w.ack([w.ack_item(seg.ack_key, seg.id, cloud.epoch - 1, now_us(), 65536)]))
        uploads = cloud.uploads
        wait_for("the upload to be sent again", lambda: cloud.uploads > uploads, 30 * PATIENCE)
        check(gw.spool()["unacked"] >= waiting, "an ack of an old epoch was believed")
        with cloud.lock:
            cloud.acking = True
        gw.wait_drained()
        check(len(cloud.punches()) == 3 * args.punches + 1, "the last punch did not arrive")

        # Its goodbye is signed and says so.
        lab.stop_daemons()
        wait_for("a status that says goodbye", lambda: cloud.statuses and not cloud.statuses[-1]["online"], 10 * PATIENCE)
        check(any(s["online"] for s in cloud.statuses), "no status said online")
        check(not cloud.refused and not cloud.errors, f"refused: {cloud.refused[:5]} {cloud.errors[:5]}")


def records_of(cloud):
    with cloud.lock:
        return list(cloud.records)


if __name__ == "__main__":
    main(test, __doc__, limit=240, punches=30, rate=20.0)
