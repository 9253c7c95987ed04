"""A connection shows no secrets, keeps its own options, and shares one embedded server."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from semcache.errors import StoreError
from semcache.events import EntriesEstimated, Event, IndexCreated, OptionIgnored
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore
from tests.redis.conftest import LAYOUT, fingerprint, vector, wait_for_end
from tests.scripted import PATIENCE_S

A = fingerprint(1)


class TestConnections:
    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://user:secret@host:6380/0", "redis://host:6380"),
            ("redis://host?password=secret", "redis://host:6379"),
            ("unix://user:secret@/tmp/s?password=secret", "unix:///tmp/s"),
            ("rediss://:secret@[::1]:1?password=secret", "rediss://[::1]:1"),
        ],
    )
    def test_no_secret_is_shown(self, url: str, shown: str) -> None:
        with RedisConnection(url) as connection:
            store = RedisStore(connection, **LAYOUT)
            assert repr(connection) == f"<RedisConnection to Redis at {shown}>"
            assert "secret" not in repr(store)
            assert shown in repr(store)

    def test_options_of_the_url_that_are_semcaches_own_change_nothing_and_are_told(
        self, redis_url: str, namespace: str
    ) -> None:
        events: list[Event] = []
        options = "decode_responses=True&protocol=3&socket_timeout=0.000001&retry_on_timeout=yes&max_connections=1"
        with RedisConnection(f"{redis_url}?{options}&client_name=app", on_event=events.append) as connection:
            store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
            store.remember("", "q", vector(1), [(A, 1.0)])
            assert store.read_exact("", "q") == {A: 1.0}
            assert store.find_neighbours("", vector(1), 1)[0].scores == {A: 1.0}
            assert connection.client.client_getname() == "app"
        ignored = {event.option: event.instead for event in events if isinstance(event, OptionIgnored)}
        assert ignored.keys() == {
            "decode_responses",
            "protocol",
            "socket_timeout",
            "retry_on_timeout",
            "max_connections",
        }
        assert ignored["socket_timeout"] == "set redis.timeout_s (SEMCACHE_REDIS__TIMEOUT_S)"

    async def test_they_change_nothing_in_an_event_loop(self, redis_url: str, namespace: str) -> None:
        async with RedisConnection(f"{redis_url}?decode_responses=True&protocol=3") as connection:
            store = AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace})
            await store.remember("", "q", vector(1), [(A, 1.0)])
            assert await store.read_exact("", "q") == {A: 1.0}
            assert (await store.find_neighbours("", vector(1), 1))[0].scores == {A: 1.0}

    async def test_a_burst_on_a_new_scope_creates_its_index_once(self, redis_url: str, namespace: str) -> None:
        events: list[Event] = []
        async with RedisConnection(redis_url, timeout_s=10) as connection:
            store = AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace}, on_event=events.append)
            before = connection.client.info("stats")["total_connections_received"]
            found = await asyncio.gather(*(store.find_neighbours("", vector(seed), 1) for seed in range(50)))
            opened = connection.client.info("stats")["total_connections_received"] - before
        assert found == [[]] * 50
        assert [type(event) for event in events if not isinstance(event, EntriesEstimated)] == [IndexCreated]
        # Four of the loop and one for the creation.
        assert opened <= 5

    async def test_a_task_that_is_cancelled_does_not_take_the_index_from_the_others(
        self, redis_url: str, namespace: str
    ) -> None:
        async with RedisConnection(redis_url, timeout_s=10) as connection:
            store = AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace})
            tasks = [asyncio.create_task(store.remember("", f"q{at}", vector(at), [(A, 1.0)])) for at in range(3)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert await store.read_exact("", "q2") == {A: 1.0}

    def test_an_embedded_server_that_was_killed_is_started_again(self) -> None:
        with RedisConnection("embedded", retry_after_s=0.001, max_retry_after_s=0.001) as connection:
            pid = int(connection.client.info("server")["process_id"])
            os.kill(pid, signal.SIGKILL)
            wait_for_end(pid)
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                with suppress(StoreError):
                    assert connection.execute((("PING",),)) == [b"PONG"]
                    break
            assert int(connection.client.info("server")["process_id"]) != pid

    def test_embedded_is_one_server_for_all_until_the_last_has_closed(self) -> None:
        with RedisConnection("embedded") as first:
            second = RedisConnection("embedded")
            assert first.where == second.where
            RedisStore(first, **LAYOUT).remember("", "q", vector(1), [(A, 1.0)])
            assert RedisStore(second, **LAYOUT).read_exact("", "q") == {A: 1.0}
            socket = Path(first.where.removeprefix("Redis at unix://"))
            second.close()
            second.close()
            assert socket.exists()
        assert not socket.exists()
        with RedisConnection("embedded") as third:
            assert third.where != first.where
