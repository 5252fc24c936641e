#!/usr/bin/env bats
# mlruns-dump: every option, and what it says of every kind of damage.

load helpers
load dump_helpers

setup() {
    work
}

# -- what is read

@test "the small tree is read completely: every kind, parents before children" {
    dump "$ROOT/tests/data/mlruns"
    assert_status 0
    assert_equal "$stderr" ""
    json out >all
    for kind in experiment experiment_tag dataset run param metric latest_metric tag input input_tag model_input model_output \
        trace trace_tag trace_request_metadata assessment logged_model logged_model_param logged_model_tag \
        logged_model_metric registered_model registered_model_tag model_version model_version_tag \
        registered_model_alias prompt; do
        grep -q "\"kind\":\"$kind\"" all || { echo "no $kind" >&2; false; }
    done
    # experiments with tags and datasets come before all else
    assert_equal "$(jq -r .kind all | sed 1d | uniq | sed -n '/^run$/,$p' | grep -cE '^(experiment|experiment_tag|dataset)$')" 0
    # a run's own records follow it
    jq -r 'if .kind == "run" then "run " + .run_id elif .kind == "param" or .kind == "metric" or .kind == "tag" then "of " + .run_id
        else empty end' all | awk '$1 == "run" { run = $2 } $1 == "of" && $2 != run { exit 1 }'
}

@test "fields have the values that MLflow reads" {
    dump "$ROOT/tests/data/mlruns"
    json out >all
    assert_equal "$(jq -r 'select(.kind == "run" and .run_id == "'$DEEP'") | [.status, .lifecycle_stage, .source_type, .run_name,
        .start_time, .experiment_id] | @csv' all)" '"FINISHED","active","LOCAL","deep",1718000060000,"'$EXP'"'
    assert_equal "$(jq -r 'select(.kind == "param" and .run_id == "'$DEEP'" and .key == "optimizer/name") | .value' all)" gbdt
    # the step is the third column, also where a dataset follows it
    assert_equal "$(jq -c 'select(.kind == "metric" and .key == "test_auc") | [.step, .timestamp, .value]' all)" \
        '[5,1718000070000,0.8044]'
    assert_equal "$(jq -c 'select(.kind == "logged_model_metric") | [.step, .run_id, .dataset_name, .dataset_digest]' all)" \
        '[5,"'$DEEP'","customers-2024","8b1a9953"]'
    assert_equal "$(jq -r 'select(.kind == "experiment" and .experiment_id == "'$OLD'") | .lifecycle_stage' all)" deleted
    assert_equal "$(jq -r 'select(.kind == "assessment" and .name == "facts") | .value' all)" '{"days": 2, "channel": "mail"}'
    assert_equal "$(jq -r 'select(.kind == "assessment" and .name == "polite") | [.value, .metadata, .valid] | @text' all)" \
        '["true","{\"round\": \"1\"}",true]'
    assert_equal "$(jq -r 'select(.kind == "registered_model_alias" and .name == "churn") | "\(.alias) \(.version)"' all)" "champion 1"
    assert_equal "$(jq -r 'select(.kind == "prompt") | .name' all)" support-answer
    assert_equal "$(jq -r 'select(.kind == "input") | "\(.dataset_name) \(.dataset_digest)"' all | sort -u)" "customers-2024 8b1a9953"
}

@test "the latest point has the greatest step, time and value; NaN counts as 0, and the first of equals stays" {
    copy_tree
    m=mlruns/$EXP/$DEEP/metrics
    printf '1 0.5 1\n2 nan 1\n2 -1 1\n' >$m/a
    printf '1 0.0 0\n1 nan 0\n1 -0.0 0\n' >$m/b
    printf '9 5 0\n1 inf 1\n1 1.7976931348623157e+308 1\n' >$m/c
    printf '5 1\n7 2\n6 3\n' >$m/d
    dump mlruns
    assert_status 0
    json out | jq -c 'select(.kind == "latest_metric" and (.key | length) == 1) | [.key, .step, .timestamp, .value]' >latest
    assert_equal "$(cat latest)" '["a",1,2,{"$float":"nan"}]
["b",0,1,0]
["c",1,1,{"$float":"inf"}]
["d",0,7,2]'
}

@test "metric lines have two to seven columns and numbers as Python reads them" {
    copy_tree
    printf '1 1e400\n+2 1_0.5 0_7\n-3 -Infinity -9223372036854775808\n4 .5 1 name digest\n5 5. 2 a name digest\r\n 6 NaN 3 a long name digest \n7 5e-324 1' \
        >mlruns/$EXP/$DEEP/metrics/odd
    dump mlruns
    assert_status 0
    assert_contains "$stderr" "metrics/odd:7: warning: "
    assert_equal "$(json out | jq -c 'select(.kind == "metric" and .key == "odd") | [.timestamp, .value, .step]')" \
        '[1,{"$float":"inf"},0]
[2,10.5,7]
[-3,{"$float":"-inf"},{"$int":"-9223372036854775808"}]
[4,0.5,1]
[5,5,2]
[6,{"$float":"nan"},3]
[7,5e-324,1]'
}

@test "a metric file longer than the read buffer is read completely, its points in order" {
    copy_tree
    awk 'BEGIN { for (i = 0; i < 30000; i++) printf "%d %.17g %d\n", 1700000000000 + i, i / 7, i }' >mlruns/$EXP/$DEEP/metrics/long
    dump --jobs 3 mlruns
    assert_status 0
    assert_equal "$(count metric '.key == "long"')" 30000
    json out | jq -r 'select(.kind == "metric" and .key == "long") | .step' | awk '$1 != NR - 1 { exit 1 }'
    assert_equal "$(json out | jq -r 'select(.kind == "latest_metric" and .key == "long") | .step')" 29999
}

