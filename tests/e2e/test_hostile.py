#!/usr/bin/python3
"""Hostile HTTPS clients: slow in every phase, wrong in every way, gone at any moment, and very many.

During all of it a well-behaved client asks on: every one of its requests must succeed. What is late is cut, what is
wrong gets a clear answer where HTTP can be spoken at all, memory stays within a budget for each connection, and
afterwards nothing is left open.
"""
import json
import os
import random
import resource
import socket
import ssl
import struct
import subprocess
import threading
import time

import requests

from lab import PATIENCE, Lab, main
from proc import Failure, check, wait_for

REQUEST_S, IDLE_S = 2, 3
CONNECTION_BUDGET = 96 << 10  # bytes: 32 KiB of the library's pool, the TLS session, the allocator's share
SANITIZER_FACTOR = 4
LET_GO = (ConnectionError, ssl.SSLError, socket.timeout, OSError)


# ---- clients ----
class Good(threading.Thread):
    """Asks all the time, over a connection that it keeps and over new ones."""

    def __init__(self, lab, token):
        super().__init__(daemon=True)
        self.lab, self.token, self.done, self.failed, self.waits, self.ending = lab, token, 0, [], [], False

    def run(self):
        kept = self.lab.cloud.api(self.token)
        while not self.ending:
            api = kept if self.done % 2 else self.lab.cloud.api(self.token)
            began = time.monotonic()
            try:
                r = api.call("GET", "/v1/people")
                if r.status_code != 200:
                    self.failed.append(f"{r.status_code} {r.text[:100]}")
            except requests.RequestException as e:
                self.failed.append(repr(e))
            self.waits.append(time.monotonic() - began)
            self.done += 1
            if api is not kept:
                api.session.close()
            time.sleep(0.02)
        kept.session.close()

    def __enter__(self):
        self.start()
        wait_for("the well-behaved client's first answer", lambda: self.done, 20 * PATIENCE)
        return self

    def __exit__(self, kind, *_):
        before = self.done
        if kind is None:  # one more that began after the attack
            wait_for("the well-behaved client", lambda: self.done > before + 1, 60 * PATIENCE)
        self.ending = True
        self.join()
        if kind is None:
            check(not self.failed, f"of {self.done} requests {len(self.failed)} failed: {self.failed[:3]}")
            waits = sorted(self.waits)
            print(f"  well-behaved: {self.done} requests, none failed; p50 {waits[len(waits) // 2] * 1e3:.0f} ms, "
                  f"longest {waits[-1] * 1e3:.0f} ms", flush=True)


def raw(lab, source="127.0.0.1", timeout=20.0):
    s = socket.socket()
    s.settimeout(timeout * PATIENCE)
    s.bind((source, 0))
    s.connect(("127.0.0.1", lab.cloud.api_port))
    return s


def context(lab, **changes):
    c = ssl.create_default_context(cafile=os.path.join(lab.cloud.pki, "ca.crt"))
    for k, v in changes.items():
        setattr(c, k, v)
    return c


def tls(lab, source="127.0.0.1", timeout=20.0):
    return context(lab).wrap_socket(raw(lab, source, timeout), server_hostname="127.0.0.1")


