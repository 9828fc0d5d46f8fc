"""One building with three readers, and everything that may be cut or killed while they punch.

The scenario of test_lossless and, with other programs in punchgate's place, of test_mutants: readers punch, the path
is cut, processes are killed, a forger lies all the while; then quiet, everything drains, and the ledgers are compared.
"""
import time

from compare import cards_of, compare, read_tail
from forger import ACL, CN, KINDS, Forger
from lab import PATIENCE, Gateway
from proc import Failure, check, wait_for
from proxy import Proxy
from sims import ModbusRtu, ModbusTcp, Serial


class Building:
    def __init__(self, lab, seed, rate=20.0, program="punchgate", env=None, forger=KINDS, acl=False, sims=None,
                 broker=None):
        """rate: punches a second of all readers together. forger: the kinds of its lies. acl: rights of a broker for a client of the test's own
        in the forger's place. sims: other readers. broker: the address for the gateway,
        when it is not to be the proxy that cut() cuts."""
        self.lab, self.seed = lab, seed
        lab.cloud.init()
        tenant = lab.cloud.tenant("acme")
        self.api = lab.cloud.api(lab.cloud.token(tenant))
        if forger or acl:
            lab.broker.observer(CN, *ACL)
        lab.broker.start()
        lab.cloud.start()
        self.proxy = Proxy(lab.broker.port)
        lab.on_close(self.proxy.close)
        self.gw = Gateway(lab, "gw", program)
        sims = sims or [kind(lab, name, seed=seed, rate=rate / 3)
                        for kind, name in ((Serial, "gate"), (ModbusTcp, "lift"), (ModbusRtu, "yard"))]
        self.sims = [self.gw.reader(sim) for sim in sims]
        self.gw.env = dict(env or {})
        lab.cloud.proc.stop(20 * PATIENCE)
        self.gw.enrol(tenant, "Head office", broker or f"{lab.host}:{self.proxy.port}")
        lab.cloud.start()
        for sim in self.sims:
            sim.start()
        self.gw.start()
        self.tail = lab.proc("tail", [lab.program(program), "tail", "--json", "--config", self.gw.config],
                             errors=lab.path("logs", "tail.err"))
        self.tail.start()
        self.forger = Forger(lab, seed, kinds=forger) if forger else None
        self.kills = {}
        self.log = []

    def note(self, text):
        self.log.append(f"{time.monotonic():.1f} {text}")

    # ---- what happens while they punch ----
    def run(self, seconds):
        """Lets them punch; sees to it that tail is attached, and that nobody died unasked."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.attach()
            for p in self.lab.procs:
                if p is not self.tail and p not in self.kills.get("down", ()):
                    check(p.alive(), f"{p.name} died by itself:\n" + p.log_text()[-3000:].decode(errors="replace"))
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))

    def attach(self):
        """tail ends with its daemon; what is committed before it is back is not on its list, which the rules allow."""
        if not self.tail.alive() and self.gw.proc.alive():
            self.tail.start()

    def cut(self, how, seconds, meanwhile=None):
        """The path to the broker is gone for some seconds; `meanwhile` happens in the middle of it."""
        self.note(f"cut ({how}) for {seconds:.1f} s")
        end = time.monotonic() + seconds
        self.proxy.cut(how)
        if meanwhile:
            self.run(seconds / 2)
            meanwhile()
        self.run(end - time.monotonic())
        self.proxy.mend()

    def victims(self):
        return {"punchgate": [self.gw.proc], "punchcloud": [self.lab.cloud.proc], "mosquitto": [self.lab.broker.proc],
                "simulators": [s.proc for s in self.sims]}

    def kill(self, which, down):
        """SIGKILL, `down` seconds of absence, start again."""
        procs = self.victims()[which]
        self.note(f"kill {which}, {down:.1f} s down")
        self.kills[which] = self.kills.get(which, 0) + 1
        self.kills["down"] = procs
        for p in self.sims if which == "simulators" else procs:
            p.kill()
        self.run(down)
        self.revive(which)
        self.kills["down"] = ()

    def revive(self, which):
        if which == "punchgate":
            self.gw.start(wait=False)  # its counters begin anew
        elif which == "punchcloud":
            self.lab.cloud.start(wait=False)
        elif which == "mosquitto":
            self.lab.broker.start(wait=False)
        else:
            for s in self.sims:
                s.start()

    # ---- afterwards ----
    def settle(self, seconds=90):
        """Nobody punches any more; every latched card is taken, everything sent and acknowledged by the cloud."""
        self.lab.cloud.wait_ready()
        self.gw.wait_up()
        for sim in self.sims:
            sim.pause()

        def quiet():
            self.attach()
            return all(len(s.presented()) == len(s.cleared()) for s in self.sims if s.acked)
        wait_for("every latched card to be taken", quiet, 30 * PATIENCE, every=0.2)
        time.sleep(0.5)
        self.gw.wait_drained(seconds)
        if self.forger:
            check(self.forger.thread.is_alive() and not self.forger.client.errors, f"forger: {self.forger.client.errors}")
            self.forger.stop()

    def items(self):
        """All punches, none pending: the cloud's time has come to the gateway, or is about to."""
        def filed():
            return not self.api.punches(state="pending")
        wait_for("no punch to be pending", filed, 30 * PATIENCE, every=0.5)
        return self.api.punches()

    def compare(self, items):
        """What compare() finds of these items."""
        items = self.api.with_cards(items, cards_of(self.sims))
        return compare(self.sims, read_tail(self.tail.log), self.gw.hash_key(), items)

    def verdict(self):
        """The figures, when nothing is lost, doubled, invented, out of order or re-dated; Failure with all offenders."""
        figures, bad = self.compare(self.items())
        if bad:
            raise Failure(f"{len(bad)} offenders, seed {self.seed}, figures {figures}:\n  " + "\n  ".join(bad[:40])
                          + "\nwhat happened:\n  " + "\n  ".join(self.log))
        return figures
