#!/usr/bin/env bats
# mlruns-dump --since: what a tick sends, what it leaves for the next, and what it keeps. A tick's clock is set (tests/later.c), so
# that what was written a moment ago has settled or not.

load helpers
ALL=${DEEP-} # which the next one takes for the name of a run
load dump_helpers
load tick_helpers

setup_file() {
    build_later
}

setup() {
    work
    copy_tree
    RUN=mlruns/$EXP/$SHALLOW
    no_ticks
}

tick() { # [ARGUMENT...]
    tick_of mlruns-dump -v --since state --next-state state.new "$@" ./mlruns
}

assert_whole() {
    at $LATER mlruns-dump -q --no-warnings --next-state other.state mlruns >full.mlr
    assert_ticks_make_full
}

assert_idle() {
    tick
    assert_status 0
    assert_equal "$(kinds_sent)" ""
}

@test "the first tick sends everything in format 1; the second sends nothing, opens no file and calls stat once for each" {
    tick
    assert_status 0
    assert_contains "$stderr" "no state state yet"
    assert_equal "$(json tick.mlr | sed -n 1p | jq -c '[.format, .base, (.state | length)]')" "[1,null,32]"
    mlruns-dump -q mlruns >plain.mlr
    cmp <(json tick.mlr | sed '1d;$d') <(json plain.mlr | sed '1d;$d')
    ml-load -q sqlite:///first.db <tick.mlr
    ml-verify -q sqlite:///first.db <plain.mlr >/dev/null
    state=$(json tick.mlr | sed -n 1p | jq -r .state)
    export OPEN_LOG=$WORK/opened STAT_LOG=$WORK/looked
    tick
    assert_status 0
    unset OPEN_LOG STAT_LOG
    assert_equal "$(kinds_sent)" ""
    assert_equal "$(json tick.mlr | sed -n 1p | jq -c '[.format, .base, .state]')" "[2,0,\"$state\"]"
    [ ! -e opened ] || { cat opened >&2; false; }
    # by name: each file of the tree but artifacts, once (the run whose directory is a link, and what is in links, apart)
    [ "$(grep -c . looked)" -ge 60 ]
    assert_equal "$(sort looked | grep -v '^meta.yaml$\|^trace_info.yaml$' | uniq -c | awk '$1 > 20' | wc -l)" 0
    assert_equal "$(grep -c '^meta.yaml$\|^trace_info.yaml$' looked)" "$(find mlruns -name artifacts -prune -o \( -name meta.yaml -o -name trace_info.yaml \) -print | wc -l)"
}

@test "a changed tag, a new param and a point are sent after their run and experiment, marked unchanged, and nothing else is" {
    tick
    echo -n better >"$RUN/tags/quality"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged run:unchanged tag"
    assert_equal "$(sent 'select(.kind == "tag") | "\(.run_id) \(.key) \(.value)"')" "$SHALLOW quality better"
    assert_whole
    mkdir -p "$RUN/params" "$RUN/metrics"
    echo -n 7 >"$RUN/params/late"
    echo "1700000000000 0.5 900" >>"$RUN/metrics/new"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged latest_metric metric param run:unchanged"
    echo "1700000000001 0.25 901" >>"$RUN/metrics/new"
    echo "1600000000000 4 3" >>"$RUN/metrics/new"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .step')" "3 901"
    assert_equal "$(sent 'select(.kind == "latest_metric") | .step')" "901"
    assert_whole
    echo "1600000000000 4 4" >>"$RUN/metrics/new"
    tick
    assert_equal "$(sent 'select(.kind == "latest_metric") | .step')" "4"
    assert_whole
    assert_idle
}

