"""What is held about a person, as a script prints it that knows nothing but the service's own OpenAPI document; and what
the gateway said about itself."""
import os
import re

from compare import cards_of
from lab import HERE, PATIENCE, Gateway, Lab, main
from proc import check, wait_for
from sims import ModbusTcp, Serial


def export(lab, name):
    token = lab.cloud.token("acme")
    url = f"https://{lab.host}:{lab.cloud.api_port}"
    return lab.run(["/usr/bin/python3", os.path.join(HERE, "export_report.py"), "--url", url, "--ca",
                    os.path.join(lab.cloud.pki, "ca.crt"), "--token", token, "--name", name]).stdout


def punched(api, n):
    wait_for(f"{n} punches", lambda: len(api.punches()) == n and not api.punches(state="pending"), 60 * PATIENCE, 0.3)
    return api.punches()


def check_report(text, api, person, mine, others):
    for title in ("What is held about one person", "The person", "Cards: 1", f"Punches: {len(mine)}",
                  "Who is responsible", "Customer: acme", "Name: Ada Lovelace", "Personnel number: 4711"):
        check(title in text, f"the report does not say {title!r}:\n{text[:2000]}")
    card = mine[0]["credential"]
    for value in (card["data"], card["number"]):
        check(f": {value}\n" in text, f"the report does not show the card's {value}")
    shown = re.findall(r"^ +Time: (2\S+)$", text, re.M)
    for p in mine:
        check(p["time"] in shown, f"the report does not show the punch at {p['time']}")
        check(f"Id: {p['id']}\n" in text, f"the report does not show the punch {p['id']}")
    for p in others:
        check(p["id"] not in text and p["credential"]["data"] not in text, "the report shows somebody else's punch")
    whole = api.get(f"/v1/people/{person}/export")
    check([p["id"] for p in whole["punches"]] == [p["id"] for p in mine], "the export has other punches than the list")


def check_events(api, gw):
    def names():
        return [e["name"] for e in api.get(f"/v1/gateways/{gw.id}/events")["items"]]
    check("started" in names() and "clock" in names(), f"the gateway's events: {names()}")
    first = api.get(f"/v1/gateways/{gw.id}/events", limit=1)
    check(first["next"] and len(first["items"]) == 1, f"no page of one event: {first}")
    seen, cursor = [], None
    while cursor is not None or not seen:
        page = api.get(f"/v1/gateways/{gw.id}/events", limit=1, cursor=cursor)
        seen += [e["gseq"] for e in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    check(seen == sorted(set(seen), reverse=True), f"events are not newest first, each once: {seen}")


def test(args, _rng):
    with Lab("export", keep=args.keep) as lab:
        lab.cloud.init()
        lab.cloud.tenant("acme")
        api = lab.cloud.api(lab.cloud.token("acme"))
        lab.broker.start()
        gw = Gateway(lab)
        sims = [gw.reader(kind(lab, name, seed=args.seed), hold="100ms")
                for kind, name in ((Serial, "gate"), (ModbusTcp, "lift"))]
        gw.enrol("acme", "Main gate")
        lab.cloud.start()
        for sim in sims:
            sim.start()
        gw.start()
        gw.wait_readers()
        for n in range(3):
            sims[0].present()
            punched(api, n + 1)
        sims[1].present()
        punched(api, 4)
        hers = {"tech": "em4100", "bits": 40, "data": sims[0].presented()[0], "rendering": "dec10"}
        person = api.post("/v1/people", {"name": "Ada Lovelace", "personnel_number": "4711"})["id"]
        api.post("/v1/people", {"name": "Bob"})
        api.post(f"/v1/people/{person}/credentials", hers)
        sims[0].present(hers["data"])
        items = api.with_cards(punched(api, 5), cards_of(sims))
        mine = [p for p in items if p["credential"]["data"] == hers["data"]]
        check(len(mine) >= 2, f"{len(mine)} punches of hers")
        text = export(lab, "Ada Lovelace")
        check_report(text, api, person, mine, [p for p in items if p not in mine])
        check_events(api, gw)
        print(text[:1500], flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=180)
