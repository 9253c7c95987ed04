"""Settings in tests come only from the test itself."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A working directory without .env, and an environment without variables of semcache."""
    for name in [name for name in os.environ if name.upper().startswith("SEMCACHE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
