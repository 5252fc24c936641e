#!/usr/bin/env python3
"""What may happen to an upgrade: SIGKILL at any moment, eight concurrent ones, a server that starts late, the wrecks of MLflow's own
upgrade. DEEP=1 takes 100 kills a dialect and all places where MLflow's may end."""

import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import schema_oracle as oracle  # noqa: E402

oracle.use_mlflow("3.17.2")
import logging  # noqa: E402
import warnings  # noqa: E402

from harness import has_stopped, read_until, stopping, wait_until  # noqa: E402
from schema_fill import Filler, content  # noqa: E402
from schema_structure import differences, postgres_structure, sqlite_structure  # noqa: E402

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")
tap = oracle.Tap()
chain = oracle.revisions()
KILLS = 100 if os.environ.get("DEEP") else 8
if os.environ.get("SANITIZE"):
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"  # what is killed frees nothing


def start(url, variables=None):
    environment = {**os.environ, **(variables or {})}
    return subprocess.Popen([oracle.PROGRAM, "upgrade", "--to", "head", url], stderr=subprocess.PIPE, text=True, env=environment)


def without_clock(rows):
    rows = {t: list(r) for t, r in rows.items()}
    rows["jobs"] = len(rows["jobs"])
    return rows


class Sqlite:
    name = "sqlite"

    def __init__(self, directory):
        self.directory = directory
        self.path = directory / "work.db"
        self.url = f"sqlite:///{self.path}"

    def clear(self):
        for left in self.directory.glob("work.db*"):
            left.unlink()

    def keep(self):
        shutil.copy(self.path, self.directory / "start.db")

    def reset(self):
        self.clear()
        shutil.copy(self.directory / "start.db", self.path)

    def structure(self):
        return sqlite_structure(self.path)


class Postgres:
    name = "postgresql"

    def __init__(self, server):
        self.server = server
        self.url = server.url("work")

    def clear(self):
        self.server.create("work")

    def keep(self):
        self.server.create("start", template="work")

    def reset(self):
        self.server.create("work", template="start")

    def structure(self):
        with self.server.cursor("work") as cursor:
            return postgres_structure(cursor)


def fill(side, order):
    """A database of that revision, made and filled by MLflow's scripts."""
    side.clear()
    mlflow = oracle.Mlflow(side.url)
    mlflow.create_base()
    mlflow.upgrade(chain[order])
    Filler(mlflow.engine).fill()
    mlflow.close()
    side.keep()


def rows_of(side):
    mlflow = oracle.Mlflow(side.url)
    rows = content(mlflow.engine)
    mlflow.close()
    return rows


def result(side):
    return side.structure(), without_clock(rows_of(side))


def whole_upgrade(side):
    """The number of calls by which it writes; a transaction takes in more revisions on a fast machine."""
    side.reset()
    with tempfile.NamedTemporaryFile("r") as count:
        start(side.url, stopping(0, count.name)).communicate()
        return int(count.read())


def kills(side):
    fill(side, 5)
    writes = whole_upgrade(side)
    wanted = result(side)
    rng = random.Random(5)
    problems, killed, tries = [], 0, 0
    while killed < KILLS and tries < 4 * KILLS:
        tries += 1
        side.reset()
        upgrade = start(side.url, stopping(rng.randint(1, writes)))
        if has_stopped(upgrade):
            upgrade.send_signal(signal.SIGKILL)
        upgrade.communicate()
        killed += upgrade.returncode == -signal.SIGKILL
        current = oracle.run("current", side.url)
        again = oracle.run("upgrade", "--to", "head", side.url)
        if current.returncode or again.returncode:
            problems.append(f"kill {tries}: {current.stderr} {again.stderr}")
            continue
        structure, rows = result(side)
        problems += [f"kill {tries}: {line}" for line in differences(structure, wanted[0])]
        problems += [f"kill {tries}: rows of {t} differ" for t in wanted[1] if rows.get(t) != wanted[1][t]]
    problems += [] if killed == KILLS else [f"only {killed} of {tries} were stopped to be killed"]
    tap.check(f"{killed} kills: each time a second run completes ({side.name}, {tries} tried)", problems)


def race(side):
    side.reset()
    upgrades = [start(side.url) for _ in range(8)]
    messages = [u.communicate()[1] for u in upgrades]
    problems = [m for u, m in zip(upgrades, messages) if u.returncode]
    done = sum("[70/70]" in m for m in messages)
    waited = sum("waiting for" in m for m in messages)
    problems += [] if done == 1 else [f"{done} of them applied the last revision"]
    problems += [] if waited else ["none said that it waits"]
    problems += oracle.run("check", "--release", "3.18.0", side.url).stdout.splitlines()[:-1]
    tap.check(f"of eight concurrent upgrades one works, and the others wait and succeed ({side.name})", problems)


def odd_databases(server):
    """PostgreSQL databases that are not byte for byte what MLflow's scripts make."""
    structures = {}
    for name in ("odd", "plain"):
        url = server.create(name)
        oracle.run("create", "--release", "1.0.0", url, check=True)
        with server.cursor(name) as cursor:
            cursor.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
            cursor.execute("INSERT INTO runs (run_uuid, user_id) VALUES ('r', %s)", ("ü" * 256,))
        for target in ("1.5.0", "2.17", "3.9", "head"):
            if name == "odd":
                make_odd(server, target)
            done = oracle.run("upgrade", "--to", target, url)
            if done.returncode:
                tap.check(f"an odd database to {target} (postgresql)", [done.stderr])
                return
        with server.cursor(name) as cursor:
            structures[name] = postgres_structure(cursor)
            cursor.execute("SELECT value FROM tags WHERE key = 'mlflow.user'")
            problems = [] if cursor.fetchall() == [("ü" * 256,)] else ["a user of 256 characters is not a tag"]
            cursor.execute("UPDATE runs SET status = 'KILLED'")  # fails where an old CHECK is left
    ours = {line for line in structures["odd"] if "mine" not in line}
    problems += differences(ours, structures["plain"])
    tap.check("other names of keys, an old CHECK and things of users are dealt with (postgresql)", problems)


def make_odd(server, target):
    statements = {
        "2.17": [
            "ALTER TABLE runs ADD CONSTRAINT status CHECK (status <> 'KILLED')",
            "CREATE VIEW mine AS SELECT run_uuid FROM runs",
        ],
        "3.9": ["ALTER TABLE datasets RENAME CONSTRAINT datasets_experiment_id_fkey TO other"],
        "head": [
            "ALTER TABLE model_versions RENAME CONSTRAINT model_versions_name_fkey TO other",
            "ALTER TABLE experiments DROP CONSTRAINT experiments_name_key",
            "CREATE UNIQUE INDEX other_name ON experiments (name)",
            "CREATE INDEX mine_too ON runs (name)",
        ],
    }
    with server.cursor("odd") as cursor:
        for statement in statements.get(target, []):
            cursor.execute(statement)


