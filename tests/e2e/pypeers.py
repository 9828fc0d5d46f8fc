"""A cloud and a gateway in Python over a real broker, from docs/WIRE.md alone (pywire.py is the codec).

PyCloud takes the place of punchcloud: it checks, opens, files and acknowledges. PyGateway takes that of punchgate.
Both are also the honest half of the hostile tests: what they send may be changed at every step.
"""
import os
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

import pki
import pywire as w
from lab import PATIENCE
from mqtt5 import Client
from proc import Failure, check, wait_for


def now_us():
    return time.time_ns() // 1000


def mono_us():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Peer:
    """One end of the wire at a live broker. on_message() runs under `lock`."""

    def __init__(self, lab):
        self.lab, self.lock, self.client = lab, threading.RLock(), None

    def topics(self):
        raise NotImplementedError

    def on_message(self, topic, payload):
        raise NotImplementedError

    def _locked(self, topic, payload):
        with self.lock:
            self.on_message(topic, payload)

    def dial(self, cn, files, will=None):
        self.client = Client(self.lab, cn, self.topics(), self._locked, files, will)

    @property
    def errors(self):
        return self.client.errors

    def publish(self, topic, payload, retain=False):
        self.client.publish(topic, payload, retain=retain)


class PyCloud(Peer):
    """Sections 6, 7 and 9. Whatever breaks the page is in `refused`, with the reason."""

    def __init__(self, lab, recipient):
        super().__init__(lab)
        self.recipient, self.gateways = recipient, {}
        self.epoch = int(time.time())
        self.segments, self.records, self.refused, self.statuses = {}, {}, [], []
        self.uploads = self.acks = 0
        self.acking = True

    def connect(self):
        self.dial("punchcloud", [os.path.join(self.lab.cloud.pki, f) for f in ("ca.crt", "cloud.crt", "cloud.key")])
        return self

    def enrol(self, gw, gen, sign_point):
        self.gateways[gw] = (gen, sign_point)

    def topics(self):
        return [f"punch/v1/{p:x}/+/{leaf}" for p in range(16) for leaf in ("up", "status")]

    def on_message(self, topic, payload):
        try:
            gw, leaf = w.parse_topic(topic)
            w.need(gw in self.gateways, "a gateway that is not enrolled")
            if leaf == "status":
                s = w.parse_status(payload, self.gateways[gw][1])
                w.need(s["gw"] == gw and s["gen"] == self.gateways[gw][0], "status: of another gateway")
                self.statuses.append(s)
            else:
                self._upload(gw, payload)
        except w.Bad as e:
            self.refused.append(f"{topic}: {e}")

    def _upload(self, gw, payload):
        signed, first, records, _flags = w.parse_upload(payload)
        seg = w.Opened(signed)
        gen, pt = self.gateways[gw]
        w.need(seg.hdr["gw"] == gw, "segment: another gateway's topic")
        w.need(seg.hdr["gen"] == gen, "segment: not the current generation")
        seg.verify(pt)
        seg.open(self.recipient)
        seg = self.segments.setdefault(seg.id, seg)
        next_ = getattr(seg, "next", 0)
        self.uploads += 1
        if first <= next_:
            for i in range(max(first, next_), first + len(records)):
                self.records[(seg.id, i)] = w.parse_record(seg.record(i, records[i - first]))
                next_ = i + 1
        seg.next = next_
        if self.acking:
            self.ack(gw, seg)

    def ack(self, gw, seg):
        self.publish(w.topic(gw, "ack"), w.ack([w.ack_item(seg.ack_key, seg.id, self.epoch, now_us(), seg.next)]))
        self.acks += 1

    def punches(self):
        with self.lock:
            return [r for r in self.records.values() if r["kind"] == 1]


