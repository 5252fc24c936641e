#!/usr/bin/env bats
# ml-transform: the JSON view, there and back; a look; changes. Streams are cut, flipped, edited.

load helpers

setup() {
    work
    mlruns-dump -q "$ROOT/tests/data/mlruns" >a.mlr
}

# A header line; the rest of a segment follows on stdin.
segment() {
    printf '{"kind":"header","format":1,"minor":0,"producer":"hand","source":"%s","shard":0,"shards":1}\n' \
        "${1:-00112233445566778899aabbccddeeff}"
    cat
}

# A stream of the JSON lines on stdin.
stream() {
    segment "$@" | ml-transform --from-json --reseal
}

# Values that JSON, jq or doubles are known to spoil.
hard_values() {
    segment <<'END'
{"kind":"experiment","experiment_id":"914361987654321098","name":"日本 😀 \u0000\u007f\"\\","lifecycle_stage":"active","creation_time":1600000000000}
{"kind":"run","run_id":"r","experiment_id":"914361987654321098","lifecycle_stage":"active","start_time":{"$int":"9223372036854775807"},"end_time":{"$int":"-9223372036854775808"},"deleted_time":9007199254740991}
{"kind":"param","run_id":"r","key":"bytes","value":{"$bytes":"//4AgA=="}}
{"kind":"param","run_id":"r","key":"empty","value":""}
{"kind":"param","run_id":"r","key":"controls","value":"\u0001\b\f\n\r\t\u001f\u2028\ufffe"}
{"kind":"metric","run_id":"r","key":"m","step":{"$int":"9007199254740993"},"timestamp":0,"value":{"$float":"nan"}}
{"kind":"metric","run_id":"r","key":"m","step":-1,"timestamp":1,"value":{"$float":"inf"}}
{"kind":"metric","run_id":"r","key":"m","step":2,"timestamp":2,"value":{"$float":"-inf"}}
{"kind":"metric","run_id":"r","key":"m","step":3,"timestamp":3,"value":{"$float":"-0.0"}}
{"kind":"metric","run_id":"r","key":"m","step":4,"timestamp":4,"value":0.0}
{"kind":"metric","run_id":"r","key":"m","step":5,"timestamp":5,"value":5e-324}
{"kind":"metric","run_id":"r","key":"m","step":6,"timestamp":6,"value":1.7976931348623157e+308}
{"kind":"metric","run_id":"r","key":"m","step":7,"timestamp":7,"value":0.1}
{"kind":"metric","run_id":"r","key":"m","step":8,"timestamp":8,"value":9007199254740993.0}
{"kind":"metric","run_id":"r","key":"m","step":9,"timestamp":9,"value":12345678901234567000000000000000.0}
{"kind":"metric","run_id":"r","key":"m","step":10,"timestamp":10,"value":2.2250738585072014e-308}
{"kind":"metric","run_id":"r","key":"m","step":11,"timestamp":11,"value":5.684341886080802e-14}
{"kind":"metric","run_id":"r","key":"m","step":12,"timestamp":12,"value":1}
END
}

@test "without options the stream is copied unchanged" {
    ml-transform <a.mlr >b.mlr
    cmp a.mlr b.mlr
    cat a.mlr a.mlr | ml-transform >b.mlr
    cat a.mlr a.mlr | cmp - b.mlr
}

@test "--json and --from-json lose nothing, even through jq" {
    ml-transform --json <a.mlr >a.json
    ml-transform --from-json <a.json | cmp - a.mlr
    jq -c . a.json | ml-transform --from-json | cmp - a.mlr
    jq -cS . a.json | ml-transform --from-json | cmp - a.mlr
    ml-transform --from-json --json <a.json | cmp - a.json
    [ "$(jq -r .kind a.json | sort -u | wc -l)" -gt 20 ]
}

@test "--json keeps NaN, infinities, -0.0, bytes and 64-bit integers, even through jq" {
    hard_values | ml-transform --from-json --reseal >h.mlr
    ml-transform --json <h.mlr >h.json
    ml-transform --from-json <h.json | cmp - h.mlr
    jq -c . h.json | ml-transform --from-json | cmp - h.mlr
    # the values themselves, by another reader of JSON
    python3 - <<'END'
import json, math
v = {}
for line in open("h.json"):
    r = json.loads(line)
    if r["kind"] == "metric":
        step, x = r["step"], r["value"]
        step = step if isinstance(step, int) else int(step["$int"])
        v[step] = float(x["$float"]) if isinstance(x, dict) else x
    if r["kind"] == "run":
        assert r["start_time"] == {"$int": "9223372036854775807"}, r
        assert r["end_time"] == {"$int": "-9223372036854775808"}, r
        assert r["deleted_time"] == 2**53 - 1, r
    if r["kind"] == "param" and r["key"] == "bytes":
        assert r["value"] == {"$bytes": "//4AgA=="}, r
    if r["kind"] == "param" and r["key"] == "controls":
        assert r["value"] == "\x01\b\f\n\r\t\x1f\u2028\ufffe", r
    if r["kind"] == "experiment":
        assert r["name"] == "日本 😀 \0\x7f\"\\", r
assert math.isnan(v[2**53 + 1]) and v[-1] == math.inf and v[2] == -math.inf
assert math.copysign(1, v[3]) == -1 and math.copysign(1, v[4]) == 1
assert (v[5], v[6], v[7]) == (5e-324, 1.7976931348623157e308, 0.1)
assert (v[8], v[9]) == (9007199254740992.0, 12345678901234567e15)
assert (v[10], v[11], v[12]) == (2.2250738585072014e-308, 2**-44, 1.0)
END
}

@test "bytes that happen to be UTF-8 become text, and text stays text" {
    segment <<<'{"kind":"experiment","experiment_id":"1","name":{"$bytes":"YWJj"},"lifecycle_stage":"active"}' |
        ml-transform --from-json --reseal | ml-transform --json >b.json
    assert_equal "$(jq -r 'select(.kind == "experiment").name' b.json)" abc
}

@test "the trailer of the JSON view has the counts and checksum of its stream" {
    ml-transform --json <a.mlr | tail -n 1 >trailer.json
    assert_equal "$(jq -c '[.kind, .counts.run, .counts.metric, .skipped]' trailer.json)" '["trailer",4,16,0]'
    [[ $(jq -r .checksum trailer.json) =~ ^[0-9a-f]{16}$ ]]
}

@test "--from-json refuses edited, truncated and missing lines, and --reseal accepts them" {
    ml-transform --json <a.mlr >a.json
    sed 's/"max_depth"/"max-depth"/' a.json >edited.json
    grep -v '"kind":"param"' a.json >fewer.json
    sed '$d' a.json >untrailed.json
    for f in edited fewer untrailed; do
        run_split ml-transform --from-json <$f.json
        assert_status 2
        assert_contains "$stderr" "standard input:"
        assert_contains "$stderr" "--reseal"
        ml-transform --from-json --reseal <$f.json >$f.mlr
        ml-transform --validate -q <$f.mlr
    done
    assert_contains "$(ml-transform --from-json <edited.json 2>&1 >/dev/null)" "checksum"
    assert_contains "$(ml-transform --from-json <fewer.json 2>&1 >/dev/null)" "8 records of kind 'param', but there are 0"
    assert_contains "$(ml-transform --from-json <untrailed.json 2>&1 >/dev/null)" "trailer line is missing"
    ml-transform --from-json --reseal <untrailed.json | cmp - a.mlr
    # two segments, the first without its trailer
    cat untrailed.json a.json | ml-transform --from-json --reseal >two.mlr
    cat a.mlr a.mlr | cmp - two.mlr
    run_split ml-transform --from-json < <(cat untrailed.json a.json)
    assert_status 2
    assert_contains "$stderr" "a header within a segment"
}

