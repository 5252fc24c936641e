#!/usr/bin/env python3
"""Spans of file stores that real MLflow has written, migrated into databases of several releases and read by real MLflow.

    test_spans.py [--work DIR] [--writers V,V] [--targets V,V]

The trees of all writers are merged into one database for each target's release and dialect.  What MLflow of that release says of
every span of every trace, directly and over REST, must be what it says of the tree; filters that look into spans, and Overview's
numbers, must be those of a database that the same traces were logged into.  What its deletion, its gc and its upgrade leave must
be equal, too.  DEEP=1 in the environment takes all releases that changed something in this.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from harness import BIN, ENVIRONMENT, HERE, ROOT, Tap, create_database, load_and_verify, postgres, python_of, run, tool, work_directory

DEEP = os.environ.get("DEEP") == "1"
# Each shape of traces.json: tests/setup.sh says which environments are made for them.
WRITERS = ("2.22.5", "3.0.1", "3.5.0", "3.17.2")
ALL_WRITERS = ("2.15.1", "2.22.5", "3.0.1", "3.2.0", "3.4.0", "3.5.0", "3.5.1", "3.12.0", "3.17.2")
# The first with a table for spans, and two with places of their own for models and token counts.
TARGETS = ("3.4.0", "3.16.1", "3.17.2")
ALL_TARGETS = ("3.4.0", "3.6.0", "3.10.1", "3.16.1", "3.17.2")
NEWEST = "3.17.2"
TRACES, SPANS = 6, 18  # of each tree
CHECKS = HERE / "span_checks.py"


def number(version):
    return tuple(map(int, version.split(".")))


class Mlflow:
    """Jobs for one process of an MLflow, as starting one takes most of the time."""

    def __init__(self, version, work):
        self.version = version
        self.work = work
        self.jobs = []

    def do(self, command, *words):
        self.jobs.append([command, *map(str, words)])

    def run(self):
        jobs = self.work / ("jobs-%s.json" % self.version)
        jobs.write_text(json.dumps(self.jobs))
        done = run([python_of(self.version), CHECKS, jobs], cwd=str(self.work), timeout=3600)
        if done.returncode:
            raise RuntimeError("MLflow %s, span_checks.py %s: %s" % (self.version, self.jobs, done.stderr[-3000:]))
        self.jobs = []


def facts(path):
    return json.loads(path.read_text(encoding="utf-8"))


def differing(a, b):
    return ["%s: %s, wanted %s" % (name, json.dumps(b.get(name))[:600], json.dumps(a[name])[:600]) for name in a if a[name] != b.get(name)]


def merged(trees, stream, *options):
    """All trees in one stream, with ids that PostgreSQL can hold."""
    parts = []
    for tree in trees:
        parts.append(stream.with_suffix(".%d" % len(parts)))
        with open(parts[-1], "wb") as out:
            run([BIN / "mlruns-dump", "-q", *options, tree], stdout=out, check=True)
    both = b"".join(part.read_bytes() for part in parts)
    words = [BIN / "ml-transform", "-q", "--merge", "--on-conflict", "merge", "--renumber-experiments"]
    stream.write_bytes(subprocess.run(words, input=both, stdout=subprocess.PIPE, env=ENVIRONMENT, check=True).stdout)


def loaded(tap, stream, name, url, target, *options):
    done = load_and_verify(stream, url, "--release", target, *options)
    return tap.ok(done.returncode == 0, "%s: loaded and verified" % name, done.stdout, done.stderr)


def compare(tap, name, trees, twin, database):
    """database: what MLflow says of a migrated one; trees: of each tree; twin: of one that it has logged into."""
    for experiment, tree in trees.items():
        said = database.get(experiment, {"spans": {}, "filters": {}, "metrics": {}})
        where = "%s: %s: " % (name, experiment)
        unreadable = {spans for spans in tree["spans"].values() if isinstance(spans, str)}
        if unreadable:  # a shape that this MLflow does not know
            tap.ok(tree["spans"] == said["spans"], where + "as the file store: %s" % unreadable.pop(), *differing(tree["spans"], said["spans"]))
        else:
            count = sum(map(len, tree["spans"].values()))
            good = count == SPANS and tree["spans"] == said["spans"]
            tap.ok(good, where + "every property of %d spans is as in the file store" % count, *differing(tree["spans"], said["spans"]))
        tap.ok(twin["filters"] == said["filters"], where + "filters find what they find natively", *differing(twin["filters"], said["filters"]))
        wanted = dict(twin["metrics"])
        if not tree["tokens"]:  # this release did not sum them up
            wanted.update({metric: [] for metric in wanted if metric.endswith("_tokens")})
        tap.ok(wanted == said["metrics"], where + "Overview's numbers are those of the twin", *differing(wanted, said["metrics"]))


def browser():
    """The python that drives Chromium; None: there is none."""
    done = run([ROOT / "tests" / "setup.sh", "browser"], timeout=1800)
    return done.stdout.strip() if done.returncode == 0 and shutil.which("chromium") else None


class Target:
    """The databases of one release."""

    def __init__(self, tap, work, version, trees, stream):
        self.tap = tap
        self.work = work / ("into-" + version)
        self.work.mkdir()
        self.version = version
        self.trees = trees
        self.stream = stream
        self.mlflow = Mlflow(version, self.work)
        self.sqlite = self.work / "spans.db"
        self.urls = {"SQLite": "sqlite:///%s" % self.sqlite, "PostgreSQL": create_database("spans_" + version.replace(".", "_"))}
        self.twin = "sqlite:///%s" % (self.work / "twin.db")
        self.browser = browser() if version == NEWEST else None

    def load(self):
        for dialect, url in self.urls.items():
            loaded(self.tap, self.stream, "%s of %s" % (dialect, self.version), url, self.version)
        shutil.copy(self.sqlite, self.work / "before.db")

    def facts(self, what):
        return facts(self.work / (what + ".json"))

    def said_of_trees(self):
        return {name: one for tree in self.trees for name, one in self.facts("tree-" + tree.parent.name).items()}

    def run(self, upgraded, located):
        """All that MLflow is asked for, in one process. upgraded: name -> URL of databases to be read, too; located: a Located."""
        self.mlflow.do("log", self.twin, "twin")
        self.mlflow.do("facts", self.twin, self.work / "twin.json")
        for tree in self.trees:
            self.mlflow.do("facts", tree.as_uri(), self.work / ("tree-%s.json" % tree.parent.name))
        for name, url in {**self.urls, **upgraded}.items():
            self.mlflow.do("facts", url, self.work / (name + ".json"))
        for dialect, url in self.urls.items():
            self.mlflow.do("serve", url, self.work / (dialect + " over REST.json"))
        if located:
            located.ask(self.mlflow)
        if self.browser:
            self.mlflow.do("browse", self.urls["SQLite"], self.work / "pages.json", "spans-" + NEWEST, self.browser)
        for name, url in {"twin": self.twin, **self.urls}.items():
            self.mlflow.do("delete", url, self.work / (name + "-left.json"))
        self.mlflow.run()

    def check(self, upgraded):
        trees, twin = self.said_of_trees(), self.facts("twin")["twin"]
        searched = twin["filters"]["span.name = 'retrieve'"]
        self.tap.ok(len(searched) == 4, "MLflow %s finds spans that it has logged itself" % self.version, twin["filters"])
        for name in [*self.urls, *(dialect + " over REST" for dialect in self.urls), *upgraded]:
            compare(self.tap, "MLflow %s, %s" % (self.version, name), trees, twin, self.facts(name))
        self.check_delete()
        if self.version == NEWEST:
            self.check_pages()

    def check_pages(self):
        name = "Chromium opens a trace found by its spans' text, with their tree and tokens; Overview counts tool calls"
        if not self.browser:
            self.tap.skip(name, "no Chromium could be installed")
            return
        said = self.facts("pages")
        wanted = {"search": "q=needle", "tokens": "15 tokens", "tree": ["retrieve", "tool", "model"], "tool calls": "4"}
        self.tap.ok(said == wanted, name, said.get("error", said))

    def check_delete(self):
        native = self.facts("twin-left")
        kept = native["deleted"]["twin"]
        self.tap.ok(kept["trace_info"] == 2 and kept["spans"] == 2, "MLflow %s deletes traces with their spans" % self.version, kept)
        for dialect in self.urls:
            said = self.facts(dialect + "-left")
            where = "MLflow %s, %s: " % (self.version, dialect)
            wrong = [
                (name, table, n) for name, rows in said["deleted"].items() for table, n in rows.items()
                if name == "" or (table in ("trace_info", "spans") and n != kept[table])
            ]  # fmt: skip
            self.tap.ok(not wrong, where + "deleting traces leaves what it leaves in the twin", wrong)
            same = (said["gc"], bool(said["collected"])) == (native["gc"], bool(native["collected"]))
            self.tap.ok(same, where + "gc of an experiment ends as it does with the twin", said, native)


def check_upgrade(tap, work, targets):
    """ml-schema and MLflow itself upgrade what was loaded into each older release to the newest; gives MLflow's jobs and what to compare."""
    mlflow, pairs = Mlflow(NEWEST, work), {}
    for target in targets:
        if target == NEWEST:
            continue
        before = work / ("into-" + target) / "before.db"
        ours, theirs = before.with_name("ours.db"), before.with_name("theirs.db")
        shutil.copy(before, ours)
        shutil.copy(before, theirs)
        done = tool("ml-schema", "upgrade", "-q", "--to", NEWEST, "sqlite:///%s" % ours)
        if tap.ok(done.returncode == 0, "ml-schema upgrades spans of %s" % target, done.stderr):
            mlflow.do("upgrade", "sqlite:///%s" % theirs)
            pairs["upgraded-" + target] = (ours, theirs)
    mlflow.run()
    for name, (ours, theirs) in pairs.items():
        for table in ("spans", "span_metrics", "trace_metrics", "trace_info", "trace_tags", "trace_request_metadata"):
            a, b = rows(ours, table), rows(theirs, table)
            tap.ok(a == b, "%s: %s is as MLflow's upgrade leaves it" % (name, table), *[pair for pair in zip(a, b) if pair[0] != pair[1]][:3])
    return {name: "sqlite:///%s" % ours for name, (ours, _) in pairs.items()}