class PyGateway(Peer):
    """Enrols at a punchcloud and uploads. Keys, id and clock are its own."""

    def __init__(self, lab, name="pygw"):
        super().__init__(lab)
        self.dir = lab.path(name)
        os.makedirs(self.dir, exist_ok=True)
        self.gw, self.gen = w.new_id(), 0
        self.sign_key, self.tls_key = w.new_key(), w.new_key()
        with open("/proc/sys/kernel/random/boot_id") as f:
            self.boot = bytes.fromhex(f.read().strip().replace("-", ""))
        self.conn, self.segno, self.gseq = os.urandom(16), 0, 0
        self.prev, self.prevlen = w.ZERO16, 0
        self.acks, self.held = [], {}
        self.root = None

    @property
    def id(self):
        return self.gw.hex()

    def csr(self):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.id)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self.tls_key, hashes.SHA256())
        return csr.public_bytes(serialization.Encoding.PEM).decode()

    def enrol(self, tenant, site):
        """Writes the request, has `gateway add` answer it, takes the bundle. Again: a new generation."""
        request, bundle = (os.path.join(self.dir, f) for f in ("request.txt", "bundle.txt"))
        with open(request, "w") as f:
            f.write(w.request(self.sign_key, self.gw, self.csr()))
        self.lab.cloud.ctl("gateway", "add", "--tenant", tenant, "--site", site, "--request", request, "--out", bundle)
        with open(bundle) as f:
            text = f.read()
        b = w.parse_bundle(text, self.root)
        check(b["gw"] == self.gw and b["gen"] > self.gen, f"bundle: gw {b['gw'].hex()} gen {b['gen']}")
        self.root = self.root or w.unarmour("PUNCH ROOT", text)
        self.gen, self.recipient = b["gen"], b["recipients"][-1]
        self.prev, self.prevlen = w.ZERO16, 0
        for name, content in (("ca.crt", b["ca"]), ("own.crt", b["tls_cert"])):
            with open(os.path.join(self.dir, name), "w") as f:
                f.write(content)
        pki.write_key(os.path.join(self.dir, "own.key"), self.tls_key)
        return self

    def connect(self):
        """Connects with its will, subscribes, then publishes its status (section 8)."""
        self.dial(self.id, [os.path.join(self.dir, f) for f in ("ca.crt", "own.crt", "own.key")],
                  will=(w.topic(self.gw, "status"), self.status(False)))
        self.publish(w.topic(self.gw, "status"), self.status(True), retain=True)
        return self

    def status(self, online):
        return w.status(self.sign_key, gw=self.gw, gen=self.gen, online=online, boot=self.boot, conn=self.conn,
                        real=now_us(), mono=mono_us(), ck=w.ck(2, 1000), counts={1: self.gseq} if self.gseq else {},
                        rkids=[w.rkid_of(self.recipient)])

    def topics(self):
        return [w.topic(self.gw, "ack")]

    def on_message(self, topic, payload):
        check(topic == w.topic(self.gw, "ack"), f"a message on {topic}")
        for segid, epoch, now, next_, mac in w.parse_ack(payload):
            seg = self.held.get(segid)
            check(seg is not None, "an ack of a segment that this gateway never made")
            check(w.ack_mac(seg.ack_key, segid, epoch, now, next_) == mac, "an ack whose mac is wrong")
            self.acks.append((segid, epoch, now, next_))

    def segment(self, **otherwise):
        """A new segment, chained to the one before, with its clock record first."""
        self.segno += 1
        recipient, key = otherwise.pop("recipient", self.recipient), otherwise.pop("key", self.sign_key)
        arguments = dict(gw=self.gw, gen=self.gen, boot=self.boot, segno=self.segno, recipient=recipient, key=key,
                         prev=self.prev, prevlen=self.prevlen)
        chained = not otherwise
        seg = w.Sealer(**{**arguments, **otherwise})
        seg.seal(w.clock(self._next(), now_us(), mono_us(), w.ck(2, 1000), 1))
        self.held[seg.id] = seg
        if chained:
            self.prev, self.prevlen = seg.id, 1
        return seg

    def _next(self):
        self.gseq += 1
        return self.gseq

    def punch(self, seg, reader, cred, real=None, ck=None, **more):
        """Seals a punch into seg and returns its record as the API should show it."""
        real = now_us() if real is None else real
        record = dict(gseq=self._next(), reader=reader, cred=cred, real=real, mono=mono_us(),
                      ck=w.ck(2, 1000) if ck is None else ck, **more)
        seg.seal(w.punch(**record))
        if seg.id == self.prev:
            self.prevlen = seg.next
        return dict(record, id=f"{seg.id.hex()}-{seg.next - 1}")

    def upload(self, seg, first=0, count=None, topic=None, flags=0):
        records = seg.records[first:None if count is None else first + count]
        self.publish(topic or w.topic(self.gw, "up"), w.upload(seg.signed, first, records, flags))

    def acked(self, seg):
        """The highest `next` that the cloud acknowledged for seg; -1 when it never answered."""
        with self.lock:
            return max((a[3] for a in self.acks if a[0] == seg.id), default=-1)

    def wait_acked(self, seg, next_=None, seconds=20):
        next_ = seg.next if next_ is None else next_
        wait_for(f"the cloud's ack of {next_} records", lambda: self.acked(seg) >= next_, seconds * PATIENCE)
        if self.errors:
            raise Failure("; ".join(self.errors))
