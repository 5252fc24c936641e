#!/usr/bin/env bats
# Memory is bounded in bytes: 64 MiB and four times the largest record, whatever the sizes and numbers of records and of
# threads. DEEP=1 takes larger records, and a million experiments.

load helpers

setup_file() {
    [ -x /usr/bin/time ] || skip "no /usr/bin/time"
    [ -z "${SANITIZE-}" ] || skip "sanitizers need memory of their own"
    start_postgres
}

teardown_file() {
    stop_postgres
}

setup() {
    work
}

# tree N BYTES: ./mlruns with N logged models, each with a tag of that size (a column of any length in both dialects).
tree() {
    python3 - "$1" "$2" <<'PY'
import os, sys
n, size = int(sys.argv[1]), int(sys.argv[2])
os.makedirs("mlruns/0/models")
open("mlruns/0/meta.yaml", "w").write("artifact_location: /x/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n"
                                      "creation_time: 1\nlast_update_time: 1\n")
for i in range(n):
    model = f"mlruns/0/models/m-{i:032x}"
    os.makedirs(model + "/tags")
    open(model + "/meta.yaml", "w").write(
        f"artifact_location: /x/0/models/{i}\ncreation_timestamp: 1\nexperiment_id: '0'\nlast_updated_timestamp: 1\n"
        f"lifecycle_stage: active\nmodel_id: m-{i:032x}\nmodel_type: ''\nname: n{i}\nsource_run_id: null\nstatus: 2\n"
        "status_message: null\n")
    with open(model + "/tags/large", "w") as f:
        f.write(f"{i:08d}")
        for left in range(size - 8, 0, -(1 << 20)):
            f.write("x" * min(left, 1 << 20))
PY
}

# within KIB COMMAND...: runs it; it may take so much. What it took is a line of the TAP with DEEP=1.
within() {
    local limit=$1 code=0 memory taken seconds user system
    memory=$(mktemp "$BATS_TEST_TMPDIR/memory.XXXXXX")
    shift
    /usr/bin/time -f '%M %e %U %S' -o "$memory" "$@" || code=$?
    read -r taken seconds user system < <(tail -1 "$memory")
    [ -z "${DEEP-}" ] || echo "# $((taken / 1024)) MiB of $((limit / 1024)), $seconds s ($user + $system of the processor): ${*//"$BATS_TEST_TMPDIR"/.}" >&3
    [ "$taken" -le "$limit" ] || { echo "$taken KiB, not $limit: $*" >&2; return 1; }
    return $code
}

# bounded BYTES COMMAND...: runs it; it may take 64 MiB and four times BYTES, the largest record.
bounded() {
    local limit=$((65536 + $1 / 256))
    shift
    within $limit "$@"
}

# The URLs of two empty databases: $urls
empty_targets() {
    rm -f target.db
    psql -q -d mlflow -c 'DROP DATABASE IF EXISTS memory' -c 'CREATE DATABASE memory'
    urls="sqlite:///target.db postgresql:///memory?host=$PGHOST&port=$PGPORT"
}

# Records to begin a stream with, as lines of JSON: a header, an experiment.
header() { # SOURCE
    printf '{"kind":"header","format":1,"minor":0,"producer":"test","source":"%032d","shard":0,"shards":1}\n' "$1"
}

experiment_1() {
    echo '{"kind":"experiment","experiment_id":"1","name":"e","lifecycle_stage":"active","artifact_location":"/x/1"}'
}

# all_programs N BYTES: the tree through every program.
all_programs() {
    tree "$1" "$2"
    for jobs in 1 4 64; do
        bounded "$2" mlruns-dump -q --jobs $jobs mlruns >$jobs.mlr
        cmp 1.mlr $jobs.mlr
    done
    rm -r mlruns 4.mlr 64.mlr
    empty_targets
    for url in $urls; do
        bounded "$2" ml-load -q "$url" <1.mlr
        bounded "$2" ml-verify -q "$url" <1.mlr >report
        assert_contains "$(cat report)" "Logged Model Tags: $1/$1 passed"
        bounded "$2" mldb-dump -q "$url" >2.mlr
        ml-verify -q "$url" <2.mlr >report
        assert_contains "$(cat report)" "Logged Model Tags: $1/$1 passed"
    done
    rm target.db 2.mlr
    bounded "$2" ml-transform --json <1.mlr >1.jsonl
    bounded "$2" ml-transform --from-json <1.jsonl >2.mlr
    cmp 1.mlr 2.mlr
    bounded "$2" ml-transform --json <1.mlr | bounded "$2" ml-transform --from-json --merge >2.mlr
    rm 1.jsonl 2.mlr
    for mode in --summary --validate --merge --renumber-experiments --rewrite-uri=/x=/y '--fit=sqlite --release=3.17' \
        --rename-experiment=0=New --workspace=team-a --lifecycle=active --head=5; do
        bounded "$2" ml-transform $mode <1.mlr >out
    done
}

@test "memory is bounded with many large records, in every program, with one thread or many, on SQLite and PostgreSQL" {
    all_programs 60 3000000
}

@test "memory is bounded with few larger records" {
    all_programs 3 25000000
}

