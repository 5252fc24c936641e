"""What the Python tests share: TAP, the programs under test, environments with real MLflow."""

import atexit
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("BUILD", "build"))
BIN = (BUILD if BUILD.is_absolute() else ROOT / BUILD) / "bin"

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")},
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONWARNINGS": "ignore",
    "PYTHONUTF8": "1",
}


class Tap:
    """Prints one line for each test, and the plan at the end."""

    def __init__(self):
        self.number = 0
        self.failed = 0

    def ok(self, passed, name, *details):
        """details: shown as comments of a test that fails; they may hold several lines."""
        self.number += 1
        self.failed += not passed
        print("%sok %d - %s" % ("" if passed else "not ", self.number, name), flush=True)
        if not passed:
            for detail in details:
                self.comment(detail)
        return passed

    def skip(self, name, why):
        self.number += 1
        print("ok %d - %s # SKIP %s" % (self.number, name, why), flush=True)

    def comment(self, text):
        lines = str(text).splitlines()
        for line in lines[:60]:
            print("# " + line)
        if len(lines) > 60:
            print("# … %d more lines" % (len(lines) - 60))
        sys.stdout.flush()

    def include(self, text, prefix):
        """The tests of another TAP text, under a common name."""
        for line in text.splitlines():
            passed = line.startswith("ok ")
            if passed or line.startswith("not ok "):
                name = line.split(" - ", 1)[-1]
                if passed and "# SKIP" in name:
                    self.skip(prefix + name.split(" # SKIP")[0], name.split("# SKIP ")[-1])
                else:
                    self.ok(passed, prefix + name)
            elif line.startswith("#"):
                print(line)

    def done(self):
        """The exit status."""
        print("1..%d" % self.number)
        return 1 if self.failed or not self.number else 0


def run(arguments, **options):
    """A finished process with its output as text (bytes with encoding=None); stdin is empty unless given."""
    options.setdefault("env", ENVIRONMENT)
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("timeout", 600)
    options.setdefault("encoding", "utf-8")
    options.setdefault("errors", "replace")
    return subprocess.run([str(argument) for argument in arguments], **options)


def tool(name, *arguments, **options):
    return run([BIN / name, *arguments], **options)


def load_and_verify(stream, url, *options):
    """ml-load and ml-verify of a stream's file; gives the process that failed, or the last."""
    for words in (("ml-load", "-q", *options, url), ("ml-verify", "-q", url)):
        with open(stream, "rb") as source:
            done = tool(*words, stdin=source)
        if done.returncode:
            break
    return done


@contextlib.contextmanager
def work_directory(kept, name, below=None):
    """Where a test works: a directory of the user's that stays, or a new one."""
    with tempfile.TemporaryDirectory(prefix="mlruns-tools-%s." % name, dir=below) as scratch:
        work = (kept or Path(scratch)).absolute()
        work.mkdir(parents=True, exist_ok=True)
        yield work


@contextlib.contextmanager
def postgres():
    """A PostgreSQL server of the test's own, which programs find by the variables of libpq in ENVIRONMENT; gives them, and PGDIR."""
    script = ROOT / "tests" / "postgres.sh"
    done = run(["sh", script, "start"])
    if done.returncode:
        raise SystemExit("Bail out! no PostgreSQL: %s" % done.stderr)
    settings = dict(line.split("=", 1) for line in done.stdout.splitlines())
    ENVIRONMENT.update({name: value for name, value in settings.items() if name != "PGDIR"})
    try:
        yield settings
    finally:
        run(["sh", script, "stop", settings["PGDIR"]])


def create_database(name):
    """An empty database of that server; gives its URL for SQLAlchemy."""
    run(["createdb", "-E", "UTF8", "-T", "template0", name], check=True)
    return "postgresql+psycopg2:///" + name


# Waiting: for what is waited for, however long it takes.


def wait_until(condition, what):
    """Returns when condition() is true. The limit ends a hang and nothing else."""
    limit = time.monotonic() + 300
    while not condition():
        if time.monotonic() > limit:
            raise RuntimeError("never: " + what)
        time.sleep(0.02)


def read_until(text, lines):
    """What lines (a process's stderr) gives, up to the line that holds the text, or to its end."""
    said = ""
    for line in lines:
        said += line
        if text in line:
            break
    return said


@functools.lru_cache(None)
def stopping_library():
    directory = tempfile.mkdtemp(prefix="mlruns-tools-stopping.")
    atexit.register(shutil.rmtree, directory)
    library = os.path.join(directory, "stopping.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests" / "stopping.c"], check=True)
    return library


def stopping(at, count=None, calls="writes"):
    """Variables of a program's environment, so that it stops before a call (tests/stopping.c). It ends with this process."""
    asan = [word for word in (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0") if word]
    variables = {"LD_PRELOAD": stopping_library(), "STOP_IN": calls, "STOP_AT": str(at), "ASAN_OPTIONS": ":".join(asan)}
    return {**variables, "STOP_COUNT": str(count)} if count else variables


def has_stopped(process):
    """Waits until a Popen has stopped, or ended, which is false."""

    def state():
        return Path("/proc/%d/stat" % process.pid).read_text().rsplit(")", 1)[1].split()[0]

    wait_until(lambda: process.poll() is not None or state() == "T", "a call to stop before")
    return process.returncode is None


# Their MLflow opens no file store by itself any more: they write databases only.
OF_DATABASES = ("3.16.1",)


def versions():
    """Those whose file stores are migrated."""
    known = run([ROOT / "tests" / "setup.sh", "versions"]).stdout.split()
    return [version for version in known if version not in OF_DATABASES]


def python_of(version):
    """The interpreter of the environment with that MLflow, made where it is missing."""
    done = run([ROOT / "tests" / "setup.sh", "venv", version], timeout=1800)
    if done.returncode:
        raise SystemExit("Bail out! no environment for MLflow %s: %s" % (version, done.stderr))
    return done.stdout.strip()


def dump_and_load(tree, url, dump_options=(), load_options=()):
    """mlruns-dump TREE | ml-load URL; gives both finished processes."""
    dump = subprocess.Popen(
        [BIN / "mlruns-dump", "-q", *dump_options, tree],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    load = subprocess.Popen(
        [BIN / "ml-load", *load_options, url],
        stdin=dump.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    dump.stdout.close()
    load_out, load_err = load.communicate(timeout=600)
    dump_err = dump.stderr.read()
    dump.stderr.close()
    dump.wait()
    return (
        subprocess.CompletedProcess("mlruns-dump", dump.returncode, "", dump_err.decode("utf-8", "replace")),
        subprocess.CompletedProcess(
            "ml-load", load.returncode, load_out.decode("utf-8", "replace"), load_err.decode("utf-8", "replace")
        ),
    )