@test "--from-json names the line and field of an error" {
    bad() { # LINE MESSAGE
        run_split ml-transform --from-json --reseal < <(segment <<<"$1")
        assert_status 2
        assert_contains "$stderr" "ml-transform: standard input:2: "
        assert_contains "$stderr" "$2"
    }
    bad '{"kind":"param","run_id":"r","key":"k","value":"v"' "column"
    bad '[1]' "not a JSON object"
    bad '{"run_id":"r"}' 'missing "kind"'
    bad '{"kind":"planet"}' "unknown kind 'planet'"
    bad '{"kind":"param","run_id":"r","key":"k","value":"v","color":1}' "has no field 'color'"
    bad '{"kind":"param","run_id":"r","key":"k"}' "Param 'k' in run r: field 'value' is missing"
    bad '{"kind":"param","run_id":"r","key":"k","value":1}' "field 'value' must be text, not an integer"
    bad '{"kind":"param","run_id":"r","key":"k","key":"l","value":"v"}' "duplicate"
    bad '{"kind":"metric","run_id":"r","key":"k","step":1.5,"timestamp":1,"value":1}' "field 'step': must be an integer, not a number with a fraction"
    bad '{"kind":"metric","run_id":"r","key":"k","step":9007199254740993,"timestamp":1,"value":1}' '{"$int":"..."}'
    bad '{"kind":"metric","run_id":"r","key":"k","step":1,"timestamp":1,"value":{"$float":"1,5"}}' "is not a float"
    bad '{"kind":"metric","run_id":"r","key":"k","step":{"$int":"1e5"},"timestamp":1,"value":1}' "not a 64-bit integer"
    bad '{"kind":"param","run_id":"r","key":"k","value":{"$bytes":"a"}}' "not base64"
    bad '{"kind":"param","run_id":"r","key":"k","value":{"a":1}}' "unexpected object"
    bad '{"kind":"param","run_id":"r","key":"k","value":"\ud800"}' "column"
    bad '{"kind":"header","format":3,"minor":0,"producer":"x","source":"x","shard":0,"shards":1}' "format 3"
}

@test "--from-json refuses input without a header, empty input and a binary stream" {
    run_split ml-transform --from-json <<<'{"kind":"param","run_id":"r","key":"k","value":"v"}'
    assert_status 2
    assert_contains "$stderr" "must begin with a header line"
    run_split ml-transform --from-json </dev/null
    assert_status 2
    assert_contains "$stderr" "empty"
    run_split ml-transform --from-json <a.mlr
    assert_status 2
    assert_contains "$stderr" "leave out --from-json"
    ml-transform --json <a.mlr >a.json
    run_split ml-transform <a.json
    assert_status 2
    assert_contains "$stderr" "ml-transform --from-json"
}

@test "--from-json accepts blank lines, CRLF and a last line without newline" {
    ml-transform --json <a.mlr | sed 's/$/\r/; 3s/$/\n\n/' | head -c -1 | ml-transform --from-json | cmp - a.mlr
}

@test "a truncated stream never gets a trailer" {
    size=$(stat -c %s a.mlr)
    for n in 0 1 100 1000 5000 $((size / 2)) $((size - 1)); do
        for option in "" --json --validate --summary "--head 1"; do
            head -c "$n" a.mlr >cut.mlr
            # shellcheck disable=SC2086
            run_split ml-transform $option <cut.mlr
            assert_status 2
            [ -n "$stderr" ]
            refute_contains "$output" '"kind":"trailer"'
        done
    done
}

@test "the good part of a truncated stream can be saved" {
    head -c 6000 a.mlr >cut.mlr
    run_split ml-transform --json <cut.mlr
    assert_status 2
    assert_contains "$stderr" "truncated"
    printf '%s\n' "$output" | ml-transform --from-json --reseal >saved.mlr
    ml-transform --json <saved.mlr >saved.json
    ml-transform --json <a.mlr >a.json
    n=$(($(wc -l <saved.json) - 1))
    [ "$n" -gt 20 ]
    head -n $n a.json | cmp - <(head -n $n saved.json)
}

@test "a flipped byte is refused wherever it is" {
    python3 - <<'END'
import random
data = open("a.mlr", "rb").read()
random.seed(1)
for n, at in enumerate(sorted(random.sample(range(len(data)), 60))):
    open(f"flip{n}.mlr", "wb").write(data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1:])
END
    for f in flip*.mlr; do
        run_split ml-transform --json <"$f"
        assert_status 2
        assert_contains "$stderr" "standard input: record"
    done
}

@test "what follows a trailer must be a segment" {
    run_split ml-transform < <(cat a.mlr; echo)
    assert_status 2
    assert_contains "$stderr" "after a trailer"
}

@test "a newer major version is refused, in a stream and in JSON" {
    ml-transform --json <a.mlr | sed '1s/"format":1/"format":3/' >new.json
    run_split ml-transform --from-json <new.json
    assert_status 2
    assert_contains "$stderr" "it was written by a newer mlruns-tools"
    python3 -c 'import sys; d = open("a.mlr", "rb").read(); sys.stdout.buffer.write(d.replace(b"format\x01", b"format\x03", 1))' >new.mlr
    run_split ml-transform <new.mlr
    assert_status 2
    assert_contains "$stderr" "the stream has format 3"
}

@test "--head N keeps the first N records and writes a valid trailer" {
    ml-transform --head 5 <a.mlr | ml-transform --json >head.json
    ml-transform --json <a.mlr | sed -n 1,6p | cmp - <(head -n 6 head.json)
    assert_equal "$(wc -l <head.json)" 7
    ml-transform --head 0 <a.mlr | ml-transform --validate -q
    run_split ml-transform --head x <a.mlr
    assert_status 2
}

@test "--validate accepts a good stream and refuses dangling references" {
    run_split ml-transform --validate <a.mlr
    assert_status 0
    assert_equal "$output" ""
    assert_contains "$stderr" "all references resolve"
    stream >orphan.mlr <<'END'
{"kind":"experiment","experiment_id":"1","name":"x","lifecycle_stage":"active"}
{"kind":"run","run_id":"r1","experiment_id":"2","lifecycle_stage":"active"}
{"kind":"run","run_id":"r2","experiment_id":"1","lifecycle_stage":"active"}
{"kind":"run","run_id":"r2","experiment_id":"1","lifecycle_stage":"active"}
{"kind":"param","run_id":"gone","key":"k","value":"v"}
{"kind":"model_version","name":"m","version":1,"run_id":"elsewhere"}
END
    run_split ml-transform --validate <orphan.mlr
    assert_status 1
    assert_contains "$stderr" "Run r1: experiment 2 is not in the stream"
    assert_contains "$stderr" "Run r2: duplicate run r2"
    assert_contains "$stderr" "Param 'k' in run gone: run gone is not in the stream"
    assert_contains "$stderr" "registered model m is not in the stream"
    refute_contains "$stderr" "elsewhere"
    assert_contains "$stderr" "4 entities"
}

@test "--validate accepts shards with references to each other" {
    for i in 0 1 2; do mlruns-dump -q --shard $i/3 "$ROOT/tests/data/mlruns"; done >shards.mlr
    ml-transform --validate <shards.mlr
}

@test "--summary counts by kind and by experiment" {
    run_split ml-transform --summary <a.mlr
    assert_status 0
    [[ $output =~ Runs\ +4\  ]]
    [[ $output =~ Metrics\ +16\  ]]
    [[ $output =~ 537708342419121040\ +active\ +3\ +15\ +1\ +1\ +[0-9]+\ +2024-06-10T06:13:20Z\ +2024-06-10T06:16:40Z\ +churn\ prediction ]]
    bytes=$(printf '%s\n' "$output" | awk '$1 == "All" {print $3}')
    records=$(ml-transform --json <a.mlr | sed '1d;$d' | wc -l)
    assert_equal "$(printf '%s\n' "$output" | awk '$1 == "All" {print $2}')" "$records"
    [ "$bytes" -gt 10000 ]
    [ "$bytes" -lt "$(stat -c %s a.mlr)" ]
}

# The JSON lines of a stream without header and trailer, sorted.
lines() {
    ml-transform --json | sed '1d;$d' | LC_ALL=C sort
}

# Kinds and their numbers, "kind=n ..." in the order of the alphabet.
census() {
    ml-transform --json | jq -rs '[.[] | select(.kind != "header" and .kind != "trailer").kind] | group_by(.) | map("\(.[0])=\(length)") | join(" ")'
}

