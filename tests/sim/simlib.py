"""What the reader simulators share: the ledger, card numbers, pty lines and command pacing.

The ledger is the truth that tests compare with what the cloud stored. One event is one JSON line, written by one
os.write() to an O_APPEND descriptor, so that a SIGKILL of the simulator loses no line it acted upon:
a presentation is written before it takes effect on the wire, an acknowledgement at the moment it takes effect.
"""
import errno
import json
import os
import pty
import random
import selectors
import signal
import threading
import time
import tty


class Ledger:
    """Appends events; without a path it only counts."""

    def __init__(self, path=None, name=""):
        self.name = name
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644) if path else None

    def write(self, event, **fields):
        line = {"event": event, "reader": self.name, "time_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}
        line.update(fields)
        if self.fd is not None:
            os.write(self.fd, (json.dumps(line) + "\n").encode())
        return line

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def read_ledger(path):
    """Every whole line of a ledger; a line torn by a full disk would be the last one and is left out."""
    events = []
    try:
        with open(path, "r", encoding="utf-8") as f:
            for line in f:
                if line.endswith("\n"):
                    events.append(json.loads(line))
    except FileNotFoundError:
        pass
    return events


class Cards:
    """Card numbers from a seed. distinct = 0: a fresh number each time; else so many cards, taken in turn; up to
    256 of them end differently, so that the end of a number tells which it is.

    `start` continues a sequence after a restart: number i is the same in every run with one seed."""

    def __init__(self, size, seed, distinct=0, start=0):
        self.size, self.seed, self.distinct, self.index = size, seed, distinct, start

    def number(self, i):
        if self.distinct:
            i %= self.distinct
        r = random.Random(f"{self.seed}/{i}")
        n = bytearray(r.randbytes(self.size))
        n[0] = n[0] or 1
        if self.distinct:
            n[-1] = i % 256
        if self.size != 5 and n[0] in (0x08, 0x88):  # ISO 14443: a random id, the cascade tag; they name no card
            n[0] = 4
        return bytes(n)

    def next(self):
        i = self.index
        self.index += 1
        return self.number(i)


class PtyLine:
    """A raw pty with a stable symlink to its slave. We keep the slave open too, so that the gateway may close and
    open it at will without the master reporting EIO. What nobody reads is lost when the pty is full, as on a wire."""

    def __init__(self, link):
        self.link = link
        self.master, self.slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        tmp = f"{link}.{os.getpid()}"
        os.symlink(os.ttyname(self.slave), tmp)
        os.replace(tmp, link)

    def write(self, data):
        """False when some of it was lost."""
        try:
            return os.write(self.master, data) == len(data)
        except BlockingIOError:
            return False

    def read(self):
        try:
            return os.read(self.master, 4096)
        except BlockingIOError:
            return b""
        except OSError as e:
            if e.errno == errno.EIO:
                return b""
            raise

    def close(self):
        try:
            if os.readlink(self.link) == os.ttyname(self.slave):
                os.unlink(self.link)
        except OSError:
            pass
        os.close(self.master)
        os.close(self.slave)


class Pacer:
    """Says when the next presentation is due: rate a second, at most count of them (None: for ever)."""

    def __init__(self, rate, count=None):
        self.count = count
        self.set_rate(rate)

    def set_rate(self, rate):
        self.rate = rate
        self.due = time.monotonic()

    def wait(self):
        """Seconds until due; None when never."""
        if not self.rate or self.count == 0:
            return None
        return max(0.0, self.due - time.monotonic())

    def taken(self):
        if self.count is not None:
            self.count -= 1
        # A late start does not lead to a burst: people do not hurry because we were slow.
        self.due = max(self.due + 1.0 / self.rate, time.monotonic())


class Loop:
    """selectors plus timers; every simulator is one thread of this."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.timers = []
        self.running = True
        self.wake_r, self.wake_w = os.pipe()
        self.on_read(self.wake_r, lambda: os.read(self.wake_r, 4096))

    def on_read(self, fd, fn):
        self.selector.register(fd, selectors.EVENT_READ, fn)

    def forget(self, fd):
        self.selector.unregister(fd)

    def after(self, seconds, fn):
        self.timers.append((time.monotonic() + seconds, fn))

    def call(self, fn):
        """From another thread: runs fn in the loop."""
        self.timers.append((0, fn))
        os.write(self.wake_w, b"x")

    def run(self, tick):
        """tick() does what is due and returns the seconds until it is wanted again (None: no wish)."""
        while self.running:
            now = time.monotonic()
            due = [t for t in self.timers if t[0] <= now]
            for t in due:
                self.timers.remove(t)
                t[1]()
            waits = [w for w in [tick()] if w is not None] + [t[0] - time.monotonic() for t in list(self.timers)]
            for key, _ in self.selector.select(max(0.0, min(waits)) if waits else None):
                key.data()

    def stop(self):
        self.running = False
        try:
            os.write(self.wake_w, b"x")
        except OSError:
            pass

    def close(self):
        self.selector.close()
        os.close(self.wake_r)
        os.close(self.wake_w)


def stdin_commands(loop, fn, quit_at_eof=False):
    """Feeds lines of standard input to fn(words). At the end of input it stops listening, or the simulator, so that
    it cannot outlive a test that died."""
    pending = bytearray()

    def readable():
        data = os.read(0, 4096)
        if not data:
            loop.forget(0)
            if quit_at_eof:
                loop.stop()
            return
        pending.extend(data)
        while b"\n" in pending:
            line, _, rest = bytes(pending).partition(b"\n")
            pending[:] = rest
            words = line.decode(errors="replace").split()
            if words:
                fn(words)

    try:
        loop.on_read(0, readable)
    except (OSError, ValueError, PermissionError):
        pass  # closed or a plain file: no commands then


class Simulator:
    """Has a loop, an address, command(words) and run(), which ends with the loop."""

    def serve(self, quit_at_eof):
        """As a program: prints `ready <address>`; returns when it is stopped."""
        signal.signal(signal.SIGTERM, lambda *_: self.loop.stop())
        signal.signal(signal.SIGINT, lambda *_: self.loop.stop())
        stdin_commands(self.loop, self.command, quit_at_eof)
        print("ready", self.address, flush=True)
        self.run()

    # As an object in a test: `with Serial125(link) as sim: sim.call(sim.present)`.
    def __enter__(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.loop.stop()
        self.thread.join()

    def call(self, fn, *args):
        self.loop.call(lambda: fn(*args))
