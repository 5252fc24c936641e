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

@test "create makes the schema of the requested release" {
    run_split ml-schema create --release 3.17.2 $db
    assert_status 0
    assert_contains "$stderr" "3.17.0 to 3.17.2"
    assert_equal "$(sqlite3 x.db 'SELECT version_num FROM alembic_version')" dc11669786a5
    assert_equal "$(sqlite3 x.db "SELECT name FROM workspaces")" default
    assert_equal "$(sqlite3 x.db 'PRAGMA integrity_check')" ok
}

@test "X.Y means its latest patch release, X.Y.Z that release" {
    ml-schema create -q --release 3.1 sqlite:///latest.db
    ml-schema create -q --release 3.1.0 sqlite:///first.db
    assert_equal "$(ml-schema current sqlite:///latest.db)" "bda7b8c39065	3.0.1, 3.1.1 to 3.1.4"
    assert_equal "$(ml-schema current sqlite:///first.db)" "6953534de441	3.0.0, 3.1.0"
    ml-schema create -q --release 1.1 sqlite:///old.db
    assert_equal "$(ml-schema current sqlite:///old.db)" "181f10493468	1.1.0"
}

@test "an unknown release is an error and creates no file" {
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

@test "an mlflow that is a link into its environment is found, too" {
    fake_mlflow venv 3.2.0
    mkdir bin
    ln -s ../venv/bin/mlflow bin/mlflow
    PATH=$PWD/bin:$PATH run_split ml-schema create $db
    assert_contains "$stderr" "MLflow 3.2.0"
}

@test "with an mlflow of an unknown release the newest installable one is chosen" {
    fake_mlflow venv 7.0.0
    PATH=$PWD/venv/bin:$PATH run_split ml-schema create $db
    assert_status 0
    assert_contains "$stderr" "is MLflow 7.0.0, which is unknown here"
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

@test "of several programs that create one file at the same time one succeeds, and no other removes it" {
    for round in $(seq 30); do
        rm -f x.db
        for i in 1 2 3 4 5 6; do
            { rc=0; ml-schema create -q --release 3.17 $db 2>err.$i || rc=$?; echo $rc >rc.$i; } &
        done
        wait
        assert_equal "$(cat rc.* | sort | tr -d '\n')" 022222
        assert_equal "$(ml-schema current $db)" "dc11669786a5	3.17.0 to 3.17.2"
    done
    grep -q "x.db: another ml-schema is creating this database" err.*
    rm err.* rc.*
    assert_equal "$(ls -A)" x.db
}

@test "create follows a link, and leaves a dangling one" {
    ln -s /nodir/x.db nowhere.db
    run_split ml-schema create --release 2.0 sqlite:///nowhere.db
    assert_status 2
    assert_contains "$stderr" "nowhere.db: cannot create: No such file or directory"
    [ -L nowhere.db ]
    ln -s real.db x.db
    ml-schema create -q --release 2.0 $db
    [ -L x.db ]
    assert_equal "$(ml-schema current sqlite:///real.db)" "97727af70f4d	1.29.0 to 2.2.2"
}

@test "create makes no file next to a journal of another database, and removes what a killed one has left" {
    echo mine >x.db-journal
    run_split ml-schema create --release 2.0 $db
    assert_status 2
    assert_contains "$stderr" "x.db-journal: left over from a database"
    [ ! -e x.db ]
    [ ! -e .x.db.ml-schema ]
    rm x.db-journal
    echo "half a database" >.x.db.ml-schema
    ml-schema create -q --release 2.0 $db
    [ ! -e .x.db.ml-schema ]
    assert_equal "$(ml-schema current $db)" "97727af70f4d	1.29.0 to 2.2.2"
}

@test "create accepts an empty database, also with an empty alembic_version" {
    sqlite3 x.db 'CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
                  CREATE TABLE mine (a)'
    assert_equal "$(ml-schema current $db)" empty
    ml-schema create -q --release 2.0 $db
    assert_equal "$(ml-schema current $db)" "97727af70f4d	1.29.0 to 2.2.2"
    assert_equal "$(sqlite3 x.db "SELECT count(*) FROM sqlite_schema WHERE name = 'mine'")" 1
}

@test "a file that is not a database is refused and stays" {
    printf 'something else, long enough to be looked at as a header' >x.db
    before=$(sha x.db)
    for command in current history create; do
        run_split ml-schema $command $db
        assert_status 2
        assert_contains "$stderr" "not a SQLite database"
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

@test "a URL that is not a database's is refused, and no password is shown" {
    for u in x.db sqlite:x.db sqlite://x.db sqlite:// sqlite:///:memory: mysql://u:geheim@h/d file:///x postgresql:/u:geheim@h \
        postgresql://u:geh:eim@h/d 'postgresql://u:geheim@[h/d' 'postgresql://u@h/d?password=geheim&nonsense=1' \
        'postgres://u:geh%zzeim@h/d'; do
        run_split ml-schema current "$u"
        assert_status 2
        refute_contains "$stderr" geheim
        refute_contains "$stderr" eim@
    done
}

@test "URLs may be relative, absolute, encoded or have a driver" {
    mkdir 'a b'
    ml-schema create -q --release 2.0 "sqlite:////$PWD/a%20b/%C3%A9.db"
    [ -s 'a b/é.db' ]
    assert_contains "$(ml-schema current 'sqlite+pysqlite:///a b/é.db?timeout=5')" 97727af70f4d
    assert_contains "$(ml-schema current 'sqlite:///file:a b/é.db?mode=rw&uri=true')" 97727af70f4d
}

@test "a URL with escapes means another file to some MLflow: creating it warns, and a missing one is explained" {
    run_split ml-schema create -q 'sqlite:///a%20b.db'
    assert_status 0
    assert_contains "$stderr" "warning: this is the file a b.db; MLflow with SQLAlchemy before 2.1 reads it as a%20b.db"
    assert_contains "$stderr" "hint: for every MLflow the URL is sqlite:///a b.db"
    run_split ml-schema create -q 'sqlite:///a%3Fb.db'
    [ -s 'a?b.db' ]
    assert_contains "$stderr" "hint: no URL refers to this file in every MLflow; choose a name without ? and %"
    run_split ml-schema create -q 'sqlite:///100%.db'
    assert_equal "$stderr" ""
    mv 'a b.db' 'a%20b.db'
    run_split ml-schema current 'sqlite:///a%20b.db'
    assert_status 2
    assert_contains "$stderr" "hint: there is a file a%20b.db, which is how MLflow with SQLAlchemy before 2.1 reads this URL"
}

@test "without a URL the environment decides, else mlflow.db, and the choice is printed" {
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

@test "a foreign stamp, two stamps and a stamp without tables are refused" {
    ml-schema create -q --release 2.22 $db
    sqlite3 x.db "UPDATE alembic_version SET version_num = '4b75f9a0c123'"
    run_split ml-schema upgrade --to head $db
    assert_status 2
    assert_contains "$stderr" "revision '4b75f9a0c123' is not one of MLflow's up to"
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

@test "wrong arguments are named" {
    for arguments in '' nonsense 'create --nonsense' 'current a b' 'create --release'; do
        run_split ml-schema $arguments
        assert_status 2
        assert_contains "$stderr" usage
    done
}

# A database of MLflow 1.0 with one run and its metrics.
old_database() {
    ml-schema create -q --release 1.0 $db
    sqlite3 x.db "INSERT INTO experiments VALUES (0, 'Default', 'file:///m', 'active');
        INSERT INTO runs (run_uuid, experiment_id, status, user_id) VALUES ('r1', 0, 'FINISHED', 'ann'), ('r2', 0, 'FAILED', 'bob');
        INSERT INTO metrics (key, value, timestamp, run_uuid, step) VALUES ('a', 1, 1, 'r1', 0), ('a', 2, 1, 'r1', 1), ('b', 3, 1, 'r2', 0)"
}

@test "upgrade goes to the requested release, with every row" {
    old_database
    run_split ml-schema upgrade --to 3.17 $db
    assert_status 0
    assert_contains "$stderr" "[6/70] 89d4b8295536 create latest metrics table"
    assert_contains "$stderr" "[6/70] 89d4b8295536: 2 rows written in 0."
    refute_contains "$stderr" "[14/70] 39d1c3be5f05:" # it only looks at rows
    assert_contains "$stderr" "take a backup first"
    assert_contains "$stderr" "3.17.0 to 3.17.2"
    assert_equal "$(sqlite3 x.db "SELECT run_uuid || key || value || step FROM latest_metrics ORDER BY 1" | tr '\n' ,)" r1a2.01,r2b3.00,
    run_split ml-schema check --release 3.17 $db
    assert_status 0
}

@test "SQLite's temporary files are next to the database, or where SQLITE_TMPDIR says" {
    mkdir tmp real
    ml-schema create -q --release 1.2 sqlite:///real/x.db
    sqlite3 real/x.db "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO metrics (key, value, timestamp, run_uuid, step) SELECT 'k' || (i % 7919), i, i, 'r' || (i % 100), 0 FROM n"
    cp real/x.db y.db
    ln -s real/x.db x.db
    export TMPDIR=$PWD/tmp
    assert_equal "$(files_in tmp ml-schema upgrade -q --to 3.17 $db)" no
    assert_equal "$(SQLITE_TMPDIR=$PWD/tmp files_in tmp ml-schema upgrade -q --to 3.17 sqlite:///y.db)" yes
    [ -z "$(ls tmp)" ]
}

@test "a second upgrade changes no byte" {
    old_database
    ml-schema upgrade -q --to head $db
    before=$(sha x.db)
    run_split ml-schema upgrade --to head $db
    assert_status 0
    assert_contains "$stderr" "nothing to do"
    assert_equal "$(sha x.db)" "$before"
    [ ! -e x.db-journal ]
}

@test "upgrade cannot downgrade" {
    ml-schema create -q --release 3.17 $db
    before=$(sha x.db)
    run_split ml-schema upgrade --to 3.10 $db
    assert_status 2
    assert_contains "$stderr" "newer than 1b5f0d9ad7c1"
    assert_equal "$(sha x.db)" "$before"
}

@test "upgrade --dry-run lists the revisions with rows and rewritten tables, and changes nothing" {
    old_database
    before=$(sha x.db)
    run_split ml-schema upgrade --dry-run --to 1.5.0 $db
    assert_status 0
    assert_equal "$(printf '%s\n' "$output" | wc -l)" 6
    assert_contains "$output" "89d4b8295536	create latest metrics table	3 metric entries, 2 unique metrics, 2 runs with metrics"
    assert_contains "$output" "cfd24bdc0731	Update run status constraint with killed	rewrites runs"
    assert_contains "$stderr" "6 revisions would be applied"
    assert_contains "$stderr" "backup"
    assert_equal "$(sha x.db)" "$before"
}

@test "upgrade --backup copies the database as it was and never replaces a file" {
    old_database
    sqlite3 x.db .dump >before
    ml-schema upgrade -q --to head --backup copy.db $db
    sqlite3 copy.db .dump | diff - before
    rm x.db
    cp copy.db x.db
    before=$(sha x.db)
    run_split ml-schema upgrade --to head --backup copy.db $db
    assert_status 2
    assert_contains "$stderr" "copy.db: the file exists"
    run_split ml-schema upgrade --to head --backup absent/copy.db $db
    assert_status 2
    assert_equal "$(sha x.db)" "$before"
    assert_equal "$(ls)" "before
copy.db
x.db"
}

@test "only those who may read the database may read its backup" {
    umask 022
    old_database
    chmod 600 x.db
    # What a killed one may have left is not taken over as it is.
    echo "half a backup" >.copy.db.ml-schema
    chmod 644 .copy.db.ml-schema
    ml-schema upgrade -q --to 1.5.0 --backup copy.db $db
    assert_equal "$(stat -c %a copy.db)" 600
    chmod 664 x.db
    ml-schema upgrade -q --to head --backup second.db $db
    assert_equal "$(stat -c %a second.db)" 644
    assert_equal "$(ml-schema current sqlite:///second.db)" "cfd24bdc0731	1.5.0"
    assert_equal "$(ls -A)" "copy.db
second.db
x.db"
}

@test "a backup that does not fit leaves no file, and the database as it was" {
    old_database
    sqlite3 x.db "CREATE TABLE large (a); INSERT INTO large VALUES (zeroblob(3000000))"
    sqlite3 x.db .dump >before
    mkdir small
    unshare -rm mount -t tmpfs tmpfs small || skip "no file system of one's own"
    run_split unshare -rm sh -c "mount -t tmpfs -o size=32k tmpfs small &&
        { ml-schema upgrade --to head --backup small/copy.db $db; echo \$?; ls -A small; }"
    assert_equal "$output" 2
    assert_contains "$stderr" "database or disk is full"
    sqlite3 x.db .dump | diff - before
}

@test "a revision that fails leaves the database complete at the one before, and names the row" {
    ml-schema create -q --release 3.16 $db
    sqlite3 x.db "INSERT INTO experiments (experiment_id, name) VALUES (1, 'e');
        INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('t', 1, 1, 'OK');
        INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content, dimension_attributes)
            VALUES ('t', 1, 's', 'OK', 1, '{}', '{\"other\": 1}')"
    sqlite3 x.db .dump >before
    run_split ml-schema upgrade --to head $db
    assert_status 2
    assert_contains "$stderr" "span s of trace t: dimension_attributes has keys other"
    assert_contains "$stderr" "the database is intact at revision b7e2c1a4d9f3"
    sqlite3 x.db .dump | diff - before
    sqlite3 x.db "UPDATE spans SET dimension_attributes = NULL; DELETE FROM trace_info"
    run_split ml-schema upgrade --to head $db
    assert_status 2
    assert_contains "$stderr" "belongs to trace t, which is not in trace_info"
}

@test "users' indexes, triggers and views survive an upgrade" {
    old_database
    sqlite3 x.db "CREATE INDEX mine ON metrics (value); CREATE VIEW v AS SELECT key, value FROM metrics;
        CREATE TABLE log (n); CREATE TRIGGER t AFTER INSERT ON runs BEGIN INSERT INTO log VALUES (1); END;
        CREATE TABLE users (id)"
    ml-schema upgrade -q --to head $db
    assert_equal "$(sqlite3 x.db "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE name IN ('mine', 'v', 't', 'log', 'users') ORDER BY 1)")" \
        log,mine,t,users,v
    assert_equal "$(sqlite3 x.db 'SELECT count(*) FROM v')" 3
    run_split ml-schema check --release 3.18 $db
    assert_status 0
}

@test "users' objects survive under any name" {
    for release in 1.0 2.22; do
        rm -f x.db
        ml-schema create -q --release $release $db
        sqlite3 x.db "CREATE INDEX name ON experiments (name); CREATE INDEX value ON metrics (value);
            CREATE TRIGGER status AFTER INSERT ON experiments BEGIN SELECT 1; END; CREATE INDEX part ON params (key)"
        ml-schema upgrade -q --to head $db
        assert_equal "$(sqlite3 x.db "SELECT name FROM sqlite_schema WHERE name IN ('name', 'value', 'status', 'part') ORDER BY 1" | tr '\n' ,)" \
            name,part,status,value,
    done
}

# in_the_way RELEASE SQL TEXT: of a database of that release with that SQL's things an upgrade says TEXT, and leaves it as it was
in_the_way() {
    rm -f y.db
    ml-schema create -q --release "$1" sqlite:///y.db
    sqlite3 y.db "$2"
    before=$(sha y.db)
    for option in --dry-run -q; do
        run_split ml-schema upgrade --to head $option sqlite:///y.db
        assert_status 2
        assert_contains "$stderr" "in the way: $3"
        assert_contains "$stderr" "would stop the upgrade in the middle; nothing was changed"
        assert_equal "$(sha y.db)" "$before"
    done
}

@test "users' objects that would stop a revision are named before the first one" {
    in_the_way 1.0 "ALTER TABLE metrics ADD COLUMN own TEXT" \
        "metrics: revision 181f10493468 rebuilds this table, and column own is not MLflow's"
    in_the_way 1.0 "ALTER TABLE experiments ADD COLUMN own TEXT" \
        "experiments: revision 1b5f0d9ad7c1 rebuilds this table, and column own is not MLflow's"
    in_the_way 2.22 "ALTER TABLE experiments ADD COLUMN own TEXT GENERATED ALWAYS AS (lower(name)) VIRTUAL" \
        "experiments: revision 1b5f0d9ad7c1 rebuilds this table, and column own is not MLflow's"
    in_the_way 2.22 "CREATE INDEX Idx_Experiments_Workspace ON experiments (name)" \
        "Idx_Experiments_Workspace: this index or trigger is not MLflow's and does not fit the new table: index"
    in_the_way 3.9 "CREATE TABLE workspaces (owner); INSERT INTO workspaces VALUES ('ann')" \
        "revision 1b5f0d9ad7c1 (Add workspace columns and catalog table): table workspaces already exists"
    in_the_way 1.0 "CREATE TABLE issues (a)" "revision 76601a5f987d (add issues table): table issues already exists"
    in_the_way 3.10 "ALTER TABLE jobs ADD COLUMN creator" "revision b7e2c1a4d9f3 (add creator column to jobs): duplicate column name: creator"
    in_the_way 3.7 "CREATE VIEW broken AS SELECT * FROM nowhere" "view broken cannot be read: no such table: "
    in_the_way 3.16 "CREATE VIEW v AS SELECT dimension_attributes FROM spans" \
        "view v cannot be read any more: no such column: dimension_attributes"
}

@test "a broken view and a table of an extension do not stop an upgrade" {
    ml-schema create -q --release 1.0 $db
    sqlite3 x.db "CREATE VIRTUAL TABLE words USING fts5 (word);
        CREATE TRIGGER t AFTER INSERT ON runs BEGIN INSERT INTO words VALUES (new.name); END"
    ml-schema upgrade -q --to 3.17 $db
    sqlite3 x.db "INSERT INTO runs (run_uuid, name) VALUES ('r', 'seen'); CREATE VIEW broken AS SELECT * FROM nowhere"
    ml-schema upgrade -q --to head $db
    assert_equal "$(sqlite3 x.db 'SELECT word FROM words')" seen
    ml-schema create -q --release 3.16 sqlite:///y.db
    sqlite3 y.db "CREATE TABLE others (a TEXT CHECK (a REGEXP 'x')); CREATE INDEX mine ON runs (name) WHERE name REGEXP 'y'"
    ml-schema upgrade -q --to head sqlite:///y.db
}

@test "a virtual table without its module and an unreadable view do not stop any command" {
    ml-schema create -q --release 2.22 $db
    sqlite3 x.db "CREATE TABLE mine (a); PRAGMA writable_schema = ON;
        INSERT INTO sqlite_schema VALUES ('table', 'vecs', 'vecs', 0, 'CREATE VIRTUAL TABLE vecs USING vec0(embedding float[4])')"
    cp x.db y.db
    for command in "check --release 2.22" current history "upgrade --dry-run --to 3.17" "upgrade --to 3.17" "check --release 3.17" \
        "upgrade --recover --to head" "check --release 3.18" "migrate-to-default-workspace --yes"; do
        run_split ml-schema $command $db
        assert_status 0
    done
    assert_equal "$(sqlite3 x.db "SELECT count(*) FROM sqlite_schema WHERE name IN ('vecs', 'mine')")" 2
    sqlite3 y.db "CREATE VIEW v AS SELECT * FROM vecs; CREATE VIEW w AS SELECT * FROM nowhere"
    run_split ml-schema check --release 2.22 sqlite:///y.db
    assert_status 0
    run_split ml-schema current sqlite:///y.db
    assert_status 0
    # what else is in the way is named all the same
    vecs="PRAGMA writable_schema = ON;
        INSERT INTO sqlite_schema VALUES ('table', 'vecs', 'vecs', 0, 'CREATE VIRTUAL TABLE vecs USING vec0(embedding float[4])');"
    in_the_way 1.0 "CREATE TABLE issues (a); $vecs" "revision 76601a5f987d (add issues table): table issues already exists"
    in_the_way 3.7 "CREATE VIEW broken AS SELECT * FROM nowhere; $vecs" "view broken cannot be read: no such table: "
}

# hold: another program keeps x.db locked, from when this returns until `let_go`. What runs meanwhile is started with 6>&-.
hold() {
    rm -f gate held
    mkfifo gate
    sqlite3 x.db <gate >held 6>&- &
    holder=$!
    exec 6>gate
    echo "BEGIN EXCLUSIVE; SELECT 'held';" >&6
    wait_for grep -q held held
}

let_go() {
    echo "COMMIT;" >&6
    exec 6>&-
    wait $holder
}

# waiting TEXT COMMAND...: runs it while x.db is locked, lets go of the lock when it has said TEXT; $status, $stderr
waiting() {
    text=$1
    shift
    : >said
    "$@" >/dev/null 2>said 6>&- &
    pid=$!
    wait_for ended_or $pid grep -q -- "$text" said
    let_go
    status=0
    wait $pid || status=$?
    stderr=$(cat said)
}

@test "upgrade reports that it waits for a lock, and --lock-timeout ends the wait" {
    old_database
    hold
    run_split ml-schema upgrade --to head --lock-timeout 1 $db 6>&-
    assert_status 2
    assert_contains "$stderr" "waiting for another program"
    assert_contains "$stderr" "database is locked"
    waiting "waiting for another program" ml-schema upgrade --to head --lock-timeout 60 $db
    assert_status 0
    assert_contains "$(ml-schema current $db)" f4a9b2c7d1e6
}

@test "check, current and history retry --retries times while a file is locked" {
    ml-schema create -q --release 3.17 $db
    for command in "check --release 3.17" "check --release 3.17 --retries 20" current history "create --release 3.17"; do
        hold
        waiting "trying again in" ml-schema $command "$db?timeout=0.05"
        assert_contains "$stderr" "x.db?timeout=0.05: database is locked; trying again in 0.1 s"
        case $command in
        create*) assert_contains "$stderr" "already has MLflow's tables" ;;
        *) assert_status 0 ;;
        esac
    done
    hold
    for tries in 0 2; do
        run_split ml-schema check --release 3.17 --retries $tries "$db?timeout=0.05" 6>&-
        assert_status 2
        assert_equal "$(printf '%s\n' "$stderr" | grep -c 'trying again')" $tries
        assert_contains "$stderr" "hint: another program is using the database"
        refute_contains "$stderr" --lock-timeout
    done
    waiting "trying again in" ml-schema check --release 3.17 $db # after SQLite's own time of waiting
    assert_status 0
}

@test "commands with --lock-timeout wait that long for a locked file, whatever --retries is, and report it" {
    old_database
    ml-schema create -q --release 3.17 sqlite:///new.db
    for command in "upgrade --dry-run --to head" "migrate-to-default-workspace --dry-run" "migrate-to-default-workspace --yes"; do
        [ "$command" = "upgrade --dry-run --to head" ] || cp new.db x.db
        hold
        run_split ml-schema $command --lock-timeout 1 --retries 20 $db 6>&-
        assert_status 2
        assert_contains "$stderr" "waiting for another program that is using sqlite:///x.db"
        assert_contains "$stderr" "database is locked"
        refute_contains "$stderr" "trying again"
        waiting "waiting for another program" ml-schema $command --lock-timeout 60 --retries 0 $db
        assert_status 0
        assert_contains "$stderr" "waiting for another program that is using sqlite:///x.db"
    done
}

@test "eight concurrent upgrades all succeed" {
    old_database
    for i in 1 2 3 4 5 6 7 8; do
        { ml-schema upgrade --to head $db 2>err.$i; echo $? >rc.$i; } &
    done
    wait
    assert_equal "$(cat rc.* | tr -d '\n')" 00000000
    assert_equal "$(grep -l '\[70/70\]' err.* | wc -l)" 1
    run_split ml-schema check --release 3.18 $db
    assert_status 0
}

@test "what an interrupted upgrade by MLflow leaves is named, and undone by --recover" {
    ml-schema create -q --release 1.2 $db
    sqlite3 x.db "INSERT INTO experiments VALUES (0, 'Default', 'file:///m', 'active'); INSERT INTO runs (run_uuid, experiment_id) VALUES ('r', 0);
        INSERT INTO metrics (key, value, timestamp, run_uuid) VALUES ('k', 1, 1, 'r');
        CREATE TABLE _alembic_tmp_tags (key VARCHAR(250));
        CREATE TABLE latest_metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT, step BIGINT NOT NULL, is_nan BOOLEAN NOT NULL, run_uuid VARCHAR(32) NOT NULL)"
    sqlite3 x.db .dump >before
    for option in '' --dry-run; do
        run_split ml-schema upgrade $option --to head $db
        assert_status 2
        assert_contains "$stderr" "table _alembic_tmp_tags: an unfinished copy of tags"
        assert_contains "$stderr" "table latest_metrics: of the next revision"
        assert_contains "$stderr" --recover
    done
    sqlite3 x.db .dump | diff - before
    ml-schema upgrade -q --recover --to head $db 2>messages
    run_split ml-schema check --release 3.18 $db
    assert_status 0
    assert_equal "$(sqlite3 x.db 'SELECT count(*) FROM latest_metrics')" 1
}

