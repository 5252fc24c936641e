#!/usr/bin/env python3
"""Traces with spans through real MLflow.  Runs inside an environment with MLflow 2.14 or later.

    span_checks.py JOBS.json

JOBS.json is a list of jobs, each a list of a command and its arguments; URI is a store, EXPERIMENT an experiment's name:

    write TREE EXPERIMENT               makes a file store with traces
    log URI EXPERIMENT                  logs the same traces natively
    facts URI OUT                       what MLflow says of all experiments that hold traces: all spans, filters, metrics
    serve URI OUT                       the same of a server on that database
    browse URI OUT EXPERIMENT PYTHON    what its pages show of an experiment; PYTHON runs browser_checks.py
    upgrade URI                         MLflow's own upgrade of a database
    delete URI OUT                      deletes the traces that have a span named tool, then an experiment for good, and says what is
                                        left in the tables, by experiment
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

import mlflow  # noqa: E402

VERSION = tuple(int(part) for part in mlflow.__version__.split(".")[:2])
WIDE = 'Zürich "☃" \\ 1\n2'

# What SQL searches of a trace's spans, and of what is in them.
FILTERS = [
    "span.name = 'retrieve'",
    "span.name LIKE 'ask%'",
    "span.name ILIKE 'RETR%'",
    "span.type = 'TOOL'",
    "span.type IN ('LLM', 'CHAT_MODEL')",
    "span.status = 'ERROR'",
    "span.attributes.colour LIKE '%blue%'",
    "span.attributes.colour RLIKE 'bl.e'",
    "span.content LIKE '%needle%'",
    "trace.text LIKE '%needle%'",
    "span.name = 'nowhere'",
]


def fix_processors():
    """Newer OpenTelemetry releases set these in a constructor that the processors of older MLflow do not call."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    class Anything:
        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    for attribute, value in (("_shutdown", False), ("_metrics", Anything())):
        if not hasattr(SimpleSpanProcessor, attribute):
            setattr(SimpleSpanProcessor, attribute, value)


def log(uri, experiment):
    fix_processors()
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(experiment)

    @mlflow.trace(name="retrieve", span_type="RETRIEVER", attributes={"colour": "blue"})
    def retrieve(question):
        return [question, "needle"]

    @mlflow.trace(name="tool", span_type="TOOL")
    def tool(number):
        if number == 2:
            raise ValueError("no " + WIDE)
        return number * 2

    @mlflow.trace(name="model", span_type="LLM")
    def model(prompt):
        span = mlflow.get_current_active_span()
        usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
        span.set_attribute("mlflow.chat.tokenUsage", usage)
        span.set_attribute("mlflow.llm.model", "model-" + WIDE)
        span.set_attribute("mlflow.llm.provider", "somebody")
        return prompt[::-1]

    @mlflow.trace(name="ask " + WIDE)
    def ask(number):
        retrieve("question %d" % number)
        try:
            tool(number)
        finally:
            model(WIDE)
        return {"answer": number, "text": WIDE}

    for number in range(4):
        try:
            ask(number)
        except ValueError:
            pass

    @mlflow.trace(span_type="CHAIN")
    def alone():
        return None

    alone()
    with mlflow.start_span(name="") as span:
        span.set_inputs({"deep": {"a": [1, 2.5, None, True, "x" * 70000]}})
    if hasattr(mlflow, "flush_trace_async_logging"):
        mlflow.flush_trace_async_logging()


def properties(span):
    """All that MLflow says of a span."""
    said = {
        "name": span.name,
        "id": span.span_id,
        "parent": span.parent_id,
        "type": span.span_type,
        "status": str(span.status.status_code),
        "description": span.status.description,
        "start": span.start_time_ns,
        "end": span.end_time_ns,
        "inputs": span.inputs,
        "outputs": span.outputs,
        "attributes": span.attributes,
        "events": [[event.name, event.timestamp, event.attributes] for event in span.events],
    }
    return json.loads(json.dumps(said, default=str, sort_keys=True))


def search(client, experiment, **more):
    where = {"locations": [experiment]} if VERSION >= (3, 5) else {"experiment_ids": [experiment]}
    return client.search_traces(**where, max_results=500, include_spans=False, **more)


def spans_of(client, trace):
    """All that MLflow says of a trace's spans, or why it cannot read them: older releases do not know all shapes of later ones."""
    try:
        return [properties(span) for span in client.get_trace(trace.info.request_id).data.spans]
    except Exception as error:
        return "%s: %s" % (type(error).__name__, str(error)[:100])


def experiments(client):
    """Names and ids, without the one that every store has."""
    return {one.name: one.experiment_id for one in client.search_experiments() if one.name != "Default"}


def tokens(trace):
    """What a trace says of its token usage, of which Overview's numbers are made."""
    said = getattr(trace.info, "trace_metadata", None) or getattr(trace.info, "request_metadata", {})
    return json.loads(said["mlflow.trace.tokenUsage"])["total_tokens"] if "mlflow.trace.tokenUsage" in said else 0


def facts(uri):
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    return {name: facts_of(client, experiment, uri) for name, experiment in experiments(client).items()}


