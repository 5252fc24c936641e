#!/usr/bin/env python3
"""The target of a storm: a real `mlflow server`, and what people do with it meanwhile.

    storm_clients.py SEED URL WORK      inside an environment whose MLflow serves the database; WORK: a folder for its log

Two clients edit and one looks; each does what the seed says. Commands on standard input, each answered by a line:

    start          the server is up
    control N      each client does N things; what they were told of errors is kept as the control's
    storm          they begin, until
    stop
    read FILE      what they have written and were told, and what MLflow reads in the database, as JSON; the server has ended
"""

import json
import os
import random
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path

os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # a process that takes its time to start and has nothing to do here

import compare_stores
import mlflow
from mlflow import entities
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from server_checks import Server

PACE = 0.03  # seconds between two things of a client, so that it leaves the processor to the others


def kind_of(error):
    """An error without the ids and names in it."""
    text = str(error).splitlines()[0] if str(error) else ""
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "…", text)
    text = re.sub(r"\b(?=\w*\d)[\w.-]+", "…", text)
    text = re.sub(r"(name|key)=[^,)]*", r"\1=…", text)
    return "%s %s %s" % (type(error).__name__, getattr(error, "error_code", ""), text[:160])


class Client:
    def __init__(self, name, seed, address):
        self.name = name
        self.rng = random.Random("%s %s" % (seed, name))
        self.client = MlflowClient(tracking_uri=address, registry_uri=address)
        self.done, self.errors = Counter(), Counter()
        self.examples = {}
        self.number = 0
        self.things = {}

    def new_name(self, what):
        self.number += 1
        return "%s of %s %d" % (what, self.name, self.number)

    def one_thing(self):
        thing = self.rng.choices(list(self.things), list(self.things.values()))[0]
        try:
            getattr(self, "do_" + thing)()
            self.done[thing] += 1
        except MlflowException as error:
            kind = "%s: %s" % (thing, kind_of(error))
            self.errors[kind] += 1
            self.examples.setdefault(kind, str(error)[:1500])


