#!/usr/bin/env python3
"""Migrates file stores that real MLflow wrote and reads the result back with real MLflow.

    test_migrate.py [--fixtures-dir DIR] [--work DIR] [--versions V,V…] [--sizes small,full] [--no-servers]

For each MLflow of tests/setup.sh: its fixtures are written (or taken from DIR/VERSION/SIZE/mlruns), dumped and loaded at
that release and at the newest (full ones at those between too), verified by ml-verify, and compared field by field with
what MLflow's own stores find on both sides; the newest also at older releases that MLflow 2.22.5 and 3.2.0 read, which
cannot hold all of it.  Then `mlflow server` runs on the databases.  A VERSION that has no environment here is read by the
newest.
"""

import argparse
import json
import re
import shutil
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import compare_stores
from harness import BIN, ENVIRONMENT, HERE, Tap, python_of, run, tool, versions, work_directory

SERVER_VERSIONS = ("2.22.5", "3.2.0", "3.17.2")
REPORT_NAMES = {"experiments": "Experiments", "runs": "Runs", "traces": "Traces", "logged_models": "Logged Models"}


def number(version):
    return tuple(int(part) for part in version.split("."))


class Tree:
    """A fixture: the MLflow that wrote it, where it is, and what its own FileStore finds in it."""

    def __init__(self, version, size, path, reader):
        self.version = version
        self.size = size
        self.path = path
        self.reader = reader

    def __str__(self):
        return "%s %s" % (self.version, self.size)

    def source(self, work):
        return work / ("%s.%s.source.json" % (self.version, self.size))


class Migration:
    """A tree in a database of a release."""

    def __init__(self, tree, release, work):
        self.tree = tree
        self.release = release
        self.database = work / ("%s.%s.at.%s.db" % (tree.version, tree.size, release))
        self.found = self.database.with_suffix(".json")
        self.loaded = False
        self.older = number(release) < number(tree.reader)

    def __str__(self):
        return "%s at %s" % (self.tree, self.release)

    @property
    def url(self):
        return "sqlite:///%s" % self.database


def generate(version, sizes, work):
    """The trees of one MLflow, written now."""
    python = python_of(version)
    trees = []
    for size in sizes:
        path = work / "fixtures" / version / size / "mlruns"
        done = run([python, HERE / "generate_fixtures.py", "--output", path, "--size", size], cwd=str(work))
        if done.returncode:
            raise RuntimeError("fixtures of %s: %s" % (version, done.stderr[-3000:]))
        trees.append(Tree(version, size, path, version))
    return trees


def given(directory, known, sizes):
    """The trees below a directory of fixtures."""
    trees = []
    for path in sorted(directory.glob("*/*/mlruns")):
        version, size = path.parts[-3:-1]
        if size in sizes:
            trees.append(Tree(version, size, path, version if version in known else known[-1]))
    return trees


def read_stores(version, pairs, work):
    """Stores as the MLflow of that version sees them: (store, file) pairs, in one process."""
    words = [str(word) for pair in pairs for word in pair]
    return run([python_of(version), HERE / "compare_stores.py", "read", *words], cwd=str(work))


def load_and_verify(tap, migration, work):
    stream = work / "stream.mlr"
    with open(stream, "wb") as out:
        done = run([BIN / "mlruns-dump", "-q", migration.tree.path], stdout=out)
    if not tap.ok(done.returncode == 0, "%s: dumped" % migration, "exit %d" % done.returncode, done.stderr):
        return
    if migration.older:
        load_into_older(tap, migration, stream)
        return
    with open(stream, "rb") as source:
        done = tool("ml-load", "--release", migration.release, migration.url, stdin=source)
    if not tap.ok(done.returncode == 0, "%s: loaded" % migration, "exit %d" % done.returncode, done.stderr):
        return
    migration.loaded = True
    with open(stream, "rb") as source:
        done = tool("ml-verify", "--exact", migration.url, stdin=source)
    good = done.returncode == 0 and done.stdout.endswith("Status: SUCCESS\n")
    tap.ok(good, "%s: ml-verify finds them equal" % migration, "exit %d" % done.returncode, done.stdout, done.stderr)
    source = json.loads(migration.tree.source(work).read_text(encoding="utf-8"))
    for kind, name in REPORT_NAMES.items():
        count = len(source[kind])
        line = re.search(r"^%s: (\d+)/(\d+) passed$" % name, done.stdout, re.MULTILINE)
        found = line.groups() if line else ("0", "0")
        tap.ok(found == (str(count), str(count)), "%s: ml-verify counts %d %s" % (migration, count, name), done.stdout)


