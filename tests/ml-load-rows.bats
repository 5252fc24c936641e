#!/usr/bin/env bats
# ml-load: the rows of tables that a file store does not have, from database to database.

load helpers
strict_pipes

setup() {
    work
    copy_tree
    mlruns-dump -q mlruns | ml-transform --json |
        jq -c 'if .experiment_id then .experiment_id |= .[0:3] else . end' |
        ml-transform --from-json --reseal | ml-load -q --release 3.17.2 sqlite:///a.db
    assert_equal "$(python3 "$ROOT/tests/fill_tables.py" a.db)" ""
    mldb-dump -q --with-secrets sqlite:///a.db >a.mlr
}

teardown() {
    stop_postgres
}

lines() {
    ml-transform --json | grep -v '^{"kind":"\(header\|trailer\)"' | sort
}

edit() {
    ml-transform --json <a.mlr | jq -c "$1" | ml-transform --from-json --reseal
}

# The content of all tables, in an order of its own.
content() {
    for t in $(sqlite3 "$1" "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"); do
        echo "$t"
        sqlite3 -quote "$1" "SELECT * FROM $t" | sort
    done
}

@test "every table goes from one SQLite database to another" {
    run_split ml-load --release 3.17.2 sqlite:///b.db <a.mlr
    assert_status 0
    assert_contains "$stderr" "Other Rows: $(ml-transform --json <a.mlr | grep -c '^{"kind":"row"')"
    ml-verify -q sqlite:///b.db <a.mlr
    content a.db >a.txt
    content b.db >b.txt
    diff a.txt b.txt
    [ "$(sqlite3 b.db 'PRAGMA foreign_key_check' | wc -l)" -eq 0 ]
    assert_equal "$(sqlite3 b.db 'SELECT count(*) FROM workspaces')" 3
}

@test "SQLite to PostgreSQL to SQLite gives the same content, and ids continue" {
    start_postgres
    createdb -E UTF8 -T template0 t
    ml-load -q --release 3.17.2 postgresql:///t <a.mlr
    ml-verify -q postgresql:///t <a.mlr
    mldb-dump -q --with-secrets postgresql:///t >p.mlr
    highest=$(psql -qAtX -c 'SELECT max(id) FROM sql_trace_metric_daily_rollups' t)
    next=$(psql -qAtX -c "SELECT nextval(pg_get_serial_sequence('sql_trace_metric_daily_rollups', 'id'))" t)
    assert_equal "${next:-1}" $((${highest:-0} + 1))
    diff <(lines <a.mlr) <(lines <p.mlr)
    ml-load -q --release 3.17.2 sqlite:///c.db <p.mlr
    content a.db >a.txt
    content c.db >c.txt
    diff a.txt c.txt
}

@test "a table or column that the target lacks is named, or left out" {
    run_split ml-load --release 3.16 sqlite:///b.db <a.mlr
    assert_status 2
    [ ! -e b.db ]
    run_split ml-load --release 3.2 --drop-unsupported sqlite:///b.db <a.mlr
    assert_status 1
    assert_contains "$stderr" "dropped on request"
    assert_contains "$stderr" "Other Rows"
    assert_equal "$(sqlite3 b.db 'PRAGMA integrity_check')" ok
    edit 'if .kind == "row" and .table == "webhooks" then .values.colour = "red" else . end' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///d.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "this schema has no column webhooks.colour"
}

@test "a row without its parent, a row without a required value and a duplicate row are refused" {
    edit 'select(.kind != "row" or .table != "webhooks")' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "webhook_events: some of its rows belong to rows of webhooks that are not in the stream"
    edit 'if .kind == "row" and .table == "webhooks" then del(.values.url) else . end' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "no value for the column url"
    edit 'if .kind == "row" and .table == "webhooks" then ., . else . end' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 2
    assert_contains "$stderr" "duplicate record"
    [ ! -e b.db ]
}

