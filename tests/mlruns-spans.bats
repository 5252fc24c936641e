#!/usr/bin/env bats
# The spans of a file store's traces: found, read whole or not at all, in a tick, into databases and through filters.

load helpers
load dump_helpers
load tick_helpers

# read_spans ARGUMENT...: a dump that tells all, as `dump`
read_spans() {
    status=0
    mlruns-dump -v "$@" >out 2>err || status=$?
    stderr=$(cat err)
}

setup_file() {
    build_later
}

setup() {
    work
    copy_tree
    FOLDER=mlruns/$EXP/traces/$TRACE
    rm $FOLDER/artifacts/traces.json
    no_ticks
}

# Three spans as 3.17 writes them: a root, a model's call with what MLflow derives, a failure. The second holds UTF-8 and escapes.
write_spans() {
    cat >$FOLDER/artifacts/traces.json <<'EOT'
{"spans": [{"trace_id": "VT7fHQWc0Soaiooj6Fc80g==", "span_id": "AAAAAAAAAAE=", "parent_span_id": null, "name": "ask", "start_time_unix_nano": 1718000080000000001, "end_time_unix_nano": 1718000080000000009, "events": [], "status": {"code": "STATUS_CODE_OK", "message": ""}, "attributes": {"mlflow.spanType": "\"CHAIN\""}, "links": []}, {"trace_id": "VT7fHQWc0Soaiooj6Fc80g==", "span_id": "AAAAAAAAAAI=", "parent_span_id": "AAAAAAAAAAE=", "name": "ü \"}]\u001b", "start_time_unix_nano": 1718000080000000002, "end_time_unix_nano": 1718000080000000003, "events": [], "status": {"code": "STATUS_CODE_UNSET", "message": ""}, "attributes": {"mlflow.spanType": "\"LLM\"", "mlflow.llm.model": "\"gpt\"", "mlflow.llm.provider": "\"them\"", "mlflow.llm.cost": "{\"input_cost\": 0.25, \"total_cost\": 0.75}", "uri": "\"file:///home/ada/churn/mlruns/1\""}, "links": []}, {"trace_id": "VT7fHQWc0Soaiooj6Fc80g==", "span_id": "AAAAAAAAAAM=", "parent_span_id": "AAAAAAAAAAE=", "name": null, "start_time_unix_nano": 1718000080000000004, "end_time_unix_nano": null, "events": [], "status": {"code": "STATUS_CODE_ERROR", "message": ""}, "attributes": {}, "links": []}]}
EOT
}

# count_spans N: what the trace's metadata say.
count_spans() {
    printf '{"num_spans": %d}' "$1" >$FOLDER/request_metadata/mlflow.trace.sizeStats
}

spans() { # [JQ PROGRAM]
    json out | jq -c "select(.kind == \"span\") | ${1:-.span_id}"
}

@test "spans are read after their trace, each with its text byte for byte and what MLflow reads of it" {
    write_spans
    dump mlruns
    assert_status 0
    assert_equal "$stderr" ""
    assert_equal "$(json out | jq -r 'select(.trace_id) | .kind' | uniq | tail -1)" span
    assert_equal "$(spans '[.trace_id == "'$TRACE'", .experiment_id == "'$EXP'", .span_id, .parent_span_id, .name, .type, .status]' | xargs -d '\n')" \
        '[true,true,"0000000000000001",null,"ask","CHAIN","OK"] [true,true,"0000000000000002","0000000000000001","ü \"}]\u001b","LLM","UNSET"] [true,true,"0000000000000003","0000000000000001",null,null,"ERROR"]'
    assert_equal "$(spans '[.start_time_unix_nano."$int", .end_time_unix_nano."$int", .model_name, .model_provider, .input_cost, .output_cost, .total_cost]' | sed -n 2p)" \
        '["1718000080000000002","1718000080000000003","gpt","them",0.25,null,0.75]'
    python3 - "$FOLDER/artifacts/traces.json" <(json out) <<'EOT'
import json, sys
text = open(sys.argv[1], encoding="utf-8", newline="").read()
spans = [r["content"] for r in map(json.loads, open(sys.argv[2])) if r["kind"] == "span"]
assert text == '{"spans": [' + ", ".join(spans) + "]}\n", spans
EOT
    # where the tree lay, on whatever system, is the same to it
    for place in 'C:\Users\ada\mlruns\'$EXP'\traces\'$TRACE'\artifacts' ./mlruns/$EXP/traces/$TRACE/artifacts; do
        printf %s "$place" >$FOLDER/tags/mlflow.artifactLocation
        dump --relocate mlruns
        assert_equal "$(spans | wc -l)" 3
    done
}

