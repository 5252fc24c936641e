#!/usr/bin/env python3
"""Writes a file store (an mlruns directory) with whatever real MLflow runs this script.

    generate_fixtures.py --output DIR --size small|full [--seed N]

DIR becomes the mlruns directory; it must be absent or empty.  Any MLflow from 1.14 on will do; what a version lacks is
skipped.  The clock, the uuids and all random choices are fixed, so the same MLflow writes the same bytes into the same
DIR (paths of artifacts hold DIR's own name); another seed gives other ids.  A summary of what was written goes to stdout as JSON.

The `small` tree has the counts that a quick test needs and the cheap edge cases; `full` has more of each and every edge
case.  Only what MLflow's own stores can write is in here: damaged files are the business of other tests.
"""

import argparse
import collections
import json
import os
import random
import shutil
import sys
import time
import uuid
import warnings
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"  # 3.13 and later refuse a file store without it
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["GIT_PYTHON_REFRESH"] = "quiet"
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
    os.environ.pop(name, None)

warnings.simplefilter("ignore")

SEED = 20231114
rng = random.Random(SEED)
random.seed(SEED)


class Clock:
    """Milliseconds since the epoch, moved by hand alone, so that threads of MLflow cannot disturb it."""

    def __init__(self, start):
        self.now = start

    def tick(self, ms=7):
        self.now += ms
        return self.now


clock = Clock(1_700_000_000_000)
time.time = lambda: clock.now / 1000
time.time_ns = lambda: clock.now * 1_000_000
uuid.uuid4 = lambda: uuid.UUID(int=rng.getrandbits(128), version=4)

import mlflow  # noqa: E402 (its modules must see the fixed clock and uuids)
from mlflow import entities  # noqa: E402
from mlflow.entities import Experiment, ExperimentTag, Metric, Param, RunTag  # noqa: E402,F401
from mlflow.store.tracking.file_store import FileStore  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
HAS_REGISTRY = VERSION >= (2, 0)
HAS_DATASETS = VERSION >= (2, 4)
HAS_TRACES_V2 = (2, 14) <= VERSION < (3, 0)
HAS_TRACES_V3 = VERSION >= (3, 0)
HAS_PROMPTS = VERSION >= (2, 21)
HAS_LOGGED_MODELS = VERSION >= (3, 0)
HAS_ASSESSMENTS = VERSION >= (3, 2)
HAS_ISSUES = hasattr(entities, "IssueReference")

COUNTS = {
    # kind: (small, full); each is counted within its parent
    "experiment": (2, 5),
    "experiment_tag": (2, 3),
    "run": (2, 5),
    "param": (3, 10),
    "metric": (3, 10),
    "tag": (2, 5),
    "dataset": (1, 3),
    "input": (1, 2),
    "input_tag": (1, 2),
    "trace": (1, 3),
    "trace_tag": (1, 3),
    "trace_request_metadata": (1, 3),
    "assessment": (1, 2),
    "logged_model": (1, 2),
    "logged_model_param": (2, 5),
    "logged_model_tag": (1, 3),
    "logged_model_metric": (2, 5),
    "registered_model": (1, 3),
    "model_version": (2, 5),
    "model_version_tag": (1, 3),
    "registered_model_tag": (1, 3),
    "registered_model_alias": (1, 2),
    "prompt": (1, 3),
}

MAX_DOUBLE = 1.7976931348623157e308
WIDE = "测试 データ 한국어 🚀👩‍🔬 ünïcödé"

# Values that a reader of text files, of YAML or of SQL may spoil.
HARD_TEXTS = {
    "empty": "",
    "blank": " ",
    "lines": "first\nsecond\n\nfourth\n",
    "crlf": "dos\r\nlines\r\n",
    "cr": "old\rmac\r",
    "newlines": "\n\n",
    "edges": "  kept  \t",
    "quotes": "it's \"quoted\" \\ and 100% of ${HOME} `x` ; DROP TABLE runs; --",
    "wide": WIDE,
    "separators": "a\u0085b\u2028c\u2029d\u00a0e\ufefff",
    "controls": "bell\x07 tab\t esc\x1b[0m",
    "json": '{"a": [1, 2.50, null], "b": "\\u00e9"}',
    "none": "None",
    "number": "0123",
    "long": "x" * 6000,
}

