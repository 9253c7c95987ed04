"""What all commands have in common: help, exit codes, JSON, completion, one line for whatever is wrong."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from semcache.commands.app import app
from semcache.commands.exit_codes import ExitCode, code_of
from semcache.commands.group import Commands, with_json_file
from semcache.errors import (
    ConfigurationError,
    EmbeddedRedisError,
    InvalidInputError,
    MissingExtraError,
    RerankerError,
    RerankServiceError,
    SemcacheError,
    StoreUnavailableError,
)


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands, with the words that a user types for them."""
    group = group or get_command(app)
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))


ALL = list(commands())


@pytest.mark.parametrize("path", [(), *(path for path, _ in ALL)])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(path: tuple[str, ...], flag: str) -> None:
    done = CliRunner().invoke(app, [*path, flag])
    assert done.exit_code == 0
    assert "Usage: " in done.output


@pytest.mark.parametrize(("path", "command"), ALL)
def test_every_command_and_option_is_explained(path: tuple[str, ...], command: Any) -> None:
    assert (command.help or "").split("\n")[0].endswith(".")
    for parameter in command.params:
        assert parameter.name == "help" or parameter.help, f"{path}: {parameter.name}"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["config", "--json"], ["config", "--json", "-"]),
        (["config", "--json", "-"], ["config", "--json", "-"]),
        (["bench", "--json", "a.json", "--entries", "5"], ["bench", "--json", "a.json", "--entries", "5"]),
        (["bench", "--json", "--entries", "5"], ["bench", "--json", "-", "--entries", "5"]),
        (["config"], ["config"]),
    ],
)
def test_json_without_a_file_is_stdout(given: list[str], read: list[str]) -> None:
    assert with_json_file(given) == read


def test_an_argument_that_json_took_for_its_file_is_said() -> None:
    done = CliRunner().invoke(app, ["inspect", "--json", "a query"], env={"COLUMNS": "200"})
    assert done.exit_code == ExitCode.USAGE
    assert "--json took 'a query' as its file" in done.output
    assert "--json" not in CliRunner().invoke(app, ["inspect"], env={"COLUMNS": "200"}).output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInputError("x"), 2),
        (ConfigurationError("x"), 3),
        (MissingExtraError("x", "cli"), 3),
        (StoreUnavailableError("x"), 4),
        (EmbeddedRedisError("x"), 4),
        (RerankServiceError("x"), 4),
        (RerankerError("x"), 1),
        (RuntimeError("x"), 1),
    ],
)
def test_errors_have_exit_codes(error: Exception, code: int) -> None:
    assert code_of(error) is ExitCode(code)


class TestErrors:
    @pytest.fixture
    def failing(self) -> Callable[[BaseException], typer.Typer]:
        """An application with one command that raises this."""

        def failing(error: BaseException) -> typer.Typer:
            application = typer.Typer(cls=Commands)

            @application.callback()
            def options(traceback: bool = False) -> None:
                pass

            @application.command()
            def fail() -> None:
                raise error

            return application

        return failing

    def test_an_error_of_ours_is_its_message(self, failing: Callable[[BaseException], typer.Typer]) -> None:
        done = CliRunner().invoke(failing(SemcacheError("this; do that [x]")), ["fail"])
        assert (done.exit_code, done.stderr, done.stdout) == (1, "this; do that [x]\n", "")

    def test_a_file_that_cannot_be_written_is_named(self, failing: Callable[[BaseException], typer.Typer]) -> None:
        done = CliRunner().invoke(failing(PermissionError(13, "Permission denied", "a.json")), ["fail"])
        assert (done.exit_code, done.stderr) == (1, "a.json: Permission denied\n")

    def test_an_unexpected_one_is_a_line_and_says_how_to_see_more(
        self, failing: Callable[[BaseException], typer.Typer]
    ) -> None:
        application = failing(KeyError("shape"))
        done = CliRunner().invoke(application, ["fail"])
        assert done.exit_code == 1
        [line] = done.stderr.splitlines()
        assert line.startswith("KeyError: 'shape'; run semcache --traceback")
        assert isinstance(CliRunner().invoke(application, ["--traceback", "fail"]).exception, KeyError)

    def test_ctrl_c_is_130(self, failing: Callable[[BaseException], typer.Typer]) -> None:
        assert CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"]).exit_code == ExitCode.INTERRUPTED

    @pytest.mark.parametrize("arguments", [["bogus"], ["config", "--bogus"], ["breaker", "close"]])
    def test_wrong_usage_is_2(self, arguments: list[str]) -> None:
        assert CliRunner().invoke(app, arguments).exit_code == ExitCode.USAGE


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "from semcache.commands import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"_SEMCACHE_COMPLETE": "complete_bash", "COMP_WORDS": "semcache do", "COMP_CWORD": "1"}, "doctor"),
        ({"_SEMCACHE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "semcache bench --ent"}, "--entries"),
        ({"_SEMCACHE_COMPLETE": "source_bash"}, "complete -o default -F _semcache_completion semcache"),
    ],
)
def test_the_shell_completes(environment: dict[str, str], expected: str) -> None:
    assert expected in run_python(**environment).stdout


def test_without_a_terminal_there_are_no_colours(tmp_path: Path) -> None:
    for arguments in (["config"], ["--help"]):
        assert "\x1b" not in run_python(*arguments, TERM="xterm-256color").stdout
