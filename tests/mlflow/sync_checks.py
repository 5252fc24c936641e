#!/usr/bin/env python3
"""A file store that grows, synced into the database of an MLflow server that runs and is written to.

    sync_checks.py write STEP TREE          inside an environment whose MLflow writes file stores
    sync_checks.py serve URL WORK WRITER    inside one that serves the database; WRITER is the other's Python

Prints TAP.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

from harness import BIN, ENVIRONMENT, Tap

HERE = Path(__file__).resolve().parent


# -- the source


def write(step, tree):
    import mlflow
    from mlflow.tracking import MlflowClient

    mlflow.set_tracking_uri(Path(tree).resolve().as_uri())
    client = MlflowClient()
    if step == "1":
        experiment = client.create_experiment("lab")
        client.set_experiment_tag(experiment, "team", "a")
        for i in range(3):
            run = client.create_run(experiment, run_name="run %d" % i)
            client.log_param(run.info.run_id, "lr", str(i))
            client.set_tag(run.info.run_id, "stage", "begun")
            for s in range(5):
                client.log_metric(run.info.run_id, "loss", s + i, step=s)
        runs = named(client, experiment)
        client.set_terminated(runs["run 0"], "FINISHED")
        client.create_registered_model("net", description="of the source")
        client.create_model_version("net", "s3://bucket/model", run_id=runs["run 0"])
        client.set_registered_model_alias("net", "champion", "1")
        mlflow.set_experiment("lab")
        # Newer OpenTelemetry releases set these in a constructor that the processors of older MLflow do not call.
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        for attribute, value in (("_shutdown", False), ("_metrics", MagicMock())):
            if not hasattr(SimpleSpanProcessor, attribute):
                setattr(SimpleSpanProcessor, attribute, value)

        @mlflow.trace(name="answer")
        def answer(x):
            return x + 1

        answer(1)
        trace = client.search_traces(experiment_ids=[experiment])[0]
        mlflow.log_feedback(trace_id=trace.info.trace_id, name="polite", value=True)
        return
    experiment = client.get_experiment_by_name("lab").experiment_id
    runs = named(client, experiment)
    for s in range(5, 9):
        client.log_metric(runs["run 1"], "loss", s, step=s)
    client.set_tag(runs["run 1"], "stage", "done")
    client.set_terminated(runs["run 1"], "FINISHED")
    client.delete_run(runs["run 2"])
    run = client.create_run(experiment, run_name="run 3")
    client.log_param(run.info.run_id, "lr", "3")
    client.create_model_version("net", "s3://bucket/other", run_id=runs["run 1"])
    client.set_registered_model_alias("net", "champion", "2")


def named(client, experiment):
    return {run.info.run_name: run.info.run_id for run in client.search_runs([experiment], run_view_type=3)}


# -- the target


class Ticks:
    def __init__(self, url, work, writer):
        self.url, self.work, self.writer = url, work, writer
        self.tree = work / "mlruns"

    def write(self, step):
        subprocess.run([self.writer, __file__, "write", step, str(self.tree)], env=ENVIRONMENT, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        # What is younger than 2 seconds may be held back.
        before = time.time() - 10
        for directory, _, names in os.walk(self.tree):
            for name in names:
                path = os.path.join(directory, name)
                if os.stat(path).st_mtime > before:
                    os.utime(path, (before, before))

    def tick(self):
        state = self.work / "state"
        since = ["--since", state] if state.exists() else []
        new = self.work / "state.new"
        dump = subprocess.run([BIN / "mlruns-dump", "-q", *since, "--next-state", new, self.tree], capture_output=True)
        load = subprocess.run(
            [BIN / "ml-load", "-q", "--sync", "--json", "--promote", "%s=%s" % (new, state), self.url],
            input=dump.stdout, capture_output=True,
        )  # fmt: skip
        report = json.loads(load.stdout) if load.stdout else None
        return dump.returncode or load.returncode, report, (dump.stderr + load.stderr).decode("utf-8", "replace")


def edit(client, experiment):
    """What people do meanwhile."""
    runs = named(client, experiment)
    client.set_tag(runs["run 0"], "server", "yes")
    client.set_tag(runs["run 0"], "stage", "edited")
    client.log_metric(runs["run 1"], "server", 1.5, step=1)
    client.log_metric(runs["run 1"], "loss", 99, step=100)
    client.update_run(runs["run 2"], name="the server's name")
    client.create_run(client.create_experiment("of the server"))
    return runs


def check(tap, client, experiment, runs):
    one = client.get_run(runs["run 1"])
    tap.ok(one.info.status == "FINISHED" and one.data.tags["stage"] == "done", "the source's changes are there", one)
    history = [(m.step, m.value) for m in client.get_metric_history(runs["run 1"], "loss")]
    wanted = [(s, s + 1.0) for s in range(5)] + [(s, float(s)) for s in range(5, 9)] + [(100, 99.0)]
    tap.ok(sorted(history) == wanted, "points of both sides are there, once", sorted(history))
    tap.ok(one.data.metrics == {"loss": 99.0, "server": 1.5}, "the latest metric is the greatest", one.data.metrics)
    zero = client.get_run(runs["run 0"])
    tap.ok((zero.data.tags["server"], zero.data.tags["stage"]) == ("yes", "edited"), "the server's tags stay", zero)
    two = client.get_run(runs["run 2"])
    tap.ok(two.info.lifecycle_stage == "deleted" and two.info.run_name == "the server's name",
           "the source deletes a run, and its name is the server's", two)  # fmt: skip
    three = client.get_run(named(client, experiment)["run 3"])
    tap.ok(three.data.params == {"lr": "3"}, "a new run is there", three)
    model = client.get_registered_model("net")
    tap.ok(model.description == "of the server" and model.aliases == {"champion": "2"},
           "the newer description stays, the alias moves", model)  # fmt: skip
    traces = client.search_traces(locations=[experiment])
    names = [a.name for t in traces for a in t.info.assessments]
    tap.ok([t.info.trace_metadata.get("mlflow.trace_schema.version") for t in traces] == ["3"] and names == ["polite"],
           "the trace is there, with its assessment", traces)  # fmt: skip
    later = client.create_experiment("after the sync")
    tap.ok(int(later) > int(experiment), "the server's next experiment gets an id of its own", later)


def serve(url, work, writer):
    from mlflow.tracking import MlflowClient
    from server_checks import Server

    tap = Tap()
    ticks = Ticks(url, Path(work), writer)
    ticks.write("1")
    code, report, said = ticks.tick()
    tap.ok(code == 0 and report["kinds"]["run"]["added"] == 3, "a first tick brings everything", said)
    server = Server(url, Path(work) / "log")
    try:
        if not tap.ok(server.wait(), "the server starts", (Path(work) / "log").read_text(errors="replace")[-3000:]):
            return tap.done()
        client = MlflowClient(tracking_uri=server.address)
        experiment = client.get_experiment_by_name("lab").experiment_id
        runs = edit(client, experiment)
        ticks.write("2")
        client.update_registered_model("net", description="of the server")  # later than the source's new version
        code, report, said = ticks.tick()
        tap.ok(code == 0 and report["changed"], "a tick beside the running server", said, report)
        check(tap, client, experiment, runs)
        code, report, said = ticks.tick()
        tap.ok(code == 0 and not report["changed"], "an idle tick changes nothing", said, report)
    finally:
        server.stop()
    log = (Path(work) / "log").read_text(errors="replace")
    tap.ok("Traceback" not in log and "deadlock" not in log, "the server has met no error", log[-3000:])
    return tap.done()


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], sys.argv[3])
    else:
        sys.exit(serve(*sys.argv[2:5]))
