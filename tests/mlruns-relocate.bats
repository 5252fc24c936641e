#!/usr/bin/env bats
# mlruns-dump --relocate: URIs that say where the tree lies, of every system that MLflow runs on.

load helpers

setup() {
    work
}

EXP=537708342419121040
OLD=870002130377617530
DEEP=1b720d04f3e24f11bc736169024f6d03
MODEL=m-0066609c996345978e8acb3897f80ab5
TRACE=tr-553edf1d059cd12a1a886a3a57d1cda1
HOME_OF_TREE=file:///home/ada/churn/mlruns

# dump ARGUMENT...: the stream in ./out, messages in $stderr
dump() {
    status=0
    mlruns-dump "$@" >out 2>err || status=$?
    stderr=$(cat err)
    output=
}

json() { # the records of ./out as JSON lines
    ml-transform -q --json <out
}

# tree_with URI EXPERIMENT_URI: a store with one run that has this artifact_uri
tree_with() {
    rm -rf mlruns
    mkdir -p mlruns/7/abc
    jq -nr --arg uri "$2" '"experiment_id: '7'\nname: seven\nartifact_location: \($uri | tojson)"' >mlruns/7/meta.yaml
    jq -nr --arg uri "$1" '"experiment_id: '7'\nrun_id: abc\nstatus: 3\nstart_time: 1\nuser_id: ada\nartifact_uri: \($uri | tojson)"' >mlruns/7/abc/meta.yaml
}

# relocated ROOT [SEPARATOR]: where the run and the experiment of a tree with this root lie afterwards
relocated() {
    sep=${2-/}
    tree_with "$1${sep}7${sep}abc${sep}artifacts" "$1${sep}7"
    mlruns-dump -q --relocate=file:///new/place mlruns | ml-transform -q --json |
        jq -r 'select(.kind == "experiment" or .kind == "run") | .artifact_location // .artifact_uri' | xargs
}

@test "roots of every kind are replaced, in the experiment's and the run's URI" {
    wanted="file:///new/place/7 file:///new/place/7/abc/artifacts"
    for root in file:///home/ada/mlruns file:/home/ada/mlruns file://localhost/home/ada/mlruns /home/ada/mlruns file:///Users/ada/mlruns \
        file:///mnt/c/Users/ada/mlruns file:///D:/work/mlruns file:///C:/Users/Ada%20L/mlruns 'file:c:/my work/the \mlruns' C:/work/mlruns \
        ./mlruns mlruns file:../other/mlruns file:./mlruns ../mlruns file:mlruns file://server/share/mlruns file:///home/ada//mlruns/ FILE:///x/mlruns \
        'file:///home/ada/a b/mlruns' file:///home/ada/mlruns/mlruns 'file:C:\work\mlruns' 'file:///C:\work\mlruns'; do
        assert_equal "$root: $(relocated "$root")" "$root: $wanted"
    done
    for root in 'file:C:\work\mlruns' 'file:///C:\work\mlruns' 'C:\work\mlruns' '.\mlruns' '\\server\share\mlruns'; do
        assert_equal "$root: $(relocated "$root" '\')" "$root: $wanted"
    done
    # where the tree is the root of a file system, or MLflow stood in it
    assert_equal "$(relocated file://)" "$wanted"
    assert_equal "$(relocated .)" "$wanted"
    tree_with 7/abc/artifacts 7/
    assert_equal "$(mlruns-dump -q --relocate=file:///new/place mlruns | ml-transform -q --json | jq -r '.artifact_uri // empty')" \
        file:///new/place/7/abc/artifacts
}

@test "a URI that does not repeat its place in the tree stays, and is counted" {
    for uri in s3://bucket/7/abc/artifacts mlflow-artifacts:/7/abc/artifacts dbfs:/7/abc/artifacts http://host/7/abc/artifacts \
        file:///data/7/abd/artifacts file:///data/17/abc/artifacts file:///data/7/abc/artifacts/model file:///data/7/abc /data/7abc/artifacts \
        /data/abc/artifacts file:///data/7/abc/Artifacts runs:/7/abc/artifacts; do
        tree_with "$uri" "file:///custom"
        dump --relocate=file:///new/place mlruns
        assert_status 0
        assert_equal "$(json | jq -r '.artifact_uri // empty')" "$uri"
        assert_equal "$(json | jq -r '.artifact_location // empty')" file:///custom
        assert_contains "$stderr" "Experiments: artifact_location: 0 relocated, 1 unchanged"
        case $uri in
        runs:*) refute_contains "$stderr" "Runs: artifact_uri" ;; # no place at all
        *) assert_contains "$stderr" "Runs: artifact_uri: 0 relocated, 1 unchanged" ;;
        esac
        refute_contains "$stderr" "artifact URIs from"
    done
    # a backslash is a letter of a file's name where the path is not of Windows
    tree_with '/data\7\abc\artifacts' file:///custom
    dump --relocate=file:///new/place mlruns
    assert_equal "$(json | jq -r '.artifact_uri // empty')" '/data\7\abc\artifacts'
}

