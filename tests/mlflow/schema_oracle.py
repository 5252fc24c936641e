"""What the schema tests share: MLflow's own upgrade, run in this process, and TAP.

A test begins with `schema_oracle.use_mlflow("3.17.2")`, which starts it again with that environment's python.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

from harness import wait_until

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("BUILD", ROOT / "build")).resolve()
PROGRAM = str(BUILD / "bin" / "ml-schema")


def setup(*arguments):
    """What tests/setup.sh prints."""
    return subprocess.run(
        ["sh", str(ROOT / "tests" / "setup.sh"), *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def use_mlflow(version):
    """Goes on in the environment of that MLflow."""
    if os.environ.get("SCHEMA_ORACLE") == version:
        return
    os.environ["SCHEMA_ORACLE"] = version
    python = setup("venv", version)
    os.execv(python, [python, *sys.argv])


def releases():
    """Rows of migrations/releases.tsv: (release, revision, order)."""
    with open(ROOT / "migrations" / "releases.tsv", newline="") as lines:
        return [(row[0], row[1], int(row[2])) for row in csv.reader(lines, delimiter="\t") if row[0][0] != "#"]


def revisions():
    """The chain by order, from the names in migrations/: index 0 is base."""
    names = {}
    for path in (ROOT / "migrations").glob("[0-9]*.sql"):
        order, revision = path.name.split(".")[0].split("_")[:2]
        names[int(order)] = revision
    return [names[i] for i in range(len(names))]


def distinct_heads():
    """(order, one release of it), the oldest first."""
    return sorted({order: release for release, _, order in releases()}.items())


class Mlflow:
    """MLflow's chain of alembic scripts on one database. The newest release has all revisions, and since it cannot be
    installed with what it depends on, its scripts run in the environment of an older one."""

    SCRIPTS_OF = "3.18.0"

    def __init__(self, url):
        import sqlalchemy
        from alembic.config import Config
        from mlflow.store.db.utils import create_sqlalchemy_engine

        wheel = setup("wheel", self.SCRIPTS_OF)
        scripts = os.path.join(wheel, "mlflow", "store", "db_migrations")
        self.engine = create_sqlalchemy_engine(url)
        self.config = Config()
        self.config.set_main_option("script_location", scripts)
        self.config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        self.text = sqlalchemy.text

    def create_base(self):
        from mlflow.store.tracking.dbmodels.initial_models import Base

        Base.metadata.create_all(self.engine)

    def upgrade(self, revision):
        from alembic import command

        with self.engine.begin() as connection:
            self.config.attributes["connection"] = connection
            command.upgrade(self.config, revision)

    def close(self):
        self.engine.dispose()


class Postgres:
    """A server of the test's own, with databases that are recreated by name."""

    def __enter__(self):
        script = str(ROOT / "tests" / "postgres.sh")
        lines = subprocess.run(["sh", script, "start"], check=True, stdout=subprocess.PIPE, text=True).stdout
        self.settings = dict(line.split("=", 1) for line in lines.split())
        return self

    def __exit__(self, *_):
        subprocess.run(["sh", str(ROOT / "tests" / "postgres.sh"), "stop", self.settings["PGDIR"]], check=True)

    def url(self, name):
        s = self.settings
        return f"postgresql+psycopg2://{s['PGUSER']}:{s['PGPASSWORD']}@127.0.0.1:{s['PGPORT']}/{name}"

    def cursor(self, name):
        """A cursor in autocommit, closed with its connection at the end of a `with`."""
        import contextlib

        import psycopg2

        @contextlib.contextmanager
        def manage():
            connection = psycopg2.connect(self.url(name).replace("+psycopg2", ""))
            connection.autocommit = True
            try:
                yield connection.cursor()
            finally:
                connection.close()

        return manage()

    @staticmethod
    def drop(cursor, name):
        """The server's own autovacuum may be at work there; a role that is not a superuser cannot end it, only wait."""
        import psycopg2

        def dropped():
            try:
                cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            except (psycopg2.errors.InsufficientPrivilege, psycopg2.errors.ObjectInUse):
                return False
            return True

        wait_until(dropped, f"database {name} out of use")

    def create(self, name, template=None):
        """Recreates the database, a copy of another where template names one; returns its URL."""
        with self.cursor("postgres") as cursor:
            self.drop(cursor, name)
            cursor.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return self.url(name)


class Tap:
    """Prints TAP; `done` ends the program."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, name, lines=()):
        """Passes when there are no lines; they are shown."""
        self.count += 1
        lines = list(lines)
        print(f"{'not ok' if lines else 'ok'} {self.count} - {name}", flush=True)
        for line in lines[:40]:
            print(f"#   {line}", flush=True)
        self.failed += bool(lines)

    def done(self):
        print(f"1..{self.count}", flush=True)
        sys.exit(1 if self.failed else 0)


def run(*arguments, **keywords):
    """Runs ml-schema; returns the finished process with its output as text."""
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, **keywords)
