#!/usr/bin/python3
"""A broker that lies, stalls, babbles or is not the one it says: no reader waits for it, nothing is counted as delivered,
memory stays bounded, and the gateway ends when it is asked to.

Each trick is played by a broker of this file's own, with the installation's certificate or with a false one.
"""
import os
import socket
import ssl
import struct
import threading
import time

import pki
from lab import PATIENCE, Gateway, Lab, main
from proc import check, wait_for
from sims import ModbusTcp

CONNACK, SUBACK, PUBACK = b"\x20\x03\x00\x00\x00", 0x90, 0x40
NOT_AUTHORIZED = 0x87


class BadBroker:
    """One connection at a time, as much of MQTT 5 as the trick wants."""

    def __init__(self, port, crt, key, trick):
        self.trick, self.seen, self.stopping = trick, [], False
        self.connections = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(crt, key)
        self.sock = socket.create_server(("127.0.0.1", port))
        self.sock.settimeout(0.2)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping:
            try:
                raw, _ = self.sock.accept()
            except socket.timeout:
                continue
            self.connections += 1
            raw.settimeout(0.2)
            try:
                self._talk(self.context.wrap_socket(raw, server_side=True))
            except (OSError, EOFError, ssl.SSLError):
                raw.close()
        self.sock.close()

    def _exactly(self, s, n):
        out = b""
        while len(out) < n:
            if self.stopping:
                raise EOFError
            try:
                part = s.recv(n - len(out))
            except (socket.timeout, ssl.SSLWantReadError):
                continue
            if not part:
                raise EOFError
            out += part
        return out

    def _packet(self, s):
        kind, length, shift = self._exactly(s, 1)[0], 0, 0
        while True:
            b = self._exactly(s, 1)[0]
            length |= (b & 127) << shift
            shift += 7
            if b < 128:
                return kind, self._exactly(s, length)

    def _talk(self, s):
        with s:
            while not self.stopping:
                kind, body = self._packet(s)
                self.seen.append(kind >> 4)
                self.trick(self, s, kind >> 4, body)
                if kind >> 4 == 12:
                    s.sendall(b"\xd0\x00")

    def stop(self):
        self.stopping = True
        self.thread.join()


def reply(s, kind, body, reason=0):
    """Of the usual kind; reason is that of SUBACK or PUBACK."""
    if kind == 1:
        s.sendall(CONNACK)
    elif kind == 8:
        s.sendall(bytes([SUBACK, 4]) + body[:2] + bytes([0, reason or 1]))
    elif kind == 3:
        n = struct.unpack(">H", body[:2])[0]
        s.sendall(bytes([PUBACK, 3]) + body[2 + n:4 + n] + bytes([reason]))


def silent(b, s, kind, body):
    """TLS and nothing more."""


def no_suback(b, s, kind, body):
    if kind != 8:
        reply(s, kind, body)


def refuses_connect(b, s, kind, body):
    s.sendall(bytes([0x20, 3, 0, NOT_AUTHORIZED, 0]))


def refuses_subscription(b, s, kind, body):
    reply(s, kind, body, NOT_AUTHORIZED if kind == 8 else 0)


def refuses_publish(b, s, kind, body):
    reply(s, kind, body, NOT_AUTHORIZED if kind == 3 else 0)


def says_it_often(b, s, kind, body):
    for _ in range(50 if kind in (1, 8) else 1):
        reply(s, kind, body)


def never_confirms(b, s, kind, body):
    if kind != 3:
        reply(s, kind, body)


def resets(b, s, kind, body):
    reply(s, kind, body)
    if kind == 3:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise OSError


def garbage(b, s, kind, body):
    """Of a packet type that does not exist; noise alone may begin like a long message, which is waited for."""
    reply(s, kind, body)
    if kind == 8:
        s.sendall(b"\x00\x00" + os.urandom(4094))


def unknown_property(b, s, kind, body):
    """libmosquitto 2.0.11 has an assertion against it."""
    reply(s, kind, body)
    if kind == 8:
        s.sendall(b"\x30\x07\x00\x01a\x02\x7f\x00x")


def unknown_property_early(b, s, kind, body):
    s.sendall(b"\x20\x05\x00\x00\x02\x7f\x00")