# Scalars that YAML 1.1 does not read as text unless they are quoted, and texts that it must quote or fold.
HARD_NAMES = [
    "yes", "No", "on", "~", "null", "true", "0x1F", "010", "0o17", "1_000", "1e3", "1.5e3", "1.5e+3", ".5", ".inf",
    "12:30", "190:20:30", "2024-01-02", "2024-01-02 03:04:05", "=", "<<", "- item", "a: b", "# hash", "a #b", "@at",
    "`tick", "%percent", "!tag", "&anchor", "*alias", "{a: 1}", "[1, 2]", "? key", "'single'", '"double"', "back\\slash",
    " leading", "trailing ", "tab\there", "line\nbreak", "blank\n\nline", "ends\n", "crlf\r\n", "nel\u0085ls\u2028ps\u2029",
    "nbsp\u00a0here", "\ufeffbom", WIDE, "word " * 40 + "end", "x" * 240, "é" * 120, "'" * 70 + " " + '"' * 70, "---", "...",
]  # fmt: skip


class Anything:
    """Has every method, and none does a thing."""

    def __getattr__(self, name):
        return lambda *arguments, **named: None


class Writer:
    def __init__(self, root, size):
        self.root = root
        self.size = size
        self.full = size == "full"
        self.store = FileStore(str(root))
        uri = root.as_uri()
        self.client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self.written = collections.Counter()

    def count(self, kind):
        return COUNTS[kind][self.full]

    def wrote(self, kind, number=1):
        self.written[kind] += number

    # Experiments and runs

    def experiment(self, name, tags):
        clock.tick()
        experiment_id = self.client.create_experiment(name)
        for key, value in tags.items():
            clock.tick()
            self.client.set_experiment_tag(experiment_id, key, value)
        self.wrote("experiment")
        self.wrote("experiment_tag", len(tags))
        return experiment_id

    def run(self, experiment_id, name, tags=None, user=None):
        tags = dict(tags or {})
        clock.tick()
        if VERSION >= (1, 30):
            run = self.client.create_run(experiment_id, start_time=clock.now, tags=tags, run_name=name)
        else:
            run = self.client.create_run(experiment_id, start_time=clock.now, tags={**tags, "mlflow.runName": name})
        self.wrote("run")
        self.wrote("tag", len(tags) + 1)  # and the one with the name
        return run.info.run_id

    def param(self, run_id, key, value):
        self.client.log_param(run_id, key, value)
        self.wrote("param")

    def long_param(self, run_id, key, value):
        """A value beyond the limit that the client has and older releases had not, written as the store writes it."""
        self.store._log_run_param(self.store._get_run_info(run_id), Param(key, value))
        self.wrote("param")

    def points(self, run_id, key, points):
        """Points of one metric: (timestamp, value, step)."""
        metrics = [Metric(key, value, timestamp, step) for timestamp, value, step in points]
        for start in range(0, len(metrics), 900):
            self.client.log_batch(run_id, metrics=metrics[start : start + 900])
        self.wrote("metric", len(points))

    def run_tag(self, run_id, key, value):
        self.client.set_tag(run_id, key, value)
        self.wrote("tag")

    def finish(self, run_id, status="FINISHED"):
        clock.tick(1000)
        self.client.set_terminated(run_id, status=status, end_time=clock.now)

    def dataset(self, number, name=None):
        return entities.Dataset(
            name=name or "dataset-%d" % number,
            digest="d%07d" % number,
            source_type="local",
            source=json.dumps({"uri": "/data/%d.csv" % number, "name": WIDE}, ensure_ascii=number % 2 == 0),
            schema='{"mlflow_colspec": [{"type": "double", "name": "x"}]}' if number % 3 != 2 else None,
            profile='{"num_rows": %d}' % (10 * number) if number % 3 != 1 else None,
        )

    def inputs(self, run_id, datasets, tags):
        clock.tick()
        made = [
            entities.DatasetInput(dataset, [entities.InputTag(key, value) for key, value in tags.items()])
            for dataset in datasets
        ]
        self.client.log_inputs(run_id, made)
        self.wrote("input", len(datasets))
        self.wrote("input_tag", len(datasets) * len(tags))

    def basics(self, number):
        """An ordinary experiment with everything in it; gives its id and its runs."""
        experiment_id = self.experiment(
            "experiment-%d" % number,
            {"key%d" % i: "value %d of experiment %d" % (i, number) for i in range(self.count("experiment_tag"))},
        )
        datasets = [self.dataset(100 * number + i) for i in range(self.count("dataset"))] if HAS_DATASETS else []
        self.wrote("dataset", len(datasets))
        runs = []
        for i in range(self.count("run")):
            run_id = self.run(
                experiment_id,
                "run-%d-%d" % (number, i),
                {"mlflow.source.name": "train.py", "mlflow.source.type": "LOCAL", "mlflow.user": "user%d" % i},
            )
            runs.append(run_id)
            for j in range(self.count("param")):
                self.param(run_id, "param%d" % j, str(rng.random()))
            for j in range(self.count("metric")):
                self.points(run_id, "metric%d" % j, [(clock.tick(100), rng.gauss(0, 10), step) for step in range(5)])
            for j in range(self.count("tag")):
                self.run_tag(run_id, "tag%d" % j, "value %d" % j)
            if datasets:
                start = i % len(datasets)
                chosen = (datasets + datasets)[start : start + self.count("input")]
                if i == 0:  # so that none is left without a run
                    chosen = datasets
                tags = {"mlflow.data.context": "training"}
                if self.full:
                    tags["note"] = WIDE
                self.inputs(run_id, chosen, tags)
            self.finish(run_id, ["FINISHED", "FAILED", "KILLED"][i % 3])
        return experiment_id, runs

    # Edge cases of experiments and runs

    def edge_runs_cheap(self):
        experiment_id = self.experiment("edges " + WIDE, {"note " + "测试": WIDE, "a/b": "key with a slash", "empty": ""})
        run_id = self.run(experiment_id, WIDE)
        for key, value in HARD_TEXTS.items():
            if self.full or key in ("empty", "crlf", "lines", "wide"):
                self.long_param(run_id, "text." + key, value)
                self.run_tag(run_id, "text." + key, value)
        self.long_param(run_id, "eight.thousand", "é" * 4000 + "z" * 4000)
        for key in ("deep/er/key", "deep/other", "精度", "dots.and-dashes_and blanks", "Case", "case"):
            self.param(run_id, key, "value of " + key)
            self.run_tag(run_id, key, "value of " + key)
            self.points(run_id, key, [(clock.tick(), 0.5, 1)])
        now = clock.tick()
        self.points(run_id, "not.finite", [(now + i, float(text), i) for i, text in enumerate(("nan", "inf", "-inf"))])
        self.points(run_id, "duplicates", [(now, 0.1, 1), (now, 0.1, 1), (now + 1, 0.2, 2), (now, 0.1, 1)])
        self.points(run_id, "two.nan", [(now, float("nan"), 1), (now, float("nan"), 1)])
        self.points(run_id, "same.step.and.time", [(now, 3.0, 4), (now, 1.0, 4), (now, 2.0, 4)])
        self.run(experiment_id, "empty run, still running")
        deleted = self.run(experiment_id, "deleted run")
        self.param(deleted, "kept", "yes")
        self.points(deleted, "kept", [(clock.tick(), 1.0, 0)])
        self.finish(deleted)
        clock.tick()
        self.client.delete_run(deleted)
        return experiment_id, run_id

    def edge_deleted_experiment(self):
        experiment_id = self.experiment("deleted experiment", {"why": "no longer wanted"})
        for name in ("first of deleted", "second of deleted"):
            run_id = self.run(experiment_id, name)
            self.param(run_id, "p", "1")
            self.points(run_id, "m", [(clock.tick(), 1.5, 0)])
            self.finish(run_id)
        self.edge_traces_of_deleted(experiment_id)
        clock.tick(5000)
        self.client.delete_experiment(experiment_id)

    def edge_traces_of_deleted(self, experiment_id):
        if HAS_TRACES_V2 or HAS_TRACES_V3:
            self.trace(experiment_id, "trace of deleted", {"t": "1"}, {"m": "1"})
        if HAS_LOGGED_MODELS:
            self.logged_model(experiment_id, "model of deleted", None, {"p": "1"}, {"t": "1"})

    def edge_experiments(self):
        restored = self.experiment("restored experiment", {})
        run_id = self.run(restored, "run of restored")
        self.finish(run_id)
        clock.tick()
        self.client.delete_experiment(restored)
        clock.tick()
        self.client.restore_experiment(restored)
        renamed = self.experiment("to be renamed", {"long key " + "k" * 200: "1", "multi": "a\nb"})
        clock.tick()
        self.client.rename_experiment(renamed, "renamed: yes, 0x1F # " + "n" * 150)  # no quotes: MLflow looks it up by a filter
        self.experiment("empty experiment", {})
        for name in ("null", "12:30", "2024-01-02"):
            self.experiment(name, {})

    def edge_default_experiment(self):
        run_id = self.run("0", "run of Default")
        self.param(run_id, "p", "1")
        self.finish(run_id)

    def edge_names(self):
        experiment_id = self.experiment("hard names", {})
        for name in HARD_NAMES:
            self.finish(self.run(experiment_id, name))

    def edge_metrics(self):
        experiment_id = self.experiment("hard metrics", {})
        run_id = self.run(experiment_id, "hard metrics")
        now = clock.tick()
        nan, inf = float("nan"), float("inf")
        cases = {
            "extremes": [(now, value, step) for step, value in enumerate((MAX_DOUBLE, -MAX_DOUBLE, 5e-324, 2.2e-308, 0.1 + 0.2))],
            "zeros": [(now, 0.0, 1), (now, -0.0, 1), (now, -0.0, 2)],
            "infinity.beside.largest": [(now, inf, 1), (now, MAX_DOUBLE, 1), (now, -MAX_DOUBLE, 1), (now, -inf, 1)],
            "nan.and.zero": [(now, 0.0, 1), (now, nan, 1)],
            "nan.last": [(now, 5.0, 1), (now + 1, nan, 2)],
            "nan.first": [(now, nan, 1), (now, -1.0, 1)],
            "wide.steps": [(now, 1.0, -5), (now, 2.0, 2**63 - 1), (now, 3.0, -(2**63)), (now, 4.0, 0)],
            "old.times": [(0, 1.0, 0), (1, 2.0, 1), (2**53 + 1, 3.0, 2)],
            "steps.backwards": [(now + 2, 1.0, 3), (now + 1, 2.0, 2), (now, 3.0, 1)],
            "times.backwards": [(now + 2, 1.0, 3), (now + 1, 2.0, 3), (now + 2, 0.5, 3)],
            "integers": [(now, 3, 0), (now, 10**15, 1), (now, 1e22, 2), (now, 1e-7, 3)],
            "k" * 240: [(now, 1.0, 0)],
        }
        for key, points in cases.items():
            self.points(run_id, key, points)
        self.points(run_id, "many", [(now + i, rng.random(), i) for i in range(2500)])
        self.finish(run_id)
        parent = self.run(experiment_id, "parent")
        self.run(experiment_id, "child", {"mlflow.parentRunId": parent})
        deleted = self.run(experiment_id, "deleted and restored")
        self.client.delete_run(deleted)
        clock.tick()
        self.client.restore_run(deleted)
        scheduled = self.run(experiment_id, "scheduled")
        if hasattr(self.client, "update_run"):
            self.client.update_run(scheduled, status="SCHEDULED")
        artifact_run = self.run(experiment_id, "with an artifact")
        self.client.log_text(artifact_run, "meta.yaml: not a run\n", "sub/meta.yaml")
        self.client.set_tag(artifact_run, "removed", "x")
        self.client.delete_tag(artifact_run, "removed")

    # Traces

    def trace(self, experiment_id, name, tags, metadata, state="OK", duration=125, **more):
        """One trace; gives its id.  duration: milliseconds, None for a trace that never ended."""
        clock.tick()
        tags = {"mlflow.traceName": name, **tags}
        if HAS_TRACES_V2:
            trace_id = self.trace_v2(self.store.start_trace, self.store.end_trace, experiment_id, tags, metadata, state, duration)
        else:
            trace_id = "tr-" + uuid.uuid4().hex
            info = entities.TraceInfo(
                trace_id=trace_id,
                trace_location=entities.TraceLocation.from_experiment_id(experiment_id),
                request_time=clock.now,
                execution_duration=duration,
                state=entities.TraceState(state),
                trace_metadata=dict(metadata),
                tags=tags,
                **more,
            )
            self.store.start_trace(info)
        self.wrote("trace")
        self.wrote("trace_tag", len(tags))
        self.wrote("trace_request_metadata", len(metadata))
        return trace_id

    def trace_v2(self, start, end, experiment_id, tags, metadata, state, duration):
        from mlflow.entities.trace_status import TraceStatus

        request_id = start(experiment_id, clock.now, dict(metadata), dict(tags)).request_id
        if duration is not None:
            end(request_id, clock.now + duration, TraceStatus(state), {}, {})
        return request_id

    def basic_traces(self, experiment_id, run_id, number):
        for i in range(self.count("trace")):
            tags = {"tag%d" % j: "tag value %d" % j for j in range(self.count("trace_tag"))}
            metadata = {"meta%d" % j: "metadata value %d" % j for j in range(self.count("trace_request_metadata"))}
            metadata["mlflow.sourceRun"] = run_id
            more = {"request_preview": "question %d" % i, "response_preview": "answer %d" % i} if HAS_TRACES_V3 else {}
            trace_id = self.trace(experiment_id, "trace-%d-%d" % (number, i), tags, metadata, **more)
            if HAS_ASSESSMENTS:
                self.feedback(trace_id, "correct", i % 2 == 0, rationale="looks right")
                if self.count("assessment") > 1:
                    self.expectation(trace_id, "answer", "forty-two")

    def traced_function(self, experiment_id):
        """A trace with spans, made by calling a traced function."""
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor

        # Newer OpenTelemetry releases set these in a constructor that the processors of older MLflow do not call.
        for attribute, value in (("_shutdown", False), ("_metrics", Anything())):
            if not hasattr(SimpleSpanProcessor, attribute):
                setattr(SimpleSpanProcessor, attribute, value)
        mlflow.set_tracking_uri(self.root.as_uri())
        mlflow.set_experiment(experiment_id=experiment_id)
        clock.tick()

        @mlflow.trace(name="outer", attributes={"a": 1})
        def outer(question):
            clock.tick(3)
            return inner(question) + "!"

        @mlflow.trace(name="inner", span_type="LLM")
        def inner(question):
            clock.tick(40)
            return question[::-1]

        outer(WIDE)
        self.wrote("trace")

    def edge_traces_cheap(self, experiment_id):
        metadata = {"mlflow.trace.session": "session-1", "mlflow.trace.user": "someone", "crlf": "a\r\nb", "empty": ""}
        if HAS_TRACES_V3:
            metadata["mlflow.trace.tokenUsage"] = json.dumps({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15})
        if VERSION >= (3, 10):
            metadata["mlflow.trace.cost"] = json.dumps({"input_cost": 0.25, "output_cost": 0.5, "total_cost": 0.75})
        more = {"client_request_id": "客户-1", "request_preview": WIDE, "response_preview": ""} if HAS_TRACES_V3 else {}
        self.trace(experiment_id, WIDE, {"wide": WIDE, "lines": "a\nb\r\n"}, metadata, "ERROR", **more)
        self.trace(experiment_id, "no time at all", {}, {}, "OK", 0)
        self.trace(experiment_id, "never ended", {}, {}, "IN_PROGRESS", None)

    def edge_traces(self, experiment_id):
        clock.now += 1000 - clock.now % 1000 - 7  # the next trace begins on a whole second
        self.trace(experiment_id, "whole second", {}, {}, "OK", 1)
        if HAS_TRACES_V2:
            from mlflow.entities.trace_status import TraceStatus

            self.trace(experiment_id, "unspecified", {}, {}, TraceStatus.UNSPECIFIED.value, 10)
            return
        self.trace(experiment_id, "unspecified", {}, {}, "STATE_UNSPECIFIED", 10)
        usage = {
            "more members": '{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "cache_read_input_tokens": 4}',
            "some members": '{"total_tokens": 3}',
            "no members": "{}",
        }
        for name, text in usage.items():
            self.trace(experiment_id, name, {}, {"mlflow.trace.tokenUsage": text})
        self.trace(experiment_id, "previews", {}, {}, request_preview="q" * 1000, response_preview="r" * 1000)
        trace_id = self.trace_v2(
            self.store.deprecated_start_trace_v2,
            self.store.deprecated_end_trace_v2,
            experiment_id,
            {"mlflow.traceName": "by the old call"},
            {"mlflow.traceInputs": '"in"', "mlflow.traceOutputs": '"out"'},
            "OK",
            33,
        )
        self.store.set_trace_tag(trace_id, "later", "tag")
        self.wrote("trace")
        self.wrote("trace_tag", 2)
        self.wrote("trace_request_metadata", 2)

    # Assessments

    def source(self, kind="HUMAN", name="someone@example.org"):
        return entities.AssessmentSource(source_type=kind, source_id=name)

    def assess(self, assessment):
        clock.tick()
        self.wrote("assessment")
        return self.store.create_assessment(assessment).assessment_id

    def feedback(self, trace_id, name, value, **more):
        more.setdefault("source", self.source())
        return self.assess(entities.Feedback(name=name, value=value, trace_id=trace_id, **more))

    def expectation(self, trace_id, name, value, **more):
        more.setdefault("source", self.source())
        return self.assess(entities.Expectation(name=name, value=value, trace_id=trace_id, **more))

    def edge_assessments_cheap(self, experiment_id, run_id):
        trace_id = self.trace(experiment_id, "assessed", {}, {})
        values = {
            "true": True, "false": False, "integer": 3, "float": 0.1, "text": WIDE, "yes": "Yes ", "no": "no", "empty": "",
            "list": [1, "two", None, {"three": 3.5}], "object": {"b": 1, "a": {"nested": [True]}}, "lines": "a\nb\r\n",
        }  # fmt: skip
        for name, value in values.items():
            if self.full or name in ("float", "list", "object", "text"):
                self.feedback(trace_id, name, value, source=self.source("CODE", "scorer"))
                self.expectation(trace_id, "expected " + name, value)
        error = entities.AssessmentError(error_code="RATE_LIMIT", error_message="slow down", stack_trace="at line 1\n  in f()")
        self.feedback(trace_id, "failed", None, error=error, source=self.source("LLM_JUDGE", "judge"))
        first = self.feedback(trace_id, "judged", "no", rationale="first thought", metadata={"k": WIDE, "n": "1"})
        clock.tick()
        self.feedback(trace_id, "judged", "yes", overrides=first, metadata={"mlflow.assessment.sourceRunId": run_id})
        self.feedback(trace_id, "of a span", 1.5, span_id="0123456789abcdef")
        if HAS_ISSUES:
            self.assess(
                entities.IssueReference(issue_id="iss-1", issue_name="Hallucination", trace_id=trace_id, run_id=run_id)
            )
        if self.full:
            self.feedback(trace_id, "error without message", None, error=entities.AssessmentError(error_code="E"))
            changed = self.expectation(trace_id, "changed", "before")
            clock.tick(500)
            self.store.update_assessment(trace_id, changed, expectation=entities.Expectation("changed", {"after": [1, 2]}))
            changed = self.feedback(trace_id, "changed too", 1)
            clock.tick(500)
            self.store.update_assessment(trace_id, changed, feedback=entities.Feedback("changed too", 2), rationale="why not")

    # Logged models

    def logged_model(self, experiment_id, name, run_id, params, tags, status="READY", model_type=None):
        clock.tick()
        model = self.store.create_logged_model(
            experiment_id,
            name,
            run_id,
            [entities.LoggedModelTag(key, value) for key, value in tags.items()],
            [entities.LoggedModelParameter(key, value) for key, value in params.items()],
            model_type,
        )
        if status != "PENDING":
            clock.tick()
            self.store.finalize_logged_model(model.model_id, entities.LoggedModelStatus(status))
        self.wrote("logged_model")
        self.wrote("logged_model_param", len(params))
        self.wrote("logged_model_tag", len(tags))
        return model.model_id

    def model_points(self, run_id, model_id, key, points, dataset=None):
        """Points of a model's metric, each of which the store also writes as one of the run."""
        of_dataset = {"dataset_name": dataset.name, "dataset_digest": dataset.digest} if dataset else {}
        for timestamp, value, step in points:
            metric = Metric(key, value, timestamp, step, model_id=model_id, run_id=run_id, **of_dataset)
            self.store.log_metric(run_id, metric)
        self.wrote("logged_model_metric", len(points))
        self.wrote("metric", len(points))

    def basic_logged_models(self, experiment_id, runs, number):
        for i in range(self.count("logged_model")):
            run_id = self.run(experiment_id, "run of model %d" % i)
            model_id = self.logged_model(
                experiment_id,
                "model-%d-%d" % (number, i),
                run_id,
                {"param%d" % j: "value %d" % j for j in range(self.count("logged_model_param"))},
                {"tag%d" % j: "value %d" % j for j in range(self.count("logged_model_tag"))},
            )
            for j in range(self.count("logged_model_metric")):
                self.model_points(run_id, model_id, "quality%d" % j, [(clock.tick(), rng.random(), j)])
            self.store.log_outputs(run_id, [entities.LoggedModelOutput(model_id, step=i)])
            self.wrote("output")
            self.finish(run_id)

    def edge_logged_models_cheap(self, experiment_id, run_id):
        model_id = self.logged_model(experiment_id, "模型 🚀", run_id, {"text": "a\r\nb", "empty": ""}, {"wide": WIDE}, "FAILED", "agent")
        reader = self.run(experiment_id, "reads a model")
        now = clock.tick()
        points = [(now, float("nan"), 0), (now, float("inf"), 1), (now, float("-inf"), 2), (now, 0.1, 3)]
        self.model_points(reader, model_id, "not.finite", points)
        dataset = self.dataset(7)
        self.inputs(reader, [dataset], {})
        self.model_points(reader, model_id, "on.dataset", [(now, 0.5, 9)], dataset)
        self.model_points(reader, model_id, "on.dataset", [(now, 0.5, 8)])
        self.wrote("dataset")
        self.store.log_inputs(reader, models=[entities.LoggedModelInput(model_id)])
        self.wrote("input")
        # An experiment without datasets still has inputs that are models.
        bare = self.experiment("models without datasets", {})
        bare_run = self.run(bare, "reads a model")
        bare_model = self.logged_model(bare, "bare", bare_run, {}, {}, "PENDING")
        self.store.log_inputs(bare_run, models=[entities.LoggedModelInput(bare_model)])
        self.wrote("input")

    def edge_logged_models(self, experiment_id, run_id):
        unnamed = self.logged_model(experiment_id, None, None, {}, {})
        deleted = self.logged_model(experiment_id, "deleted model", run_id, {"p": "1"}, {"t": "1"})
        clock.tick()
        self.store.delete_logged_model(deleted)
        now = clock.tick()
        blank = self.dataset(8, "name with blanks")  # for inputs alone: MLflow cannot read such a metric line back
        elsewhere = entities.Dataset("never-logged", "digest-x", "local", "{}", None, None)
        self.inputs(run_id, [blank], {"long key " + "k" * 200: "multi\nline", "empty": ""})
        self.wrote("dataset")
        self.model_points(run_id, unnamed, "unknown.dataset", [(now, 0.25, 1)], elsewhere)
        self.model_points(run_id, unnamed, "deep/key", [(now, 1.0, 0), (now + 1, 1.0, 0), (now + 1, 2.0, 1)])
        self.store.set_logged_model_tags(unnamed, [entities.LoggedModelTag("later/tag", "line\nbreak")])
        self.wrote("logged_model_tag")
        self.store.log_metric(run_id, Metric("only.on.dataset", 0.75, now, 6, dataset_name="one", dataset_digest="d1"))
        self.wrote("metric")

    # The registry

    def registered_model(self, name, tags, description=None):
        clock.tick()
        self.client.create_registered_model(name, tags=tags, description=description)
        self.wrote("registered_model")
        self.wrote("registered_model_tag", len(tags))

    def model_version(self, name, source, run_id=None, tags=None, **more):
        clock.tick()
        version = self.client.create_model_version(name, source, run_id, tags=tags or {}, await_creation_for=None, **more)
        self.wrote("model_version")
        self.wrote("model_version_tag", len(tags or {}))
        return str(version.version)

    def alias(self, name, alias, version):
        clock.tick()
        self.client.set_registered_model_alias(name, alias, version)
        self.wrote("registered_model_alias")

    def loadable_model(self, run_id):
        """A minimal model of the generic flavour, as an artifact of the run; gives its location."""
        scratch = self.root.parent / (self.root.name + ".model")
        (scratch / "code").mkdir(parents=True)
        (scratch / "code" / "fixture_loader.py").write_text(
            "class _Model:\n"
            "    def predict(self, data, params=None):\n"
            "        return [2 * value for value in data]\n\n\n"
            "def _load_pyfunc(path):\n"
            "    return _Model()\n"
        )
        (scratch / "MLmodel").write_text(
            "flavors:\n  python_function:\n    code: code\n    loader_module: fixture_loader\n    python_version: 3.11.2\n"
            "mlflow_version: %s\nmodel_uuid: %s\nrun_id: %s\nutc_time_created: '2023-11-14 22:13:20.000000'\n"
            % (mlflow.__version__, uuid.uuid4().hex, run_id)
        )
        self.client.log_artifacts(run_id, str(scratch), "model")
        shutil.rmtree(scratch)
        return self.client.get_run(run_id).info.artifact_uri + "/model"

    def basic_registry(self, runs):
        source = self.loadable_model(runs[0])
        for i in range(self.count("registered_model")):
            name = "registered-%d" % i
            self.registered_model(name, {"tag%d" % j: "value %d" % j for j in range(self.count("registered_model_tag"))}, "model %d" % i)
            for j in range(self.count("model_version")):
                tags = {"tag%d" % k: "value %d" % k for k in range(self.count("model_version_tag"))}
                version = self.model_version(name, source, runs[0], tags, description="version %d" % (j + 1))
            for j in range(self.count("registered_model_alias")):
                self.alias(name, ["champion", "challenger"][j], str(j + 1))
            clock.tick()
            self.client.transition_model_version_stage(name, version, "Production")

    def edge_registry_cheap(self):
        name = "模型 🚀 registered"
        self.registered_model(name, {"wide": WIDE, "lines": "a\r\nb"}, "several\nlines\r\nand " + WIDE)
        self.model_version(name, "s3://bucket/model", tags={"wide": WIDE, "empty": ""})
        deleted = self.model_version(name, "s3://bucket/deleted", tags={"t": "1"})
        self.alias(name, "别名", "1")
        clock.tick()
        self.client.delete_model_version(name, deleted)

    def edge_registry(self, logged_model_id):
        name = "every stage"
        self.registered_model(name, {}, "")
        for stage in ("Staging", "Production", "Archived", "None"):
            version = self.model_version(name, "file:///a b/" + stage, run_link="https://example.org/run?x=1&y=2")
            clock.tick()
            self.client.transition_model_version_stage(name, version, stage)
        clock.tick()
        self.client.update_model_version(name, version, description="later: 'quoted' # text\n")
        self.registered_model("without versions", {"k": "v" * 4000})
        self.registered_model("to rename", {})
        self.model_version("to rename", "s3://bucket/x")
        clock.tick()
        self.client.rename_registered_model("to rename", "renamed")
        if logged_model_id:
            self.registered_model("from a logged model", {})
            version = self.store_version("from a logged model", logged_model_id)
            self.alias("from a logged model", "latest-good", version)

    def store_version(self, name, model_id):
        """A version made from a logged model."""
        clock.tick()
        registry = self.client._get_registry_client().store
        version = registry.create_model_version(name, "models:/" + model_id, None, [], None, None, None, model_id)
        self.wrote("model_version")
        return str(version.version)

    def prompt(self, name, template, message=None, tags=None, **more):
        clock.tick()
        prompt = self.client.register_prompt(name, template, commit_message=message, tags=tags or {}, **more)
        self.wrote("prompt_version")
        return prompt.version

    def prompts(self):
        for i in range(self.count("prompt")):
            name = "prompt-%d" % i
            self.prompt(name, "Answer {{question}} in the style of %d." % i, "first", {"author": "someone"})
            self.prompt(name, "Answer {{question}}\r\nbriefly, " + WIDE, "second")
            self.wrote("prompt")
            clock.tick()
            self.client.set_prompt_alias(name, "production", 2)
        if self.full and HAS_TRACES_V3:
            chat = [{"role": "system", "content": "Be {{manner}}."}, {"role": "user", "content": "{{question}}"}]
            self.prompt("chat", chat, response_format={"type": "object", "properties": {"answer": {"type": "string"}}})
            self.wrote("prompt")

    # All of it

    def write(self):
        experiments = [self.basics(number) for number in range(self.count("experiment"))]
        for number, (experiment_id, runs) in enumerate(experiments):
            if HAS_TRACES_V2 or HAS_TRACES_V3:
                self.basic_traces(experiment_id, runs[0], number)
            if HAS_LOGGED_MODELS:
                self.basic_logged_models(experiment_id, runs, number)
        experiment_id, run_id = self.edge_runs_cheap()
        self.edge_deleted_experiment()
        if HAS_TRACES_V2 or HAS_TRACES_V3:
            self.edge_traces_cheap(experiment_id)
            self.traced_function(experiment_id)
        if HAS_ASSESSMENTS:
            self.edge_assessments_cheap(experiment_id, run_id)
        if HAS_LOGGED_MODELS:
            self.edge_logged_models_cheap(experiment_id, run_id)
        if HAS_REGISTRY:
            self.basic_registry(experiments[0][1])
            self.edge_registry_cheap()
        if HAS_PROMPTS:
            self.prompts()
        if self.full:
            self.write_full(experiment_id, run_id)

    def write_full(self, experiment_id, run_id):
        self.edge_experiments()
        self.edge_default_experiment()
        self.edge_names()
        self.edge_metrics()
        if HAS_TRACES_V2 or HAS_TRACES_V3:
            self.edge_traces(experiment_id)
        logged_model_id = None
        if HAS_LOGGED_MODELS:
            self.edge_logged_models(experiment_id, run_id)
            logged_model_id = self.logged_model(experiment_id, "to register", run_id, {}, {})
        if HAS_REGISTRY:
            self.edge_registry(logged_model_id)


def main():
    parser = argparse.ArgumentParser(description="Write a file store with the MLflow that runs this script.")
    parser.add_argument("--output", required=True, type=Path, help="the mlruns directory to make")
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    root = arguments.output.absolute()
    if root.exists() and any(root.iterdir()):
        parser.error("%s is not empty" % root)
    root.parent.mkdir(parents=True, exist_ok=True)
    rng.seed(arguments.seed)
    writer = Writer(root, arguments.size)
    writer.write()
    json.dump({"mlflow": mlflow.__version__, "size": arguments.size, "written": dict(sorted(writer.written.items()))}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
