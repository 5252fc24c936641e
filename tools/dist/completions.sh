#!/bin/sh
# completions.sh LIBC: generates the completions of packages with the programs that are packed, of this machine's architecture, into
# $BUILD/dist/completions, which it prints.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
case ${BUILD:=build} in /*) ;; *) BUILD=$root/$BUILD ;; esac
export BUILD
programs=$(sh "$here/programs.sh" "$(uname -m)-linux-$1")
"$here/completions/generate" "$programs/bin" "$BUILD/dist/completions" >&2
printf '%s\n' "$BUILD/dist/completions"