def flood(b, s, data):
    """Until the other end has had enough, or a quarter of a gigabyte."""
    s.settimeout(5)
    for _ in range(1 << 12):
        s.sendall(data)


def endless(b, s, kind, body):
    """A message of 256 MiB on the ack topic."""
    reply(s, kind, body)
    if kind == 8:
        s.sendall(b"\x30\xff\xff\xff\x7f\x00\x01a")
        flood(b, s, bytes(65536))


def announce(b, s, kind, body):
    """A message of 256 MiB that never comes, but trickles."""
    reply(s, kind, body)
    if kind == 8:
        s.sendall(b"\x30\xff\xff\xff\x7f\x00\x01a")
        s.settimeout(5)
        while not b.stopping:
            s.sendall(bytes(64))
            time.sleep(0.05)


def unreleased(b, s, kind, body):
    """QoS 2 messages that are never released: a client has to keep them; libmosquitto keeps 20 and leaves."""
    reply(s, kind, body)
    if kind == 8:
        message = b"\x34\xfb\x7f\x00\x01a" + b"%c%c\x00" + bytes(16373)
        s.settimeout(5)
        for mid in range(1, 16000):
            s.sendall(message.replace(b"%c%c", struct.pack(">H", mid), 1))


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def forged_acks(b, s, kind, body):
    """Everything that can be said without a key, at full speed."""
    reply(s, kind, body)
    if kind == 8:
        topic = body[5:5 + struct.unpack(">H", body[3:5])[0]]
        item = b"\x85\x50" + bytes(16) + b"\x01\x01\x01\x50" + bytes(16)
        ack = b"\x82\x01\x98\x20" + item * 32
        rest = struct.pack(">H", len(topic)) + topic + b"\x00" + ack
        until = time.monotonic() + 4
        while time.monotonic() < until:
            s.sendall(b"\x31" + bytes([len(rest) & 127 | 128, len(rest) >> 7]) + rest)


# trick -> what the gateway's uplink says about it (one of), or None when it takes longer to notice than we wait
TRICKS = {silent: None, no_suback: None, refuses_connect: ["authorized"], refuses_subscription: ["refused"],
          refuses_publish: None, says_it_often: None, never_confirms: ["confirms nothing"],
          resets: ["roken pipe", "rotocol", "lost", "reset"], garbage: ["rotocol", "alformed", "lost", "closed"],
          unknown_property: ["cannot bear", "rotocol", "alformed", "lost"],
          unknown_property_early: ["cannot bear", "rotocol", "alformed", "lost"], endless: ["babbles"], unreleased: ["babbles", "rotocol"], forged_acks: None}


def punch(gw, sim):
    """A card is presented and has to be acknowledged to its reader soon, whatever the broker does."""
    before = len(sim.cleared())
    sim.present()
    wait_for("the reader to be told", lambda: len(sim.cleared()) > before, 4 * PATIENCE)


def play(lab, gw, sim, crt, key, trick, words):
    name = trick.__name__
    # What a sanitizer keeps of freed memory is not the gateway's; a failed assertion of the library costs some memory.
    gw.env = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=1:"
                              f"detect_leaks={int('property' not in name and name != 'garbage')}"}
    broker = BadBroker(lab.broker.port, crt, key, trick)
    try:
        gw.start()
        gw.wait_readers()
        wait_for(f"{name}: a connection", lambda: broker.connections, 20 * PATIENCE)
        base = rss(gw.proc.pid)
        for _ in range(3):
            punch(gw, sim)
        if words:
            wait_for(f"{name}: one of {words}", lambda: any(w in gw.proc.log_text().decode() for w in words),
                     60 * PATIENCE)
            punch(gw, sim)
        grown = rss(gw.proc.pid) - base
        check(grown < 100 << 20, f"{name}: memory grew by {grown >> 20} MiB")
        st = gw.status()
        check(st["unacked"] == st["records"] > 0, f"{name}: something counts as delivered: {st}")
        if trick is says_it_often:
            check(st["uplink"]["connects"] == broker.connections, f"{name}: counted {st['uplink']}")
        if trick is refuses_publish:
            wait_for(f"{name}: refusals counted", lambda: gw.status()["uplink"]["refused"], 20 * PATIENCE)
        began = time.monotonic()
        code = gw.proc.stop(10 * PATIENCE)
        check(code == 0, f"{name}: left with {code}")
        print(f"{name}: {broker.connections} connections, {grown >> 10} KiB more, ended in "
              f"{time.monotonic() - began:.1f} s", flush=True)
        os.truncate(gw.proc.log, 0)
    finally:
        broker.stop()


