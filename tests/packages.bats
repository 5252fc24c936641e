#!/usr/bin/env bats
# The packages in $BUILD/dist, as `make wheel static` has built them. `make check` tests those that are there and skips the others;
# `make check-packages` builds all of them, and with CHECK_PACKAGES=1 none is skipped.

load helpers

setup_file() {
    MACHINE=$(uname -m)
    DIST=$BUILD/dist
    # Only what is there already: `make check` installs nothing for this.
    TOOLS=$([ -n "${CHECK_PACKAGES-}" ] && sh "$ROOT/tests/setup.sh" packaging || packaging_tools)
    export MACHINE DIST TOOLS
    # A venv without and with the wheel, by what a user has: pip.
    wheel=$(wheel_of manylinux2014 "$MACHINE")
    if [ -e "$wheel" ]; then
        python3 -m venv "$BATS_FILE_TMPDIR/venv"
        "$BATS_FILE_TMPDIR/venv/bin/pip" -q --disable-pip-version-check install --no-compile --no-index "$wheel"
    fi
    export VENV=$BATS_FILE_TMPDIR/venv
}

teardown_file() {
    stop_postgres
}

setup() {
    work
}

# absent WHAT: skips, or fails where all has to be there.
absent() {
    [ -z "${CHECK_PACKAGES-}" ] || { echo "there is no $1" >&2; return 1; }
    skip "there is no $1: make check-packages builds and tests all"
}

wheel_of() { # TAG ARCH
    ls "$DIST"/mlruns_tools-*"$1_$2"*.whl 2>/dev/null | tail -1
}

need_venv() {
    [ -x "$VENV/bin/mlruns-tools" ] || absent "wheel for this machine"
}

need_tools() {
    [ -n "$TOOLS" ] || absent "set of checkers"
}

# Each executable of the architecture: its path.
executables() { # LIBC...
    for libc in "$@"; do
        for arch in x86_64 aarch64; do
            ls "$DIST/$arch-linux-$libc/bin/mlruns-tools" 2>/dev/null || true
        done
    done
}

unpacked_static() { # sets $TOP
    archive=$(ls "$DIST"/mlruns-tools-*-linux-"$MACHINE".tar.xz 2>/dev/null | tail -1)
    [ -n "$archive" ] || absent "static build for this machine"
    tar -xf "$archive"
    TOP=$(basename "$archive" .tar.xz)
}

@test "the wheel in a fresh venv migrates, verifies and upgrades without a compiler, PATH or MLflow" {
    need_venv
    copy_tree
    "$VENV/bin/pip" --disable-pip-version-check check
    run_split env -i PATH=/nowhere HOME="$PWD" "$VENV/bin/mlruns-tools" migrate mlruns sqlite:///mlflow.db --release 3.2 --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    run_split env -i PATH=/nowhere "$VENV/bin/mlruns-tools" schema upgrade sqlite:///mlflow.db
    assert_status 0
    # 3.2 has no table for spans: they stay in the artifacts
    mlruns-dump -q --no-spans mlruns | "$VENV/bin/mlruns-tools" verify -q --data-only sqlite:///mlflow.db
    "$VENV/bin/mlruns-tools" --version | grep -q 'OpenSSL 3'
}

@test "the wheel's other names work, also by a link elsewhere" {
    need_venv
    copy_tree
    mkdir links
    for p in mlruns-dump mldb-dump ml-transform ml-load ml-verify ml-schema ml-migrate ml-sync; do
        assert_equal "$("$VENV/bin/$p" --help)" "$("$p" --help)"
        ln -s "$VENV/bin/$p" links/
    done
    links/ml-migrate -q mlruns sqlite:///mlflow.db
    links/mlruns-dump -q mlruns | links/ml-verify -q sqlite:///mlflow.db
}

