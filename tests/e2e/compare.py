"""Compares what the cloud's API tells with what the readers' ledgers and `punchgate tail` know, in both directions.

Every card of a run is presented once, so a card names its presentation; the items come with whole cards, by the API's
with_cards(). The rules, per reader:
  acknowledged is in the API     Modbus: the flag was cleared; serial: a tail line with the card's tag was printed
  committed is in the API        every tail line, by (segment, index), with the very same times
  the API is in what was presented, each presentation at most once
  in order                       gseq is in the order of presentation, and so is the API's list but for times that are within
                                 each other's uncertainty
  original time                  not before the presentation and, for a cleared flag, not after the clearing
"""
import datetime
import hashlib
import hmac
import json

from pywire import encode


def tag_of(hash_key, cred, card_hex):
    """What `punchgate tail` prints instead of a card number."""
    return hmac.new(hash_key, encode([cred[0], cred[1], bytes.fromhex(card_hex)]), hashlib.sha256).hexdigest()[:16]


def read_tail(path):
    lines = []
    try:
        with open(path, "r", encoding="utf-8") as f:
            for line in f:
                if line.startswith("{") and line.endswith("}\n"):
                    lines.append(json.loads(line))
    except FileNotFoundError:
        pass
    return lines


def cards_of(sims):
    """What was presented, for with_cards()."""
    return [(*s.cred, e["card"]) for s in sims for e in s.events() if e["event"] == "present"]


def compare(sims, tail, hash_key, items):
    """(figures, offenders): offenders is empty when nothing was lost, doubled, invented, mixed up or re-dated."""
    bad, figures = [], {"presented": 0, "acknowledged": 0, "committed": 0, "api": len(items)}
    by_id = {}
    for it in items:
        if it["id"] in by_id:
            bad.append(f"doubled: the API lists {it['id']} twice")
        by_id[it["id"]] = it
    committed = {f"{t['seg']}-{t['index']}": t for t in tail}
    figures["committed"] = len(committed)
    for key, t in committed.items():
        bad += _committed(key, t, by_id.get(key))
    names = {s.name for s in sims}
    bad += [f"invented: {it['id']} is of reader {it['reader']}, which does not exist" for it in items
            if it["reader"] not in names]
    for sim in sims:
        bad += _reader(sim, [t for t in tail if t["reader"] == sim.name], hash_key,
                       [it for it in items if it["reader"] == sim.name], figures)
    return figures, bad


def _committed(key, t, item):
    where = f"{t['reader']} gseq {t['gseq']} ({key})"
    if item is None:
        return [f"lost: committed on the gateway, absent from the API: {where}"]
    original, out = item["original"], []
    if (original["real_us"], original["mono_us"]) != (t["real"], t["mono"]):
        out.append(f"re-dated: {where}: tail {t['real']}/{t['mono']}, API {original['real_us']}/{original['mono_us']}")
    if item["gseq"] != t["gseq"] or item["reader"] != t["reader"]:
        out.append(f"mixed up: {where} is gseq {item['gseq']} of {item['reader']} in the API")
    return out


def _reader(sim, tail, hash_key, items, figures):
    out, presents, cleared = [], {}, {}
    card_of = {}
    for e in sim.events():
        if e["event"] == "present":
            if e["card"] in presents:
                out.append(f"the simulator presented {e['card']} twice: the comparison would mean nothing")
            presents[e["card"]], card_of[e["seq"]] = e, e["card"]
        elif e["event"] == "cleared":
            cleared[card_of[e["seq"]]] = e
    tags = {tag_of(hash_key, sim.cred, card): card for card in presents}
    for t in tail:
        if t["tag"] not in tags:
            out.append(f"invented: {sim.name} gseq {t['gseq']} committed a card that was never presented")
    acknowledged = set(cleared) if sim.acked else {tags[t["tag"]] for t in tail if t["tag"] in tags}
    figures["presented"] += len(presents)
    figures["acknowledged"] += len(acknowledged)
    by_card = {}
    for it in items:
        if "data" in it["credential"]:
            by_card.setdefault(it["credential"]["data"].upper(), []).append(it)
        else:
            out.append(f"invented: {sim.name} {it['id']} gseq {it['gseq']} is of a card that was never presented")
    tag_by_id = {f"{t['seg']}-{t['index']}": t["tag"] for t in tail}
    for card in sorted(acknowledged - set(by_card), key=lambda c: presents[c]["seq"]):
        out.append(f"lost: {sim.name} seq {presents[card]['seq']} card {card} was acknowledged, the API lacks it")
    for card, its in by_card.items():
        ids = ", ".join(f"{i['id']} gseq {i['gseq']}" for i in its)
        if card not in presents:
            out.append(f"invented: {sim.name} card {card} is in the API ({ids}) and was never presented")
        elif len(its) > 1:
            out.append(f"doubled: {sim.name} seq {presents[card]['seq']} card {card}: {ids}")
        else:
            out += _times(sim, presents[card], cleared.get(card), its[0])
        out += [f"mixed up: {sim.name} {i['id']} was committed with another card than {card}" for i in its
                if i["id"] in tag_by_id and tags.get(tag_by_id[i["id"]], card) != card]
    return out + _order(sim, presents, items)


def _times(sim, present, clear, item):
    real = item["original"]["real_us"]
    if real < present["time_ns"] // 1000:
        return [f"re-dated: {sim.name} seq {present['seq']}: {present['time_ns'] // 1000 - real} us before it happened"]
    if clear and real > clear["time_ns"] // 1000:
        return [f"re-dated: {sim.name} seq {present['seq']}: {real - clear['time_ns'] // 1000} us after its clearing"]
    return []


def _order(sim, presents, items):
    out, seen = [], []
    known = [(presents[card]["seq"], it) for it in items if (card := it["credential"].get("data", "").upper()) in presents]
    for seq, it in known:
        late = [(s, a) for s, a in seen if (s > seq or a["gseq"] > it["gseq"]) and not _one_time(a, it)]
        if late:
            s, a = late[0]
            out.append(f"order: {sim.name} seq {seq} gseq {it['gseq']} of {_when(it)} is listed after "
                       f"seq {s} gseq {a['gseq']} of {_when(a)}")
        seen.append((seq, it))
    known.sort(key=lambda k: k[1]["gseq"])
    for (s, a), (seq, it) in zip(known, known[1:]):
        if s > seq:
            out.append(f"order: {sim.name} seq {seq} has gseq {it['gseq']}, seq {s} before it gseq {a['gseq']}")
    return out


def _when(item):
    return f"{item['time']} +- {item['uncertainty_us']} us"


def _one_time(first, second):
    """Whether their times, as listed, say no more than that either may have been before the other."""
    if None in (first["time"], second["time"]):
        return False
    a, b = (datetime.datetime.fromisoformat(it["time"].replace("Z", "+00:00")) for it in (first, second))
    bound = (first["uncertainty_us"] or 0) + (second["uncertainty_us"] or 0)
    return datetime.timedelta(0) <= b - a <= datetime.timedelta(microseconds=bound)
