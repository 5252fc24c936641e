#!/bin/sh
# static.sh ARCH VERSION: packs the static build into mlruns-tools-VERSION-linux-ARCH.tar.xz, whose path it prints:
# one directory with bin/ (the executable, and links), share/ with the manual and completions, and the licences, to be unpacked anywhere or copied to
# /usr/local. The same programs give the same bytes.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
arch=$1 version=$2
case ${BUILD:=build} in /*) ;; *) BUILD=$root/$BUILD ;; esac
programs=$(sh "$here/programs.sh" "$arch-linux-musl")
libraries=$(sh "$here/libraries.sh" "$arch-linux-musl")
name=mlruns-tools-$version-linux-$arch
export BUILD
completions=$(sh "$here/completions.sh" musl)
work=$(mktemp -d "$BUILD/dist/static.XXXXXX")
trap 'rm -rf "$work"' EXIT
top=$work/$name
mkdir -p "$top/bin" "$top/share/doc/mlruns-tools/licences"
cp -P "$programs"/bin/ml* "$top/bin/"
for section in 1 5 7; do
    mkdir -p "$top/share/man/man$section"
    cp "$root"/man/*."$section" "$top/share/man/man$section/"
done
mkdir -p "$top/share/bash-completion" "$top/share/zsh" "$top/share/fish"
cp -r "$completions/bash" "$top/share/bash-completion/completions"
cp -r "$completions/zsh" "$top/share/zsh/site-functions"
cp -r "$completions/fish" "$top/share/fish/vendor_completions.d"
cp "$root/README.md" "$root/LICENSE" "$top/share/doc/mlruns-tools/"
cp "$libraries"/licences/* "$top/share/doc/mlruns-tools/licences/"
chmod -R u=rwX,go=rX "$top"
output=$BUILD/dist/$name.tar.xz
tar -C "$work" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=ustar -cf - "$name" | xz -T1 >"$output"
printf '%s\n' "$output"
