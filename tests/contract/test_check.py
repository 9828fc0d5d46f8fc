"""The contract's checker must notice: each answer below is wrong in one way."""
import copy
import os
import sys

import yaml

import check

HERE = os.path.dirname(os.path.abspath(__file__))
JSON, PROBLEM = "Content-Type: application/json\r\n", "Content-Type: application/problem+json\r\n"
ETAG = 'ETag: "0123456789abcdefghijkl"\r\n'
PERSON = ('{"id":"00112233445566778899aabbccddeeff","name":"Ada","personnel_number":null,'
          '"given_name":null,"family_name":null,"email":null,"phone":null,"unit":null,"valid_from":null,'
          '"valid_until":null,"archived":null,"created":"2026-11-23T07:15:00.000000Z"}')
MISSING = '{"type":"urn:punchline:problem:not-found","title":"t","status":404,"detail":"d"}'
GOOD = {
    "health": {"method": "GET", "path": "/healthz", "status": 200, "head": JSON, "body": '{"status":"ok"}'},
    "person": {"method": "GET", "path": "/v1/people/00112233445566778899aabbccddeeff", "status": 200,
               "head": JSON + ETAG, "body": PERSON},
    "created": {"method": "POST", "path": "/v1/people", "status": 201,
                "head": JSON + ETAG + "Location: /v1/people/1\r\n", "body": PERSON, "request": '{"name":"Ada"}'},
    "unread": {"method": "POST", "path": "/v1/people", "status": 201, "head": ETAG + "Location: /v1/people/1\r\n",
               "body": "", "request": '{"name":"Ada"}'},
    "no route": {"method": "GET", "path": "/nothing", "status": 404, "head": PROBLEM, "body": MISSING},
    "no person": {"method": "GET", "path": "/v1/people/00112233445566778899aabbccddeeff", "status": 404,
                  "head": PROBLEM, "body": MISSING},
    "head": {"method": "HEAD", "path": "/healthz", "status": 200, "head": JSON, "body": ""},
    "page": {"method": "GET", "path": "/v1/people?limit=5", "status": 200, "head": JSON,
             "body": '{"items":[' + PERSON + '],"next":null}'},
}
BAD = [
    ("health", {"body": '{"status":"ok","more":1}'}, "more"),
    ("health", {"body": "{"}, "not JSON"),
    ("health", {"status": 204}, "not documented"),
    ("health", {"head": "Content-Type: text/plain\r\n"}, "Content-Type"),
    ("person", {"body": PERSON.replace('"name":"Ada",', "")}, "'name' is a required"),
    ("person", {"body": PERSON.replace(".000000Z", "Z")}, "does not match"),
    ("person", {"body": PERSON.replace('"Ada"', "7")}, "not of type"),
    ("created", {"head": JSON + ETAG}, "Location is missing"),
    ("person", {"head": JSON + ETAG.replace('"', "")}, "ETag"),
    ("created", {"request": '{"name":"Ada","age":7}'}, "age"),
    ("created", {"request": None}, "required"),
    ("unread", {"method": "PATCH", "path": "/v1/people/1", "status": 200}, "Content-Type"),
    ("no route", {"status": 200}, "no route"),
    ("no route", {"head": JSON}, "not that of a problem"),
    ("no route", {"body": MISSING.replace("404", "403")}, "the status line"),
    ("no route", {"body": MISSING.replace("not-found", "lost")}, "not one of"),
    ("no person", {"body": MISSING.replace("not-found", "invalid")}, "was expected"),
    ("head", {"body": "x"}, "HEAD"),
    ("page", {"path": "/v1/people?order=name"}, "not documented"),
    ("page", {"path": "/v1/people?limit=0"}, "minimum"),
    ("page", {"body": '{"items":[{}],"next":null}'}, "not valid under any"),
]


def main():
    with open(os.path.join(HERE, "..", "..", "docs", "openapi.yaml"), encoding="utf-8") as f:
        doc = check.Document(yaml.safe_load(f))
    failed = 0
    for name, x in GOOD.items():
        errors = check.check_exchange(doc, {"request": None, **x}, {})
        if errors:
            failed += 1
            print(f"{name}: a right answer is refused: {errors}")
    for name, change, want in BAD:
        x = {"request": None, **copy.deepcopy(GOOD[name]), **change}
        errors = check.check_exchange(doc, x, {})
        if not any(want in e for e in errors):
            failed += 1
            print(f"{name} with {change}: expected a mistake with {want!r}, got {errors}")
    print(f"{len(GOOD)} right and {len(BAD)} wrong answers, {failed} misjudged")
    sys.exit(1 if failed else 0)


main()
