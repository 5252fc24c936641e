#!/usr/bin/env bats
# ml-schema without MLflow; what real MLflow says of it is in tests/mlflow/test_schema.py.

load helpers

setup() {
    work
    db=sqlite:///x.db
}

sha() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# A prefix as pip makes it: bin/mlflow, and the metadata of its release. PREFIX RELEASE
fake_mlflow() {
    mkdir -p "$1/bin" "$1/lib/python3.11/site-packages/mlflow-$2.dist-info"
    printf '#!%s/bin/python3.11\nraise SystemExit("must not be run")\n' "$PWD/$1" >"$1/bin/mlflow"
    chmod 755 "$1/bin/mlflow"
}

@test "create makes the schema of the release that is asked for" {
    run_split ml-schema create --release 3.17.2 $db
    assert_status 0
    assert_contains "$stderr" "3.17.0 to 3.17.2"
    assert_equal "$(sqlite3 x.db 'SELECT version_num FROM alembic_version')" dc11669786a5
    assert_equal "$(sqlite3 x.db "SELECT name FROM workspaces")" default
    assert_equal "$(sqlite3 x.db 'PRAGMA integrity_check')" ok
}

@test "X.Y means the latest patch of it, X.Y.Z that one" {
    ml-schema create -q --release 3.1 sqlite:///latest.db
    ml-schema create -q --release 3.1.0 sqlite:///first.db
    assert_equal "$(ml-schema current sqlite:///latest.db)" "bda7b8c39065	3.0.1, 3.1.1 to 3.1.4"
    assert_equal "$(ml-schema current sqlite:///first.db)" "6953534de441	3.0.0, 3.1.0"
    ml-schema create -q --release 1.1 sqlite:///old.db
    assert_equal "$(ml-schema current sqlite:///old.db)" "181f10493468	1.1.0"
}

@test "a release that is not known is an error and makes no file" {
    for release in 9.9 3 3.1.77 3.1. latest; do
        run_split ml-schema create --release $release $db
        assert_status 2
        assert_contains "$stderr" "hint:"
        [ ! -e x.db ]
    done
}

@test "the release is that of the mlflow on PATH, which is not run" {
    fake_mlflow venv 2.10.1
    PATH=$PWD/venv/bin:$PATH run_split ml-schema create $db
    assert_status 0
    assert_contains "$stderr" "MLflow 2.10.1, the release of $PWD/venv/bin/mlflow"
    assert_equal "$(ml-schema current $db)" "acf3f17fdcc7	2.8.0 to 2.12.2"
}

@test "an mlflow that is a link into its environment is found too" {
    fake_mlflow venv 3.2.0
    mkdir bin
    ln -s ../venv/bin/mlflow bin/mlflow
    PATH=$PWD/bin:$PATH run_split ml-schema create $db
    assert_contains "$stderr" "MLflow 3.2.0"
}

@test "an mlflow of a release that is not known leads to the newest that can be installed" {
    fake_mlflow venv 7.0.0
    PATH=$PWD/venv/bin:$PATH run_split ml-schema create $db
    assert_status 0
    assert_contains "$stderr" "of MLflow 7.0.0, which is not known here"
    newest=$(awk -F'\t' '$4 == "yes" { r = $1 } END { print r }' "$ROOT/migrations/releases.tsv")
    assert_contains "$stderr" "MLflow $newest, the newest that can be installed"
}

@test "create leaves a database that has tables as it was" {
    ml-schema create -q --release 2.22 $db
    before=$(sha x.db)
    run_split ml-schema create --release 3.17 $db
    assert_status 2
    assert_contains "$stderr" "0584bdc529eb"
    assert_equal "$(sha x.db)" "$before"
}

@test "create takes an empty database, also one with an empty alembic_version" {
    sqlite3 x.db 'CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
                  CREATE TABLE mine (a)'
    assert_equal "$(ml-schema current $db)" empty
    ml-schema create -q --release 2.0 $db
    assert_equal "$(ml-schema current $db)" "97727af70f4d	1.29.0 to 2.2.2"
    assert_equal "$(sqlite3 x.db "SELECT count(*) FROM sqlite_schema WHERE name = 'mine'")" 1
}

