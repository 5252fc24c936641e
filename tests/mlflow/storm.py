#!/usr/bin/env python3
"""A storm: four real MLflow write (2.22.5 and 3.2.0 file stores, two 3.17.2 SQLite files), a real server and its clients use the
target, and ml-sync brings the sources over, tick after tick, some of which are killed. In both dialects.

STORM_SEED=N repeats the choices of a run, whose seed is printed. STORM_TICKS=N: ticks of a storm.
DEEP=1: 10,000 ticks in parts; PART=N: one of them alone."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import storm_checks
from harness import BIN, ENVIRONMENT, HERE, ROOT, Tap, create_database, postgres, python_of, run, tool, wait_until

SERVER = "3.17.2"
SOURCES = (("a", "2.22.5"), ("b", "3.2.0"), ("c", SERVER), ("d", SERVER))
TICKS = 160  # of a storm, some 30 s on two quiet processors
CONTROL = 60  # things that each client does
PARTS, STORMS_OF_PART, TICKS_OF_DEEP = 10, 4, 250
BUSY = "another tick of this sync is running"
EMPTY = ("left out: empty", "left out: the alias is not a version number: ")
SIGNALS = ("KILL ml-sync", "TERM ml-sync", "KILL all", "KILL program", "TERM program")
FATES = {"": 50, "two": 10, "before promote": 6, "after promote": 3, **{name: 7 for name in SIGNALS}}


class Talker:
    """A process of MLflow that takes commands and answers each with a line."""

    def __init__(self, python, *arguments, work, name):
        self.name, self.log = name, work / (name + ".log")
        self.sent = self.answered = 0
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in (python, *arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                cwd=str(work), env=ENVIRONMENT,
            )  # fmt: skip

    def send(self, command):
        try:
            print(command, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # the answer that does not come says why
        self.sent += 1

    def answers(self, left=0):
        """Waits until all commands but so many are done."""
        while self.sent - self.answered > left:
            if not self.process.stdout.readline():
                raise RuntimeError("%s has ended: %s" % (self.name, self.log.read_text(errors="replace")[-4000:]))
            self.answered += 1

    def do(self, command):
        self.send(command)
        self.answers()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def processes_of(session):
    """{pid: name} of those that run in it; session: the pid of its first."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            name, rest = text[text.index("(") + 1 : text.rindex(")")], text.rsplit(")", 1)[1].split()
            if int(rest[3]) == session and rest[0] not in "ZX":
                found[int(entry)] = name
    return found


def signal_to(pid, name):
    try:
        os.kill(pid, getattr(signal, name))
        return True
    except ProcessLookupError:
        return False


