#!/bin/sh
# Makes a machine ready to build and to test.  Every command may be repeated: it does what is missing, and says
# nothing when nothing is.  What was asked for (a path) goes to stdout, all else to stderr.

set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${MLRUNS_TOOLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mlruns-tools}

build_packages='gcc libc6-dev make pkg-config libsqlite3-dev libpq-dev libmsgpack-dev libyaml-dev libjansson-dev libxxhash-dev libmd-dev libzstd-dev'
test_packages='bats jq sqlite3 zstd python3 python3-venv postgresql postgresql-client pgbouncer curl parallel iproute2 openssh-client time groff-base util-linux zsh fish tmux chromium fonts-dejavu-core'
# What make check-packages builds and tests with.
dist_packages='perl xz-utils bzip2 debhelper dpkg-dev lintian debootstrap buildah rubocop'
# For shards on several hosts. It would start a server of its own wherever something starts services, so only elsewhere (in a
# container); without it that test is skipped.
[ -d /run/systemd/system ] || test_packages="$test_packages openssh-server"

usage() {
	cat <<'EOF'
usage: tests/setup.sh apt [build|dist] install the missing Debian packages (build: only those that make needs; dist: what
                                      make check-packages needs, too)
       tests/setup.sh versions        list the MLflow versions that the tests use
       tests/setup.sh venv VERSION    make the virtual environment of that MLflow, print its python. Some MLflow releases
                                      have one with little but MLflow itself, over that of another release
       tests/setup.sh wheel VERSION   unpack the wheel of that MLflow without what it depends on, print its directory
       tests/setup.sh browser         make the virtual environment that drives Chromium, print its python
       tests/setup.sh packaging       make what tests the packages (make check-packages), print its directory: bin/ with pip's
                                      checkers and uv, and an emulator of aarch64 with its C library
       tests/setup.sh all             packages and every virtual environment

Environments and wheels are kept in $MLRUNS_TOOLS_CACHE (default: ~/.cache/mlruns-tools).
$PYTHON names the interpreter to make them with (3.10 or 3.11).
EOF
}

say() {
	printf 'setup.sh: %s\n' "$*" >&2
}

die() {
	say "$@"
	exit 2
}

# Runs a command; its output is shown only if it fails.
quietly() {
	output=$("$@" 2>&1) || {
		printf '%s\n' "$output" >&2
		return 1
	}
}

# The words of $1 that are not installed as Debian packages.
missing_packages() {
	for package in $1; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=none
		[ "$status" = installed ] || printf '%s ' "$package"
	done
}

setup_apt() {
	wanted=$build_packages
	case ${1-} in
	build) ;;
	'') wanted="$wanted $test_packages" ;;
	dist) wanted="$wanted $test_packages $dist_packages" ;;
	*) die "apt: unknown set of packages: $1" ;;
	esac
	command -v dpkg-query >/dev/null 2>&1 ||
		die "no dpkg here: install what these Debian packages hold: $wanted"
	missing=$(missing_packages "$wanted")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -eq 0 ]; then
		as_root=''
	elif command -v sudo >/dev/null 2>&1; then
		as_root=sudo
	else
		say "these packages are missing: $missing"
		die "hint: run as root: apt-get update && apt-get install -y $missing"
	fi
	say "installing $missing"
	apt_get='env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300'
	# shellcheck disable=SC2086 # words to be split
	{ quietly $as_root $apt_get update && quietly $as_root $apt_get install -y --no-install-recommends $missing; } ||
		die "apt-get could not install: $missing"
}

find_python() {
	for candidate in ${PYTHON:-python3.11 /usr/bin/python3 python3 python3.10}; do
		if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null; then
			command -v "$candidate"
			return 0
		fi
	done
	die 'no Python 3.10 or 3.11 found: the older MLflow releases run on no newer one (set PYTHON)'
}

