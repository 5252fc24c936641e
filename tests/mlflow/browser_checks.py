#!/usr/bin/env python3
"""Opens migrated traces in the pages of an MLflow server, in headless Chromium.  Runs inside the environment of tests/setup.sh browser.

    browser_checks.py ADDRESS EXPERIMENT_ID

The traces are those of span_checks.py.  Prints what the pages show as JSON; fails where they do not come to show it.
"""

import json
import re
import shutil
import sys

from playwright.sync_api import expect, sync_playwright

LIMIT = 300_000  # ms; ends a hang and nothing else


def find_and_open(page, address, experiment):
    """The search of the page of traces looks into spans: "needle" is in four of them, and in no trace's preview."""
    page.goto("%s/#/experiments/%s/traces" % (address, experiment), wait_until="domcontentloaded")
    page.get_by_text("6 of 6").wait_for()
    page.get_by_text("Got it", exact=True).click()  # covers the page at the first visit
    search = page.get_by_placeholder("Search traces by id, input, or output")
    search.fill("needle")
    search.press("Enter")
    page.get_by_text("4 of 6").wait_for()
    found = page.url
    page.get_by_text('{"number": 3}').first.click()
    expect(page).to_have_url(re.compile("traceId=tr-"))
    tokens = page.get_by_text("15 tokens", exact=True)
    tokens.wait_for()
    tree = ["retrieve", "tool", "model"]
    for name in tree:
        page.get_by_text(name, exact=True).first.wait_for()
    return {"search": found.split("?")[-1], "tokens": tokens.inner_text(), "tree": tree}


def tool_calls(page, address, experiment):
    page.goto("about:blank")
    page.goto("%s/#/experiments/%s/overview/tool-calls" % (address, experiment), wait_until="domcontentloaded")
    page.get_by_text("Total Tool Calls").wait_for()
    page.get_by_text("Tool Performance Summary").wait_for()
    return re.search(r"(\S+)\s+Total Tool Calls", page.inner_text("body")).group(1)


def main():
    address, experiment = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"], timeout=LIMIT)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(LIMIT)
        expect.set_options(timeout=LIMIT)
        said = find_and_open(page, address, experiment)
        said["tool calls"] = tool_calls(page, address, experiment)
        browser.close()
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