@test "memory is bounded with records of 9, 100 and 400 MB" {
    [ -n "${DEEP-}" ] || skip "DEEP=1 runs it"
    all_programs 60 9000000
    all_programs 3 100000000
    all_programs 1 400000000
}

# large_rows N BYTES: rows of other tables, N of that size, through every program.
large_rows() {
    size=$2
    {
        header 1
        experiment_1
        echo '{"kind":"row","table":"evaluation_datasets","values":{"dataset_id":"d","name":"d"}}'
        for i in $(seq "$1"); do
            printf '{"kind":"row","table":"evaluation_dataset_records","values":{"dataset_record_id":"r%d","dataset_id":"d","input_hash":"%d","inputs":"{\\"q\\": \\"' $i $i
            head -c $size /dev/zero | tr '\0' x
            printf '\\"}"}}\n'
        done
    } >rows.jsonl
    bounded $size ml-transform --from-json --reseal <rows.jsonl >rows.mlr
    bounded $size ml-transform --json <rows.mlr >/dev/null
    bounded $size ml-transform --merge --renumber-experiments --workspace=team-a <rows.mlr >/dev/null
    empty_targets
    for url in $urls; do
        bounded $size ml-load -q --release 3.17 "$url" <rows.mlr
        bounded $size ml-verify -q "$url" <rows.mlr >report
        bounded $size mldb-dump -q "$url" >dump.mlr
    done
}

@test "memory is bounded with large rows of other tables, from database to database" {
    large_rows 5 20000000
    [ -z "${DEEP-}" ] || large_rows 1 300000000
}