@test "spans are found where the tag says, if that is in the tree" {
    write_spans
    mkdir -p mlruns/$EXP/elsewhere
    mv $FOLDER/artifacts/traces.json mlruns/$EXP/elsewhere/
    printf %s "file://$PWD/mlruns/$EXP/elsewhere" >$FOLDER/tags/mlflow.artifactLocation
    dump mlruns
    assert_equal "$(spans | wc -l)" 3
    printf s3://bucket/$EXP/traces/$TRACE/artifacts >$FOLDER/tags/mlflow.artifactLocation
    mv mlruns/$EXP/elsewhere/traces.json $FOLDER/artifacts/
    read_spans mlruns
    assert_status 0
    assert_contains "$stderr" "1 trace has its artifacts, and so its spans, outside the tree"
    assert_contains "$stderr" "mlruns/$EXP/traces/$TRACE: the trace's artifacts are not in the tree"
}

@test "a trace has all its spans or none: damaged files are counted, a problem where the trace says that it had spans" {
    rm $FOLDER/request_metadata/mlflow.trace.sizeStats
    write_spans
    cp $FOLDER/artifacts/traces.json whole
    for damage in 'head -c 900' 'tr { [' 'sed s/ü/\xff/' 'sed s/links/\x01/' 'head -c 0'; do
        $damage <whole >$FOLDER/artifacts/traces.json
        read_spans mlruns
        assert_status 0
        assert_equal "$(spans | wc -l)" 0
        assert_contains "$stderr" "1 trace has a traces.json that cannot be read"
        assert_contains "$stderr" "$TRACE/artifacts/traces.json: "
        count_spans 0
        dump mlruns
        assert_status 0
        count_spans 3
        dump mlruns
        assert_status 2
        assert_contains "$stderr" "$TRACE/artifacts/traces.json: the trace's spans cannot be read: "
        dump --skip-malformed mlruns
        assert_status 1
        assert_equal "$(json out | jq -c 'select(.kind == "trace") | .trace_id')" "\"$TRACE\""
        rm $FOLDER/request_metadata/mlflow.trace.sizeStats
    done
    # one that is not there is most traces'
    rm $FOLDER/artifacts/traces.json
    count_spans 3
    read_spans mlruns
    assert_status 0
    assert_contains "$stderr" "1 trace has no traces.json"
    run_split mlruns-dump mlruns
    refute_contains "$stderr" "traces.json"
}

@test "the spans of an archived trace stay in traces.pb, which is said" {
    rm -f $FOLDER/artifacts/traces.json
    count_spans 3
    touch $FOLDER/artifacts/traces.pb
    read_spans mlruns
    assert_status 0
    assert_contains "$stderr" "1 trace is archived: its spans stay in traces.pb"
    assert_contains "$stderr" "$TRACE/artifacts/traces.json: the trace is archived: its spans are in traces.pb"
    mkdir mlruns/$EXP/elsewhere
    mv $FOLDER/artifacts/traces.pb mlruns/$EXP/elsewhere/
    printf %s "file://$PWD/mlruns/$EXP/elsewhere" >$FOLDER/tags/mlflow.artifactLocation
    run_split mlruns-dump mlruns
    assert_contains "$stderr" "1 trace is archived: its spans stay in traces.pb (-v names them)"
}

