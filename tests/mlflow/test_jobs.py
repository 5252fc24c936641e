#!/usr/bin/env python3
"""Databases of single jobs, which real MLflow 3.17.2 writes, all with the experiments 1, 2 and 3, into one PostgreSQL database
by four ml-sync at once; real MLflow finds all of them there. 12 databases, with DEEP=1 100: some by MLflow, the others copies of
them with other ids and names.

    test_jobs.py                     inside no environment
    test_jobs.py write DIR N         inside one: N databases DIR/0.db, DIR/1.db ...
    test_jobs.py read URL            inside one: what MLflow finds, as lines of JSON
"""

import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from harness import BIN, ENVIRONMENT, Tap, create_database, postgres, python_of, run

MLFLOW, WRITTEN = "3.17.2", 3
JOBS = 100 if os.environ.get("DEEP") else 12


# -- inside an environment


def write(directory, n):
    from mlflow.tracking import MlflowClient

    for job in range(n):
        client = MlflowClient("sqlite:///%s/%d.db" % (directory, job))
        for name in ("shared", "train job-%d" % job, "eval job-%d" % job):
            experiment = client.create_experiment(name, artifact_location="s3://bucket/%s" % name)
            for i in range(2):
                made = client.create_run(experiment, run_name="run %d of job-%d" % (i, job), tags={"job": "job-%d" % job})
                client.log_param(made.info.run_id, "lr", "%d.%d" % (job, i))
                for step in range(20):
                    client.log_metric(made.info.run_id, "loss", job + step / 8, step=step)
                client.set_terminated(made.info.run_id)
        assert experiment == "3"


def read(url):
    """Of each run what does not depend on the database it lies in."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(url)
    names = {x.experiment_id: x.name for x in client.search_experiments()}
    for found in client.search_runs(list(names), max_results=10000):
        history = [(p.step, p.timestamp, p.value) for p in client.get_metric_history(found.info.run_id, "loss")]
        print(described(found.info.run_id, names[found.info.experiment_id], found.info.run_name, found.info.status, found.info.start_time,
                        found.info.end_time, found.info.artifact_uri, found.data.params, found.data.tags, found.data.metrics, history))


def described(*run):
    """Its fields and history, as a line of JSON."""
    return json.dumps([*run[:-1], sorted(run[-1])], sort_keys=True)


# -- outside


def copy_job(source, target, job):
    """The database of another job: other ids of runs, another name wherever the job's is."""
    shutil.copyfile(source, target)
    db = sqlite3.connect(target)
    ids = [row[0] for row in db.execute("SELECT run_uuid FROM runs")]
    name = re.search(r"job-\d+", db.execute("SELECT value FROM tags WHERE key = 'job'").fetchone()[0])[0]
    change = [(name, "job-%d" % job)] + [(i, "%08x%s" % (job, i[8:])) for i in ids]
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        for _, column, kind, *_ in db.execute("PRAGMA table_info(%s)" % table).fetchall():
            if re.match("VARCHAR|TEXT|CHAR", kind.upper()):
                for old, new in change:
                    db.execute("UPDATE %s SET %s = replace(%s, ?, ?) WHERE instr(%s, ?) > 0" % (table, column, column, column), (old, new, old))
    db.commit()
    db.close()


def make_jobs(work):
    done = run([python_of(MLFLOW), __file__, "write", work, WRITTEN])
    if done.returncode:
        raise SystemExit("Bail out! MLflow wrote no databases: %s" % done.stderr[-3000:])
    files = []
    for job in range(JOBS):
        directory = work / "jobs" / ("job-%d" % job)
        directory.mkdir(parents=True)
        files.append(directory / "mlflow.db")
        if job < WRITTEN:
            (work / ("%d.db" % job)).rename(files[-1])
        else:
            copy_job(files[job % WRITTEN], files[-1], job)
    return files


def sync_all(tap, work, url, name):
    """Each ml-sync leaves its exit status and its messages next to its database."""
    command = 'cd "$(dirname "$1")" && ml-sync --source "sqlite:///$1" --target "$2" --state "$3" --verify >said 2>&1; echo $? >status'
    run(["sh", "-c", 'find jobs -name mlflow.db -print0 | xargs -0 -P 4 -I{} sh -c \'%s\' sh "$PWD/{}" "$1" "$2"' % command, "sh", url,
         work / "states"], cwd=str(work), env={**ENVIRONMENT, "PATH": "%s:%s" % (BIN, ENVIRONMENT["PATH"])}, timeout=3600)
    good = [f.parent for f in work.glob("jobs/*/status") if f.read_text() == "0\n"]
    bad = [d for d in (work / "jobs").iterdir() if d not in good]
    return tap.ok(len(good) == JOBS, "%s: %d times SUCCESS" % (name, JOBS), *("%s: %s" % (d.name, (d / "said").read_text()[-600:]) for d in bad))


def rows_of(files):
    """What MLflow should find, by the rows of the files."""
    runs = []
    for file in files:
        db = sqlite3.connect(file)
        for run_id, *fields in db.execute("SELECT run_uuid, e.name, r.name, status, start_time, end_time, artifact_uri FROM runs r "
                                          "JOIN experiments e USING (experiment_id)").fetchall():
            pairs = [dict(db.execute("SELECT key, value FROM %s WHERE run_uuid = ?" % table, (run_id,)))
                     for table in ("params", "tags", "latest_metrics")]
            history = db.execute("SELECT step, timestamp, value FROM metrics WHERE run_uuid = ?", (run_id,)).fetchall()
            runs.append(described(run_id, *fields, *pairs, history))
        db.close()
    return sorted(runs)


def found_in(tap, url, wanted, name):
    done = run([python_of(MLFLOW), __file__, "read", url], timeout=3600)
    found = sorted(done.stdout.splitlines())
    tap.ok(done.returncode == 0 and len(found) == 6 * JOBS, "%s: MLflow finds %d runs" % (name, 6 * JOBS), len(found), done.stderr[-2000:])
    tap.ok(json.loads("[%s]" % ",".join(found)) == json.loads("[%s]" % ",".join(wanted)), "%s: with all that the files say" % name,
           *(line[:300] for line in sorted(set(found) ^ set(wanted))[:4]))


def main():
    tap = Tap()
    with postgres(), tempfile.TemporaryDirectory(prefix="mlruns-tools-jobs.") as directory:
        work = Path(directory)
        files = make_jobs(work)
        url = create_database("jobs")
        sync_all(tap, work, "postgresql:///jobs", "first ticks")
        wanted = rows_of(files)
        found_in(tap, url, wanted, "first ticks")
        count = run(["psql", "-qAtX", "-d", "jobs", "-c", "SELECT count(*) FROM experiments"]).stdout.strip()
        tap.ok(count == str(2 + 2 * JOBS), "one experiment for each name, and the Default", count)
        sync_all(tap, work, "postgresql:///jobs", "again")
        found_in(tap, url, wanted, "again")
    return tap.done()


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(sys.argv[2], int(sys.argv[3]))
    elif sys.argv[1:2] == ["read"]:
        read(sys.argv[2])
    else:
        sys.exit(main())