def read_replies(s, limit=1 << 22):
    """Everything until the server closes, or until a whole reply with a length is there and nothing more comes."""
    data = b""
    try:
        while len(data) < limit:
            part = s.recv(65536)
            if not part:
                break
            data += part
            head, gap, body = data.partition(b"\r\n\r\n")
            length = [h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")]
            if gap and length and len(body) >= int(length[0].split(b":")[1]):
                s.settimeout(0.2)  # is there a second one, smuggled in?
    except LET_GO:
        pass
    return data


def ended(s):
    """True as soon as the server has let go of it."""
    try:
        while s.recv(65536):
            pass
    except socket.timeout:
        return False
    except LET_GO:
        pass
    return True


# ---- slow ----
def client_hello(lab):
    inn, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = context(lab).wrap_bio(inn, out, server_hostname="127.0.0.1")
    try:
        o.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def drip(s, data, what):
    """A byte now and then, never silent for long; the server has to end it all the same."""
    s.settimeout(0.05)
    until = time.monotonic() + 60 * PATIENCE
    at = 0
    try:
        while time.monotonic() < until:
            s.sendall(data[at % len(data):at % len(data) + 1])
            at += 1
            try:
                if not s.recv(65536):
                    return
            except (socket.timeout, ssl.SSLWantReadError):
                pass
            time.sleep(0.1)
    except LET_GO:
        return
    raise Failure(f"{what}: a byte now and then holds a connection for ever ({at} bytes)")


def slow_reader(lab, what):
    """Asks for much and takes a few bytes at a time: the kernel's buffers fill, then the server has to wait for us."""
    s = raw(lab)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s = context(lab).wrap_socket(s, server_hostname="127.0.0.1")
    s.settimeout(0.05)
    ask = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200
    taken, until = 0, time.monotonic() + 90 * PATIENCE
    sent = memoryview(ask)
    try:
        while time.monotonic() < until:
            try:
                if sent:
                    sent = sent[s.send(sent[:256]):]
            except (socket.timeout, ssl.SSLWantWriteError):
                pass
            try:
                part = s.recv(256)
                if not part:
                    return taken
                taken += len(part)
            except (socket.timeout, ssl.SSLWantReadError):
                pass
            time.sleep(0.1)
    except LET_GO:
        return taken
    raise Failure(f"{what}: a reply that is not taken holds a connection for ever")


def slow(lab, token):
    def kept_and_silent(s):
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        check(s.recv(12) == b"HTTP/1.1 200", "GET /healthz")
        check(ended(s), "idle after a reply: never closed")
    body = b"POST /v1/people HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n" \
           b"Content-Length: 60000\r\n\r\n" % token.encode()
    hello = client_hello(lab)
    attacks = {
        "TCP and no TLS": lambda w: check(ended(raw(lab, timeout=60)), f"{w}: never closed"),
        "ClientHello byte by byte": lambda w: drip(raw(lab), hello[:-1] + b"\0" * 1000, w),
        "request line byte by byte": lambda w: drip(tls(lab), b"GET /" + b"a" * 4000, w),
        "headers byte by byte": lambda w: (lambda s: (s.sendall(b"GET /healthz HTTP/1.1\r\n"), drip(s, b"A: b\r\n", w)))(
            tls(lab)),
        "empty lines": lambda w: drip(tls(lab), b"\r\n", w),
        "body byte by byte": lambda w: (lambda s: (s.sendall(body), drip(s, b" ", w)))(tls(lab)),
        "chunks byte by byte": lambda w: (lambda s: (s.sendall(body.replace(b"Content-Length: 60000",
                                                                            b"Transfer-Encoding: chunked")),
                                                     drip(s, b"1\r\n \r\n", w)))(tls(lab)),
        "a reply not taken": lambda w: slow_reader(lab, w),
        "silence after TLS": lambda w: check(ended(tls(lab, timeout=60)), f"{w}: never closed"),
        "silence after a reply": lambda w: kept_and_silent(tls(lab, timeout=60)),
    }
    errors = []

    def play(what, attack):
        try:
            attack(what)
        except Exception as e:  # told below, by the main thread
            errors.append(f"{what}: {e}")
    threads = [threading.Thread(target=play, args=a, daemon=True) for a in attacks.items()]
    with Good(lab, token):
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        check(not errors, "; ".join(errors))
    print(f"slow: cut in {len(attacks)} phases: {', '.join(attacks)}", flush=True)


# ---- wrong ----
def wrong_requests(token):
    """name, bytes, what the answer may be: statuses, or 0 for closed without one."""
    auth = b"Authorization: Bearer " + token.encode() + b"\r\n"
    host = b"Host: x\r\n"

    def get(target, more=b"", method=b"GET", version=b"HTTP/1.1"):
        return method + b" " + target + b" " + version + b"\r\n" + host + auth + more + b"\r\n"

    def post(body, more=b"", kind=b"application/json", length=None):
        length = b"Content-Length: %d\r\n" % len(body) if length is None else length
        kind = b"Content-Type: " + kind + b"\r\n" if kind else b""
        return b"POST /v1/people HTTP/1.1\r\n" + host + auth + kind + length + more + b"\r\n" + body
    good = b'{"name":"x"}'
    chunked = b"Transfer-Encoding: chunked\r\n"
    yield from [
        # bodies
        ("deep JSON", post(b'{"name":' + b"[" * 30000 + b"]" * 30000 + b"}"), {400}),
        ("deep object", post(b'{"a":' * 5000 + b"1" + b"}" * 5000), {400}),
        ("a doubled member", post(b'{"name":"x","name":"y"}'), {400}),
        ("an escaped doubled member", post(b'{"name":"x","\\u006eame":"y"}'), {400}),
        ("not UTF-8", post(b'{"name":"\xff\xfe"}'), {400}),
        ("a lone surrogate", post(b'{"name":"\\ud800"}'), {400}),
        ("overlong UTF-8", post(b'{"name":"\xc0\xaf"}'), {400}),
        ("a NUL in a name", post(b'{"name":"a\\u0000b"}'), {400}),
        ("a raw NUL", post(b'{"name":"a\0b"}'), {400}),
        ("UTF-16", post('{"name":"x"}'.encode("utf-16")), {400}),
        ("a byte order mark", post(b"\xef\xbb\xbf" + good), {400}),
        ("another charset", post(good, kind=b"application/json; charset=utf-16"), {415, 400}),
        ("gzip", post(b"\x1f\x8b\x08\0\0\0\0\0", b"Content-Encoding: gzip\r\n"), {415, 400}),
        ("says gzip, is not", post(good, b"Content-Encoding: gzip\r\n"), {415, 400}),
        ("a form", post(b"name=x", kind=b"application/x-www-form-urlencoded"), {415}),
        ("multipart", post(b"--a\r\n\r\n\r\n--a--", kind=b"multipart/form-data; boundary=a"), {415}),
        ("no type", post(good, kind=None), {415}),
        ("type with rubbish", post(good, kind=b"application/jsonx"), {415}),
        ("a huge number", post(b'{"name":1e999999}'), {400}),
        ("a long number", post(b'{"name":' + b"9" * 50000 + b"}"), {400}),
        ("an array", post(b"[1]"), {400}),
        ("nothing", post(b""), {400, 415}),
        ("two values", post(good + good), {400}),
        ("65,537 bytes", post(b" " * 65537), {413}),
        ("says 10^18 bytes", post(b"", length=b"Content-Length: 1000000000000000000\r\n"), {413}),
        ("a huge chunk", post(b"ffffffffffffffff\r\n", chunked, length=b""), {400, 413, 0}),
        # where a body ends
        ("two lengths", post(good, b"Content-Length: 0\r\n"), {400}),
        ("two equal lengths", post(good, b"Content-Length: 12\r\n"), {400}),
        ("a list of lengths", post(good, length=b"Content-Length: 12, 12\r\n"), {400, 413}),
        ("length and chunks", post(b"0\r\n\r\n" + get(b"/smuggled"), chunked, length=b"Content-Length: 5\r\n"), {400}),
        ("chunks and length", post(b"0\r\n\r\n", b"Content-Length: 5\r\n", length=chunked), {400}),
        ("chunked twice", post(b"0\r\n\r\n", chunked, length=chunked), {400}),
        ("chunked, gzip", post(b"0\r\n\r\n", b"Transfer-Encoding: chunked, gzip\r\n", length=b""), {400}),
        ("xchunked", post(good, b"Transfer-Encoding: xchunked\r\n", length=b""), {400}),
        ("a tab in chunked", post(b"0\r\n\r\n", b"Transfer-Encoding:\tchunked\r\n", length=b""), {400}),
        ("a signed length", post(good, length=b"Content-Length: +12\r\n"), {400, 413}),
        ("a negative length", post(good, length=b"Content-Length: -1\r\n"), {400, 413}),
        ("a hex length", post(good, length=b"Content-Length: 0xc\r\n"), {400, 413}),
        ("a blank before the colon", post(good, length=b"Content-Length : 12\r\n"), {400}),
        ("a blank before the colon of chunks", post(b"0\r\n\r\n" + get(b"/smuggled"), b"Transfer-Encoding : chunked\r\n",
                                                    length=b"Content-Length: 3\r\n"), {400}),
        ("a carriage return in a header", get(b"/healthz", b"X: a\rAuthorization: Bearer b\r\n"), {400}),
        ("two tokens", get(b"/v1/people", auth), {400}),
        ("two hosts", get(b"/healthz", host), {400}),
        ("a chunk size of rubbish", post(b"zz\r\n" + good, chunked, length=b""), {400, 0}),
        ("a negative chunk", post(b"-1\r\n" + good, chunked, length=b""), {400, 0}),
        ("a chunk beyond its size", post(b"3\r\n" + good + b"\r\n0\r\n\r\n", chunked, length=b""), {400, 0}),
        ("a chunk with an extension", post(b"c;a=b\r\n" + good + b"\r\n0\r\n\r\n", chunked, length=b""), {201, 400}),
        ("a folded header", get(b"/healthz", b"X: a\r\n  b\r\n"), {200, 400}),
        ("a folded length", post(good, length=b"Content-Length:\r\n 12\r\n"), {400, 413, 201}),
        ("bare line feeds", get(b"/healthz").replace(b"\r\n", b"\n"), {200, 400}),
        ("a NUL in a header", get(b"/healthz", b"X: a\0b\r\n"), {200, 400, 0}),
        ("a header without a colon", get(b"/healthz", b"rubbish\r\n"), {400, 0}),
        ("a header without a name", get(b"/healthz", b": x\r\n"), {200, 400, 0}),
        # targets
        ("absolute form", get(b"https://elsewhere.example/healthz"), {200, 404}),
        ("authority form", get(b"elsewhere.example:443", method=b"CONNECT"), {404, 405, 400}),
        ("asterisk form", get(b"*", method=b"OPTIONS"), {404, 405, 400}),
        ("%00 in the path", get(b"/healthz%00x"), {404}),
        ("a NUL in the path", get(b"/health\0z"), {400, 404, 0}),
        ("an encoded slash", get(b"/v1%2fpeople"), {200, 404}),
        ("dots", get(b"/v1/../../etc/passwd"), {404}),
        ("encoded dots", get(b"/v1/%2e%2e/%2e%2e/etc/passwd"), {404}),
        ("broken escapes", get(b"/healthz%zz%"), {404}),
        ("no path", get(b""), {400, 404, 0}),
        ("not UTF-8 in the path", get(b"/\xff\xfe"), {404}),
        ("a path of 20,000", get(b"/" + b"a" * 20000), {404, 414, 431, 413}),
        ("a path of 100,000", get(b"/" + b"a" * 100000), {414, 431, 413, 400, 0}),
        ("17 parameters", get(b"/v1/people?" + b"&".join(b"a%d=1" % i for i in range(17))), {400}),
        ("3,000 parameters", get(b"/v1/people?" + b"&".join(b"a=%d" % i for i in range(3000))), {400, 414, 431, 413, 0}),
        ("a doubled parameter", get(b"/v1/people?limit=1&limit=2"), {400}),
        ("%00 in a parameter", get(b"/v1/people?cursor=%00"), {400}),
        ("headers of 40,000", get(b"/healthz", b"X: " + b"a" * 40000 + b"\r\n"), {431, 413, 400, 0}),
        ("5,000 headers", get(b"/healthz", b"X: a\r\n" * 5000), {431, 413, 400, 200, 0}),
        # methods and versions
        ("an unknown method", get(b"/v1/people", method=b"BREW"), {405}),
        ("a method in lower case", get(b"/v1/people", method=b"get"), {405}),
        ("a method of 10,000", get(b"/v1/people", method=b"A" * 10000), {405, 400}),
        ("TRACE", get(b"/v1/people", method=b"TRACE"), {405}),
        ("HTTP/0.9", b"GET /healthz\r\n", {400, 505, 200, 0}),
        ("HTTP/1.0", get(b"/healthz", version=b"HTTP/1.0"), {200}),
        ("HTTP/1.1 without a host", b"GET /healthz HTTP/1.1\r\n\r\n", {400}),
        ("HTTP/2.0", get(b"/healthz", version=b"HTTP/2.0"), {400, 505, 200}),
        ("HTTP/9.9", get(b"/healthz", version=b"HTTP/9.9"), {400, 505, 200}),
        ("HTTP/1.", get(b"/healthz", version=b"HTTP/1."), {400, 505, 0}),
        ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 404, 405, 505, 0}),
        ("rubbish", bytes(range(256)) * 8 + b"\r\n\r\n", {400, 0}),
        ("an expectation", get(b"/healthz", b"Expect: the-unexpected\r\n"), {200, 417}),
    ]