@test "parents with changed fields are marked changed, and new ones have no mark and are sent whole" {
    tick
    sed -i 's/^end_time: .*/end_time: 1999999999999/' "$RUN/meta.yaml"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged run:changed"
    sed -i 's/^name: .*/name: another name/' "mlruns/$EXP/meta.yaml"
    tick
    assert_equal "$(kinds_sent)" "experiment:changed"
    cp -r "$RUN" "mlruns/$EXP/$(printf 'a%031d' 7)"
    sed -i "s/$SHALLOW/$(printf 'a%031d' 7)/" "mlruns/$EXP/$(printf 'a%031d' 7)/meta.yaml"
    tick
    assert_equal "$(sent 'select(.kind == "run") | "\(.run_id) \(.partial)"')" "$(printf 'a%031d' 7) null"
    cp -r "mlruns/$EXP" mlruns/77
    rm -rf mlruns/77/traces mlruns/77/models mlruns/77/[0-9a-f]*[0-9a-f]
    sed -i "s/^experiment_id: .*/experiment_id: '77'/; s/^name: .*/name: seventy-seven/" mlruns/77/meta.yaml
    tick
    assert_equal "$(sent 'select(.kind == "experiment") | "\(.experiment_id) \(.partial)"')" "77 null"
    assert_whole
    assert_idle
}

@test "a run's name that is only in its tag, and a model that becomes a prompt, count as changed fields" {
    sed -i '/^run_name:/d' "$RUN/meta.yaml"
    tick
    echo -n renamed >"$RUN/tags/mlflow.runName"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged run:changed tag"
    assert_equal "$(sent 'select(.kind == "run") | .run_name')" renamed
    assert_whole
}