@test "--recover drops columns and indexes of the next revision, but no column with values" {
    ml-schema create -q --release 1.27 $db
    sqlite3 x.db "ALTER TABLE runs ADD COLUMN deleted_time BIGINT; INSERT INTO runs (run_uuid) VALUES ('r')"
    run_split ml-schema upgrade --to head $db
    assert_status 2
    assert_contains "$stderr" "table runs: column deleted_time: of the next revision"
    sqlite3 x.db "UPDATE runs SET deleted_time = 5"
    run_split ml-schema upgrade --recover --to head $db
    assert_status 2
    assert_contains "$stderr" "column deleted_time belongs to the next revision, and has values"
    sqlite3 x.db "UPDATE runs SET deleted_time = NULL"
    ml-schema upgrade -q --recover --to head $db
    ml-schema create -q --release 1.24 sqlite:///y.db
    sqlite3 y.db "CREATE INDEX index_params_run_uuid ON params (run_uuid)"
    ml-schema upgrade -q --recover --to head sqlite:///y.db
    run_split ml-schema check --release 3.18 sqlite:///y.db
    assert_status 0
}

@test "--recover drops no table that merely has a name of the next revision, and no row that is not MLflow's" {
    ml-schema create -q --release 3.9 $db
    ml-schema upgrade -q --to c8d9e0f1a2b3 $db
    sqlite3 x.db "CREATE TABLE _alembic_tmp_tags (key VARCHAR(250));
        CREATE TABLE workspaces (id INTEGER PRIMARY KEY, owner TEXT); INSERT INTO workspaces VALUES (1, 'ann')"
    run_split ml-schema upgrade --recover --to head $db
    assert_status 2
    assert_contains "$stderr" "table workspaces already exists"
    assert_equal "$(sqlite3 x.db 'SELECT owner FROM workspaces')" ann
    sqlite3 x.db "DROP TABLE workspaces; CREATE TABLE workspaces (name VARCHAR(63) NOT NULL, description TEXT, default_artifact_root TEXT);
        INSERT INTO workspaces (name) VALUES ('mine')"
    run_split ml-schema upgrade --recover --to head $db
    assert_status 2
    assert_contains "$stderr" "workspaces: the table belongs to the next revision, and has rows"
    assert_equal "$(sqlite3 x.db 'SELECT name FROM workspaces')" mine
    sqlite3 x.db "UPDATE workspaces SET name = 'default'"
    ml-schema upgrade -q --recover --to head $db
    run_split ml-schema check --release 3.18 $db
    assert_status 0
}

