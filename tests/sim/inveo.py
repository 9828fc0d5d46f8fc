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

Commands on standard input and faults: modbus.py; and `reset [UNIT]`, a power failure.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from modbus import Device, ModbusError, arguments, serve  # noqa: E402

FLAG, RESET, HR, ID_REGS = 1016, 1017, 1000, 10
COILS = range(1000, 1018)


class Inveo(Device):
    functions = (1, 3, 5, 6, 15, 16)
    commands = {"reset": 0}

    def __init__(self, endian, *args):
        super().__init__(*args)
        self.endian = endian
        self.coils = {a: 0 for a in COILS}
        self.coils[RESET] = 1
        self.card, self.current = b"", 0

    def resume(self, events):
        last = super().resume(events)
        if last:
            self.card, self.current = bytes.fromhex(last["card"]), last["seq"]
            self.coils[RESET] = 0
            self.coils[FLAG] = int(not any(e["event"] == "cleared" and e["seq"] == self.seq for e in events))

    def busy(self):
        return bool(self.coils[FLAG])

    def arrive(self, card):
        self.log_present(card)
        self.card, self.current, self.coils[FLAG] = card, self.seq, 1

    def clear(self):
        if self.coils[FLAG]:
            self.ledger.write("cleared", unit=self.unit, seq=self.current)
            self.coils[FLAG] = 0

    def reset(self):
        """A power failure forgets the latched card: nobody was told that it was taken."""
        self.ledger.write("reset", unit=self.unit, lost=self.current if self.coils[FLAG] else None)
        self.coils[FLAG], self.coils[RESET], self.card = 0, 1, b""

    def serve(self, pdu):
        was = self.coils[FLAG]
        reply, _ = super().serve(pdu)
        return reply, bool(was and not self.coils[FLAG])

    def bit(self, addr):
        if addr not in self.coils:
            raise ModbusError(2)
        return self.coils[addr]

    def set_bit(self, addr, value):
        self.bit(addr)
        if addr != FLAG:
            self.coils[addr] = value
        elif not value:
            self.clear()

    def register(self, addr):
        if addr == HR:
            return self.coils[FLAG]
        if addr == HR + 1:
            return len(self.card)
        i = (addr - HR - 2) * 2
        if not 0 <= i < 2 * ID_REGS:
            raise ModbusError(2)
        a, b = (self.card + bytes(2 * ID_REGS))[i:i + 2]
        return (a << 8 | b) if self.endian == 1 else (b << 8 | a)

    def set_register(self, addr, value):
        if addr != HR:
            raise ModbusError(2)
        if value == 0:
            self.clear()


def main():
    p = arguments(__doc__, "inveo")
    p.add_argument("--endian", type=int, default=1, choices=[1, 2])
    a = p.parse_args()
    serve(a, lambda *args: Inveo(a.endian, *args))


if __name__ == "__main__":
    main()
