#!/usr/bin/env bats
# Shell completion: what bash, zsh and fish offer, each asked as its own line editor asks.

load helpers

setup_file() {
    export COMPLETIONS=$BATS_FILE_TMPDIR/completions
    "$ROOT/tools/dist/completions/generate" "$BUILD/bin" "$COMPLETIONS"
    zsh -f -c 'fpath=($COMPLETIONS/zsh $fpath); autoload -Uz compinit; compinit -u -d $BATS_FILE_TMPDIR/zcompdump'
}

setup() {
    work
    copy_tree
    mlruns-dump -q mlruns | ml-load -q sqlite:///m.db
    mkdir directory
}

# ask LINE...: what each shell offers at the end of each line. `offered SHELL LINE` prints it, a word a line.
ask() {
    printf '%s\n' "$@" >lines
    mkdir -p bash fish zsh
    bash --norc "$ROOT/tests/completions/ask.bash" "$COMPLETIONS/bash/mlruns-tools" <lines
    HOME=$PWD fish -N -c "
        source $COMPLETIONS/fish/mlruns-tools.fish
        set -l i 0
        while read -l line
            set i (math \$i + 1)
            complete -C \"\$line\" | string replace -r '\t.*' '' >fish/\$i
        end
        true" <lines
    python3 "$ROOT/tests/completions/ask_zsh.py" <lines
}

offered() { # SHELL LINE
    cat "$1/$(grep -nxF -- "$2" lines | cut -d: -f1)"
}

offers() { # LINE EXPECTED...: each of these words is offered by each shell
    local line=$1 shell word
    shift
    for shell in bash fish zsh; do
        for word in "$@"; do
            offered $shell "$line" | grep -qxF -- "$word" ||
                { printf '%s: %s: no %s among:\n%s\n' "$shell" "$line" "$word" "$(offered $shell "$line")" >&2; return 1; }
        done
    done
}

offers_not() { # LINE WORD
    local shell
    for shell in bash fish zsh; do
        [ -n "$(offered $shell "$1")" ] || return 1
        refute_contains "$(offered $shell "$1")" "$2"
    done
}

@test "options are completed" {
    ask 'ml-load --dr' 'ml-load --release=3 --dr' 'ml-schema upgrade --lo' 'ml-schema upgrade --' 'ml-schema current --' 'ml-schema --v'
    offers 'ml-load --dr' --drop-unsupported --dry-run
    offers_not 'ml-load --dr' --release
    offers 'ml-load --release=3 --dr' --drop-unsupported --dry-run
    offers 'ml-schema upgrade --lo' --lock-timeout
    offers 'ml-schema upgrade --' --lock-timeout
    offers_not 'ml-schema current --' --lock-timeout
    offers 'ml-schema --v' --version
}

@test "commands are completed" {
    ask 'ml-schema ' 'mlruns-tools ' 'mlruns-tools schema c' 'mlruns-tools load --dr' 'mlruns-tools schema upgrade --lo'
    offers 'ml-schema ' create upgrade current history check sql migrate-to-default-workspace
    offers 'mlruns-tools ' migrate dump dbdump transform load verify schema sync help
    offers 'mlruns-tools schema c' create check current
    offers 'mlruns-tools load --dr' --drop-unsupported --dry-run
    offers 'mlruns-tools schema upgrade --lo' --lock-timeout
}

@test "releases, revisions, kinds and choices are completed" {
    ask 'ml-load --release 3.1' 'mlruns-tools schema upgrade --to ' 'ml-transform --kind ' 'ml-migrate --on-conflict ' \
        'ml-transform --status F' 'ml-schema sql --dialect '
    offers 'ml-load --release 3.1' 3.17.2 3.10.0
    offers 'mlruns-tools schema upgrade --to ' 3.17.2 dc11669786a5
    offers 'ml-transform --kind ' run registered_model registered_model_tag
    offers_not 'ml-transform --kind ' header
    offers 'ml-migrate --on-conflict ' fail rename merge
    offers 'ml-transform --status F' FINISHED FAILED
    offers 'ml-schema sql --dialect ' sqlite postgresql
}