# Two experiments (2 is in the trash), four runs, a model, a version, a trace, each with something that hangs on it.
zoo() {
    stream "$@" <<'END'
{"kind":"experiment","experiment_id":"1","name":"one","artifact_location":"file:///old/1","lifecycle_stage":"active"}
{"kind":"experiment_tag","experiment_id":"1","key":"t","value":"x"}
{"kind":"dataset","experiment_id":"1","name":"d","digest":"dd","source_type":"local","source":"{\"uri\": \"/old/data.csv\", \"n\": 1.0}"}
{"kind":"experiment","experiment_id":"2","name":"two","artifact_location":"file:///old/2","lifecycle_stage":"deleted"}
{"kind":"run","run_id":"r1","experiment_id":"1","status":"FINISHED","start_time":1704067200000,"lifecycle_stage":"active","artifact_uri":"file:///old/1/r1/artifacts"}
{"kind":"metric","run_id":"r1","key":"m","step":0,"timestamp":1,"value":0.5}
{"kind":"tag","run_id":"r1","key":"team","value":"red"}
{"kind":"tag","run_id":"r1","key":"best","value":"yes"}
{"kind":"input","run_id":"r1","experiment_id":"1","dataset_name":"d","dataset_digest":"dd"}
{"kind":"model_output","run_id":"r1","model_id":"m-1"}
{"kind":"run","run_id":"r2","experiment_id":"1","status":"FAILED","start_time":1706745600000,"lifecycle_stage":"active","artifact_uri":"file:///old/1/r2/artifacts"}
{"kind":"tag","run_id":"r2","key":"team","value":"red"}
{"kind":"model_input","run_id":"r2","model_id":"m-1"}
{"kind":"run","run_id":"r3","experiment_id":"1","status":"FINISHED","lifecycle_stage":"deleted","artifact_uri":"/old/1/r3/artifacts"}
{"kind":"run","run_id":"r4","experiment_id":"2","status":"FINISHED","start_time":1704067200000,"lifecycle_stage":"active"}
{"kind":"param","run_id":"r4","key":"p","value":"v"}
{"kind":"trace","trace_id":"tr-1","experiment_id":"1","request_time":1704067200000,"state":"OK"}
{"kind":"trace_tag","trace_id":"tr-1","key":"mlflow.artifactLocation","value":"file:///old/1/traces/tr-1/artifacts"}
{"kind":"trace_request_metadata","trace_id":"tr-1","key":"mlflow.sourceRun","value":"r1"}
{"kind":"logged_model","model_id":"m-1","experiment_id":"1","name":"m","artifact_location":"file:///old/1/models/m-1/artifacts","creation_timestamp":1,"last_updated_timestamp":1,"status":"READY","source_run_id":"r1"}
{"kind":"logged_model_metric","model_id":"m-1","experiment_id":"1","key":"k","timestamp":1,"step":0,"run_id":"r2","value":1.0}
{"kind":"registered_model","name":"clf"}
{"kind":"registered_model_tag","name":"clf","key":"a","value":"b"}
{"kind":"model_version","name":"clf","version":1,"source":"models:/m-1","run_id":"r1","storage_location":"file:///old/1/models/m-1/artifacts"}
{"kind":"model_version_tag","name":"clf","version":1,"key":"a","value":"b"}
{"kind":"registered_model_alias","name":"clf","alias":"champion","version":1}
{"kind":"model_version","name":"clf","version":2,"source":"models:/clf/1","run_id":"r4"}
{"kind":"prompt","name":"greet"}
{"kind":"registered_model_tag","name":"greet","key":"mlflow.prompt.is_prompt","value":"true"}
{"kind":"registered_model_tag","name":"greet","key":"_mlflow_experiment_ids","value":",1,2,"}
{"kind":"model_version","name":"greet","version":1,"source":"dummy-source"}
END
}

# is_selected CENSUS OPTION...: of the zoo that is chosen, from a file and from a pipe, and it is whole.
is_selected() {
    wanted=$1
    shift
    [ -e zoo.mlr ] || zoo >zoo.mlr
    ml-transform "$@" <zoo.mlr >part.mlr
    assert_equal "$(census <part.mlr)" "$wanted"
    cat zoo.mlr | ml-transform "$@" | cmp - part.mlr
    ml-transform --json <zoo.mlr | ml-transform --from-json "$@" | cmp - part.mlr
    ml-transform --validate -q <part.mlr
}

@test "--experiment takes an id or a name, and keeps models and versions of its runs" {
    is_selected "dataset=1 experiment=1 experiment_tag=1 input=1 logged_model=1 logged_model_metric=1 metric=1 model_input=1 model_output=1 model_version=1 model_version_tag=1 registered_model=1 registered_model_alias=1 registered_model_tag=1 run=3 tag=3 trace=1 trace_request_metadata=1 trace_tag=1" --experiment one
    is_selected "experiment=1 model_version=1 param=1 registered_model=1 registered_model_tag=1 run=1" --experiment 2
    ml-transform --experiment 1 --experiment two <zoo.mlr | census | grep "experiment=2 .* run=4 " >/dev/null
}

@test "--run keeps what the run made and used, and nothing else" {
    is_selected "dataset=1 experiment=1 experiment_tag=1 input=1 logged_model=1 metric=1 model_output=1 model_version=1 model_version_tag=1 registered_model=1 registered_model_alias=1 registered_model_tag=1 run=1 tag=2 trace=1 trace_request_metadata=1 trace_tag=1" --run r1
    is_selected "dataset=1 experiment=1 experiment_tag=1 logged_model=1 logged_model_metric=1 model_input=1 run=1 tag=1" --run r2
}

@test "--status, --lifecycle, --tag, --since and --until select runs" {
    runs_of() { ml-transform "$@" <zoo.mlr | ml-transform --json | jq -r 'select(.kind == "run").run_id' | xargs; }
    zoo >zoo.mlr
    assert_equal "$(runs_of --status FAILED)" r2
    assert_equal "$(runs_of --status FAILED --status FINISHED)" "r1 r2 r3 r4"
    assert_equal "$(runs_of --lifecycle active)" "r1 r2"
    assert_equal "$(runs_of --lifecycle deleted)" "r3 r4"
    assert_equal "$(runs_of --tag team=red)" "r1 r2"
    assert_equal "$(runs_of --tag team=red --tag best=yes)" r1
    assert_equal "$(runs_of --tag team=blue)" ""
    assert_equal "$(runs_of --since 2024-02-01)" r2
    assert_equal "$(runs_of --until 2024-02-01)" "r1 r4"
    assert_equal "$(runs_of --since 2024-01-01T00:00:00Z --until 1704067200001)" "r1 r4"
    assert_equal "$(runs_of --experiment one --status FINISHED --lifecycle active)" r1
    is_selected "dataset=1 experiment=2 experiment_tag=1 model_version=3 model_version_tag=1 param=1 prompt=1 registered_model=1 registered_model_alias=1 registered_model_tag=3 run=2" --lifecycle deleted
    is_selected "" --tag team=blue
    for wrong in "--status DONE" "--lifecycle gone" "--tag team" "--since yesterday" "--kind planet"; do
        # shellcheck disable=SC2086
        run_split ml-transform $wrong <zoo.mlr
        assert_status 2
    done
}

@test "--kind keeps the parents, and --exclude-kind drops the children" {
    is_selected "experiment=2 metric=1 run=4" --kind metric
    is_selected "experiment=2 model_version=3 prompt=1 registered_model=1 registered_model_alias=1" --kind registered_model_alias --kind experiment
    is_selected "dataset=1 experiment=2 experiment_tag=1 logged_model=1 model_version=3 model_version_tag=1 prompt=1 registered_model=1 registered_model_alias=1 registered_model_tag=3 trace=1 trace_request_metadata=1 trace_tag=1" --exclude-kind run
    ml-transform --exclude-kind prompt <zoo.mlr | ml-transform --json >noprompt.json
    absent greet noprompt.json
    grep -q '"kind":"registered_model_tag","name":"clf"' noprompt.json
    ml-transform --exclude-kind registered_model <zoo.mlr | ml-transform --json >nomodel.json
    absent clf nomodel.json
    grep -q '"name":"greet","version":1' nomodel.json
}

@test "what is selected by name must exist" {
    run_split ml-transform --run nobody <a.mlr
    assert_status 2
    assert_contains "$stderr" "--run nobody: not found in the stream"
    assert_equal "$output" ""
}

