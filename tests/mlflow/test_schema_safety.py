#!/usr/bin/env python3
"""What may happen to an upgrade: SIGKILL at any moment, eight at once, a server that starts late, the wrecks of MLflow's own
upgrade. DEEP=1 takes 100 kills a dialect and all places where MLflow's may end."""

import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema_oracle as oracle  # noqa: E402

oracle.use_mlflow("3.17.2")
import logging  # noqa: E402
import warnings  # noqa: E402

from schema_fill import Filler, content  # noqa: E402
from schema_structure import differences, postgres_structure, sqlite_structure  # noqa: E402

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
tap = oracle.Tap()
chain = oracle.revisions()
KILLS = 100 if os.environ.get("DEEP") else 8
if os.environ.get("SANITIZE"):
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"  # what is killed frees nothing


def start(url):
    return subprocess.Popen([oracle.PROGRAM, "upgrade", "--to", "head", url], stderr=subprocess.PIPE, text=True)


def without_clock(rows):
    rows = {t: list(r) for t, r in rows.items()}
    rows["jobs"] = len(rows["jobs"])
    return rows


class Sqlite:
    name = "sqlite"

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "work.db"
        self.url = f"sqlite:///{self.path}"

    def clear(self):
        for left in self.folder.glob("work.db*"):
            left.unlink()

    def keep(self):
        shutil.copy(self.path, self.folder / "start.db")

    def reset(self):
        self.clear()
        shutil.copy(self.folder / "start.db", self.path)

    def structure(self):
        return sqlite_structure(self.path)


class Postgres:
    name = "postgresql"

    def __init__(self, server):
        self.server = server
        self.url = server.url("work")

    def clear(self):
        self.server.create("work")

    def keep(self):
        self.server.create("start", template="work")

    def reset(self):
        self.server.create("work", template="start")

    def structure(self):
        with self.server.cursor("work") as cursor:
            return postgres_structure(cursor)


def fill(side, order):
    """A database of that revision, made and filled by MLflow's scripts."""
    side.clear()
    mlflow = oracle.Mlflow(side.url)
    mlflow.create_base()
    mlflow.upgrade(chain[order])
    Filler(mlflow.engine).fill()
    mlflow.close()
    side.keep()


def rows_of(side):
    mlflow = oracle.Mlflow(side.url)
    rows = content(mlflow.engine)
    mlflow.close()
    return rows


def result(side):
    return side.structure(), without_clock(rows_of(side))


def whole_upgrade(side):
    """Its time in seconds."""
    side.reset()
    begun = time.monotonic()
    start(side.url).communicate()
    return time.monotonic() - begun


def kills(side):
    fill(side, 5)
    usual = min(whole_upgrade(side) for _ in range(3))
    wanted = result(side)
    rng = random.Random(5)
    problems, killed, tries = [], 0, 0
    while killed < KILLS and tries < 4 * KILLS:
        tries += 1
        side.reset()
        upgrade = start(side.url)
        time.sleep(rng.uniform(0, usual))
        upgrade.send_signal(signal.SIGKILL)
        upgrade.communicate()
        killed += upgrade.returncode == -signal.SIGKILL
        current = oracle.run("current", side.url)
        again = oracle.run("upgrade", "--to", "head", side.url)
        if current.returncode or again.returncode:
            problems.append(f"kill {tries}: {current.stderr} {again.stderr}")
            continue
        structure, rows = result(side)
        problems += [f"kill {tries}: {line}" for line in differences(structure, wanted[0])]
        problems += [f"kill {tries}: rows of {t} differ" for t in wanted[1] if rows.get(t) != wanted[1][t]]
    problems += [] if killed == KILLS else [f"only {killed} of {tries} were still running when they were killed"]
    tap.check(f"{killed} kills: each time a second run completes ({side.name}, {tries} tried)", problems)


def race(side):
    side.reset()
    upgrades = [start(side.url) for _ in range(8)]
    messages = [u.communicate()[1] for u in upgrades]
    problems = [m for u, m in zip(upgrades, messages) if u.returncode]
    done = sum("[70/70]" in m for m in messages)
    waited = sum("waiting for" in m for m in messages)
    problems += [] if done == 1 else [f"{done} of them applied the last revision"]
    problems += [] if waited else ["none said that it waits"]
    problems += oracle.run("check", "--release", "3.18.0", side.url).stdout.splitlines()[:-1]
    tap.check(f"eight upgrades at once: one works, the others wait and succeed ({side.name})", problems)


