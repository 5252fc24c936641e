#!/usr/bin/env python3
"""messages_page.py [ROOT]: whether man/mlruns-messages.7 has every message with a hint, and every class of error.

A call that gives a hint is found in the code with the message before it. Of the message, or where that is no literal of its own,
of the hint, the longest part without variables must be in the page. Prints what is missing, and exits with 1."""
import pathlib
import re
import sys

CALL = re.compile(
    r"\b(err_set|err_hint|err_print_hint|err_note_hint|die_hint|err_print|err_note|err_warn)\s*"
    r'\(((?:[^()"]|"(?:\\.|[^"\\])*"|\((?:[^()"]|"(?:\\.|[^"\\])*"|\([^()]*\))*\))*)\)'
)
# Calls that pass on the hint of another one, or what the server says.
PASSED_ON = {
    "formats/database/postgres_error.c",
    "formats/load/convert.c",
    "formats/load/copy.c",
    "formats/load/untyped_rows.c",
    "formats/schema/stamp.c",
    "formats/stream/json.c",
    "formats/stream/jsonl.c",
    "formats/stream/wire.c",
    "formats/transform/fit.c",
    "formats/transform/merge.c",
}
LEAST = 12  # letters of a part that says something


def literals(arguments):
    joined = re.sub(r'"\s*PRI\w+\s*"', "u", arguments)
    joined = re.sub(r'"\s*\n\s*"', "", joined)
    return [text.replace('\\"', '"') for text in re.findall(r'"((?:\\.|[^"\\])*)"', joined)]


def parts(texts):
    """Parts between variables, longest first."""
    found = [part.strip(" :;,'") for text in texts for part in re.split(r"%(?:[-.*\d]*(?:ll)?[a-z]|%)|[`(;|…]", text)]
    return sorted((part for part in found if len(part) >= LEAST), key=len, reverse=True)


def calls(root):
    for file in sorted(f for top in ("common", "formats", "migrations", "tools") for f in (root / top).rglob("*.c")):
        path, text, before = file.relative_to(root).as_posix(), file.read_text(encoding="utf-8"), []
        end = 0
        if path == "common/err.c":
            continue
        for match in CALL.finditer(text):
            own = literals(match[2])
            if "\n}\n" in text[end : match.start()]:
                before = []  # of another function
            end = match.end()
            if "hint" not in match[1]:
                before = own
            elif match[1] == "die_hint":
                yield path, text[: match.start()].count("\n") + 1, own[:0], own
            else:
                yield path, text[: match.start()].count("\n") + 1, before, own


def words_of(page):
    text = re.sub(r"(?m)^\.[A-Z]{1,2} ", "", page)
    for escape, shown in (("\\-", "-"), ("\\e", "\\"), ("\\&", ""), ('"', " "), (",", " "), (".", " "), (";", " "), (":", " ")):
        text = text.replace(escape, shown)
    return " ".join(text.split()).lower()


def plain(part):
    return " ".join(re.sub(r'[",.;:]', " ", part).split()).lower()


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    page = (root / "man/mlruns-messages.7").read_text(encoding="utf-8")
    words, missing, n = words_of(page), [], 0
    for path, line, message, hint in calls(root):
        n += 1
        wanted = parts(message)[:1] + parts(hint)
        if not wanted and path in PASSED_ON:
            continue
        if not any(plain(part) in words for part in wanted):
            missing.append("%s:%d: not in man/mlruns-messages.7: %s" % (path, line, " | ".join(message + hint)))
    classes = re.findall(r"\bERR_[A-Z_]+\b", re.search(r"enum err_class \{(.*?)\};", (root / "common/err.h").read_text(), re.DOTALL)[1])
    missing += ["%s: no entry in man/mlruns-messages.7" % c for c in classes if '.\\" class %s\n' % c not in page]
    print("\n".join(missing) if missing else "%d messages, %d classes" % (n, len(classes)))
    sys.exit(1 if missing or n < 100 else 0)


main()
