"""A real browser for the page of the server. Where there is none, the end of the run names what was not run."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_MISSING = [
    *([] if CHROMIUM else ["Chromium (Debian: apt install chromium)"]),
    *([] if find_spec("playwright") else ["playwright"]),
]

collect_ignore_glob = ["test_*.py"] if _MISSING else []

SANDBOX = () if os.geteuid() else ("--no-sandbox",)
"""Chromium refuses to run as root in its sandbox."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _MISSING:
        terminalreporter.write_line(
            f"NOT RUN: tests/page, since there is no {' and no '.join(_MISSING)} on this machine.", yellow=True
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium without a window; of a module, since no event loop can be run beside playwright's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SANDBOX)
        yield browser
        browser.close()