def facts_of(client, experiment, uri):
    found = {"spans": {}, "filters": {}, "metrics": {}, "tokens": 0}
    for trace in search(client, experiment):
        found["spans"][trace.info.request_id] = spans_of(client, trace)
        found["tokens"] += tokens(trace)
    if uri.startswith("file:"):
        return found
    for text in FILTERS:
        try:
            traces = search(client, experiment, filter_string=text)
            # a trace is known by its name, for ids are another's in a twin
            found["filters"][text] = sorted(trace.info.tags.get("mlflow.traceName") or "" for trace in traces)
        except mlflow.exceptions.MlflowException as error:
            found["filters"][text] = error.error_code
    found["metrics"] = metrics(client, experiment)
    return found


def floats(values):
    """Databases and REST differ in the type of a number."""
    return {name: float(value) for name, value in values.items()}


def metrics(client, experiment):
    """The numbers of Overview."""
    try:
        from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType
    except ImportError:
        return {}
    from mlflow.tracking._tracking_service.utils import _get_store

    store, said = _get_store(), {}
    wanted = [("TRACES", "total_tokens", "SUM"), ("TRACES", "input_tokens", "SUM"), ("TRACES", "trace_count", "COUNT"), ("SPANS", "span_count", "COUNT")]
    for view, name, how in wanted:
        try:
            page = store.query_trace_metrics(
                experiment_ids=[experiment],
                view_type=MetricViewType[view],
                metric_name=name,
                aggregations=[MetricAggregation(AggregationType[how])],
                dimensions=["span_type"] if view == "SPANS" else None,
            )
            points = page.data_points if hasattr(page, "data_points") else page
            said[view + " " + name] = sorted(json.dumps([point.dimensions, floats(point.values)], sort_keys=True) for point in points)
        except Exception as error:
            said[view + " " + name] = "%s: %s" % (type(error).__name__, str(error)[:200])
    return said


@contextlib.contextmanager
def server_on(uri, log):
    from server_checks import Server

    server = Server(uri, log)
    try:
        if not server.wait():
            raise RuntimeError("no server on %s: %s" % (uri, log.read_text(errors="replace")[-2000:]))
        yield server
    finally:
        server.stop()


def serve(uri, log):
    with server_on(uri, log) as server:
        return facts(server.address)


def browse(uri, log, experiment, python):
    mlflow.set_tracking_uri(uri)
    number = experiments(mlflow.MlflowClient())[experiment]
    with server_on(uri, log) as server:
        words = [python, str(Path(__file__).with_name("browser_checks.py")), server.address, number]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-3000:]}


TABLES = {"trace_info": "request_id", "spans": "trace_id", "span_metrics": "trace_id", "trace_metrics": "request_id",
          "trace_tags": "request_id", "trace_request_metadata": "request_id"}  # fmt: skip


def left(uri):
    """How many rows each table has of the traces of each experiment, and of none."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    have = sqlalchemy.inspect(engine).get_table_names()
    found = {}
    with engine.connect() as db:
        for table, key in TABLES.items():
            if table not in have:
                continue
            query = (
                "SELECT e.name, count(*) FROM %s t LEFT JOIN trace_info i ON i.request_id = t.%s LEFT JOIN experiments e"
                " ON e.experiment_id = i.experiment_id GROUP BY e.name" % (table, key)
            )
            for name, count in db.execute(sqlalchemy.text(query)):
                found.setdefault(name or "", {})[table] = count
    engine.dispose()
    return found


def delete(uri):
    """MLflow's own deletion, which leaves to the database what belongs to a trace; and gc of the first experiment."""
    from click.testing import CliRunner
    from mlflow import cli

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    for experiment in experiments(client).values():
        traces = search(client, experiment, filter_string="span.name = 'tool'")
        client.delete_traces(experiment, trace_ids=[trace.info.request_id for trace in traces])
    said = {"deleted": left(uri)}
    first = sorted(experiments(client))[0]
    experiment = experiments(client)[first]
    client.delete_experiment(experiment)
    done = CliRunner().invoke(cli.gc, ["--backend-store-uri", uri, "--experiment-ids", experiment])
    return {**said, "gc": done.exit_code, "collected": left(uri).get(first, {})}


def upgrade(uri):
    import sqlalchemy
    from mlflow.store.db.utils import _upgrade_db

    engine = sqlalchemy.create_engine(uri)
    _upgrade_db(engine)
    engine.dispose()


def run(command, uri, *rest):
    if command == "write":
        return log(Path(uri).resolve().as_uri(), *rest)
    if command == "log":
        return log(uri, *rest)
    if command == "upgrade":
        return upgrade(uri)
    out = Path(rest[0])
    log_file = out.with_suffix(".log")
    said = {
        "facts": lambda: facts(uri),
        "serve": lambda: serve(uri, log_file),
        "browse": lambda: browse(uri, log_file, *rest[1:]),
        "delete": lambda: delete(uri),
    }[command]()
    return out.write_text(json.dumps(said), encoding="utf-8")


def main():
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        run(*job)


if __name__ == "__main__":
    main()
