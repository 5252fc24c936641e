#!/usr/bin/env python3
"""Transforms what real MLflow wrote, loads it, and reads it back with real MLflow.

    test_transform.py [--work DIR] [--no-servers]

Every option of ml-transform on a full tree of the newest MLflow, alone and together: what MLflow then finds in the database
must be what expected_transform.py makes of what MLflow found in the tree.  Trees of three MLflow versions are merged, and
`mlflow server` serves them.  A tree whose artifacts were moved is read through MLflow again, from the new place.
"""

import argparse
import json
import shutil
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import compare_stores
import expected_transform as expected
from harness import BIN, HERE, Tap, python_of, run, tool, work_directory

NEWEST = "3.17.2"
MERGED = ("1.30.1", "2.22.5", NEWEST)


class Tree:
    """A fixture of one MLflow with ids of its own, as a stream too, and as that MLflow sees it."""

    def __init__(self, version, seed, work):
        self.version = version
        self.seed = seed
        self.path = work / version / "mlruns"
        self.stream = work / ("%s.mlr" % version)
        self.found = work / ("%s.json" % version)

    def make(self):
        python = python_of(self.version)
        words = [python, HERE / "generate_fixtures.py", "--output", self.path, "--size", "full", "--seed", self.seed]
        done = run(words, cwd=str(self.path.parent.parent))
        if not done.returncode:
            done = run([python, HERE / "compare_stores.py", "read", self.path, self.found], cwd=str(self.path.parent.parent))
        if not done.returncode:
            with open(self.stream, "wb") as out:
                done = run([BIN / "mlruns-dump", "-q", self.path], stdout=out)
        if done.returncode:
            raise RuntimeError("fixture of %s: %s" % (self.version, done.stderr[-3000:]))
        return self

    @property
    def source(self):
        return json.loads(self.found.read_text(encoding="utf-8"))


class Case:
    """Streams, options of ml-transform, and what MLflow must find in the database.

    expect: a function of what was found in the trees.  said: what standard error must say.
    """

    def __init__(self, name, options, expect, said=()):
        self.name = name
        self.options = options
        self.expect = expect
        self.said = said
        self.database = self.found = None

    def prepare(self, tap, work, streams):
        """The database; gives whether it is there."""
        place = work / ("case-%s" % "".join(letter if letter.isalnum() else "-" for letter in self.name))
        self.database, self.found = place.with_suffix(".db"), place.with_suffix(".found.json")
        stream = place.with_suffix(".mlr")
        done = transform(self.options, streams, stream)
        good = done.returncode == 0 and all(text in done.stderr for text in self.said)
        if not tap.ok(good, "%s: transformed" % self.name, "exit %d, wanted on stderr: %s" % (done.returncode, self.said), done.stderr):
            return False
        with open(stream, "rb") as source:
            valid = tool("ml-transform", "--validate", stdin=source)
        tap.ok(valid.returncode == 0, "%s: it is a whole stream" % self.name, valid.stderr)
        with open(stream, "rb") as source:
            done = tool("ml-load", "-q", "--release", NEWEST, self.url, stdin=source)
        return tap.ok(done.returncode == 0, "%s: loaded" % self.name, "exit %d" % done.returncode, done.stderr)

    @property
    def url(self):
        return "sqlite:///%s" % self.database

    def compare(self, tap, sources):
        wanted = self.expect(*sources)
        lines = [line for _, found in compare_stores.compare(wanted, json.loads(self.found.read_text(encoding="utf-8"))).values() for line in found]
        counts = ", ".join("%d %s" % (len(wanted[kind]), kind.replace("_", " ")) for kind in compare_stores.KINDS)
        tap.ok(not lines, "%s: MLflow finds what it should (%s)" % (self.name, counts), *lines)


def transform(options, streams, target):
    """cat STREAM... | ml-transform OPTION... > target"""
    joined = streams[0]
    if len(streams) > 1:
        joined = target.with_suffix(".joined")
        with open(joined, "wb") as out:
            for stream in streams:
                with open(stream, "rb") as part:
                    shutil.copyfileobj(part, out)
    with open(joined, "rb") as source, open(target, "wb") as out:
        return run([BIN / "ml-transform", *options], stdin=source, stdout=out, cwd=str(target.parent))


