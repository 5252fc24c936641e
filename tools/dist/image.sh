#!/bin/sh
# image.sh ARCH: builds the container image localhost/mlruns-tools from the static build of ARCH with buildah, and prints its
# name and size in bytes. It holds the executable with its links, the machine's bundle of certificates, an empty /tmp and /data.
# STORAGE: the directory of the images (default: buildah's own).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
arch=$1
case ${BUILD:=build} in /*) ;; *) BUILD=$root/$BUILD ;; esac
export BUILD
programs=$(sh "$here/programs.sh" "$arch-linux-musl")
work=$(mktemp -d "$BUILD/dist/image.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/rootfs/usr/bin" "$work/rootfs/etc/ssl/certs" "$work/rootfs/tmp" "$work/rootfs/data"
chmod 1777 "$work/rootfs/tmp"
cp -P "$programs"/bin/ml* "$work/rootfs/usr/bin/"
cp -L /etc/ssl/certs/ca-certificates.crt "$work/rootfs/etc/ssl/certs/"
case $arch in x86_64) platform=amd64 ;; *) platform=arm64 ;; esac
if [ -n "${STORAGE-}" ]; then
    mkdir -p "$STORAGE"
    printf '[storage]\ndriver = "vfs"\ngraphroot = "%s/root"\nrunroot = "%s/run"\n' "$STORAGE" "$STORAGE" >"$STORAGE/storage.conf"
    export CONTAINERS_STORAGE_CONF="$STORAGE/storage.conf"
fi
version=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$here/changelog")
buildah build --isolation chroot --timestamp 0 --arch "$platform" --tag "localhost/mlruns-tools:$version" \
    --file "$here/Containerfile" "$work" >&2
buildah images --format '{{.Name}}:{{.Tag}} {{.Size}}' "localhost/mlruns-tools:$version"
