"""Every store of semcache, and the memory fake that stands in for one, keeps the contract that ships for others."""

from collections.abc import AsyncIterator, Iterator

import pytest

from semcache.protocols import AsyncStore, Store
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.operation import StoreOptions
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from semcache.testing import DIMS, AsyncStoreContract, StoreContract
from tests.fakes import MemoryStore


def _options(namespace: str, listwise: bool) -> StoreOptions:
    return {"namespace": namespace, "reranker": "r", "embedder": "e", "dims": DIMS, "listwise": listwise}


class TestMemoryStore(StoreContract):
    def make_store(self, *, listwise: bool = False) -> Store:
        return MemoryStore(listwise=listwise)


class TestRedisStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _connected(self, deployment_url: str, namespace: str) -> Iterator[None]:
        self.namespace = namespace
        with RedisConnection(deployment_url, timeout_s=10, connect_timeout_s=10) as self.connection:
            yield

    def make_store(self, *, listwise: bool = False) -> Store:
        return RedisStore(self.connection, **_options(self.namespace, listwise))


class TestAsyncRedisStore(AsyncStoreContract):
    @pytest.fixture(autouse=True)
    async def _connected(self, deployment_url: str, namespace: str) -> AsyncIterator[None]:
        self.namespace = namespace
        async with RedisConnection(deployment_url, timeout_s=10, connect_timeout_s=10) as self.connection:
            yield

    def make_store(self, *, listwise: bool = False) -> AsyncStore:
        return AsyncRedisStore(self.connection, **_options(self.namespace, listwise))


class TestPinnedStore(StoreContract):
    """All entries of a tenant in one slot of a cluster."""

    @pytest.fixture(autouse=True)
    def _connected(self, cluster: EmbeddedRedis, namespace: str) -> Iterator[None]:
        self.namespace = namespace
        with RedisConnection(cluster.url, timeout_s=10, connect_timeout_s=10) as self.connection:
            yield

    def make_store(self, *, listwise: bool = False) -> Store:
        return RedisStore(self.connection, **{**_options(self.namespace, listwise), "pin": "tenant"})


class TestAsyncPinnedStore(AsyncStoreContract):
    @pytest.fixture(autouse=True)
    async def _connected(self, cluster: EmbeddedRedis, namespace: str) -> AsyncIterator[None]:
        self.namespace = namespace
        async with RedisConnection(cluster.url, timeout_s=10, connect_timeout_s=10) as self.connection:
            yield

    def make_store(self, *, listwise: bool = False) -> AsyncStore:
        return AsyncRedisStore(self.connection, **{**_options(self.namespace, listwise), "pin": "tenant"})


def test_the_stores_are_stores(redis_url: str) -> None:
    with RedisConnection(redis_url) as connection:
        assert isinstance(RedisStore(connection, **_options("n", listwise=False)), Store)
        assert isinstance(AsyncRedisStore(connection, **_options("n", listwise=False)), AsyncStore)
    assert isinstance(MemoryStore(), Store)
