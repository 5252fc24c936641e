#!/usr/bin/env bats
# Whose counterpart what comes is: ids that are given again, names that both sides change, entities that one side has removed.

load helpers
load sync_helpers

# job FILE EXPERIMENT NAME CREATED RUN: a small SQLite file, or one more experiment and run in it.
job() {
    [ -e "$1" ] || ml-schema create -q --release 3.17 "sqlite:///$1"
    sqlite3 -bail "$1" "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time,
            workspace) VALUES ($2, '$3', 's3://$1/$2', 'active', $4, $4, 'default');
        INSERT INTO runs (run_uuid, name, experiment_id, lifecycle_stage, status, start_time, user_id) VALUES
            ('$5', '$5', $2, 'active', 'RUNNING', 1, 'u');
        INSERT INTO tags (run_uuid, key, value) VALUES ('$5', 'of', '$3');
        INSERT INTO experiment_tags (experiment_id, key, value) VALUES ($2, 'team', 'the same')"
    touch -d "-$((1000 - ${#5})) seconds" "$1" # settled
}

# tick_job FILE: what has changed in it; its state is FILE.st.
tick_job() {
    local since=
    [ ! -f "$1.st" ] || since="--since $1.st"
    # shellcheck disable=SC2086
    mldb-dump -q $since --next-state "$1.new" "sqlite:///$1" >tick.mlr
    run_split ml-load --sync --promote "$1.new=$1.st" "${@:2}" "$url" <tick.mlr
}

# "experiment: runs" of each that has some.
where_runs_are() {
    sql "SELECT e.name || ' ' || r.run_uuid FROM runs r JOIN experiments e ON e.experiment_id = r.experiment_id ORDER BY 1" | xargs
}

@test "if SQLite reuses a purged experiment's id, both experiments are in the target, each with its runs" {
    again() {
        rm -f jobs.db*
        job jobs.db 1 a 100 ra
        tick_job jobs.db
        assert_status 0
        sqlite3 jobs.db "DELETE FROM tags; DELETE FROM runs; DELETE FROM experiment_tags; DELETE FROM experiments WHERE experiment_id = 1"
        job jobs.db 1 b 200 rb
        tick_job jobs.db
        assert_status 0
        assert_equal "$(where_runs_are)" "a ra b rb"
        assert_equal "$(sql "SELECT e.name, t.value FROM experiment_tags t JOIN experiments e ON e.experiment_id = t.experiment_id WHERE key = 'team'
            ORDER BY 1" | xargs)" "a|the same b|the same"
        sqlite3 jobs.db "INSERT INTO runs (run_uuid, name, experiment_id, lifecycle_stage, status, start_time, user_id) VALUES
            ('rc', 'rc', 1, 'active', 'RUNNING', 1, 'u'); INSERT INTO tags VALUES ('late', 'x', 'rb')"
        tick_job jobs.db
        assert_status 0
        assert_equal "$(where_runs_are)" "a ra b rb b rc"
        assert_equal "$(sql "SELECT value FROM tags WHERE run_uuid = 'rb' AND key = 'late'")" x
        # the same name again: the name counts, as it does for a new source
        sqlite3 jobs.db "DELETE FROM tags; DELETE FROM runs; DELETE FROM experiment_tags; DELETE FROM experiments WHERE experiment_id = 1"
        job jobs.db 1 a 300 rd
        tick_job jobs.db
        assert_status 0
        assert_equal "$(where_runs_are)" "a ra a rd b rb b rc"
    }
    both again empty
}

