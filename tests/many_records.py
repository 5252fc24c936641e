#!/usr/bin/env python3
"""Prints a stream with N records of one sort, as lines of JSON for `ml-transform --from-json --reseal`.

    many_records.py SORT N [TEXT]
    many_records.py            prints the sorts

TEXT is the value of what has one. A sort is a kind, or one of
    chain      runs, each with the run before it as its parent
    overrides  assessments of a trace, each overriding the one before it
    rows       records of an evaluation dataset
    workspaces each with an experiment
    segments   of one shard each, with an experiment
    sources    each with an experiment
"""

import json
import sys

SORT, N = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else ("", 0)
TEXT = sys.argv[3] if len(sys.argv) > 3 else "v"
EXPERIMENT = {"kind": "experiment", "experiment_id": "1", "name": "e", "lifecycle_stage": "active", "artifact_location": "/x/1"}
RUN = {"kind": "run", "run_id": "r", "experiment_id": "1", "user_id": "u", "status": "FINISHED", "start_time": 1, "artifact_uri": "/x/1/r", "lifecycle_stage": "active"}
TRACE = {"kind": "trace", "trace_id": "t", "experiment_id": "1", "request_time": 1, "state": "OK"}
MODEL = {"kind": "logged_model", "model_id": "m", "experiment_id": "1", "name": "n", "artifact_location": "/x/1/m", "creation_timestamp": 1, "last_updated_timestamp": 1, "status": "READY", "lifecycle_stage": "active"}
REGISTERED = {"kind": "registered_model", "name": "g", "creation_timestamp": 1, "last_updated_timestamp": 1}
VERSION = {"kind": "model_version", "name": "g", "version": 1, "creation_timestamp": 1, "last_updated_timestamp": 1, "current_stage": "None", "source": "/x/g", "status": "READY"}
DATASET = {"kind": "dataset", "experiment_id": "1", "name": "d", "digest": "d", "source_type": "local", "source": TEXT}
INPUT = {"kind": "input", "run_id": "r", "experiment_id": "1", "dataset_name": "d", "dataset_digest": "d"}
ASSESSMENT = {"kind": "assessment", "assessment_id": "a", "trace_id": "t", "name": "n", "assessment_type": "feedback", "value": "1", "create_time": 1, "last_update_time": 1, "source_type": "HUMAN", "source_id": TEXT, "valid": True}
SPAN = {"kind": "span", "trace_id": "t", "span_id": "s", "experiment_id": "1", "parent_span_id": "s", "name": "n", "status": "OK", "start_time_unix_nano": 1, "end_time_unix_nano": 2, "content": "{}"}


def row(table, **values):
    return {"kind": "row", "table": table, "values": values}


