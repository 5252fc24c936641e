#!/usr/bin/env python3
"""Every column of every kind of record: one value altered, one row deleted, one row added, and ml-verify must name it.

What there is to alter comes from formats/entities.def and from the database itself, so that a column that either of them
gains is tested without a change here."""

import json
import re
import shutil
import sqlite3
import sys
import tempfile
from pathlib import Path

import harness
from harness import ROOT, tool

VERSION = "3.17.2"

# Columns that MLflow's schema promotes: what the stream calls them.
PROMOTED = {
    "trace_name": ("Trace tag", "value"),
    "session_id": ("Trace metadata", "value"),
    **{
        name: ("Trace metadata", "value")
        for name in (
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
            "cache_creation_input_tokens_above_1hr",
            "input_cost",
            "output_cost",
            "total_cost",
        )
    },
}
# What stands for a column that has no field of its own, or none that is compared: the singular of the kind that fails.
ELSEWHERE = {
    ("dataset", "dataset_uuid"): "Input",  # a file store has no such id; what points to it does
    ("input", "input_uuid"): "Input tag",
    ("input", "source_id"): "Input",
    ("input_tag", "input_uuid"): "Input tag",
}
# Ids that a file store does not have and to which nothing points: any value is as good as another.
FREE = {("model_input", "input_uuid"), ("model_output", "input_uuid")}

SWAPS = {
    "lifecycle_stage": {"active": "deleted", "deleted": "active"},
    "status": {"FINISHED": "FAILED", None: "FINISHED", "RUNNING": "FINISHED", "FAILED": "KILLED", "KILLED": "FAILED"},
    "source_type": {"LOCAL": "NOTEBOOK", "HUMAN": "CODE", "CODE": "HUMAN", "DATASET": "DATASETX"},
}
JSON_COLUMNS = {("assessment", "value"), ("assessment", "error"), ("assessment", "assessment_metadata")}


class Kind:
    def __init__(self, name, singular, table):
        self.name, self.singular, self.table = name, singular, table
        self.fields = {}  # column -> field
        self.keys = set()  # columns
        self.consts = {}

    def condition(self):
        parts = ["%s = '%s'" % item for item in self.consts.items()]
        if self.name in ("prompt", "registered_model"):
            parts.append(
                "%s (SELECT name FROM registered_model_tags WHERE key = 'mlflow.prompt.is_prompt' AND value = 'true')"
                % ("name IN" if self.name == "prompt" else "name NOT IN")
            )
        return " AND ".join(parts) or "1"


def read_kinds():
    kinds = {}
    for line in (ROOT / "formats" / "entities.def").read_text().splitlines():
        found = re.match(r'KIND\((\w+), "[^"]*", "([^"]*)", "[^"]*", "(\w*)"', line)
        if found and found[3]:
            kinds[found[1]] = Kind(*found.groups())
        found = re.match(r'FIELD\((\w+), (\w+), \w+, ([^,]+), "(\w*)"', line)
        if found and found[1] in kinds and found[4]:
            kinds[found[1]].fields[found[4]] = found[2]
            if "K" in found[3].split(" | "):
                kinds[found[1]].keys.add(found[4])
        found = re.match(r'CONST\((\w+), "(\w*)", "(\w*)"', line)
        if found:
            kinds[found[1]].consts[found[2]] = found[3]
    return {name: kind for name, kind in kinds.items() if kind.table}


def altered(kind, column, declared, value):
    """Another value that the column's constraints allow."""
    if column in SWAPS and isinstance(SWAPS[column].get(value), str):
        return SWAPS[column][value]
    if (kind.name, column) in JSON_COLUMNS:
        return json.dumps({"altered": value}) if value is not None else '{"altered": 1}'
    if declared == "BOOLEAN":
        return 0 if value else 1
    if value is None:
        return 12345 if re.match("BIGINT|INTEGER|FLOAT", declared) else "altered"
    if isinstance(value, (int, float)):
        return value + 1000 if abs(value) < 1e300 else 1.5
    return value + "x"


class Target:
    """A database to be damaged, recreated from a good one each time."""

    def __init__(self, directory, good, stream):
        self.good, self.path, self.stream = good, directory / "target.db", stream

    def edit(self, statements):
        shutil.copy(self.good, self.path)
        connection = sqlite3.connect(self.path)
        for sql, values in statements:
            changed = connection.execute(sql, values).rowcount
            assert changed == 1, (sql, values, changed)
        connection.commit()
        connection.close()

    def verify(self, *options):
        with open(self.stream, "rb") as stream:
            return tool("ml-verify", "-q", *options, "sqlite:///%s" % self.path, stdin=stream)