class Source:
    """One that is written to and synced."""

    def __init__(self, name, version, storm):
        self.name, self.version, self.storm = name, version, storm
        self.of_files = version != SERVER
        self.work = storm.work / name
        self.work.mkdir()
        self.place = self.work / ("mlruns" if self.of_files else "mlflow.db")
        self.location = str(self.place) if self.of_files else "sqlite:///%s" % self.place
        self.states = self.work / "states"
        self.rng = random.Random("%s %s" % (storm.seed, name))
        uri = self.place.as_uri() if self.of_files else self.location
        self.writer = Talker(python_of(version), HERE / "storm_writers.py", name, storm.seed, uri, work=self.work, name="writer")
        self.took = 0.3  # of a tick, in seconds: when a kill is aimed at it
        self.ticks, self.kills, self.problems = Counter(), Counter(), []

    def start(self, **environment):
        command = [BIN / "ml-sync", "--json", "--source", self.location, "--target", self.storm.url, "--state", self.states]
        return subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", start_new_session=True, env={**ENVIRONMENT, "PGAPPNAME": "storm " + self.name, **environment},
        )  # fmt: skip

    def later(self, **more):
        """The clock of a tick is set, or it ends at a rename (later.c)."""
        return {"LD_PRELOAD": str(self.storm.later), "ASAN_OPTIONS": "verify_asan_link_order=0", **more}

    def judge(self, process, killed):
        """Counts a tick that has ended. One that nothing has happened to must have done all."""
        out, said = process.communicate()
        report = json.loads(out) if out.strip() and process.returncode >= 0 else {}
        self.ticks["all"] += 1
        self.ticks["changed"] += bool(report.get("changed"))
        result = report.get("result") or {}
        conflicts = sum(kind.get("conflicts", 0) for kind in (result.get("kinds") or {}).values())
        busy = process.returncode == 2 and BUSY in said
        self.ticks["busy"] += busy
        # A writer that was not scheduled for seconds leaves what it had just emptied looking old.
        lines = said.splitlines()
        unfinished = process.returncode == 1 and len(lines) > 0 and all(line.endswith(EMPTY) for line in lines)
        self.ticks["unfinished"] += unfinished
        failed = process.returncode and not (killed or busy or unfinished)
        if failed or conflicts or "everything is sent again" in said or report.get("full"):
            self.problems.append("%s: exit %d\n%s\n%s" % (self.name, process.returncode, said[-1500:], out[-800:]))
        return report

    def tick(self):
        fate = self.rng.choices(list(self.storm.fates), list(self.storm.fates.values()))[0]
        wait, which = self.rng.random(), self.rng.random()
        if fate in ("before promote", "after promote"):
            more = {"STOP_AFTER": "1"} if fate.startswith("after") else {}
            process = self.start(**self.later(STOP_AT=".state", **more))
            report = self.judge(process, True)
            self.kills[fate] += report.get("status", 0) == 2
            return
        began = time.monotonic()
        processes = [self.start() for _ in range(2 if fate == "two" else 1)]
        landed = fate not in ("", "two") and self.kill(processes[0], fate, wait, which)
        self.kills[fate] += landed
        for process in processes:
            self.judge(process, landed)
        if not landed:
            self.took = 0.8 * self.took + 0.2 * (time.monotonic() - began)

    def kill(self, process, fate, wait, which):
        """At a moment of the tick, and which of its programs, both from 0 to 1; true when it landed."""
        try:
            process.wait(wait * 1.2 * self.took)
            return False
        except subprocess.TimeoutExpired:
            pass
        if fate == "terminate":
            sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'storm %s'" % self.name
            return self.storm.psql(sql) != "0"
        what, whom = fate.split()
        pids = processes_of(process.pid)
        programs = sorted(pid for pid in pids if pid != process.pid)
        one = [programs[int(which * len(programs))]] if programs else []
        chosen = {"all": sorted(pids), "ml-sync": [process.pid], "program": one}[whom]
        return sum(signal_to(pid, "SIG" + what) for pid in chosen if pid in pids) > 0

    def blow(self):
        """The storm, for this source."""
        try:
            while self.storm.takes_one():
                self.writer.send("go %d" % self.rng.randrange(1, 6))
                self.tick()
                self.writer.answers(left=3)
            self.writer.answers()
        except Exception as error:
            self.problems.append("%s: %s: %s" % (self.name, type(error).__name__, error))

    def quiet_tick(self):
        """After the last write, as if some minutes later: nothing is held back any more. Its predecessor may still be ending."""
        wait_until(lambda: are_free(self.states), "the last killed tick to end")
        process = self.start(**self.later(LATER="600"))
        out, said = process.communicate()
        return process.returncode, json.loads(out) if out.strip() else {}, said

    def verified(self):
        state = [str(path) for path in self.states.glob("*.state")]
        dump = [BIN / ("mlruns-dump" if self.of_files else "mldb-dump"), "-q", self.location]
        stream = run(dump, encoding=None, errors=None)
        found = run([BIN / "ml-verify", "--subset", "--use-state", *state, self.storm.url], input=stream.stdout, encoding=None, errors=None)
        text = (stream.stderr + found.stdout + found.stderr).decode("utf-8", "replace")
        return stream.returncode == 0 and found.returncode == 0 and "SUCCESS" in text, text

    def read(self):
        path = self.work / "store.json"
        self.writer.do("read %s" % path)
        return json.loads(path.read_text())


def are_free(states):
    """No tick of these states is running, nor a program that one has left behind."""
    return all(run(["flock", "-n", lock, "true"]).returncode == 0 for lock in states.glob("*.lock"))


