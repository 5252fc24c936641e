#!/usr/bin/env python3
"""Compares what two builds of the programs write, byte for byte: for changes that must change nothing.

    compare_builds.py [--postgres URL] OLD_BIN NEW_BIN MLRUNS...

Each file store is dumped, transformed, loaded, verified and dumped again by both builds, with every option that the
suite uses.  Streams, tables of ml-transform, SQLite files, pg_dump's text (with --postgres: a database that may be
dropped and recreated) and exit codes must be equal; messages may differ and are only counted.  The header names the
program's version and the minor version of the format (WIRE_MINOR), so both builds must have the same.
"""

import argparse
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

DUMPS = {
    "dump": [],
    "dump-1-thread": ["--jobs", "1"],
    "dump-registry": ["--registry"],
    "dump-shard-0": ["--shard", "0/3"],
    "dump-shard-1": ["--shard", "1/3"],
    "dump-shard-2": ["--shard", "2/3"],
    "dump-lenient": ["--skip-malformed", "--renumber-trash"],
    "dump-relocate": ["--relocate"],
    "dump-relocate-uri": ["--relocate=s3://bucket/mlruns"],
    "list": ["--list"],
    "check": ["--check"],
}
TRANSFORMS = {
    "same": [],
    "json": ["--json"],
    "summary": ["--summary"],
    "validate": ["--validate"],
    "head": ["--head", "100"],
    "status": ["--status", "FINISHED"],
    "active": ["--lifecycle", "active"],
    "deleted": ["--lifecycle", "deleted"],
    "since": ["--since", "2020-01-01"],
    "until": ["--until", "2030-01-01"],
    "kind-run": ["--kind", "run"],
    "kind-metric": ["--kind", "metric"],
    "no-metric": ["--exclude-kind", "metric"],
    "no-trace": ["--exclude-kind", "trace"],
    "rewrite": ["--rewrite-uri", "file:///=s3://bucket/", "--rewrite-uri", "/=/elsewhere/"],
    "renumber": ["--renumber-experiments"],
    "renumber-100": ["--renumber-experiments=100"],
    "workspace": ["--workspace", "team-a"],
    "merge": ["--merge", "--on-conflict", "rename"],
    "fit-sqlite": ["--fit", "sqlite"],
    "fit-postgresql": ["--fit", "postgresql", "--truncate"],
    "fit-wide": ["--fit", "postgresql", "--wide-experiment-ids"],
    "fit-old": ["--fit", "sqlite", "--release", "1.30.1", "--truncate"],
}
RELEASES = ["1.0.0", "1.30.1", "2.22.5", "3.2.0", "3.16.1", "3.17.2"]


