"""Leaves the build of the site out where mkdocs could not be installed, and says so at the end of the run."""

from pathlib import Path

import pytest

_MKDOCS = Path(__file__).parents[2] / ".docs" / "mkdocs"

collect_ignore = [] if _MKDOCS.is_dir() else ["test_site.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore:
        terminalreporter.write_line(
            f"NOT RUN in tests/docs: {collect_ignore[0]}, since mkdocs is not installed. `make test` installs it into "
            f"{_MKDOCS.parent.name} when PyPI can be reached.",
            yellow=True,
        )