def wrong(lab, token):
    ours = theirs = closed = 0
    bad = []
    with Good(lab, token):
        for what, data, allowed in wrong_requests(token):
            s = tls(lab)
            try:
                s.sendall(data)
            except LET_GO:
                pass
            answer = read_replies(s)
            s.close()
            answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            status = int(answer[9:12]) if answer[:7] == b"HTTP/1." else 0
            if status not in allowed:
                bad.append(f"{what}: {status}, not one of {sorted(allowed)}: {answer[:200]}")
            # libmicrohttpd 0.9.75 writes the head of some of its own errors twice, and closes.
            own = b"application/problem+json" not in answer and b"Connection: close" in answer and status >= 400
            if answer.count(b"HTTP/1.1 ") > (2 if own else 1):
                bad.append(f"{what}: two answers to one request: {answer[:2000]}")
            head, _, body = answer.partition(b"\r\n\r\n")
            if status >= 400 and b"application/problem+json" in head:
                ours += 1
                if body:
                    check(json.loads(body)["status"] == status, f"{what}: {body[:300]}")
            elif status >= 400:
                theirs += 1
                print(f"  {what}: {status} by the library, not problem+json", flush=True)
            elif not status:
                closed += 1
    check(not bad, "\n  ".join(bad))
    print(f"wrong: {ours} problems, {theirs} errors of the library's, {closed} closed", flush=True)