@test "two sources with the same ids and one common name: ids are kept apart, and the name is one experiment, which its maker renames and deletes" {
    shared() {
        rm -f one.db* two.db*
        job one.db 1 shared 100 one
        job two.db 1 other 100 two
        job two.db 2 shared 150 three
        tick_job one.db
        tick_job two.db
        assert_status 0
        assert_equal "$(where_runs_are)" "other two shared one shared three"
        # not the maker
        sqlite3 two.db "UPDATE experiments SET name = 'mine', lifecycle_stage = 'deleted', last_update_time = 900 WHERE experiment_id = 2;
            INSERT INTO tags VALUES ('still', 'x', 'three')"
        tick_job two.db
        assert_status 0
        assert_equal "$(sql "SELECT name, lifecycle_stage FROM experiments WHERE name IN ('shared', 'mine')")" "shared|active"
        assert_equal "$(sql "SELECT run_uuid FROM tags WHERE key = 'still'")" three
        # the maker
        sqlite3 one.db "UPDATE experiments SET name = 'renamed', last_update_time = 1000 WHERE experiment_id = 1"
        tick_job one.db
        assert_status 0
        assert_equal "$(where_runs_are)" "other two renamed one renamed three"
        sqlite3 two.db "INSERT INTO runs (run_uuid, name, experiment_id, lifecycle_stage, status, start_time, user_id) VALUES
            ('four', 'four', 2, 'active', 'RUNNING', 1, 'u')"
        tick_job two.db
        assert_status 0
        assert_equal "$(where_runs_are)" "other two renamed four renamed one renamed three"
        sqlite3 one.db "UPDATE experiments SET lifecycle_stage = 'deleted', last_update_time = 1100 WHERE experiment_id = 1"
        tick_job one.db
        tick_job two.db
        assert_status 0
        assert_equal "$(sql "SELECT lifecycle_stage FROM experiments WHERE name = 'renamed'")" deleted
    }
    both shared empty
}

@test "names of experiments and models that only differ in case are different names" {
    jq -c "if .kind == \"experiment\" and .experiment_id == \"$EXP\" then ., (.experiment_id = \"4711\" | .name = \"Churn Prediction\") else . end |
        if .kind == \"registered_model\" and .name == \"churn\" then ., (.name = \"Churn\" | .description = \"another\") else . end" s.json |
        ml-transform --from-json --reseal >e.mlr
    cases() {
        sync <e.mlr
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM experiments WHERE lower(name) = 'churn prediction'")" 2
        assert_equal "$(sql "SELECT name, description FROM registered_models WHERE lower(name) = 'churn' ORDER BY 2")" "churn|Monthly churn model
Churn|another"
        state >before
        sync <e.mlr
        state >after
        cmp before after
    }
    both cases
}

@test "a file store's ids of 18 digits become PostgreSQL's own everywhere, tick after tick" {
    use postgresql empty
    begin_ticks
    assert_equal "$(sql "SELECT max(experiment_id) < 100 FROM experiments")" t
    printf x >tree/models/churn/tags/late
    printf ',%s,0,' $EXP >tree/models/support-answer/tags/_mlflow_experiment_ids
    printf a >$run_dir/tags/a
    settled
    tick
    assert_status 0
    id=$(sql "SELECT experiment_id FROM experiments WHERE name = 'churn prediction'")
    assert_equal "$(sql "SELECT experiment_id FROM runs WHERE run_uuid = '$RUN'")" "$id"
    assert_equal "$(sql "SELECT experiment_id FROM trace_info")" "$id"
    assert_equal "$(sql "SELECT value LIKE '%,$id,%' AND value NOT LIKE '%$EXP%' FROM registered_model_tags WHERE key = '_mlflow_experiment_ids' AND
        name = 'support-answer'")" t
    for table in runs logged_models datasets trace_info experiment_tags; do
        assert_equal "$(sql "SELECT count(*) FROM $table WHERE experiment_id > 100")" 0
    done
    use sqlite empty # which keeps them
    begin_ticks
    assert_equal "$(sql "SELECT experiment_id FROM runs WHERE run_uuid = '$RUN'")" $EXP
}