@test "a workspace that is only named by its contents gets a row" {
    edit 'select(.kind != "row")' | ml-transform --json |
        jq -c 'if .kind == "experiment" then .workspace = "team-a" elif .kind | test("registered_model|model_version|prompt") then .workspace = "team-b" else . end' |
        ml-transform --from-json --reseal >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 0
    assert_contains "$stderr" "2 workspaces without a row in the stream"
    assert_contains "$stderr" "only with --enable-workspaces"
    assert_equal "$(sqlite3 b.db 'SELECT name FROM workspaces ORDER BY 1' | xargs)" "default team-a team-b"
    ml-verify -q sqlite:///b.db <b.mlr
    run_split ml-load --release 3.2 sqlite:///c.db <b.mlr
    assert_status 2
    [ ! -e c.db ]
}

@test "a value of the wrong type is refused by name, but equal numbers of another type are accepted" {
    while IFS='|' read -r change name; do
        edit "$change" >bad.mlr
        run_split sh -c 'ml-load -q --release 3.17.2 sqlite:///b.db <bad.mlr'
        assert_status 2
        assert_contains "$stderr" "$name"
        [ ! -e b.db ]
    done <<'EOT'
if .table == "scorers" then .values.scorer_name = 5 else . end|scorer_name: not text
if .table == "evaluation_dataset_tags" then .values.value = {"$float": "0.5"} else . end|value: not text
if .table == "evaluation_dataset_tags" then .values.value = true else . end|value: not text
if .table == "jobs" then .values.progress = 5 else . end|progress: not text
if .table == "sql_trace_rollup_rebuild_queue" then .values.rollup_day = 5 else . end|rollup_day: not text
if .table == "scorer_versions" then .values.scorer_version = "1" else . end|scorer_version: not an integer
if .table == "scorer_versions" then .values.scorer_version = {"$float": "1.5"} else . end|scorer_version: not an integer
if .table == "online_scoring_configs" then .values.sample_rate = "1" else . end|sample_rate: not a number
if .table == "endpoints" then .values.usage_tracking = 2 else . end|usage_tracking: not a boolean
if .table == "secrets" then .values.encrypted_value = 2 else . end|encrypted_value: not bytes
EOT
    # a hand-made record of a table that its server fills
    edit 'if .kind == "header" then ., {kind: "row", table: "workspaces", values: {name: 5}} else . end' >bad.mlr
    run_split sh -c 'ml-load -q --release 3.17.2 sqlite:///b.db <bad.mlr'
    assert_status 2
    assert_contains "$stderr" "name: not text"
    edit 'if .table == "endpoints" then .values.usage_tracking = 1 else . end
        | if .table == "online_scoring_configs" then .values.sample_rate = 1 else . end' >good.mlr
    ml-load -q --release 3.17.2 sqlite:///b.db <good.mlr
    run_split ml-verify -q sqlite:///b.db <good.mlr
    assert_status 0
}

@test "the default workspace stays when others are loaded" {
    edit 'select(.kind != "row" or .table == "workspaces")' >b.mlr
    ml-load -q --release 3.17.2 sqlite:///b.db <b.mlr
    assert_equal "$(sqlite3 b.db "SELECT count(*) FROM workspaces WHERE name = 'default'")" 1
}

