#!/usr/bin/env python3
"""Trees that were moved, and trees in which experiments share an id or a name, migrated and used with real MLflow.

    test_places.py [--work DIR]
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from harness import BIN, HERE, Tap, load_and_verify, python_of, run, tool, work_directory

NEWEST = "3.17.2"
WRITTEN_AS = {  # how the same tree's URIs look when another system has written it
    "on Windows": "file:///C:/Users/ada/work/mlruns",
    "on Windows, with backslashes": r"file:C:\Users\ada\my work\mlruns",
    "from the directory above it": "./mlruns",
}


def script(name, *words, cwd):
    return run([python_of(NEWEST), HERE / name, *words], cwd=str(cwd))


def migrate(tree, database, *filters, dump=()):
    """mlruns-dump TREE | FILTER… | ml-load; verified by ml-verify; gives the URL and what failed."""
    stream = database.with_suffix(".mlr")
    url = "sqlite:///%s" % database
    with open(stream, "wb") as out:
        done = run([BIN / "mlruns-dump", "-q", *dump, tree], stdout=out)
    for words in filters:
        changed = stream.with_suffix(".new")
        with open(stream, "rb") as source, open(changed, "wb") as out:
            done = tool("ml-transform", "-q", *words, stdin=source, stdout=out)
        changed.replace(stream)
    return url, done if done.returncode else load_and_verify(stream, url, "--release", NEWEST)


def rewrite(tree, old, new):
    """Puts another root into the URIs of the tree's files; every separator after it becomes the new root's."""
    for path in list(tree.rglob("*.yaml")) + list(tree.rglob("mlflow.artifactLocation")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        for i, line in enumerate(lines):
            if old in line:
                head, rest = line.split(old, 1)
                lines[i] = head + new + (rest.replace("/", "\\") if "\\" in new else rest)
        path.write_text("".join(lines), encoding="utf-8")


def check_moved(tap, work):
    """Artifacts and spans are found after --relocate, wherever the tree was written, and not without it."""
    old, facts = work / "elsewhere" / "mlruns", work / "facts.json"
    old.parent.mkdir()
    done = script("artifact_checks.py", "write", old, facts, cwd=work)
    if done.returncode:
        raise RuntimeError("a tree with artifacts: %s" % done.stderr[-3000:])
    tree = work / "moved here" / "mlruns"
    tree.parent.mkdir()
    old.rename(tree)
    root = old.as_uri()
    for number, (where, new) in enumerate([("in another directory", root), *WRITTEN_AS.items()]):
        copy = work / ("copy %d" % number) / "mlruns"
        shutil.copytree(tree, copy)
        rewrite(copy, root, new)
        for option, command in ([((), "lost")] if number == 0 else []) + [(("--relocate",), "read")]:
            name = "written %s, %s: " % (where, "relocated" if option else "as it is")
            url, done = migrate(copy, work / ("%d-%s.db" % (number, command)), dump=option)
            if tap.ok(done.returncode == 0, name + "loaded and verified", done.stderr):
                words = [command, url, facts, *([copy] if option else [])]
                done = script("artifact_checks.py", *words, cwd=work)
                tap.include(done.stdout, name)
                tap.ok(done.returncode == 0, name + "all of it", done.stderr[-2000:])


def check_clashes(tap, work):
    """A deleted experiment with the id of an active one, and another one with its name."""
    old, facts_file = work / "before" / "mlruns", work / "clashes.json"
    old.parent.mkdir()
    done = script("place_checks.py", "write", old, facts_file, cwd=work)
    if done.returncode:
        raise RuntimeError("a tree: %s" % done.stderr[-3000:])
    facts = json.loads(facts_file.read_text(encoding="utf-8"))
    active, deleted, twin = (facts[which]["experiment"] for which in ("active", "deleted", "twin"))
    trash = old / ".trash"
    meta = trash / deleted / "meta.yaml"
    meta.write_text(meta.read_text().replace("name: churn before", "name: churn"))
    (trash / twin).rename(trash / active)
    rewrite(trash / active, twin, active)
    tree = work / "after" / "mlruns"
    tree.parent.mkdir()
    old.rename(tree)
    done = tool("mlruns-dump", "--check", tree)
    tap.ok(done.returncode == 1 and "--renumber-trash" in done.stderr, "the pair of one id is named", done.stderr)
    options = ("--renumber-trash", "--relocate")
    done = tool("mlruns-dump", "--check", *options, tree)
    tap.ok(done.returncode == 1 and "--on-conflict rename" in done.stderr, "the pair of one name is named", done.stderr)
    url, done = migrate(tree, work / "clashes.db", ("--merge", "--on-conflict", "rename"), dump=options)
    if tap.ok(done.returncode == 0, "cured, loaded and verified", done.stderr):
        done = script("place_checks.py", "read", url, facts_file, cwd=work)
        tap.include(done.stdout, "")
        tap.ok(done.returncode == 0, "all of it", done.stderr[-3000:])


def main():
    parser = argparse.ArgumentParser(description="Migrate moved trees and trees with clashes, and use them with real MLflow.")
    parser.add_argument("--work", type=Path, help="work and leave everything here")
    arguments = parser.parse_args()
    tap = Tap()
    with work_directory(arguments.work, "places") as work:
        check_clashes(tap, work)
        check_moved(tap, work)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
