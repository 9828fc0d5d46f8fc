"""Prints what is held about a person, for that person to read. It knows the address, a token, and the name asked for;
everything else it learns from the service's own OpenAPI document.

    export_report.py --url https://localhost:8443 --ca ca.crt --token pct_... --name "Ada Lovelace"
"""
import argparse
import sys

import requests


class Service:
    def __init__(self, url, ca, token):
        self.url, self.session = url, requests.Session()
        self.session.verify, self.session.trust_env = ca, False
        self.session.headers["Authorization"] = f"Bearer {token}"
        self.document = self.get("/v1/openapi.json")

    def get(self, path, **query):
        r = self.session.get(self.url + path, params=query, timeout=60)
        r.raise_for_status()
        return r.json()

    def follow(self, schema):
        """A schema with its $ref and allOf taken in; what stands beside a $ref goes before what it refers to."""
        merged = {}
        if "$ref" in schema:
            target = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            merged = dict(self.follow(target))
        for part in schema.get("allOf", []):
            part = self.follow(part)
            merged["properties"] = {**merged.get("properties", {}), **part.get("properties", {})}
        return {**merged, **{k: v for k, v in schema.items() if k not in ("$ref", "allOf")}}

    def choose(self, schema, value):
        """Of alternatives the first that has all the value's members; a title beside them stays."""
        for how in ("anyOf", "oneOf"):
            for one in schema.get(how, []) if isinstance(value, dict) else []:
                if set(value) <= set(self.follow(one).get("properties", {})):
                    return {**one, **{k: v for k, v in schema.items() if k != how}}
        return schema

    def export_operation(self):
        """The path that gives everything about one person, and the schema of its answer."""
        for path, item in self.document["paths"].items():
            operation = item.get("get", {})
            if "everything that is held" in operation.get("summary", "").lower():
                return path, operation["responses"]["200"]["content"]["application/json"]["schema"]
        sys.exit("the service's document describes no export")

    def find(self, listing, name):
        """The id of the item of that name, through all pages."""
        query = {}
        while True:
            page = self.get(listing, **query)
            for item in page["items"]:
                if item.get("name") == name:
                    return item["id"]
            if not page["next"]:
                sys.exit(f"nobody is called {name}")
            query = {"cursor": page["next"]}


def label(schema, name):
    return schema.get("title") or name.replace("_", " ").capitalize()


def plain(value):
    if value is None:
        return "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def report(service, schema, value, name="", indent=0):
    """A line a value, in the order of the schema; what the schema does not know is an error."""
    schema, pad = service.follow(service.choose(service.follow(schema), value)), "  " * indent
    if isinstance(value, dict):
        print(f"{pad}{label(schema, name)}:")
        known, more = schema.get("properties", {}), schema.get("additionalProperties")
        strangers = [m for m in value if m not in known and not isinstance(more, dict)]
        if strangers:
            sys.exit(f"the document does not describe {strangers} of {name}")
        for member in [*(m for m in known if m in value), *(m for m in value if m not in known)]:
            report(service, known.get(member, more), value[member], member, indent + 1)
    elif isinstance(value, list):
        print(f"{pad}{label(schema, name)}: {len(value)}")
        for item in value:
            report(service, schema["items"], item, name, indent + 1)
    else:
        print(f"{pad}{label(schema, name)}: {plain(value)}")


def main():
    p = argparse.ArgumentParser(description="What is held about a person, for that person to read.")
    for option in ("url", "ca", "token", "name"):
        p.add_argument(f"--{option}", required=True)
    args = p.parse_args()
    service = Service(args.url, args.ca, args.token)
    path, schema = service.export_operation()
    listing = path.split("/{")[0]
    person = service.find(listing, args.name)
    report(service, schema, service.get(path.replace("{id}", person)))


main()