# sort: what is once before, what is N times, and which of its fields number them
SORTS = {
    "experiment": ([], EXPERIMENT, {"experiment_id": "7%08d", "name": "experiment %d"}),
    "experiment_tag": ([EXPERIMENT], {"kind": "experiment_tag", "experiment_id": "1", "value": TEXT}, {"key": "key %08d"}),
    "dataset": ([EXPERIMENT], DATASET, {"name": "d%08d"}),
    "run": ([EXPERIMENT], RUN, {"run_id": "%032d"}),
    "param": ([EXPERIMENT, RUN], {"kind": "param", "run_id": "r", "value": TEXT}, {"key": "key %08d"}),
    "metric": ([EXPERIMENT, RUN], {"kind": "metric", "run_id": "r", "step": 0, "timestamp": 1, "value": 0.5}, {"key": "key %08d"}),
    "tag": ([EXPERIMENT, RUN], {"kind": "tag", "run_id": "r", "value": TEXT}, {"key": "key %08d"}),
    "trace": ([EXPERIMENT], TRACE, {"trace_id": "tr-%032d"}),
    "trace_tag": ([EXPERIMENT, TRACE], {"kind": "trace_tag", "trace_id": "t", "value": TEXT}, {"key": "key %08d"}),
    "trace_request_metadata": ([EXPERIMENT, TRACE], {"kind": "trace_request_metadata", "trace_id": "t", "value": TEXT}, {"key": "key %08d"}),
    "assessment": ([EXPERIMENT, TRACE], ASSESSMENT, {"assessment_id": "a-%08d"}),
    "span": ([EXPERIMENT, TRACE], SPAN, {"span_id": "%016d"}),
    "logged_model": ([EXPERIMENT], MODEL, {"model_id": "m-%032d"}),
    "logged_model_param": ([EXPERIMENT, MODEL], {"kind": "logged_model_param", "model_id": "m", "experiment_id": "1", "value": TEXT}, {"key": "key %08d"}),
    "registered_model": ([], REGISTERED, {"name": "model %08d"}),
    "registered_model_alias": ([REGISTERED, VERSION], {"kind": "registered_model_alias", "name": "g", "version": 1}, {"alias": "a%08d"}),
    "model_version": ([REGISTERED], VERSION, {"version": 0}),
    "rows": ([row("evaluation_datasets", dataset_id="d", name="d")], row("evaluation_dataset_records", dataset_id="d", inputs='"%s"' % TEXT), {"dataset_record_id": "r%08d", "input_hash": "%08d"}),
}


def template(record, numbered):
    """The record as JSON with a %-format for each numbered field, and how often the number is in it."""
    record = json.loads(json.dumps(record))
    inner = record["values"] if record["kind"] == "row" else record
    for field, form in numbered.items():
        inner[field] = "\0" + str(form) + "\0" if form else "\0\0"
    text = json.dumps(record).replace("%", "%%")
    for form in numbered.values():
        quoted = '"\\u0000%s\\u0000"' % (form.replace("%", "%%") if form else "")
        text = text.replace(quoted, '"%s"' % form if form else "%d", 1)
    return text, len(numbered)


def each(out, record, numbered):
    text, times = template(record, numbered)
    for i in range(1, N + 1):
        out(text % ((i * 7919 % N + 1,) * times) + "\n")


def header(shard=0, shards=1, source=0):
    return json.dumps({"kind": "header", "format": 1, "minor": 0, "producer": "test", "source": "%032d" % source, "shard": shard, "shards": shards})


def main():
    out = sys.stdout.write
    if not SORT:
        print(*SORTS, "chain", "overrides", "workspaces")
        return
    if SORT not in ("segments", "sources"):
        out(header() + "\n")
    if SORT in SORTS:
        before, record, numbered = SORTS[SORT]
        for r in before:
            out(json.dumps(r) + "\n")
        each(out, record, numbered)
    elif SORT == "chain":
        out(json.dumps(EXPERIMENT) + "\n")
        for i in range(N):
            out(json.dumps(dict(RUN, run_id="%032d" % i)) + "\n")
            out('{"kind":"tag","run_id":"%032d","key":"mlflow.parentRunId","value":"%032d"}\n' % (i, max(i - 1, 0)))
    elif SORT == "overrides":
        out(json.dumps(EXPERIMENT) + "\n" + json.dumps(TRACE) + "\n")
        for i in range(N):
            out(json.dumps(dict(ASSESSMENT, assessment_id="a-%08d" % i, **({"overrides": "a-%08d" % (i - 1)} if i else {}))) + "\n")
    elif SORT == "workspaces":
        for i in range(N):
            out(json.dumps(row("workspaces", name="w%08d" % i)) + "\n")
            out(json.dumps(dict(EXPERIMENT, experiment_id="7%08d" % i, workspace="w%08d" % i)) + "\n")
    elif SORT in ("segments", "sources"):
        for i in range(N):
            out((header(i, N) if SORT == "segments" else header(source=i)) + "\n" + json.dumps(dict(EXPERIMENT, experiment_id="7%08d" % i, name="e%d" % i)) + "\n")


if __name__ == "__main__":
    main()