# By the release that an upgrade begins with: what is said|what a user makes|how it is taken back, in the other order. Each alone
# stops the upgrade at the revision that is named.
IN_THE_WAY = {
    "1.0": """
view v depends on column value of table params, which revision cc1f77228345 changes|CREATE VIEW v AS SELECT value FROM params|DROP VIEW v
policy p on table runs depends on column status of table runs, which revision cfd24bdc0731 changes|CREATE POLICY p ON runs USING (status = 's')|DROP POLICY p ON runs
trigger t on table tags depends on column value of table tags, which revision 7ac759974ad8 changes|CREATE TRIGGER t BEFORE UPDATE OF value ON tags FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()|DROP TRIGGER t ON tags
generated column g of table params depends on column value of table params, which revision cc1f77228345 changes|ALTER TABLE params ADD g text GENERATED ALWAYS AS (upper(value)) STORED|ALTER TABLE params DROP COLUMN g
publication of table tags in publication pw depends on column value of table tags, which revision 7ac759974ad8 changes|CREATE PUBLICATION pw FOR TABLE tags WHERE (value <> '') WITH (publish = 'insert')|DROP PUBLICATION pw
function f() depends on column value of table tags, which revision 7ac759974ad8 changes|CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(value) FROM tags; END|DROP FUNCTION f
view k depends on column value of table kid, which revision 7ac759974ad8 changes|CREATE TABLE kid () INHERITS (tags); CREATE VIEW k AS SELECT value FROM kid|DROP VIEW k; DROP TABLE kid
column value of table params is inherited, and revision cc1f77228345 changes it|CREATE TABLE dad (value varchar(250)); ALTER TABLE params INHERIT dad|ALTER TABLE params NO INHERIT dad; DROP TABLE dad
table latest_metrics is not MLflow's, and revision 89d4b8295536 creates one of that name|CREATE TABLE latest_metrics (a int)|DROP TABLE latest_metrics
view issues is not MLflow's, and revision 76601a5f987d creates one of that name|CREATE VIEW issues AS SELECT 1|DROP VIEW issues
index idx_experiments_workspace is not MLflow's, and revision 1b5f0d9ad7c1 creates one of that name|CREATE INDEX idx_experiments_workspace ON experiments (name)|DROP INDEX idx_experiments_workspace
sequence latest_metric_pk is not MLflow's, and revision 89d4b8295536 creates one of that name|CREATE SEQUENCE latest_metric_pk|DROP SEQUENCE latest_metric_pk
column workspace of table experiments is not MLflow's, and revision 1b5f0d9ad7c1 adds one of that name|ALTER TABLE experiments ADD COLUMN workspace INT|ALTER TABLE experiments DROP COLUMN workspace
foreign key mine_n_fkey of table mine depends on key experiments_name_key of table experiments, which revision 1b5f0d9ad7c1 replaces|CREATE TABLE mine (n VARCHAR REFERENCES experiments (name))|DROP TABLE mine
constraint metric_pk of table metrics is missing, and revision 181f10493468 replaces it|ALTER TABLE metrics RENAME CONSTRAINT metric_pk TO other|ALTER TABLE metrics RENAME CONSTRAINT other TO metric_pk
column x of table uu contains rows of table runs, which revision cfd24bdc0731 changes|CREATE TYPE pair AS (a int, r runs); CREATE TABLE uu (x pair[])|DROP TABLE uu; DROP TYPE pair
""",
    "2.22": """
foreign key registered_models_parent_fkey of table registered_models depends on key registered_model_pk of table registered_models, which revision 1b5f0d9ad7c1 replaces|ALTER TABLE registered_models ADD parent varchar REFERENCES registered_models (name)|ALTER TABLE registered_models DROP COLUMN parent
view vv depends on key registered_model_pk of table registered_models, which revision 1b5f0d9ad7c1 replaces|CREATE VIEW vv AS SELECT name, description, count(*) FROM registered_models GROUP BY name|DROP VIEW vv
function f() depends on key experiments_name_key of table experiments, which revision 1b5f0d9ad7c1 replaces|CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC INSERT INTO experiments (name) VALUES ('a') ON CONFLICT ON CONSTRAINT experiments_name_key DO NOTHING; END|DROP FUNCTION f
rule rr on table log depends on key experiments_name_key of table experiments, which revision 1b5f0d9ad7c1 replaces|CREATE TABLE log (a int); CREATE RULE rr AS ON INSERT TO log DO ALSO INSERT INTO experiments (name) VALUES ('a') ON CONFLICT ON CONSTRAINT experiments_name_key DO NOTHING|DROP TABLE log
type spans is not MLflow's, and revision a1b2c3d4e5f6 creates one of that name|CREATE TYPE spans AS ENUM ('a')|DROP TYPE spans
domain webhooks is not MLflow's, and revision 1a0cddfcaa16 creates one of that name|CREATE DOMAIN webhooks AS int|DROP DOMAIN webhooks
type jobs is not MLflow's, and revision bf29a5ff90ea creates one of that name|CREATE TYPE jobs AS (a int)|DROP TYPE jobs
function prevent_secrets_aad_mutation() is not MLflow's, and revision 1bd49d398cd23 creates one of that name|CREATE FUNCTION prevent_secrets_aad_mutation() RETURNS int LANGUAGE sql AS 'SELECT 1'|DROP FUNCTION prevent_secrets_aad_mutation
constraint uq_experiments_workspace_name of table experiments is not MLflow's, and revision 1b5f0d9ad7c1 creates one of that name|ALTER TABLE experiments ADD CONSTRAINT uq_experiments_workspace_name CHECK (name <> 'x')|ALTER TABLE experiments DROP CONSTRAINT uq_experiments_workspace_name
column workspace of table kid is not MLflow's, and revision 1b5f0d9ad7c1 adds one of that name|CREATE TABLE kid (workspace int) INHERITS (registered_model_tags)|DROP TABLE kid
constraint fk_trace_info_experiment_id of table trace_info is missing, and revision 6f8d9c3b2a1e replaces it|ALTER TABLE trace_info RENAME CONSTRAINT fk_trace_info_experiment_id TO other|ALTER TABLE trace_info RENAME CONSTRAINT other TO fk_trace_info_experiment_id
table inputs is a partition, and revision 6953534de441 changes its columns|CREATE TABLE pp (LIKE inputs) PARTITION BY LIST (source_type); ALTER TABLE pp ATTACH PARTITION inputs DEFAULT|ALTER TABLE pp DETACH PARTITION inputs; DROP TABLE pp
column x of table uu contains rows of table experiments, which revision 1b5f0d9ad7c1 changes|CREATE TABLE uu (x experiments)|DROP TABLE uu
column e of table mm contains rows of table model_versions, which revision 1b5f0d9ad7c1 changes|CREATE MATERIALIZED VIEW mm AS SELECT e FROM model_versions e|DROP MATERIALIZED VIEW mm
""",
    "3.10": """
generated column g of table spans depends on column dimension_attributes of table spans, which revision 75868b020152 drops|ALTER TABLE spans ADD g text GENERATED ALWAYS AS (dimension_attributes->>'a') STORED|ALTER TABLE spans DROP COLUMN g
publication of table spans in publication pc depends on column dimension_attributes of table spans, which revision 75868b020152 drops|CREATE PUBLICATION pc FOR TABLE spans (trace_id, span_id, dimension_attributes)|DROP PUBLICATION pc
function f() depends on column dimension_attributes of table spans, which revision 75868b020152 drops|CREATE FUNCTION f() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(dimension_attributes) FROM spans; END|DROP FUNCTION f
rule rr on table spans depends on column dimension_attributes of table spans, which revision 75868b020152 drops|CREATE RULE rr AS ON UPDATE TO spans WHERE new.dimension_attributes IS NULL DO NOTHING|DROP RULE rr ON spans
index index_spans_experiment_id is missing, and revision c1d2e3f4a5b6 replaces it|DROP INDEX index_spans_experiment_id|CREATE INDEX index_spans_experiment_id ON spans (experiment_id)
revision 75868b020152: cannot delete from table "trace_tags"; DETAIL:  Column used in the publication WHERE expression is not part of the replica identity.|CREATE PUBLICATION pr FOR TABLE trace_tags WHERE (value = 'a')|DROP PUBLICATION pr
revision dc11669786a5: permission denied for table jobs|REVOKE UPDATE ON jobs FROM mlflow|GRANT UPDATE ON jobs TO mlflow
""",
    "3.12": """
materialized view mm depends on column dimension_attributes of table kid, which revision 75868b020152 drops|CREATE TABLE kid () INHERITS (spans); CREATE MATERIALIZED VIEW mm AS SELECT dimension_attributes::text FROM kid|DROP MATERIALIZED VIEW mm; DROP TABLE kid
""",
}