def pipelined(lab, token):
    """Fifty requests in one piece are answered in order, and nothing of one body is taken for the next request."""
    one = b"POST /v1/people HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n" \
          b"Content-Length: %%d\r\n\r\n%%s" % token.encode()
    names = [f"pipelined {i} GET /smuggled HTTP/1.1" for i in range(50)]
    data = b"".join(one % (len(b), b) for b in (json.dumps({"name": n}).encode() for n in names))
    s = tls(lab)
    s.sendall(data + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b""
    while True:
        part = s.recv(65536)
        if not part:
            break
        answer += part
    at = [answer.find(n.encode()) for n in names]
    check(-1 not in at and at == sorted(at), f"pipelined: the answers are not in order: {at}")
    check(answer.count(b"HTTP/1.1 201") == 50 and answer.count(b"HTTP/1.1 200") == 1, "pipelined: not 51 answers")
    print("pipelined: 51 requests in one piece, answered in order", flush=True)


# ---- TLS ----
def handshake_fails(lab, what, **changes):
    ciphers = changes.pop("ciphers", None)
    c = context(lab, **changes)
    if ciphers:
        c.set_ciphers(ciphers)
    try:
        with c.wrap_socket(raw(lab), server_hostname="127.0.0.1") as s:
            raise Failure(f"{what}: accepted as {s.version()} {s.cipher()}")
    except LET_GO:
        pass


def renegotiates(lab):
    """OpenSSL's client asks for it with R; whether the server refuses or closes, it does not agree."""
    r = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{lab.cloud.api_port}", "-tls1_2", "-legacy_renegotiation",
                        "-CAfile", os.path.join(lab.cloud.pki, "ca.crt")], input=b"R\n" * 3, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=60 * PATIENCE, check=False)
    text = r.stdout.decode(errors="replace")
    check("RENEGOTIATING" in text, f"openssl did not ask: {text[-500:]}")
    return "Verify return code" in text.split("RENEGOTIATING", 1)[1] and r.returncode == 0


