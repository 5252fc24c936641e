#!/usr/bin/env python3
"""ml-schema create, for each revision that a release ends at, against MLflow's own upgrade of an empty database, and
MLflow's own start on the result."""

import logging
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema_oracle as oracle  # noqa: E402

oracle.use_mlflow("3.17.2")
from schema_structure import differences, postgres_structure, sqlite_structure  # noqa: E402

logging.disable(logging.WARNING)
tap = oracle.Tap()

# What a server does first; it raises when the schema is not its own.
START = """
import logging, sys
logging.basicConfig(level=logging.WARNING)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
url, directory = sys.argv[1:]
store = SqlAlchemyStore(url, directory)
Registry(url)
experiment = store.create_experiment("made by MLflow", None, [])
run = store.create_run(experiment, "user", 1, [], "name")
store.log_metric(run.info.run_id, __import__("mlflow").entities.Metric("m", 0.5, 1, 0))
assert store.get_run(run.info.run_id).data.metrics == {"m": 0.5}
assert [e.name for e in store.search_experiments()] == ["made by MLflow", "Default"]
"""


def rows(path, query):
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def compare_heads(directory):
    theirs_path = directory / "theirs.db"
    mlflow = oracle.Mlflow(f"sqlite:///{theirs_path}")
    mlflow.create_base()
    chain = oracle.revisions()
    for order, release in oracle.distinct_heads():
        mlflow.upgrade(chain[order])
        ours_path = directory / f"{order}.db"
        done = oracle.run("create", "--release", release, f"sqlite:///{ours_path}")
        if done.returncode:
            tap.check(f"structure of {release} (sqlite)", [done.stderr])
            continue
        lines = differences(sqlite_structure(ours_path), sqlite_structure(theirs_path))
        tap.check(f"structure of {release} (sqlite)", lines)
    query = "SELECT * FROM workspaces"
    got, wanted = rows(ours_path, query), rows(theirs_path, query)
    tap.check("the default workspace is there", [] if got == wanted else [f"{got} != {wanted}"])
    mlflow.close()


def compare_heads_postgres(server):
    theirs = oracle.Mlflow(server.create("theirs"))
    theirs.create_base()
    chain = oracle.revisions()
    for order, release in oracle.distinct_heads():
        theirs.upgrade(chain[order])
        done = oracle.run("create", "--release", release, server.create("ours"))
        if done.returncode:
            tap.check(f"structure of {release} (postgresql)", [done.stderr])
            continue
        with server.cursor("ours") as ours_cursor, server.cursor("theirs") as theirs_cursor:
            lines = differences(postgres_structure(ours_cursor), postgres_structure(theirs_cursor))
        tap.check(f"structure of {release} (postgresql)", lines)
    theirs.close()


def start_mlflow(directory, version):
    import subprocess

    path = directory / f"start-{version}.db"
    oracle.run("create", "--release", version, f"sqlite:///{path}", check=True)
    before = sqlite_structure(path)
    python = oracle.setup("venv", version)
    done = subprocess.run(
        [python, "-c", START, f"sqlite:///{path}", str(directory / "artifacts")], capture_output=True, text=True
    )
    problems = [done.stderr] if done.returncode or "out-of-date" in done.stderr else []
    problems += differences(before, sqlite_structure(path))
    tap.check(f"MLflow {version} starts on our database of its release", problems)


with tempfile.TemporaryDirectory() as name:
    compare_heads(Path(name))
    for v in ("2.22.5", "3.2.0", "3.17.2"):
        start_mlflow(Path(name), v)
with oracle.Postgres() as postgres:
    compare_heads_postgres(postgres)
tap.done()
