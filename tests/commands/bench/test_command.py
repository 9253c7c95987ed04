"""``semcache bench`` as a process: what it prints, and what is left when it is stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from semcache.commands.bench.command import bench
from semcache.errors import InvalidInputError
from semcache.settings import Settings

Start = Callable[..., subprocess.Popen[str]]


# Importing a library of models fails: without models none may be needed.
_COMMAND = "import sys; sys.modules.update(torch=None, onnxruntime=None); from semcache.commands import main; main()"
_ARGUMENTS = ("bench", "--no-models", "--entries", "30", "--documents", "5")


def test_a_folder_that_is_not_there_is_reported_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="make it first"):
        bench(json_file=tmp_path / "missing" / "a.json")


class TestCommand:
    @pytest.fixture
    def command(self, settings: Settings, tmp_path: Path) -> Start:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SEMCACHE_")}
        environment = clean | {"SEMCACHE_REDIS_URL": settings.redis.url.get_secret_value(), "COLUMNS": "80"}

        def start(*arguments: str, **more: str) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, "-c", _COMMAND, *_ARGUMENTS, *arguments],
                env=environment | more,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

        return start

    def test_table_and_json(self, command: Start, unchanged: None, tmp_path: Path, client: redis.Redis) -> None:
        with command("--seconds", "0.02", "--json", "found.json") as process:
            shown, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        assert "exact hit / bare GET" in shown and "measuring look-ups" in complaints
        found = json.loads((tmp_path / "found.json").read_text())
        assert (found["entries"], found["documents"], found["seconds"]) == (30, 5, 0.02)
        assert found["machine"]["redis_server"] == client.info("server")["redis_version"]
        for what in ("semcache", "search_module", "python", "cpu"):
            assert found["machine"][what]
        assert found["machine"]["load_before"] >= 0
        assert found["timings"]["exact_hit"].keys() == {"n", "p50_ms", "p95_ms", "p99_ms"}
        assert found["ratios"]["exact_hit_to_get"] > 0

    def test_a_private_server(self, command: Start) -> None:
        with command("--seconds", "0.02", "--redis-url", "embedded", SEMCACHE_REDIS_URL="redis://nowhere:1") as process:
            shown, complaints = process.communicate(timeout=60)
        assert process.returncode == 0, complaints
        assert "unix://" in shown

    @pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
    def test_stopped_it_leaves_nothing(
        self, command: Start, unchanged: None, client: redis.Redis, stop: signal.Signals
    ) -> None:
        with command("--seconds", "60") as process:
            assert process.stderr is not None
            while "measuring look-ups" not in process.stderr.readline():
                assert process.poll() is None
            assert client.keys("semcache:bench-*")
            process.send_signal(stop)
            _, complaints = process.communicate(timeout=60)
        assert process.returncode == 130
        assert complaints.strip() == "stopped; what was stored is removed again"

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("--entries", "0"), 2, "entries must be from 1 to 1,000,000, got 0"),
            (("--redis-url", "redis://me:geheim@localhost:1"), 4, "check that Redis runs and the url is right"),
            (("--redis-url", "http://localhost"), 3, "use redis://host:port"),
        ],
    )
    def test_what_is_wrong_is_one_line(
        self, command: Start, arguments: tuple[str, ...], code: int, message: str
    ) -> None:
        with command(*arguments) as process:
            shown, complaints = process.communicate(timeout=60)
        assert process.returncode == code and shown == ""
        [line] = complaints.splitlines()
        assert message in line and "geheim" not in line
