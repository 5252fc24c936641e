#!/bin/sh
# zig.sh TARGET: prints a directory that holds cc, ar and ranlib for that target (x86_64-linux-gnu.2.17 …), which it makes if need be
# in the cache ($MLRUNS_TOOLS_CACHE, default ~/.cache/mlruns-tools). The compiler is PyPI's ziglang, held to the hashes of
# zig-requirements.txt; pip fetches it.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${MLRUNS_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mlruns-tools}
target=$1
key=$(sha256sum <"$here/zig-requirements.txt" | cut -c1-12)
zig=$cache/zig/$key

# A python with pip: the one that the tests' environments are made with may come without.
pip() {
    if python3 -m pip --version >/dev/null 2>&1; then
        python3 -m pip "$@"
    else
        python3 -m venv "$zig.pip" && "$zig.pip/bin/python" -m pip "$@"
    fi
}

mkdir -p "$cache/zig"
(
    flock 9
    if [ ! -e "$zig/.ready" ]; then
        echo "zig.sh: fetching the compiler" >&2
        rm -rf "$zig"
        mkdir -p "$zig"
        PIP_ROOT_USER_ACTION=ignore pip -q --disable-pip-version-check install --no-compile --no-deps --require-hashes --target "$zig" \
            -r "$here/zig-requirements.txt" >&2
        rm -rf "$zig.pip"
        : >"$zig/.ready"
    fi
    if [ ! -e "$zig/$target/.ready" ]; then
        mkdir -p "$zig/$target"
        # The compiler's own cache of libraries, kept with it.
        environment="ZIG_GLOBAL_CACHE_DIR=\"$cache/zig/cache\" ZIG_LOCAL_CACHE_DIR=\"$cache/zig/cache\""
        for tool in cc ar ranlib; do
            words=$tool
            [ $tool != cc ] || words="cc -target $target"
            printf '#!/bin/sh\n%s exec "%s/ziglang/zig" %s "$@"\n' "$environment" "$zig" "$words" >"$zig/$target/$tool"
            chmod 755 "$zig/$target/$tool"
        done
        : >"$zig/$target/.ready"
    fi
) 9>"$cache/zig/.lock"
printf '%s\n' "$zig/$target"
