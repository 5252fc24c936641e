"""Runs each program again and again, each time with another call of the C library failing (calls.c): memory, files, processes,
sockets; and with a connection to the server that breaks after so many bytes (broken_connection.py).

    check_faults.py [--deep] [--seed N] [--only TEXT] [--work DIR]

Prints TAP, a test for each command and group of calls. A point is right when the program
  ends as the undisturbed one does, with the same output and the same target; or
  ends with 2 and a message, the target as it was, no temporary file left, and the same command then works.
What works by slices or revisions may have got to one of them; the same command then goes on from there.
The time limit only ends what hangs. Without --deep a sample is taken, chosen by the seed.
"""

import argparse
import concurrent.futures
import contextlib
import errno
import hashlib
import itertools
import os
import random
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "mlflow"))
sys.path.insert(0, str(HERE))
from broken_connection import Proxy  # noqa: E402
from harness import BIN, ENVIRONMENT, ROOT, postgres, run  # noqa: E402

GROUPS = (
    "open close read write sync rename link unlink stat dir path mmap lock fcntl truncate chmod pipe spawn wait thread malloc own "
    "socket send recv poll"
).split()
E = errno
# What a call of each group may fail with. "once" only: a call that is interrupted for ever has no right answer.
FAILURES = {
    "open": [(E.EMFILE, "once on"), (E.EACCES, "once on"), (E.EIO, "once on"), (E.EINTR, "once")],
    "close": [(E.EIO, "once on"), (E.EINTR, "once")],
    "read": [(E.EIO, "once on"), (E.EINTR, "once"), ("short", "once on")],
    "write": [(E.ENOSPC, "once on"), (E.EIO, "once on"), (E.EINTR, "once"), ("short", "once on")],
    "sync": [(E.EIO, "once on")],
    "rename": [(E.EIO, "once on"), (E.EACCES, "once on")],
    "link": [(E.ENOSPC, "once on"), (E.EACCES, "once on")],
    "unlink": [(E.EACCES, "once on"), (E.EIO, "once on")],
    "stat": [(E.EIO, "once on"), (E.EACCES, "once on")],
    "dir": [(E.EIO, "once on"), (E.EACCES, "once on")],
    "path": [(E.EIO, "once on"), (E.EACCES, "once on")],
    "mmap": [(E.ENOMEM, "once on")],
    "lock": [(E.ENOLCK, "once on"), (E.EIO, "once on"), (E.EINTR, "once")],
    "fcntl": [(E.EMFILE, "once on")],
    "truncate": [(E.ENOSPC, "once on"), (E.EIO, "once on")],
    "chmod": [(E.EPERM, "once on"), (E.EIO, "once on")],
    "pipe": [(E.EMFILE, "once on")],
    "spawn": [(E.EAGAIN, "once on"), (E.ENOMEM, "once on")],
    "wait": [(E.EINTR, "once")],
    "thread": [(E.EAGAIN, "once on")],
    "malloc": [(E.ENOMEM, "once on")],
    "own": [(E.ENOMEM, "once on")],
    "socket": [(E.EMFILE, "once on"), (E.ECONNREFUSED, "once on")],
    "send": [(E.ECONNRESET, "once on"), (E.EINTR, "once"), ("short", "once on")],
    "recv": [(E.ECONNRESET, "once on"), (E.EINTR, "once"), ("short", "once on")],
    "poll": [(E.ENOMEM, "once on"), (E.EINTR, "once")],
}
REPORT_SIZE = 4096
WATERMARK = re.search(r'define MERGE_WATERMARK "(.*)"', (ROOT / "formats/record/merge_rules.h").read_text()).group(1)
SQLITE = "sqlite:///db/x.db"


@dataclass
class Command:
    name: str
    argv: list
    stdin: str = None
    before: dict = field(default_factory=dict)  # files of the place: name -> file of the common directory
    template: str = None  # the PostgreSQL database that {pg} is a copy of
    program: str = None  # whose calls fail, where it is not argv[0]
    status: int = 0
    steps: bool = False  # what has been done by then stays: slices, revisions
    extra: tuple = ()  # files that the command itself leaves besides its target
    omits: bool = False  # what cannot be read is left out and named, with exit 1: the next tick sends it


