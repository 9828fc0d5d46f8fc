"""Holds recorded exchanges with the API against docs/openapi.yaml, and the document against the exchanges.

    check.py --document docs/openapi.yaml --exchanges build/asan/exchanges [RECORDER...]

An answer must be of a documented route and status, with the documented headers and a body that fits its schema; a
request that was accepted must fit the documented one. What no route was meant for (unknown paths, other methods) is
held against the general problem. The reverse: a success status of a route that no exchange ever showed is a failure,
provided that all RECORDERs have recorded; else the exit code is 77 (skipped) after everything there is was judged.
"""
import argparse
import json
import os
import re
import sys
import time
import urllib.parse

import jsonschema
import yaml

# Needs a broker, which only tests/e2e has: judged when one of those has recorded.
E2E_ONLY = {("GET", "/readyz", 200)}
UNREAD = {"$ref": "#/components/responses/Unread"}
PROBLEM = {"$ref": "#/components/schemas/Problem"}


class Document:
    def __init__(self, value):
        self.value = value
        jsonschema.Draft202012Validator.check_schema({"$defs": value["components"]["schemas"]})
        self.resolver = jsonschema.RefResolver("", value)
        self.validators = {}
        self.operations = {}
        for pattern, item in value["paths"].items():
            for method, operation in item.items():
                if method != "parameters":
                    parameters = item.get("parameters", []) + operation.get("parameters", [])
                    operation = {**operation, "parameters": [self.follow(p) for p in parameters]}
                    self.operations[method.upper(), pattern] = operation
        self.patterns = [(p, re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(p)) + "$")) for p in value["paths"]]

    def follow(self, value):
        while isinstance(value, dict) and "$ref" in value:
            value = self.resolver.resolve(value["$ref"])[1]
        return value

    def errors(self, schema, instance):
        key = json.dumps(schema, sort_keys=True)
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        return [f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}"
                for e in self.validators[key].iter_errors(instance)]

    def pattern(self, path):
        """The pattern of a path: one without parameters goes before one with."""
        fitting = [p for p, regex in self.patterns if regex.match(path)]
        return min(fitting, key=lambda p: p.count("{"), default=None)


def parse_head(head):
    lines = [line.split(":", 1) for line in head.split("\r\n") if ":" in line]
    return {name.strip().lower(): value.strip() for name, value in lines}


def parse_json(text, errors, what):
    try:
        return json.loads(text)
    except ValueError as e:
        errors.append(f"{what} is not JSON: {e}: {text[:100]!r}")
        return None


def check_headers(doc, answer, headers, errors):
    for name, header in answer.get("headers", {}).items():
        header = doc.follow(header)
        value = headers.get(name.lower())
        if value is not None:
            errors += [f"header {name}: {e}" for e in doc.errors(header["schema"], value)]
        elif header.get("required"):
            errors.append(f"header {name} is missing")


def check_body(doc, operation, answer, x, headers, errors):
    kind = headers.get("content-type")
    content = answer.get("content", {})
    if not content:
        if x["body"]:
            errors.append("a body where none is documented")
        return
    unread = x["status"] in (201, 202) and "x-reads" in operation
    if not x["body"] and (unread or headers.get("idempotency-replayed")):
        return  # what was made is not for who asks to read
    if kind not in content:
        errors.append(f"Content-Type is {kind}, documented: {', '.join(content)}")
        return
    if x["method"] == "HEAD":
        if x["body"]:
            errors.append("a body on HEAD")
        return
    if not kind.endswith("json"):
        return
    body = parse_json(x["body"], errors, "the body")
    if body is not None:
        errors += [f"body {e}" for e in doc.errors(content[kind]["schema"], body)]


def check_request(doc, operation, x, errors):
    """An accepted request must be one that the document allows."""
    known = {p["name"]: p for p in operation["parameters"] if p["in"] == "query"}
    for name, value in urllib.parse.parse_qsl(urllib.parse.urlsplit(x["path"]).query, keep_blank_values=True):
        if name not in known:
            errors.append(f"the parameter {name} was accepted and is not documented")
            continue
        schema = doc.follow(known[name]["schema"])
        instance = int(value) if schema.get("type") == "integer" and value.isdigit() else value
        errors += [f"parameter {name}{e}" for e in doc.errors(known[name]["schema"], instance)]
    body = operation.get("requestBody")
    if not x["request"]:
        if body and body.get("required"):
            errors.append("no body was accepted where one is documented as required")
    elif not body:
        errors.append("a body was accepted where none is documented")
    elif "application/json" in body["content"]:
        value = parse_json(x["request"], errors, "the accepted request")
        if value is not None:
            errors += [f"request {e}" for e in doc.errors(body["content"]["application/json"]["schema"], value)]


def check_hostile(doc, x, headers, errors):
    """No route was meant: 404, 405 and what is answered before a route is looked for."""
    if x["status"] not in (400, 404, 405, 413):
        errors.append(f"status {x['status']} where there is no route")
    check_problem(doc, x, headers, errors, needs="allow" if x["status"] == 405 else None)