@test "a run that the source moved to another experiment is a conflict, and if skipped stays where it was, each time" {
    moved() {
        begin_ticks
        mv $run_dir tree/0/
        sed -i "s/^experiment_id: .*/experiment_id: '0'/" tree/0/$RUN/meta.yaml
        printf 1 >tree/0/$RUN/tags/moved
        settled
        state >before
        tick
        assert_status 2
        assert_contains "$stderr" "Run $RUN: experiment_id is '0' in the source and '"
        state >after
        cmp before after
        for i in 1 2; do
            tick --on-conflict skip
            assert_status 1
        done
        assert_equal "$(sql "SELECT count(*) FROM runs WHERE run_uuid = '$RUN' AND experiment_id <> 0")" 1
        assert_equal "$(sql "SELECT count(*) FROM tags WHERE key = 'moved'")" 0
        # and back
        mv tree/0/$RUN tree/$EXP/
        sed -i "s/^experiment_id: .*/experiment_id: '$EXP'/" $run_dir/meta.yaml
        settled
        tick
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM tags WHERE key = 'moved'")" 1
    }
    both moved empty
}

@test "a version that either side deletes stays deleted, with no alias to it" {
    version=tree/models/churn/version-1/meta.yaml
    gone="SELECT current_stage, (SELECT count(*) FROM registered_model_aliases WHERE name = 'churn') FROM model_versions WHERE name = 'churn'"
    versions() {
        begin_ticks # the server deletes it, the source goes on
        sql "UPDATE model_versions SET current_stage = 'Deleted_Internal', source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID',
            last_updated_time = last_updated_time + 5 WHERE name = 'churn'; DELETE FROM registered_model_aliases WHERE name = 'churn'"
        sed -i 's/^description: .*/description: later/; s/^last_updated_timestamp: .*/last_updated_timestamp: 1995253358570/' $version
        printf 1 >tree/models/churn/aliases/other
        settled
        tick --json
        assert_status 0
        assert_equal "$(jq .kinds.registered_model_alias.held_back <<<"$output")" 1
        assert_equal "$(sql "$gone")" "Deleted_Internal|0"
        use "$dialect" empty
        begin_ticks # the source deletes it, the server has edited it since
        sql "UPDATE model_versions SET description = 'the server', last_updated_time = 1999953358570 WHERE name = 'churn'"
        sed -i 's/^current_stage: .*/current_stage: Deleted_Internal/; s/^last_updated_timestamp: .*/last_updated_timestamp: 1895253358570/' $version
        rm tree/models/churn/aliases/*
        settled
        tick
        assert_status 0
        assert_equal "$(sql "$gone" | cut -d'|' -f1)" Deleted_Internal
        tick
        assert_contains "$stderr" "nothing to write"
    }
    both versions empty
}

# Each row: what is purged in the target, what the source changes of it, and what must stay empty.
@test "what was purged in the target does not return, with all that belongs to it" {
    things() {
        begin_ticks
        sql "DELETE FROM registered_model_aliases WHERE name = 'churn'; DELETE FROM model_version_tags WHERE name = 'churn';
            DELETE FROM model_versions WHERE name = 'churn'; DELETE FROM registered_model_tags WHERE name = 'churn';
            DELETE FROM registered_models WHERE name = 'churn'"
        sql "DELETE FROM assessments; DELETE FROM trace_tags; DELETE FROM trace_request_metadata; DELETE FROM trace_info"
        sql "DELETE FROM logged_model_metrics; DELETE FROM logged_model_params; DELETE FROM logged_model_tags; DELETE FROM logged_models"
        sed -i 's/^description: .*/description: later/; s/^last_updated_timestamp: .*/last_updated_timestamp: 1995253358570/' \
            tree/models/churn/meta.yaml tree/models/churn/version-1/meta.yaml
        printf 1 >tree/models/churn/tags/late
        printf 1 >tree/models/churn/version-1/tags/late
        printf 1 >tree/models/churn/aliases/late
        mkdir -p tree/$EXP/traces/$TRACE/tags tree/$EXP/models/$MODEL/tags
        printf 1 >tree/$EXP/traces/$TRACE/tags/late
        printf 1 >tree/$EXP/models/$MODEL/tags/late
        settled
        tick --json
        assert_status 0
        for kind in registered_model registered_model_tag model_version model_version_tag registered_model_alias trace trace_tag logged_model logged_model_tag; do
            [ "$(jq ".kinds.$kind | .added + .changed" <<<"$output")" = 0 ] || { echo "$kind: $output" >&2; return 1; }
            [ "$(jq ".kinds.$kind | .purged + .held_back" <<<"$output")" -gt 0 ] || { echo "$kind: $output" >&2; return 1; }
        done
        assert_equal "$(sql "SELECT (SELECT count(*) FROM registered_models WHERE name = 'churn') + (SELECT count(*) FROM trace_info) +
            (SELECT count(*) FROM logged_models)")" 0
        # an experiment, with what is new in it
        sql "DELETE FROM experiment_tags WHERE key NOT LIKE 'mlruns%'; DELETE FROM input_tags; DELETE FROM inputs; DELETE FROM datasets; DELETE FROM tags; DELETE FROM params;
            DELETE FROM metrics; DELETE FROM latest_metrics; DELETE FROM runs; DELETE FROM experiments WHERE name = 'churn prediction'"
        other=tree/$EXP/aa720d04f3e24f11bc736169024f6d03
        cp -r $run_dir $other
        sed -i "s/$RUN/aa720d04f3e24f11bc736169024f6d03/" $other/meta.yaml
        settled
        tick
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM experiments WHERE name = 'churn prediction'")" 0
        assert_equal "$(sql "SELECT count(*) FROM runs")" 0
        tick
        assert_status 0
    }
    both things empty
}

