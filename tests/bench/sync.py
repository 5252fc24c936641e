#!/usr/bin/env python3
"""Syncs into a large database that is in use: how long others wait for them, and whether its size makes them slower.

    make bench                                   1,000,000 points into 20,000,000
    tests/bench/sync.py [--points N] [--rows N] [--dialect sqlite|postgresql] [--repeat N]

Stall: while so many points of 100 runs come that the database has, with their statuses, tags and latest metrics, a writer
writes to one of these runs every 10 ms, another to a run of its own, and a reader reads; the longest that each has waited,
and the same without a sync. Rates: seconds for so many points of new runs into a small database and into the large one, in
turn.
"""

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run as bench  # noqa: E402

RUNS = 100  # that are synced
PAUSE = 0.01  # seconds between two statements of a client


# -- clients: processes of their own, which print the longest that a transaction has taken


def connect(url):
    if url.startswith("sqlite:///"):
        return sqlite3.connect(url[len("sqlite:///"):], timeout=60, isolation_level=None), "?"
    import psycopg2

    db = psycopg2.connect(url)
    db.autocommit = True
    return db, "%s"


def transactions(run, role, step):
    """What MLflow does for log_metric, update_run and set_tag; or what a page of a run reads."""
    if role == "reader":
        return [[("SELECT * FROM latest_metrics WHERE run_uuid = ?", (run,)), ("SELECT * FROM tags WHERE run_uuid = ?", (run,))],
                [("SELECT * FROM metrics WHERE run_uuid = ? AND key = 'm0' LIMIT 100", (run,))]]
    return [[("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('live', 1, ?, ?, ?, ?)", (step, run, step, False)),
             ("UPDATE latest_metrics SET value = 1, step = ?, timestamp = ? WHERE run_uuid = ? AND key = 'm0'", (step, step, run))],
            [("UPDATE runs SET name = ? WHERE run_uuid = ?", (f"name {step}", run))],
            [("INSERT INTO tags (key, value, run_uuid) VALUES (?, 'v', ?)", (f"{role} {step}", run))]]


def client(url, run, role):
    """Until its input ends."""
    db, mark = connect(url)
    cursor = db.cursor()
    waits, step = [], int(time.time() * 1000)
    print("ready", flush=True)
    os.set_blocking(0, False)
    while os.read(0, 1) != b"" if readable() else True:
        step += 1
        for statements in transactions(run, role, step):
            begin = time.monotonic()
            cursor.execute("BEGIN" if mark == "%s" or role == "reader" else "BEGIN IMMEDIATE")
            for sql, values in statements:
                cursor.execute(sql.replace("?", mark), values)
                if sql.startswith("SELECT"):
                    cursor.fetchall()
            cursor.execute("COMMIT")
            waits.append(time.monotonic() - begin)
        time.sleep(PAUSE)
    print(json.dumps({"longest": max(waits), "median": statistics.median(waits), "n": len(waits)}))


def readable():
    import select

    return bool(select.select([0], [], [], 0)[0])


