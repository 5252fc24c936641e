#!/usr/bin/env python3
"""lint_house.py [ROOT]: whether the C code keeps to the house (README, formats/README.md).

Prints `file:line: what` for each breach and exits with 1 when there is one:
- a room includes a file of a room that comes later in ROOMS;
- a tool includes the header of a database's client library;
- a file of tools/ has more than MAX_TOOL lines, a function more than MAX_FUNCTION.
The layout is clang-format's: a function's braces stand alone in the first column.
"""
import pathlib
import re
import sys

ROOMS = [
    "common",
    "formats/entities.def",
    "formats/record",
    "formats/stream",
    "formats/python",
    "formats/state",
    "formats/filestore",
    "formats/database",
    "formats/verify",
    "migrations",
    "formats/schema",
    "formats/load",
    "formats/sync",
    "formats/transform",
    "tools",
]
CLIENT_LIBRARIES = {"sqlite3.h", "libpq-fe.h"}
MAX_TOOL = 300
MAX_FUNCTION = 60

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path):
    """The index in ROOMS of a path from the root; None: it is in no room."""
    for i, room in enumerate(ROOMS):
        if path == room or path.startswith(room + "/"):
            return i
    return None


def check_includes(path, lines):
    here = room_of(path)
    if here is None:
        yield 1, "is in no room"
        return
    for n, line in enumerate(lines, 1):
        m = INCLUDE.match(line)
        if not m:
            continue
        included = m[2]
        if ROOMS[here] == "tools" and included in CLIENT_LIBRARIES:
            yield n, f"a tool includes {included}"
        if m[1] == "<":
            continue
        there = room_of(included)
        if there is None:
            yield n, f"{included} is in no room: includes are from the root"
        elif there > here:
            yield n, f"{ROOMS[here]} includes {included}, of a later room"


def functions(lines):
    """(first line, last line) of each function, its head included."""
    start = None
    for n, line in enumerate(lines, 1):
        if line == "{":
            start = n
            while start > 1 and re.match(r"[^#}/\s]|\s+\S", lines[start - 2]) and not lines[start - 2].endswith(("*/", ";")):
                start -= 1
        elif line == "}" and start is not None:
            yield start, n
            start = None


def check_lengths(path, lines):
    if room_of(path) == len(ROOMS) - 1 and len(lines) > MAX_TOOL:
        yield len(lines), f"a file of tools/ has {len(lines)} lines, more than {MAX_TOOL}"
    for first, last in functions(lines):
        length = last - first + 1
        if length > MAX_FUNCTION:
            yield first, f"a function of {length} lines, more than {MAX_FUNCTION}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    files = sorted(f for top in ("common", "formats", "migrations", "tools") for f in (root / top).rglob("*.[ch]"))
    if not files:
        sys.exit(f"{root}: no C code here")
    breaches = 0
    for file in files:
        path = file.relative_to(root).as_posix()
        lines = file.read_text(encoding="utf-8").splitlines()
        for check in (check_includes, check_lengths):
            for n, what in check(path, lines):
                print(f"{path}:{n}: {what}")
                breaches += 1
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