@test "--recover accepts keys and constraints as old releases made them, but no missing table" {
    ml-schema sql --dialect sqlite --to base | sed 's/PRIMARY KEY (key, timestamp, run_uuid)/PRIMARY KEY (key, timestamp, run_uuid, value)/' |
        sqlite3 x.db
    sqlite3 x.db "CREATE TABLE _alembic_tmp_metrics (key VARCHAR(250)); ALTER TABLE metrics ADD COLUMN step BIGINT DEFAULT '0' NOT NULL"
    run_split ml-schema upgrade --to head $db
    assert_status 2
    assert_contains "$stderr" "table metrics: column step: of the next revision"
    ml-schema upgrade -q --recover --to head $db
    assert_contains "$(ml-schema current $db)" f4a9b2c7d1e6
    ml-schema create -q --release 2.22 sqlite:///y.db
    sqlite3 y.db "CREATE TABLE _alembic_tmp_tags (key VARCHAR(250)); DROP TABLE trace_tags"
    before=$(sha y.db)
    run_split ml-schema upgrade --recover --to head sqlite:///y.db
    assert_status 2
    assert_contains "$stderr" "trace_tags: the table is missing"
    assert_equal "$(sha y.db)" "$before"
}

@test "a database that has lost its stamp is not taken for an interrupted upgrade" {
    for of in "1.0 90e64c465722" "3.17 dc11669786a5"; do
        rm -f x.db
        ml-schema create -q --release ${of% *} $db
        sqlite3 x.db "DELETE FROM alembic_version"
        before=$(sha x.db)
        for option in -q --recover --dry-run; do
            run_split ml-schema upgrade $option --to head $db
            assert_status 2
            assert_contains "$stderr" "no revision in alembic_version"
            assert_contains "$stderr" "nearest to revision ${of#* }"
            assert_equal "$(sha x.db)" "$before"
        done
    done
}

