#!/usr/bin/env bats
# What others wrote (names of files, values, what a server says) in messages and reports: never a control character, never a
# line that looks like a message of its own, and letters of every script as they are.

load helpers
strict_pipes

# A newline that forges a message, an escape sequence, a C1 control, a bidirectional override, a byte that is not UTF-8, letters.
EVIL=$'x\nml-load: forged\e]0;title\a\u009b2J\u202e\xffé日'

setup() {
    work
    copy_tree
    run=mlruns/537708342419121040/1b720d04f3e24f11bc736169024f6d03
}

# only_text FILE...: nothing but lines of printable UTF-8, none of which is the forged one.
only_text() {
    python3 - "$@" <<'PY'
import sys
import unicodedata
for name in sys.argv[1:]:
    text = open(name, "rb").read().decode()
    for line in text.split("\n"):
        bad = [c for c in line if c != "\t" and (unicodedata.category(c) in ("Cc", "Zl", "Zp") or c in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")]
        assert not bad, "%s: %r in %r" % (name, bad, line)
        assert not line.startswith("ml-load: forged"), text
PY
}

# says_text STATUS SHELL-COMMAND: it exits with STATUS, and what it says is text and has the letters.
says_text() {
    run_split bash -c "$2"
    assert_status "$1"
    only_text "$BATS_TEST_TMPDIR/.stdout" "$BATS_TEST_TMPDIR/.stderr"
    assert_contains "$stderr$output" 'x\x0aml-load: forged\x1b]0;title\x07\xc2\x9b2J\xe2\x80\xae\xffé日'
}

@test "every problem of a file store with hostile names is one line of text" {
    export EVIL
    mkdir "mlruns/$EVIL" "$run/inputs/$EVIL" "$run/outputs/$EVIL" "mlruns/models/$EVIL"
    cp mlruns/537708342419121040/meta.yaml "mlruns/$EVIL/meta.yaml"
    printf 'not a metric\n' >"$run/metrics/$EVIL"
    mkfifo "$run/params/$EVIL" "$run/tags/$EVIL"
    mkdir -p "mlruns/537708342419121040/traces/$EVIL" "mlruns/537708342419121040/datasets/$EVIL"
    says_text 2 'mlruns-dump mlruns >out'
    says_text 1 'mlruns-dump --check mlruns'
    says_text 1 'mlruns-dump --skip-malformed mlruns >a.mlr'
    [ "$(grep -c 'forged' .stderr)" -ge 6 ]
    mv mlruns "$EVIL"
    says_text 1 'mlruns-dump --skip-malformed "$EVIL" >out'
    says_text 2 'mlruns-dump "$EVIL/none" >out'
    run_split ml-migrate --source "$EVIL/none"
    assert_status 2
    only_text .stderr
}

@test "messages about hostile values in a stream are lines of text, in every program" {
    export EVIL
    name=$(printf '%s' "$EVIL" | jq -Rsa . | sed 's/\\ufffd/\\u0001/')
    mlruns-dump -q mlruns | ml-transform --json >a.json
    jq -c --argjson n "$name" 'if .kind == "run" then .run_name = $n elif .kind == "experiment" then .name += $n + .experiment_id else . end' a.json |
        ml-transform --from-json --reseal >a.mlr
    mlruns-dump -q mlruns | ml-load -q sqlite:///x.db
    run_split sh -c 'ml-verify sqlite:///x.db <a.mlr'
    assert_status 1
    only_text .stdout .stderr
    assert_contains "$output" 'x\x0aml-load: forged\x1b]0;title'
    run_split sh -c 'ml-transform --summary <a.mlr'
    assert_status 0
    only_text .stdout .stderr
    jq -c --argjson n "$name" 'if .kind == "param" then ., . else . end' a.json | jq -c --argjson n "$name" 'if .kind == "param" then .key = $n else . end' |
        ml-transform --from-json --reseal >twice.mlr
    run_split sh -c 'ml-load sqlite:///y.db <twice.mlr'
    assert_status 2
    only_text .stdout .stderr
    assert_contains "$stderr" 'x\x0aml-load: forged\x1b]0;title'
    printf '{"kind":"%s"}\n' "$EVIL" >bad.json
    run_split sh -c 'ml-transform --from-json <bad.json >out'
    assert_status 2
    only_text .stderr
}

@test "reports on hostile names in a database are lines of text" {
    export EVIL
    ml-schema create -q --release 3.17 sqlite:///x.db
    ml-schema create -q --release 3.2 sqlite:///old.db
    for db in x old; do
        python3 - $db.db <<'PY'
import os, sqlite3, sys
evil = os.environb[b"EVIL"].decode(errors="replace").replace('"', '')
with sqlite3.connect(sys.argv[1]) as db:
    db.execute('CREATE TABLE "%s" (a TEXT)' % evil)
    db.execute('CREATE VIEW "v%s" AS SELECT * FROM nowhere' % evil)
    db.execute('CREATE INDEX "i%s" ON runs (name)' % evil)
    db.execute('ALTER TABLE params ADD COLUMN "c%s" TEXT' % evil)
PY
    done
    run_split mldb-dump sqlite:///x.db
    assert_contains "$stderr" 'tracking schema: x\x0aml-load: forged\x1b'
    for command in 'ml-schema check sqlite:///x.db' 'ml-schema upgrade --dry-run --to head sqlite:///old.db' \
        'ml-schema upgrade --to head sqlite:///old.db' 'mldb-dump sqlite:///x.db >out'; do
        run_split sh -c "$command"
        only_text .stdout .stderr
    done
}

@test "messages about hostile paths, URLs and options are lines of text" {
    export EVIL
    mlruns-dump -q mlruns >a.mlr
    says_text 2 'ml-load "sqlite:///$EVIL/none.db" <a.mlr'
    says_text 2 'ml-verify "sqlite:///$EVIL/none.db" <a.mlr'
    says_text 2 'mldb-dump "sqlite:///$EVIL/none.db" >out'
    says_text 2 'ml-schema current "sqlite:///$EVIL/none.db"'
    says_text 2 'ml-load --release "$EVIL" sqlite:///x.db <a.mlr'
    says_text 2 'ml-load "--$EVIL" <a.mlr'
    says_text 2 'ml-load "postgresql://127.0.0.1:1/$EVIL" <a.mlr'
    says_text 2 'ml-transform "--$EVIL" <a.mlr'
    says_text 2 'ml-transform --experiment 0 --tmpdir "$EVIL" --merge >out < <(cat a.mlr)'
    says_text 0 'ml-load "sqlite:///$EVIL.db" <a.mlr'
    says_text 2 'ml-load "sqlite:///$EVIL.db" <a.mlr'
    run_split sh -c 'ml-migrate "--$EVIL"'
    assert_status 2
    only_text .stderr
}

@test "no program shows the password of a URL, whatever its form" {
    mlruns-dump -q mlruns >a.mlr
    cat >urls <<'END'
postgresql://u:geheim@h/d?sslmode=bogus
postgresql+psycopg2://u:geheim@h/d?sslmode=bogus
postgres://u:geheim@h/d?sslmode=bogus
postgresql://u:a%20geheim@h/d?sslmode=bogus
postgresql://u:geheim@a:b@h/d?sslmode=bogus
postgresql://u:geheim/x?y@h/d?sslmode=bogus
postgresql://u%3Ageheim@h/d?sslmode=bogus
postgresql://u:geheim
postgresql://u:geheim/d
postgresql://u:geheim%40h/d
postgresql://u:geheim@[h/d
postgresql://u:geheim%zz@h/d
postgresql:u:geheim@h/d
postgresql:/u:geheim@h/d
postgresql:///d?password=geheim&sslmode=bogus
postgresql:///d?sslmode=bogus&password=geheim
postgresql:///d?p%61ssword=geheim&sslmode=bogus
postgresql:///d?PASSWORD=geheim&sslmode=bogus
postgresql:///d?password%3Dgeheim
postgresql:///d?sslpassword=geheim&sslmode=bogus
postgresql:///d?password='geheim'&sslmode=bogus
host=h user=u password=geheim
password = 'a geheim' host=h
mysql+pymysql://u:geheim@h/d
mysql://u:geheim
mssql+pyodbc://u:geheim@h/d
jdbc:postgresql://h/d?user=u&password=geheim
u:geheim@h/d
END
    while IFS= read -r url; do
        export url
        for command in 'ml-load "$url" <a.mlr' 'ml-load -n "$url" <a.mlr' 'ml-verify "$url" <a.mlr' 'mldb-dump "$url" >out' 'ml-schema create "$url"' \
            'ml-schema upgrade "$url"' 'ml-schema upgrade --backup x "$url"' 'ml-schema current "$url"' 'ml-schema history "$url"' 'ml-schema check "$url"' \
            'ml-schema migrate-to-default-workspace "$url"' 'ml-migrate --target "$url"' 'ml-migrate "$url"' 'ml-migrate "--nothing=$url"' \
            'ml-load sqlite:///x.db "$url" <a.mlr' 'ml-load "--url=$url" <a.mlr' 'ml-load --release "$url" sqlite:///x.db <a.mlr' \
            'ml-verify sqlite:///x.db "$url" <a.mlr' 'mldb-dump sqlite:///x.db "$url" >out' 'ml-schema current sqlite:///x.db "$url"' 'ml-schema "$url"' \
            'ml-schema sql --dialect sqlite "$url"' 'ml-transform "$url" <a.mlr' 'ml-transform --fit "$url" <a.mlr' 'mlruns-dump "$url"' 'mlruns-dump mlruns "$url"' \
            'MLFLOW_TRACKING_URI=$url ml-schema upgrade --dry-run --retries 0' 'MLFLOW_BACKEND_STORE_URI=$url ml-load </dev/null'; do
            case $url:$command in
            # a directory's name or a release's as well as any other
            u:geheim*:mlruns-dump* | u:geheim*:"ml-migrate \"\$url"* | u:geheim*:*--release* | u:geheim*:*--fit*) continue ;;
            esac
            run_split timeout 300 sh -c "$command"
            assert_status 2
            case $output$stderr in
            *geheim*) printf '%s\n%s\n%s\n' "$command" "$url" "$output$stderr" >&2; return 1 ;;
            esac
        done
    done <urls
}