class Storm:
    def __init__(self, tap, dialect, seed, ticks, work, settings, later):
        self.tap, self.dialect, self.seed, self.work, self.settings, self.later = tap, dialect, seed, work, settings, later
        self.left, self.lock = ticks, threading.Lock()
        self.results = {}
        self.fates = {**FATES, "terminate": 8} if dialect == "postgresql" else FATES
        self.url = "sqlite:///%s/target.db" % work
        if dialect == "postgresql":
            name = work.name.replace("-", "_")
            create_database(name)
            self.url = "postgresql+psycopg2://%s:%s@127.0.0.1:%s/%s" % (
                settings["PGUSER"], settings["PGPASSWORD"], settings["PGPORT"], name)  # fmt: skip

    def psql(self, sql):
        return run(["psql", "-qAtX", "-U", "postgres", "-d", "postgres", "-c", sql]).stdout.strip()

    def takes_one(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0

    def ok(self, passed, name, *details):
        return self.tap.ok(passed, "%s: %s" % (self.dialect, name), *details)

    def run(self):
        made = tool("ml-schema", "create", "--release", SERVER, self.url)
        if not self.ok(made.returncode == 0, "the target is made", made.stderr):
            return
        if self.dialect == "sqlite" and random.Random(self.seed).random() < 0.5:
            run(["sqlite3", self.work / "target.db", "PRAGMA journal_mode = WAL"])
        target = Talker(python_of(SERVER), HERE / "storm_clients.py", self.seed, self.url, self.work, work=self.work, name="clients")
        sources = [Source(name, version, self) for name, version in SOURCES]
        try:
            target.send("start")
            for source in sources:
                source.writer.send("go 0")
            for source in sources:
                source.writer.answers()
            run(["sqlite3", sources[3].place, "PRAGMA journal_mode = WAL"])
            target.answers()
            self.first_ticks(sources)
            target.do("control %d" % CONTROL)
            target.do("storm")
            threads = [threading.Thread(target=source.blow) for source in sources]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            target.do("stop")
            self.after(sources, target)
        finally:
            for one in (target, *(source.writer for source in sources)):
                one.end()

    def first_ticks(self, sources):
        for source in sources:
            process = source.start()
            out, said = process.communicate()
            self.ok(process.returncode == 0, "the first tick of %s brings everything" % source.name, said)

    def after(self, sources, target):
        problems = [line for source in sources for line in source.problems]
        self.ok(not problems, "each tick that was not killed has done all", *problems[:10])
        for source in sources:
            code, report, said = source.quiet_tick()
            self.ok(code == 0, "a quiet tick of %s" % source.name, said, report)
        for source in sources:
            code, report, said = source.quiet_tick()
            self.ok(code == 0 and not report.get("changed"), "and another one changes nothing: %s" % source.name, said, report)
            good, text = source.verified()
            self.ok(good, "ml-verify --subset of %s is SUCCESS" % source.name, text)
        read = [source.read() for source in sources]
        target.do("read %s" % (self.work / "target.json"))
        found = json.loads((self.work / "target.json").read_text())
        for what, lines in storm_checks.check(read, found).items():
            self.ok(not lines, what, *lines[:40])
        self.check_clients(found)
        self.check_logs()
        self.figures(sources, read, found)

    def check_clients(self, found):
        self.ok(not found["failures"], "the clients go on to the end", *found["failures"])
        known = {kind for errors in found["control"] for kind in errors}
        new = sorted({kind for errors in found["errors"] for kind in errors} - known)
        shown = (text for kind in new for text in (kind, found["examples"].get(kind)))
        self.ok(not new, "no client sees an error that the control has not seen", *shown)

    def check_logs(self):
        log = (self.work / "server.log").read_text(errors="replace")
        if self.dialect == "postgresql":
            log += Path(self.settings["PGDIR"], "log").read_text(errors="replace")
        self.ok("deadlock" not in log, "no deadlock", *[line for line in log.splitlines() if "deadlock" in line][:20])

    def figures(self, sources, read, found):
        ticks, kills = sum((source.ticks for source in sources), Counter()), sum((source.kills for source in sources), Counter())
        kills = {name: n for name, n in kills.items() if n}
        self.ok(sum(kills.values()) > 0 and ticks["changed"] > 0, "ticks changed the target, and some were killed", ticks, kills)
        self.results = {
            "dialect": self.dialect, "seed": self.seed, "ticks": ticks["all"] - ticks["busy"], "of them with changes": ticks["changed"],
            "found another tick running": ticks["busy"],
            "met a file that stayed empty": ticks["unfinished"], "kills": sum(kills.values()), "by kind": kills,
            "written": sum(sum(one["counts"].values()) for one in read), "by clients": sum(sum(done.values()) for done in found["done"]),
        }  # fmt: skip


def processor_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build_later(folder):
    library = folder / "later.so"
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests" / "later.c", "-ldl"], check=True)
    return library


def storms(tap, seed, ticks, count, results):
    """Storms in both dialects by turns, each with a seed of its own."""
    folder = Path(tempfile.mkdtemp(prefix="mlruns-tools-storm."))
    try:
        later = build_later(folder)
        with postgres() as settings:
            for number in range(count):
                dialect = ("sqlite", "postgresql")[number % 2]
                work = folder / ("%s-%d" % (dialect, number))
                work.mkdir()
                storm = Storm(tap, dialect, seed + number // 2, ticks, work, settings, later)
                began = processor_time()
                try:
                    storm.run()
                    results.append({**storm.results, "processor seconds": round(processor_time() - began)})
                    tap.comment(json.dumps(results[-1]))
                except Exception as error:
                    tap.ok(False, "%s: the storm goes on to its end" % dialect, "%s: %s" % (type(error).__name__, error))
                if not os.environ.get("STORM_KEEP"):
                    shutil.rmtree(work)
    finally:
        if os.environ.get("STORM_KEEP"):
            tap.comment("kept: %s" % folder)
        else:
            shutil.rmtree(folder)


def keep(part, results):
    """The figures of a part, for whoever adds them up."""
    folder = Path(os.environ.get("DEEP_RESULTS") or BIN.parent / "deep")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("storm-%d.json" % part)).write_text("".join(json.dumps(one) + "\n" for one in results))


def main():
    tap = Tap()
    seed = int(os.environ.get("STORM_SEED") or random.SystemRandom().randrange(10**6))
    tap.comment("STORM_SEED=%d" % seed)
    ticks = int(os.environ.get("STORM_TICKS") or (TICKS_OF_DEEP if os.environ.get("DEEP") else TICKS))
    if not os.environ.get("DEEP"):
        storms(tap, seed, ticks, 2, [])
        return tap.done()
    for part in [int(os.environ["PART"])] if os.environ.get("PART") else range(1, PARTS + 1):
        results = []
        storms(tap, seed + 10**6 * part, ticks, STORMS_OF_PART, results)
        keep(part, results)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