def id_map(path):
    """Old id -> new id."""
    return dict(line.split("\t")[:2] for line in path.read_text(encoding="utf-8").splitlines())


def key_of(entities, **fields):
    return next(key for key, one in entities.items() if all(one[name] == value for name, value in fields.items()))


# One tree, every option


def selections(source):
    experiments, runs = source["experiments"], source["runs"]
    first = key_of(experiments, name="experiment-0")
    edges = next(key for key, one in experiments.items() if one["name"].startswith("edges "))
    run_of_model = key_of(runs, run_name="run of model 0")
    traced_run = next(trace["trace_metadata"][expected.SOURCE_RUN] for trace in source["traces"].values() if expected.SOURCE_RUN in trace["trace_metadata"])
    middle = int(statistics.median(one["start_time"] for one in runs.values()))

    def case(name, options, **criteria):
        return Case(name, options, lambda source: expected.selected(source, **criteria))

    return [
        case("an experiment by id", ["--experiment", first], experiments=[first]),
        case("an experiment by name, and another", ["--experiment", "experiment-1", "--experiment", edges], experiments=["experiment-1", edges]),
        case("a run with the model that it made", ["--run", run_of_model], runs=[run_of_model]),
        case("runs with their traces and versions", ["--run", traced_run, "--run", run_of_model], runs=[traced_run, run_of_model]),
        case("a status", ["--status", "FAILED"], statuses=["FAILED"]),
        case("what is active", ["--lifecycle", "active"], stage="active"),
        case("what is deleted", ["--lifecycle", "deleted"], stage="deleted"),
        case("a tag", ["--tag", "mlflow.user=user1"], tags={"mlflow.user": "user1"}),
        case("a time", ["--since", str(middle), "--until", str(middle + 60000)], since=middle, until=middle + 60000),
        case(
            "several criteria", ["--experiment", first, "--status", "FINISHED", "--tag", "mlflow.source.name=train.py", "--lifecycle", "active"],
            experiments=[first], statuses=["FINISHED"], tags={"mlflow.source.name": "train.py"}, stage="active",
        ),
        Case("a kind", ["--kind", "param"], lambda source: expected.only(source, ["params"])),
        Case("metrics with their latest", ["--kind", "metric"], lambda source: expected.only(source, ["metrics", "latest"])),
        Case("kinds left out", ["--exclude-kind", "assessment", "--exclude-kind", "dataset", "--exclude-kind", "metric"],
             lambda source: expected.without_kinds(source, "assessment", "dataset", "metric")),
        Case("more kinds left out", ["--exclude-kind", "logged_model", "--exclude-kind", "trace", "--exclude-kind", "registered_model", "--exclude-kind", "param"],
             lambda source: expected.without_kinds(source, "logged_model", "trace", "registered_model", "param")),
    ]  # fmt: skip


def changes(tree, source, work):
    """Relocated, renumbered, renamed."""
    old = tree.path.as_uri()
    first = key_of(source["experiments"], name="experiment-0")
    moved = expected.prefix_rule((old, "s3://bucket/mlruns"), (old + "/" + first, "s3://other/first"), ("/data", "s3://data"))
    served = expected.prefix_rule((old, "mlflow-artifacts:/"))
    ids, more_ids = work / "ids.tsv", work / "more.tsv"

    def all_of_it(source):
        chosen = expected.selected(source, experiments=["experiment-0", "experiment-1"])
        chosen = expected.renumbered(chosen, {**id_map(more_ids)})
        chosen = expected.renamed_experiment(chosen, "experiment-1", "the other one")
        return expected.relocated(chosen, served)

    return [
        Case(
            "moved, by several rules", ["--rewrite-uri", old + "=s3://bucket/mlruns", "--rewrite-uri", old + "/" + first + "=s3://other/first", "--rewrite-uri", "/data=s3://data"],
            lambda source: expected.relocated(source, moved), ["rewritten"],
        ),
        Case("moved below mlflow-artifacts:/, from a path", ["--rewrite-uri", "%s=mlflow-artifacts:/" % tree.path], lambda source: expected.relocated(source, served), ["rewritten"]),
        Case("renumbered", ["--renumber-experiments", "--id-map", ids], lambda source: expected.renumbered(source, id_map(ids)), ["permission"]),
        Case(
            "experiments renamed", ["--rename-experiment", first + "=首先", "--rename-experiment", "experiment-1=with=equals"],
            lambda source: expected.renamed_experiment(expected.renamed_experiment(source, first, "首先"), "experiment-1", "with=equals"),
        ),
        Case(
            "models renamed", ["--rename-model", "registered-0=first model", "--rename-model", "prompt-0=first prompt"],
            lambda source: expected.renamed_model(expected.renamed_model(source, "registered-0", "first model"), "prompt-0", "first prompt"),
        ),
        Case(
            "all of it together",
            ["--experiment", "experiment-0", "--experiment", "experiment-1", "--renumber-experiments=100", "--id-map", more_ids,
             "--rename-experiment", "experiment-1=the other one", "--rewrite-uri", old + "=mlflow-artifacts:/"],
            all_of_it, ["permission", "rewritten"],
        ),
    ]  # fmt: skip