@test "help and man -M find the manual next to the program, and completions are where shells look for them" {
    need_venv
    mkdir fake
    printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >fake/man
    chmod +x fake/man
    page=$(PATH=$PWD/fake:$PATH "$VENV/bin/mlruns-tools" help migrate)
    cmp "$page" "$ROOT/man/ml-migrate.1"
    [ -e "$VENV/share/man/man5/ml-record.5" ]
    [ -s "$VENV/share/bash-completion/completions/mlruns-tools" ]
    [ -s "$VENV/share/bash-completion/completions/ml-load" ]
    [ -s "$VENV/share/zsh/site-functions/_mlruns-tools" ]
    [ -s "$VENV/share/fish/vendor_completions.d/ml-load.fish" ]
}

@test "uninstalling the wheel leaves no file" {
    need_venv
    python3 -m venv again
    find again -not -type d -not -name '*.pyc' | sort >before
    again/bin/pip -q --disable-pip-version-check install --no-compile --no-index "$(wheel_of manylinux2014 "$MACHINE")"
    [ -x again/bin/ml-load ]
    again/bin/pip -q --disable-pip-version-check uninstall -y mlruns-tools
    find again -not -type d -not -name '*.pyc' | sort | cmp - before
}

@test "the Python module runs programs, reads records and refuses wrong use" {
    need_venv
    copy_tree
    cat >test.py <<'END'
import io, math, sys
before = set(sys.modules)
import mlruns_tools
assert set(sys.modules) - before == {"mlruns_tools"}, "the import is to load nothing else"

assert mlruns_tools.run("migrate", "mlruns", "sqlite:///m.db", "-q", capture_output=True).returncode == 0
stream = mlruns_tools.run("dump", "-q", "mlruns", capture_output=True).stdout
open("m.mlr", "wb").write(stream)
records = list(mlruns_tools.records("m.mlr"))
kinds = [r["kind"] for r in records]
assert kinds.count("run") == 4 and kinds.count("metric") == 16 and "header" not in kinds and "trailer" not in kinds
assert any(isinstance(r.get("value"), float) and math.isnan(r["value"]) for r in records if r["kind"] == "metric") == (b'nan' in open("nan", "rb").read())
assert list(map(repr, mlruns_tools.records(io.BytesIO(stream)))) == list(map(repr, records))
with open("m.mlr", "rb") as f:
    assert len(list(mlruns_tools.records(f))) == len(records)
with open("m.mlr", "rb", buffering=0) as f:
    assert len(list(mlruns_tools.records(f))) == len(records)

some = mlruns_tools.records("m.mlr")
assert next(some)["kind"] == "experiment"
some.close()

for bad in (stream[:-20], stream[: len(stream) // 2], stream.replace(b"FINISHED", b"FINISHEX")):
    try:
        list(mlruns_tools.records(io.BytesIO(bad)))
    except mlruns_tools.Failed as e:
        assert e.status == 2 and e.message, e
    else:
        raise AssertionError("a damaged stream was taken")
try:
    mlruns_tools.run("load", "sqlite:///m.db", input=stream, capture_output=True)
except mlruns_tools.Failed as e:
    assert e.status == 2 and "m.db" in e.message
else:
    raise AssertionError("a database that is not empty was loaded")

odd = b'{"kind":"tag","run_id":"r","key":"k","value":{"$bytes":"/w=="}}'
assert mlruns_tools._plain({"$bytes": "/w=="}) == b"\xff" and mlruns_tools._plain({"$int": "9223372036854775807"}) == 2**63 - 1
assert mlruns_tools._plain({"$map": {"$float": "x"}}) == {"$float": "x"}
assert mlruns_tools._plain({"a": {"$float": "inf"}, "b": 1}) == {"a": math.inf, "b": 1}
END
    mlruns-dump -q mlruns | ml-transform --json | grep '"kind":"metric"' | grep -o '"\$float":"nan"' >nan || true
    "$VENV/bin/python" -W error test.py
}

@test "records become a DataFrame in an environment with MLflow" {
    need_venv
    python=$(ls -d "${MLRUNS_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mlruns-tools}"/venvs/3.17.2-*/bin/python 2>/dev/null | tail -1)
    [ -n "$python" ] || absent "environment of MLflow 3.17.2"
    copy_tree
    "$VENV/bin/mlruns-tools" dump -q mlruns >m.mlr
    # As pip install --target would: the environment itself stays as it is.
    "$VENV/bin/pip" -q --disable-pip-version-check install --no-index --target site "$(wheel_of manylinux2014 "$MACHINE")"
    PYTHONPATH=$PWD/site "$python" -c '
import mlflow, mlruns_tools
assert mlruns_tools.program().startswith("'"$PWD"'/site/"), mlruns_tools.program()
runs = mlruns_tools.records("m.mlr").to_pandas("run")
assert len(runs) == 4 and "run_id" in runs and "kind" not in runs
assert mlruns_tools.records("m.mlr").to_pandas("scorer").empty'
}

@test "PostgreSQL over TLS works by verify-full with a password file, and a wrong host name and an unknown authority are refused" {
    need_venv
    copy_tree
    start_postgres
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Test-CA -keyout ca.key -out ca.pem 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr 2>/dev/null
    printf 'subjectAltName=DNS:localhost\n' >names
    openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt 2>/dev/null
    cp server.crt server.key "$PGDIR/data/"
    chmod 600 "$PGDIR/data/server.key"
    [ "$(id -u)" -ne 0 ] || chown "${MLRUNS_TOOLS_PG_USER:-postgres}" "$PGDIR/data/server.key" "$PGDIR/data/server.crt"
    printf 'ssl = on\n' >>"$PGDIR/data/postgresql.conf"
    printf 'hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n' >"$PGDIR/data/pg_hba.conf"
    sh "$ROOT/tests/postgres.sh" halt "$PGDIR"
    sh "$ROOT/tests/postgres.sh" resume "$PGDIR"
    printf '*:*:*:%s:%s\n' "$PGUSER" "$PGPASSWORD" >pass
    chmod 600 pass
    server="postgresql://$PGUSER@localhost:$PGPORT/mlflow?hostaddr=127.0.0.1&sslmode=verify-full"
    clean="env -u PGPASSWORD -u PGHOST -u SSL_CERT_FILE -u SSL_CERT_DIR PGPASSFILE=$PWD/pass"
    run_split $clean "$VENV/bin/mlruns-tools" migrate mlruns "$server&sslrootcert=$PWD/ca.pem" --renumber-experiments --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
    run_split $clean "$VENV/bin/mlruns-tools" schema current "postgresql://$PGUSER@127.0.0.1:$PGPORT/mlflow?sslmode=verify-full&sslrootcert=$PWD/ca.pem"
    assert_status 2
    assert_contains "$stderr" 'does not match host name "127.0.0.1"'
    # The system's authorities do not know ours, unless told.
    run_split $clean "$VENV/bin/mlruns-tools" schema current "$server&sslrootcert=system"
    assert_status 2
    assert_contains "$stderr" "certificate verify failed"
    run_split $clean SSL_CERT_FILE="$PWD/ca.pem" "$VENV/bin/mlruns-tools" schema current "$server&sslrootcert=system"
    assert_status 0
}

@test "sslrootcert=system reads the bundle of this distribution" {
    need_venv
    bundle=/etc/ssl/certs/ca-certificates.crt
    [ -e $bundle ] && command -v strace >/dev/null || skip "no $bundle or no strace"
    start_postgres
    run_split env -u SSL_CERT_FILE -u SSL_CERT_DIR strace -f -e trace=access,openat,open -o trace \
        "$VENV/bin/mlruns-tools" schema current "postgresql://$PGUSER@127.0.0.1:$PGPORT/mlflow?sslrootcert=system&sslmode=verify-full"
    grep -q "$bundle" trace
}

@test "executables need nothing newer than GLIBC_2.17, are position-independent with RELRO and stack protector, and have no path of the build" {
    all=$(executables gnu.2.17)
    [ -n "$all" ] || absent "wheel"
    for e in $all; do
        echo "$e" >&2
        newest=$(readelf -V "$e" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
        assert_equal "$newest" "$(printf '%s\n' "$newest" GLIBC_2.17 | sort -V | head -1)"
        assert_equal "$(readelf -d "$e" | grep NEEDED | grep -vE '\[(libc|libm|libpthread|libdl)\.so\.[0-9]\]|\[ld-linux')" ""
        nm "$(dirname "$e")/../obj/common/err.o" | grep -q __stack_chk_fail # which the compiler links in
        readelf -d "$e" | grep -qE 'BIND_NOW|FLAGS_1.*NOW'
    done
    for e in $all $(executables musl); do
        echo "$e" >&2
        readelf -h "$e" | grep -q 'Type: *DYN'
        readelf -lW "$e" | grep -q GNU_RELRO
        assert_equal "$(grep -acE "/root/|/home/|$BUILD|\.cache/mlruns-tools" "$e")" 0
    done
    for e in $(executables musl); do
        refute_contains "$(readelf -d "$e")" NEEDED
        refute_contains "$(readelf -lW "$e")" INTERP
    done
}

@test "check-wheel-contents, twine and auditwheel agree with each wheel" {
    need_tools
    ls "$DIST"/*.whl >/dev/null 2>&1 || absent "wheel"
    "$TOOLS/bin/check-wheel-contents" --ignore W002 "$DIST"/*.whl # bash and fish look for a file of each name: equal ones
    "$TOOLS/bin/twine" check --strict "$DIST"/*.whl
    for wheel in "$DIST"/*manylinux*.whl; do
        "$TOOLS/bin/auditwheel" show "$wheel" | tr '\n' ' ' | grep -q 'consistent with the following platform tag: "manylinux_2_17_'
    done
}

@test "uv runs the wheel as a tool, and installs it" {
    need_venv
    need_tools
    copy_tree
    export UV_CACHE_DIR=$PWD/uv-cache UV_TOOL_DIR=$PWD/tools UV_TOOL_BIN_DIR=$PWD/bin UV_NO_CONFIG=1 UV_OFFLINE=1
    wheel=$(wheel_of manylinux2014 "$MACHINE")
    "$TOOLS/bin/uv" -q tool run --no-index --from "$wheel" mlruns-tools migrate -q mlruns sqlite:///uv.db
    "$TOOLS/bin/uv" -q tool install --no-index "$wheel"
    bin/mlruns-dump -q mlruns | bin/ml-verify -q sqlite:///uv.db
    bin/ml-migrate -q mlruns sqlite:///second.db --verify
}

@test "the static build works wherever it is unpacked, alone, without a shell" {
    unpacked_static
    copy_tree
    run_split env -i PATH=/nowhere HOME="$PWD" "$TOP/bin/ml-migrate" mlruns sqlite:///mlflow.db --verify
    assert_status 0
    mkdir alone
    cp "$TOP/bin/mlruns-tools" alone/
    run_split env -i PATH=/nowhere alone/mlruns-tools migrate mlruns sqlite:///second.db --verify
    assert_status 0
    cmp mlflow.db second.db
    ml-migrate -q mlruns sqlite:///ours.db
    mlruns-dump -q mlruns | "$TOP/bin/ml-verify" -q sqlite:///ours.db
    [ -e "$TOP/share/man/man1/mlruns-tools.1" ]
    [ -e "$TOP/share/doc/mlruns-tools/licences/openssl" ]
}

@test "the wheel for musl has the static program" {
    wheel=$(wheel_of musllinux_1_1 "$MACHINE")
    [ -n "$wheel" ] || absent "wheel for musl"
    [ -x "$VENV/bin/pip" ] || absent "wheel for this machine"
    copy_tree
    # pip takes it for another platform only into a directory
    "$VENV/bin/pip" -q --disable-pip-version-check install --no-index --no-compile --target site --platform "musllinux_1_1_$MACHINE" \
        --only-binary :all: "$wheel"
    refute_contains "$(readelf -lW site/bin/mlruns-tools)" INTERP
    run_split site/bin/ml-migrate mlruns sqlite:///m.db --verify
    assert_status 0
    assert_contains "$output" "Status: SUCCESS"
}

@test "licences of all libraries are in the wheel" {
    need_venv
    for name in $(grep -v '^#' "$ROOT/tools/dist/libraries.lock" | cut -d' ' -f1); do
        [ "$name" = mimalloc ] || [ -s "$(ls "$VENV"/lib/python*/site-packages/mlruns_tools-*.dist-info/licenses/"$name")" ]
    done
}

@test "aarch64, emulated, runs the pipeline and makes a database of the same bytes" {
    case " ${ARCHES-aarch64} " in *" aarch64 "*) ;; *) skip "not an architecture of this check" ;; esac
    need_tools
    emulator=$(ls "$TOOLS"/aarch64/usr/bin/qemu-aarch64-static 2>/dev/null) || absent "emulator of aarch64"
    [ -n "$(executables gnu.2.17 musl | grep aarch64)" ] || absent "build for aarch64"
    need_venv
    copy_tree
    "$VENV/bin/mlruns-tools" dump -q mlruns >here.mlr
    "$VENV/bin/mlruns-tools" load -q sqlite:///here.db <here.mlr
    for e in $(executables gnu.2.17 musl | grep aarch64); do
        there="$emulator -L $TOOLS/aarch64/usr/aarch64-linux-gnu $e"
        rm -f there.db
        $there dump -q mlruns >there.mlr
        cmp here.mlr there.mlr
        $there load -q sqlite:///there.db <there.mlr
        cmp here.db there.db
        $there verify -q sqlite:///there.db <here.mlr
    done
}

