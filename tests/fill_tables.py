#!/usr/bin/env python3
"""fill_tables.py FILE.db: puts two rows into every table of an MLflow database (SQLite) that is still empty: values by
declared type, foreign keys to rows that are there, columns of one name holding one value throughout."""

import sqlite3
import sys


def value(declared, i):
    if declared.startswith(("VARCHAR", "TEXT")):
        return "t%d ü" % i
    if declared == "JSON":
        return '{"a": [%d, 1.5, null], "ü": "%s"}' % (i, "é")
    if declared.startswith("FLOAT"):
        return i + 0.25
    if declared == "BOOLEAN":
        return i
    if declared == "BLOB":
        return b"\x00\xff%d" % i
    if declared == "DATE":
        return ["1999-12-31", "2024-02-29"][i]
    return [7, 2**31 - 1][i] if declared == "INTEGER" else [-1, 2**62][i]


def parents(db, table):
    """Column -> (parent table, its column)."""
    keys = db.execute("PRAGMA foreign_key_list(%s)" % table).fetchall()
    return {column: (parent, to) for _, _, parent, column, to, *_ in keys}


def fill(db, table, done):
    if table in done:
        return
    done.add(table)
    references = parents(db, table)
    for parent, _ in references.values():
        if parent != table:
            fill(db, parent, done)
    if db.execute("SELECT count(*) FROM %s" % table).fetchone()[0] and table != "workspaces":
        return
    for i in range(2):
        row = {}
        for _, name, declared, _, _, _, hidden in db.execute("PRAGMA table_xinfo(%s)" % table).fetchall():
            if hidden:
                continue
            row[name] = value(declared, i)
            if name in references:
                parent, to = references[name]
                found = db.execute("SELECT %s FROM %s ORDER BY rowid DESC" % (to, parent)).fetchall()
                row[name] = found[i % len(found)][0]
        marks = ", ".join("?" * len(row))
        db.execute("INSERT OR IGNORE INTO %s (%s) VALUES (%s)" % (table, ", ".join(row), marks), list(row.values()))


def main():
    db = sqlite3.connect(sys.argv[1])
    done = {"alembic_version"}
    for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'").fetchall():
        fill(db, table, done)
    db.commit()
    print(db.execute("PRAGMA foreign_key_check").fetchall() or "", end="")


main()
