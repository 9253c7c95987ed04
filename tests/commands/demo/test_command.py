"""``semcache demo`` with real models."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_command_with_real_models_ends_in_table_and_plot(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from semcache.commands import main; main()", "demo", "--requests", "20"],
        env=os.environ | {"COLUMNS": "80"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Requests by status" in done.stdout
    assert (tmp_path / "demo-latency.png").read_bytes().startswith(b"\x89PNG")
