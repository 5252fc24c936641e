#!/usr/bin/env python3
"""Spans of file stores that real MLflow has written, migrated into databases of several releases and read by real MLflow.

    test_spans.py [--work DIR]

What MLflow of the target's release says of every span of every trace must be what it says of the file store; filters that look
into spans, and Overview's numbers, must be those of a database that the same traces were logged into.

"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from harness import BIN, HERE, Tap, load_and_verify, python_of, run, tool, work_directory

WRITERS = ("2.22.5", "3.2.0", "3.17.2")
TARGETS = ("3.16.1", "3.17.2")  # with places of their own for models and token counts
CHECKS = HERE / "span_checks.py"


def mlflow(version, *words, cwd):
    done = run([python_of(version), CHECKS, *words], cwd=str(cwd), timeout=1800)
    if done.returncode:
        raise RuntimeError("MLflow %s, span_checks.py %s: %s" % (version, " ".join(map(str, words)), done.stderr[-3000:]))


def facts(path):
    return json.loads(path.read_text(encoding="utf-8"))


def differing(a, b):
    return ["%s: %s, wanted %s" % (name, json.dumps(b.get(name))[:600], json.dumps(a[name])[:600]) for name in a if a[name] != b.get(name)]


def check_target(tap, work, target):
    """All databases of a target's release are read by one process of that release."""
    twin = work / ("twin-%s.db" % target)
    mlflow(target, "log", "sqlite:///%s" % twin, cwd=work)
    read = ["sqlite:///%s" % twin, work / ("twin-%s.json" % target)]
    loaded = []
    for writer in WRITERS:
        tree, stream, database = work / writer, work / (writer + ".mlr"), work / ("%s-%s.db" % (writer, target))
        done = load_and_verify(stream, "sqlite:///%s" % database, "--release", target)
        if not tap.ok(done.returncode == 0, "%s into %s: loaded and verified" % (writer, database.stem), done.stdout, done.stderr):
            continue
        loaded.append((writer, database))
        read += [(tree / "mlruns").as_uri(), tree / ("file-%s.json" % target)]
        read += ["sqlite:///%s" % database, database.with_suffix(".json")]
    if target == TARGETS[-1]:  # and one that was loaded into the release before, and upgraded
        upgraded = work / "upgraded.db"
        shutil.copy(work / ("%s-%s.db" % (WRITERS[-1], TARGETS[0])), upgraded)
        done = tool("ml-schema", "upgrade", "-q", "--to", target, "sqlite:///%s" % upgraded)
        if tap.ok(done.returncode == 0, "ml-schema upgrades a database with spans", done.stderr):
            loaded.append((WRITERS[-1], upgraded))
            read += ["sqlite:///%s" % upgraded, upgraded.with_suffix(".json")]
    mlflow(target, "facts", *read, cwd=work)
    native = facts(work / ("twin-%s.json" % target))
    tap.ok(len(native["filters"]["span.type = 'TOOL'"]) == 4, "MLflow %s finds spans that it has logged itself" % target, native["filters"])
    for writer, database in loaded:
        name = "%s, read by MLflow %s: " % (database.stem, target)
        files, rows = facts(work / writer / ("file-%s.json" % target)), facts(database.with_suffix(".json"))
        count = sum(map(len, files["spans"].values()))
        tap.ok(count == 18 and files["spans"] == rows["spans"], name + "every property of %d spans is as in the file store" % count, *differing(files["spans"], rows["spans"]))
        tap.ok(native["filters"] == rows["filters"], name + "filters find what they find natively", *differing(native["filters"], rows["filters"]))
        wanted = dict(native["metrics"])
        if writer.startswith("2."):  # which counted no tokens
            wanted.update({"TRACES total_tokens": [], "TRACES input_tokens": []})
        tap.ok(wanted == rows["metrics"], name + "Overview's numbers are those of the twin", *differing(wanted, rows["metrics"]))


def check_delete(tap, work, target):
    database, left = work / "delete.db", work / "left.json"
    shutil.copy(work / ("%s-%s.db" % (WRITERS[-1], target)), database)
    mlflow(target, "delete", "sqlite:///%s" % database, left, cwd=work)
    wanted = {"trace_info": 2, "spans": 2, "span_metrics": 0, "trace_metrics": 0}
    tap.ok(facts(left) == wanted, "MLflow %s deletes traces with their spans" % target, facts(left))


def main():
    parser = argparse.ArgumentParser(description="Migrate spans, and read them with real MLflow.")
    parser.add_argument("--work", type=Path, help="work and leave everything here")
    arguments = parser.parse_args()
    tap = Tap()
    with work_directory(arguments.work, "spans") as work:
        for writer in WRITERS:
            (work / writer).mkdir()
            mlflow(writer, "write", work / writer / "mlruns", cwd=work / writer)
            with open(work / (writer + ".mlr"), "wb") as out:
                run([BIN / "mlruns-dump", "-q", work / writer / "mlruns"], stdout=out, check=True)
        for target in TARGETS:
            check_target(tap, work, target)
        check_delete(tap, work, TARGETS[0])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
