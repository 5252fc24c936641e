#!/usr/bin/env python3
"""ml-schema next to `mlflow db upgrade`, in one run on the same data: a fresh database, and the reference load (466,860 metric
points, 3,702 unique metrics, 186 runs at MLflow 1.0's head), whole and revision 89d4b8295536 alone, on SQLite and PostgreSQL.
Ratios count, not seconds. Every revision of the reference load is timed against MLflow's, too.

    schema_bench.py [--points N] [--only sqlite|postgresql]
"""

import argparse
import logging
import os
import re
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema_oracle as oracle  # noqa: E402

oracle.use_mlflow("3.17.2")
logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
options = argparse.ArgumentParser()
options.add_argument("--points", type=int, default=466_860)
options.add_argument("--only", choices=["sqlite", "postgresql"])
options = options.parse_args()
POINTS = options.points
UNIQUE, RUNS = 3_702, 186
chain = oracle.revisions()
TARGET = oracle.revisions().index("dc11669786a5")  # the head of the MLflow that runs here
rng = random.Random(1)


def fill(engine):
    """The reference load, by the DBAPI."""
    connection = engine.raw_connection()
    cursor = connection.cursor()
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    runs = [f"{rng.getrandbits(128):032x}" for _ in range(RUNS)]
    cursor.execute("INSERT INTO experiments VALUES (0, 'Default', 'file:///m', 'active')")
    for run in runs:
        cursor.execute(
            f"INSERT INTO runs (run_uuid, name, status, experiment_id, lifecycle_stage) VALUES ({mark}, 'n', 'FINISHED', 0, 'active')",
            (run,),
        )
    pairs = [(runs[i % RUNS], f"metric_{i // RUNS}") for i in range(UNIQUE)]
    rows = [(pairs[i % UNIQUE][1], rng.random(), 1_500_000_000_000 + i // UNIQUE, pairs[i % UNIQUE][0], i // UNIQUE) for i in range(POINTS)]
    if mark == "?":
        cursor.executemany("INSERT INTO metrics (key, value, timestamp, run_uuid, step) VALUES (?, ?, ?, ?, ?)", rows)
    else:
        from psycopg2.extras import execute_values

        execute_values(cursor, "INSERT INTO metrics (key, value, timestamp, run_uuid, step) VALUES %s", rows, page_size=5000)
    connection.commit()
    if mark == "%s":
        cursor.execute("ANALYZE")
        connection.commit()
    connection.close()


def timed(function):
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def ours(url, to):
    subprocess.run([oracle.PROGRAM, "upgrade", "-q", "--to", to, url], check=True, stderr=subprocess.DEVNULL)


def ours_by_step(url):
    """(order, seconds from its announcement to the next one) of each revision."""
    upgrade = subprocess.Popen([oracle.PROGRAM, "upgrade", "--to", chain[TARGET], url], stderr=subprocess.PIPE, text=True)
    seen = [(int(m[1]), time.perf_counter()) for line in upgrade.stderr if (m := re.search(r"\[(\d+)/70\] \w+ ", line))]
    assert upgrade.wait() == 0
    ends = [at for _, at in seen[1:]] + [time.perf_counter()]
    return [(order, end - at) for (order, at), end in zip(seen, ends)]


def theirs(url):
    subprocess.run(
        [str(Path(sys.executable).parent / "mlflow"), "db", "upgrade", url], check=True, capture_output=True,
    )  # fmt: skip


def side_by_side(name, reset, url, repeat=3):
    """Medians of both, in turn."""
    mine, other = [], []
    for _ in range(repeat):
        reset()
        other.append(timed(lambda: theirs(url)))
        reset()
        mine.append(timed(lambda: ours(url, chain[TARGET])))
    a, b = statistics.median(mine), statistics.median(other)
    print(f"{name}: ours {a:.2f} s, mlflow db upgrade {b:.2f} s, {b / a:.1f} times faster", flush=True)


def steps(name, copy, url, repeat=3):
    """Each revision, ours within a whole upgrade by what the program announces, MLflow's within this process: neither with
    its start, nor ours with the search for what is in the way; medians."""
    mine = {order: [] for order in range(3, TARGET + 1)}
    other = {order: [] for order in mine}
    for _ in range(repeat):
        copy()
        for order, seconds in ours_by_step(url):
            mine[order].append(seconds)
        copy()
        mlflow = oracle.Mlflow(url)
        for order in other:
            other[order].append(timed(lambda: mlflow.upgrade(chain[order])))
        mlflow.close()
    slower = []
    for order in mine:
        a, b = max(statistics.median(mine[order]), 0.0001), statistics.median(other[order])
        if order == 6 or max(a, b) > 0.25:
            print(f"{name}: {order} {chain[order]}: ours {a:.2f} s, MLflow {b:.2f} s, {b / a:.1f} times faster")
        if a > b + 0.02:
            slower.append(chain[order])
    print(f"{name}: slower than MLflow in: {', '.join(slower) or 'no step'}", flush=True)


def sqlite(directory):
    path, start = directory / "work.db", directory / "start.db"
    url = f"sqlite:///{path}"

    def none():
        path.unlink(missing_ok=True)
        path.touch()

    def reference():
        shutil.copy(start, path)

    side_by_side("fresh, SQLite", none, url)
    make_reference(f"sqlite:///{start}")
    side_by_side(f"{POINTS} points, SQLite", reference, url)
    steps("SQLite", reference, url)


def postgresql(server):
    def reference():
        server.create("work", template="start")

    used = []

    def fresh():
        """Keeps the one before: for half a minute ext4 makes files slowly after many were deleted."""
        if used:
            with server.cursor("postgres") as cursor:
                cursor.execute(f"ALTER DATABASE work RENAME TO used_{len(used)}")
        used.append(server.create("work"))

    url = server.url("work")
    side_by_side("fresh, PostgreSQL", fresh, url)
    make_reference(server.create("start"))
    side_by_side(f"{POINTS} points, PostgreSQL", reference, url)
    reference()
    print(f"{POINTS} points, PostgreSQL: the server's own part, three indexes of metrics: {index_floor(server):.2f} s", flush=True)
    steps("PostgreSQL", reference, url)


def index_floor(server):
    """Seconds that the indexes take which every upgrade must leave, by bare statements with the memory and workers ml-schema asks for."""
    with server.cursor("work") as cursor:
        cursor.execute("SET maintenance_work_mem = '256MB'")
        cursor.execute(f"SET max_parallel_maintenance_workers = {os.cpu_count() - 1}")
        cursor.execute("ALTER TABLE metrics DROP CONSTRAINT metric_pk")
        cursor.execute("ALTER TABLE metrics ADD COLUMN is_nan BOOLEAN DEFAULT false NOT NULL")
        return sum(
            timed(lambda: cursor.execute(statement))
            for statement in (
                "ALTER TABLE metrics ADD CONSTRAINT metric_pk PRIMARY KEY (key, timestamp, step, run_uuid, value, is_nan)",
                "CREATE INDEX index_metrics_run_uuid ON metrics (run_uuid)",
                "CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, key, step)",
            )
        )


def make_reference(url):
    mlflow = oracle.Mlflow(url)
    mlflow.create_base()
    mlflow.upgrade(chain[2])
    fill(mlflow.engine)
    mlflow.close()


if options.only != "postgresql":
    with tempfile.TemporaryDirectory() as name:
        sqlite(Path(name))
if options.only != "sqlite":
    with oracle.Postgres() as postgres:
        postgresql(postgres)