def commands():
    pg = "{pg}"
    x = {"db/x.db": "empty.db"}
    yield Command("dump", ["mlruns-dump", "-q", "--jobs", "1", "mlruns"])
    yield Command("dump, two threads", ["mlruns-dump", "-q", "--jobs", "2", "mlruns"])
    yield Command("dump of a tick", ["mlruns-dump", "-q", "--jobs", "1", "--since", "db/s", "--next-state", "db/s.new", "mlruns"],
                  before={"db/s": "tree.state"}, extra=("s.new",), omits=True)  # fmt: skip
    yield Command("dump of a database", ["mldb-dump", "-q", "sqlite:///full.db"])
    yield Command("dump of a database, tick", ["mldb-dump", "-q", "--since", "db/s", "--next-state", "db/s.new", "sqlite:///full.db"],
                  before={"db/s": "full.state"}, extra=("s.new",))  # fmt: skip
    yield Command("dump of a server", ["mldb-dump", "-q", pg], template="full")
    yield Command("json", ["ml-transform", "--json"], "all.mlr")
    yield Command("from json", ["ml-transform", "--from-json"], "all.jsonl")
    yield Command("merge", ["ml-transform", "-q", "--merge"], "all.mlr")
    yield Command("renumber", ["ml-transform", "-q", "--renumber-experiments", "--id-map", "db/map"], "all.mlr", extra=("map",))
    yield Command("summary", ["ml-transform", "--summary"], "all.mlr")
    yield Command("load", ["ml-load", "-q", "--release", "3.17", SQLITE], "all.mlr")
    yield Command("load into a file", ["ml-load", "-q", SQLITE], "all.mlr", x)
    yield Command("load into a server", ["ml-load", "-q", "--release", "3.17", pg], "all.mlr", template="template0")
    yield Command("load into a server's schema", ["ml-load", "-q", pg], "all.mlr", template="empty")
    yield Command("dry run of a load", ["ml-load", "-q", "--dry-run", SQLITE], "all.mlr", x)
    yield Command("sync", ["ml-load", "-q", "--sync", SQLITE], "more.mlr", {"db/x.db": "full.db"}, steps=True)
    yield Command("sync into a server", ["ml-load", "-q", "--sync", pg], "more.mlr", template="full", steps=True)
    yield Command("verify", ["ml-verify", "sqlite:///full.db"], "all.mlr")
    yield Command("verify what differs", ["ml-verify", "--json", "sqlite:///other.db"], "all.mlr", status=1)
    yield Command("verify a server", ["ml-verify", pg], "all.mlr", template="full")
    yield Command("verify a subset", ["ml-verify", "-q", "--subset", "sqlite:///full.db"], "all.mlr")
    yield Command("create", ["ml-schema", "create", "-q", "--release", "3.17", SQLITE])
    yield Command("create in a server", ["ml-schema", "create", "-q", "--release", "3.17", pg], template="template0")
    yield Command("check", ["ml-schema", "check", "sqlite:///full.db"])
    yield Command("check a server", ["ml-schema", "check", pg], template="full")
    yield Command("upgrade", ["ml-schema", "upgrade", "-q", "--to", "3.17", SQLITE], None, {"db/x.db": "old.db"}, steps=True)
    yield Command("upgrade with a backup", ["ml-schema", "upgrade", "-q", "--to", "3.17", "--backup", "db/copy.db", SQLITE], None,
                  {"db/x.db": "old.db"}, steps=True, extra=("copy.db",))  # fmt: skip
    yield Command("upgrade of a server", ["ml-schema", "upgrade", "-q", "--to", "3.17", pg], template="old", steps=True)
    for program in ("ml-migrate", "mlruns-dump", "ml-load", "ml-verify"):
        yield Command("migrate, %s" % program, ["ml-migrate", "-q", "--source", "mlruns", "--target", SQLITE, "--verify"],
                      program=program)  # fmt: skip
    for program in ("ml-sync", "mlruns-dump", "ml-load"):
        yield Command("a tick, %s" % program, ["ml-sync", "-q", "--state", "db/states", "--source", "mlruns", "--target", SQLITE],
                      before=x, program=program, steps=True, omits=True)  # fmt: skip


