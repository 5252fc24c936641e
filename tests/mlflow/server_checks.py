#!/usr/bin/env python3
"""Starts `mlflow server` on a migrated database and uses it as people do.  Runs inside an environment with MLflow.

    server_checks.py --url URL --source SOURCE.json

SOURCE.json is what compare_stores.py read from the tree.  The database is written to.  Prints TAP.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import mlflow
from harness import Tap
from mlflow.tracking import MlflowClient

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
START_SECONDS = 600  # ends a hang and nothing else


class Server:
    def __init__(self, url, log, artifacts_destination=None, options=()):
        """artifacts_destination: the directory that the server itself gives out as mlflow-artifacts:/."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = "http://127.0.0.1:%d" % self.port
        self.log = log
        command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", url, "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", *options]
        if artifacts_destination:
            command += ["--serve-artifacts", "--artifacts-destination", str(artifacts_destination)]
        else:
            command += ["--default-artifact-root", log.parent.as_uri() + "/artifacts"]
        self.output = open(log, "wb")
        # The server finds its own programs (gunicorn, uvicorn) on PATH.
        path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.output, stderr=subprocess.STDOUT, cwd=str(log.parent),
            env={**os.environ, "PATH": path}, start_new_session=True,
        )  # fmt: skip

    def wait(self):
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit and self.process.poll() is None:
            try:
                with urllib.request.urlopen(self.address + "/health", timeout=5) as answer:
                    return answer.status == 200
            except OSError:
                time.sleep(0.1)
        return False

    def stop(self):
        """The server's own session of processes, and nothing else."""
        try:
            os.killpg(self.process.pid, 15)
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, 9)
            self.process.wait()
        except ProcessLookupError:
            pass
        self.output.close()

    def post(self, path, **fields):
        return self.ask(path, json.dumps(fields).encode(), {"Content-Type": "application/json"})

    def get(self, path, **fields):
        return self.ask(path + "?" + urllib.parse.urlencode(fields), None, {})

    def ask(self, path, data, headers):
        request = urllib.request.Request(self.address + "/api/2.0/mlflow/" + path, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


class Checks:
    def __init__(self, tap, server, source):
        self.tap = tap
        self.server = server
        self.source = source
        self.client = MlflowClient(tracking_uri=server.address, registry_uri=server.address)
        self.active = [key for key, one in source["experiments"].items() if one["lifecycle_stage"] == "active"]

    def equal(self, name, found, wanted):
        self.tap.ok(found == wanted, name, "found:  %r" % (found,), "wanted: %r" % (wanted,))

    def all(self):
        """In the order in which they are written: those that only read come first."""
        for name, check in vars(Checks).items():
            if name.startswith("check_"):
                start = time.monotonic()
                try:
                    check(self)
                except Exception as error:  # the next check may well work
                    self.tap.ok(False, name, "%s: %s" % (type(error).__name__, error))
                if time.monotonic() - start > 5:
                    self.tap.comment("%s took %.0f s" % (name, time.monotonic() - start))

    def check_experiments(self):
        found = self.server.post("experiments/search", max_results=1000, view_type="ALL")["experiments"]
        self.equal("REST: all experiments", sorted(one["experiment_id"] for one in found), sorted(self.source["experiments"]))
        self.equal(
            "REST: their names", {one["experiment_id"]: one["name"] for one in found},
            {key: one["name"] for key, one in self.source["experiments"].items()},
        )  # fmt: skip

    def check_runs(self):
        found = {}
        token = None
        while token != "":
            page = self.server.post(
                "runs/search", experiment_ids=sorted(self.source["experiments"]), run_view_type="ALL", max_results=100,
                **({"page_token": token} if token else {}),
            )  # fmt: skip
            found.update({run["info"]["run_id"]: run for run in page.get("runs", [])})
            token = page.get("next_page_token", "")
        self.equal("REST: all runs", sorted(found), sorted(self.source["runs"]))
        names = {key: run["info"].get("run_name") for key, run in found.items()}
        self.equal("REST: their names", names, {key: run["run_name"] for key, run in self.source["runs"].items()})

    def check_metric_history(self):
        run_id, points = max(
            ((key, run["metrics"].get("many", [])) for key, run in self.source["runs"].items()), key=lambda pair: len(pair[1])
        )
        found = self.server.get("metrics/get-history", run_id=run_id, metric_key="many", max_results=10000).get("metrics", [])
        found = sorted([one["timestamp"], int(one.get("step", 0)), one["value"]] for one in found)
        self.equal("REST: the history of a metric", found, sorted(points))
        self.tap.ok(len(points) >= 2500, "the tree has a long metric", len(points))

    def check_registry(self):
        names = {model["name"] for model in self.server.get("registered-models/search", max_results=100).get("registered_models", [])}
        prompts = {
            key for key, model in self.source["registered_models"].items() if model["tags"].get("mlflow.prompt.is_prompt") == "true"
        }
        self.equal("REST: registered models without prompts", sorted(names), sorted(set(self.source["registered_models"]) - prompts))
        for name in sorted(names):
            model = self.server.get("registered-models/get", name=name)["registered_model"]
            tags = {tag["key"]: tag["value"] for tag in model.get("tags", [])}
            self.equal("REST: tags of %s" % ascii(name), tags, self.source["registered_models"][name]["tags"])

    def check_prompt(self):
        prompt = self.client.load_prompt("prompts:/prompt-0@production")
        version = self.source["model_versions"]["prompt-0/2"]
        self.equal("a prompt loaded by alias", prompt.template, version["tags"]["mlflow.prompt.text"])

    def check_model_by_alias(self):
        version = self.client.get_model_version_by_alias("registered-0", "champion")
        self.equal("a model version by alias", str(version.version), self.source["registered_models"]["registered-0"]["aliases"]["champion"])
        mlflow.set_tracking_uri(self.server.address)
        mlflow.set_registry_uri(self.server.address)
        model = mlflow.pyfunc.load_model("models:/registered-0@champion")
        self.equal("it is loaded and predicts", list(model.predict([1, 2])), [2, 4])

    def check_traces(self):
        wanted = {key: one for key, one in self.source["traces"].items() if one["experiment_id"] in self.active}
        infos = {}
        for experiment_id in self.active:
            for info in self.search_trace_infos(experiment_id):
                infos[getattr(info, "trace_id", None) or info.request_id] = info
        self.equal("traces searched", sorted(infos), sorted(wanted))
        if VERSION >= (3, 2):
            found = {key: sorted(one.assessment_id for one in info.assessments) for key, info in infos.items()}
            self.equal("with their assessments", found, {key: sorted(one["assessments"]) for key, one in wanted.items()})

    def search_trace_infos(self, experiment_id):
        """By REST, without what lies in artifacts."""
        store = self.client._tracking_client.store
        token = None
        while True:
            if VERSION >= (3, 5):
                page, token = store.search_traces(locations=[experiment_id], max_results=50, page_token=token)
            else:
                page, token = store.search_traces([experiment_id], max_results=50, page_token=token)
            yield from page
            if not token:
                return

    def check_spans(self):
        trace_id = next(key for key, one in self.source["traces"].items() if one["tags"].get("mlflow.traceName") == "outer")
        trace = self.client.get_trace(trace_id)
        self.equal("the spans of a trace, from the old tree", sorted(span.name for span in trace.data.spans), ["inner", "outer"])

    def check_logged_models(self):
        if VERSION < (3, 0):
            return
        wanted = sorted(
            key for key, one in self.source["logged_models"].items()
            if one["experiment_id"] in self.active and one["lifecycle_stage"] == "active"
        )  # fmt: skip
        found = []
        for experiment_id in self.active:
            found += [model.model_id for model in self.client.search_logged_models([experiment_id])]
        self.equal("logged models searched", sorted(found), wanted)
        model = self.client.get_logged_model(wanted[0])
        self.equal("the params of one", model.params, self.source["logged_models"][wanted[0]]["params"])

    def check_new_run(self):
        experiment_id = next(key for key, one in self.source["experiments"].items() if one["name"] == "experiment-0")
        run = self.client.create_run(experiment_id, run_name="after the migration")
        self.client.log_param(run.info.run_id, "p", "1")
        self.client.log_metric(run.info.run_id, "m", 0.5, step=3)
        self.client.log_text(run.info.run_id, "text", "note.txt")
        self.client.set_terminated(run.info.run_id)
        found = self.client.get_run(run.info.run_id)
        self.equal("a run logged into a migrated experiment", (found.data.params, found.data.metrics), ({"p": "1"}, {"m": 0.5}))
        listed = self.client.search_runs([experiment_id], "attributes.run_name = 'after the migration'")
        self.equal("it is found", [one.info.run_id for one in listed], [run.info.run_id])

    def check_more_points_in_old_run(self):
        run_id = next(key for key, one in self.source["runs"].items() if one["run_name"] == "run-0-0")
        last = max(point[0] for point in self.source["runs"][run_id]["metrics"]["metric0"])
        self.client.log_metric(run_id, "metric0", 7.5, timestamp=last + 1, step=100)
        self.equal("a point added to a migrated run is its latest", self.client.get_run(run_id).data.metrics["metric0"], 7.5)

    def check_delete_and_restore(self):
        deleted = next(key for key, one in self.source["experiments"].items() if one["name"] == "deleted experiment")
        self.client.restore_experiment(deleted)
        runs = self.client.search_runs([deleted])
        self.equal("a restored experiment has its runs", len(runs), sum(
            run["experiment_id"] == deleted for run in self.source["runs"].values()
        ))  # fmt: skip
        self.client.delete_experiment(deleted)
        self.equal("deleted again", self.client.get_experiment(deleted).lifecycle_stage, "deleted")

    def check_new_experiment(self):
        experiment_id = self.client.create_experiment("after the migration")
        self.tap.ok(
            int(experiment_id) > max(map(int, self.source["experiments"])), "a new experiment gets an id after the others", experiment_id
        )


def main():
    parser = argparse.ArgumentParser(description="Use mlflow server on a migrated database.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--source", required=True, type=Path)
    arguments = parser.parse_args()
    source = json.loads(arguments.source.read_text(encoding="utf-8"))
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="mlruns-tools-server.") as work:
        log = Path(work) / "server.log"
        server = Server(arguments.url, log)
        try:
            if tap.ok(server.wait(), "mlflow server starts", log.read_text(errors="replace")):
                Checks(tap, server, source).all()
        finally:
            server.stop()
        text = log.read_text(errors="replace")
        tap.ok("Traceback" not in text, "no error in the server's log", text[-6000:])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