@test "values are kept to the byte: line ends, empty ones, not UTF-8, keys with slashes and blanks" {
    copy_tree
    p=mlruns/$EXP/$DEEP/params
    mkdir -p "$p/a/b c"
    printf 'one\r\ntwo\r\n' >"$p/crlf"
    : >"$p/empty"
    printf 'caf\351' >"$p/latin"
    printf 'deep' >"$p/a/b c/d."
    printf 'x' >"$p/$(printf 'k\377')"
    dump mlruns
    assert_status 0
    json out | jq -c 'select(.kind == "param" and .run_id == "'$DEEP'") | [.key, .value]' >params
    grep -qxF '["crlf","one\r\ntwo\r\n"]' params
    grep -qxF '["empty",""]' params
    grep -qxF '["latin",{"$bytes":"Y2Fm6Q=="}]' params
    grep -qxF '["a/b c/d.","deep"]' params
    grep -qxF '[{"$bytes":"a/8="},"x"]' params
}

@test "unquoted YAML names keep their text" {
    for name in yes 0x1F 010 1:30 2024-01-02 1.50 Null-ish; do
        rm -rf mlruns
        copy_tree
        sed -i "s/^name: .*/name: $name/" mlruns/$EXP/meta.yaml
        dump mlruns
        assert_status 0
        assert_equal "$(json out | jq -r 'select(.kind == "experiment" and .experiment_id == "'$EXP'") | .name')" "$name"
    done
}

@test "a meta.yaml that begins with a byte order mark is read; one of UTF-16 is not" {
    copy_tree
    mlruns-dump -q mlruns >before
    find mlruns -name meta.yaml -exec sed -i '1s/^/\xef\xbb\xbf/' {} +
    dump mlruns
    assert_status 0
    [ "$(json out | grep -v '"kind":"\(header\|trailer\)"')" = "$(json before | grep -v '"kind":"\(header\|trailer\)"')" ]
    meta=mlruns/$EXP/meta.yaml
    iconv -f UTF-8 -t UTF-16 "$meta" >wide && mv wide "$meta"
    assert_malformed "$EXP/meta.yaml:1" "UTF-16, but MLflow reads UTF-8"
}

@test "trees of MLflow 1.x are read: numeric ids, run_uuid, two columns, no creation times, the run's name in its tag" {
    mkdir -p mlruns/.trash mlruns/1/0123456789abcdef0123456789abcdef/{metrics,params,tags,artifacts}
    printf 'artifact_location: /srv/mlruns/1\nexperiment_id: 1\nlifecycle_stage: active\nname: old\n' >mlruns/1/meta.yaml
    r=mlruns/1/0123456789abcdef0123456789abcdef
    printf 'artifact_uri: /srv/x\nend_time: null\nentry_point_name: ""\nexperiment_id: 1\nlifecycle_stage: active\nname: ""
run_uuid: 0123456789abcdef0123456789abcdef\nsource_name: ""\nsource_type: 4\nsource_version: ""\nstart_time: 1500000000000
status: 3\ntags: []\nuser_id: ada\n' >$r/meta.yaml
    printf '1500000000001 0.25\n' >$r/metrics/loss
    printf 'from the tag' >$r/tags/mlflow.runName
    mkdir -p mlruns/.trash/2
    printf 'artifact_location: /srv/mlruns/2\nexperiment_id: 2\nlifecycle_stage: active\nname: gone\n' >mlruns/.trash/2/meta.yaml
    dump mlruns
    assert_status 0
    json out >all
    assert_equal "$(jq -r 'select(.kind == "run") | [.experiment_id, .run_name, .status, .source_type] | @csv' all)" \
        '"1","from the tag","FINISHED","LOCAL"'
    assert_equal "$(jq -c 'select(.kind == "metric") | [.step, .value]' all)" '[0,0.25]'
    # the directory decides what is deleted: 1.x moves it, and changes nothing in it
    assert_equal "$(jq -r 'select(.kind == "experiment") | "\(.name) \(.lifecycle_stage) \(.creation_time)"' all)" \
        "old active null
gone deleted null"
}

@test "V2 traces are read: their id, their status, no duration and a duration of 0" {
    copy_tree
    for id in 0000000000000000000000000000000a 0000000000000000000000000000000b; do
        mkdir -p mlruns/$EXP/traces/$id/{request_metadata,tags}
        printf 'assessments: []\nexecution_time_ms: null\nexperiment_id: "%s"\nrequest_id: %s\nstatus: TRACE_STATUS_UNSPECIFIED
timestamp_ms: 5\n' $EXP $id >mlruns/$EXP/traces/$id/trace_info.yaml
    done
    sed -i 's/null/0/' mlruns/$EXP/traces/0000000000000000000000000000000b/trace_info.yaml
    dump mlruns
    assert_status 0
    assert_equal "$(json out | jq -c 'select(.kind == "trace" and .request_time == 5) | [.state, .execution_duration]')" \
        '["STATE_UNSPECIFIED",null]
["STATE_UNSPECIFIED",0]'
}

