#!/usr/bin/env python3
"""Writes a small file store with artifacts by real MLflow, or reads artifacts and spans back by it.  Runs inside an environment.

    small_tree.py write DIR NAME      DIR/mlruns: a run in Default, one in "shared", one in NAME; from MLflow 2 on
                                      a registered model; from MLflow 3 on a logged model and a trace of three spans
    small_tree.py read URI            what MLflow finds through a tracking URI, artifacts downloaded, as JSON on stdout
    small_tree.py log URI NAME        a new run with an artifact in experiment NAME; its artifact as JSON on stdout
"""

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"

import mlflow  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])


def one_run(experiment_id, name):
    with mlflow.start_run(experiment_id=experiment_id) as run:
        mlflow.log_param("from", name)
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_text("artifact of %s" % name, "note.txt")
    return run.info


def write(folder, name):
    mlflow.set_tracking_uri((Path(folder) / "mlruns").as_uri())
    client = MlflowClient()
    one_run("0", name + " in Default")
    info = one_run(mlflow.create_experiment("shared"), name + " in shared")
    experiment_id = mlflow.create_experiment(name)
    one_run(experiment_id, name)
    if VERSION >= (2, 0):  # the first whose file store has a registry
        client.create_registered_model("clf")
        client.create_model_version("clf", info.artifact_uri, info.run_id)
    if VERSION < (3, 0):
        return
    model = mlflow.initialize_logged_model(name="m", experiment_id=experiment_id, source_run_id=info.run_id)
    with tempfile.TemporaryDirectory() as local:
        (Path(local) / "weights.txt").write_text("weights of " + name)
        client.log_model_artifacts(model.model_id, local)
    mlflow.finalize_logged_model(model.model_id, "READY")
    mlflow.set_experiment(experiment_id=experiment_id)
    with mlflow.start_span("outer"):
        for inner in ("first", "second"):
            with mlflow.start_span(inner):
                pass


def text_below(uri):
    """All files below an artifact URI, as MLflow downloads them."""
    local = Path(mlflow.artifacts.download_artifacts(uri))
    return {str(path.relative_to(local)): path.read_text() for path in sorted(local.rglob("*")) if path.is_file()}


def read(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    client = MlflowClient()
    found = {"experiments": {}, "runs": {}, "models": {}, "versions": {}, "traces": {}}
    for experiment in client.search_experiments():
        found["experiments"][experiment.experiment_id] = experiment.name
        for run in client.search_runs([experiment.experiment_id]):
            found["runs"][run.data.params["from"]] = [experiment.name, text_below("runs:/%s/" % run.info.run_id)]
        for model in client.search_logged_models([experiment.experiment_id]):
            found["models"][model.model_id] = text_below(model.artifact_location)
        for trace in client.search_traces([experiment.experiment_id]):
            found["traces"][trace.info.trace_id] = [span.name for span in client.get_trace(trace.info.trace_id).data.spans]
    for version in client.search_model_versions():
        found["versions"]["%s/%s" % (version.name, version.version)] = text_below("models:/%s/%s" % (version.name, version.version))
    return found


def log(uri, name):
    mlflow.set_tracking_uri(uri)
    info = one_run(mlflow.get_experiment_by_name(name).experiment_id, "new")
    return {"artifact_uri": info.artifact_uri, "files": text_below("runs:/%s/" % info.run_id)}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    answer = {"write": write, "read": read, "log": log}[command](*arguments)
    if answer is not None:
        print(json.dumps(answer, sort_keys=True))  # the last line: MLflow also prints where runs can be seen
