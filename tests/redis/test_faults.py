"""Redis frozen, gone, full, locked, without search, or shared with others at the wrong moment."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from semcache.errors import IndexMismatchError, StoreError, StoreUnavailableError
from semcache.events import CacheRecovered, CacheUnavailable, EntriesEstimated, IndexCreated
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from tests.redis.conftest import DIMS, LAYOUT, fingerprint, server_pid, vector
from tests.scripted import PATIENCE_S, Stopwatch

A = fingerprint(1)
WRITE: tuple[Any, ...] = ("", "q", vector(1), [(A, 1.0)])


def delay_of(call: Callable[[], object], watch: Stopwatch) -> float:
    """How long a call waits that ends in StoreUnavailableError, in seconds."""
    start = watch.seconds
    with pytest.raises(StoreUnavailableError):
        call()
    return watch.seconds - start


class TestFrozen:
    def test_one_timeout_and_then_nothing_until_it_answers_again(self, own_server: EmbeddedRedis) -> None:
        events: list[Any] = []
        back = threading.Event()

        def on_event(event: Any) -> None:
            events.append(type(event))
            if isinstance(event, CacheRecovered):
                back.set()

        with (
            RedisConnection(own_server.url, budget_s=5, timeout_s=0.3, on_event=on_event) as connection,
            Stopwatch() as watch,
        ):
            store = RedisStore(connection, **LAYOUT)
            store.remember(*WRITE)
            os.kill(pid := server_pid(own_server), signal.SIGSTOP)
            start = time.perf_counter()
            assert delay_of(lambda: store.read_exact("", "q"), watch) < 0.58  # a retry would double it
            assert time.perf_counter() - start > 0.29
            until = time.monotonic() + 0.6  # several probes
            while time.monotonic() < until:
                assert delay_of(lambda: store.find_neighbours("", vector(1), 4), watch) < 0.2
            os.kill(pid, signal.SIGCONT)
            assert back.wait(PATIENCE_S)
            assert store.read_exact("", "q") == {A: 1.0}
            assert events == [CacheUnavailable, CacheRecovered]

    def test_threads_wait_together_and_then_not_at_all(self, own_server: EmbeddedRedis) -> None:
        with (
            RedisConnection(own_server.url, timeout_s=0.2) as connection,
            ThreadPoolExecutor(8) as pool,
            Stopwatch() as watch,
        ):
            store = RedisStore(connection, **LAYOUT)
            os.kill(server_pid(own_server), signal.SIGSTOP)
            delays = list(pool.map(lambda _: delay_of(lambda: store.read_exact("", "q"), watch), range(80)))
            assert watch.seconds < 1
            assert sum(delay > 0.15 for delay in delays) <= 8

    async def test_an_event_loop_waits_no_longer(self, own_server: EmbeddedRedis) -> None:
        async with RedisConnection(own_server.url, timeout_s=0.5) as connection:
            store = AsyncRedisStore(connection, **LAYOUT)
            await store.remember(*WRITE)
            os.kill(server_pid(own_server), signal.SIGSTOP)
            with Stopwatch() as watch:
                answers = await asyncio.gather(*(store.read_exact("", "q") for _ in range(20)), return_exceptions=True)
                assert watch.seconds < 0.95
            with pytest.raises(StoreUnavailableError, match="left alone"):
                await store.read_exact("", "q")
            assert all(isinstance(answer, StoreUnavailableError) for answer in answers)

    async def test_a_cancelled_call_leaves_a_clean_connection(self, own_server: EmbeddedRedis) -> None:
        async with RedisConnection(own_server.url, timeout_s=10) as connection:
            store = AsyncRedisStore(connection, **LAYOUT)
            await store.remember(*WRITE)
            os.kill(pid := server_pid(own_server), signal.SIGSTOP)
            reads = [asyncio.create_task(store.read_vector("", "q")) for _ in range(5)]
            await asyncio.wait(reads, timeout=0.05)
            for read in reads:
                read.cancel()
            await asyncio.wait(reads)
            os.kill(pid, signal.SIGCONT)
            assert all(read.cancelled() for read in reads)
            assert await store.read_exact("", "q") == {A: 1.0}


class TestGone:
    def test_before_it_was_there(self, tmp_path: Path) -> None:
        with RedisConnection(f"unix://{tmp_path}/nobody.sock") as connection:
            store = RedisStore(connection, **LAYOUT)
            with pytest.raises(StoreUnavailableError, match=r"nobody\.sock cannot be reached: .*check that Redis runs"):
                store.read_exact("", "q")
            with pytest.raises(StoreUnavailableError, match="left alone"):
                store.find_neighbours("", vector(1), 1)

    def test_a_closed_port(self) -> None:
        with RedisConnection("redis://localhost:1/0") as connection, pytest.raises(StoreUnavailableError):
            RedisStore(connection, **LAYOUT).read_exact("", "q")

    def test_dropped_connections_are_replaced_at_once(
        self, redis_url: str, client: redis.Redis, namespace: str
    ) -> None:
        with RedisConnection(redis_url) as connection:
            store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
            store.remember(*WRITE)
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert store.read_exact("", "q") == {A: 1.0}

    async def test_dropped_connections_of_a_loop_too(self, redis_url: str, client: redis.Redis, namespace: str) -> None:
        async with RedisConnection(redis_url) as connection:
            store = AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace})
            await store.remember(*WRITE)
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert await store.read_exact("", "q") == {A: 1.0}
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert len(await store.find_neighbours("", vector(1), 4)) == 1

    def test_everything_flushed_away(self, own_server: EmbeddedRedis) -> None:
        events: list[Any] = []
        with RedisConnection(own_server.url, timeout_s=10) as connection:
            store = RedisStore(connection, **LAYOUT, on_event=events.append)
            store.remember(*WRITE)
            connection.client.flushall()
            connection.client.script_flush()
            assert store.read_exact("", "q") is None
            assert store.remember(*WRITE)
            assert store.find_neighbours("", vector(1), 1) is not None
            kinds = [type(event) for event in events]
            # An estimate of the entries comes with the first search of a minute.
            assert [kind for kind in kinds if kind is not EntriesEstimated] == [IndexCreated, IndexCreated]
            store.remember("", "p", vector(2), [(A, 2.0)])
            assert store.find_neighbours("", vector(2), 1)[0].scores == {A: 2.0}

    def test_a_restarted_server_has_everything(self, tmp_path: Path) -> None:
        for start in range(2):
            with EmbeddedRedis(tmp_path) as server, RedisConnection(server.url, timeout_s=10) as connection:
                store = RedisStore(connection, **LAYOUT)
                assert (store.read_exact("", "q") is not None) == (start == 1)
                assert len(store.find_neighbours("", vector(1), 1)) == start
                store.remember(*WRITE)


class TestMisfit:
    @pytest.mark.parametrize(
        ("other", "says"),
        [
            ({"dims": DIMS * 2}, f"has dim {DIMS}, but {DIMS * 2} is needed"),
            ({"vector_type": "float32"}, "has data_type FLOAT16, but float32 is needed"),
        ],
    )
    def test_an_index_that_does_not_fit_is_an_error(
        self, redis_url: str, namespace: str, other: dict[str, Any], says: str
    ) -> None:
        layout = {**LAYOUT, "namespace": namespace}
        with RedisConnection(redis_url) as connection:
            RedisStore(connection, **layout).remember(*WRITE)
            theirs = RedisStore(connection, **{**layout, **other})
            theirs_vector = np.eye(1, other.get("dims", DIMS), dtype=np.float32)[0]
            with pytest.raises(IndexMismatchError, match=says):
                theirs.remember("", "q", theirs_vector, WRITE[3])
            with pytest.raises(IndexMismatchError, match=says):
                theirs.find_neighbours("", theirs_vector, 1)
            assert theirs.remember("", "q", None, WRITE[3]), "scores alone are in no index"

    async def test_one_that_replaces_another_while_that_is_in_use_is_told_of(
        self, make_store: Any, client: redis.Redis, namespace: str
    ) -> None:
        store = make_store()
        await store.remember(*WRITE)
        assert await store.find_neighbours("", vector(1), 1)
        (name,) = (index for index in client.execute_command("FT._LIST") if namespace.encode() in index)
        client.execute_command("FT.DROPINDEX", name)
        schema = ("embedding", "VECTOR", "FLAT", 6, "TYPE", "FLOAT32", "DIM", DIMS * 3, "DISTANCE_METRIC", "COSINE")
        client.execute_command("FT.CREATE", name, "PREFIX", 1, name + b":v:", "SCHEMA", *schema)
        assert await store.find_neighbours("", vector(1), 1) == []
        for _ in range(2):
            with pytest.raises(IndexMismatchError, match="use another namespace, or remove the old index"):
                await store.find_neighbours("", vector(1), 1)
        client.execute_command("FT.DROPINDEX", name)
        await store.find_neighbours("", vector(1), 1)  # creates it, and is not sure to find what is being indexed
        await store.remember("", "q2", vector(2), WRITE[3])
        assert await store.find_neighbours("", vector(2), 1)

    def test_no_search_module(self, plain_url: str) -> None:
        with RedisConnection(plain_url.format(":right@")) as connection:
            store = RedisStore(connection, **LAYOUT)
            assert store.read_exact("", "q") is None
            with pytest.raises(StoreError, match=r"has no search module: .*use Redis 8 or Redis Stack") as caught:
                store.find_neighbours("", vector(1), 1)
            assert "right" not in str(caught.value)
            with pytest.raises(StoreError, match="has no search module"):  # at once, not "left alone"
                store.remember(*WRITE)

    @pytest.mark.parametrize("login", ["", ":wr0ng@", "nobody:wr0ng@"])
    def test_a_wrong_password_is_named_but_not_shown(self, plain_url: str, login: str) -> None:
        with RedisConnection(plain_url.format(login)) as connection:
            with pytest.raises(StoreError, match=r"refused the user name or password: .*correct them") as caught:
                RedisStore(connection, **LAYOUT).read_exact("", "q")
            assert not isinstance(caught.value, StoreUnavailableError)
            assert "wr0ng" not in f"{caught.value!r} {connection!r}"

    async def test_a_wrong_password_in_an_event_loop(self, plain_url: str) -> None:
        async with RedisConnection(plain_url.format(":wr0ng@")) as connection:
            with pytest.raises(StoreError, match="refused the user name or password"):
                await AsyncRedisStore(connection, **LAYOUT).find_neighbours("", vector(1), 1)

    def test_a_full_server(self, own_server: EmbeddedRedis) -> None:
        with RedisConnection(own_server.url) as connection:
            store = RedisStore(connection, **LAYOUT)
            store.find_neighbours("", vector(1), 1)
            connection.client.config_set("maxmemory", 1)
            with pytest.raises(StoreError, match=r"is full: .*raise maxmemory"):
                store.remember(*WRITE)
            assert store.read_exact("", "q") is None

    def test_a_user_without_rights(self, own_server: EmbeddedRedis) -> None:
        with redis.Redis.from_url(own_server.url) as admin:
            admin.acl_setuser("reader", enabled=True, passwords=["+pw"], commands=["+getrange"], keys=["*"])
        with RedisConnection(own_server.url.replace("unix://", "unix://reader:pw@")) as connection:
            store = RedisStore(connection, **LAYOUT)
            assert store.read_exact("", "q") is None
            with pytest.raises(
                StoreError, match=r"(?i)no permissions for ft.search; allow them with ACL SETUSER reader \+ft.search"
            ):
                store.find_neighbours("", vector(1), 1)

    def test_keys_of_another_kind(self, redis_url: str, client: redis.Redis, namespace: str) -> None:
        with RedisConnection(redis_url) as connection:
            store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
            store.remember(*WRITE)
            (key,) = client.keys(f"semcache:{namespace}:*:s:*")
            client.delete(key)
            client.lpush(key, "x")
            assert store.read_exact("", "q") is None
            assert not client.exists(key)
            assert store.remember(*WRITE)
            assert store.read_exact("", "q") == dict(WRITE[3])


class TestTogether:
    def test_writers_of_one_new_query_lose_nothing(self, redis_url: str, namespace: str) -> None:
        writers = 8
        together = threading.Barrier(writers)

        def write(writer: int) -> None:
            with RedisConnection(redis_url, timeout_s=10) as connection:
                store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
                for query in range(20):
                    together.wait()
                    assert store.remember("", str(query), vector(query), [(fingerprint(writer), float(writer))])

        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(write, range(writers)))
        with RedisConnection(redis_url) as connection:
            store = RedisStore(connection, **{**LAYOUT, "namespace": namespace})
            expected = {fingerprint(writer): float(writer) for writer in range(writers)}
            assert store.read_exact_many("", list(map(str, range(20)))) == [expected] * 20
            assert store.count() == 20

    async def test_tasks_share_a_store(self, redis_url: str, namespace: str) -> None:
        async with RedisConnection(redis_url, timeout_s=10) as connection:
            store = AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace})
            await asyncio.gather(
                *(store.remember("", "q", vector(1), [(fingerprint(number), 1.0)]) for number in range(64))
            )
            assert await store.read_exact("", "q") == {fingerprint(number): 1.0 for number in range(64)}

    def test_a_store_serves_one_loop_after_another(self, redis_url: str, namespace: str) -> None:
        connection = RedisConnection(redis_url)
        store = AsyncRedisStore(connection, **{**LAYOUT, "namespace": namespace})

        async def write_and_read(number: int) -> object:
            await store.remember("", "q", vector(1), [(fingerprint(number), 1.0)])
            try:
                return await store.read_exact("", "q")
            finally:
                await connection.aclose()

        seen = [asyncio.run(write_and_read(number)) for number in range(3)]
        assert seen[-1] == {fingerprint(number): 1.0 for number in range(3)}