# The same, but of what would go without a word, and of what the runner alone looks at.
LOST = {
    "3.10": """
index ii depends on column dimension_attributes of table spans, which revision 75868b020152 drops|CREATE INDEX ii ON spans ((dimension_attributes->>'a'))|DROP INDEX ii
constraint cc of table spans depends on column dimension_attributes of table spans, which revision 75868b020152 drops|ALTER TABLE spans ADD CONSTRAINT cc CHECK (dimension_attributes IS NOT NULL)|ALTER TABLE spans DROP CONSTRAINT cc
statistics object ss depends on column dimension_attributes of table spans, which revision 75868b020152 drops|CREATE STATISTICS ss ON trace_id, (dimension_attributes->>'a') FROM spans|DROP STATISTICS ss
column session_id of table trace_info is not MLflow's, and revision 75868b020152 adds one of that name|ALTER TABLE trace_info ADD session_id int|ALTER TABLE trace_info DROP COLUMN session_id
""",
}

# What looks like one of those and does no harm.
HARMLESS = {
    "1.0": """
CREATE INDEX ii ON tags (lower(value)) WHERE value <> ''
CREATE STATISTICS ss ON key, value FROM tags
ALTER TABLE tags ADD CHECK (value <> 'x')
ALTER TABLE tags ALTER value SET DEFAULT 'x'
CREATE UNIQUE INDEX vi ON params (value); CREATE TABLE ff (v varchar(250) REFERENCES params (value))
CREATE VIEW v AS SELECT count(*) FROM tags
CREATE VIEW vv AS SELECT t FROM tags t
CREATE MATERIALIZED VIEW mm AS SELECT count(*), max(key) FROM tags
CREATE TABLE kid (workspace varchar(63)) INHERITS (experiments)
UPDATE alembic_version SET version_num = '451aebb31d03'
ALTER TABLE tags ADD FOREIGN KEY (run_uuid) REFERENCES runs DEFERRABLE INITIALLY DEFERRED; INSERT INTO runs (run_uuid, user_id) VALUES ('r', 'u')
""",
    "2.22": """
CREATE TABLE uu (x runs)
CREATE FUNCTION ff(x experiments) RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE VIEW vv AS SELECT experiment_id, name FROM experiments GROUP BY experiment_id
CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC INSERT INTO experiments (name) VALUES ('a') ON CONFLICT (name) DO NOTHING; END
CREATE FUNCTION prevent_secrets_aad_mutation() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'
CREATE FUNCTION spans() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE TYPE index_spans_experiment_id AS ENUM ('a')
CREATE TABLE _jobs (a int)
CREATE SCHEMA other; CREATE TYPE other.spans AS ENUM ('a'); CREATE TABLE other.experiments (workspace int)
ALTER TABLE experiments ADD CONSTRAINT fk_endpoints_experiment_id CHECK (name <> 'a')
CREATE PUBLICATION pc FOR TABLE registered_models (name, description)
""",
    "3.10": """
CREATE TABLE uu (x spans)
ALTER TABLE assessments ADD is_numeric_value boolean DEFAULT false; CREATE TABLE ua (x assessments)
CREATE TABLE kid (dimension_attributes json, PRIMARY KEY (trace_id, span_id)) INHERITS (spans); CREATE VIEW v AS SELECT dimension_attributes FROM kid
ALTER TABLE spans ALTER dimension_attributes SET DEFAULT '{}'
ALTER TABLE trace_info ADD session_id varchar(250)
CREATE PUBLICATION pc FOR TABLE jobs
INSERT INTO experiments (experiment_id, name) VALUES (0, 'Default'); INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('a', 0, 1, 'x'); INSERT INTO trace_tags (request_id, key, value) VALUES ('a', 'mlflow.traceName', 'n')
CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE CONSTRAINT TRIGGER tt AFTER UPDATE ON trace_info DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tf()
""",
}


def server_version(cursor):
    cursor.execute("SHOW server_version_num")
    return int(cursor.fetchone()[0])


def things_of(table, release, version):
    """(what is said, statements, statements that take it back) of those lines that this server understands."""
    things = [line.split("|") for line in table.get(release, "").strip().split("\n") if line]
    return [thing for thing in things if version >= 150000 or not re.search("PUBLICATION|BEGIN ATOMIC", thing[1])]


def named_of(done):
    return sorted(line.split("in the way: ")[1] for line in done.stderr.splitlines() if "in the way: " in line)