def failures(report):
    """{name of the entity: [lines]}"""
    found = {}
    for block in report.split("\n\n"):
        lines = block.splitlines()
        if lines and lines[0].startswith("FAILED: "):
            found.setdefault(lines[0][8:], []).extend(lines[1:])
    return found


def named(report, singular, pattern):
    return any(
        name.startswith(singular + " ") and any(re.search(pattern, line) for line in lines)
        for name, lines in failures(report).items()
    )


def columns_of(connection, table):
    return [(row[1], row[2]) for row in connection.execute("PRAGMA table_xinfo(%s)" % table) if row[6] == 0]


def pick_row(connection, kind, column=None):
    """A row of the kind, one that has a value in the column if there is any."""
    order = "x.%s IS NULL, x.rowid" % column if column else "x.rowid"
    if kind.name == "input" and column == "input_uuid":  # with tags, which show where it points
        order = "x.input_uuid NOT IN (SELECT input_uuid FROM input_tags), x.rowid"
    if kind.name == "dataset":  # one that is used
        order = "x.dataset_uuid NOT IN (SELECT source_id FROM inputs), x.rowid"
    if column == "status":
        order = "x.status IN ('SCHEDULED'), x.rowid"
    sql = 'SELECT x.rowid, x.* FROM "%s" x WHERE %s ORDER BY %s LIMIT 1' % (kind.table, kind.condition(), order)
    row = connection.execute(sql).fetchone()
    names = [name for name, _ in columns_of(connection, kind.table)]
    return None if row is None else (row[0], dict(zip(names, row[1:])))


def expected(kind, column):
    """(singular, pattern of the line) that an altered column must lead to."""
    if kind.name == "trace" and column in PROMOTED:
        singular, field = PROMOTED[column]
        return singular, "Field '%s'|missing in target|not in source" % field
    if (kind.name, column) in ELSEWHERE:
        return ELSEWHERE[kind.name, column], "missing in target"
    if column in kind.keys and not (kind.name == "metric" and column == "value"):
        return kind.singular, "missing in target"
    if column in kind.consts:
        return kind.singular, "missing in target"
    field = "value" if column == "is_nan" else kind.fields.get(column, column)
    return kind.singular, "Field '(%s|%s)': source=" % (field, column)


def alter_columns(tap, connection, target, kind):
    for column, declared in columns_of(connection, kind.table):
        found = pick_row(connection, kind, column)
        if found is None:
            return tap.ok(False, "%s: the tree has one" % kind.name)
        rowid, row = found
        value = altered(kind, column, declared, row[column])
        target.edit([('UPDATE "%s" SET "%s" = ? WHERE rowid = ?' % (kind.table, column), (value, rowid))])
        done = target.verify()
        name = "%s: %s.%s altered" % (kind.name, kind.table, column)
        if (kind.name, column) in FREE:
            tap.ok(done.returncode == 0, name + " is as good", done.stdout, done.stderr)
            continue
        singular, pattern = expected(kind, column)
        tap.ok(
            done.returncode == 1 and "Status: FAILED" in done.stdout and named(done.stdout, singular, pattern),
            name + " is named",
            "%r -> %r" % (row[column], value),
            done.stdout,
            done.stderr,
        )


def delete_row(tap, connection, target, kind):
    rowid, _ = pick_row(connection, kind)
    target.edit([('DELETE FROM "%s" WHERE rowid = ?' % kind.table, (rowid,))])
    done = target.verify()
    tap.ok(
        done.returncode == 1 and named(done.stdout, kind.singular, "missing in target"),
        "%s: a deleted row is missing" % kind.name,
        done.stdout,
        done.stderr,
    )


# The column in which an added row differs from the one it copies.
NEW_KEY = {
    "experiment": {"experiment_id": 77, "name": "added"},
    "dataset": {"digest": "added", "dataset_uuid": "added"},
    "input": {"source_id": None, "input_uuid": "added"},
    "metric": {"step": 987654},
    "logged_model_metric": {"metric_step": 987654},
    "model_version": {"version": 987654},
    "prompt": {"name": "added"},
    "registered_model": {"name": "added"},
    "registered_model_alias": {"alias": "added"},
    "model_input": {"destination_id": "added"},
    "model_output": {"destination_id": "added"},
    "logged_model_param": {"param_key": "added"},
    "logged_model_tag": {"tag_key": "added"},
    "input_tag": {"name": "added"},
}


