#!/usr/bin/python3
"""An Inveo RFID IND Modbus reader, or several: Modbus TCP server, or RTU slaves on one pty.

    inveo.py --tcp 127.0.0.1:0     --ledger /tmp/x/tcp.jsonl --rate 20
    inveo.py --rtu /tmp/x/ttyRS485 --ledger /tmp/x/rtu.jsonl --rate 20 --units 1,2

Prints `ready <address>` (host:port or the link). Register map (manual "RFID IND Modbus", p. 16 and 20):
coil 1016 = holding 1000 new-tag flag, coil 1017 reset flag (1 after power-up), holding 1001 length of the id in
bytes, holding 1002.. id, two bytes a register (high first; --endian 2: low first). While the flag is set no further
tag is read: the next card waits. Writing 0 to coil 1016 or holding 1000 clears it, which is the acknowledgement.

Ledger: `present` before a card is latched, `cleared` before its flag is (with the same seq and unit). With --resume
the latched card and the sequence come from the ledger: hardware keeps them when only our process was killed.

Faults count replies: `--drop 7` loses every 7th reply (the request was carried out). Commands on standard input:
  present [HEX] [UNIT] | rate R | pause | resume | reset [UNIT] | silence SECONDS [UNIT] | quit
  drop N | drop-clear N | delay N MS | exception N CODE | wrong-unit N | truncate N | corrupt N    (N = 0: off)
"""
import argparse
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from simlib import Cards, Ledger, Loop, Pacer, PtyLine, read_ledger, stdin_commands  # noqa: E402

FLAG, RESET, HR, ID_REGS = 1016, 1017, 1000, 10
COILS = range(1000, 1018)