def load_into_older(tap, migration, stream):
    """A release that lacks tables and columns for some of it."""
    for options, status in (([], 2), (["--drop-unsupported"], 1)):
        with open(stream, "rb") as source:
            done = tool("ml-load", "--release", migration.release, *options, migration.url, stdin=source)
        name = "%s: ml-load %s" % (migration, " ".join(options) or "refuses what has no place")
        tap.ok(done.returncode == status, name, "exit %d" % done.returncode, done.stderr)
        if status == 2:
            tap.ok(not migration.database.exists(), "%s: no target" % migration)
    migration.loaded = done.returncode == 1


def without_the_new(source, release):
    """What an older release can hold of a tree."""
    source = json.loads(json.dumps(source))
    if release < (3, 11):  # the first that reads references to issues
        for trace in source["traces"].values():
            trace["assessments"] = {key: one for key, one in trace["assessments"].items() if one["kind"] != "issue"}
    if release < (3, 0):
        source["logged_models"] = {}
        for run in source["runs"].values():
            run["model_inputs"] = run["model_outputs"] = []
        for trace in source["traces"].values():
            trace["assessments"] = {}
            for name in ("client_request_id", "request_preview", "response_preview"):
                trace[name] = None
    return source


def compare(tap, migration, work):
    source = json.loads(migration.tree.source(work).read_text(encoding="utf-8"))
    target = json.loads(migration.found.read_text(encoding="utf-8"))
    if migration.older:
        source = without_the_new(source, number(migration.release))
    for kind, (count, lines) in compare_stores.compare(source, target).items():
        tap.ok(not lines, "%s: MLflow finds the same %d %s" % (migration, count, kind.replace("_", " ")), *lines)


def same_twice(tap, migration, work):
    """Nothing in a database depends on when or how often it was loaded."""
    again = Migration(migration.tree, migration.release, work / "again")
    again.database.parent.mkdir(exist_ok=True)
    load_quietly(again)
    texts = []
    for database in (migration.database, again.database):
        connection = sqlite3.connect("file:%s?mode=ro" % database, uri=True)
        texts.append("\n".join(connection.iterdump()))
        connection.close()
    tap.ok(texts[0] == texts[1], "%s: loaded twice, the databases are equal" % migration)


def load_quietly(migration):
    stream = migration.database.with_suffix(".mlr")
    with open(stream, "wb") as out:
        run([BIN / "mlruns-dump", "-q", migration.tree.path], stdout=out)
    with open(stream, "rb") as source:
        return tool("ml-load", "-q", "--release", migration.release, migration.url, stdin=source)


def check_server(migration, work):
    """TAP text of the checks against a server on a copy of the database."""
    directory = work / ("server.%s" % migration.release)
    directory.mkdir()
    shutil.copy(migration.database, directory / "mlflow.db")
    done = run(
        [python_of(migration.release), HERE / "server_checks.py", "--url", "sqlite:///%s" % (directory / "mlflow.db"),
         "--source", migration.tree.source(work)],
        cwd=str(directory),
    )  # fmt: skip
    return migration, done


def printed_export(tap, tree, release, work):
    """The line that ml-migrate ends with makes a bare client open the database and not ./mlruns."""
    directory = work / "export"
    shutil.copytree(tree.path, directory / "mlruns")
    done = tool(
        "ml-migrate", "--source", "./mlruns", "--target", "sqlite:///mlflow.db", "--release", release, "--verify", cwd=str(directory)
    )
    text = done.stdout + done.stderr
    lines = re.findall(r"^\s*(export MLFLOW_TRACKING_URI=\S+)\s*$", text, re.MULTILINE)
    if not tap.ok(done.returncode == 0 and lines, "ml-migrate ends with an export", "exit %d" % done.returncode, text):
        return
    environment = {name: value for name, value in ENVIRONMENT.items() if name != "MLFLOW_ALLOW_FILE_STORE"}
    program = "import mlflow; print(len(mlflow.search_experiments()), mlflow.get_tracking_uri())"
    shown = run(["sh", "-c", lines[-1] + '\n"$0" -c "$1"', python_of(release), program], cwd=str(directory), env=environment)
    source = json.loads(tree.source(work).read_text(encoding="utf-8"))
    active = sum(one["lifecycle_stage"] == "active" for one in source["experiments"].values())
    tap.ok(shown.stdout.startswith("%d sqlite:" % active), "the printed export works in that directory", lines[-1], shown.stdout, shown.stderr)