# old_db: a database of 3.16 with a trace, two spans and what MLflow 3.16 keeps of them, and its stream old.mlr.
old_db() {
    rm -f old.db
    ml-transform --json <a.mlr | jq -c 'select(.kind != "row" and .kind != "span")' | ml-transform --from-json --reseal |
        ml-load -q --release 3.16 sqlite:///old.db
    sqlite3 old.db "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, db_payload_generation)
            SELECT 't', experiment_id, 1, 'OK', 0 FROM runs LIMIT 1;
        INSERT INTO trace_request_metadata (request_id, key, value) VALUES
            ('t', 'mlflow.trace.tokenUsage', '{\"input_tokens\": 1, \"output_tokens\": 2, \"total_tokens\": 3}'),
            ('t', 'mlflow.gateway.endpointId', 'e');
        INSERT INTO trace_metrics VALUES ('t', 'input_tokens', 7), ('t', 'total_tokens', 3), ('t', 'own', 0.5);
        INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content, dimension_attributes)
            SELECT 't', experiment_id, 's1', 'OK', 1, '{}', '{\"mlflow.llm.model\": \"m\", \"mlflow.llm.provider\": \"p\"}' FROM runs LIMIT 1;
        INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content, dimension_attributes)
            SELECT 't', experiment_id, 's2', 'OK', 1, '{}', 'null' FROM runs LIMIT 1;
        INSERT INTO span_metrics VALUES ('t', 's1', 'input_cost', 0.25), ('t', 's1', 'total_cost', 0.5), ('t', 's2', 'total_cost', 1.5),
            ('t', 's1', 'own', 4)"
    [ $# -eq 0 ] || sqlite3 old.db "$1"
    mldb-dump -q sqlite:///old.db >old.mlr
}

@test "models, costs and token counts from before 3.17 go into the columns of 3.17, and verify" {
    old_db
    run_split ml-load --release 3.17.2 sqlite:///b.db <old.mlr
    assert_status 0
    assert_contains "$stderr" "to make MLflow use this database:"
    refute_contains "$stderr" "./mlruns"
    assert_contains "$stderr" "5 rows of span_metrics and trace_metrics went into columns"
    assert_contains "$stderr" "1 token count differs between trace_metrics and the trace's metadata"
    assert_equal "$(sqlite3 b.db "SELECT input_cost, output_cost, total_cost, model_name, model_provider FROM spans ORDER BY span_id" | xargs)" \
        "0.25||0.5|m|p ||1.5||"
    # a trace of the gateway costs what its spans do
    assert_equal "$(sqlite3 b.db "SELECT input_tokens, output_tokens, total_tokens, total_cost FROM trace_info WHERE request_id = 't'")" "7|2|3|2.0"
    assert_equal "$(sqlite3 b.db "SELECT key FROM span_metrics UNION ALL SELECT key FROM trace_metrics" | xargs)" "own own"
    cp old.db up.db
    ml-schema upgrade -q --to 3.17.2 sqlite:///up.db
    content b.db >b.txt
    content up.db >up.txt
    diff b.txt up.txt
    for db in b up; do
        run_split sh -c "ml-verify -q sqlite:///$db.db <old.mlr"
        assert_status 0
    done
    while IFS='|' read -r change wanted; do
        cp b.db bad.db
        sqlite3 bad.db "$change"
        run_split sh -c 'ml-verify -q sqlite:///bad.db <old.mlr'
        assert_status 1
        assert_contains "$output" "$wanted"
    done <<'EOT'
UPDATE spans SET model_name = 'x' WHERE span_id = 's1'|Field 'model_name': source=m, target=x
UPDATE spans SET model_provider = NULL WHERE span_id = 's1'|Field 'model_provider': source=p, target=None
UPDATE spans SET model_name = 'x' WHERE span_id = 's2'|Field 'model_name': source=None, target=x
UPDATE spans SET total_cost = 0.6 WHERE span_id = 's1'|Field 'total_cost': source=0.5, target=0.6
UPDATE spans SET input_cost = NULL|Field 'input_cost': source=0.25, target=None
UPDATE trace_info SET input_tokens = 1 WHERE request_id = 't'|Field 'value': source={"input_tokens": 7, "output_tokens": 2, "total_tokens": 3}
UPDATE trace_info SET total_cost = 3 WHERE request_id = 't'|Field 'value': source={"total_cost": 2.0}
UPDATE trace_info SET total_cost = NULL|FAILED: Trace metadata 'mlflow.trace.cost' in trace t
INSERT INTO span_metrics VALUES ('t', 's1', 'input_cost', 0.25)|FAILED: Row span_metrics (trace_id=t, span_id=s1, key=input_cost)
DELETE FROM span_metrics|FAILED: Row span_metrics (trace_id=t, span_id=s1, key=own)
DELETE FROM spans WHERE span_id = 's2'|FAILED: Span 's2' in trace t
EOT
}

