#!/usr/bin/env python3
"""What logs in a storm: real MLflow that writes one source, as jobs do, one random thing after the other.

    storm_writers.py NAME SEED URI      inside any environment with MLflow; URI: file:///… or sqlite:///…

Reads commands from standard input and answers each with a line on standard output:

    go N          does N things
    read FILE     writes to FILE what MLflow reads in the store, what was taken away in it, and the counts, as JSON

Between two things of one command nothing is waited for, so ticks meet every state in which MLflow leaves its files.
"""

import json
import os
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ.update(MLFLOW_ENABLE_ASYNC_TRACE_LOGGING="false", MLFLOW_ALLOW_FILE_STORE="true", MLFLOW_DISABLE_TELEMETRY="true")

import compare_stores
import mlflow
from mlflow import entities
from mlflow.tracking import MlflowClient
from storm_checks import SHARED

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
MANY = 12  # entities of a kind that are still changed; the older ones rest


def patch_tracing():
    """Newer OpenTelemetry releases set these in a constructor that the processors of older MLflow do not call."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    class Anything:
        def __getattr__(self, name):
            return lambda *arguments, **named: None

    for attribute, value in (("_shutdown", False), ("_metrics", Anything())):
        if not hasattr(SimpleSpanProcessor, attribute):
            setattr(SimpleSpanProcessor, attribute, value)


class Writer:
    def __init__(self, name, seed, uri):
        self.name, self.uri = name, uri
        self.rng = random.Random("%s %s" % (seed, name))
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        patch_tracing()
        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self.counts = Counter()
        self.removed = set()  # what the target may have beyond the source: "tag RUN KEY" and so on
        self.number = 0
        self.experiments, self.deleted_experiments = [], []
        self.runs, self.deleted_runs = [], []
        self.traces, self.assessments = [], []
        self.joined = set()  # runs and their models
        self.logged_models, self.registered, self.versions, self.aliases = [], [], [], []
        self.things = self.chances()

    def chances(self):
        chosen = {
            "points": 20, "new_run": 8, "tag": 10, "param": 6, "status": 5, "rename_run": 3, "untag": 2, "input": 4,
            "delete_run": 3, "restore_run": 3, "new_experiment": 3, "experiment_tag": 3, "rename_experiment": 1.5,
            "delete_experiment": 1, "restore_experiment": 2, "new_trace": 5, "trace_tag": 3,
            "new_registered": 2, "registered_change": 3, "new_version": 4, "version_change": 4, "alias": 4, "unalias": 1,
            "rename_registered": 0.7, "delete_version": 1, "delete_registered": 0.4, "prompt": 1,
        }  # fmt: skip
        if VERSION >= (3, 0):
            chosen.update(new_logged=4, logged_change=5, logged_points=4, delete_logged=1, outputs=2)
        if VERSION >= (3, 2):
            chosen.update(assess=5, reassess=3, unassess=1)
        return chosen

    def new_name(self, what):
        self.number += 1
        return "%s %s %d" % (what, self.name, self.number)

    def pick(self, those):
        """One of the latest; None: there is none."""
        return self.rng.choice(those[-MANY:]) if those else None

    def begin(self):
        """Something of each kind, so that the first tick has it all."""
        shared = self.client.create_experiment(SHARED)
        self.client.set_experiment_tag(shared, "storm.%s" % self.name, "shared")
        self.experiments.append(shared)
        self.do_new_experiment()
        for _ in range(4):
            self.do_new_run()
        for thing in self.things:
            if not thing.startswith(("delete", "rename")):
                self.do(thing)

    def go(self, n):
        names, weights = list(self.things), list(self.things.values())
        for name in self.rng.choices(names, weights, k=n):
            self.do(name)

    def do(self, thing):
        try:
            self.counts[thing] += getattr(self, "do_" + thing)() is not False
        except Exception:
            raise RuntimeError("%s: %s failed\n%s" % (self.name, thing, traceback.format_exc()))

    # -- experiments and runs

    def do_new_experiment(self):
        experiment = self.client.create_experiment(self.new_name("experiment"))
        self.client.set_experiment_tag(experiment, "storm.%s" % self.name, str(self.number))
        self.experiments.append(experiment)

    def do_experiment_tag(self):
        self.client.set_experiment_tag(self.pick(self.experiments), self.rng.choice(["%s.a", "%s.b"]) % self.name, self.text())

    def own_experiment(self):
        return self.pick([one for one in self.experiments[1:]])

    def do_rename_experiment(self):
        experiment = self.own_experiment()
        if not experiment:
            return False
        self.client.rename_experiment(experiment, self.new_name("renamed"))

    def do_delete_experiment(self):
        experiment = self.own_experiment()
        if not experiment or len(self.experiments) < 3:
            return False
        self.client.delete_experiment(experiment)
        self.experiments.remove(experiment)
        here = [run for run in self.runs if run[1] == experiment]
        self.runs = [run for run in self.runs if run[1] != experiment]
        self.traces = [trace for trace in self.traces if trace[1] != experiment]
        self.assessments = [one for one in self.assessments if one[2] != experiment]
        self.logged_models = [model for model in self.logged_models if model[1] != experiment]
        self.deleted_experiments.append((experiment, here))

    def do_restore_experiment(self):
        if not self.deleted_experiments:
            return False
        experiment, runs = self.deleted_experiments.pop(self.rng.randrange(len(self.deleted_experiments)))
        self.client.restore_experiment(experiment)
        self.experiments.append(experiment)
        self.runs.extend(run for run in runs if self.client.get_run(run[0]).info.lifecycle_stage == "active")

    def do_new_run(self):
        experiment = self.pick(self.experiments + ["0"])
        tags = {"mlflow.source.name": "train.py", "mlflow.user": self.name}
        siblings = [run for run in self.runs if run[1] == experiment]
        if siblings and self.rng.random() < 0.4:
            tags["mlflow.parentRunId"] = self.pick(siblings)[0]
        run = self.client.create_run(experiment, tags=tags, run_name=self.new_name("run"))
        self.runs.append((run.info.run_id, experiment))

    def run(self):
        if not self.runs:
            self.do_new_run()
        return self.pick(self.runs)

    def text(self):
        return self.rng.choice(["", "x", "lines\nand more", "测试 🚀", "v%d" % self.rng.randrange(10**6), "y" * 300])

    def do_points(self):
        run_id, _ = self.run()
        key = self.rng.choice(["loss", "accuracy", "deep/er", "rare"])
        if self.rng.random() < 0.4:
            self.client.log_metric(run_id, key, self.value(), step=self.rng.randrange(50))
            return
        now = time.time_ns() // 1_000_000
        points = [entities.Metric(key, self.value(), now + i, i) for i in range(self.rng.choice([2, 20, 60]))]
        self.client.log_batch(run_id, metrics=points)

    def value(self):
        return self.rng.choice([self.rng.random(), self.rng.gauss(0, 1e6), float(self.rng.randrange(100)), 1e-300, float("nan")])

    def do_param(self):
        self.number += 1
        self.client.log_param(self.run()[0], "p%d" % self.number, self.text())

    def do_tag(self):
        self.client.set_tag(self.run()[0], self.rng.choice(["stage", "contested", "deep/tag", "%s.c" % self.name]), self.text())

    def do_untag(self):
        run_id, _ = self.run()
        key = "gone%d" % self.rng.randrange(3)
        if key in self.client.get_run(run_id).data.tags:
            self.client.delete_tag(run_id, key)
            self.removed.add("tag %s %s" % (run_id, key))
        else:
            self.client.set_tag(run_id, key, self.text())

    def do_status(self):
        run_id, _ = self.run()
        if self.rng.random() < 0.7:
            self.client.set_terminated(run_id, self.rng.choice(["FINISHED", "FAILED", "KILLED"]))
        else:
            self.client.update_run(run_id, status="RUNNING")

    def do_rename_run(self):
        self.client.update_run(self.run()[0], name=self.new_name("renamed run"))

    def do_delete_run(self):
        if len(self.runs) < 3:
            return False
        run = self.run()
        self.client.delete_run(run[0])
        self.runs.remove(run)
        self.deleted_runs.append(run)

    def do_restore_run(self):
        here = [run for run in self.deleted_runs if run[1] in self.experiments + ["0"]]
        if not here:
            return False
        run = self.pick(here)
        self.client.restore_run(run[0])
        self.deleted_runs.remove(run)
        self.runs.append(run)

    def dataset(self):
        number = self.rng.randrange(6)
        return entities.Dataset("data-%d" % number, "d%07d" % number, "local", '{"uri": "/data/%d"}' % number, None, '{"rows": 3}')

    def do_input(self):
        tags = [entities.InputTag("mlflow.data.context", self.rng.choice(["training", "eval"]))]
        self.client.log_inputs(self.run()[0], [entities.DatasetInput(self.dataset(), tags)])

    # -- traces

    def do_new_trace(self):
        experiment = self.pick(self.experiments)
        root = self.client.start_trace(self.new_name("trace"), inputs={"q": self.text()}, experiment_id=experiment, tags={"t": "1"})
        trace_id = getattr(root, "trace_id", None) or root.request_id
        child = self.client.start_span("inner", trace_id, root.span_id, inputs={"i": 1})
        self.client.end_span(trace_id, child.span_id, outputs={"o": self.rng.random()})
        self.client.end_trace(trace_id, outputs={"a": self.text()}, status=self.rng.choice(["OK", "ERROR"]))
        self.traces.append((trace_id, experiment))

    def trace(self):
        if not self.traces:
            self.do_new_trace()
        return self.pick(self.traces)

    def do_trace_tag(self):
        self.client.set_trace_tag(self.trace()[0], self.rng.choice(["t", "u", "%s.w" % self.name]), self.text())

    def source(self):
        return entities.AssessmentSource(source_type="HUMAN", source_id=self.name)

    def do_assess(self):
        trace_id, experiment = self.trace()
        value = self.rng.choice([True, 0.5, "fine", {"b": [1, None]}])
        if self.rng.random() < 0.7:
            made = mlflow.log_feedback(trace_id=trace_id, name="polite", value=value, source=self.source(), rationale=self.text())
        else:
            made = mlflow.log_expectation(trace_id=trace_id, name="answer", value=value, source=self.source())
        self.assessments.append((made.assessment_id, trace_id, experiment, made.name))

    def do_reassess(self):
        one = self.pick(self.assessments)
        if not one:
            return False
        kind = entities.Feedback if one[3] == "polite" else entities.Expectation
        if one[3] == "polite" and self.rng.random() < 0.4:
            made = mlflow.override_feedback(trace_id=one[1], assessment_id=one[0], value=self.rng.random(), source=self.source())
            self.assessments.remove(one)
            self.assessments.append((made.assessment_id, one[1], one[2], one[3]))
        else:
            mlflow.update_assessment(one[1], one[0], kind(name=one[3], value=self.rng.random(), source=self.source()))

    def do_unassess(self):
        one = self.pick(self.assessments)
        if not one or len(self.assessments) < 3:
            return False
        mlflow.delete_assessment(one[1], one[0])
        self.assessments.remove(one)
        self.removed.add("assessment %s" % one[0])

    # -- logged models

    def do_new_logged(self):
        run_id, experiment = self.run()
        model = self.client.create_logged_model(
            experiment, "model-%s-%d" % (self.name, len(self.logged_models)), run_id, {"t": "1"}, {"p": self.text()}, "agent"
        )
        self.logged_models.append((model.model_id, experiment))

    def logged(self):
        if not self.logged_models:
            self.do_new_logged()
        return self.pick(self.logged_models)[0]

    def do_logged_change(self):
        model_id = self.logged()
        if self.rng.random() < 0.5:
            self.client.finalize_logged_model(model_id, self.rng.choice(["READY", "FAILED"]))
        else:
            self.client.set_logged_model_tags(model_id, {self.rng.choice(["t", "u"]): self.text()})

    def do_logged_points(self):
        model_id = self.logged()
        # In a file store the model of another experiment would get a folder without its meta.yaml there.
        experiment = dict(self.logged_models)[model_id]
        runs = [run for run, where in self.runs if where == experiment]
        if not runs:
            return False
        self.client.log_metric(self.pick(runs), "quality", self.rng.random(), step=self.rng.randrange(20), model_id=model_id)

    def do_outputs(self):
        run_id, model_id, is_output = self.run()[0], self.logged(), self.rng.random() < 0.5
        if (run_id, model_id, is_output) in self.joined:  # which MLflow refuses
            return False
        self.joined.add((run_id, model_id, is_output))
        if is_output:
            self.client.log_outputs(run_id, [entities.LoggedModelOutput(model_id, step=self.rng.randrange(5))])
        else:
            self.client.log_inputs(run_id, models=[entities.LoggedModelInput(model_id)])

    def do_delete_logged(self):
        if len(self.logged_models) < 4:
            return False
        model = self.pick(self.logged_models)
        self.client.delete_logged_model(model[0])
        self.logged_models.remove(model)

    # -- the registry

    def do_new_registered(self):
        # What nobody describes here is what people describe on the server.
        plain = self.rng.random() < 0.5
        name = self.new_name("plain" if plain else "net")
        self.client.create_registered_model(name, tags={"t": "1"}, description=None if plain else self.text() or None)
        self.registered.append(name)

    def model(self):
        if not self.registered:
            self.do_new_registered()
        return self.pick(self.registered)

    def do_registered_change(self):
        name = self.model()
        if name.startswith("plain") or self.rng.random() < 0.5:
            self.client.set_registered_model_tag(name, self.rng.choice(["t", "u"]), self.text())
        else:
            self.client.update_registered_model(name, description=self.text() + "!")

    def do_new_version(self):
        name = self.model()
        version = self.client.create_model_version(
            name, "s3://bucket/%d" % self.rng.randrange(99), run_id=self.run()[0], tags={"t": "1"}, await_creation_for=None
        )
        self.versions.append((name, str(version.version)))

    def version(self):
        if not self.versions:
            self.do_new_version()
        return self.pick(self.versions)

    def do_version_change(self):
        name, version = self.version()
        how = self.rng.randrange(3)
        if how == 0:
            self.client.update_model_version(name, version, description=self.text() + "?")
        elif how == 1:
            self.client.set_model_version_tag(name, version, self.rng.choice(["t", "u"]), self.text())
        else:
            self.client.transition_model_version_stage(name, version, self.rng.choice(["Staging", "Production", "None"]))

    def do_alias(self):
        name, version = self.version()
        alias = self.rng.choice(["champion", "challenger"])
        self.client.set_registered_model_alias(name, alias, version)
        self.aliases = [one for one in self.aliases if one[:2] != (name, alias)] + [(name, alias, version)]

    def unalias(self, one):
        self.aliases.remove(one)
        self.removed.add("alias %s %s" % one[:2])

    def do_unalias(self):
        one = self.pick(self.aliases)
        if not one:
            return False
        self.client.delete_registered_model_alias(one[0], one[1])
        self.unalias(one)

    def do_delete_version(self):
        if len(self.versions) < 3:
            return False
        one = self.version()
        self.client.delete_model_version(*one)
        self.versions.remove(one)
        for alias in [alias for alias in self.aliases if (alias[0], alias[2]) == one]:
            self.unalias(alias)

    def do_rename_registered(self):
        those = [name for name in self.registered if not name.startswith("plain")]
        if self.uri.startswith("file:"):  # where MLflow fails on the way when a version has tags
            those = [name for name in those if not any(one[0] == name for one in self.versions)]
        name = self.pick(those)
        if not name or len(self.registered) < 3:
            return False
        new = self.new_name("renamed net")
        self.client.rename_registered_model(name, new)
        self.removed.add("model %s" % name)
        self.registered = [new if one == name else one for one in self.registered]
        self.versions = [(new if one == name else one, version) for one, version in self.versions]
        self.aliases = [(new if one == name else one, alias, version) for one, alias, version in self.aliases]

    def do_delete_registered(self):
        if len(self.registered) < 4:
            return False
        name = self.model()
        self.client.delete_registered_model(name)
        self.removed.add("model %s" % name)
        self.registered.remove(name)
        self.versions = [one for one in self.versions if one[0] != name]
        self.aliases = [one for one in self.aliases if one[0] != name]

    def do_prompt(self):
        name = "prompt-%s-%d" % (self.name, self.rng.randrange(3))
        version = self.client.register_prompt(name, "Answer {{q}} as %d" % self.rng.randrange(10**6), tags={"t": self.text() or "x"}).version
        self.client.set_prompt_alias(name, "production", version)

    # -- the end

    def read(self, path):
        where = Path(self.uri[len("file://") :]) if self.uri.startswith("file:") else self.uri
        found = compare_stores.read(where)
        answer = {"name": self.name, "version": mlflow.__version__, "store": found, "removed": sorted(self.removed), "counts": self.counts}
        with open(path, "w", encoding="utf-8") as out:
            json.dump(answer, out)


def main():
    name, seed, uri = sys.argv[1:4]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what MLflow prints is no answer
    writer = Writer(name, seed, uri)
    begun = False
    for line in sys.stdin:
        command, argument = line.split(maxsplit=1)
        if command == "go":
            if not begun:
                writer.begin()
            begun = True
            writer.go(int(argument))
        else:
            writer.read(argument.strip())
        print("done", line.strip(), file=answers, flush=True)


if __name__ == "__main__":
    main()