class ModbusError(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Unit:
    """The register map of one reader."""

    def __init__(self, unit, ledger, cards, pacer, endian=1):
        self.unit, self.ledger, self.cards, self.pacer, self.endian = unit, ledger, cards, pacer, endian
        self.coils = {a: 0 for a in COILS}
        self.coils[RESET] = 1
        self.card, self.seq, self.current = b"", 0, 0
        self.silent_until = 0.0
        self.waiting = []

    def resume(self, events):
        """Takes up what the ledger says: the latched card and the sequence."""
        mine = [e for e in events if e.get("unit") == self.unit and e["reader"] == self.ledger.name]
        presents = [e for e in mine if e["event"] == "present"]
        if not presents:
            return
        last = presents[-1]
        self.seq = last["seq"]
        self.cards.index = self.seq
        if self.pacer.count is not None:
            self.pacer.count = max(0, self.pacer.count - self.seq)
        self.card = bytes.fromhex(last["card"])
        self.current = self.seq
        self.coils[RESET] = 0
        if not any(e["event"] == "cleared" and e["seq"] == self.seq for e in mine):
            self.coils[FLAG] = 1

    def latch(self, card):
        self.seq += 1
        self.ledger.write("present", unit=self.unit, seq=self.seq, card=card.hex().upper())
        self.card, self.current, self.coils[FLAG] = card, self.seq, 1

    def present(self, card=None):
        """By command: waits in line like a person when the flag is still set."""
        self.waiting.append(card or self.cards.next())

    def clear(self):
        if self.coils[FLAG]:
            self.ledger.write("cleared", unit=self.unit, seq=self.current)
            self.coils[FLAG] = 0

    def power_up(self):
        """A power failure forgets the latched card: nobody was told that it was taken."""
        self.ledger.write("reset", unit=self.unit, lost=self.current if self.coils[FLAG] else None)
        self.coils[FLAG], self.coils[RESET], self.card = 0, 1, b""

    def tick(self, paused):
        if self.waiting and not self.coils[FLAG]:
            self.latch(self.waiting.pop(0))
        if not paused and self.pacer.wait() == 0.0 and not self.coils[FLAG]:
            self.latch(self.cards.next())
            self.pacer.taken()
        return None if paused or self.coils[FLAG] else self.pacer.wait()

    def holding(self, addr):
        if addr == HR:
            return self.coils[FLAG]
        if addr == HR + 1:
            return len(self.card)
        i = (addr - HR - 2) * 2
        if not 0 <= i < 2 * ID_REGS:
            raise ModbusError(2)
        a, b = (self.card + bytes(2 * ID_REGS))[i:i + 2]
        return (a << 8 | b) if self.endian == 1 else (b << 8 | a)

    def write_coil(self, addr, value):
        if addr not in self.coils:
            raise ModbusError(2)
        if addr == FLAG:
            if not value:
                self.clear()
        else:
            self.coils[addr] = value

    def write_holding(self, addr, value):
        if addr != HR:
            raise ModbusError(2)
        if value == 0:
            self.clear()

    def serve(self, pdu):
        """The reply to one request, and whether it cleared the flag."""
        fc = pdu[0]
        was = self.coils[FLAG]
        try:
            reply = self.dispatch(fc, pdu)
        except ModbusError as e:
            reply = bytes([fc | 0x80, e.code])
        return reply, bool(was and not self.coils[FLAG])

    def dispatch(self, fc, pdu):
        if fc not in (1, 3, 5, 6, 15, 16):
            raise ModbusError(1)
        if len(pdu) < 5:
            raise ModbusError(3)
        addr, n = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        if fc == 1:
            if not 1 <= n <= 2000:
                raise ModbusError(3)
            if addr not in COILS or addr + n - 1 not in COILS:
                raise ModbusError(2)
            bits = bytearray((n + 7) // 8)
            for i in range(n):
                bits[i // 8] |= self.coils[addr + i] << (i % 8)
            return bytes([1, len(bits)]) + bytes(bits)
        if fc == 3:
            if not 1 <= n <= 125:
                raise ModbusError(3)
            regs = b"".join(self.holding(addr + i).to_bytes(2, "big") for i in range(n))
            return bytes([3, len(regs)]) + regs
        if fc == 5:
            if n not in (0, 0xFF00):
                raise ModbusError(3)
            self.write_coil(addr, 1 if n else 0)
        elif fc == 6:
            self.write_holding(addr, n)
        elif fc == 15:
            for i in range(n):
                self.write_coil(addr + i, pdu[6 + i // 8] >> (i % 8) & 1)
        else:
            for i in range(n):
                self.write_holding(addr + i, int.from_bytes(pdu[6 + 2 * i:8 + 2 * i], "big"))
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


class Inveo:
    def __init__(self, tcp=None, rtu=None, ledger=None, name="inveo", units=(1,), dead=(), rate=0.0, count=None,
                 distinct=0, seed=1, id_bytes=4, endian=1, resume=False):
        self.loop = Loop()
        self.ledger = Ledger(ledger, name)
        self.faults = Faults()
        self.dead = set(dead)
        self.paused = False
        self.units = {u: Unit(u, self.ledger, Cards(id_bytes, f"{seed}/{name}/{u}", distinct), Pacer(rate, count),
                              endian) for u in units}
        if resume and ledger:
            events = read_ledger(ledger)
            for u in self.units.values():
                u.resume(events)
        self.requests = 0
        self.thread = None
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
        u = self.units.get(unit)
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
        waits = [w for w in [u.tick(self.paused) for u in self.units.values()] if w is not None]
        return min(waits) if waits else None

    def each(self, args, at):
        return [self.units[int(args[at])]] if len(args) > at else list(self.units.values())

    def command(self, words):
        what, args = words[0], words[1:]
        if what == "present":
            u = self.units[int(args[1])] if len(args) > 1 else next(iter(self.units.values()))
            u.present(bytes.fromhex(args[0]) if args else None)
        elif what == "rate":
            for u in self.units.values():
                u.pacer.set_rate(float(args[0]))
        elif what in ("pause", "resume"):
            self.paused = what == "pause"
        elif what == "reset":
            for u in self.each(args, 0):
                u.power_up()
        elif what == "silence":
            for u in self.each(args, 1):
                u.silent_until = time.monotonic() + float(args[0])
        elif what in Faults.KINDS:
            self.faults.set(what, int(args[0]), float(args[1]) if what == "delay" and len(args) > 1 else
                            int(args[1]) if len(args) > 1 else None)
        elif what == "quit":
            self.loop.stop()
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

    # As a class in a test: `with Inveo(tcp="127.0.0.1:0") as sim: sim.call(sim.command, ["present"])`.
    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.loop.stop()
        self.thread.join()

    def call(self, fn, *args):
        self.loop.call(lambda: fn(*args))


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = p.add_mutually_exclusive_group(required=True)
    where.add_argument("--tcp", help="host:port to listen at; port 0: a free one")
    where.add_argument("--rtu", help="symlink to make to the pty of the line")
    p.add_argument("--ledger", help="JSON lines file to append to")
    p.add_argument("--name", default="inveo", help="reader name in the ledger")
    p.add_argument("--units", type=numbers, default=[1], help="unit numbers, with commas")
    p.add_argument("--dead", type=numbers, default=[], help="units that never answer")
    p.add_argument("--rate", type=float, default=0.0, help="at most so many cards a second and unit; 0: on command")
    p.add_argument("--count", type=int, help="stop presenting after so many a unit")
    p.add_argument("--cards", type=int, default=0, help="so many different cards in turn; 0: always a fresh one")
    p.add_argument("--seed", default="1")
    p.add_argument("--id-bytes", type=int, default=4, choices=[4, 5, 7, 8, 10])
    p.add_argument("--endian", type=int, default=1, choices=[1, 2])
    p.add_argument("--resume", action="store_true", help="latched card and sequence from the ledger")
    for kind in Faults.KINDS:
        p.add_argument("--" + kind, type=int, default=0, metavar="N", help="every Nth reply")
    p.add_argument("--delay-ms", type=float, default=400.0)
    p.add_argument("--exception-code", type=int, default=6)
    p.add_argument("--paused", action="store_true", help="present nothing before `resume` on standard input")
    p.add_argument("--quit-at-eof", action="store_true", help="end with standard input")
    a = p.parse_args()
    sim = Inveo(a.tcp, a.rtu, a.ledger, a.name, a.units, a.dead, a.rate, a.count, a.cards, a.seed, a.id_bytes,
                a.endian, a.resume)
    for kind in Faults.KINDS:
        arg = {"delay": a.delay_ms, "exception": a.exception_code}.get(kind)
        sim.faults.set(kind, getattr(a, kind.replace("-", "_")), arg)
    sim.paused = a.paused
    signal.signal(signal.SIGTERM, lambda *_: sim.loop.stop())
    signal.signal(signal.SIGINT, lambda *_: sim.loop.stop())
    stdin_commands(sim.loop, sim.command, a.quit_at_eof)
    print("ready", sim.address, flush=True)
    sim.run()


if __name__ == "__main__":
    main()