class Poller(Client):
    """Looks, as a page in a browser does."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.things = {"runs": 4, "history": 4, "status": 4, "models": 2, "traces": 2, "experiments": 2, "logged": 1}
        self.ids, self.experiments = [], ["0"]

    def do_experiments(self):
        self.experiments = [one.experiment_id for one in self.client.search_experiments(view_type=ViewType.ALL)]

    def do_runs(self):
        runs = self.client.search_runs(self.experiments, run_view_type=ViewType.ALL, max_results=200)
        self.ids = [run.info.run_id for run in runs]

    def do_status(self):
        for run_id in self.rng.sample(self.ids, min(3, len(self.ids))):
            self.client.get_run(run_id)

    def do_history(self):
        if self.ids:
            self.client.get_metric_history(self.rng.choice(self.ids), "loss")

    def do_models(self):
        self.client.search_registered_models()
        self.client.search_model_versions()

    def do_traces(self):
        self.client.search_traces(locations=self.experiments[:20], include_spans=False)

    def do_logged(self):
        self.client.search_logged_models(self.experiments[:20])


class Editor(Client):
    """Writes what nothing but the server knows, which a sync must leave as it is, and keeps a journal of it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.journal = {kind: {} for kind in (
            "tags", "experiment_tags", "trace_tags", "model_tags", "version_tags", "logged_tags", "aliases", "descriptions",
            "points", "names", "assessments", "runs", "experiments", "doubtful",
        )}  # fmt: skip
        self.known = {"runs": [], "experiments": [], "traces": [], "models": [], "versions": [], "logged": []}
        self.own_experiments, self.own_runs, self.own_deleted = [], [], []
        self.things = {
            "look": 3, "tag": 10, "note": 3, "points": 8, "rename": 2, "experiment_tag": 3, "trace_tag": 3, "assess": 2,
            "describe": 3, "model_tag": 2, "version_tag": 2, "alias": 2, "logged_tag": 2, "own_experiment": 1, "own_run": 5,
            "own_points": 5, "own_delete": 1, "own_restore": 1, "own_model": 1, "wrong": 4,
        }  # fmt: skip

    def note(self, kind, of, key, value, call):
        """What is written: of an error nobody knows whether it was."""
        try:
            call()
        except MlflowException:
            self.journal["doubtful"].setdefault("%s %s" % (kind, of), {}).setdefault(key, []).append(value)
            raise
        self.journal[kind].setdefault(of, {})[key] = value

    def pick(self, kind):
        if not self.known[kind]:
            self.do_look()
        return self.rng.choice(self.known[kind]) if self.known[kind] else None

    def do_look(self):
        found = self.client.search_experiments(view_type=ViewType.ALL)
        ids = [one.experiment_id for one in found]
        runs = self.client.search_runs(ids, run_view_type=ViewType.ALL, max_results=1000)
        self.known["experiments"] = ids
        self.known["runs"] = [run.info.run_id for run in runs if not run.info.run_name.startswith("run of editor")]
        self.known["traces"] = [one.info.trace_id for one in self.client.search_traces(locations=ids[:50], include_spans=False)]
        models = self.client.search_registered_models(max_results=200)
        self.known["models"] = [one.name for one in models if not one.name.startswith("model of editor")]
        versions = self.client.search_model_versions(max_results=200)
        self.known["versions"] = [(one.name, str(one.version)) for one in versions if not one.name.startswith("model of editor")]
        self.known["logged"] = [one.model_id for one in self.client.search_logged_models(ids[:50])]

    def value(self):
        self.number += 1
        return "%s %d" % (self.name, self.number)

    # -- what is of the sources

    def do_tag(self):
        run_id, key = self.pick("runs"), self.rng.choice(["contested", "server." + self.name, "server.2." + self.name])
        value = self.value()
        self.note("tags", run_id, key, value, lambda: self.client.set_tag(run_id, key, value))

    def do_note(self):
        run_id, value = self.pick("runs"), self.value()
        self.note("tags", run_id, "note." + self.name, value, lambda: self.client.set_tag(run_id, "note." + self.name, value))

    def do_points(self):
        run_id, key = self.pick("runs"), self.rng.choice(["loss", "accuracy", "server." + self.name])
        now, step = int(time.time() * 1000), self.rng.randrange(60)
        value = self.rng.random()
        self.log(run_id, key, value, now, step)

    def log(self, run_id, key, value, now, step):
        point = [now, step, value]
        self.note("points", run_id, "%s %r" % (key, point), [key, point],
                  lambda: self.client.log_metric(run_id, key, value, timestamp=now, step=step))  # fmt: skip

    def do_rename(self):
        run_id, name = self.pick("runs"), self.value()
        self.note("names", run_id, "name", name, lambda: self.client.update_run(run_id, name=name))

    def do_experiment_tag(self):
        one, key, value = self.pick("experiments"), "server." + self.name, self.value()
        self.note("experiment_tags", one, key, value, lambda: self.client.set_experiment_tag(one, key, value))

    def do_trace_tag(self):
        one, key, value = self.pick("traces"), "server." + self.name, self.value()
        if one:
            self.note("trace_tags", one, key, value, lambda: self.client.set_trace_tag(one, key, value))

    def do_assess(self):
        trace_id = self.pick("traces")
        if trace_id:
            source = entities.AssessmentSource(source_type="HUMAN", source_id=self.name)
            made = mlflow.log_feedback(trace_id=trace_id, name="of " + self.name, value=self.value(), source=source)
            self.journal["assessments"][made.assessment_id] = [trace_id, made.feedback.value]

    def do_describe(self):
        plain = [name for name in self.known["models"] if name.startswith("plain")]
        if plain:
            name, value = self.rng.choice(plain), self.value()
            self.note("descriptions", name, "description", value, lambda: self.client.update_registered_model(name, value))

    def do_model_tag(self):
        name, key, value = self.pick("models"), "server." + self.name, self.value()
        if name:
            self.note("model_tags", name, key, value, lambda: self.client.set_registered_model_tag(name, key, value))

    def do_version_tag(self):
        one, key, value = self.pick("versions"), "server." + self.name, self.value()
        if one:
            self.note("version_tags", "%s/%s" % one, key, value, lambda: self.client.set_model_version_tag(*one, key, value))

    def do_alias(self):
        one = self.pick("versions")
        if one:
            alias = "best-of-" + self.name.replace(" ", "-")
            self.note("aliases", one[0], alias, one[1], lambda: self.client.set_registered_model_alias(one[0], alias, one[1]))

    def do_logged_tag(self):
        one, key, value = self.pick("logged"), "server." + self.name, self.value()
        if one:
            self.note("logged_tags", one, key, value, lambda: self.client.set_logged_model_tags(one, {key: value}))

    # -- what is the server's own

    def do_own_experiment(self):
        name = self.new_name("experiment")
        one = self.client.create_experiment(name, tags={"own": self.name})
        self.own_experiments.append(one)
        self.journal["experiments"][one] = {"name": name, "lifecycle_stage": "active"}

    def do_own_run(self):
        here = self.own_experiments + ["0"]
        experiment = self.rng.choice(here if self.rng.random() < 0.5 else self.known["experiments"] or here)
        tags = {"own": self.name}
        if self.own_runs and self.rng.random() < 0.3:
            tags["mlflow.parentRunId"] = self.own_runs[-1]
        name = self.new_name("run")
        run_id = self.client.create_run(experiment, run_name=name, tags=tags).info.run_id
        self.own_runs.append(run_id)
        self.journal["runs"][run_id] = {"experiment_id": experiment, "run_name": name, "params": {}, "lifecycle_stage": "active"}
        self.client.log_param(run_id, "p", name)
        self.journal["runs"][run_id]["params"] = {"p": name}

    def do_own_points(self):
        if self.own_runs:
            run_id = self.rng.choice(self.own_runs)
            self.log(run_id, "own", self.rng.random(), int(time.time() * 1000), self.rng.randrange(30))
            if self.rng.random() < 0.3:
                self.client.set_terminated(run_id, "FINISHED")

    def do_own_delete(self):
        if len(self.own_runs) > 2:
            run_id = self.own_runs.pop(self.rng.randrange(len(self.own_runs)))
            self.own_deleted.append(run_id)
            self.journal["runs"][run_id]["lifecycle_stage"] = "deleted"
            self.client.delete_run(run_id)

    def do_own_restore(self):
        if len(self.own_deleted) > 1:
            run_id = self.own_deleted.pop()
            self.client.restore_run(run_id)
            self.journal["runs"][run_id]["lifecycle_stage"] = "active"
            self.own_runs.append(run_id)

    def do_own_model(self):
        name, value = self.new_name("model"), self.value()
        self.client.create_registered_model(name)
        self.note("descriptions", name, "description", value, lambda: self.client.update_registered_model(name, value))
        version = self.client.create_model_version(name, "s3://bucket/own", await_creation_for=None).version
        self.note("aliases", name, "own", str(version), lambda: self.client.set_registered_model_alias(name, "own", version))

    # -- what a client is told of things that a source deletes while it works with them: here, too, where there are no ticks

    def do_wrong(self):
        if "own" not in self.__dict__:
            self.own = self.make_deleted()
        deleted = self.own
        experiment, run_id, version, model_id = deleted["experiment"], deleted["run"], deleted["version"], deleted["logged"]
        for kind, call in (
            ("note", lambda: self.client.set_tag(run_id, "k", "v")),
            ("own_run", lambda: self.client.create_run(experiment)),
            ("experiment_tag", lambda: self.client.set_experiment_tag(experiment, "k", "v")),
            ("tag", lambda: self.client.set_tag(run_id, "k", "v")),
            ("points", lambda: self.client.log_metric(run_id, "k", 1.0)),
            ("rename", lambda: self.client.update_run(run_id, name="x")),
            ("version_tag", lambda: self.client.set_model_version_tag(*version, "k", "v")),
            ("alias", lambda: self.client.set_registered_model_alias(version[0], "a", version[1])),
            ("logged_tag", lambda: self.client.set_logged_model_tags(model_id, {"k": "v"})),
        ):
            try:
                call()
            except MlflowException as error:
                self.errors["%s: %s" % (kind, kind_of(error))] += 1

    def make_deleted(self):
        name = self.new_name("deleted")
        experiment = self.client.create_experiment(name)
        self.client.create_registered_model("model of " + name)
        version = str(self.client.create_model_version("model of " + name, "s3://bucket/own", await_creation_for=None).version)
        self.client.delete_model_version("model of " + name, version)
        run_id = self.client.create_run("0", run_name="run of %s" % self.name).info.run_id
        self.client.delete_run(run_id)
        model = self.client.create_logged_model(experiment, "m")
        self.client.delete_logged_model(model.model_id)
        self.client.delete_experiment(experiment)
        return {"experiment": experiment, "run": run_id, "version": ("model of " + name, version), "logged": model.model_id}


