#!/usr/bin/env bats
# mlruns-dump: experiments that share an id or a name.

load helpers
load dump_helpers

setup() {
    work
}

# experiment DIR ID NAME [CREATION_TIME]
experiment() {
    mkdir -p "$1"
    printf "artifact_location: file:///home/ada/mlruns/%s\nexperiment_id: '%s'\nlifecycle_stage: active\nname: %s\n" "$2" "$2" "$3" >"$1/meta.yaml"
    [ -z "${4-}" ] || echo "creation_time: $4" >>"$1/meta.yaml"
}

# run_in DIR EXPERIMENT_ID RUN_ID
run_in() {
    mkdir -p "$1/$3/tags"
    printf "artifact_uri: file:///home/ada/mlruns/%s/%s/artifacts\nexperiment_id: '%s'\nrun_id: %s\nstatus: 3\nstart_time: 1\nuser_id: ada\n" \
        "$2" "$3" "$2" "$3" >"$1/$3/meta.yaml"
    printf %s "$3" >"$1/$3/tags/mlflow.runName"
}

# The tree of a stranger, whose experiments 1 and 2 were deleted, and 1 and 2 made again.
make_twins() {
    experiment mlruns/1 1 alive
    run_in mlruns/1 1 11111111111111111111111111111111
    experiment mlruns/.trash/1 1 dead 1600000000000
    run_in mlruns/.trash/1 1 22222222222222222222222222222222
    mkdir mlruns/.trash/1/tags
    printf x >mlruns/.trash/1/tags/of
    experiment mlruns/2 2 second
    experiment mlruns/.trash/2 2 "second of old"
    experiment mlruns/.trash/3 3 third
}

@test "an id that is both active and in .trash is a problem that names both paths" {
    make_twins
    dump mlruns
    assert_status 2
    assert_contains "$stderr" "mlruns/.trash/1: its id is also that of the active experiment in mlruns/1"
    assert_contains "$stderr" "mlruns/.trash/2: its id is also that of the active experiment in mlruns/2"
    refute_contains "$stderr" "mlruns/.trash/3"
    assert_contains "$stderr" "hint: --renumber-trash"
    run_split ml-load -q sqlite:///cut.db <out
    assert_status 2
    [ ! -e cut.db ]
    dump --check mlruns
    assert_status 1
    assert_contains "$stderr" "mlruns/.trash/1: its id is also that of the active experiment in mlruns/1"
    assert_contains "$stderr" "hint: --renumber-trash"
    # only what is asked for is looked at
    dump --experiment 3 mlruns
    assert_status 0
    dump --skip-malformed mlruns
    assert_status 1
    assert_equal "$(json out | jq -c 'select(.kind == "skipped") | [.path, .reason]')" \
        '[".trash/1","its id is also that of the active experiment in 1"]
[".trash/2","its id is also that of the active experiment in 2"]'
    assert_equal "$(json out | jq -r 'select(.kind == "run") | .run_id')" 11111111111111111111111111111111
}

@test "a directory without meta.yaml does not count as an experiment with an id" {
    make_twins
    rm -r mlruns/.trash/2
    rm mlruns/1/meta.yaml
    rm -r mlruns/1/1*
    mkdir -p mlruns/.trash/2/artifacts
    dump --skip-malformed mlruns
    refute_contains "$stderr" "its id is also that of"
    assert_equal "$(json out | jq -r 'select(.kind == "experiment") | .name' | xargs)" "dead second third"
}