@test "renumbered versions keep their numbers, also for later aliases, tags and associations" {
    renumbered() {
        sql "UPDATE model_versions SET creation_time = 1 WHERE name IN ('churn', 'support-answer')"
        old_tree
        tick --on-conflict renumber
        assert_status 0
        printf 1 >tree/models/churn/aliases/late
        printf x >tree/models/churn/version-1/tags/late
        settled
        tick
        assert_status 0
        assert_equal "$(sql "SELECT version FROM registered_model_aliases WHERE name = 'churn' AND alias = 'late'")" 2
        assert_equal "$(sql "SELECT version FROM model_version_tags WHERE name = 'churn' AND key = 'late'")" 2
        printf y >tree/models/churn/version-1/tags/late
        rm tree/models/churn/aliases/late
        settled
        # the number that it has in the source is free in the target by now
        sql "DELETE FROM model_version_tags WHERE name = 'churn' AND version = 1; DELETE FROM model_versions WHERE name = 'churn' AND version = 1"
        sed -i 's/^description: .*/description: later/; s/^last_updated_timestamp: .*/last_updated_timestamp: 1995253358570/' \
            tree/models/churn/version-1/meta.yaml
        settled
        tick
        assert_status 0
        assert_equal "$(sql "SELECT v.version, description, value FROM model_versions v JOIN model_version_tags t ON t.name = v.name AND t.version =
            v.version WHERE v.name = 'churn' AND key = 'late'")" "2|later|y"
        assert_equal "$(sql "SELECT count(*) FROM model_versions WHERE name = 'churn'")" 1
    }
    both renumbered
    associate() { # VERSION RUN
        sqlite3 src.db "INSERT INTO entity_associations (association_id, source_type, source_id, destination_type, destination_id, created_time)
            VALUES ('a$1$2', 'run', '$2', 'prompt_version', 'support-answer/$1', 1), ('b$1$2', 'prompt_version', 'support-answer/$1', 'trace', '$TRACE', 1)"
    }
    associated() {
        sql "UPDATE model_versions SET creation_time = creation_time + 7 WHERE name = 'support-answer'"
        rm -f src.db*
        ml-load -q sqlite:///src.db <s.mlr
        associate 1 $RUN
        tick_job src.db --on-conflict renumber
        assert_status 0
        associations="SELECT source_type, source_id, destination_type, destination_id FROM entity_associations ORDER BY 1, 2, 4"
        assert_equal "$(sql "$associations")" "prompt_version|support-answer/3|trace|$TRACE
run|$RUN|prompt_version|support-answer/3"
        associate 2 $DELETED
        tick_job src.db
        assert_status 0
        assert_equal "$(sql "$associations")" "prompt_version|support-answer/3|trace|$TRACE
prompt_version|support-answer/4|trace|$TRACE
run|$DELETED|prompt_version|support-answer/4
run|$RUN|prompt_version|support-answer/3"
        rm src.db.st # all again
        tick_job src.db
        assert_status 0
        assert_contains "$stderr" "nothing to write"
    }
    both associated
}

