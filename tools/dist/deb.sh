#!/bin/sh
# deb.sh: builds the Debian package for this machine with debhelper, in a clean copy of what is committed, and prints its path
# ($BUILD/dist/*.deb). VERSION and the changelog are those of tools/dist/changelog.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
case ${BUILD:=build} in /*) ;; *) BUILD=$root/$BUILD ;; esac
mkdir -p "$BUILD/dist"
work=$(mktemp -d "$BUILD/dist/deb.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/mlruns-tools"
git -C "$root" archive HEAD | tar -C "$work/mlruns-tools" -xf -
cd "$work/mlruns-tools"
cp -r tools/dist/debian debian
cp tools/dist/changelog debian/changelog
# The caller's settings for make and the compiler must not reach the package.
unset MAKEFLAGS MFLAGS MAKELEVEL CC CFLAGS CPPFLAGS LDFLAGS BUILD_ARGS
built=$BUILD
unset BUILD
dpkg-buildpackage -us -uc -b >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
rm -f "$work"/mlruns-tools-dbgsym_*.deb
mv "$work"/mlruns-tools_*.deb "$built/dist/"
cd "$built/dist"
ls -t "$built"/dist/mlruns-tools_*.deb | head -n 1
