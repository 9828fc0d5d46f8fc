"""A strict reader of Prometheus' text format 0.0.4, by its description (prometheus.io, "Exposition formats"). It takes
less than Prometheus does: what is legal but sloppy fails here."""
import math
import os
import re

from proc import Failure, check

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? ([^ ]+)")
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|Inf)|NaN")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


def number(text, line):
    check(NUMBER.fullmatch(text), f"no number: {line}")
    return float(text.replace("Inf", "inf"))


def labels(text, line):
    """{name: value} of what stands within the braces; each name once, commas between and none behind."""
    found, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        check(m and m.group(1) not in found, f"labels: {line}")
        found[m.group(1)] = re.sub(r"\\(.)", lambda e: {"n": "\n"}.get(e.group(1), e.group(1)), m.group(2))
        at = m.end()
        if at < len(text):
            check(text[at] == "," and at + 1 < len(text), f"labels: {line}")
            at += 1
    return found


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.samples = name, None, None, {}

    def owns(self, sample):
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}.get(self.type, ("",))
        return sample in [self.name + s for s in suffixes]

    def check(self):
        check(self.help and self.type, f"{self.name} has not both HELP and TYPE")
        check(self.samples, f"{self.name} has no samples")
        if self.type == "counter":
            check(self.name.endswith("_total"), f"the counter {self.name} does not end in _total")
            check(all(v >= 0 and math.isfinite(v) for v in self.samples.values()), f"{self.name} counts backwards")
        if self.type == "histogram":
            self.check_histogram()

    def check_histogram(self):
        plain = {s: v for s, v in self.samples.items() if not s[0].endswith("_bucket")}
        buckets = [(number(dict(ls)["le"], self.name), v) for (n, ls), v in self.samples.items() if n.endswith("_bucket")]
        check(len(plain) == 2, f"{self.name} needs one _sum and one _count")
        check([b for b, _ in buckets] == sorted({b for b, _ in buckets}), f"{self.name}: buckets are not in order")
        check([v for _, v in buckets] == sorted(v for _, v in buckets), f"{self.name}: buckets are not cumulative")
        check(buckets[-1] == (math.inf, plain[self.name + "_count", ()]), f"{self.name}: +Inf is not the count")


def parse(text):
    """{family: Family} of a whole exposition; Failure with the line that is wrong."""
    check(text.endswith("\n"), "the last line has no end")
    families, current = {}, None
    for line in text[:-1].split("\n"):
        m = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        if m:
            kind, name, rest = m.groups()
            if kind == "HELP":
                check(name not in families, f"{name} comes twice")
                current = families[name] = Family(name)
                current.help = rest
            else:
                check(current and current.name == name and current.type is None and not current.samples,
                      f"TYPE at the wrong place: {line}")
                check(rest in TYPES, f"no type: {line}")
                current.type = rest
            continue
        m = SAMPLE.fullmatch(line)
        check(m, f"neither comment nor sample: {line!r}")
        check(current and current.owns(m.group(1)), f"a sample outside its family: {line}")
        key = (m.group(1), tuple(sorted(labels(m.group(2) or "", line).items())))
        check(key not in current.samples, f"twice: {line}")
        current.samples[key] = number(m.group(3), line)
    for f in families.values():
        f.check()
    return families


def value(families, name, **with_labels):
    """The one sample of that name with exactly these labels."""
    for f in families.values():
        if (name, tuple(sorted(with_labels.items()))) in f.samples:
            return f.samples[name, tuple(sorted(with_labels.items()))]
    raise Failure(f"no sample {name} {with_labels}")


def documented(program, families, but=()):
    """docs/OPERATIONS.md explains these families, by type and help as they are here, and no other; `but` begins the names
    of those that stand there and are not served always."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "OPERATIONS.md")
    with open(path, encoding="utf-8") as f:
        section = f.read().split(f"\n### Metrics of {program}\n", 1)[1].split("\n### ", 1)[0]
    rows = {m[1]: (m[2], m[3]) for m in re.finditer(r"^\| `(\S+)` \| (\w+) \| (.+) \|$", section, re.M)}
    for name in sorted(rows.keys() | families.keys()):
        row, f = rows.get(name), families.get(name)
        if f is None and name.startswith(tuple(but)):
            continue
        check(f, f"docs/OPERATIONS.md explains {name}, which is not served")
        check(row == (f.type, f.help), f"docs/OPERATIONS.md needs: | `{name}` | {f.type} | {f.help} |, and has {row}")
        check("(null)" not in f.help, f"{name} has no help")


def self_test():
    """What is wrong in one way each must be refused."""
    good = "# HELP a_total Help.\n# TYPE a_total counter\na_total{x=\"1\",y=\"q\\\"\"} 3\na_total{x=\"2\",y=\"\"} 4.5\n"
    check(value(parse(good), "a_total", x="1", y='q"') == 3, "the parser does not read")
    histogram = ("# HELP h Help.\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 0.5\n"
                 "h_count 3\n")
    parse(histogram)
    bad = [good[:-1], good.replace("# TYPE a_total counter\n", ""), good.replace("# HELP a_total Help.\n", ""),
           good.replace("counter", "count"), good + good, good.replace('x="2"', 'x="1"').replace('y=""', 'y="q\\""'),
           good.replace(" 3", " three"), good.replace(" 3", "  3"), good.replace(" 3", " -3"), good + "b_total 1\n",
           good.replace('"1",', '"1",,'), good.replace('"1",', '"1"'), good.replace("a_total", "a"), good + "\n",
           good.replace(" 3", " 0x3"), good.replace('x="1"', 'x=1'), good.replace('"}', '",}'),
           histogram.replace("h_count 3", "h_count 4"), histogram.replace('"0.1"} 1', '"0.1"} 7'),
           histogram.replace("h_sum 0.5\n", "")]
    for text in bad:
        try:
            parse(text)
        except Failure:
            continue
        raise Failure(f"the parser takes: {text!r}")
