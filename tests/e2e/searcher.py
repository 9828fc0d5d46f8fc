"""Looks for card numbers (and names) in files, in every rendering that a careless program would leave behind.

A pattern of a few bytes also turns up by chance in megabytes of ciphertext, so a run should use few short cards
(5 bytes: 40 of them make a chance hit once in a thousand runs) and as many long ones (8 bytes) as it likes.
"""
import base64
import os
import re

BIT_REVERSED = bytes(int(f"{b:08b}"[::-1], 2) for b in range(256))
BLOCK = 1 << 16
PREFIX = 4


def renderings(card):
    """(name, bytes, whole): what a card looks like when it was written down. whole: only as a number of its own."""
    big, little = int.from_bytes(card, "big"), int.from_bytes(card, "little")
    out = [("raw", card, False), ("bytes reversed", card[::-1], False),
           ("bits reversed", bytes(BIT_REVERSED[b] for b in card), False),
           ("all bits reversed", bytes(BIT_REVERSED[b] for b in card[::-1]), False)]
    for name, data in (("", card), (" reversed", card[::-1])):
        out.append(("hex" + name, data.hex().encode(), False))
        for sep in " :-":
            out.append((f"hex{name} with {sep!r}", data.hex(sep).encode(), False))
    out += [("decimal", str(big).encode(), True), ("decimal reversed", str(little).encode(), True)]
    if len(card) == 5:
        b = card
        low = int.from_bytes(b[1:], "big")
        out += [("dec10", b"%010d" % low, True), ("dec13", b"%013d" % big, True),
                ("3+5", b"%03d,%05d" % (b[2], b[3] << 8 | b[4]), True), ("hex8", b[1:].hex().encode(), False)]
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + card + bytes(2))
        first = -(-shift * 8 // 6)
        last = (shift + len(card)) * 8 // 6
        out.append((f"base64 at {shift}", text[first:last], False))
    # A decimal of under eight digits is in every log by chance; the other renderings of that card still count.
    return [r for r in out if len(r[1]) >= (8 if r[2] else 5)]


def text_renderings(text):
    raw = text.encode()
    return [("text", raw, False), ("hex", raw.hex().encode(), False), ("base64", base64.b64encode(raw).rstrip(b"="), False),
            ("utf-16", text.encode("utf-16-le"), False)]


class Searcher:
    def __init__(self):
        self.exact, self.folded = {}, {}
        self.patterns = 0

    def add(self, label, found_as):
        for name, pattern, whole in found_as:
            table = self.folded if "hex" in name else self.exact
            table.setdefault(pattern[:PREFIX], []).append((pattern, whole, f"{label} as {name}"))
            self.patterns += 1

    def card(self, hex_number):
        self.add(f"card {hex_number}", renderings(bytes.fromhex(hex_number)))

    def text(self, text):
        self.add(repr(text), text_renderings(text))

    def data(self, data):
        """Labels of what is readable in data."""
        return sorted(self._scan(data, self.exact) | self._scan(data.lower(), self.folded))

    @staticmethod
    def _scan(data, table):
        found = set()
        if not table:
            return found
        for start in range(0, len(data), BLOCK):
            block = data[start:start + BLOCK + PREFIX - 1]
            if block.count(0) == len(block):
                continue
            for i in range(len(block) - PREFIX + 1):
                for pattern, whole, label in table.get(block[i:i + PREFIX], ()):
                    at = start + i
                    if data.startswith(pattern, at) and not (whole and _digit_beside(data, at, len(pattern))):
                        found.add(f"{label}, offset {at}")
        return found

    def files(self, *roots, skip=()):
        """(hits, files, bytes): every regular file below roots, its name included."""
        hits, files, size = [], 0, 0
        for path in all_files(roots):
            if any(re.search(s, path) for s in skip):
                continue
            with open(path, "rb") as f:
                data = f.read()
            files, size = files + 1, size + len(data)
            hits += [f"{path}: {h}" for h in self.data(data)]
            hits += [f"{path}: in its name: {h}" for h in self.data(os.path.basename(path).encode())]
        return hits, files, size


def _digit_beside(data, at, n):
    return (at > 0 and 48 <= data[at - 1] <= 57) or (at + n < len(data) and 48 <= data[at + n] <= 57)


def all_files(roots):
    for root in roots:
        if os.path.isfile(root):
            yield root
        for folder, _dirs, names in os.walk(root):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    yield path
