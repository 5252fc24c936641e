#!/usr/bin/env python3
"""Damages copies of a small tree, each in one way that real trees were seen to be, and migrates them.

    test_hazards.py [--tree DIR] [--only TEXT]

The tree is what MLflow 3.17.2 writes (generate_fixtures.py --size small), unless DIR, the same from elsewhere, is given.
A case is one of three things:

  kept     the pipeline ends well and the database holds what the tree says;
  named    mlruns-dump names the file, and the line where there is one, and ends with 2, ml-load leaves no target; with
           --skip-malformed the dump ends with 1 and everything but the damaged entity is in the database;
  refused  the entities are sound, but no database can hold them together: ml-load names them and leaves no target.
"""

import argparse
import collections
import re
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

from harness import HERE, Tap, dump_and_load, python_of, run, tool

VERSION = "3.17.2"
HEX = re.compile(r"(tr-|m-|a-)?[0-9a-f]{32}|[0-9]{18}")


class Tree:
    """A copy of the tree that may be damaged, and where to find things in it."""

    def __init__(self, root):
        self.root = root

    def path(self, relative):
        return self.root / relative

    def relative(self, path):
        return path.relative_to(self.root).as_posix()

    def directory_with(self, pattern, line):
        """The directory whose meta.yaml or trace_info.yaml, found by the pattern, has the line."""
        for path in sorted(self.root.glob(pattern)):
            if line in path.read_text(encoding="utf-8").splitlines():
                return path.parent
        raise LookupError("no %s with %r" % (pattern, line))

    def experiment(self, name="experiment-0"):
        return self.directory_with("*/meta.yaml", "name: " + name)

    def trashed(self):
        return self.directory_with(".trash/*/meta.yaml", "name: deleted experiment")

    def run(self, name="run-0-0"):
        return self.directory_with("*/*/meta.yaml", "run_name: " + name)

    def trace(self, name="trace-0-0"):
        for path in sorted(self.root.glob("*/traces/*/tags/mlflow.traceName")):
            if path.read_text(encoding="utf-8") == name:
                return path.parent.parent
        raise LookupError(name)

    def assessment(self, name, text=""):
        for path in sorted(self.root.glob("*/traces/*/assessments/*.yaml")):
            content = path.read_text(encoding="utf-8")
            if "assessment_name: %s\n" % name in content and text in content:
                return path
        raise LookupError(name)

    def logged_model(self, name="model-0-0"):
        return self.directory_with("*/models/*/meta.yaml", "name: " + name)


