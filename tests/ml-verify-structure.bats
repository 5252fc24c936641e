#!/usr/bin/env bats
# ml-verify judges the structure of a database too, on SQLite and PostgreSQL alike: what MLflow refuses, or loses rows by.

load helpers

setup_file() {
    start_postgres
    cd "$BATS_FILE_TMPDIR" || return 1
    # ids that fit the columns
    mlruns-dump -q "$ROOT/tests/data/mlruns" | ml-transform --json |
        jq -c 'if .experiment_id then .experiment_id |= .[0:3] else . end' | ml-transform --from-json --reseal >a.mlr
    ml-load -q --release 3.17.2 sqlite:///a.db <a.mlr
    createdb sound
    ml-load -q --release 3.17.2 postgresql:///sound <a.mlr
}

teardown_file() {
    stop_postgres
}

setup() {
    work
    cp "$BATS_FILE_TMPDIR"/a.mlr .
    PGDATABASE=t$BATS_TEST_NUMBER
    export PGDATABASE
}

# Both databases as they were loaded.
fresh() {
    cp "$BATS_FILE_TMPDIR"/a.db a.db
    dropdb --if-exists "$PGDATABASE" 2>/dev/null
    createdb -T sound "$PGDATABASE"
}

# structure SQL SQL: the lines under Structure: of SQLite and of PostgreSQL after each one's SQL ("": none), with both statuses:
# $sqlite, $postgresql
structure() {
    fresh
    sqlite3 a.db "$1"
    psql -qX -v ON_ERROR_STOP=1 -c "$2"
    sqlite=$(ml-verify -q sqlite:///a.db <a.mlr | sed -n '/^Data:/,/^$/p')
    postgresql=$(ml-verify -q postgresql:/// <a.mlr | sed -n '/^Data:/,/^$/p')
}

# both_say LINE…: what both of them have answered; the data are as they were
both_say() {
    wanted=$(printf '%s\n' "Data: SUCCESS" "Structure: FAILED" "$@")
    assert_equal "$sqlite" "$wanted"
    assert_equal "$postgresql" "$wanted"
}

no_difference() { # SQL [SQL]
    structure "$1" "${2-$1}"
    assert_equal "$sqlite" "Data: SUCCESS
Structure: SUCCESS"
    assert_equal "$postgresql" "$sqlite"
}

@test "a missing, a double and a wrong revision are reported" {
    structure "DELETE FROM alembic_version" "DELETE FROM alembic_version"
    both_say "  - the database has MLflow's tables but no revision in alembic_version; its structure is nearest to revision dc11669786a5 (3.17.0 to 3.17.2)"
    structure "DROP TABLE alembic_version" "DROP TABLE alembic_version"
    both_say "  - the database has MLflow's tables but no revision in alembic_version; its structure is nearest to revision dc11669786a5 (3.17.0 to 3.17.2)"
    sql="INSERT INTO alembic_version VALUES ('97727af70f4d')"
    structure "$sql" "$sql"
    both_say "  - alembic_version has 2 revisions, but must have one; its structure is nearest to revision dc11669786a5 (3.17.0 to 3.17.2)"
    # an earlier one: what the later ones have made is in the way of MLflow's upgrade
    sql="UPDATE alembic_version SET version_num = 'b7e2c1a4d9f3'"
    structure "$sql" "$sql"
    for answer in "$sqlite" "$postgresql"; do
        assert_contains "$answer" "Structure: FAILED"
        assert_contains "$answer" "table alembic_version: revision b7e2c1a4d9f3, but the tables and columns are those of dc11669786a5 (3.17.0 to 3.17.2)"
    done
    # a later one: MLflow takes for done what is not
    sql="UPDATE alembic_version SET version_num = '8b6ad64cb8f5'"
    structure "$sql" "$sql"
    for answer in "$sqlite" "$postgresql"; do
        assert_contains "$answer" "table issue_categories is missing"
    done
}

@test "triggers and rules that delete, change, swallow or refuse MLflow's rows are reported" {
    structure "CREATE TRIGGER doom AFTER INSERT ON runs BEGIN DELETE FROM runs WHERE run_uuid = NEW.run_uuid; END" \
        "CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN -- of old
             DELETE FROM ONLY public.runs WHERE run_uuid = NEW.run_uuid; RETURN NULL; END \$\$;
         CREATE TRIGGER doom AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION doom()"
    both_say "  - table runs: not MLflow's: trigger doom, which deletes from runs"
    structure "CREATE TRIGGER doom AFTER UPDATE OF status ON runs WHEN NEW.status = 'KILLED' BEGIN UPDATE OR IGNORE runs SET status = 'FAILED'; END" \
        "CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN EXECUTE 'UPDATE runs r SET status = ''FAILED'''; RETURN NULL; END \$\$;
         CREATE TRIGGER doom AFTER UPDATE OF status ON runs FOR EACH ROW EXECUTE FUNCTION doom()"
    both_say "  - table runs: not MLflow's: trigger doom, which changes runs"
    structure "CREATE TRIGGER doom BEFORE INSERT ON tags BEGIN SELECT RAISE(IGNORE); END" \
        "CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER doom BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION doom()"
    both_say "  - table tags: not MLflow's: trigger doom, which may reject or drop rows of tags"
    structure "CREATE TRIGGER doom AFTER INSERT ON experiments BEGIN INSERT OR REPLACE INTO params VALUES ('a', 'b', 'c'); REPLACE INTO tags VALUES ('a', 'b', 'c'); END" \
        "CREATE RULE doom AS ON INSERT TO experiments DO INSTEAD NOTHING"
    assert_contains "$sqlite" "  - table experiments: not MLflow's: trigger doom, which replaces rows of params, replaces rows of tags"
    assert_contains "$postgresql" "  - table experiments: not MLflow's: rule doom, which replaces operations on experiments"
    fresh
    psql -qX -v ON_ERROR_STOP=1 -c "CREATE FUNCTION doom() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.status := ''FAILED''; RETURN NEW; END';
        CREATE TRIGGER doom BEFORE INSERT OR UPDATE ON runs FOR EACH ROW EXECUTE FUNCTION doom();
        CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END';
        CREATE TRIGGER guard BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION guard();
        ALTER TABLE params SET UNLOGGED"
    run_split ml-verify -q postgresql:/// <a.mlr
    assert_status 1
    assert_contains "$output" "Structure: FAILED
  - table params: not MLflow's: options UNLOGGED
  - table runs: not MLflow's: trigger doom, which changes runs
  - table tags: not MLflow's: trigger guard, which may reject or drop rows of tags

Status: FAILED"
}

@test "missing tables, a view in place of one and a different default are reported" {
    structure "ALTER TABLE params RENAME TO p; CREATE VIEW params AS SELECT * FROM p" \
        "ALTER TABLE params RENAME TO p; CREATE VIEW params AS SELECT * FROM p"
    for answer in "$sqlite" "$postgresql"; do
        assert_contains "$answer" "Structure: FAILED
  - table params is missing: there is a view of this name"
    done
    structure "DROP TABLE spans" "DROP TABLE spans CASCADE"
    assert_contains "$sqlite" "  - table spans is missing"
    assert_contains "$postgresql" "  - table spans is missing"
    structure "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'DEFAULT ''default''', 'DEFAULT ''other''') WHERE name = 'experiments'" \
        "ALTER TABLE experiments ALTER workspace SET DEFAULT 'other'"
    assert_contains "$sqlite" "table experiments: column workspace VARCHAR(63) NOT NULL DEFAULT other, should be: column workspace VARCHAR(63) NOT NULL DEFAULT default"
    assert_contains "$postgresql" "column workspace character varying(63) NOT NULL DEFAULT 'other'::character varying, should be"
}

@test "an altered, a renamed and a missing default workspace are reported" {
    for sql in "UPDATE workspaces SET default_artifact_root = 's3://elsewhere'" "UPDATE workspaces SET description = 'mine'" \
        "UPDATE workspaces SET name = 'other'" "DELETE FROM workspaces"; do
        fresh
        sqlite3 a.db "$sql"
        psql -qX -c "$sql"
        for u in sqlite:///a.db postgresql:///; do
            run_split ml-verify -q $u <a.mlr
            assert_status 1
            assert_contains "$output" "Data: FAILED
Structure: SUCCESS"
            case $sql in
            *elsewhere* | *mine*) assert_contains "$output" "FAILED: Row workspaces (name=default)
  - not in source" ;;
            *) assert_contains "$output" "FAILED: Row workspaces (name=default)
  - missing in target" ;;
            esac
        done
    done
    # what the source itself has is equal
    fresh
    sqlite3 a.db "UPDATE workspaces SET description = 'mine'"
    mldb-dump -q sqlite:///a.db >b.mlr
    run_split ml-verify -q sqlite:///a.db <b.mlr
    assert_status 0
}

