#!/usr/bin/env python3
"""lint_house.py [ROOT]: whether the C code keeps to the house (README, formats/README.md), and whether tests can fail.

Prints `file:line: what` for each breach and exits with 1 when there is one:
- a room includes a file of a room that comes later in ROOMS;
- a tool includes the header of a database's client library;
- a file of tools/ has more than MAX_TOOL lines, a function more than MAX_FUNCTION;
- MAX_EQUAL lines of code stand in two places outside of migrations/;
- a file of formats/ or migrations/ ends the program (ENDING): the library returns its errors, programs exit;
- a line of tests/*.bats or *.bash asserts what the shell does not look at (CANNOT_FAIL).
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
    "formats/report",
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
MAX_EQUAL = 8

ENDING = re.compile(r"\b((?:err_)?die|die_hint|err_exit_\w+|err_no_memory|io_close_stdout|_?exit|_Exit|quick_exit|abort)\s*\(")
# What bash leaves out of `set -e`: a command after `!`, all but the last of a list, and whatever runs within a function that
# stands in one. The assertions of one command are not meant.
CANNOT_FAIL = [
    (re.compile(r"\s*! "), "a command after ! fails no test: absent, refute_contains or a status do"),
    (re.compile(r"\s*(\[\[? |test ).* && (\[|test )"), "only the last of a list fails a test: a line for each"),
    (
        re.compile(r"\s*((if|while|until|elif) )?(! )?(assert|refute)_(?!status |contains |equal )\w+( .*)?(\|\||&&|; then|; do)"),
        "within a condition only the last command of a function fails: call it alone",
    ),
]
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)
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


def check_copies(sources):
    """Runs of MAX_EQUAL lines, blank ones, comments and includes left out, that came before; each run once. A run of
    few different lines (a table, closing braces) is not a copy."""
    seen = {}
    for path, lines in sources:
        code = [(n, " ".join(line.split())) for n, line in enumerate(lines, 1)]
        code = [(n, line) for n, line in code if line and not re.match(r"#\s*include|/\*|\*", line)]
        reported = 0
        for i in range(len(code) - MAX_EQUAL + 1):
            run = tuple(line for _, line in code[i : i + MAX_EQUAL])
            first = seen.setdefault(run, (path, i, code[i][0]))
            overlaps = first[0] == path and i - first[1] < MAX_EQUAL
            if overlaps or i < reported or len(set(run)) <= MAX_EQUAL // 2:
                continue
            yield path, code[i][0], f"{MAX_EQUAL} lines that stand at {first[0]}:{first[2]}, too"
            reported = i + MAX_EQUAL


def check_endings(path, lines):
    if not path.startswith(("formats/", "migrations/")):
        return
    code = COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), "\n".join(lines))
    for n, line in enumerate(code.split("\n"), 1):
        for m in ENDING.finditer(line):
            yield n, f"{m[1]}() ends the program: the library returns its errors"


def check_tests(path, lines):
    for n, line in enumerate(lines, 1):
        if line.rstrip().endswith(("return", "|| false")):
            continue  # the list decides what a function of one command answers
        for pattern, what in CANNOT_FAIL:
            if pattern.match(line):
                yield n, what


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    files = sorted(f for top in ("common", "formats", "migrations", "tools") for f in (root / top).rglob("*.[ch]"))
    if not files:
        sys.exit(f"{root}: no C code here")
    sources = [(file.relative_to(root).as_posix(), file.read_text(encoding="utf-8").splitlines()) for file in files]
    breaches = [(path, *b) for path, lines in sources for check in (check_includes, check_lengths, check_endings) for b in check(path, lines)]
    for file in sorted(f for ending in ("bats", "bash") for f in (root / "tests").glob("*." + ending)):
        path = file.relative_to(root).as_posix()
        breaches += [(path, *b) for b in check_tests(path, file.read_text(encoding="utf-8").splitlines())]
    breaches += check_copies(s for s in sources if not s[0].startswith("migrations/"))
    for path, n, what in breaches:
        print(f"{path}:{n}: {what}")
    sys.exit(1 if breaches else 0)


if __name__ == "__main__":
    main()
