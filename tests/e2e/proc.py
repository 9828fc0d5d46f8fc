"""Child processes and bounded waiting for the end-to-end tests.

Every child is ours alone: it is signalled by its own pid, dies with us (PR_SET_PDEATHSIG) and writes to a log file.
Children are started from the main thread only, because the parent-death signal follows the starting thread.
"""
import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_claims = []  # of ports, held until this process ends
# What a sanitizer writes when it found something; any of these in a log fails the test that made it.
SANITIZER_MARKS = (b"AddressSanitizer", b"LeakSanitizer", b"ThreadSanitizer", b"runtime error:", b"ASSERT")


class Failure(AssertionError):
    """What a user would notice went wrong."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def wait_for(what, predicate, seconds=30.0, every=0.05):
    """Polls predicate until it gives something true, and returns that; Failure after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def free_port(rng=random.SystemRandom()):
    """A loopback TCP port that nobody uses now, outside the range that outgoing connections take theirs from. It is this
    process's until it ends: an abstract socket of its name holds it against tests that run at the same time."""
    for _ in range(400):
        port, claim = rng.randrange(20000, 32000), socket.socket(socket.AF_UNIX)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                claim.bind(f"\0punch-port-{port}")
                s.bind(("127.0.0.1", port))
            except OSError:
                claim.close()
                continue
        _claims.append(claim)
        return port
    raise Failure("no free port found")


def port_open(port, host="127.0.0.1"):
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def die_with_parent(sig=signal.SIGKILL):
    """For a child between fork and exec: the kernel sends sig when the starting thread of its parent ends."""
    _libc.prctl(PR_SET_PDEATHSIG, int(sig), 0, 0, 0)


class Proc:
    """One restartable child."""

    def __init__(self, name, argv, log, env=None, cwd=None, core=False, commands=False, errors=None):
        """core: core dumps allowed; commands: standard input is a pipe for say(); errors: a log for stderr alone."""
        self.name, self.argv, self.log, self.cwd, self.core = name, [str(a) for a in argv], log, cwd, core
        self.commands, self.errors = commands, errors or log
        self.env = dict(env or {})
        self.child = None
        self.starts = 0

    def start(self):
        check(threading.current_thread() is threading.main_thread(), "children are started by the main thread")
        check(not self.alive(), f"{self.name} runs already")
        parent, core = os.getpid(), self.core

        def prepare():
            die_with_parent()
            if os.getppid() != parent:
                os._exit(126)
            if core:
                hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
                resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

        with open(self.log, "ab") as out, open(self.errors, "ab") as err:
            stdin = subprocess.PIPE if self.commands else subprocess.DEVNULL
            self.child = subprocess.Popen(self.argv, stdin=stdin, stdout=out, stderr=err, cwd=self.cwd, bufsize=0,
                                          env={**os.environ, **self.env}, preexec_fn=prepare, start_new_session=True)
        self.starts += 1
        return self

    def say(self, command):
        """A line for a child that takes commands."""
        self.child.stdin.write((command + "\n").encode())

    def alive(self):
        return self.child is not None and self.child.poll() is None

    @property
    def pid(self):
        return self.child.pid

    def send(self, sig):
        if self.alive():
            self.child.send_signal(sig)

    def kill(self, sig=signal.SIGKILL, seconds=20):
        """Sends sig and waits for the end. Returns how it ended (negative: by that signal)."""
        self.send(sig)
        return self.wait(seconds)

    def wait(self, seconds=20):
        if self.child is None:
            return None
        try:
            code = self.child.wait(seconds)
            if self.child.stdin:
                self.child.stdin.close()
            return code
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} (pid {self.child.pid}) did not end within {seconds:g} s") from None

    def stop(self, seconds=20):
        """Asks it to end; a daemon of ours must then leave with 0."""
        if not self.alive():
            return self.child.returncode if self.child else None
        return self.kill(signal.SIGTERM, seconds)

    def end(self):
        """The last resort of a clean-up: never raises."""
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(3)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    def log_text(self):
        try:
            with open(self.log, "rb") as f:
                return f.read()
        except FileNotFoundError:
            return b""


def sanitizer_findings(paths):
    """Lines that a sanitizer or an assertion of ours left in these logs."""
    found = []
    for path in paths:
        try:
            with open(path, "rb") as f:
                for line in f:
                    if any(mark in line for mark in SANITIZER_MARKS):
                        found.append(f"{os.path.basename(path)}: {line.decode(errors='replace').strip()}")
        except (FileNotFoundError, IsADirectoryError):
            pass
    return found