@test "a user's foreign key that can refuse MLflow's rows is a difference, one that is null in them is not" {
    users="CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1)"
    structure "$users; ALTER TABLE runs ADD COLUMN own INTEGER DEFAULT 1 REFERENCES users" \
        "$users; ALTER TABLE runs ADD COLUMN own INTEGER DEFAULT 1 REFERENCES users"
    for answer in "$sqlite" "$postgresql"; do
        assert_contains "$answer" "Data: SUCCESS
Structure: FAILED
  - table runs: not MLflow's: foreign key (own) "
    done
    no_difference "$users; ALTER TABLE runs ADD COLUMN own INTEGER REFERENCES users"
    no_difference "CREATE TABLE notes (run_uuid VARCHAR(32) REFERENCES runs (run_uuid) ON DELETE CASCADE, note TEXT)"
}

@test "an old revision, users' objects, tolerated differences and wide ids are not reported" {
    no_difference "DROP INDEX index_metrics_run_uuid"
    no_difference "CREATE TABLE users (id INTEGER PRIMARY KEY); CREATE INDEX mine ON runs (name); ALTER TABLE runs ADD COLUMN own TEXT; CREATE VIEW v AS SELECT * FROM runs"
    no_difference "CREATE TABLE log (n); ALTER TABLE runs ADD COLUMN own INTEGER;
        CREATE TRIGGER t AFTER INSERT ON runs BEGIN INSERT INTO log VALUES (1); UPDATE log SET n = 2; DELETE FROM log; UPDATE runs SET own = 1 WHERE run_uuid = NEW.run_uuid; END" \
        "CREATE TABLE log (n int); ALTER TABLE runs ADD own int;
        CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO log VALUES (1); DELETE FROM log; -- DELETE FROM runs
            RAISE NOTICE 'DELETE FROM runs'; NEW.own := 1; RETURN NEW; END \$\$;
        CREATE TRIGGER t BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION t(); CREATE RULE r AS ON INSERT TO runs DO ALSO NOTHING"
    # behind: an old revision, judged against itself
    mlruns-dump -q "$ROOT/tests/data/mlruns" >wide.mlr
    ml-load -q --release 2.22 --drop-unsupported sqlite:///old.db <wide.mlr || [ $? -eq 1 ]
    mldb-dump -q sqlite:///old.db >old.mlr
    run_split ml-verify -q sqlite:///old.db <old.mlr
    assert_status 0
    assert_contains "$output" "Structure: SUCCESS"
    dropdb --if-exists wide
    createdb wide
    ml-load -q --release 3.17.2 --wide-experiment-ids postgresql:///wide <wide.mlr
    run_split ml-verify -q postgresql:///wide <wide.mlr
    assert_status 0
    assert_contains "$output" "Structure: SUCCESS"
}