@test "assessments with every type of value are read" {
    copy_tree
    a=mlruns/$EXP/traces/$TRACE/assessments
    make() { # NAME YAML
        printf 'assessment_id: a-%s\nassessment_name: %s\ncreate_time: "1970-01-01T00:00:01Z"\nlast_update_time: "1970-01-01T00:00:02.5Z"
source:\n  source_type: ai_judge\ntrace_id: %s\n%b\n' "$1" "$1" $TRACE "$2" >$a/a-$1.yaml
    }
    make nothing 'feedback:\n  value: null'
    make number 'feedback:\n  value: 3.0'
    make list 'feedback:\n  value:\n  - 1.0e-05\n  - é\n  - {b: yes, a: 1e3}'
    make error 'feedback:\n  error:\n    error_code: E1\n    error_message: "a\\nb"\n  value: null'
    make expect 'expectation:\n  value: "two"'
    make serial 'expectation:\n  serialized_value:\n    serialization_format: JSON_FORMAT\n    value: "[1,2.50]"'
    make issue 'issue:\n  issue_name: slow'
    make off 'feedback:\n  value: false\nvalid: false\noverrides: a-nothing\nmetadata:\n  mlflow.assessment.sourceRunId: r1'
    dump mlruns
    assert_status 0
    json out | jq -c 'select(.kind == "assessment" and .create_time == 1000) | [.name, .assessment_type, .value, .error]' >got
    assert_equal "$(cat got)" '["error","feedback","null","{\"error_code\": \"E1\", \"error_message\": \"a\\nb\", \"stack_trace\": null}"]
["expect","expectation","\"two\"",null]
["issue","issue","{\"issue_name\": \"slow\"}",null]
["list","feedback","[1e-05, \"\\u00e9\", {\"b\": true, \"a\": \"1e3\"}]",null]
["nothing","feedback","null",null]
["number","feedback","3.0",null]
["off","feedback","false",null]
["serial","expectation","[1, 2.5]",null]'
    assert_equal "$(json out | jq -c 'select(.kind == "assessment" and .name == "off") | [.valid, .overrides, .run_id, .source_type,
        .source_id, .last_update_time]')" '[false,"a-nothing","r1","LLM_JUDGE","default",2500]'
}

@test "a model metric may have a dataset name with blanks" {
    copy_tree
    printf '1 nan 2 %s my own data d1\n' $DEEP >"$(echo mlruns/$EXP/models/*/metrics)/m"
    dump mlruns
    assert_status 0
    assert_equal "$(json out | jq -c 'select(.kind == "logged_model_metric" and .key == "m") | [.dataset_name, .dataset_digest]')" \
        '["my own data","d1"]'
}

@test "a tag may be called meta.yaml" {
    copy_tree
    cp mlruns/$EXP/$DEEP/meta.yaml mlruns/$EXP/tags/
    dump mlruns
    assert_status 0
    assert_equal "$(count experiment_tag '.key == "meta.yaml"')" 1
}

@test "a prompt is recognised by its tag, in upper or lower case" {
    copy_tree
    printf TRUE >mlruns/models/support-answer/tags/mlflow.prompt.is_prompt
    dump mlruns
    assert_equal "$(count prompt) $(count registered_model)" "1 1"
    printf 'true ' >mlruns/models/support-answer/tags/mlflow.prompt.is_prompt
    dump mlruns
    assert_equal "$(count prompt) $(count registered_model)" "0 2"
}

@test "absent fields get MLflow's defaults" {
    copy_tree
    sed -i '/^status:/d' mlruns/models/churn/version-1/meta.yaml mlruns/$EXP/models/*/meta.yaml mlruns/$EXP/$DEEP/meta.yaml
    sed -i '/^lifecycle_stage:/d' mlruns/$EXP/models/*/meta.yaml mlruns/$EXP/$DEEP/meta.yaml
    dump mlruns
    assert_status 0
    json out >all
    assert_equal "$(jq -r 'select(.kind == "model_version" and .name == "churn") | .status' all)" READY
    assert_equal "$(jq -r 'select(.kind == "logged_model") | "\(.status) \(.lifecycle_stage)"' all)" "READY active"
    assert_equal "$(jq -r 'select(.kind == "run" and .run_id == "'$DEEP'") | "\(.status) \(.lifecycle_stage)"' all)" "RUNNING active"
}

@test "directories that are not entities are skipped: .git, artifacts of other stores, reserved names" {
    copy_tree
    mkdir -p mlruns/.git/objects mlruns/$EXP/.ipynb_checkpoints mlruns/$EXP/ffffffffffffffffffffffffffffffff/artifacts \
        mlruns/$EXP/traces/tr-0/artifacts mlruns/$EXP/models/m-0/artifacts
    touch mlruns/.DS_Store mlruns/$EXP/.DS_Store
    # a meta.yaml among a run's artifacts is nobody's
    cp mlruns/$EXP/$DEEP/meta.yaml mlruns/$EXP/$DEEP/artifacts/
    mkdir mlruns/$EXP/$DEEP/artifacts/params
    dump "$ROOT/tests/data/mlruns"
    mv out before
    dump mlruns
    assert_status 0
    cmp out before
}

# -- links

@test "links are followed as MLflow follows them" {
    copy_tree
    dump mlruns
    mv out before
    mv mlruns/$EXP elsewhere && ln -s ../elsewhere mlruns/$EXP
    mv elsewhere/$DEEP a-run && ln -s ../a-run elsewhere/$DEEP
    mv a-run/params/max_depth value && ln -s ../../value a-run/params/max_depth
    mv a-run/tags the-tags && ln -s ../the-tags a-run/tags
    dump mlruns
    assert_status 0
    cmp out before
    # but not to directories below params, metrics, tags
    mkdir more && printf x >more/hidden && ln -s ../../more a-run/params/linked
    dump mlruns
    assert_status 0
    assert_contains "$stderr" "params/linked: warning: a link to a directory"
    cmp out before
}

@test "a loop of symbolic links is named as a problem" {
    copy_tree
    ln -s . mlruns/loop
    assert_malformed loop "one of its parent directories"
    rm mlruns/loop
    ln -s . mlruns/$EXP/loop
    assert_malformed $EXP/loop "one of its parent directories"
    rm mlruns/$EXP/loop
    ln -s self mlruns/$EXP/$DEEP/params/self
    assert_malformed $EXP/$DEEP/params/self "loop"
    ln -sf nowhere mlruns/$EXP/$DEEP/params/self
    assert_malformed $EXP/$DEEP/params/self "a dangling link"
}