@test "--renumber-trash gives a new id in every record, the same in every dump, shard and number of threads" {
    make_twins
    run_split mlruns-dump --renumber-trash --jobs 1 mlruns
    assert_status 0
    assert_contains "$stderr" "mlruns/.trash/1: the experiment gets the id 1"
    dump --renumber-trash --jobs 1 mlruns
    assert_status 0
    assert_equal "$stderr" ""
    mv out one
    json one >all
    id=$(jq -r 'select(.kind == "experiment" and .name == "dead") | .experiment_id' all)
    assert_equal "$id" 1898324313842384840 # in every release of this program: dumps of years are compared
    assert_equal "$(jq -r 'select(.run_id == "22222222222222222222222222222222" and .kind == "run") | .experiment_id' all)" "$id"
    assert_equal "$(jq -r 'select(.run_id == "11111111111111111111111111111111" and .kind == "run") | .experiment_id' all)" 1
    assert_equal "$(jq -r 'select(.kind == "experiment_tag") | .experiment_id' all)" "$id"
    # only those whose id is taken
    assert_equal "$(jq -r 'select(.kind == "experiment" and (.experiment_id | length) < 19) | .experiment_id' all | xargs)" "1 2 3"
    dump --renumber-trash --jobs 8 mlruns
    cmp one out
    # it depends on the deleted experiment's id and creation time alone
    sed -i 's/name: dead/name: buried/; s/lifecycle_stage: active/lifecycle_stage: deleted/' mlruns/.trash/1/meta.yaml
    dump --renumber-trash --experiment "$id" mlruns
    assert_status 0
    assert_equal "$(json out | jq -c 'select(.kind == "experiment") | [.experiment_id, .name]')" "[\"$id\",\"buried\"]"
    sed -i 's/name: buried/name: dead/; s/^creation_time: .*/creation_time: 1600000000001/' mlruns/.trash/1/meta.yaml
    dump --renumber-trash mlruns
    other=$(json out | jq -r 'select(.kind == "experiment" and .name == "dead") | .experiment_id')
    [ "$other" != "$id" ]
    assert_equal "$(mlruns-dump -q --renumber-trash --list mlruns | wc -l)" 5
    sed -i '/^creation_time/d' mlruns/.trash/1/meta.yaml # MLflow before 1.29
    assert_equal "$(mlruns-dump -q --renumber-trash --list mlruns | grep ^17)" 1755710574163658255
    # shards and single experiments put together are the whole
    dump --renumber-trash mlruns
    for i in 0 1 2; do mlruns-dump -q --renumber-trash --shard $i/3 mlruns; done >shards
    cmp <(ml-transform -q --merge <out | json /dev/stdin | sed 1d) <(ml-transform -q --merge <shards | json /dev/stdin | sed 1d)
    for x in $(mlruns-dump -q --renumber-trash --list mlruns); do mlruns-dump -q --renumber-trash --experiment "$x" mlruns; done >single
    ml-load -q sqlite:///single.db <single
    ml-verify -q sqlite:///single.db <out
    # not together with shards of a dump that leaves the deleted ones out
    mlruns-dump -q --renumber-trash --shard 0/2 mlruns >mixed
    mlruns-dump -q --skip-malformed --shard 1/2 mlruns >>mixed 2>err || [ $? -eq 1 ]
    run_split ml-load -q sqlite:///mixed.db <mixed
    assert_status 2
    [ ! -e mixed.db ]
}

@test "--renumber-trash: datasets, inputs, traces, models and their references follow, and prompts refer to the active one" {
    copy_tree
    cp -r mlruns/$EXP mlruns/.trash/$EXP
    rm -r mlruns/.trash/$EXP/.trash 2>err || true
    sed -i 's/^name: .*/name: buried/' mlruns/.trash/$EXP/meta.yaml
    rm -r mlruns/$EXP
    dump mlruns
    assert_status 0
    json out >before
    experiment mlruns/$EXP $EXP alive
    printf ',%s,' $EXP >mlruns/models/support-answer/tags/_mlflow_experiment_ids
    dump --renumber-trash mlruns
    assert_status 0
    json out >after
    id=$(jq -r 'select(.kind == "experiment" and .name == "buried") | .experiment_id' after)
    assert_equal "$(jq -r 'select(.key == "_mlflow_experiment_ids") | .value' after)" ",$EXP,"
    drop='select(.kind != "header" and .kind != "trailer" and .key != "_mlflow_experiment_ids" and .name != "alive") | tojson'
    diff <(jq -r "$drop" before | sed "s/\"experiment_id\":\"$EXP\"/\"experiment_id\":\"$id\"/") <(jq -r "$drop" after)
    assert_equal "$(jq -r 'select(.experiment_id == "'"$id"'") | .kind' after | sort -u | xargs)" \
        "dataset experiment experiment_tag input input_tag logged_model logged_model_metric logged_model_param logged_model_tag run span trace"
    # and it is loaded and verified
    ml-load -q sqlite:///whole.db <out
    mlruns-dump -q --renumber-trash mlruns | ml-verify -q sqlite:///whole.db
}