def test_map(tap, tree, source, work):
    """Small ids in order, 0 stays 0; the map is good for the next stream."""
    ids = id_map(work / "ids.tsv")
    tap.ok(set(ids) == set(source["experiments"]), "the id map names every experiment", ids)
    numbers = sorted(int(new) for new in ids.values())
    tap.ok(numbers == list(range(len(ids))) and ids["0"] == "0", "the new ids are the smallest", numbers)
    again = work / "again.mlr"
    done = transform(["-q", "--renumber-experiments", "--use-id-map", work / "ids.tsv"], [tree.stream], again)
    plain = work / "case-renumbered.mlr"
    tap.ok(done.returncode == 0 and again.read_bytes() == plain.read_bytes(), "--use-id-map gives the same ids again", done.stderr)


def test_looks(tap, tree, source, work):
    """JSON and back, also through jq; the summary's numbers; the first records."""
    with open(tree.stream, "rb") as stream:
        lines = run([BIN / "ml-transform", "--json"], stdin=stream, encoding=None, errors=None).stdout
    for name, program in (("", ["cat"]), (", through jq", ["jq", "-c", "."])):
        text = run(program, input=lines, encoding=None, errors=None).stdout
        back = run([BIN / "ml-transform", "--from-json"], input=text, encoding=None, errors=None)
        tap.ok(back.stdout == tree.stream.read_bytes(), "JSON Lines and back are the same bytes%s" % name, back.stderr)
    records = [json.loads(line) for line in lines.decode().split("\n") if line]
    with open(tree.stream, "rb") as stream:
        text = tool("ml-transform", "--summary", stdin=stream).stdout
    found = {words[0]: words for words in (line.split() for line in text.splitlines()) if words}
    wrong = []
    for key, experiment in source["experiments"].items():
        counts = [str(sum(one["experiment_id"] == key for one in source[kind].values())) for kind in ("runs", "traces", "logged_models")]
        words = found.get(key, ["absent"] * 6)
        if [words[1], words[2], words[4], words[5]] != [experiment["lifecycle_stage"], *counts]:
            wrong.append("%s: %s, not %s" % (key, words, counts))
    tap.ok(not wrong and source["experiments"], "--summary counts what is in each experiment", *wrong)
    with open(tree.stream, "rb") as stream:
        head = run([BIN / "ml-transform", "--head", "100"], stdin=stream, encoding=None, errors=None).stdout
    head = run([BIN / "ml-transform", "--json"], input=head, encoding=None, errors=None).stdout.decode().split("\n")
    tap.ok([json.loads(line) for line in head[1:101]] == records[1:101], "--head keeps the first records")


IN_WORKSPACES = """
import os, sys
os.environ["MLFLOW_ENABLE_WORKSPACES"] = "true"
from mlflow.store.tracking.sqlalchemy_workspace_store import WorkspaceAwareSqlAlchemyStore
from mlflow.utils.workspace_context import WorkspaceContext
store = WorkspaceAwareSqlAlchemyStore(sys.argv[1], sys.argv[2])
for name in ("team", "default"):
    with WorkspaceContext(name):
        ids = [one.experiment_id for one in store.search_experiments(view_type=3, max_results=1000)]
        print(len(ids), sum(len(store.search_runs([one], None, 3, max_results=1000)) for one in ids))
"""