@test "spans without an id, or with a duplicate one, are left out and counted" {
    write_spans
    sed -i 's/AAAAAAAAAAM=/AAAAAAAAAAI=/' $FOLDER/artifacts/traces.json
    read_spans mlruns
    assert_status 0
    assert_equal "$(spans | xargs)" "0000000000000001 0000000000000002"
    assert_contains "$stderr" "1 span was left out"
    assert_contains "$stderr" "traces.json: a span has a duplicate span_id"
    sed -i 's/"span_id": "AAAAAAAAAAI="/"span_id": "x"/g' $FOLDER/artifacts/traces.json
    read_spans mlruns
    assert_equal "$(spans | xargs)" "0000000000000001"
    assert_contains "$stderr" "traces.json: a span has a malformed span_id"
}

@test "every release gets rows, models and costs where it keeps them, and ml-verify notices each change" {
    write_spans
    mlruns-dump -q mlruns >s.mlr
    for release in 3.2 3.4 3.9 3.16 3.17.2; do
        run_split ml-load --release $release sqlite:///$release.db <s.mlr
        assert_status 0
        case $release in 3.2) assert_contains "$stderr" "3 spans have no table in this release's database, and stay in their files" ;; esac
        run_split ml-verify -q sqlite:///$release.db <s.mlr
        assert_status 0
    done
    assert_equal "$(sqlite3 3.16.db "SELECT span_id, type, status, duration_ns, dimension_attributes FROM spans ORDER BY 1" | xargs -d '\n')" \
        '0000000000000001|CHAIN|OK|8|null 0000000000000002|LLM|UNSET|1|{"mlflow.llm.model": "gpt", "mlflow.llm.provider": "them"} 0000000000000003||ERROR||null'
    assert_equal "$(sqlite3 3.16.db "SELECT span_id, key, value FROM span_metrics ORDER BY 2" | xargs)" \
        "0000000000000002|input_cost|0.25 0000000000000002|total_cost|0.75"
    assert_equal "$(sqlite3 3.17.2.db "SELECT model_name, model_provider, input_cost, output_cost, total_cost FROM spans ORDER BY span_id" | xargs)" \
        "|||| gpt|them|0.25||0.75 ||||"
    while IFS='|' read -r db change wanted; do
        cp $db.db bad.db
        sqlite3 bad.db "$change"
        run_split sh -c 'ml-verify -q sqlite:///bad.db <s.mlr'
        assert_status 1
        assert_contains "$output" "$wanted"
    done <<EOT
3.17.2|UPDATE spans SET content = replace(content, 'ask', 'asK')|Field 'content': source=
3.17.2|UPDATE spans SET model_name = 'x' WHERE span_id LIKE '%2'|Field 'model_name': source=gpt, target=x
3.17.2|UPDATE spans SET start_time_unix_nano = 1 WHERE span_id LIKE '%2'|Field 'start_time_unix_nano': source=1718000080000000002, target=1
3.17.2|DELETE FROM spans WHERE span_id LIKE '%3'|FAILED: Span '0000000000000003' in trace $TRACE
3.16|DELETE FROM span_metrics WHERE key = 'total_cost'|FAILED: Row span_metrics (trace_id=$TRACE, span_id=0000000000000002, key=total_cost)
3.16|UPDATE spans SET dimension_attributes = 'null'|Field 'dimension_attributes': source={"mlflow.llm.model":"gpt","mlflow.llm.provider":"them"}, target=null
3.9|UPDATE spans SET status = 'OK'|Field 'status': source=UNSET, target=OK
3.4|INSERT INTO spans (trace_id, experiment_id, span_id, status, start_time_unix_nano, content) SELECT trace_id, experiment_id, '4', 'OK', 1, '{}' FROM spans LIMIT 1|FAILED: Span '4' in trace $TRACE
EOT
    # from one database into another
    mldb-dump -q sqlite:///3.16.db | ml-load -q --release 3.17.2 sqlite:///up.db
    ml-verify -q sqlite:///up.db <s.mlr
    mldb-dump -q sqlite:///3.17.2.db | ml-load -q --release 3.9 sqlite:///down.db
    ml-verify -q sqlite:///down.db <s.mlr
}