def odd_databases(server):
    """PostgreSQL databases that are not byte for byte what MLflow's scripts make."""
    structures = {}
    for name in ("odd", "plain"):
        url = server.create(name)
        oracle.run("create", "--release", "1.0.0", url, check=True)
        with server.cursor(name) as cursor:
            cursor.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
            cursor.execute("INSERT INTO runs (run_uuid, user_id) VALUES ('r', %s)", ("ü" * 256,))
        for target in ("1.5.0", "2.17", "3.9", "head"):
            if name == "odd":
                make_odd(server, target)
            done = oracle.run("upgrade", "--to", target, url)
            if done.returncode:
                tap.check(f"an odd database to {target} (postgresql)", [done.stderr])
                return
        with server.cursor(name) as cursor:
            structures[name] = postgres_structure(cursor)
            cursor.execute("SELECT value FROM tags WHERE key = 'mlflow.user'")
            problems = [] if cursor.fetchall() == [("ü" * 256,)] else ["a user of 256 characters is not a tag"]
            cursor.execute("UPDATE runs SET status = 'KILLED'")  # fails where an old CHECK is left
    ours = {line for line in structures["odd"] if "mine" not in line}
    problems += differences(ours, structures["plain"])
    tap.check("other names of keys, an old CHECK and things of users are dealt with (postgresql)", problems)


def make_odd(server, target):
    statements = {
        "2.17": [
            "ALTER TABLE runs ADD CONSTRAINT status CHECK (status <> 'KILLED')",
            "CREATE VIEW mine AS SELECT run_uuid FROM runs",
        ],
        "3.9": ["ALTER TABLE datasets RENAME CONSTRAINT datasets_experiment_id_fkey TO other"],
        "head": [
            "ALTER TABLE model_versions RENAME CONSTRAINT model_versions_name_fkey TO other",
            "ALTER TABLE experiments DROP CONSTRAINT experiments_name_key",
            "CREATE UNIQUE INDEX other_name ON experiments (name)",
            "CREATE INDEX mine_too ON runs (name)",
        ],
    }
    with server.cursor("odd") as cursor:
        for statement in statements.get(target, []):
            cursor.execute(statement)


IN_THE_WAY = """
view v depends on column value of table params, which revision 2d6e25af4d3e changes|CREATE VIEW v AS SELECT value FROM params|DROP VIEW v
policy p on table runs depends on column status of table runs, which revision cfd24bdc0731 changes|CREATE POLICY p ON runs USING (status = 's')|DROP POLICY p ON runs
table latest_metrics is not MLflow's, and revision 89d4b8295536 makes one of that name|CREATE TABLE latest_metrics (a int)|DROP TABLE latest_metrics
view issues is not MLflow's, and revision 76601a5f987d makes one of that name|CREATE VIEW issues AS SELECT 1|DROP VIEW issues
index idx_experiments_workspace is not MLflow's, and revision 1b5f0d9ad7c1 makes one of that name|CREATE INDEX idx_experiments_workspace ON experiments (name)|DROP INDEX idx_experiments_workspace
sequence latest_metric_pk is not MLflow's, and revision 89d4b8295536 makes one of that name|CREATE SEQUENCE latest_metric_pk|DROP SEQUENCE latest_metric_pk
column workspace of table experiments is not MLflow's, and revision 1b5f0d9ad7c1 adds one of that name|ALTER TABLE experiments ADD COLUMN workspace INT|ALTER TABLE experiments DROP COLUMN workspace
foreign key mine_n_fkey of table mine depends on a key of table experiments, which revision 1b5f0d9ad7c1 replaces|CREATE TABLE mine (n VARCHAR REFERENCES experiments (name))|DROP TABLE mine
"""


