#!/bin/sh
# libraries.sh TARGET: prints a directory with the static libraries of packaged builds for that target: include/, lib/ and licences/.
# It builds them if need be, minutes of CPU time, and keeps them in the cache
# ($MLRUNS_TOOLS_CACHE, default ~/.cache/mlruns-tools) by a hash of libraries.lock, of the compiler and of the recipe's number.
# JOBS: how many compilers at a time (default: 2). Needs make, perl, xz, bzip2 and python3 with pip; no compiler but its own.
#
# Targets: x86_64-linux-gnu.2.17 aarch64-linux-gnu.2.17 x86_64-linux-musl aarch64-linux-musl
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${MLRUNS_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mlruns-tools}
jobs=${JOBS:-2}
target=$1
case $target in
x86_64-linux-gnu.2.17 | aarch64-linux-gnu.2.17 | x86_64-linux-musl | aarch64-linux-musl) ;;
*)
    echo "libraries.sh: not a target: $target" >&2
    exit 2
    ;;
esac
arch=${target%%-*}
recipe=1 # to be counted up when what is built below changes
key=$({ echo $recipe; cat "$here/libraries.lock" "$here/zig-requirements.txt"; } | sha256sum | cut -c1-12)
final=$cache/libraries/$target-$key
if [ "${2-}" = --path ]; then
    printf '%s\n' "$final"
    exit 0
fi

# -g0: the compiler's default is debug information; without -O it would turn on UBSan.
flags='-O2 -g0 -fPIC -fstack-protector-strong -ffunction-sections -fdata-sections -DNDEBUG'

# source_of NAME: unpacks it into the directory of that name, without its top directory.
source_of() {
    rm -rf "$1" "$1-build"
    mkdir "$1"
    tar -xf "$(python3 "$here/fetch.py" "$1")" -C "$1" --strip-components=1
}