@test "--no-spans leaves them out and says so: ml-verify counts those of the database" {
    write_spans
    mlruns-dump -q mlruns | ml-load -q --release 3.16 sqlite:///a.db
    mlruns-dump -q --no-spans mlruns >without.mlr
    assert_equal "$(ml-transform --json <without.mlr | jq -c 'select(.kind == "header") | .without')" '"span"'
    assert_equal "$(ml-transform --json <without.mlr | jq -c 'select(.kind == "span")')" ""
    run_split sh -c 'ml-verify sqlite:///a.db <without.mlr'
    assert_status 0
    assert_contains "$stderr" "the stream was written without spans: 3 of the database are not compared"
    [ "$(json without.mlr | jq -r .source | head -1)" != "$(mlruns-dump -q mlruns | ml-transform --json | jq -r .source | head -1)" ]
}

@test "spans follow their trace through filters, their text is never rewritten, and --exclude-kind span also drops their metrics" {
    write_spans
    mlruns-dump -q mlruns >s.mlr
    assert_equal "$(ml-transform -q --experiment $EXP --json <s.mlr | grep -c '"kind":"span"')" 3
    assert_equal "$(ml-transform -q --experiment 0 --json <s.mlr | grep -c '"kind":"span"' || :)" 0
    ml-transform -q --rewrite-uri file:///home/ada/churn=s3://b <s.mlr >rewritten.mlr
    cmp <(json s.mlr | grep '"kind":"span"') <(json rewritten.mlr | grep '"kind":"span"')
    [ "$(json rewritten.mlr | grep -c s3://b/)" -gt 0 ]
    assert_equal "$(ml-transform -q --exclude-kind span --json <s.mlr | grep -c '"kind":"span"' || :)" 0
    assert_contains "$(ml-transform --summary <s.mlr)" "Spans                                   3"
    ml-load -q --release 3.16 sqlite:///a.db <s.mlr
    mldb-dump -q sqlite:///a.db | ml-transform -q --exclude-kind span | ml-load -q --release 3.16 sqlite:///b.db
    assert_equal "$(sqlite3 b.db 'SELECT count(*) FROM spans UNION ALL SELECT count(*) FROM span_metrics' | xargs)" "0 0"
    ml-transform -q --renumber-experiments <s.mlr | ml-load -q --release 3.17.2 sqlite:///c.db
    assert_equal "$(sqlite3 c.db 'SELECT DISTINCT s.experiment_id = t.experiment_id FROM spans s JOIN trace_info t ON t.request_id = s.trace_id')" 1
}

@test "--head may end amid a trace's spans: what is left loads, verifies, and is not taken for all of them" {
    write_spans
    id=$(python3 -c 'import base64; print(base64.b64encode(bytes.fromhex("'${TRACE#tr-}'")).decode())')
    sed -i "s|VT7fHQWc0Soaiooj6Fc80g==|$id|g" $FOLDER/artifacts/traces.json
    count_spans 3
    mlruns-dump -q mlruns >s.mlr
    first=$(($(json s.mlr | grep -n '"kind":"span"' | head -1 | cut -d: -f1) - 1)) # without the header
    for n in 0 1 2 3; do
        ml-transform -q --head $((first - 1 + n)) <s.mlr >head.mlr
        assert_equal "$(json head.mlr | jq -r 'select(.kind == "span") | .span_id' | xargs)" \
            "$(json s.mlr | jq -r 'select(.kind == "span") | .span_id' | head -$n | xargs)"
        rm -f a.db
        ml-load -q --spans-in-database --release 3.17.2 sqlite:///a.db <head.mlr
        ml-verify -q sqlite:///a.db <head.mlr
        located=$(sqlite3 a.db "SELECT count(*) FROM trace_tags WHERE key = 'mlflow.trace.spansLocation'")
        assert_equal "$located" $((n / 3))
    done
}

@test "streams from before the kind span, with spans as rows, load and verify" {
    write_spans
    mlruns-dump -q mlruns | ml-load -q --release 3.17.2 sqlite:///a.db
    mldb-dump -q sqlite:///a.db >new.mlr
    ml-transform --json <new.mlr | jq -c 'if .kind == "span" then {kind: "row", table: "spans", values: (del(.kind) | .experiment_id |= {"$int": .} |
        with_entries(if .value | type == "number" then .value |= {"$float": tostring} else . end))} else . end' |
        ml-transform --from-json --reseal >old.mlr
    assert_equal "$(ml-transform --json <old.mlr | grep -c '"kind":"span"')" 3
    ml-verify -q sqlite:///a.db <old.mlr
    ml-load -q --release 3.16 sqlite:///b.db <old.mlr
    ml-verify -q sqlite:///b.db <new.mlr
}

