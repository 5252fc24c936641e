"""Runs each program again and again, each time with another allocation of memory failing, alone or with all after it
(faults.c).

    fail_allocations.py SHIM [COMMAND...]

In a directory with ./mlruns, its stream all.mlr (all.jsonl as JSON Lines) and the databases full.db, other.db (from which
full.db differs) and old.db (of an older release). A run is right that ends as the undisturbed one does: the same exit status,
output and files; or that ends with 2 and a message about memory, with the database as it was (an upgrade may have got to one
of the revisions on its way, and goes on from there) and without another file. The time limit only ends what hangs.
Without DEEP in the environment a seeded sample of the allocations fails.
"""
import concurrent.futures
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile

TARGET = "sqlite:///db/x.db"
# name: arguments, standard input, the database that is there before.
COMMANDS = {
    "dump": (["mlruns-dump", "-q", "--jobs", "2", "mlruns"], None, None),
    "database-dump": (["mldb-dump", "-q", "sqlite:///full.db"], None, None),
    "json": (["ml-transform", "--json"], "all.mlr", None),
    "from-json": (["ml-transform", "--from-json"], "all.jsonl", None),
    "merge": (["ml-transform", "--merge"], "all.mlr", None),
    "load": (["ml-load", "-q", "--release", "3.17", TARGET], "all.mlr", None),
    "load-existing": (["ml-load", "-q", TARGET], "all.mlr", "empty.db"),
    "verify": (["ml-verify", "sqlite:///full.db"], "all.mlr", None),
    "verify-other": (["ml-verify", "--json", "sqlite:///other.db"], "all.mlr", None),
    "create": (["ml-schema", "create", "-q", "--release", "3.17", TARGET], None, None),
    "check": (["ml-schema", "check", "sqlite:///full.db"], None, None),
    "upgrade": (["ml-schema", "upgrade", "-q", "--to", "3.17", TARGET], None, "old.db"),
}
SHARED = ("mlruns", "all.mlr", "all.jsonl", "full.db", "other.db")
HERE = os.getcwd()


class Run:
    """One run of a command in a directory of its own, and what it left there."""

    def __init__(self, shim, name, settings):
        argv, stdin, before = COMMANDS[name]
        with tempfile.TemporaryDirectory(dir=HERE) as place:
            for shared in SHARED:
                os.symlink(os.path.join(HERE, shared), os.path.join(place, shared))
            os.mkdir(place + "/db")
            os.mkdir(place + "/tmp")
            if before:
                shutil.copy(before, place + "/db/x.db")
            done = self.run(place, argv, stdin, dict(os.environ, LD_PRELOAD=shim, TMPDIR=place + "/tmp", **settings))
            self.status, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr.decode(errors="replace")
            self.files = sorted(os.listdir(place + "/db") + os.listdir(place + "/tmp"))
            self.database, self.content = self.read(place + "/db/x.db")
            if name == "upgrade" and self.status == 2:
                again = self.run(place, argv, stdin, os.environ)
                self.upgraded = again.returncode == 0 and self.read(place + "/db/x.db")[1]

    @staticmethod
    def run(place, argv, stdin, environment):
        with open(stdin or os.devnull, "rb") as standard_input:
            return subprocess.run(argv, cwd=place, env=environment, stdin=standard_input, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=300)

    @staticmethod
    def read(path):
        """The bytes of the database, and its content as SQL; None without one."""
        if not os.path.exists(path):
            return None, None
        with open(path, "rb") as file:
            content = file.read()
        connection = sqlite3.connect(path)
        try:
            return content, list(connection.iterdump())
        finally:
            connection.close()


def judge(name, got, sound, before):
    """What is wrong with a run, or None."""
    if got.status == sound.status:
        same = got.stdout == sound.stdout and got.files == sound.files and got.content == sound.content
        return None if same else "it says that all is well, and the result is another"
    if got.status != 2:
        return "a wrong exit status"
    if "memory" not in got.stderr.lower():
        return "no message about memory"
    if [f for f in got.files if f != "x.db"] or (got.database is None) != (before is None):
        return f"files are left: {got.files}"
    if name == "upgrade":
        return None if got.upgraded == sound.content else "the upgrade does not go on from there"
    return None if got.database == before else "the database has changed"


def points(name, n):
    """Those that fail of n: the first ones, and one of each part of the others. N+: with all after it."""
    if os.environ.get("DEEP"):
        chosen = list(range(1, n + 1)) if n <= 5000 else sorted(random.Random(name).sample(range(1, n + 1), 3000))
        return [f"{point}{and_all}" for point in chosen for and_all in ("", "+")]
    dense, strata = min(n, 5), 15
    numbers = random.Random(name)
    edges = [dense + (n - dense) * i // strata for i in range(strata + 1)]
    spread = [numbers.randint(low + 1, high) for low, high in zip(edges, edges[1:]) if low < high]
    first = [f"{point}{and_all}" for point in range(1, dense + 1) for and_all in ("", "+")]
    return first + [f"{point}{'+' if i % 2 else ''}" for i, point in enumerate(spread)]


def main():
    shim, names = sys.argv[1], sys.argv[2:] or COMMANDS
    wrong = []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name in names:
            before = COMMANDS[name][2] and Run.read(COMMANDS[name][2])[0]
            for whose in ({}, {"FAULT_OWN": "1"}):
                sound = Run(shim, name, {"FAULT_COUNT": HERE + "/count", **whose})
                if sound.status != (1 if name == "verify-other" else 0):
                    sys.exit(f"{name}: exit {sound.status}: {sound.stderr}")
                with open("count") as count:
                    n = int(count.read())
                chosen = points(name, n)
                runs = pool.map(lambda point: Run(shim, name, {"FAULT_ALLOCATION": point, **whose}), chosen)
                for point, got in zip(chosen, runs):
                    problem = judge(name, got, sound, before)
                    if problem:
                        wrong.append(f"{name}: {whose or ''} allocation {point}: {problem}; exit {got.status}: {got.stderr}")
                print(f"{name}: {len(chosen)} of {n} allocations{' of its own' if whose else ''} failed", flush=True)
    sys.exit("\n".join(wrong) if wrong else 0)


main()