def stopping_revision(cursor, make, parts):
    """Where an upgrade that looks for nothing ends beside that thing, alone; nothing is left of either."""
    import psycopg2

    cursor.execute("BEGIN; " + make)
    try:
        for revision, statements in parts:
            cursor.execute(statements)
    except psycopg2.Error:
        return revision
    finally:
        cursor.execute("ROLLBACK")
    return None


def script_of(release):
    """(revision, statements) of an upgrade's offline script, without its transactions."""
    script = oracle.run("sql", "--dialect", "postgresql", "--from", release, "--to", "head", check=True).stdout
    parts = re.split(r"^-- \[\d+/\d+\] (\w+) .*$", re.sub(r"^(BEGIN|COMMIT);$", "", script, flags=re.M), flags=re.M)
    return list(zip(parts[1::2], parts[2::2]))


def in_the_way(server, release):
    """Things of users that a revision would trip over are named before the first one, with the revision that would."""
    url = server.create("way")
    oracle.run("create", "--release", release, url, check=True)
    parts = script_of(release)
    with server.cursor("way") as cursor:
        version = server_version(cursor)
        stopping, lost = things_of(IN_THE_WAY, release, version), things_of(LOST, release, version)
        problems = []
        for what, make, _ in stopping:
            stops = stopping_revision(cursor, make, parts)
            problems += [] if stops and f"revision {stops}" in what else [f"{make} stops at {stops}, not: {what}"]
        things = stopping + lost
        for _, make, _ in things:
            cursor.execute(make)
        before = postgres_structure(cursor)
        done = [oracle.run("upgrade", *options, "--to", "head", url) for options in ([], ["--dry-run"])]
        problems += [f"exit {d.returncode}" for d in done if d.returncode != 2] + differences(postgres_structure(cursor), before)
        wanted = sorted(what for what, _, _ in things)
        for d in done:
            problems += [f"not named: {what}" for what in wanted if what not in named_of(d)]
            problems += [f"named: {what}" for what in named_of(d) if what not in wanted]
        for _, _, drop in reversed(things):
            cursor.execute(drop)
    again = oracle.run("upgrade", "--to", "head", url)
    problems += [again.stderr] if again.returncode else []
    tap.check(f"what would stop an upgrade from {release} in the middle is named before its first revision (postgresql)", problems)


def harmless(server, release):
    """Things of users that only look like a hindrance are none."""
    url = server.create("harmless")
    oracle.run("create", "--release", release, url, check=True)
    with server.cursor("harmless") as cursor:
        version = server_version(cursor)
        for line in HARMLESS[release].strip().split("\n"):
            if version >= 150000 or not re.search("PUBLICATION|BEGIN ATOMIC", line):
                cursor.execute(line)
    boss = superuser(server, "harmless")
    boss.cursor().execute("CREATE PUBLICATION everything FOR ALL TABLES")
    boss.close()
    done = [oracle.run("upgrade", *options, "--to", "head", url) for options in (["--dry-run"], [])]
    tap.check(f"what does no harm does not stop an upgrade from {release} (postgresql)", [d.stderr for d in done if d.returncode])


# What a role may not do: what is said|what the superuser does|how it is taken back.
RIGHTS = {
    "2.22": """
role mlflow may not use the language plpgsql, and revision 1bd49d398cd23 is written in it|REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC|GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC
function prevent_secrets_aad_mutation() is not MLflow's, and revision 1bd49d398cd23 creates one of that name|CREATE FUNCTION prevent_secrets_aad_mutation() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'|DROP FUNCTION prevent_secrets_aad_mutation
role mlflow may not create tables in schema public|REVOKE CREATE ON SCHEMA public FROM mlflow, pg_database_owner, PUBLIC|GRANT CREATE ON SCHEMA public TO pg_database_owner, PUBLIC
""",
    "3.10": """
role mlflow has no REFERENCES privilege on table experiments, and revision 76601a5f987d creates a foreign key to it|ALTER TABLE experiments OWNER TO postgres; REVOKE ALL ON experiments FROM mlflow|ALTER TABLE experiments OWNER TO mlflow
revision 75868b020152: permission denied for table trace_tags|ALTER TABLE trace_tags OWNER TO postgres; REVOKE ALL ON trace_tags FROM mlflow|ALTER TABLE trace_tags OWNER TO mlflow
revision e1f2a3b4c5d6: permission denied for table alembic_version|REVOKE UPDATE ON alembic_version FROM mlflow|GRANT UPDATE ON alembic_version TO mlflow
table kid belongs to role postgres, and only its owner may change it: upgrade as that role|CREATE TABLE kid () INHERITS (jobs)|DROP TABLE kid
table spans belongs to role postgres, and only its owner may change it: upgrade as that role|ALTER TABLE spans OWNER TO postgres; GRANT ALL ON spans TO mlflow|ALTER TABLE spans OWNER TO mlflow
""",
}


def rights(server, release):
    """What the role may not do, or only another one, is named before the first revision."""
    url = server.create("rights")
    oracle.run("create", "--release", release, url, check=True)
    things = things_of(RIGHTS, release, 0)
    boss = superuser(server, "rights")
    cursor = boss.cursor()
    for _, make, _ in things:
        cursor.execute(make)
    done = oracle.run("upgrade", "--to", "head", url)
    wanted = sorted(what for what, _, _ in things)
    problems = [] if done.returncode == 2 and named_of(done) == wanted else [f"{named_of(done)}, not {wanted}"]
    for _, _, drop in reversed(things):
        cursor.execute(drop)
    boss.close()
    again = oracle.run("upgrade", "--to", "head", url)
    problems += [again.stderr] if again.returncode else []
    tap.check(f"rights that an upgrade from {release} would miss are named before its first revision", problems)


def unlogged(server):
    """A table that is not logged cannot be referred to by one that is."""
    url = server.create("unlogged")
    oracle.run("create", "--release", "2.22", url, check=True)
    with server.cursor("unlogged") as cursor:
        # Those that others refer to come last.
        for _ in range(5):
            cursor.execute("""
                DO $$ DECLARE t regclass; BEGIN
                FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relpersistence = 'p' AND relnamespace = 'public'::regnamespace
                    AND NOT EXISTS (SELECT 1 FROM pg_constraint k JOIN pg_class by ON by.oid = conrelid
                        WHERE contype = 'f' AND confrelid = pg_class.oid AND by.relpersistence = 'p')
                LOOP EXECUTE format('ALTER TABLE %s SET UNLOGGED', t); END LOOP; END $$""")
    named = named_of(oracle.run("upgrade", "--to", "head", url))
    wanted = [
        f"table {t} is unlogged, and revision {r} creates a logged one that refers to it"
        for t, r in (("experiments", "400f98739977"), ("runs", "400f98739977"), ("trace_info", "770bee3ae1dd"))
    ]
    tap.check("tables that are not logged are named where new ones refer to them", [] if named == wanted else [f"{named}, not {wanted}"])


