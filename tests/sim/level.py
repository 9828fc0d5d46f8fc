#!/usr/bin/python3
"""Modbus readers that show a card's number while it is in the field: TechnoTrade VRD-485 and IC-10MRW.

    level.py --device vrd-485 --rtu /tmp/x/ttyRS485 --ledger /tmp/x/vrd.jsonl --rate 2
    level.py --device vrd-485,ic-10mrw --units 1,2 --tcp 127.0.0.1:0 --ledger /tmp/x/both.jsonl

Prints `ready <address>`. Register maps, with their sources: config/profiles. A card stays for --dwell seconds, or until
`take`; then the field is empty for --gap seconds. `--dwell 0`: until it is taken or another one is put in its place.

Ledger: `present` before a card is in the registers, `left` after it is gone from them.

Commands on standard input and faults: modbus.py; and `put HEX [UNIT]`, there until taken, in the place of whatever is
there; `take [UNIT]`.
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from modbus import Device, ModbusError, arguments, serve  # noqa: E402


class Level(Device):
    commands = {"put": 1, "take": 0}

    def __init__(self, dwell, gap, *args):
        super().__init__(*args)
        self.dwell, self.gap = dwell, gap
        self.card = b""
        self.until = self.free = 0.0

    def busy(self):
        return bool(self.card) or time.monotonic() < self.free

    def arrive(self, card):
        self.log_present(card)
        self.card, self.until = card, time.monotonic() + self.dwell if self.dwell else float("inf")

    def put(self, card):
        self.arrive(bytes.fromhex(card))
        self.until = float("inf")

    def take(self):
        if self.card:
            self.card, self.free = b"", time.monotonic() + self.gap
            self.ledger.write("left", unit=self.unit, seq=self.seq)

    def tick(self, paused):
        if self.card and time.monotonic() >= self.until:
            self.take()
        waits = [w for w in [super().tick(paused)] if w is not None]
        end = self.until if self.card else self.free
        if time.monotonic() < end < float("inf"):
            waits.append(end - time.monotonic())
        return min(waits) if waits else None

    def register(self, addr):
        image = self.image()
        if addr not in image:
            raise ModbusError(2)
        return image[addr]


class Vrd485(Level):
    """Register 0: address and code of the speed; 2 and 3: the number; nothing beyond 11."""
    functions = (3, 6, 16)

    def image(self):
        image = {a: 0 for a in range(12)}
        number = (self.card + bytes(4))[:4]
        image[0] = self.unit << 8 | 3
        image[2], image[3] = (int.from_bytes(number[i:i + 2], "big") for i in (0, 2))
        return image


class Ic10mrw(Level):
    """Register 3: length; where the bytes are depends on it. For ten bytes nobody knows: any place will do."""
    PLACES = {4: {8: (2, 1), 9: (4, 3)},
              7: {8: (3, 2), 9: (5, 4), 4: (7, 6), 5: (0, 1)},
              10: {8: (3, 2), 9: (5, 4), 4: (7, 6), 5: (10, 1), 6: (9, 8)}}

    def image(self):
        image = {a: 0 for a in range(10)}
        image[3] = len(self.card)
        for register, (high, low) in self.PLACES.get(len(self.card), {}).items():
            image[register] = (self.card[high - 1] if high else 0) << 8 | self.card[low - 1]
        return image


DEVICES = {"vrd-485": Vrd485, "ic-10mrw": Ic10mrw}


def main():
    p = arguments(__doc__, "level")
    p.add_argument("--device", required=True, type=lambda text: [DEVICES[d] for d in text.split(",")],
                   help="vrd-485 or ic-10mrw, one for each unit, with commas")
    p.add_argument("--dwell", type=float, default=0.4)
    p.add_argument("--gap", type=float, default=0.4)
    a = p.parse_args()
    serve(a, lambda unit, *args: a.device[a.units.index(unit)](a.dwell, a.gap, unit, *args))


if __name__ == "__main__":
    main()
