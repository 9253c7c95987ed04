"""Every code block of the README is run. README.zh-CN.md has the same code (tests/docs/test_chinese.py).

What they name is checked with the other pages, in tests/docs.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]


def test_there_is_no_block_that_no_test_knows() -> None:
    assert {language for language, _ in BLOCKS} == {"console", "python"}


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_run(code: str, redis_url: str, namespace: str) -> None:
    environment = {**os.environ, "SEMCACHE_REDIS_URL": redis_url, "SEMCACHE_NAMESPACE": namespace}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_make_targets_exist() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for target in re.findall(r"make (\w[\w-]*)", "".join(code for language, code in BLOCKS if language == "console")):
        assert f"\n{target}:" in makefile