def other_schema(server):
    """Everything is made in the schema that the URL's search_path names."""
    url = server.create("schemas")
    with server.cursor("schemas") as cursor:
        cursor.execute("CREATE SCHEMA ml")
    other = url + "?options=-csearch_path%3Dml"
    oracle.run("create", "--release", "2.0", url)
    runs = [oracle.run("create", "--release", "1.3", other), oracle.run("upgrade", "--to", "3.17", other),
            oracle.run("check", "--release", "3.17", other), oracle.run("check", "--release", "2.0", url)]  # fmt: skip
    tap.check("a schema named by search_path is a database of its own", [r.stderr + r.stdout for r in runs if r.returncode])


def two_schemas(server):
    """Another schema of the search path may hold MLflow's tables too, of any revision."""
    url = server.create("two")
    oracle.run("create", "--release", "3.17", url, check=True)
    with server.cursor("two") as cursor:
        cursor.execute("CREATE SCHEMA ml; CREATE SCHEMA gap")
        before = postgres_structure(cursor)
        both = url + "?options=-csearch_path%3Dml,public"
        runs = [oracle.run("create", "--release", "2.22", both), oracle.run("upgrade", "--dry-run", "--to", "3.17", both),
                oracle.run("upgrade", "--to", "3.17", both), oracle.run("check", "--release", "3.17", both)]  # fmt: skip
        problems = [r.stderr + r.stdout for r in runs if r.returncode]
        # What is missing in the one is not taken from the other.
        gap = url + "?options=-csearch_path%3Dgap,public"
        oracle.run("create", "--release", "3.9", gap, check=True)
        cursor.execute("DROP TABLE gap.webhooks CASCADE; DROP INDEX gap.index_jobs_name_status_creation_time")
        named = named_of(oracle.run("upgrade", "--to", "3.17", gap))
        wanted = [f"{thing} is missing, and revision 1b5f0d9ad7c1 {does} it"
                  for thing, does in (("index index_jobs_name_status_creation_time", "replaces"), ("table webhooks", "needs"))]  # fmt: skip
        problems += [] if named == wanted else [f"{named}, not {wanted}"]
        problems += differences(postgres_structure(cursor), before)
    tap.check("MLflow's tables in another schema of the search path are neither in the way nor changed", problems)


def quoted_schema(server):
    """Schemas whose names need quotes: named by the search path, or a role's own."""
    boss = superuser(server)
    boss.cursor().execute("CREATE ROLE \"ML-ops\" LOGIN PASSWORD 'x'")
    boss.close()
    structures, problems = {}, []
    for schema in ("public", "My Sch", "MLflow", 'a"b', "ML-ops"):
        url = server.create("quoted")
        quoted = '"' + schema.replace('"', '""') + '"'
        role = "ML-ops" if schema == "ML-ops" else "mlflow"
        boss = superuser(server, "quoted")
        cursor = boss.cursor()
        cursor.execute(f'CREATE SCHEMA IF NOT EXISTS {quoted} AUTHORIZATION "{role}"; SET search_path = {quoted}')
        if role == "mlflow":
            cursor.execute(f"ALTER DATABASE quoted SET search_path = {quoted}")
        else:
            url = url.replace(f"mlflow:{server.settings['PGPASSWORD']}", "ML-ops:x")
        runs = [oracle.run("create", "--release", "1.0", url), oracle.run("current", url), oracle.run("upgrade", "--dry-run", "--to", "head", url),
                oracle.run("upgrade", "--to", "head", url), oracle.run("migrate-to-default-workspace", "--yes", url)]  # fmt: skip
        cursor.execute(f'GRANT CREATE ON DATABASE quoted TO "{role}"')
        runs.append(oracle.run("check", "--release", "3.18", url))
        problems += [f"{schema}: {r.stderr}{r.stdout}" for r in runs if r.returncode]
        problems += [] if chain[2] in runs[1].stdout else [f"{schema}: current says {runs[1].stdout}"]
        structures[schema] = {line.replace(f"{quoted}.", "public.") for line in postgres_structure(cursor)}
        problems += [f"{schema}: {line}" for line in differences(structures[schema], structures["public"])]
        boss.close()
    tap.check("a schema whose name needs quotes is like any other", problems)


def no_schema(server):
    """A search path that leads nowhere is an immediate error of every command."""
    url = server.create("nowhere")
    problems = []
    for path in ("", "%22%22", "nix,nox"):
        for command in (["upgrade", "--to", "head"], ["upgrade", "--dry-run", "--to", "head"], ["current"], ["create", "--release", "3.17"]):
            done = oracle.run(*command, f"{url}?options=-csearch_path%3D{path}")
            if done.returncode != 2 or "no schema to work in; search_path is" not in done.stderr or "waiting" in done.stderr:
                problems.append(f"{command} {path}: exit {done.returncode}: {done.stderr}")
    tap.check("a search path without a schema is an immediate error", problems)


def late_server(server):
    """The server is down, and starts when the upgrade has found that out."""
    script = str(oracle.ROOT / "tests" / "postgres.sh")
    url = server.create("late")
    subprocess.run(["sh", script, "halt", server.settings["PGDIR"]], check=True)
    upgrade = start(url)
    message = read_until("trying again in", upgrade.stderr)
    subprocess.run(["sh", script, "resume", server.settings["PGDIR"]], check=True)
    message += upgrade.communicate()[1]
    problems = [] if upgrade.returncode == 0 and "trying again in" in message else [message]
    tap.check("a server that starts late is waited for", problems)
    wrong = url.replace(server.settings["PGPASSWORD"], "wrong-password")
    done = oracle.run("upgrade", "--to", "head", wrong)
    at_once = "trying again" not in done.stderr and done.returncode == 2 and "password authentication failed" in done.stderr
    hidden = "wrong-password" not in done.stderr and "***" in done.stderr
    tap.check("a wrong password is an immediate error, and is not shown", [] if at_once and hidden else [done.stderr])


def closed_files(server):
    """With standard error or output closed the server's connection does not get its number."""
    url = server.create("closed")

    def run(closed, *arguments):
        return subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", oracle.PROGRAM, *arguments, url], capture_output=True, text=True)

    wanted = [(0, "2>&-", "create", "--release", "1.0"), (0, "2>&-", "upgrade", "--to", "3.9"), (0, ">&-", "upgrade", "--to", "3.17"),
              (0, "<&- 2>&-", "check", "--release", "3.17"), (2, ">&-", "current"), (2, ">&-", "check", "--release", "3.17"), (2, ">&-", "history"),
              (2, ">&-", "migrate-to-default-workspace", "--dry-run"), (2, "<&- >&- 2>&-", "current")]  # fmt: skip
    problems = []
    for code, closed, *command in wanted:
        done = run(closed, *command)
        problems += [] if done.returncode == code else [f"{command} {closed}: exit {done.returncode}: {done.stderr}"]
        told = "2>&-" in closed or code == 0 or "standard output: cannot write: closed" in done.stderr
        problems += [] if told else [f"{command} {closed}: {done.stderr}"]
    tap.check("standard files that are closed do not become the connection (postgresql)", problems)