@test "the JSON value null in a column that the target lacks is not a loss" {
    old_db "UPDATE spans SET dimension_attributes = 'null'; DELETE FROM span_metrics; DELETE FROM trace_metrics"
    for release in 3.9 3.17.2; do
        rm -f b.db
        ml-load -q --release $release sqlite:///b.db <old.mlr
        run_split sh -c 'ml-verify -q sqlite:///b.db <old.mlr'
        assert_status 0
    done
    old_db "DELETE FROM span_metrics; DELETE FROM trace_metrics"
    run_split ml-load --release 3.9 sqlite:///c.db <old.mlr
    assert_status 2
    assert_contains "$stderr" "Span 's1' in trace t: dimension_attributes has no column in this schema; the first release with it is MLflow 3.10.0"
}

@test "span values that 3.17's columns cannot hold are refused by name, as is a metric without its span or trace" {
    old_db "UPDATE spans SET dimension_attributes = '{\"colour\": \"red\"}' WHERE span_id = 's1'"
    run_split ml-load --release 3.17.2 sqlite:///b.db <old.mlr
    assert_status 2
    assert_contains "$stderr" "Span 's1' in trace t: dimension_attributes has keys other than"
    run_split ml-load --release 3.17.2 --drop-unsupported sqlite:///b.db <old.mlr
    assert_status 1
    assert_equal "$(sqlite3 b.db 'SELECT count(*) FROM spans')" 2
    old_db "DELETE FROM spans WHERE span_id = 's2'"
    run_split ml-load --release 3.17.2 sqlite:///c.db <old.mlr
    assert_status 2
    assert_contains "$stderr" "Row in spans (trace_id t, span_id s2): it has rows in span_metrics, but is not in the stream"
    old_db "INSERT INTO trace_metrics VALUES ('gone', 'input_tokens', 1)"
    run_split ml-load --release 3.17.2 sqlite:///c.db <old.mlr
    assert_status 2
    assert_contains "$stderr" "Row trace_metrics (request_id=gone, key=input_tokens): it belongs to the trace gone, which is not in the stream"
}

@test "a span of an old stream with a user's column stays a row, and what 3.17 has no column for is named and counted" {
    old_db
    ml-transform --json <old.mlr | jq -c 'if .kind == "span" then {kind: "row", table: "spans", values: (del(.kind) + {own: "x"} |
        .experiment_id |= {"$int": .})} else . end' | ml-transform -q --from-json --reseal >rows.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <rows.mlr
    assert_status 2
    assert_contains "$stderr" "this schema has no column spans.own"
    assert_contains "$stderr" "this schema has no column spans.dimension_attributes"
    run_split ml-load --release 3.17.2 --drop-unsupported sqlite:///b.db <rows.mlr
    assert_status 1
    assert_contains "$stderr" "dropped on request: the values of 4 Other Rows"
}

