#!/usr/bin/env python3
"""Databases that old releases of MLflow have made themselves are upgraded, and MLflow 3.17.2 serves what they hold; and
rows of workspaces move as MLflow's own command moves them."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema_oracle as oracle  # noqa: E402

oracle.use_mlflow("3.17.2")
from schema_fill import Filler, content  # noqa: E402

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
tap = oracle.Tap()

# Runs in any release: writes what a client can, prints it as JSON. argv: URL
WRITE = """
import json, logging, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
import mlflow
from mlflow.tracking import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
experiment = client.create_experiment("old \\u6df7 \\U0001f642")
client.create_experiment("gone")
client.delete_experiment(client.get_experiment_by_name("gone").experiment_id)
for i in range(4):
    run = client.create_run(experiment)
    rid = run.info.run_id
    client.log_param(rid, "p/%d" % i, "\\u00fc" * 200)
    for step in range(-1, 3):
        client.log_metric(rid, "m", [0.5, float("nan"), 1e300, -0.25][(step + i) % 4], timestamp=1000 + step, step=step)
    client.log_metric(rid, "inf", float("inf"))
    client.set_tag(rid, "t", "multi\\nline")
    client.set_terminated(rid, ["FINISHED", "FAILED", "KILLED", "FINISHED"][i])
client.delete_run(rid)
client.create_registered_model("model")
client.create_model_version("model", "file:///src", None) if mlflow.__version__ > "1.13" else None
"""

# Runs in each: prints what is in the database.
READ = """
import json, logging, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
logging.disable(logging.CRITICAL)
import mlflow
from mlflow.entities import ViewType
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore(sys.argv[1], "file:///artifacts")
from mlflow.tracking import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
seen = {}
name = "old \\u6df7 \\U0001f642"
for e in [client.get_experiment_by_name(name), client.get_experiment_by_name("gone"), client.get_experiment("0")]:
    seen["e" + e.experiment_id] = [e.name, e.lifecycle_stage, e.artifact_location, sorted(e.tags.items())]
for run in store.search_runs([client.get_experiment_by_name(name).experiment_id], "", ViewType.ALL, 100):
    rid = run.info.run_id
    history = sorted([m.key, m.step, m.timestamp, repr(m.value)] for k in run.data.metrics for m in store.get_metric_history(rid, k))
    seen[rid] = [run.info.status, run.info.lifecycle_stage, run.info.start_time, run.info.end_time, run.info.artifact_uri,
                 sorted(run.data.params.items()), sorted((k, repr(v)) for k, v in run.data.metrics.items()),
                 sorted((k, v) for k, v in run.data.tags.items() if k != "mlflow.runName"), history]
v = client.get_model_version("model", "1")
seen["model"] = [v.name, str(v.version), v.source, v.status, v.current_stage]
print(json.dumps(seen, sort_keys=True))
"""


def python(version, code, *arguments):
    environment = {k: v for k, v in os.environ.items() if k != "SCHEMA_ORACLE"}
    return subprocess.run(
        [oracle.setup("venv", version), "-c", code, *arguments], capture_output=True, text=True, env=environment
    )


def old_release(directory, version):
    url = f"sqlite:///{directory / version}.db"
    written = python(version, WRITE, url)
    before = python(version, READ, url)
    own = oracle.run("check", "--release", version, url)
    tap.check(f"check takes a database that MLflow {version} has made", [own.stdout + own.stderr] if own.returncode else [])
    upgraded = oracle.run("upgrade", "--to", "3.17.2", url)
    after = python("3.17.2", READ, url)
    for step in (written, before, upgraded, after):
        if step.returncode:
            tap.check(f"a database of MLflow {version} is served by 3.17.2", step.stderr.splitlines()[-12:])
            return
    before, after = json.loads(before.stdout.splitlines()[-1]), json.loads(after.stdout.splitlines()[-1])
    lines = [f"{k}: {before.get(k)} -> {after.get(k)}" for k in before.keys() | after.keys() if before.get(k) != after.get(k)]
    lines += oracle.run("check", "--release", "3.17.2", url).stdout.splitlines()[:-1]
    tap.check(f"a database of MLflow {version} is served by 3.17.2, every run of it ({len(before)} entities)", lines)


UPGRADE = """
import sqlalchemy, sys
from mlflow.store.db.utils import _upgrade_db
_upgrade_db(sqlalchemy.create_engine(sys.argv[1]))
"""


def own_upgrades(directory):
    """A database of 1.14.1 goes through the releases by MLflow's own upgrades."""
    url = f"sqlite:///{directory / 'own.db'}"
    problems = []
    for version, code in (("1.14.1", WRITE), ("1.30.1", UPGRADE), ("2.22.5", UPGRADE), ("3.2.0", UPGRADE), ("3.17.2", UPGRADE)):
        done, checked = python(version, code, url), oracle.run("check", "--release", version, url)
        problems += [f"{version}: {step.stdout[-600:]}{step.stderr[-600:]}" for step in (done, checked) if step.returncode]
    tap.check("check takes a database of MLflow 1.14.1 that MLflow itself has upgraded", problems)