def missing_tables(server):
    url = server.create("missing")
    oracle.run("create", "--release", "3.17", url, check=True)
    problems = []
    with server.cursor("missing") as cursor:
        for table in ("params", "tags", "metrics", "runs", "experiments"):
            cursor.execute(f"DROP TABLE {table} CASCADE")
            done = oracle.run("check", "--release", "3.17", url)
            if done.returncode != 1 or f"table {table} is missing" not in done.stdout.splitlines():
                problems.append(f"{table}: exit {done.returncode}: {done.stdout} {done.stderr}")
    tap.check("check names a missing table (postgresql)", problems)


# What is done to a database of 3.18 | what check then prints; nothing when all is well.
DRIFT = r"""
ALTER TABLE sql_assessment_daily_rollups ALTER id DROP IDENTITY | table sql_assessment_daily_rollups: column id bigint NOT NULL, should be: column id bigint NOT NULL GENERATED BY DEFAULT AS IDENTITY
ALTER TABLE experiments ALTER experiment_id DROP DEFAULT | table experiments: column experiment_id integer NOT NULL, should be: column experiment_id integer NOT NULL DEFAULT nextval('experiments_experiment_id_seq'::regclass)
ALTER TABLE inputs ALTER step DROP NOT NULL, ALTER step SET DEFAULT 1 | table inputs: column step bigint DEFAULT 1, should be: column step bigint NOT NULL DEFAULT '0'::bigint
ALTER TABLE spans ALTER duration_ns DROP EXPRESSION | table spans: column duration_ns bigint, should be: column duration_ns bigint GENERATED (end_time_unix_nano - start_time_unix_nano)
ALTER TABLE registered_model_tags ALTER value TYPE varchar(10) | table registered_model_tags: column value character varying(10), should be: column value character varying(5000)
ALTER TABLE experiments ALTER name TYPE varchar(256) COLLATE "C" | table experiments: column name character varying(256) NOT NULL COLLATE C, should be: column name character varying(256) NOT NULL
ALTER TABLE secrets DISABLE TRIGGER prevent_secrets_aad_mutation | table secrets: trigger prevent_secrets_aad_mutation is disabled
ALTER TABLE secrets ENABLE ALWAYS TRIGGER prevent_secrets_aad_mutation |
CREATE OR REPLACE FUNCTION prevent_secrets_aad_mutation() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END' | table secrets: trigger prevent_secrets_aad_mutation differs from MLflow's
DROP TRIGGER prevent_secrets_aad_mutation ON secrets; CREATE TRIGGER prevent_secrets_aad_mutation BEFORE INSERT ON secrets FOR EACH ROW EXECUTE FUNCTION prevent_secrets_aad_mutation() | table secrets: trigger prevent_secrets_aad_mutation differs from MLflow's
DROP TRIGGER prevent_secrets_aad_mutation ON secrets | table secrets: missing: trigger prevent_secrets_aad_mutation
CREATE TRIGGER mine BEFORE INSERT ON secrets FOR EACH ROW EXECUTE FUNCTION prevent_secrets_aad_mutation(); ALTER TABLE secrets DISABLE TRIGGER mine |
CREATE UNIQUE INDEX u ON runs (name) | table runs: not MLflow's: index u unique on btree (name)
CREATE UNIQUE INDEX u ON runs (name) WHERE end_time > 0 | table runs: not MLflow's: index u unique on btree (name) WHERE (end_time > 0)
CREATE UNIQUE INDEX u ON runs (name) INCLUDE (run_uuid) | table runs: not MLflow's: index u unique on btree (name) INCLUDE (run_uuid)
CREATE UNIQUE INDEX u ON endpoints (workspace, name) NULLS NOT DISTINCT | table endpoints: not MLflow's: index u unique on btree (workspace, name) NULLS NOT DISTINCT
CREATE UNIQUE INDEX u ON runs (name DESC, run_uuid DESC NULLS LAST); CREATE UNIQUE INDEX v ON runs (run_uuid varchar_pattern_ops); ALTER TABLE runs ADD UNIQUE (run_uuid, name) |
CREATE INDEX u ON runs (name); ALTER TABLE runs ADD own text UNIQUE; ALTER TABLE runs ADD more int GENERATED ALWAYS AS IDENTITY |
ALTER TABLE runs ADD own text DEFAULT 'x' UNIQUE | table runs: not MLflow's: unique (own)
ALTER TABLE runs ADD own text; CREATE UNIQUE INDEX u ON runs (name, own) NULLS NOT DISTINCT | table runs: not MLflow's: index u unique on btree (name, own) NULLS NOT DISTINCT
CREATE TABLE users (id int PRIMARY KEY); ALTER TABLE runs ADD own int REFERENCES users |
CREATE TABLE users (id int PRIMARY KEY); ALTER TABLE runs ADD own int DEFAULT 1 REFERENCES users | table runs: not MLflow's: foreign key (own) REFERENCES users(id)
ALTER TABLE runs ADD EXCLUDE USING btree (name WITH =) | table runs: not MLflow's: exclude USING btree (name WITH =)
ALTER INDEX index_params_run_uuid SET (fillfactor = 50) |
DROP INDEX index_params_run_uuid; CREATE INDEX index_params_run_uuid ON params (run_uuid COLLATE "C") | table params: index index_params_run_uuid on btree (run_uuid COLLATE "C"), should be: index index_params_run_uuid on btree (run_uuid)
ALTER TABLE params DROP CONSTRAINT params_run_uuid_fkey; ALTER TABLE params ADD FOREIGN KEY (run_uuid) REFERENCES runs ON DELETE CASCADE | table params: foreign key (run_uuid) REFERENCES runs(run_uuid) ON DELETE CASCADE, should be: foreign key (run_uuid) REFERENCES runs(run_uuid)
ALTER TABLE params DROP CONSTRAINT params_run_uuid_fkey; ALTER TABLE params ADD FOREIGN KEY (run_uuid) REFERENCES runs NOT VALID | table params: foreign key (run_uuid) REFERENCES runs(run_uuid) NOT VALID, should be: foreign key (run_uuid) REFERENCES runs(run_uuid)
ALTER TABLE params DROP CONSTRAINT param_pk; ALTER TABLE params ADD PRIMARY KEY (key, run_uuid) DEFERRABLE | table params: primary key (key, run_uuid) DEFERRABLE, should be: primary key (key, run_uuid)
CREATE TABLE users (id varchar(32) PRIMARY KEY); ALTER TABLE params ADD FOREIGN KEY (run_uuid) REFERENCES users | table params: not MLflow's: foreign key (run_uuid) REFERENCES users(id)
ALTER TABLE runs DROP CONSTRAINT source_type | table runs: missing: check ((source_type = ANY (ARRAY['NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT'])))
ALTER TABLE runs ENABLE ROW LEVEL SECURITY |
ALTER TABLE runs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY | table runs: not MLflow's: row security
"""


