"""Which redis-server and search module are taken, and the error where there is none."""

import threading
from pathlib import Path

import pytest
import redis

from semcache.errors import EmbeddedRedisError, MissingExtraError
from semcache.redis.server import files as server_files
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.server.files import find_server_files


def fake_server(folder: Path, script: str, has_module: bool = True) -> str:
    """A PATH with a redis-server that is a shell script, and a search module where Redis 8 has it."""
    (folder / "bin").mkdir()
    server = folder / "bin" / "redis-server"
    server.write_text(f"#!/bin/sh\n{script}\n")
    server.chmod(0o755)
    if has_module:
        (folder / "lib" / "redis" / "modules").mkdir(parents=True)
        (folder / "lib" / "redis" / "modules" / "redisearch.so").symlink_to(find_server_files().search_module)
    return str(folder / "bin")


def version(number: str) -> str:
    """A line of shell that answers ``--version`` as that version would."""
    return f'[ "$1" = --version ] && echo "Redis server v={number} sha=00000000:0" && exit'


class TestFinding:
    def test_what_it_printed_is_passed_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", fake_server(tmp_path, version("8.0.1") + "\necho the cat ate my sockets"))
        before = threading.active_count()
        with pytest.raises(EmbeddedRedisError, match="did not come up; it printed:\nthe cat ate my sockets"):
            EmbeddedRedis().start()
        assert threading.active_count() == before

    def test_a_server_8_with_search_on_path_is_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = find_server_files().server
        path = fake_server(tmp_path, f'{version("8.2.3")}\nexec {real} "$@"')
        monkeypatch.setenv("PATH", path)
        assert find_server_files().server == Path(path) / "redis-server"
        with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
            assert b"search" in [module[b"name"] for module in client.module_list()]

    @pytest.mark.parametrize(
        ("script", "has_module"),
        [
            ("echo Redis server v=7.0.15", True),
            ("echo Redis server v=8.2.3", False),
            ("echo what", True),
            ("exit 1", True),
        ],
    )
    def test_any_other_on_path_is_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, has_module: bool
    ) -> None:
        wheels = find_server_files()
        monkeypatch.setenv("PATH", fake_server(tmp_path, script, has_module))
        assert find_server_files() == wheels

    def test_a_file_that_cannot_run_is_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wheels = find_server_files()
        path = fake_server(tmp_path, "")
        (Path(path) / "redis-server").write_bytes(b"\x7fELF")
        monkeypatch.setenv("PATH", path)
        assert find_server_files() == wheels

    def test_without_any_the_error_names_the_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(server_files, "SERVER_WHEEL", "no_such_package")
        with pytest.raises(MissingExtraError, match=r"pip install 'redis-semcache\[embedded\]'"):
            EmbeddedRedis().start()

    def test_a_damaged_wheel_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(server_files, "SERVER_WHEEL", "json")
        with pytest.raises(EmbeddedRedisError, match="json/bin/redis-server is missing; run: pip install"):
            EmbeddedRedis().start()
