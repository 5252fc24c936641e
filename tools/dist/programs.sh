#!/bin/sh
# programs.sh TARGET [MAKE-ARGUMENT...]: builds the programs as one executable with all libraries in it, and prints the directory
# that holds it as bin/mlruns-tools, with the other names as links ($BUILD/dist/TARGET, BUILD is build by default).
# The targets are those of libraries.sh: …-gnu.2.17 needs glibc 2.17 or later and nothing else, …-musl nothing at all.
# A position-independent executable with RELRO and stack protector; the same sources give the same bytes in any directory.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$1
shift
case $target in
*-musl) static='-static -pie' ;;
*) static=-pie ;;
esac
case ${BUILD:=build} in /*) ;; *) BUILD=$root/$BUILD ;; esac
libraries=$(sh "$here/libraries.sh" "$target")
zig=$(sh "$here/zig.sh" "$target")
archives=
for name in sqlite3 pq pgcommon pgport ssl crypto yaml jansson xxhash md zstd msgpackc; do
    archives="$archives $libraries/lib/lib$name.a"
done
# Before the C library, whose allocator it replaces.
case $target in *-musl) archives="$libraries/lib/libmimalloc.a $archives" ;; esac
# The order of what else is in the environment must not matter.
unset CFLAGS CPPFLAGS LDFLAGS SANITIZE MAKEFLAGS
make -s -C "$root" "-j${JOBS:-2}" "BUILD=$BUILD/dist/$target" PACKAGED=1 PKGS= CC="$zig/cc" AR="$zig/ar" \
    CPPFLAGS="-I$libraries/include -DMLRUNS_TOOLS_STATIC_LIBRARIES" \
    CFLAGS="-O2 -g0 -fPIE -fstack-protector-strong -ffunction-sections -fdata-sections" \
    LDFLAGS="$static -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -s" LIBS="$archives -lm -lpthread -ldl" "$@" >&2
printf '%s\n' "$BUILD/dist/$target"