tick() {
    tick_of mlruns-dump -v --since state --next-state state.new "$@" ./mlruns
}

@test "a tick sends the spans of a changed file once, and waits for one that is half written" {
    tick
    assert_equal "$(sent 'select(.kind == "span") | .span_id')" ""
    write_spans
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged span span span trace:unchanged"
    tick
    assert_equal "$(kinds_sent)" ""
    touch -d '1 hour' $FOLDER/artifacts/traces.json # the same bytes
    tick
    assert_equal "$(kinds_sent)" ""
    sed -i 's/"ask"/"asked"/' $FOLDER/artifacts/traces.json
    tick
    assert_equal "$(sent 'select(.kind == "span") | .name' | wc -w)" 4
    head -c 900 $FOLDER/artifacts/traces.json >half
    cp half $FOLDER/artifacts/traces.json
    tick_of env LATER=0 mlruns-dump -v --since state --next-state state.new ./mlruns
    assert_contains "$stderr" "cannot be read, and was changed a moment ago"
    assert_equal "$(kinds_sent)" ""
    write_spans
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged span span span trace:unchanged"
    rm $FOLDER/artifacts/traces.json
    tick
    assert_contains "$stderr" "traces.json: is gone"
    tick
    assert_equal "$(kinds_sent)" ""
}