# spans N BYTES: ./mlruns with a trace whose traces.json has N spans of that size, through every program.
spans() {
    rm -rf mlruns
    python3 - "$1" "$2" <<'PY'
import os, sys
n, size = int(sys.argv[1]), int(sys.argv[2])
trace = "tr-" + "0" * 31 + "1"
where = os.path.abspath(f"mlruns/0/traces/{trace}")
for part in ("artifacts", "tags", "request_metadata"):
    os.makedirs(f"{where}/{part}")
open("mlruns/0/meta.yaml", "w").write("artifact_location: /x/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n"
                                      "creation_time: 1\nlast_update_time: 1\n")
open(f"{where}/trace_info.yaml", "w").write(f"trace_id: {trace}\nexperiment_id: '0'\nrequest_time: '2024-01-01T00:00:00Z'\nstate: OK\n"
                                            f"execution_duration: 1s\ntrace_location:\n  type: MLFLOW_EXPERIMENT\n  mlflow_experiment:\n    experiment_id: '0'\n")
open(f"{where}/tags/mlflow.artifactLocation", "w").write(f"file://{where}/artifacts")
with open(f"{where}/artifacts/traces.json", "w") as f:
    f.write('{"spans": [')
    for i in range(n):
        f.write(', ' * (i > 0) + '{"name": "s", "context": {"span_id": "%016x", "trace_id": "%032x"}, "parent_id": null, "start_time": 1, '
                '"end_time": 2, "status_code": "OK", "status_message": "", "attributes": {"mlflow.spanInputs": "\\"' % (i + 1, 1))
        for left in range(size, 0, -(1 << 20)):
            f.write("x" * min(left, 1 << 20))
        f.write('\\""}, "events": []}')
    f.write("]}")
PY
    for jobs in 1 64; do
        bounded "$2" mlruns-dump -q --jobs $jobs mlruns >$jobs.mlr
        cmp 1.mlr $jobs.mlr
    done
    rm 64.mlr
    bounded "$2" ml-transform --summary <1.mlr >summary
    assert_equal "$(awk '$1 == "Spans" {print $2}' summary | tr -d ,)" "$1"
    bounded "$2" ml-transform --json <1.mlr | bounded "$2" ml-transform --from-json | cmp - 1.mlr
    bounded "$2" ml-transform --merge <1.mlr >2.mlr
    empty_targets
    for url in $urls; do
        bounded "$2" ml-load -q --spans-in-database --release 3.17 "$url" <1.mlr
        bounded "$2" ml-verify -q "$url" <1.mlr >report
        assert_contains "$(cat report)" "Spans: $1/$1 passed"
        bounded "$2" mldb-dump -q "$url" >2.mlr
        bounded "$2" ml-verify -q "$url" <2.mlr >report
        assert_contains "$(cat report)" "Spans: $1/$1 passed"
    done
    rm -f state state.new
    empty_targets
    for url in $urls; do
        bounded "$2" mlruns-dump -q --next-state state.new mlruns | bounded "$2" ml-load -q --sync --release 3.17 "$url"
        bounded "$2" ml-load -q --sync "$url" <1.mlr
    done
    rm -r mlruns ./*.mlr
}

@test "memory is bounded by the largest span of a traces.json, in every program" {
    spans 40 1500000
    spans 20000 500
    [ -z "${DEEP-}" ] || spans 250000 2000
    [ -z "${DEEP-}" ] || spans 1 100000000
}

@test "memory is bounded with bytes that PostgreSQL could not send as text" {
    size=20000000
    [ -z "${DEEP-}" ] || size=700000000
    psql -q -d mlflow -c 'DROP DATABASE IF EXISTS memory' -c 'CREATE DATABASE memory'
    url="postgresql:///memory?host=$PGHOST&port=$PGPORT"
    ml-schema create "$url" 2>/dev/null
    psql -qX -d memory -c "INSERT INTO secrets (secret_id, secret_name, encrypted_value, wrapped_dek, kek_version, masked_value, created_at, last_updated_at)
        VALUES ('s', 'n', convert_to(repeat('x', $size), 'UTF8'), '\\x00ff', -1, '{}', 1, 9007199254740993)"
    bounded $size mldb-dump -q --with-secrets "$url" >bytes.mlr
    bounded $size ml-verify -q "$url" <bytes.mlr >report
    bounded $size ml-load -q sqlite:///bytes.db <bytes.mlr
    assert_equal "$(sqlite3 bytes.db 'SELECT length(encrypted_value), hex(wrapped_dek), kek_version, last_updated_at FROM secrets')" "$size|00FF|-1|9007199254740993"
    psql -q -d mlflow -c 'DROP DATABASE memory' -c 'CREATE DATABASE memory'
    bounded $size ml-load -q "$url" <bytes.mlr
    ml-verify -q "$url" <bytes.mlr >report
}

@test "memory is bounded with large YAML texts and with files of many values, which one thread reads at a time" {
    size=25000000
    [ -z "${DEEP-}" ] || size=150000000
    python3 - $size <<'PY'
import os, sys
size = int(sys.argv[1])
os.makedirs("mlruns/0/datasets/d")
open("mlruns/0/meta.yaml", "w").write("artifact_location: /x/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n")
with open("mlruns/0/datasets/d/meta.yaml", "w") as f:
    f.write("name: n\ndigest: d\nsource_type: t\nsource: s\nprofile: \"")
    for left in range(size, 0, -1 << 20):
        f.write("x\\n" * (min(left, 1 << 20) // 3))
    f.write("\"\n")
for i in range(64):
    os.makedirs(f"mlruns/0/r{i}")
    open(f"mlruns/0/r{i}/meta.yaml", "w").write(
        f"artifact_uri: /x/0/r{i}\nexperiment_id: '0'\nlifecycle_stage: active\nrun_id: r{i}\nrun_name: n\nstart_time: 1\n"
        "status: 3\nuser_id: u\ntags: [" + "a," * 90000 + "a]\n")
PY
    for jobs in 1 64; do
        bounded $size mlruns-dump -q --jobs $jobs mlruns >$jobs.mlr
        cmp 1.mlr $jobs.mlr
    done
    rm -r mlruns/0/datasets
    for jobs in 1 64; do
        bounded 180000 mlruns-dump -q --jobs $jobs mlruns >$jobs.mlr
        cmp 1.mlr $jobs.mlr
    done
    assert_equal "$(ml-transform --json <1.mlr | tail -1 | jq .counts.run)" 64
    sed -i 's/a]/a,a,a,a,a,a,a,a,a,a,&/; s/a,a,a,a,/[a,a],[a,a],/g' mlruns/0/r7/meta.yaml
    run_split mlruns-dump -q mlruns
    assert_status 2
    assert_contains "$stderr" "mlruns/0/r7/meta.yaml:9: more than 100000 values"
}

@test "a false length of a record allocates nothing, and one beyond the limit is an error" {
    lie() { # BYTES of a text, of which 3 are there
        python3 - "$1" <<'PY'
import struct, sys
def text(s):
    return bytes([0xA0 + len(s)]) + s.encode() if len(s) < 32 else b"\xd9" + bytes([len(s)]) + s.encode()
header = {"kind": "header", "format": 1, "minor": 0, "producer": "test", "source": "0" * 32, "shard": 0, "shards": 1}
out = bytes([0x80 + len(header)])
for key, value in header.items():
    out += text(key) + (text(value) if isinstance(value, str) else bytes([value]))
out += b"\x84" + text("kind") + text("tag") + text("run_id") + text("r") + text("key") + text("k") + text("value")
sys.stdout.buffer.write(out + b"\xdb" + struct.pack(">I", int(sys.argv[1])) + b"abc")
PY
    }
    for bytes in 950000000 4294967295; do
        lie $bytes >lie.mlr
        run_split sh -c 'ulimit -v 60000; exec ml-transform --validate <lie.mlr'
        assert_status 2
        [ $bytes -lt 1000000000 ] && what="the stream is truncated in the middle of a record" || what="longer than 1000000000 bytes"
        assert_contains "$stderr" "$what"
    done
}

@test "a JSON line with more values than a record can have is refused before they are allocated" {
    line() { # VALUES
        header 1
        printf '{"kind":"row","table":"t","values":{"a":[1'
        head -c $((2 * $1 - 2)) /dev/zero | sed 's/\x00\x00/,1/g'
        printf ']}}\n'
    }
    line 65000 | ml-transform --from-json --reseal | ml-transform --validate
    for values in 65536 10000000; do
        line $values >values.jsonl
        run_split bounded $((2 * values)) ml-transform --from-json --reseal <values.jsonl
        assert_status 2
        assert_contains "$stderr" "standard input:2: the record holds more than 65536 values"
    done
    { # and a text may be full of what looks like values
        line 1 | sed -n 1p
        echo '{"kind":"experiment","experiment_id":"1","name":"e","lifecycle_stage":"active","artifact_location":"/x"}'
        printf '{"kind":"experiment_tag","experiment_id":"1","key":"\\\\","value":"'
        head -c 1000000 /dev/zero | sed 's/\x00/[\\"{:,/g'
        printf '"}\n'
    } >text.jsonl
    ml-transform --from-json --reseal <text.jsonl | ml-transform --json | sed -n 3p | cmp - <(sed -n 3p text.jsonl)
}

# experiments N SOURCE FIRST: a stream of N experiments, with ids from FIRST on and names from 1 on.
experiments() {
    {
        header "$2"
        awk -v n="$1" -v first="$3" 'BEGIN { for (i = 1; i <= n; i++) printf "{\"kind\":\"experiment\",\"experiment_id\":\"7%08d\",\"name\":\"experiment %d\",\"lifecycle_stage\":\"active\",\"artifact_location\":\"/x/%d\"}\n", first + i - 1, i, i }'
    } | ml-transform --from-json --reseal
}

@test "memory is bounded with many experiments in a summary, a merge, and with new numbers, names and workspaces" {
    n=100000
    [ -z "${DEEP-}" ] || n=1000000
    experiments $n 1 1 >many.mlr
    bounded 0 ml-transform --summary <many.mlr >out
    assert_equal "$(grep -c 'experiment [0-9]*$' out)" $n
    bounded 0 ml-transform --validate <many.mlr
    bounded 0 ml-transform --merge <many.mlr >merged.mlr
    bounded 0 ml-transform --renumber-experiments --id-map=ids <many.mlr >a.mlr
    assert_equal "$(wc -l <ids)" $n
    bounded 0 ml-transform --renumber-experiments --use-id-map=ids <many.mlr >b.mlr
    cmp a.mlr b.mlr
    bounded 0 ml-transform --lifecycle=active <many.mlr >c.mlr
    cmp <(ml-transform --json <many.mlr | grep '^{"kind":"experiment"') <(ml-transform --json <merged.mlr | grep '^{"kind":"experiment"')
    cmp c.mlr many.mlr
    bounded 0 ml-transform --workspace=team-a --rename-experiment=700000001=First <many.mlr >c.mlr
    assert_equal "$(ml-transform --json <c.mlr | sed -n 2p)" '{"kind":"experiment","experiment_id":"700000001","name":"First","artifact_location":"/x/1","lifecycle_stage":"active","workspace":"team-a"}'
}

@test "memory is bounded when many experiments of two sources are merged, in every way" {
    n=30000
    [ -z "${DEEP-}" ] || n=1000000
    { experiments $n 1 1; experiments $n 2 1; } >same.mlr
    bounded 0 ml-transform --merge <same.mlr >merged.mlr 2>err
    assert_contains "$(cat err)" "2 sources: $n experiments and runs"
    { experiments $n 1 1; experiments $n 2 $((n / 2 + 1)); } >both.mlr
    for policy in rename merge; do
        bounded 0 ml-transform -q --merge --on-conflict=$policy --renumber-experiments <both.mlr >merged.mlr
        [ $policy = rename ] && left=$((2 * n)) || left=$n
        assert_equal "$(ml-transform --json <merged.mlr | tail -1 | jq .counts.experiment)" $left
    done
}

@test "memory is bounded with many runs, in a merge and a selection" {
    n=50000
    [ -z "${DEEP-}" ] || n=1000000
    {
        header 1
        experiment_1
        awk -v n=$n 'BEGIN { for (i = 1; i <= n; i++) printf "{\"kind\":\"run\",\"run_id\":\"%032d\",\"experiment_id\":\"1\",\"user_id\":\"u\",\"status\":\"FINISHED\",\"start_time\":1,\"artifact_uri\":\"/x\",\"lifecycle_stage\":\"active\"}\n{\"kind\":\"tag\",\"run_id\":\"%032d\",\"key\":\"k\",\"value\":\"v\"}\n", i * 7919 % n, i * 7919 % n }'
    } | ml-transform --from-json --reseal >runs.mlr
    bounded 0 ml-transform --summary <runs.mlr >out
    bounded 0 ml-transform --merge --renumber-experiments <runs.mlr >merged.mlr
    assert_equal "$(ml-transform --json <merged.mlr | tail -1 | jq -c .counts)" "{\"experiment\":1,\"run\":$n,\"tag\":$n}"
    bounded 0 ml-transform --tag k=v --status FINISHED <runs.mlr >some.mlr
    cmp some.mlr runs.mlr
    bounded 0 ml-transform --validate <runs.mlr
    ml-load -q sqlite:///runs.db <runs.mlr
    bounded 0 ml-verify -q --html page.html sqlite:///runs.db <runs.mlr >out
    grep -q "The database equals its source" page.html
}

# names_in DIRECTORY N LENGTH [FILE]: N names of that length, which are hard links of dangling links, or of empty files.
names_in() {
    python3 - "$@" <<'PY'
import os, sys
directory, n, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.makedirs(directory, exist_ok=True)
for i in range(n):
    name = f"{directory}/5{i * 7919 % n:0{length - 1}d}"
    if i % 50000:
        os.link(first, name, follow_symlinks=False)
        continue
    first = name
    os.symlink("nowhere", first) if len(sys.argv) == 4 else open(first, "w").close()
PY
}

@test "mlruns-dump: memory is bounded with many unreadable experiments" {
    n=120000 length=250 # 30 MB, twice that in messages
    [ -z "${DEEP-}" ] || { n=1000000; length=12; }
    mkdir -p mlruns/.trash tmp
    names_in mlruns $n $length
    bounded 0 mlruns-dump --list -q --tmpdir tmp mlruns >list
    seq -f "5%0$((length - 1)).0f" 0 $((n - 1)) | cmp - list
    status=0
    bounded 0 mlruns-dump -q --skip-malformed --jobs 64 --tmpdir tmp mlruns >out.mlr 2>err || status=$?
    assert_equal $status 1
    sed -n 's|^mlruns-dump: mlruns/\(5[0-9]*\): warning: left out: a dangling link$|\1|p' err | cmp - list
    assert_equal "$(ls -A tmp)" ""
}

@test "mlruns-dump: memory is bounded with directories of many names in 64 threads" {
    n=16000 # 3 MB, which all threads together must not hold
    [ -z "${DEEP-}" ] || n=1000000
    mkdir -p mlruns/0/traces
    printf "artifact_location: /x/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n" >mlruns/0/meta.yaml
    names_in names $n 200 file # MLflow reads no such assessments
    for i in $(seq 64); do
        mkdir "mlruns/0/traces/t$i"
        printf "trace_id: t$i\nrequest_time: '2024-01-31T12:00:00Z'\nstate: OK\n" >"mlruns/0/traces/t$i/trace_info.yaml"
        ln -s ../../../../names "mlruns/0/traces/t$i/assessments"
    done
    bounded 0 mlruns-dump -q --jobs 64 mlruns >many.mlr
    bounded 0 mlruns-dump -q --jobs 1 mlruns >one.mlr
    cmp many.mlr one.mlr
    assert_equal "$(ml-transform --json <one.mlr | tail -1 | jq .counts.trace)" 64
}

@test "mlruns-dump: memory is bounded with many names in each kind of directory" {
    n=3000
    [ -z "${DEEP-}" ] || n=1000000
    experiment="artifact_location: /x/0\nexperiment_id: '0'\nlifecycle_stage: active\nname: Default\n"
    run="artifact_uri: /x/0/r\nexperiment_id: '0'\nlifecycle_stage: active\nrun_id: r\nrun_name: n\nstart_time: 1\nstatus: 3\nuser_id: u\n"
    for directory in 0 0/traces 0/models 0/datasets 0/tags 0/r/params 0/r/metrics 0/r/inputs models; do
        rm -rf mlruns
        mkdir -p mlruns/.trash mlruns/0/r
        printf "$experiment" >mlruns/0/meta.yaml
        printf "$run" >mlruns/0/r/meta.yaml
        names_in "mlruns/$directory" $n 33
        bounded 0 mlruns-dump -q --jobs 64 --skip-malformed mlruns >many.mlr 2>err && false
        assert_equal "$(grep -c "mlruns/$directory/5[0-9]*: warning: left out: a dangling link" err)" $n
        bounded 0 mlruns-dump -q --jobs 1 --skip-malformed mlruns 2>err.1 >one.mlr && false
        cmp many.mlr one.mlr
        cmp err err.1
    done
}

@test "mlruns-dump: memory is bounded with many experiments, and deleted ones with ids of others, with every option" {
    n=2000
    [ -z "${DEEP-}" ] || n=1000000
    python3 - $n <<'PY'
import os, sys
n = int(sys.argv[1])
for where in "mlruns", "mlruns/.trash":
    os.mkdir(where)
    for i in range(n // 2):
        number = i * 7919 % n
        directory = f"{where}/7{number:08d}"
        os.mkdir(directory)
        open(directory + "/meta.yaml", "w").write(
            f"artifact_location: /x/7{number:08d}\nexperiment_id: '7{number:08d}'\nlifecycle_stage: active\n"
            f"name: experiment {number}\ncreation_time: {len(where)}\nlast_update_time: 1\n")
PY
    bounded 0 mlruns-dump -q --renumber-trash --jobs 64 mlruns >many.mlr
    assert_equal "$(ml-transform --json <many.mlr | tail -1 | jq .counts.experiment)" $n
    bounded 0 mlruns-dump -q --renumber-trash --jobs 1 mlruns | cmp - many.mlr
    bounded 0 mlruns-dump -q --renumber-trash --check mlruns 2>err && false
    assert_equal "$(grep -c "^mlruns-dump: mlruns/.trash/7.* is also that of the experiment in mlruns/7" err)" $((n / 2))
    bounded 0 mlruns-dump -q --skip-malformed mlruns 2>err >out.mlr && false
    assert_equal "$(grep -c "^mlruns-dump: mlruns/.trash/7.*: warning: left out: its id is also that of" err)" $((n / 2))
    bounded 0 mlruns-dump -q --renumber-trash --relocate --shard 1/2 mlruns >out.mlr
    bounded 0 mlruns-dump -q --experiment 700000000 --renumber-trash mlruns >out.mlr
    assert_equal "$(ml-transform --json <out.mlr | tail -1 | jq .counts.experiment)" 1
    bounded 0 mlruns-dump -q --renumber-trash --next-state state --jobs 64 mlruns >tick.mlr
    cmp <(ml-transform --json <tick.mlr | sed '1d;$d') <(ml-transform --json <many.mlr | sed '1d;$d')
    bounded 0 mlruns-dump -q --renumber-trash --since state --next-state state.2 --jobs 64 mlruns >tick.mlr
    assert_equal "$(ml-transform --json <tick.mlr | wc -l)" 2
    find mlruns/.trash -mindepth 1 -maxdepth 1 -exec rm -r {} +
    bounded 0 mlruns-dump -q --renumber-trash --since state --next-state state.2 --jobs 64 mlruns 2>err >tick.mlr
    assert_equal "$(ml-transform --json <tick.mlr | wc -l)" 2
}

# wide_tree PART N: ./mlruns with N of them in one experiment, run or store: runs, tags, models.
wide_tree() {
    rm -rf mlruns
    python3 - "$@" <<'PY'
import os, sys
part, n = sys.argv[1], int(sys.argv[2])
def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        f.write(text)
    os.utime(path, (5, 5)) # a tick does not wait for what is old
def write_run(name):
    write(f"mlruns/1/{name}/meta.yaml", f"artifact_uri: /x/1/{name}/artifacts\nend_time: 2\nexperiment_id: '1'\nlifecycle_stage: active\n"
          f"run_id: {name}\nrun_name: n\nstart_time: 1\nstatus: 3\nuser_id: u\n")
write("mlruns/1/meta.yaml", "artifact_location: /x/1\nexperiment_id: '1'\nlifecycle_stage: active\nname: e\ncreation_time: 1\nlast_update_time: 1\n")
if part == "tags":
    write_run("r")
    os.mkdir("mlruns/1/r/tags")
for i in range(n):
    if part == "runs":
        write_run(f"r{i:08d}")
    elif part == "models":
        write(f"mlruns/models/m{i:08d}/meta.yaml", f"creation_timestamp: 1\nlast_updated_timestamp: 1\nname: m{i:08d}\n")
    elif i % 50000: # links of one file, of which a file system allows some 65,000
        os.link(first, f"mlruns/1/r/tags/{i:0200d}")
    else:
        first = f"mlruns/1/r/tags/{i:0200d}"
        write(first, "v")
PY
}

@test "mlruns-dump: many runs, tags of a run and registered models, in every way" {
    runs=2000 tags=40000
    [ -z "${DEEP-}" ] || { runs=1000000; tags=1000000; }
    for case in "runs run $runs" "tags tag $tags" "models registered_model $runs"; do
        set -- $case
        wide_tree $1 $3
        rm -f state state.2
        bounded 0 mlruns-dump -q --jobs 64 mlruns >many.mlr
        assert_equal "$(ml-transform --json <many.mlr | tail -1 | jq ".counts.$2")" $3
        bounded 0 mlruns-dump -q --check mlruns
        for shard in 0 1; do bounded 0 mlruns-dump -q --relocate --shard $shard/2 mlruns; done >shards.mlr
        bounded 0 ml-transform -q --merge <shards.mlr >merged.mlr
        assert_equal "$(ml-transform --json <merged.mlr | tail -1 | jq ".counts.$2")" $3
        bounded 0 mlruns-dump -q --renumber-trash --next-state state --jobs 64 mlruns >tick.mlr
        cmp <(ml-transform --json <tick.mlr | sed '1d;$d') <(ml-transform --json <many.mlr | sed '1d;$d')
        bounded 0 mlruns-dump -q --renumber-trash --since state --next-state state.2 --jobs 64 mlruns >tick.mlr
        assert_equal "$(ml-transform --json <tick.mlr | tail -1 | jq ".counts.$2 // 0")" 0
    done
}

# many SORT N: a stream of N records of one sort (many_records.py).
many() {
    python3 "$ROOT/tests/many_records.py" "$@" | ml-transform --from-json --reseal
}

@test "many sources and segments: nothing is kept of each but a few bytes" {
    n=150000 limit=38912 # where a record's source and shard are a list in memory, ml-verify takes 45 MiB
    [ -z "${DEEP-}" ] || { n=1000000; limit=65536; }
    for sort in sources segments; do
        many $sort $n >many.mlr
        rm -f many.db
        within $limit ml-load -q sqlite:///many.db <many.mlr
        within $limit ml-verify -q sqlite:///many.db <many.mlr >report
        [ -n "${DEEP-}" ] || break
        bounded 0 ml-load -q --sync sqlite:///many.db <many.mlr
        bounded 0 ml-verify -q --subset sqlite:///many.db <many.mlr >report
        bounded 0 ml-transform -q --merge <many.mlr >merged.mlr
    done
}

# through_all SORT N: many of a sort, by every program.
through_all() {
    many "$@" >many.mlr
    for mode in --json --summary --validate "--merge --renumber-experiments" --workspace=team-a --lifecycle=active --experiment=1 \
        --exclude-kind=experiment_tag "--fit=postgresql --release=3.4" --rewrite-uri=/z=/y; do
        case $1,$mode in workspaces,--workspace* | *,--experiment*) continue ;; esac
        bounded 0 ml-transform -q $mode <many.mlr >out
    done
    empty_targets
    for url in $urls; do
        bounded 0 ml-load -q --dry-run "$url" <many.mlr
        bounded 0 ml-load -q "$url" <many.mlr
        bounded 0 ml-verify -q "$url" <many.mlr >report
        bounded 0 mldb-dump -q "$url" >out
        bounded 0 ml-load -q --sync "$url" <many.mlr
        bounded 0 ml-verify -q --subset "$url" <many.mlr >report
    done
    rm -f state state.2 old.db
    bounded 0 mldb-dump -q --next-state state sqlite:///target.db >out
    bounded 0 mldb-dump -q --since state --next-state state.2 sqlite:///target.db >out
    bounded 0 ml-load -q --drop-unsupported --release 1.0 sqlite:///old.db <many.mlr || [ $? -eq 1 ]
    bounded 0 ml-migrate -q --source sqlite:///target.db --target sqlite:///again.db --verify >out
    rm -f again.db
}

@test "many records of any sort, through every program" {
    if [ -n "${DEEP-}" ]; then
        for sort in $(python3 "$ROOT/tests/many_records.py"); do through_all $sort 1000000; done
    else
        for sort in overrides span; do through_all $sort 5000; done
    fi
}

# growing RUNS POINTS VALUE: a stream of so many runs, each with a param and a tag of this value; the points are of the first.
growing() {
    {
        header 1
        experiment_1
        awk -v runs="$1" -v points="$2" -v value="$3" 'BEGIN { for (i = 1; i <= runs; i++) {
            printf "{\"kind\":\"run\",\"run_id\":\"%032d\",\"experiment_id\":\"1\",\"user_id\":\"u\",\"status\":\"FINISHED\",\"start_time\":1,\"artifact_uri\":\"/x\",\"lifecycle_stage\":\"active\"}\n", i
            printf "{\"kind\":\"param\",\"run_id\":\"%032d\",\"key\":\"k\",\"value\":\"%s\"}\n", i, value
            for (p = 1; i == 1 && p <= points; p++)
                printf "{\"kind\":\"metric\",\"run_id\":\"%032d\",\"key\":\"m\",\"step\":%d,\"timestamp\":1,\"value\":0.5}\n", i, p
            printf "{\"kind\":\"tag\",\"run_id\":\"%032d\",\"key\":\"k\",\"value\":\"%s\"}\n", i, value } }'
    } | ml-transform --from-json --reseal
}

@test "memory is bounded in syncs of many points and runs: new, equal, changed and in conflict" {
    runs=10000 points=20000
    [ -z "${DEEP-}" ] || { runs=200000; points=1000000; }
    growing $runs $points v >1.mlr
    growing $runs $points w >2.mlr
    empty_targets
    for url in $urls; do
        bounded 0 ml-load -q --sync "$url" <1.mlr
        bounded 0 ml-load -q --sync "$url" <1.mlr
        bounded 0 ml-verify -q --subset "$url" <1.mlr >report
        assert_contains "$(cat report)" "Metrics: $points/$points passed"
        run_split bounded 0 ml-load -q --sync --on-conflict skip --json "$url" <2.mlr
        assert_status 1
        assert_equal "$(jq -c '[.kinds.param.conflicts, .kinds.tag.changed]' <<<"$output")" "[$runs,$runs]"
    done
}

@test "memory is bounded in ticks of many files" {
    runs=1000
    [ -z "${DEEP-}" ] || runs=30000
    python3 - $runs <<'PY'
import os, sys
os.makedirs("mlruns/1")
open("mlruns/1/meta.yaml", "w").write("artifact_location: /x/1\nexperiment_id: '1'\nlifecycle_stage: active\nname: e\ncreation_time: 1\nlast_update_time: 1\n")
for i in range(int(sys.argv[1])):
    run = f"mlruns/1/r{i:07d}"
    for part in "tags", "params", "metrics":
        os.makedirs(f"{run}/{part}")
    open(run + "/meta.yaml", "w").write(f"artifact_uri: /x/1/r{i:07d}\nend_time: 2\nexperiment_id: '1'\nlifecycle_stage: active\n"
        f"run_id: r{i:07d}\nrun_name: n\nstart_time: 1\nstatus: 3\nuser_id: u\n")
    for k in range(7):
        open(f"{run}/tags/k{k}", "w").write("v")
    open(run + "/params/p", "w").write("v")
    open(run + "/metrics/m", "w").write("1 0.5 0\n")
PY
    empty_targets
    tick() { # URL: what has changed, to both
        for jobs in 1 64; do
            bounded 0 mlruns-dump -q --jobs $jobs --since state --next-state state.new mlruns >$jobs.mlr
        done
        bounded 0 ml-load -q --sync --on-conflict skip --promote state.new=state "$1" <64.mlr || [ $? -eq 1 ]
        bounded 0 ml-verify -q --subset --use-state state "$1" <64.mlr >report || [ $? -eq 1 ]
    }
    for url in $urls; do
        rm -f state state.new
        tick "$url"
        tick "$url"
        for run in mlruns/1/r*; do
            echo "${url%%:*}" >"$run/tags/k0"
            echo "${url%%:*}" >"$run/params/p"
        done
        touch -d @5 mlruns/1/*/params/p # settled, and in conflict
        tick "$url"
    done
}

