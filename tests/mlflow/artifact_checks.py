#!/usr/bin/env python3
"""Artifacts and spans through real MLflow.  Runs inside an environment with MLflow 3.

    artifact_checks.py write TREE FACTS.json          a file store with an artifact of each sort
    artifact_checks.py read URL FACTS.json ROOT       all of them through a database, and new ones into it
    artifact_checks.py serve URL FACTS.json ROOT      the same through a server with --artifacts-destination ROOT
    artifact_checks.py lost URL FACTS.json            none of them can be read

ROOT is the directory that the artifacts are in now.  Prints TAP; `write` prints nothing.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"

import mlflow
from harness import Tap
from mlflow.tracking import MlflowClient

TEXT = "artifact of the %s 测试\n"


def connect(uri):
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def scratch_file(directory, name, sort):
    path = Path(directory) / name
    path.write_text(TEXT % sort, encoding="utf-8")
    return str(path)


def log_model_with_artifact(client, experiment_id, run_id, name, directory):
    from mlflow.entities import LoggedModelStatus

    model = client.create_logged_model(experiment_id, name, source_run_id=run_id)
    client.log_model_artifact(model.model_id, scratch_file(directory, "model.txt", "logged model"))
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model


def traced():
    @mlflow.trace(name="outer")
    def outer(question):
        return inner(inner(question)) + "!"

    @mlflow.trace(name="inner", span_type="LLM")
    def inner(question):
        return question[::-1]

    outer("why")
    return mlflow.get_last_active_trace_id()


def write(tree, directory):
    """Gives what `read` wants to find."""
    client = connect(tree.as_uri())
    experiment_id = client.create_experiment("with artifacts")
    run = client.create_run(experiment_id, run_name="with artifacts")
    run_id = run.info.run_id
    client.log_text(run_id, TEXT % "run", "deep/note.txt")
    client.log_text(run_id, TEXT % "model version", "model/version.txt")
    model = log_model_with_artifact(client, experiment_id, run_id, "logged", directory)
    client.set_terminated(run_id)
    client.create_registered_model("registered with artifacts")
    client.create_model_version("registered with artifacts", run.info.artifact_uri + "/model", run_id, await_creation_for=None)
    client.create_model_version(
        "registered with artifacts", "models:/" + model.model_id, run_id, model_id=model.model_id, await_creation_for=None
    )
    mlflow.set_experiment(experiment_id=experiment_id)
    return {
        "experiment": experiment_id,
        "run": run_id,
        "model": model.model_id,
        "registered": "registered with artifacts",
        "trace": traced(),
        "spans": 3,
    }


class Checks:
    def __init__(self, tap, client, facts, directory):
        self.tap = tap
        self.client = client
        self.facts = facts
        self.directory = directory

    def readers(self):
        """Name, function and what it must give."""
        facts = self.facts
        model = "models:/%s" % facts["registered"]
        return [
            ("an artifact of a run", lambda: self.download(run_id=facts["run"], artifact_path="deep/note.txt"), TEXT % "run"),
            ("an artifact of a logged model", lambda: self.download("model.txt", artifact_uri="models:/" + facts["model"]), TEXT % "logged model"),
            ("an artifact of a model version", lambda: self.download("version.txt", artifact_uri=model + "/1"), TEXT % "model version"),
            ("an artifact of a version made of a logged model", lambda: self.download("model.txt", artifact_uri=model + "/2"), TEXT % "logged model"),
            ("the spans of a trace", self.spans, facts["spans"]),
        ]  # fmt: skip

    def download(self, name=None, **what):
        with tempfile.TemporaryDirectory(dir=self.directory) as target:
            path = Path(mlflow.artifacts.download_artifacts(dst_path=target, **what))
            return (path / name if name else path).read_text(encoding="utf-8")

    def spans(self):
        return len(self.client.get_trace(self.facts["trace"]).data.spans)

    def equal(self, name, reader, wanted):
        try:
            found = reader()
        except Exception as error:
            found = "%s: %s" % (type(error).__name__, error)
        self.tap.ok(found == wanted, name, "found:  %r" % (found,), "wanted: %r" % (wanted,))

    def read(self):
        for name, reader, wanted in self.readers():
            self.equal(name, reader, wanted)

    def lost(self):
        for name, reader, wanted in self.readers():
            try:
                found = reader() == wanted
            except Exception:
                found = False
            self.tap.ok(not found, "without its URI rewritten, not " + name)

    def write_new(self, root):
        """New artifacts go below root, where the old ones are."""
        before = set(root.rglob("*.txt"))
        self.equal("a new run in a migrated experiment has an artifact", self.new_run, "new")
        self.equal("so has a migrated run", self.old_run, "more")
        self.equal("and a new logged model", self.new_model, TEXT % "logged model")
        self.equal("a new trace has its spans", self.new_trace, self.facts["spans"])
        new = sorted(path.name for path in set(root.rglob("*.txt")) - before)
        self.tap.ok(new == ["model.txt", "more.txt", "new.txt"], "new artifacts are next to the old ones", new)

    def new_run(self):
        run_id = self.client.create_run(self.facts["experiment"], run_name="after the move").info.run_id
        self.client.log_text(run_id, "new", "new.txt")
        return self.download(run_id=run_id, artifact_path="new.txt")

    def old_run(self):
        self.client.log_text(self.facts["run"], "more", "more.txt")
        return self.download(run_id=self.facts["run"], artifact_path="more.txt")

    def new_model(self):
        model = log_model_with_artifact(self.client, self.facts["experiment"], self.facts["run"], "new", self.directory)
        return self.download("model.txt", artifact_uri="models:/" + model.model_id)

    def new_trace(self):
        mlflow.set_experiment(experiment_id=self.facts["experiment"])
        return len(self.client.get_trace(traced()).data.spans)


def main():
    parser = argparse.ArgumentParser(description="Artifacts and spans through real MLflow.")
    parser.add_argument("command", choices=("write", "read", "serve", "lost"))
    parser.add_argument("store", help="the directory of a file store for write, else a database URL")
    parser.add_argument("facts", type=Path)
    parser.add_argument("root", type=Path, nargs="?")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlruns-tools-artifacts.") as directory:
        if arguments.command == "write":
            arguments.facts.write_text(json.dumps(write(Path(arguments.store), directory)), encoding="utf-8")
            return 0
        return check(arguments, directory)


def check(arguments, directory):
    tap = Tap()
    facts = json.loads(arguments.facts.read_text(encoding="utf-8"))
    server = None
    uri = arguments.store
    try:
        if arguments.command == "serve":
            from server_checks import Server

            log = Path(directory) / "server.log"
            server = Server(uri, log, artifacts_destination=arguments.root)
            uri = server.address
            if not tap.ok(server.wait(), "mlflow server starts", log.read_text(errors="replace")):
                return tap.done()
        checks = Checks(tap, connect(uri), facts, directory)
        if arguments.command == "lost":
            checks.lost()
        else:
            checks.read()
            checks.write_new(arguments.root)
    finally:
        if server:
            server.stop()
    if server:
        text = log.read_text(errors="replace")
        tap.ok("Traceback" not in text, "no error in the server's log", text[-6000:])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
