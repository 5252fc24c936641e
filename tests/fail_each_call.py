"""Dumps ./mlruns again and again, each time with another call failing that looks at a file or directory of it (failing_calls.c).

    fail_each_call.py SHIM NAME=VALUE...

Each dump is as if nothing had been, or ends with 2 and a message at what failed: its path, a directory above it, or what lies in
it. With --skip-malformed no record is altered, but for the name of a run whose tag mlflow.runName is left out, and where one
is missing the exit status is 1. Without DEEP in the environment
a seeded sample of the calls fails. What links lead to lies in ./away, under the name of the link.
"""
import os
import random
import re
import subprocess
import sys

HERE = os.path.realpath(".")


def run(shim, settings, *options):
    environment = dict(os.environ, LD_PRELOAD=shim, ASAN_OPTIONS="verify_asan_link_order=0", FAIL_TREE=HERE,
                       FAIL_LOG=HERE + "/failed", **settings)
    if os.path.exists("failed"):
        os.remove("failed")
    done = subprocess.run(["mlruns-dump", "-q", "--jobs", "1", *options, "mlruns"], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr.decode(errors="replace")


def failed_paths():
    with open("failed") as log:
        return [os.path.relpath(line.rstrip("\n"), HERE) for line in log]


def records(stream):
    lines = subprocess.run(["ml-transform", "-q", "--json"], input=stream, stdout=subprocess.PIPE, check=True).stdout
    return {line for line in lines.splitlines() if not line.startswith((b'{"kind":"header"', b'{"kind":"trailer"'))
            and b'"kind":"skipped"' not in line}


def is_named(path, messages):
    if path.startswith("away/"):
        name, _, rest = path[len("away/"):].partition("/")
        place = next(p for p in ("mlruns/" + name, "mlruns/.trash/" + name) if os.path.lexists(p))
        path = place + ("/" + rest if rest else "")
    paths = [path]
    while "/" in path:
        path = path.rpartition("/")[0]
        paths.append(path)
    return (any(f"{p}: " in messages or f"{p}:1: " in messages for p in paths) or f"{paths[0]}/" in messages)


def check(shim, settings, call, sound, sound_records, skip):
    status, stream, messages = run(shim, dict(settings, FAIL_CALL=str(call)))
    path = failed_paths()[0]
    where = f"call {call}, {path}"
    if status == 0:
        return None if stream == sound else f"{where}: exit 0, another stream"
    if status != 2 or not is_named(path, messages):
        return f"{where}: exit {status}, {messages}"
    if not skip:
        return None
    status, stream, messages = run(shim, dict(settings, FAIL_CALL=str(call)), "--skip-malformed")
    if status == 2:  # the store itself could not be opened
        return None
    got = records(stream)
    nameless = {re.sub(rb'"run_name":"[^"]*",', b"", line) for line in sound_records} if "tags" in path else set()
    if got - sound_records - nameless:
        return f"{where}: altered: {got - sound_records}"
    return None if status == 1 or got == sound_records else f"{where}: exit {status}, {messages}"


def main():
    shim, settings = sys.argv[1], dict(word.split("=", 1) for word in sys.argv[2:])
    deep = bool(os.environ.get("DEEP"))
    status, sound, messages = run(shim, dict(settings, FAIL_CALL="0"))
    if status != 0:
        sys.exit(messages)
    n = len(failed_paths())
    if n < 300:
        sys.exit(f"{n} calls only")
    sound_records = records(sound)
    chosen = range(1, n + 1)
    if not deep:  # the first ones find the store
        rest = random.Random(" ".join(sys.argv[2:])).sample(chosen[40:], 40)
        chosen = [*chosen[:40:3], *sorted(rest)]
    wrong = [w for i, call in enumerate(chosen)
             if (w := check(shim, settings, call, sound, sound_records, deep or i % 4 == 0))]
    print(f"{len(chosen)} of {n} calls failed in turn")
    sys.exit("\n".join(wrong) if wrong else 0)


main()