def rows(path, table):
    with sqlite3.connect(path) as db:
        db.row_factory = sqlite3.Row
        return sorted((dict(row) for row in db.execute("SELECT * FROM %s" % table)), key=lambda row: json.dumps(row, sort_keys=True))


class Located:
    """--spans-in-database: without the files of the traces that have the tag, MLflow reads everything as before."""

    def __init__(self, tap, work, target, trees):
        self.tap = tap
        self.version = target
        self.trees = work / ("into-" + target)
        self.place = work / ("located-" + target)
        copies = [Path(shutil.copytree(tree, self.place / tree.parent.name / "mlruns")) for tree in trees]
        stream, database = self.place / "all.mlr", self.place / "spans.db"
        self.url = "sqlite:///%s" % database
        merged(copies, stream, "--relocate")
        loaded(tap, stream, "--spans-in-database, %s" % target, self.url, target, "--spans-in-database")
        with sqlite3.connect(database) as db:
            ids = {row[0] for row in db.execute("SELECT request_id FROM trace_tags WHERE key = 'mlflow.trace.spansLocation'")}
        files = [path for copy in copies for path in copy.rglob("traces.json") if path.parent.parent.name in ids]
        modern = [tree for tree in trees if number(tree.parent.name) >= (3, 2)]
        tap.ok(len(ids) == len(files) == TRACES * len(modern), "--spans-in-database, %s: all traces since 3.2 qualify" % target, ids)
        for path in files:
            path.unlink()

    def ask(self, mlflow):
        mlflow.do("facts", self.url, self.place / "directly.json")
        mlflow.do("serve", self.url, self.place / "over REST.json")

    def check(self):
        before = {name: one["spans"] for path in self.trees.glob("tree-*.json") for name, one in facts(path).items()}
        for way in ("directly", "over REST"):
            said = {name: one["spans"] for name, one in facts(self.place / (way + ".json")).items()}
            name = "MLflow %s, --spans-in-database, %s: every property is as in the files, without these" % (self.version, way)
            self.tap.ok(before == said, name, *differing(before, said))


