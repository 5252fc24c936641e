#!/usr/bin/env python3
"""Loads what real MLflow wrote into PostgreSQL, and uses it there with real MLflow.

    test_postgres.py [--work DIR] [--no-servers]

The full trees of all MLflow versions of tests/setup.sh, with small ids of experiments and with wide columns, are compared
field by field with what MLflow finds in the trees; so are three of them merged into one database, a wide database that
ml-schema has upgraded, one whose tables another role owns, and one that came from SQLite and goes back there.  Servers run
on some of them.  Then ml-load is killed, cut off and raced against.  The server is that of tests/postgres.sh.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import compare_stores
import expected_transform as expected
from harness import (
    BIN, ENVIRONMENT, HERE, ROOT, Tap, create_database, has_stopped, postgres, python_of, run, stopping, tool, versions, wait_until,
    work_directory,
)  # fmt: skip
from test_transform import Tree, id_map, transform

NEWEST = "3.17.2"
MERGED = ("1.30.1", "2.22.5", NEWEST)


def sql(database, query, user=None):
    """The answer's lines; None if it failed."""
    words = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", query] + (["-U", user] if user else [])
    done = run(words)
    return None if done.returncode else done.stdout.split("\n")[:-1]


def dumped(database, *options):
    """pg_dump's text, without the line that differs each time."""
    return "".join(line for line in run(["pg_dump", *options, database]).stdout.splitlines(True) if "restrict " not in line)


class Case:
    """A database, the stream that was loaded into it, and what MLflow must find there."""

    def __init__(self, name, work, expect):
        self.name = name
        self.database = "".join(letter if letter.isalnum() else "_" for letter in name)
        self.url = create_database(self.database)
        self.found = work / (self.database + ".found.json")
        self.expect = expect
        self.loaded = False

    def load(self, tap, stream, *options, environment=None):
        with open(stream, "rb") as source:
            done = tool("ml-load", "-q", *options, self.url, stdin=source, env={**ENVIRONMENT, **(environment or {})})
        self.loaded = tap.ok(done.returncode == 0, "%s: loaded" % self.name, "exit %d" % done.returncode, done.stderr)
        return self.loaded

    def verify(self, tap, stream):
        with open(stream, "rb") as source:
            done = tool("ml-verify", "-q", "--exact", self.url, stdin=source)
        good = done.returncode == 0 and done.stdout.endswith("Status: SUCCESS\n")
        tap.ok(good, "%s: ml-verify finds them equal" % self.name, "exit %d" % done.returncode, done.stdout[-3000:], done.stderr)

    def compare(self, tap):
        wanted = self.expect()
        answer = compare_stores.compare(wanted, json.loads(self.found.read_text(encoding="utf-8")))
        lines = [line for _, found in answer.values() for line in found]
        tap.ok(not lines and wanted["runs"], "%s: MLflow finds the same %d runs and all else" % (self.name, len(wanted["runs"])), *lines)


def mlflow(work, program, *arguments, **options):
    """A program in the words of Python, with the newest MLflow."""
    return run([python_of(NEWEST), "-c", program, *arguments], cwd=str(work), **options)


def make_schemas(work, urls):
    """Databases as MLflow itself makes them, the Default experiment in them."""
    program = (
        "import sys\nfrom mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore\n"
        "for url in sys.argv[1:]: SqlAlchemyStore(url, './artifacts')"
    )
    done = mlflow(work, program, *urls)
    if done.returncode:
        raise RuntimeError("MLflow makes no schema: %s" % done.stderr[-3000:])


def shortened(tree, work):
    """With small ids: the stream and the map."""
    stream, ids = work / (tree.version + ".small.mlr"), work / (tree.version + ".ids.tsv")
    done = transform(["-q", "--renumber-experiments", "--id-map", ids], [tree.stream], stream)
    if done.returncode:
        raise RuntimeError("ml-transform: %s" % done.stderr)
    return stream, ids


# What is loaded


def load_versions(tap, trees, work):
    """Each tree with small ids, and with its own in wide columns."""
    cases = []
    for tree in trees:
        stream, ids = shortened(tree, work)
        case = Case("%s renumbered" % tree.version, work, lambda tree=tree, ids=ids: expected.renumbered(tree.source, id_map(ids)))
        if case.load(tap, stream, "--release", NEWEST):
            case.verify(tap, stream)
        cases.append(case)
        case = Case("%s wide" % tree.version, work, lambda tree=tree: tree.source)
        if case.load(tap, tree.stream, "--release", NEWEST, "--wide-experiment-ids"):
            case.verify(tap, tree.stream)
        cases.append(case)
    return cases


