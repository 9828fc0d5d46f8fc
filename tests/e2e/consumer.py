#!/usr/bin/python3
"""A consumer of the changes feed, by the rules of docs/API.md alone: a replica in a SQLite file of its own, and the
position in the same transaction. It may be killed at any moment.

    consumer.py --url https://127.0.0.1:8443 --ca ca.crt --token pct_... --replica replica.db [--limit 100] [--once]

With --once it leaves when there is no more; else it follows until it is killed.
"""
import argparse
import json
import sqlite3
import sys
import time

import requests

SCHEMA = """
CREATE TABLE IF NOT EXISTS position(one INTEGER PRIMARY KEY CHECK(one = 1), next TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS punch(id TEXT PRIMARY KEY, person TEXT, gateway TEXT, generation INTEGER, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS person(id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS credential(id TEXT PRIMARY KEY, person TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counts(what TEXT PRIMARY KEY, n INTEGER NOT NULL);
INSERT OR IGNORE INTO position VALUES(1, '0');
"""


def open_replica(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(SCHEMA)
    return db


def count(db, what, n=1):
    db.execute("INSERT INTO counts VALUES(?, ?) ON CONFLICT(what) DO UPDATE SET n = n + excluded.n", (what, n))


def put_punch(db, punch):
    person = punch["person"]["id"] if punch["person"] else None
    db.execute("INSERT OR REPLACE INTO punch VALUES(?, ?, ?, ?, ?)",
               (punch["id"], person, punch["gateway"], punch["generation"], json.dumps(punch)))


def change_punches(db, where, values, change):
    for (body,) in db.execute(f"SELECT body FROM punch WHERE {where}", values).fetchall():
        punch = json.loads(body)
        change(punch)
        put_punch(db, punch)


def put_person(db, person):
    db.execute("INSERT OR REPLACE INTO person VALUES(?, ?)", (person["id"], json.dumps(person)))
    change_punches(db, "person = ?", (person["id"],), lambda p: p["person"].update(name=person["name"]))


def put_gateway(db, gateway):
    change_punches(db, "gateway = ? AND generation = ?", (gateway["id"], gateway["generation"]),
                   lambda p: p.update(site=gateway["site"]))


def put_credential(db, credential):
    db.execute("INSERT OR REPLACE INTO credential VALUES(?, ?, ?)",
               (credential["id"], credential["person"], json.dumps(credential)))


def erase(db, person):
    db.execute("DELETE FROM person WHERE id = ?", (person,))
    db.execute("DELETE FROM credential WHERE person = ?", (person,))
    db.execute("DELETE FROM punch WHERE person = ?", (person,))


APPLY = {"punch": lambda db, i: put_punch(db, i["punch"]),
         "punch.removed": lambda db, i: db.execute("DELETE FROM punch WHERE id = ?", (i["id"],)),
         "person": lambda db, i: put_person(db, i["person"]),
         "person.erased": lambda db, i: erase(db, i["id"]),
         "credential": lambda db, i: put_credential(db, i["credential"]),
         "gateway": lambda db, i: put_gateway(db, i["gateway"])}


def apply_page(db, page):
    db.execute("BEGIN IMMEDIATE")
    for item in page["items"]:
        APPLY.get(item["type"], lambda _db, _item: None)(db, item)
        count(db, item["type"])
    db.execute("UPDATE position SET next = ?", (page["next"],))
    db.execute("COMMIT")


def begin_again(db):
    db.execute("BEGIN IMMEDIATE")
    for table in ("punch", "person", "credential"):
        db.execute(f"DELETE FROM {table}")
    db.execute("UPDATE position SET next = '0'")
    count(db, "restarts")
    db.execute("COMMIT")


def follow(db, session, args):
    pause = args.pause
    while True:
        (after,) = db.execute("SELECT next FROM position").fetchone()
        try:
            r = session.get(args.url + "/v1/changes", params={"after": after, "limit": args.limit}, timeout=30)
        except requests.RequestException:
            r = None
        if r is not None and r.status_code == 410:
            begin_again(db)
            continue
        if r is None or r.status_code >= 500:
            time.sleep(pause)
            pause = min(2 * pause, 2.0)
            continue
        if r.status_code != 200:
            sys.exit(f"GET /v1/changes?after={after}: {r.status_code} {r.text[:300]}")
        page = r.json()
        apply_page(db, page)
        pause = args.pause
        if not page["more"]:
            if args.once:
                return
            time.sleep(pause)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("url", "ca", "token", "replica"):
        p.add_argument(f"--{name}", required=True)
    p.add_argument("--limit", type=int, default=100)
    p.add_argument("--pause", type=float, default=0.1)
    p.add_argument("--once", action="store_true")
    args = p.parse_args()
    session = requests.Session()
    session.verify, session.trust_env = args.ca, False
    session.headers["Authorization"] = f"Bearer {args.token}"
    follow(open_replica(args.replica), session, args)


if __name__ == "__main__":
    main()
