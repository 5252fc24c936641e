"""The structure of a database as a set of lines, for comparing what two programs made.

Names, types, defaults, nullability, generated columns, keys, unique and check constraints, indexes with their order and
conditions, triggers, functions, sequences: all that a database knows, in a form that does not depend on the layout of its
CREATE statements.
"""

import re
import sqlite3


def normal_sql(text):
    """One space between words and none of the quotes and brackets that only the writer's taste put there."""
    words = re.findall(r"'(?:[^']|'')*'|\"[^\"]*\"|\w+|[^\w\s]+?", text)
    return " ".join(w.strip('"') for w in words)


def split_definitions(sql):
    """The parts between the outer brackets of a CREATE TABLE, split at its commas."""
    body = sql[sql.index("(") + 1 : sql.rindex(")")]
    parts, depth, quote, start = [], 0, None, 0
    for i, c in enumerate(body):
        if quote:
            quote = None if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(body[start:i])
            start = i + 1
    return [p.strip() for p in [*parts, body[start:]]]


def sqlite_constraints(sql):
    """Named and unnamed table constraints as SQLite keeps them: in the text of the statement alone."""
    for part in split_definitions(sql):
        match = re.match(r'(?is)(?:CONSTRAINT\s+"?(\w+)"?\s+)?(PRIMARY KEY|UNIQUE|CHECK|FOREIGN KEY)\b(.*)', part)
        if match:
            body = normal_sql(match[3])
            if match[2].upper() == "FOREIGN KEY":
                body = body.split(" ON ")[0]  # the actions come from foreign_key_list, in one order
            yield f"{match[2].upper()} name={match[1]} {body}"
        elif re.search(r"(?i)\b(PRIMARY KEY|UNIQUE|CHECK|REFERENCES)\b", re.sub(r"'[^']*'", "", part)):
            yield f"inline constraint: {normal_sql(part)}"


def sqlite_columns(connection, table):
    for cid, name, kind, notnull, default, pk, hidden in connection.execute(f'PRAGMA table_xinfo("{table}")'):
        yield f"column {cid} {name} {kind.upper()} notnull={notnull} default={default} pk={pk} hidden={hidden}"
    sql = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
    for part in split_definitions(sql):
        match = re.search(r"(?is)\bGENERATED ALWAYS AS\b(.*)", part)
        if match:
            yield f"generated {part.split()[0]} {normal_sql(match[1])}"


def sqlite_indexes(connection, table):
    for _, name, unique, origin, partial in connection.execute(f'PRAGMA index_list("{table}")').fetchall():
        columns = [
            f"{column}{' DESC' if desc else ''} {collation}"
            for _, _, column, desc, collation, key in connection.execute(f'PRAGMA index_xinfo("{name}")')
            if key
        ]
        shown = "auto" if name.startswith("sqlite_autoindex_") else name
        yield f"index {shown} unique={unique} origin={origin} partial={partial} {columns}"


def sqlite_foreign_keys(connection, table):
    keys = {}
    for number, _, target, source, to, update, delete, match in connection.execute(f'PRAGMA foreign_key_list("{table}")'):
        keys.setdefault((number, target, update, delete, match), []).append((source, to))
    for (_, *rest), columns in keys.items():
        yield f"references {rest} {columns}"


def sqlite_structure(path):
    """A set of lines `table: fact` for all of a SQLite file."""
    lines = set()
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        objects = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        for kind, name, table, sql in objects:
            if kind == "table" and not name.startswith("sqlite_"):
                for fact in (sqlite_columns, sqlite_indexes, sqlite_foreign_keys):
                    lines.update(f"{name}: {line}" for line in fact(connection, name))
                lines.update(f"{name}: {line}" for line in sqlite_constraints(sql))
            elif kind in ("trigger", "view"):
                lines.add(f"{table}: {kind} {name} {normal_sql(sql)}")
        version = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
        lines.add(f"revision {version}")
        violations = connection.execute("PRAGMA foreign_key_check").fetchall()
        lines.add(f"foreign key violations: {violations}")
        lines.add(f"integrity: {connection.execute('PRAGMA integrity_check').fetchone()[0]}")
    finally:
        connection.close()
    return lines


POSTGRES_QUERIES = {
    "column": """
        SELECT c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
               format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               pg_get_expr(d.adbin, d.adrelid), a.attcollation
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relkind = 'r' AND c.relnamespace = quote_ident(current_schema())::regnamespace""",
    "constraint": """
        SELECT conrelid::regclass::text, conname, contype, convalidated, condeferrable, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = quote_ident(current_schema())::regnamespace""",
    "index": """
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()""",
    "trigger": """
        SELECT tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT tgisinternal AND c.relnamespace = quote_ident(current_schema())::regnamespace""",
    "function": """
        SELECT proname, regexp_replace(prosrc, '\\s+', ' ', 'g'), prolang, provolatile, prorettype::regtype::text
        FROM pg_proc WHERE pronamespace = quote_ident(current_schema())::regnamespace""",
    "sequence": """
        SELECT sequencename, data_type::text, start_value, min_value, max_value, increment_by, cycle
        FROM pg_sequences WHERE schemaname = current_schema()""",
    "revision": "SELECT 'alembic_version', version_num FROM alembic_version",
}


def postgres_structure(cursor):
    """The same for the current schema of a PostgreSQL database; cursor is a psycopg2 cursor."""
    lines = set()
    for what, query in POSTGRES_QUERIES.items():
        cursor.execute(query)
        lines.update(f"{row[0]}: {what} {' | '.join(str(v).strip() for v in row[1:])}" for row in cursor.fetchall())
    return lines


def differences(ours, theirs):
    """What only one of them has, as lines to be shown."""
    return sorted([f"only ours:   {line}" for line in ours - theirs] + [f"only MLflow: {line}" for line in theirs - ours])