@test "memory is bounded in ticks of a database of many records, and of ml-sync" {
    runs=10000 points=20000
    [ -z "${DEEP-}" ] || { runs=300000; points=1000000; }
    growing $runs $points v | ml-load -q sqlite:///m.db
    empty_targets
    for url in $urls; do
        rm -f state state.new
        bounded 0 mldb-dump -q --next-state state.new sqlite:///m.db >1.mlr
        bounded 0 ml-load -q --sync --promote state.new=state "$url" <1.mlr
        sqlite3 m.db "UPDATE tags SET value = value || 'x'; UPDATE runs SET end_time = coalesce(end_time, 1) + 1;
            INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan) SELECT key, value, timestamp + (SELECT max(timestamp) FROM metrics), step, run_uuid, is_nan FROM metrics"
        bounded 0 mldb-dump -q --since state --next-state state.new sqlite:///m.db >2.mlr
        bounded 0 ml-load -q --sync --promote state.new=state "$url" <2.mlr
        bounded 0 ml-verify -q --subset --use-state state "$url" <2.mlr >report
    done
    empty_targets
    for url in $urls; do
        bounded 0 ml-sync --quiet --source sqlite:///m.db --target "$url" --state states --verify
        sqlite3 m.db "UPDATE tags SET value = value || 'y'"
        bounded 0 ml-sync --quiet --source sqlite:///m.db --target "$url" --state states --verify
    done
}