@test "a pipe among the params does not block" {
    copy_tree
    mkfifo mlruns/$EXP/$DEEP/params/pipe
    assert_malformed $EXP/$DEEP/params/pipe "not a regular file"
    ln -s pipe mlruns/$EXP/$DEEP/params/link
    run_split timeout 300 mlruns-dump -q --check mlruns
    assert_status 1
    assert_malformed $EXP/$DEEP/params/link "not a regular file"
}

# -- damage: experiments

@test "experiment: a meta.yaml that is empty, missing, torn, a list or not UTF-8 is named, and its runs are left out with it" {
    copy_tree
    cp -r mlruns whole
    meta=mlruns/$EXP/meta.yaml
    : >$meta
    assert_malformed $EXP/meta.yaml "empty"
    assert_equal "$(count run)" 1
    assert_equal "$(count skipped)" 1
    rm $meta
    assert_malformed $EXP/meta.yaml "missing"
    printf 'name: a\n  b: [' >$meta
    assert_malformed $EXP/meta.yaml:2 "mapping values are not allowed"
    printf -- '- a\n' >$meta
    assert_malformed $EXP/meta.yaml:1 "expected a map, found a list"
    printf 'experiment_id: "1"\nname: caf\351\n' >$meta
    assert_malformed $EXP/meta.yaml:2 "UTF-8"
}

# field FILE SED LINE REASON: damages one line of the YAML file, which must be named
field() {
    rm -rf mlruns
    copy_tree
    sed -i "$2" "mlruns/$1"
    assert_malformed "$1:$3" "$4"
}

line_of() { # FILE KEY
    grep -n "^$2:" "$ROOT/tests/data/mlruns/$1" | cut -d: -f1
}

@test "experiment: fields that are null, of a wrong type or another experiment's are named" {
    f=$EXP/meta.yaml
    field $f 's/^name: .*/name: null/' "$(line_of $f name)" "name is null"
    field $f 's/^name: .*/name: [a]/' "$(line_of $f name)" "expected text, found a list"
    field $f 's/^lifecycle_stage: .*/lifecycle_stage: gone/' "$(line_of $f lifecycle_stage)" "must be active or deleted"
    field $f 's/^creation_time: .*/creation_time: 1.5/' "$(line_of $f creation_time)" "creation_time: expected an integer, found a float"
    field $f 's/^creation_time: .*/creation_time: 2024-01-02/' "$(line_of $f creation_time)" "found a date"
    field $f 's/^creation_time: .*/creation_time: 1:30/' "$(line_of $f creation_time)" "base 60"
    field $f 's/^creation_time: .*/creation_time: yes/' "$(line_of $f creation_time)" "found a boolean"
    field $f 's/^creation_time: .*/creation_time: 9223372036854775808/' "$(line_of $f creation_time)" "beyond 64 bits"
    field $f "s/^experiment_id: .*/experiment_id: '5'/" "$(line_of $f experiment_id)" "but the path says $EXP"
}

@test "unreadable datasets, and inputs that need them, are named" {
    copy_tree
    d=$(cd mlruns && echo $EXP/datasets/*)
    : >mlruns/$d/meta.yaml
    assert_malformed $d/meta.yaml empty
    assert_equal "$(count input) $(count skipped)" "0 3"
    assert_contains "$stderr" "has no readable dataset ${d##*/}"
    rm -r mlruns/$EXP/datasets
    dump mlruns
    assert_status 2
    assert_contains "$stderr" "has no readable dataset"
    # model inputs need no datasets directory
    assert_equal "$(dump --skip-malformed mlruns; count model_input)" 1
}

# -- damage: runs

@test "run: with an empty or missing meta.yaml the run is left out completely" {
    copy_tree
    : >mlruns/$EXP/$DEEP/meta.yaml
    assert_malformed $EXP/$DEEP/meta.yaml empty
    assert_equal "$(count run) $(count metric ".run_id == \"$DEEP\"")" "3 0"
    rm mlruns/$EXP/$DEEP/meta.yaml
    assert_malformed $EXP/$DEEP/meta.yaml missing
}

