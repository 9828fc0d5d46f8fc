#!/usr/bin/python3
"""GET /metrics of punchgate: well-formed to a strict reader, true to what the readers presented, alive while the broker
is away, and without any card's number.
"""
import socket

import promtext
import requests
from building import Building
from lab import PATIENCE, Lab, main
from proc import check, free_port, wait_for
from sims import ModbusTcp, Serial

CARDS = 12


def scrape(port):
    """The page, and its samples: {(name, labels): value}."""
    with requests.Session() as s:
        s.trust_env = False
        r = s.get(f"http://127.0.0.1:{port}/metrics", timeout=30)
    check(r.status_code == 200, f"/metrics: {r.status_code} {r.text[:200]}")
    check(r.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", r.headers["Content-Type"])
    text = r.content.decode()
    return text, samples(text)


def samples(text):
    return {key: v for f in promtext.parse(text).values() for key, v in f.samples.items()}


def http(port, text):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall(text)
        return b"".join(iter(lambda: s.recv(65536), b""))


def test(args, _rng):
    with Lab("metrics", keep=args.keep) as lab:
        port = free_port()
        sims = [Serial(lab, "gate", seed=args.seed, count=CARDS), ModbusTcp(lab, 'say "hi"', seed=args.seed, count=CARDS)]
        b = Building(lab, args.seed, forger=(), sims=sims)
        check(not lab.run(["ss", "-Hltn", f"sport = :{port}"]).stdout, "somebody listens, and nobody was asked to")
        b.gw.proc.stop(20 * PATIENCE)
        b.gw.configure(metrics={"listen": f"0.0.0.0:{port}"})
        refused = b.gw.ctl("check", expect=1).stderr
        check("loopback" in refused, refused)

        configure = b.gw.configure
        b.gw.configure = lambda: configure(metrics={"listen": f"127.0.0.1:{port}"})
        b.gw.start()
        b.gw.wait_readers()
        b.attach()

        def value(name, **labels):
            return scrape(port)[1][name, tuple(sorted(labels.items()))]
        wait_for("a connection", lambda: value("punchgate_uplink_up") == 1, 30 * PATIENCE)
        page, first = scrape(port)
        promtext.documented("punchgate", promtext.parse(page), but=("punchgate_light_",))
        for (name, labels), v in first.items():
            if name.startswith("punchgate_reader_") and name not in ("punchgate_reader_up", "punchgate_reader_polls_total"):
                check(v == 0, f"{name} {labels} begins with {v}")
        check(first["punchgate_build_info", (("version", lab.run([lab.program("punchgate"), "--version"]).stdout.split()[1]),
                                             )] == 1, "which version is it?")

        for sim in sims:
            sim.go(15)
        wait_for("every card to be stored", lambda: value("punchgate_punches_total") == 2 * CARDS, 60 * PATIENCE)
        b.settle()
        text, now = scrape(port)
        check(now.keys() == first.keys(), f"series came or went: {now.keys() ^ first.keys()}")
        for sim in sims:
            got = {what: now[f"punchgate_reader_{what}_total", (("reader", sim.name),)] for what in ("punches", "reads")}
            check(got["punches"] == CARDS <= got["reads"], f"{sim.name}: {got}")
            check(now["punchgate_reader_up", (("reader", sim.name),)] == 1, f"{sim.name} is not up")
        check(now["punchgate_commit_seconds_count", ()] > first["punchgate_commit_seconds_count", ()],
              "commits are not timed")
        check(now["punchgate_acks_total", ()] > 0 and now["punchgate_upload_records_total", ()] >= CARDS, "no acks")
        check(now["punchgate_spool_unacked_records", ()] == 0 == now["punchgate_spool_oldest_unacked_seconds", ()], "unacked")
        check(now["punchgate_spool_records", ()] >= 2 * CARDS, "the spool holds them no more")
        for series, v in first.items():
            if series[0].endswith(("_total", "_count", "_sum", "_bucket")):
                check(now[series] >= v, f"{series} went from {v} to {now[series]}")

        lab.broker.proc.stop(20 * PATIENCE)
        wait_for("the connection to be gone", lambda: value("punchgate_uplink_up") == 0, 60 * PATIENCE)
        sims[0].resume()
        sims[0].present()
        wait_for("a punch that waits", lambda: value("punchgate_spool_unacked_records") >= 1, 30 * PATIENCE)
        wait_for("its age to show", lambda: value("punchgate_spool_oldest_unacked_seconds") > 1, 60 * PATIENCE)
        b.gw.proc.stop(30 * PATIENCE)
        b.gw.start()
        oldest = value("punchgate_spool_oldest_unacked_seconds")
        check(oldest > 1, f"after a restart it waits for {oldest} s only")
        wait_for("an attempt to connect", lambda: value("punchgate_uplink_failures_total") > 0, 60 * PATIENCE)

        text += scrape(port)[0]
        cards = {c for sim in sims for c in sim.presented()}
        check(len(cards) > CARDS, f"few cards: {cards}")
        shown = [c for c in cards for form in (c, c.lower(), str(int(c, 16)), f"{int(c, 16):010d}") if form in text]
        check(not shown, f"cards in the metrics: {shown}")

        answer = http(port, b"GET /v1/people HTTP/1.1\r\n\r\n")
        check(answer.startswith(b"HTTP/1.0 404 "), answer)
        answer = http(port, b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 2000 + b"\r\n\r\n")
        check(answer.startswith(b"HTTP/1.0 431 "), answer)
        samples(http(port, b"GET /metrics HTTP/1.0\n\n").split(b"\r\n\r\n", 1)[1].decode())
        print(f"{len(now)} series, {len(text) // 2} bytes a page", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=240)
