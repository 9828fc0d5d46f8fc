#!/usr/bin/python3
"""A 125 kHz serial reader of any layout (A RDM6300, B ID-12LA, C EM-18, D without check, E 7941E) on a pty.

    serial125.py --link /tmp/x/ttyCARD --ledger /tmp/x/serial.jsonl --rate 20 [--count 1200] [--layout E --id-bytes 7]

Prints `ready <link>` when the line can be opened. Each presentation is one frame and one `present` event, written
before the frame. Such a reader cannot be answered: what counts as stored is told by `punchgate tail --json`.

What is in the ledger is the card's own number, whatever --reverse makes the reader send. Layout C has no frame: after
noise a receiver is in step again at the next pause only, so the simulator makes one.

Commands on standard input: present [HEX] | bad | garbage [N] | raw HEX | rate R | pause | resume | quit
"""
import argparse
import functools
import operator
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from simlib import Cards, Ledger, Loop, Pacer, PtyLine, Simulator, read_ledger  # noqa: E402


PAUSE = 0.05


def xor(data):
    return functools.reduce(operator.xor, data, 0)


def turned(card, reverse):
    """What a reader sends that turns the number round: the order of bytes, of bits or of digits in each byte."""
    if reverse == "bytes":
        return card[::-1]
    if reverse == "bits":
        return bytes(int(f"{b:08b}"[::-1], 2) for b in card)
    if reverse == "nibbles":
        return bytes(b >> 4 | b << 4 & 0xF0 for b in card)
    return card


def frame(card, layout="A", lower=False):
    """Layouts A and B: 02, ten digits, two of check (the XOR of the five bytes), 03; in B with 0D 0A before the 03.
    C: the twelve digits alone. D: 02, ten digits, 0D 0A 03. E: 02, length of all, type (02 EM4100, 01 Mifare), id, XOR
    of length, type and id, 03."""
    if layout == "E":
        body = bytes([len(card) + 5, 2 if len(card) == 5 else 1]) + card
        return b"\x02" + body + bytes([xor(body)]) + b"\x03"
    digits = (card if layout == "D" else card + bytes([xor(card)])).hex().encode()
    if not lower:
        digits = digits.upper()
    end = {"A": b"\x03", "B": b"\r\n\x03", "D": b"\r\n\x03"}
    return digits if layout == "C" else b"\x02" + digits + end[layout]


class Serial125(Simulator):
    def __init__(self, link, ledger=None, name="serial", layout="A", rate=0.0, count=None, distinct=0, seed=1,
                 garbage=0.0, bad=0.0, split=False, start=0, id_bytes=5, reverse="none"):
        self.loop = Loop()
        self.line = PtyLine(link)
        self.address = link
        self.ledger = Ledger(ledger, name)
        self.layout, self.garbage_share, self.bad_share, self.split = layout, garbage, bad, split
        self.reverse = reverse
        self.cards = Cards(id_bytes, f"{seed}/{name}", distinct, start)
        self.pacer = Pacer(rate, count)
        self.noise = random.Random(f"noise/{seed}/{name}")
        self.seq = start
        self.paused = False

    def present(self, card=None):
        card = card or self.cards.next()
        if self.noise.random() < self.garbage_share:
            self.garbage()
        if self.noise.random() < self.bad_share:
            self.bad()
        self.seq += 1
        self.ledger.write("present", seq=self.seq, card=card.hex().upper())
        if not self.send(frame(turned(card, self.reverse), self.layout)):
            self.ledger.write("dropped", seq=self.seq)
        return self.seq

    def send(self, data):
        if not self.split:
            return self.line.write(data)
        whole = True
        while data:
            n = self.noise.randint(1, len(data))
            whole = self.line.write(data[:n]) and whole
            data = data[n:]
        return whole

    def garbage(self, n=None):
        """Bytes that can be no frame; a start byte may be among them."""
        self.line.write(self.noise.randbytes(n or self.noise.randint(1, 40)))
        self.pause_of_c()

    def bad(self):
        """A frame with a damaged byte, of a card that is never presented: in its check or, where it has none, no digit."""
        f = bytearray(frame(self.noise.randbytes(self.cards.size), self.layout))
        at = {"A": 12, "B": 12, "C": 11, "D": 10, "E": -2}[self.layout]
        f[at] = f[at] ^ 1 if self.layout == "E" else ord("G") if self.layout == "D" else ord("10"[f[at] == ord("1")])
        self.line.write(bytes(f))
        self.ledger.write("bad")
        self.pause_of_c()

    def pause_of_c(self):
        if self.layout == "C":
            time.sleep(PAUSE)

    def tick(self):
        if self.paused:
            return None
        if self.pacer.wait() == 0.0:
            self.present()
            self.pacer.taken()
        return self.pacer.wait()

    def command(self, words):
        what, args = words[0], words[1:]
        if what == "present":
            self.present(bytes.fromhex(args[0]) if args else None)
        elif what == "bad":
            self.bad()
        elif what == "garbage":
            self.garbage(int(args[0]) if args else None)
        elif what == "raw":
            self.line.write(bytes.fromhex("".join(args)))
        elif what == "rate":
            self.pacer.set_rate(float(args[0]))
        elif what in ("pause", "resume"):
            self.paused = what == "pause"
        elif what == "quit":
            self.loop.stop()
        else:
            print("unknown command", what, file=sys.stderr)

    def run(self):
        self.loop.on_read(self.line.master, self.line.read)
        try:
            self.loop.run(self.tick)
        finally:
            self.line.close()
            self.ledger.close()
            self.loop.close()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--link", required=True, help="symlink to make to the pty")
    p.add_argument("--ledger", help="JSON lines file to append to")
    p.add_argument("--name", default="serial", help="reader name in the ledger")
    p.add_argument("--layout", choices=["A", "B", "C", "D", "E"], default="A")
    p.add_argument("--id-bytes", type=int, choices=[4, 5, 7, 10], default=5, help="layout E: 5 is EM4100, else Mifare")
    p.add_argument("--reverse", choices=["none", "bytes", "bits", "nibbles"], default="none")
    p.add_argument("--rate", type=float, default=0.0, help="presentations a second; 0: only on command")
    p.add_argument("--count", type=int, help="stop presenting after so many")
    p.add_argument("--cards", type=int, default=0, help="so many different cards in turn; 0: always a fresh one")
    p.add_argument("--seed", default="1")
    p.add_argument("--garbage", type=float, default=0.0, help="share of presentations preceded by noise")
    p.add_argument("--bad", type=float, default=0.0, help="share of presentations preceded by a wrong check")
    p.add_argument("--split", action="store_true", help="write each frame in random pieces")
    p.add_argument("--resume", action="store_true", help="continue the ledger's sequence after a restart")
    p.add_argument("--paused", action="store_true", help="present nothing before `resume` on standard input")
    p.add_argument("--quit-at-eof", action="store_true", help="end with standard input")
    a = p.parse_args()
    start = max([e["seq"] for e in read_ledger(a.ledger) if e["event"] == "present"
                 and e["reader"] == a.name], default=0) if a.resume and a.ledger else 0
    count = None if a.count is None else max(0, a.count - start)
    sim = Serial125(a.link, a.ledger, a.name, a.layout, a.rate, count, a.cards, a.seed, a.garbage, a.bad, a.split,
                    start, a.id_bytes, a.reverse)
    sim.paused = a.paused
    sim.serve(a.quit_at_eof)


if __name__ == "__main__":
    main()