@test "what is no database is refused and stays" {
    printf 'something else, long enough to be looked at as a header' >x.db
    before=$(sha x.db)
    for command in current history create; do
        run_split ml-schema $command $db
        assert_status 2
        assert_contains "$stderr" "no SQLite database"
    done
    assert_equal "$(sha x.db)" "$before"
    for target in sqlite:///absent/x.db sqlite:////tmp; do
        run_split ml-schema create --release 2.0 $target
        assert_status 2
    done
    run_split ml-schema current sqlite:///absent.db
    assert_status 2
    assert_contains "$stderr" "absent.db: No such file"
    [ ! -e absent.db ]
}

@test "URLs: what is no database URL is refused, and no password is shown" {
    for u in x.db sqlite:x.db sqlite://x.db sqlite:// sqlite:///:memory: mysql://u:geheim@h/d file:///x postgresql:/u:geheim@h \
        postgresql://u:geh:eim@h/d 'postgresql://u:geheim@[h/d' 'postgresql://u@h/d?password=geheim&nonsense=1' \
        'postgres://u:geh%zzeim@h/d'; do
        run_split ml-schema current "$u"
        assert_status 2
        refute_contains "$stderr" geheim
        refute_contains "$stderr" eim@
    done
}

@test "URLs: relative, absolute, encoded, with a driver" {
    mkdir 'a b'
    ml-schema create -q --release 2.0 "sqlite:////$PWD/a%20b/%C3%A9.db"
    [ -s 'a b/é.db' ]
    assert_contains "$(ml-schema current 'sqlite+pysqlite:///a b/é.db?timeout=5')" 97727af70f4d
    assert_contains "$(ml-schema current 'sqlite:///file:a b/é.db?mode=rw&uri=true')" 97727af70f4d
}

@test "without a URL the environment says which database, else it is mlflow.db, and it is told" {
    MLFLOW_BACKEND_STORE_URI=$db run_split ml-schema create --release 2.0
    assert_status 0
    assert_contains "$stderr" "using sqlite:///x.db"
    MLFLOW_BACKEND_STORE_URI=/some/mlruns MLFLOW_TRACKING_URI=$db run_split ml-schema current
    assert_contains "$output" 97727af70f4d
    MLFLOW_TRACKING_URI=http://localhost:5000 run_split ml-schema current
    assert_status 2
    assert_contains "$stderr" "using sqlite:///mlflow.db"
}

@test "current knows a database without a stamp by its structure" {
    ml-schema create -q --release 1.0 sqlite:///one.db
    ml-schema create -q --release 2.22 $db
    sqlite3 x.db 'DELETE FROM alembic_version'
    run_split ml-schema current $db
    assert_status 2
    assert_contains "$stderr" "nearest to revision 0584bdc529eb"
    sqlite3 base.db 'CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY); CREATE TABLE runs (run_uuid); CREATE TABLE tags (key);
                     CREATE TABLE params (key); CREATE TABLE metrics (key, value, timestamp, run_uuid)'
    assert_equal "$(ml-schema current sqlite:///base.db)" "base	no release"
}

@test "a stamp that is foreign, double or without tables is refused" {
    ml-schema create -q --release 2.22 $db
    sqlite3 x.db "UPDATE alembic_version SET version_num = '4b75f9a0c123'"
    run_split ml-schema current $db
    assert_status 2
    assert_contains "$stderr" 4b75f9a0c123
    sqlite3 x.db "UPDATE alembic_version SET version_num = '0584bdc529eb'; INSERT INTO alembic_version VALUES ('97727af70f4d')"
    run_split ml-schema current $db
    assert_status 2
    assert_contains "$stderr" "2 revisions"
    sqlite3 x.db "DELETE FROM alembic_version WHERE version_num = '97727af70f4d'; DROP TABLE metrics"
    run_split ml-schema current $db
    assert_status 2
    assert_contains "$stderr" "missing"
}

@test "history lists every revision with its first release, and what a database has" {
    assert_equal "$(ml-schema history | wc -l)" 70
    assert_equal "$(ml-schema history | sed -n 6p)" "89d4b8295536	1.3.0	create latest metrics table"
    ml-schema create -q --release 2.22 $db
    assert_equal "$(ml-schema history $db | grep -c '	applied$')" 28
    assert_equal "$(ml-schema history $db | grep -c '	pending$')" 42
    assert_equal "$(ml-schema history $db | sed -n 29p)" "400f98739977	3.0.0	add logged model tables	pending"
}

@test "wrong words on the command line are told" {
    for arguments in '' nonsense 'create --nonsense' 'current a b' 'create --release'; do
        run_split ml-schema $arguments
        assert_status 2
        assert_contains "$stderr" usage
    done
}
