#!/usr/bin/env python3
"""The pages of ml-verify --html, ml-migrate --report and ml-sync --report, opened in Chromium: what is in them, that they ask for
nothing and run nothing, that axe-core finds nothing, and that they are below 5 MB however much there is to say.

test_report.py [DIRECTORY]: keeps its work there, with a picture of each page."""

import json
import os
import re
import shutil
import sqlite3
import sys
from pathlib import Path

import browser
from harness import BIN, ENVIRONMENT, ROOT, Tap, run, tool, work_directory

MOST = 5_000_000  # bytes of a page
LARGE = 100_000  # from here on axe-core takes minutes to say what it says of the small pages
VIEWS = {"light": ("light", 1200), "dark": ("dark", 1200), "narrow": ("light", 390)}
SCRIPT = "<script>alert(1)</script>"


class Pages:
    """Opens pages, and checks what holds for all of them."""

    def __init__(self, tap, chromium, work):
        self.tap, self.chromium, self.work = tap, chromium, work

    def check(self, path, name, needles=(), absent=(), views=tuple(VIEWS)):
        """Opens a page in each view, a large one in the last only; gives its text."""
        source = path.read_bytes()
        self.tap.ok(len(source) < MOST, "%s: below 5 MB" % name, "%d bytes" % len(source))
        self.tap.ok(b"<script" not in source and b"http:" not in source, "%s: neither a script nor an address of the net" % name)
        for view in views[-1:] if len(source) > LARGE else views:
            scheme, width = VIEWS[view]
            with browser.page_at(self.chromium, path.as_uri(), scheme, width) as page:
                found = page.seen + (browser.accessibility(page) if len(source) < LARGE else [])
                wide = page.evaluate("document.documentElement.scrollWidth")
                self.tap.ok(not found and wide <= width, "%s: nothing to complain of, %s" % (name, view), *found, "%d wide" % wide)
                text = page.inner_text("body")
                page.screenshot(path=self.work / ("%s-%s.png" % (path.stem, view)), full_page=len(source) < LARGE)
        missing = [needle for needle in needles if needle not in text] + [needle for needle in absent if needle in text]
        self.tap.ok(not missing, "%s: it has what it should" % name, *missing, text[:3000])
        return text


def stream(path, records):
    lines = [{"kind": "header", "format": 1, "minor": 0, "producer": "test", "source": "0" * 32, "shard": 0, "shards": 1}]
    lines += list(records)
    lines.append({"kind": "trailer", "counts": {}, "skipped": 0, "checksum": "0" * 16})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with open(path, "wb") as out:
        run([BIN / "ml-transform", "--from-json", "--reseal"], input=text, stdout=out, check=True)


def load(records, path):
    """A stream and a database of it."""
    stream(path, records)
    database = path.with_suffix(".db")
    with open(path, "rb") as source:
        run([BIN / "ml-load", "-q", "sqlite:///%s" % database], stdin=source, check=True)
    return database


def verify(path, page, *options):
    with open(path, "rb") as source:
        return tool("ml-verify", "-q", "--html", page, *options, "sqlite:///%s" % path.with_suffix(".db"), stdin=source)


def change(database, *statements):
    connection = sqlite3.connect(database)
    for statement, *values in statements:
        connection.execute(statement, values)
    connection.commit()
    connection.close()


def experiment(number, name):
    return {"kind": "experiment", "experiment_id": str(number), "name": name, "lifecycle_stage": "active"}


def one_run(number, in_experiment=1, **fields):
    return {"kind": "run", "run_id": "r%d" % number, "experiment_id": str(in_experiment), "lifecycle_stage": "active", **fields}


def check_migration(pages, work):
    shutil.copytree(ROOT / "tests" / "data" / "mlruns", work / "mlruns")
    done = tool("ml-migrate", "mlruns", "sqlite:///moved.db", "--report", "migrated.html", cwd=work)
    pages.tap.ok(done.returncode == 0 and "Status: SUCCESS" in done.stdout, "ml-migrate --report verifies", done.stdout, done.stderr)
    pages.tap.ok(done.stderr.endswith("ml-migrate: the report is in migrated.html\n"), "and says where it is", done.stderr)
    pages.check(
        work / "migrated.html", "a migration",
        ["Everything was migrated and verified", "export MLFLOW_TRACKING_URI=sqlite:///%s/moved.db" % work, "churn prediction",
         str(work / "mlruns"), "Runs over time", "cp -a", "2024-06-10"],
        ["Differences\nLeft", "Problems"],
    )  # fmt: skip
    done = tool("ml-migrate", "-n", "mlruns", "sqlite:///other.db", "--report", "rehearsed.html", cwd=work)
    pages.tap.ok(done.returncode == 0 and not (work / "other.db").exists(), "--dry-run", done.stderr)
    pages.check(work / "rehearsed.html", "a rehearsal", ["Nothing was written", "Would be loaded"], ["export"])


