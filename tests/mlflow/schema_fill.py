"""Fills every table of a database, whatever its revision, with rows that an upgrade must carry over: boundary values, NULLs,
any script, and what each data migration acts on. Works on what it finds (by reflection), through the plain DBAPI.

The rows are those that MLflow's own upgrade survives; the ones that it does not are in the tests that want them.
"""

import json

ROWS = 4
TEXTS = ["", "plain 'quoted' \"text\"", "混合 текст 🙂 e\u0301", "x"]


class Filler:
    def __init__(self, engine):
        import sqlalchemy

        self.engine = engine
        self.sqlite = engine.dialect.name == "sqlite"
        self.inspector = sqlalchemy.inspect(engine)
        self.tables = {t: self.inspector.get_columns(t) for t in self.inspector.get_table_names() if t != "alembic_version"}
        self.rows = {}

    # -- values

    def text(self, table, column, length, i, unique):
        key = f"{table[:3]}{i}"
        if unique or "id" in column.split("_"):
            return (f"{column}-{key}-é" if length and length > 40 else f"{key}{column}")[: length or None]
        if i == 3 and length:
            return ("ü" * length)[:length]
        return TEXTS[i % len(TEXTS)][: length or None]

    SPECIAL = {
        ("experiments", "lifecycle_stage"): ["active", "deleted", None, "active"],
        ("runs", "lifecycle_stage"): ["active", "deleted", None, "active"],
        ("logged_models", "lifecycle_stage"): ["active", "deleted", None, "active"],
        ("runs", "source_type"): ["NOTEBOOK", "JOB", None, "PROJECT"],
        ("runs", "status"): ["SCHEDULED", "FAILED", None, "RUNNING"],
        ("runs", "user_id"): ["someone", "", None, "ü" * 250],
        ("jobs", "status"): [0, 1, 2, 3],
        ("assessments", "value"): ['"yes"', "true", "0.5", '{"a": 1}'],
        ("issues", "categories"): ['["Ab", " ab ", "Straße", "ΑΣ"]', "[]", None, '{"x": 1, "Y": 2}'],
        ("workspaces", "name"): ["w0", "w1", "w2", "w3"],
    }

    def value(self, table, column, i, unique):
        import sqlalchemy.types as types

        name, kind = column["name"], column["type"]
        if (table, name) in self.SPECIAL:
            return self.SPECIAL[table, name][i % 4]
        if column["nullable"] and not unique and i == 2:
            return None
        if isinstance(kind, types.Boolean):
            return bool(i % 2)
        if isinstance(kind, types.JSON):
            if name == "dimension_attributes":
                return ['{"mlflow.llm.model": "m%d"}' % i, "null", None, '{"mlflow.llm.provider": null}'][i % 4]
            return json.dumps({"k": [i, None, "ü"], "b": 1e300})
        if isinstance(kind, types.LargeBinary):
            return bytes([0, i, 255])
        if isinstance(kind, types.Date):
            return f"2026-01-0{i + 1}"
        if isinstance(kind, types.BigInteger):
            return i + 1 if unique else [0, 9223372036854775807, -1, 1700000000000][i % 4]
        if isinstance(kind, types.Integer):
            return i + 1 if unique else [0, 2147483647, -2147483648, 7][i % 4]
        if isinstance(kind, types.Float | types.Numeric):
            return [0.1, -1.7976931348623157e308, 5e-324, 3.0][i % 4]
        if isinstance(kind, types.String):
            return self.text(table, name, kind.length, i, unique)
        raise TypeError(f"{table}.{name}: {kind!r}")

    # -- rows

    def keys(self, table):
        unique = set(self.inspector.get_pk_constraint(table)["constrained_columns"])
        for c in self.inspector.get_unique_constraints(table):
            unique.update(c["column_names"])
        for index in self.inspector.get_indexes(table):
            if index["unique"]:
                unique.update(index["column_names"])
        return unique

    def row(self, table, i):
        unique = self.keys(table)
        row = {
            c["name"]: self.value(table, c, i, c["name"] in unique)
            for c in self.tables[table]
            if "computed" not in c and not (c["name"] == "workspace")
        }
        for key in self.inspector.get_foreign_keys(table):
            parents = self.rows.get(key["referred_table"])
            if parents:
                parent = parents[i % len(parents)]
                for here, there in zip(key["constrained_columns"], key["referred_columns"]):
                    if there in parent:
                        row[here] = parent[there]
        return row

    def insert(self, cursor, table, row):
        mark = "?" if self.sqlite else "%s"
        columns = ", ".join(f'"{c}"' for c in row)
        cursor.execute(
            f'INSERT INTO "{table}" ({columns}) VALUES ({", ".join([mark] * len(row))})', tuple(row.values())
        )

    def add(self, cursor, table, **row):
        """A row of a test's own, where the table and its columns are there."""
        if table in self.tables:
            names = {c["name"] for c in self.tables[table]}
            self.insert(cursor, table, {k: v for k, v in row.items() if k in names})

    def ordered(self):
        left, done = dict.fromkeys(sorted(self.tables)), []
        while left:
            for table in left:
                parents = {k["referred_table"] for k in self.inspector.get_foreign_keys(table)}
                if not parents & (set(left) - {table}):
                    break
            done.append(table)
            del left[table]
        return done

    def fill(self):
        connection = self.engine.raw_connection()
        try:
            cursor = connection.cursor()
            for table in self.ordered():
                self.rows[table] = []
                if table in ("latest_metrics", "issue_categories"):
                    continue  # derived
                for i in range(ROWS):
                    row = self.row(table, i)
                    self.insert(cursor, table, row)
                    self.rows[table].append(row)
            self.add_special(cursor)
            connection.commit()
        finally:
            connection.close()
        return self

    # -- what the data migrations act on

    def add_special(self, cursor):
        run, experiment = "special", 4
        self.add(cursor, "runs", run_uuid=run, experiment_id=experiment, status="FINISHED", user_id="u")
        for key, value, timestamp, step, is_nan in [
            ("a", 1.0, 1, 0, False),
            ("a", 2.0, 1, 1, False),
            ("a", 0.5, 2, 1, False),
            ("b", 1.0, 5, -3, False),
            ("b", 7.0, 4, -3, False),
            ("c", 1.0, 5, 1, False),
            ("c", 3.0, 5, 1, False),
            ("d", 0.0, 5, 1, True),
            ("e", 1.7976931348623157e308, 1, 0, False),
            # Numbers that a double does not distinguish.
            ("f", 2.0, 9, 2**53, False),
            ("f", 1.0, 1, 2**53 + 1, False),
            ("g", 2.0, 2**62, 1, False),
            ("g", 1.0, 2**62 + 1, 1, False),
            ("h", 2.0, 1, -(2**63), False),
            ("h", 1.0, 2**63 - 1, -(2**63) + 1, False),
            ("i", 1.0, -(2**63), 2**63 - 1, False),
        ]:
            if "step" not in {c["name"] for c in self.tables["metrics"]}:
                if key > "e":
                    continue
                timestamp += 10 * step  # before steps, key and timestamp were all of a point's identity
            point = dict(run_uuid=run, key=key, value=value, timestamp=timestamp, step=step, is_nan=is_nan)
            try:
                if "is_nan" in {c["name"] for c in self.tables["metrics"]} or key not in "cd":
                    self.add(cursor, "metrics", **point)
            finally:
                pass
        self.add_traces(cursor)
        for status in (0, 1, 5):
            self.add(
                cursor, "jobs", id=f"j{status}", creation_time=1, function_fullname="f", job_name="f", params="{}",
                status=status, retry_count=0, last_update_time=3,
            )  # fmt: skip
        for number, text in enumerate(['["a","A"]', '"abA"', '["İ", "ΣΑΣ", "\\u2003x\\u3000", "\\ud83d\\ude00"]', '{"k":1,"K":2,"k":3}']):
            self.add(
                cursor, "issues", issue_id=f"i{number}", experiment_id=experiment, name="n", description="d", status="s",
                categories=text, created_timestamp=number, last_updated_timestamp=9,
            )  # fmt: skip

    USAGES = [
        '{"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}',
        '{"input_tokens": " 12 ", "output_tokens": "1_000", "total_tokens": "+5", "cache_read_input_tokens": "5."}',
        '{"input_tokens": ".5e1", "output_tokens": "12.000", "total_tokens": "1e2", "cache_read_input_tokens": "１２"}',
        '{"input_tokens": "0x10", "output_tokens": "NaN", "total_tokens": NaN, "cache_read_input_tokens": true}',
        '{"input_tokens": 9.007199254740993e18, "output_tokens": 9223372036854775807, "total_tokens": 9223372036854775808}',
        '{"input_tokens": 1.5, "output_tokens": 2.0, "total_tokens": -0.0, "input_tokens": 7, "x": {"y": [1]}}',
        '{"input_tokens": [1], "output_tokens": {}, "total_tokens": null, "cache_creation_input_tokens": -9223372036854775808}',
        "[1, 2]",
        "not json",
        '\ufeff{"input_tokens": 1}',
        '{"input_tokens": 1,}',
        None,
    ]
    COSTS = [
        '{"input_cost": 0.25, "output_cost": 1, "total_cost": 1.25}',
        '{"input_cost": " 1_0.5 ", "output_cost": "1__0", "total_cost": "１.５"}',
        '{"input_cost": Infinity, "output_cost": NaN, "total_cost": "-inf"}',
        '{"input_cost": true, "output_cost": "x", "total_cost": 1e400}',
        '{"input_cost": "1e3", "output_cost": "_1", "total_cost": ".5"}',
        '{"input_cost": 123456789012345678901234567890, "output_cost": null, "total_cost": {}}',
        "7",
        "",
        None,
    ]
    VALUES = [
        "true", "false", "1", "-2.5", "1e400", "NaN", '"YES"', '" no\\u2003"', "yes", " No ", '"maybe"', "null", "[1]",
        '{"a": 1}', "", "123456789012345678901234567890", '"1"', "Infinity", "True", "\u2003yes",
    ]  # fmt: skip

    def add_traces(self, cursor):
        if "trace_info" not in self.tables:
            return
        promoted = {c["name"] for c in self.tables["trace_info"]} >= {"trace_name"}
        for i in range(len(self.USAGES)):
            trace = f"tr-{i}"
            self.add(cursor, "trace_info", request_id=trace, experiment_id=4, timestamp_ms=i, status="OK")
            names = [None, "", "name", "é" * 5000]
            tags = {"mlflow.traceName": names[i % 4], "other": "kept"}
            metadata = {
                "mlflow.trace.session": [None, "", "s" * 300, "ß" * 251][i % 4],
                "mlflow.trace.tokenUsage": self.USAGES[i],
                "mlflow.trace.cost": self.COSTS[i % len(self.COSTS)],
                "mlflow.gateway.endpointId": None if i % 2 else "e",
                "kept": "kept",
            }
            if promoted:
                tags = metadata = {"kept": "kept"}
            for key, value in tags.items():
                self.add(cursor, "trace_tags", request_id=trace, key=key, value=value)
            for key, value in metadata.items():
                self.add(cursor, "trace_request_metadata", request_id=trace, key=key, value=value)
            metrics = {"input_tokens": [3.0, 1.5, None, 1e19][i % 4]} if i % 3 == 0 else {}
            for key, value in {} if promoted else {**metrics, "own": 2.5}.items():
                self.add(cursor, "trace_metrics", request_id=trace, key=key, value=value)
            for k in range(2):
                span = f"s{k}"
                dimensions = [
                    None,
                    "null",
                    "{}",
                    '{"mlflow.llm.model": "gpt", "mlflow.llm.provider": "p"}',
                    '"{\\"mlflow.llm.model\\": \\"twice\\"}"',
                    json.dumps({"mlflow.llm.model": "😀" * 600, "mlflow.llm.provider": None}),
                    '{"mlflow.llm.model": "first", "mlflow.llm.model": "last"}',
                ]
                self.add(
                    cursor, "spans", trace_id=trace, experiment_id=4, span_id=span, status="OK", content="{}",
                    start_time_unix_nano=1, end_time_unix_nano=k or None,
                    dimension_attributes=dimensions[(2 * i + k) % len(dimensions)],
                )  # fmt: skip
                costs = {"input_cost": 0.1, "output_cost": 0.2, "total_cost": 0.1 + 0.2} if k == 0 or i % 3 else {}
                for key, value in {} if promoted else {**costs, "own": 2.5}.items():
                    self.add(cursor, "span_metrics", trace_id=trace, span_id=span, key=key, value=value)
        for i, value in enumerate(self.VALUES):
            self.add(
                cursor, "assessments", assessment_id=f"a-{i}", trace_id=f"tr-{i % 5}", name="n", assessment_type="feedback",
                value=value, created_timestamp=1, last_updated_timestamp=1, source_type="HUMAN", valid=True,
            )  # fmt: skip


def content(engine):
    """All rows of all tables, as text that shows the types: {table: sorted rows}."""
    import sqlalchemy

    inspector = sqlalchemy.inspect(engine)
    connection = engine.raw_connection()
    tables = {}
    try:
        cursor = connection.cursor()
        for table in inspector.get_table_names():
            columns = ", ".join(f'"{c["name"]}"' for c in inspector.get_columns(table))
            if engine.dialect.name == "postgresql":
                columns = ", ".join(
                    f'"{c["name"]}"::text' if "JSON" in str(c["type"]) else f'"{c["name"]}"'
                    for c in inspector.get_columns(table)
                )
            cursor.execute(f'SELECT {columns} FROM "{table}"')
            names = [d[0] for d in cursor.description]
            tables[table] = sorted(
                repr({n: bytes(v) if isinstance(v, memoryview) else v for n, v in zip(names, row)})
                for row in cursor.fetchall()
            )
    finally:
        connection.close()
    return tables
