#!/usr/bin/env bats
# What a release is made of besides wheels and static builds: the Debian package, the container image, the bill of materials, the
# recipes, the workflows. `make check` tests what is there and skips the rest; with CHECK_PACKAGES=1 (`make check-packages`) what
# can be built here is.

load helpers

setup() {
    work
    VERSION=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$ROOT/tools/dist/changelog")
}

# need COMMAND WHY
need() {
    command -v "$1" >/dev/null || skip "no $1 here: $2"
}

deb() {
    ls "$BUILD/dist/mlruns-tools_${VERSION}_"*.deb 2>/dev/null || true
}

@test "the programs' version is the changelog's" {
    [ -n "$VERSION" ]
    assert_contains "$(mlruns-tools --version)" "$VERSION"
    make -s -C "$ROOT" check-tag TAG="v$VERSION"
    run make -s -C "$ROOT" check-tag TAG=v0.0.1
    assert_equal "$status" 2
}

@test "every build step of the workflows is a target of the Makefile" {
    targets=$(sed -n 's/^ *\(run: \)\{0,1\}make \(.*\)/\2/p' "$ROOT"/.github/workflows/*.yml | sed 's/\${{[^}]*}}//g' |
        tr ' ' '\n' | grep -x '[a-z-]*' | sort -u)
    [ "$(wc -l <<<"$targets")" -ge 8 ]
    for target in $targets; do
        grep -qE "^([a-z-]+ )*$target( [a-z-]+)*:" "$ROOT/Makefile" "$ROOT"/tools/dist/*.mk || { echo "no target $target" >&2; false; }
    done
}

@test "the workflows conform to GitHub's schema" {
    tools=$(packaging_tools)/bin
    [ -x "$tools/check-jsonschema" ] || skip "no check-jsonschema here: tests/setup.sh packaging"
    "$tools/check-jsonschema" --builtin-schema vendor.github-workflows "$ROOT"/.github/workflows/*.yml
}

@test "the bill of materials has every locked library with its hash, is reproducible and valid CycloneDX" {
    python3 "$ROOT/tools/dist/sbom.py" "$VERSION" >a.json
    python3 "$ROOT/tools/dist/sbom.py" "$VERSION" | cmp - a.json
    assert_equal "$(jq -r '.components[] | .name + " " + .version + " " + .hashes[0].content' a.json)" \
        "$(grep -v '^#' "$ROOT/tools/dist/libraries.lock" | cut -d' ' -f1-3)"
    assert_equal "$(jq -r '.specVersion, .metadata.component.version' a.json)" "1.5
$VERSION"
    [ "$(jq -r .serialNumber a.json)" != "$(python3 "$ROOT/tools/dist/sbom.py" 9.9.9 | jq -r .serialNumber)" ]
}

@test "a release's recipes name its archive and checksum, and leave nothing to fill in" {
    echo archive >a.tar.gz
    python3 "$ROOT/tools/dist/release_files.py" 1.2.3 https://host.example/a.tar.gz https://host.example a.tar.gz out
    for f in out/recipe.yaml out/mlruns-tools.rb; do
        assert_contains "$(cat $f)" "$(sha256sum <a.tar.gz | cut -d' ' -f1)"
        assert_contains "$(cat $f)" https://host.example/a.tar.gz
        ! grep -E '@[A-Z0-9]+@|make release-files' $f || false
    done
    assert_contains "$(cat out/recipe.yaml)" 'version: "1.2.3"'
}

@test "rattler-build renders the conda recipe for both architectures" {
    tools=$(packaging_tools)/bin
    [ -x "$tools/python" ] || skip "no rattler-build here: tests/setup.sh packaging"
    echo archive >a.tar.gz
    python3 "$ROOT/tools/dist/release_files.py" 1.2.3 https://host.example/a.tar.gz https://host.example a.tar.gz out
    cat >render.py <<'END'
import sys
from rattler_build.render import RenderConfig
from rattler_build.stage0 import Stage0Recipe
from rattler_build.tool_config import PlatformConfig
from rattler_build.variant_config import VariantConfig

for platform in ("linux-64", "linux-aarch64"):
    variants = VariantConfig({"c_compiler": ["gcc"], "c_stdlib": ["sysroot"]})
    config = RenderConfig(PlatformConfig(target_platform=platform, host_platform=platform))
    for variant in Stage0Recipe.from_file(sys.argv[1]).render(variants, config):
        r = variant.recipe
        print(platform, r.package.name, r.package.version, *r.requirements.to_dict()["build"])
END
    "$tools/python" render.py out/recipe.yaml >rendered
    assert_equal "$(cat rendered)" "linux-64 mlruns-tools 1.2.3 gcc_linux-64 sysroot_linux-64 make pkg-config
linux-aarch64 mlruns-tools 1.2.3 gcc_linux-aarch64 sysroot_linux-aarch64 make pkg-config"
    sed 's/  host:/  hosts:/' out/recipe.yaml >wrong.yaml
    run "$tools/python" render.py wrong.yaml
    assert_equal "$status" 1
    assert_contains "$output" "unknown field 'hosts'"
}

@test "rubocop finds nothing in the Homebrew formula" {
    need rubocop "apt-get install rubocop"
    echo archive >a.tar.gz
    python3 "$ROOT/tools/dist/release_files.py" 1.2.3 https://host.example/a.tar.gz https://host.example a.tar.gz out
    for f in "$ROOT/tools/dist/homebrew/mlruns-tools.rb" out/mlruns-tools.rb; do
        assert_equal "$(ruby -c "$f")" "Syntax OK"
        rubocop --cache false --config "$ROOT/tools/dist/homebrew/.rubocop.yml" "$f"
    done
}

@test "the recipes require every library that the Makefile asks for" {
    packages=$(make -s -C "$ROOT" -f - print <<<'include Makefile
print:; @echo $(PKGS)')
    # name in pkg-config, in conda, in Homebrew
    while read -r name conda brew; do
        packages=$(tr ' ' '\n' <<<"$packages" | grep -vxE -- "$name" || true)
        grep -qx "    - $conda" "$ROOT/tools/dist/conda/recipe.yaml"
        grep -qx "  depends_on \"$brew\"" "$ROOT/tools/dist/homebrew/mlruns-tools.rb"
    done <<'END'
sqlite3 libsqlite sqlite
libpq libpq libpq
yaml-0.1 yaml libyaml
jansson jansson jansson
libxxhash xxhash xxhash
libmd libmd libmd
libzstd zstd zstd
msgpack(-c)? msgpack-c msgpack
END
    assert_equal "$packages" ""
}

@test "lintian finds nothing in the Debian package, and its programs are one executable" {
    need lintian "apt-get install lintian"
    [ -n "$(deb)" ] || skip "no Debian package in $BUILD/dist: make deb"
    run lintian -E --fail-on error,warning --allow-root "$(deb)"
    assert_equal "$output" ""
    dpkg -x "$(deb)" root
    assert_equal "$(readlink root/usr/bin/ml-load)" mlruns-tools
    for f in share/bash-completion/completions/ml-load share/fish/vendor_completions.d/ml-load.fish share/zsh/vendor-completions/_mlruns-tools \
        share/man/man1/ml-load.1.gz share/doc/mlruns-tools/copyright; do
        [ -e "root/usr/$f" ] || { echo "no $f" >&2; false; }
    done
}

@test "the Debian package migrates and verifies in a bare root, and purged leaves nothing" {
    [ -n "${CHECK_PACKAGES-}" ] || skip "takes minutes: make check-packages"
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    need debootstrap "apt-get install debootstrap"
    [ -n "$(deb)" ] || skip "no Debian package in $BUILD/dist: make deb"
    debootstrap --variant=minbase bookworm root >log 2>&1 || { tail -5 log >&2; skip "debootstrap does not work here"; }
    cp /etc/apt/apt.conf.d/*proxy* root/etc/apt/apt.conf.d/ 2>/dev/null || true
    find root -xdev -path root/proc -prune -o -path root/var/cache -prune -o -path root/var/lib/apt -prune -o -path root/var/lib/dpkg -prune \
        -o -path root/var/log -prune -o -path root/tmp -prune -o -print | sort >before
    before=$(chroot root dpkg-query -W)
    cp "$(deb)" root/tmp/x.deb
    copy_tree
    cp -r mlruns root/tmp/mlruns
    chroot root sh -c 'apt-get update && apt-get install -y --no-install-recommends /tmp/x.deb' >log 2>&1 || { tail -5 log >&2; false; }
    chroot root ml-migrate /tmp/mlruns sqlite:////tmp/m.db --verify >out 2>err || { cat err >&2; false; }
    assert_contains "$(cat out err)" "Status: SUCCESS"
    chroot root sh -c 'apt-get purge -y mlruns-tools && apt-get autoremove --purge -y' >log 2>&1
    assert_equal "$(chroot root dpkg-query -W)" "$before"
    find root -xdev -path root/proc -prune -o -path root/var/cache -prune -o -path root/var/lib/apt -prune -o -path root/var/lib/dpkg -prune \
        -o -path root/var/log -prune -o -path root/tmp -prune -o -print | sort | diff before -
}

@test "the container image runs the pipeline on a mounted tree" {
    [ -n "${CHECK_PACKAGES-}" ] || skip "takes minutes: make check-packages"
    need buildah "apt-get install buildah"
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    export STORAGE=$PWD/storage CONTAINERS_STORAGE_CONF=$PWD/storage/storage.conf
    image=$(sh "$ROOT/tools/dist/image.sh" "$(uname -m)" 2>err | cut -d' ' -f1) || { tail -5 err >&2; false; }
    container=$(buildah from "$image")
    copy_tree
    mkdir data
    cp -r mlruns data/
    run buildah run --isolation chroot -v "$PWD/data:/data" "$container" -- /usr/bin/mlruns-tools migrate /data/mlruns sqlite:////data/m.db --verify
    assert_contains "$output" "Status: SUCCESS"
    sqlite3 data/m.db 'SELECT count(*) FROM runs' | grep -qvx 0
    inside=$(buildah mount "$container")
    cmp "$inside/etc/ssl/certs/ca-certificates.crt" /etc/ssl/certs/ca-certificates.crt
    assert_equal "$(stat -c %a "$inside/tmp")" 1777
    assert_equal "$(ls -A "$inside/tmp" "$inside/bin" 2>/dev/null)" "$inside/tmp:" # and no shell
    buildah rm "$container" >/dev/null
}

@test "newest.py accepts a release whose revisions are all known, and names a missing one" {
    [ -n "${CHECK_PACKAGES-}" ] || skip "fetches a wheel: make check-packages"
    run python3 "$ROOT/tools/dist/newest.py" 3.16.1
    assert_equal "$status" 0
    mkdir -p copy/tools/dist
    cp "$ROOT/tools/dist/newest.py" copy/tools/dist/
    cp -r "$ROOT/migrations" copy/
    rm copy/migrations/0050_*
    run python3 copy/tools/dist/newest.py 3.16.1
    assert_equal "$status" 1
    assert_contains "$output" "1 revisions are not in migrations/"
}