def bad_tls(lab, token, rng):
    old = ssl.TLSVersion
    with Good(lab, token):
        for v in (old.TLSv1, old.TLSv1_1):
            handshake_fails(lab, v.name, minimum_version=v, maximum_version=v, ciphers="ALL:@SECLEVEL=0")
        for c in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM8",
                  "aNULL:eNULL", "PSK"):
            handshake_fails(lab, c, maximum_version=old.TLSv1_2, ciphers=c + ":@SECLEVEL=0")
        check(not renegotiates(lab), "a client renegotiates")
        hello = client_hello(lab)
        pieces = {
            "plain HTTP": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
            "a record of 65,535": b"\x16\x03\x01\xff\xff" + bytes(65535),
            "a hello of 16 MiB": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(1 << 18),
            "SSL 2": b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + bytes(37),
            "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
            "a heartbeat": b"\x18\x03\x03\x00\x03\x01\x40\x00",
            "noise": rng.randbytes(20000),
            "half a hello and noise": hello[:60] + rng.randbytes(2000),
            "two hellos": hello + hello,
        }
        for what, data in pieces.items():
            s = raw(lab)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                answer = s.recv(65536)
            except LET_GO:
                answer = b""
            check(not answer.startswith(b"HTTP"), f"{what}: HTTP outside of TLS: {answer[:100]}")
            s.close()
        for _ in range(40):
            mutant = bytearray(hello)
            for _ in range(rng.randrange(1, 8)):
                mutant[rng.randrange(len(mutant))] = rng.randrange(256)
            s = raw(lab, timeout=1)
            try:
                s.sendall(bytes(mutant))
                s.recv(65536)
            except LET_GO:
                pass
            s.close()
    print(f"TLS: old versions, weak ciphers and renegotiation refused; {len(pieces)} pieces and 40 changed hellos", flush=True)


