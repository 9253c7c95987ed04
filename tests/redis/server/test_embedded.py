"""A server that comes up, answers, and leaves nothing behind, however its owner ends."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redis

from semcache.errors import EmbeddedRedisError
from semcache.redis.server.embedded import EmbeddedRedis
from tests.redis.conftest import parent_pid, private_directory, server_pid, wait_for_end

OWNER = """
import os, re, sys, threading
import redis
from semcache.redis.server.embedded import EmbeddedRedis
{start}
with redis.Redis.from_url(server.url) as client:
    pid = client.info("server")["process_id"]
watcher = re.search(r"PPid:\\s*(\\d+)", open(f"/proc/{{pid}}/status").read())[1]
print(watcher, pid, server.url, flush=True)
{then}
"""
START_HERE = "server = EmbeddedRedis().start()"
START_IN_A_THREAD_THAT_ENDS = """
server = EmbeddedRedis()
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
"""
WAIT = "sys.stdin.read()"


class Owner:
    """A process of its own that started an embedded server."""

    def __init__(self, start: str = START_HERE, then: str = WAIT) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER.format(start=start, then=then)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        watcher, server, url = self.process.stdout.readline().split()
        self.watcher, self.server, self.url = int(watcher), int(server), url.decode()
        self.private = Path(self.url.removeprefix("unix://")).parent

    def nothing_is_left(self) -> bool:
        """Wait until all three processes have ended; whether the private directory is gone, too."""
        self.process.communicate()
        wait_for_end(self.watcher)
        wait_for_end(self.server)
        return not self.private.exists()


def is_running(pid: int) -> bool:
    """Whether a process of this number exists, ended but not yet waited for included."""
    return Path(f"/proc/{pid}").exists()


class TestUse:
    def test_it_answers_and_searches(self, own_server: EmbeddedRedis) -> None:
        with redis.Redis.from_url(own_server.url) as client:
            assert client.ping()
            assert client.execute_command("FT._LIST") == []

    def test_only_this_user_can_reach_it(self, own_server: EmbeddedRedis) -> None:
        directory = Path(own_server.url.removeprefix("unix://")).parent
        assert directory.stat().st_mode & 0o777 == 0o700

    def test_nothing_is_left_when_the_block_ends(self) -> None:
        with EmbeddedRedis() as server:
            private, pid = private_directory(server), server_pid(server)
            watcher = parent_pid(pid)
        assert not private.exists()
        assert not is_running(watcher)
        assert not is_running(pid)

    async def test_it_works_in_an_event_loop(self) -> None:
        async with EmbeddedRedis() as server:
            async with redis.asyncio.Redis.from_url(server.url) as client:
                assert await client.ping()
            private = private_directory(server)
        assert not private.exists()

    def test_starting_and_closing_twice_is_harmless(self) -> None:
        server = EmbeddedRedis()
        assert server.start().url == server.start().url
        server.close()
        server.close()
        assert repr(server) == "<EmbeddedRedis not running>"
        with pytest.raises(EmbeddedRedisError, match="not running; call start"):
            server.url  # noqa: B018 - the property raises

    def test_it_can_be_started_again(self) -> None:
        server = EmbeddedRedis()
        for _ in range(2):
            with server, redis.Redis.from_url(server.url) as client:
                assert client.ping()

    def test_one_that_was_killed_is_started_again_at_the_same_url(self, own_server: EmbeddedRedis) -> None:
        assert not own_server.revive(), "it runs"
        url, pid = own_server.url, server_pid(own_server)
        watcher = parent_pid(pid)
        os.kill(pid, signal.SIGKILL)
        wait_for_end(watcher)
        assert own_server.revive()
        assert own_server.url == url
        assert server_pid(own_server) != pid
        private = private_directory(own_server)
        own_server.close()
        assert not private.exists()

    def test_one_that_was_closed_is_not_started_again(self) -> None:
        with EmbeddedRedis() as server:
            pass
        assert not server.revive()
        assert not EmbeddedRedis().revive()

    def test_a_frozen_server_is_removed_too(self) -> None:
        with EmbeddedRedis() as server:
            private = private_directory(server)
            os.kill(server_pid(server), signal.SIGSTOP)
        assert not private.exists()

    def test_a_forgotten_one_ends_with_its_object(self) -> None:
        private = private_directory(EmbeddedRedis().start())
        gc.collect()
        assert not private.exists()

    def test_a_long_temporary_directory_gets_a_short_socket(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long = tmp_path / ("x" * 100)
        long.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(long))
        with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
            assert client.ping()
        assert list(long.iterdir()) == []

    def test_a_directory_with_odd_characters_makes_a_good_url(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odd = tmp_path / "a b%20?#"
        odd.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(odd))
        with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
            assert client.ping()


class TestNothingIsLeftBehind:
    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_after_a_signal(self, end: signal.Signals) -> None:
        owner = Owner()
        owner.process.send_signal(end)
        assert owner.nothing_is_left()

    def test_after_the_interpreter_ends(self) -> None:
        assert Owner(then="").nothing_is_left()

    def test_after_a_crash(self) -> None:
        assert Owner(then="os.abort()").nothing_is_left()

    def test_after_os_exit(self) -> None:
        assert Owner(then="os._exit(3)").nothing_is_left()

    def test_when_a_forked_child_lives_on(self) -> None:
        child = "child = os.fork()\nif child: print(child, flush=True)\nsys.stdin.read()"
        owner = Owner(then=child)
        assert owner.process.stdout is not None
        assert owner.process.stdin is not None
        forked = int(owner.process.stdout.readline())
        owner.process.kill()
        wait_for_end(owner.watcher)
        assert not owner.private.exists()
        os.kill(forked, 0)  # it is still there
        assert owner.nothing_is_left()

    def test_a_forked_child_that_ends_leaves_the_server_alone(self) -> None:
        child = "if not os.fork(): sys.exit()\nos.wait()\nsys.stdin.read()"
        owner = Owner(then=child)
        with redis.Redis.from_url(owner.url) as client:
            assert client.ping()
        owner.process.kill()
        assert owner.nothing_is_left()

    def test_when_the_watcher_is_killed(self) -> None:
        with EmbeddedRedis() as server:
            pid = server_pid(server)
            os.kill(parent_pid(pid), signal.SIGKILL)
            wait_for_end(pid)

    def test_when_the_watcher_is_told_to_stop(self) -> None:
        with EmbeddedRedis() as server:
            private, watcher = private_directory(server), parent_pid(server_pid(server))
            os.kill(watcher, signal.SIGTERM)
            wait_for_end(watcher)
            assert not private.exists()

    def test_the_thread_that_started_it_may_end(self) -> None:
        owner = Owner(start=START_IN_A_THREAD_THAT_ENDS)
        with redis.Redis.from_url(owner.url) as client:
            assert client.ping()
        owner.process.kill()
        assert owner.nothing_is_left()

    def test_the_users_signal_handlers_stay(self) -> None:
        before = {number: signal.getsignal(number) for number in signal.valid_signals()}
        with EmbeddedRedis():
            assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


class TestPersistence:
    def test_data_survive_a_restart(self, tmp_path: Path) -> None:
        for _ in range(2):
            with EmbeddedRedis(tmp_path / "data") as server, redis.Redis.from_url(server.url) as client:
                client.incr("starts")
        with EmbeddedRedis(str(tmp_path / "data")) as server, redis.Redis.from_url(server.url) as client:
            assert client.get("starts") == b"2"
        assert repr(server) == f"<EmbeddedRedis not running, directory={str(tmp_path / 'data')!r}>"

    def test_one_server_at_a_time(self, tmp_path: Path) -> None:
        with EmbeddedRedis(tmp_path), pytest.raises(EmbeddedRedisError, match="in use by another embedded Redis"):
            EmbeddedRedis(tmp_path).start()
        with EmbeddedRedis(tmp_path):
            pass

    def test_an_unusable_directory_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(EmbeddedRedisError, match=r"cannot use .*file/data .*give a directory"):
            EmbeddedRedis(tmp_path / "file" / "data").start()