@test "a selection works shard by shard, and across shards" {
    for i in 0 1 2; do mlruns-dump -q --shard $i/3 "$ROOT/tests/data/mlruns"; done >shards.mlr
    ml-transform --run 1b720d04f3e24f11bc736169024f6d03 <shards.mlr >part.mlr
    assert_equal "$(ml-transform --json <part.mlr | grep -c '"kind":"trailer"')" 3
    ml-transform --run 1b720d04f3e24f11bc736169024f6d03 <a.mlr | lines | uniq >whole.lines
    lines <part.mlr | grep -v '"kind":"\(header\|trailer\)"' | uniq >part.lines
    cmp whole.lines part.lines
}

@test "--rewrite-uri changes every field that holds an artifact URI, by whole path segments" {
    zoo | ml-transform --rewrite-uri file:///old=s3://b/new --strict-uri >new.mlr
    ml-transform --json <new.mlr >new.json
    assert_equal "$(jq -r 'select(.kind == "experiment" and .experiment_id == "1").artifact_location' new.json)" s3://b/new/1
    assert_equal "$(jq -r 'select(.run_id == "r1" and .kind == "run").artifact_uri' new.json)" s3://b/new/1/r1/artifacts
    assert_equal "$(jq -r 'select(.run_id == "r3" and .kind == "run").artifact_uri' new.json)" s3://b/new/1/r3/artifacts
    assert_equal "$(jq -r 'select(.kind == "logged_model").artifact_location' new.json)" s3://b/new/1/models/m-1/artifacts
    assert_equal "$(jq -r 'select(.kind == "trace_tag").value' new.json)" s3://b/new/1/traces/tr-1/artifacts
    assert_equal "$(jq -r 'select(.kind == "dataset").source' new.json)" '{"uri": "s3://b/new/data.csv", "n": 1.0}'
    assert_equal "$(jq -r 'select(.kind == "model_version" and .name == "clf" and .version == 1) | .source, .storage_location' new.json | xargs)" \
        "models:/m-1 s3://b/new/1/models/m-1/artifacts"
    absent '/old' new.json
}

# rewritten RULE URI: what becomes of a run's artifact_uri.
rewritten() {
    jq -nc --arg uri "$2" '{kind: "run", run_id: "r", experiment_id: "1", lifecycle_stage: "active", artifact_uri: $uri}' |
        segment | ml-transform -q --from-json --reseal --rewrite-uri "$1" | ml-transform --json |
        jq -r 'select(.kind == "run").artifact_uri'
}

@test "--rewrite-uri knows every form of a path" {
    assert_equal "$(rewritten file:///old=s3://b file:///older/x)" file:///older/x
    assert_equal "$(rewritten file:///old=s3://b file:///old)" s3://b
    assert_equal "$(rewritten file:///old/=s3://b/ file:///old/x/y)" s3://b/x/y
    assert_equal "$(rewritten file:///old=s3://b/ file:/old/x)" s3://b/x
    assert_equal "$(rewritten file:///old=s3://b file://localhost/old/x)" s3://b/x
    assert_equal "$(rewritten file:///old=s3://b /old/x)" s3://b/x
    assert_equal "$(rewritten /old=/new file:///old/x)" /new/x
    assert_equal "$(rewritten file:///=s3://b file:///x/y)" s3://b/x/y
    assert_equal "$(rewritten '/my old=s3://b' file:///my%20old/a%20b)" s3://b/a%20b
    assert_equal "$(rewritten file:///my%20old=s3://b '/my old/a b')" 's3://b/a b'
    assert_equal "$(rewritten file:///C:/work=mlflow-artifacts:/ file:///C:/work/1/r)" mlflow-artifacts:/1/r
    assert_equal "$(rewritten file:///C:/work=mlflow-artifacts:/ file://C:/work/1/r)" mlflow-artifacts:/1/r
    assert_equal "$(rewritten file:///C:/work=mlflow-artifacts:/ 'file:///c:\work\1\r')" mlflow-artifacts:/1/r
    assert_equal "$(rewritten 'C:\work\=s3://b' 'C:\work\1\r')" s3://b/1/r
    assert_equal "$(rewritten file:///C:/work=s3://b file:///D:/work/1)" file:///D:/work/1
    assert_equal "$(rewritten s3://a/p=s3://b s3://a/p/q)" s3://b/q
    assert_equal "$(rewritten s3://a/p=s3://b s3://a/pp)" s3://a/pp
    assert_equal "$(rewritten file:///old=s3://b file://otherhost/old/x)" file://otherhost/old/x
    assert_equal "$(rewritten /=s3://b runs:/abc/model)" runs:/abc/model
    assert_equal "$(rewritten models:/=s3://b models:/abc/1)" models:/abc/1
}

@test "--rewrite-uri applies the longest prefix, and reports what matched nothing" {
    run_split ml-transform --rewrite-uri file:///old=s3://a --rewrite-uri file:///old/1=s3://b --json < <(zoo)
    assert_status 0
    assert_contains "$output" '"artifact_location":"s3://a/2"'
    assert_contains "$output" '"artifact_location":"s3://b/models/m-1/artifacts"'
    assert_contains "$stderr" "Runs: artifact_uri: 3 rewritten, 0 matched no rule"
    run_split ml-transform --strict-uri --rewrite-uri file:///old/2=s3://a --json < <(zoo)
    assert_status 1
    assert_contains "$stderr" "Experiments: artifact_location: 1 rewritten, 1 matched no rule"
    assert_contains "$stderr" "matched no rule: file:///old/1/r1/artifacts"
    assert_contains "$(tail -n 1 <<<"$output")" '"kind":"trailer"'
    run_split ml-transform --rewrite-uri /nowhere=s3://a --json < <(zoo)
    assert_status 0
    assert_contains "$stderr" "--rewrite-uri /nowhere=s3://a changed nothing"
    for wrong in nothing =x x=; do
        run_split ml-transform --rewrite-uri $wrong < <(zoo)
        assert_status 2
    done
}

@test "--renumber-experiments changes every reference, and its map can be used again" {
    zoo | ml-transform --json | sed 's/"experiment_id":"1"/"experiment_id":"914361987654321098"/; s/,1,2,/,914361987654321098,2,77,/' |
        ml-transform --from-json --reseal >long.mlr
    ml-transform --renumber-experiments=5 --id-map map.tsv <long.mlr >short.mlr
    printf '914361987654321098\t5\tone\n2\t6\ttwo\n' | cmp - map.tsv
    ml-transform --validate -q <short.mlr
    ml-transform --json <short.mlr >short.json
    absent 914361987654321098 short.json
    assert_equal "$(jq -r 'select(.key == "_mlflow_experiment_ids").value' short.json)" ,5,6,77,
    assert_equal "$(jq -r 'select(.experiment_id).experiment_id' short.json | sort | uniq -c | xargs)" \
        "$(ml-transform --json <long.mlr | jq -r 'select(.experiment_id).experiment_id | if . == "2" then "6" else "5" end' | sort | uniq -c | xargs)"
    ml-transform --renumber-experiments --use-id-map map.tsv <long.mlr | cmp - short.mlr
    # another source: what the map has stays, the rest comes behind it
    stream <<<'{"kind":"experiment","experiment_id":"0","name":"Default","lifecycle_stage":"active"}
{"kind":"experiment","experiment_id":"33","name":"new","lifecycle_stage":"active"}
{"kind":"experiment","experiment_id":"2","name":"two","lifecycle_stage":"active"}' |
        ml-transform --renumber-experiments --use-id-map map.tsv --id-map map2.tsv | ml-transform --json >other.json
    assert_equal "$(jq -r 'select(.kind == "experiment").experiment_id' other.json | xargs)" "0 7 6"
    printf '914361987654321098\t5\t\n2\t6\ttwo\n0\t0\tDefault\n33\t7\tnew\n' | cmp - map2.tsv
}

