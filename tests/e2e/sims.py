"""The simulated readers of tests/sim as children of a lab: one process a bus, each with its ledger file."""
import os
import sys

from lab import PATIENCE, SIM
from proc import free_port, wait_for

sys.path.insert(0, SIM)
from simlib import read_ledger  # noqa: E402


class Sim:
    """A simulator that may be killed and started again on the same address and ledger."""
    acked = True

    def __init__(self, lab, name, seed=1, rate=0.0, cards=0, count=None, extra=()):
        self.lab, self.name = lab, name
        self.ledger_path = lab.path(f"{name}.ledger")
        self.link = lab.path(f"tty-{name}")
        argv = ["/usr/bin/python3", os.path.join(SIM, self.script), *self.where(), "--ledger", self.ledger_path, "--name",
                name, "--rate", str(rate), "--seed", str(seed), "--cards", str(cards), "--resume", *extra]
        if count is not None:
            argv += ["--count", str(count)]
        self.proc = lab.proc(f"sim-{name}", argv, commands=True)

    def start(self):
        before = self.proc.log_text().count(b"ready ")
        self.proc.start()
        wait_for(f"simulator {self.name} to be ready", lambda: self.proc.log_text().count(b"ready ") > before,
                 20 * PATIENCE)
        return self

    def kill(self):
        """SIGKILL. A dead pty's number is given to the next one who asks: a link that stayed could lead the gateway
        into the pty of a test beside this one."""
        if os.path.islink(self.link):
            os.unlink(self.link)
        self.proc.kill()

    def present(self, card=None):
        self.proc.say(f"present {card}" if card else "present")

    def go(self, rate):
        """From now on so many presentations a second."""
        self.proc.say(f"rate {rate}")

    def pause(self):
        self.proc.say("pause")

    def resume(self):
        self.proc.say("resume")

    def events(self):
        return read_ledger(self.ledger_path)

    def presented(self):
        """Cards in the order in which they were presented, as hex."""
        return [e["card"] for e in self.events() if e["event"] == "present"]

    def cleared(self):
        """Cards whose flag the gateway cleared: the reader was told that they are stored."""
        events = self.events()
        card = {e["seq"]: e["card"] for e in events if e["event"] == "present"}
        return [card[e["seq"]] for e in events if e["event"] == "cleared"]


class Serial(Sim):
    """A 125 kHz reader on a pty. It cannot be told anything: `punchgate tail` tells what was stored."""
    script, acked = "serial125.py", False

    def __init__(self, lab, name, layout="A", number="dec10", reverse="none", id_bytes=5, **more):
        self.settings = {"layout": layout, "number": number, "reverse": reverse}
        self.cred = (3, 40) if id_bytes == 5 else (2, 8 * id_bytes)
        extra = ("--reverse", reverse, "--id-bytes", str(id_bytes)) + (() if layout == "auto" else ("--layout", layout))
        super().__init__(lab, name, extra=extra + tuple(more.pop("extra", ())), **more)

    def where(self):
        return ["--link", self.link]

    def bus_settings(self):
        return {"name": f"bus-{self.name}", "serial": self.link, "baud": 9600}

    def reader_settings(self):
        return {"name": self.name, "bus": f"bus-{self.name}", "driver": "ascii125", "direction": "in",
                **self.settings}


class ModbusTcp(Sim):
    script, cred = "inveo.py", (2, 32)

    def where(self):
        self.port = free_port()
        return ["--tcp", f"{self.lab.host}:{self.port}"]

    def bus_settings(self):
        return {"name": f"bus-{self.name}", "tcp": f"{self.lab.host}:{self.port}"}

    def reader_settings(self):
        return {"name": self.name, "bus": f"bus-{self.name}", "driver": "modbus", "profile": "inveo-rfid-ind",
                "unit": 1, "poll": "20ms", "timeout": "500ms"}


class ModbusRtu(ModbusTcp):
    def where(self):
        return ["--rtu", self.link]

    def bus_settings(self):
        return {"name": f"bus-{self.name}", "serial": self.link, "baud": 19200}


class Level(Sim):
    """A Modbus reader that shows a card while it is there. It cannot be told anything."""
    script, acked = "level.py", False

    def device(self):
        return ["--device", self.kind, "--units", str(self.unit)]

    def reader_settings(self):
        return {"name": self.name, "bus": f"bus-{self.name}", "driver": "modbus", "profile": self.profile,
                "unit": self.unit, "poll": "20ms", "timeout": "500ms"}

    def put(self, card):
        """Lays a card there, in the place of whatever is there."""
        self.proc.say(f"put {card}")

    def take(self):
        self.proc.say("take")


class Vrd485(Level):
    kind, profile, unit = "vrd-485", "technotrade-vrd-485", 1

    def where(self):
        return ["--rtu", self.link, *self.device()]

    def bus_settings(self):
        return {"name": f"bus-{self.name}", "serial": self.link, "baud": 19200, "frame": "8N1"}


class Ic10mrw(Level):
    """Behind a converter from Modbus TCP."""
    kind, profile, unit = "ic-10mrw", "ic-10mrw", 2

    def where(self):
        self.port = free_port()
        return ["--tcp", f"{self.lab.host}:{self.port}", *self.device()]

    def bus_settings(self):
        return {"name": f"bus-{self.name}", "tcp": f"{self.lab.host}:{self.port}"}
