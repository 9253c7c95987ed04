"""docs/cli.md names every command and every exit code."""

import re
from pathlib import Path

from semcache.commands.exit_codes import ExitCode
from tests.commands.test_group import ALL

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def test_every_command_has_its_line() -> None:
    listed = re.findall(r"^\| `semcache ([a-z ]+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(" ".join(path) for path, _ in ALL)


def test_every_exit_code_has_its_line() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(ExitCode)
