"""Clients of the API in threads, each with a connection kept alive: logins at a rate, and one who asks meanwhile."""
import http.client
import json
import ssl
import threading
import time


def connection(lab, port):
    context = ssl.create_default_context(cafile=f"{lab.cloud.pki}/ca.crt")
    return http.client.HTTPSConnection(lab.host, port, context=context, timeout=60)


class Logins:
    """`rate` a second of the right passwords of these people, in turn (None: as fast as each is answered), until
    stopped. answers: status: how many."""

    def __init__(self, lab, people, rate, clients):
        self.lab, self.people, self.rate = lab, people, rate
        self.lock, self.answers, self.errors, self.n = threading.Lock(), {}, [], 0
        self.ended = threading.Event()
        self.began = time.monotonic()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for t in self.threads:
            t.join()

    def _turn(self):
        with self.lock:
            self.n += 1
            n = self.n
        if self.rate:
            self.ended.wait(max(0, self.began + n / self.rate - time.monotonic()))
        return self.people[n % len(self.people)]

    def _run(self):
        c = connection(self.lab, self.lab.cloud.api_port)
        while not self.ended.is_set():
            who = self._turn()
            if self.ended.is_set():
                break
            body = json.dumps({"tenant": who.tenant, "login": who.login, "password": who.password})
            try:
                c.request("POST", "/v1/sessions", body, {"Content-Type": "application/json"})
                r = c.getresponse()
                r.read()
                with self.lock:
                    self.answers[r.status] = self.answers.get(r.status, 0) + 1
            except (OSError, http.client.HTTPException) as e:
                with self.lock:
                    self.errors.append(repr(e))
                c.close()
        c.close()


def ask(lab, path, token, rate, seconds):
    """Milliseconds that each of `rate` requests a second waited for its answer, counted from when it was due."""
    c = connection(lab, lab.cloud.api_port)
    c.connect()
    waits, began = [], time.monotonic()
    for i in range(int(rate * seconds)):
        due = began + i / rate
        time.sleep(max(0, due - time.monotonic()))
        c.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        r = c.getresponse()
        r.read()
        if r.status != 200:
            raise RuntimeError(f"GET {path}: {r.status}")
        waits.append((time.monotonic() - due) * 1000)
    c.close()
    return waits
