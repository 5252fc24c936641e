#!/usr/bin/env bats
# Dumps in pieces: by xargs, by GNU parallel on two hosts, by a Slurm array. The examples of mlruns-tools(7) are what runs here.

load helpers
strict_pipes

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    mkdir nfs
    python3 "$ROOT/tests/mlflow/make_tree.py" --output nfs/mlruns --runs 200 --points 4000 >/dev/null
    cp -rn "$ROOT/tests/data/mlruns/." nfs/mlruns/
    mlruns-dump -q nfs/mlruns >whole.mlr
    ml-load -q --release 3.17.2 sqlite:///whole.db <whole.mlr
    sqlite3 whole.db .dump >whole.sql
    unset PARALLEL_SSH
    why=$(sh "$ROOT/tests/hosts.sh" possible) || return 0
    MLRUNS_TOOLS_PATH=$BUILD/bin:/usr/bin:/bin sh "$ROOT/tests/hosts.sh" start "$BATS_FILE_TMPDIR/hosts.d"
    printf 'host-a\nhost-b\n' >hosts
}

teardown_file() {
    [ ! -e "$BATS_FILE_TMPDIR/hosts" ] || sh "$ROOT/tests/hosts.sh" stop "$BATS_FILE_TMPDIR/hosts.d"
}

setup() {
    work
    NFS=$BATS_FILE_TMPDIR/nfs
    rm -rf "$NFS/out"
    mkdir "$NFS/out"
}

# example TEXT: the example of mlruns-tools(7), MANY MACHINES, that has TEXT in it, on this test's directories and database.
example() {
    sed -n '/^\.SH MANY MACHINES/,/^\.SH EXAMPLES/p' "$ROOT/man/mlruns-tools.7" | sed 's/\\-/-/g; s/\\e/\\/g' |
        awk -v text="$1" '/^\.nf/ { block = ""; on = 1 } /^\.fi/ { on = 0; if (index(block, text)) printf "%s", block }
            on && !/^\./ { block = block $0 "\n" }' |
        sed "s,/nfs/,$NFS/,g; s,postgresql://mlflow@db/mlflow,sqlite:///loaded.db,g" >example.sh
    [ -s example.sh ]
}

# The shards that are there, loaded together, make the database of the one-process dump, byte for byte of its SQL.
assert_whole() {
    assert_equal "$(ls "$NFS/out" | grep -c '^part-[0-9]*\.mlr$')" "$1"
    [ -z "$(ls "$NFS/out" | grep tmp)" ]
    cat "$NFS"/out/part-*.mlr >parts.mlr
    ml-load -q --release 3.17.2 sqlite:///parts.db <parts.mlr
    sqlite3 parts.db .dump >parts.sql
    cmp parts.sql "$BATS_FILE_TMPDIR/whole.sql"
    ml-verify -q sqlite:///parts.db <"$BATS_FILE_TMPDIR/whole.mlr" >report
    ml-verify -q "sqlite:///$BATS_FILE_TMPDIR/whole.db" <parts.mlr | cmp - report
    assert_contains "$(cat report)" "Status: SUCCESS"
}

need_hosts() {
    why=$(sh "$ROOT/tests/hosts.sh" possible) || skip "no hosts: $why"
    command -v parallel >/dev/null || skip "no GNU parallel here"
    cp "$BATS_FILE_TMPDIR/hosts" .
}

# Where the hosts are, with parallel's own files kept here.
on_client() {
    PARALLEL_HOME=$WORK/.parallel PARALLEL_SSH=$BATS_FILE_TMPDIR/hosts.d/ssh sh "$ROOT/tests/hosts.sh" run "$BATS_FILE_TMPDIR/hosts.d" "$@"
}

sixteen() {
    for i in $(seq 0 15); do
        mlruns-dump -q --shard "$i/16" "$NFS/mlruns" >"$NFS/out/part-$i.mlr"
    done
}

@test "--list | xargs -P, and the registry: equal to the one-process dump" {
    out=$NFS/out
    mlruns-dump --list "$NFS/mlruns" | xargs -P 2 -I{} sh -c "mlruns-dump -q --experiment {} $NFS/mlruns >$out/part-{}.mlr"
    mlruns-dump -q --registry "$NFS/mlruns" >"$out/part-00.mlr"
    assert_whole $(($(mlruns-dump --list "$NFS/mlruns" | wc -l) + 1))
}

