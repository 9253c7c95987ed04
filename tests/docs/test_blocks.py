"""Every block of code on a page is run, or checked against what it names."""

import logging
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute
from typer.main import get_command

from semcache.commands.app import app
from semcache.server import create_app
from semcache.settings import Settings
from semcache.settings.sources import variables
from tests.docs.pages import PAGES, ROOT, Block, blocks

# Pages whose Python needs a library that is not in .venv, or a server that runs: the tests that run it.
RUN_ELSEWHERE = {
    "README.md": "tests/test_readme.py",
    "README.zh-CN.md": "tests/test_readme.py",
    "docs/migrating.md": "tests/docs/test_migrating.py",
    "docs/integrations.md": "tests/integrations/test_examples.py",
    "docs/server.md": "tests/integrations/test_server.py",
}
CHECKED_BY_OTHERS = {"bash", "diff", ""}
FOREIGN_PROGRAMS = {"curl", "docker", "gunicorn", "kubectl", "pip", "python", "redis-cli", "uvicorn"}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_there_is_no_language_that_no_test_knows() -> None:
    assert {block.language for block in blocks()} <= {"python", "yaml", "console", "text"} | CHECKED_BY_OTHERS


@pytest.mark.parametrize("page", PAGES)
def test_blocks_in_lists_are_indented_as_the_site_reads_them(page: str) -> None:
    """By four spaces: with fewer, Python-Markdown ends the list, and counts from 1 again after the block."""
    assert {len(indent) % 4 for indent in re.findall(r"^( *)```", PAGES[page], re.MULTILINE)} <= {0}


def test_pages_that_are_run_elsewhere_are_named_there() -> None:
    for page, test in RUN_ELSEWHERE.items():
        if page in PAGES:
            assert Path(page).name in (ROOT / test).read_text()


@pytest.mark.parametrize("block", [b for b in blocks("python") if b.page not in RUN_ELSEWHERE], ids=str)
def test_python_runs(
    block: Block, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
    # A page may set logging up.
    for logger in (logging.getLogger(), logging.getLogger("semcache")):
        monkeypatch.setattr(logger, "handlers", [*logger.handlers])
        monkeypatch.setattr(logger, "level", logger.level)
    exec(compile(block.code, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if "apiVersion" not in b.code], ids=str)
def test_yaml_is_of_settings(block: Block) -> None:
    values = yaml.safe_load(block.code)
    assert values
    Settings(**values)


def test_kubernetes_asks_routes_and_sets_settings_that_there_are() -> None:
    (block,) = [block for block in blocks("yaml") if "apiVersion" in block.code]
    pod = yaml.safe_load(block.code)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probes = {container[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes <= {route.path for route in create_app(settings=Settings()).routes if isinstance(route, APIRoute)}
    assert {one["name"] for one in container["env"]} <= {*variables(Settings), "OMP_NUM_THREADS"}
    assert [port["containerPort"] for port in container["ports"]] == [Settings().server.port]
    (_, pause_s) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > Settings().server.shutdown_s + float(pause_s)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command line of the pages, without its comment, in words: programs, their arguments, and settings."""
    for block in blocks("console"):
        for line in re.findall(r"^\$ (.+)$", block.code, re.MULTILINE):
            yield str(block), shlex.split(line.partition(" | ")[0], comments=True)


@pytest.mark.parametrize(("where", "words"), list(commands()))
def test_commands_exist(where: str, words: list[str]) -> None:
    words = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    if words[0] == "semcache":
        check_semcache(words[1:])
    elif words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(), where
    else:
        assert words[0] in FOREIGN_PROGRAMS, where


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_exist(page: str) -> None:
    for line in re.findall(r"`semcache ([^`]+)`", PAGES[page]):
        check_semcache(shlex.split(line))


def check_semcache(words: list[str]) -> None:
    """The subcommand and every option are there; positional arguments are not looked at."""
    command: Any = get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    given = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert given <= known | {"-h", "--help"}


@pytest.mark.parametrize("page", PAGES)
def test_extras_exist(page: str) -> None:
    for extras in re.findall(r"redis-semcache\[([\w,-]+)\]", PAGES[page]):
        assert set(extras.split(",")) <= EXTRAS.keys()
