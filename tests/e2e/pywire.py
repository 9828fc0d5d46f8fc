"""The wire of docs/WIRE.md, both ends, in Python: written from that page alone and sharing nothing with the C code.

Only python3-cbor2 and python3-cryptography. Section numbers in comments are those of docs/WIRE.md. What breaks a rule
of the page raises Bad; nothing here is lenient, so that a mistake of the other end shows.
"""
import base64
import hashlib
import hmac
import io
import math
import os
import re

import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

UPLOAD_MAX, RECORDS_MAX, SIGNED_MAX, SEGMENT_MAX = 65536, 512, 512, 65536
INT_MAX = 2**63 - 1
SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
AAD_SEG, AAD_STATUS, AAD_BUNDLE, AAD_REQUEST = b"punch1 seg", b"punch1 status", b"punch1 bundle", b"punch1 request"
ZERO16 = bytes(16)


class Bad(Exception):
    """The other end did not keep to docs/WIRE.md."""


def need(condition, text):
    if not condition:
        raise Bad(text)


# ---- encoding (section 2) ----
def encode(value):
    """Deterministic CBOR of what the schemas use. Map keys are given in any order."""
    if isinstance(value, dict):
        items = sorted((encode(k), encode(v)) for k, v in value.items())
        return _head(5, len(items)) + b"".join(k + v for k, v in items)
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(encode(v) for v in value)
    return cbor2.dumps(value)


def _head(major, n):
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << (8 * size):
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise Bad("too long")


def decode(data):
    """One item and nothing behind it; deterministic, or Bad."""
    try:
        value = cbor2.loads(bytes(data))
    except Exception as e:
        raise Bad(f"not CBOR: {e}") from None
    try:
        again = encode(value)
    except Exception as e:
        raise Bad(f"a type that the wire does not use: {e}") from None
    need(again == bytes(data), "not deterministic CBOR, or bytes left over")
    return value


def is_uint(v, top=INT_MAX):
    return type(v) is int and 0 <= v <= top


def is_int(v):
    return type(v) is int and -2**63 <= v <= INT_MAX


def is_bytes(v, low, high=None):
    return type(v) is bytes and low <= len(v) <= (low if high is None else high)


def is_text(v, low, high):
    return type(v) is str and low <= len(v.encode()) <= high and "\0" not in v


# ---- keys and signatures (section 3) ----
def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def point(key):
    public = key.public_key() if hasattr(key, "public_key") else key
    return public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def public_of(pt):
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes(pt))
    except ValueError:
        raise Bad("not a point of the curve") from None


def kid_of(pt):
    return hashlib.sha256(SPKI_HEAD + pt).digest()[:8]


def _to_be_signed(protected, aad, payload):
    return encode(["Signature1", protected, aad, payload])


def sign(key, aad, payload, kid=None):
    protected = bytes.fromhex("a2012604" + "48") + (kid or kid_of(point(key)))
    r, s = decode_dss_signature(key.sign(_to_be_signed(protected, aad, payload), ec.ECDSA(hashes.SHA256())))
    return encode([protected, {}, payload, r.to_bytes(32, "big") + s.to_bytes(32, "big")])


def parse_signed(data):
    """(protected, kid, payload, signature), nothing verified."""
    v = decode(data)
    need(isinstance(v, list) and len(v) == 4, "signed: four elements")
    protected, unprotected, payload, signature = v
    need(is_bytes(protected, 13) and protected[:5] == bytes.fromhex("a201260448"), "signed: protected header")
    need(unprotected == {} and type(payload) is bytes and is_bytes(signature, 64), "signed: shape")
    return protected, protected[5:], payload, signature


