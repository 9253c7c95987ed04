"""docs/cli.md names every command, every option and every exit code, and its examples print what they show."""

import re
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from shlex import split
from typing import Any

import pytest
from typer.testing import CliRunner

from semcache.commands import models as models_module
from semcache.commands.app import app
from semcache.commands.exit_codes import ExitCode
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.commands.test_group import ALL

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def test_every_command_has_its_line() -> None:
    listed = re.findall(r"^\| `semcache ([a-z ]+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(" ".join(path) for path, _ in ALL)


def test_every_exit_code_has_its_line() -> None:
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(ExitCode)


def sections() -> dict[str, str]:
    """The text about each command, by its name; a section may be about two."""
    found: dict[str, str] = {}
    for heading, text in re.findall(r"^### (semcache [^\n]*)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL):
        found.update(dict.fromkeys((name.removeprefix("semcache ") for name in heading.split(", ")), text))
    return found


@pytest.mark.parametrize(("path", "command"), ALL, ids=lambda each: "-".join(each) if isinstance(each, tuple) else "")
def test_every_command_has_a_section_with_its_options(path: tuple[str, ...], command: Any) -> None:
    text = sections()[" ".join(path)]
    options = [parameter.opts[0] for parameter in command.params if parameter.opts[0].startswith("-")]
    missing = [name for name in options if name not in ("--help", "-h") and f"{name}`" not in text.replace(" ", "` ")]
    assert not missing


def test_examples_print_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SEMCACHE_NAMESPACE", "shop")
    # Loaded once for all examples, as each of them would.
    loaded = models_module.configured_models(Settings())
    monkeypatch.setattr(models_module, "configured_models", lambda settings: loaded)
    for name, text in re.findall(r"`([\w.]+)`:\n\n```text\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    checker = OutputChecker()
    with EmbeddedRedis() as server:
        monkeypatch.setenv("SEMCACHE_REDIS_URL", server.url)
        for block in re.findall(r"```console\n(.*?)```", PAGE.partition("## Looking")[2], re.DOTALL):
            for line, wanted in re.findall(r"^\$ ([^\n]+)\n(.*?)(?=^\$|\Z)", block, re.MULTILINE | re.DOTALL):
                done = CliRunner().invoke(app, split(line)[1:])
                # Bars of progress end in a line each where stderr is no terminal.
                printed = "".join(each for each in done.output.splitlines(keepends=True) if "\u2501" not in each)
                # Of a long answer some lines are shown, and three points stand for the rest.
                assert checker.check_output(wanted, printed, ELLIPSIS | NORMALIZE_WHITESPACE), f"{line}\n{printed}"