SHARED = ("mlruns", "all.mlr", "all.jsonl", "more.mlr", "full.db", "other.db")


def make_inputs(common):
    """What the commands work on, below the common directory, and the databases of the server."""
    tools = dict(cwd=common, check=True)
    shutil.copytree(ROOT / "tests" / "data" / "mlruns", common / "mlruns")

    def stream(name, *argv, stdin=os.devnull):
        with open(common / stdin, "rb") as source, open(common / name, "wb") as out:
            subprocess.run([str(BIN / argv[0]), *argv[1:]], stdin=source, stdout=out, env=ENVIRONMENT, **tools)

    def database(name, release, stdin=None):
        """The same in a SQLite file and in a database of the server."""
        subprocess.run(["createdb", "-E", "UTF8", "-T", "template0", name], env=ENVIRONMENT, check=True)
        for url in ("sqlite:///%s.db" % name, "postgresql:///" + name):
            if stdin:
                stream("nothing", "ml-load", "-q", "--release", release, url, stdin=stdin)
            else:
                stream("nothing", "ml-schema", "create", "-q", "--release", release, url)

    stream("tree.mlr", "mlruns-dump", "-q", "mlruns")
    stream("all.mlr", "ml-transform", "-q", "--renumber-experiments", stdin="tree.mlr")
    stream("all.jsonl", "ml-transform", "--json", stdin="all.mlr")
    (common / "more.jsonl").write_text("".join(
        line.replace('"status":"RUNNING"', '"status":"FINISHED"')
        if '"kind":"run"' in line else line
        for line in open(common / "all.jsonl", encoding="utf-8")))  # fmt: skip
    stream("more.mlr", "ml-transform", "--from-json", "--reseal", stdin="more.jsonl")
    database("full", "3.17", "all.mlr")
    database("old", "3.4", "all.mlr")
    database("empty", "3.17")
    stream("nothing", "mlruns-dump", "-q", "--next-state", "tree.state", "mlruns")
    stream("nothing", "mldb-dump", "-q", "--next-state", "full.state", "sqlite:///full.db")
    shutil.copy(common / "full.db", common / "other.db")
    with contextlib.closing(sqlite3.connect(common / "other.db")) as other, other:
        other.execute("UPDATE params SET value = value || 'x'")
        other.execute("DELETE FROM tags")


def sqlite_content(path):
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path)) as connection:
        # The watermark of a sync has the random id of its state.
        return "\n".join(line for line in connection.iterdump() if WATERMARK not in line)


CONTENT = """SELECT relname, md5(xpath('/table/row/t/text()', query_to_xml(format('SELECT t::text AS t FROM %s t ORDER BY 1',
    c.oid::regclass), true, false, ''))::text) FROM pg_class c WHERE relkind IN ('r', 'p') AND relnamespace IN
    (SELECT oid FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema')
    UNION ALL SELECT indexname, indexdef FROM pg_indexes WHERE schemaname NOT LIKE 'pg\\_%'
    UNION ALL SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2"""


def server_content(name):
    return run(["psql", "-qAtX", "-d", name, "-c", CONTENT], check=True).stdout