class Client:
    def __init__(self, python, url, run, role):
        self.process = subprocess.Popen([python, os.path.abspath(__file__), "--client", url, run, role], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def end(self):
        out, _ = self.process.communicate()
        return json.loads(out)


# -- the database, and streams


def sql_rows(dialect, rows):
    """100 runs s000 …, 100 of others, and so many points of theirs, in the order of the primary key."""
    per_key = rows // 10
    series = "generate_series(0, {0}) AS x(n)" if dialect == "postgresql" else \
        "(WITH RECURSIVE x(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM x WHERE n < {0}) SELECT n FROM x) AS x"
    pad = "lpad((x.n % 200)::text, 3, '0')" if dialect == "postgresql" else "printf('%03d', x.n % 200)"
    false = "false" if dialect == "postgresql" else "0"
    run = f"'{'0' * 29}' || {pad}"
    yield "INSERT INTO experiments (experiment_id, name, lifecycle_stage, artifact_location) VALUES (1, 'e', 'active', '/x')"
    yield f"INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, start_time, user_id, artifact_uri, name) SELECT {run}, 1, " \
          f"'RUNNING', 'active', 1, 'u', '/x', 'n' FROM {series.format(199)}"
    yield f"INSERT INTO tags (key, value, run_uuid) SELECT 'k', 'v', {run} FROM {series.format(199)}"
    for key in range(10):
        yield f"INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) SELECT 'm{key}', 1, 1, {run}, 1, {false} FROM {series.format(199)}"
        yield f"INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) SELECT 'm{key}', 0.5, 1000 + x.n, {run}, x.n / 200, {false} " \
              f"FROM {series.format(per_key - 1)}"


def fill_postgresql(database, rows):
    """Indexes and constraints of the points are made after them, as they were."""
    def psql(*commands):
        out = subprocess.run(["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", database, *(x for c in commands for x in ("-c", c))],
                             check=True, capture_output=True, text=True)
        return out.stdout.splitlines()

    constraints = [line.split("|", 1) for line in psql("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
                                                       "WHERE conrelid = 'metrics'::regclass AND contype IN ('p', 'f')")]
    indexes = psql("SELECT indexdef FROM pg_indexes WHERE tablename = 'metrics' AND indexname NOT IN (SELECT conname FROM pg_constraint)")
    names = psql("SELECT indexname FROM pg_indexes WHERE tablename = 'metrics' AND indexname NOT IN (SELECT conname FROM pg_constraint)")
    psql("SET maintenance_work_mem = '512MB'", *(f'DROP INDEX "{n}"' for n in names),
         *(f'ALTER TABLE metrics DROP CONSTRAINT "{n}"' for n, _ in constraints), *sql_rows("postgresql", rows), *indexes,
         *(f'ALTER TABLE metrics ADD CONSTRAINT "{n}" {what}' for n, what in constraints),
         "SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), 1)")
    psql("VACUUM ANALYZE")


def fill_sqlite(path, rows):
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = OFF")
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -500000")
    for sql in sql_rows("sqlite", rows):
        db.execute(sql)
    db.commit()
    db.execute("PRAGMA journal_mode = DELETE")
    db.close()


def stream(cwd, name, points, first, of_database):
    """NAME.mlr: so many points from step `first` on, of the database's runs, with changes of these, or of new ones."""
    path = os.path.join(cwd, name + ".mlr")
    with subprocess.Popen([os.path.join(bench.BUILD, "bin/ml-transform"), "--from-json", "--reseal"], stdin=subprocess.PIPE,
                          stdout=open(path, "wb"), text=True) as process:
        out = process.stdin
        out.write(json.dumps({"kind": "header", "format": 1, "minor": 0, "producer": "bench", "source": "0" * 32, "shard": 0, "shards": 1}) + "\n")
        out.write(json.dumps({"kind": "experiment", "experiment_id": "1", "name": "e", "lifecycle_stage": "active", "artifact_location": "/x"}) + "\n")
        for r in range(RUNS):
            run = f"{r:032d}" if of_database else f"{name:x>24}{r:08d}"
            out.write(json.dumps({"kind": "run", "run_id": run, "experiment_id": "1", "status": "FINISHED", "end_time": first, "lifecycle_stage": "active",
                                  "start_time": 1, "user_id": "u", "artifact_uri": "/x", "run_name": "n"}) + "\n")
            last = first + points // RUNS // 10 - 1
            for key in range(10):
                out.write("".join(f'{{"kind":"metric","run_id":"{run}","key":"m{key}","step":{s},"timestamp":{2000 + s},"value":0.25}}\n'
                                  for s in range(first, last + 1)))
            for key in range(10):
                out.write(json.dumps({"kind": "latest_metric", "run_id": run, "key": f"m{key}", "step": last, "timestamp": 2000 + last, "value": 0.25}) + "\n")
            out.write(json.dumps({"kind": "tag", "run_id": run, "key": "k", "value": f"v{first}"}) + "\n")
        out.close()
        if process.wait() != 0:
            raise SystemExit("ml-transform failed")
    return name + ".mlr"


# -- what is measured


def stall(args, cwd, url, python):
    first = 1_000_000_000
    path = stream(cwd, "stall", args.points, first, True)
    roles = {"a writer of a synced run": (f"{5:032d}", "writer"), "a writer of another run": (f"{150:032d}", "other"), "a reader": (f"{5:032d}", "reader")}
    target = "at most 1 s" if args.dialect == "postgresql" else "at most 2 s"
    results = []
    for sync in False, True:
        clients = {name: Client(python, url, *what) for name, what in roles.items()}
        if sync:
            t = bench.run(f"ml-load -q --sync {url} < {path}", cwd)
            bench.show(f"{args.points:,} points of {RUNS} runs that are there", t)
        else:
            time.sleep(args.control)
        results.append({name: c.end() for name, c in clients.items()})
    for name in roles:
        control, beside = (r[name] for r in results)
        print(f"  {name + ', longest wait':<52} {beside['longest']:8.2f} s   without a sync {control['longest']:.2f} s   (target "
              f"{'as without' if name == 'a writer of another run' and args.dialect == 'postgresql' else target}; "
              f"median {1000 * beside['median']:.1f} and {1000 * control['median']:.1f} ms, {beside['n']} transactions)", flush=True)


def rates(args, cwd, large, small):
    times = {name: [] for name in (small, large)}
    for i in range(args.repeat):
        path = stream(cwd, f"rate{i}", args.points, 1, False)
        for url in small, large:
            times[url].append(bench.run(f"ml-load -q --sync {url} < {path}", cwd))
        os.unlink(os.path.join(cwd, path))
    for name, url in (f"{args.points:,} points into {args.points:,} and more", small), (f"into {args.rows:,}", large):
        bench.show(name, bench.median(times[url]))
    million = 1e6 / args.points
    a, b = (bench.median(times[u]) for u in (small, large))
    print(f"  {'seconds per million points':<52} {a.wall * million:8.2f} and {b.wall * million:.2f}", flush=True)
    bench.ratio("wall, large to small", b.wall / a.wall, "at most 1.5")


def measure(args, cwd, urls, fill, python):
    begin = time.monotonic()
    for url, rows in zip(urls, (args.rows, args.points)):
        bench.run(f"ml-schema create -q --release 3.17 {url}", cwd)
        fill(url, rows)
    print(f"{args.dialect}: databases with {args.rows:,} and {args.points:,} points, made in {time.monotonic() - begin:.0f} s", flush=True)
    stall(args, cwd, urls[0], python)
    rates(args, cwd, *urls)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=20_000_000, help="points that the large database has")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--control", type=float, default=10, help="seconds without a sync")
    parser.add_argument("--dialect", choices=["postgresql", "sqlite"], help="default: both")
    parser.add_argument("--dir", help="where the databases are made (default: a temporary directory)")
    args = parser.parse_args()
    cwd = tempfile.mkdtemp(prefix="mlruns-tools-bench.", dir=args.dir)
    python = subprocess.run(["sh", os.path.join(bench.ROOT, "tests/setup.sh"), "venv", "3.17.2"], check=True, capture_output=True,
                            text=True).stdout.strip()
    try:
        for args.dialect in [args.dialect] if args.dialect else ["postgresql", "sqlite"]:
            if args.dialect == "postgresql":
                with bench.Server() as server:
                    for name in "large", "small":
                        bench.recreate(name, cwd)
                    measure(args, cwd, [server.url("large"), server.url("small")],
                            lambda url, rows: fill_postgresql(url.rsplit("/", 1)[1], rows), python)
            else:
                measure(args, cwd, [f"sqlite:///{cwd}/large.db", f"sqlite:///{cwd}/small.db"],
                        lambda url, rows: fill_sqlite(url[len("sqlite:///"):], rows), python)
    finally:
        shutil.rmtree(cwd, ignore_errors=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(*sys.argv[2:])
    else:
        main()