@test "--renumber-trash: an experiment with an unreadable meta.yaml gets no id, and is a problem" {
    make_twins
    printf 'experiment_id: [' >mlruns/.trash/1/meta.yaml
    dump --renumber-trash mlruns
    assert_status 2
    assert_contains "$stderr" "mlruns/.trash/1/meta.yaml:2: "
    refute_contains "$stderr" "its id is also that of"
    dump --renumber-trash --skip-malformed mlruns
    assert_status 1
    assert_equal "$(json out | jq -r 'select(.kind == "experiment") | .name' | sort | xargs)" "alive second second of old third"
    assert_equal "$(json out | jq -r 'select(.kind == "run") | .run_id')" 11111111111111111111111111111111
    rm mlruns/.trash/1/meta.yaml
    ln -s nowhere mlruns/.trash/1/meta.yaml
    dump --renumber-trash mlruns
    assert_status 2
    assert_contains "$stderr" "mlruns/.trash/1/meta.yaml: "
}

@test "--renumber-trash changes nothing without such a pair, and refuses an id that is taken" {
    copy_tree
    dump mlruns
    mv out before
    dump --renumber-trash mlruns
    cmp before out
    rm -r mlruns
    make_twins
    dump --renumber-trash mlruns
    id=$(json out | jq -r 'select(.kind == "experiment" and .name == "dead") | .experiment_id')
    experiment "mlruns/$id" "$id" taken
    dump --renumber-trash mlruns
    assert_status 2
    assert_contains "$stderr" ".trash/1: its new id $id is also that of another experiment"
    assert_equal "$(wc -c <out)" 0
}

@test "--check names experiments of one name, and the command that resolves them all" {
    experiment mlruns/1 1 churn
    experiment mlruns/.trash/2 2 churn
    experiment mlruns/3 3 churn
    experiment mlruns/4 4 other
    dump --check mlruns
    assert_status 1
    assert_contains "$stderr" "mlruns/.trash/2: its name 'churn' is also that of the experiment in mlruns/1"
    assert_contains "$stderr" "mlruns/3: its name 'churn' is also that of the experiment in mlruns/1"
    assert_contains "$stderr" "2 problems"
    assert_equal "$(grep -c "ml-transform --merge --on-conflict rename" err)" 1
    # the stream can hold them, ml-load says the same, and the cure works
    dump mlruns
    assert_status 0
    run_split ml-load -q sqlite:///clash.db <out
    assert_status 2
    assert_contains "$stderr" "ml-transform --merge --on-conflict rename"
    ml-transform -q --merge --on-conflict rename <out | ml-load -q sqlite:///cured.db
    assert_equal "$(sqlite3 cured.db 'SELECT experiment_id, name FROM experiments WHERE experiment_id > 0 ORDER BY 1' | xargs)" \
        "1|churn 2|churn (2) 3|churn (3) 4|other"
    # in two workspaces a name is another's
    echo "workspace: lab" >>mlruns/3/meta.yaml
    rm -r mlruns/.trash
    dump --check mlruns
    assert_status 0
    # and only what is asked for is compared
    sed -i '/workspace/d' mlruns/3/meta.yaml
    dump --check --experiment 1 mlruns
    assert_status 0
}
