#!/usr/bin/env python3
"""Writes a big file store quickly, for measurements: plain files in the layout of MLflow 3.17, without MLflow.

    make_tree.py --output DIR --runs 10000 --points 1000000

DIR becomes the mlruns directory.  Each run has a meta.yaml, 10 metrics, and parameters and tags up to --files-per-run
files (33 by default; 45 for fewer than 5,000 runs).  The same arguments give the same bytes in the same DIR.
"""

import argparse
import os
import random
import sys
from pathlib import Path

METRICS = 10
RUNS_PER_EXPERIMENT = 2000
START = 1_700_000_000_000

EXPERIMENT = """\
artifact_location: {location}
creation_time: {time}
effective_trace_archival_retention: null
experiment_id: '{id}'
last_update_time: {time}
lifecycle_stage: active
name: {name}
trace_location: null
workspace: default
"""

RUN = """\
artifact_uri: {location}/{id}/artifacts
deleted_time: null
end_time: {end}
entry_point_name: ''
experiment_id: '{experiment}'
lifecycle_stage: active
run_id: {id}
run_name: {name}
source_name: ''
source_type: 4
source_version: ''
start_time: {start}
status: 3
tags: []
user_id: bench
"""


def write(path, text):
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    os.write(handle, text.encode())
    os.close(handle)


def write_experiment(root, experiment_id, name):
    directory = root / experiment_id
    directory.mkdir()
    (directory / "tags").mkdir()
    write(directory / "tags" / "purpose", "measurement")
    text = EXPERIMENT.format(location=directory.as_uri(), time=START, id=experiment_id, name=name)
    write(directory / "meta.yaml", text)
    return directory


def metric_text(rng, number, start):
    value = rng.random()
    lines = []
    for step in range(number):
        value *= 0.99 + 0.02 * rng.random()
        lines.append("%d %r %d\n" % (start + 1000 * step, value, step))
    return "".join(lines)


def write_run(directory, rng, number, points, files):
    run_id = "%032x" % rng.getrandbits(128)
    start = START + 60_000 * number
    name = "run-%d" % number
    run = os.path.join(directory, run_id)
    for part in ("", "artifacts", "metrics", "params", "tags"):
        os.mkdir(os.path.join(run, part))
    text = RUN.format(
        location=directory.as_uri(), id=run_id, experiment=directory.name, name=name, start=start, end=start + 50_000
    )
    write(os.path.join(run, "meta.yaml"), text)
    for i in range(METRICS):
        share = points // METRICS + (i < points % METRICS)
        if share:
            write("%s/metrics/metric_%d" % (run, i), metric_text(rng, share, start))
    others = files - 1 - METRICS
    params = others * 3 // 5
    for i in range(params):
        write("%s/params/param_%02d" % (run, i), "%r" % rng.random())
    write(run + "/tags/mlflow.runName", name)
    for i in range(others - params - 1):
        write("%s/tags/tag_%02d" % (run, i), "value %d of run %d" % (i, number))


def main():
    parser = argparse.ArgumentParser(description="Write a big file store quickly, without MLflow.")
    parser.add_argument("--output", required=True, type=Path, help="the mlruns directory to make")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1_000_000, help="metric points in all")
    parser.add_argument("--files-per-run", type=int)
    arguments = parser.parse_args()
    files = arguments.files_per_run or (33 if arguments.runs >= 5000 else 45)
    if arguments.runs < 1 or arguments.points < 0 or files < METRICS + 3:
        parser.error("at least 1 run, 0 points and %d files a run" % (METRICS + 3))
    root = arguments.output.absolute()
    try:
        root.mkdir(parents=True)
    except FileExistsError:
        parser.error("%s exists" % root)

    rng = random.Random(arguments.runs)
    write_experiment(root, "0", "Default")
    directory = None
    for number in range(arguments.runs):
        if number % RUNS_PER_EXPERIMENT == 0:
            experiment_id = str(rng.randrange(10**17, 10**18))
            directory = write_experiment(root, experiment_id, "bench-%d" % (number // RUNS_PER_EXPERIMENT))
        first = arguments.points * number // arguments.runs
        last = arguments.points * (number + 1) // arguments.runs
        write_run(directory, rng, number, last - first, files)
    return 0


if __name__ == "__main__":
    sys.exit(main())
