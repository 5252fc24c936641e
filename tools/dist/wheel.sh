#!/bin/sh
# wheel.sh ARCH LIBC VERSION: builds the programs for ARCH and LIBC (gnu.2.17 or musl) and packs them into a wheel in
# $BUILD/dist, whose path it prints.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
arch=$1 libc=$2 version=$3
case ${BUILD:=build} in /*) ;; *) BUILD=$root/$BUILD ;; esac
export BUILD
programs=$(sh "$here/programs.sh" "$arch-linux-$libc")
libraries=$(sh "$here/libraries.sh" "$arch-linux-$libc")
completions=$(sh "$here/completions.sh" "$libc")
case $libc in
gnu.2.17) tags="--tag manylinux_2_17_$arch --tag manylinux2014_$arch" ;; # an old pip knows the second name alone
musl) tags="--tag musllinux_1_1_$arch" ;;
esac
# shellcheck disable=SC2086 # words to be split
python3 "$here/wheel.py" --programs "$programs" --libraries "$libraries" $tags --version "$version" --output "$BUILD/dist" \
    --completions "$completions"
