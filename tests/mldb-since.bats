#!/usr/bin/env bats
# mldb-dump --since: SQLite files that go on growing. Ticks have a clock of their own (tests/later.c).

load helpers
load tick_helpers

setup_file() {
    build_later
}

setup() {
    work
    ml-load -q --release 3.17 sqlite:///m.db <"$ROOT/tests/data/streams/1.0-database.mlr"
    no_ticks
    RUN=2e0c8ec1303343bbb3b00caf2717ea34
}

tick() { # [ARGUMENT...]
    tick_of mldb-dump -v --since state --next-state state.new "$@" sqlite:///m.db
}

assert_whole() {
    mldb-dump -q sqlite:///m.db >full.mlr
    assert_ticks_make_full
}

@test "the first tick is a complete stream of format 1, the second is empty" {
    tick
    assert_status 0
    mldb-dump -q sqlite:///m.db >plain.mlr
    cmp <(ml-transform --json <plain.mlr | sed '1d;$d') <(ml-transform --json <tick.mlr | sed '1d;$d')
    assert_equal "$(ml-transform --json <tick.mlr | sed -n 1p | jq -c '[.format, .base]')" "[1,null]"
    tick
    assert_equal "$(kinds_sent)" ""
    assert_equal "$(ml-transform --json <tick.mlr | sed -n 1p | jq -c '[.format, .base]')" "[2,0]"
}

@test "only changed rows, points and parents with their marks are sent" {
    tick
    sqlite3 m.db "UPDATE tags SET value = 'v' WHERE key = 'mlflow.runName' AND run_uuid = '$RUN'"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged run:unchanged tag"
    sqlite3 m.db "UPDATE runs SET end_time = 1 WHERE run_uuid = '$RUN';
        INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('new', 1, 1, '$RUN', 1, 0);
        INSERT INTO latest_metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('new', 1, 1, '$RUN', 1, 0)"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged latest_metric metric run:changed"
    sqlite3 m.db "UPDATE experiments SET name = 'renamed' WHERE experiment_id = 537708342419121040;
        INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES (99, 'new', 'active', 'default');
        INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage, status, start_time, user_id) VALUES ('fresh', 99, 'active', 'RUNNING', 1, 'u');
        INSERT INTO params VALUES ('p', 'v', 'fresh');
        UPDATE model_versions SET description = 'd' WHERE version = 1;
        UPDATE spans SET content = '{}'; UPDATE scorer_versions SET serialized_scorer = '[]'"
    tick
    assert_equal "$(sent 'select(.kind == "experiment") | "\(.experiment_id) \(.partial)"')" "537708342419121040 changed 99 null"
    assert_equal "$(sent 'select(.kind == "run") | "\(.run_id) \(.partial)"')" "fresh null"
    assert_equal "$(sent 'select(.kind == "row") | .table')" scorer_versions
    assert_equal "$(sent 'select(.kind == "span") | .content')" "{}"
    assert_equal "$(sent 'select(.kind == "trace") | .partial')" unchanged
    assert_whole
    tick
    assert_equal "$(kinds_sent)" ""
}

@test "of a grown metric the new points are sent, and all of them once one has changed" {
    point() { # STEP VALUE
        echo "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) VALUES ('grown', $2, 5, '$RUN', $1, 0);"
    }
    sqlite3 m.db "$(for step in 10 20 30 40; do point $step 1; done)"
    tick
    sqlite3 m.db "$(point 50 1; point 15 1)"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .step')" "15 50"
    assert_whole
    sqlite3 m.db "VACUUM; $(point 5 1)"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .step')" "5"
    sqlite3 m.db "UPDATE metrics SET value = 2 WHERE key = 'grown' AND step = 20; $(point 60 1)"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .step')" "10 15 20 30 40 5 50 60"
    sqlite3 m.db "DELETE FROM metrics WHERE key = 'grown' AND step = 10; $(point 70 1; point 10 1)"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .step')" "10 15 20 30 40 5 50 60 70"
    tick
    assert_equal "$(kinds_sent)" ""
}

@test "what is gone is counted by kind and not sent; what returns is sent again" {
    tick
    sqlite3 m.db "PRAGMA foreign_keys = ON; CREATE TABLE kept AS SELECT * FROM params; DELETE FROM params"
    tick
    assert_equal "$(kinds_sent)" ""
    assert_contains "$stderr" "gone since the last tick; the target keeps them: Params 8"
    sqlite3 m.db "INSERT INTO params SELECT * FROM kept WHERE run_uuid = '$RUN'; DROP TABLE kept"
    tick
    sent .kind | tr ' ' '\n' | grep -x param >/dev/null
}

@test "unchanged rewritten rows, a vacuum and another mtime are not changes" {
    tick
    sqlite3 m.db "UPDATE tags SET value = value; VACUUM"
    tick
    assert_equal "$(kinds_sent)" ""
    touch m.db
    tick
    assert_equal "$(kinds_sent)" ""
}

