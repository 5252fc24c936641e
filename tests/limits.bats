#!/usr/bin/env bats
# What a target can hold: `ml-transform --fit` and `ml-load -n` answer alike, for every refusal that ml-load knows of a value, a
# record or a row by itself, and for what it takes though it looks odd.

load helpers
strict_pipes

RELEASES="1.0 1.4 1.27 2.22 3.2 3.3 3.17.2"

# An empty database of each release, which a dry run leaves as it is.
setup_file() {
    start_postgres
    for release in $RELEASES; do
        createdb -E UTF8 -T template0 "r$release"
        ml-schema create -q --release "$release" "postgresql:///r$release"
    done
}

teardown_file() {
    stop_postgres
}

setup() {
    work
}

HEADER='{"kind":"header","format":1,"minor":0,"producer":"hand","source":"00112233445566778899aabbccddeeff","shard":0,"shards":1}'
EXPERIMENT='{"kind":"experiment","experiment_id":"0","name":"Default","lifecycle_stage":"active"}'
RUN='{"kind":"run","run_id":"r1","experiment_id":"0","lifecycle_stage":"active"}'
TRACE='{"kind":"trace","trace_id":"t1","experiment_id":"0","request_time":1,"execution_duration":1,"state":"OK"}'
MODEL='"model_id":"m1","experiment_id":"0","name":"m","artifact_location":"s3://b","creation_timestamp":1,"last_updated_timestamp":1'
ASSESSMENT='"kind":"assessment","assessment_id":"a1","trace_id":"t1","name":"n","value":"1","create_time":1,"last_update_time":1,"source_type":"HUMAN","valid":true'
BYTES='{"$bytes":"/w=="}'
BIG='{"$int":"3000000000"}'

repeat() { # N
    printf "%0$1d" 0
}

# answer PROGRAM STATUS TEXT COMMAND...: what it answers to bad.mlr is that.
answer() {
    program=$1 status_wanted=$2 text=$3
    shift 3
    run_split "$@" <bad.mlr
    [ "$status" -eq "$status_wanted" ] && [[ $stderr == *"$text"* ]] && return
    printf '%s, %s: %s: exit %s, not %s with <%s>: %s\n' "$release" "$dialect" "$program" "$status" "$status_wanted" "$text" "$stderr" >>wrong
}

# alike RELEASE DIALECTS STATUS TEXT RECORD...: both answer with the status, and say the text, in the dialects named by their first
# letters; in others they take the records.
alike() {
    release=$1 refusing=$2 wanted=$3 said=$4
    shift 4
    printf '%s\n' "$HEADER" "$@" | ml-transform --from-json --reseal >bad.mlr
    for dialect in sqlite postgresql; do
        url=sqlite:///new.db
        [ "$dialect" = sqlite ] || url=postgresql:///r$release
        if [[ $refusing == *"${dialect:0:1}"* ]]; then
            answer --fit "$wanted" "$said" ml-transform --fit "$dialect" --release "$release" --json
            answer ml-load "$wanted" "$said" ml-load -n --release "$release" "$url"
        else
            answer --fit 0 "" ml-transform --fit "$dialect" --release "$release" --json
            answer ml-load 0 "" ml-load -n --release "$release" "$url"
        fi
    done
}

refuse() { # RELEASE DIALECTS TEXT RECORD...
    release=$1 refusing=$2 said=$3
    shift 3
    alike "$release" "$refusing" 2 "$said" "$@"
}

take() { # RELEASE RECORD...
    release=$1
    shift
    alike "$release" "" 0 "" "$@"
}

all_alike() {
    [ ! -e wrong ] && return
    cat wrong >&2
    return 1
}

