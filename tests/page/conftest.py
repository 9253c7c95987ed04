"""A real browser for the page of the server. Where there is none, the end of the run names what was not run."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from benchmarks.browser import chromium, launched

_MISSING = [
    *([] if chromium() else ["Chromium (Debian: apt install chromium)"]),
    *([] if find_spec("playwright") else ["playwright"]),
]

collect_ignore_glob = ["test_*.py"] if _MISSING else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _MISSING:
        terminalreporter.write_line(
            f"NOT RUN: tests/page, since there is no {' and no '.join(_MISSING)} on this machine.", yellow=True
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium, for all tests of a module."""
    with launched() as browser:
        yield browser