def verify(data, aad, pt):
    """The payload of what the key at pt signed; Bad otherwise."""
    protected, kid, payload, signature = parse_signed(data)
    need(kid == kid_of(pt), "signed: the kid of another key")
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        public_of(pt).verify(der, _to_be_signed(protected, aad, payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Bad("signed: the signature is wrong") from None
    return payload


# ---- HPKE base mode (RFC 9180), DHKEM(P-256), HKDF-SHA256, AES-256-GCM: exports only (section 4) ----
KEM_SUITE = b"KEM" + (16).to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(n.to_bytes(2, "big") for n in (16, 1, 2))


def _extract(suite, salt, label, ikm):
    return hmac.new(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, hashlib.sha256).digest()


def _expand(suite, prk, label, info, n):
    return HKDFExpand(hashes.SHA256(), n, n.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info).derive(prk)


def _exporter(dh, kem_context, info):
    shared = _expand(KEM_SUITE, _extract(KEM_SUITE, b"", b"eae_prk", dh), b"shared_secret", kem_context, 32)
    context = b"\0" + _extract(SUITE, b"", b"psk_id_hash", b"") + _extract(SUITE, b"", b"info_hash", info)
    secret = _extract(SUITE, shared, b"secret", b"")
    return _expand(SUITE, secret, b"exp", context, 32)


def hpke_send(recipient, info):
    ephemeral = new_key()
    enc = point(ephemeral)
    return enc, _exporter(ephemeral.exchange(ec.ECDH(), public_of(recipient)), enc + recipient, info)


def hpke_receive(key, enc, info):
    return _exporter(key.exchange(ec.ECDH(), public_of(enc)), enc + point(key), info)


def hpke_export(exporter, context, n=32):
    return _expand(SUITE, exporter, b"sec", context, n)


# ---- segments ----
HDR = ("version", "suite", "rkid", "gw", "gen", "boot", "segno", "prev", "prevlen")


def rkid_of(pt):
    return hashlib.sha256(pt).digest()[:8]


def segid_of(payload):
    return hashlib.sha256(payload).digest()[:16]


class Sealer:
    """The gateway's side of one segment. Any header field may be given otherwise, for hostile tests."""

    def __init__(self, gw, gen, boot, segno, recipient, key, prev=ZERO16, prevlen=0, **otherwise):
        h = dict(version=1, suite=[16, 1, 2], rkid=rkid_of(recipient), gw=gw, gen=gen, boot=boot, segno=segno,
                 prev=prev, prevlen=prevlen)
        h.update({k: v for k, v in otherwise.items() if k in HDR})
        self.hdr = encode([h[k] for k in HDR])
        self.enc, exporter = hpke_send(recipient, b"punch1 seg" + self.hdr)
        self.enc = otherwise.get("enc", self.enc)
        self.record_key, self.ack_key = hpke_export(exporter, b"punch1 rec"), hpke_export(exporter, b"punch1 ack")
        self.payload = encode([self.hdr, self.enc])
        self.signed = sign(key, otherwise.get("aad", AAD_SEG), self.payload, otherwise.get("kid"))
        self.id = segid_of(self.payload)
        self.next = 0
        self.records = []

    def seal(self, plain, index=None):
        i = self.next if index is None else index
        sealed = AESGCM(self.record_key).encrypt(i.to_bytes(12, "big"), plain, None)
        if index is None:
            self.next += 1
            self.records.append(sealed)
        return sealed


class Opened:
    """The cloud's side of one segment: parsed first, trusted after verify(), readable after open()."""

    def __init__(self, signed):
        need(len(signed) <= SIGNED_MAX, "segment: signed bytes too long")
        self.signed = signed
        self.kid, self.payload = parse_signed(signed)[1:3]
        v = decode(self.payload)
        need(isinstance(v, list) and len(v) == 2 and type(v[0]) is bytes and is_bytes(v[1], 65), "seg-payload")
        self.hdr_bytes, self.enc = v
        h = decode(self.hdr_bytes)
        need(isinstance(h, list) and len(h) == 9 and h[0] == 1 and h[1] == [16, 1, 2], "seg-hdr: version, suite")
        self.hdr = dict(zip(HDR, h))
        need(all(is_bytes(self.hdr[k], 8) for k in ("rkid", "gw")), "seg-hdr: ids")
        need(all(is_bytes(self.hdr[k], 16) for k in ("boot", "prev")), "seg-hdr: boot, prev")
        need(is_uint(self.hdr["gen"]) and is_uint(self.hdr["segno"]), "seg-hdr: numbers")
        need(is_uint(self.hdr["prevlen"], SEGMENT_MAX), "seg-hdr: prevlen")
        need(self.hdr["prev"] != ZERO16 or self.hdr["prevlen"] == 0, "seg-hdr: prevlen without prev")
        self.id = segid_of(self.payload)

    def verify(self, pt):
        verify(self.signed, AAD_SEG, pt)

    def open(self, recipient_key):
        need(self.hdr["rkid"] == rkid_of(point(recipient_key)), "segment: sealed to another recipient key")
        exporter = hpke_receive(recipient_key, self.enc, b"punch1 seg" + self.hdr_bytes)
        self.record_key, self.ack_key = hpke_export(exporter, b"punch1 rec"), hpke_export(exporter, b"punch1 ack")

    def record(self, index, sealed):
        try:
            return AESGCM(self.record_key).decrypt(index.to_bytes(12, "big"), sealed, None)
        except InvalidTag:
            raise Bad(f"record {index} does not authenticate") from None


# ---- records (section 5) ----
def pad(plain):
    size = max(96, -(-len(plain) // 32) * 32)
    return plain + bytes(size - len(plain))


def punch(gseq, reader, cred, real, mono, ck, direction=0, ext=None):
    """cred = (tech, bits, data)."""
    return pad(encode([1, gseq, reader, cred[0], cred[1], cred[2], direction, real, mono, ck] + ([ext] if ext else [])))


def clock(gseq, real, mono, ck, src, step=0):
    return pad(encode([2, gseq, real, mono, ck, src, step]))


def event(gseq, real, mono, ck, code, *arg):
    return pad(encode([3, gseq, real, mono, ck, code, *arg]))


def ck(state, uncertainty_us=None):
    if uncertainty_us is None:
        return state * 64 + 63
    q = next((q for q in range(63) if ck_uncertainty(q) >= uncertainty_us), 63)
    return state * 64 + q


def ck_uncertainty(value):
    """floor(2^(q/2)) us, None when unbounded."""
    q = value % 64
    return None if q == 63 else math.isqrt(1 << q)


def parse_record(plain):
    """A dict of a valid record; Bad for anything else (also for kinds of a later version)."""
    need(96 <= len(plain) <= 1024 and len(plain) % 32 == 0, "record: length")
    try:
        stream = io.BytesIO(plain)
        v = cbor2.CBORDecoder(stream).decode()
    except Exception as e:
        raise Bad(f"record: not CBOR: {e}") from None
    need(encode(v) == plain[:stream.tell()], "record: not deterministic")
    need(not any(plain[stream.tell():]), "record: padding is not zero")
    need(len(plain) == len(pad(plain[:stream.tell()])), "record: more padding than a sender adds")
    need(isinstance(v, list) and v and v[0] in (1, 2, 3), "record: kind")
    if v[0] == 1:
        r = _parse_punch(v)
    elif v[0] == 2:
        need(len(v) == 7, "clock: elements")
        r = dict(zip(("kind", "gseq", "real", "mono", "ck", "src", "step"), v))
        need(r["src"] in (0, 1, 2, 3) and is_int(r["step"]), "clock: src, step")
    else:
        need(len(v) in (6, 7), "event: elements")
        r = dict(zip(("kind", "gseq", "real", "mono", "ck", "code", "arg"), v))
        need(is_uint(r["code"]), "event: code")
    need(is_uint(r["gseq"]) and r["gseq"] >= 1, "record: gseq")
    need(is_int(r["real"]) and is_uint(r["mono"]) and is_uint(r["ck"], 255), "record: times")
    return r


def _parse_punch(v):
    need(len(v) in (10, 11), "punch: elements")
    r = dict(zip(("kind", "gseq", "reader", "tech", "bits", "data", "dir", "real", "mono", "ck", "ext"), v))
    need(is_text(r["reader"], 1, 24), "punch: reader")
    need(r["tech"] in range(1, 9) and is_uint(r["bits"], 496), "punch: tech, bits")
    need(is_bytes(r["data"], (r["bits"] + 7) // 8), "punch: data is not ceil(bits / 8) bytes")
    unused = -r["bits"] % 8
    need(not unused or r["data"][-1] & ((1 << unused) - 1) == 0, "punch: unused low bits")
    need(r["dir"] in (0, 1, 2, 3, 4) or 16 <= r["dir"] <= 255, "punch: dir")
    ext = r.get("ext", {})
    need(isinstance(ext, dict) and len(ext) <= 16 and all(is_int(k) for k in ext), "punch: ext")
    need(1 not in ext or (is_uint(ext[1]) and ext[1] >= 1), "punch: ext 1")
    need(2 not in ext or is_uint(ext[2]), "punch: ext 2")
    return r


TECHS = {1: "wiegand", 2: "iso14443", 3: "em4100", 4: "osdp", 5: "keypad", 6: "text", 7: "iso15693", 8: "uhf"}
RENDERINGS = ("hex", "hex10", "dec10", "3+5", "hex8", "dec8", "5+5", "dec13")


def shown(tech, bits, data, rendering):
    """The number as its customer knows it; rendering as on the wire."""
    name = RENDERINGS[rendering] if rendering < len(RENDERINGS) else "hex"
    if tech in (5, 6) and data and bits % 8 == 0 and all(0x20 <= b <= 0x7E for b in data):
        return data.decode()
    if name == "dec10" and (tech, bits) == (2, 32):
        return f"{int.from_bytes(data, 'big'):010}"
    if (tech, bits) != (3, 40) or name in ("hex", "hex10"):
        return data.hex().upper()
    high, low = divmod(int.from_bytes(data[1:], "big"), 65536)
    return {"dec10": f"{high * 65536 + low:010}", "3+5": f"{high % 256:03},{low:05}", "hex8": f"{high:04X}{low:04X}",
            "dec8": f"{high % 256:03}{low:05}", "5+5": f"{high:05},{low:05}",
            "dec13": f"{int.from_bytes(data, 'big'):013}"}[name]


# ---- uploads (section 6), acks (section 7), status (section 9) ----
def upload(signed, first, records, flags=0):
    return encode([signed, first, list(records), flags])


def parse_upload(data):
    need(len(data) <= UPLOAD_MAX, "upload: too long")
    v = decode(data)
    need(isinstance(v, list) and len(v) == 4, "upload: elements")
    signed, first, records, flags = v
    need(type(signed) is bytes and is_uint(first) and is_uint(flags, 2**32 - 1), "upload: shape")
    need(isinstance(records, list) and 1 <= len(records) <= RECORDS_MAX, "upload: records")
    need(all(is_bytes(r, 112, 1040) and len(r) % 32 == 16 for r in records), "upload: size of a record")
    need(first + len(records) <= SEGMENT_MAX, "upload: beyond the segment")
    return signed, first, records, flags


def ack_mac(ack_key, segid, epoch, now, next_):
    return hmac.new(ack_key, b"punch1 ack" + encode([segid, epoch, now, next_]), hashlib.sha256).digest()[:16]


def ack_item(ack_key, segid, epoch, now, next_):
    return [segid, epoch, now, next_, ack_mac(ack_key, segid, epoch, now, next_)]


def ack(items):
    return encode([1, items])


def parse_ack(data):
    v = decode(data)
    need(isinstance(v, list) and len(v) == 2 and v[0] == 1, "ack: shape")
    need(isinstance(v[1], list) and 1 <= len(v[1]) <= 32, "ack: items")
    for i in v[1]:
        need(isinstance(i, list) and len(i) == 5 and is_bytes(i[0], 16) and is_uint(i[1]) and is_int(i[2])
             and is_uint(i[3]) and is_bytes(i[4], 16), "ack: item")
    return v[1]


STATUS = ("version", "gw", "gen", "online", "boot", "conn", "real", "mono", "ck", "rkids", "counts")


def status(key, **fields):
    f = {"version": 1, "rkids": [], "counts": {}, **fields}
    return sign(key, AAD_STATUS, encode([f[k] for k in STATUS]))


def parse_status(data, pt):
    need(len(data) <= 4096, "status: too long")
    v = decode(verify(data, AAD_STATUS, pt))
    need(isinstance(v, list) and len(v) == 11 and v[0] == 1, "status: elements")
    s = dict(zip(STATUS, v))
    need(is_bytes(s["gw"], 8) and is_bytes(s["boot"], 16) and is_bytes(s["conn"], 16), "status: ids")
    need(type(s["online"]) is bool and is_uint(s["gen"]) and is_int(s["real"]) and is_uint(s["mono"])
         and is_uint(s["ck"], 255), "status: numbers")
    need(isinstance(s["rkids"], list) and len(s["rkids"]) <= 32 and all(is_bytes(r, 8) for r in s["rkids"]), "rkids")
    need(isinstance(s["counts"], dict) and len(s["counts"]) <= 64 and all(is_int(k) and is_uint(n) and n
         for k, n in s["counts"].items()), "status: counts")
    return s


def topic(gw, leaf, p=None):
    return f"punch/v1/{p or gw.hex()[0]}/{gw.hex()}/{leaf}"


def parse_topic(text):
    m = re.fullmatch(r"punch/v1/([0-9a-f])/([0-9a-f]{16})/(up|ack|status|cmd|result)", text)
    need(m and m.group(1) == m.group(2)[0], f"topic: {text}")
    return bytes.fromhex(m.group(2)), m.group(3)


# ---- enrolment (section 11) ----
def armour(label, data):
    text = base64.b64encode(data).decode()
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def unarmour(label, text):
    blocks = re.findall(rf"^-----BEGIN {label}-----\r?\n(.*?)^-----END {label}-----\r?$", text, re.M | re.S)
    need(len(blocks) == 1 and len(text.encode()) <= 65536, f"one {label} block")
    body = re.sub(r"[ \t\r\n]", "", blocks[0])
    data = base64.b64decode(body, validate=True)
    need(base64.b64encode(data).decode() == body, f"{label}: padding")
    return data


def request(key, gw, csr_pem):
    return armour("PUNCH REQUEST", sign(key, AAD_REQUEST, encode([1, gw, csr_pem, SPKI_HEAD + point(key)])))


def parse_request(text):
    """(gw, csr, point of the signing key), the signature checked."""
    data = unarmour("PUNCH REQUEST", text)
    v = decode(parse_signed(data)[2])
    need(isinstance(v, list) and len(v) == 4 and v[0] == 1 and is_bytes(v[1], 8) and is_text(v[2], 1, 4095)
         and is_bytes(v[3], 91) and v[3].startswith(SPKI_HEAD), "request: shape")
    pt = v[3][len(SPKI_HEAD):]
    verify(data, AAD_REQUEST, pt)
    return v[1], v[2], pt


def bundle(root, gw, gen, tls_cert, ca, recipients, broker):
    signed = sign(root, AAD_BUNDLE, encode([1, gw, gen, tls_cert, ca, recipients, broker]))
    return armour("PUNCH BUNDLE", signed) + armour("PUNCH ROOT", point(root))


def parse_bundle(text, pinned=None):
    root = unarmour("PUNCH ROOT", text)
    need(len(root) == 65 and pinned in (None, root), "bundle: another root")
    v = decode(verify(unarmour("PUNCH BUNDLE", text), AAD_BUNDLE, root))
    need(isinstance(v, list) and len(v) == 7 and v[0] == 1 and is_bytes(v[1], 8) and is_uint(v[2]) and v[2] >= 1
         and is_text(v[3], 1, 8191) and is_text(v[4], 1, 8191) and is_text(v[6], 1, 255), "bundle: shape")
    need(isinstance(v[5], list) and 1 <= len(v[5]) <= 8 and all(is_bytes(r, 65) for r in v[5]), "bundle: recipients")
    for r in v[5]:
        public_of(r)
    return dict(zip(("version", "gw", "gen", "tls_cert", "ca", "recipients", "broker"), v))


def new_id():
    return os.urandom(8)
