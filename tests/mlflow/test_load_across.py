#!/usr/bin/env python3
"""Databases of MLflow 3.16, with traces that it logged itself, into 3.17: what mldb-dump | ml-load makes of one is what
`ml-schema upgrade` and `mlflow db upgrade` make of it, on SQLite and PostgreSQL; ml-verify agrees; and the way back is
refused by name."""

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema_oracle as oracle  # noqa: E402

NEW, OLD, OLD_ORDER = "3.17.2", "3.16.1", 65
oracle.use_mlflow(NEW)
from schema_fill import Filler, content  # noqa: E402

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
tap = oracle.Tap()
BIN = oracle.BUILD / "bin"
PYTHON = {OLD: oracle.setup("venv", OLD), NEW: sys.executable}
ENVIRONMENT = {
    **{n: v for n, v in os.environ.items() if not n.startswith(("MLFLOW_", "SCHEMA_ORACLE"))},
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet", "PYTHONWARNINGS": "ignore",
}  # fmt: skip

WRITE = """
import sys, mlflow
from mlflow.entities import SpanType
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("traced")
mlflow.genai.register_prompt(name="greeting", template="Say hello to {{name}}.")
for i in range(3):
    with mlflow.start_span("answer", span_type=SpanType.AGENT) as root:
        root.set_inputs({"question": "q%d" % i})
        mlflow.update_current_trace(tags={"team": "a"}, metadata={"mlflow.trace.session": "session-%d" % (i % 2)})
        if i == 1:
            mlflow.update_current_trace(metadata={"mlflow.gateway.endpointId": "e-1"})
            mlflow.genai.load_prompt("prompts:/greeting/1").format(name="you")
        for k in range(2):
            with mlflow.start_span("call %d" % k, span_type=SpanType.CHAT_MODEL) as span:
                span.set_attribute("mlflow.llm.model", "gpt-4o-mini")
                span.set_attribute("mlflow.llm.provider", "openai")
                span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 10 + i, "output_tokens": 5 + k, "total_tokens": 15 + i + k})
                span.set_outputs({"choice": "a%d" % k})
    trace = mlflow.get_last_active_trace_id()
    mlflow.log_feedback(trace_id=trace, name="good", value=[True, 0.5, "yes"][i])
with mlflow.start_run():
    mlflow.log_param("p", 1)
    mlflow.log_metric("m", 0.5)
"""

# A trace of the gateway whose cost is that of its spans alone.
FORGET_COST = "DELETE FROM trace_request_metadata WHERE key = 'mlflow.trace.cost' AND request_id IN (SELECT request_id FROM trace_request_metadata WHERE key = 'mlflow.gateway.endpointId')"