def check_left_out(pages, work):
    shutil.copytree(ROOT / "tests" / "data" / "mlruns", work / "damaged")
    metric = next(path for path in sorted((work / "damaged").rglob("metrics/*")) if path.is_file())
    lines = len(metric.read_text().splitlines())
    with open(metric, "a") as file:
        file.write("not a point\n")
    where = "%s:%d" % (metric.relative_to(work), lines + 1)
    (work / "damaged.html").write_text("an older page")
    done = tool("ml-migrate", "damaged", "sqlite:///damaged.db", "--report", "damaged.html", cwd=work)
    pages.tap.ok(done.returncode == 2 and not (work / "damaged.db").exists(), "a migration that fails", done.stderr)
    pages.check(
        work / "damaged.html", "a migration that fails",
        ["Nothing was migrated", "Problems", where, "repair them, or leave them out with --skip-malformed"], ["an older page", "By kind"],
    )  # fmt: skip
    done = tool("ml-migrate", "damaged", "sqlite:///damaged.db", "--skip-malformed", "--report", "left_out.html", cwd=work)
    pages.tap.ok(done.returncode == 1, "what is malformed is left out", done.stderr)
    pages.check(work / "left_out.html", "with something left out", ["with entities left out", "Left out or held back", where], ["Problems"])


def check_one_failure(pages, work):
    records = [experiment(1, "one"), one_run(1, run_name=SCRIPT, start_time=1700000000000, status="FINISHED")]
    records.append({"kind": "param", "run_id": "r1", "key": "note", "value": "the same beginning, then A, and the same end" * 20})
    database = load(records, work / "one.mlr")
    change(
        database,
        ("UPDATE runs SET end_time = 17, name = name || ' '",),
        ("UPDATE params SET value = replace(value, 'end', 'END') WHERE key = 'note'",),
    )
    done = verify(work / "one.mlr", work / "one.html")
    pages.tap.ok(done.returncode == 1, "a difference is exit 1", done.stdout, done.stderr)
    text = pages.check(work / "one.html", "two entities that differ", ["2 entities differ", "Differences", SCRIPT, "end_time", "none"])
    pages.tap.ok(text.count(SCRIPT) == 2, "a run named <script>: both sides are shown", text)
    with browser.page_at(pages.chromium, (work / "one.html").as_uri()) as page:
        marks = page.locator("mark").all_inner_texts()
        pages.tap.ok(
            not page.locator("script").count() and any(mark.startswith("end") for mark in marks) and "17" in marks,
            "what differs is marked, the rest is not", marks,
        )  # fmt: skip


def check_many(pages, work):
    count = 100_000
    records = [experiment(n, "experiment %d" % n) for n in range(1, 1001)]
    records += [one_run(n, n, start_time=1500000000000 + n * 86400000) for n in range(1, 1001)]
    records += [{"kind": "metric", "run_id": "r1", "key": "loss", "step": n, "timestamp": n, "value": n / 7} for n in range(count)]
    database = load(records, work / "many.mlr")
    change(
        database,
        ("UPDATE metrics SET value = value + 1",),
        ("UPDATE runs SET status = 'KILLED', name = ? WHERE run_uuid <> 'r1'", "x" * 250),
    )
    done = verify(work / "many.mlr", work / "many.html", "--max-failures", "0")
    pages.tap.ok(done.returncode == 1, "100,000 differences are exit 1", done.stderr)
    pages.check(
        work / "many.html", "100,000 differences",
        ["100,999 entities differ", "Metrics: 100,000", "200 of 100,000", "99,800 more are not", "200 of 1,000 experiments", "runs by"],
    )  # fmt: skip