versions() {
	for file in "$here"/mlflow/requirements-*.txt; do
		name=${file##*/requirements-}
		printf '%s\n' "${name%.txt}"
	done | sort -V
}

# Releases whose environments take most from that of another one (tests/mlflow/over-*.txt): those of make check.
overlays() {
	grep -L '^# for DEEP=1' "$here"/mlflow/over-*.txt | sed 's/.*\/over-//; s/\.txt$//'
}

# make_overlay DIRECTORY REQUIREMENTS BASE: an environment with what the file names, and behind it all that BASE has.
make_overlay() {
	rm -rf -- "$1"
	"$(find_python)" -m venv --without-pip "$1" || die "python -m venv failed (Debian: apt-get install python3-venv)"
	own=$("$1/bin/python" -c 'import site; print(site.getsitepackages()[0])')
	quietly "$3" -m pip install --disable-pip-version-check --no-compile --no-deps --target "$own" -r "$2" ||
		die "pip could not install $2"
	"$3" -c 'import site; print(site.getsitepackages()[0])' >"$own/base.pth"
	for program in gunicorn uvicorn; do # which `mlflow server` runs
		printf '#!/bin/sh\nexec "%s" -m %s "$@"\n' "$1/bin/python" $program >"$1/bin/$program"
		chmod +x "$1/bin/$program"
	done
}

# make_venv DIRECTORY REQUIREMENTS: a new virtual environment with what the file names.
make_venv() {
	rm -rf -- "$1"
	python=$(find_python)
	"$python" -m venv "$1" || die "$python -m venv failed (Debian: apt-get install python3-venv)"
	quietly "$1/bin/python" -m pip install --disable-pip-version-check --no-compile --no-deps -r "$2" ||
		die "pip could not install $2"
}

# made DIRECTORY WHAT COMMAND...: has the command make a directory of the cache, unless it is there. It is made in its final place,
# since an environment's scripts hold their own path; the stamp distinguishes a complete one from one that was cut short, and the
# lock keeps a second caller waiting.
made() {
	directory=$1
	what=$2
	shift 2
	[ ! -e "$directory/.ready" ] || return 0
	mkdir -p "${directory%/*}"
	(
		flock 9
		[ ! -e "$directory/.ready" ] || exit 0
		say "$what in $directory"
		"$@"
		: >"$directory/.ready"
	) 9>"${directory%/*}/.${directory##*/}.lock"
}

setup_venv() {
	requirements=$here/mlflow/requirements-$1.txt
	base=''
	if [ -f "$here/mlflow/over-$1.txt" ]; then
		requirements=$here/mlflow/over-$1.txt
		base=$("$here/setup.sh" venv "$(sed -n 's/^# over //p' "$requirements")") || exit 2
	fi
	[ -f "$requirements" ] || die "no $requirements; the versions are: $(versions | tr '\n' ' ')"
	# with the base's path, which is named for what that has
	hash=$({ cat "$requirements"; printf '%s' "${base#"$cache"}"; } | sha256sum | cut -c1-12)
	venv=$cache/venvs/$1-$hash
	if [ -n "$base" ]; then
		made "$venv" "making the environment of MLflow $1" make_overlay "$venv" "$requirements" "$base"
	else
		made "$venv" "making the environment of MLflow $1" make_venv "$venv" "$requirements"
	fi
	printf '%s\n' "$venv/bin/python"
}

setup_browser() {
	venv=$cache/venvs/browser-$(sha256sum <"$here/browser-requirements.txt" | cut -c1-12)
	made "$venv" "making the environment that drives Chromium" make_venv "$venv" "$here/browser-requirements.txt"
	printf '%s\n' "$venv/bin/python"
}

unpack_wheel() {
	rm -rf -- "$2"
	mkdir -p "$2"
	python=$(find_python)
	# The interpreter itself may come without pip; an environment of its own brings one.
	"$python" -m pip --version >/dev/null 2>&1 || python=$(setup_pip)
	quietly "$python" -m pip install --disable-pip-version-check --no-compile --no-deps --target "$2" "mlflow==$1" ||
		die "pip could not fetch mlflow==$1"
}

setup_wheel() {
	wheel=$cache/wheels/$1
	made "$wheel" "unpacking MLflow $1" unpack_wheel "$1" "$wheel"
	printf '%s\n' "$wheel"
}

# Prints a python that has pip and little else.
setup_pip() {
	mkdir -p "$cache/venvs"
	(
		flock 8
		[ -x "$cache/venvs/pip/bin/pip" ] || "$(find_python)" -m venv "$cache/venvs/pip"
	) 8>"$cache/venvs/.pip.lock"
	printf '%s\n' "$cache/venvs/pip/bin/python"
}

# The emulator is unpacked, not installed: it would have the system run every foreign program by itself.
make_packaging() {
	make_venv "$1" "$here/packages-requirements.txt"
	mkdir "$1/debs"
	# shellcheck disable=SC2015 # either fails
	(cd "$1/debs" && quietly apt-get -q download qemu-user-static libc6-arm64-cross) &&
		for deb in "$1"/debs/*.deb; do dpkg -x "$deb" "$1/aarch64"; done ||
		say "without an emulator of aarch64"
	rm -rf "$1/debs"
}

setup_packaging() {
	tools=$cache/packaging-$(sha256sum <"$here/packages-requirements.txt" | cut -c1-12)
	made "$tools" "making what tests the packages" make_packaging "$tools"
	printf '%s\n' "$tools"
}

# Two at a time: the network and the disk take turns.
setup_all() {
	setup_apt
	{ { versions && overlays; } | sed 's/^/venv /' && echo browser; } | xargs -P 2 -L 1 "$here/setup.sh" >/dev/null ||
		die 'some environments could not be made'
}

case $#:${1-} in
1:-h | 1:--help) usage ;;
1:apt) setup_apt ;;
2:apt) setup_apt "$2" ;;
1:versions) versions ;;
2:venv) setup_venv "$2" ;;
2:wheel) setup_wheel "$2" ;;
1:browser) setup_browser ;;
1:packaging) setup_packaging ;;
1:all) setup_all ;;
*)
	usage >&2
	exit 2
	;;
esac