def replace(path, old, new):
    """Replaces the line that begins with `old`; gives its number."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith(old):
            lines[number] = new + "\n" if new is not None else ""
            path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
            return number + 1
    raise LookupError("%s has no line %r" % (path, old))


def append(path, text):
    with open(path, "ab") as out:
        out.write(text.encode() if isinstance(text, str) else text)


def ids_below(directory):
    """What identifies the rows of all that is in a directory."""
    found = {directory.name}
    for path in directory.rglob("*"):
        if HEX.fullmatch(path.stem):
            found.add(path.stem)
    return sorted(found)


CASES = []


def case(kind, name):
    def register(function):
        CASES.append((kind, name, function))
        return function

    return register


# Kept.  The function damages the tree and gives (query, rows wanted) pairs.


@case("kept", "assessment times, serialized values, issues and the run of an assessment")
def _(tree):
    number = len(list(tree.root.glob("**/assessments/*.yaml")))
    issue = '{"issue_name": "Hallucination"}'
    return [
        ("SELECT count(*) FROM assessments WHERE created_timestamp > 1600000000000 AND last_updated_timestamp > 1600000000000", [(number,)]),
        ("SELECT value FROM assessments WHERE name = 'expected list'", [('[1, "two", null, {"three": 3.5}]',)]),
        ("SELECT value FROM assessments WHERE name = 'expected object'", [('{"b": 1, "a": {"nested": [true]}}',)]),
        ("SELECT name, value FROM assessments WHERE assessment_type = 'issue'", [("iss-1", issue)]),
        (
            "SELECT run_id FROM assessments WHERE name = 'judged' AND valid",
            [(re.search("sourceRunId: (.*)", tree.assessment("judged", "sourceRunId").read_text())[1],)],
        ),
    ]


@case("kept", "a store with a directory that is not an experiment")
def _(tree):
    number = len([*tree.root.glob("[0-9]*/meta.yaml"), *tree.root.glob(".trash/[0-9]*/meta.yaml")])
    tree.path("notes").mkdir()
    tree.path("notes/todo.txt").write_text("nothing\n")
    return [("SELECT count(*) FROM experiments", [(number,)])]


@case("kept", "model inputs of an experiment without a datasets directory")
def _(tree):
    experiment = tree.experiment("models without datasets")
    assert not (experiment / "datasets").exists()
    model = next((experiment / "models").iterdir()).name
    query = "SELECT source_type, destination_type FROM inputs WHERE destination_id = '%s'" % model
    return [(query, [("RUN_INPUT", "MODEL_INPUT")])]


@case("kept", "carriage returns in params, tags, metadata")
def _(tree):
    return [
        ("SELECT value FROM params WHERE key = 'text.crlf'", [("dos\r\nlines\r\n",)]),
        ("SELECT value FROM tags WHERE key = 'text.crlf'", [("dos\r\nlines\r\n",)]),
        ("SELECT value FROM trace_request_metadata WHERE key = 'crlf'", [("a\r\nb",)]),
        ("SELECT value FROM registered_model_tags WHERE key = 'lines'", [("a\r\nb",)]),
    ]


@case("kept", "a NaN metric of a logged model, as the 0.0 that the server can show")
def _(tree):
    query = "SELECT metric_value FROM logged_model_metrics WHERE metric_name = 'not.finite' ORDER BY metric_step"
    return [(query, [(0.0,), (sys.float_info.max,), (-sys.float_info.max,), (0.1,)])]


@case("kept", "a model metric whose dataset has blanks in its name")
def _(tree):
    model = tree.logged_model()
    path = model / "metrics" / "quality0"
    run_id = path.read_text().split()[3]
    append(path, "1700000000000 0.25 77 %s a name with blanks d0000001\n" % run_id)
    query = "SELECT metric_value, dataset_name, dataset_digest FROM logged_model_metrics WHERE metric_step = 77"
    return [(query, [(0.25, "a name with blanks", "d0000001")])]


@case("kept", "a metric of a run with a dataset, blanks in its name")
def _(tree):
    run_id = tree.run().name
    append(tree.run() / "metrics" / "metric0", "1700000000000 0.25 77 a name with blanks d0000001\n")
    return [("SELECT value FROM metrics WHERE step = 77 AND run_uuid = '%s'" % run_id, [(0.25,)])]


@case("kept", "a trace of MLflow 2 that took no time")
def _(tree):
    experiment = tree.experiment()
    trace = experiment / "traces" / ("ab" * 16)
    (trace / "tags").mkdir(parents=True)
    (trace / "request_metadata").mkdir()
    (trace / "trace_info.yaml").write_text(
        "assessments: []\nexecution_time_ms: 0\nexperiment_id: '%s'\nrequest_id: %s\nstatus: OK\ntimestamp_ms: 1700000000000\n"
        % (experiment.name, trace.name)
    )
    query = "SELECT execution_time_ms, timestamp_ms, status, request_preview FROM trace_info WHERE request_id = '%s'" % trace.name
    return [(query, [(0, 1700000000000, "OK", None)])]


@case("kept", "a trace of MLflow 2 without a status, as the word that MLflow 3 reads")
def _(tree):
    experiment = tree.experiment()
    trace = experiment / "traces" / ("ab" * 16)
    trace.mkdir()
    (trace / "trace_info.yaml").write_text(
        "assessments: []\nexecution_time_ms: null\nexperiment_id: '%s'\nrequest_id: %s\nstatus: TRACE_STATUS_UNSPECIFIED\n"
        "timestamp_ms: 1700000000000\n" % (experiment.name, trace.name)
    )
    query = "SELECT execution_time_ms, status FROM trace_info WHERE request_id = '%s'" % trace.name
    return [(query, [(None, "STATE_UNSPECIFIED")])]


@case("kept", "a trace directory without trace_info.yaml holds artifacts only")
def _(tree):
    directory = tree.experiment() / "traces" / ("tr-" + "cd" * 16) / "artifacts"
    directory.mkdir(parents=True)
    (directory / "traces.json").write_text("{}")
    return [("SELECT count(*) FROM trace_info WHERE request_id LIKE 'tr-cdcd%'", [(0,)])]


@case("kept", "an experiment of MLflow 1 in .trash that says it is active")
def _(tree):
    directory = tree.trashed()
    replace(directory / "meta.yaml", "lifecycle_stage:", "lifecycle_stage: active")
    return [("SELECT lifecycle_stage FROM experiments WHERE experiment_id = %s" % directory.name, [("deleted",)])]


@case("kept", "an unquoted request_time")
def _(tree):
    path = tree.trace() / "trace_info.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub("request_time: '(.*)'", r"request_time: \1", text), encoding="utf-8")
    before = re.search("request_time: '(.*)'", text)[1]
    query = "SELECT strftime('%%Y-%%m-%%dT%%H:%%M:%%S', timestamp_ms / 1000, 'unixepoch') FROM trace_info WHERE request_id = '%s'"
    return [(query % path.parent.name, [(before[:19],)])]


@case("kept", "no creation times, as in trees of MLflow 1")
def _(tree):
    directory = tree.experiment()
    for key in ("creation_time:", "last_update_time:"):
        replace(directory / "meta.yaml", key, None)
    return [("SELECT creation_time, last_update_time FROM experiments WHERE experiment_id = %s" % directory.name, [(None, None)])]


@case("kept", "unquoted names that YAML takes for a truth or for numbers")
def _(tree):
    names = ["yes", "0x1F", "010"]
    directories = [tree.run("run-0-0"), tree.run("run-0-1"), tree.run("run-1-0")]
    for directory, name in zip(directories, names):
        replace(directory / "meta.yaml", "run_name:", "run_name: " + name)
    return [
        ("SELECT name FROM runs WHERE run_uuid = '%s'" % directory.name, [(name,)]) for directory, name in zip(directories, names)
    ]


@case("kept", "exact duplicates of metric lines, once")
def _(tree):
    path = tree.run() / "metrics" / "metric0"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines + lines[:2] + lines))
    run_id = tree.run().name
    return [("SELECT count(*) FROM metrics WHERE key = 'metric0' AND run_uuid = '%s'" % run_id, [(len(lines),)])]


@case("kept", "two NaN at one step, a NaN next to a number")
def _(tree):
    run_id = tree.run().name
    append(tree.run() / "metrics" / "odd", "1700000000000 nan 1\n1700000000000 nan 1\n1700000000000 0.0 1\n")
    query = "SELECT value, is_nan FROM metrics WHERE key = 'odd' AND run_uuid = '%s' ORDER BY is_nan" % run_id
    return [(query, [(0.0, 0), (0.0, 1)])]


@case("kept", "lines of two columns, as before MLflow 1.0")
def _(tree):
    run_id = tree.run().name
    (tree.run() / "metrics" / "old").write_text("1500000000000 0.5\n1500000001000 1e-05\n")
    query = "SELECT timestamp, value, step FROM metrics WHERE key = 'old' AND run_uuid = '%s' ORDER BY timestamp" % run_id
    return [(query, [(1500000000000, 0.5, 0), (1500000001000, 1e-05, 0)])]


@case("kept", "numbers as only Python writes them")
def _(tree):
    run_id = tree.run().name
    (tree.run() / "metrics" / "python").write_text("1 1_0.5 1\n2 1e400 2\n3 -Infinity 3\n4 .5e-3 4\n5 +7 +5\n")
    query = "SELECT value FROM metrics WHERE key = 'python' AND run_uuid = '%s' ORDER BY step" % run_id
    big = sys.float_info.max
    return [(query, [(10.5,), (big,), (-big,), (0.0005,), (7.0,)])]


@case("kept", "locations on Windows and on other hosts")
def _(tree):
    run_a, run_b = tree.run("run-0-0"), tree.run("run-0-1")
    replace(run_a / "meta.yaml", "artifact_uri:", "artifact_uri: file:///C:/Users/x/mlruns/1/artifacts")
    replace(run_b / "meta.yaml", "artifact_uri:", "artifact_uri: hdfs://other:8020/mlruns/1/artifacts")
    query = "SELECT artifact_uri FROM runs WHERE run_uuid = '%s'"
    return [
        (query % run_a.name, [("file:///C:/Users/x/mlruns/1/artifacts",)]),
        (query % run_b.name, [("hdfs://other:8020/mlruns/1/artifacts",)]),
    ]


@case("kept", "a parameter longer than any limit of the API")
def _(tree):
    (tree.run() / "params" / "long").write_text("p" * 11991)
    return [("SELECT length(value) FROM params WHERE key = 'long'", [(11991,)])]


@case("kept", "fields that only later releases write")
def _(tree):
    for path in (tree.experiment() / "meta.yaml", tree.run() / "meta.yaml", tree.trace() / "trace_info.yaml"):
        append(path, "zz_of_the_future: {a: [1, 2], b: null}\n")
    return []


@case("kept", "a link to a run that lies elsewhere")
def _(tree):
    directory = tree.run()
    elsewhere = tree.root.parent / "elsewhere"
    shutil.move(str(directory), str(elsewhere))
    directory.symlink_to(elsewhere)
    return [("SELECT name FROM runs WHERE run_uuid = '%s'" % directory.name, [("run-0-0",)])]


@case("kept", "a link among the params, to a file")
def _(tree):
    (tree.root.parent / "value").write_text("linked")
    (tree.run() / "params" / "linked").symlink_to(tree.root.parent / "value")
    return [("SELECT value FROM params WHERE key = 'linked'", [("linked",)])]


@case("kept", "meta.yaml with a duplicate key: the last wins")
def _(tree):
    directory = tree.run()
    append(directory / "meta.yaml", "status: 4\n")
    return [("SELECT status FROM runs WHERE run_uuid = '%s'" % directory.name, [("FAILED",)])]


@case("kept", "no .trash, no models, no run has tags")
def _(tree):
    shutil.rmtree(tree.path(".trash"))
    shutil.rmtree(tree.path("models"))
    for directory in tree.root.glob("*/*/tags"):
        if (directory.parent / "meta.yaml").exists():
            shutil.rmtree(directory)
    return [("SELECT count(*) FROM registered_models", [(0,)]), ("SELECT count(*) FROM tags", [(0,)])]


@case("kept", "the output and the input of a logged model that mlflow gc took away")
def _(tree):
    for directory in (tree.logged_model(), tree.logged_model("bare")):
        shutil.rmtree(directory)
    run_id = tree.run("run of model 0").name
    return [
        ("SELECT destination_type FROM inputs WHERE source_id = '%s'" % run_id, [("MODEL_OUTPUT",)]),
        ("SELECT count(*) FROM inputs WHERE source_type = 'RUN_INPUT'", [(2,)]),
        ("SELECT count(*) FROM logged_models WHERE name IN ('model-0-0', 'bare')", [(0,)]),
    ]


@case("kept", "a registered version whose run and a trace whose run mlflow gc took away")
def _(tree):
    run_id = tree.run().name
    shutil.rmtree(tree.run())
    return [
        ("SELECT DISTINCT run_id FROM model_versions WHERE name = 'registered-0'", [(run_id,)]),
        ("SELECT count(*) FROM trace_request_metadata WHERE key = 'mlflow.sourceRun' AND value = '%s'" % run_id, [(1,)]),
    ]


@case("kept", "artifacts that look like a store")
def _(tree):
    directory = tree.run() / "artifacts" / "0" / "metrics"
    directory.mkdir(parents=True)
    (directory / "meta.yaml").write_text("][")
    return []


# Named.  The function damages the tree and gives where: (path, line or None) that the message must have; the marks of
# the rows that may be missing or changed with --skip-malformed: texts, or tuples of texts that a row must all have; and
# whether rows of the sound tree must be missing.


def damaged_file(what, marks_of):
    """Three ways to spoil a file that is found by a function of the tree."""

    def spoil(name, content, line):
        @case("named", "%s %s" % (what.__name__.replace("_", " "), name))
        def _(tree):
            path = what(tree)
            marks = marks_of(tree, path)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
            return [(tree.relative(path), line)], marks, True

    spoil("empty", b"", None)
    spoil("missing", None, None)
    spoil("malformed", b"name: x\n  bad: [indent\n", 2)
    spoil("not UTF-8", b"name: \xff\xfe\n", 1)
    spoil("a list", b"- a\n- b\n", None)
    spoil("full of zeros", b"\0" * 200, None)


def below(tree, path):
    return ids_below(path.parent)


def experiment_meta(tree):
    return tree.experiment() / "meta.yaml"


def run_meta(tree):
    return tree.run() / "meta.yaml"


def logged_model_meta(tree):
    return tree.logged_model() / "meta.yaml"


def registered_model_meta(tree):
    return tree.path("models/registered-0/meta.yaml")


def model_version_meta(tree):
    return tree.path("models/registered-0/version-1/meta.yaml")


def dataset_meta(tree):
    return next((tree.experiment() / "datasets").iterdir()) / "meta.yaml"


def input_meta(tree):
    return next((tree.run() / "inputs").iterdir()) / "meta.yaml"


damaged_file(experiment_meta, below)
damaged_file(run_meta, below)
damaged_file(logged_model_meta, below)
damaged_file(registered_model_meta, lambda tree, path: ["registered-0"])
damaged_file(model_version_meta, lambda tree, path: ["registered-0"])
damaged_file(dataset_meta, lambda tree, path: [re.search("digest: (.*)", path.read_text())[1]])
damaged_file(input_meta, lambda tree, path: [(tree.run().name, "DATASET")])


@case("named", "run meta.yaml torn in the middle")
def _(tree):
    path = run_meta(tree)
    marks = below(tree, path)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"run_id") + 3])
    return [(tree.relative(path), None)], marks, True


def bad_field(title, what, key, value, marks_of=below):
    """A field with a value that it cannot have; None takes the line out."""

    @case("named", title)
    def _(tree):
        path = what(tree)
        marks = marks_of(tree, path)
        line = replace(path, key + ":", None if value is None else "%s: %s" % (key, value))
        return [(tree.relative(path), None if value is None else line)], marks, True


def version_marks(tree, path):
    return ["registered-0"]


def trace_info(tree):
    return tree.trace() / "trace_info.yaml"


bad_field("a request_time that is not a time", trace_info, "request_time", "yesterday")
bad_field("an unknown trace state", trace_info, "state", "DONE")
bad_field("an unknown status of a logged model", logged_model_meta, "status", "77")
bad_field("a date in a time field", run_meta, "start_time", "2023-11-14")
bad_field("an experiment without a name", experiment_meta, "name", "null")
bad_field("a run's status 99", run_meta, "status", "99")
bad_field("a run's status as a word", run_meta, "status", "DONE")
bad_field("an unknown lifecycle stage", run_meta, "lifecycle_stage", "archived")
bad_field("a run id that is not the directory's", run_meta, "run_id", "ab" * 16)
bad_field("a run of another experiment", run_meta, "experiment_id", "'123456789012345678'")
bad_field("an experiment id that is not the directory's", experiment_meta, "experiment_id", "'123456789012345678'")
bad_field("an integer beyond 64 bits", run_meta, "start_time", "99999999999999999999")
bad_field("a version without its number", model_version_meta, "version", None, version_marks)
bad_field("a version whose number is not the directory's", model_version_meta, "version", "7", version_marks)
bad_field("a version's number as a word", model_version_meta, "version", "one", version_marks)


@case("named", "an expectation that is null")
def _(tree):
    path = tree.assessment("expected float")
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"expectation:\n  value: .*\n", "expectation:\n  value: null\n", text), encoding="utf-8")
    return [(tree.relative(path), None)], [path.stem], True


@case("named", "an assessment without a value")
def _(tree):
    path = tree.assessment("of a span")
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"feedback:\n(  .*\n)+", "", text), encoding="utf-8")
    return [(tree.relative(path), None)], [path.stem], True


@case("named", "metrics of a logged model whose run mlflow gc took away")
def _(tree):
    run = tree.run("run of model 0")
    metrics = next(path for path in tree.root.glob("*/models/*/metrics/quality0") if run.name in path.read_text())
    shutil.rmtree(run)
    return [(tree.relative(metrics), 1)], [run.name], True


@case("named", "an assessment that is empty")
def _(tree):
    path = tree.assessment("of a span")
    path.write_bytes(b"")
    return [(tree.relative(path), None)], [path.stem], True


@case("named", "input tags that are null")
def _(tree):
    path = input_meta(tree)
    line = replace(path, "tags:", "tags: null")
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith(" ")))
    return [(tree.relative(path), line)], [(tree.run().name, "DATASET")], True


@case("named", "a directory below an experiment whose meta.yaml is not a run's")
def _(tree):
    directory = tree.experiment() / "old_copy"
    directory.mkdir()
    (directory / "meta.yaml").write_text("something: else\n")
    return [(tree.relative(directory), None)], [], False


@case("named", "an alias that is not a number")
def _(tree):
    path = tree.path("models/registered-0/aliases/champion")
    path.write_text("latest")
    return [(tree.relative(path), 1)], ["champion"], True


@case("named", "an alias of a version that is not there")
def _(tree):
    path = tree.path("models/registered-0/aliases/champion")
    path.write_text("99")
    return [(tree.relative(path), 1)], ["champion"], True


@case("named", "a version's directory without a number")
def _(tree):
    shutil.copytree(tree.path("models/registered-0/version-1"), tree.path("models/registered-0/version-x"))
    return [("models/registered-0/version-x", None)], [], False


def bad_line(title, text, line=6):
    """A line after the five of an ordinary metric."""

    @case("named", title)
    def _(tree):
        path = tree.run() / "metrics" / "metric0"
        append(path, text)
        return [(tree.relative(path), line)], [(tree.run().name, "metric0")], False  # the five points stay


bad_line("a blank metric line", "\n1700000000000 1.0 9\n")
bad_line("a metric line of one column", "1700000000000\n")
bad_line("a metric line with tabs", "1700000000000\t1.0\t9\n")
bad_line("a metric line with two blanks", "1700000000000  1.0 9\n")
bad_line("a metric value of letters", "1700000000000 high 9\n")
bad_line("a metric time of letters", "now 1.0 9\n")
bad_line("a metric step of letters", "1700000000000 1.0 last\n")
bad_line("a fractional metric step", "1700000000000 1.0 9.5\n")
bad_line("a metric step beyond 64 bits", "1700000000000 1.0 99999999999999999999\n")
bad_line("a metric file cut in the middle of a time", "17000")
bad_line("a metric line of bytes that are no text", b"1700000000000 \xff\xfe 9\n")
bad_line("a second bad line is named too", "x\n1700000000000 1.0 9\ny z\n", 8)


@case("named", "an empty metric file")
def _(tree):
    path = tree.run() / "metrics" / "void"
    append(path, "")
    return [(tree.relative(path), None)], [(tree.run().name, "void")], False


@case("named", "a dangling link")
def _(tree):
    (tree.run() / "params" / "lost").symlink_to("/nonexistent/file")
    return [(tree.relative(tree.run() / "params" / "lost"), None)], [(tree.run().name, "lost")], False


@case("named", "a link that leads back")
def _(tree):
    link = tree.experiment() / ("fe" * 16)
    link.symlink_to(tree.experiment())
    return [(tree.relative(link), None)], [link.name], False


@case("named", "a value that cannot be read")
def _(tree):
    (tree.run() / "params" / "param0").unlink()
    (tree.run() / "params" / "param0").symlink_to("/proc/self/mem")  # reading it fails for everybody
    return [(tree.relative(tree.run() / "params" / "param0"), None)], [(tree.run().name, "param0")], True


@case("named", "one id active and in .trash")
def _(tree):
    deleted = tree.path(".trash") / tree.experiment().name
    shutil.copytree(tree.experiment(), deleted)
    return [(tree.relative(deleted), None)], [], False


# Refused by ml-load.  The function damages the tree and gives texts that the message must have, and what loads it after
# all: options of ml-load with (query, rows), or None.


@case("refused", "one name active and in .trash")
def _(tree):
    replace(tree.trashed() / "meta.yaml", "name:", "name: experiment-0")
    return ["experiment-0"], None


@case("refused", "an experiment whose id is not a number")
def _(tree):
    tree.path("notes").mkdir()
    tree.path("notes/meta.yaml").write_text("experiment_id: notes\nname: notes\n")
    return ["notes", "--renumber-experiments"], None


@case("refused", "one run in two experiments")
def _(tree):
    directory = tree.run()
    copy = tree.experiment("experiment-1") / directory.name
    shutil.copytree(directory, copy)
    shutil.rmtree(copy / "inputs")
    replace(copy / "meta.yaml", "experiment_id:", "experiment_id: '%s'" % copy.parent.name)
    return [directory.name], None


@case("refused", "a version's number given twice")
def _(tree):
    shutil.copytree(tree.path("models/registered-0/version-1"), tree.path("models/registered-0/version-01"))
    return ["registered-0"], None


@case("refused", "an experiment named Default with another id, no experiment 0")
def _(tree):
    shutil.rmtree(tree.path("0"))
    replace(tree.experiment() / "meta.yaml", "name:", "name: Default")
    return ["Default"], None


@case("refused", "a model metric for two datasets at one step and time")
def _(tree):
    model = tree.logged_model()
    path = model / "metrics" / "quality0"
    run_id = path.read_text().split()[3]
    append(path, "1700000000000 0.25 77 %s one d1\n1700000000000 0.75 77 %s two d2\n" % (run_id, run_id))
    query = "SELECT metric_value, dataset_name FROM logged_model_metrics WHERE metric_step = 77"
    return ["quality0", "one", "two"], (["--drop-unsupported"], [(query, [(0.25, "one")])])


def not_text(title, directory, words):
    @case("refused", title)
    def _(tree):
        path = directory(tree)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"caf\xe9")
        query = "SELECT count(*) FROM params WHERE key = 'latin'"
        return words, (["--drop-unsupported"], [(query, [(0,)])])


not_text("a parameter that is not UTF-8", lambda tree: tree.run() / "params" / "latin", ["latin", "UTF-8"])
not_text("a tag that is not UTF-8", lambda tree: tree.run() / "tags" / "latin", ["latin", "UTF-8"])


@case("refused", "a file name that is not UTF-8")
def _(tree):
    path = bytes(tree.run() / "params") + b"/caf\xe9"
    with open(path, "w") as out:
        out.write("1")
    return ["UTF-8"], (["--drop-unsupported"], [("SELECT count(*) FROM params WHERE key LIKE 'caf%'", [(0,)])])


# The machinery


def rows_of(database):
    """{table: Counter of rows}"""
    connection = sqlite3.connect("file:%s?mode=ro" % database, uri=True)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    rows = {table: collections.Counter(connection.execute('SELECT * FROM "%s"' % table)) for table in tables}
    connection.close()
    return rows


def answers(database, wanted):
    """The queries whose answer is not the wanted one."""
    connection = sqlite3.connect("file:%s?mode=ro" % database, uri=True)
    wrong = []
    for query, rows in wanted:
        found = connection.execute(query).fetchall()
        if found != rows:
            wrong.append("%s\n  found:  %r\n  wanted: %r" % (query, found, rows))
    connection.close()
    return wrong


def marked(row, marks):
    texts = [str(value) for value in row if value is not None]
    return any(
        all(any(one in text for text in texts) for one in ((mark,) if isinstance(mark, str) else mark)) for mark in marks
    )


def stray_rows(base, found, marks):
    """Rows lost or added that the damage does not account for, and the number of those lost that it does."""
    marks = list(marks)
    changed = {table: list((base[table] - found[table]) + (found[table] - base[table])) for table in base}
    lost = 0
    stray = []
    # Rows of inputs and datasets are known by uuids that other tables refer to.
    for table in sorted(changed, key=lambda name: (name not in ("datasets", "inputs"), name)):
        for row in changed[table]:
            if marked(row, marks):
                lost += row in base[table]
                if table in ("datasets", "inputs"):
                    marks.append(row[0])
            else:
                stray.append("%s: %r" % (table, row))
    return stray, lost


class Runner:
    def __init__(self, tap, tree, work):
        self.tap = tap
        self.tree = tree
        self.work = work
        self.base_rows = None

    def copy(self):
        """A fresh copy to damage, in an empty directory."""
        directory = self.work / "case"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        shutil.copytree(self.tree, directory / "mlruns", symlinks=True)
        (directory / "target").mkdir()
        return Tree(directory / "mlruns"), directory / "target" / "mlflow.db"

    def load(self, tree, database, dump_options=(), load_options=()):
        return dump_and_load(
            tree.root, "sqlite:///%s" % database, dump_options, ["--release", VERSION, "-q", *load_options]
        )

    def prepare(self):
        tree, database = self.copy()
        dump, load = self.load(tree, database)
        if not self.tap.ok((dump.returncode, load.returncode) == (0, 0), "the sound tree", dump.stderr, load.stderr):
            return False
        self.base_rows = rows_of(database)
        return True

    def kept(self, name, damage):
        tree, database = self.copy()
        wanted = damage(tree)
        dump, load = self.load(tree, database)
        good = (dump.returncode, load.returncode) == (0, 0)
        if self.tap.ok(good, "kept: " + name, "exits %d, %d" % (dump.returncode, load.returncode), dump.stderr, load.stderr):
            wrong = answers(database, wanted)
            self.tap.ok(not wrong, "kept: %s: the database has it" % name, *wrong)

    def named(self, name, damage):
        tree, database = self.copy()
        places, marks, loses = damage(tree)
        dump, load = self.load(tree, database)
        told = all(self.is_named(dump.stderr, path, line) for path, line in places)
        self.tap.ok(
            (dump.returncode, load.returncode) == (2, 2) and told, "named: " + name,
            "exits %d, %d; wanted: %r" % (dump.returncode, load.returncode, places), dump.stderr, load.stderr,
        )  # fmt: skip
        left = sorted(path.name for path in database.parent.iterdir())
        self.tap.ok(not left, "named: %s: no target" % name, left)
        check = tool("mlruns-dump", "-q", "--check", tree.root)
        told = all(self.is_named(check.stderr, path, line) for path, line in places)
        self.tap.ok(check.returncode == 1 and told, "named: %s: by --check" % name, check.returncode, check.stderr)
        self.skipped(name, tree, database, places, marks, loses)

    @staticmethod
    def is_named(text, path, line):
        return re.search(re.escape(path) + (":%d\\b" % line if line else ""), text) is not None

    def skipped(self, name, tree, database, places, marks, loses):
        dump, load = self.load(tree, database, ["--skip-malformed"])
        told = all(self.is_named(dump.stderr, path, line) for path, line in places)
        good = dump.returncode == 1 and load.returncode in (0, 1) and told and database.exists()
        if self.tap.ok(
            good, "named: %s: skipped" % name,
            "exits %d, %d" % (dump.returncode, load.returncode), dump.stderr, load.stderr,
        ):  # fmt: skip
            stray, lost = stray_rows(self.base_rows, rows_of(database), marks)
            self.tap.ok(not stray, "named: %s: all the rest is loaded" % name, *stray)
            if loses:
                self.tap.ok(lost > 0, "named: %s: it is left out" % name)

    def refused(self, name, damage):
        tree, database = self.copy()
        words, way_out = damage(tree)
        dump, load = self.load(tree, database)
        told = all(word in load.stderr for word in words)
        self.tap.ok(
            (dump.returncode, load.returncode) == (0, 2) and told, "refused: " + name,
            "exits %d, %d; wanted: %r" % (dump.returncode, load.returncode, words), dump.stderr, load.stderr,
        )  # fmt: skip
        left = sorted(path.name for path in database.parent.iterdir())
        self.tap.ok(not left, "refused: %s: no target" % name, left)
        if way_out:
            options, wanted = way_out
            dump, load = self.load(tree, database, (), options)
            good = (dump.returncode, load.returncode) == (0, 1)
            if self.tap.ok(good, "refused: %s: %s" % (name, " ".join(options)), load.returncode, load.stderr):
                wrong = answers(database, wanted)
                self.tap.ok(not wrong, "refused: %s: the rest is there" % name, *wrong)


def main():
    parser = argparse.ArgumentParser(description="Damage copies of a small tree, each in one way, and migrate them.")
    parser.add_argument("--tree", type=Path, help="an mlruns directory of generate_fixtures.py --size small")
    parser.add_argument("--only", help="the cases with this text in their names")
    arguments = parser.parse_args()
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="mlruns-tools-hazards.") as scratch:
        work = Path(scratch)
        tree = arguments.tree
        if tree is None:
            tree = work / "mlruns"
            done = run([python_of(VERSION), HERE / "generate_fixtures.py", "--output", tree, "--size", "small"], cwd=scratch)
            if done.returncode:
                raise SystemExit("Bail out! no fixtures: %s" % done.stderr)
        runner = Runner(tap, tree, work)
        if runner.prepare():
            for kind, name, damage in CASES:
                if not arguments.only or arguments.only in name:
                    getattr(runner, kind)(name, damage)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