@test "a commit in WAL mode, which leaves the file as it is, is noticed" {
    tick
    python3 - "$RUN" <<'END' &
import sqlite3, sys, time, os
db = sqlite3.connect("m.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("PRAGMA wal_autocheckpoint = 0")
db.execute("INSERT INTO tags VALUES ('wal', '1', ?)", (sys.argv[1],))
open("ready", "w").close()
while not os.path.exists("go"): time.sleep(0.01)
db.execute("UPDATE tags SET value = '2' WHERE key = 'wal'")
open("done", "w").close()
while not os.path.exists("end"): time.sleep(0.01)
END
    writer=$!
    while [ ! -e ready ]; do sleep 0.01; done
    tick
    assert_equal "$(sent 'select(.kind == "tag") | .value')" 1
    tick
    assert_equal "$(kinds_sent)" ""
    touch -r m.db stamp
    touch go
    while [ ! -e done ]; do sleep 0.01; done
    [ ! m.db -nt stamp ]
    tick
    assert_equal "$(sent 'select(.kind == "tag") | .value')" 2
    touch end
    wait $writer
    tick
    assert_equal "$(kinds_sent)" ""
    assert_whole
}

@test "a commit just before a tick is checked again by the next one" {
    sqlite3 m.db "UPDATE tags SET value = 'a' WHERE key = 'mlflow.runName'"
    LATER=-300
    tick
    cp -p m.db stamp
    sqlite3 m.db "UPDATE tags SET value = 'b' WHERE key = 'mlflow.runName'"
    touch -r stamp m.db
    tick
    sent 'select(.kind == "tag") | .value' | tr ' ' '\n' | grep -x b >/dev/null
    assert_whole
}

@test "a value that violates MLflow's types stops no tick: the status is 1, and it is sent once it is repaired" {
    tick
    sqlite3 m.db "UPDATE runs SET start_time = 'never' WHERE run_uuid = '$RUN'"
    tick
    assert_status 1
    sent .kind | tr ' ' '\n' | grep -x skipped >/dev/null
    refute_contains "$stderr" "gone since"
    sqlite3 m.db "UPDATE runs SET start_time = 5 WHERE run_uuid = '$RUN'"
    tick
    assert_status 0
    assert_equal "$(sent 'select(.kind == "run") | "\(.run_id) \(.start_time) \(.partial)"')" "$RUN 5 changed"
    refute_contains "$stderr" "gone since"
    assert_whole
}

@test "what belongs to a row that violates MLflow's types waits with it, even in the first tick, and is then sent whole" {
    for kind in run experiment trace; do
        no_ticks
        rm -f m.db state
        ml-load -q --release 3.17 sqlite:///m.db <"$ROOT/tests/data/streams/1.0-database.mlr"
        case $kind in
        run) table=runs bad="UPDATE runs SET start_time = 'never'" good="UPDATE runs SET start_time = 5" ;;
        experiment) table="experiments WHERE experiment_id <> 0" bad="UPDATE experiments SET creation_time = 'never' WHERE experiment_id <> 0" good="UPDATE experiments SET creation_time = 5 WHERE experiment_id <> 0" ;;
        trace) table=trace_info bad="UPDATE trace_info SET timestamp_ms = 'never'" good="UPDATE trace_info SET timestamp_ms = 5" ;;
        esac
        sqlite3 m.db "$bad"
        tick
        assert_status 1
        sent .kind | tr ' ' '\n' | grep -x skipped >/dev/null
        rm -f t.db
        run_split ml-load --sync sqlite:///t.db <tick.mlr
        assert_status 1
        assert_equal "$(sqlite3 t.db "SELECT count(*) FROM $table")" 0
        touch m.db
        tick # a delta
        assert_status 1
        assert_equal "$(sent 'select(.kind != "skipped") | .kind')" ""
        sqlite3 m.db "$good"
        tick
        assert_status 0
        run_split ml-load --sync sqlite:///t.db <tick.mlr
        assert_status 0
        mldb-dump -q sqlite:///m.db | ml-verify -q --subset --data-only sqlite:///t.db
        tick
        assert_equal "$(kinds_sent)" ""
    done
    # known, and now against its types: what changes of it waits
    sqlite3 m.db "UPDATE runs SET start_time = 'never' WHERE run_uuid = '$RUN'; INSERT INTO tags VALUES ('late', 'x', '$RUN')"
    tick
    assert_status 1
    assert_equal "$(kinds_sent)" skipped
    sqlite3 m.db "UPDATE runs SET start_time = 6 WHERE run_uuid = '$RUN'"
    tick
    assert_status 0
    sent 'select(.kind == "tag") | .key' | grep -x late >/dev/null
}

@test "a state belongs to one file and one selection, and the two options to each other" {
    tick
    cp m.db other.db
    run_split mldb-dump --since state --next-state state.new sqlite:///other.db
    assert_status 2
    assert_contains "$stderr" "the state is of the source"
    run_split mldb-dump --since state --next-state state.new --experiment 0 sqlite:///m.db
    assert_status 2
    assert_contains "$stderr" "of other options"
    run_split mldb-dump --since state sqlite:///m.db
    assert_status 2
    run_split mldb-dump --since s --next-state s sqlite:///m.db
    assert_status 2
    [ ! -e state.new ]
}