def main():
    parser = argparse.ArgumentParser(description="Migrate spans, and read them with real MLflow.")
    parser.add_argument("--work", type=Path, help="work and leave everything here")
    parser.add_argument("--writers", default=",".join(ALL_WRITERS if DEEP else WRITERS))
    parser.add_argument("--targets", default=",".join(ALL_TARGETS if DEEP else TARGETS))
    arguments = parser.parse_args()
    writers, targets = arguments.writers.split(","), arguments.targets.split(",")
    tap = Tap()
    with work_directory(arguments.work, "spans") as work, postgres():
        trees = [work / writer / "mlruns" for writer in writers]
        for writer, tree in zip(writers, trees):
            tree.parent.mkdir()
            mlflow = Mlflow(writer, tree.parent)
            mlflow.do("write", tree, "spans-" + writer)
            mlflow.run()
        stream = work / "all.mlr"
        merged(trees, stream)
        for version in targets:
            target = Target(tap, work, version, trees, stream)
            target.load()
            upgraded = check_upgrade(tap, work, targets) if version == NEWEST else {}
            with_tag = version == NEWEST or (DEEP and number(version) >= (3, 6))
            located = Located(tap, work, version, trees) if with_tag else None
            target.run(upgraded, located)
            target.check(upgraded)
            if located:
                located.check()
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