@test "a database without a stamp is upgraded if it is MLflow 0.9's" {
    ml-schema sql --dialect sqlite --to base | sqlite3 x.db
    sqlite3 x.db "INSERT INTO experiments VALUES (0, 'Default', 'file:///m', 'active')"
    assert_equal "$(ml-schema current $db)" "base	no release"
    ml-schema upgrade -q --to head $db
    run_split ml-schema check --release 3.18 $db
    assert_status 0
    assert_equal "$(sqlite3 x.db 'SELECT name, workspace FROM experiments')" "Default|default"
}

@test "upgrade creates the tables in an empty database" {
    : >x.db
    ml-schema upgrade -q --to 3.10 $db
    run_split ml-schema check --release 3.10 $db
    assert_status 0
}

@test "check names what is missing, different or in the way, and ignores other objects" {
    ml-schema create -q --release 3.18 $db
    sqlite3 x.db "CREATE TABLE users (id); CREATE INDEX mine ON runs (name); ALTER TABLE runs ADD COLUMN own TEXT"
    run_split ml-schema check --release 3.18 $db
    assert_status 0
    sqlite3 x.db "DROP TABLE issue_categories; DROP INDEX index_tags_run_uuid; ALTER TABLE runs DROP COLUMN deleted_time;
        ALTER TABLE tags ADD COLUMN must INTEGER NOT NULL CHECK (must > 0) DEFAULT 1"
    run_split ml-schema check --release 3.18 $db
    assert_status 1
    assert_equal "$output" "table issue_categories is missing
table runs: missing: column deleted_time BIGINT
table tags: missing: index index_tags_run_uuid on (run_uuid)
table tags: not MLflow's: check (must>0)"
}