def in_the_way(server):
    """Things of users that a revision would trip over are named before the first one."""
    url = server.create("way")
    oracle.run("create", "--release", "1.0.0", url, check=True)
    things = [line.split("|") for line in IN_THE_WAY.strip().split("\n")]
    with server.cursor("way") as cursor:
        for _, make, _ in things:
            cursor.execute(make)
        before = postgres_structure(cursor)
        done = [oracle.run("upgrade", *options, "--to", "head", url) for options in ([], ["--dry-run"])]
        problems = [f"exit {d.returncode}" for d in done if d.returncode != 2] + differences(postgres_structure(cursor), before)
        wanted = sorted(what for what, _, _ in things)
        for d in done:
            named = sorted(line.split("in the way: ")[1] for line in d.stderr.splitlines() if "in the way: " in line)
            problems += [] if named == wanted else [f"{named}, not {wanted}"]
        for _, _, drop in things:
            cursor.execute(drop)
    again = oracle.run("upgrade", "--to", "head", url)
    problems += [again.stderr] if again.returncode else []
    tap.check("what would stop an upgrade in the middle is named before its first revision (postgresql)", problems)


def other_schema(server):
    """Everything is made in the schema that the URL's search_path names."""
    url = server.create("schemas")
    with server.cursor("schemas") as cursor:
        cursor.execute("CREATE SCHEMA ml")
    other = url + "?options=-csearch_path%3Dml"
    oracle.run("create", "--release", "2.0", url)
    runs = [oracle.run("create", "--release", "1.3", other), oracle.run("upgrade", "--to", "3.17", other),
            oracle.run("check", "--release", "3.17", other), oracle.run("check", "--release", "2.0", url)]  # fmt: skip
    tap.check("a schema named by search_path is a database of its own", [r.stderr + r.stdout for r in runs if r.returncode])


def late_server(server):
    """The server is down, and starts three seconds after the upgrade."""
    script = str(oracle.ROOT / "tests" / "postgres.sh")
    url = server.create("late")
    subprocess.run(["sh", script, "halt", server.settings["PGDIR"]], check=True)
    upgrade = start(url)
    time.sleep(3)
    subprocess.run(["sh", script, "resume", server.settings["PGDIR"]], check=True)
    message = upgrade.communicate()[1]
    problems = [] if upgrade.returncode == 0 and "trying again in" in message else [message]
    tap.check("a server that starts late is waited for", problems)
    begun = time.monotonic()
    wrong = url.replace(server.settings["PGPASSWORD"], "wrong-password")
    done = oracle.run("upgrade", "--to", "head", wrong)
    at_once = time.monotonic() - begun < 2 and done.returncode == 2 and "password authentication failed" in done.stderr
    hidden = "wrong-password" not in done.stderr and "***" in done.stderr
    tap.check("a wrong password is an error at once, and is not shown", [] if at_once and hidden else [done.stderr])


def closed_files(server):
    """With standard error or output closed the server's connection does not get its number."""
    url = server.create("closed")

    def run(closed, *arguments):
        return subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", oracle.PROGRAM, *arguments, url], capture_output=True, text=True)

    wanted = [(0, "2>&-", "create", "--release", "1.0"), (0, "2>&-", "upgrade", "--to", "3.9"), (0, ">&-", "upgrade", "--to", "3.17"),
              (0, "<&- 2>&-", "check", "--release", "3.17"), (2, ">&-", "current"), (2, ">&-", "check", "--release", "3.17"), (2, ">&-", "history"),
              (2, ">&-", "migrate-to-default-workspace", "--dry-run"), (2, "<&- >&- 2>&-", "current")]  # fmt: skip
    problems = []
    for code, closed, *command in wanted:
        done = run(closed, *command)
        problems += [] if done.returncode == code else [f"{command} {closed}: exit {done.returncode}: {done.stderr}"]
        told = "2>&-" in closed or code == 0 or "standard output: cannot write: it is closed" in done.stderr
        problems += [] if told else [f"{command} {closed}: {done.stderr}"]
    tap.check("standard files that are closed do not become the connection (postgresql)", problems)


def missing_tables(server):
    url = server.create("missing")
    oracle.run("create", "--release", "3.17", url, check=True)
    problems = []
    with server.cursor("missing") as cursor:
        for table in ("params", "tags", "metrics", "runs", "experiments"):
            cursor.execute(f"DROP TABLE {table} CASCADE")
            done = oracle.run("check", "--release", "3.17", url)
            if done.returncode != 1 or f"table {table} is missing" not in done.stdout.splitlines():
                problems.append(f"{table}: exit {done.returncode}: {done.stdout} {done.stderr}")
    tap.check("check names a missing table (postgresql)", problems)


