#!/usr/bin/python3
"""Readers that show a card only while it is there, from the register to the API: a VRD-485 on an RTU line, an IC-10MRW
behind a Modbus TCP converter.

A card that stays is one punch however long it stays; another one in its place is another; out of the field and back
within `hold` is none. A number whose map nobody knows is refused and counted. After a kill of punchgate a card that still
lies there is a new punch: nobody can know that it never left.
"""
import pywire as w
from lab import PATIENCE, Gateway, Lab, main
from proc import check, wait_for
from sims import Ic10mrw, Vrd485

VRD, OTHER, UID7, UID10, UID4 = "A41E45C6", "00000001", "04A1B2C3D4E5F6", "0404A1B2C3D4E5F60708", "5C11D2E3"


def figures(gw, sim):
    return next(r for r in gw.status()["readers"] if r["name"] == sim.name)


def until(gw, sim, what, n):
    wait_for(f"{what} of {sim.name} to be {n}", lambda: figures(gw, sim)[what] >= n, 30 * PATIENCE, every=0.1)
    got = figures(gw, sim)[what]
    check(got == n, f"{what} of {sim.name} is {got} instead of {n}")


def polled(gw, sim, n):
    """So many more questions to the device."""
    end = figures(gw, sim)["polls"] + n
    wait_for(f"{n} polls of {sim.name}", lambda: figures(gw, sim)["polls"] >= end, 60 * PATIENCE, every=0.1)


def present(gw, vrd, ic):
    vrd.put(VRD)
    until(gw, vrd, "punches", 1)
    polled(gw, vrd, 150)  # at 20 ms and more each: longer than `hold`
    until(gw, vrd, "reads", 1)
    vrd.put(OTHER)
    until(gw, vrd, "punches", 2)
    vrd.take()

    ic.put(UID7)
    until(gw, ic, "punches", 1)
    ic.take()
    polled(gw, ic, 10)
    ic.put(UID7)
    until(gw, ic, "duplicates", 1)
    ic.put(UID10)
    until(gw, ic, "bad", 1)
    polled(gw, ic, 10)
    ic.put(UID4)
    until(gw, ic, "punches", 2)
    for sim, reads in ((vrd, 2), (ic, 3)):
        f = figures(gw, sim)
        check(f["reads"] == reads and not f["acked"], f"{sim.name}: {f}")


def test(args, _rng):
    with Lab("modbus", keep=args.keep) as lab:
        lab.cloud.init()
        lab.cloud.tenant("acme")
        api = lab.cloud.api(lab.cloud.token("acme"))
        gw = Gateway(lab)
        vrd, ic = gw.reader(Vrd485(lab, "canteen")), gw.reader(Ic10mrw(lab, "stairs"), hold="1h")
        gw.enrol("acme", "Main gate")
        gw.ctl("check")
        lab.broker.start()
        lab.cloud.start()
        for sim in (vrd, ic):
            sim.start()
        gw.start()
        gw.wait_readers()
        present(gw, vrd, ic)

        gw.proc.kill()
        gw.start()
        until(gw, ic, "punches", 1)
        polled(gw, vrd, 10)
        until(gw, vrd, "reads", 0)
        gw.wait_drained()

        want = sorted([("canteen", "em4100", 32, VRD), ("canteen", "em4100", 32, OTHER),
                       ("stairs", "iso14443", 56, UID7)] + 2 * [("stairs", "iso14443", 32, UID4)])

        techs = {name: tech for tech, name in w.TECHS.items()}

        def got():
            cards = [(techs[tech], bits, data) for _, tech, bits, data in want]
            return sorted((i["reader"], i["credential"]["tech"], i["credential"]["bits"], i["credential"].get("data"))
                          for i in api.with_cards(api.punches(), cards))
        wait_for("every punch to have its time", lambda: not api.punches(state="pending"), 30 * PATIENCE, every=0.3)
        check(got() == want, f"the API has {got()} instead of {want}")
        log = gw.proc.log_text()
        check(b"reader.unreadable" in log and b"length=10" in log, "nothing is said about the card without a map")
        check(not any(card.encode() in log.upper() for card in (VRD, UID7, UID10, UID4)), "a number in the log")
        print(f"{len(want)} punches", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=200)