def check_large(pages, work):
    """Every list is as long as it may be, and each of its texts too."""
    wide = "\u00e9\"&<" * 2000
    records = [experiment(n, "%d %s" % (n, wide)) for n in range(1, 301)]
    records += [one_run(n, n, run_name=wide, user_id=wide, source_name=wide, start_time=n) for n in range(1, 301)]
    records += [{"kind": kind, "run_id": "r%d" % n, "key": "k", "value": wide} for kind in ("param", "tag") for n in range(1, 301)]
    database = load(records, work / "large.mlr")
    change(
        database,
        ("UPDATE runs SET name = 'x' || name, user_id = 'x' || user_id, source_name = 'x' || source_name",),
        ("UPDATE params SET value = 'x' || value",),
        ("UPDATE tags SET value = 'x' || value",),
        ("UPDATE experiments SET name = 'x' || name",),
    )
    verify(work / "large.mlr", work / "large.html")
    pages.check(work / "large.html", "large texts in long lists", ["1,200 entities differ", "more are not"])


def check_names(pages, work):
    names = ["right\u202eto left\u2066", "bell\x07 and \x1b[31mred", "tab\tand\nline", "</style></title><b>x", "e\u0301 \U0001f600", "&amp; & \"'"]
    records = [experiment(n, name) for n, name in enumerate(names, 1)] + [one_run(n, n, start_time=-5) for n in range(1, len(names) + 1)]
    database = load(records, work / "names.mlr")
    change(database, ("UPDATE experiments SET name = CAST(x'ff3c62' AS text) WHERE experiment_id = 1",))
    verify(work / "names.mlr", work / "names.html")
    shown = ["right\\xe2\\x80\\xaeto left\\xe2\\x81\\xa6", "bell\\x07 and \\x1b[31mred", "tab\\x09and\\x0aline", *names[3:], "\\xff<b"]
    pages.check(work / "names.html", "names that are not for a page", shown)
    page = (work / "names.html").read_bytes()
    page.decode()
    pages.tap.ok(not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", page), "names: no control character reaches the page")


def check_sync(pages, work):
    state = {**ENVIRONMENT, "XDG_STATE_HOME": str(work / "state")}

    def tick(page):
        return tool("ml-sync", "--source", "mlruns", "--target", "sqlite:///server.db", "--report", page, cwd=work, env=state)

    done = tick("first.html")
    pages.tap.ok(done.returncode == 0 and not done.stderr, "ml-sync --report: what is only for the page is not printed", done.stderr)
    pages.check(work / "first.html", "a first tick", ["Everything is in sync", "By source", "Added", "churn prediction", str(work / "mlruns")])
    change(work / "server.db", ("UPDATE runs SET name = 'edited on the server'",))
    shutil.rmtree(work / "state")
    done = tick("again.html")
    pages.tap.ok(done.returncode == 0, "everything again", done.stdout, done.stderr)
    pages.check(work / "again.html", "a tick that overwrites", ["Overwritten", "edited on the server", "Changed"], ["Runs: 4 changed", "becomes"])
    (work / "server.db").write_bytes(b"not a database" * 100)
    done = tick("failed.html")
    pages.tap.ok(done.returncode == 2, "a target that is none", done.stderr)
    pages.check(work / "failed.html", "a tick that fails", ["The sync failed", "Problems"])


def check_refusals(tap, work):
    (work / "read only").mkdir()
    for place in ("missing/page.html", "read only"):
        done = tool("ml-migrate", "mlruns", "sqlite:///never.db", "--report", place, cwd=work)
        tap.ok(
            done.returncode == 2 and "cannot write the report" in done.stderr and not (work / "never.db").exists(),
            "a page that cannot be written ends it before anything is read: %s" % place, done.stderr,
        )  # fmt: skip
    left = [path for path in os.listdir(work) if path.endswith((".ml-migrate", ".ml-verify", ".ml-sync"))]
    tap.ok(not left, "nothing is left beside the pages", *left)


def main():
    browser.require()
    tap = Tap()
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with work_directory(kept, "report") as work, browser.chromium() as chromium:
        pages = Pages(tap, chromium, work)
        for check in (check_migration, check_left_out, check_one_failure, check_many, check_large, check_names, check_sync):
            check(pages, work)
        check_refusals(tap, work)
    return tap.done()


sys.exit(main())