def test_workspace(tap, tree, source, work):
    """All of it in another workspace, as a store with workspaces sees it."""
    stream, url = work / "team.mlr", "sqlite:///%s" % (work / "team.db")
    done = transform(["--workspace", "team"], [tree.stream], stream)
    tap.ok(done.returncode == 0 and "--enable-workspaces" in done.stderr, "--workspace says what the server needs", done.stderr)
    with open(stream, "rb") as records:
        done = tool("ml-load", "-q", "--release", NEWEST, url, stdin=records)
    tap.ok(done.returncode == 0, "a workspace is loaded", done.stderr)
    done = run([python_of(NEWEST), "-c", IN_WORKSPACES, url, (work / "new").as_uri()], cwd=str(work))
    wanted = [str(len(source["experiments"])), str(len(source["runs"])), "0", "0"]
    tap.ok(done.stdout.split() == wanted, "MLflow finds all in that workspace and nothing in the default one", done.stdout, done.stderr[-3000:])


def test_fit(tap, tree, source, work):
    """What a target cannot hold is named before it is loaded; what fits comes out as it was."""
    out = work / "fit.mlr"
    done = transform(["--fit", "postgresql", "--release", NEWEST], [tree.stream], out)
    wide = sum(int(key) >= 2**31 for key in source["experiments"])
    said = "Experiments: experiment_id: %d do not fit" % wide in done.stderr and "the id does not fit the 32-bit columns" in done.stderr
    tap.ok(done.returncode == 2 and said and wide, "--fit postgresql names and counts experiments whose ids are too long", done.stderr)
    done = transform(["-q", "--fit", "sqlite", "--release", "2.22.5"], [tree.stream], out)
    named = any("Logged model %s: MLflow 2.22.5 has no table" % key in done.stderr for key in source["logged_models"])
    tap.ok(done.returncode == 2 and named, "--fit of an older release names what it has no table for", done.stderr)
    done = transform(["-q", "--fit", "sqlite", "--release", NEWEST], [tree.stream], out)
    tap.ok(done.returncode == 0 and out.read_bytes() == tree.stream.read_bytes(), "what fits is handed on unchanged", done.stderr)


# Several trees


def merges(work):
    ids = work / "merged.tsv"

    def renamed(*sources):
        return expected.merged(sources, joins=False)

    rename = ["--merge", "--on-conflict=rename", "--renumber-versions"]
    join = ["--merge", "--on-conflict=merge", "--renumber-versions"]
    return [
        Case("three versions merged, names of experiments changed", rename, renamed, ["experiment-0 (2)", "experiment-0 (3)"]),
        Case("three versions merged, experiments joined", join, lambda *sources: expected.merged(sources, joins=True)),
        Case(
            "merged and renumbered", [*rename, "--renumber-experiments", "--id-map", ids],
            lambda *sources: expected.renumbered(renamed(*sources), id_map(ids)),
        ),
    ]  # fmt: skip


def test_refused_merge(tap, trees, work):
    done = transform(["--merge"], [tree.stream for tree in trees], work / "refused.mlr")
    named = "experiment-0" in done.stderr or any(key_of(tree.source["experiments"], name="experiment-0") in done.stderr for tree in trees)
    tap.ok(done.returncode == 2 and named and "Default" not in done.stderr, "a merge that clashes is refused by name", done.stderr)
    tap.ok("--on-conflict" in done.stderr, "with the way out", done.stderr)


def check_server(case, sources, work):
    """`mlflow server` on a copy of the database, used as people do."""
    directory = work / "server"
    directory.mkdir()
    shutil.copy(case.database, directory / "mlflow.db")
    source = directory / "source.json"
    source.write_text(json.dumps(case.expect(*sources)), encoding="utf-8")
    return run(
        [python_of(NEWEST), HERE / "server_checks.py", "--url", "sqlite:///%s" % (directory / "mlflow.db"), "--source", source], cwd=str(directory)
    )


# Artifacts that were moved


