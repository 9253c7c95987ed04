"""Stores on the real server, for threads and for event loops, and what tests of processes need."""

import os
import re
import select
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import redis

from semcache.protocols import FloatArray
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.server.files import find_server_files
from semcache.redis.store import RedisStore
from tests.scripted import PATIENCE_S

DIMS = 16
LAYOUT: dict[str, Any] = {"namespace": "n", "reranker": "r", "embedder": "e", "dims": DIMS}
"""Options that every store needs."""

MakeStore = Callable[..., Any]


class AwaitableStore:
    """A RedisStore whose methods are awaited like those of an AsyncRedisStore, so that one test serves both."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            return method(*arguments, **named)

        return call


@pytest.fixture(params=["threads", "event loop"])
async def make_store(request: pytest.FixtureRequest, redis_url: str, namespace: str) -> AsyncIterator[MakeStore]:
    """Makes stores with awaitable methods in a namespace of the test's own; both kinds must behave alike."""
    async with RedisConnection(redis_url, timeout_s=10) as connection:

        def make(**options: Any) -> Any:
            layout = {**LAYOUT, "namespace": namespace, "ttl_jitter": 0, **options}
            if request.param == "threads":
                return AwaitableStore(RedisStore(connection, **layout))
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
    options = ("--port", "0", "--unixsocket", socket, "--save", "", "--requirepass", "right")
    command = [find_server_files().server, *options]
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
    """A document's fingerprint; different numbers give different ones."""
    return number.to_bytes(16, "big")


def server_pid(server: EmbeddedRedis) -> int:
    """The process id of a server that answers."""
    with redis.Redis.from_url(server.url) as client:
        return int(client.info("server")["process_id"])


def parent_pid(pid: int) -> int:
    """The process that started another: of an embedded server, its watcher."""
    return int(re.search(r"^PPid:\s*(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1])  # type: ignore[index]


def private_directory(server: EmbeddedRedis) -> Path:
    """The directory that holds the socket of a running server, and nothing else's."""
    return Path(unquote(server.url.removeprefix("unix://"))).parent


def wait_for_end(pid: int) -> None:
    """Return when a process that need not be a child has ended."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([process], [], [], PATIENCE_S)[0], f"process {pid} is still there"
    finally:
        os.close(process)