def load_existing(tap, tree, work):
    """Into the schema that MLflow makes, which is the same afterwards; also by a role that owns no table."""
    stream, ids = shortened(tree, work)
    cases = [
        Case("schema of MLflow", work, lambda: expected.renumbered(tree.source, id_map(ids))),
        Case("tables of another role", work, lambda: expected.renumbered(tree.source, id_map(ids))),
    ]
    make_schemas(work, [case.url for case in cases])
    before = [dumped(case.database, "-s") for case in cases]
    cases[0].load(tap, stream)
    sql(cases[1].database, "CREATE ROLE loader LOGIN; CREATE ROLE nobody LOGIN", "postgres")
    sql(
        cases[1].database,
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO loader; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO loader",
    )
    before[1] = dumped(cases[1].database, "-s")
    with open(stream, "rb") as source:
        done = tool("ml-load", cases[1].url, stdin=source, env={**ENVIRONMENT, "PGUSER": "nobody"})
    tap.ok(done.returncode == 2 and "permission denied" in done.stderr, "a role that may not write is refused", done.stderr)
    cases[1].load(tap, stream, environment={"PGUSER": "loader"})
    for case, text in zip(cases, before):
        tap.ok(dumped(case.database, "-s") == text and "CREATE TABLE" in text, "%s: pg_dump -s is the same afterwards" % case.name)
        case.verify(tap, stream)
    return cases


def load_merged(tap, trees, work):
    """Three versions in one database."""
    chosen = [tree for tree in trees if tree.version in MERGED]
    stream, ids = work / "merged.mlr", work / "merged.tsv"
    options = ["--merge", "--on-conflict=rename", "--renumber-versions", "--renumber-experiments", "--id-map", ids]
    done = transform(["-q", *options], [tree.stream for tree in chosen], stream)
    tap.ok(done.returncode == 0, "three versions are merged", done.stderr)
    case = Case(
        "merged", work, lambda: expected.renumbered(expected.merged([tree.source for tree in chosen], joins=False), id_map(ids))
    )
    if case.load(tap, stream, "--release", NEWEST):
        case.verify(tap, stream)
    return case


def load_upgraded(tap, tree, work):
    """A wide database of an older release, upgraded to the newest by ml-schema."""
    case = Case("wide and upgraded", work, lambda: tree.source)
    if case.load(tap, tree.stream, "--release", tree.version, "--wide-experiment-ids"):
        done = tool("ml-schema", "upgrade", "-q", "--to", NEWEST, case.url)
        case.loaded = tap.ok(done.returncode == 0, "a wide database of %s is upgraded" % tree.version, done.stdout, done.stderr)
        narrow = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'experiment_id' AND data_type = 'integer'"
        tap.ok(sql(case.database, narrow) == ["0"], "and stays wide")
        done = tool("ml-schema", "check", "-q", case.url)
        tap.ok(done.returncode == 0, "ml-schema check knows wide columns", done.stdout, done.stderr)
        sql(case.database, "ALTER TABLE spans ALTER experiment_id TYPE integer")
        done = tool("ml-schema", "check", "-q", case.url)
        good = done.returncode == 1 and "table spans: column experiment_id integer" in done.stdout
        tap.ok(good, "and names a narrow one among them", done.stdout, done.stderr)
        sql(case.database, "ALTER TABLE spans ALTER experiment_id TYPE bigint")
    return case


# From SQLite and back


def tables_of(path):
    """{table: sorted rows}"""
    connection = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    tables = {name: sorted(map(repr, connection.execute('SELECT * FROM "%s"' % name))) for name in names}
    connection.close()
    return tables


def pipe(source, target):
    """mldb-dump SOURCE | ml-load TARGET; what they say on failure."""
    done = run([BIN / "mldb-dump", "-q", "--with-secrets", source], encoding=None, errors=None)
    if done.returncode:
        return done.stderr.decode()
    done = run([BIN / "ml-load", "-q", "--release", NEWEST, target], input=done.stdout, encoding=None, errors=None)
    return done.stderr.decode() if done.returncode else None


