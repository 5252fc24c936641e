#!/usr/bin/env bats
# ml-load --sync: streams into databases that live, in both dialects.

load helpers
load sync_helpers

# ---- whole streams

@test "a database without tables gets them and all records, which verify" {
    verified() {
        run_split ml-load --sync "$url" <s.mlr
        assert_status 0
        assert_equal "$output" ""
        mldb-dump -q "$url" | ml-transform --json >t.json
        # Ids that the target gives, and a version's model_id, for which no database has a column.
        for f in s t; do
            jq -cS 'select(.kind | IN("header", "trailer") | not) | del(.experiment_id, .dataset_id, .input_id,
                .db_payload_generation) |
                if .kind == "model_version" then del(.model_id) else . end' $f.json | sort >$f.sorted
        done
        cmp s.sorted t.sorted
    }
    both verified empty
    use sqlite empty # which keeps the source's ids
    ml-load -q --sync "$url" <s.mlr
    run_split ml-verify -q "$url" <s.mlr
    assert_status 0
}

# The target's own tables and indexes of which the sync of a stream writes WAL.
written() { # STREAM
    from=$(sql "SELECT pg_current_wal_insert_lsn()")
    sync <"$1"
    assert_status 0
    psql -qX -U postgres -d "$database" -c "SELECT pg_switch_wal()" >/dev/null
    to=$(sql "SELECT pg_current_wal_insert_lsn()")
    dump=$(ls -d /usr/lib/postgresql/*/bin | sort -t/ -k5 -n | tail -1)/pg_waldump
    "$dump" -p "$PGDIR/data/pg_wal" -s "$from" -e "$to" >wal.txt 2>wal.err || [ -s wal.txt ] || { cat wal.err >&2; return 1; }
    grep -q 'rmgr: Heap' wal.txt # of the catalog, where temporary tables are made
    for node in $(grep -oE 'rel [0-9]+/[0-9]+/[0-9]+' wal.txt | sed 's,.*/,,' | sort -u); do
        sql "SELECT relname FROM pg_class WHERE relfilenode = $node AND relnamespace = 'public'::regnamespace"
    done
}

@test "the same sync again writes nothing: no row, no WAL of a table, no byte of a file" {
    twice() {
        state >before
        sync <s.mlr
        assert_status 0
        assert_contains "$stderr" "nothing to write"
        state >after
        cmp before after
    }
    both twice
    assert_equal "$(written s.mlr)" ""
    edit "if .run_id == \"$RUN\" and .kind == \"run\" then .status = \"FAILED\" else . end" >e.mlr
    assert_contains "$(written e.mlr)" runs # so that the measure is seen to work
}

@test "a stream without records changes nothing" {
    jq -c 'select(.kind | IN("header", "trailer"))' s.json | ml-transform --from-json --reseal >empty.mlr
    nothing() {
        state >before
        sync <empty.mlr
        assert_status 0
        state >after
        cmp before after
    }
    both nothing
}

@test "a dry run writes nothing and reports the same" {
    dry() {
        state >before
        edit 'if .kind == "run" then .run_id |= "new" + .[3:] elif .run_id then .run_id |= "new" + .[3:] else . end' |
            tee e.mlr | ml-load --sync --dry-run "$url" 2>told
        state >after
        cmp before after
        grep -q 'Runs: 4 added' told
        grep -q 'Experiments: 3 equal' told
        ml-load --sync "$url" <e.mlr 2>done
        assert_equal "$(sed 1d told)" "$(sed 1d done)"
    }
    both dry
}

@test "changes to runs are synced, but no null, except for a reopened run and an undone deletion" {
    run='select(.kind != "run" or .run_id != "'$RUN'")'
    rule "if .run_id == \"$RUN\" and .kind == \"run\" then .status = \"FAILED\" | .end_time = 99 else . end" "" \
        "SELECT status, end_time FROM runs WHERE run_uuid = '$RUN'" "FAILED|99"
    rule . "UPDATE runs SET status = 'KILLED', end_time = 7 WHERE run_uuid = '$RUNNING'" \
        "SELECT status, end_time FROM runs WHERE run_uuid = '$RUNNING'" "RUNNING|"
    rule . "UPDATE runs SET status = 'KILLED', end_time = 7 WHERE run_uuid = '$RUNNING'" \
        "SELECT status, end_time FROM runs WHERE run_uuid = '$RUNNING'" "KILLED|7" --prefer target
    rule "if .run_id == \"$RUN\" and .kind == \"run\" then del(.end_time, .run_name, .start_time) else . end" "" \
        "SELECT end_time, name, start_time FROM runs WHERE run_uuid = '$RUN'" "1718000067000|deep|1718000060000"
    rule . "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = 5 WHERE run_uuid = '$RUN'" \
        "SELECT lifecycle_stage, deleted_time FROM runs WHERE run_uuid = '$RUN'" "active|"
    rule . "UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL WHERE run_uuid = '$DELETED'" \
        "SELECT lifecycle_stage, deleted_time FROM runs WHERE run_uuid = '$DELETED'" "deleted|1795253358549"
    rule . "UPDATE runs SET artifact_uri = 's3://b/x', user_id = 'u', source_name = 'n' WHERE run_uuid = '$RUN'" \
        "SELECT artifact_uri, user_id, source_name FROM runs WHERE run_uuid = '$RUN'" "s3://b/x|u|n"
}

@test "tags take the source's value, and the target's own stay" {
    rule . "UPDATE tags SET value = 'edited' WHERE key = 'mlflow.source.name'; INSERT INTO tags (run_uuid, key, value) VALUES
        ('$RUN', 'mine', '1')" \
        "SELECT DISTINCT key, value FROM tags WHERE key IN ('mine', 'mlflow.source.name') ORDER BY 1" \
        "mine|1
mlflow.source.name|train.py"
    rule . "UPDATE tags SET value = 'edited' WHERE key = 'mlflow.source.name'" \
        "SELECT DISTINCT value FROM tags WHERE key = 'mlflow.source.name'" edited --prefer target
    rule . "UPDATE experiment_tags SET value = 'x'; UPDATE logged_model_tags SET tag_value = 'x'; UPDATE
        registered_model_tags SET value = 'x' WHERE key = 'owner'; UPDATE model_version_tags SET value = 'x' WHERE key =
        'validated'" \
        "SELECT (SELECT value FROM experiment_tags WHERE key = 'team'), (SELECT tag_value FROM logged_model_tags), (SELECT
        value FROM registered_model_tags WHERE key = 'owner'), (SELECT value FROM model_version_tags WHERE key =
        'validated')" "customer analytics|gbdt|ada|yes"
}

@test "lists in tags are united, with the target's ids" {
    change='if .kind == "tag" and .key == "mlflow.source.type" then .key = "mlflow.log-model.history" | .value =
        "[{\"run_id\": \"a\"}, {\"run_id\": \"b\"}]" else . end'
    rule "$change" "UPDATE tags SET key = 'mlflow.log-model.history', value = '[{\"run_id\": \"b\"}, {\"x\": 1}]' WHERE key =
        'mlflow.source.type' AND run_uuid = '$RUN'" \
        "SELECT value FROM tags WHERE key = 'mlflow.log-model.history' AND run_uuid = '$RUN'" \
        '[{"run_id": "b"}, {"x": 1}, {"run_id": "a"}]'
    use postgresql
    edit "if .key == \"_mlflow_experiment_ids\" then .value = \",0,$EXP,\" else . end" >e.mlr
    sql "UPDATE registered_model_tags SET value = ',77,0,' WHERE key = '_mlflow_experiment_ids'"
    id=$(sql "SELECT experiment_id FROM experiments WHERE name = 'churn prediction'")
    sync --prefer target <e.mlr
    assert_equal "$(sql "SELECT value FROM registered_model_tags WHERE key = '_mlflow_experiment_ids'")" ",77,0,$id,"
    state >before
    sync <e.mlr
    state >after
    cmp before after
}

@test "points are added, and the greatest latest metric stays" {
    change="if .kind == \"metric\" and .run_id == \"$RUN\" and .step == 0 then ., (.step = 900 | .timestamp = 9000000000000) else
        . end | if .kind == \"latest_metric\" and .run_id == \"$RUN\" then .step = 900 | .timestamp = 9000000000000 else . end"
    for d in sqlite postgresql; do
        use $d
        edit "$change" >e.mlr
        points=$(sql "SELECT count(*) FROM metrics")
        key=$(sql "SELECT min(key) FROM latest_metrics WHERE run_uuid = '$RUN'")
        sql "UPDATE latest_metrics SET step = 901, value = 5 WHERE run_uuid = '$RUN' AND key = '$key'"
        sql "INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan) VALUES ('$RUN', 'server', 1, 1, 1, (1 = 0))"
        sync <e.mlr
        assert_status 0
        assert_equal "$(sql "SELECT count(*) > $points + 1 FROM metrics" | tr t 1)" 1
        assert_equal "$(sql "SELECT step, CAST(value AS integer) FROM latest_metrics WHERE run_uuid = '$RUN' AND key = '$key'")" "901|5"
        assert_equal "$(sql "SELECT DISTINCT step FROM latest_metrics WHERE run_uuid = '$RUN' AND key <> '$key'")" 900
    done
}

@test "a NaN counts as 0 in the choice of the latest metric, and a tie keeps the target's" {
    change="if .kind == \"latest_metric\" and .run_id == \"$RUN\" then .value = {\"\$float\": \"nan\"} else . end"
    rule "$change" "UPDATE latest_metrics SET value = 1 WHERE run_uuid = '$RUN'" \
        "SELECT DISTINCT CAST(value AS integer) FROM latest_metrics WHERE run_uuid = '$RUN'" 1
    rule "$change" "UPDATE latest_metrics SET value = 0 WHERE run_uuid = '$RUN'" \
        "SELECT DISTINCT CAST(value AS integer) FROM latest_metrics WHERE run_uuid = '$RUN'" 0
}

@test "a different param is a conflict, reported with both values" {
    edit "if .kind == \"param\" and .key == \"max_depth\" and .run_id == \"$RUN\" then .value = \"6\" else . end" >e.mlr
    conflict() {
        state >before
        sync <e.mlr
        assert_status 2
        assert_contains "$stderr" "Param 'max_depth' in run $RUN: value is '6' in the source and '5' in the target"
        assert_contains "$stderr" "conflicts: nothing was written"
        state >after
        cmp before after
        sync --on-conflict skip --json <e.mlr
        assert_status 1
        assert_equal "$(jq -c '[.kinds.param.conflicts, .conflicts[0].source, .conflicts[0].target]' <<<"$output")" \
            '[1,"6","5"]'
        assert_equal "$(sql "SELECT value FROM params WHERE run_uuid = '$RUN' AND key = 'max_depth'")" 5
    }
    both conflict
}

@test "a run in another experiment is a conflict; if skipped, it is left out with all that belongs to it" {
    edit "if .kind == \"tag\" and .run_id == \"$RUN\" and .key == \"mlflow.user\" then .value = \"eve\" else . end" >e.mlr
    moved() {
        sql "UPDATE runs SET experiment_id = 0 WHERE run_uuid = '$RUN'"
        state >before
        sync <e.mlr
        assert_status 2
        assert_contains "$stderr" "Run $RUN: experiment_id is"
        state >after
        cmp before after
        sync --on-conflict skip <e.mlr
        assert_status 1
        state >after
        cmp before after
    }
    both moved
}

@test "an experiment's name and stage follow the source that made it, by time, and its location stays" {
    rule . "UPDATE experiments SET lifecycle_stage = 'active', last_update_time = last_update_time - 1 WHERE name =
        'churn-scratch'" "SELECT lifecycle_stage FROM experiments WHERE name = 'churn-scratch'" deleted
    rule . "UPDATE experiments SET lifecycle_stage = 'active', last_update_time = last_update_time + 1 WHERE name =
        'churn-scratch'" "SELECT lifecycle_stage FROM experiments WHERE name = 'churn-scratch'" active
    rule . "UPDATE experiments SET lifecycle_stage = 'active', last_update_time = last_update_time - 1, creation_time = 1 WHERE
        name = 'churn-scratch'" "SELECT lifecycle_stage FROM experiments WHERE name = 'churn-scratch'" active
    rule "if .kind == \"experiment\" then del(.last_update_time, .creation_time) else . end" "UPDATE experiments SET
        lifecycle_stage = 'active', last_update_time = NULL, creation_time = NULL WHERE name = 'churn-scratch'" \
        "SELECT lifecycle_stage FROM experiments WHERE name = 'churn-scratch'" deleted
    rule . "UPDATE experiments SET artifact_location = 's3://b'" "SELECT DISTINCT artifact_location FROM experiments" "s3://b"
}

@test "experiments are found by name, and one whose id is taken gets a new id" {
    edit "if .experiment_id == \"$EXP\" then .experiment_id = \"4711\" else . end" >e.mlr
    by_name() {
        rows=$(sql "SELECT count(*) FROM experiments")
        state >before
        sync <e.mlr
        assert_status 0
        state >after
        cmp before after
        jq -c "if .experiment_id == \"$EXP\" then .experiment_id = \"77\" else . end |
            if .kind == \"experiment\" and .experiment_id == \"77\" then .name = \"other\" else . end |
            if .run_id then .run_id |= \"b\" + .[1:] else . end | if .kind == \"run\" then .run_id |= \"b\" + .[1:] else . end |
            if .trace_id then .trace_id |= \"tr-b\" + .[4:] else . end |
            if .model_id then .model_id |= \"m-b\" + .[3:] else . end |
            if .assessment_id then .assessment_id |= \"a-b\" + .[3:] else . end" s.json |
            ml-transform --from-json --reseal >f.mlr
        sql "INSERT INTO experiments (experiment_id, name, lifecycle_stage, workspace) VALUES (77, 'taken', 'active', 'default')"
        sync <f.mlr
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM experiments")" $((rows + 2))
        assert_equal "$(sql "SELECT name FROM experiments WHERE experiment_id = 77")" taken
        assert_equal "$(sql "SELECT count(*) FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id WHERE e.name =
            'other'")" 3
        assert_equal "$(sql "SELECT count(DISTINCT dataset_uuid) = count(*) FROM datasets" | tr t 1)" 1
        assert_equal "$(sql "SELECT count(*) FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id JOIN runs r ON
            r.run_uuid = i.destination_id WHERE r.experiment_id <> d.experiment_id")" 0
    }
    both by_name
}

@test "new ids come from PostgreSQL's sequence, so that the server's next experiment gets its own" {
    use postgresql
    for i in 1 2 3; do
        sql "INSERT INTO experiments (name, lifecycle_stage) VALUES ('server $i', 'active')"
        jq -c "select(.kind | IN(\"header\", \"trailer\", \"experiment\")) | if .kind == \"experiment\" and .experiment_id == \"$EXP\"
            then .experiment_id = \"1$i\" | .name = \"job $i\" else select(.kind != \"experiment\") end" s.json |
            ml-transform --from-json --reseal | ml-load -q --sync "$url"
    done
    sql "INSERT INTO experiments (name, lifecycle_stage) VALUES ('last', 'active')"
    assert_equal "$(sql "SELECT count(*) FROM experiments")" 10
}

@test "datasets are found by name and digest, inputs by what they join, and the target's ids stay" {
    rule . "UPDATE inputs SET source_id = 'd' WHERE source_type = 'DATASET'; UPDATE datasets SET dataset_uuid = 'd', dataset_profile
        = 'p'; UPDATE input_tags SET input_uuid = 'x' || input_uuid; UPDATE inputs SET input_uuid = 'x' || input_uuid" \
        "SELECT dataset_uuid, dataset_profile, (SELECT count(*) FROM inputs WHERE input_uuid LIKE 'x%'), (SELECT count(*) FROM
        inputs) FROM datasets" "d|p|4|4"
}

@test "a trace's final state and its time are not taken back; previews and the session are synced" {
    change='if .kind == "trace" then .state = "IN_PROGRESS" | .execution_duration = 1 | .request_time = 1 else . end'
    rule "$change" "DELETE FROM assessments" "SELECT t.status, t.execution_time_ms, t.timestamp_ms, count(*) FROM trace_info t JOIN
        assessments a ON a.trace_id = t.request_id AND a.trace_timestamp_ms = t.timestamp_ms GROUP BY 1, 2, 3" \
        "OK|136|1795253358938|2"
    rule . "UPDATE trace_info SET status = 'IN_PROGRESS', request_preview = 'x', trace_name = 'y', timestamp_ms = 5; UPDATE assessments
        SET trace_timestamp_ms = 5" "SELECT DISTINCT t.status, t.trace_name, t.timestamp_ms, a.trace_timestamp_ms FROM trace_info t
        JOIN assessments a ON a.trace_id = t.request_id" "OK|answer|1795253358938|1795253358938"
    rule . "UPDATE trace_tags SET value = 's3://x' WHERE key = 'mlflow.artifactLocation'; UPDATE trace_request_metadata SET
        value = 'z' WHERE key = 'mlflow.user'" "SELECT (SELECT value FROM trace_tags), (SELECT value FROM
        trace_request_metadata WHERE key = 'mlflow.user')" "s3://x|z"
}

@test "a published day of roll-ups is queued before its traces change" {
    day=2026-11-21 # of the trace
    queued() {
        exp=$(sql "SELECT experiment_id FROM trace_info")
        sql "INSERT INTO sql_trace_metric_daily_rollups (id, experiment_id, rollup_day, metric_name, grouping_set, sample_count) VALUES
            (1, $exp, '$day', 'm', 'global', 1), (2, $exp, '2020-01-01', 'm', 'global', 1), (3, $exp, '2026-11-20', 'm', 'global', 1);
            UPDATE trace_info SET timestamp_ms = timestamp_ms - 86400000"
        sync <s.mlr
        assert_status 0
        assert_equal "$(sql "SELECT * FROM sql_trace_rollup_rebuild_queue ORDER BY rollup_day" | xargs)" \
            "$exp|2026-11-20|trace_metric $exp|$day|trace_metric"
    }
    both queued
}

@test "the newer assessment wins, and one that the target overrides is not valid" {
    rule . "UPDATE assessments SET rationale = 'old', last_updated_timestamp = last_updated_timestamp - 1" \
        "SELECT rationale FROM assessments WHERE name = 'polite'" "Short and kind."
    rule . "UPDATE assessments SET rationale = 'new', last_updated_timestamp = last_updated_timestamp + 1" \
        "SELECT DISTINCT rationale FROM assessments" new
    rule . "INSERT INTO assessments SELECT 'mine', trace_id, name, assessment_type, 'false', error, created_timestamp,
        last_updated_timestamp, source_type, source_id, run_id, span_id, rationale, assessment_id, valid, assessment_metadata,
        experiment_id, trace_timestamp_ms, aggregate_value, is_numeric_value FROM assessments WHERE name = 'polite'; UPDATE
        assessments SET valid = (1 = 0) WHERE name = 'polite' AND assessment_id <> 'mine'" \
        "SELECT count(*) FROM assessments WHERE valid = (1 = 1)" 2
}

@test "the newer logged model wins, but never goes back to PENDING; on a tie a deleted one wins" {
    rule "if .kind == \"logged_model\" then .status = \"PENDING\" | .last_updated_timestamp += 5 | .model_type = \"t\" else . end" "" \
        "SELECT status, model_type FROM logged_models" "2|t"
    rule . "UPDATE logged_models SET status = 3, last_updated_timestamp_ms = last_updated_timestamp_ms + 1" \
        "SELECT status FROM logged_models" 3
    # MLflow deletes those of file stores without giving them another time
    rule 'if .kind == "logged_model" then .lifecycle_stage = "deleted" else . end' "" "SELECT lifecycle_stage FROM logged_models" deleted
    rule . "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = last_updated_timestamp_ms + 1" \
        "SELECT lifecycle_stage FROM logged_models" deleted
}

@test "registered models and versions take the newer description; a deletion wins, and storage locations stay" {
    rule . "UPDATE registered_models SET description = 'x', last_updated_time = last_updated_time + 1 WHERE name = 'churn'" \
        "SELECT description FROM registered_models WHERE name = 'churn'" x
    rule . "UPDATE registered_models SET description = 'x', last_updated_time = last_updated_time - 1 WHERE name = 'churn'" \
        "SELECT description FROM registered_models WHERE name = 'churn'" "Monthly churn model"
    rule . "UPDATE model_versions SET current_stage = 'Deleted_Internal', source = 'gone', last_updated_time = 1 WHERE name =
        'churn'; DELETE FROM registered_model_aliases" \
        "SELECT current_stage, source, (SELECT count(*) FROM registered_model_aliases) FROM model_versions WHERE name = 'churn'" \
        "Deleted_Internal|gone|1"
    rule 'if .kind == "model_version" and .name == "churn" then .current_stage = "Deleted_Internal" | .last_updated_timestamp = 1
        else . end' "UPDATE model_versions SET storage_location = 's3://x'" "SELECT current_stage, storage_location FROM
        model_versions WHERE name = 'churn'" "Deleted_Internal|s3://x"
}

@test "a version whose number is taken is a conflict, or gets the next number, once" {
    numbers() {
        sql "UPDATE model_versions SET creation_time = 1 WHERE name = 'churn'"
        state >before
        sync <s.mlr
        assert_status 2
        assert_contains "$stderr" "Model version '1' in registered model churn: creation_timestamp is '1795253358570' in the source"
        state >after
        cmp before after
        sync --on-conflict renumber <s.mlr
        assert_status 0
        assert_equal "$(sql "SELECT version FROM model_versions WHERE name = 'churn' ORDER BY 1")" "1
2"
        assert_equal "$(sql "SELECT version FROM registered_model_aliases WHERE name = 'churn'")" 2
        state >before
        sync <s.mlr
        assert_status 0
        state >after
        cmp before after
    }
    both numbers
}

@test "tables that trigger actions are synced only on request, and natural keys find the target's rows" {
    use sqlite empty
    ml-schema create -q --release 3.17.2 "sqlite:///$WORK/o.db" || ml-load -q --release 3.17.2 "sqlite:///$WORK/o.db" <s.mlr
    ml-load -q --sync "sqlite:///$WORK/o.db" <s.mlr
    sqlite3 o.db "INSERT INTO webhooks (webhook_id, name, url, status, workspace) VALUES ('w', 'n', 'http://x', 'ACTIVE', 'default');
        INSERT INTO scorers VALUES ((SELECT max(experiment_id) FROM experiments), 'good', 'sc-source');
        INSERT INTO scorer_versions VALUES ('sc-source', 1, '{}', 1), ('sc-source', 2, '{}', 2)"
    mldb-dump -q "sqlite:///$WORK/o.db" >o.mlr
    rows() {
        sql "INSERT INTO scorers (experiment_id, scorer_name, scorer_id) SELECT max(experiment_id), 'good', 'sc-target' FROM
            experiments; INSERT INTO scorer_versions (scorer_id, scorer_version, serialized_scorer) VALUES ('sc-target', 1, '[]')"
        sync <o.mlr
        assert_status 0
        assert_contains "$stderr" "1 rows that trigger actions"
        assert_equal "$(sql "SELECT scorer_id FROM scorers")" sc-target
        assert_equal "$(sql "SELECT scorer_id, scorer_version, serialized_scorer FROM scorer_versions ORDER BY 2")" \
            "sc-target|1|[]
sc-target|2|{}"
        assert_equal "$(sql "SELECT count(*) FROM webhooks")" 0
        sync --acting <o.mlr
        assert_equal "$(sql "SELECT webhook_id FROM webhooks")" w
        state >before
        sync --acting <o.mlr
        state >after
        cmp before after
    }
    both rows
}

@test "--workspace puts everything into one workspace" {
    workspace() {
        sync --workspace team-a <s.mlr
        assert_status 2 # the same runs are in another experiment
        edit "if .run_id then .run_id |= \"b\" + .[1:] else . end | if .trace_id then .trace_id |= \"tr-b\" + .[4:] else . end |
            if .model_id then .model_id |= \"m-b\" + .[3:] else . end | if .assessment_id then .assessment_id |= \"a-b\" + .[3:]
            else . end" >e.mlr
        sync --workspace team-a <e.mlr
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM experiments WHERE workspace = 'team-a'")" 3
        assert_equal "$(sql "SELECT name FROM workspaces ORDER BY 1")" "default
team-a"
        assert_equal "$(sql "SELECT count(*) FROM registered_models")" 4
    }
    both workspace
}

@test "options that contradict each other are refused" {
    use sqlite
    for bad in "--prefer both" "--on-conflict merge" "--export" "--drop-unsupported" "--wide-experiment-ids"; do
        # shellcheck disable=SC2086
        run_split ml-load --sync $bad "$url" <s.mlr
        assert_status 2
    done
    for alone in "--prefer source" "--on-conflict skip" "--workspace team" --acting --json; do
        # shellcheck disable=SC2086
        run_split ml-load $alone "$url" <s.mlr
        assert_status 2
        assert_contains "$stderr" "requires --sync"
    done
}

@test "a role that cannot create temporary tables gets a clear error" {
    use postgresql
    psql -qX -U postgres -d "$database" -c "REVOKE TEMPORARY ON DATABASE $database FROM PUBLIC" -c "CREATE ROLE no_temp LOGIN" \
        -c "GRANT ALL ON ALL TABLES IN SCHEMA public TO no_temp"
    run_split env PGUSER=no_temp ml-load --sync "postgresql:///$database" <s.mlr
    assert_status 2
    assert_contains "$stderr" "may not create temporary tables"
}

@test "PostgreSQL: a row locked by the server makes the sync roll back its last part and retry" {
    use postgresql
    edit "if .run_id == \"$RUN\" and .kind == \"run\" then .status = \"FAILED\" else . end" >e.mlr
    lines=$(wc -l <"$PGDIR/log")
    mkfifo commands
    psql -qAtX "$database" <commands >/dev/null &
    server=$!
    exec 9>commands
    echo "BEGIN; UPDATE runs SET name = 'the server is at it' WHERE run_uuid = '$RUN';" >&9
    until [ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE datname = '$database' AND state = 'idle in transaction'")" = 1 ]; do
        kill -0 $server
    done
    ml-load --sync --prefer source "$url" <e.mlr 2>err &
    loader=$!
    until tail -n "+$lines" "$PGDIR/log" | grep 'due to lock timeout' >/dev/null; do
        kill -0 $loader
    done
    echo "COMMIT;" >&9
    exec 9>&-
    wait $server
    wait $loader
    assert_equal "$(sql "SELECT status FROM runs WHERE run_uuid = '$RUN'")" FAILED
    refute_contains "$(tail -n "+$lines" "$PGDIR/log")" deadlock
}

@test "two concurrent syncs of one database write everything once" {
    edit "if .run_id then .run_id |= \"b\" + .[1:] else . end | if .trace_id then .trace_id |= \"tr-b\" + .[4:] else . end |
        if .model_id then .model_id |= \"m-b\" + .[3:] else . end | if .assessment_id then .assessment_id |= \"a-b\" + .[3:]
        else . end" >e.mlr
    together() {
        for i in 1 2 3; do
            ml-load -q --sync "$url" <s.mlr &
            pids[i]=$!
            ml-load -q --sync "$url" <e.mlr &
            pids[i + 3]=$!
        done
        for pid in "${pids[@]}"; do
            wait "$pid"
        done
        assert_equal "$(sql "SELECT count(*) FROM runs")" 8
        assert_equal "$(sql "SELECT count(*) FROM experiments")" 3
        assert_equal "$(sql "SELECT count(*) FROM registered_models")" 2
        assert_equal "$(sql "SELECT count(*) FROM inputs")" 8
    }
    both together
}

@test "a truncated stream and a bad reference leave the target as it was" {
    broken() {
        state >before
        head -c 3000 "$BATS_FILE_TMPDIR/s.mlr" >cut.mlr
        sync <cut.mlr
        assert_status 2
        jq -c "select(.kind != \"run\" or .run_id != \"$RUN\")" s.json | ml-transform --from-json --reseal >e.mlr
        sync <e.mlr
        assert_status 2
        assert_contains "$stderr" "is not in the stream"
        state >after
        cmp before after
    }
    both broken
}

# ---- ticks

@test "ticks bring what has changed; an idle one writes nothing, and the next one follows it" {
    ticks() {
        begin_ticks
        state >before
        tick
        assert_status 0
        assert_contains "$stderr" "nothing to write"
        state >after
        cmp before after
        printf hello >$run_dir/tags/new
        echo "1700000000000 3.5 77" >>$run_dir/metrics/loss
        sed -i 's/^status: .*/status: 4/' $run_dir/meta.yaml
        sql "UPDATE runs SET name = 'the server renamed it' WHERE run_uuid = '$RUN'; UPDATE tags SET value = 'the server renamed
            it' WHERE run_uuid = '$RUN' AND key = 'mlflow.runName'; UPDATE tags SET value = 'mine' WHERE key = 'mlflow.user'"
        settled
        tick --json
        assert_status 0
        assert_equal "$(jq -c '[.kinds.run.changed, .kinds.metric.added, .kinds.tag.added, .kinds.latest_metric.changed]' <<<"$output")" \
            '[1,1,1,1]'
        assert_equal "$(sql "SELECT status, name FROM runs WHERE run_uuid = '$RUN'")" "FAILED|the server renamed it"
        assert_equal "$(sql "SELECT DISTINCT value FROM tags WHERE key = 'mlflow.user'")" mine
        state >before
        tick
        state >after
        cmp before after
        # A rename of the source changes the tag, too, and goes over.
        sed -i 's/^run_name: .*/run_name: again/' $run_dir/meta.yaml
        printf again >$run_dir/tags/mlflow.runName
        settled
        tick
        assert_equal "$(sql "SELECT name FROM runs WHERE run_uuid = '$RUN'")" again
    }
    both ticks empty
}

@test "the watermark is not part of the data: it is not dumped or verified and does not count as content" {
    hidden() {
        begin_ticks
        assert_equal "$(sql "SELECT count(*) FROM experiment_tags WHERE key LIKE 'mlruns-tools.sync.%'")" 1
        mldb-dump -q "$url" >d.mlr
        refute_contains "$(ml-transform --json <d.mlr)" mlruns-tools.sync
        ml-verify -q "$url" <d.mlr
    }
    both hidden empty
    use sqlite empty
    jq -c 'select(.kind == "header" or .kind == "trailer" or .experiment_id == "0")' s.json | ml-transform --from-json --reseal >e.mlr
    ml-load -q --sync "$url" <e.mlr
    sql "INSERT INTO experiment_tags (key, value, experiment_id) VALUES ('mlruns-tools.sync.x', '1,0', 0)"
    ml-load -q "$url" <s.mlr
}

@test "a delta is refused if the target was restored, emptied, swapped or is two ticks behind, and accepted if it is one behind" {
    bases() {
        begin_ticks
        cp st st1
        printf a >$run_dir/tags/a
        settled
        tick
        cp st st2
        printf b >$run_dir/tags/b
        settled
        mlruns-dump -q --since st --next-state st.new tree >delta.mlr
        run_split ml-load --sync "$url" <delta.mlr # committed, and killed before the promotion
        tick
        assert_status 0
        assert_contains "$stderr" "nothing to write"
        cp st1 st
        state >before
        tick
        assert_status 2
        assert_contains "$stderr" "base: the stream has the changes since generation 1, but the target is at 3"
        state >after
        cmp before after
        cp st2 st
        printf c >$run_dir/tags/c
        settled
        # shellcheck disable=SC2086
        mlruns-dump -q --since st --next-state st.new tree >delta.mlr
        run_split ml-load "$url" <delta.mlr # without --sync
        assert_status 2
        use "$dialect" # another target
        run_split ml-load --sync --promote st.new=st "$url" <delta.mlr
        assert_status 2
        assert_contains "$stderr" "which is unknown to the target"
        use "$dialect" empty
        run_split ml-load --sync --promote st.new=st "$url" <delta.mlr
        assert_status 2
        rm st # a full stream goes on
        tick
        assert_status 0
        printf d >$run_dir/tags/d
        settled
        tick
        assert_status 0
        assert_equal "$(sql "SELECT value FROM tags WHERE key = 'd'")" d
    }
    both bases empty
}

@test "a stale or foreign state.new is not promoted" {
    foreign() {
        begin_ticks
        mlruns-dump -q --next-state other.new tree >/dev/null
        printf a >$run_dir/tags/a
        settled
        mlruns-dump -q --since st --next-state st.new tree >tick.mlr
        sum=$(sha256sum st)
        run_split ml-load --sync --promote other.new=st "$url" <tick.mlr
        assert_status 2
        assert_contains "$stderr" "the state does not belong to the stream"
        run_split ml-load --sync --promote none.new=st "$url" <tick.mlr
        assert_status 2
        assert_equal "$(sha256sum st)" "$sum"
        assert_equal "$(sql "SELECT count(*) FROM tags WHERE key = 'a'")" 0
    }
    both foreign empty
}

@test "of two concurrent ticks of one state the first notices the other and writes nothing" {
    crossed() {
        begin_ticks
        printf a >$run_dir/tags/a
        settled
        mlruns-dump -q --since st --next-state st.new tree >one.mlr
        printf b >$run_dir/tags/b
        settled
        mlruns-dump -q --since st --next-state st.new tree >two.mlr
        assert_equal "$(ml-transform --json <one.mlr | sed -n 1p | jq -r '.tick | length')" 32
        sum=$(sha256sum st)
        state >before
        run_split ml-load --sync --promote st.new=st "$url" <one.mlr
        assert_status 2
        assert_contains "$stderr" "the state and the stream are of different ticks"
        assert_contains "$stderr" "hint: nothing was written; the next tick sends these changes again"
        state >after
        cmp before after
        assert_equal "$(sha256sum st)" "$sum"
        # without a promotion it is a stream like any other
        run_split ml-load --sync "$url" <one.mlr
        assert_status 0
        run_split ml-load --sync --promote st.new=st "$url" <two.mlr
        assert_status 0
        tick
        assert_contains "$stderr" "nothing to write"
        assert_equal "$(sql "SELECT count(*) FROM tags WHERE key IN ('a', 'b')")" 2
    }
    both crossed empty
}

@test "a tick whose state is being written by another ends before it sends anything" {
    use sqlite empty
    begin_ticks
    printf a >$run_dir/tags/a
    settled
    run_split flock st.new.part mlruns-dump --since st --next-state st.new tree
    assert_status 2
    assert_contains "$stderr" "st.new: another tick is writing this state"
    tick
    assert_status 0
}

@test "ticks of an earlier version, which do not name themselves, and their states are accepted" {
    old() {
        for s in 1.1-first-tick.mlr deltas/1.1-tick.mlr; do
            run_split ml-load --sync "$url" <"$ROOT/tests/data/streams/$s"
            assert_status 0
        done
        assert_equal "$(sql "SELECT value FROM tags WHERE run_uuid = '$RUN' AND key = 'later'")" new
        begin_ticks # a stream without its tick with a state that has one
        printf a >$run_dir/tags/a
        settled
        mlruns-dump -q --since st --next-state st.new tree | ml-transform --json | jq -c 'del(.tick)' |
            ml-transform --from-json --reseal >tick.mlr
        run_split ml-load --sync --promote st.new=st "$url" <tick.mlr
        assert_status 0
        tick
        assert_contains "$stderr" "nothing to write"
    }
    both old empty
}

@test "purged entities do not return, and new runs of existing experiments are synced" {
    purged() {
        begin_ticks
        for table in tags params metrics latest_metrics; do
            sql "DELETE FROM $table WHERE run_uuid = '$RUN'"
        done
        sql "DELETE FROM logged_model_metrics; DELETE FROM runs WHERE run_uuid = '$RUN'"
        printf a >$run_dir/tags/a
        other=tree/$EXP/aa720d04f3e24f11bc736169024f6d03
        cp -r $run_dir $other
        sed -i "s/$RUN/aa720d04f3e24f11bc736169024f6d03/" $other/meta.yaml
        settled
        tick --json
        assert_status 0
        assert_equal "$(jq -c '[.kinds.run.purged, .kinds.run.added, .kinds.tag.purged]' <<<"$output")" '[1,1,1]'
        assert_equal "$(sql "SELECT count(*) FROM runs WHERE run_uuid = '$RUN'")" 0
        # Its input is of a dataset that the delta does not hold.
        assert_equal "$(sql "SELECT count(*) FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id WHERE i.destination_id =
            'aa720d04f3e24f11bc736169024f6d03'")" 1
        sql "UPDATE experiments SET name = 'x' WHERE name = 'never'"
        rm st # a full stream asserts everything
        tick
        assert_equal "$(sql "SELECT count(*) FROM runs WHERE run_uuid = '$RUN'")" 1
    }
    both purged empty
}

@test "the map finds experiments that either side has renamed, and datasets with other ids" {
    mapped() {
        begin_ticks
        sed -i 's/^name: .*/name: renamed in the source/; s/^last_update_time: .*/last_update_time: 1895253358461/' tree/$EXP/meta.yaml
        settled
        tick
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM experiments")" 3
        assert_equal "$(sql "SELECT e.name FROM experiments e JOIN runs r ON r.experiment_id = e.experiment_id WHERE r.run_uuid =
            '$RUN'")" "renamed in the source"
        sql "UPDATE experiments SET name = 'renamed by the server', last_update_time = 1995253358461 WHERE name = 'renamed in the source'"
        printf a >$run_dir/tags/a
        settled
        tick
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM experiments")" 3
        assert_equal "$(sql "SELECT value FROM tags WHERE key = 'a'")" a
    }
    both mapped empty
}

@test "what a conflict keeps out is sent again by each tick until it can be written" {
    unsent() {
        begin_ticks
        sql "UPDATE params SET value = 'server' WHERE run_uuid = '$RUN' AND key = 'max_depth'"
        printf 9 >$run_dir/params/max_depth
        settled
        tick --on-conflict skip
        assert_status 1
        assert_contains "$stderr" "'9' in the source and 'server' in the target"
        tick --on-conflict skip
        assert_status 1
        sql "UPDATE params SET value = '9' WHERE run_uuid = '$RUN' AND key = 'max_depth'"
        tick
        assert_status 0
        tick
        assert_status 0
        assert_equal "$(ml-transform --json <tick.mlr | wc -l)" 2
    }
    both unsent empty
}

# ---- ml-verify --subset

# subset STATUS [OPTION...]: of s.mlr, or of $stream.
subset() {
    wanted=$1
    shift
    run_split ml-verify --data-only --subset "$@" "$url" <"${stream-s.mlr}"
    assert_status "$wanted"
}

@test "--subset checks that the database has what the stream has, and counts what it has in addition or keeps by the rules" {
    holds() {
        subset 0
        sql "INSERT INTO tags (run_uuid, key, value) VALUES ('$RUN', 'mine', '1'); INSERT INTO metrics (run_uuid, key, step, timestamp,
            value, is_nan) VALUES ('$RUN', 'loss', 999, 1, 1, (1 = 0)); UPDATE latest_metrics SET step = 999 WHERE run_uuid = '$RUN' AND
            key = 'loss'; UPDATE runs SET artifact_uri = 's3://b' WHERE run_uuid = '$RUN'; UPDATE registered_models SET description =
            'newer', last_updated_time = last_updated_time + 1 WHERE name = 'churn'; UPDATE trace_tags SET value = 's3://t' WHERE key =
            'mlflow.artifactLocation'; UPDATE model_versions SET current_stage = 'Deleted_Internal', source = 'gone' WHERE name =
            'churn'; DELETE FROM registered_model_aliases WHERE name = 'churn'"
        subset 0
        assert_contains "$stderr" "aliases wait for their version"
        run_split ml-verify --data-only "$url" <s.mlr
        assert_status 1
    }
    both holds
}