class Artifacts:
    """A tree with artifacts, whose directory (with a blank in its name) was moved away after it was dumped."""

    def __init__(self, work):
        self.directory = work / "moved"  # MLflow finds no run below a directory named artifacts
        self.old = self.directory / "old place" / "mlruns"
        self.facts = self.directory / "facts.json"
        self.stream = self.directory / "a.mlr"
        self.reports = []

    def check(self, *words):
        return run([python_of(NEWEST), HERE / "artifact_checks.py", *words], cwd=str(self.directory))

    def make(self):
        self.old.parent.mkdir(parents=True)
        done = self.check("write", self.old, self.facts)
        if done.returncode:
            raise RuntimeError("a tree with artifacts: %s" % done.stderr[-3000:])
        with open(self.stream, "wb") as out:
            run([BIN / "mlruns-dump", "-q", self.old], stdout=out)
        for name in ("copied", "served"):
            shutil.copytree(self.old, self.directory / name / "mlruns")
        self.old.rename(self.directory / "gone")

    def database(self, name, options):
        moved = self.directory / (name + ".mlr")
        done = transform(["--strict-uri" if options else "-q", *options], [self.stream], moved)
        if done.returncode:
            raise RuntimeError("ml-transform %s: %s" % (options, done.stderr))
        url = "sqlite:///%s" % (self.directory / (name + ".db"))
        with open(moved, "rb") as source:
            done = tool("ml-load", "-q", "--release", NEWEST, url, stdin=source)
        if done.returncode:
            raise RuntimeError("ml-load: %s" % done.stderr)
        return url

    def use(self, servers):
        """All checks, one after the other; gives (name, finished process) pairs."""
        self.make()
        copied, served = self.directory / "copied" / "mlruns", self.directory / "served" / "mlruns"
        rule = "%s=%s" % (self.old.as_uri(), copied.as_uri())
        yield "not moved: ", self.check("lost", self.database("lost", []), self.facts)
        yield "artifacts copied: ", self.check("read", self.database("copied", ["--rewrite-uri", rule]), self.facts, copied)
        if servers:
            url = self.database("served", ["--rewrite-uri", "%s=mlflow-artifacts:/" % self.old])
            yield "served artifacts: ", self.check("serve", url, self.facts, served)


def main():
    parser = argparse.ArgumentParser(description="Transform what real MLflow wrote, and read it back with real MLflow.")
    parser.add_argument("--work", type=Path, help="work and leave everything here")
    parser.add_argument("--no-servers", action="store_true")
    arguments = parser.parse_args()
    with work_directory(arguments.work, "transform") as work:
        return test(work, not arguments.no_servers)


def test(work, servers):
    tap = Tap()
    with ThreadPoolExecutor(2) as pool:
        trees = list(pool.map(Tree.make, (Tree(version, number, work) for number, version in enumerate(MERGED, 1))))
        artifacts = pool.submit(lambda: list(Artifacts(work).use(servers)))
        sources = [tree.source for tree in trees]
        newest, source = trees[-1], sources[-1]
        merged = [case for case in merges(work) if case.prepare(tap, work, [tree.stream for tree in trees])]
        server = pool.submit(check_server, merged[0], sources, work) if servers and merged else None
        single = [case for case in selections(source) + changes(newest, source, work) if case.prepare(tap, work, [newest.stream])]
        words = [word for case in single + merged for word in (case.url, case.found)]
        done = run([python_of(NEWEST), HERE / "compare_stores.py", "read", *words], cwd=str(work))
        if tap.ok(done.returncode == 0, "MLflow reads the databases", done.stderr[-3000:]):
            for case in single:
                case.compare(tap, [source])
            for case in merged:
                case.compare(tap, sources)
        test_map(tap, newest, source, work)
        test_looks(tap, newest, source, work)
        test_workspace(tap, newest, source, work)
        test_fit(tap, newest, source, work)
        test_refused_merge(tap, trees, work)
        for name, done in [*artifacts.result(), *([("merged, served: ", server.result())] if server else [])]:
            tap.include(done.stdout, name)
            tap.ok(done.returncode in (0, 1), name + "the checks ran", done.stderr[-3000:])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