@test "check names a missing table, including those of the first revision" {
    for table in experiments runs tags metrics params; do
        rm -f x.db
        ml-schema create -q --release 3.17 $db
        sqlite3 x.db "DROP TABLE $table"
        run_split ml-schema check --release 3.17 $db
        assert_status 1
        assert_equal "$output" "table $table is missing"
    done
    sqlite3 x.db "DROP TABLE metrics; DROP TABLE runs; DROP TABLE tags; DROP TABLE experiments"
    run_split ml-schema check --release 3.17 $db
    assert_status 1
    assert_equal "$(printf '%s\n' "$output" | grep -c '^table \(experiments\|runs\|tags\|metrics\|params\) is missing$')" 5
    run_split ml-schema upgrade --to head $db
    assert_status 2
    assert_contains "$stderr" "tables of MLflow are missing"
    sqlite3 x.db "INSERT INTO alembic_version VALUES ('97727af70f4d')"
    run_split ml-schema check --release 3.17 $db
    assert_status 2
    assert_contains "$stderr" "2 revisions"
    sqlite3 x.db "DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('4b75f9a0c123')"
    run_split ml-schema check --release 3.17 $db
    assert_status 2
    assert_contains "$stderr" "4b75f9a0c123"
}

# drift SQL [LINE…]: after that SQL check of a database of 3.18 prints these lines; none means that all is well
drift() {
    [ -e drift.db ] || ml-schema create -q --release 3.18 sqlite:///drift.db
    cp drift.db x.db
    sqlite3 x.db "PRAGMA writable_schema = ON; $1"
    shift
    run_split ml-schema check --release 3.18 $db
    assert_status $(($# > 0))
    [ $# -eq 0 ] || assert_equal "$output" "$(printf '%s\n' "$@")"
}

# drift_text TABLE OLD NEW LINE…: the same with another text in the table's definition
drift_text() {
    old=$(printf %s "$2" | sed "s/'/''/g") new=$(printf %s "$3" | sed "s/'/''/g")
    table=$1
    shift 3
    drift "CREATE TEMP TABLE one (n CHECK (n = 1)); UPDATE sqlite_schema SET sql = replace(sql, '$old', '$new')
        WHERE name = '$table' AND instr(sql, '$old'); INSERT INTO one VALUES (changes())" "$@"
}

@test "check names a unique index that could refuse MLflow's rows, and no other index or column" {
    drift "CREATE UNIQUE INDEX u ON runs (name)" "table runs: not MLflow's: index u unique on (name)"
    drift "CREATE UNIQUE INDEX u ON runs (name) WHERE name > ''" "table runs: not MLflow's: index u unique on (name) partial"
    drift "CREATE UNIQUE INDEX u ON runs (lower(run_uuid))" "table runs: not MLflow's: index u unique on (expression)"
    drift "CREATE UNIQUE INDEX u ON runs (name, run_uuid COLLATE NOCASE)" \
        "table runs: not MLflow's: index u unique on (name, run_uuid COLLATE NOCASE)"
    drift "CREATE UNIQUE INDEX u ON runs (name, run_uuid DESC); CREATE UNIQUE INDEX v ON runs (run_uuid) WHERE name > '';
        CREATE UNIQUE INDEX w ON endpoints (name, created_by, workspace)"
    drift "ALTER TABLE runs ADD COLUMN own TEXT COLLATE NOCASE /* , CHECK (0) */; CREATE UNIQUE INDEX u ON runs (own)"
    drift "ALTER TABLE runs ADD COLUMN own TEXT DEFAULT 'x'; CREATE UNIQUE INDEX u ON runs (own)" \
        "table runs: not MLflow's: index u unique on (own)"
    drift "CREATE TABLE users (id INTEGER PRIMARY KEY); ALTER TABLE runs ADD COLUMN own INTEGER REFERENCES users"
    drift "CREATE TABLE users (id INTEGER PRIMARY KEY); ALTER TABLE runs ADD COLUMN own INTEGER DEFAULT 1 REFERENCES users" \
        "table runs: not MLflow's: foreign key (own) references users () on update NO ACTION on delete NO ACTION"
}

@test "check names an index or trigger with MLflow's name and another definition" {
    drift "DROP INDEX index_params_run_uuid; CREATE INDEX index_params_run_uuid ON params (run_uuid COLLATE nocase)" \
        "table params: index index_params_run_uuid on (run_uuid COLLATE NOCASE), should be: index index_params_run_uuid on (run_uuid)"
    drift "DROP INDEX index_params_run_uuid; CREATE UNIQUE INDEX index_params_run_uuid ON params (run_uuid)" \
        "table params: index index_params_run_uuid unique on (run_uuid), should be: index index_params_run_uuid on (run_uuid)"
    trigger=prevent_secrets_aad_mutation
    drift "DROP TRIGGER $trigger" "table secrets: missing: trigger $trigger"
    for another in "BEFORE INSERT ON secrets BEGIN SELECT RAISE(IGNORE); END" \
        "BEFORE UPDATE ON secrets FOR EACH ROW WHEN OLD.secret_id != NEW.secret_id BEGIN SELECT RAISE(ABORT, 'no'); END"; do
        drift "DROP TRIGGER $trigger; CREATE TRIGGER $trigger $another" "table secrets: trigger $trigger differs from MLflow's"
    done
    drift "CREATE TABLE log (n); CREATE TRIGGER mine BEFORE INSERT ON secrets BEGIN INSERT INTO log VALUES (1); END"
    drift "CREATE TRIGGER mine BEFORE DELETE ON secrets BEGIN SELECT RAISE(ABORT, 'kept'); END"
    drift "CREATE TRIGGER mine BEFORE INSERT ON secrets BEGIN SELECT RAISE(IGNORE); END" \
        "table secrets: not MLflow's: trigger mine, which may reject or drop rows of secrets"
    drift "UPDATE sqlite_schema SET sql = replace(replace(sql, char(10), ' /* */ ' || char(9)), 'ON secrets', 'ON \"secrets\"') WHERE name = '$trigger'"
}

@test "check reads what only a table's SQL text says" {
    drift_text experiments "name VARCHAR(256) NOT NULL" "name VARCHAR(256) COLLATE nocase NOT NULL" \
        "table experiments: column name VARCHAR(256) NOT NULL COLLATE NOCASE, should be: column name VARCHAR(256) NOT NULL" \
        "table experiments: missing: unique (workspace, name)" \
        "table experiments: not MLflow's: unique (workspace, name COLLATE NOCASE)"
    drift_text experiments "name VARCHAR(256) NOT NULL" "name VARCHAR(256) NOT NULL ON CONFLICT IGNORE" \
        "table experiments: column name VARCHAR(256) NOT NULL ON CONFLICT IGNORE, should be: column name VARCHAR(256) NOT NULL"
    drift_text experiments "name VARCHAR(256) NOT NULL" "\"name\" -- a, (
        VARCHAR(256) COLLATE binary NOT NULL ON CONFLICT ABORT /* COLLATE NOCASE */"
    drift_text runs "PRIMARY KEY (run_uuid)" "PRIMARY KEY (run_uuid COLLATE NOCASE)" \
        "table runs: primary key (run_uuid COLLATE NOCASE), should be: primary key (run_uuid)"
    drift_text runs "CONSTRAINT run_pk PRIMARY KEY (run_uuid)" "CONSTRAINT run_pk PRIMARY KEY (run_uuid) ON CONFLICT REPLACE" \
        "table runs: not MLflow's: definition CONSTRAINT run_pk PRIMARY KEY (run_uuid) ON CONFLICT REPLACE"
    drift_text params "REFERENCES runs (run_uuid)" "REFERENCES runs (run_uuid) DEFERRABLE INITIALLY DEFERRED" \
        "table params: not MLflow's: definition FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid) DEFERRABLE INITIALLY DEFERRED"
    drift_text params "REFERENCES runs (run_uuid)" "REFERENCES runs (run_uuid) ON DELETE CASCADE" \
        "table params: foreign key (run_uuid) references runs (run_uuid) on update NO ACTION on delete CASCADE, should be: foreign key (run_uuid) references runs (run_uuid) on update NO ACTION on delete NO ACTION"
    drift_text params "VARCHAR(8000)" "VARCHAR(80)" \
        "table params: column value VARCHAR(80) NOT NULL, should be: column value VARCHAR(8000) NOT NULL"
    drift_text inputs "step BIGINT DEFAULT '0'" "step BIGINT DEFAULT '1'" \
        "table inputs: column step BIGINT NOT NULL DEFAULT 1, should be: column step BIGINT NOT NULL DEFAULT 0"
    drift_text spans "(end_time_unix_nano - start_time_unix_nano)" "(end_time_unix_nano + start_time_unix_nano)" \
        "table spans: column duration_ns BIGINT GENERATED AS (end_time_unix_nano+start_time_unix_nano), should be: column duration_ns BIGINT GENERATED AS (end_time_unix_nano-start_time_unix_nano)"
    drift_text runs "'FINISHED', 'RUNNING', 'KILLED'" "'FINISHED', 'RUNNING'" \
        "table runs: missing: check (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING', 'KILLED'))" \
        "table runs: not MLflow's: check (status IN ('SCHEDULED', 'FAILED', 'FINISHED', 'RUNNING'))"
}

@test "check accepts databases as old releases created them" {
    for release in 1.3 1.14.1; do
        rm -f x.db
        ml-schema create -q --release $release $db
        sqlite3 x.db "PRAGMA writable_schema = ON; UPDATE sqlite_schema
            SET sql = rtrim(rtrim(sql, ')'), char(10)) || ', ' || char(10) || char(9) || 'CHECK (is_nan IN (0, 1))' || char(10) || ')'
            WHERE name = 'latest_metrics'"
        run_split ml-schema check --release $release $db
        assert_equal "$status $output" "0 revision $(ml-schema current $db | cut -f 1), as required by MLflow $release$([ $release = 1.3 ] && echo .0)"
        ml-schema upgrade -q --to head $db
        run_split ml-schema check --release 3.18 $db
        assert_status 0
    done
    ml-schema sql --dialect sqlite --to base | sed 's/PRIMARY KEY (key, timestamp, run_uuid)/PRIMARY KEY (key, timestamp, run_uuid, value)/' |
        sqlite3 base.db
    run_split ml-schema check --release 1.0 sqlite:///base.db
    assert_equal "$output" "revision base (no release) is older than that of MLflow 1.0.0, 90e64c465722"
    ml-schema create -q --release 2.0 sqlite:///y.db
    sqlite3 y.db "ALTER TABLE params ADD COLUMN is_nan CHECK (is_nan IN (0, 1))"
    run_split ml-schema check --release 2.0 sqlite:///y.db
    assert_equal "$output" "table params: not MLflow's: check (is_nan IN (0, 1))"
}

@test "check reports a revision that is older or newer than the release's" {
    ml-schema create -q --release 3.10 $db
    run_split ml-schema check --release 3.17 $db
    assert_status 1
    assert_contains "$output" "older than that of MLflow 3.17.2"
    run_split ml-schema check --release 2.22 $db
    assert_status 1
    assert_contains "$output" "newer than that of MLflow 2.22.5"
    : >empty.db
    run_split ml-schema check --release 2.22 sqlite:///empty.db
    assert_status 1
}

@test "sql writes a script that creates and upgrades, each revision in a transaction, and stops on errors" {
    ml-schema sql --dialect sqlite --to 2.0 | sqlite3 x.db
    run_split ml-schema check --release 2.0 $db
    assert_status 0
    ml-schema sql --dialect sqlite --from 2.0 --to head >script
    sqlite3 x.db <script
    run_split ml-schema check --release 3.18 $db
    assert_status 0
    run sqlite3 x.db <script
    [ "$status" -ne 0 ]
    ml-schema create -q --release 3.16 sqlite:///y.db
    sqlite3 y.db "INSERT INTO experiments (experiment_id, name) VALUES (1, 'e'); INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('t', 1, 1, 'OK')"
    ml-schema sql --dialect sqlite --from 3.16 --to head >script
    run sqlite3 y.db <script
    [ "$status" -ne 0 ]
    assert_equal "$(ml-schema current sqlite:///y.db)" "b7e2c1a4d9f3	3.16.0, 3.16.1"
    ml-schema sql --dialect sqlite --from 2.22 --to head >script
    for own in "ALTER TABLE experiments ADD COLUMN own TEXT" "CREATE INDEX own ON experiments (creation_time)" \
        "CREATE TRIGGER own AFTER INSERT ON experiments BEGIN SELECT 1; END" "ALTER TABLE experiments ADD COLUMN own AS (lower(name))"; do
        rm y.db
        ml-schema create -q --release 2.22 sqlite:///y.db
        sqlite3 y.db "$own"
        sqlite3 y.db .dump >before
        run sqlite3 y.db <script
        [ "$status" -ne 0 ]
        sqlite3 y.db .dump | diff - before
    done
    for arguments in '' '--dialect oracle' '--dialect sqlite --from 3.0 --to 2.0' '--dialect sqlite x'; do
        run_split ml-schema sql $arguments
        assert_status 2
    done
}

@test "migrate-to-default-workspace asks first, moves every row and says how many" {
    ml-schema create -q --release 3.17 $db
    run_split ml-schema migrate-to-default-workspace --yes $db
    assert_status 0
    assert_contains "$stderr" "no rows need to be moved"
    sqlite3 x.db "INSERT INTO experiments (name, workspace) VALUES ('a', 'w'), ('b', 'default');
        INSERT INTO registered_models (name, workspace) VALUES ('m', 'w'); INSERT INTO registered_model_tags (name, key, workspace) VALUES ('m', 'k', 'w')"
    sqlite3 x.db .dump >before
    run_split ml-schema migrate-to-default-workspace --dry-run $db
    assert_status 0
    assert_contains "$output" "  experiments: 1"
    assert_contains "$output" "Total rows: 3"
    run_split ml-schema migrate-to-default-workspace $db </dev/null
    assert_status 2
    assert_contains "$stderr" "no terminal"
    sqlite3 x.db .dump | diff - before
    run_split ml-schema migrate-to-default-workspace -y $db
    assert_status 0
    assert_contains "$output" "Moved 3 rows"
    assert_equal "$(sqlite3 x.db "SELECT (SELECT group_concat(workspace) FROM experiments) || (SELECT workspace FROM registered_model_tags)")" \
        default,defaultdefault
}

@test "migrate-to-default-workspace names all clashes of all tables and moves nothing" {
    ml-schema create -q --release 3.17 $db
    for i in 1 2 3 4; do
        sqlite3 x.db "INSERT INTO experiments (name, workspace) VALUES ('e$i', 'v'), ('e$i', 'w'); INSERT INTO secrets
            VALUES ('s$i', 'same', x'00', x'00', 1, '', NULL, NULL, NULL, NULL, 1, NULL, 1, 'w$i')"
    done
    sqlite3 x.db .dump >before
    run_split ml-schema migrate-to-default-workspace --yes $db
    assert_status 2
    assert_contains "$stderr" "name='e1', workspace='v', experiment_id=1"
    assert_contains "$stderr" "... (3 more)"
    assert_contains "$stderr" "secret_name='same', workspace='w4'"
    refute_contains "$stderr" "name='e4'"
    run_split ml-schema migrate-to-default-workspace --yes --verbose $db
    assert_contains "$stderr" "name='e4'"
    sqlite3 x.db .dump | diff - before
    ml-schema create -q --release 3.9 sqlite:///y.db
    run_split ml-schema migrate-to-default-workspace --yes sqlite:///y.db
    assert_status 2
    assert_contains "$stderr" "since 3.10"
}

@test "a tie of a number and a NaN makes one latest metric, the number; every run's user becomes a tag" {
    ml-schema create -q --release 1.2 $db
    sqlite3 x.db "INSERT INTO runs (run_uuid, experiment_id) VALUES ('r', NULL);
        INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('a', 0, 5, 'r', 1, 1), ('a', -1, 5, 'r', 1, 0),
            ('b', 0, 5, 'r', 1, 1), ('b', 0, 5, 'r', 1, 0), ('c', 0, 5, 'r', 1, 1), ('c', 3, 6, 'r', 0, 0)"
    ml-schema upgrade -q --to head $db
    assert_equal "$(sqlite3 x.db 'SELECT key, value, is_nan FROM latest_metrics ORDER BY key' | tr '\n' ' ')" "a|0.0|1 b|0.0|0 c|0.0|1 "
    ml-schema create -q --release 0 sqlite:///y.db || ml-schema sql --dialect sqlite --to base | sqlite3 y.db
    sqlite3 y.db "INSERT INTO runs (run_uuid, experiment_id, user_id) VALUES ('r1', 1, 'ann'), ('r2', 1, 'bob'), ('r3', NULL, 'eve'), ('r4', 1, '')"
    ml-schema upgrade -q --to head sqlite:///y.db
    assert_equal "$(sqlite3 y.db "SELECT run_uuid || value FROM tags WHERE key = 'mlflow.user' ORDER BY 1" | tr '\n' ' ')" "r1ann r2bob r3eve "
}

@test "an is_nan that is not a boolean is refused at the revision that checks it" {
    ml-schema create -q --release 1.13 $db
    sqlite3 x.db "INSERT INTO metrics (key, value, timestamp, run_uuid, is_nan) VALUES ('a', 0, 5, 'r', 2)"
    run_split ml-schema upgrade --to head $db
    assert_status 2
    assert_contains "$stderr" "39d1c3be5f05"
    assert_equal "$(ml-schema current $db)" "a8c4a736bde6	1.13.0 to 1.14.1"
    sqlite3 x.db "UPDATE metrics SET is_nan = 0"
    ml-schema upgrade -q --to head $db
    run sqlite3 x.db "UPDATE metrics SET is_nan = 2"
    assert_contains "$output" "CHECK constraint failed"
}

@test "columns of MLflow's prepopulation are filled again; others with these names are refused" {
    ml-schema create -q --release 3.16 $db
    sqlite3 x.db "INSERT INTO experiments (experiment_id, name) VALUES (1, 'e');
        INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status) VALUES ('t', 1, 7, 'OK'), ('u', 1, 7, 'OK');
        INSERT INTO trace_tags (key, value, request_id) VALUES ('mlflow.traceName', 'new', 't');
        INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp, last_updated_timestamp, source_type, valid)
            VALUES ('a', 't', 'n', 'feedback', '2.5', 1, 1, 'HUMAN', 1), ('b', 't', 'n', 'feedback', 'null', 1, 1, 'HUMAN', 1);
        ALTER TABLE trace_info ADD COLUMN trace_name VARCHAR(4096);
        ALTER TABLE assessments ADD COLUMN experiment_id INTEGER;
        ALTER TABLE assessments ADD COLUMN trace_timestamp_ms BIGINT;
        ALTER TABLE assessments ADD COLUMN aggregate_value FLOAT;
        ALTER TABLE assessments ADD COLUMN is_numeric_value BOOLEAN DEFAULT 0;
        UPDATE trace_info SET trace_name = 'stale'; UPDATE assessments SET aggregate_value = 9"
    cp x.db y.db
    ml-schema upgrade -q --to head $db
    assert_equal "$(sqlite3 x.db 'SELECT request_id, trace_name FROM trace_info ORDER BY 1' | tr '\n' ' ')" "t|new u| "
    assert_equal "$(sqlite3 x.db 'SELECT experiment_id, trace_timestamp_ms, aggregate_value, is_numeric_value FROM assessments ORDER BY assessment_id' | tr '\n' ' ')" \
        "1|7|2.5|1 1|7||0 "
    run_split ml-schema check --release 3.18 $db
    assert_status 0
    sqlite3 y.db "ALTER TABLE spans ADD COLUMN model_name TEXT NOT NULL DEFAULT ''"
    run_split ml-schema upgrade --to head sqlite:///y.db
    assert_status 2
    assert_contains "$stderr" "column model_name exists already, as TEXT NOT NULL"
}

# The last connection that may write removes the WAL when it is closed.
@test "a command that may write closes the database however it ends" {
    old_database
    sqlite3 x.db 'PRAGMA journal_mode = WAL; CREATE TABLE issues (mine)' >wal
    for command in "upgrade --to 1.5.0" "upgrade --to 1.0" "upgrade --to head" "create --release 3.17" "migrate-to-default-workspace --yes"; do
        run_split ml-schema $command $db
        printf '%s %s\n' "$status" "$command" >>ends
        assert_equal "$(ls)" "ends
wal
x.db"
    done
    assert_equal "$(cut -d ' ' -f 1 ends | tr -d '\n')" 02222
}

@test "commands that only read leave nothing next to a database with a WAL, and do not checkpoint it" {
    ml-schema create -q --release 3.17 $db
    sqlite3 x.db 'PRAGMA journal_mode = WAL' >mode
    ln -s x.db link.db
    before=$(sha x.db)
    for command in current history "check --release 3.17" "upgrade --dry-run --to head" "migrate-to-default-workspace --dry-run"; do
        ml-schema $command $db >out
        ml-schema $command sqlite:///link.db >out
        assert_equal "$(echo x.db*)" x.db
    done
    # A writer that was killed has left its rows in the WAL.
    python3 -c "import os, sqlite3; c = sqlite3.connect('x.db'); c.execute('DROP TABLE params'); c.commit(); os._exit(0)"
    wal=$(sha x.db-wal)
    run_split ml-schema check --release 3.17 $db
    assert_equal "$output" "table params is missing"
    assert_equal "$(sha x.db) $(sha x.db-wal)" "$before $wal"
    assert_equal "$(sqlite3 x.db "SELECT count(*) FROM sqlite_schema WHERE name = 'params'")" 0
}

@test "SIGINT ends an upgrade in the middle of a statement with status 130, at a complete revision" {
    ml-schema create -q --release 1.2 $db
    sqlite3 x.db "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 400000)
        INSERT INTO metrics (key, value, timestamp, run_uuid, step) SELECT 'k' || (i % 7919), i, i, 'r' || (i % 100), 0 FROM n"
    setsid env --default-signal=INT ml-schema upgrade --to head $db 2>messages &
    pid=$!
    wait_for ended_or $pid grep -q 89d4b8295536 messages
    kill -INT $pid
    status=0
    wait $pid || status=$?
    assert_status 130
    refute_contains "$(ml-schema current $db)" 3.18.0
    ml-schema upgrade -q --to head $db
    assert_equal "$(sqlite3 x.db 'SELECT count(*) FROM metrics')" 400000
}

@test "a missing index that another one makes redundant is tolerated, and reported" {
    ml-schema create -q --release 3.17 $db
    sqlite3 x.db "DROP INDEX index_metrics_run_uuid"
    run_split ml-schema check --release 3.17 $db
    assert_status 0
    assert_equal "$output" "table metrics: tolerated: missing: index index_metrics_run_uuid on (run_uuid) (index_metrics_run_uuid_key_step has its columns first)
revision dc11669786a5, as required by MLflow 3.17.2"
    sqlite3 x.db "DROP INDEX index_metrics_run_uuid_key_step"
    run_split ml-schema check --release 3.17 $db
    assert_status 1
    assert_contains "$output" "table metrics: missing: index index_metrics_run_uuid on (run_uuid)"
}

@test "tables of another program with MLflow's names are not MLflow's: the columns decide" {
    sqlite3 x.db "CREATE TABLE runs (id INTEGER PRIMARY KEY, state TEXT); CREATE TABLE tags (key TEXT, value TEXT)"
    assert_equal "$(ml-schema current $db)" empty
    run_split ml-schema check --release 3.17 $db
    assert_status 1
    assert_equal "$output" "the database has no MLflow tables"
    before=$(sha x.db)
    run_split ml-schema create --release 3.17 $db
    assert_status 2
    assert_contains "$stderr" "table runs already exists"
    assert_equal "$(sha x.db)" "$before"
    rm x.db
    ml-schema create -q --release 3.17 $db
    sqlite3 x.db "DELETE FROM alembic_version"
    run_split ml-schema current $db
    assert_status 2
    assert_contains "$stderr" "hint: restore alembic_version from a backup; its structure is nearest to revision dc11669786a5"
    refute_contains "$stderr" insert
}

@test "current names an unknown revision and the known one that is nearest by structure" {
    ml-schema create -q --release 3.18 $db
    sqlite3 x.db "UPDATE alembic_version SET version_num = '0123456789ab'; CREATE TABLE novelties (a); ALTER TABLE runs ADD COLUMN mood TEXT"
    before=$(sha x.db)
    run_split ml-schema current $db
    assert_status 0
    assert_equal "$output" "0123456789ab	unknown; nearest: f4a9b2c7d1e6	3.18.0"
    assert_contains "$stderr" "revision '0123456789ab' is not one of MLflow's up to 3.18.0; its structure is nearest to revision f4a9b2c7d1e6 (3.18.0)"
    for command in check "upgrade --to head" "upgrade --recover --to head" create "migrate-to-default-workspace --yes"; do
        run_split ml-schema $command $db
        assert_status 2
    done
    assert_equal "$(sha x.db)" "$before"
}

@test "a Git LFS pointer in place of the database is recognised" {
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 1245184\n' 7 >x.db
    for command in "ml-schema current" mldb-dump "ml-schema check"; do
        run_split $command $db
        assert_status 2
        assert_contains "$stderr" "x.db: this is a Git LFS pointer, not the database itself"
        assert_contains "$stderr" "git lfs pull"
    done
}
