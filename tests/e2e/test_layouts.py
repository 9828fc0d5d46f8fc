#!/usr/bin/python3
"""Every layout of the 125 kHz readers and every way of printing a number, from a pty to the API.

Seven readers on lines of their own, one of which turns its numbers round, and one that `auto` has to find out. What the
API shows is compared with the ledgers and with the rules of docs/WIRE.md in Python. A card is claimed by its whole
number; a random id is refused, counted, and reaches nothing.
"""
import pywire as w
from building import Building
from compare import cards_of
from lab import PATIENCE, Lab, main
from proc import check, wait_for
from sims import Serial

CARDS = 20
RANDOM_ID = "08A1B2C3"
READERS = (("ident", dict(layout="B", number="hex8")),
           ("em18", dict(layout="C", number="dec13")),
           ("plain", dict(layout="D", number="5+5")),
           ("binary", dict(layout="E", number="dec8")),
           ("mifare", dict(layout="E", number="dec10", id_bytes=4)),
           ("turned", dict(layout="A", number="3+5", reverse="bits")),
           ("long", dict(layout="E", number="hex", id_bytes=7, reverse="bytes")))


def numbers(sim, items, rendering):
    """Each card once, under the number that its owner reads from it."""
    tech, bits = sim.cred
    want = sorted(w.shown(tech, bits, bytes.fromhex(card), w.RENDERINGS.index(rendering))
                  for card in sim.presented() if card != RANDOM_ID)
    got = sorted(i["credential"]["number"] for i in items if i["reader"] == sim.name)
    check(len(got) == CARDS and got == want, f"{sim.name}: the API shows {got}, the cards say {want}")


def claim(api, number, rendering, data):
    person = api.post("/v1/people", {"name": f"who has {data}"})["id"]
    made = api.post(f"/v1/people/{person}/credentials", {"number": number, "rendering": rendering})
    punches = api.with_cards(api.punches(person=person), [])
    check(made["refiled"] == 1 and [p["credential"]["data"] for p in punches] == [data],
          f"{rendering} {number} claimed {made} and shows {punches}")


def test(args, _rng):
    with Lab("layouts", keep=args.keep) as lab:
        sims = [Serial(lab, name, seed=args.seed, count=CARDS, **how) for name, how in READERS]
        sims[0].settings["layout"] = "auto"
        b = Building(lab, args.seed, forger=(), sims=sims)
        b.gw.wait_readers()
        warned = [line for line in b.gw.ctl("check").stdout.splitlines() if "no check digits" in line]
        check(len(warned) == 1 and "plain:" in warned[0], f"`check` about layout D: {warned}")
        mifare = next(s for s in sims if s.name == "mifare")
        mifare.present(RANDOM_ID)

        def reader(name):
            return next(r for r in b.gw.status()["readers"] if r["name"] == name)
        wait_for("the random id to be counted", lambda: reader("mifare")["unusable"] == 1, 20 * PATIENCE)
        for sim in sims:
            sim.go(15)
        wait_for("every card to be stored", lambda: b.gw.status()["punches"] == CARDS * len(sims), 30 * PATIENCE)
        b.settle()
        em18, plain = (next(s for s in sims if s.name == name).presented()[0] for name in ("em18", "plain"))
        claim(b.api, w.shown(3, 40, bytes.fromhex(em18), 7), "dec13", em18)
        claim(b.api, w.shown(3, 40, bytes.fromhex(plain), 6), "5+5", plain)
        uid = mifare.presented()[1]
        claim(b.api, w.shown(2, 32, bytes.fromhex(uid), 2), "dec10", uid)
        figures, items = b.verdict(), b.api.with_cards(b.items(), cards_of(sims))
        for sim, (_, how) in zip(sims, READERS):
            numbers(sim, items, how["number"])
            check(reader(sim.name)["bad"] == 0, f"{sim.name}: {reader(sim.name)}")
        print(f"{len(sims)} readers, {figures}", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=150)
