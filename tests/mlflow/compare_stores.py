#!/usr/bin/env python3
"""Compares a file store with a database through MLflow's own eyes.

    compare_stores.py read STORE FILE.json ...      what the MLflow that runs this script finds in STORE, or several
    compare_stores.py compare SOURCE.json TARGET.json
    compare_stores.py both DIR URL                  the three steps in one go

STORE is an mlruns directory or a database URL.  `read` and `both` need MLflow, `compare` only Python.  A tree is best read
by the MLflow that wrote it, a database by one whose schema it has.  The answer is TAP, one test for each kind.

Both are read through FileStore and SqlAlchemyStore, of tracking and of the registry; directories and tables serve only to
find the ids (MLflow's searches leave out what is deleted) and for the few fields that no entity of MLflow shows.  What
the database must hold is computed from the tree by the functions named `expected_…`: they are all the differences that
a migration may make, each with its reason.  None of the code under test is used here.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

MAX_DOUBLE = sys.float_info.max
KINDS = ["experiments", "runs", "datasets", "traces", "logged_models", "registered_models", "model_versions"]


# Entities of any MLflow, as plain values


def attempt(read, *arguments):
    """What MLflow itself cannot read back is a difference, not the end."""
    try:
        return read(*arguments)
    except Exception as error:
        return {"unreadable": "%s: %s" % (type(error).__name__, error)}


def attributes(entity, *names):
    """The named fields; one that this MLflow does not know is as good as empty."""
    return {name: getattr(entity, name, None) for name in names}


def plain_experiment(experiment):
    fields = attributes(
        experiment, "experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time"
    )
    return {**fields, "tags": dict(experiment.tags)}


def plain_point(metric):
    return [metric.timestamp, metric.step, float(metric.value)]


def plain_run(run, history):
    """history: a function that gives the points of a metric."""
    fields = attributes(
        run.info, "run_id", "experiment_id", "user_id", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri"
    )
    name = getattr(run.info, "run_name", None)
    fields["run_name"] = name or run.data.tags.get("mlflow.runName")
    fields["params"] = dict(run.data.params)
    fields["tags"] = dict(run.data.tags)
    fields["metrics"] = {key: [plain_point(metric) for metric in history(key)] for key in run.data.metrics}
    fields["latest"] = {metric.key: plain_point(metric) for metric in run.data._metric_objs}
    inputs = getattr(run, "inputs", None)
    fields["dataset_inputs"] = sorted(
        (
            [plain_dataset(one.dataset), {tag.key: tag.value for tag in one.tags}]
            for one in getattr(inputs, "dataset_inputs", None) or []
        ),
        key=json.dumps,
    )
    fields["model_inputs"] = sorted(one.model_id for one in getattr(inputs, "model_inputs", None) or [])
    outputs = getattr(getattr(run, "outputs", None), "model_outputs", None) or []
    fields["model_outputs"] = sorted([one.model_id, one.step] for one in outputs)
    return fields


def plain_dataset(dataset):
    return attributes(dataset, "name", "digest", "source_type", "source", "schema", "profile")


def plain_trace(info):
    if hasattr(info, "request_metadata") and not hasattr(info, "trace_metadata"):  # up to 2.x
        fields = {
            "trace_id": info.request_id,
            "request_time": info.timestamp_ms,
            "execution_duration": info.execution_time_ms,
            "state": info.status.value,
            "trace_metadata": dict(info.request_metadata),
            **attributes(info, "client_request_id", "request_preview", "response_preview"),
        }
    else:
        fields = attributes(
            info, "trace_id", "request_time", "execution_duration", "client_request_id", "request_preview", "response_preview"
        )
        fields["state"] = info.state.value
        fields["trace_metadata"] = dict(info.trace_metadata)
    fields["experiment_id"] = info.experiment_id
    fields["tags"] = dict(info.tags)
    assessments = getattr(info, "assessments", None) or []
    fields["assessments"] = {one.assessment_id: plain_assessment(one) for one in assessments}
    return fields


SCHEMA_VERSION = "mlflow.trace_schema.version"


def true_schema_version(trace, text):
    """Early releases of MLflow 3 show a version of their own for every trace; text: what is stored, or None."""
    if "unreadable" not in trace:
        trace["trace_metadata"].pop(SCHEMA_VERSION, None)
        if text is not None:
            trace["trace_metadata"][SCHEMA_VERSION] = text
    return trace


def plain_assessment(one):
    fields = attributes(
        one, "trace_id", "name", "create_time_ms", "last_update_time_ms", "run_id", "rationale", "span_id", "overrides", "valid"
    )
    fields["source"] = [one.source.source_type, one.source.source_id]
    fields["metadata"] = dict(one.metadata or {})
    for kind in ("feedback", "expectation", "issue"):
        value = getattr(one, kind, None)
        if value is not None:
            fields["kind"] = kind
            fields["value"] = value.issue_name if kind == "issue" else value.value
            error = getattr(value, "error", None)
            fields["error"] = attributes(error, "error_code", "error_message", "stack_trace") if error else None
    return fields


def plain_logged_model(model):
    fields = attributes(
        model, "model_id", "experiment_id", "name", "artifact_location", "creation_timestamp", "last_updated_timestamp",
        "model_type", "source_run_id", "status_message",
    )  # fmt: skip
    fields["status"] = str(model.status.value)
    fields["tags"] = dict(model.tags)
    fields["params"] = dict(model.params)
    fields["metrics"] = [plain_model_point(metric) for metric in model.metrics or []]
    return fields


def plain_model_point(metric):
    fields = attributes(metric, "key", "timestamp", "step", "run_id", "value", "dataset_name", "dataset_digest")
    return [float(value) if name == "value" else value for name, value in fields.items()]


def all_tags(entity):
    """With those of prompts, which `tags` leaves out in later releases."""
    return dict(getattr(entity, "_tags", None) or entity.tags)


def plain_registered_model(model):
    fields = attributes(model, "name", "creation_timestamp", "last_updated_timestamp", "description")
    fields["tags"] = all_tags(model)
    fields["aliases"] = {alias: str(version) for alias, version in dict(model.aliases).items()}
    return fields


def plain_model_version(version):
    fields = attributes(
        version, "name", "creation_timestamp", "last_updated_timestamp", "description", "user_id", "current_stage",
        "source", "run_id", "run_link", "status", "status_message",
    )  # fmt: skip
    fields["version"] = str(version.version)
    fields["model_id"] = getattr(version, "model_id", None)
    fields["tags"] = all_tags(version)
    return fields


# The file store


def directories_with(parent, name):
    """The directories below `parent` that hold a file `name`, in order."""
    try:
        return sorted(entry for entry in parent.iterdir() if (entry / name).is_file())
    except FileNotFoundError:
        return []


def read_yaml(directory):
    import yaml

    return yaml.safe_load((directory / "meta.yaml").read_text(encoding="utf-8"))


def read_tree(root):
    import mlflow
    from mlflow.store.tracking.file_store import FileStore

    mlflow.set_tracking_uri(root.as_uri())  # versions look up their logged model wherever this points
    store = FileStore(str(root))
    found = {kind: {} for kind in KINDS}
    for trashed, parent in ((False, root), (True, root / ".trash")):
        for directory in directories_with(parent, "meta.yaml"):
            read_experiment(store, found, directory, trashed)
    read_tree_registry(found, root)
    return found


def read_experiment(store, found, directory, trashed):
    experiment = plain_experiment(store.get_experiment(directory.name))
    # 1.x moves the directory and leaves the file as it was.
    experiment["lifecycle_stage"] = "deleted" if trashed else "active"
    found["experiments"][directory.name] = experiment
    for run in directories_with(directory, "meta.yaml"):
        found["runs"][run.name] = read_run(store, run)
    for dataset in directories_with(directory / "datasets", "meta.yaml"):
        fields = read_yaml(dataset)
        key = "%s %s %s" % (directory.name, fields["name"], fields["digest"])
        found["datasets"][key] = {
            name: fields.get(name) for name in ("name", "digest", "source_type", "source", "schema", "profile")
        }
    for trace in directories_with(directory / "traces", "trace_info.yaml"):
        version = trace / "request_metadata" / SCHEMA_VERSION
        text = version.read_text(encoding="utf-8") if version.exists() else None
        found["traces"][trace.name] = true_schema_version(plain_trace(store.get_trace_info(trace.name)), text)
    for model in directories_with(directory / "models", "meta.yaml"):
        fields = plain_logged_model(store._get_model_from_dir(str(model)))
        fields["metrics"] = all_model_points(store, model)
        fields["lifecycle_stage"] = read_yaml(model).get("lifecycle_stage") or "active"
        found["logged_models"][model.name] = fields


def all_model_points(store, directory):
    """FileStore's entity has the greatest point of each dataset alone, the database's has them all."""
    points = []
    for path in sorted((directory / "metrics").rglob("*")):
        if path.is_file():
            key = path.relative_to(directory / "metrics").as_posix()
            for line in path.read_text(encoding="utf-8").splitlines():
                points.append(plain_model_point(store._get_model_metric_from_line(directory.name, key, line)))
    return points


def read_run(store, directory):
    run_id = directory.name
    fields = plain_run(store.get_run(run_id), lambda key: store.get_metric_history(run_id, key))
    for key, points in fields["metrics"].items():
        true_steps(directory / "metrics" / key, points)
    raw = read_yaml(directory)
    for name in ("source_type", "source_name", "entry_point_name", "source_version", "deleted_time"):
        fields[name] = raw.get(name)
    return fields


def true_steps(path, points):
    """FileStore gives step 0 for points logged with a dataset (lines of five columns); the third column has it."""
    for point, line in zip(points, path.read_text(encoding="utf-8").splitlines()):
        columns = line.split(" ")
        if len(columns) == 5:
            point[1] = int(columns[2])


def read_tree_registry(found, root):
    try:
        from mlflow.store.model_registry.file_store import FileStore
    except ImportError:  # before 2.0 there was no registry in files
        return
    registry = FileStore(str(root))
    for directory in directories_with(root / "models", "meta.yaml"):
        found["registered_models"][directory.name] = plain_registered_model(registry.get_registered_model(directory.name))
        for version in directories_with(directory, "meta.yaml"):
            entity = registry._get_file_model_version_from_dir(str(version))
            fields = plain_model_version(entity)
            fields["storage_location"] = entity.storage_location
            found["model_versions"]["%s/%s" % (directory.name, entity.version)] = fields


# The database


class Database:
    """Rows of the tables, for what the stores do not show."""

    def __init__(self, engine):
        import sqlalchemy

        self.text = sqlalchemy.text
        self.engine = engine
        self.tables = set(sqlalchemy.inspect(engine).get_table_names())

    def rows(self, query):
        with self.engine.connect() as connection:
            result = connection.execute(self.text(query))
            names = list(result.keys())
            return [dict(zip(names, row)) for row in result.fetchall()]

    def ids(self, table, column):
        if table not in self.tables:
            return []
        return sorted(str(row[column]) for row in self.rows("SELECT %s FROM %s" % (column, table)))


def read_database(url):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(url, "./artifacts")
    database = Database(store.engine)
    found = {kind: {} for kind in KINDS}
    for experiment_id in database.ids("experiments", "experiment_id"):
        found["experiments"][experiment_id] = plain_experiment(store.get_experiment(experiment_id))
    for row in database.rows("SELECT * FROM runs"):
        run_id = row["run_uuid"]
        fields = plain_run(store.get_run(run_id), lambda key: store.get_metric_history(run_id, key))
        for name in ("source_type", "source_name", "entry_point_name", "source_version", "deleted_time"):
            fields[name] = row.get(name)
        found["runs"][run_id] = fields
    if "datasets" in database.tables:
        for row in database.rows("SELECT * FROM datasets"):
            found["datasets"]["%s %s %s" % (row["experiment_id"], row["name"], row["digest"])] = {
                "name": row["name"],
                "digest": row["digest"],
                **{name: row["dataset_" + name] for name in ("source_type", "source", "schema", "profile")},
            }
    trace_ids = database.ids("trace_info", "request_id")
    query = "SELECT request_id, value FROM trace_request_metadata WHERE key = '%s'" % SCHEMA_VERSION
    stored = {row["request_id"]: row["value"] for row in database.rows(query)} if trace_ids else {}
    for trace_id in trace_ids:
        trace = attempt(lambda: plain_trace(store.get_trace_info(trace_id)))
        found["traces"][trace_id] = true_schema_version(trace, stored.get(trace_id))
    read_logged_models(store, database, found)
    read_database_registry(url, database, found)
    return found


def read_logged_models(store, database, found):
    if "logged_models" not in database.tables:
        return
    from mlflow.store.tracking.dbmodels.models import SqlLoggedModel

    stages = {row["model_id"]: row["lifecycle_stage"] for row in database.rows("SELECT * FROM logged_models")}
    with store.ManagedSessionMaker() as session:
        for model_id in sorted(stages):  # deleted ones among them, which get_logged_model does not give
            fields = attempt(lambda: plain_logged_model(session.get(SqlLoggedModel, model_id).to_mlflow_entity()))
            fields["lifecycle_stage"] = stages[model_id]
            found["logged_models"][model_id] = fields


def read_database_registry(url, database, found):
    if "registered_models" not in database.tables:
        return
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    registry = SqlAlchemyStore(url)
    with registry.ManagedSessionMaker() as session:
        for model in session.query(SqlRegisteredModel).all():
            found["registered_models"][model.name] = plain_registered_model(model.to_mlflow_entity())
        for version in session.query(SqlModelVersion).all():
            fields = plain_model_version(version.to_mlflow_entity())
            fields["storage_location"] = getattr(version, "storage_location", None)
            found["model_versions"]["%s/%s" % (version.name, version.version)] = fields


# What the database must hold, given the tree


def stored_value(value):
    """The database has neither infinities, for which MLflow stores the largest double, nor a zero below zero."""
    if math.isinf(value):
        return math.copysign(MAX_DOUBLE, value)
    return 0.0 if value == 0 else value


def comparable(value):
    """NaN as something that equals itself."""
    return "NaN" if math.isnan(value) else value


def expected_points(points):
    """The primary key holds all fields of a point: exact duplicates are one row."""
    return sorted({(timestamp, step, comparable(stored_value(value))) for timestamp, step, value in points}, key=repr)


def expected_latest(points):
    """The point with the greatest step, time and value wins, NaN counting as 0; the first in the file wins a tie."""
    best = None
    for timestamp, step, value in points:
        rank = (step, timestamp, 0.0 if math.isnan(value) else stored_value(value))
        if best is None or rank > best[0]:
            best = (rank, [timestamp, step, comparable(stored_value(value))])
    return best[1]


SOURCE_TYPES = {1: "NOTEBOOK", 2: "JOB", 3: "PROJECT", 4: "LOCAL", 5: "UNKNOWN", None: None}


def expected_run(run):
    run = dict(run)
    run["source_type"] = SOURCE_TYPES[run["source_type"]]  # a number in the file, a word in the table
    run["latest"] = {key: expected_latest(points) for key, points in run["metrics"].items() if points}
    run["metrics"] = {key: expected_points(points) for key, points in run["metrics"].items() if points}
    return run


TOKENS = ["input_tokens", "output_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
          "cache_creation_input_tokens_above_1hr"]  # fmt: skip
COSTS = ["input_cost", "output_cost", "total_cost"]


def expected_metadata(metadata, stored):
    """Later schemas keep usage and cost as columns: other members of the JSON text, and its layout, have no place."""
    metadata = dict(metadata)
    for key, members in (("mlflow.trace.tokenUsage", TOKENS), ("mlflow.trace.cost", COSTS)):
        if key in metadata and metadata[key] != stored.get(key):
            usage = json.loads(metadata[key])
            kept = {name: usage[name] for name in members if name in usage}
            if kept:
                metadata[key] = kept
            else:
                del metadata[key]
    return metadata


def expected_assessment(assessment):
    """FileStore leaves `valid` out when it rewrites an expectation; the column cannot be empty."""
    return {**assessment, "valid": True} if assessment["valid"] is None else assessment


def expected_trace(trace, stored):
    trace = dict(trace)
    if {trace["state"], stored["state"]} == {"TRACE_STATUS_UNSPECIFIED", "STATE_UNSPECIFIED"}:
        trace["state"] = stored["state"]  # MLflow 3 reads no other word than the latter, MLflow 2 the former
    trace["assessments"] = {key: expected_assessment(one) for key, one in trace["assessments"].items()}
    trace["trace_metadata"] = expected_metadata(trace["trace_metadata"], stored["trace_metadata"])
    return trace


def seen_metadata(metadata, wanted):
    """JSON texts that were rebuilt from columns, as values."""
    return {key: json.loads(text) if isinstance(wanted.get(key), dict) else text for key, text in metadata.items()}


def expected_model_metrics(metrics):
    """A NaN becomes 0.0, since the server cannot show NULL; the primary key lacks value and dataset."""
    rows = {}
    for key, timestamp, step, run_id, value, name, digest in metrics:
        value = 0.0 if math.isnan(value) else stored_value(value)
        rows.setdefault((key, timestamp, step, run_id), [value, name, digest])
    return sorted([*key, *row] for key, row in rows.items())


def expected_of(kind, source, stored):
    """What the target must show for an entity of the source, and what it does show, in forms that can be compared."""
    if kind == "runs":
        source = expected_run(source)
        stored = dict(stored)
        stored["metrics"] = {
            key: sorted(((t, step, comparable(value)) for t, step, value in points), key=repr)
            for key, points in stored["metrics"].items()
        }
        stored["latest"] = {key: [t, step, comparable(value)] for key, (t, step, value) in stored["latest"].items()}
    elif kind == "traces":
        source = expected_trace(source, stored)
        stored = {**stored, "trace_metadata": seen_metadata(stored["trace_metadata"], source["trace_metadata"])}
    elif kind == "logged_models":
        source = {**source, "metrics": expected_model_metrics(source["metrics"])}
        stored = {**stored, "metrics": sorted(stored["metrics"])}
    elif kind == "model_versions":
        source = {**source, "model_id": None}  # no release has a column for it
    return source, stored


def same(a, b):
    """Equal, and of one type: True is not 1.0; a list is a tuple (JSON knows one of them)."""
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    return a == b


def differences(where, a, b):
    """Readable lines, down to the single value."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            yield from differences("%s.%s" % (where, key), a.get(key, "(absent)"), b.get(key, "(absent)"))
    elif not same(a, b):
        yield "%s: source=%s target=%s" % (where, shortened(a), shortened(b))