# ---- gone ----
def gone(lab, token, rng, rounds):
    """Ends at any byte of anything, politely or by a reset."""
    request = b"POST /v1/people HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n" \
              b"Content-Length: 30\r\n\r\n{\"name\":\"who went away\"      }" % token.encode()
    hello = client_hello(lab)

    def leave(s):
        how = rng.randrange(3)
        if how == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == 1:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        s.close()
    with Good(lab, token):
        for i in range(rounds):
            if i % 4 == 0:
                s = raw(lab)
                s.sendall(hello[:rng.randrange(len(hello))])
            else:
                s = tls(lab)
                data = request if i % 4 < 3 else b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20
                s.sendall(data[:rng.randrange(len(data) + 1)])
                if i % 4 == 3:
                    s.recv(rng.randrange(1, 5000))
            leave(s)
    print(f"gone: {rounds} connections left in the middle", flush=True)


# ---- many ----
def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def open_sockets(pid):
    n = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            n += os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except OSError:
            pass
    return n


def many(lab, token, n):
    """n connections in each of these states, all at once; memory is measured while they are there."""
    pid, hello = lab.cloud.proc.pid, client_hello(lab)
    plain = b"GET / HTTP/1.1\r\n"

    def asked(s):
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        check(s.recv(12) == b"HTTP/1.1 200", "GET /healthz among many")
        return s

    def sent(s, data):
        s.sendall(data)
        return s
    headers = b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 30000
    body = b"POST /v1/people HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n" \
           b"Content-Length: 65000\r\n\r\n" % token.encode() + b" " * 64000
    states = {
        "TCP alone": (lambda: raw(lab), 0),
        "half a hello": (lambda: sent(raw(lab), hello[:-20]), 0),
        "plain HTTP": (lambda: sent(raw(lab), plain), None),
        "TLS, silent": (lambda: tls(lab), 0),
        "idle after a reply": (lambda: asked(tls(lab)), 0),
        "30 kB of headers": (lambda: sent(tls(lab), headers), 0),
        "64 kB of a body": (lambda: sent(tls(lab), body), 65536),
    }
    factor = SANITIZER_FACTOR if "asan" in lab.bin else 1
    base = rss(pid)
    quiet = open_sockets(pid)
    print(f"many: {n} connections in each state; {base >> 10} KiB at rest", flush=True)
    for what, (make, extra) in states.items():
        with Good(lab, token):
            held = [make() for _ in range(n)]
            if extra is not None:
                wait_for(f"{what}: {n} connections", lambda: open_sockets(pid) >= quiet + n, 30 * PATIENCE)
            now = rss(pid)
        budget = n * (CONNECTION_BUDGET + (extra or 0)) * factor + (16 << 20) * factor
        print(f"  {what}: {now >> 10} KiB, {now / base:.2f} times, {max(0, now - base) / n / 1024:.0f} KiB each", flush=True)
        check(now - base < budget, f"{what}: {n} connections took {now - base} bytes, more than {budget}")
        for s in held:
            s.close()
        wait_for(f"{what}: the connections to be gone", lambda: open_sockets(pid) <= quiet + 8, 60 * PATIENCE, every=0.2)


def hold(lab, source, n):
    out = []
    for _ in range(n):
        try:
            out.append(raw(lab, source, timeout=5))
        except LET_GO:
            pass
    return out


def crowd(lab, token):
    """One address cannot lock out another; and when all places are taken, newcomers get theirs as soon as who holds one
    without a request is cut."""
    with Good(lab, token):
        held = hold(lab, "127.0.0.2", 400)
    for s in held:
        s.close()
    with Good(lab, token) as g:
        held = [s for i in range(6) for s in hold(lab, f"127.0.0.{10 + i}", 64)]
        before = g.done
        wait_for("the well-behaved client to be served while all places are taken", lambda: g.done > before + 5,
                 60 * PATIENCE)
    for s in held:
        s.close()
    print(f"crowd: 400 connections from one address, then {len(held)} from six for 256 places", flush=True)