# large N BYTES TEXT: a stream of N logged models, each with a tag of that size and text.
large() {
    {
        header 1
        experiment_1
        for i in $(seq "$1"); do
            printf '{"kind":"logged_model","model_id":"m-%d","experiment_id":"1","name":"n","artifact_location":"/x","creation_timestamp":1,"last_updated_timestamp":1,"status":"READY","lifecycle_stage":"active"}\n' "$i"
            printf '{"kind":"logged_model_tag","model_id":"m-%d","experiment_id":"1","key":"large","value":"' "$i"
            head -c "$2" /dev/zero | tr '\0' "$3"
            printf '"}\n'
        done
    } | ml-transform --from-json --reseal
}

@test "memory is bounded in syncs of large values: new, equal, changed and reported" {
    size=60000000 n=1
    [ -z "${DEEP-}" ] || { size=100000000; n=3; }
    large $n $size x >1.mlr
    large $n $size y >2.mlr
    empty_targets
    for url in $urls; do
        bounded $size ml-load -q --sync "$url" <1.mlr
        bounded $size ml-load -q --sync "$url" <1.mlr
        bounded $size ml-verify -q --subset "$url" <1.mlr >report
        bounded $size ml-load --sync --json "$url" <2.mlr >out 2>err
        assert_equal "$(jq '.overwritten | length' out)" $n
        bounded $size ml-verify -q --subset "$url" <2.mlr >report
        bounded $size ml-load -q --sync --prefer target --json "$url" <1.mlr >out
        assert_equal "$(jq .kinds.logged_model_tag.kept out)" $n
    done
    rm 1.mlr 2.mlr
    empty_targets
    large $n $size x | ml-load -q sqlite:///m.db
    for url in $urls; do
        bounded $size ml-sync --quiet --source sqlite:///m.db --target "$url" --state states --verify
        sqlite3 m.db "UPDATE logged_model_tags SET tag_value = 'z' || substr(tag_value, 2) || 'z'"
        bounded $size ml-sync --quiet --source sqlite:///m.db --target "$url" --state states --verify
    done
}

