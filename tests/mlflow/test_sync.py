#!/usr/bin/env python3
"""ml-load --sync with real MLflow: 3.2.0 writes a file store that grows, 3.17.2 serves the database, in both dialects."""

import sys
import tempfile
from pathlib import Path

from harness import HERE, Tap, create_database, postgres, python_of, run

WRITER, SERVER = "3.2.0", "3.17.2"


def main():
    tap = Tap()
    with postgres() as settings, tempfile.TemporaryDirectory(prefix="mlruns-tools-sync.") as directory:
        for dialect in ("sqlite", "postgresql"):
            work = Path(directory) / dialect
            work.mkdir()
            url = "sqlite:///%s/mlflow.db" % work
            if dialect == "postgresql":
                create_database("sync")
                url = "postgresql+psycopg2://%s:%s@127.0.0.1:%s/sync" % (
                    settings["PGUSER"], settings["PGPASSWORD"], settings["PGPORT"])  # fmt: skip
            done = run([python_of(SERVER), HERE / "sync_checks.py", "serve", url, work, python_of(WRITER)], cwd=str(work))
            tap.include(done.stdout, dialect + ": ")
            if done.returncode:
                tap.ok(False, dialect + " ended with %d" % done.returncode, done.stderr[-3000:])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
