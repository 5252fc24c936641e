#!/usr/bin/env bats
# mlruns-dump: which directory is the store, which of its directories are experiments, and directories and files that cannot be looked at.

load helpers
load dump_helpers

setup() {
    work
}

teardown() {
    [ ! -d "${PUBLIC_WORK-}" ] || { chmod -R u+rwx "$PUBLIC_WORK" && rm -rf "$PUBLIC_WORK"; }
}

GONE=0123456789abcdef0123456789abcdef # a run that is not in the small tree

# What a dump has, without header and trailer, whose source and counts differ.
records() {
    json "${1:-out}" | grep -v '"kind":"\(header\|trailer\)"'
}

# assert_store DIR DIR: a dump of DIR reads the store in DIR, whole
assert_store() {
    dump "$2" && mv out wanted
    dump "$1"
    assert_status 0
    cmp out wanted
}

# -- which directory is the store

@test "a store with a nested mlruns is read, and the nested one is named with the command that reads it" {
    # as git clones it: no empty directory, so no .trash
    copy_tree
    cp -r mlruns inner
    rm -r mlruns/.trash mlruns/models
    sed -i "s/^name: .*/name: inner/" inner/$EXP/meta.yaml
    cp -r mlruns before && dump before && mv out wanted
    mv inner mlruns/mlruns
    for dir in mlruns "file://$PWD/mlruns" mlruns/; do
        dump "$dir"
        assert_status 0
        cmp out wanted
        assert_contains "$stderr" "mlruns/mlruns: warning: "
        inner=${dir#file://}
        assert_contains "$stderr" "mlruns-dump ${inner%/}/mlruns"
    done
    assert_equal "$(grep -c warning err)" 1
    dump --check mlruns
    assert_status 0
    assert_contains "$stderr" "mlruns-dump mlruns/mlruns"
    dump --list mlruns
    assert_status 0
    assert_contains "$stderr" "mlruns-dump mlruns/mlruns"
    assert_equal "$(cat out)" "0
$EXP"
    dump --experiment mlruns mlruns
    assert_status 2
    dump --shard 0/2 mlruns
    assert_status 0
    assert_contains "$stderr" "mlruns-dump mlruns/mlruns"
    # the command reads it
    dump mlruns/mlruns
    assert_status 0
    assert_equal "$(json out | jq -r 'select(.kind == "experiment" and .experiment_id == "'$EXP'") | .name')" inner
    # a path that a shell would take apart is quoted
    mv mlruns "it's mine"
    dump "it's mine"
    assert_status 0
    command=$(sed -n "s/.*\(mlruns-dump 'it.*\)/\1/p" err)
    eval "$command" >out 2>err
    assert_equal "$(count experiment) $(count run)" "3 4"
}

@test "any sign of a store makes DIR the store, even if it contains an mlruns" {
    both() { # both FILE...: copies of these alone make a store of ./dir
        rm -rf dir
        mkdir dir
        copy_tree && mv mlruns dir/
        for f in "$@"; do
            mkdir -p "dir/$(dirname "$f")"
            cp "$ROOT/tests/data/mlruns/$f" "dir/$f"
        done
        dump dir
        assert_contains "$stderr" "mlruns-dump dir/mlruns"
    }
    both $EXP/meta.yaml
    assert_status 0
    assert_equal "$(count experiment) $(count run)" "1 0"
    # an experiment whose id is no number
    mv dir/$EXP dir/abc
    sed -i "s/^experiment_id: .*/experiment_id: abc/" dir/abc/meta.yaml
    dump dir
    assert_status 0
    assert_equal "$(count experiment)" 1
    both models/churn/meta.yaml
    assert_status 0
    assert_equal "$(count experiment) $(count registered_model)" "0 1"
    # what is damaged is a sign all the same
    both $EXP/$DEEP/meta.yaml
    assert_status 2
    assert_contains "$stderr" "dir/$EXP/meta.yaml: missing"
    both $EXP/$DEEP/metrics/loss
    assert_status 2
    assert_contains "$stderr" "dir/$EXP/meta.yaml: missing"
    both $EXP/meta.yaml
    : >dir/$EXP/meta.yaml
    dump dir
    assert_status 2
    assert_contains "$stderr" "dir/$EXP/meta.yaml: empty"
    both models/churn/version-1/meta.yaml
    assert_status 2
    assert_contains "$stderr" "dir/models/churn/meta.yaml: missing"
}

@test "a project's directories are not signs of a store: its mlruns is read" {
    mkdir -p project/recipe project/2024/notes project/models/net/1 project/5 project/.git/objects
    printf 'package:\n  name: x\n  version: 1\n' | tee project/recipe/meta.yaml project/models/net/meta.yaml >project/meta.yaml
    touch project/2024/notes/a.txt project/models/net/model.pt
    dump project
    assert_status 2
    copy_tree && mv mlruns project/
    assert_store project project/mlruns
    assert_equal "$stderr" ""
    assert_store "file://$PWD/project" project/mlruns
    # a directory of artifacts has a copy of a run in it
    mkdir -p project/7/backup
    cp -r project/mlruns/$EXP/$DEEP project/old-run
    dump project
    assert_status 0
    assert_equal "$(count experiment)" 3
}

@test ".trash decides only if there is no mlruns" {
    mkdir -p dir/.trash
    copy_tree && mv mlruns dir/
    assert_store dir dir/mlruns
    assert_equal "$stderr" ""
    # deleted experiments beside it are not passed over in silence
    cp -r dir/mlruns/.trash/$OLD dir/.trash/
    dump dir
    assert_status 0
    assert_equal "$(count experiment) $(count run)" "3 4"
    assert_contains "$stderr" "dir/.trash: warning: "
    rm -r dir/mlruns
    dump dir
    assert_status 0
    assert_equal "$(count experiment)" 1
    assert_equal "$stderr" ""
}

@test "a store without experiments is an empty stream" {
    mkdir -p one/.trash two/mlruns three/mlruns/.trash
    for dir in one two two/mlruns three; do
        dump $dir
        assert_status 0
        assert_equal "$stderr" ""
        assert_equal "$(json out | wc -l)" 2
        dump --check $dir
        assert_status 0
        dump --list $dir
        assert_status 0
        [ ! -s out ]
        dump --shard 1/2 $dir
        assert_status 0
    done
    cd two/mlruns
    dump .
    assert_status 0
    rm out err
    ml-load -q sqlite:///../../x.db < <(mlruns-dump -q .)
}

@test "a directory without a store is refused, with what was looked for" {
    mkdir -p empty other/data other/5/x wrong
    touch wrong/mlruns
    for dir in empty other wrong; do
        for option in --check --list --registry --shard=0/2 -q; do
            dump $option $dir
            assert_status 2
            [ ! -s out ]
            assert_contains "$stderr" "$dir: not a file store"
            assert_contains "$stderr" "meta.yaml"
            assert_contains "$stderr" ".trash"
            assert_contains "$stderr" "$dir/mlruns"
        done
    done
    run_split ml-migrate -q --source empty --target sqlite:///y.db
    assert_status 2
    [ ! -e y.db ]
    # what is near it is named
    copy_tree
    dump mlruns/$EXP
    assert_status 2
    assert_contains "$stderr" "an experiment"
    assert_contains "$stderr" "mlruns-dump mlruns"
    dump mlruns/$EXP/$DEEP
    assert_status 2
    assert_contains "$stderr" "a run"
    cd mlruns/$EXP
    dump .
    assert_status 2
    assert_contains "$stderr" "mlruns-dump .."
    rm out err
}

@test "an unreadable mlruns is named, not skipped" {
    public_work
    mkdir -p dir/.trash away
    ln -s ../nowhere dir/mlruns
    dump dir
    assert_status 2
    assert_contains "$stderr" "dir/mlruns: a dangling link"
    rm dir/mlruns
    mkdir dir/mlruns && chmod 0 dir/mlruns
    dump dir
    assert_status 2
    assert_contains "$stderr" "dir/mlruns: Permission denied"
    rmdir dir/mlruns && chmod 0 dir/.trash
    dump dir
    assert_status 2
    assert_contains "$stderr" "dir/.trash: Permission denied"
    # a directory of something else beside the store is no more than a warning
    copy_tree && mv mlruns away/
    mkdir -p away/pgdata && chmod 0 away/pgdata
    chmod -R go+rX away/mlruns
    dump away
    assert_status 0
    assert_contains "$stderr" "away/pgdata: warning: Permission denied"
    assert_equal "$(count experiment)" 3
    rm -r away/mlruns
    dump away
    assert_status 2
    assert_contains "$stderr" "away/pgdata: Permission denied"
}

# -- directories that are no experiments

@test "a warning says what each directory is that is not an experiment, and nothing else changes" {
    copy_tree
    dump mlruns
    mv out before
    mkdir -p mlruns/notes mlruns/more/papers mlruns/$GONE/artifacts/model/metrics mlruns/mlartifacts/0/$GONE/artifacts \
        mlruns/mlartifacts/0/models/m-1/artifacts mlruns/mlartifacts/0/traces/tr-1/artifacts mlruns/7/$GONE/artifacts \
        mlruns/.trash/8/$GONE/artifacts mlruns/.trash/notes mlruns/lost+found
    cp -r before mlruns/more/papers/meta.yaml
    cp mlruns/$EXP/$DEEP/meta.yaml mlruns/$GONE/artifacts/model/
    touch mlruns/.trash/notes/.DS_Store
    dump mlruns
    assert_status 0
    cmp out before
    grep -q "^mlruns-dump: mlruns/notes: warning: .*empty" err
    grep -q "^mlruns-dump: mlruns/.trash/notes: warning: .*empty" err
    grep -q "^mlruns-dump: mlruns/lost+found: warning: .*empty" err
    grep -q "^mlruns-dump: mlruns/more: warning: not an experiment" err
    grep -q "^mlruns-dump: mlruns/$GONE: warning: .*the directory of a run, with only artifacts" err
    grep -q "^mlruns-dump: mlruns/mlartifacts: warning: .*artifacts" err
    grep -q "^mlruns-dump: mlruns/7: warning: .*artifacts" err
    grep -q "^mlruns-dump: mlruns/.trash/8: warning: .*artifacts" err
    assert_equal "$(wc -l <err)" 8
    cp err warnings
    dump --check mlruns
    assert_status 0
    cmp err warnings
    dump --list mlruns
    assert_equal "$(wc -l <out)" 3
    cmp err warnings
    # they are no part of the source either
    dump --registry mlruns
    assert_equal "$stderr" ""
    dump --experiment $EXP mlruns
    assert_equal "$stderr" ""
    run_split ml-migrate -q --source mlruns --target sqlite:///x.db --verify
    assert_status 0
}

@test "a nested store is named whatever its name, in the store or in its .trash" {
    copy_tree
    dump mlruns && mv out before
    cp -r mlruns copy
    cp -r copy mlruns/.trash/mlruns
    mv copy mlruns/backup
    mkdir -p mlruns/empty/.trash
    dump mlruns
    assert_status 0
    cmp out before
    assert_contains "$stderr" "mlruns/backup: warning: another file store"
    assert_contains "$stderr" "mlruns-dump mlruns/backup"
    assert_contains "$stderr" "mlruns-dump mlruns/.trash/mlruns"
    assert_contains "$stderr" "mlruns-dump mlruns/empty"
}

@test "a directory without meta.yaml that holds data of an experiment or a run is a problem" {
    for damage in "rm -rf mlruns/$EXP/[!m]*" "find mlruns/$EXP -name meta.yaml -delete" \
        "rm -r mlruns/$EXP/{traces,models,tags,datasets}; find mlruns/$EXP -name meta.yaml -delete" \
        "find mlruns/$EXP -mindepth 1 -maxdepth 1 ! -name tags -exec rm -r {} +" \
        "find mlruns/$EXP -mindepth 1 -maxdepth 1 ! -name traces -exec rm -r {} +" \
        "find mlruns/$EXP -mindepth 1 -maxdepth 1 ! -name models -exec rm -r {} +" \
        "find mlruns/$EXP -mindepth 1 -maxdepth 1 ! -name datasets -exec rm -r {} +" \
        "find mlruns/$EXP -mindepth 1 -maxdepth 1 ! -name $DEEP -exec rm -r {} +"; do
        rm -rf mlruns
        copy_tree
        eval "$damage"
        rm -f mlruns/$EXP/meta.yaml
        assert_malformed $EXP/meta.yaml missing
    done
    # a run's directory in the experiment's place, and an experiment without a number
    rm -rf mlruns
    copy_tree
    mv mlruns/$EXP/$DEEP mlruns/
    rm mlruns/$DEEP/meta.yaml
    assert_malformed $DEEP/meta.yaml missing
    rm -rf mlruns
    copy_tree
    mv mlruns/$EXP "mlruns/$EXP (copy)"
    rm "mlruns/$EXP (copy)/meta.yaml"
    assert_malformed "$EXP (copy)/meta.yaml" missing
}

# -- directories and files that can't be looked at

# dangling PATH: in the small tree, PATH is a link to a place that is not mounted
dangling() {
    rm -rf mlruns
    copy_tree
    rm -rf "mlruns/$1"
    ln -s "$WORK/unmounted/place" "mlruns/$1"
}

@test "a dangling link is named wherever the store may have a directory" {
    model=$(basename "$ROOT"/tests/data/mlruns/$EXP/models/*)
    input=$(basename "$(cd "$ROOT/tests/data/mlruns" && echo $EXP/$DEEP/inputs/* | cut -d' ' -f1)")
    for path in $EXP .trash .trash/$OLD models $EXP/tags $EXP/datasets $EXP/traces $EXP/models $EXP/$DEEP $EXP/$DEEP/params \
        $EXP/$DEEP/metrics $EXP/$DEEP/tags $EXP/$DEEP/inputs $EXP/$DEEP/outputs "$EXP/$DEEP/inputs/$input" \
        "$EXP/$DEEP/outputs/$model" "$(cd "$ROOT/tests/data/mlruns" && echo $EXP/datasets/*)" $EXP/traces/$TRACE \
        $EXP/traces/$TRACE/tags $EXP/traces/$TRACE/request_metadata $EXP/traces/$TRACE/assessments "$EXP/models/$model" \
        "$EXP/models/$model/params" "$EXP/models/$model/tags" "$EXP/models/$model/metrics" models/churn models/churn/tags \
        models/churn/aliases models/churn/version-1 models/churn/version-1/tags $EXP/meta.yaml $EXP/$DEEP/meta.yaml \
        $EXP/traces/$TRACE/trace_info.yaml models/churn/meta.yaml $EXP/$GONE $EXP/traces/tr-1 $EXP/models/m-1 777 models/other \
        $EXP/$DEEP/params/max_depth $EXP/$DEEP/tags/mlflow.runName models/support-answer/tags/mlflow.prompt.is_prompt; do
        dangling "$path"
        dump mlruns
        assert_status 2
        assert_contains "$stderr" "mlruns/$path: "
        assert_contains "$stderr" "a dangling link"
        dump --check mlruns
        [ $path = .trash ] || assert_status 1
    done
}

@test "an unreadable directory, or a link to one, is named wherever it is" {
    model=$(basename "$ROOT"/tests/data/mlruns/$EXP/models/*)
    public_work
    for mode in 000 400; do
        for path in $EXP .trash .trash/$OLD models $EXP/tags $EXP/datasets $EXP/traces $EXP/models $EXP/$DEEP \
            $EXP/$DEEP/params $EXP/$DEEP/metrics $EXP/$DEEP/tags $EXP/$DEEP/inputs $EXP/$DEEP/outputs \
            "$(cd "$ROOT/tests/data/mlruns" && echo $EXP/datasets/*)" $EXP/traces/$TRACE $EXP/traces/$TRACE/tags \
            $EXP/traces/$TRACE/request_metadata $EXP/traces/$TRACE/assessments "$EXP/models/$model" \
            "$EXP/models/$model/metrics" models/churn models/churn/tags models/churn/aliases models/churn/version-1; do
            for linked in no yes below; do
                chmod -R u+rwx . && rm -rf mlruns away
                copy_tree
                chmod -R go+rX mlruns
                [ -z "$AS" ] || chown -R 65534 mlruns
                if [ $linked = no ]; then
                    chmod $mode "mlruns/$path"
                else # the place it lies in may be the one that nobody may enter
                    mkdir -m 755 away
                    mv "mlruns/$path" away/place
                    ln -s "$PWD/away/place" "mlruns/$path"
                    [ $linked = yes ] && chmod $mode away/place || chmod $mode away
                fi
                dump mlruns
                assert_status 2
                assert_contains "$stderr" "mlruns/$path"
                assert_contains "$stderr" "Permission denied"
            done
        done
    done
    chmod -R u+rwx .
}

@test "a prompt with an unreadable mark does not become a registered model" {
    for how in dangling unreadable directory; do
        public_work
        copy_tree
        chmod -R go+rX mlruns
        case $how in
        dangling) ln -sf nowhere mlruns/models/support-answer/tags/mlflow.prompt.is_prompt ;;
        unreadable) chmod 0 mlruns/models/support-answer/tags/mlflow.prompt.is_prompt ;;
        directory) rm -r mlruns/models/support-answer/tags && ln -s nowhere mlruns/models/support-answer/tags ;;
        esac
        dump mlruns
        assert_status 2
        assert_contains "$stderr" "mlruns/models/support-answer/tags"
        dump --skip-malformed mlruns
        assert_status 1
        assert_equal "$(count prompt) $(count registered_model) $(count model_version '.name == "support-answer"')" "0 1 0"
        leave_public_work
    done
}

# preload: builds what fails calls; $FAIL comes before a command
preload() {
    "${CC:-cc}" -shared -fPIC -o "$WORK/failing_calls.so" "$ROOT/tests/failing_calls.c" -ldl -lpthread 2>err ||
        skip "no compiler: $(cat err)"
    FAIL="env LD_PRELOAD=$WORK/failing_calls.so ASAN_OPTIONS=verify_asan_link_order=0 FAIL_TREE=$(pwd -P)/mlruns FAIL_LOG=$WORK/failed"
}

@test "a file system that does not report the types of entries is read" {
    preload
    copy_tree
    mkdir -p mlruns/.git "mlruns/$EXP/$DEEP/params/a/b" mlruns/$EXP/$GONE/artifacts
    touch mlruns/README mlruns/$EXP/notes.txt "mlruns/$EXP/$DEEP/params/a/b/c"
    ln -s ../$EXP/meta.yaml mlruns/.trash/link
    ln -s max_depth mlruns/$EXP/$DEEP/params/link
    dump mlruns
    assert_status 0
    assert_equal "$stderr" ""
    mv out before
    AS="$FAIL FAIL_NO_TYPE=1" dump mlruns
    assert_status 0
    assert_equal "$stderr" ""
    cmp out before
    for path in $EXP .trash/$OLD $EXP/$DEEP $EXP/$DEEP/params/max_depth models/churn models/churn/version-1 $EXP/traces/$TRACE; do
        dangling $path
        AS="$FAIL FAIL_NO_TYPE=1" dump mlruns
        assert_status 2
        assert_contains "$stderr" "mlruns/$path: a dangling link"
    done
}

# Each call that looks at the tree fails in turn.
sweep() { # NAME=VALUE...: see failing_calls.c
    python3 "$ROOT/tests/fail_each_call.py" "$WORK/failing_calls.so" "$@"
}

@test "if any call that reads the tree fails, what is lost is named" {
    preload
    copy_tree
    for with in 13 5; do # EACCES, EIO
        for again in once path; do
            sweep FAIL_WITH=$with FAIL_AGAIN=$again
        done
    done
    # what network file systems do once in a while costs nothing
    dump mlruns && mv out before
    for call in 1 2 3 5 8 13 21 34 55 89 144 233 377; do
        AS="$FAIL FAIL_WITH=116 FAIL_AGAIN=once FAIL_CALL=$call" dump --jobs 1 mlruns # ESTALE
        assert_status 0
        cmp out before
    done
}

@test "the same holds without types of entries, in a tree of links and of directories that are not experiments" {
    preload
    copy_tree
    mkdir away
    for path in $EXP .trash/$OLD; do
        mv mlruns/$path away/ && ln -s "$PWD/away/${path##*/}" mlruns/$path
    done
    mkdir -p mlruns/notes mlruns/$GONE/artifacts mlruns/$EXP/$GONE/artifacts mlruns/.git
    cp -r "$ROOT/tests/data/mlruns" mlruns/mlruns
    printf run >"away/$EXP/$DEEP/tags/mlflow.runName"
    sed -i '/^run_name:/d' away/$EXP/$DEEP/meta.yaml
    sweep FAIL_NO_TYPE=1 FAIL_WITH=13 FAIL_AGAIN=once
    sweep FAIL_NO_TYPE=1 FAIL_WITH=5 FAIL_AGAIN=path
}

@test "the tag with the place of a trace's spans is retried as often as any other tag" {
    preload
    copy_tree
    tags=$EXP/traces/$TRACE/tags
    cp mlruns/$tags/mlflow.artifactLocation mlruns/$tags/other
    AS="$FAIL FAIL_CALL=0 FAIL_LOG=$PWD/log" dump --jobs 1 mlruns
    assert_status 0
    [ "$(grep -c "/$tags/other$" log)" -gt 0 ]
    assert_equal "$(grep -c "/$tags/mlflow.artifactLocation$" log)" "$(grep -c "/$tags/other$" log)"
}

# -- the source of shards

@test "shards fit together whatever fails once or is being written" {
    preload
    copy_tree
    dump --shard 0/2 mlruns
    source=$(source_id)
    calls=$(AS= && $FAIL FAIL_CALL=0 mlruns-dump -q --jobs 1 --shard 0/2 mlruns >/dev/null && wc -l <failed)
    [ "$calls" -gt 100 ]
    for with in 5 13; do
        for call in $(seq 60); do
            AS="$FAIL FAIL_WITH=$with FAIL_AGAIN=once FAIL_CALL=$call" dump --jobs 1 --shard 0/2 mlruns
            # what can't be made good is said: a stream of another source never passes for a whole
            [ "$status" -eq 2 ] || assert_equal "$status $(source_id)" "0 $source"
        done
    done
    cp mlruns/$EXP/meta.yaml saved
    : >mlruns/$EXP/meta.yaml
    touch -d '1 hour' mlruns/$EXP/meta.yaml
    written_while_waiting saved mlruns/$EXP/meta.yaml --shard 0/2 mlruns
    assert_status 0
    assert_equal "$(source_id)" "$source"
}
