#!/usr/bin/env python3
"""Puts two rows into every table of an MLflow database (SQLite) that is not of the kinds of a file store, with values by the
columns' declared types; what they refer to exists.

    fill_tables.py DATABASE
"""

import sqlite3
import sys

KINDS = (
    "experiments experiment_tags runs params metrics latest_metrics tags datasets inputs input_tags trace_info trace_tags"
    " trace_request_metadata assessments logged_models logged_model_params logged_model_tags logged_model_metrics"
    " registered_models registered_model_tags model_versions model_version_tags registered_model_aliases alembic_version"
).split()


def value(declared, i):
    """Keys are text, the same in every table: so they refer to each other."""
    if declared.startswith(("VARCHAR", "TEXT")):
        return "text %d ü" % i
    if declared == "BIGINT":
        return 2**53 + 1 + i
    return {
        "JSON": '{"a": [%d, 1.50, null]}' % i,
        "FLOAT": i + 0.25,
        "BOOLEAN": i,
        "BLOB": b"\x00\xff%d" % i,
        "DATE": "2024-01-0%d" % (i + 1),
    }.get(declared, 7 + i)


def main():
    db = sqlite3.connect(sys.argv[1])
    known = {
        "experiment_id": "SELECT experiment_id FROM runs",
        "source_run_id": "SELECT run_uuid FROM runs",
        "trace_id": "SELECT request_id FROM trace_info",
        "request_id": "SELECT request_id FROM trace_info",
        "workspace": "SELECT 'default'",
    }
    known = {name: db.execute(sql).fetchone()[0] for name, sql in known.items()}
    for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        if table in KINDS:
            continue
        columns = [row for row in db.execute('PRAGMA table_xinfo("%s")' % table) if not row[6]]
        for i in range(2):
            row = {name: known.get(name, value(declared, i)) for _, name, declared, *_ in columns}
            if table == "evaluation_dataset_records":
                row["outputs"] = str(5 + i)  # SQLite makes a number of it
            names = ", ".join('"%s"' % name for name in row)
            db.execute('INSERT INTO "%s" (%s) VALUES (%s)' % (table, names, ", ".join("?" * len(row))), list(row.values()))
    db.commit()


if __name__ == "__main__":
    main()