def add_row(tap, connection, target, kind):
    _, row = pick_row(connection, kind)
    changes = NEW_KEY.get(kind.name) or {"key" if "key" in row else min(kind.keys): "added"}
    if kind.name == "input":  # another dataset, used by the same run
        used = "SELECT dataset_uuid FROM datasets WHERE dataset_uuid NOT IN (SELECT source_id FROM inputs WHERE destination_id = ?)"
        changes["source_id"] = connection.execute(used, (row["destination_id"],)).fetchone()[0]
    row = {**row, **changes}
    sql = 'INSERT INTO "%s" (%s) VALUES (%s)'
    insert = sql % (kind.table, ", ".join('"%s"' % name for name in row), ", ".join("?" * len(row)))
    statements = [(insert, tuple(row.values()))]
    if kind.name == "prompt":
        tag = "INSERT INTO registered_model_tags (name, key, value) VALUES (?, 'mlflow.prompt.is_prompt', 'true')"
        statements.append((tag, (row["name"],)))
    target.edit(statements)
    done = target.verify()
    tap.ok(
        done.returncode == 1 and named(done.stdout, kind.singular, "not in source"),
        "%s: an added row is not in the source" % kind.name,
        done.stdout,
        done.stderr,
    )


def alter_ids(tap, connection, target, kinds):
    """Against the dump of a database, which has the ids that a file store lacks, each of them counts."""
    for name, column, field in (
        ("dataset", "dataset_uuid", "dataset_id"),
        ("input", "input_uuid", "input_id"),
        ("model_input", "input_uuid", "input_id"),
        ("model_output", "input_uuid", "input_id"),
        ("logged_model_metric", "dataset_uuid", "dataset_id"),
    ):
        kind = kinds[name]
        rowid, row = pick_row(connection, kind, column)
        target.edit([('UPDATE "%s" SET "%s" = ? WHERE rowid = ?' % (kind.table, column), (row[column] + "x", rowid))])
        done = target.verify()
        tap.ok(
            done.returncode == 1 and named(done.stdout, kind.singular, "Field '%s': source=%s" % (field, row[column])),
            "%s: %s altered is named, where the source has it" % (name, column),
            done.stdout,
            done.stderr,
        )


def check_json(tap, target):
    done = target.verify("--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    text = target.verify()
    names = [line["name"] for line in lines[:-1]]
    wanted = [line[8:] for line in text.stdout.splitlines() if line.startswith("FAILED: ")]
    tap.ok(names == wanted and len(names) > 0, "--json has an object for each failure of the report", names, wanted)
    tap.ok(
        lines[-1]["status"] == "FAILED" and lines[-1]["failures"] == len(names) and done.returncode == 1,
        "--json ends with the summary",
        lines[-1],
    )
    cut = target.verify("--max-failures", "1")
    shown = [line for line in cut.stdout.splitlines() if line.startswith("FAILED: ")]
    tap.ok(
        len(shown) == min(1, len(wanted)) and cut.returncode == 1,
        "--max-failures 1 shows one",
        cut.stdout,
    )


def main():
    tap = harness.Tap()
    with tempfile.TemporaryDirectory(prefix="verify-table.") as name:
        directory = Path(name)
        tree, good, stream = directory / "mlruns", directory / "good.db", directory / "stream.mlr"
        generate = [ROOT / "tests" / "mlflow" / "generate_fixtures.py", "--output", tree, "--size", "small"]
        made = harness.run([harness.python_of(VERSION), *generate])
        with open(stream, "wb") as out:
            tool("mlruns-dump", "-q", tree, stdout=out)
        with open(stream, "rb") as source:
            loaded = tool("ml-load", "-q", "--release", VERSION, "sqlite:///%s" % good, stdin=source)
        tap.ok(loaded.returncode == 0, "a tree of MLflow %s is loaded" % VERSION, made.stderr, loaded.stderr)
        target = Target(directory, good, stream)
        target.edit([])
        done = target.verify()
        tap.ok(done.returncode == 0 and "Status: SUCCESS" in done.stdout, "it verifies", done.stdout, done.stderr)
        connection = sqlite3.connect(good)
        for kind in read_kinds().values():
            alter_columns(tap, connection, target, kind)
            delete_row(tap, connection, target, kind)
            add_row(tap, connection, target, kind)
        from_database = directory / "database.mlr"
        with open(from_database, "wb") as out:
            tool("mldb-dump", "-q", "sqlite:///%s" % good, stdout=out)
        alter_ids(tap, connection, Target(directory, good, from_database), read_kinds())
        target.edit([("UPDATE runs SET end_time = 1, name = 'x' WHERE rowid = 1", ())])
        check_json(tap, target)
        connection.close()
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