def false_certificate(lab, gw, sim, crt, key, what):
    broker = BadBroker(lab.broker.port, crt, key, silent)
    try:
        gw.start()
        gw.wait_readers()
        wait_for(f"{what}: three attempts", lambda: broker.connections >= 3, 30 * PATIENCE)
        punch(gw, sim)
        check(not broker.seen, f"{what}: the gateway spoke to it: {broker.seen}")
        check(gw.status()["uplink"]["why"], f"{what}: no reason is shown")
        check(gw.proc.stop(10 * PATIENCE) == 0, f"{what}: did not end well")
        print(f"{what}: refused {broker.connections} times", flush=True)
        os.truncate(gw.proc.log, 0)
    finally:
        broker.stop()


# trick -> a word in punchcloud's log
CLOUD_TRICKS = {unknown_property: None, unknown_property_early: None, garbage: None, endless: "broker.babbles",
                unreleased: "protocol error"}


def play_cloud(lab, crt, key, trick, word, connections=3):
    """punchcloud connects again and again, keeps nothing, and still ends when it is asked to."""
    lab.cloud.env = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=1:detect_leaks=0"}
    broker = BadBroker(lab.broker.port, crt, key, trick)
    try:
        lab.cloud.start(wait=False)
        wait_for(f"punchcloud, {trick.__name__}: a connection", lambda: broker.connections, 60 * PATIENCE)
        base = rss(lab.cloud.proc.pid)
        wait_for(f"punchcloud, {trick.__name__}: {connections} connections", lambda: broker.connections >= connections,
                 90 * PATIENCE)
        check(lab.cloud.proc.alive(), f"{trick.__name__} ended punchcloud:\n"
              + lab.cloud.proc.log_text()[-2000:].decode(errors="replace"))
        check(not word or word in lab.cloud.proc.log_text().decode(), f"punchcloud, {trick.__name__}: no {word}")
        grown = rss(lab.cloud.proc.pid) - base
        check(grown < 60 << 20, f"punchcloud, {trick.__name__}: memory grew by {grown >> 20} MiB")
        code = lab.cloud.proc.stop(20 * PATIENCE)
        check(code == 0, f"punchcloud, {trick.__name__}: left with {code}")
        print(f"punchcloud, {trick.__name__}: {broker.connections} connections, {grown >> 10} KiB more", flush=True)
        os.truncate(lab.cloud.proc.log, 0)
    finally:
        broker.stop()


def test(args, _rng):
    with Lab("badbroker") as lab:
        lab.cloud.init()
        tenant = lab.cloud.tenant("acme")
        gw = Gateway(lab)
        gw.uplink = {"backoff_min": "50ms", "backoff_max": "100ms", "keepalive": "5s", "ack_timeout": "100ms"}
        sim = gw.reader(ModbusTcp(lab, "lift"), hold="0s").start()
        gw.enrol(tenant, "site", f"localhost:{lab.broker.port}")
        crt, key = (os.path.join(lab.cloud.pki, f"broker.{e}") for e in ("crt", "key"))
        false = [lab.path(f"false.{e}") for e in ("crt", "key")]
        pki.issue(lab.cloud.pki, "localhost", *false, names=["elsewhere.example"])
        false_certificate(lab, gw, sim, *false, "a certificate of another name")
        pki.make_authority(lab.path("other"), ["localhost"])
        false_certificate(lab, gw, sim, *(lab.path("other", f"broker.{e}") for e in ("crt", "key")),
                          "a certificate of another authority")
        for trick, words in TRICKS.items():
            play(lab, gw, sim, crt, key, trick, words)
        for trick, word in CLOUD_TRICKS.items():
            play_cloud(lab, crt, key, trick, word)
        if args.full:  # ends with punchcloud's keep-alive, 30 s and 30 s for the answer to its ping
            play_cloud(lab, crt, key, announce, None, 2)


if __name__ == "__main__":
    main(test, __doc__, limit=280, full=0)
