#!/usr/bin/env python3
"""Timings, each next to its floor or peer in the same run: ratios count, not seconds.

    make bench                              trees of 10,000 runs x 100 points and 1,000 runs x 1,000 points
    tests/bench/run.py --runs N --points N [--no-peer] [--growth] [--only NAME]

Wall and CPU seconds are medians of --repeat runs, the two sides in turn; memory is the largest resident set of any process
of the command.
"""

import argparse
import glob
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("BUILD") or "build")


class Timing:
    def __init__(self, wall, cpu, rss, status):
        self.wall, self.cpu, self.rss, self.status = wall, cpu, rss, status


def run(command, cwd):
    """Runs a shell command; its wall seconds, CPU seconds and largest resident set in KiB."""
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.chdir(cwd)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        log = os.open(os.path.join(cwd, "bench.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 2)
        os.environ["PATH"] = os.path.join(BUILD, "bin") + ":" + os.environ["PATH"]
        os.execvp("bash", ["bash", "-o", "pipefail", "-c", command])
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - start
    return Timing(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status))


def median(timings):
    return Timing(*(statistics.median(getattr(t, f) for t in timings) for f in ("wall", "cpu", "rss", "status")))


def show(name, t):
    status = "" if t.status == 0 else f"   exit {t.status:.0f}"
    print(f"  {name:<52} {t.wall:8.2f} s wall {t.cpu:8.2f} s cpu {t.rss / 1024:8.1f} MiB{status}", flush=True)


def ratio(name, value, target):
    print(f"  {name:<52} {value:8.2f}   (target {target})", flush=True)


def pair(args, cwd, ours, other, before=None):
    """Medians of two commands run in turn; before() prepares each run."""
    a, b = [], []
    for _ in range(args.repeat):
        for command, into in ((ours[1], a), (other[1], b)):
            if before:
                before()
            into.append(run(command, cwd))
    a, b = median(a), median(b)
    show(ours[0], a)
    show(other[0], b)
    return a, b


def remove(cwd, *names):
    for name in names:
        for suffix in ("", "-journal", "-wal", "-shm"):
            try:
                os.unlink(os.path.join(cwd, name + suffix))
            except FileNotFoundError:
                pass


def make_tree(cwd, runs, points):
    tree = os.path.join(cwd, "mlruns")
    subprocess.run([sys.executable, os.path.join(ROOT, "tests/mlflow/make_tree.py"), "--runs", str(runs),
                    "--points", str(points), "--output", tree], check=True, stdout=subprocess.DEVNULL)
    files = sum(len(f) for _, _, f in os.walk(tree))
    print(f"tree: {runs} runs, {points} points, {files} files", flush=True)
    run("tar cf - mlruns | cat >/dev/null", cwd)  # warm cache


def floor(cwd, source):
    """Seconds of plain INSERTs of the rows of `source` into an empty database of the same schema."""
    remove(cwd, "floor.db")
    run("ml-schema create sqlite:///floor.db", cwd)
    out = subprocess.run([os.path.join(BUILD, "bench/insert_floor"), source, "floor.db"], cwd=cwd, check=True,
                         capture_output=True, text=True)
    return float(out.stdout)


def bench_dump(args, cwd):
    print("dump")
    ours, tar = pair(args, cwd, ("mlruns-dump --jobs 1 >/dev/null", "mlruns-dump -q --jobs 1 mlruns | cat >/dev/null"),
                     ("tar cf - mlruns | cat >/dev/null", "tar cf - mlruns | cat >/dev/null"))
    ratio("wall, to tar", ours.wall / tar.wall, "at most 1")
    show("mlruns-dump (one thread a core)", median([run("mlruns-dump -q mlruns >/dev/null", cwd) for _ in range(args.repeat)]))


def bench_load(args, cwd):
    print("load")
    run("mlruns-dump -q mlruns > all.mlr", cwd)
    loads, floors = [], []
    for _ in range(args.repeat):
        remove(cwd, "load.db")
        loads.append(run("ml-load -q sqlite:///load.db < all.mlr", cwd))
        floors.append(floor(cwd, "load.db"))
    load = median(loads)
    show("ml-load < all.mlr", load)
    print(f"  {'the same rows by one prepared INSERT each':<52} {statistics.median(floors):8.2f} s wall")
    ratio("wall, to those INSERTs", load.wall / statistics.median(floors), "at most 0.6")
    return load


def bench_verify(args, cwd):
    print("verify")
    if not os.path.exists(os.path.join(cwd, "load.db")):  # bench_load was left out
        run("mlruns-dump -q mlruns > all.mlr && ml-load -q sqlite:///load.db < all.mlr", cwd)
    show("ml-verify < all.mlr", median([run("ml-verify -q sqlite:///load.db < all.mlr", cwd) for _ in range(args.repeat)]))


def bench_pipeline(args, cwd):
    print("pipeline")
    ours = []
    for _ in range(args.repeat):
        remove(cwd, "ours.db")
        ours.append(run("mlruns-dump -q mlruns | ml-load -q sqlite:///ours.db", cwd))
    ours = median(ours)
    show("mlruns-dump | ml-load", ours)
    remove(cwd, "ours.db")
    show("ml-migrate --verify", run("ml-migrate --source mlruns --target sqlite:///ours.db --verify", cwd))
    if args.no_peer:
        return
    python = subprocess.run(["sh", os.path.join(ROOT, "tests/setup.sh"), "venv", "3.17.2"], check=True,
                            capture_output=True, text=True).stdout.strip()
    mlflow = os.path.join(os.path.dirname(python), "mlflow")
    remove(cwd, "peer.db")
    peer = run(f"{shlex.quote(mlflow)} migrate-filestore --source mlruns --target sqlite:///peer.db", cwd)
    show("mlflow migrate-filestore (3.17.2)", peer)
    ratio("wall, peer to ours", peer.wall / ours.wall, "at least 20")
    ratio("memory, ours to peer", ours.rss / peer.rss, "at most 0.1")


def bench_transform(args, cwd):
    print("transform: a rewriting filter over the stream of the tree")
    run("mlruns-dump -q mlruns > all.mlr", cwd)
    ours, cat = pair(args, cwd, ("ml-transform --rewrite-uri", "ml-transform -q --rewrite-uri file:///=s3://bucket/ < all.mlr | cat > /dev/null"),
                     ("cat", "cat all.mlr | cat > /dev/null"))
    run("ml-transform -q --json < all.mlr > all.jsonl", cwd)
    show("ml-transform --json", run("ml-transform -q --json < all.mlr | cat > /dev/null", cwd))
    jq = run("""jq -c 'if .artifact_uri then .artifact_uri |= sub("^file:///"; "s3://bucket/") else . end' all.jsonl > /dev/null""", cwd)
    show("jq on the JSON of the same records", jq)
    ratio("wall, jq to ours", jq.wall / ours.wall, "none set")


class Server:
    """A PostgreSQL of our own, as the tests start it; its variables are in the environment while it runs."""

    def __enter__(self):
        script = os.path.join(ROOT, "tests/postgres.sh")
        out = subprocess.run(["sh", script, "start"], check=True, capture_output=True, text=True).stdout
        self.variables = dict(line.split("=", 1) for line in out.split())
        os.environ.update(self.variables)
        self.script = script
        return self

    def __exit__(self, *_):
        subprocess.run(["sh", self.script, "stop", self.variables["PGDIR"]], check=True)
        for name in self.variables:
            del os.environ[name]

    def url(self, database):
        return "postgresql://mlflow:{PGPASSWORD}@127.0.0.1:{PGPORT}/".format(**self.variables) + database


# Parents first: the floor copies into finished tables with their foreign keys.
COPIED = ["experiments", "experiment_tags", "runs", "params", "tags", "metrics", "latest_metrics"]

CENSUS = """SELECT count(*) FILTER (WHERE contype = 'p') || ' primary keys, ' || count(*) FILTER (WHERE contype = 'f')
    || ' foreign keys, ' || count(*) FILTER (WHERE contype = 'u') || ' UNIQUEs, ' || count(*) FILTER (WHERE contype = 'c')
    || ' CHECKs, ' || (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public') || ' indexes, '
    || (SELECT count(*) FROM pg_sequences WHERE schemaname = 'public') || ' sequences'
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace"""


def census(name, database, cwd):
    out = subprocess.run(["psql", "-At", "-d", database, "-c", CENSUS], cwd=cwd, check=True, capture_output=True, text=True)
    print(f"  {name}: {out.stdout.strip()}")


def recreate(database, cwd):
    run(f"dropdb --if-exists {database}; createdb {database}", cwd)


def copy_rows(args, cwd):
    """psql's \\copy of the same rows, ready-made, into the same finished tables."""
    times = []
    for table in COPIED:
        run(f"psql -q -d ours -c \"\\copy {table} TO '{table}.copy' (FORMAT binary)\"", cwd)
    for _ in range(args.repeat):
        recreate("floor", cwd)
        run("ml-schema create -q --release 3.17 " + args.server.url("floor"), cwd)
        commands = " ".join(f"-c \"\\copy {table} FROM '{table}.copy' (FORMAT binary)\"" for table in COPIED)
        times.append(run(f"psql -q -1 -d floor {commands}", cwd))
    return median(times)


def bench_postgresql(args, cwd):
    print("postgresql")
    run("mlruns-dump -q mlruns | ml-transform -q --renumber-experiments > small-ids.mlr", cwd)
    with Server() as args.server:
        loads = []
        for _ in range(args.repeat):
            recreate("ours", cwd)
            loads.append(run(f"ml-load -q --release 3.17 {args.server.url('ours')} < small-ids.mlr", cwd))
        load = median(loads)
        show("ml-load < small-ids.mlr", load)
        copy = copy_rows(args, cwd)
        show("psql \\copy of the same rows into the finished tables", copy)
        ratio("wall, to psql", load.wall / copy.wall, "at most 0.75")
        show("ml-verify < small-ids.mlr", run(f"ml-verify -q {args.server.url('ours')} < small-ids.mlr", cwd))
        bench_pgloader(args, cwd)


def bench_pgloader(args, cwd):
    print("database to database")
    remove(cwd, "from.db")
    run("ml-load -q --release 3.17 sqlite:///from.db < small-ids.mlr", cwd)
    recreate("both", cwd)
    ours = run(f"mldb-dump -q sqlite:///from.db | ml-load -q --release 3.17 {args.server.url('both')}", cwd)
    show("mldb-dump | ml-load", ours)
    census("  it has", "both", cwd)
    if not shutil.which("pgloader"):
        print("  pgloader is not installed (apt-get install pgloader): left out")
        return
    recreate("peer", cwd)
    peer = run(f"pgloader sqlite://{cwd}/from.db {args.server.url('peer')}", cwd)
    show("pgloader", peer)
    census("  it has", "peer", cwd)
    ratio("wall, pgloader to ours", peer.wall / ours.wall, "at least 3")


def bench_schema():
    print("schema")
    subprocess.run([sys.executable, os.path.join(ROOT, "tests/mlflow/schema_bench.py")], check=False)


def bench_growth(args, cwd, runs, points):
    print("growth: the same load at four times the points")
    make_tree(cwd, runs, 4 * points)
    return bench_load(args, cwd)


def bench_since(args, cwd):
    """Ticks of a sync; their clock goes some minutes ahead, so that what was just written counts as settled."""
    print("since")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", "later.so", os.path.join(ROOT, "tests/later.c"), "-ldl"], cwd=cwd, check=True)
    later = "LD_PRELOAD=$PWD/later.so LATER=%d mlruns-dump -q --since state --next-state state.new mlruns"
    remove(cwd, "since.db", "state", "state.new")
    first = run(f"{later % 600} | ml-load -q --sync --promote state.new=state sqlite:///since.db", cwd)
    show("first tick, mlruns-dump | ml-load --sync", first)
    idle = "mlruns-dump -q --since state --next-state state.new mlruns | cat >/dev/null"
    ours, find = pair(args, cwd, ("idle tick, mlruns-dump --since", idle),
                      ("find -printf '%s %T@ %C@ %i\\n'", "find mlruns -printf '%s %T@ %C@ %i\\n' | cat >/dev/null"))
    ratio("wall, to find", ours.wall / find.wall, "at most 1.5")
    ratio("cpu, to find", ours.cpu / find.cpu, "at most 1.5")
    remove(cwd, "full.db")
    full = run("mlruns-dump -q mlruns | ml-load -q sqlite:///full.db", cwd)
    show("mlruns-dump | ml-load", full)
    files = sorted(glob.glob(os.path.join(cwd, "mlruns", "*", "*", "metrics", "*")))
    runs = sorted({os.path.dirname(f) for f in files})
    for directory in runs[::100]:
        with open(sorted(glob.glob(os.path.join(directory, "*")))[0], "a") as f:
            f.write("1800000000000 0.5 1000000\n")
    tick = run(f"{later % 1200} | ml-load -q --sync --promote state.new=state sqlite:///since.db", cwd)
    show(f"a tick, {len(runs[::100])} of {len(runs)} runs changed", tick)
    ratio("wall, to the full dump and load", tick.wall / full.wall, "at most 0.1")


def bench_packages(args, cwd):
    """CPU seconds of this build next to those of the packages that are built (make wheel static), the builds in turn."""
    machine = os.uname().machine
    builds = [("this build", BUILD)] + [
        (name, os.path.join(BUILD, "dist", f"{machine}-linux-{libc}")) for name, libc in (("wheel", "gnu.2.17"), ("static", "musl"))
    ]
    builds = [(name, at) for name, at in builds if os.path.exists(os.path.join(at, "bin/mlruns-tools"))]
    print("packages: CPU seconds of " + ", ".join(name for name, _ in builds) + ("" if len(builds) == 3 else "; make wheel static builds all"))
    run("mlruns-dump -q mlruns > all.mlr && rm -f packages.db && ml-load -q sqlite:///packages.db < all.mlr", cwd)
    for command, words in (("dump", "mlruns > /dev/null"), ("load", "sqlite:///other.db < all.mlr"), ("verify", "sqlite:///packages.db < all.mlr")):
        cpu = [[] for _ in builds]
        for _ in range(args.repeat):
            for times, (_, at) in zip(cpu, builds):
                remove(cwd, "other.db")
                times.append(run(f"{shlex.quote(os.path.join(at, 'bin/mlruns-tools'))} {command} -q {words}", cwd).cpu)
        medians = [statistics.median(times) for times in cpu]
        print(f"  {command:<12}" + "".join(f"{m:8.2f} s {m / medians[0]:5.2f}" for m in medians), flush=True)
    print("  static, to the wheel: target at most 1.2", flush=True)


PARTS = ["dump", "since", "load", "verify", "pipeline", "transform", "postgresql", "packages", "schema"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, help="default: two trees, 10,000 runs and 1,000 runs")
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true", help="leave out mlflow migrate-filestore (minutes)")
    parser.add_argument("--growth", action="store_true", help="also the load of four times the points")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--dir", help="where the trees are made (default: a temporary directory)")
    args = parser.parse_args()
    if args.only in (None, "schema"):  # needs no tree
        bench_schema()
    for runs in [] if args.only == "schema" else [args.runs] if args.runs else [10_000, 1_000]:
        cwd = tempfile.mkdtemp(prefix="mlruns-tools-bench.", dir=args.dir)
        try:
            make_tree(cwd, runs, args.points)
            wanted = [args.only] if args.only else PARTS[:-1]
            load = None
            for name in wanted:
                result = globals()["bench_" + name](args, cwd)
                load = result if name == "load" else load
            if args.growth and load:
                shutil.rmtree(os.path.join(cwd, "mlruns"))
                more = bench_growth(args, cwd, runs, args.points)
                ratio("wall, four times the points to one", more.wall / load.wall, "about 4")
        finally:
            shutil.rmtree(cwd, ignore_errors=True)


if __name__ == "__main__":
    main()