def shortened(value):
    text = ascii(value)
    return text if len(text) <= 300 else text[:300] + "…"


def added_by_server(kind, key, entity):
    """A server adds the Default experiment where id 0 is absent."""
    return kind == "experiments" and key == "0" and entity["name"] == "Default"


def compare(source, target):
    """{kind: (number of entities in the source, [differences])}"""
    answer = {}
    for kind in KINDS:
        here, there = source[kind], target[kind]
        lines = []
        for key in sorted(here.keys() | there.keys()):
            if key not in there:
                lines.append("%s %s: missing" % (kind, ascii(key)))
            elif key not in here:
                if not added_by_server(kind, key, there[key]):
                    lines.append("%s %s: not in the source" % (kind, ascii(key)))
            elif "unreadable" in there[key]:
                lines.append("%s %s: MLflow cannot read it: %s" % (kind, ascii(key), there[key]["unreadable"]))
            else:
                lines.extend(differences("%s %s" % (kind, ascii(key)), *expected_of(kind, here[key], there[key])))
        answer[kind] = (len(here), lines)
    return answer


def read(store):
    """store: a path or a URL."""
    if "://" in str(store) and not str(store).startswith("file:"):
        return read_database(str(store))
    return read_tree(Path(str(store)).absolute())


def print_tap(answer, out=sys.stdout):
    """One test for each kind; gives the number of failures."""
    failed = 0
    for number, (kind, (count, lines)) in enumerate(answer.items(), 1):
        failed += bool(lines)
        print("%sok %d - %s: %d" % ("not " if lines else "", number, kind.replace("_", " "), count), file=out)
        for line in lines:
            print("# " + line, file=out)
    print("1..%d" % len(answer), file=out)
    return failed


def main():
    parser = argparse.ArgumentParser(description="Compare a file store with a database through MLflow's own eyes.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("read")
    command.add_argument("pairs", nargs="+", metavar="STORE FILE.json")
    command = commands.add_parser("compare")
    command.add_argument("source", type=Path)
    command.add_argument("target", type=Path)
    command = commands.add_parser("both")
    command.add_argument("tree")
    command.add_argument("url")
    arguments = parser.parse_args()
    if arguments.command == "read":
        if len(arguments.pairs) % 2:
            parser.error("each STORE needs a FILE.json")
        for store, path in zip(arguments.pairs[::2], arguments.pairs[1::2]):
            with open(path, "w", encoding="utf-8") as out:
                json.dump(read(store), out, indent=1)
        return 0
    if arguments.command == "compare":
        sides = [json.loads(path.read_text(encoding="utf-8")) for path in (arguments.source, arguments.target)]
    else:
        # By way of JSON, so that both ways of comparing see the same values.
        sides = [json.loads(json.dumps(read(store))) for store in (arguments.tree, arguments.url)]
    return 1 if print_tap(compare(*sides)) else 0


if __name__ == "__main__":
    sys.exit(main())