@test "models, costs, token counts and links to prompts from 3.17 go where MLflow 3.9 to 3.16 keeps them, and verify" {
    old_db
    ml-load -q --release 3.17.2 sqlite:///b.db <old.mlr
    sqlite3 b.db "INSERT INTO trace_tags (request_id, key, value) VALUES ('t', 'mlflow.linkedPrompts', '[{\"name\": \"p q\", \"version\": \"12\"}]')"
    mldb-dump -q sqlite:///b.db >new.mlr
    run_split ml-load --release 3.16 sqlite:///c.db <new.mlr
    assert_status 0
    assert_equal "$(sqlite3 c.db "SELECT span_id, dimension_attributes FROM spans ORDER BY 1" | xargs -d '\n')" \
        's1|{"mlflow.llm.model": "m", "mlflow.llm.provider": "p"} s2|null'
    assert_equal "$(sqlite3 c.db "SELECT span_id, key, value FROM span_metrics ORDER BY 1, 2" | xargs)" \
        "s1|input_cost|0.25 s1|own|4.0 s1|total_cost|0.5 s2|total_cost|1.5"
    assert_equal "$(sqlite3 c.db "SELECT key, value FROM trace_metrics WHERE request_id = 't' ORDER BY 1" | xargs)" \
        "input_tokens|7.0 output_tokens|2.0 own|0.5 total_tokens|3.0"
    assert_equal "$(sqlite3 c.db "SELECT source_type, source_id, destination_type, destination_id, created_time, length(association_id) FROM entity_associations")" \
        "trace|t|prompt_version|p q/12|1|32"
    run_split sh -c 'ml-verify -q sqlite:///c.db <new.mlr'
    assert_status 0
    while IFS='|' read -r change wanted; do
        cp c.db bad.db
        sqlite3 bad.db "$change"
        run_split sh -c 'ml-verify -q sqlite:///bad.db <new.mlr'
        assert_status 1
        assert_contains "$output" "$wanted"
    done <<'EOT'
UPDATE spans SET dimension_attributes = 'null' WHERE span_id = 's1'|Field 'dimension_attributes': source={"mlflow.llm.model":"m","mlflow.llm.provider":"p"}, target=null
UPDATE spans SET content = '[]' WHERE span_id = 's1'|Field 'content': source={}, target=[]
UPDATE span_metrics SET value = 0.6 WHERE key = 'total_cost'|Field 'value': source=0.5, target=0.6
DELETE FROM span_metrics WHERE key = 'input_cost'|FAILED: Row span_metrics (trace_id=t, span_id=s1, key=input_cost)
UPDATE trace_metrics SET value = 8 WHERE key = 'input_tokens'|Field 'value': source=7.0, target=8.0
INSERT INTO trace_metrics VALUES ('t', 'further', 1)|FAILED: Row trace_metrics (request_id=t, key=further)
INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) SELECT trace_id, experiment_id, 's3', 'OK', 1, '{}' FROM spans WHERE span_id = 's1'|FAILED: Span 's3' in trace t
DELETE FROM spans WHERE span_id = 's2'|FAILED: Span 's2' in trace t
EOT
    # what the content says is no loss where there is no column for it
    sqlite3 b.db "DELETE FROM span_metrics; DELETE FROM trace_metrics; DELETE FROM spans WHERE span_id = 's2';
        UPDATE spans SET content = '{\"attributes\": {\"mlflow.llm.model\": \"\\\"m\\\"\", \"mlflow.llm.provider\": \"p\",
            \"mlflow.llm.cost\": \"{\\\"input_cost\\\": 0.25, \\\"total_cost\\\": 0.5}\"}}'"
    mldb-dump -q sqlite:///b.db >new.mlr
    ml-load -q --release 3.9 sqlite:///d.db <new.mlr
    ml-verify -q sqlite:///d.db <new.mlr
}

@test "a problem of many rows is one message, with the first row's key" {
    old_db
    ml-load -q --release 3.17.2 sqlite:///b.db <old.mlr
    run_split sh -c 'mldb-dump -q sqlite:///b.db | ml-load --release 3.9 sqlite:///c.db'
    assert_status 2
    for field in input_cost total_cost model_name model_provider; do
        assert_equal "$(echo "$stderr" | grep -c "$field has no column in this schema; the first release with it is MLflow 3.17.0 (not repeated for other Spans)")" 1
    done
    assert_equal "$(echo "$stderr" | grep -c "Span 's1' in trace t: ")" 4
    refute_contains "$stderr" "more problems"
    run_split ml-load --release 3.2 sqlite:///c.db <a.mlr
    assert_status 2
    assert_equal "$(echo "$stderr" | grep -c 'this schema has no table webhooks; the releases that have it: MLflow 3.3.0 and newer')" 1
    assert_contains "$stderr" "Row webhooks (webhook_id=text 0 ü): "
}