@test "--renumber-experiments refuses a missing experiment and a malformed map" {
    run_split ml-transform --renumber-experiments < <(stream <<<'{"kind":"run","run_id":"r","experiment_id":"9","lifecycle_stage":"active"}')
    assert_status 2
    assert_contains "$stderr" "Run r: experiment 9 is not in the stream before it"
    printf '1\t2\n3\t2\n' >map.tsv
    run_split ml-transform --renumber-experiments --use-id-map map.tsv <a.mlr
    assert_status 2
    assert_contains "$stderr" "map.tsv:2: duplicate new id 2"
    run_split ml-transform --renumber-experiments --use-id-map absent.tsv <a.mlr
    assert_status 2
    for wrong in "--renumber-experiments=0" "--renumber-experiments=x" "--id-map f" "--renumber-experiments=3000000000"; do
        run_split ml-transform $wrong <a.mlr
        assert_status 2
    done
}

@test "--rename-experiment and --rename-model rename everywhere" {
    zoo | ml-transform --rename-experiment one=eins --rename-experiment "2=zwei = deux" --rename-model clf=classifier --rename-model greet=hello |
        ml-transform --json >new.json
    assert_equal "$(jq -r 'select(.kind == "experiment").name' new.json | paste -sd,)" "eins,zwei = deux"
    absent '"clf"\|"greet"' new.json
    assert_equal "$(grep -c '"name":"classifier"' new.json)" 6
    assert_equal "$(grep -c '"name":"hello"' new.json)" 4
    assert_equal "$(jq -r 'select(.kind == "model_version" and .version == 2).source' new.json)" models:/classifier/1
    assert_equal "$(jq -r 'select(.kind == "model_version" and .version == 1).source' new.json | xargs)" "models:/m-1 dummy-source"
    run_split ml-transform --rename-model nobody=x --json < <(zoo)
    assert_status 1
    assert_contains "$stderr" "--rename-model nobody=x: not found in the stream"
}

@test "changes can be combined" {
    zoo | ml-transform --experiment one --renumber-experiments=10 --rewrite-uri /old=s3://b --rename-experiment one=eins --json >new.json
    assert_equal "$(jq -c 'select(.kind == "experiment") | [.experiment_id, .name, .artifact_location]' new.json)" '["10","eins","s3://b/1"]'
    ml-transform --from-json --validate -q <new.json
}

other=ffeeddccbbaa99887766554433221100

@test "--merge: equal sources become one" {
    zoo >a1.mlr
    zoo $other >a2.mlr
    cat a1.mlr a2.mlr | ml-transform --merge >m.mlr
    cmp <(lines <a1.mlr) <(lines <m.mlr)
    cat a1.mlr a2.mlr >both.mlr
    ml-transform --merge <both.mlr | cmp - m.mlr
    ml-transform --validate -q <m.mlr
    assert_equal "$(ml-transform --json <m.mlr | jq -c 'select(.kind == "header") | [.shard, .shards]')" "[0,1]"
    # shards of one source too, experiments first
    for i in 2 0 1; do mlruns-dump -q --shard $i/3 "$ROOT/tests/data/mlruns"; done | ml-transform -q --merge >whole.mlr
    cmp <(lines <a.mlr) <(lines <whole.mlr)
    assert_equal "$(ml-transform --json <whole.mlr | jq -r .kind | uniq | sed -n 1,6p | xargs)" "header experiment experiment_tag dataset experiment run"
    # a copy of a source, in one shard and in several
    for i in 1 0; do mlruns-dump -q --shard $i/2 "$ROOT/tests/data/mlruns"; done >two.mlr
    for copies in "a.mlr a.mlr" "two.mlr two.mlr"; do
        ml-transform -q --merge < <(cat $copies) >copies.mlr
        cmp <(lines <a.mlr) <(lines <copies.mlr)
    done
    run_split ml-transform --merge < <(cat two.mlr two.mlr <(mlruns-dump -q --shard 1/2 "$ROOT/tests/data/mlruns"))
    assert_status 2
    assert_contains "$stderr" "duplicate shard 1/2"
    run_split ml-transform --merge < <(mlruns-dump -q --shard 0/2 "$ROOT/tests/data/mlruns")
    assert_status 2
    assert_contains "$stderr" "shard 1/2"
}

@test "--merge: experiments of one name fail, are renamed or merged" {
    zoo >a1.mlr
    stream $other >b.mlr <<'END'
{"kind":"experiment","experiment_id":"7","name":"one","lifecycle_stage":"active"}
{"kind":"experiment_tag","experiment_id":"7","key":"t","value":"y"}
{"kind":"experiment_tag","experiment_id":"7","key":"u","value":"y"}
{"kind":"run","run_id":"r9","experiment_id":"7","lifecycle_stage":"active"}
END
    cat a1.mlr b.mlr >both.mlr
    run_split ml-transform --merge <both.mlr
    assert_status 2
    assert_contains "$stderr" "Experiment 7: its name is also that of an experiment with another id"
    assert_contains "$stderr" "--on-conflict=rename"
    assert_equal "$output" ""
    ml-transform --merge --on-conflict=rename --json <both.mlr >r.json
    assert_equal "$(jq -c 'select(.kind == "experiment") | [.experiment_id, .name]' r.json | xargs)" '[1,one] [2,two] [7,one (2)]'
    assert_equal "$(jq -r 'select(.run_id == "r9").experiment_id' r.json)" 7
    ml-transform --merge --on-conflict=merge --json <both.mlr >m.json
    assert_equal "$(jq -c 'select(.kind == "experiment") | [.experiment_id, .name]' m.json | xargs)" '[1,one] [2,two]'
    assert_equal "$(jq -r 'select(.run_id == "r9").experiment_id' m.json)" 1
    assert_equal "$(jq -c 'select(.kind == "experiment_tag") | [.experiment_id, .key, .value]' m.json | xargs)" '[1,t,x] [1,u,y]'
}

@test "--merge: deleted experiments are renamed rather than active ones" {
    stream <<'END' >one.mlr
{"kind":"experiment","experiment_id":"1","name":"n","lifecycle_stage":"deleted"}
{"kind":"experiment","experiment_id":"2","name":"n","lifecycle_stage":"active"}
{"kind":"experiment","experiment_id":"3","name":"n","lifecycle_stage":"deleted"}
{"kind":"experiment","experiment_id":"4","name":"n","lifecycle_stage":"active"}
{"kind":"experiment","experiment_id":"5","name":"n (2)","lifecycle_stage":"deleted"}
{"kind":"run","run_id":"r1","experiment_id":"1","lifecycle_stage":"deleted"}
{"kind":"run","run_id":"r2","experiment_id":"2","lifecycle_stage":"active"}
END
    run_split ml-load -q sqlite:///clash.db <one.mlr
    assert_status 2
    assert_contains "$stderr" "hint: ml-transform --merge --on-conflict rename"
    assert_equal "$(grep -c '^ *hint:\|hint: ' <<<"$stderr")" 1
    run_split ml-transform --merge --on-conflict rename <one.mlr
    assert_status 0
    assert_contains "$stderr" "deleted experiment 1 becomes 1, named n (3)"
    ml-transform --merge --on-conflict rename --json -q <one.mlr >r.json
    assert_equal "$(jq -c 'select(.kind == "experiment") | [.experiment_id, .name]' r.json | xargs)" \
        '[1,n (3)] [2,n] [3,n (4)] [4,n (5)] [5,n (2)]'
    ml-transform -q --merge --on-conflict rename <one.mlr | ml-load -q sqlite:///cured.db
    # joined, the whole is active
    ml-transform --merge --on-conflict merge --json -q <one.mlr >m.json
    assert_equal "$(jq -c 'select(.kind == "experiment") | [.experiment_id, .name, .lifecycle_stage]' m.json | xargs)" \
        '[1,n,active] [5,n (2),deleted]'
    assert_equal "$(jq -r 'select(.kind == "run") | .experiment_id' m.json | xargs)" "1 1"
    # what was renamed in one source is the same in the next
    cat one.mlr <(stream $other <<'END'
{"kind":"experiment","experiment_id":"1","name":"n","lifecycle_stage":"deleted"}
{"kind":"experiment","experiment_id":"3","name":"n","lifecycle_stage":"active"}
{"kind":"run","run_id":"r1","experiment_id":"1","lifecycle_stage":"deleted"}
END
    ) | ml-transform --merge --on-conflict rename --json -q >twice.json
    assert_equal "$(jq -c 'select(.kind == "experiment") | [.experiment_id, .name, .lifecycle_stage]' twice.json | xargs)" \
        '[1,n (3),deleted] [2,n,active] [4,n (5),active] [5,n (2),deleted] [3,n (4),active]'
}

