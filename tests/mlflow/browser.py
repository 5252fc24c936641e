"""Debian's Chromium without a screen, for tests that look at pages. Call `require()` before all else: it continues the test in
the environment that drives it."""

import contextlib
import os
import shutil
import sys
from pathlib import Path

from harness import ROOT, run

CLOCK = 300_000  # ms: the limit of a wait ends a hang and nothing else


def require():
    """Runs this program anew with the interpreter of tests/setup.sh browser, if this is another one."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        done = run([ROOT / "tests" / "setup.sh", "browser"], timeout=1800)
        if done.returncode:
            raise SystemExit("Bail out! no environment for Chromium: %s" % done.stderr)
        os.execv(done.stdout.strip(), [done.stdout.strip(), *sys.argv])


@contextlib.contextmanager
def chromium():
    """The browser, as of Playwright."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    if not program:
        raise SystemExit("Bail out! no chromium: tests/setup.sh apt")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, headless=True, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def page_at(browser, url, scheme="light", width=1200, height=900):
    """A page opened at the URL. page.seen has what it asked of the network beside itself, its dialogs, and errors of its scripts."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(CLOCK)
    page.seen = []
    page.on("request", lambda request: request.url == url or page.seen.append("request " + request.url))
    page.on("dialog", lambda dialog: (page.seen.append("dialog " + dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: page.seen.append("error %s" % error))
    page.on("console", lambda message: message.type == "error" and page.seen.append("console " + message.text))
    page.goto(url)
    yield page
    context.close()


def accessibility(page):
    """What axe-core finds, a line each."""
    import axe_playwright_python

    source = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.evaluate(source)
    found = page.evaluate("async () => (await axe.run()).violations")
    return ["%s: %s" % (v["id"], "; ".join(n["html"][:120] for n in v["nodes"][:3])) for v in found]
