"""Records of answers under a name, which all processes of a namespace read and add to."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from semcache.errors import StoreError, StoreUnavailableError
from semcache.redis.client.connection import RedisConnection
from semcache.redis.namespace import remove_namespace
from semcache.redis.variants import VariantStore


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        yield connection


@pytest.fixture
def variants(connection: RedisConnection, namespace: str) -> VariantStore:
    return VariantStore(connection, namespace, "reranker", 3600)


def the_key(client: redis.Redis, namespace: str) -> bytes:
    (key,) = client.scan_iter(f"semcache:{namespace}:*")
    return key


def test_records_are_read_in_the_order_in_which_they_came(variants: VariantStore) -> None:
    assert variants.read("base", 4) == []
    assert variants.add("base", b"aaaa") == [b"aaaa"]
    assert variants.add("base", b"bbbb") == variants.read("base", 4) == [b"aaaa", b"bbbb"]
    assert variants.read("other base", 4) == []


def test_namespaces_and_kinds_are_kept_apart(
    variants: VariantStore, connection: RedisConnection, namespace: str
) -> None:
    variants.add("base", b"aaaa")
    assert VariantStore(connection, f"{namespace}x", "reranker", 3600).read("base", 4) == []
    assert VariantStore(connection, namespace, "embedder", 3600).read("base", 4) == []
    remove_namespace(connection, namespace)
    assert variants.read("base", 4) == []


def test_all_who_add_at_once_see_the_same_first(variants: VariantStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda number: variants.add("base", bytes([number]) * 4)[0], range(32)))
    assert len(set(seen)) == 1
    assert len(variants.read("base", 4)) == 32


@pytest.mark.parametrize(("ttl_s", "at_least", "at_most"), [(60, 3e7, 4e7), (1e8, 1.9e8, 2e8), (None, 6e8, 7e8)])
def test_records_outlive_every_entry(
    connection: RedisConnection,
    client: redis.Redis,
    namespace: str,
    ttl_s: float | None,
    at_least: float,
    at_most: float,
) -> None:
    VariantStore(connection, namespace, "reranker", 60).add("base", b"aaaa")
    VariantStore(connection, namespace, "reranker", ttl_s).read("base", 4)
    assert at_least <= client.ttl(the_key(client, namespace)) <= at_most


def test_a_damaged_record_is_left_out(variants: VariantStore, client: redis.Redis, namespace: str) -> None:
    variants.add("base", b"aaaa")
    client.append(the_key(client, namespace), b"bb")
    assert variants.read("base", 4) == [b"aaaa"]


def test_says_what_redis_refuses(variants: VariantStore, client: redis.Redis, namespace: str) -> None:
    variants.add("base", b"aaaa")
    key = the_key(client, namespace)
    client.delete(key)
    client.rpush(key, "no string")
    with pytest.raises(StoreError):
        variants.read("base", 4)


def test_says_that_redis_is_away(namespace: str) -> None:
    with RedisConnection("redis://localhost:1") as connection, pytest.raises(StoreUnavailableError):
        VariantStore(connection, namespace, "reranker", None).read("base", 4)