def records(stream):
    """The records of a tick's stream; its header has the tick's id, which is new each time."""
    done = subprocess.run([str(BIN / "ml-transform"), "-q", "--json"], input=stream, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.returncode, [line for line in done.stdout.splitlines() if not line.startswith((b'{"kind":"header"', b'{"kind":"trailer"'))]


class Outcome:
    """One run of a command in a directory and a database of its own, and what it left there."""

    def __init__(self, common, command, settings=None, again=False):
        with tempfile.TemporaryDirectory(dir=common / "places") as directory:
            place = Path(directory)
            for shared in SHARED:
                (place / shared).symlink_to(common / shared)
            (place / "db").mkdir()
            (place / "tmp").mkdir()
            for name, source in command.before.items():
                shutil.copy(common / source, place / name)
            self.database = None
            if command.template:
                self.database = "f" + place.name.replace("-", "_").lower()
                run(["createdb", "-E", "UTF8", "-T", command.template, self.database], check=True)
            self.begin = self.content(place)
            self.perform(place, command, settings)
            self.left = sorted(p.name for d in ("db", "tmp") for p in (place / d).iterdir())
            self.end = self.content(place)
            self.again = None
            if again and self.status == 2:
                first = self.status, self.stdout, self.stderr, self.report
                for name in command.extra:  # a backup never replaces a file
                    (place / "db" / name).unlink(missing_ok=True)
                self.perform(place, command, None)
                self.again = self.status, self.content(place), self.stderr
                self.status, self.stdout, self.stderr, self.report = first
            if self.database:
                run(["dropdb", "--force", self.database])

    def perform(self, place, command, settings):
        report = place / "report"
        report.write_bytes(bytes(REPORT_SIZE))
        argv = [word.replace("{pg}", "postgresql:///%s" % self.database) for word in command.argv]
        environment = dict(ENVIRONMENT, TMPDIR=str(place / "tmp"), XDG_STATE_HOME=str(place / "home"), FAULT_REPORT=str(report),
                           FAULT_PROGRAM=command.program or argv[0])  # fmt: skip
        if settings is not None:
            environment.update(settings)
        with open(place / command.stdin if command.stdin else os.devnull, "rb") as source:
            try:
                done = subprocess.run([str(BIN / argv[0]), *argv[1:]], cwd=place, env=environment, stdin=source,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)  # fmt: skip
                self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr.decode(errors="replace")
            except subprocess.TimeoutExpired as error:
                self.status, self.stdout, self.stderr = "hangs", b"", (error.stderr or b"").decode(errors="replace")
        self.stdout = self.stdout.replace(str(place).encode() + b"/", b"")
        if "--next-state" in argv:
            self.stdout = records(self.stdout)
        data = report.read_bytes()
        numbers = struct.unpack_from("%dQ" % (len(GROUPS) + 1), data)
        self.report = dict(zip(GROUPS, numbers)), numbers[-1], data[8 * len(numbers):].split(b"\0")[0].decode(errors="replace")

    def content(self, place):
        """All that the command may change, but for what it is to leave besides."""
        return (sqlite_content(place / "db" / "x.db"), server_content(self.database) if self.database else None,
                *(hashlib.sha256((place / "db" / name).read_bytes()).hexdigest() if (place / "db" / name).exists() else None
                  for name in ("map", "s")))  # fmt: skip


def leftovers(command, got, sound, group):
    """Files that should not be there after a failure: of unlink() and of stat(), without which nobody knows whose a file is, any may be."""
    expected = {Path(name).name for name in command.before} | set(command.extra)
    if command.steps:
        expected |= set(sound.left)
    # A rollback journal that could not be removed: the next one who opens the database does it.
    hot = {"x.db-journal", "x.db-wal", "x.db-shm"} if "db/x.db" in command.before else set()
    return [] if group in ("unlink", "stat") else [name for name in got.left if name not in expected | hot]


def judge(command, got, sound, group):
    """What is wrong with an outcome, or None."""
    if got.status == "hangs":
        return "it hangs"
    if got.status not in (0, 1, 2):
        return "it crashes"
    if got.status == sound.status:
        if got.end != sound.end:
            return "it says that all is well, and the target is another"
        if got.stdout != sound.stdout:
            return "it says that all is well, and the output is another: %s" % (got.stdout,)
        more = [name for name in got.left if name not in sound.left]
        return "files are left: %s" % more if more and group not in ("unlink", "stat") else None
    if got.status == 1 and command.omits and "left out" in got.stderr:
        return None
    if got.status != 2:
        return "a wrong exit status"
    if ("memory" if group in ("malloc", "own") else "\n") not in got.stderr.lower():
        return "no message"
    left = leftovers(command, got, sound, group)
    if left:
        return "files are left: %s" % left
    if got.end not in (got.begin, sound.end) and not command.steps:
        return "the target has changed"
    if got.again[0] != sound.status or got.again[1] != sound.end:
        return "the same command again: exit %s, %s %s" % (
            got.again[0], "the right result" if got.again[1] == sound.end else "another result", got.again[2])  # fmt: skip
    return None


def points(command, group, n, deep, seed):
    """The points of a group of n calls: (N or N+, error). All when deep, up to a number; else a sample, early ones included."""
    kinds = [(what, on) for what, when in FAILURES[group] for on in ("", "+") if (on == "") in [w == "once" for w in when.split()]]
    everything = [("%d%s" % (i, on), what) for i in range(1, n + 1) for what, on in kinds]
    numbers = random.Random("%s %s %s" % (seed, command.name, group))
    most = 400 if deep else 1
    return everything if len(everything) <= most else numbers.sample(everything, most)


def broken_connections(common, command, arguments):
    """Yields (what, wrong): the connection breaks after each of a number of bytes."""

    def one(limit):
        proxy = Proxy(ENVIRONMENT["PGHOST"], ENVIRONMENT["PGPORT"], limit)
        try:
            return proxy, Outcome(common, command, {"PGHOST": "127.0.0.1", "PGPORT": str(proxy.port)}, again=True)
        finally:
            proxy.close()

    proxy, sound = one(None)
    limits = range(proxy.passed)
    most = 400 if arguments.deep else 4
    if len(limits) > most:
        limits = random.Random("%s %s" % (arguments.seed, command.name)).sample(limits, most)
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for limit, (_, got) in zip(limits, pool.map(one, limits)):
            problem = judge(command, got, sound, "recv")
            if problem:
                wrong.append("after %d bytes: %s; exit %s: %s" % (limit, problem, got.status, got.stderr))
    yield "%s: the connection breaks after %d of %d bytes" % (command.name, len(limits), proxy.passed), wrong


def failing_calls(common, shim, command, arguments):
    """Yields (what, wrong) for each group of calls that the command makes."""
    settings = {"LD_PRELOAD": shim}
    sound = Outcome(common, command, settings)
    if sound.status != command.status:
        yield "%s: undisturbed" % command.name, ["exit %s: %s" % (sound.status, sound.stderr)]
        return
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for group in GROUPS:
            n = sound.report[0][group]
            if not n:
                continue
            chosen = points(command, group, n, arguments.deep, arguments.seed)

            def one(point, group=group):
                call, what = point
                name = what if what == "short" else errno.errorcode[what]
                got = Outcome(common, command, dict(settings, FAULT_CALL="%s:%s" % (group, call), FAULT_WITH=str(what)), again=True)
                wrong = judge(command, got, sound, group)
                return wrong and "%s:%s %s (%s): %s; exit %s: %s" % (group, call, name, got.report[2], wrong, got.status, got.stderr)

            yield "%s: %d of %d calls of %s fail" % (command.name, len(chosen), n, group), [w for w in pool.map(one, chosen) if w]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deep", action="store_true", default=bool(os.environ.get("DEEP")))
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", default="", help="the commands that have this in their name")
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    if os.environ.get("SANITIZE"):
        print("ok 1 - failing calls # SKIP sanitizers replace the same functions\n1..1")
        return 0
    number = failed = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(postgres())
        common = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlruns-tools-faults.")))
        (common / "places").mkdir(parents=True)
        shim = str(common / "calls.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, HERE / "calls.c"], check=True)
        make_inputs(common)
        for command in commands():
            if arguments.only not in command.name:
                continue
            tests = [failing_calls(common, shim, command, arguments)]
            if command.template:
                tests.append(broken_connections(common, command, arguments))
            for what, wrong in itertools.chain(*tests):
                number += 1
                failed += bool(wrong)
                print("%sok %d - %s" % ("not " if wrong else "", number, what), flush=True)
                for line in "\n".join(wrong).splitlines():
                    print("# " + line, flush=True)
    print("1..%d" % number)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
