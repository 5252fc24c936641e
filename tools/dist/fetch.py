#!/usr/bin/env python3
"""fetch.py [NAME...]          print the path of each library's source tarball (all of them without NAME), fetched if need be
fetch.py --lock [NAME...]   lock the newest versions that Debian serves, within the series of libraries.tsv

libraries.lock says which tarball is meant: name, version, sha256, size. Any place may serve it, since the hash decides:
the cache ($MLRUNS_TOOLS_CACHE, default ~/.cache/mlruns-tools) in sources/, keyed by the hash; then Debian's source packages, by
apt-get with lists of its own (nothing of the system is touched); then, where MLRUNS_TOOLS_UPSTREAM is set (the release
workflow), upstream and Debian's snapshot archive.
"""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
LOCK = HERE / "libraries.lock"
CACHE = pathlib.Path(
    os.environ.get("MLRUNS_TOOLS_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "mlruns-tools"
)
SOURCES = CACHE / "sources"
# Every suite that is maintained: an upstream version stays in one of them for years.
APT_SOURCES = """Types: deb-src
URIs: http://deb.debian.org/debian
Suites: bookworm trixie sid
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb-src
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security trixie-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def say(text):
    print(f"fetch.py: {text}", file=sys.stderr)


def table(path):
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {line.split()[0]: line.split()[1:] for line in lines if line and not line.startswith("#")}


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read()).hexdigest()


def keep(path, digest):
    """Moves a file into the cache if it is the one meant."""
    if sha256(path) != digest:
        return False
    SOURCES.mkdir(parents=True, exist_ok=True)
    part = SOURCES / f".{digest}.{os.getpid()}"
    shutil.copyfile(path, part)
    part.rename(SOURCES / digest)
    return True


class Apt:
    """Debian's source packages, read with lists in a directory of its own."""

    def __init__(self, directory):
        self.ready, self.directory = None, directory
        self.options = [
            f"-oDir::Etc::sourceparts={directory}/sources", "-oDir::Etc::sourcelist=/dev/null", f"-oDir::State::lists={directory}/lists",
            f"-oDir::Cache={directory}/cache", "-oAPT::Sandbox::User=root", "-q",
        ]  # fmt: skip

    def run(self, tool, *words, **how):
        return subprocess.run([tool, *self.options, *words], capture_output=True, text=True, check=True, **how).stdout

    def update(self):
        if self.ready is None:
            self.ready = False
            for part in ("sources", "lists/partial", "cache"):
                (self.directory / part).mkdir(parents=True, exist_ok=True)
            (self.directory / "sources/debian.sources").write_text(APT_SOURCES)
            try:
                self.run("apt-get", "update")
                self.ready = True
            except (OSError, subprocess.CalledProcessError) as e:
                say(f"Debian's lists cannot be fetched: {(getattr(e, 'stderr', '') or str(e)).strip().splitlines()[-1]}")
        return self.ready

    def tarballs(self, package):
        """(Debian's version, sha256, size, file) of each upstream tarball of a source package, the newest version first."""
        if not self.update():
            return []
        try:
            text = self.run("apt-cache", "showsrc", "--only-source", package)
        except subprocess.CalledProcessError:
            return []
        found = set()
        for paragraph in text.split("\n\n"):
            version = re.search(r"^Version: (\S+)", paragraph, re.MULTILINE)
            sums = re.search(r"^Checksums-Sha256:((?:\n .*)+)", paragraph, re.MULTILINE)
            for digest, size, file in re.findall(r"^ (\S+) (\d+) (\S+\.orig\.tar\.\w+)$", sums[1] if sums else "", re.MULTILINE):
                found.add((version[1], digest, int(size), file))
        return sorted(found, key=lambda t: [int(n) for n in re.findall(r"\d+", t[0])], reverse=True)

    def fetch(self, package, digest):
        for version in [v for v, d, _, _ in self.tarballs(package) if d == digest]:
            with tempfile.TemporaryDirectory() as work:
                try:
                    self.run("apt-get", "source", "--download-only", "--only-source", f"{package}={version}", cwd=work)
                except subprocess.CalledProcessError as e:
                    say(f"{package}={version}: {e.stderr.strip().splitlines()[-1]}")
                    continue
                if any(keep(f, digest) for f in pathlib.Path(work).glob("*.orig.tar.*")):
                    return True
        return False


def fetch_upstream(package, version, digest, url):
    urls = [url.format(v=version)] if url != "-" else [
        f"https://snapshot.debian.org/archive/debian/{locked_at()}/pool/main/{package[:4] if package.startswith('lib') else package[0]}"
        f"/{package}/{package}_{version}.orig.tar.xz"
    ]  # fmt: skip
    for u in urls:
        with tempfile.NamedTemporaryFile() as f:
            try:
                with urllib.request.urlopen(u, timeout=300) as answer:
                    shutil.copyfileobj(answer, f)
                f.flush()
            except OSError as e:
                say(f"{u}: {e}")
                continue
            if keep(f.name, digest):
                return True
            say(f"{u}: another file than the one locked")
    return False


def locked_at():
    return re.search(r"locked at (\S+)", LOCK.read_text())[1]


def find(name, lock, known, apt):
    version, digest, _ = lock[name]
    package, _, url = known[name]
    path = SOURCES / digest
    if path.exists() and sha256(path) == digest:
        return path
    say(f"fetching {name} {version}")
    if apt.fetch(package, digest) or (os.environ.get("MLRUNS_TOOLS_UPSTREAM") and fetch_upstream(package, version, digest, url)):
        return path
    say(f"{name} {version} (sha256 {digest}): neither in {SOURCES} nor among Debian's source packages")
    if not os.environ.get("MLRUNS_TOOLS_UPSTREAM"):
        say("hint: MLRUNS_TOOLS_UPSTREAM=1 asks upstream, too")
    say(f"hint: python3 tools/dist/fetch.py --lock {name} locks the newest version anew")
    return sys.exit(2)


def upstream_version(debian):
    return re.sub(r"-[^-]*$", "", debian)


def lock_anew(names, lock, known, apt):
    for name in names:
        package, series, _ = known[name]
        # Lists may name what a mirror has not, or no longer.
        newest = next((t for t in apt.tarballs(package) if t[0].startswith(series) and apt.fetch(package, t[1])), None)
        if not newest:
            say(f"{name}: Debian serves no source package {package} of version {series}*")
            sys.exit(2)
        lock[name] = [upstream_version(newest[0]), newest[1], str(newest[2])]
    # A day later the snapshot archive has surely what is there now.
    today = subprocess.run(["date", "-u", "+%Y%m%dT000000Z", "-d", "tomorrow"], capture_output=True, text=True, check=True).stdout
    lines = [f"{name} {' '.join(lock[name])}\n" for name in known if name in lock]
    LOCK.write_text(f"# name version sha256 size, written by fetch.py --lock; locked at {today.strip()}\n{''.join(lines)}")


def main():
    known, lock = table(HERE / "libraries.tsv"), table(LOCK)
    anew = sys.argv[1:2] == ["--lock"]
    names = sys.argv[2 if anew else 1 :] or list(known)
    for name in names:
        if name not in known or not (anew or name in lock):
            say(f"{name}: not a library of {'libraries.tsv' if name not in known else 'libraries.lock'}")
            sys.exit(2)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="apt-", dir=CACHE) as directory:
        apt = Apt(pathlib.Path(directory))
        if anew:
            lock_anew(names, lock, known, apt)
        else:
            for path in [find(name, lock, known, apt) for name in names]:
                print(path)


if __name__ == "__main__":
    main()
