"""A malicious broker, played by a client whose certificate the ACL lets read and write everything.

It sees every upload and every ack, and publishes to the gateways' ack topics: acks with invented macs that claim
everything, true acks changed by one field, acks of a wrong key, an old or a far epoch, replays of true acks, and
garbage; and to their `up` topics replays of true uploads. None of it may change anything.
"""
import os
import random
import threading
import time

import pywire as w
from mqtt5 import Client

CN = "forger"
ACL = ("topic readwrite punch/v1/#",)


KINDS = ("invented", "invented", "changed", "wrong-key", "epoch", "replay", "garbage", "upload")


class Forger:
    def __init__(self, lab, seed, period=0.05, kinds=KINDS):
        self.kinds = kinds
        self.rng, self.period = random.Random(f"forger/{seed}"), period
        self.lock = threading.Lock()
        self.segments, self.acks, self.uploads = {}, [], []
        self.sent = {}
        self._mine = set()
        self._stop = threading.Event()
        self.client = Client(lab, CN, ("punch/v1/+/+/up", "punch/v1/+/+/ack"), self._saw)
        self.thread = threading.Thread(target=self._run, name="forger", daemon=True)
        self.thread.start()
        lab.on_close(self.stop)

    def stop(self):
        self._stop.set()
        self.thread.join(5)

    def _saw(self, topic, payload):
        with self.lock:
            if payload in self._mine:
                return
            try:
                gw, leaf = w.parse_topic(topic)
                if leaf == "up":
                    signed = w.parse_upload(payload)[0]
                    self.segments[w.segid_of(w.parse_signed(signed)[2])] = gw
                    self.uploads = (self.uploads + [(topic, payload)])[-200:]
                else:
                    self.acks = (self.acks + [(topic, w.parse_ack(payload))])[-500:]
            except w.Bad:
                pass

    def _run(self):
        while not self._stop.wait(self.period):
            with self.lock:
                made = self._make()
            if made is None:
                continue
            kind, topic, payload = made
            with self.lock:
                if len(self._mine) < 100000:
                    self._mine.add(payload)
            if self.client.connected:
                self.client.publish(topic, payload, qos=0)
                self.sent[kind] = self.sent.get(kind, 0) + 1

    def _make(self):
        rng = self.rng
        kind = rng.choice(self.kinds)
        if kind == "upload":
            return (kind, *rng.choice(self.uploads)) if self.uploads and rng.random() < 0.3 else None
        if kind in ("changed", "replay"):
            if not self.acks:
                return None
            topic, items = rng.choice(self.acks)
            if kind == "changed":
                items = [list(rng.choice(items))]
                items[0][3] = min(items[0][3] + rng.randrange(1, 500), 65536)
            return kind, topic, w.ack(items)
        if not self.segments:
            return None
        segid, gw = rng.choice(list(self.segments.items())[-20:])
        epoch = self.acks[-1][1][0][1] if self.acks else int(time.time())
        topic, now = w.topic(gw, "ack"), time.time_ns() // 1000
        if kind == "garbage":
            return kind, topic, os.urandom(rng.randrange(1, 200))
        if kind == "wrong-key":
            return kind, topic, w.ack([w.ack_item(bytes(32), segid, epoch, now, 65536)])
        if kind == "epoch":
            epoch = rng.choice([0, epoch - 1, epoch + 1, w.INT_MAX])
        return kind, topic, w.ack([[segid, epoch, now, rng.choice([0, 1, 100, 65536]), os.urandom(16)]])
