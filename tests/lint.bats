#!/usr/bin/env bats
# The order of the rooms and the lengths that `make lint` holds.

setup() {
    cd "$BATS_TEST_DIRNAME/.."
    lint=tests/lint_house.py
    tree=$BATS_TEST_TMPDIR/tree
    mkdir "$tree"
    cp -r common formats migrations tools "$tree"
}

refuses() { # refuses MESSAGE
    run python3 "$lint" "$tree"
    echo "$output"
    [ "$status" -eq 1 ]
    [ "$output" = "$1" ]
}

lines() { # lines N: as many statements
    for ((i = 0; i < $1; i++)); do echo '    f();'; done
}

@test "the code keeps the order of its rooms" {
    run python3 "$lint"
    echo "$output"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
}

@test "a room that includes a later one is refused" {
    echo '#include "formats/load/load.h"' >"$tree/formats/record/new.c"
    refuses 'formats/record/new.c:1: formats/record includes formats/load/load.h, of a later room'
}

@test "common includes nothing of formats, and nothing includes a tool" {
    echo '#include "formats/entities.def"' >"$tree/common/new.h"
    echo '#include "tools/ml-transform-options.h"' >"$tree/formats/transform/new.c"
    refuses 'common/new.h:1: common includes formats/entities.def, of a later room
formats/transform/new.c:1: formats/transform includes tools/ml-transform-options.h, of a later room'
}

@test "a file that is in no room, or an include that is not from the root, is refused" {
    echo 'int x;' >"$tree/formats/new.c"
    echo '#include "record.h"' >"$tree/formats/record/new.c"
    refuses 'formats/new.c:1: is in no room
formats/record/new.c:1: record.h is in no room: includes are from the root'
}

@test "a tool that includes a client library's header is refused" {
    for header in sqlite3.h libpq-fe.h; do
        echo "#include <$header>" >"$tree/tools/new.c"
        refuses "tools/new.c:1: a tool includes $header"
    done
}

@test "a tool of more than 300 lines is refused" {
    seq 300 | sed 's,.*,/* */,' >"$tree/tools/new.c"
    run python3 "$lint" "$tree"
    [ "$status" -eq 0 ]
    echo '/* */' >>"$tree/tools/new.c"
    refuses 'tools/new.c:301: a file of tools/ has 301 lines, more than 300'
}

@test "a function of more than 60 lines is refused" {
    { printf '/* Calls f. */\nstatic void g(int a,\n              int b)\n{\n'; lines 56; echo '}'; } >"$tree/common/new.c"
    run python3 "$lint" "$tree"
    [ "$status" -eq 0 ]
    { printf '/* Calls f. */\nstatic void g(int a,\n              int b)\n{\n'; lines 57; echo '}'; } >"$tree/common/new.c"
    refuses 'common/new.c:2: a function of 61 lines, more than 60'
}

@test "eight equal lines in two places are refused, seven are not" {
    statements() { for ((i = 1; i <= $1; i++)); do echo "    f($i);"; done; }
    { printf '/* Calls f. */\nvoid g(void)\n{\n'; statements 7; echo '}'; } >"$tree/common/new.c"
    { printf '#include <math.h>\nvoid h(void)\n{\n'; statements 7; echo '    return;'; echo '}'; } >"$tree/formats/record/new.c"
    run python3 "$lint" "$tree"
    echo "$output"
    [ "$status" -eq 1 ] # the brace before them is the eighth
    { printf 'void h(void)\n{\n    f(0);\n'; statements 7; echo '    return;'; echo '}'; } >"$tree/formats/record/new.c"
    run python3 "$lint" "$tree"
    echo "$output"
    [ "$status" -eq 0 ]
    { printf 'void h(void)\n{\n    f(0);\n\n'; statements 7; echo '}'; } >"$tree/formats/record/new.c"
    refuses 'formats/record/new.c:5: 8 lines that stand at common/new.c:4, too'
    cp "$tree/common/new.c" "$tree/migrations/new.c"
    refuses 'formats/record/new.c:5: 8 lines that stand at common/new.c:4, too'
}

@test "code of the library that ends the program is refused, but not in comments and strings" {
    printf 'void f(void)\n{\n    g("exit(1)"); /* no exit(),\n                   no die() */\n    xnomem("");\n}\n' \
        >"$tree/formats/record/new.c"
    run python3 "$lint" "$tree"
    [ "$status" -eq 0 ]
    for call in die die_hint err_die err_exit_interrupted err_exit_broken_pipe err_no_memory io_close_stdout exit _exit abort; do
        printf '/* A file. */\n\n    %s(e);\n' "$call" >"$tree/formats/record/new.c"
        refuses "formats/record/new.c:3: $call() ends the program: the library returns its errors"
    done
    rm "$tree/formats/record/new.c"
    printf 'exit (1);\n' >"$tree/migrations/new.c"
    refuses 'migrations/new.c:1: exit() ends the program: the library returns its errors'
}

@test "a line of a test that cannot fail is refused" {
    mkdir "$tree/tests"
    printf '%s\n' '@test "x" {' "    ! grep x y" "    [ -e a ] && [ ! -e b ]" '    [[ $a == b ]] && [[ $c == d ]]' '    assert_whole || echo "$seed"' \
        '    if assert_malformed x; then :; fi' '    assert_equal a b || { cat err; false; }' '    [ -e a ] && [ -e b ] && return' \
        '    [ -z "$x" ] || assert_whole' '}' >"$tree/tests/new.bats"
    refuses 'tests/new.bats:2: a command after ! fails no test: absent, refute_contains or a status do
tests/new.bats:3: only the last of a list fails a test: a line for each
tests/new.bats:4: only the last of a list fails a test: a line for each
tests/new.bats:5: within a condition only the last command of a function fails: call it alone
tests/new.bats:6: within a condition only the last command of a function fails: call it alone'
}
