"""Stores on the real server, sync and async behind one face, and what tests of processes need."""

import os
import select
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from semcache.protocols import FloatArray
from semcache.redis.client.connection import RedisConnection
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.server.files import find_server_files
from semcache.redis.store import AsyncRedisStore, RedisStore

DIMS = 16
MakeStore = Callable[..., Any]


class Awaited:
    """A RedisStore with the face of its asynchronous twin, so that one contract holds for both."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return method(*arguments, **named)

        return call


@pytest.fixture(params=["threads", "event loop"])
async def make_store(request: pytest.FixtureRequest, redis_url: str, namespace: str) -> AsyncIterator[MakeStore]:
    """Makes stores with awaitable methods in a namespace of their own; both kinds must behave alike."""
    async with RedisConnection(redis_url, timeout_s=10) as connection:

        def make(**options: Any) -> Any:
            layout = {
                "namespace": namespace,
                "reranker": "r",
                "embedder": "e",
                "dims": DIMS,
                "ttl_jitter": 0,
                **options,
            }
            if request.param == "threads":
                return Awaited(RedisStore(connection, **layout))
            return AsyncRedisStore(connection, **layout)

        yield make


@pytest.fixture
def store(make_store: MakeStore) -> Any:
    """A store with awaitable methods; made for threads, then made for event loops."""
    return make_store()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """A bare client of the same server, to look behind the store's back."""
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def own_server() -> Iterator[EmbeddedRedis]:
    """A server that a test may freeze, fill or kill."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def plain_url(tmp_path: Path) -> Iterator[str]:
    """A Redis without the search module that wants the password ``right``; its url names no password."""
    socket = tmp_path / "s"
    command = [
        find_server_files().server,
        "--port",
        "0",
        "--unixsocket",
        socket,
        "--save",
        "",
        "--requirepass",
        "right",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as server:
        assert server.stdout is not None
        assert any(b"Ready to accept connections" in line for line in server.stdout)
        yield f"unix://{{}}{socket}"
        server.kill()


def vector(seed: int) -> FloatArray:
    """The same unit vector for the same seed; different ones are far apart."""
    drawn = np.random.default_rng(seed).standard_normal(DIMS).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


def near(of: FloatArray, similarity: float) -> FloatArray:
    """A unit vector of this similarity to another."""
    aside = vector(10**6) - (vector(10**6) @ of) * of
    return (similarity * of + np.sqrt(1 - similarity**2) * aside / np.linalg.norm(aside)).astype(np.float32)


def fingerprint(number: int) -> bytes:
    return number.to_bytes(16, "big")


def server_pid(server: EmbeddedRedis) -> int:
    """The server is the only child of its watcher; it need not answer."""
    assert server._running is not None
    watcher = server._running.watcher.pid
    return int(Path(f"/proc/{watcher}/task/{watcher}/children").read_text())


def wait_for_end(pid: int) -> None:
    """Return when a process that need not be a child has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], 20)[0], f"process {pid} is still there"
    finally:
        os.close(process)
