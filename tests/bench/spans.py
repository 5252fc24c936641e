#!/usr/bin/env python3
"""Traces with spans, beside reading their files.

    make bench                              200,000 traces with 20 spans of 2 KB
    tests/bench/spans.py --traces N [--dir DIR]
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

from run import ratio, remove, run, show

SPANS, BYTES = 20, 2048


def make_trace(experiment, number):
    name = "tr-%032x" % number
    where = os.path.join(experiment, "traces", name)
    for part in ("artifacts", "tags", "request_metadata"):
        os.makedirs(os.path.join(where, part))

    def write(path, text):
        with open(os.path.join(where, path), "w", encoding="utf-8") as file:
            file.write(text)

    write("trace_info.yaml", "trace_id: %s\nexperiment_id: '0'\nrequest_time: '2024-01-01T00:00:00Z'\nstate: OK\n"
          "execution_duration: 1s\ntrace_location:\n  type: MLFLOW_EXPERIMENT\n  mlflow_experiment:\n    experiment_id: '0'\n" % name)  # fmt: skip
    write("tags/mlflow.artifactLocation", "file://%s/artifacts" % where)
    write("request_metadata/mlflow.trace.sizeStats", json.dumps({"num_spans": SPANS}))
    spans = [
        {
            "name": "span %d" % i, "context": {"span_id": "%016x" % (i + 1), "trace_id": "%032x" % number}, "parent_id": None,
            "start_time": 1704067200000000000 + i, "end_time": 1704067200000001000 + i, "status_code": "OK", "status_message": "",
            "attributes": {"mlflow.spanType": '"TOOL"', "mlflow.spanInputs": json.dumps("x" * (BYTES - 300))}, "events": [],
        }
        for i in range(SPANS)
    ]  # fmt: skip
    write("artifacts/traces.json", json.dumps({"spans": spans}))


def make_tree(cwd, traces):
    experiment = os.path.join(cwd, "mlruns", "0")
    os.makedirs(experiment)
    with open(os.path.join(experiment, "meta.yaml"), "w") as meta:
        meta.write("artifact_location: /x/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\ncreation_time: 1\nlast_update_time: 1\n")
    for number in range(1, traces + 1):
        make_trace(experiment, number)
    print("tree: %d traces with %d spans of about %d bytes" % (traces, SPANS, BYTES), flush=True)


def bench(cwd):
    steps = [
        ("reading the files (tar)", "tar cf - mlruns | cat >/dev/null"),
        ("mlruns-dump --jobs 1", "mlruns-dump -q --jobs 1 mlruns >/dev/null"),
        ("mlruns-dump --no-spans --jobs 1", "mlruns-dump -q --no-spans --jobs 1 mlruns >/dev/null"),
        ("mlruns-dump (one thread a core) > all.mlr", "mlruns-dump -q mlruns >all.mlr"),
        ("ml-load < all.mlr", "ml-load -q --release 3.17 sqlite:///load.db <all.mlr"),
        ("ml-verify < all.mlr", "ml-verify -q sqlite:///load.db <all.mlr"),
        ("mldb-dump", "mldb-dump -q sqlite:///load.db >/dev/null"),
    ]
    run(steps[0][1], cwd)  # warm cache
    remove(cwd, "load.db")
    timings = []
    for name, command in steps:
        timings.append(run(command, cwd))
        show(name, timings[-1])
    ratio("mlruns-dump --jobs 1, wall, to tar", timings[1].wall / timings[0].wall, "none")
    largest = max(timing.rss for timing in timings[1:]) / 1024
    ratio("the largest resident set, MiB", largest, "at most 64")
    return 0 if largest <= 64 and all(timing.status == 0 for timing in timings) else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=200_000)
    parser.add_argument("--dir", help="where the tree is made (default: a temporary directory)")
    arguments = parser.parse_args()
    cwd = tempfile.mkdtemp(prefix="mlruns-tools-bench.", dir=arguments.dir)
    try:
        make_tree(cwd, arguments.traces)
        return bench(cwd)
    finally:
        shutil.rmtree(cwd, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
