#!/usr/bin/python3
"""The Python wire against the worked examples of docs/WIRE.md and the official HPKE vectors, right and corrupted.

It stands before the tests that use it: when this fails, they say nothing about punchgate or punchcloud.
"""
import json
import os
import re

from cryptography.hazmat.primitives.asymmetric import ec

import pywire as w
from lab import ROOT, main
from proc import Failure, check


def examples():
    with open(os.path.join(ROOT, "docs", "WIRE.md"), encoding="utf-8") as f:
        page = f.read()
    found = {}
    for kind, name, body in re.findall(r"^```(hex|text) (\S+)\n(.*?)^```$", page, re.M | re.S):
        found[name] = bytes.fromhex(body) if kind == "hex" else body
    check(len(found) > 20, "docs/WIRE.md has no examples")
    return found


def same(name, got, want):
    check(got == want, f"{name}: {got!r}, docs/WIRE.md says {want!r}")


def refused(what, function, *args):
    try:
        function(*args)
    except (w.Bad, ValueError):
        return
    raise Failure(f"{what}: accepted")


def renderings():
    """Section 5's table, each row with its own example."""
    with open(os.path.join(ROOT, "docs", "WIRE.md"), encoding="utf-8") as f:
        rows = re.findall(r"^\| (\d) \| (\S+) \|.*\| `([^`]+)` \|$", f.read(), re.M)
    check([(int(n), name) for n, name, _ in rows] == list(enumerate(w.RENDERINGS)), f"rows: {rows}")
    for n, name, number in rows:
        same(name, w.shown(3, 40, bytes.fromhex("67003B51C6"), int(n)), number)
    for args, number in (((2, 32, bytes.fromhex("04A1B2C3"), 2), "0077705923"),
                         ((2, 32, bytes.fromhex("04A1B2C3"), 3), "04A1B2C3"),
                         ((2, 56, bytes(7), 2), "00" * 7), ((3, 40, b"12345", 8), "3132333435"),
                         ((6, 24, b"A-1", 2), "A-1"), ((6, 24, b"A\n1", 2), "410A31")):
        same(f"number of {args}", w.shown(*args), number)


def scalar(data):
    return ec.derive_private_key(int.from_bytes(data, "big"), ec.SECP256R1())


def worked(e):
    sign_key, recipient, root = scalar(e["signing-scalar"]), scalar(e["recipient-scalar"]), scalar(e["root-scalar"])
    same("signing-point", w.point(sign_key), e["signing-point"])
    same("kid", w.kid_of(e["signing-point"]), e["kid"])
    same("recipient-point", w.point(recipient), e["recipient-point"])
    same("rkid", w.rkid_of(e["recipient-point"]), e["rkid"])

    signed, first, records, flags = w.parse_upload(e["upload"])
    same("upload", (signed, first, records, flags), (e["signed"], 0, [e["sealed-0"], e["sealed-1"]], 0))
    same("upload, made anew", w.upload(signed, first, records, flags), e["upload"])
    seg = w.Opened(signed)
    same("seg-payload", seg.payload, e["seg-payload"])
    same("hdr", seg.hdr_bytes, e["hdr"])
    same("enc", seg.enc, e["enc"])
    same("segid", seg.id, e["segid"])
    same("sig-structure", w._to_be_signed(w.parse_signed(signed)[0], w.AAD_SEG, seg.payload), e["sig-structure"])
    seg.verify(e["signing-point"])
    seg.open(recipient)
    same("record-key", seg.record_key, e["record-key"])
    same("ack-key", seg.ack_key, e["ack-key"])
    for i in (0, 1):
        same(f"plain-{i}", seg.record(i, e[f"sealed-{i}"]), e[f"plain-{i}"])
    clock, punch = w.parse_record(e["plain-0"]), w.parse_record(e["plain-1"])
    same("the punch, made anew", w.punch(punch["gseq"], punch["reader"], (punch["tech"], punch["bits"], punch["data"]),
                                         punch["real"], punch["mono"], punch["ck"], punch["dir"], punch["ext"]),
         e["plain-1"])
    same("the clock, made anew", w.clock(clock["gseq"], clock["real"], clock["mono"], clock["ck"], clock["src"],
                                         clock["step"]), e["plain-0"])
    same("the punch", (punch["gseq"], punch["reader"], punch["data"].hex().upper(), punch["dir"], punch["ext"]),
         (2, "door-1", "67003B51C6", 1, {2: 2}))
    same("its number", w.shown(punch["tech"], punch["bits"], punch["data"], punch["ext"][2]), "0003887558")
    later = w.parse_record(e["plain-2"])
    same("the cloud's time", (later["src"], later["ck"], w.ck(2, 40000)), (3, 159, 159))

    (item,) = w.parse_ack(e["ack"])
    segid, epoch, now, next_, mac = item
    same("mac-input", b"punch1 ack" + w.encode([segid, epoch, now, next_]), e["mac-input"])
    same("mac", mac, w.ack_mac(e["ack-key"], segid, epoch, now, next_))
    same("ack, made anew", w.ack([w.ack_item(e["ack-key"], segid, epoch, now, next_)]), e["ack"])
    same("status", w.verify(e["status"], w.AAD_STATUS, e["signing-point"]), e["status-payload"])
    s = w.parse_status(e["status"], e["signing-point"])
    same("status", (s["online"], s["counts"]), (True, {1: 1, 2: 3, 3: 1}))
    same("topic", w.topic(seg.hdr["gw"], "up"), e["topic"].strip())

    gw, csr, pt = w.parse_request(e["request"])
    same("request", (gw, pt), (seg.hdr["gw"], e["signing-point"]))
    b = w.parse_bundle(e["bundle"])
    same("bundle", (b["gw"], b["gen"], b["recipients"]), (gw, 1, [e["recipient-point"]]))
    same("root", w.unarmour("PUNCH ROOT", e["bundle"]), w.point(root))
    refused("a bundle of another root", w.parse_bundle, e["bundle"], w.point(w.new_key()))
    return seg