@test "a registered model that the source renames becomes a second one in the target, and a note says so" {
    renamed() {
        begin_ticks
        refute_contains "$stderr" renamed
        mv tree/models/churn tree/models/attrition
        sed -i 's/^name: .*/name: attrition/' tree/models/attrition/meta.yaml tree/models/attrition/version-1/meta.yaml
        settled
        tick -q
        assert_status 0
        assert_contains "$stderr" "Registered model attrition: warning: was created at the time of 'churn', which the source no longer has"
        assert_equal "$(sql "SELECT name FROM registered_models WHERE name IN ('churn', 'attrition') ORDER BY 1" | xargs)" "attrition churn"
        tick -q
        assert_equal "$stderr" ""
        # a model of the same moment that the source has as well was not renamed
        use "$dialect" empty
        cp -r tree/models/attrition tree/models/churn
        sed -i 's/^name: .*/name: churn/' tree/models/churn/meta.yaml tree/models/churn/version-1/meta.yaml
        rm -f st
        settled
        tick -q
        assert_equal "$stderr" ""
    }
    both renamed empty
}

@test "an assessment deleted in the target does not return when its file or row changes, but a new one comes" {
    assessed() {
        begin_ticks
        mldb-dump -q "$url" | ml-load -q --release 3.17 "sqlite:///src$n.db"
        file=$(echo tree/$EXP/traces/$TRACE/assessments/*.yaml | tr ' ' '\n' | head -1)
        id=$(basename "$file" .yaml)
        sql "DELETE FROM assessments WHERE assessment_id = '$id'"
        sed -i 's/^rationale: .*/rationale: changed/; s/^last_update_time: .*/last_update_time: "2031-01-01T00:00:00Z"/' "$file"
        new=$(dirname "$file")/a-$(printf '%032d' 7).yaml
        sed "s/$id/a-$(printf '%032d' 7)/" "$file" >"$new"
        settled
        tick --json
        assert_status 0
        assert_equal "$(jq -c '[.kinds.assessment.added, .kinds.assessment.purged]' <<<"$output")" "[1,1]"
        assert_equal "$(sql "SELECT count(*) FROM assessments WHERE assessment_id = '$id'")" 0
        # of a database
        tick_job "src$n.db"
        assert_status 0
        assert_equal "$(sql "SELECT count(*) FROM assessments")" 3 # a first tick asserts everything
        id=$(sqlite3 "src$n.db" "SELECT min(assessment_id) FROM assessments")
        sql "DELETE FROM assessments"
        sqlite3 "src$n.db" "UPDATE assessments SET rationale = 'x', last_updated_timestamp = last_updated_timestamp + 1 WHERE assessment_id = '$id';
            INSERT INTO assessments SELECT 'new', trace_id, name, assessment_type, value, error, created_timestamp, last_updated_timestamp, source_type,
            source_id, run_id, span_id, rationale, overrides, valid, assessment_metadata, experiment_id, trace_timestamp_ms, aggregate_value,
            is_numeric_value FROM assessments WHERE assessment_id = '$id'"
        tick_job "src$n.db"
        assert_status 0
        assert_equal "$(sql "SELECT assessment_id FROM assessments")" new
    }
    both assessed empty
}