def check_problem(doc, x, headers, errors, needs):
    """The general problem, with the header that it needs."""
    if headers.get("content-type") != "application/problem+json":
        errors.append(f"Content-Type is {headers.get('content-type')}, not that of a problem")
    elif x["method"] != "HEAD":
        body = parse_json(x["body"], errors, "the body")
        if body is not None:
            errors += [f"body {e}" for e in doc.errors(PROBLEM, body)]
            if body.get("status") != x["status"]:
                errors.append(f"the problem says {body.get('status')}, the status line {x['status']}")
    if needs and not headers.get(needs):
        errors.append(f"{x['status']} without {needs}")
    return errors


def check_exchange(doc, x, seen):
    """Mistakes in words; counts what was exercised in `seen`."""
    errors = []
    headers = parse_head(x["head"])
    path = urllib.parse.unquote(urllib.parse.urlsplit(x["path"]).path)
    pattern = doc.pattern(path)
    method = "GET" if x["method"] == "HEAD" else x["method"]
    operation = doc.operations.get((method, pattern))
    if x["status"] == 429 and "429" not in (operation or {}).get("responses", {}):
        return check_problem(doc, x, headers, errors, needs="retry-after")
    if not operation or x["status"] == 405:
        seen["-", "no such route", x["status"]] = seen.get(("-", "no such route", x["status"]), 0) + 1
        check_hostile(doc, x, headers, errors)
        return errors
    answer = operation["responses"].get(str(x["status"]))
    if answer is None:
        return [f"status {x['status']} is not documented: {x['body'][:200]}"]
    key = (method, pattern, x["status"])
    seen[key] = seen.get(key, 0) + 1
    answer = doc.follow(answer)
    check_headers(doc, answer, headers, errors)
    check_body(doc, operation, answer, x, headers, errors)
    if x["status"] < 300:
        check_request(doc, operation, x, errors)
    return errors


def load(folder):
    """name: (time, exchanges) of each file."""
    recorded = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        path = os.path.join(folder, name)
        with open(path, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        recorded[name.removesuffix(".jsonl")] = (os.path.getmtime(path), lines)
    return recorded


def table(doc, seen):
    """Route x documented status, with the number of exchanges; the success statuses that nobody saw. One without a body
    that all of them share is of no route of its own: once is enough."""
    missing, unread = [], False
    print(f"\n{'route':<52} status: exchanges")
    for (method, pattern), operation in doc.operations.items():
        row = []
        for status in operation["responses"]:
            n = seen.get((method, pattern, int(status)), 0)
            row.append(f"{status}:{n}")
            unread = unread or (n > 0 and operation["responses"][status] == UNREAD)
            if n == 0 and int(status) < 300:
                missing.append((method, pattern, int(status)))
        print(f"{method:<6} {pattern:<45} {' '.join(row)}")
    if unread:
        missing = [(m, p, s) for m, p, s in missing if doc.operations[m, p]["responses"][str(s)] != UNREAD]
    hostile = [f"{status}:{n}" for (m, _, status), n in sorted(seen.items()) if m == "-"]
    print(f"{'-':<6} {'no such route or method':<45} {' '.join(hostile)}\n")
    return missing


def judge(doc, recorded):
    """Prints each mistake; returns their number and what was seen."""
    seen, bad = {}, 0
    for name, (_, exchanges) in recorded.items():
        for i, x in enumerate(exchanges):
            for e in check_exchange(doc, x, seen):
                bad += 1
                if bad <= 50:
                    print(f"{name}.jsonl:{i + 1}: {x['method']} {x['path'][:100]} -> {x['status']}: {e}")
    return bad, seen


def main():
    p = argparse.ArgumentParser(description="Holds recorded exchanges with the API against its document.")
    p.add_argument("--document", required=True)
    p.add_argument("--exchanges", required=True)
    p.add_argument("recorders", nargs="*", help="tests without whose exchanges nothing can be said to be missing")
    args = p.parse_args()
    with open(args.document, encoding="utf-8") as f:
        doc = Document(yaml.safe_load(f))
    recorded, changed = load(args.exchanges), os.path.getmtime(args.document)
    for name, (when, exchanges) in recorded.items():
        stale = ", left out: before the document's last change" if when < changed else ""
        print(f"{name}: {len(exchanges)} exchanges of {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(when))}{stale}")
    recorded = {name: r for name, r in recorded.items() if r[0] >= changed}
    bad, seen = judge(doc, recorded)
    missing = table(doc, seen)
    absent = [r for r in args.recorders if r not in recorded]
    if not any(name.startswith("e2e_") for name in recorded):
        missing = [m for m in missing if m not in E2E_ONLY]
    if bad:
        sys.exit(f"{bad} mistakes")
    if absent:
        print(f"not judged what was never exercised; these have not recorded since the document changed: {' '.join(absent)}")
        sys.exit(77)
    if missing:
        sys.exit("never exercised: " + ", ".join(f"{m} {p} -> {s}" for m, p, s in missing))
    print(f"{sum(len(x) for _, x in recorded.values())} exchanges fit the document")


if __name__ == "__main__":
    main()