def corrupted(e, seg, rng):
    """Each example with a random bit flipped is refused, whichever bit it is."""
    def flip(data):
        i = rng.randrange(8 * len(data))
        return data[:i // 8] + bytes([data[i // 8] ^ 1 << i % 8]) + data[i // 8 + 1:]

    for _ in range(200):
        bad = flip(e["signed"])
        refused("a flipped bit in signed", lambda d=bad: w.Opened(d).verify(e["signing-point"]))
        refused("a flipped bit in a record", seg.record, 0, flip(e["sealed-0"]))
        refused("a flipped bit in a status", w.parse_status, flip(e["status"]), e["signing-point"])
        segid, epoch, now, next_, mac = w.parse_ack(e["ack"])[0]
        check(w.ack_mac(e["ack-key"], flip(segid), epoch, now, next_) != mac, "an ack of another segment")
        check(w.ack_mac(flip(e["ack-key"]), segid, epoch, now, next_) != mac, "an ack by another key")
    refused("a record under another index", seg.record, 1, e["sealed-0"])
    for name in ("upload", "ack", "signed"):
        for cut in range(len(e[name])):
            refused(f"{name} cut at {cut}", w.decode, e[name][:cut])
        refused(f"{name} with more behind it", w.decode, e[name] + b"\0")


def hpke():
    with open(os.path.join(ROOT, "tests", "vectors", "hpke-base-p256-aes256gcm.json")) as f:
        v = json.load(f)["vector"]
    key = scalar(bytes.fromhex(v["skRm"]))
    got = w.hpke_receive(key, bytes.fromhex(v["enc"]), bytes.fromhex(v["info"]))
    same("exporter_secret", got.hex(), v["exporter_secret"])
    for x in v["exports"]:
        value = w.hpke_export(got, bytes.fromhex(x["exporter_context"]), x["L"]).hex()
        same("export", value, x["exported_value"])
        check(w.hpke_export(got, bytes.fromhex(x["exporter_context"]) + b"\1", x["L"]).hex() != value, "context unused")
    check(w.hpke_receive(key, bytes.fromhex(v["enc"]), b"other").hex() != v["exporter_secret"], "info is unused")


def test(_args, rng):
    e = examples()
    seg = worked(e)
    renderings()
    corrupted(e, seg, rng)
    hpke()
    print(f"{len(e)} examples of docs/WIRE.md and the official HPKE vector agree; their corruptions do not", flush=True)


if __name__ == "__main__":
    main(test, __doc__, limit=60)
