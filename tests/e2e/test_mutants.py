#!/usr/bin/python3
"""The test of losslessness can fail (first light, point 3), and the kill points it is run with find nothing else.

punchgate-fault is punchgate with kill points: it dies by SIGKILL at the Nth pass of a point, here before a commit and
between commit and acknowledgement, again and again. It must lose and double nothing.
punchgate-early-ack (answers readers before the commit) must be caught by the same kill points, and punchgate-any-ack
(checks no MAC) by the forger. tests/fault catches punchgate-nosync, whose fault no kill of a process can show.
"""
from building import Building
from lab import PATIENCE, Lab, main
from proc import Failure, check, wait_for


def kill_points(lab, args, rng, program):
    """Deaths at points of the program's own choosing: a fresh N each time it is started."""
    b = Building(lab, args.seed, program=program, rate=30, forger=())
    b.run(1)
    b.kills["down"] = [b.gw.proc]
    deaths = {"before-commit": 0, "after-commit": 0}
    b.gw.proc.stop(20 * PATIENCE)
    for n in range(args.rounds * 2):
        point = ("before-commit", "after-commit")[n % 2]
        # The first passes are the program's own records; some more, and tail is attached and readers are busy.
        b.gw.env = {"PUNCH_FAULT_KILL": f"{point}:{rng.randrange(10, 40)}"}
        b.gw.start(wait=False)

        def died():
            b.attach()
            return not b.gw.proc.alive()
        wait_for(f"{program} to die at {b.gw.env['PUNCH_FAULT_KILL']}", died, 40 * PATIENCE, every=0.05)
        check(b.gw.proc.child.returncode == -9, f"{program} ended with {b.gw.proc.child.returncode}")
        deaths[point] += 1
    b.gw.env = {}
    b.kills["down"] = ()
    b.gw.start()
    b.run(1)
    b.settle()
    return b, deaths


def lies(lab, args, program):
    """The cloud is away while the broker serves on, and the forger acknowledges in its place."""
    b = Building(lab, args.seed, program=program, forger=("invented",))
    b.run(2)
    b.kill("punchcloud", args.seconds)
    b.run(2)
    return b


def offenders(b):
    """What compare() finds, without waiting for a spool that may believe to be drained."""
    return b.compare(b.api.punches())


def caught(b, program, kinds, seconds=15):
    """The comparison must accuse, and of the right thing, and go on accusing when everybody had time to make good."""
    for sim in b.sims:
        sim.pause()
    b.lab.cloud.wait_ready()
    if b.forger:
        b.forger.stop()

    def silent():
        spool = b.gw.spool()
        return spool["unacked"] == 0
    try:
        wait_for("the spool to believe itself drained", silent, seconds * PATIENCE, every=0.5)
    except Failure:
        print(f"{program}: its spool never drains: {b.gw.spool()['unacked']} records", flush=True)
    figures, bad = offenders(b)
    right = [x for x in bad if x.split(":")[0] in kinds]
    check(right, f"{program} went unnoticed: {figures} {bad[:5]}")
    print(f"{program} was caught: {len(right)} offenders, such as: {right[0]}; {figures}", flush=True)


def test(args, rng):
    with Lab("fault", keep=args.keep) as lab:
        b, deaths = kill_points(lab, args, rng, "punchgate-fault")
        print(f"punchgate-fault: {deaths} deaths, {b.verdict()}", flush=True)
        lab.stop_daemons()
    with Lab("early", keep=args.keep) as lab:
        b, deaths = kill_points(lab, args, rng, "punchgate-early-ack")
        caught(b, "punchgate-early-ack", {"lost"})
    with Lab("lies", keep=args.keep) as lab:
        b = lies(lab, args, "punchgate-fault")
        b.settle()
        print(f"punchgate-fault among lies: {b.verdict()}", flush=True)
        lab.stop_daemons()
    with Lab("any", keep=args.keep) as lab:
        caught(lies(lab, args, "punchgate-any-ack"), "punchgate-any-ack", {"lost"})


if __name__ == "__main__":
    main(test, __doc__, limit=540, rounds=3, seconds=4.0)