@test "--merge: an id is one experiment within a source" {
    stream <<'END' >both.mlr
{"kind":"experiment","experiment_id":"1","name":"alive","lifecycle_stage":"active"}
{"kind":"experiment","experiment_id":"1","name":"dead","lifecycle_stage":"deleted"}
{"kind":"run","run_id":"r1","experiment_id":"1","lifecycle_stage":"active"}
END
    for how in fail rename merge; do
        run_split ml-transform --merge --on-conflict $how <both.mlr
        assert_status 2
        assert_contains "$stderr" "Experiment 1: one source has two experiments with this id"
        assert_contains "$stderr" "mlruns-dump --renumber-trash"
        assert_equal "$output" ""
    done
    { jq -nc '{kind: "experiment", experiment_id: "1", name: "n", lifecycle_stage: "active"} | ., .'; } | stream >same.mlr
    run_split ml-transform --merge <same.mlr
    assert_status 2
    assert_contains "$stderr" "Experiment 1: duplicate in one source"
    # nor in its shards
    shard() { # I NAME
        printf '{"kind":"header","format":1,"minor":0,"producer":"hand","source":"%s","shard":%s,"shards":2}\n' $other "$1"
        jq -nc --arg name "$2" '{kind: "experiment", experiment_id: "1", name: $name, lifecycle_stage: "active"}'
    }
    run_split ml-transform --merge < <({ shard 0 a && shard 1 b; } | ml-transform --from-json --reseal)
    assert_status 2
    assert_contains "$stderr" "Experiment 1: one source has two experiments with this id"
    { shard 0 a && shard 1 a; } | ml-transform --from-json --reseal | ml-transform -q --merge >whole.mlr
}

@test "--merge: an experiment whose id is taken is refused or gets another one" {
    zoo >a1.mlr
    stream $other >b.mlr <<'END'
{"kind":"experiment","experiment_id":"1","name":"uno","lifecycle_stage":"active"}
{"kind":"run","run_id":"r9","experiment_id":"1","lifecycle_stage":"active"}
{"kind":"prompt","name":"ask"}
{"kind":"registered_model_tag","name":"ask","key":"_mlflow_experiment_ids","value":",1,8,"}
END
    cat a1.mlr b.mlr >both.mlr
    run_split ml-transform --merge <both.mlr
    assert_status 2
    assert_contains "$stderr" "Experiment 1: its id is also that of an experiment with another name"
    ml-transform --merge --on-conflict=rename --json <both.mlr >r.json
    assert_equal "$(jq -c 'select(.kind == "experiment") | [.experiment_id, .name]' r.json | xargs)" '[1,one] [2,two] [3,uno]'
    assert_equal "$(jq -r 'select(.run_id == "r9").experiment_id' r.json)" 3
    # also where a prompt lists it; what the stream does not have stays
    assert_equal "$(jq -r 'select(.name == "ask" and .key == "_mlflow_experiment_ids").value' r.json)" ,3,8,
    assert_equal "$(jq -r 'select(.run_id == "r1" and .kind == "run").experiment_id' r.json)" 1
}

@test "--merge: a run in two sources must be equal, with all that belongs to it" {
    zoo >a1.mlr
    for change in 's/"value":0.5/"value":0.6/' 's/FAILED/KILLED/' '/"key":"best"/d' 's/"run_id":"r4","key":"p"/"run_id":"r4","key":"q"/' 's/"state":"OK"/"state":"ERROR"/'; do
        ml-transform --json <a1.mlr | sed "1s/00112233445566778899aabbccddeeff/$other/; $change" | ml-transform --from-json --reseal >b.mlr
        run_split ml-transform --merge < <(cat a1.mlr b.mlr)
        assert_status 2
        assert_contains "$stderr" "two sources have it, and it or its parts differ"
        assert_contains "$stderr" "1 clashes"
    done
}

@test "--merge: registered models are joined, versions renumbered on demand" {
    zoo >a1.mlr
    stream $other >b.mlr <<'END'
{"kind":"registered_model","name":"clf","description":"mine"}
{"kind":"registered_model_tag","name":"clf","key":"c","value":"d"}
{"kind":"model_version","name":"clf","version":1,"source":"s3://else"}
{"kind":"model_version_tag","name":"clf","version":1,"key":"a","value":"z"}
{"kind":"registered_model_alias","name":"clf","alias":"challenger","version":1}
END
    cat a1.mlr b.mlr >both.mlr
    run_split ml-transform --merge <both.mlr
    assert_status 2
    assert_contains "$stderr" "Model version '1' in registered model clf: two sources have it"
    assert_contains "$stderr" "--renumber-versions"
    ml-transform --merge --renumber-versions --json <both.mlr >m.json
    assert_equal "$(jq -c 'select(.kind == "model_version" and .name == "clf") | [.version, .source]' m.json | xargs)" '[1,models:/m-1] [2,models:/clf/1] [3,s3://else]'
    assert_equal "$(jq -c 'select(.kind == "model_version_tag") | [.version, .value]' m.json | xargs)" '[1,b] [3,z]'
    assert_equal "$(jq -c 'select(.kind == "registered_model_alias") | [.alias, .version]' m.json | xargs)" '[champion,1] [challenger,3]'
    assert_equal "$(jq -c 'select(.kind == "registered_model") | [.name, .description]' m.json)" '["clf",null]'
    stream $other >p.mlr <<<'{"kind":"prompt","name":"clf"}'
    run_split ml-transform --merge --on-conflict=merge < <(cat a1.mlr p.mlr)
    assert_status 2
    assert_contains "$stderr" "it is a model in one source and a prompt in another"
}

# The zoo with rows of other tables, as a database has them.
zoo_with_rows() {
    { zoo "$@" | ml-transform --json | sed '1d;$d'
      cat <<'END'
{"kind":"row","table":"workspaces","values":{"name":"default","default_artifact_root":"file:///old/ws","trace_archival_location":"file:///old/archive"}}
{"kind":"row","table":"spans","values":{"trace_id":"tr-1","experiment_id":1,"span_id":"s1","content":"{}"}}
{"kind":"row","table":"span_metrics","values":{"trace_id":"tr-1","span_id":"s1","key":"k","value":{"$float":"1.5"}}}
{"kind":"row","table":"scorers","values":{"experiment_id":1,"scorer_name":"a","scorer_id":"sc1"}}
{"kind":"row","table":"scorers","values":{"experiment_id":2,"scorer_name":"b","scorer_id":"sc2"}}
{"kind":"row","table":"scorer_versions","values":{"scorer_id":"sc1","scorer_version":1,"serialized_scorer":"x"}}
{"kind":"row","table":"scorer_versions","values":{"scorer_id":"sc2","scorer_version":1,"serialized_scorer":"y"}}
{"kind":"row","table":"entity_associations","values":{"association_id":"as1","source_type":"experiment","source_id":"2","destination_type":"evaluation_dataset","destination_id":"1"}}
{"kind":"row","table":"secrets","values":{"secret_id":"x","encrypted_value":{"$bytes":"YWJj"}}}
{"kind":"row","table":"unheard_of","values":{"experiment_id":1}}
END
    } | stream "$@"
}

@test "rows of other tables keep bytes as bytes, and come back from JSON whole" {
    zoo_with_rows >rows.mlr
    ml-transform --json <rows.mlr >rows.json
    grep -q '"encrypted_value":{"$bytes":"YWJj"}' rows.json
    jq -c . rows.json | ml-transform --from-json | cmp - rows.mlr
    ml-transform <rows.mlr | cmp - rows.mlr
    ml-transform --validate -q <rows.mlr
}

