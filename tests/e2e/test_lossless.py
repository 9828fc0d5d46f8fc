#!/usr/bin/python3
"""Nothing lost, nothing twice (first light, point 2).

Run 1: readers punch 20 times a second while the path to the broker is cut, once by resets and once by silence, and
punchgate is killed in the middle of one cut.
Run 2: punchgate, punchcloud, Mosquitto and the simulators are killed with SIGKILL at random moments.
A forger lies at the broker all the while. Then the ledgers of the readers, `punchgate tail` and the API are compared.
"""
from building import Building
from lab import Lab, main
from proc import check


def show(run, figures, building):
    sent = building.forger.sent
    status = building.gw.status()
    print(f"{run}: {figures}; forger sent {sum(sent.values())} {sent}; gateway {status['sender']}", flush=True)
    check(sum(sent.values()) >= 20, "the forger hardly spoke: the run means little")
    check(status["sender"]["acks_bad"] > 0, "no forged ack reached the gateway: the run means little")
    check(figures["acknowledged"] > 0.4 * figures["presented"], "too few acknowledged: the run means little")


def cut(args, rng):
    with Lab("cut", keep=args.keep) as lab:
        b = Building(lab, args.seed)
        b.run(2)
        ways = ["reset", "hang"]
        rng.shuffle(ways)
        b.run(rng.uniform(0.5, 2.0))
        b.cut(ways[0], args.seconds)
        b.run(rng.uniform(1.0, 2.0))
        b.cut(ways[1], args.seconds, lambda: b.kill("punchgate", rng.uniform(0.0, 1.0)))
        b.run(max(2.0, args.length - 2 * args.seconds))
        b.settle()
        show("cut", b.verdict(), b)
        lab.stop_daemons()


def kills(args, rng):
    with Lab("kills", keep=args.keep) as lab:
        b = Building(lab, args.seed + 1)
        order = [which for which in ("punchgate", "punchcloud", "mosquitto", "simulators") for _ in range(args.rounds)]
        rng.shuffle(order)
        for which in order:
            b.run(rng.uniform(0.3, 2.5))
            b.kill(which, rng.uniform(0.0, 1.5))
        b.run(2)
        b.settle()
        show("kills", b.verdict(), b)
        print("killed: " + ", ".join(f"{k} {v}" for k, v in b.kills.items() if k != "down"), flush=True)
        lab.stop_daemons()


def test(args, rng):
    cut(args, rng)
    kills(args, rng)


if __name__ == "__main__":
    # The soak: --rounds 10 --seconds 15 --length 60
    main(test, __doc__, limit=560, rounds=2, seconds=5.0, length=15.0)