def findings(url, release="3.18"):
    """What check prints, without the line with the revision; the exit code must fit."""
    done = oracle.run("check", "--release", release, url)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("revision ")]
    return lines if done.returncode == (1 if lines or "than that of MLflow" in done.stdout else 0) else [f"exit {done.returncode}", done.stderr, *lines]


def psql(url, script):
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", url.replace("+psycopg2", "")], input=script, check=True, capture_output=True, text=True)


def drift(server):
    """Check names what refuses or changes MLflow's rows, and nothing else."""
    oracle.run("create", "--release", "3.18", server.create("sound"), check=True)
    problems = []
    for line in DRIFT.strip().split("\n"):
        statement, *wanted = (part.strip() for part in line.split(" |"))
        url = server.create("drift", template="sound")
        with server.cursor("drift") as cursor:
            cursor.execute(statement)
        got = findings(url)
        problems += [] if got == [w for w in wanted if w] else [f"{statement}: {got}"]
    import psycopg2

    url = server.create("drift", template="sound")
    with server.cursor("drift") as cursor:
        cursor.execute("INSERT INTO experiments (name) VALUES ('a'), ('b')")
        cursor.execute("DROP INDEX idx_experiments_workspace")
        try:
            cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY idx_experiments_workspace ON experiments (workspace)")
        except psycopg2.errors.UniqueViolation:
            pass
    wanted = ["table experiments: index idx_experiments_workspace unique on btree (workspace) INVALID, should be: index idx_experiments_workspace on btree (workspace)"]
    problems += [] if findings(url) == wanted else [f"an index that could not be made: {findings(url)}"]
    tap.check("check names what refuses or changes MLflow's rows, and nothing else (postgresql)", problems)


def restored(server):
    """A dump writes expressions in another way than the server keeps those that it was given. And one of ICU's collations."""
    problems = []
    for release in ("1.0", "1.5.0", "2.22", "3.17", "3.18"):
        source = server.create("dumped")
        oracle.run("create", "--release", release, source, check=True)
        with server.cursor("postgres") as cursor:
            server.drop(cursor, "restored")
            cursor.execute("CREATE DATABASE restored TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'")
        dump = subprocess.run(["pg_dump", source.replace("+psycopg2", "")], check=True, capture_output=True, text=True)
        target = server.url("restored")
        psql(target, dump.stdout)
        problems += [f"{release}: {line}" for url in (source, target) for line in findings(url, release)]
    tap.check("check takes a database that was restored from a dump, also one of another collation (postgresql)", problems)


def legacy_shapes(server):
    """Shapes that only old releases have made; test_schema_legacy.py has those that still run."""
    status = "ALTER TABLE runs ADD CONSTRAINT status CHECK (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING'))"
    url = server.create("legacy")
    oracle.run("create", "--release", "1.5.0", url, check=True)
    with server.cursor("legacy") as cursor:
        cursor.execute(status)
        problems = [f"1.5.0: {line}" for line in findings(url, "1.5.0")]
        oracle.run("upgrade", "--to", "head", url)
        problems += findings(url)
        # MLflow itself leaves it there since 1.23, and no run can be KILLED.
        cursor.execute(status)
    wanted = ["table runs: not MLflow's: check ((status = ANY (ARRAY['SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING'])))"]
    problems += [] if findings(url) == wanted else [f"the old list of statuses: {findings(url)}"]
    url = server.create("legacy")
    script = oracle.run("sql", "--dialect", "postgresql", "--to", "base", check=True).stdout
    psql(url, script.replace("PRIMARY KEY (key, timestamp, run_uuid)", "PRIMARY KEY (key, timestamp, run_uuid, value)"))
    problems += [f"0.9.1: {line}" for line in findings(url, "1.0")]
    tap.check("check takes the shapes of databases that old releases have made (postgresql)", problems)


def superuser(server, name="postgres"):
    """A connection in autocommit as the role that may change others."""
    import psycopg2

    s = server.settings
    connection = psycopg2.connect(host=s["PGHOST"], port=s["PGPORT"], user="postgres", dbname=name)
    connection.autocommit = True
    return connection


def too_many_connections(server):
    """The role's only connection is taken when the upgrade begins, and given back when it has said so."""
    url = server.create("crowd")
    with server.cursor("postgres"):  # before the limit, and kept
        boss = superuser(server)
        boss.cursor().execute("ALTER ROLE mlflow CONNECTION LIMIT 1")
        upgrade = start(url)
        message = read_until("trying again in", upgrade.stderr)
    message += upgrade.communicate()[1]
    boss.cursor().execute("ALTER ROLE mlflow CONNECTION LIMIT -1")
    boss.close()
    problems = [] if upgrade.returncode == 0 and "too many connections" in message and "trying again in" in message else [message]
    tap.check("too many connections are waited for", problems)


def connections_closed(server):
    """Whatever a command ends with, it takes leave of the server, which at this level notes those who do not."""
    boss = superuser(server)
    boss.cursor().execute("ALTER ROLE mlflow SET log_min_messages = debug1")
    url = server.create("leave")
    log = Path(server.settings["PGDIR"]) / "log"
    begun = len(log.read_text())
    ends = [(0, "create", "--release", "1.0"), (2, "create", "--release", "1.0"), (0, "upgrade", "--dry-run", "--to", "head"),
            (0, "upgrade", "--to", "3.9"), (2, "upgrade", "--to", "1.0"), (1, "check", "--release", "3.17"), (0, "current"),
            (0, "history"), (2, "migrate-to-default-workspace", "--yes")]  # fmt: skip
    problems = []
    for code, *command in ends:
        done = oracle.run(*command, url)
        problems += [] if done.returncode == code else [f"{command}: exit {done.returncode}: {done.stderr}"]
    with server.cursor("leave") as cursor:
        # A holder of the lock lets the upgrade be ended while it waits.
        cursor.execute("SELECT pg_advisory_lock(2026, hashtext(current_schema()))")
        upgrade = start(url)
        read_until("waiting for", upgrade.stderr)

        def waits():  # the server has the statement, which the signal is to end
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return cursor.fetchone()[0]

        wait_until(waits, "an upgrade that waits for the lock")
        upgrade.send_signal(signal.SIGTERM)
        upgrade.communicate()
    problems += [] if upgrade.returncode == 128 + signal.SIGTERM else [f"exit {upgrade.returncode} after SIGTERM"]
    said = log.read_text()[begun:]
    problems += [line for line in said.splitlines() if "unexpected EOF" in line or "reset by peer" in line]
    if subprocess.run([sys.executable, "-c", SILENT_LEAVE, url.replace("+psycopg2", "")]).returncode != 9:
        problems.append("the client that does not take leave has not run")
    wait_until(lambda: "unexpected EOF" in log.read_text()[begun + len(said) :], "a note on who does not take leave")
    boss.cursor().execute("ALTER ROLE mlflow RESET log_min_messages")
    boss.close()
    tap.check("connections are always closed (postgresql)", problems)


