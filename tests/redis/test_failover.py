"""A primary becomes a replica or dies, and another answers behind its address: requests go on, and writes come back."""

import asyncio
import socket
from collections.abc import Iterator
from time import monotonic
from typing import Any
from urllib.parse import unquote

import pytest
import redis

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.events import CacheFailed, CacheRecovered, CacheUnavailable
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.redis.proxy import Proxy
from tests.scripted import PATIENCE_S

DOCUMENTS = [f"passage {number}" for number in range(5)]


class Pair:
    """A primary and its replica, and the proxy that is their address."""

    def __init__(self, servers: tuple[EmbeddedRedis, EmbeddedRedis], proxy: Proxy) -> None:
        self.proxy = proxy
        self._servers = servers
        self._clients = [redis.Redis.from_url(server.url) for server in servers]
        self._ports: list[int] = []
        for client in self._clients:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._ports.append(free.getsockname()[1])
            client.config_set("port", self._ports[-1])
            client.config_set("repl-diskless-sync-delay", 0)
        self.primary = 0
        self._let_follow()

    def point_to_the_primary(self) -> None:
        """Let new connections lead there."""
        self.proxy.upstream = unquote(self._servers[self.primary].url.removeprefix("unix://"))

    def fail_over(self) -> None:
        """Let both change their parts."""
        self.primary = 1 - self.primary
        self._clients[self.primary].replicaof("NO", "ONE")
        self._let_follow()

    def _let_follow(self) -> None:
        replica = self._clients[1 - self.primary]
        replica.replicaof("127.0.0.1", str(self._ports[self.primary]))
        until = monotonic() + PATIENCE_S
        while replica.execute_command("ROLE")[3] != b"connected":
            assert monotonic() < until

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with EmbeddedRedis() as one, EmbeddedRedis() as other, Proxy(one.url).running() as proxy:
        pair = Pair((one, other), proxy)
        yield pair
        pair.close()


class Client:
    """A cached reranker behind the proxy, for threads or for tasks, and what its observers heard."""

    def __init__(self, pair: Pair, namespace: str, how: str) -> None:
        self.events: list[Any] = []
        settings = Settings(
            redis={"url": pair.proxy.url, "retry_after_s": 0.05},
            cache={"namespace": namespace},
            reuse={"audit_rate": 0},
        )
        self._cache = RedisSemanticCache(
            embedding_model=WordEmbedder(), settings=settings, observers=[self.events.append]
        )
        self._reranker = CachedReranker(CountingReranker(), self._cache)
        self._loop = asyncio.new_event_loop() if how == "tasks" else None

    def status(self, query: str) -> str:
        if self._loop is None:
            ranking = self._reranker.rerank(query, DOCUMENTS, 3)
        else:
            ranking = self._loop.run_until_complete(self._reranker.arerank(query, DOCUMENTS, 3))
        assert list(ranking.scores or ()) == sorted(ranking.scores or (), reverse=True)
        return ranking.status.value

    def until_writes_are_back(self) -> None:
        """Ask something else each time, twice."""
        until, number = monotonic() + PATIENCE_S, 0
        while [self.status(f"w{number} x{number} y{number}") for _ in range(2)] != ["fresh", "exact"]:
            number += 1
            assert monotonic() < until

    def close(self) -> None:
        if self._loop is not None:
            self._loop.run_until_complete(self._reranker.aclose())
            self._loop.run_until_complete(self._cache.aclose())
            self._loop.close()
        self._reranker.close()
        self._cache.close()


@pytest.fixture(params=["threads", "tasks"])
def client(request: pytest.FixtureRequest, pair: Pair, namespace: str) -> Iterator[Client]:
    pair.point_to_the_primary()
    client = Client(pair, namespace, request.param)
    try:
        assert [client.status("how far is the moon") for _ in range(2)] == ["fresh", "exact"]
        yield client
    finally:
        client.close()


def test_a_primary_that_becomes_a_replica_is_read_and_left_when_its_address_leads_elsewhere(
    pair: Pair, client: Client
) -> None:
    pair.fail_over()
    for number in range(5):
        assert client.status("how far is the moon") == "exact"
        assert client.status(f"a{number} b{number}") == "fresh"
    failures = [event for event in client.events if isinstance(event, CacheFailed) and event.step == "Remember"]
    assert len(failures) == 5
    assert all("is a read-only replica: " in event.error for event in failures)
    pair.point_to_the_primary()
    client.until_writes_are_back()
    assert client.status("how far is the moon") == "exact"
    assert not [event for event in client.events if isinstance(event, CacheUnavailable)], "it answered all the time"


def test_a_replica_that_its_address_goes_on_leading_to_is_not_connected_to_with_each_write(
    pair: Pair, client: Client
) -> None:
    pair.fail_over()
    before = pair.proxy.accepted
    for number in range(20):
        assert client.status(f"c{number} d{number}") == "fresh"
    assert pair.proxy.accepted - before < 10


def test_when_the_primary_dies_requests_go_on_and_its_replica_is_written_to(pair: Pair, client: Client) -> None:
    pair.fail_over()
    pair.point_to_the_primary()
    pair.proxy.end_connections()
    assert client.status("how far is the moon") == "exact"
    client.until_writes_are_back()


def test_until_the_replica_takes_over_requests_go_on_without_the_cache(pair: Pair, client: Client) -> None:
    pair.proxy.listen("refuse")
    assert [client.status("how far is the moon") for _ in range(3)] == ["fresh"] * 3
    pair.fail_over()
    pair.point_to_the_primary()
    pair.proxy.listen("yes")
    client.until_writes_are_back()
    assert client.status("how far is the moon") == "exact"
    outage = [type(event) for event in client.events if isinstance(event, CacheUnavailable | CacheRecovered)]
    assert outage == [CacheUnavailable, CacheRecovered]