@test "rows of other tables follow their experiments, runs and traces" {
    zoo_with_rows >rows.mlr
    rows_of() { jq -c 'select(.kind == "row") | [.table] + (.values | [.scorer_id, .experiment_id, .source_id, .span_id] | map(select(. != null)))'; }
    ml-transform --renumber-experiments=8 --json <rows.mlr | rows_of >got
    cat >want <<'END'
["workspaces"]
["spans",8,"s1"]
["span_metrics","s1"]
["scorers","sc1",8]
["scorers","sc2",9]
["scorer_versions","sc1"]
["scorer_versions","sc2"]
["entity_associations","9"]
["secrets"]
["unheard_of",1]
END
    diff want got
    run_split ml-transform --renumber-experiments < <(sed 's/"experiment_id":2,"scorer/"experiment_id":77,"scorer/' <(ml-transform --json <rows.mlr) | ml-transform --from-json --reseal)
    assert_status 2
    assert_contains "$stderr" "Row 'scorers': experiment 77 is not in the stream"
    ml-transform -q --rewrite-uri /old=s3://b --json <rows.mlr | jq -c 'select(.table == "workspaces").values' >got
    assert_equal "$(cat got)" '{"name":"default","default_artifact_root":"s3://b/ws","trace_archival_location":"s3://b/archive"}'
    assert_equal "$(ml-transform --experiment 2 --json <rows.mlr | rows_of | xargs)" \
        "[workspaces] [scorers,sc2,2] [scorer_versions,sc2] [entity_associations,2] [secrets] [unheard_of,1]"
    assert_equal "$(ml-transform --run r1 --json <rows.mlr | rows_of | xargs)" \
        "[workspaces] [spans,1,s1] [span_metrics,s1] [scorers,sc1,1] [scorer_versions,sc1] [secrets] [unheard_of,1]"
    assert_equal "$(ml-transform --exclude-kind row --json <rows.mlr | rows_of)" ""
    assert_equal "$(ml-transform --kind row --json <rows.mlr | jq -r .kind | sort | uniq -c | xargs)" "1 header 10 row 1 trailer"
}

@test "--merge: rows of other tables are merged with the experiments that they belong to" {
    zoo_with_rows >r1.mlr
    zoo_with_rows $other >r2.mlr
    cat r1.mlr r2.mlr | ml-transform -q --merge >m.mlr
    cmp <(lines <r1.mlr) <(lines <m.mlr)
    ml-transform --json <r2.mlr | sed '/unheard_of/d; s/"x"}}/"z"}}/' | ml-transform --from-json --reseal >r3.mlr
    run_split ml-transform --merge < <(cat r1.mlr r3.mlr)
    assert_status 2
    assert_contains "$stderr" "Row 'scorer_versions': two sources have it"
    stream $other >r4.mlr <<'END'
{"kind":"experiment","experiment_id":"1","name":"uno","lifecycle_stage":"active"}
{"kind":"row","table":"scorers","values":{"experiment_id":1,"scorer_name":"a","scorer_id":"sc9"}}
END
    cat r1.mlr r4.mlr | ml-transform -q --merge --on-conflict=rename --json | jq -c 'select(.table == "scorers").values | [.scorer_id, .experiment_id]' >got
    assert_equal "$(xargs <got)" "[sc1,1] [sc2,2] [sc9,3]"
}

@test "--workspace puts everything into the workspace, with its row and that of the default one" {
    run_split ml-transform --workspace team-a --json < <(zoo)
    assert_status 0
    assert_contains "$stderr" "--enable-workspaces"
    printf '%s\n' "$output" >w.json
    assert_equal "$(jq -r 'select(.workspace).kind' w.json | sort | uniq -c | xargs)" \
        "2 experiment 3 model_version 1 model_version_tag 1 prompt 1 registered_model 1 registered_model_alias 3 registered_model_tag"
    assert_equal "$(jq -r 'select(.workspace).workspace' w.json | uniq)" team-a
    assert_equal "$(jq -r 'select(.kind == "row").values.name' w.json | xargs)" "default team-a"
    # a stream that has workspaces: what is there is not there twice, and what refers to one follows
    { ml-transform --json < <(zoo) | sed '1d;$d'
      echo '{"kind":"row","table":"workspaces","values":{"name":"default","default_artifact_root":"s3://b"}}'
      echo '{"kind":"row","table":"webhooks","values":{"webhook_id":"w","workspace":"default"}}'
    } | stream | ml-transform -q --workspace team-a --json >w.json
    assert_equal "$(jq -c 'select(.kind == "row").values' w.json | xargs -d '\n')" \
        '{"name":"default","default_artifact_root":"s3://b"} {"webhook_id":"w","workspace":"team-a"} {"name":"team-a"}'
    # several segments: the rows are in one of them
    for i in 0 1 2; do mlruns-dump -q --shard $i/3 "$ROOT/tests/data/mlruns"; done | ml-transform -q --workspace team-a >w.mlr
    assert_equal "$(ml-transform --json <w.mlr | grep -c '"kind":"row"')" 2
    ml-load -q --release 3.17.2 "sqlite:///$PWD/w.db" <w.mlr
    assert_equal "$(sqlite3 w.db 'SELECT DISTINCT workspace FROM experiments UNION ALL SELECT DISTINCT workspace FROM model_versions' | xargs)" "team-a team-a"
    assert_equal "$(sqlite3 w.db 'SELECT name FROM workspaces ORDER BY 1' | xargs)" "default team-a"
    for wrong in Team a -a a- api "a b"; do
        run_split ml-transform "--workspace=$wrong" <a.mlr
        assert_status 2
    done
}

@test "--fit names what a release cannot hold, and then writes no trailer" {
    run_split ml-transform --fit sqlite --release 3.17.2 --json <a.mlr
    assert_status 0
    ml-transform --json <a.mlr | cmp - <(printf '%s\n' "$output")
    run_split ml-transform --fit sqlite --release 2.22 --json <a.mlr
    assert_status 2
    refute_contains "$output" '"kind":"trailer"'
    assert_contains "$stderr" "request_preview has no column in this schema; the first release with it is MLflow 3.2.0"
    assert_contains "$stderr" "MLflow 2.22.5 has no table for it; the first that has one is 3.0.0"
    assert_contains "$stderr" "do not fit MLflow 2.22.5 on sqlite"
    # what does fit there can be loaded there, and the other way round
    ml-transform --kind metric --kind param --kind tag --kind experiment_tag <a.mlr | ml-transform --fit sqlite --release 2.22 >old.mlr
    ml-load -q --release 2.22 "sqlite:///$PWD/old.db" <old.mlr
    run_split ml-load -q --release 2.22 "sqlite:///$PWD/older.db" <a.mlr
    assert_status 2
}

@test "--fit postgresql checks lengths, 32-bit ids, NUL, and text that is not UTF-8" {
    stream >wide.mlr <<END
{"kind":"experiment","experiment_id":"3000000000","name":"x","lifecycle_stage":"active"}
{"kind":"run","run_id":"r1","experiment_id":"3000000000","lifecycle_stage":"active","artifact_uri":"s3://$(printf '%0200d' 0)"}
{"kind":"param","run_id":"r1","key":"long","value":"$(printf '\xe6\x97\xa5%.0s' $(seq 8001))"}
{"kind":"param","run_id":"r1","key":"fits","value":"$(printf '\xe6\x97\xa5%.0s' $(seq 8000))"}
{"kind":"param","run_id":"r1","key":"nul","value":"a\u0000b"}
{"kind":"param","run_id":"r1","key":"bytes","value":{"\$bytes":"/w=="}}
{"kind":"param","run_id":"r1","key":"$(printf '%0300d' 0)","value":"v"}
END
    run_split ml-transform --fit postgresql --release 3.17.2 <wide.mlr
    assert_status 2
    assert_contains "$stderr" "Experiment 3000000000: experiment_id: the id does not fit the 32-bit columns"
    assert_contains "$stderr" "--renumber-experiments"
    assert_contains "$stderr" "Param 'long' in run r1: value: 8001 characters exceed the 8000 of column value"
    assert_contains "$stderr" "--truncate truncates it"
    refute_contains "$stderr" "Param 'fits'"
    assert_contains "$stderr" "Param 'nul' in run r1: value: the text contains a NUL character"
    assert_contains "$stderr" "Param 'bytes' in run r1: value: the text is not UTF-8"
    assert_contains "$stderr" "key: 300 characters"
    assert_contains "$stderr" "artifact_uri: 205 characters"
    assert_contains "$stderr" "6 values do not fit"
    run_split ml-transform --fit sqlite --release 3.17.2 <wide.mlr
    assert_status 2
    assert_contains "$stderr" "1 values do not fit"
    # what can be cured
    ml-transform --json <wide.mlr | grep -v '"nul"\|"bytes"\|0000000","value"' | sed 's/"artifact_uri":"[^"]*"/"artifact_uri":"s3:\/\/b"/' | ml-transform --from-json --reseal >cure.mlr
    run_split ml-transform --renumber-experiments --fit postgresql --release 3.17.2 --truncate --json <cure.mlr
    assert_status 0
    assert_contains "$stderr" "Params: value: 1 truncated"
    assert_equal "$(jq -c 'select(.kind == "param") | [.key, (.value | length)]' <<<"$output" | xargs)" '[long,8000] [fits,8000]'
    for wrong in "--fit oracle" "--truncate" "--release 3.1" "--fit sqlite --release 9.9"; do
        # shellcheck disable=SC2086
        run_split ml-transform $wrong <a.mlr
        assert_status 2
    done
}

