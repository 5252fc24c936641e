#!/usr/bin/env python3
"""apply_deltas.py FULL.mlr DELTA.mlr...: the records that FULL and then the deltas make, as sorted JSON lines without header
and trailer, for a comparison with those of a full dump.

It is what a sync would do to an empty database that nobody else writes to: points and inputs are added, of what has one value the
last counts, of latest metrics the greatest. Says what is wrong with a delta: a parent without a mark that was there, a mark on
one that was not, an `unchanged` one that is not as it was, children before their parent.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def read_keys():
    keys, fields = {}, {}
    for line in (ROOT / "formats" / "entities.def").read_text().splitlines():
        found = re.match(r'FIELD\((\w+), (\w+), \w+, ([^,]+), "', line)
        if found:
            fields.setdefault(found[1], []).append(found[2])
            if "K" in found[3].split(" | "):
                keys.setdefault(found[1], []).append(found[2])
    for kind, names in fields.items():
        if kind in ("metric", "logged_model_metric"):
            keys[kind] = names
    return keys


KEYS = read_keys()
MARKED = {"experiment", "run", "trace", "logged_model", "registered_model", "prompt", "model_version"}
OWNER = {"run_id": ["run"], "trace_id": ["trace"], "model_id": ["logged_model"], "name": ["registered_model", "prompt"]}


def number(v):
    if isinstance(v, dict):
        v = float(v["$float"]) if "$float" in v else int(v["$int"])
    return 0 if v != v else v


def rank(r):
    return number(r["step"]), number(r.get("timestamp", 0)), number(r["value"])


def key_of(kind, r):
    return (kind,) + tuple(json.dumps(r.get(k)) for k in KEYS[kind])


def apply(records, path, first):
    lines = subprocess.run(["ml-transform", "-q", "--json"], stdin=open(path, "rb"), stdout=subprocess.PIPE, check=True).stdout
    wrong = []
    given = set()
    for line in lines.decode().splitlines():
        r = json.loads(line)
        kind = r["kind"]
        if kind in ("header", "trailer", "skipped"):
            if kind == "header" and ("base" in r) == first:
                wrong.append(f"header: base {r.get('base')}")
            continue
        key = key_of(kind, r)
        mark = r.pop("partial", None)
        old = records.get(key)
        if kind in MARKED:
            given.add(key)
            if mark is None and old is not None:
                wrong.append(f"{key}: there already, without a mark")
            if mark is not None and old is None:
                wrong.append(f"{key}: marked {mark}, and not there")
            if mark == "unchanged" and old != r:
                wrong.append(f"{key}: unchanged, but is {r}, was {old}")
            if mark == "changed" and old == r:
                wrong.append(f"{key}: changed, but is as it was")
        if kind == "latest_metric" and old and rank(old) > rank(r):
            continue
        if kind not in MARKED and not kind.startswith("logged_model_metric"):
            owner = KEYS[kind][0]
            if kind == "assessment":
                owner = "trace_id"
            if owner in OWNER and not any((k, json.dumps(r[owner])) + tail in given for k in OWNER[owner] for tail in ((), ("null",))):
                wrong.append(f"{key}: before its parent")
        records[key] = r
    return wrong


def main():
    records, wrong = {}, []
    for i, path in enumerate(sys.argv[1:]):
        wrong += [f"{path}: {w}" for w in apply(records, path, i == 0)]
    for line in sorted(json.dumps(r, sort_keys=True) for r in records.values()):
        print(line)
    for w in wrong:
        print(w, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
