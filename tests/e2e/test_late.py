#!/usr/bin/python3
"""Everything may come late, in any order, and is waited for: broker, cloud, readers, time.

punchgate starts when there is no broker, no cloud and no reader. A reader appears: its punches are stored and it is told
so. punchcloud starts without a broker. The broker comes last, and everything arrives with a corrected time. Then the
gateway is enrolled anew: a higher generation, an empty spool, the old one kept aside, and punches go on.
"""
import os

from compare import cards_of, compare, read_tail
from lab import PATIENCE, Gateway, Lab, main
from proc import check, wait_for
from sims import ModbusRtu, ModbusTcp, Serial


def start_tail(lab, gw):
    tail = lab.proc("tail", [lab.program("punchgate"), "tail", "--json", "--config", gw.config],
                    errors=lab.path("logs", "tail.err"))
    return tail.start()


def nothing_there(lab, gw, sims):
    """Until the readers are there: up, serving its socket, saying what is down."""
    status = gw.status()
    check(not status["uplink"]["up"] and not any(r["up"] for r in status["readers"]), f"up without anything: {status}")
    for sim in sims:
        sim.start()
    gw.wait_readers()
    for sim in sims:
        for _ in range(5):
            sim.present()
    wait_for("punches to be taken without a broker", lambda: all(len(s.cleared()) == 5 for s in sims if s.acked)
             and gw.status()["punches"] >= 15, 30 * PATIENCE)
    check(gw.spool()["unacked"] >= 15, "nothing waits in the spool")


def whole(api, sims):
    return api.with_cards(api.punches(), cards_of(sims))


def again(lab, gw, sims, api):
    """A new enrolment while the old spool still holds everything."""
    gw.proc.stop(30 * PATIENCE)
    generation = gw.enrol_again("acme", "Annexe")
    check(generation == 2, f"generation {generation} after the second enrolment")
    gw.start()
    check(gw.status()["generation"] == 2, "punchgate runs on with the old generation")
    before = len(api.punches())
    check(before >= 15, f"{before} punches before")
    gw.wait_readers()
    sims[1].present()
    wait_for("a punch of the new generation", lambda: len(api.punches()) == before + 1, 30 * PATIENCE, every=0.2)
    last = whole(api, sims)[-1]
    check(last["site"] == "Annexe" and last["credential"]["data"] == sims[1].presented()[-1], f"the last punch: {last}")
    aside = [d for d in os.listdir(gw.state) if "spool" in d]
    check(len(aside) >= 2, f"the old spool was not kept aside: {os.listdir(gw.state)}")


def test(args, _rng):
    with Lab("late", keep=args.keep) as lab:
        lab.cloud.init()
        lab.cloud.tenant("acme")
        api = lab.cloud.api(lab.cloud.token("acme"))
        gw = Gateway(lab)
        sims = [gw.reader(kind(lab, name, seed=args.seed)) for kind, name in
                ((Serial, "gate"), (ModbusTcp, "lift"), (ModbusRtu, "yard"))]
        for command in (["status"], ["spool", "--json"], ["tail"]):
            gw.configure()
            gw.ctl(*command, expect=3)
        lab.cloud.ctl("status", expect=3)
        gw.enrol("acme", "Main gate")
        gw.ctl("check")
        gw.start()
        tail = start_tail(lab, gw)
        nothing_there(lab, gw, sims)

        lab.cloud.start(wait=False)
        wait_for("the API to be alive without a broker", lambda: alive(api), 30 * PATIENCE)
        check(not lab.cloud.status()["broker_connected"], "connected to a broker that is not there")
        check(not api.punches(), "punches without a broker")
        lab.broker.start()
        gw.wait_drained()
        wait_for("every punch to have its time", lambda: len(api.punches()) == 15 and not api.punches(state="pending"),
                 30 * PATIENCE, every=0.3)
        figures, bad = compare(sims, read_tail(tail.log), gw.hash_key(), whole(api, sims))
        check(not bad, f"{bad}")
        again(lab, gw, sims, api)
        print(f"{figures}, and one more in generation 2", flush=True)
        lab.stop_daemons()


def alive(api):
    try:
        return api.call("GET", "/healthz", token=None).status_code == 200
    except OSError:
        return False


if __name__ == "__main__":
    main(test, __doc__, limit=180)