def superuser(server):
    """A connection in autocommit as the role that may change others."""
    import psycopg2

    s = server.settings
    connection = psycopg2.connect(host=s["PGHOST"], port=s["PGPORT"], user="postgres", dbname="postgres")
    connection.autocommit = True
    return connection


def too_many_connections(server):
    """The role's only connection is taken when the upgrade begins, and given back a second later."""
    url = server.create("crowd")
    with server.cursor("postgres"):  # before the limit, and kept
        boss = superuser(server)
        boss.cursor().execute("ALTER ROLE mlflow CONNECTION LIMIT 1")
        upgrade = start(url)
        time.sleep(1)
    message = upgrade.communicate()[1]
    boss.cursor().execute("ALTER ROLE mlflow CONNECTION LIMIT -1")
    boss.close()
    problems = [] if upgrade.returncode == 0 and "too many connections" in message and "trying again in" in message else [message]
    tap.check("too many connections are waited for", problems)


def connections_closed(server):
    """Whatever a command ends with, it takes leave of the server, which at this level notes those who do not."""
    boss = superuser(server)
    boss.cursor().execute("ALTER ROLE mlflow SET log_min_messages = debug1")
    url = server.create("leave")
    log = Path(server.settings["PGDIR"]) / "log"
    begun = len(log.read_text())
    ends = [(0, "create", "--release", "1.0"), (2, "create", "--release", "1.0"), (0, "upgrade", "--dry-run", "--to", "head"),
            (0, "upgrade", "--to", "3.9"), (2, "upgrade", "--to", "1.0"), (1, "check", "--release", "3.17"), (0, "current"),
            (0, "history"), (2, "migrate-to-default-workspace", "--yes")]  # fmt: skip
    problems = []
    for code, *command in ends:
        done = oracle.run(*command, url)
        problems += [] if done.returncode == code else [f"{command}: exit {done.returncode}: {done.stderr}"]
    with server.cursor("leave") as cursor:
        # A holder of the lock lets the upgrade be ended while it waits.
        cursor.execute("SELECT pg_advisory_lock(2026, hashtext(current_schema()))")
        upgrade = start(url)
        while (line := upgrade.stderr.readline()) and "waiting for" not in line:
            pass
        upgrade.send_signal(signal.SIGTERM)
        upgrade.communicate()
    problems += [] if upgrade.returncode == 128 + signal.SIGTERM else [f"exit {upgrade.returncode} after SIGTERM"]
    said = log.read_text()[begun:]
    problems += [line for line in said.splitlines() if "unexpected EOF" in line or "reset by peer" in line]
    if subprocess.run([sys.executable, "-c", SILENT_LEAVE, url.replace("+psycopg2", "")]).returncode != 9:
        problems.append("the client that does not take leave has not run")
    time.sleep(0.5)
    if "unexpected EOF" not in log.read_text()[begun + len(said) :]:
        problems.append("the server notes nobody who does not take leave")
    boss.cursor().execute("ALTER ROLE mlflow RESET log_min_messages")
    boss.close()
    tap.check("connections are always closed (postgresql)", problems)


SILENT_LEAVE = "import os, psycopg2, sys; connection = psycopg2.connect(sys.argv[1]); os._exit(9)"


def rows_told(side):
    """What an upgrade says that its data migrations wrote is what they wrote."""
    problems = []
    for order in (1, 65):
        fill(side, order)
        before = rows_of(side)
        upgrade = start(side.url)
        message = upgrade.communicate()[1]
        told = {revision: int(rows) for revision, rows in re.findall(
            r"^ml-schema: \[\d+/70\] (\w+): (\d+) rows? written in \d+\.\d\d s, \d+ rows/s$", message, re.M)}  # fmt: skip
        after = rows_of(side)
        if order == 1:
            users = len(after["tags"]) - len(before["tags"])
            # A latest metric may be written more than once: points beyond 2^53, points that an index gives out of order.
            wanted = {"90e64c465722": (users, users), "89d4b8295536": (len(after["latest_metrics"]), len(after["metrics"]) - 1)}
        else:
            lists = [ast.literal_eval(row)["categories"] for row in after["issues"]]
            rows = len(lists) + sum(len(json.loads(each)) for each in lists if each)
            wanted = {"8b6ad64cb8f5": (rows, rows)}
        for revision, (least, most) in wanted.items():
            if not (least and least <= told.get(revision, 0) <= most):
                problems.append(f"{revision}: {told.get(revision)} rows told, {least} to {most} written")
        for revision, title in (("df50e92ffc5e", "Add Experiment Tags Table"), ("39d1c3be5f05", "add_is_nan")):
            problems += [f"{revision} told as a data migration"] if revision in told else []
    tap.check(f"rows and rate of data migrations are told ({side.name})", problems)


