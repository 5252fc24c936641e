#!/usr/bin/env python3
"""Experiments that share a name or an id, and moved trees, through real MLflow.  Runs inside an environment with MLflow 3.

    place_checks.py write TREE FACTS.json      a file store: an active experiment and two deleted ones
    place_checks.py read URL FACTS.json        what people do with them in a database

`read` prints TAP; `write` prints nothing.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow
from harness import Tap
from mlflow.tracking import MlflowClient

NAMES = {"active": "churn", "deleted": "churn before", "twin": "churn at first"}


def connect(uri):
    mlflow.set_tracking_uri(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def write(tree):
    client = connect(tree.as_uri())
    facts = {}
    for which, name in NAMES.items():
        experiment = client.create_experiment(name)
        run = client.create_run(experiment, run_name=which).info.run_id
        client.log_text(run, which, "note.txt")
        client.set_terminated(run)
        facts[which] = {"experiment": experiment, "run": run}
        if which != "active":
            client.delete_experiment(experiment)
    return facts


def note_of(run):
    with tempfile.TemporaryDirectory() as directory:
        return Path(mlflow.artifacts.download_artifacts(run_id=run, artifact_path="note.txt", dst_path=directory)).read_text()


def read(client, facts, tap):
    active = mlflow.set_experiment(NAMES["active"])
    tap.ok(active.experiment_id == facts["active"]["experiment"], "the name is the active experiment's", active)
    with mlflow.start_run() as run:
        pass
    tap.ok(run.info.experiment_id == active.experiment_id, "a new run is logged in it")
    found = {one.info.run_id for one in client.search_runs([active.experiment_id])}
    tap.ok(found == {facts["active"]["run"], run.info.run_id}, "it has its runs and no others", found)
    tap.ok(note_of(facts["active"]["run"]) == "active", "an artifact of its run is found")
    twin = client.get_run(facts["twin"]["run"]).info.experiment_id
    tap.ok(twin != active.experiment_id and len(twin) == 19, "the deleted experiment of its id has another one", twin)
    client.restore_experiment(twin)
    tap.ok(client.get_experiment(twin).name == NAMES["twin"], "it can be restored")
    tap.ok([one.info.run_id for one in client.search_runs([twin])] == [facts["twin"]["run"]], "with its run")
    tap.ok(note_of(facts["twin"]["run"]) == "twin", "whose artifact is found")
    renamed = client.get_experiment(facts["deleted"]["experiment"])
    tap.ok(renamed.name == NAMES["active"] + " (2)" and renamed.lifecycle_stage == "deleted", "the deleted one of its name has another", renamed)
    new = client.create_experiment("after the move")
    tap.ok(client.get_experiment(new).name == "after the move", "a new experiment can be made", new)


def main():
    command, store, facts = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if command == "write":
        facts.write_text(json.dumps(write(Path(store))), encoding="utf-8")
        return 0
    tap = Tap()
    read(connect(store), json.loads(facts.read_text(encoding="utf-8")), tap)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
