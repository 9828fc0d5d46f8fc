"""What the simulators of Modbus readers share: a register map answers requests, as a Modbus TCP server or as RTU slaves
on one pty, with faults on request. A simulator is a Device (what is in its registers, and when) and a main of its own.

Faults count replies: `--drop 7` loses every 7th reply (the request was carried out). Commands on standard input:
  present [HEX] [UNIT] | rate R | pause | resume | silence SECONDS [UNIT] | quit, and what the device adds
  drop N | drop-clear N | delay N MS | exception N CODE | wrong-unit N | truncate N | corrupt N    (N = 0: off)
"""
import argparse
import os
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from simlib import Cards, Ledger, Loop, Pacer, PtyLine, Simulator, read_ledger  # noqa: E402


class ModbusError(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Device:
    """One unit of a line. Cards come from commands and at a pace; one that finds another there waits in line."""
    functions = (3,)
    commands = {}  # its own: how many arguments each has before the unit; methods of the same name

    def __init__(self, unit, ledger, cards, pacer):
        self.unit, self.ledger, self.cards, self.pacer = unit, ledger, cards, pacer
        self.seq = 0
        self.silent_until = 0.0
        self.waiting = []

    # What a device is made of.
    def busy(self):
        raise NotImplementedError

    def arrive(self, card):
        raise NotImplementedError

    def bit(self, _addr):
        raise ModbusError(2)

    def set_bit(self, addr, _value):
        self.bit(addr)

    def register(self, _addr):
        raise ModbusError(2)

    def set_register(self, addr, _value):
        self.register(addr)

    def resume(self, events):
        """Takes up the sequence where the ledger ends; the last presentation, or None."""
        presents = [e for e in events if e["event"] == "present"]
        if not presents:
            return None
        self.seq = self.cards.index = presents[-1]["seq"]
        if self.pacer.count is not None:
            self.pacer.count = max(0, self.pacer.count - self.seq)
        return presents[-1]

    def log_present(self, card):
        self.seq += 1
        self.ledger.write("present", unit=self.unit, seq=self.seq, card=card.hex().upper())

    def present(self, card=None):
        self.waiting.append(card or self.cards.next())

    def tick(self, paused):
        if self.waiting and not self.busy():
            self.arrive(self.waiting.pop(0))
        if not paused and self.pacer.wait() == 0.0 and not self.busy():
            self.arrive(self.cards.next())
            self.pacer.taken()
        return None if paused or self.busy() else self.pacer.wait()

    def serve(self, pdu):
        """The reply to one request, and whether it acknowledged a card."""
        try:
            return self.dispatch(pdu[0], pdu), False
        except ModbusError as e:
            return bytes([pdu[0] | 0x80, e.code]), False

    def dispatch(self, fc, pdu):
        if fc not in self.functions:
            raise ModbusError(1)
        if len(pdu) < 5:
            raise ModbusError(3)
        addr, n = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        if fc == 1:
            if not 1 <= n <= 2000:
                raise ModbusError(3)
            bits = bytearray((n + 7) // 8)
            for i in range(n):
                bits[i // 8] |= self.bit(addr + i) << (i % 8)
            return bytes([1, len(bits)]) + bytes(bits)
        if fc == 3:
            if not 1 <= n <= 125:
                raise ModbusError(3)
            regs = b"".join(self.register(addr + i).to_bytes(2, "big") for i in range(n))
            return bytes([3, len(regs)]) + regs
        if fc == 5:
            if n not in (0, 0xFF00):
                raise ModbusError(3)
            self.set_bit(addr, 1 if n else 0)
        elif fc == 6:
            self.set_register(addr, n)
        elif fc == 15:
            for i in range(n):
                self.set_bit(addr + i, pdu[6 + i // 8] >> (i % 8) & 1)
        else:
            for i in range(n):
                self.set_register(addr + i, int.from_bytes(pdu[6 + 2 * i:8 + 2 * i], "big"))
        return pdu[:5]


def crc16(data):
    crc = 0xFFFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


class Faults:
    """Every Nth reply goes wrong, by kind; `args` are the kind's own numbers."""

    KINDS = ("drop", "drop-clear", "delay", "exception", "wrong-unit", "truncate", "corrupt")

    def __init__(self):
        self.every = {k: 0 for k in self.KINDS}
        self.args = {"delay": 0.0, "exception": 6}
        self.seen = {k: 0 for k in self.KINDS}

    def set(self, kind, every, arg=None):
        self.every[kind], self.seen[kind] = every, 0
        if arg is not None:
            self.args[kind] = arg

    def hit(self, kind):
        if not self.every[kind]:
            return False
        self.seen[kind] += 1
        return self.seen[kind] % self.every[kind] == 0


class Line(Simulator):
    """The devices of one line, and the line."""

    def __init__(self, devices, ledger, tcp=None, rtu=None, dead=(), resume=None):
        """devices: by unit; dead: units that never answer; resume: a ledger's events to go on from."""
        self.loop = Loop()
        self.devices, self.ledger = devices, ledger
        self.commands = next(iter(devices.values())).commands
        self.faults = Faults()
        self.dead = set(dead)
        self.paused = False
        for d in devices.values():
            d.resume([e for e in resume or () if e.get("unit") == d.unit and e["reader"] == ledger.name])
        self.requests = 0
        self.line = self.listener = None
        if rtu:
            self.line = PtyLine(rtu)
            self.address = rtu
            self.rx, self.rx_at = bytearray(), 0.0
            self.loop.on_read(self.line.master, self.rtu_readable)
        else:
            host, _, port = tcp.rpartition(":")
            self.listener = socket.create_server((host, int(port)))
            self.address = "%s:%d" % self.listener.getsockname()[:2]
            self.clients = {}
            self.loop.on_read(self.listener, self.accept)

    # --- one request to one reply, with its faults ---

    def answer(self, unit, pdu, send):
        """send(unit, pdu, cut): cut removes bytes from the end, negative corrupts the check."""
        self.requests += 1
        u = self.devices.get(unit)
        if u is None or unit in self.dead or time.monotonic() < u.silent_until:
            return
        if self.faults.hit("exception"):
            send(unit, bytes([pdu[0] | 0x80, self.faults.args["exception"]]), 0)
            return
        reply, cleared = u.serve(pdu)
        if self.faults.hit("drop") or (cleared and self.faults.hit("drop-clear")):
            return
        if self.faults.hit("delay"):
            self.loop.after(self.faults.args["delay"] / 1000.0, lambda: send(unit, reply, 0))
        elif self.faults.hit("wrong-unit"):
            send((unit + 1) % 248, reply, 0)
        elif self.faults.hit("truncate"):
            send(unit, reply, 2)
        elif self.faults.hit("corrupt"):
            send(unit, reply, -1)
        else:
            send(unit, reply, 0)

    # --- RTU ---

    def rtu_readable(self):
        data = self.line.read()
        if not data:
            return
        if time.monotonic() - self.rx_at > 0.05:
            self.rx.clear()
        self.rx_at = time.monotonic()
        self.rx += data
        while len(self.rx) >= 4:
            fc = self.rx[1]
            want = 8 if fc <= 6 else 9 + self.rx[6] if len(self.rx) > 6 else 9
            if len(self.rx) < want:
                return
            if crc16(self.rx[:want - 2]) != bytes(self.rx[want - 2:want]):
                del self.rx[0]
                continue
            unit, pdu = self.rx[0], bytes(self.rx[1:want - 2])
            del self.rx[:want]
            self.answer(unit, pdu, self.rtu_send)

    def rtu_send(self, unit, pdu, cut):
        adu = bytes([unit]) + pdu
        adu += crc16(adu)
        if cut < 0:
            adu = adu[:-1] + bytes([adu[-1] ^ 0x55])
        self.line.write(adu[:len(adu) - cut] if cut > 0 else adu)

    # --- TCP ---

    def accept(self):
        conn, _ = self.listener.accept()
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.clients[conn] = bytearray()
        self.loop.on_read(conn, lambda: self.tcp_readable(conn))

    def drop_client(self, conn):
        if self.clients.pop(conn, None) is not None:
            self.loop.forget(conn)
            conn.close()

    def tcp_readable(self, conn):
        try:
            data = conn.recv(4096)
        except OSError:
            data = b""
        if not data:
            self.drop_client(conn)
            return
        rx = self.clients[conn]
        rx += data
        while len(rx) >= 8:
            want = 6 + int.from_bytes(rx[4:6], "big")
            if rx[2:4] != b"\0\0" or not 8 <= want <= 260:
                self.drop_client(conn)
                return
            if len(rx) < want:
                return
            tid, unit, pdu = bytes(rx[:2]), rx[6], bytes(rx[7:want])
            del rx[:want]
            self.answer(unit, pdu, lambda u, p, cut, tid=tid: self.tcp_send(conn, tid, u, p, cut))

    def tcp_send(self, conn, tid, unit, pdu, cut):
        if cut < 0:
            tid = bytes([tid[0] ^ 0x55, tid[1]])
        adu = tid + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu
        try:
            conn.sendall(adu[:len(adu) - cut] if cut > 0 else adu)
        except OSError:
            self.drop_client(conn)

    # --- running ---

    def tick(self):
        waits = [w for w in [u.tick(self.paused) for u in self.devices.values()] if w is not None]
        return min(waits) if waits else None

    def each(self, args, at):
        return [self.devices[int(args[at])]] if len(args) > at else list(self.devices.values())

    def command(self, words):
        what, args = words[0], words[1:]
        if what == "present":
            self.each(args, 1)[0].present(bytes.fromhex(args[0]) if args else None)
        elif what == "rate":
            for u in self.devices.values():
                u.pacer.set_rate(float(args[0]))
        elif what in ("pause", "resume"):
            self.paused = what == "pause"
        elif what == "silence":
            for u in self.each(args, 1):
                u.silent_until = time.monotonic() + float(args[0])
        elif what in Faults.KINDS:
            self.faults.set(what, int(args[0]), float(args[1]) if what == "delay" and len(args) > 1 else
                            int(args[1]) if len(args) > 1 else None)
        elif what == "quit":
            self.loop.stop()
        elif what in self.commands:
            own = self.commands[what]
            for u in self.each(args, own):
                getattr(u, what)(*args[:own])
        else:
            print("unknown command", what, file=sys.stderr)

    def run(self):
        try:
            self.loop.run(self.tick)
        finally:
            if self.listener:
                for conn in list(self.clients):
                    self.drop_client(conn)
                self.listener.close()
            if self.line:
                self.line.close()
            self.ledger.close()
            self.loop.close()


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def arguments(doc, name):
    """The parser of a simulator's command line; it adds what its device wants."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = p.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", help="host:port to listen at; port 0: a free one")
    where.add_argument("--rtu", help="symlink to make to the pty of the line")
    p.add_argument("--ledger", help="JSON lines file to append to")
    p.add_argument("--name", default=name, help="reader name in the ledger")
    p.add_argument("--units", type=numbers, default=[1], help="unit numbers, with commas")
    p.add_argument("--dead", type=numbers, default=[], help="units that never answer")
    p.add_argument("--rate", type=float, default=0.0, help="at most so many cards a second and unit; 0: on command")
    p.add_argument("--count", type=int, help="stop presenting after so many a unit")
    p.add_argument("--cards", type=int, default=0, help="so many different cards in turn; 0: always a fresh one")
    p.add_argument("--seed", default="1")
    p.add_argument("--id-bytes", type=int, default=4, choices=[4, 5, 7, 8, 10])
    p.add_argument("--resume", action="store_true", help="card and sequence from the ledger")
    for kind in Faults.KINDS:
        p.add_argument("--" + kind, type=int, default=0, metavar="N", help="every Nth reply")
    p.add_argument("--delay-ms", type=float, default=400.0)
    p.add_argument("--exception-code", type=int, default=6)
    p.add_argument("--paused", action="store_true", help="present nothing before `resume` on standard input")
    p.add_argument("--quit-at-eof", action="store_true", help="end with standard input")
    return p


def serve(a, make):
    """make(unit, ledger, cards, pacer): a Device. Prints `ready <address>`; returns when it is stopped."""
    ledger = Ledger(a.ledger, a.name)
    devices = {u: make(u, ledger, Cards(a.id_bytes, f"{a.seed}/{a.name}/{u}", a.cards), Pacer(a.rate, a.count))
               for u in a.units}
    line = Line(devices, ledger, a.tcp, a.rtu, a.dead, read_ledger(a.ledger) if a.resume and a.ledger else None)
    for kind in Faults.KINDS:
        arg = {"delay": a.delay_ms, "exception": a.exception_code}.get(kind)
        line.faults.set(kind, getattr(a, kind.replace("-", "_")), arg)
    line.paused = a.paused
    line.serve(a.quit_at_eof)