@test "--fit and ml-load agree on columns, tables, words and NaN that a release does not have" {
    refuse 1.4 sp "Run r1: status: 'KILLED' is unknown to this release; the first that knows it is MLflow 1.5.0" "$EXPERIMENT" "${RUN/%\}/,\"status\":\"KILLED\"\}}"
    refuse 1.0 sp "value: a NaN cannot be stored in this schema" "$EXPERIMENT" "$RUN" '{"kind":"metric","run_id":"r1","key":"m","step":0,"timestamp":1,"value":{"$float":"nan"}}'
    refuse 3.2 sp "Assessment a1: assessment_type: 'issue' is unknown to this release" "$EXPERIMENT" "$TRACE" "{$ASSESSMENT,\"assessment_type\":\"issue\"}"
    take 3.17.2 "$EXPERIMENT" "$TRACE" "{$ASSESSMENT,\"assessment_type\":\"issue\"}"
    refuse 1.27 sp "Run r1: deleted_time has no column in this schema; the first release with it is MLflow 1.28.0" "$EXPERIMENT" "${RUN/%\}/,\"deleted_time\":1\}}"
    refuse 3.2 sp "Experiment 0: workspace has no column in this schema" "${EXPERIMENT/%\}/,\"workspace\":\"team\"\}}"
    take 3.2 "${EXPERIMENT/%\}/,\"workspace\":\"default\"\}}"
    refuse 2.22 sp "Model input 'm1' in run r1: " "$EXPERIMENT" "$RUN" '{"kind":"model_input","run_id":"r1","model_id":"m1"}'
    refuse 1.0 sp "Registered model 'm': " '{"kind":"registered_model","name":"m"}'
    take 1.0 "$EXPERIMENT" "$RUN" '{"kind":"latest_metric","run_id":"r1","key":"m","step":0,"timestamp":1,"value":1}'
    all_alike
}

@test "--fit and ml-load agree on ids and the name Default" {
    for id in abc 007 -1 +1 99999999999999999999 '\u0661'; do
        refuse 3.17.2 sp "is not a decimal experiment id" "{\"kind\":\"experiment\",\"experiment_id\":\"$id\",\"name\":\"n\",\"lifecycle_stage\":\"active\"}"
    done
    refuse 3.17.2 sp "Run r1: experiment_id: 'abc' is not a decimal experiment id" "$EXPERIMENT" "${RUN/\"0\"/\"abc\"}"
    refuse 3.17.2 p "Experiment 3000000000: experiment_id: the id does not fit the 32-bit columns" "${EXPERIMENT/\"0\",\"name\":\"Default\"/\"3000000000\",\"name\":\"n\"}" "${RUN/\"0\"/\"3000000000\"}"
    refuse 3.17.2 sp "Experiment 1: it is named Default and there is no experiment 0" "${EXPERIMENT/\"0\"/\"1\"}"
    take 3.3 "${EXPERIMENT/\"0\"/\"1\"}"
    take 3.17.2 "${EXPERIMENT/\"0\"/\"1\"}" "${EXPERIMENT/Default/other}"
    take 3.17.2 "$EXPERIMENT" "${EXPERIMENT/\"0\",/\"1\",\"workspace\":\"team\",}"
    all_alike
}

@test "--fit and ml-load agree on words that the tables' checks and codes do not know" {
    refuse 3.17.2 sp "Logged model m1: status: 'DREAMING' must be one of UNSPECIFIED, PENDING, READY, FAILED" "$EXPERIMENT" "{\"kind\":\"logged_model\",$MODEL,\"status\":\"DREAMING\"}"
    refuse 3.17.2 sp "Logged model m1: lifecycle_stage: 'gone' must be active or deleted" "$EXPERIMENT" "{\"kind\":\"logged_model\",$MODEL,\"status\":\"READY\",\"lifecycle_stage\":\"gone\"}"
    take 3.17.2 "$EXPERIMENT" "{\"kind\":\"logged_model\",$MODEL,\"status\":\"READY\"}"
    for release in 1.0 3.17.2; do
        refuse $release sp "Run r1: status: 'DREAMING' must be one of" "$EXPERIMENT" "${RUN/%\}/,\"status\":\"DREAMING\"\}}"
        refuse $release sp "Run r1: source_type: 'RECIPE' must be one of" "$EXPERIMENT" "${RUN/%\}/,\"source_type\":\"RECIPE\"\}}"
        refuse $release sp "Run r1: lifecycle_stage: 'gone' must be active or deleted" "$EXPERIMENT" "${RUN/active/gone}"
        refuse $release sp "Experiment 0: lifecycle_stage: 'gone' must be active or deleted" "${EXPERIMENT/active/gone}"
    done
    all_alike
}