def die_after(url, last):
    """MLflow's upgrade in a process that dies by SIGKILL before it changes something for the (last + 1)th time; whether it did."""
    import sqlalchemy

    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    count = 0
    mlflow = oracle.Mlflow(url)

    @sqlalchemy.event.listens_for(mlflow.engine, "before_cursor_execute")
    def before(connection, cursor, statement, *rest):
        nonlocal count
        if statement.split()[0] in ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"):
            count += 1
            if count > last:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        mlflow.upgrade(chain[-1])
    finally:
        os._exit(0)


def wrecks(side, order):
    """MLflow's upgrade of a filled database, killed before each of its statements that change something; distinct wrecks only."""
    fill(side, order)
    oracle.run("upgrade", "--to", "head", side.url, check=True)
    structure_wanted, rows_wanted = result_of_wreck(side)
    found, problems = 0, []
    seen = set()
    for last in wreck_points(side):
        side.reset()
        die_after(side.url, last)
        state = frozenset(sqlite_structure_of_wreck(side.path))
        if state in seen:
            continue
        seen.add(state)
        plain = oracle.run("upgrade", "--to", "head", side.url)
        if plain.returncode and "--recover" not in plain.stderr:
            problems.append(f"after {last} statements: {plain.stderr}")
        found += plain.returncode != 0
        done = oracle.run("upgrade", "--recover", "--to", "head", side.url)
        if done.returncode:
            problems.append(f"after {last} statements: {done.stderr}")
            continue
        structure, rows = result_of_wreck(side)
        problems += [f"after {last}: {line}" for line in differences(structure, structure_wanted)]
        problems += [f"after {last}: rows of {t}: {difference(rows.get(t), rows_wanted[t])}" for t in rows_wanted if rows.get(t) != rows_wanted[t]]
    problems += [] if found > 2 else [f"only {found} wrecks were made"]
    tap.check(f"--recover completes what MLflow's upgrade leaves when killed from revision {order} on ({len(seen)} states, {found} wrecks)", problems)


def difference(rows, wanted):
    if not isinstance(rows, list):
        return f"{rows}, not {wanted}"
    return f"{sorted(set(rows) - set(wanted))[:2]}, not {sorted(set(wanted) - set(rows))[:2]} ({len(rows)}, not {len(wanted)})"


def wreck_points(side):
    """All counts of statements after which MLflow's upgrade has not ended yet, or a sample of them."""
    low, high = 0, 2000
    while low < high:
        middle = (low + high) // 2
        side.reset()
        if die_after(side.url, middle):
            low = middle + 1
        else:
            high = middle
    points = list(range(low))
    return points if os.environ.get("DEEP") else random.Random(3).sample(points, 14)


def result_of_wreck(side):
    structure, rows = result(side)
    # MLflow makes the tag for some runs only.
    rows["tags"] = [r for r in rows["tags"] if "'key': 'mlflow.user'" not in r]
    return structure, rows


def sqlite_structure_of_wreck(path):
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        yield from connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        yield from connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.OperationalError:
        yield "no stamp"
    finally:
        connection.close()


with tempfile.TemporaryDirectory() as name, oracle.Postgres() as postgres:
    for one in (Sqlite(Path(name)), Postgres(postgres)):
        kills(one)
        race(one)
        rows_told(one)
    odd_databases(postgres)
    in_the_way(postgres)
    other_schema(postgres)
    closed_files(postgres)
    missing_tables(postgres)
    late_server(postgres)
    too_many_connections(postgres)
    connections_closed(postgres)
    for order in (0, 24, 45):
        with tempfile.TemporaryDirectory() as of_order:
            wrecks(Sqlite(Path(of_order)), order)
tap.done()