@test "--spans-in-database serves from the database the spans that MLflow reads back unchanged, and leaves the others to their files" {
    write_spans
    # the spans are of another trace
    count_spans 3
    mlruns-dump -q mlruns >s.mlr
    run_split ml-load --spans-in-database --release 3.17.2 sqlite:///a.db <s.mlr
    assert_status 0
    assert_contains "$stderr" "1 trace keeps reading its spans from files"
    locations() { sqlite3 "$1" "SELECT value FROM trace_tags WHERE key = 'mlflow.trace.spansLocation'"; }
    assert_equal "$(locations a.db)" ""
    # of its own, but not all
    id=$(python3 -c 'import base64; print(base64.b64encode(bytes.fromhex("'${TRACE#tr-}'")).decode())')
    sed -i "s|VT7fHQWc0Soaiooj6Fc80g==|$id|g" $FOLDER/artifacts/traces.json
    for n in 4 0 3; do
        count_spans $n
        [ $n != 0 ] || rm $FOLDER/request_metadata/mlflow.trace.sizeStats
        mlruns-dump -q mlruns >s.mlr
        rm -f a.db
        run_split ml-load --spans-in-database --release 3.17.2 sqlite:///a.db <s.mlr
        assert_status 0
        [ $n = 3 ] || assert_equal "$(locations a.db)" ""
    done
    assert_contains "$stderr" "1 trace reads its spans from the database: traces.json can be deleted, but no other artifact"
    refute_contains "$stderr" "the spans of 1 trace"
    assert_equal "$(locations a.db)" TRACKING_STORE
    run_split sh -c 'ml-verify sqlite:///a.db <s.mlr'
    assert_status 0
    assert_contains "$stderr" "have their spans in the database according to a tag that the stream does not have"
    sqlite3 a.db "DELETE FROM spans"
    run_split sh -c 'ml-verify -q sqlite:///a.db <s.mlr'
    assert_contains "$output" "FAILED: Trace tag 'mlflow.trace.spansLocation' in trace $TRACE"
    # where it makes no sense
    run_split ml-load --spans-in-database --release 3.4 sqlite:///b.db <s.mlr
    assert_status 2
    assert_contains "$stderr" "MLflow of this release reads spans only from files"
    [ ! -e b.db ]
}

@test "--spans-in-database in a sync: a trace that is whole in the stream gets the tag, and one that has it keeps its value" {
    write_spans
    id=$(python3 -c 'import base64; print(base64.b64encode(bytes.fromhex("'${TRACE#tr-}'")).decode())')
    sed -i "s|VT7fHQWc0Soaiooj6Fc80g==|$id|g" $FOLDER/artifacts/traces.json
    count_spans 3
    location() { sqlite3 a.db "SELECT value FROM trace_tags WHERE key = 'mlflow.trace.spansLocation'"; }
    mlruns-dump -q mlruns >s.mlr
    run_split ml-load --spans-in-database --sync --release 3.17.2 sqlite:///a.db <s.mlr
    assert_status 0
    assert_contains "$stderr" "1 trace reads its spans from the database"
    assert_equal "$(location)" TRACKING_STORE
    # again, with nothing to do; and where the server has archived it since
    run_split ml-load --spans-in-database --sync sqlite:///a.db <s.mlr
    assert_contains "$stderr" "nothing to write"
    sqlite3 a.db "UPDATE trace_tags SET value = 'ARCHIVE_REPO' WHERE key = 'mlflow.trace.spansLocation'"
    ml-load -q --spans-in-database --sync sqlite:///a.db <s.mlr
    assert_equal "$(location)" ARCHIVE_REPO
    # a trace of which a delta brings the spans later goes on reading its file
    rm a.db
    mv $FOLDER/artifacts/traces.json whole
    mlruns-dump -q --next-state state.new mlruns | ml-load -q --spans-in-database --sync --promote state.new=state --release 3.17.2 sqlite:///a.db
    mv whole $FOLDER/artifacts/traces.json
    mlruns-dump -q --since state --next-state state.new mlruns >delta.mlr
    run_split ml-load --spans-in-database --sync --promote state.new=state sqlite:///a.db <delta.mlr
    assert_status 0
    assert_contains "$stderr" "1 trace keeps reading its spans from files"
    assert_equal "$(sqlite3 a.db "SELECT count(*) FROM spans")" 3
    assert_equal "$(location)" ""
}

@test "ml-migrate and ml-sync hand --no-spans and --spans-in-database on; both are among what a state is for" {
    write_spans
    id=$(python3 -c 'import base64; print(base64.b64encode(bytes.fromhex("'${TRACE#tr-}'")).decode())')
    sed -i "s|VT7fHQWc0Soaiooj6Fc80g==|$id|g" $FOLDER/artifacts/traces.json
    count_spans 3
    state() { # DATABASE: how many spans, and where they are read
        sqlite3 "$1" "SELECT count(*), (SELECT value FROM trace_tags WHERE key = 'mlflow.trace.spansLocation') FROM spans"
    }
    ml-migrate -q --verify --no-spans --release 3.17.2 mlruns sqlite:///none.db
    assert_equal "$(state none.db)" "0|"
    ml-migrate -q --verify --spans-in-database --release 3.17.2 mlruns sqlite:///all.db
    assert_equal "$(state all.db)" "3|TRACKING_STORE"
    # merged stores are still files
    mkdir -p other/1
    printf 'experiment_id: "1"\nname: another\nartifact_location: s3://bucket/1\nlifecycle_stage: active\n' >other/1/meta.yaml
    run_split ml-migrate --source mlruns --source other --release 3.2 --target sqlite:///old.db
    assert_status 0
    assert_contains "$stderr" "3 spans have no table in this release's database, and stay in their files"
    sync() { ml-sync --state states --source mlruns --target sqlite:///synced.db --verify "$@"; }
    ml-schema create -q --release 3.17.2 sqlite:///synced.db
    sync -q --no-spans
    assert_equal "$(state synced.db)" "0|"
    # another state: everything is sent
    sync -q --spans-in-database
    assert_equal "$(state synced.db)" "3|TRACKING_STORE"
    assert_equal "$(ml-sync --state states --status --json | jq -r .options | sort | xargs)" "--no-spans --spans-in-database"
}