@test "--subset reports what a sync has not brought" {
    lacks() { # SQL
        use "$dialect"
        sql "$1"
        subset 1
    }
    all() {
        lacks "DELETE FROM metrics WHERE run_uuid = '$RUN' AND key = 'loss' AND step = 0"
        lacks "UPDATE latest_metrics SET step = -1 WHERE run_uuid = '$RUN'"
        lacks "UPDATE tags SET value = 'x' WHERE key = 'mlflow.source.name'"
        lacks "UPDATE params SET value = 'x' WHERE run_uuid = '$RUN'"
        lacks "UPDATE runs SET end_time = 5 WHERE run_uuid = '$RUNNING'"
        lacks "UPDATE assessments SET rationale = 'x', last_updated_timestamp = 1"
        lacks "UPDATE registered_models SET description = 'older', last_updated_time = 1 WHERE name = 'churn'"
        lacks "DELETE FROM registered_model_aliases WHERE name = 'churn'"
        lacks "UPDATE trace_info SET status = 'ERROR'"
        lacks "UPDATE registered_model_tags SET value = ',' WHERE key = '_mlflow_experiment_ids'"
        lacks "UPDATE runs SET experiment_id = 0 WHERE run_uuid = '$RUN'"
    }
    both all
}

@test "--subset finds experiments and rows by the state and by natural keys" {
    after_ticks() {
        begin_ticks
        sql "UPDATE experiments SET name = 'renamed by the server', last_update_time = 1995253358461 WHERE name = 'churn prediction';
            UPDATE tags SET value = 'edited' WHERE key = 'mlflow.source.name'"
        printf a >$run_dir/tags/a
        settled
        tick
        mlruns-dump -q tree >whole.mlr
        stream=whole.mlr
        subset 1
        subset 0 --use-state st
        sql "DELETE FROM tags WHERE key = 'a'"
        subset 1 --use-state st
        stream=tick.mlr # a delta
        subset 1 --use-state st
        sql "INSERT INTO tags (key, value, run_uuid) VALUES ('a', 'a', '$RUN')"
        subset 0 --use-state st
    }
    both after_ticks empty
    ml-load -q --sync "sqlite:///$WORK/o.db" <"$BATS_FILE_TMPDIR/s.mlr"
    sqlite3 o.db "INSERT INTO scorers VALUES ((SELECT max(experiment_id) FROM experiments), 'good', 'sc-source');
        INSERT INTO scorer_versions VALUES ('sc-source', 1, '{}', 1)"
    mldb-dump -q "sqlite:///$WORK/o.db" >o.mlr
    stream=o.mlr
    scorers() {
        sql "INSERT INTO scorers (experiment_id, scorer_name, scorer_id) SELECT max(experiment_id), 'good', 'sc-target' FROM experiments"
        subset 1
        ml-load -q --sync "$url" <o.mlr
        subset 0
    }
    both scorers
}