@test "artifacts and archived traces that stay in place are reported by location, with what moves them" {
    ml-schema create -q --release 3.17.2 sqlite:///p.db
    sqlite3 p.db <<'EOT'
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) VALUES
    (0, 'Default', '/srv/ml flow/0', 'active'), (1, 'one', 'file:///srv/tree/1', 'deleted'), (2, 'two', 's3://bucket/tree/2', 'active'),
    (3, 'three', 'mlflow-artifacts:/3', 'active'), (4, 'own', 'gs://other/team/own', 'active');
INSERT INTO runs (run_uuid, experiment_id, name, status, lifecycle_stage, artifact_uri) VALUES
    ('r0', 0, 'r', 'FINISHED', 'active', '/srv/ml flow/0/r0/artifacts'), ('r2', 2, 'r', 'FINISHED', 'active', 's3://bucket/tree/2/r2/artifacts'),
    ('r3', 3, 'r', 'FINISHED', 'active', 'mlflow-artifacts:/3/r3/artifacts'), ('r4', 4, 'r', 'FINISHED', 'active', 'gs://other/team/own/r4/artifacts');
INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, db_payload_generation) VALUES
    ('t1', 0, 1, 'OK', 2), ('t2', 0, 1, 'OK', 2), ('t3', 2, 1, 'OK', 2), ('t4', 0, 1, 'OK', 2), ('t5', 0, 1, 'OK', 0);
INSERT INTO trace_tags (request_id, key, value) SELECT request_id, 'mlflow.artifactLocation', '/srv/ml flow/0/traces/' || request_id || '/artifacts'
    FROM trace_info WHERE experiment_id = 0;
INSERT INTO trace_tags (request_id, key, value) SELECT request_id, 'mlflow.trace.spansLocation', 'ARCHIVE_REPO'
    FROM trace_info WHERE request_id IN ('t1', 't2', 't3');
INSERT INTO trace_tags (request_id, key, value) VALUES ('t4', 'mlflow.trace.spansLocation', 'TRACKING_STORE'),
    ('t1', 'mlflow.trace.archiveLocation', '/srv/archive/0/traces/t1/artifacts'),
    ('t2', 'mlflow.trace.archiveLocation', '/srv/archive/0/traces/t2/artifacts'),
    ('t3', 'mlflow.trace.archiveLocation', 's3://bucket/archive/2/traces/t3/artifacts');
EOT
    mldb-dump -q sqlite:///p.db >p.mlr
    run_split ml-load --release 3.17.2 sqlite:///q.db <p.mlr
    assert_status 0
    where="on the machine of the source's MLflow server"
    # of t4 the spans are in the database; t1 and t2 have artifacts besides
    assert_contains "$stderr" "keep /srv/ml flow/ $where: it has 5 artifact locations and the spans of 1 trace"
    assert_contains "$stderr" "to move them: cp -a '/srv/ml flow/.' /NEW, and load again through ml-transform --rewrite-uri '/srv/ml flow=/NEW'"
    assert_contains "$stderr" "keep file:///srv/tree/ $where: it has 1 artifact location"
    assert_contains "$stderr" "cp -a /srv/tree/. /NEW, and load again through ml-transform --rewrite-uri 'file:///srv/tree=file:///NEW'"
    assert_contains "$stderr" "keep /srv/archive/ $where: it has 2 archived traces"
    assert_contains "$stderr" "cp -a /srv/archive/. /NEW, and load again through ml-transform --rewrite-uri '/srv/archive=/NEW'"
    assert_contains "$stderr" "s3://bucket/tree/ has 2 artifact locations: MLflow finds them as before"
    assert_contains "$stderr" "s3://bucket/archive/ has 1 archived trace: MLflow finds them as before"
    assert_contains "$stderr" "load again through ml-transform --rewrite-uri 's3://bucket/archive=URI'"
    assert_contains "$stderr" "mlflow-artifacts:/ has 2 artifact locations: the MLflow server finds them if its --artifacts-destination is"
    assert_contains "$stderr" "gs://other/ has 2 artifact locations"
    refute_contains "$stderr" ".trash"
    # the hinted commands do what they say
    run_split sh -c "ml-transform --rewrite-uri '/srv/ml flow=/NEW' --rewrite-uri /srv/archive=/NEW2 --rewrite-uri s3://bucket/archive=gs://b/a \
        --rewrite-uri mlflow-artifacts:=s3://c <p.mlr | ml-load --release 3.17.2 sqlite:///r.db"
    assert_status 0
    assert_contains "$stderr" "keep /NEW/ $where: it has 5 artifact locations and the spans of 1 trace"
    assert_contains "$stderr" "keep /NEW2/ $where: it has 2 archived traces"
    assert_contains "$stderr" "gs://b/a/ has 1 archived trace"
    assert_equal "$(sqlite3 r.db "SELECT value FROM trace_tags WHERE request_id = 't2' AND key = 'mlflow.trace.archiveLocation'")" \
        /NEW2/0/traces/t2/artifacts
    assert_equal "$(sqlite3 r.db 'SELECT artifact_location FROM experiments WHERE experiment_id = 3')" s3://c/3
}