# Runs in 3.17.2: its upgrade of argv[1], killed where the copy of metrics has been made.
CUT = """
import os, signal, sqlalchemy, sys
from mlflow.store.db.utils import _upgrade_db
engine = sqlalchemy.create_engine(sys.argv[1])
@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "after_cursor_execute")
def after(connection, cursor, statement, *rest):
    if "CREATE TABLE _alembic_tmp_metrics" in " ".join(statement.replace('"', "").split()):
        os.kill(os.getpid(), signal.SIGKILL)
_upgrade_db(engine)
"""


def old_wreck(directory):
    """A database of 1.14.1, whose CHECKs are not those of later ones, left half upgraded by 3.17.2."""
    url = f"sqlite:///{directory / 'wreck.db'}"
    written, cut = python("1.14.1", WRITE, url), python("3.17.2", CUT, url)
    plain = oracle.run("upgrade", "--to", "3.17.2", url)
    recovered = oracle.run("upgrade", "--recover", "--to", "3.17.2", url)
    checked = oracle.run("check", "--release", "3.17.2", url)
    problems = [] if written.returncode == 0 and cut.returncode == -signal.SIGKILL else [written.stderr + cut.stderr]
    problems += [] if plain.returncode == 2 and "an unfinished copy of" in plain.stderr else [plain.stderr]
    problems += [done.stderr + done.stdout for done in (recovered, checked) if done.returncode]
    tap.check("a database of MLflow 1.14.1 that 3.17.2 has left half upgraded is recovered", problems)


def spread(engine):
    """Puts the second of each table's rows, roots and what belongs to them alike, into a workspace of its own."""
    import sqlalchemy

    inspector = sqlalchemy.inspect(engine)
    with engine.begin() as connection:
        for table in inspector.get_table_names():
            if any(c["name"] == "workspace" for c in inspector.get_columns(table)):
                key = {"experiments": "experiment_id", "jobs": "id"}.get(table)
                roots = ("registered_models", "experiments", "webhooks", "secrets", "endpoints", "model_definitions",
                         "evaluation_datasets", "budget_policies", "guardrails", "jobs", "mcp_servers")  # fmt: skip
                if engine.dialect.name == "sqlite" or table in roots or table == "guardrail_configs":
                    first = key or inspector.get_pk_constraint(table)["constrained_columns"][-1]
                    rows = connection.execute(sqlalchemy.text(f'SELECT "{first}" FROM "{table}" ORDER BY 1')).fetchall()
                    connection.execute(
                        sqlalchemy.text(f"UPDATE \"{table}\" SET workspace = 'w' WHERE \"{first}\" = :k"), {"k": rows[1][0]}
                    )


def workspaces(url, copy):
    from mlflow.store.db.workspace_migration import migrate_to_default_workspace

    mlflow = oracle.Mlflow(url)
    mlflow.create_base()
    mlflow.upgrade("dc11669786a5")
    Filler(mlflow.engine).fill()
    spread(mlflow.engine)
    mlflow.close()
    theirs = oracle.Mlflow(copy())
    counts = migrate_to_default_workspace(theirs.engine, dry_run=True)
    migrate_to_default_workspace(theirs.engine)
    dialect = mlflow.engine.dialect.name
    dry = oracle.run("migrate-to-default-workspace", "--dry-run", url)
    wanted = ["Rows outside the default workspace:", *(f"  {t}: {n}" for t, n in counts.items())]
    wanted += [f"Total rows: {sum(counts.values())}"]
    got = dry.stdout.splitlines()
    tap.check(f"--dry-run counts the rows that MLflow's command counts ({dialect}, {sum(counts.values())} rows)",
              [f"{g!r} and not {w!r}" for g, w in zip(got, wanted) if g != w] + ([] if len(got) == len(wanted) else [dry.stderr]))  # fmt: skip
    done = oracle.run("migrate-to-default-workspace", "--yes", url)
    ours = content(mlflow.engine)
    other = content(theirs.engine)
    lines = [f"{t} differs" for t in other if ours[t] != other[t]] + ([done.stderr] if done.returncode else [])
    tap.check(f"rows of workspaces move as MLflow's command moves them ({dialect})", lines)
    theirs.close()
    mlflow.close()


with tempfile.TemporaryDirectory() as name, oracle.Postgres() as postgres:
    work = Path(name)
    for release in ("1.14.1", "1.30.1", "2.22.5", "3.2.0"):
        old_release(work, release)
    own_upgrades(work)
    old_wreck(work)

    def copy_file():
        shutil.copy(work / "ours.db", work / "theirs.db")
        return f"sqlite:///{work / 'theirs.db'}"

    workspaces(f"sqlite:///{work / 'ours.db'}", copy_file)
    workspaces(postgres.create("ours"), lambda: postgres.create("theirs", template="ours"))
tap.done()