@test "--fit and ml-load agree on text that is not UTF-8, has a NUL or is too long, and on numbers of more than 32 bits" {
    refuse 3.17.2 sp "Param 'p' in run r1: value: the text is not UTF-8" "$EXPERIMENT" "$RUN" "{\"kind\":\"param\",\"run_id\":\"r1\",\"key\":\"p\",\"value\":$BYTES}"
    refuse 3.17.2 sp "key: the text is not UTF-8" "$EXPERIMENT" "$RUN" "{\"kind\":\"tag\",\"run_id\":\"r1\",\"key\":$BYTES,\"value\":\"v\"}"
    refuse 3.17.2 sp "Experiment 0: name: the text is not UTF-8" "${EXPERIMENT/\"Default\"/$BYTES}"
    refuse 3.17.2 sp "dataset_name: the text is not UTF-8" "$EXPERIMENT" "$RUN" "{\"kind\":\"input\",\"run_id\":\"r1\",\"experiment_id\":\"0\",\"dataset_name\":$BYTES,\"dataset_digest\":\"d\"}"
    refuse 3.17.2 p "Param 'p' in run r1: value: the text contains a NUL character" "$EXPERIMENT" "$RUN" '{"kind":"param","run_id":"r1","key":"p","value":"a\u0000b"}'
    refuse 3.17.2 p "Run r1: artifact_uri: 201 characters exceed the 200 of column artifact_uri" "$EXPERIMENT" "${RUN/%\}/,\"artifact_uri\":\"$(repeat 201)\"\}}"
    take 3.17.2 "$EXPERIMENT" "${RUN/%\}/,\"artifact_uri\":\"$(repeat 200)\"\}}"
    refuse 3.17.2 p "version: the number does not fit the column's 32 bits" '{"kind":"registered_model","name":"m"}' "{\"kind\":\"model_version\",\"name\":\"m\",\"version\":$BIG}"
    # what goes into columns of the trace: cut, or read as JSON, since 3.17; a text like any other before
    tag='{"kind":"trace_tag","trace_id":"t1","key":"mlflow.traceName","value":'
    usage='{"kind":"trace_request_metadata","trace_id":"t1","key":"mlflow.trace.tokenUsage","value":'
    refuse 3.17.2 sp "value: the text is not UTF-8" "$EXPERIMENT" "$TRACE" "$tag$BYTES}"
    refuse 3.17.2 p "value: the text contains a NUL character" "$EXPERIMENT" "$TRACE" "$tag\"a\\u0000b\"}"
    take 3.17.2 "$EXPERIMENT" "$TRACE" "$tag\"$(repeat 9000)\"}"
    refuse 3.2 p "characters exceed the 8000 of column value" "$EXPERIMENT" "$TRACE" "$tag\"$(repeat 9000)\"}"
    take 3.17.2 "$EXPERIMENT" "$TRACE" "$usage$BYTES}"
    refuse 3.2 sp "value: the text is not UTF-8" "$EXPERIMENT" "$TRACE" "$usage$BYTES}"
    # no loss, or one that MLflow has, too
    take 3.17.2 "$EXPERIMENT" "{\"kind\":\"logged_model\",$MODEL,\"status\":\"READY\"}" "$RUN" \
        '{"kind":"logged_model_metric","model_id":"m1","experiment_id":"0","key":"k","timestamp":1,"step":0,"run_id":"r1","value":{"$float":"nan"}}'
    all_alike
}

row() { # TABLE VALUES
    printf '{"kind":"row","table":"%s","values":{%s}}' "$1" "$2"
}