@test "files that were touched or rewritten unchanged are not sent" {
    tick
    touch "$RUN"/tags/* "$RUN"/params/* "$RUN"/metrics/* "$RUN/meta.yaml" "mlruns/$EXP/meta.yaml"
    find "$RUN/tags" "$RUN/params" -type f | while read -r f; do cp "$f" copy && cat copy >"$f"; done
    chmod 600 "$RUN/meta.yaml"
    assert_idle
    OPEN_LOG=$WORK/opened tick
    [ ! -e opened ] || { cat opened >&2; false; }
}

@test "racy: a file rewritten within the clock's tick, with the same size, times and inode, is noticed by the next tick" {
    export COARSE=1
    tick
    at=$LATER
    echo -n aa >"$RUN/tags/racy"
    cp -p "$RUN/tags/racy" stamp
    LATER=-297 # at once: what changed a moment ago is not trusted
    tick
    assert_equal "$(sent 'select(.kind == "tag") | .value')" aa
    echo -n bb >"$RUN/tags/racy"
    touch -r stamp "$RUN/tags/racy"
    LATER=$at
    tick
    assert_equal "$(sent 'select(.kind == "tag") | .value')" bb
    assert_whole
    assert_idle
    # long after that it is trusted, whatever it says
    echo -n cc >"$RUN/tags/racy"
    touch -r stamp "$RUN/tags/racy"
    assert_idle
}

@test "another ctime with the same size, mtime and inode is a change, of a tag as of a run" {
    echo -n aa >"$RUN/tags/t"
    tick
    cp -p "$RUN/meta.yaml" stamp
    cp -p "$RUN/tags/t" tag_stamp
    sed 's/^status: ./status: 5/' stamp >other
    cat other >"$RUN/meta.yaml"
    echo -n bb >"$RUN/tags/t"
    touch -r stamp "$RUN/meta.yaml"
    touch -r tag_stamp "$RUN/tags/t"
    tick
    assert_equal "$(sent 'select(.kind == "run") | .status')" KILLED
    assert_equal "$(sent 'select(.kind == "tag") | .value')" bb
    assert_whole
}

@test "an earlier mtime is a change, and so is another inode, after which a metric file is sent whole" {
    tick
    sed 's/^end_time: .*/end_time: 1888888888888/' "$RUN/meta.yaml" >meta
    touch -d '2001-01-01' meta
    cat meta >"$RUN/meta.yaml"
    touch -d '2001-01-01' "$RUN/meta.yaml"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged run:changed"
    file=$(ls "$RUN"/metrics/* | sed -n 1p)
    n=$(grep -c . "$file")
    cp -p "$file" "$file.x"
    echo "1700000000009 1.5 999" >>"$file.x"
    mv "$file.x" "$file"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .kind' | wc -w)" $((n + 1))
    assert_whole
}

@test "a meta.yaml rewritten in place from another file system, with its copy's earlier mtime, is noticed" {
    elsewhere=$(mktemp -d /dev/shm/mlruns-tools.XXXXXX)
    [ "$(stat -c %d "$elsewhere")" != "$(stat -c %d mlruns)" ]
    meta=mlruns/$EXP/meta.yaml
    inode=$(stat -c %i "$meta")
    sed 's/^name: ./name: X/' "$meta" >"$elsewhere/new" # of the same size
    touch -d '2 hours ago' "$elsewhere/new" # before the tick that sees the file as it was
    tick
    python3 - "$elsewhere/new" "$meta" <<'END' # as MLflow does
import os, shutil, sys
rename, errors = os.rename, []
def watched(*names):
    try:
        rename(*names)
    except OSError as e:
        errors.append(e.errno)
        raise
os.rename = watched
shutil.move(*sys.argv[1:])
assert errors, "the other file system is none"
END
    rmdir "$elsewhere"
    assert_equal "$(stat -c %i "$meta")" "$inode"
    [ -n "$(find "$meta" -mmin +60)" ]
    tick
    assert_equal "$(kinds_sent)" "experiment:changed"
    assert_whole
    assert_idle
}

@test "a metric file that was truncated, rewritten or replaced by a link is read from its beginning, and what it lost is reported, not sent" {
    file=$(ls "$RUN"/metrics/* | sed -n 1p)
    tick
    cp "$file" before
    head -1 before >"$file"
    tick
    assert_contains "$stderr" "metrics/$(basename "$file"): was truncated since the last tick"
    assert_equal "$(sent 'select(.kind == "metric") | .kind' | wc -w)" 1
    sed 's/ / 0/' before >"$file" # of other values
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .kind' | wc -w)" "$(grep -c . before)"
    mkdir aside
    { cat before; echo "1700000000009 2.5 77"; } >aside/real
    rm "$file"
    ln -s "$WORK/aside/real" "$file"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .kind' | wc -w)" $(($(grep -c . before) + 1))
    assert_idle
    echo "1700000000010 2.5 78" >>aside/real
    tick
    assert_equal "$(sent 'select(.kind == "metric") | .step')" 78
}

@test "a last line without its newline is never a point, wherever it ends" {
    tick
    line="1700000000000 3.125 1234"
    for ((i = 1; i <= ${#line}; i++)); do
        printf '%s' "${line:0:i}" >"$RUN/metrics/torn"
        tick
        assert_status 0
        assert_equal "$(kinds_sent)" ""
        assert_contains "$stderr" "metrics/torn: the last line has no newline yet: held back for the next tick"
    done
    echo >>"$RUN/metrics/torn"
    tick
    assert_equal "$(sent 'select(.kind == "metric") | "\(.value) \(.step)"')" "3.125 1234"
    assert_whole
}

@test "young files: an empty tag and any param wait until they have settled, but a tag with a value does not" {
    tick
    at=$LATER
    printf '' >"$RUN/tags/empty"
    echo -n x >"$RUN/tags/full"
    echo -n 1 >"$RUN/params/young"
    LATER=-300
    tick
    assert_status 0
    assert_equal "$(sent 'select(.kind == "tag" or .kind == "param") | .key')" full
    assert_contains "$stderr" "tags/empty: empty, and was changed a moment ago: held back for the next tick"
    assert_contains "$stderr" "params/young: was changed a moment ago: held back for the next tick"
    LATER=$at
    tick
    assert_equal "$(sent 'select(.kind == "tag" or .kind == "param") | .key')" "empty young"
    assert_whole
    assert_idle
}

@test "a tag that was just emptied keeps its value until it has settled" {
    tick
    at=$LATER
    tag=$(ls "$RUN"/tags/* | sed -n 1p)
    : >"$tag"
    LATER=-300
    tick
    assert_equal "$(kinds_sent)" ""
    LATER=$at
    tick
    assert_equal "$(sent 'select(.kind == "tag") | .value')" ""
    assert_equal "$(kinds_sent)" "experiment:unchanged run:unchanged tag"
    assert_whole
}

@test "a clock that is slower than the file system's holds nothing back for ever" {
    tick
    at=$LATER
    echo -n 1 >"$RUN/params/ahead"
    touch -d '+1 year' "$RUN/params/ahead"
    tick
    assert_equal "$(kinds_sent)" ""
    tick
    assert_equal "$(sent 'select(.kind == "param") | .key')" ahead
}

@test "an experiment that MLflow 1.x deletes or restores, by moving it, changes its stage only, and nothing else is sent" {
    tick
    mkdir -p mlruns/.trash
    mv "mlruns/$EXP" "mlruns/.trash/$EXP"
    tick
    assert_equal "$(kinds_sent)" "experiment:changed"
    assert_equal "$(sent .lifecycle_stage)" deleted
    refute_contains "$stderr" "gone"
    assert_whole
    echo -n x >"mlruns/.trash/$EXP/$SHALLOW/tags/in_trash"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged run:unchanged tag"
    mv "mlruns/.trash/$EXP" "mlruns/$EXP"
    tick
    assert_equal "$(kinds_sent)" "experiment:changed"
    assert_whole
    assert_idle
}

@test "what is gone is reported and not sent, and what returns is sent again" {
    tick
    mv "$RUN" aside
    rm "mlruns/$EXP/$DEEP/tags/"mlflow.user
    mv "mlruns/$EXP/traces" traces
    tick
    assert_status 0
    assert_equal "$(kinds_sent)" ""
    assert_contains "$stderr" "mlruns/$EXP/$SHALLOW: is gone since the last tick"
    assert_contains "$stderr" "mlruns/$EXP/$DEEP/tags/mlflow.user: is gone"
    assert_contains "$stderr" "mlruns/$EXP/traces/$TRACE: is gone"
    assert_contains "$stderr" "3 gone since the last tick; the target keeps them"
    assert_idle
    mv aside "$RUN"
    tick
    assert_equal "$(sent 'select(.kind == "run") | "\(.run_id) \(.partial)"')" "$SHALLOW null"
    mv "mlruns/$EXP" aside
    tick
    assert_contains "$stderr" "mlruns/$EXP: is gone"
    assert_equal "$(grep -c 'is gone' err)" 1
}

@test "temporary names of rsync, NFS and editors are not keys, and are reported" {
    tick
    for name in .nfs000000000012345600000001 .loss.B7kQpz .x.swp; do
        echo "1700000000000 1 1" >"$RUN/metrics/$name"
        echo -n x >"$RUN/tags/$name"
    done
    mkdir -p "$RUN/params/.~tmp~"
    echo -n x >"$RUN/params/.~tmp~/p"
    echo -n y >"$RUN/tags/real"
    tick
    assert_status 0
    assert_equal "$(kinds_sent)" "experiment:unchanged run:unchanged tag"
    assert_contains "$stderr" "metrics/.loss.B7kQpz: warning: a hidden file, which is not taken for a key"
    assert_contains "$stderr" "params/.~tmp~: warning"
    assert_idle
}

@test "malformed files stop no tick: they are reported, not in the state, and retried; the status is 1" {
    tick
    bad=mlruns/$EXP/$(printf 'a%031d' 9)
    cp -r "$RUN" "$bad"
    echo "run_id: [" >"$bad/meta.yaml"
    echo -n x >"$RUN/tags/good"
    cp "mlruns/$EXP/$DEEP/meta.yaml" deep
    echo "status: wrong" >>"mlruns/$EXP/$DEEP/meta.yaml"
    echo -n y >"mlruns/$EXP/$DEEP/tags/waits"
    tick
    assert_status 1
    assert_equal "$(kinds_sent)" "experiment:unchanged run:unchanged skipped skipped tag"
    assert_contains "$stderr" "$(printf 'a%031d' 9)/meta.yaml:"
    tick
    assert_status 1
    assert_equal "$(kinds_sent)" "skipped skipped"
    sed "s/$SHALLOW/$(printf 'a%031d' 9)/" "$RUN/meta.yaml" >"$bad/meta.yaml"
    cat deep >"mlruns/$EXP/$DEEP/meta.yaml"
    tick
    assert_status 0
    assert_equal "$(sent 'select(.kind == "run") | "\(.run_id) \(.partial)"')" "$DEEP unchanged $(printf 'a%031d' 9) null"
    assert_equal "$(sent 'select(.key == "waits") | .value')" y
    assert_whole
    assert_idle
}

@test "a malformed line of a metric file is reported each time, and the lines around it are sent" {
    tick
    printf '1700000000000 1 1\nbroken\n1700000000000 3 3\n' >"$RUN/metrics/lines"
    tick
    assert_status 1
    assert_equal "$(sent 'select(.kind == "metric") | .step')" "1 3"
    assert_contains "$stderr" "metrics/lines:2"
    tick
    assert_status 1
    assert_contains "$stderr" "metrics/lines:2"
    printf '1700000000000 1 1\n1700000000000 2 2\n1700000000000 3 3\n' >"$RUN/metrics/lines"
    tick
    assert_status 0
    assert_whole
    assert_idle
}

@test "a meta.yaml that was half written a moment ago is held back, not malformed" {
    tick
    at=$LATER
    new=mlruns/$EXP/$(printf 'a%031d' 8)
    mkdir "$new"
    LATER=-300
    echo "run_id: [" >"$new/meta.yaml"
    tick
    assert_status 0
    assert_equal "$(kinds_sent)" ""
    assert_contains "$stderr" "/meta.yaml: cannot be read, and was changed a moment ago: held back for the next tick"
    : >"$new/meta.yaml"
    LATER=-300
    tick
    assert_status 0
    mkdir "$new/tags"
    rm "$new/meta.yaml"
    LATER=-300
    tick
    assert_status 0
    assert_contains "$stderr" "/meta.yaml: is missing: held back for the next tick"
    sed "s/$SHALLOW/$(printf 'a%031d' 8)/" "$RUN/meta.yaml" >"$new/meta.yaml"
    LATER=$at
    tick
    assert_equal "$(sent 'select(.kind == "run") | "\(.run_id) \(.partial)"')" "$(printf 'a%031d' 8) null"
    assert_whole
}

@test "a file of a trace that is emptied after stat is held back, not malformed" {
    tick
    info=mlruns/$EXP/traces/$TRACE/trace_info.yaml
    sed 's/^state: .*/state: ERROR/' "$info" >new
    cat new >"$info"
    EMPTIES=trace_info.yaml tick
    assert_status 0
    assert_equal "$(kinds_sent)" ""
    assert_contains "$stderr" "trace_info.yaml: cannot be read, and was changed a moment ago: held back for the next tick"
    cat new >"$info"
    tick
    assert_equal "$(sent 'select(.kind == "trace") | "\(.state) \(.partial)"')" "ERROR changed"
    assert_whole
}

@test "changed versions, tags and aliases are sent after their registered models" {
    model=$(ls -d mlruns/models/* | while read -r d; do [ -e "$d/aliases" ] && echo "$d" && break; done)
    tick
    version=$(ls -d "$model"/version-* | sed -n 1p)
    mkdir -p "$version/tags"
    echo -n x >"$version/tags/new"
    tick
    assert_equal "$(sent .kind | tr ' ' '\n' | grep -c 'model_version_tag')" 1
    assert_equal "$(sent 'select(.kind == "model_version") | .partial')" unchanged
    assert_whole
    sed -i 's/^description: .*/description: other/; t; $a description: other' "$version/meta.yaml"
    tick
    assert_equal "$(sent 'select(.kind == "model_version") | .partial')" changed
    assert_whole
    echo -n "${version##*-}" >"$model/aliases/newest"
    tick
    assert_equal "$(sent 'select(.kind == "registered_model_alias") | .alias')" newest
    assert_equal "$(sent 'select(.kind == "model_version") | .version')" ""
    rm -r "$version"
    tick
    assert_contains "$stderr" "${version#mlruns/}/meta.yaml: is gone"
}

@test "changed traces, assessments, datasets, inputs and logged models are sent" {
    tick
    t=mlruns/$EXP/traces/$TRACE
    sed -i 's/^state: .*/state: ERROR/' "$t/trace_info.yaml"
    a=$(ls "$t"/assessments/*.yaml | sed -n 1p)
    sed -i 's/^rationale: .*/rationale: another/; t; $a rationale: another' "$a"
    echo -n v >"$t/request_metadata/k"
    tick
    assert_equal "$(kinds_sent)" "assessment:changed experiment:unchanged trace:changed trace_request_metadata"
    m=$(ls -d "mlruns/$EXP"/models/* | sed -n 1p)
    echo -n v >"$m/tags/k"
    tick
    assert_equal "$(kinds_sent)" "experiment:unchanged logged_model:unchanged logged_model_tag"
    i=$(ls "mlruns/$EXP"/*/inputs/*/meta.yaml | sed -n 1p)
    echo "# touched" >>"$i"
    tick
    sent .kind | tr ' ' '\n' | grep -x input >/dev/null
    d=$(ls "mlruns/$EXP"/datasets/*/meta.yaml | sed -n 1p)
    sed -i 's/^profile: .*/profile: other/; t; $a profile: other' "$d"
    tick
    assert_equal "$(kinds_sent)" "dataset experiment:unchanged"
    assert_whole
    assert_idle
}

@test "a tick killed before or after it renames the state, and a stale, a copied and a damaged state lose nothing" {
    tick
    echo -n 1 >"$RUN/tags/one"
    cp state kept
    for when in "" STOP_AFTER=1; do
        status=0
        LATER=$((LATER + 300))
        at $LATER env STOP_AT=state.new $when mlruns-dump -q --since state --next-state state.new mlruns >killed.mlr || status=$?
        assert_status 137
        cmp state kept
        run_split ml-transform --json <killed.mlr # the trailer comes after the state
        assert_status 2
    done
    [ -e state.new ]
    echo stale >state.new
    tick
    assert_equal "$(sent 'select(.kind == "tag") | .key')" one
    cp state copy
    rm state
    at $LATER mlruns-dump -q --since copy --next-state state.new mlruns >tick.mlr
    promote
    assert_equal "$(kinds_sent)" ""
    printf x | dd of=state bs=1 seek=40 conv=notrunc 2>/dev/null
    cp state broken
    tick
    assert_status 2
    assert_contains "$stderr" "state: the state is damaged"
    assert_contains "$stderr" "hint: remove it"
    cmp state broken
    [ ! -s tick.mlr ]
}

@test "a dump that fails leaves no state.new" {
    tick
    echo -n 1 >"$RUN/tags/one"
    LATER=$((LATER + 300))
    status=0
    at $LATER mlruns-dump -q --since state --next-state state.new mlruns >/dev/full 2>err || status=$?
    assert_status 2
    [ ! -e state.new.part ]
    tick
    assert_equal "$(sent 'select(.kind == "tag") | .key')" one
}

@test "a state belongs to one store and one set of options" {
    tick
    cp -r mlruns other
    run_split mlruns-dump --since state --next-state state.new other
    assert_status 2
    assert_contains "$stderr" "the state is of the source $(pwd -P)/mlruns, not of $(pwd -P)/other"
    run_split mlruns-dump --since state --next-state state.new --relocate mlruns
    assert_status 2
    assert_contains "$stderr" "of other options"
    run_split mlruns-dump --since state --next-state state.new . # the same store by another name
    assert_status 0
    for o in "--since state" "--next-state n --check" "--next-state n --list" "--next-state n --shard 0/2" "--since n --next-state n"; do
        run_split mlruns-dump $o mlruns
        assert_status 2
    done
}

@test "any number of threads gives the same ticks and the same state" {
    for jobs in 1 4; do
        rm -rf mlruns state
        copy_tree
        LATER=600
        tick --jobs $jobs
        for r in "$RUN" "mlruns/$EXP/$DEEP"; do echo -n v >"$r/tags/t"; done
        tick --jobs $jobs
        json tick.mlr | sed 1d >tick.$jobs
    done
    cmp <(jq -c 'del(.checksum)' tick.1) <(jq -c 'del(.checksum)' tick.4)
}

@test "whatever is done to a tree between ticks, they add up to a full dump, and an idle tick follows" {
    storms=3
    [ -z "$ALL" ] || storms=100
    for ((seed = 1; seed <= storms; seed++)); do
        rm -rf mlruns state tick-*.mlr
        copy_tree
        DELTAS=
        LATER=600
        tick
        for ((i = 0; i < 12; i++)); do
            python3 "$ROOT/tests/change_tree.py" mlruns $((seed * 1000 + i)) $((i % 4 * 3))
            tick --jobs $((i % 3 + 1))
            assert_status 0
        done
        echo "seed $seed"
        assert_whole
        assert_idle
    done
}

@test "experiments that move to .trash and back while they are read lose nothing, and nothing is reported as gone" {
    for i in 1 2 3 4 5 6 7 8; do
        cp -r "mlruns/$EXP/$SHALLOW" "mlruns/$EXP/b$(printf '%031d' $i)"
        sed -i "s/$SHALLOW/b$(printf '%031d' $i)/" "mlruns/$EXP/b$(printf '%031d' $i)/meta.yaml"
    done
    mkdir -p mlruns/.trash
    tick
    python3 - "$EXP" <<'END' &
import os, sys, time
a, b = f"mlruns/{sys.argv[1]}", f"mlruns/.trash/{sys.argv[1]}"
while not os.path.exists("stop"):
    os.rename(a, b)
    time.sleep(0.001)
    os.rename(b, a)
    time.sleep(0.001)
END
    mover=$!
    for ((k = 0; k < 20; k++)); do
        for r in "mlruns/$EXP"/b* "mlruns/.trash/$EXP"/b*; do
            { echo -n $k >"$r/tags/k"; } 2>/dev/null || true
        done
        tick
        [ $status -lt 2 ]
        refute_contains "$stderr" "gone since"
        refute_contains "$stderr" "not an experiment"
    done
    touch stop
    wait $mover
    for r in "mlruns/$EXP"/b*; do echo -n last >"$r/tags/k"; done
    tick
    assert_status 0
    tick
    assert_whole
    assert_idle
}

@test "after failing calls nothing counts as gone, nothing is lost, and the next tick has what they hid" {
    "${CC:-cc}" -shared -fPIC -o failing.so "$ROOT/tests/failing_calls.c" -ldl -lpthread
    tick
    step=37
    [ -z "$ALL" ] || step=1
    calls=1000
    for ((call = 3; call < calls; call += step)); do
        echo -n $call >"$RUN/tags/call"
        echo "1700000000000 1 $call" >>"$RUN/metrics/calls"
        echo -n $call >"mlruns/$EXP/traces/$TRACE/tags/call"
        echo -n $call >"mlruns/models/$(ls mlruns/models | sed -n 1p)/tags/call"
        LATER=$((LATER + 300))
        rm -f failed
        status=0
        env LD_PRELOAD="$PWD/failing.so $BATS_FILE_TMPDIR/later.so" ASAN_OPTIONS=verify_asan_link_order=0 LATER=$LATER \
            FAIL_TREE="$(pwd -P)/mlruns" FAIL_LOG="$PWD/failed" FAIL_CALL=$call FAIL_WITH=13 FAIL_AGAIN=path \
            mlruns-dump -v --jobs 1 --since state --next-state state.new ./mlruns >tick.mlr 2>err || status=$?
        [ -e failed ] || break # there are not so many calls
        [ $status -le 2 ]
        if grep 'gone since' err >&2; then echo "call $call: $(cat failed)" >&2; false; fi
        if [ $status -eq 0 ]; then # what failed was not needed
            grep -q 'warning\|held back for the next tick' err || [ "$(json tick.mlr | grep -c '"key":"call"')" -eq 3 ]
        fi
        [ $status -eq 2 ] || promote
        if [ $((call % 5)) -eq 0 ]; then
            tick
            assert_status 0
            assert_whole
        fi
    done
    [ $call -gt 100 ]
    tick
    assert_status 0
    assert_whole
    assert_idle
}
