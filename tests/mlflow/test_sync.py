#!/usr/bin/env python3
"""ml-load --sync with real MLflow: 3.2.0 writes a file store that grows, 3.17.2 serves the database, in both dialects."""

import os
import sys
import tempfile
from pathlib import Path

from harness import ENVIRONMENT, HERE, ROOT, Tap, python_of, run

WRITER, SERVER = "3.2.0", "3.17.2"


def main():
    tap = Tap()
    started = run(["sh", ROOT / "tests" / "postgres.sh", "start"], stderr=None)
    settings = dict(line.split("=", 1) for line in started.stdout.splitlines())
    try:
        ENVIRONMENT.update(settings)
        os.environ.update(settings)
        with tempfile.TemporaryDirectory(prefix="mlruns-tools-sync.") as directory:
            for dialect in ("sqlite", "postgresql"):
                work = Path(directory) / dialect
                work.mkdir()
                url = "sqlite:///%s/mlflow.db" % work
                if dialect == "postgresql":
                    run(["createdb", "-E", "UTF8", "-T", "template0", "sync"])
                    url = "postgresql+psycopg2://%s:%s@127.0.0.1:%s/sync" % (
                        settings["PGUSER"], settings["PGPASSWORD"], settings["PGPORT"])  # fmt: skip
                done = run([python_of(SERVER), HERE / "sync_checks.py", "serve", url, work, python_of(WRITER)], cwd=str(work))
                tap.include(done.stdout, dialect + ": ")
                if done.returncode:
                    tap.ok(False, dialect + " ended with %d" % done.returncode, done.stderr[-3000:])
    finally:
        run(["sh", ROOT / "tests" / "postgres.sh", "stop", settings["PGDIR"]])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