# records N BYTES PREFIX: a stream of an evaluation dataset with N records of that size, whose ids have the prefix.
records() {
    python3 - "$@" <<'PY' | ml-transform --from-json --reseal
import json, sys
n, size, prefix = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
print(json.dumps({"kind": "header", "format": 1, "minor": 0, "producer": "test", "source": "0" * 32, "shard": 0, "shards": 1}))
print(json.dumps({"kind": "row", "table": "evaluation_datasets", "values": {"dataset_id": "d", "name": "d"}}))
for i in range(n):
    print(json.dumps({"kind": "row", "table": "evaluation_dataset_records", "values": {
        "dataset_record_id": f"{prefix}{i}", "dataset_id": "d", "input_hash": str(i), "inputs": json.dumps("x" * size)}}))
PY
}

@test "memory is bounded in syncs of many and of large rows with other ids in the target" {
    n=10000 size=20000000
    [ -z "${DEEP-}" ] || { n=300000; size=100000000; }
    for case in "$n 1" "1 $size"; do
        set -- $case
        records $1 $2 a >1.mlr
        records $1 $2 b >2.mlr
        empty_targets
        for url in $urls; do
            bounded $2 ml-load -q --sync --release 3.17 "$url" <1.mlr
            bounded $2 ml-load -q --sync "$url" <2.mlr
            bounded $2 ml-verify -q --subset "$url" <2.mlr >report
        done
        assert_equal "$(sqlite3 target.db "SELECT count(*), min(substr(dataset_record_id, 1, 1)), max(substr(dataset_record_id, 1, 1)) FROM evaluation_dataset_records")" "$1|a|a"
    done
}