@test "two builds in two directories give the same bytes" {
    [ -n "${CHECK_PACKAGES-}" ] || skip "minutes of compiling: make check-packages"
    git -C "$ROOT" ls-files -z | (cd "$ROOT" && xargs -0 tar -cf - --) | { mkdir elsewhere && tar -xf - -C elsewhere; }
    env -u BUILD make -s -C elsewhere wheel-"$MACHINE" >/dev/null
    for wheel in elsewhere/build/dist/*.whl; do
        cmp "$wheel" "$DIST/$(basename "$wheel")"
    done
}

@test "the build stops at an unavailable source and names the command that locks it again" {
    mkdir -p tools/dist
    cp "$ROOT"/tools/dist/fetch.py "$ROOT"/tools/dist/libraries.tsv tools/dist/
    sed 's/^\(xxhash [^ ]* \)[0-9a-f]*/\10000000000000000000000000000000000000000000000000000000000000000/' "$ROOT/tools/dist/libraries.lock" >tools/dist/libraries.lock
    mkdir fake
    printf '#!/bin/sh\nexit 1\n' >fake/apt-get
    chmod +x fake/apt-get
    run_split env PATH="$PWD/fake:$PATH" MLRUNS_TOOLS_CACHE="$PWD/cache" python3 tools/dist/fetch.py xxhash
    assert_status 2
    assert_contains "$stderr" "python3 tools/dist/fetch.py --lock xxhash"
    # What the cache has is taken by its hash alone, and never when it is another file.
    mkdir -p cache/sources
    printf x >cache/sources/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
    sed -i 's/^\(xxhash [^ ]* \)[0-9a-f]*/\12d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881/' tools/dist/libraries.lock
    run_split env PATH="$PWD/fake:$PATH" MLRUNS_TOOLS_CACHE="$PWD/cache" python3 tools/dist/fetch.py xxhash
    assert_status 0
    printf y >cache/sources/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
    run_split env PATH="$PWD/fake:$PATH" MLRUNS_TOOLS_CACHE="$PWD/cache" python3 tools/dist/fetch.py xxhash
    assert_status 2
}
