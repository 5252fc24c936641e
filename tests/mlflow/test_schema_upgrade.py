#!/usr/bin/env python3
"""ml-schema upgrade against MLflow's own: a database that real alembic made at a revision, with rows in every table, goes to
the head in both ways; structure and content must be equal, but for MLflow's known faults. Takes a sample of the
revisions, all of them with DEEP=1, or those whose orders are given."""

import logging
import warnings
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema_oracle as oracle  # noqa: E402

oracle.use_mlflow("3.17.2")
from schema_fill import Filler, content  # noqa: E402
from schema_structure import differences, postgres_structure, sqlite_structure  # noqa: E402

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
tap = oracle.Tap()
chain = oracle.revisions()
SAMPLE = [0, 1, 2, 3, 5, 7, 8, 13, 19, 24, 28, 33, 41, 43, 48, 49, 58, 65, 66, 68]
starts = range(len(chain) - 1) if os.environ.get("DEEP") else SAMPLE
starts = [int(order) for order in sys.argv[1:]] or starts


def comparable(rows):
    """Rows without what differs by MLflow's faults (only the first run of an experiment gives its user to a tag) or by
    the clock."""
    rows = dict(rows)
    rows["tags"] = [r for r in rows["tags"] if "'mlflow.user'" not in r]
    rows["jobs"] = [re.sub(r"'last_update_time': \d{13}\b", "'last_update_time': now", r) for r in rows["jobs"]]
    return rows


def content_differences(ours, theirs):
    ours, theirs = comparable(ours), comparable(theirs)
    lines = []
    for table in sorted(ours.keys() | theirs.keys()):
        mine, others = ours.get(table, []), theirs.get(table, [])
        if mine != others:
            lines += [f"{table}: only ours:   {r}" for r in mine if r not in others]
            lines += [f"{table}: only MLflow: {r}" for r in others if r not in mine]
            lines += [f"{table}: {len(mine)} rows, not {len(others)}"] if len(mine) != len(others) else []
    return lines


def users(rows):
    """{run: user} of the runs that have one."""
    return {eval(r)["run_uuid"]: eval(r)["user_id"] for r in rows["runs"] if eval(r)["user_id"]}  # noqa: S307


def user_tags(rows):
    return {eval(r)["run_uuid"]: eval(r)["value"] for r in rows["tags"] if eval(r)["key"] == "mlflow.user"}  # noqa: S307


def compare(name, order, ours, theirs, structures):
    done = oracle.run("upgrade", "--to", "head", ours.url)
    if done.returncode:
        tap.check(name, done.stderr.splitlines()[-6:])
        return
    theirs.mlflow.upgrade(chain[-1])
    our_rows, their_rows = content(ours.mlflow.engine), content(theirs.mlflow.engine)
    lines = differences(*structures()) + content_differences(our_rows, their_rows)
    if order < 2:
        lines += [] if user_tags(our_rows) == users(our_rows) else ["not every run's user is a tag"]
    tap.check(name, lines)


class Side:
    def __init__(self, url):
        self.url = url
        self.mlflow = oracle.Mlflow(url)


def make(side, order):
    side.mlflow.create_base()
    if order:
        side.mlflow.upgrade(chain[order])
    Filler(side.mlflow.engine).fill()
    side.mlflow.close()


def sqlite_from(directory, order):
    paths = [directory / f"{order}-{who}.db" for who in ("ours", "theirs")]
    ours, theirs = (Side(f"sqlite:///{p}") for p in paths)
    make(ours, order)
    shutil.copy(*paths)
    compare(f"from {order} {chain[order]} (sqlite)", order, ours, theirs, lambda: map(sqlite_structure, paths))


def postgres_from(server, order):
    source = Side(server.create("ours"))
    make(source, order)
    theirs = Side(server.create("theirs", template="ours"))

    def structures():
        for name in ("ours", "theirs"):
            with server.cursor(name) as cursor:
                yield postgres_structure(cursor)

    compare(f"from {order} {chain[order]} (postgresql)", order, source, theirs, structures)
    for side in (source, theirs):
        side.mlflow.close()


with tempfile.TemporaryDirectory() as name, oracle.Postgres() as postgres:
    for start in starts:
        sqlite_from(Path(name), start)
        postgres_from(postgres, start)
tap.done()