class Comparison:
    def __init__(self, old, new, directory, postgres):
        self.bins, self.directory, self.postgres = (old, new), directory, postgres
        self.equal = self.messages = 0
        self.different = []

    def run(self, side, program, arguments, stdin, output):
        with open(stdin or os.devnull, "rb") as source, open(output, "wb") as out:
            done = subprocess.run(
                [self.bins[side] / program, *arguments, "--quiet"] if program != "pg_dump" else ["pg_dump", *arguments],
                stdin=source, stdout=out, stderr=subprocess.PIPE, cwd=self.directory,
            )  # fmt: skip
        return done.returncode, done.stderr

    def compare(self, name, answers, files):
        if answers[0][1] != answers[1][1]:
            self.messages += 1
        digests = [hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None for path in files]
        if answers[0][0] == answers[1][0] and digests[0] == digests[1]:
            self.equal += 1
            return
        self.different.append(name)
        what = [f"exit {answer[0]}" for answer in answers] if answers[0][0] != answers[1][0] else ["output"]
        print(f"different: {name}: {', '.join(what)}")
        for answer in answers:
            print("  " + answer[1].decode(errors="replace").strip()[:300])

    def both(self, name, program, arguments, stdin=None):
        """Runs both builds on the same input; returns the file that the old one wrote."""
        files = [self.directory / f"{side}.out" for side in ("old", "new")]
        answers = [self.run(side, program, arguments, stdin, files[side]) for side in (0, 1)]
        self.compare(name, answers, files)
        kept = self.directory / "kept" / name.replace("/", "_").replace(" ", "_")
        shutil.move(files[0], kept)
        return kept

    def load(self, name, stream, options):
        """Loads into SQLite with both builds, one name for both, as it may be stored; compares, verifies, dumps."""
        database, files, answers = self.directory / "loaded.db", [], []
        for side in (0, 1):
            database.unlink(missing_ok=True)
            answers.append(
                self.run(side, "ml-load", [*options, f"sqlite:///{database}"], stream, self.directory / f"out{side}")
            )
            files.append(self.directory / f"{side}.db")
            files[-1].unlink(missing_ok=True)
            if database.exists():
                shutil.copyfile(database, files[-1])
        self.compare(f"{name}: database", answers, files)
        if not database.exists():
            return
        for options_ in ([], ["--exact"], ["--json", "--data-only"]):
            self.both(f"{name}: verify {' '.join(options_)}", "ml-verify", [*options_, f"sqlite:///{database}"], stream)
        self.both(f"{name}: mldb-dump", "mldb-dump", [f"sqlite:///{database}"])
        self.both(f"{name}: check", "ml-schema", ["check", f"sqlite:///{database}"])

    def load_postgres(self, name, stream, options):
        """Likewise into PostgreSQL, with pg_dump's text for the bytes."""
        admin, _, database = self.postgres.rpartition("/")
        files, answers = [], []
        for side in (0, 1):
            for statement in (f'DROP DATABASE IF EXISTS "{database}"', f'CREATE DATABASE "{database}"'):
                subprocess.run(["psql", "-q", f"{admin}/postgres", "-c", statement], check=True, stderr=subprocess.DEVNULL)
            answers.append(self.run(side, "ml-load", [*options, self.postgres], stream, self.directory / f"out{side}"))
            files.append(self.directory / f"pg{side}")
            self.run(side, "pg_dump", [self.postgres], None, files[-1])
            text = files[-1].read_bytes().splitlines()
            # pg_dump's \restrict has a random word
            files[-1].write_bytes(b"\n".join(line for line in text if b"restrict " not in line))
        self.compare(f"{name}: PostgreSQL", answers, files)
        self.both(f"{name}: PostgreSQL: verify", "ml-verify", [self.postgres], stream)
        self.both(f"{name}: PostgreSQL: mldb-dump", "mldb-dump", [self.postgres])

    def tree(self, mlruns):
        streams = {}
        for name, options in DUMPS.items():
            streams[name] = self.both(f"{mlruns.parent.name}/{name}", "mlruns-dump", [*options, mlruns])
        stream = streams["dump-lenient"]
        for name, options in TRANSFORMS.items():
            out = self.both(f"{mlruns.parent.name}/{name}", "ml-transform", options, stream)
            if name == "json":
                self.both(f"{mlruns.parent.name}/from-json", "ml-transform", ["--from-json"], out)
            if name in ("renumber", "workspace", "merge", "active", "rewrite"):
                self.load(f"{mlruns.parent.name}/{name}", out, [])
        for release in RELEASES:
            self.load(f"{mlruns.parent.name}/{release}", stream, ["--release", release, "--drop-unsupported"])
        self.both(f"{mlruns.parent.name}/dry-run", "ml-load", ["-n", f"sqlite:///{self.directory}/none.db"], stream)
        if self.postgres:
            renumbered = self.directory / "kept" / f"{mlruns.parent.name}_renumber"
            self.load_postgres(f"{mlruns.parent.name}/renumber", renumbered, [])
            self.load_postgres(f"{mlruns.parent.name}/wide", stream, ["--wide-experiment-ids"])

    def schema(self):
        for dialect in ("sqlite", "postgresql"):
            self.both(f"schema/sql {dialect}", "ml-schema", ["sql", "--dialect", dialect])
        for release in RELEASES[1:]:  # an upgrade of the first writes the time of day
            files, answers = [], []
            for side in (0, 1):
                path = self.directory / "schema.db"
                path.unlink(missing_ok=True)
                create = self.run(side, "ml-schema", ["create", "--release", release, f"sqlite:///{path}"], None, self.directory / "out")
                upgrade = self.run(side, "ml-schema", ["upgrade", f"sqlite:///{path}"], None, self.directory / "out")
                answers.append((create[0] * 1000 + upgrade[0], create[1] + upgrade[1]))
                files.append(self.directory / f"schema{side}.db")
                files[-1].unlink(missing_ok=True)
                with sqlite3.connect(path) as db:  # how many commits it took depends on the time they took
                    db.execute("VACUUM INTO ?", [str(files[-1])])
                db.close()
            self.compare(f"schema/{release} upgraded", answers, files)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--postgres")
    parser.add_argument("old", type=lambda text: Path(text).resolve())
    parser.add_argument("new", type=lambda text: Path(text).resolve())
    parser.add_argument("mlruns", type=lambda text: Path(text).resolve(), nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "kept").mkdir()
        comparison = Comparison(options.old, options.new, Path(directory), options.postgres)
        comparison.schema()
        for mlruns in options.mlruns:
            comparison.tree(mlruns)
        print(f"{comparison.equal} equal, {len(comparison.different)} different; {comparison.messages} with other messages")
        return bool(comparison.different)


if __name__ == "__main__":
    sys.exit(main())