@test "URLs, files and directories are completed" {
    directories=('mlruns-dump ' 'ml-load --tmpdir ' 'ml-migrate --source ')
    ask 'mldb-dump ' 'mldb-dump sqlite:///m' 'mlruns-dump --next-state m' 'ml-verify --use-state=m.d' "${directories[@]}"
    offers 'mldb-dump ' sqlite:/// postgresql://
    # bash replaces what stands after the colon
    assert_equal "$(offered bash 'mldb-dump sqlite:///m' | sort)" "///m.db
///mlruns"
    assert_contains "$(offered fish 'mldb-dump sqlite:///m')" sqlite:///m.db
    assert_contains "$(offered zsh 'mldb-dump sqlite:///m')" m.db
    assert_contains "$(offered bash 'mlruns-dump --next-state m')" m.db
    assert_equal "$(offered bash 'ml-verify --use-state=m.d')" m.db
    for line in "${directories[@]}"; do
        for shell in bash fish zsh; do
            assert_contains "$(offered $shell "$line")" directory
        done
        offers_not "$line" m.db
    done
}

@test "experiments of the given store or database are completed" {
    names=$(mldb-dump --list --verbose sqlite:///m.db)
    mapfile -t ids < <(cut -f1 <<<"$names")
    [ ${#ids[@]} -ge 3 ]
    id=${ids[1]} name=$(sed -n 2p <<<"$names" | cut -f2)
    ask 'mlruns-dump --experiment ' "mlruns-dump --experiment ${name:0:5}" 'mldb-dump sqlite:///m.db --experiment ' 'mlruns-tools dbdump sqlite:///m.db --experiment ' \
        "mldb-dump sqlite:///m.db --experiment ${name:0:5}" 'mldb-dump sqlite:///none.db --experiment '
    offers 'mlruns-dump --experiment ' "${ids[@]}"
    offers 'mldb-dump sqlite:///m.db --experiment ' "${ids[@]}"
    offers 'mlruns-tools dbdump sqlite:///m.db --experiment ' "${ids[@]}"
    # bash: by the beginning of a name, too
    assert_equal "$(offered bash "mlruns-dump --experiment ${name:0:5}" | sort)" "$(grep -P "\t${name:0:5}" <<<"$names" | cut -f1 | sort)"
    assert_equal "$(offered bash "mldb-dump sqlite:///m.db --experiment ${name:0:5}" | sort)" "$(grep -P "\t${name:0:5}" <<<"$names" | cut -f1 | sort)"
    for shell in bash fish zsh; do
        assert_equal "$(offered $shell 'mldb-dump sqlite:///none.db --experiment ' | grep -v '^$' || true)" ""
    done
    [ ! -e none.db ]
    echo 'mldb-dump sqlite:///m.db --experiment ' | COMP_TYPE=63 bash --norc "$ROOT/tests/completions/ask.bash" "$COMPLETIONS/bash/mlruns-tools"
    assert_contains "$(cat bash/1)" "$id ($name)"
    echo 'mlruns-dump --experiment ' | COMP_TYPE=63 bash --norc "$ROOT/tests/completions/ask.bash" "$COMPLETIONS/bash/mlruns-tools"
    assert_contains "$(cat bash/1)" "$id ($name)"
}

@test "every option of every program is offered by each shell" {
    lines=()
    for p in ml-migrate mlruns-dump mldb-dump ml-transform ml-load ml-verify ml-schema ml-sync; do
        lines+=("$p --")
    done
    ask "${lines[@]}"
    for line in "${lines[@]}"; do
        mapfile -t options < <("${line% --}" --print-options | awk -F'\t' '$1 == "option" { print "--" $2 }')
        offers "$line" "${options[@]}"
    done
}
