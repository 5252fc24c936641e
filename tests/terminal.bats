#!/usr/bin/env bats
# What the programs show at a terminal, in tmux at 60 and at 200 columns: a line for each stage, a table of kinds, colours, a
# question. Off a terminal they speak as in the other tests.

load helpers
strict_pipes

setup() {
    work
    copy_tree
    unset NO_COLOR
}

teardown() {
    end_terminal
}

# Each terminal has a server of its own, so that none is waited for that is about to end.
end_terminal() {
    [ -z "${server-}" ] || tmux -S "$server" kill-server 2>/dev/null || true
}

# terminal COLUMNS COMMAND: starts the command in a terminal of its own, in which "exit N" follows it.
terminal() {
    end_terminal
    server=$(mktemp -u "$BATS_TEST_TMPDIR/tmux.XXXXXX")
    tmux -S "$server" -f /dev/null new-session -d -x "$1" -y 100 "PATH='$PATH'; $2; echo exit \$?; exec cat"
}

# What the terminal shows; of lines that are wider than it the rest is on the next one. With -e also colours.
screen() {
    tmux -S "$server" capture-pane -p "$@"
}

shows() { # TEXT
    screen | grep -qF -- "$1"
}

# at_end COLUMNS COMMAND: the screen after it, $output, with times and rates as N.
at_end() {
    terminal "$@"
    wait_for shows "exit "
    output=$(screen | sed -E 's/in [0-9:.]+ (s|min|h)\b/in N/; s/, [0-9,]+\/s/, R/' | sed '/^$/d')
}

@test "a stage is a line, at 60 columns and at 200" {
    for columns in 60 200; do
        rm -f m.db
        at_end $columns "ml-migrate mlruns sqlite:///m.db --verify"
        assert_contains "$output" "exit 0"
        stages=$(echo "$output" | grep -nE '^(reading|loading|comparing)' | sed 's/, R$//')
        assert_equal "$(echo "$stages" | cut -d: -f2-)" "reading mlruns: 96 records in N
loading: 95 rows in N
comparing: 96 records in N"
        assert_contains "$output" "  Metrics                               16
  Params                                 8"
        refute_contains "$output" "ml-load:   Metrics"
        refute_contains "$output" "mlruns-dump: reading"
        refute_contains "$output" "Experiment Tags 2"
    done
}

@test "a long path is shortened at its beginning, so that a line fits" {
    long=$(printf 'directory-%02d/' 1 2 3 4 5 6 7 8)
    mkdir -p "$long"
    mv mlruns "$long"
    at_end 60 "mlruns-dump $long/mlruns >out.mlr"
    assert_contains "$output" "exit 0"
    line=$(echo "$output" | grep '96 records')
    assert_contains "$line" "directory-08/"
    case $line in …*) ;; *) false ;; esac
    [ ${#line} -lt 60 ]
    at_end_again=$(LC_ALL=C.UTF-8 mlruns-dump --progress=always "$long/mlruns" 2>&1 >out.mlr | tr '\r' '\n' | grep -c '96 records')
    assert_equal "$at_end_again" 1
}

@test "ml-sync: a line for each stage, then its own" {
    at_end 200 "ml-sync --source mlruns --target sqlite:///m.db --state state --verify"
    assert_contains "$output" "exit 0"
    assert_equal "$(echo "$output" | grep -E '^(reading|syncing|comparing)|added' | sed "s/, R$//; s,$PWD/,,g")" "reading mlruns: 87 records in N
syncing: 86 rows in N
comparing: 87 records in N
mlruns -> m.db: 86 added"
}

@test "--progress=never and --quiet show no stage" {
    for option in --progress=never --quiet; do
        rm -f m.db
        at_end 200 "ml-migrate $option mlruns sqlite:///m.db"
        assert_contains "$output" "exit 0"
        refute_contains "$output" "records in"
    done
}

@test "colours: on a terminal, not with NO_COLOR, not on a dumb one, and never elsewhere" {
    terminal 200 "mlruns-dump none >out.mlr"
    wait_for shows "exit 2"
    screen -e | grep -F mlruns-dump | grep -qF $'\e[1m\e[31m'
    for setting in NO_COLOR=1 TERM=dumb; do
        terminal 200 "$setting mlruns-dump none >out.mlr"
        wait_for shows "exit 2"
        refute_contains "$(screen -e)" $'\e['
    done
    run_split env TERM=xterm mlruns-dump none
    assert_status 2
    refute_contains "$stderr" $'\e'
}

@test "without arguments it says what it would do, and asks" {
    terminal 60 ml-migrate
    wait_for shows "[y/N]"
    assert_contains "$(screen)" "migrate the file store ./mlruns"
    assert_contains "$(screen)" "database sqlite:///mlflow.db, which will be created"
    tmux -S "$server" send-keys n Enter
    wait_for shows "exit 1"
    assert_contains "$(screen)" "nothing was done"
    [ ! -e mlflow.db ]
    terminal 60 ml-migrate
    wait_for shows "[y/N]"
    tmux -S "$server" send-keys y Enter
    wait_for shows "exit 0"
    [ -e mlflow.db ]
}

@test "it asks only where it has no arguments, and a terminal on both sides" {
    at_end 200 "ml-migrate --yes"
    assert_contains "$output" "exit 0"
    refute_contains "$output" "[y/N]"
    rm mlflow.db
    at_end 200 "ml-migrate </dev/null"
    assert_contains "$output" "exit 0"
    rm mlflow.db
    at_end 200 "ml-migrate 2>err"
    assert_contains "$output" "exit 0"
    absent 'y/N' err
    run_split ml-migrate
    assert_status 2
    assert_contains "$stderr" "mlflow.db"
    refute_contains "$stderr" "[y/N]"
}

@test "SIGINT at the question ends it" {
    terminal 60 ml-migrate
    wait_for shows "[y/N]"
    tmux -S "$server" send-keys C-c
    wait_for shows "exit 130"
    [ ! -e mlflow.db ]
}

# A dump whose reader makes it wait, so that it is certain to look at the clock again in the middle of its work.
@test "percent of a tree that is being read" {
    run_dir=$(dirname "$(grep -l '^run_id' mlruns/5*/*/meta.yaml | head -1)")
    id=$(basename "$run_dir")
    for i in $(seq 100 399); do
        copy="$(dirname "$run_dir")/${id:0:29}$i"
        cp -r "$run_dir" "$copy"
        sed -i "s/$id/${id:0:29}$i/g" "$copy/meta.yaml"
    done
    seq 0 99 | sed 's/.*/17000000000&0 0.&5 &/' >points
    for copy in "$(dirname "$run_dir")"/"${id:0:29}"???; do
        cp points "$copy/metrics/points"
    done
    mkfifo stream
    mlruns-dump --progress=always --jobs 1 mlruns >stream 2>err &
    pid=$!
    exec 8<stream
    wait_for blocked_writing $pid
    sleep 0.3 # longer than a line stays as it is; nothing is waited for
    cat <&8 >out.mlr
    wait $pid
    tr '\r' '\n' <err | grep -qE '^reading mlruns: +[0-9]{1,2}%  [0-9,]+ records'
    tr '\r' '\n' <err | grep -qE '^reading mlruns: [0-9,]+ records in '
}

blocked_writing() { # PID
    grep -qE '^1 0x1 ' "/proc/$1/syscall" 2>/dev/null
}