class Target:
    def __init__(self, seed, url, work):
        self.seed, self.url, self.work = seed, url, Path(work)
        self.threads, self.stopping = [], threading.Event()
        self.clients, self.failures, self.told, self.server = [], [], None, None

    def start(self, _):
        self.server = Server(self.url, self.work / "server.log")
        if not self.server.wait():
            raise RuntimeError("the server does not start: " + (self.work / "server.log").read_text(errors="replace")[-3000:])
        mlflow.set_tracking_uri(self.server.address)
        mlflow.set_registry_uri(self.server.address)
        address = self.server.address
        self.clients = [Editor("editor 1", self.seed, address), Editor("editor 2", self.seed, address), Poller("poller", self.seed, address)]

    def work_with(self, client, count, pace):
        try:
            while not self.stopping.is_set() and count != 0:
                client.one_thing()
                count -= 1
                self.stopping.wait(pace)
        except Exception as error:  # not an answer of the server
            self.failures.append("%s: %s: %s" % (client.name, type(error).__name__, error))

    def launch(self, count, pace):
        self.stopping.clear()
        self.threads = [threading.Thread(target=self.work_with, args=(client, count, pace)) for client in self.clients]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()

    def control(self, count):
        for client in self.clients[:2]:
            client.do_wrong()
        self.launch(int(count), 0)
        self.join()
        self.told = [dict(client.errors) for client in self.clients]
        for client in self.clients:
            client.errors.clear()
            client.examples.clear()

    def storm(self, _):
        self.launch(-1, PACE)

    def stop(self, _):
        self.stopping.set()
        self.join()

    def end(self):
        self.stopping.set()
        if self.server:
            self.server.stop()
        self.server = None

    def read(self, path):
        self.end()
        answer = {
            "store": compare_stores.read(self.url),
            "control": self.told,
            "errors": [dict(client.errors) for client in self.clients],
            "examples": {kind: text for client in self.clients for kind, text in client.examples.items()},
            "failures": self.failures,
            "done": [dict(client.done) for client in self.clients],
            "journals": [client.journal for client in self.clients if isinstance(client, Editor)],
        }
        with open(path, "w", encoding="utf-8") as out:
            json.dump(answer, out)


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    target = Target(*sys.argv[1:4])
    commands = {name: getattr(target, name) for name in ("start", "control", "storm", "stop", "read")}
    try:
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            commands[command](argument)
            print("done", line.strip(), file=answers, flush=True)
    finally:
        target.end()


if __name__ == "__main__":
    main()
