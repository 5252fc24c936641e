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

@test "without options the stream comes out as it went in" {
    ml-transform <a.mlr >b.mlr
    cmp a.mlr b.mlr
    cat a.mlr a.mlr | ml-transform >b.mlr
    cat a.mlr a.mlr | cmp - b.mlr
}

@test "--json and --from-json are exact both ways, also through jq" {
    ml-transform --json <a.mlr >a.json
    ml-transform --from-json <a.json | cmp - a.mlr
    jq -c . a.json | ml-transform --from-json | cmp - a.mlr
    jq -cS . a.json | ml-transform --from-json | cmp - a.mlr
    ml-transform --from-json --json <a.json | cmp - a.json
    [ "$(jq -r .kind a.json | sort -u | wc -l)" -gt 20 ]
}

@test "--json keeps NaN, infinities, -0.0, bytes and 64-bit integers, also through jq" {
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

@test "bytes that happen to be UTF-8 become text; a text stays a text" {
    segment <<<'{"kind":"experiment","experiment_id":"1","name":{"$bytes":"YWJj"},"lifecycle_stage":"active"}' |
        ml-transform --from-json --reseal | ml-transform --json >b.json
    assert_equal "$(jq -r 'select(.kind == "experiment").name' b.json)" abc
}

@test "the trailer of the JSON view counts and sums what a stream of it would have" {
    ml-transform --json <a.mlr | tail -n 1 >trailer.json
    assert_equal "$(jq -c '[.kind, .counts.run, .counts.metric, .skipped]' trailer.json)" '["trailer",4,16,0]'
    [[ $(jq -r .checksum trailer.json) =~ ^[0-9a-f]{16}$ ]]
}

@test "--from-json refuses edited, cut and missing lines, --reseal accepts them" {
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
    assert_contains "$(ml-transform --from-json <fewer.json 2>&1 >/dev/null)" "8 records of kind 'param', there are 0"
    assert_contains "$(ml-transform --from-json <untrailed.json 2>&1 >/dev/null)" "trailer line is missing"
    ml-transform --from-json --reseal <untrailed.json | cmp - a.mlr
    # two segments, the first without its trailer
    cat untrailed.json a.json | ml-transform --from-json --reseal >two.mlr
    cat a.mlr a.mlr | cmp - two.mlr
    run_split ml-transform --from-json < <(cat untrailed.json a.json)
    assert_status 2
    assert_contains "$stderr" "a header inside of a segment"
}

@test "--from-json names line and field of what is wrong" {
    bad() { # LINE MESSAGE
        run_split ml-transform --from-json --reseal < <(segment <<<"$1")
        assert_status 2
        assert_contains "$stderr" "ml-transform: standard input:2: "
        assert_contains "$stderr" "$2"
    }
    bad '{"kind":"param","run_id":"r","key":"k","value":"v"' "column"
    bad '[1]' "not a JSON object"
    bad '{"run_id":"r"}' 'there is no "kind"'
    bad '{"kind":"planet"}' "unknown kind 'planet'"
    bad '{"kind":"param","run_id":"r","key":"k","value":"v","color":1}' "has no field 'color'"
    bad '{"kind":"param","run_id":"r","key":"k"}' "Param 'k' in run r: field 'value' is missing"
    bad '{"kind":"param","run_id":"r","key":"k","value":1}' "field 'value' must be text, not an integer"
    bad '{"kind":"param","run_id":"r","key":"k","key":"l","value":"v"}' "duplicate"
    bad '{"kind":"metric","run_id":"r","key":"k","step":1.5,"timestamp":1,"value":1}' "field 'step': a number with a fraction"
    bad '{"kind":"metric","run_id":"r","key":"k","step":9007199254740993,"timestamp":1,"value":1}' '{"$int":"..."}'
    bad '{"kind":"metric","run_id":"r","key":"k","step":1,"timestamp":1,"value":{"$float":"1,5"}}' "is no float"
    bad '{"kind":"metric","run_id":"r","key":"k","step":{"$int":"1e5"},"timestamp":1,"value":1}' "no 64-bit integer"
    bad '{"kind":"param","run_id":"r","key":"k","value":{"$bytes":"a"}}' "not base64"
    bad '{"kind":"param","run_id":"r","key":"k","value":{"a":1}}' "no object can be"
    bad '{"kind":"param","run_id":"r","key":"k","value":"\ud800"}' "column"
    bad '{"kind":"header","format":2,"minor":0,"producer":"x","source":"x","shard":0,"shards":1}' "format 2"
}

@test "--from-json: no header, nothing at all, a binary stream" {
    run_split ml-transform --from-json <<<'{"kind":"param","run_id":"r","key":"k","value":"v"}'
    assert_status 2
    assert_contains "$stderr" "begins with a header line"
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

@test "--from-json takes blank lines, CRLF and a last line without newline" {
    ml-transform --json <a.mlr | sed 's/$/\r/; 3s/$/\n\n/' | head -c -1 | ml-transform --from-json | cmp - a.mlr
}

@test "a cut stream never gets a trailer" {
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

@test "what was good of a cut stream can be saved" {
    head -c 6000 a.mlr >cut.mlr
    run_split ml-transform --json <cut.mlr
    assert_status 2
    assert_contains "$stderr" "cut"
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
    assert_contains "$stderr" "behind a trailer"
}

@test "a newer major version is refused, in a stream and in JSON" {
    ml-transform --json <a.mlr | sed '1s/"format":1/"format":2/' >new.json
    run_split ml-transform --from-json <new.json
    assert_status 2
    assert_contains "$stderr" "a newer mlruns-tools wrote it"
    python3 -c 'import sys; d = open("a.mlr", "rb").read(); sys.stdout.buffer.write(d.replace(b"format\x01", b"format\x02", 1))' >new.mlr
    run_split ml-transform <new.mlr
    assert_status 2
    assert_contains "$stderr" "the stream has format 2"
}

@test "--head N keeps the first N records and makes a good trailer" {
    ml-transform --head 5 <a.mlr | ml-transform --json >head.json
    ml-transform --json <a.mlr | head -n 6 | cmp - <(head -n 6 head.json)
    assert_equal "$(wc -l <head.json)" 7
    ml-transform --head 0 <a.mlr | ml-transform --validate -q
    run_split ml-transform --head x <a.mlr
    assert_status 2
}

@test "--validate: a good stream, then wrong references" {
    run_split ml-transform --validate <a.mlr
    assert_status 0
    assert_equal "$output" ""
    assert_contains "$stderr" "every reference is met"
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
    assert_contains "$stderr" "Run r2: run r2 is given twice"
    assert_contains "$stderr" "Param 'k' in run gone: run gone is not in the stream"
    assert_contains "$stderr" "registered model m is not in the stream"
    refute_contains "$stderr" "elsewhere"
    assert_contains "$stderr" "4 entities"
}

@test "--validate takes shards, whose references cross" {
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
    [ "$bytes" -gt 10000 ] && [ "$bytes" -lt "$(stat -c %s a.mlr)" ]
}

@test "a full disk and a closed pipe" {
    run_split bash -c 'ml-transform <a.mlr >/dev/full'
    assert_status 2
    assert_contains "$stderr" "standard output: cannot write"
    run_split bash -c 'ml-transform --json <a.mlr >/dev/full'
    assert_status 2
    for i in $(seq 200); do cat a.mlr; done >long.mlr
    ml-transform --json <long.mlr 2>err | head -n 1 >/dev/null
    [ ! -s err ]
}

@test "wrong options" {
    for options in "--reseal" "--json --validate" "--json --summary" "operand" "--nonsense"; do
        # shellcheck disable=SC2086
        run_split ml-transform $options <a.mlr
        assert_status 2
        assert_contains "$stderr" "usage: ml-transform"
    done
}

@test "the SYNOPSIS of the page is the usage of the program, and its options are all there" {
    page=$ROOT/man/ml-transform.1
    usage=$(ml-transform --help | sed -n 's/^usage: //p')
    assert_contains "$(man -l "$page" 2>/dev/null | col -b || groff -man -Tutf8 "$page" | col -b)" "$usage"
    for option in $(ml-transform --help | grep -o -- '--[a-z][a-z-]*' | sort -u); do
        grep -q -- "${option//-/\\\\-}" "$page" || { echo "$option is not in $page" >&2; return 1; }
    done
    assert_equal "$(groff -man -ww -z "$page" "$ROOT/man/ml-record.5" 2>&1)" ""
}
