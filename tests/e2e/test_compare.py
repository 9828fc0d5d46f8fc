#!/usr/bin/python3
"""The comparison itself: silent when all is well, and it accuses of each wrong by its name."""
import copy
import datetime

from compare import compare, tag_of
from lab import main
from proc import check

KEY = bytes(range(32))


def stamp(us):
    return datetime.datetime.fromtimestamp(us / 10**6, datetime.timezone.utc).isoformat().replace("+00:00", "Z")


class Ledger:
    """What compare() wants of a simulated reader."""

    def __init__(self, name, acked, cred, n):
        self.name, self.acked, self.cred = name, acked, cred
        self.log = []
        for seq in range(1, n + 1):
            card = bytes([cred[0], seq]).hex().upper() + "00" * (cred[1] // 8 - 2)
            self.log.append({"event": "present", "seq": seq, "card": card, "time_ns": seq * 10**9})
            if acked:
                self.log.append({"event": "cleared", "seq": seq, "time_ns": seq * 10**9 + 10**8})

    def events(self):
        return self.log


def world(n=20):
    sims = [Ledger("gate", False, (3, 40), n), Ledger("lift", True, (2, 32), n)]
    items, tail = [], []
    for seq in range(1, n + 1):
        for sim in sims:
            card = next(e["card"] for e in sim.log if e["seq"] == seq)
            gseq, real = len(items) + 1, seq * 10**6 + 1000
            items.append({"id": f"{'ab' * 16}-{gseq}", "gseq": gseq, "reader": sim.name, "credential": {"data": card},
                          "time": stamp(real), "uncertainty_us": 1000,
                          "original": {"real_us": real, "mono_us": real - 5}})
            tail.append({"gseq": gseq, "reader": sim.name, "tag": tag_of(KEY, sim.cred, card), "real": real,
                         "mono": real - 5, "seg": "ab" * 16, "index": gseq})
    return sims, tail, items


def drop_gate(sims, tail, items):
    del items[8]


def drop_lift_unseen_by_tail(sims, tail, items):
    del items[9], tail[9]


def twice(sims, tail, items):
    items.insert(9, {**items[8], "id": "cd" * 16 + "-1", "gseq": items[8]["gseq"] + 100})


def listed_twice(sims, tail, items):
    items.append(items[3])


def invented(sims, tail, items):
    items.append({**items[-1], "id": "cd" * 16 + "-2", "credential": {"data": "FFFFFFFF"}})


def invented_of_no_card(sims, tail, items):
    """with_cards() leaves the card of nobody's without its content."""
    items.append({**items[-1], "id": "cd" * 16 + "-4", "credential": {}})


def card_of_another(sims, tail, items):
    items[4]["credential"], items[8]["credential"] = items[8]["credential"], items[4]["credential"]


def unknown_reader(sims, tail, items):
    items.append({**items[-1], "id": "cd" * 16 + "-3", "reader": "nobody"})


def swapped(sims, tail, items):
    items[4], items[8] = items[8], items[4]


def overtaken(sims, tail, items, uncertainty_us=1000):
    """The third of the gate goes behind its fourth, by 0.4 s."""
    items[4].update(time=stamp(4 * 10**6 + 401000), uncertainty_us=uncertainty_us)
    items.insert(7, items.pop(4))


def counted_backwards(sims, tail, items):
    """Two of the gate within the uncertainty of each other: the list may have them in either order, gseq may not."""
    overtaken(sims, tail, items, uncertainty_us=400000)
    a, b = items[5], items[7]
    for x in (a, b):
        t = next(t for t in tail if t["gseq"] == x["gseq"])
        x["t"] = t
    a["gseq"], b["gseq"] = b["gseq"], a["gseq"]
    for x in (a, b):
        x["id"] = f"{'ab' * 16}-{x['gseq']}"
        t = x.pop("t")
        t["gseq"], t["index"] = x["gseq"], x["gseq"]


def wrong_time(sims, tail, items):
    items[5]["original"]["real_us"] += 1


def before_it_happened(sims, tail, items):
    items[5]["original"]["real_us"] -= 5000
    tail[5]["real"] -= 5000


def after_clearing(sims, tail, items):
    items[5]["original"]["real_us"] += 200000
    tail[5]["real"] += 200000


def other_gseq(sims, tail, items):
    items[6]["gseq"] += 1000


def tail_of_nothing(sims, tail, items):
    tail.append({**tail[-1], "tag": "00" * 8, "index": 999})


WRONGS = {drop_gate: "lost", drop_lift_unseen_by_tail: "lost", twice: "doubled", listed_twice: "doubled",
          invented: "invented", invented_of_no_card: "invented", card_of_another: "mixed up", unknown_reader: "invented", swapped: "order", overtaken: "order",
          counted_backwards: "order", wrong_time: "re-dated", before_it_happened: "re-dated", after_clearing: "re-dated",
          other_gseq: "mixed up", tail_of_nothing: "invented"}


def test(_args, _rng):
    sims, tail, items = world()
    figures, bad = compare(sims, tail, KEY, items)
    check(not bad, f"accuses the innocent: {bad}")
    check(figures == {"presented": 40, "acknowledged": 40, "committed": 40, "api": 40}, f"figures {figures}")
    for wrong, word in WRONGS.items():
        sims, tail, items = copy.deepcopy(world())
        wrong(sims, tail, items)
        bad = compare(sims, tail, KEY, items)[1]
        check(any(b.startswith(word) for b in bad), f"{wrong.__name__} is not called {word}: {bad}")
    sims, tail, items = world()
    overtaken(sims, tail, items, uncertainty_us=400000)
    bad = compare(sims, tail, KEY, items)[1]
    check(not bad, f"accuses of an order that nobody can know: {bad}")
    print(f"{len(WRONGS)} wrongs, each accused by its name", flush=True)


if __name__ == "__main__":
    main(test, __doc__, limit=30)
