"""A TCP proxy between gateway and broker that can be cut: established connections are reset or left to hang, new ones
are refused or swallowed, and everything carries on afterwards. Runs in a thread of the test."""
import selectors
import socket
import struct
import threading

from proc import Failure

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with 0 s: close sends RST


class Proxy:
    def __init__(self, target_port):
        self.target_port = target_port
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self._mode = "open"  # open | reset | hang
        self._lock = threading.Lock()
        self._wake_r, self._wake_w = socket.socketpair()
        self._pairs = {}
        self._held = []
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    @staticmethod
    def _listen(port):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", port))
        s.listen(64)
        return s

    def _set(self, mode):
        with self._lock:
            self._mode = mode
        self._wake_w.send(b"x")

    def cut(self, how="reset"):
        """reset: connections die at once and new ones are reset. hang: nothing is forwarded, nothing is closed."""
        if how not in ("reset", "hang"):
            raise Failure(f"unknown way to cut: {how}")
        self._set(how)

    def mend(self):
        self._set("open")

    def close(self):
        self._stop = True
        self._wake_w.send(b"x")
        self._thread.join(5)

    # ---- the thread ----
    def _run(self):
        with selectors.DefaultSelector() as sel:
            self._sel = sel
            sel.register(self._listener, selectors.EVENT_READ)
            sel.register(self._wake_r, selectors.EVENT_READ)
            while not self._stop:
                for key, _ in sel.select(1.0):
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._wake_r:
                        self._wake_r.recv(64)
                        self._apply()
                    elif self._mode != "hang":
                        self._forward(key.fileobj)
            self._drop_all()
            self._listener.close()
            self._wake_r.close()
            self._wake_w.close()

    def _apply(self):
        if self._mode == "reset":
            self._drop_all()
        if self._mode == "hang":
            for s in self._pairs:
                self._sel.unregister(s)
        if self._mode == "open":
            # What hung through the cut is reset: to the gateway its old connection is lost in either way of cutting.
            self._drop_all()

    def _drop_all(self):
        for s in list(self._pairs):
            self._drop(s)
        for s in self._held:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            s.close()
        self._held.clear()

    def _drop(self, s):
        peer = self._pairs.pop(s, None)
        if peer is not None:
            self._pairs.pop(peer, None)
        for x in (s, peer):
            if x is None:
                continue
            try:
                self._sel.unregister(x)
            except (KeyError, ValueError):
                pass
            try:
                x.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass
            x.close()

    def _accept(self):
        near, _ = self._listener.accept()
        if self._mode == "hang":
            self._held.append(near)
            return
        if self._mode == "reset":
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            near.close()
            return
        for s in (near, far):
            s.settimeout(10)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs[near], self._pairs[far] = far, near
        self._sel.register(near, selectors.EVENT_READ)
        self._sel.register(far, selectors.EVENT_READ)

    def _forward(self, s):
        peer = self._pairs.get(s)
        if peer is None:
            return
        try:
            data = s.recv(65536)
            if not data:
                raise OSError("closed")
            peer.sendall(data)
        except OSError:
            self._drop(s)