@test "issues from before 3.18 get the time at which they were last seen and rows for their categories, and verify" {
    old_db "INSERT INTO issues (issue_id, experiment_id, name, description, status, created_timestamp, last_updated_timestamp, categories)
            SELECT v.column1, experiment_id, 'n', 'd', 's', v.column2, 99, v.column3
            FROM (SELECT experiment_id FROM runs LIMIT 1) JOIN (VALUES ('i1', 11, '[\" Cost\", \"cost\", \"ΣΑΣ\", \"COST \"]'),
                ('i2', 12, NULL), ('i3', 13, '[]'), ('i4', 14, '{\"b\": 1, \"a\": 2, \"b\": 3}'), ('i5', 15, '\"aå\"')) v"
    run_split ml-load --release 3.18 sqlite:///b.db <old.mlr
    assert_status 0
    assert_contains "$stderr" "5 issues got a time at which they were last seen, and rows of their categories"
    assert_contains "$stderr" "Other Rows: $(ml-transform --json <old.mlr | grep -c '^{"kind":"row"')"
    assert_equal "$(sqlite3 b.db 'SELECT issue_id, category FROM issue_categories ORDER BY 1, 2' | xargs -d '\n')" \
        "i1|COST  i1|ΣΑΣ i4|a i4|b i5|a i5|å"
    cp old.db up.db
    ml-schema upgrade -q --to 3.18 sqlite:///up.db
    content b.db >b.txt
    content up.db >up.txt
    diff b.txt up.txt
    for db in b up; do
        run_split sh -c "ml-verify -q sqlite:///$db.db <old.mlr"
        assert_status 0
    done
    # a source that has rows of its own: these count
    mldb-dump -q sqlite:///up.db >up.mlr
    ml-load -q --release 3.18 sqlite:///c.db <up.mlr
    content c.db | diff up.txt -
    ml-transform --json <up.mlr | jq -c 'del(.values.last_seen_timestamp?) | if .values.category? == "COST " then .values.category = "own" else . end' |
        ml-transform --from-json --reseal >own.mlr
    ml-load -q --release 3.18 sqlite:///d.db <own.mlr
    assert_equal "$(sqlite3 d.db "SELECT category FROM issue_categories WHERE issue_id = 'i1'" | sort | xargs)" "own ΣΑΣ"
    run_split sh -c 'ml-verify -q sqlite:///d.db <own.mlr'
    assert_status 0
    while IFS='|' read -r change wanted; do
        cp b.db bad.db
        sqlite3 bad.db "$change"
        run_split sh -c 'ml-verify -q sqlite:///bad.db <old.mlr'
        assert_status 1
        assert_contains "$output" "$wanted"
    done <<'EOT'
UPDATE issues SET last_seen_timestamp = NULL WHERE issue_id = 'i1'|Field 'last_seen_timestamp': source=11, target=None
UPDATE issues SET last_seen_timestamp = 1 WHERE issue_id = 'i2'|Field 'last_seen_timestamp': source=12, target=1
DELETE FROM issue_categories WHERE category = 'a'|FAILED: Row issue_categories (issue_id=i4, category_hash=
UPDATE issue_categories SET category = 'cost' WHERE category = 'COST '|Field 'category': source=COST , target=cost
INSERT INTO issue_categories VALUES ('i2', 'x', 'x')|FAILED: Row issue_categories (issue_id=i2, category_hash=x)
EOT
    sqlite3 old.db "UPDATE issues SET categories = '[1]' WHERE issue_id = 'i3'"
    run_split sh -c 'mldb-dump -q sqlite:///old.db | ml-load --release 3.18 sqlite:///e.db'
    assert_status 2
    assert_contains "$stderr" "Row issues (issue_id=i3): categories has an element that is not a string"
    run_split sh -c 'mldb-dump -q sqlite:///old.db | ml-load --release 3.17.2 sqlite:///e.db'
    assert_status 0
}

@test "issues from before 3.18 become in PostgreSQL what its upgrade makes of them; a category that it cannot store is named" {
    ml-schema create -q --release 3.17.2 sqlite:///old.db
    sqlite3 old.db <<'EOT'
INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'Default', 'active');
INSERT INTO issues (issue_id, experiment_id, name, description, status, created_timestamp, last_updated_timestamp, categories)
    VALUES ('i1', 0, 'n', 'd', 's', 5, 6, '["a", "A "]'), ('i2', 0, 'n', 'd', 's', 7, 8, '["b\\u0000"]');
EOT
    start_postgres
    createdb -E UTF8 -T template0 new
    createdb -E UTF8 -T template0 up
    mldb-dump -q sqlite:///old.db | ml-load -q --release 3.18 postgresql:///new
    mldb-dump -q sqlite:///old.db | ml-verify -q postgresql:///new
    mldb-dump -q sqlite:///old.db | ml-load -q --release 3.17.2 postgresql:///up
    ml-schema upgrade -q --to 3.18 postgresql:///up
    for db in new up; do
        psql -qAtX -c 'SELECT i.issue_id, last_seen_timestamp, category_hash, category FROM issues i JOIN issue_categories c
            ON c.issue_id = i.issue_id ORDER BY 1, 3' $db >$db.txt
    done
    diff new.txt up.txt
    assert_equal "$(cut -d '|' -f 1,2,4 new.txt | xargs -d '\n')" 'i1|5|A  i2|7|b\u0000'
    createdb -E UTF8 -T template0 nul
    sqlite3 old.db "UPDATE issues SET categories = '[\"b\\u0000\"]' WHERE issue_id = 'i2'"
    run_split sh -c 'mldb-dump -q sqlite:///old.db | ml-load --release 3.18 postgresql:///nul'
    assert_status 2
    assert_contains "$stderr" "Row issues (issue_id=i2): categories contain a NUL character, which PostgreSQL cannot store"
}

@test "unfinished jobs are loaded as they are, and counted" {
    edit 'if .table == "jobs" then .values.status = 1 else . end' >b.mlr
    run_split ml-load --release 3.17.2 sqlite:///b.db <b.mlr
    assert_status 0
    assert_contains "$stderr" "2 jobs are not finished: an MLflow server started on this database will run them"
    assert_equal "$(sqlite3 b.db 'SELECT DISTINCT status FROM jobs')" 1
    ml-verify -q sqlite:///b.db <b.mlr
    run_split ml-load --release 3.17.2 sqlite:///c.db <a.mlr
    refute_contains "$stderr" "not finished"
}