def end_while_full(lab):
    """At its limit the listener accepts nobody, but still ends when it is asked to."""
    serve(lab, request_timeout="5min", connections=16, per_address=0)
    quiet = open_sockets(lab.cloud.proc.pid)
    held = hold(lab, "127.0.0.2", 100)
    wait_for("all places to be taken", lambda: open_sockets(lab.cloud.proc.pid) >= quiet + 14, 20 * PATIENCE)
    check(lab.cloud.proc.stop(30 * PATIENCE) == 0, "punchcloud did not end well while its places were taken")
    for s in held:
        s.close()
    print("full: ended when asked to, with all places taken", flush=True)


# ---- a real client ----
def curl(lab, token):
    url = f"https://127.0.0.1:{lab.cloud.api_port}"
    base = ["curl", "-sS", "--max-time", "30", "--cacert", os.path.join(lab.cloud.pki, "ca.crt"), "-o", "/dev/null",
            "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}"]
    big, small = lab.path("big"), lab.path("small")
    for path, data in ((big, b" " * 300000), (small, b'{"name":"curl"}')):
        with open(path, "wb") as f:
            f.write(data)
    j = ["-H", "Content-Type: application/json"]
    cases = [
        (["--http1.0"], "/healthz", 0, "200"), (["--http1.1"], "/healthz", 0, "200"), (["--http2"], "/healthz", 0, "200"),
        (["--tls-max", "1.1", "--tlsv1.0", "--ciphers", "DEFAULT@SECLEVEL=0"], "/healthz", 35, "000"),
        (["--tls-max", "1.2"], "/healthz", 0, "200"), (["--tlsv1.3"], "/healthz", 0, "200"),
        ([*j, "-H", "Expect: 100-continue", "--data-binary", "@" + small], "/v1/people", 0, "201"),
        ([*j, "-H", "Expect: 100-continue", "--data-binary", "@" + big], "/v1/people", 0, "413"),
        ([*j, "-H", "Transfer-Encoding: chunked", "--data-binary", "@" + small], "/v1/people", 0, "201"),
        ([*j, "-X", "PUT", "-T", small], "/v1/people", 0, "405"),
        (["-F", "name=@" + small], "/v1/people", 0, "415"), (["--compressed"], "/v1/people", 0, "200"),
        (["-I"], "/v1/people", 0, "200"), (["-X", "TRACE"], "/v1/people", 0, "405"),
        (["--path-as-is"], "/v1/../v1/people", 0, "404"), (["-H", "Host:"], "/healthz", 0, "400"),
        (["--request-target", "*"], "/", 0, "404"),
    ]
    for more, path, code, status in cases:
        r = subprocess.run([*base, *more, url + path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        check(r.returncode == code and r.stdout.decode() == status,
              f"curl {' '.join(more)} {path}: {r.returncode} {r.stdout} {r.stderr}, not {code} {status}")
    print(f"curl: {len(cases)} ways of asking", flush=True)


def serve(lab, **listener):
    lab.cloud.listener = listener
    lab.cloud.start()


def test(args, rng):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, args.connections + 1024)), hard))
    with Lab("hostile", keep=args.keep) as lab:
        lab.cloud.init()
        lab.broker.start()
        serve(lab, request_timeout=f"{REQUEST_S}s", idle=f"{IDLE_S}s")
        token = lab.cloud.token(lab.cloud.tenant("acme"))
        slow(lab, token)
        crowd(lab, token)
        wrong(lab, token)
        pipelined(lab, token)
        curl(lab, token)
        bad_tls(lab, token, rng)
        gone(lab, token, random.Random(rng.random()), args.rounds)
        check(lab.cloud.proc.stop(30 * PATIENCE) == 0, "punchcloud did not end well")
        # What a sanitizer keeps of freed memory is not punchcloud's.
        lab.cloud.env = {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:quarantine_size_mb=1"}
        serve(lab, request_timeout="5min", idle="5min", per_address=0, connections=max(256, 2 * args.connections))
        many(lab, token, args.connections)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=400, connections=40, rounds=60)