@test "points of an unreadable run are left out with it, and references to a missing model are kept" {
    copy_tree
    f=$EXP/$DEEP/meta.yaml
    cp mlruns/$f saved
    : >mlruns/$f
    m=$(cd mlruns && echo $EXP/models/*/metrics/test_auc)
    assert_malformed "$m:1" "no readable run $DEEP"
    assert_equal "$(count logged_model) $(count logged_model_metric)" "1 0"
    cp saved mlruns/$f
    # mlflow gc takes a model and leaves what refers to it
    rm -r mlruns/$EXP/models
    dump mlruns
    assert_status 0
    assert_contains "$stderr" "$(cd mlruns && grep -l 'source_type: MODEL' $EXP/*/inputs/*/meta.yaml):3: warning: source_id: there is no readable logged model"
    assert_contains "$stderr" "destination_id: there is no readable logged model"
    assert_equal "$(count model_input) $(count model_output) $(count input)" "1 1 2"
    # a model of another experiment is there
    rm -rf mlruns
    copy_tree
    mv mlruns/$EXP/models mlruns/0/
    sed -i "s/^experiment_id: .*/experiment_id: '0'/" mlruns/0/models/*/meta.yaml
    rm -r mlruns/0/models/*/metrics
    dump mlruns
    assert_status 0
}

# MLflow writes a model's metric into the experiment of the run that logs it; its database keeps such a point.
@test "a metric of a model of another experiment is read with the model" {
    copy_tree
    id=$(basename mlruns/$EXP/models/*)
    mkdir -p mlruns/0/models
    cp -r "mlruns/$EXP/models/$id" mlruns/0/models/
    rm -r "mlruns/$EXP/models/$id"/[!m]* "mlruns/$EXP/models/$id/meta.yaml"
    rm -r "mlruns/0/models/$id/metrics"
    sed -i "s/^experiment_id: .*/experiment_id: '0'/" mlruns/0/models/*/meta.yaml
    points=$(cat mlruns/$EXP/models/*/metrics/* | wc -l)
    dump mlruns
    assert_status 0
    assert_equal "$(count logged_model '.experiment_id == "0"') $(count logged_model_metric ".experiment_id == \"$EXP\"")" "1 $points"
    ml-load -q --release 3.17.2 sqlite:///x.db <out
    ml-verify -q sqlite:///x.db <out
    # a tag is a sign of a model whose meta.yaml has gone
    mkdir "mlruns/$EXP/models/$id/tags"
    assert_malformed "$EXP/models/$id/meta.yaml" missing
    rm -r "mlruns/$EXP/models/$id/tags" mlruns/0/models
    assert_malformed "$EXP/models/$id/meta.yaml" missing
}

@test "run: malformed fields are named" {
    f=$EXP/$DEEP/meta.yaml
    field $f 's/^status: .*/status: 99/' "$(line_of $f status)" "status: expected an integer from 1 to 5, found 99"
    field $f 's/^status: .*/status: null/' "$(line_of $f status)" "status: "
    field $f 's/^status: .*/status: FINISHED/' "$(line_of $f status)" "status: "
    field $f 's/^lifecycle_stage: .*/lifecycle_stage: paused/' "$(line_of $f lifecycle_stage)" "must be active or deleted"
    field $f "s/^run_id: .*/run_id: $SHALLOW/" "$(line_of $f run_id)" "but the path says $DEEP"
    field $f "s/^experiment_id: .*/experiment_id: '0'/" "$(line_of $f experiment_id)" "but the path says $EXP"
    field $f 's/^start_time: .*/start_time: 1.0/' "$(line_of $f start_time)" "found a float"
    field $f 's/^end_time: .*/end_time: 2024-01-02T03:04:05Z/' "$(line_of $f end_time)" "found a date"
    field $f 's/^source_type: .*/source_type: 9/' "$(line_of $f source_type)" "source_type"
}

@test "run: a meta.yaml in any other subdirectory is not a run" {
    copy_tree
    mkdir mlruns/$EXP/backup
    cp mlruns/$EXP/$DEEP/meta.yaml mlruns/$EXP/backup/
    assert_malformed "$EXP/backup/meta.yaml:$(line_of $EXP/$DEEP/meta.yaml run_id)" "the path says backup"
    assert_equal "$(count run)" 4
}

@test "metric lines: each line that MLflow could not read is named by its number, and the others are kept" {
    copy_tree
    m=$EXP/$DEEP/metrics/bad
    printf '1 1 1\n\n2\n3\t3\t3\n4  4 4\n5 x 5\n6.5 6 6\n7 7 7.5\n8 8 9223372036854775808\n9 0x10 9\n10 10 10\n' >mlruns/$m
    dump mlruns
    assert_status 2
    for line in 2 3 4 5 6 7 8 9 10; do
        assert_contains "$stderr" "mlruns/$m:$line: "
    done
    refute_contains "$stderr" "$m:1: "
    refute_contains "$stderr" "$m:11: "
    assert_contains "$stderr" "mlruns: 9 problems"
    assert_malformed $m:2 "blank metric line"
    assert_malformed $m:7 "timestamp of the metric is not an integer: 6.5"
    assert_malformed $m:9 "does not fit 64 bits"
    assert_equal "$(count metric '.key == "bad"') $(count skipped)" "2 9"
    assert_equal "$(json out | jq -r 'select(.kind == "latest_metric" and .key == "bad") | .step')" 10
}

@test "metric lines: a truncated last line is named" {
    copy_tree
    m=$EXP/$DEEP/metrics/cut
    printf '1 1 1\n2 0.' >mlruns/$m
    assert_malformed $m:2 "is truncated"
    printf '1' >mlruns/$m
    assert_malformed $m:1 "is truncated"
    printf '1 1\n2 2' >mlruns/$m # as old as its columns: whole
    dump mlruns
    assert_status 0
    head -c 70000 /dev/zero | tr '\0' 7 >mlruns/$m
    assert_malformed $m:1 "longer than 64 KiB"
}

@test "an empty metric file, with which MLflow reads no metric of its run or model, is named" {
    for m in $EXP/$DEEP/metrics/void "$(cd "$ROOT/tests/data/mlruns" && echo $EXP/models/m-*/metrics)/void"; do
        rm -rf mlruns
        copy_tree
        dump mlruns
        whole=$(json out | grep -v '"kind":"\(header\|trailer\)"')
        : >"mlruns/$m"
        assert_malformed "$m" "metric file is empty"
        assert_equal "$(json out | grep -v '"kind":"\(header\|trailer\|skipped\)"')" "$whole"
        assert_equal "$(count skipped)" 1
    done
}

@test "malformed inputs and outputs are named" {
    i=$(cd "$ROOT/tests/data/mlruns" && grep -l 'source_type: DATASET' $EXP/$DEEP/inputs/*/meta.yaml)
    field "$i" 's/^source_type: .*/source_type: TABLE/' "$(line_of "$i" source_type)" "source_type must be DATASET or MODEL"
    field "$i" 's/^source_id: .*/source_id: ..\/x/' "$(line_of "$i" source_id)" "has no readable dataset ../x"
    rm -rf mlruns
    copy_tree
    sed -i '/^tags:/,$d' "mlruns/$i"
    echo 'tags: null' >>"mlruns/$i"
    assert_malformed "$i:$(grep -n ^tags: "mlruns/$i" | cut -d: -f1)" "tags: expected a map, found null"
    o=$(cd "$ROOT/tests/data/mlruns" && echo $EXP/$DEEP/outputs/*/meta.yaml)
    field "$o" 's/^step: .*/step: x/' "$(line_of "$o" step)" "step: expected an integer"
    rm "mlruns/$o"
    assert_malformed "$o" missing
}

# -- damage: traces, models, registry

@test "malformed traces are named" {
    f=$EXP/traces/$TRACE/trace_info.yaml
    field $f 's/^state: .*/state: DONE/' "$(line_of $f state)" "unknown state: DONE"
    field $f 's/^request_time: .*/request_time: yesterday/' "$(line_of $f request_time)" "request_time: expected a time"
    field $f 's/^request_time: .*/request_time: 1700000000000/' "$(line_of $f request_time)" "request_time: expected a time"
    field $f 's/^trace_id: .*/trace_id: tr-1/' "$(line_of $f trace_id)" "but the path says"
    field $f 's/^execution_duration_ms: .*/execution_duration_ms: 1.5/' "$(line_of $f execution_duration_ms)" "found a float"
    rm "mlruns/$f"
    assert_malformed $f missing
    assert_equal "$(count trace) $(count assessment) $(count trace_tag)" "0 0 0"
    # an unquoted time is the same time
    rm -rf mlruns
    copy_tree
    sed -i "s/^request_time: '\(.*\)'/request_time: \1/" mlruns/$f
    dump mlruns
    assert_status 0
    json out | jq .request_time >times
    dump "$ROOT/tests/data/mlruns"
    json out | jq .request_time | cmp - times
}

@test "malformed assessments are named" {
    f=$(cd "$ROOT/tests/data/mlruns" && grep -l '^assessment_name: polite' $EXP/traces/*/assessments/*)
    field "$f" 's/^  value: .*/  value: 2024-01-02/' $(($(line_of "$f" feedback) + 1)) "a date cannot be written as JSON"
    field "$f" 's/^create_time: .*/create_time: 5/' "$(line_of "$f" create_time)" "create_time"
    field "$f" 's/^  source_type: .*/  source_type: GUESS/' $(($(line_of "$f" source) + 2)) "unknown source_type: GUESS"
    field "$f" 's/^feedback:/feedbak:/' 1 "feedback, expectation and issue are all missing"
    field "$f" 's/^valid: .*/valid: 1/' "$(line_of "$f" valid)" "valid: expected a boolean"
    e=$(cd "$ROOT/tests/data/mlruns" && grep -l '^assessment_name: facts' $EXP/traces/*/assessments/*)
    field "$e" "s/^    value: .*/    value: '{'/" $(($(line_of "$e" expectation) + 3)) "not JSON"
    field "$e" "s/^    value: .*/    value: 'null'/" $(($(line_of "$e" expectation) + 3)) "the value is null"
    assert_equal "$(count assessment) $(count trace)" "1 1"
}

@test "malformed logged models are named" {
    f=$(cd "$ROOT/tests/data/mlruns" && echo $EXP/models/*/meta.yaml)
    field "$f" 's/^status: .*/status: 7/' "$(line_of "$f" status)" "status: expected an integer from 0 to 3"
    field "$f" 's/^name: .*/name: null/' "$(line_of "$f" name)" "name is null"
    m=$(dirname "$f")/metrics/test_auc
    rm -rf mlruns
    copy_tree
    printf '1 1 1\n' >>"mlruns/$m"
    assert_malformed "$m:2" "has 3 columns instead of 4 or 6"
    assert_equal "$(count logged_model_metric)" 1
    rm "mlruns/$f"
    assert_malformed "$f" missing
}

@test "malformed entities of the model registry are named" {
    copy_tree
    v=models/churn/version-1/meta.yaml
    sed -i 's/^version: .*/version: 2/' mlruns/$v
    assert_malformed $v:"$(line_of $v version)" "but the path says 1"
    # an alias of a version that is left out goes with it
    assert_contains "$stderr" "aliases/champion:1: "
    assert_equal "$(count model_version) $(count registered_model_alias '.name == "churn"')" "2 0"
    rm mlruns/$v
    assert_malformed $v missing
    rm -rf mlruns
    copy_tree
    sed -i '/^version:/d' mlruns/$v
    assert_malformed $v "version is missing"
    rm -rf mlruns
    copy_tree
    printf latest >mlruns/models/churn/aliases/champion
    assert_malformed models/churn/aliases/champion:1 "not a version number: latest"
    printf 9 >mlruns/models/churn/aliases/champion
    assert_malformed models/churn/aliases/champion:1 "version 9, which is missing"
    mkdir mlruns/models/churn/version-x
    assert_malformed models/churn/version-x "no version number"
    rm mlruns/models/churn/meta.yaml
    assert_malformed models/churn/meta.yaml missing
    assert_equal "$(count registered_model) $(count model_version)" "0 2"
    rm -rf mlruns
    copy_tree
    mkdir mlruns/models/other
    cp mlruns/models/churn/meta.yaml mlruns/models/other/
    assert_malformed models/other/meta.yaml:"$(line_of models/churn/meta.yaml name)" "name is churn, but the path says other"
}

@test "every problem of a tree is named in one run, in the same order by any number of threads" {
    copy_tree
    : >mlruns/$EXP/$DEEP/meta.yaml
    printf 'x\n' >mlruns/$EXP/$SHALLOW/metrics/loss
    rm mlruns/models/churn/meta.yaml
    mkdir -p mlruns/notes/tags
    touch mlruns/notes/tags/a
    dump --jobs 1 mlruns
    assert_contains "$stderr" "mlruns: 5 problems"
    one=$stderr
    for jobs in 2 5; do
        dump --jobs $jobs mlruns
        assert_equal "$stderr" "$one"
    done
}

@test "unreadable files are named" {
    public_work
    copy_tree
    chmod -R go+rX mlruns
    chmod 0 mlruns/$EXP/$DEEP/params/max_depth
    assert_malformed $EXP/$DEEP/params/max_depth "Permission denied"
    chmod 0 mlruns/$EXP/$DEEP
    assert_malformed $EXP/$DEEP "Permission denied"
    chmod 700 mlruns/$EXP/$DEEP
    leave_public_work
}

# -- options

@test "DIR may be the store, its parent, a file: URL or absent, and anything else is refused" {
    copy_tree
    dump mlruns
    mv out before
    for dir in . mlruns/ "$PWD" "file://$PWD/mlruns" "file:$PWD" "file://localhost$PWD/mlruns"; do
        dump "$dir"
        assert_status 0
        cmp out before
    done
    dump
    assert_status 0
    cmp out before
    mv mlruns 'ml runs'
    dump "file://$PWD/ml%20runs"
    assert_status 0
    cmp out before
    # a project that has other meta.yaml files
    mkdir project && mv 'ml runs' project/mlruns && mkdir project/recipe && touch project/recipe/meta.yaml
    dump project
    cmp out before
    for bad in nowhere sqlite:///x.db http://host/ "$ROOT/man" "$ROOT/Makefile" file: file://%zz; do
        dump "$bad"
        assert_status 2
        [ -n "$stderr" ]
        [ ! -s out ]
    done
    dump a b
    assert_status 2
    # an empty one is one
    mkdir -p new/mlruns
    dump new
    assert_status 0
    assert_equal "$(json out | wc -l)" 2
}

@test "two dumps are the same bytes, wherever the tree is and with any number of threads" {
    copy_tree
    dump --jobs 1 mlruns
    mv out before
    mkdir elsewhere && cp -r mlruns elsewhere/store
    for jobs in 1 2 3 8 100; do
        dump --jobs $jobs elsewhere/store
        cmp out before
    done
}

@test "--list prints ids, one per line, including deleted ones" {
    dump --list "$ROOT/tests/data/mlruns"
    assert_status 0
    assert_equal "$(cat out)" "0
$EXP
$OLD"
}

@test "--list --verbose prints a tab and the name, if meta.yaml has one" {
    copy_tree
    sed -i 's/^name: .*/name: "a\\nb\\tc"/' mlruns/$EXP/meta.yaml
    sed -i 's/^name: .*/name: 2024/' mlruns/.trash/$OLD/meta.yaml
    mkdir mlruns/7 mlruns/8
    printf '[' >mlruns/7/meta.yaml
    echo 'experiment_id: "8"' >mlruns/8/meta.yaml
    # of a pair with one id the active one, as without names
    cp -r mlruns/$EXP mlruns/.trash/
    run_split mlruns-dump --list -v mlruns
    assert_status 0
    assert_equal "$output" "0"$'\t'"Default
$EXP"$'\t'"a\\x0ab\\x09c
7"$'\t'"
8"$'\t'"
$OLD"$'\t'"2024"
    assert_equal "$(mlruns-dump -q --list mlruns)" "$(cut -f1 <<<"$output")"
}

@test "--experiment and --registry: the parts together are the whole" {
    tree=$ROOT/tests/data/mlruns
    dump "$tree"
    json out | sed '1d;$d' | sort >whole
    for id in $(mlruns-dump -q --list "$tree"); do
        dump --experiment "$id" "$tree"
        assert_status 0
        json out | sed '1d;$d'
    done >parts
    dump --registry "$tree"
    assert_status 0
    assert_equal "$(count experiment)" 0
    json out | sed '1d;$d' >>parts
    sort parts | cmp - whole
    dump --experiment 0 --experiment $OLD --registry "$tree"
    assert_equal "$(count experiment) $(count registered_model) $(count run)" "2 1 1"
    # streams of other parts are other sources, so that all of them can be loaded together
    some=$(source_id)
    dump "$tree"
    [ "$some" != "$(source_id)" ]
    dump --registry --experiment $OLD --experiment 0 --experiment 0 "$tree"
    assert_equal "$(source_id)" "$some"
    dump --experiment 77 "$tree"
    assert_status 2
    assert_contains "$stderr" "no experiment 77"
}

@test "--shard: the parts together are the whole, and experiments are in each" {
    tree=$ROOT/tests/data/mlruns
    dump "$tree"
    json out | sed '1d;$d' | sort >whole
    whole=$(source_id)
    for i in 0 1 2; do
        dump --shard $i/3 "$tree"
        assert_status 0
        assert_equal "$(count experiment)" 3
        assert_equal "$(json out | jq -r 'select(.kind == "header") | "\(.shard)/\(.shards)"')" $i/3
        assert_equal "$(source_id)" "$whole"
        json out | sed '1d;$d'
    done >parts
    sort -u parts | cmp - whole
    # all but experiments are in one of them
    grep -v '"kind":"\(experiment\|experiment_tag\|dataset\)"' parts >rest
    assert_equal "$(wc -l <rest)" "$(sort -u rest | wc -l)"
    for bad in 3/3 -1/3 x 1 1/0 / 1/2/3; do
        dump "--shard=$bad" "$tree"
        assert_status 2
        assert_contains "$stderr" "--shard"
    done
}

@test "--skip-malformed counts in the trailer what was left out" {
    copy_tree
    rm mlruns/models/churn/meta.yaml
    dump --skip-malformed mlruns
    assert_status 1
    assert_equal "$(json out | jq -r 'select(.kind == "trailer") | .skipped')" 1
    assert_equal "$(json out | jq -r 'select(.kind == "skipped") | .path')" models/churn/meta.yaml
}

@test "--check accepts a sound tree, and a terminal gets no stream" {
    dump --check "$ROOT/tests/data/mlruns"
    assert_status 0
    [ ! -s out ]
    if command -v script >/dev/null; then
        script -qec "mlruns-dump -q $ROOT/tests/data/mlruns" /dev/null >tty </dev/null && false
        assert_contains "$(cat tty)" "not written to a terminal"
    fi
}

@test "a full disk is an error; a reader that goes away ends the dump quietly" {
    copy_tree
    awk 'BEGIN { for (i = 0; i < 200000; i++) print i, i, i }' >mlruns/$EXP/$DEEP/metrics/long
    status=0
    mlruns-dump -q mlruns >/dev/full 2>err || status=$?
    assert_status 2
    assert_contains "$(cat err)" "No space left"
    set +o pipefail
    { mlruns-dump -q mlruns || echo "status $?" >&2; } 2>err | head -c 1000 >/dev/null
    assert_equal "$(cat err)" "status 141"
}

@test "a meta.yaml that is being written is waited for" {
    copy_tree
    cp mlruns/$EXP/meta.yaml saved
    : >mlruns/$EXP/meta.yaml
    touch -d '1 hour' mlruns/$EXP/meta.yaml # still fresh, however long this takes
    written_while_waiting saved mlruns/$EXP/meta.yaml mlruns
    assert_status 0
    assert_equal "$(count experiment)" 3
}

@test "reads that fail once on network file systems are retried" {
    copy_tree
    cat >flaky.c <<'END'
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
/* Every third call fails with what NFS gives for a moment. */
static int fails(int error)
{
    static int n;

    if (++n % 3)
        return 0;
    errno = error;
    return 1;
}
long syscall(long number, ...)
{
    long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"), a[6];
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    return number == SYS_getdents64 && fails(EIO) ? -1 : next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
ssize_t pread64(int fd, void *p, size_t len, off64_t at)
{
    ssize_t (*next)(int, void *, size_t, off64_t) = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");

    return fails(ESTALE) ? -1 : next(fd, p, len, at);
}
ssize_t pread(int fd, void *p, size_t len, off_t at)
{
    return pread64(fd, p, len, at);
}
END
    "${CC:-cc}" -shared -fPIC -o flaky.so flaky.c -ldl 2>err || skip "no compiler: $(cat err)"
    dump --jobs 1 mlruns
    mv out before
    status=0
    LD_PRELOAD=./flaky.so ASAN_OPTIONS=verify_asan_link_order=0 mlruns-dump -q --jobs 1 mlruns >out 2>err || status=$?
    assert_equal "$(cat err)" ""
    assert_status 0
    cmp out before
}

@test "an experiment that is restored or deleted between two listings is read once, or reported as gone" {
    copy_tree
    cat >moving.c <<'END'
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
/* Moves FROM to TO just before .trash is listed. */
long syscall(long number, ...)
{
    static int moved;
    long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"), a[6];
    char link[64], path[4096] = "";
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    snprintf(link, sizeof link, "/proc/self/fd/%ld", a[0]);
    if (number == SYS_getdents64 && !moved && readlink(link, path, sizeof path - 1) > 0 && strstr(path, "/.trash") && !strstr(path, "/.trash/")) {
        moved = 1;
        if (rename(getenv("FROM"), getenv("TO")) != 0)
            abort();
    }
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
END
    "${CC:-cc}" -shared -fPIC -o moving.so moving.c -ldl 2>err || skip "no compiler: $(cat err)"
    active=mlruns/$EXP deleted=mlruns/.trash/$EXP
    dump mlruns
    mv out before
    mv $active $deleted
    AS="env LD_PRELOAD=./moving.so ASAN_OPTIONS=verify_asan_link_order=0 FROM=$deleted TO=$active"
    dump --jobs 1 mlruns
    assert_equal "$stderr" ""
    assert_status 0
    cmp out before
    AS="env LD_PRELOAD=./moving.so ASAN_OPTIONS=verify_asan_link_order=0 FROM=$active TO=$deleted"
    dump --jobs 1 mlruns
    assert_contains "$stderr" "$active: No such file or directory"
    assert_status 2
}

@test "memory stays small with one huge metric file and with many threads" {
    [ -x /usr/bin/time ] || skip "no /usr/bin/time"
    [ -z "${SANITIZE:-}" ] || skip "sanitizers need memory of their own"
    copy_tree
    awk 'BEGIN { for (i = 0; i < 2000000; i++) printf "%d %.17g %d\n", 1700000000000 + i, i / 8, i }' >mlruns/$EXP/$DEEP/metrics/huge
    cp mlruns/$EXP/$DEEP/metrics/huge mlruns/$EXP/$SHALLOW/metrics/huge
    for jobs in 1 16; do
        /usr/bin/time -f %M -o kib mlruns-dump -q --jobs $jobs mlruns >/dev/null
        [ "$(cat kib)" -lt 65536 ] || { echo "$(cat kib) KiB" >&2; false; }
    done
}

@test "a run without an id is reported with the current name of the field" {
    copy_tree
    meta=$(ls -d mlruns/537708342419121040/1b720d*/meta.yaml)
    sed -i '/^run_id:/d; /^run_uuid:/d' "$meta"
    run_split mlruns-dump mlruns
    assert_status 2
    assert_contains "$stderr" "meta.yaml"
    assert_contains "$stderr" "run_id is missing"
    refute_contains "$stderr" run_uuid
}