@test "temporary files are in --tmpdir, and none stays" {
    mkdir tmp
    cat a.mlr | ml-transform --lifecycle active --tmpdir tmp >part.mlr
    assert_equal "$(ls -A tmp)" ""
    run_split bash -c 'cat a.mlr | ml-transform --lifecycle active --tmpdir absent'
    assert_status 2
    assert_contains "$stderr" "absent: cannot create a temporary file"
    head -c 9000 a.mlr >cut.mlr
    for way in "cat cut.mlr |" "<cut.mlr"; do
        run_split bash -c "$way ml-transform --merge"
        assert_status 2
        assert_contains "$stderr" truncated
    done
}

@test "a full disk is an error, and a closed pipe ends it quietly" {
    run_split bash -c 'ml-transform <a.mlr >/dev/full'
    assert_status 2
    assert_contains "$stderr" "standard output: cannot write"
    run_split bash -c 'ml-transform --json <a.mlr >/dev/full'
    assert_status 2
    for i in $(seq 200); do cat a.mlr; done >long.mlr
    ml-transform --json <long.mlr 2>err | head -n 1 >/dev/null
    assert_equal "${PIPESTATUS[0]}" 141
    assert_equal "$(cat err)" ""
}

@test "wrong options are refused" {
    for options in "--reseal" "--json --validate" "--json --summary" "operand" "--nonsense"; do
        # shellcheck disable=SC2086
        run_split ml-transform $options <a.mlr
        assert_status 2
        assert_contains "$stderr" "usage: ml-transform"
    done
}

# delta.mlr: a run of which two tags changed, its experiment unchanged.
make_delta() {
    cat >delta.json <<'END'
{"kind":"header","format":2,"minor":3,"producer":"hand","source":"00112233445566778899aabbccddeeff","shard":0,"shards":1,"state":"ffeeddccbbaa99887766554433221100","base":7}
{"kind":"experiment","experiment_id":"5","name":"five","artifact_location":"file:///old/5","lifecycle_stage":"active","partial":"unchanged"}
{"kind":"experiment","experiment_id":"6","name":"six","lifecycle_stage":"active"}
{"kind":"run","run_id":"r","experiment_id":"5","lifecycle_stage":"active","partial":"changed"}
{"kind":"tag","run_id":"r","key":"a","value":"1"}
{"kind":"logged_model_metric","model_id":"m","experiment_id":"5","key":"k","timestamp":1,"step":1,"run_id":"elsewhere","value":1.0}
{"kind":"run","run_id":"s","experiment_id":"6","lifecycle_stage":"active"}
END
    ml-transform --from-json --reseal <delta.json >delta.mlr
}

@test "a delta stays a delta through --json and back, jq, --rewrite-uri, --rename, --workspace, --fit, --head, --kind and --experiment" {
    make_delta
    ml-transform --json <delta.mlr | jq -c . | ml-transform --from-json | cmp - delta.mlr
    ml-transform --json <delta.mlr | sed -n 1,7p | cmp - delta.json
    for o in "--rewrite-uri file:///old=s3://new" "--rename-experiment five=5" "--rename-model x=y" "--workspace team" "--fit sqlite" \
        "--head 3" "--kind run" "--experiment five" "--experiment absent"; do
        ml-transform -q $o <delta.mlr | ml-transform --json >out.json
        assert_equal "$(head -1 out.json)" "$(head -1 delta.json)"
    done
    assert_equal "$(wc -l <out.json)" 2 # of an experiment that did not change there is nothing
    ml-transform -q --rewrite-uri file:///old=s3://new <delta.mlr | ml-transform --json | sed '$d' >out.json
    sed 's|file:///old|s3://new|' delta.json | cmp - out.json
    ml-transform -q --experiment five <delta.mlr | ml-transform --json >out.json
    assert_equal "$(jq -r 'select(.kind != "header" and .kind != "trailer") | "\(.kind) \(.partial)"' out.json | xargs)" \
        "experiment unchanged run changed tag null logged_model_metric null"
    ml-transform -q --validate <delta.mlr
}

@test "a delta is renumbered only by a map, as another tick would give its numbers to others" {
    make_delta
    run_split ml-transform --renumber-experiments <delta.mlr
    assert_status 2
    assert_contains "$stderr" "a delta lacks experiments"
    printf '4\t1\tfour\n5\t2\tfive\n' >map.tsv
    ml-transform -q --renumber-experiments --use-id-map map.tsv --id-map map.tsv <delta.mlr | ml-transform --json >out.json
    assert_equal "$(jq -r 'select(.kind == "run") | .experiment_id' out.json | xargs)" "2 3"
    assert_equal "$(head -1 out.json)" "$(head -1 delta.json)"
    assert_equal "$(cut -f 1,2 map.tsv | xargs)" "4 1 5 2 6 3"
}

@test "loading, verifying and merging a delta are refused, as are selections by what it does not contain" {
    make_delta
    run_split ml-load sqlite:///x.db <delta.mlr
    assert_status 2
    assert_contains "$stderr" "the stream is a delta (format 2): it has only what changed since generation 7 of state ffeeddccbbaa99887766554433221100"
    [ ! -e x.db ]
    ml-schema create -q sqlite:///x.db
    run_split ml-verify sqlite:///x.db <delta.mlr
    assert_status 2
    assert_contains "$stderr" "the stream is a delta"
    refute_contains "$output" SUCCESS
    run_split ml-transform --merge < <(cat a.mlr delta.mlr)
    assert_status 2
    assert_contains "$stderr" "a delta cannot be merged"
    for o in "--run r" "--tag a=1" "--status FINISHED" "--lifecycle active" "--since 2020-01-01" "--until 2020-01-01"; do
        run_split ml-transform -q $o <delta.mlr
        assert_status 2
        assert_contains "$stderr" "cannot select from a delta"
    done
    for edit in 's/"format":2/"format":1/' 's/"base":7/"base":-1/' 's/"state":"[^"]*",//' 's/"shards":1/"shards":2/' \
        's/"state":"f/"state":"g/' 's/"unchanged"/"whole"/' 's/"unchanged"/true/'; do
        sed "$edit" delta.json >bad.json
        run_split ml-transform --from-json --reseal <bad.json
        assert_status 2
    done
    sed 's/"format":2/"format":1/; s/,"base":7//' delta.json >bad.json
    run_split ml-transform --from-json --reseal <bad.json
    assert_status 2
    assert_contains "$stderr" "Experiment 5: marked partial in a stream of format 1"
}

@test "streams of every earlier version are read, loaded and verified" {
    for s in "$ROOT"/tests/data/streams/*.mlr; do
        rm -f old.db
        ml-transform --json <"$s" | ml-transform --from-json | ml-transform --json >new.json
        ml-transform --json <"$s" | sed 's/"minor":[01]/"minor":3/' | grep -v '"kind":"trailer"' | cmp - <(grep -v '"kind":"trailer"' new.json)
        ml-load -q --release 3.17 sqlite:///old.db <"$s"
        ml-verify -q sqlite:///old.db <"$s" >report
        assert_contains "$(cat report)" "Status: SUCCESS"
    done
    # the last one has spans as rows, which are read as spans
    assert_equal "$(ml-transform --json <"$ROOT/tests/data/streams/1.0-database.mlr" | jq -r 'select(.kind == "row") | .table' | sort -u | xargs)" \
        "scorer_versions scorers span_metrics"
}