@test "a role that may only read is enough, and a hot standby can be checked" {
    fresh
    psql -qX -U postgres -c "CREATE ROLE reader LOGIN" -c "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader" \
        -c "REVOKE ALL ON DATABASE $PGDATABASE FROM PUBLIC" -c "GRANT CONNECT ON DATABASE $PGDATABASE TO reader" \
        -c "ALTER ROLE reader SET default_transaction_read_only = on"
    PGUSER=reader run_split ml-verify -q postgresql:/// <a.mlr
    assert_status 0
    assert_contains "$output" "Structure: SUCCESS"
    psql -qX -c "ALTER TABLE runs DROP CONSTRAINT source_type"
    standby=$(sh "$ROOT/tests/postgres.sh" standby "$PGDIR")
    eval "$standby"
    PGUSER=reader PGHOST=$STANDBY_HOST PGPORT=$STANDBY_PORT run_split ml-verify -q postgresql:/// <a.mlr
    sh "$ROOT/tests/postgres.sh" stop "$STANDBY_DIR"
    assert_status 1
    assert_contains "$output" "Data: SUCCESS
Structure: FAILED
  - table runs: missing: check ((source_type = ANY"
}

@test "if the structure cannot be checked, a note says so and the data decide" {
    fresh
    psql -qX -U postgres -c "CREATE ROLE blind LOGIN" -c "GRANT SELECT ON ALL TABLES IN SCHEMA public TO blind" -c "REVOKE ALL ON alembic_version FROM blind"
    PGUSER=blind run_split ml-verify -q postgresql:/// <a.mlr
    assert_status 0
    assert_contains "$output" "Data: SUCCESS
Structure: NOT CHECKED: permission denied for table alembic_version

Status: SUCCESS"
    sqlite3 a.db "UPDATE alembic_version SET version_num = '4b75f9a0c123'"
    run_split ml-verify -q sqlite:///a.db <a.mlr
    assert_status 0
    assert_contains "$output" "Structure: NOT CHECKED: revision '4b75f9a0c123' is not one of MLflow's up to "
    assert_contains "$output" "nearest to revision dc11669786a5"
}

@test "--json has a member for each difference, and --data-only says that it omits the structure" {
    fresh
    sqlite3 a.db "DROP TABLE spans; DELETE FROM params WHERE rowid = 1"
    run_split ml-verify -q --json sqlite:///a.db <a.mlr
    assert_status 1
    assert_equal "$(echo "$output" | tail -1 | jq -c '[.status, .data, .structure, .structure_reason, .structure_differences]')" \
        '["FAILED","FAILED","FAILED",null,["table spans is missing"]]'
    run_split ml-verify -q --json --data-only sqlite:///a.db <a.mlr
    assert_status 1
    assert_equal "$(echo "$output" | tail -1 | jq -c '[.status, .data, .structure, .structure_reason, .structure_differences]')" \
        '["FAILED","FAILED","NOT CHECKED","--data-only",[]]'
    cp "$BATS_FILE_TMPDIR"/a.db a.db
    sqlite3 a.db "DROP TABLE spans"
    run_split ml-verify -q sqlite:///a.db <a.mlr
    assert_status 1
    run_split ml-verify -q --data-only sqlite:///a.db <a.mlr
    assert_status 0
    assert_contains "$output" "Data: SUCCESS
Structure: NOT CHECKED: --data-only

Status: SUCCESS"
}

@test "a database of an unknown revision is read: what has a known shape as records, the rest as rows" {
    fresh
    for sql in "UPDATE alembic_version SET version_num = '0123456789ab'" "CREATE TABLE novelties (id INTEGER PRIMARY KEY, what TEXT)" \
        "INSERT INTO novelties VALUES (1, 'a'), (2, NULL)" "ALTER TABLE runs ADD COLUMN mood TEXT" "ALTER TABLE runs ADD COLUMN own INTEGER" \
        "UPDATE runs SET mood = 'good' WHERE run_uuid = (SELECT min(run_uuid) FROM runs)"; do
        sqlite3 a.db "$sql"
        psql -qX -v ON_ERROR_STOP=1 -c "$sql"
    done
    run_id=$(sqlite3 a.db "SELECT min(run_uuid) FROM runs")
    for u in sqlite:///a.db postgresql:///; do
        run_split sh -c "mldb-dump $u >b.mlr"
        assert_status 0
        assert_contains "$stderr" "revision '0123456789ab' is not one of MLflow's up to"
        assert_contains "$stderr" "nearest to revision dc11669786a5 (3.17.0 to 3.17.2); its known tables and columns are read as usual, and as rows: novelties, runs (mood,own)"
        assert_equal "$(ml-transform --json <b.mlr | jq -c 'select(.kind == "row") | [.table, .values]')" \
            "[\"novelties\",{\"id\":2}]
[\"novelties\",{\"id\":1,\"what\":\"a\"}]
[\"runs\",{\"run_uuid\":\"$run_id\",\"mood\":\"good\"}]"
        for option in --data-only --exact; do
            run_split ml-verify $option $u <b.mlr
            assert_status 0
            assert_contains "$output" "Other Rows: 3/3 passed"
            assert_contains "$output" "Data: SUCCESS
Structure: NOT CHECKED: "
            assert_contains "$stderr" "and as rows: novelties, runs (mood,own)"
        done
        # the known shape alone, of a file store
        run_split ml-verify --data-only $u <a.mlr
        assert_status 0
    done
    for sql in "UPDATE novelties SET what = 'b' WHERE id = 2" "UPDATE runs SET mood = NULL"; do
        sqlite3 a.db "$sql"
        run_split ml-verify -q --data-only sqlite:///a.db <b.mlr
        assert_status 1
    done
    assert_contains "$output" "Other Rows: 1/4 passed"
    before=$(sha256sum a.db)
    run_split ml-load -q sqlite:///a.db <a.mlr
    assert_status 2
    assert_equal "$(sha256sum a.db)" "$before"
}

# besides TABLE TYPE VALUE: gives each table of $u a column, and every row a value in it.
besides() {
    cat <<END
ALTER TABLE "$1" ADD COLUMN zz_besides $2;
UPDATE "$1" SET zz_besides = $3;
END
}

@test "the values of an additional column of a database of an unknown revision are carried, in any table" {
    fresh
    python3 "$ROOT/tests/fill_tables.py" a.db
    sqlite3 a.db "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step) VALUES ('rest', 'X', 'x', 'Y', 'y', 0)"
    mldb-dump -q --with-secrets sqlite:///a.db >full.mlr
    dropdb "$PGDATABASE"
    createdb -E UTF8 -T template0 "$PGDATABASE"
    ml-load -q --release 3.17.2 postgresql:/// <full.mlr
    tables=$(sqlite3 a.db "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'alembic_version'")
    [ "$(echo "$tables" | wc -l)" -gt 50 ]
    {
        echo "UPDATE alembic_version SET version_num = '0123456789ab';"
        for table in $tables; do besides "$table" TEXT "'besides $table'"; done
    } >besides.sql
    psql -qX -v ON_ERROR_STOP=1 -f besides.sql
    sqlite3 a.db <besides.sql
    for u in sqlite:///a.db postgresql:///; do
        run_split sh -c "mldb-dump --with-secrets $u >b.mlr"
        assert_status 0
        ml-transform --json <b.mlr >b.json
        for table in $tables; do
            case $u in
            sqlite*) rows=$(sqlite3 a.db "SELECT count(*) FROM \"$table\"") ;;
            *) rows=$(psql -qAtX -c "SELECT count(*) FROM \"$table\"") ;;
            esac
            [ "$rows" -gt 0 ]
            assert_equal "$table $(grep -c "\"zz_besides\":\"besides $table\"" b.json || true)" "$table $rows"
        done
        # of tables that have rows of kinds and others the former's columns go with their key
        assert_contains "$(cat b.json)" '{"kind":"row","table":"input_tags","values":{"input_uuid":'
        assert_equal "$(jq -r 'select(.table == "inputs") | .values | keys | join(" ")' b.json | sort -u)" \
            "destination_id destination_type input_uuid source_id source_type step zz_besides
destination_id destination_type source_id source_type zz_besides"
        assert_equal "$(jq -r 'select(.table == "spans") | .values | keys | join(" ")' b.json | sort -u)" "span_id trace_id zz_besides"
        refute_contains "$stderr" "not read"
        for option in --data-only --exact; do
            run_split ml-verify $option $u <b.mlr
            assert_status 0
            assert_contains "$output" "Data: SUCCESS"
        done
    done
    for where in assessments inputs "inputs WHERE source_type = 'DATASET'" "inputs WHERE source_type = 'X'" input_tags spans; do
        cp a.db bad.db
        sqlite3 bad.db "UPDATE ${where% WHERE*} SET zz_besides = 'other'${where#"${where% WHERE*}"}"
        run_split ml-verify --data-only sqlite:///bad.db <b.mlr
        assert_equal "$where: $status" "$where: 1"
    done
    # a key by which columns besides could not be told from a row
    sqlite3 a.db "CREATE TABLE k (input_uuid, name, value, zz_besides, PRIMARY KEY (input_uuid, name, value)); INSERT INTO k SELECT * FROM input_tags;
        DROP TABLE input_tags; ALTER TABLE k RENAME TO input_tags"
    run_split sh -c "mldb-dump --with-secrets sqlite:///a.db >c.mlr"
    assert_contains "$stderr" "; not read: input_tags (zz_besides)"
    # in a schema that is known they are not MLflow's
    run_split ml-load --release 3.17.2 sqlite:///known.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "zz_besides"
    run_split ml-load --drop-unsupported --release 3.17.2 sqlite:///known.db <b.mlr
    assert_status 1
    ml-verify -q sqlite:///known.db <full.mlr >report
}

@test "odd names, wide tables and tables without a key of a database of an unknown revision are read" {
    fresh
    for sql in "UPDATE alembic_version SET version_num = '0123456789ab'" 'CREATE TABLE "we""ird, one" (a INTEGER, "b,c" TEXT, "S E L" TEXT)' \
        "INSERT INTO \"we\"\"ird, one\" VALUES (1, 'two', 'three')" 'ALTER TABLE runs ADD COLUMN "b,""c" TEXT' "UPDATE runs SET \"b,\"\"c\" = 'nine'" \
        "CREATE TABLE wide ($(seq -s ', ' -f 'c%g INTEGER' 70))" "INSERT INTO wide VALUES ($(seq -s ', ' 70))"; do
        sqlite3 a.db "$sql"
        psql -qX -v ON_ERROR_STOP=1 -c "$sql"
    done
    sqlite3 a.db "CREATE TABLE p AS SELECT *, 7 AS mood FROM params; DROP TABLE params; ALTER TABLE p RENAME TO params"
    psql -qX -c "ALTER TABLE params DROP CONSTRAINT param_pk" -c "ALTER TABLE params ADD mood int" -c "UPDATE params SET mood = 7"
    # rows of a partition are the table's
    psql -qX -c "CREATE TABLE events (id int, a text) PARTITION BY RANGE (id)" -c "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (9)" \
        -c "INSERT INTO events VALUES (1, 'x')"
    runs=$(sqlite3 a.db 'SELECT count(*) FROM runs') params=$(sqlite3 a.db 'SELECT count(*) FROM params')
    for u in sqlite:///a.db postgresql:///; do
        run_split sh -c "mldb-dump $u >b.mlr"
        assert_status 0
        assert_contains "$stderr" "; not read: wide (c65,c66,c67,c68,c69,c70)"
        ml-transform --json <b.mlr | jq -c 'select(.kind == "row") | [.table, .values]' >rows
        [[ $u = sqlite* ]] || assert_equal "$(grep '^."events' rows)" '["events",{"id":1,"a":"x"}]'
        refute_contains "$stderr" events_1
        grep -qxF '["we\"ird, one",{"a":1,"b,c":"two","S E L":"three"}]' rows
        assert_equal "$(grep -c '"b,\\"c":"nine"' rows)" "$runs"
        assert_equal "$(grep -c '^\["params",{"mood":7}]' rows)" "$params"
        assert_equal "$(grep '^."wide"' rows | jq -c '.[1] | length')" 64
        ml-verify -q --data-only $u <b.mlr >report
    done
    sqlite3 a.db "DELETE FROM params WHERE rowid = (SELECT min(rowid) FROM params)" # one of several equal rows, too
    run_split ml-verify -q --data-only sqlite:///a.db <b.mlr
    assert_status 1
    assert_contains "$output" "FAILED: Row 'params'"
}