# first_syncs URL: six at once, all bring theirs.
first_syncs() {
    local pids=
    for i in 1 2 3 4 5 6; do
        ml-load -q --sync "$1" <"$BATS_FILE_TMPDIR/s.mlr" 2>"err$i" &
        pids="$pids $!"
    done
    for pid in $pids; do
        wait "$pid" || { cat err? >&2; return 1; }
    done
    ml-verify -q --subset "$1" <"$BATS_FILE_TMPDIR/s.mlr"
}

@test "of concurrent first syncs into a database without tables one creates them, and all bring their data" {
    createdb fresh
    first_syncs postgresql:///fresh
    assert_equal "$(psql -qAtX fresh -c 'SELECT count(*) FROM alembic_version')" 1
    dropdb fresh
    first_syncs "sqlite:///$WORK/none.db" # a file that does not exist
    : >empty.db
    first_syncs "sqlite:///$WORK/empty.db"
    for f in none empty; do
        assert_equal "$(sqlite3 $f.db 'SELECT count(*) FROM alembic_version')" 1
        assert_equal "$(sqlite3 $f.db 'SELECT count(*) FROM runs')" 4
    done
}

@test "SQLite: a sync waits for the one that creates its file, and creates it itself if that fails" {
    use sqlite empty
    for stream in s.mlr /dev/null; do
        rm -f "$n.db"
        begin ml-load --sync "$url" # the first, whose stream goes on
        wait_for test -e ".$n.db.ml-load"
        ml-load --sync "$url" <s.mlr 2>second 9>&- &
        waiting=$!
        wait_for grep -q 'another program is creating this database; waiting for it' second
        [ ! -e "$n.db" ]
        cat "$stream" >&9
        finish
        wait $waiting
        assert_equal "$(sql "SELECT count(*) FROM runs")" 4
    done
    assert_status 2 # of the first one that time
}