def round_trip(tap, tree, work):
    """A database of a tree with rows in every other table too: there and back."""
    stream, ids = shortened(tree, work)
    first, last = work / "first.db", work / "last.db"
    with open(stream, "rb") as source:
        tool("ml-load", "-q", "--release", NEWEST, "sqlite:///%s" % first, stdin=source, check=True)
    run([sys.executable, ROOT / "tests" / "fill_tables.py", first], check=True)
    # What a server finds in its own tables must make sense to it.
    rows = tables_of(first)
    empty = [name for name, found in rows.items() if not found]
    tap.ok(not empty and len(rows) > 60, "every one of %d tables has a row" % len(rows), *empty)
    case = Case("from SQLite", work, lambda: expected.renumbered(tree.source, id_map(ids)))
    trouble = pipe("sqlite:///%s" % first, case.url)
    case.loaded = tap.ok(not trouble, "SQLite -> PostgreSQL", trouble)
    trouble = pipe(case.url, "sqlite:///%s" % last)
    tap.ok(not trouble, "PostgreSQL -> SQLite", trouble)
    after = tables_of(last) if last.exists() else {}
    different = [name for name in rows if rows[name] != after.get(name)]
    tap.ok(not different, "all rows of all tables are as they were", *different)
    read = [("sqlite:///%s" % path, work / (path.name + ".json")) for path in (first, last) if path.exists()]
    return case, read


# Faults