@test "GNU parallel, 16 shards on two hosts: equal to the one-process dump" {
    need_hosts
    example parallel
    mkdir .parallel
    touch .parallel/will-cite
    on_client bash -e example.sh
    assert_whole 16
    on_client parallel --slf hosts --nonall hostname | sort >names
    assert_equal "$(tr '\n' ' ' <names)" "host-a host-b "
    # Both have had a part in it.
    seq 0 15 | on_client parallel --slf hosts --wd "$NFS/out" 'mlruns-dump -q --shard {}/16 ../mlruns >{}.mlr; hostname' | sort -u >names
    assert_equal "$(tr '\n' ' ' <names)" "host-a host-b "
}

@test "GNU parallel, a host goes away: the other one does its shards" {
    need_hosts
    example parallel
    mkdir .parallel
    touch .parallel/will-cite
    sh "$ROOT/tests/hosts.sh" down "$BATS_FILE_TMPDIR/hosts.d" host-b
    on_client bash -e example.sh 2>err || { cat err >&2; false; }
    assert_whole 16
}

@test "a Slurm array dumps all shards" {
    example SBATCH
    mv example.sh dump.sh
    array=$(sed -n 's/^#SBATCH --array=//p' dump.sh)
    assert_equal "$array" 0-15
    for i in $(seq "${array%-*}" "${array#*-}"); do
        SLURM_ARRAY_TASK_ID=$i SLURM_CPUS_PER_TASK=1 sh dump.sh
    done
    assert_whole 16
    # What waits for it names both scripts.
    example afterok
    sh -n example.sh
    grep -q 'dump\.sh' example.sh
    grep -q 'load\.sh' example.sh
}

@test "the loading job renumbers and verifies the shards" {
    sixteen
    example ml-load
    bash example.sh >report
    assert_contains "$(cat report)" "Status: SUCCESS"
    ml-transform -q --renumber-experiments <"$BATS_FILE_TMPDIR/whole.mlr" | ml-verify -q sqlite:///loaded.db >report
    assert_contains "$(cat report)" "Status: SUCCESS"
}

@test "a failed shard of a Slurm array leaves no file under its name, and its job fails" {
    example SBATCH
    run_split env SLURM_ARRAY_TASK_ID=16 sh example.sh
    assert_status 2
    [ ! -e "$NFS/out/part-16.mlr" ]
}

# refused WHAT COMMAND...: by a program that reads the shards from standard input; nothing is written.
refused() {
    wanted=$1
    shift
    run_split "$@" <shards.mlr
    assert_status 2
    assert_contains "$stderr" "$wanted"
}

refused_by_all() {
    refused "$1" ml-load --release 3.17.2 sqlite:///x.db
    [ -z "$(ls -A | grep x.db)" ]
    refused "$1" ml-verify "sqlite:///$BATS_FILE_TMPDIR/whole.db"
    refute_contains "$output" SUCCESS
    refused "$1" ml-transform --merge
}

@test "a missing shard is named" {
    sixteen
    rm "$NFS/out/part-5.mlr"
    cat "$NFS"/out/part-*.mlr >shards.mlr
    refused_by_all 5/16
}

@test "a duplicate shard is named" {
    sixteen
    cat "$NFS"/out/part-*.mlr "$NFS/out/part-11.mlr" >shards.mlr
    refused_by_all 11/16
}

@test "a truncated shard is named, wherever it ends" {
    sixteen
    size=$(stat -c %s "$NFS/out/part-7.mlr")
    for at in $((size / 2)) $((size - 1)); do
        head -c $at "$NFS/out/part-7.mlr" >cut.mlr
        # last, and in the middle
        (cd "$NFS/out" && cat part-[0-6].mlr part-[89].mlr part-1?.mlr "$WORK/cut.mlr") >shards.mlr
        refused_by_all 7/16
        (cd "$NFS/out" && cat part-[0-6].mlr "$WORK/cut.mlr" part-[89].mlr part-1?.mlr) >shards.mlr
        refused_by_all 7/16
    done
}

@test "a shard of another tree does not stand in for the missing one" {
    sixteen
    mkdir other
    cp -r "$ROOT/tests/data/mlruns" other/
    mlruns-dump -q --shard 5/16 other/mlruns >"$NFS/out/part-5.mlr"
    cat "$NFS"/out/part-*.mlr >shards.mlr
    refused 5/16 ml-load --release 3.17.2 sqlite:///x.db
    [ ! -e x.db ]
}