def mlflow(version, *words):
    done = subprocess.run([PYTHON[version], *words], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError("MLflow %s: %s" % (version, done.stdout[-3000:]))


def tool(name, *words, source=None):
    stdin = open(source, "rb") if source else subprocess.DEVNULL
    done = subprocess.run([BIN / name, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if source:
        stdin.close()
    done.stderr = done.stderr.decode("utf-8", "replace")
    return done


def comparable(rows):
    """Without what depends on the clock, and NaN's companion, a 0 here and anything there."""
    rows = {table: list(lines) for table, lines in rows.items()}
    rows["metrics"] = [re.sub(r"'value': [^,]+(?=.*'is_nan': (?:True|1\b))", "'value': 0", line) for line in rows["metrics"]]
    rows["jobs"] = [line for line in rows["jobs"] if not re.search(r"'status': [015]\b", line)]  # that revision 67 cancels
    return {table: sorted(lines) for table, lines in rows.items()}


def differences(ours, theirs, which):
    ours, theirs = comparable(ours), comparable(theirs)
    lines = []
    for table in sorted(ours.keys() | theirs.keys()):
        mine, others = ours.get(table, []), theirs.get(table, [])
        lines += [f"{table}: only loaded: {r}" for r in mine if r not in others]
        lines += [f"{table}: only {which}: {r}" for r in others if r not in mine]
    return lines


def content_of(url):
    engine = oracle.Mlflow(url).engine
    try:
        return content(engine)
    finally:
        engine.dispose()


def execute(url, *statements):
    import sqlalchemy

    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        answers = [connection.execute(sqlalchemy.text(s)) for s in statements]
        answers = [a.scalar() if a.returns_rows else None for a in answers]
    engine.dispose()
    return answers


class Sqlite:
    name = "sqlite"

    def __init__(self, directory):
        self.directory = directory

    def make(self, name, source=None):
        path = self.directory / (name + ".db")
        path.unlink(missing_ok=True)
        if source:
            shutil.copy(self.directory / (source + ".db"), path)
        return f"sqlite:///{path}"


class Postgres:
    name = "postgresql"

    def __init__(self, server):
        self.server = server

    def make(self, name, source=None):
        return self.server.create(name, template=source)


def check(what, where, work, by_mlflow=True):
    """The database `source`: loaded, upgraded by us, upgraded by MLflow (where test_schema_upgrade.py has not shown that
    these two are the same)."""
    name = f"{what} ({where.name})"
    source, stream = where.make("s", "source"), work / "source.mlr"
    done = tool("mldb-dump", "-q", "--with-secrets", source)
    stream.write_bytes(done.stdout)
    tap.check(f"{name}: dumped", [] if done.returncode == 0 else [done.stderr])
    loaded = where.make("loaded")
    done = tool("ml-load", "--release", NEW, loaded, source=stream)
    tap.check(f"{name}: loaded into {NEW}", [] if done.returncode == 0 else [done.stderr])
    if done.returncode:
        return None
    ours = where.make("ours", "source")
    done = tool("ml-schema", "upgrade", "-q", "--to", NEW, ours)
    rows = content_of(loaded)
    tap.check(f"{name}: equals what ml-schema upgrade makes of it", differences(rows, content_of(ours), "upgraded"))
    if by_mlflow:
        theirs = where.make("theirs", "source")
        mlflow(NEW, "-m", "mlflow", "db", "upgrade", theirs)
        tap.check(f"{name}: equals what mlflow db upgrade makes of it", differences(rows, content_of(theirs), "MLflow's"))
    for which, url in (("loaded", loaded), ("upgraded", ours)):
        done = tool("ml-verify", "-q", url, source=stream)
        out = [line for line in done.stdout.decode().split("\n") if line]
        # What the filler's own rows cannot agree about: ids of datasets that are not there, jobs that the upgrade cancels.
        faults = [n for n in out if n.startswith("FAILED") and not re.match(r"FAILED: (Logged model metric|Row jobs)", n)]
        tap.check(f"{name}: ml-verify finds the {which} database equal", faults + ([] if "passed" in "".join(out) else out + [done.stderr]))
    return loaded


TRACE_COUNTS = (
    "SELECT count(*) FROM spans",
    "SELECT count(*) FROM span_metrics",
    "SELECT count(*) FROM trace_metrics",
    "SELECT count(*) FROM spans WHERE CAST(dimension_attributes AS TEXT) LIKE '%gpt-4o-mini%'",
    "SELECT count(*) FROM entity_associations WHERE destination_type = 'prompt_version'",
)


def native(where, work):
    source = where.make("source")
    mlflow(OLD, "-c", WRITE, source)
    execute(source, FORGET_COST)
    spans, costs, tokens, models, prompts = counts = execute(source, *TRACE_COUNTS)
    tap.check(
        f"MLflow {OLD} has logged traces ({where.name})",
        [] if (spans, costs, tokens, models, prompts) == (9, 18, 9, 6, 1) else [f"{spans} {costs} {tokens} {models} {prompts}"],
    )
    loaded = check(f"traces of {OLD}", where, work)
    if not loaded:
        return
    stale, models, costs, gateway = execute(
        loaded,
        "SELECT (SELECT count(*) FROM span_metrics) + (SELECT count(*) FROM trace_metrics)",
        "SELECT count(*) FROM spans WHERE model_name = 'gpt-4o-mini' AND model_provider = 'openai'",
        "SELECT count(*) FROM spans WHERE total_cost > 0",
        "SELECT count(*) FROM trace_info WHERE total_cost > 0",
    )
    tap.check(f"no stale rows, and models and costs of all spans ({where.name})", [] if (stale, models, costs, gateway) == (0, 6, 6, 3) else [f"{stale} {models} {costs} {gateway}"])
    back = work / "back.mlr"
    back.write_bytes(tool("mldb-dump", "-q", loaded).stdout)
    target = where.make("back")
    done = tool("ml-load", "--release", OLD, target, source=back)
    tap.check(f"the way back into {OLD} ({where.name})", [] if done.returncode == 0 else [done.stderr])
    if done.returncode == 0:
        again = execute(target, *TRACE_COUNTS)
        tap.check(f"the way back gives {OLD} its costs, tokens, models and prompts ({where.name})", [] if again == counts else [f"{again}, not {counts}"])
        done = tool("ml-verify", "-q", target, source=back)
        tap.check(f"ml-verify finds what went back equal ({where.name})", [] if done.returncode == 0 else [done.stdout.decode(), done.stderr])


def filled(where, work):
    """Rows of every sort in every table."""
    source = where.make("source")
    side = oracle.Mlflow(source)
    side.create_base()
    side.upgrade(oracle.revisions()[OLD_ORDER])
    Filler(side.engine).fill()
    side.close()
    for table in ("experiments", "runs", "logged_models"):
        execute(source, f"UPDATE {table} SET lifecycle_stage = 'active' WHERE lifecycle_stage IS NULL")
    execute(source, "UPDATE logged_models SET status = 1")
    check("rows of every sort", where, work, by_mlflow=False)


def prepopulated(where, work):
    """MLflow can make 3.17's columns before the upgrade; traces that are logged afterwards have none."""
    source = where.make("source")
    mlflow(OLD, "-c", WRITE, source)
    mlflow(NEW, "-m", "mlflow", "db", "prepopulate-trace-analytics", source)
    mlflow(OLD, "-c", WRITE, source)
    check("prepopulated", where, work)


with tempfile.TemporaryDirectory() as directory, oracle.Postgres() as server:
    work = Path(directory)
    for where in (Sqlite(work), Postgres(server)):
        native(where, work)
        filled(where, work)
    prepopulated(Sqlite(work), work)
tap.done()