# small NAME INCLUDE-FLAGS... -- SOURCE...: compiles sources into lib/lib<NAME>.a
small() {
    name=$1
    shift
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    shift
    mkdir -p "objects/$name"
    for source in "$@"; do
        # shellcheck disable=SC2086 # words to be split
        cc $flags $options -c -o "objects/$name/$(basename "$source" .c).o" "$source"
    done
    ar rcs "out/lib/lib$name.a" objects/"$name"/*.o
}

# The amalgamation is the same for all targets.
build_sqlite() {
    source_of sqlite
    mkdir sqlite-build
    host="$(sh "$here/zig.sh" "$(uname -m)-linux-musl")/cc -O1"
    (cd sqlite-build && CC="$host" CC_FOR_BUILD="$host" ../sqlite/configure --disable-tcl --disable-shared && make -s sqlite3.c sqlite3.h)
    cp sqlite-build/sqlite3.h out/include/
    # What Debian's library has and this project needs; without dlopen.
    small sqlite3 -DSQLITE_THREADSAFE=1 -DSQLITE_MAX_VARIABLE_NUMBER=250000 -DSQLITE_USE_URI=1 -DSQLITE_ENABLE_COLUMN_METADATA \
        -DSQLITE_SECURE_DELETE -DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_OMIT_LOAD_EXTENSION -- sqlite-build/sqlite3.c
    cp sqlite/LICENSE.md out/licences/sqlite
}

build_openssl() {
    source_of openssl
    mkdir openssl-build
    (
        cd openssl-build
        unset CFLAGS CPPFLAGS LDFLAGS
        # SOURCE_DATE_EPOCH: no date of the build in the library. no-async: what musl lacks.
        SOURCE_DATE_EPOCH=0 CC="$zig/cc" AR="$zig/ar" RANLIB="$zig/ranlib" perl ../openssl/Configure "linux-$arch" no-shared no-dso no-module \
            no-engine no-legacy no-tests no-docs no-apps no-comp no-cms no-cmp no-ct no-ts no-srp no-psk no-dtls no-ssl3 no-weak-ssl-ciphers \
            no-rc2 no-rc4 no-rc5 no-idea no-seed no-bf no-cast no-mdc2 no-md4 no-rmd160 no-whirlpool no-sm2 no-sm4 no-aria no-camellia \
            no-gost no-siphash no-ui-console no-nextprotoneg no-ec2m no-ocsp no-afalgeng no-async no-quic no-slh-dsa \
            --prefix=/usr --openssldir=/etc/ssl --libdir=lib \
            -O2 -g0 -fPIC -fstack-protector-strong -ffunction-sections -fdata-sections
        SOURCE_DATE_EPOCH=0 make -s build_generated
        SOURCE_DATE_EPOCH=0 make -s "-j$jobs" libcrypto.a libssl.a
    )
    cp openssl-build/libcrypto.a openssl-build/libssl.a out/lib/
    cp -r openssl/include/openssl out/include/
    cp openssl-build/include/openssl/*.h out/include/openssl/
    cp openssl/LICENSE.txt out/licences/openssl
}

build_postgresql() {
    source_of postgresql
    mkdir -p postgresql-build tools
    # libpq has no grammar; its configure asks for the tools of the server's.
    printf '#!/bin/sh\necho "bison (GNU Bison) 3.8"\n' >tools/bison
    printf '#!/bin/sh\necho "flex 2.6.4"\n' >tools/flex
    chmod 755 tools/bison tools/flex
    top=$PWD
    (
        cd postgresql-build
        # --sysconfdir: of the service file, as Debian has it.
        CC="$zig/cc" AR="$zig/ar" RANLIB="$zig/ranlib" BISON="$top/tools/bison" FLEX="$top/tools/flex" CFLAGS="$flags" \
            ../postgresql/configure --host="$arch-linux-gnu" --without-readline --without-zlib --without-icu --with-ssl=openssl \
            --prefix=/usr --sysconfdir=/etc/postgresql-common CPPFLAGS="-I$top/out/include" LDFLAGS="-L$top/out/lib" \
            LIBS="-lpthread -ldl"
        # The directory of the server's socket is that of all distributions, not /tmp. A generated header comes before the source's.
        sed 's|^\(#define DEFAULT_PGSOCKET_DIR *\)"/tmp"|\1"/var/run/postgresql"|' ../postgresql/src/include/pg_config_manual.h \
            >src/include/pg_config_manual.h
        grep -q '^#define DEFAULT_PGSOCKET_DIR *"/var/run/postgresql"' src/include/pg_config_manual.h
        make -s -C src/backend generated-headers
        make -s -C src/common "-j$jobs" libpgcommon_shlib.a
        make -s -C src/port "-j$jobs" libpgport_shlib.a
        make -s -C src/interfaces/libpq "-j$jobs" libpq.a
    )
    cp postgresql-build/src/interfaces/libpq/libpq.a out/lib/
    cp postgresql-build/src/common/libpgcommon_shlib.a out/lib/libpgcommon.a
    cp postgresql-build/src/port/libpgport_shlib.a out/lib/libpgport.a
    cp postgresql/src/interfaces/libpq/libpq-fe.h postgresql/src/include/postgres_ext.h out/include/
    cp postgresql/COPYRIGHT out/licences/postgresql
}

build_small() {
    for name in msgpack-c libyaml jansson xxhash libmd zstd; do
        source_of $name
    done
    for header in sysdep pack_template; do
        sed 's/@MSGPACK_ENDIAN_BIG_BYTE@/0/; s/@MSGPACK_ENDIAN_LITTLE_BYTE@/1/' msgpack-c/cmake/$header.h.in >msgpack-c/include/msgpack/$header.h
    done
    cp -r msgpack-c/include/. out/include/
    small msgpackc -Iout/include -- msgpack-c/src/*.c
    cp msgpack-c/LICENSE_1_0.txt out/licences/msgpack-c

    version=$(sed -n 's/^libyaml \([^ ]*\).*/\1/p' "$here/libraries.lock")
    IFS=. read -r major minor patch <<END
$version
END
    small yaml -Ilibyaml/include "-DYAML_VERSION_STRING=\"$version\"" "-DYAML_VERSION_MAJOR=$major" "-DYAML_VERSION_MINOR=$minor" \
        "-DYAML_VERSION_PATCH=$patch" -- libyaml/src/*.c
    cp libyaml/include/yaml.h out/include/
    cp libyaml/License out/licences/libyaml

    cat >jansson/src/jansson_config.h <<'END'
#define JSON_INLINE inline
#define JSON_INTEGER_IS_LONG_LONG 1
#define JSON_HAVE_LOCALECONV 1
#define JSON_HAVE_ATOMIC_BUILTINS 1
#define JSON_HAVE_SYNC_BUILTINS 1
#define JSON_PARSER_MAX_DEPTH 2048
END
    : >jansson/src/jansson_private_config.h
    small jansson -Ijansson/src -DHAVE_CONFIG_H -DHAVE_STDINT_H -DHAVE_FCNTL_H -DHAVE_UNISTD_H -DHAVE_SYS_TIME_H -DHAVE_SYS_TYPES_H \
        -DHAVE_LOCALE_H -DHAVE_LOCALECONV -DHAVE_GETPID -DHAVE_GETTIMEOFDAY -DHAVE_OPEN -DHAVE_READ -DHAVE_CLOSE -DUSE_URANDOM -- jansson/src/*.c
    cp jansson/src/jansson.h jansson/src/jansson_config.h out/include/
    cp jansson/LICENSE out/licences/jansson

    small xxhash -Ixxhash -- xxhash/xxhash.c
    cp xxhash/xxhash.h out/include/
    cp xxhash/LICENSE out/licences/xxhash

    printf '#include <sys/types.h>\n' >libmd/src/config.h
    small md -Ilibmd/src -Ilibmd/include -include unistd.h -D_GNU_SOURCE -- libmd/src/sha2.c libmd/src/sha256hl.c
    cp libmd/include/sha256.h libmd/include/sha2.h out/include/
    cp libmd/COPYING out/licences/libmd

    small zstd -Izstd/lib -DZSTD_DISABLE_ASM -DZSTD_LEGACY_SUPPORT=0 -DXXH_NAMESPACE=ZSTD_ -- \
        zstd/lib/common/*.c zstd/lib/compress/*.c zstd/lib/decompress/*.c
    cp zstd/lib/zstd.h zstd/lib/zstd_errors.h out/include/
    cp zstd/LICENSE out/licences/zstd
}

# The compiler brings an allocator for musl that maps and unmaps each block of 32 KiB and more, and whose threads wait for each
# other.
build_malloc() {
    source_of mimalloc
    small mimalloc -Imimalloc/include -DMI_MALLOC_OVERRIDE -fno-builtin-malloc -ftls-model=initial-exec -- mimalloc/src/static.c
    cp mimalloc/LICENSE out/licences/mimalloc
}

# step NAME: runs build_NAME in a shell of its own, which its first failure ends. What was done before a failure is kept.
step() {
    [ ! -e "$1.done" ] || return 0
    set +e
    (
        set -e
        "build_$1"
    ) >"$1.log" 2>&1
    status=$?
    set -e
    if [ $status -ne 0 ]; then
        tail -40 "$1.log" >&2
        echo "libraries.sh: $target: $1 failed; $PWD/$1.log" >&2
        exit 2
    fi
    : >"$1.done"
}

mkdir -p "$cache/libraries"
(
    flock 9
    [ ! -e "$final/.ready" ] || exit 0
    echo "libraries.sh: building the libraries for $target" >&2
    zig=$(sh "$here/zig.sh" "$target")
    export PATH="$zig:$PATH" LC_ALL=C
    work=$cache/libraries/work-$target-$key
    mkdir -p "$work"
    cd "$work"
    mkdir -p out/include out/lib out/licences objects
    step small
    case $target in *-musl) step malloc ;; esac
    step sqlite
    step openssl
    step postgresql
    # What the compiler links in: its run-time library, and musl.
    cp "$zig/../ziglang/LICENSE" out/licences/zig
    case $target in *-musl) cp "$zig/../ziglang/lib/libc/musl/COPYRIGHT" out/licences/musl ;; esac
    : >out/.ready
    rm -rf "$final"
    mv out "$final"
    cd ..
    rm -rf "$work"
) 9>"$cache/libraries/.lock-$target"
printf '%s\n' "$final"