def audit(tap, tree, release, work):
    """ml-verify on a database that MLflow's own tool has migrated: what that lost, and only that."""
    directory = work / "audit"
    shutil.copytree(tree.path, directory / "mlruns")
    for path in directory.glob("mlruns/**/metrics/**/*"):
        if path.is_file():  # the tool dies of points that were logged twice
            path.write_text("".join(dict.fromkeys(path.read_text().splitlines(keepends=True))))
    mlflow = Path(python_of(release)).parent / "mlflow"
    done = run([mlflow, "migrate-filestore", "--source", "mlruns", "--target", "sqlite:///mlflow.db"], cwd=str(directory))
    if not tap.ok(done.returncode == 0, "mlflow migrate-filestore runs", done.stdout, done.stderr):
        return
    stream = run([BIN / "mlruns-dump", "-q", "mlruns"], cwd=str(directory), encoding=None, errors=None).stdout
    done = run([BIN / "ml-verify", "sqlite:///mlflow.db"], cwd=str(directory), input=stream, encoding=None, errors=None)
    report = done.stdout.decode()
    lost = ["'text.crlf'", "Field 'create_time': source=17", "Assessment", "missing in target", "Model input"]
    absent = [text for text in lost if text not in report]
    tap.ok(done.returncode == 1 and not absent, "ml-verify names what mlflow migrate-filestore lost", absent, report)
    for name in ("Experiments", "Runs", "Metrics", "Latest Metrics", "Datasets", "Model Versions"):
        good = re.search(r"^%s: (\d+)/\1 passed$" % name, report, re.MULTILINE)
        tap.ok(good, "ml-verify finds its %s sound" % name, report)


def releases_for(tree, known):
    newest = known[-1]
    if tree.size != "full":
        return [release for release in known if release in (tree.reader, newest)]
    older = ("2.22.5", "3.2.0") if tree.version == newest else ()
    return [release for release in known if number(release) >= number(tree.reader) or release in older]


def main():
    parser = argparse.ArgumentParser(description="Migrate what real MLflow wrote, and read it back with real MLflow.")
    parser.add_argument("--fixtures-dir", type=Path, help="take the trees from DIR/VERSION/SIZE/mlruns")
    parser.add_argument("--work", type=Path, help="work and leave everything here")
    parser.add_argument("--versions", help="only these, with commas between (default: all of tests/setup.sh)")
    parser.add_argument("--sizes", default="small,full")
    parser.add_argument("--no-servers", action="store_true")
    arguments = parser.parse_args()
    known = arguments.versions.split(",") if arguments.versions else versions()
    sizes = arguments.sizes.split(",")
    with work_directory(arguments.work, "migrate") as work:
        return test(arguments, known, sizes, work)


def test(arguments, known, sizes, work):
    tap = Tap()
    newest = known[-1]
    with ThreadPoolExecutor(2) as pool:
        if arguments.fixtures_dir:
            trees = given(arguments.fixtures_dir.absolute(), known, sizes)
        else:
            trees = [tree for made in pool.map(lambda version: generate(version, sizes, work), known) for tree in made]
        if not trees:
            raise SystemExit("Bail out! no tree DIR/VERSION/SIZE/mlruns")

        def read_trees(version):
            pairs = [(tree.path, tree.source(work)) for tree in trees if tree.reader == version]
            return read_stores(version, pairs, work)

        readers = sorted({tree.reader for tree in trees}, key=known.index)
        for version, done in zip(readers, pool.map(read_trees, readers)):
            if not tap.ok(done.returncode == 0, "MLflow %s reads the trees" % version, done.stderr[-3000:]):
                return tap.done()

        migrations = [Migration(tree, release, work) for tree in trees for release in releases_for(tree, known)]
        for migration in migrations:
            load_and_verify(tap, migration, work)
        migrations = [migration for migration in migrations if migration.loaded]
        if migrations:
            same_twice(tap, migrations[-1], work)

        def read_databases(release):
            done = [migration for migration in migrations if migration.release == release]
            return read_stores(release, [(migration.url, migration.found) for migration in done], work)

        releases = sorted({migration.release for migration in migrations}, key=known.index)
        for release, done in zip(releases, pool.map(read_databases, releases)):
            tap.ok(done.returncode == 0, "MLflow %s opens the databases of its release" % release, done.stderr[-3000:])
        for migration in migrations:
            if migration.found.exists():
                compare(tap, migration, work)

        if not arguments.no_servers:
            test_servers(tap, pool, migrations, work)
        printed_export(tap, trees[-1], newest, work)
        written_by_newest = [tree for tree in trees if tree.version == newest]
        if written_by_newest:
            audit(tap, written_by_newest[0], newest, work)
    return tap.done()


def test_servers(tap, pool, migrations, work):
    """Each server on the full tree of its own version."""
    chosen = [
        migration for migration in migrations
        if migration.release in SERVER_VERSIONS and migration.tree.version == migration.release and migration.tree.size == "full"
    ]  # fmt: skip
    for migration, done in pool.map(lambda migration: check_server(migration, work), chosen):
        tap.include(done.stdout, "server %s: " % migration.release)
        tap.ok(done.returncode in (0, 1), "server %s: the checks ran" % migration.release, done.stderr[-3000:])


if __name__ == "__main__":
    sys.exit(main())
