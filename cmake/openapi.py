#!/usr/bin/python3
"""openapi.py DOCUMENT.yaml OUT.c: the API's description as JSON in a C string, for punchcloud to serve."""
import json
import re
import sys

import yaml


def c_string(data):
    """Adjacent literals; ? is escaped for the sake of trigraphs."""
    text = data.decode("ascii")
    pieces = (text[i:i + 80] for i in range(0, len(text), 80))
    return "\n".join('    "' + re.sub(r'(["\\\\?])', r"\\\1", p) + '"' for p in pieces)


class Loader(yaml.SafeLoader):
    """Of two members with one name the last would hide the others."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value if key.value != "<<"]
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice in one mapping: {', '.join(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def main(source, out):
    with open(source, encoding="utf-8") as f:
        document = yaml.load(f, Loader)
    data = json.dumps(document, separators=(",", ":")).encode("ascii")
    with open(out, "w", encoding="ascii") as f:
        f.write(f'#include "api/openapi.h"\n\nconst char openapi_json[] =\n{c_string(data)};\n'
                f"const size_t openapi_json_n = {len(data)};\n")


main(*sys.argv[1:])