@test "--fit and ml-load agree on tables, columns, types and missing values of rows" {
    hook='"webhook_id":"w","name":"n","url":"u","status":"ACTIVE","creation_timestamp":1,"last_updated_timestamp":1'
    span='"trace_id":"t1","experiment_id":0,"span_id":"s","status":"OK","start_time_unix_nano":1,"content":"{}"'
    dataset='"dataset_id":"d","name":"n"'
    record='"dataset_record_id":"r","dataset_id":"d","input_hash":"h"'
    take 3.17.2 "$(row webhooks "$hook")"
    refuse 3.17.2 sp "Row" "$(row nowhere '"a":1')"
    refuse 3.17.2 sp "Row" "$(row alembic_version '"version_num":"x"')"
    refuse 2.22 sp "Row webhooks (webhook_id=w)" "$(row webhooks "$hook")"
    refuse 3.17.2 sp "this schema has no column webhooks.colour" "$(row webhooks "$hook,\"colour\":\"red\"")"
    refuse 3.17.2 sp "Row webhooks (webhook_id=w): no value for the column url, which is NOT NULL" "$(row webhooks "${hook/\"url\":\"u\",/}")"
    refuse 3.17.2 sp "Row webhooks (webhook_id=w): url: not text" "$(row webhooks "${hook/\"u\"/5}")"
    refuse 3.17.2 sp "url: the text is not UTF-8" "$(row webhooks "${hook/\"u\"/$BYTES}")"
    refuse 3.17.2 p "url: the text contains a NUL character" "$(row webhooks "${hook/\"u\"/\"\\u0000\"}")"
    refuse 3.17.2 p "name: 300 characters exceed the" "$(row webhooks "${hook/\"n\"/\"$(repeat 300)\"}")"
    refuse 3.17.2 sp "creation_timestamp: not an integer" "$(row webhooks "${hook/timestamp\":1/timestamp\":\"1\"}")"
    refuse 3.17.2 sp "rollup_day: not a date" "$EXPERIMENT" "$(row sql_trace_rollup_rebuild_queue '"experiment_id":0,"rollup_day":"2024-13-01","rollup_family":"f"')"
    refuse 3.17.2 p "experiment_id: the number does not fit the column's 32 bits" "$(row sql_trace_rollup_rebuild_queue "\"experiment_id\":$BIG,\"rollup_day\":\"2024-12-01\",\"rollup_family\":\"f\"")"
    for text in DREAMING '{\"a\":NaN}' '[-Infinity]' '{\"a\":' ''; do
        refuse 3.17.2 p "inputs: not valid JSON" "$(row evaluation_datasets "$dataset")" "$(row evaluation_dataset_records "$record,\"inputs\":\"$text\"")"
    done
    take 3.17.2 "$(row evaluation_datasets "$dataset")" "$(row evaluation_dataset_records "$record,\"inputs\":\" {\\\"NaN I\\\\\\\" N\\\":[1,null,\\\"\\\\ud800\\\"]}\"")"
    refuse 3.17.2 sp "dimension_attributes " "$EXPERIMENT" "$TRACE" "$(row spans "$span,\"dimension_attributes\":\"{\\\"other\\\":1}\"")"
    all_alike
}

@test "--fit and ml-load name every misfit of a record and of a row" {
    printf '%s\n' "$HEADER" "$EXPERIMENT" "${RUN/active\"/gone\",\"status\":\"DREAMING\"}" "$(row webhooks '"webhook_id":5,"name":6,"status":7')" |
        ml-transform --from-json --reseal >bad.mlr
    for command in "ml-transform --fit sqlite --json" "ml-load -n sqlite:///new.db"; do
        # shellcheck disable=SC2086
        run_split ${command/ / --release 3.17.2 } <bad.mlr
        assert_status 2
        for what in "status: 'DREAMING'" "lifecycle_stage: 'gone'" "webhook_id: not text" "name: not text" "status: not text" "column url"; do
            assert_contains "$stderr" "$what"
        done
    done
}

@test "--fit and ml-load agree with --wide-experiment-ids" {
    printf '%s\n' "$HEADER" "${EXPERIMENT/\"0\",\"name\":\"Default\"/\"3000000000\",\"name\":\"n\"}" "${RUN/\"0\"/\"3000000000\"}" \
        "$(row sql_trace_rollup_rebuild_queue "\"experiment_id\":$BIG,\"rollup_day\":\"2024-12-01\",\"rollup_family\":\"f\"")" |
        ml-transform --from-json --reseal >wide.mlr
    run_split ml-transform --fit postgresql --release 3.17.2 --wide-experiment-ids <wide.mlr
    assert_status 0
    ml-load -n -q --release 3.17.2 --wide-experiment-ids postgresql:///r3.17.2 <wide.mlr
    for wrong in "--wide-experiment-ids" "--fit sqlite --wide-experiment-ids"; do
        # shellcheck disable=SC2086
        run_split ml-transform $wrong <wide.mlr
        assert_status 2
        assert_contains "$stderr" "--wide-experiment-ids"
    done
}

@test "a misfit that only the end shows leaves the stream without a trailer, too" {
    printf '%s\n' "$HEADER" "${EXPERIMENT/\"0\"/\"1\"}" | ml-transform --from-json --reseal >bad.mlr
    run_split sh -c 'ml-transform -q --fit sqlite --release 3.17.2 <bad.mlr | ml-load --release 3.3 sqlite:///x.db'
    assert_status 2
    [ ! -e x.db ]
    # but an experiment 0 of a later segment counts
    printf '%s\n' "${HEADER/0011/0022}" "${EXPERIMENT/Default/other}" | ml-transform --from-json --reseal >other.mlr
    cat bad.mlr other.mlr | ml-transform -q --fit sqlite --release 3.17.2 >both.mlr
    cat bad.mlr other.mlr | cmp - both.mlr
}
