#!/usr/bin/env python3
"""Traces with spans through real MLflow.  Runs inside an environment with MLflow 2.14 or later.

    span_checks.py write TREE           makes a file store with traces
    span_checks.py log URI              logs the same traces natively
    span_checks.py facts URI OUT [URI OUT]...   what MLflow says of all spans of all traces, of filters and of metrics
    span_checks.py delete URI OUT       deletes the traces that have a span named tool, and says what is left in the tables
"""

import json
import os
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


def log(uri):
    fix_processors()
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("spans")

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
    where = {"locations": [experiment]} if VERSION >= (3, 3) else {"experiment_ids": [experiment]}
    return client.search_traces(**where, max_results=500, **more)


def facts(uri):
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("spans").experiment_id
    found = {"spans": {}, "filters": {}, "metrics": {}}
    for trace in search(client, experiment):
        trace = client.get_trace(trace.info.request_id)
        name = trace.info.request_id
        found["spans"][name] = [properties(span) for span in trace.data.spans]
    if uri.startswith("file:"):
        return found
    for text in FILTERS:
        try:
            traces = search(client, experiment, filter_string=text)
            # a trace is told by its root, for ids are another's in a twin
            found["filters"][text] = sorted(len(found["spans"][t.info.request_id]) for t in traces)
        except Exception as error:
            found["filters"][text] = type(error).__name__
    found["metrics"] = metrics(client, experiment)
    return found


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
            said[view + " " + name] = sorted(json.dumps([point.dimensions, point.values], sort_keys=True, default=str) for point in points)
        except Exception as error:
            said[view + " " + name] = "%s: %s" % (type(error).__name__, str(error)[:200])
    return said


def delete(uri, out):
    """MLflow's own deletion, which leaves to the database what belongs to a trace."""
    import sqlite3

    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("spans").experiment_id
    traces = search(client, experiment, filter_string="span.name = 'tool'")
    client.delete_traces(experiment, trace_ids=[trace.info.request_id for trace in traces])
    left = {}
    with sqlite3.connect(uri[len("sqlite:///") :]) as db:
        for table in ("trace_info", "spans", "span_metrics", "trace_metrics"):
            left[table] = db.execute("SELECT count(*) FROM %s" % table).fetchone()[0]
    out.write_text(json.dumps(left), encoding="utf-8")


def main():
    command, uri, *rest = sys.argv[1:]
    if command == "write":
        log(Path(uri).resolve().as_uri())
    elif command == "log":
        log(uri)
    elif command == "facts":
        for what, out in zip([uri, *rest[1::2]], rest[::2]):
            Path(out).write_text(json.dumps(facts(what)), encoding="utf-8")
    elif command == "delete":
        delete(uri, Path(rest[0]))


if __name__ == "__main__":
    main()
