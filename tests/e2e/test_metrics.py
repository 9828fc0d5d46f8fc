"""punchcloud's metrics: what a strict parser makes of them, that they grow with traffic, and that they name nobody."""
import requests

import promtext
from lab import PATIENCE, Gateway, Lab, main
from proc import check, free_port, wait_for
from sims import Serial


class Scraper:
    def __init__(self, lab):
        self.url = f"http://{lab.host}:{lab.metrics_port}"
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path="/metrics", method="GET"):
        return self.session.request(method, self.url + path, timeout=30)

    def text(self):
        r = self.get()
        check(r.status_code == 200, f"/metrics: {r.status_code} {r.text[:200]}")
        check(r.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", f"{r.headers}")
        return r.text

    def families(self):
        return promtext.parse(self.text())

    def value(self, name, **labels):
        return promtext.value(self.families(), f"punchcloud_{name}", **labels)


def other_requests(scraper):
    check(scraper.get("/").status_code == 404 and scraper.get("/v1/people").status_code == 404, "more than /metrics")
    r = scraper.get(method="POST")
    check(r.status_code == 405 and r.headers["Allow"] == "GET, HEAD", f"POST /metrics: {r.status_code}")
    check(scraper.get(method="HEAD").status_code == 200, "HEAD /metrics")


def grows(lab, scraper, sim, api):
    before = scraper.families()

    def now(name, **labels):
        return promtext.value(scraper.families(), f"punchcloud_{name}", **labels)

    def then(name, **labels):
        return promtext.value(before, f"punchcloud_{name}", **labels)
    for _ in range(5):
        sim.present()
    wait_for("five more punches to be counted",
             lambda: now("ingest_punches_total") == then("ingest_punches_total") + 5, 60 * PATIENCE, 0.2)
    for name in ("ingest_messages_total", "ingest_records_total", "ingest_commits_total", "ingest_acks_total",
                 "ingest_commit_seconds_count", "ingest_commit_seconds_sum"):
        check(now(name) > then(name), f"{name} did not grow")
    check(now("ingest_commits_total") == now("ingest_commit_seconds_count"), "the histogram misses commits")
    people = {"method": "GET", "route": "/v1/people"}
    for _ in range(3):
        api.get("/v1/people")
    check(api.call("GET", "/v1/people", token=None).status_code == 401, "no 401")
    check(api.call("GET", "/nothing").status_code == 404, "no 404")
    check(now("http_requests_total", **people, status="2xx") == then("http_requests_total", **people, status="2xx") + 3,
          "three requests are not counted as three")
    check(now("http_requests_total", **people, status="4xx") == then("http_requests_total", **people, status="4xx") + 1,
          "a refused request is not counted")
    check(now("http_requests_total", method="-", route="-", status="4xx") >= 1, "an unknown path is not counted")
    for old in before.values():
        if old.type != "counter":
            continue
        for key, v in scraper.families()[old.name].samples.items():
            check(v >= old.samples.get(key, 0), f"the counter {key} fell")


def refusal_is_counted(lab, scraper, gw):
    before = scraper.value("ingest_refused_total", reason="revoked")
    lab.cloud.ctl("gateway", "revoke", gw.id)
    check(scraper.value("gateways", state="revoked") == 1, "a revoked gateway is not counted as such")
    gw.proc.stop(20 * PATIENCE)
    gw.start()
    wait_for("its messages to be refused", lambda: scraper.value("ingest_refused_total", reason="revoked") > before,
             60 * PATIENCE, 0.2)


def test(args, _rng):
    promtext.self_test()
    with Lab("metrics", keep=args.keep) as lab:
        lab.metrics_port = free_port()
        settings = lab.cloud.settings
        lab.cloud.settings = lambda address: {**settings(address),
                                              "metrics": {"listen": f"{lab.host}:{lab.metrics_port}"}}
        lab.cloud.init()
        lab.cloud.tenant("tenant-of-note")
        api = lab.cloud.api(lab.cloud.token("tenant-of-note"))
        lab.broker.start()
        gw = Gateway(lab)
        sim = gw.reader(Serial(lab, "gate", seed=args.seed))
        gw.enrol("tenant-of-note", "Secret site")
        lab.cloud.start()
        scraper = Scraper(lab)
        other_requests(scraper)
        sim.start()
        gw.start()
        gw.wait_readers()
        wait_for("the gateway to be online", lambda: scraper.value("gateways", state="online") == 1, 60 * PATIENCE, 0.2)
        for name in ("broker_connected", "escrow_ok", "store_up"):
            check(scraper.value(name) == 1, f"{name} is not 1")
        for name in ("keyrings", "keyring_generations"):  # the customer's and the vendor's own
            check(scraper.value(name) == 2, f"{name} is not 2")
        check(scraper.value("store_bytes", file="store") > 0, "the store has no size")
        api.post("/v1/people", {"name": "Anna Unnamed"})
        promtext.documented("punchcloud", scraper.families())
        grows(lab, scraper, sim, api)
        text = scraper.text()
        for secret in ("tenant-of-note", "Secret site", "Anna", gw.id, "gate\"", *sim.presented()):
            check(secret.lower() not in text.lower(), f"the metrics tell {secret!r}")
        refusal_is_counted(lab, scraper, gw)
        print(f"{len(promtext.parse(text))} families", flush=True)
        lab.stop_daemons()


if __name__ == "__main__":
    main(test, __doc__, limit=180)
