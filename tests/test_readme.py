"""Every code block of the README is run, and every setting it names exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from semcache.settings import Settings, explain

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]


def test_there_is_no_block_that_no_test_knows() -> None:
    assert {language for language, _ in BLOCKS} == {"console", "python", "yaml"}


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(code: str, redis_url: str, namespace: str) -> None:
    environment = {**os.environ, "SEMCACHE_REDIS_URL": redis_url, "SEMCACHE_NAMESPACE": namespace}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_yaml_blocks_are_settings() -> None:
    for language, text in BLOCKS:
        if language == "yaml":
            Settings(**yaml.safe_load(text))


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for target in re.findall(r"make (\w[\w-]*)", "".join(code for language, code in BLOCKS if language == "console")):
        assert f"\n{target}:" in makefile


def test_every_variable_of_the_table_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"SEMCACHE_TTL": "60", "SEMCACHE_SIMILARITY_THRESHOLD": "0.98", "SEMCACHE_REUSE__REUSE_THRESHOLD": "0.7"}
    rows = re.findall(r"^\| `(SEMCACHE_\w+)` \| .* \| (?:`(.+)`|([\d.]+)) \|$", README, re.MULTILINE)
    assert len(rows) == 10
    effective = {line.setting: line.value for line in explain(Settings())}
    for variable, text, number in rows:
        monkeypatch.setenv(variable, values.get(variable, text or number))
        assert (text or float(number)) in effective.values()
    Settings()