SILENT_LEAVE = "import os, psycopg2, sys; connection = psycopg2.connect(sys.argv[1]); os._exit(9)"


def rows_told(side):
    """What an upgrade says that its data migrations wrote is what they wrote."""
    problems = []
    for order in (1, 65):
        fill(side, order)
        before = rows_of(side)
        upgrade = start(side.url)
        message = upgrade.communicate()[1]
        told = {revision: int(rows) for revision, rows in re.findall(
            r"^ml-schema: \[\d+/70\] (\w+): (\d+) rows? written in \d+\.\d\d s, \d+ rows/s$", message, re.M)}  # fmt: skip
        after = rows_of(side)
        if order == 1:
            users = len(after["tags"]) - len(before["tags"])
            # A latest metric may be written more than once: points beyond 2^53, points that an index gives out of order.
            wanted = {"90e64c465722": (users, users), "89d4b8295536": (len(after["latest_metrics"]), len(after["metrics"]) - 1)}
        else:
            lists = [ast.literal_eval(row)["categories"] for row in after["issues"]]
            rows = len(lists) + sum(len(json.loads(each)) for each in lists if each)
            wanted = {"8b6ad64cb8f5": (rows, rows)}
        for revision, (least, most) in wanted.items():
            if not (least and least <= told.get(revision, 0) <= most):
                problems.append(f"{revision}: {told.get(revision)} rows printed, {least} to {most} written")
        for revision, title in (("df50e92ffc5e", "Add Experiment Tags Table"), ("39d1c3be5f05", "add_is_nan")):
            problems += [f"{revision} printed as a data migration"] if revision in told else []
    tap.check(f"rows and rate of data migrations are printed ({side.name})", problems)


def die_after(url, last):
    """MLflow's upgrade in a process that dies by SIGKILL before it changes something for the (last + 1)th time; whether it did."""
    import sqlalchemy

    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    count = 0
    mlflow = oracle.Mlflow(url)

    @sqlalchemy.event.listens_for(mlflow.engine, "before_cursor_execute")
    def before(connection, cursor, statement, *rest):
        nonlocal count
        if statement.split()[0] in ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE"):
            count += 1
            if count > last:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        mlflow.upgrade(chain[-1])
    finally:
        os._exit(0)


def wrecks(side, order):
    """MLflow's upgrade of a filled database, killed before each of its statements that change something; distinct wrecks only."""
    fill(side, order)
    oracle.run("upgrade", "--to", "head", side.url, check=True)
    structure_wanted, rows_wanted = result_of_wreck(side)
    found, problems = 0, []
    seen = set()
    for last in wreck_points(side):
        side.reset()
        die_after(side.url, last)
        state = frozenset(sqlite_structure_of_wreck(side.path))
        if state in seen:
            continue
        seen.add(state)
        plain = oracle.run("upgrade", "--to", "head", side.url)
        if plain.returncode and "--recover" not in plain.stderr:
            problems.append(f"after {last} statements: {plain.stderr}")
        found += plain.returncode != 0
        done = oracle.run("upgrade", "--recover", "--to", "head", side.url)
        if done.returncode:
            problems.append(f"after {last} statements: {done.stderr}")
            continue
        structure, rows = result_of_wreck(side)
        problems += [f"after {last}: {line}" for line in differences(structure, structure_wanted)]
        problems += [f"after {last}: rows of {t}: {difference(rows.get(t), rows_wanted[t])}" for t in rows_wanted if rows.get(t) != rows_wanted[t]]
    problems += [] if found > 2 else [f"only {found} wrecks were made"]
    tap.check(f"--recover completes what MLflow's upgrade leaves when killed from revision {order} on ({len(seen)} states, {found} wrecks)", problems)


def difference(rows, wanted):
    if not isinstance(rows, list):
        return f"{rows}, not {wanted}"
    return f"{sorted(set(rows) - set(wanted))[:2]}, not {sorted(set(wanted) - set(rows))[:2]} ({len(rows)}, not {len(wanted)})"


def wreck_points(side):
    """All counts of statements after which MLflow's upgrade has not ended yet, or a sample of them."""
    low, high = 0, 2000
    while low < high:
        middle = (low + high) // 2
        side.reset()
        if die_after(side.url, middle):
            low = middle + 1
        else:
            high = middle
    points = list(range(low))
    return points if os.environ.get("DEEP") else random.Random(3).sample(points, 14)


def result_of_wreck(side):
    structure, rows = result(side)
    # MLflow makes the tag for some runs only.
    rows["tags"] = [r for r in rows["tags"] if "'key': 'mlflow.user'" not in r]
    return structure, rows


def sqlite_structure_of_wreck(path):
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        yield from connection.execute("SELECT name, sql FROM sqlite_schema").fetchall()
        yield from connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.OperationalError:
        yield "no stamp"
    finally:
        connection.close()


with tempfile.TemporaryDirectory() as name, oracle.Postgres() as postgres:
    for one in (Sqlite(Path(name)), Postgres(postgres)):
        kills(one)
        race(one)
        rows_told(one)
    odd_databases(postgres)
    for one in IN_THE_WAY:
        in_the_way(postgres, one)
    for one in HARMLESS:
        harmless(postgres, one)
    for one in RIGHTS:
        rights(postgres, one)
    unlogged(postgres)
    other_schema(postgres)
    closed_files(postgres)
    missing_tables(postgres)
    two_schemas(postgres)
    quoted_schema(postgres)
    no_schema(postgres)
    drift(postgres)
    restored(postgres)
    legacy_shapes(postgres)
    late_server(postgres)
    too_many_connections(postgres)
    connections_closed(postgres)
    for order in (0, 24, 45):
        with tempfile.TemporaryDirectory() as of_order:
            wrecks(Sqlite(Path(of_order)), order)
tap.done()