@test "every field that holds a URI is relocated, and no other" {
    cp -r "$ROOT/tests/data/mlruns" mlruns
    mkdir -p mlruns/$EXP/$DEEP/artifacts
    sed -i "s|^source: .*|source: '{\"uri\": \"$HOME_OF_TREE/$EXP/$DEEP/artifacts/a b.csv\", \"url\": \"https://example.com/$EXP/$DEEP/artifacts\"}'|" mlruns/$EXP/datasets/*/meta.yaml
    sed -i "s|^source: .*|source: $HOME_OF_TREE/$EXP/$DEEP/artifacts/model|" mlruns/models/churn/version-1/meta.yaml
    printf %s "$HOME_OF_TREE/$EXP/$DEEP/artifacts" >mlruns/$EXP/$DEEP/params/where
    dump mlruns
    json >before
    dump --relocate=s3://bucket/runs/ mlruns
    assert_status 0
    json >after
    assert_equal "$(jq -r 'select(.kind == "experiment") | .artifact_location' after | xargs)" "s3://bucket/runs/0 s3://bucket/runs/$EXP s3://bucket/runs/$OLD"
    assert_equal "$(jq -r 'select(.run_id == "'$DEEP'" and .kind == "run") | .artifact_uri' after)" s3://bucket/runs/$EXP/$DEEP/artifacts
    assert_equal "$(jq -r 'select(.kind == "logged_model") | .artifact_location' after)" s3://bucket/runs/$EXP/models/$MODEL/artifacts
    assert_equal "$(jq -r 'select(.kind == "trace_tag" and .key == "mlflow.artifactLocation") | .value' after)" s3://bucket/runs/$EXP/traces/$TRACE/artifacts
    assert_equal "$(jq -r 'select(.kind == "model_version" and .name == "churn") | "\(.source) \(.storage_location)"' after)" \
        "s3://bucket/runs/$EXP/$DEEP/artifacts/model s3://bucket/runs/$EXP/models/$MODEL/artifacts"
    assert_equal "$(jq -r 'select(.kind == "dataset") | .source' after)" \
        "{\"uri\": \"s3://bucket/runs/$EXP/$DEEP/artifacts/a b.csv\", \"url\": \"https://example.com/$EXP/$DEEP/artifacts\"}"
    assert_equal "$(jq -r 'select(.kind == "param" and .key == "where") | .value' after)" "$HOME_OF_TREE/$EXP/$DEEP/artifacts"
    assert_equal "$(jq -r 'select(.kind == "model_version" and .name != "churn") | .source' after | sort -u)" dummy-source
    # all else is what it was
    diff <(sed 1d before | grep -v '"trailer"' | sed "s|$HOME_OF_TREE|s3://bucket/runs|g") \
        <(sed 1d after | grep -v '"trailer"' | sed "s|$HOME_OF_TREE|s3://bucket/runs|g")
    assert_contains "$stderr" "Datasets: source: 1 relocated, 0 unchanged"
    assert_contains "$stderr" "Model Versions: source: 1 relocated, 0 unchanged"
    assert_contains "$stderr" "relocated 12 artifact URIs from $HOME_OF_TREE (12)"
    # the registry alone says the same, and so do shards and any number of threads
    dump -q --relocate=s3://bucket/runs --registry mlruns
    assert_equal "$(json | jq -r 'select(.kind == "model_version" and .name == "churn") | .source')" s3://bucket/runs/$EXP/$DEEP/artifacts/model
    for i in 0 1 2; do mlruns-dump -q --relocate=s3://bucket/runs --jobs $((i + 1)) --shard $i/3 mlruns; done | ml-transform -q --merge >out
    diff <(sed 1d after | grep -v '"trailer"' | sort) <(json | sed 1d | grep -v '"trailer"' | sort)
    # a source of which the tree has nothing stays
    sed -i "s|^source: .*|source: $HOME_OF_TREE/$EXP/00000000000000000000000000000000/artifacts/model|" mlruns/models/churn/version-1/meta.yaml
    dump --relocate=s3://bucket/runs mlruns
    assert_equal "$(json | jq -r 'select(.kind == "model_version" and .name == "churn") | .source')" \
        "$HOME_OF_TREE/$EXP/00000000000000000000000000000000/artifacts/model"
    assert_contains "$stderr" "Model Versions: source: 0 relocated, 1 unchanged"
}

@test "several roots are replaced, and each is counted" {
    mkdir mlruns
    i=0
    for root in file:///D:/work/mlruns file:///D:/work/mlruns 'file:C:\work\mlruns' ./mlruns file:../mlruns s3://bucket /a /b; do
        i=$((i + 1))
        mkdir -p mlruns/7/r$i
        jq -nr --arg uri "$root/7/r$i/artifacts" '"experiment_id: '7'\nrun_id: r'$i'\nstatus: 3\nstart_time: 1\nuser_id: a\nartifact_uri: \($uri | tojson)"' \
            >mlruns/7/r$i/meta.yaml
    done
    printf "experiment_id: '7'\nname: n\nartifact_location: %s/mlruns/7\n" "file://$PWD" >mlruns/7/meta.yaml
    dump mlruns
    assert_status 0
    assert_contains "$stderr" "mlruns: 6 of its artifact URIs name another location: file:///D:/work/mlruns (2), /a (1), /b (1), file:../mlruns (1), file:C:\\work\\mlruns (1)"
    refute_contains "$stderr" " ./mlruns (1)" # it is here, seen from this directory
    assert_equal "$(grep -c -- --relocate err)" 1
    dump --relocate mlruns
    assert_contains "$stderr" "mlruns: relocated 7 artifact URIs from file:///D:/work/mlruns (2), ./mlruns (1), /a (1), /b (1), file:../mlruns (1), ..."
    assert_contains "$stderr" "Runs: artifact_uri: 7 relocated, 1 unchanged"
    assert_equal "$(json | jq -r '.artifact_uri // empty' | grep -c "^file://$PWD/mlruns/7/r[0-9]/artifacts$")" 7
}

@test "the default is the tree's real path, as a file: URI, in MLflow's spelling of paths and URIs" {
    mkdir "a b%é"
    cd "a b%é"
    tree_with '/old/a%20b/7/abc/artifacts' 'file:///old/a%20b/7'
    ln -s mlruns link
    here="file://$(printf %s "$PWD" | sed 's/a b%é$//')a%20b%25%C3%A9/mlruns"
    dump --relocate link
    assert_status 0
    assert_equal "$(json | jq -r '.artifact_uri // empty')" "$here/7/abc/artifacts"
    assert_equal "$(json | jq -r '.artifact_location // empty')" "$here/7"
    assert_contains "$stderr" "artifact URIs from "
    # what follows the root of a plain path has no %XX, and in a file: URI it has
    mkdir -p mlruns/models/m/version-1 mlruns/models/m/version-2
    for v in 1 2; do printf 'name: m\nversion: %s\n' $v >mlruns/models/m/version-$v/meta.yaml; done
    printf 'name: m\n' >mlruns/models/m/meta.yaml
    echo "source: /old/a%20b/7/abc/artifacts/50% of é" >>mlruns/models/m/version-1/meta.yaml
    echo "source: file:///old/a%20b/7/abc/artifacts/50%25%20of" >>mlruns/models/m/version-2/meta.yaml
    sources() { mlruns-dump -q --relocate="$1" mlruns | ml-transform -q --json | jq -r '.source // empty | select(contains("artifacts"))'; }
    assert_equal "$(sources file:///new)" "file:///new/7/abc/artifacts/50%25%20of%20%C3%A9
file:///new/7/abc/artifacts/50%25%20of"
    assert_equal "$(sources /new)" "/new/7/abc/artifacts/50% of é
/new/7/abc/artifacts/50% of"
    assert_equal "$(sources s3://b/new)" "s3://b/new/7/abc/artifacts/50% of é
s3://b/new/7/abc/artifacts/50% of"
    assert_equal "$(sources mlflow-artifacts:/)" "mlflow-artifacts:/7/abc/artifacts/50% of é
mlflow-artifacts:/7/abc/artifacts/50% of"
}

@test "nothing is said of a tree that is where its URIs say, nor with --quiet" {
    tree_with "file://$PWD/mlruns/7/abc/artifacts" "file://$PWD/mlruns/7"
    ln -s mlruns link
    for dir in mlruns . link "$PWD/mlruns/" "file://$PWD/mlruns"; do
        dump "$dir"
        refute_contains "$stderr" relocate
    done
    dump --relocate mlruns
    assert_equal "$(json | jq -r '.artifact_uri // empty')" "file://$PWD/mlruns/7/abc/artifacts"
    refute_contains "$stderr" "artifact URIs from"
    mkdir copy
    cp -r mlruns copy
    dump copy
    assert_contains "$stderr" "copy/mlruns: 2 of its artifact URIs name another location: file://$PWD/mlruns (2)"
    assert_contains "$stderr" "hint: MLflow looks for artifacts there; --relocate makes them point to file://$PWD/copy/mlruns"
    dump --check copy
    assert_status 0
    assert_contains "$stderr" "hint: MLflow looks for artifacts there; --relocate makes them point to file://$PWD/copy/mlruns"
    dump -q copy
    assert_equal "$stderr" ""
    dump -q --relocate copy
    assert_equal "$stderr" ""
}

@test "URIs of deleted experiments lead to where they are restored, but one with a new id stays in .trash" {
    tree_with file:///old/7/abc/artifacts file:///old/7
    mkdir mlruns/.trash
    mv mlruns/7 mlruns/.trash/7
    dump -q --relocate=/new mlruns
    assert_equal "$(json | jq -r '.artifact_location // .artifact_uri // empty' | xargs)" "/new/7 /new/7/abc/artifacts"
    # URIs that someone has changed by hand when it was deleted
    sed -i 's|/old/7|/old/.trash/7|' mlruns/.trash/7/meta.yaml mlruns/.trash/7/abc/meta.yaml
    dump -q --relocate=/new mlruns
    assert_equal "$(json | jq -r '.artifact_location // .artifact_uri // empty' | xargs)" "/new/.trash/7 /new/.trash/7/abc/artifacts"
    sed -i 's|/old/.trash/7|/old/7|' mlruns/.trash/7/meta.yaml mlruns/.trash/7/abc/meta.yaml
    mkdir -p mlruns/7/def mlruns/models/m/version-1 mlruns/models/m/version-2
    printf "experiment_id: '7'\nname: again\nartifact_location: file:///old/7\n" >mlruns/7/meta.yaml
    sed 's/abc/def/' mlruns/.trash/7/abc/meta.yaml >mlruns/7/def/meta.yaml
    printf 'name: m\n' >mlruns/models/m/meta.yaml
    printf 'name: m\nversion: 1\nsource: /old/7/abc/artifacts/x\n' >mlruns/models/m/version-1/meta.yaml
    printf 'name: m\nversion: 2\nsource: /old/7/def/artifacts/x\n' >mlruns/models/m/version-2/meta.yaml
    dump --renumber-trash --relocate=/new mlruns
    assert_status 0
    assert_equal "$(json | jq -r '.artifact_location // .artifact_uri // .source // empty' | grep / | xargs)" \
        "/new/7 /new/.trash/7 /new/7/def/artifacts /new/.trash/7/abc/artifacts /new/.trash/7/abc/artifacts/x /new/7/def/artifacts/x"
    # which ml-load knows: only others must be moved back before they are restored
    run_split ml-load sqlite:///moved.db <out
    assert_status 0
    refute_contains "$stderr" "move the directory back"
    dump -q --renumber-trash mlruns
    run_split ml-load sqlite:///unmoved.db <out
    assert_contains "$stderr" "1 deleted experiment has its files in the source's .trash: move the directory back"
}

@test "the relocated stream is a source of its own, loads and verifies, and impossible roots are refused" {
    cp -r "$ROOT/tests/data/mlruns" mlruns
    mlruns-dump -q --relocate mlruns | ml-load -q sqlite:///new.db
    mlruns-dump -q --relocate mlruns | ml-verify -q sqlite:///new.db
    run_split ml-verify -q sqlite:///new.db < <(mlruns-dump -q mlruns)
    assert_status 1
    assert_equal "$(sqlite3 new.db "SELECT artifact_uri FROM runs WHERE run_uuid = '$DEEP'")" "file://$PWD/mlruns/$EXP/$DEEP/artifacts"
    # shards of the tree as it is and of the relocated one do not go together
    run_split ml-load -q sqlite:///mixed.db < <(mlruns-dump -q --shard 0/2 mlruns && mlruns-dump -q --relocate --shard 1/2 mlruns)
    assert_status 2
    dump --relocate=file:///a mlruns
    mv out one
    mlruns-dump -q --relocate=file:///a/ --jobs 7 mlruns | cmp - one
    for wrong in relative/path . file $'s3://\xff'; do
        dump --relocate="$wrong" mlruns
        assert_status 2
        [ ! -s out ]
    done
    assert_contains "$(mlruns-dump --relocate=mlruns mlruns 2>&1 >out || true)" "mlruns: must be a URI or an absolute path"
}
