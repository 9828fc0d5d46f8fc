"""A second reading of docs/AUDIT.md: verifies an exported trail. Written from the document, not from cloud/audit_check.c."""

import base64
import hashlib
import json
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils


def head_of(major, n):
    for bits, code in ((5, None), (8, 24), (16, 25), (32, 26), (64, 27)):
        if code is None and n < 24:
            return bytes([major << 5 | n])
        if code is not None and n < 1 << bits:
            return bytes([major << 5 | code]) + n.to_bytes(bits // 8, "big")
    raise ValueError(n)


def cbor(v):
    if isinstance(v, int):
        return head_of(0, v) if v >= 0 else head_of(1, -1 - v)
    if isinstance(v, bytes):
        return head_of(2, len(v)) + v
    if isinstance(v, str):
        return head_of(3, len(v.encode())) + v.encode()
    return head_of(4, len(v)) + b"".join(map(cbor, v))


def take(b, at=0):
    """One item of bytes, text, integers, lists and the map of a protected header."""
    major, n, at = b[at] >> 5, b[at] & 31, at + 1
    if n >= 24:
        size = 1 << (n - 24)
        n, at = int.from_bytes(b[at : at + size], "big"), at + size
    if major in (0, 1):
        return (n if major == 0 else -1 - n), at
    if major in (2, 3):
        v = b[at : at + n]
        return (v if major == 2 else v.decode()), at + n
    out = []
    for _ in range(n * (2 if major == 5 else 1)):
        v, at = take(b, at)
        out.append(v)
    return (dict(zip(out[::2], out[1::2])) if major == 5 else out), at


def sha(b):
    return hashlib.sha256(b).digest()


def genesis(tenant):
    return sha(cbor(["punch1 audit", 1, tenant]))


def core_bytes(core):
    return json.dumps(core, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def tag(salt, person):
    return sha(salt + person)[:16]


def leaf(core, tags, commitments):
    return sha(cbor([1, core, tags, commitments]))


class Wrong(Exception):
    pass


def checkpoint(text, key):
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    (protected, _, payload, sig), _ = take(raw)
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if take(protected)[0] != {1: -7, 4: sha(spki)[:8]}:
        raise Wrong("a checkpoint of another key")
    signed = cbor(["Signature1", protected, b"punch1 audit", payload])
    der = utils.encode_dss_signature(int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big"))
    try:
        key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Wrong("a checkpoint that is not signed") from None
    return take(payload)[0]


def verify(lines, key):
    """The last event that is proven, and the numbers of damaged ones; Wrong otherwise."""
    first = json.loads(lines[0])
    head, seq = bytes.fromhex(first["head"]), first["from"] - 1
    if seq == 0 and head != genesis(first["tenant"]):
        raise Wrong("another beginning")
    proven, damaged = None, []
    for line in lines[1:]:
        o = json.loads(line)
        if "checkpoint" in o:
            _, tenant, at, said, _, _ = checkpoint(o["checkpoint"], key)
            if (tenant, at, said) != (first["tenant"], seq, head):
                raise Wrong(f"checkpoint of event {at} behind event {seq}")
            proven = seq
            continue
        number = o["core"]["seq"] if "core" in o else o["seq"]
        if number != seq + 1:
            raise Wrong(f"event {number} behind event {seq}")
        if o.get("damaged"):
            damaged.append(number)
        if "core" not in o:
            if not o.get("damaged") or not o.get("leaf"):
                raise Wrong(f"event {number} is lost")
            head, seq = sha(head + bytes.fromhex(o["leaf"])), number
            continue
        tags = [bytes.fromhex(w["tag"]) if "tag" in w else tag(bytes.fromhex(w["salt"]), bytes.fromhex(w["person"]))
                for w in o["whose"]]
        commitments = [bytes.fromhex(d["commitment"]) if "commitment" in d
                       else sha(bytes.fromhex(d["salt"]) + d["text"].encode()) for d in o["details"]]
        made = leaf(core_bytes(o["core"]), tags, commitments)
        if made.hex() != o["leaf"]:
            raise Wrong(f"event {seq + 1} was changed")
        head, seq = sha(head + made), seq + 1
    if proven != seq or seq != first["to"]:
        raise Wrong(f"it ends behind event {seq}")
    return proven, damaged


def main():
    with open(sys.argv[2], "rb") as f:
        key = serialization.load_pem_public_key(f.read())
    with open(sys.argv[1], encoding="utf-8") as f:
        lines = f.read().splitlines()
    try:
        proven, damaged = verify(lines, key)
        print("proven up to event", proven, "damaged:", damaged)
    except Wrong as e:
        print("NOT PROVEN:", e)
        return 4
    return 5 if damaged else 0


if __name__ == "__main__":
    sys.exit(main())