def kill_and_cut(tap, tree, work):
    """ml-load ends in the middle, at several moments: the target is as it was, then the same command works."""
    stream, _ = shortened(tree, work)
    url = create_database("killed")
    make_schemas(work, [url])
    before = dumped("killed")
    writes = whole_load(stream, "killed", work)
    ended = 0
    for number in range(10):
        load = start_load(stream, url, stopping(writes * (number + 1) // 12))
        if not has_stopped(load):
            break
        if number % 2:
            load.send_signal(signal.SIGKILL)
        else:
            sql("killed", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mlruns-tools'", "postgres")
            load.send_signal(signal.SIGCONT)
        load.communicate()
        ended += load.returncode == (2 if number % 2 == 0 else -signal.SIGKILL)
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mlruns-tools'"
        wait_until(lambda: sql("killed", query) == ["0"], "a server that has noticed")
        if dumped("killed") != before:
            tap.ok(False, "after end %d the target is as it was" % number)
            return
    tap.ok(ended == 10, "ended by SIGKILL and by pg_terminate_backend 10 times, the target is as it was", ended)
    with open(stream, "rb") as source:
        done = tool("ml-load", "-q", url, stdin=source)
    tap.ok(done.returncode == 0, "the same command then works", done.stderr)
    with open(stream, "rb") as source:
        done = tool("ml-verify", "-q", url, stdin=source)
    tap.ok(done.returncode == 0, "and all is there", done.stdout[-2000:])


def start_load(stream, url, variables):
    with open(stream, "rb") as source:
        return subprocess.Popen(
            [BIN / "ml-load", "-q", url], stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**ENVIRONMENT, **variables}
        )


def whole_load(stream, template, work):
    """The number of calls by which ml-load writes, into a copy of a database."""
    run(["createdb", "-T", template, "whole"], check=True)
    load = start_load(stream, "postgresql:///whole", stopping(0, work / "writes"))
    error = load.communicate()[1].decode()
    run(["dropdb", "whole"], check=True)
    if load.returncode:
        raise RuntimeError(error)
    return int((work / "writes").read_text())


def race(tap, tree, work):
    """Another session writes a row while ml-load is at work: it is there in the end, and ml-load has loaded all or nothing."""
    stream, _ = shortened(tree, work)
    seen = set()
    make_schemas(work, [create_database("empty")])
    writes = whole_load(stream, "empty", work)
    for number in range(8):
        name = "race%d" % number
        run(["createdb", "-T", "empty", name], check=True)
        query = "INSERT INTO experiments (name, lifecycle_stage, artifact_location) VALUES ('mine', 'active', './x')"
        load = start_load(stream, "postgresql:///" + name, stopping(1 + writes * number // 8))
        if not has_stopped(load):
            tap.ok(False, "a race", load.communicate()[1].decode())
            return
        insert = subprocess.Popen(["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", name, "-c", query], env=ENVIRONMENT)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = '%s' AND wait_event_type = 'Lock'" % name
        wait_until(lambda: insert.poll() is not None or sql("postgres", waiting) == ["1"], "a row that is in, or waits for ml-load")
        load.send_signal(signal.SIGCONT)
        inserted = insert.wait() == 0
        error = load.communicate()[1].decode()
        mine = sql(name, "SELECT count(*) FROM experiments WHERE name = 'mine'")
        runs = int(sql(name, "SELECT count(*) FROM runs")[0])
        refused = load.returncode == 2 and "not empty" in error and runs == 0
        done = load.returncode == 0 and runs == len(tree.source["runs"])
        seen.add("refused" if refused else "loaded")
        if not (inserted and mine == ["1"] and (refused or done)):
            tap.ok(False, "a race", "inserted %s, found %s, ml-load exit %d, %d runs" % (inserted, mine, load.returncode, runs), error)
            return
    tap.ok(seen == {"loaded", "refused"}, "a row that another session writes meanwhile is never lost, and never mixed in (ml-load: %s)" % " or ".join(sorted(seen)))


# Servers


def check_server(case, work):
    source = work / (case.database + ".source.json")
    source.write_text(json.dumps(case.expect()), encoding="utf-8")
    return case, run([python_of(NEWEST), HERE / "server_checks.py", "--url", case.url, "--source", source], cwd=str(work))


FIRST_EXPERIMENT = """
import sys, tempfile
from pathlib import Path
from mlflow.tracking import MlflowClient
from server_checks import Server
with tempfile.TemporaryDirectory() as directory:
    server = Server(sys.argv[1], Path(directory) / "log")
    try:
        server.wait()
        client = MlflowClient(tracking_uri=server.address)
        experiment_id = client.create_experiment("the first")
        run = client.create_run(experiment_id)
        client.set_terminated(run.info.run_id)
        print(experiment_id, len(client.search_runs([experiment_id])), len(client.search_runs(["0"])))
    finally:
        server.stop()
"""


def only_default(tree, work):
    """A tree with experiment 0 alone: how it was loaded, and what a server then made."""
    directory = work / "default" / "mlruns"
    directory.mkdir(parents=True)
    run(["cp", "-r", tree.path / "0", directory], check=True)
    url = create_database("default_only")
    stream = run([BIN / "mlruns-dump", "-q", directory], encoding=None, errors=None).stdout
    loaded = run([BIN / "ml-load", "-q", "--release", NEWEST, url], input=stream, encoding=None, errors=None)
    return loaded, mlflow(work, FIRST_EXPERIMENT, url, env={**ENVIRONMENT, "PYTHONPATH": str(HERE)})


def main():
    parser = argparse.ArgumentParser(description="Load what real MLflow wrote into PostgreSQL, and use it there.")
    parser.add_argument("--work", type=Path, help="work and leave everything here")
    parser.add_argument("--no-servers", action="store_true")
    arguments = parser.parse_args()
    # Not below $TMPDIR: locations of artifacts hold the path, and columns have their lengths.
    with work_directory(arguments.work, "pg", below="/tmp") as work, postgres():
        return test(work, not arguments.no_servers)


def read_all(tap, cases, more, work):
    words = [word for case in cases for word in (case.url, case.found)] + [word for pair in more for word in pair]
    done = run([python_of(NEWEST), HERE / "compare_stores.py", "read", *words], cwd=str(work))
    return tap.ok(done.returncode == 0, "MLflow reads the databases", done.stderr[-3000:])


def test(work, servers):
    tap = Tap()
    with ThreadPoolExecutor(2) as pool:
        trees = list(pool.map(Tree.make, (Tree(version, number, work) for number, version in enumerate(versions(), 1))))
        newest = trees[-1]
        served = [load_merged(tap, trees, work), load_upgraded(tap, next(tree for tree in trees if tree.version == "3.2.0"), work)]
        existing = load_existing(tap, newest, work)
        cases = served + existing + load_versions(tap, trees, work)
        case, more = round_trip(tap, newest, work)
        cases = [one for one in [*cases, case] if one.loaded]
        if read_all(tap, cases, more, work):
            for case in cases:
                case.compare(tap)
            found = [json.loads(path.read_text(encoding="utf-8")) for _, path in more]
            tap.ok(len(found) == 2 and found[0] == found[1], "MLflow finds the same in both SQLite databases")
        reports = [pool.submit(check_server, case, work) for case in served if servers and case.loaded]
        default = pool.submit(only_default, newest, work) if servers else None
        kill_and_cut(tap, newest, work)
        race(tap, newest, work)
        for report in reports:
            case, done = report.result()
            tap.include(done.stdout, "%s, served: " % case.name)
            tap.ok(done.returncode in (0, 1), "%s, served: the checks ran" % case.name, done.stderr[-3000:])
        if default:
            loaded, done = default.result()
            tap.ok(loaded.returncode == 0, "a tree with experiment 0 alone is loaded", loaded.stderr)
            good = done.stdout.split()[-3:] == ["1", "1", "1"]
            tap.ok(good, "the server then makes experiment 1 and a run in it", done.stdout, done.stderr[-3000:])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
