"""Vectors of documents on a real server: by tenant, of a bounded number, forgotten with their documents."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semcache.entries.fingerprint import document_fingerprint
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import RedisStore, keys_of

DIMS = 64
A, B, C = (document_fingerprint(text) for text in "abc")
VECTORS = np.random.default_rng(1).normal(size=(3, DIMS)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url) as connection:
        yield connection


def store_of(connection: RedisConnection, namespace: str, reranker: str = "r", ttl_s: float | None = 600) -> RedisStore:
    return RedisStore(connection, namespace=namespace, reranker=reranker, embedder="e", dims=DIMS, ttl_s=ttl_s)


@pytest.fixture
def store(connection: RedisConnection, namespace: str) -> RedisStore:
    return store_of(connection, namespace)


def test_what_is_kept_is_read_and_the_rest_is_nan(store: RedisStore) -> None:
    assert store.read_document_vectors("", [A, B]) is None
    assert store.read_document_vectors("", []) is None
    assert store.keep_document_vectors("", [A, C], VECTORS[[0, 2]], 100)
    rows = store.read_document_vectors("", [A, B, C])
    assert rows is not None and rows.dtype == np.float32
    assert np.abs(rows[[0, 2]] - VECTORS[[0, 2]]).max() < 0.001
    assert np.linalg.norm(rows[0]) == pytest.approx(1, abs=1e-6)
    assert np.isnan(rows[1]).all()


async def test_event_loops_read_the_same(connection: RedisConnection, store: RedisStore, namespace: str) -> None:
    store.keep_document_vectors("t", [A], VECTORS[:1], 100)
    options = {"namespace": namespace, "reranker": "r", "embedder": "e", "dims": DIMS, "ttl_s": 600.0}
    rows = await AsyncRedisStore(connection, **options).read_document_vectors("t", [A])  # type: ignore[arg-type]
    assert rows is not None and np.abs(rows[0] - VECTORS[0]).max() < 0.001
    await connection.aclose()


def test_nothing_is_read_across_tenants_scopes_and_namespaces(connection: RedisConnection, namespace: str) -> None:
    store = store_of(connection, namespace)
    store.keep_document_vectors("a", [A], VECTORS[:1], 100)
    assert store.read_document_vectors("b", [A]) is None and store.read_document_vectors("", [A]) is None
    assert store_of(connection, namespace, "other").read_document_vectors("a", [A]) is None
    assert store_of(connection, f"{namespace}2").read_document_vectors("a", [A]) is None


def test_no_more_are_kept_than_allowed(store: RedisStore) -> None:
    # Half of them in each period of the time to live: those of the one before may still be there.
    assert store.keep_document_vectors("", [A, B], VECTORS[:2], 4)
    assert not store.keep_document_vectors("other", [C], VECTORS[2:], 4)
    assert store.read_document_vectors("other", [C]) is None
    assert store.keep_document_vectors("other", [C], VECTORS[2:], 6)


def test_they_expire_with_the_entries_and_their_counts_too(connection: RedisConnection, namespace: str) -> None:
    store = store_of(connection, namespace)
    store.keep_document_vectors("", [A], VECTORS[:1], 100)
    lives_ms = [connection.client.pttl(key) for key in connection.client.scan_iter(f"semcache:{namespace}:*")]
    assert len(lives_ms) == 2 and all(500_000 < life <= 1_800_000 for life in lives_ms)
    endless = store_of(connection, namespace, "endless", None)
    endless.keep_document_vectors("", [A], VECTORS[:1], 2)
    assert connection.client.pttl(keys_of(endless).document("", A)) == -1
    assert endless.keep_document_vectors("", [B], VECTORS[1:2], 2)
    assert not endless.keep_document_vectors("", [C], VECTORS[2:], 2)


@pytest.mark.parametrize(
    "damaged", [b"", b"x", b"\x00" * 2 * DIMS, b"\x00\x7e" * DIMS, b"\x00\x7c" * DIMS, b"x" * 10_000],
    ids=["empty", "short", "zero", "nan", "infinite", "long"],
)  # fmt: skip
def test_a_damaged_one_counts_as_none(store: RedisStore, connection: RedisConnection, damaged: bytes) -> None:
    store.keep_document_vectors("", [A, B], VECTORS[:2], 100)
    connection.client.set(keys_of(store).document("", A), damaged)
    rows = store.read_document_vectors("", [A, B])
    assert rows is not None and np.isnan(rows[0]).all() and np.isfinite(rows[1]).all()


def test_reading_is_one_round_trip_of_allowed_commands(store: RedisStore, connection: RedisConnection) -> None:
    store.keep_document_vectors("", [A, B], VECTORS[:2], 100)
    connection.client.config_resetstat()
    store.read_document_vectors("", [A, B, C])
    stats = connection.client.info("commandstats")
    assert stats["cmdstat_getrange"]["calls"] == 3


@pytest.mark.parametrize("tenant", ["", "t"])
def test_they_are_forgotten_with_the_document_the_tenant_or_all(store: RedisStore, tenant: str) -> None:
    def fill() -> None:
        for other in ("", "t", "u"):
            store.keep_document_vectors(other, [A, B], VECTORS[:2], 1000)

    def left(other: str) -> list[bool]:
        rows = store.read_document_vectors(other, [A, B])
        return [False, False] if rows is None else np.isfinite(rows[:, 0]).tolist()

    fill()
    store.forget(tenant, document=A)
    assert left(tenant) == [False, True] and left("u") == [True, True]
    store.forget(document=B)
    assert left(tenant) == [False, False] and left("u") == [True, False]
    fill()
    store.forget(tenant)
    assert left(tenant) == [False, False] and left("u") == [True, True]
    store.clear()
    assert left("u") == [False, False]


def test_of_pinned_tenants_too(connection: RedisConnection, namespace: str) -> None:
    options = {"namespace": namespace, "reranker": "r", "embedder": "e", "dims": DIMS, "pin": "tenant"}
    store = RedisStore(connection, **options)  # type: ignore[arg-type]
    store.keep_document_vectors("t", [A, B], VECTORS[:2], 1000)
    store.forget(document=A)
    rows = store.read_document_vectors("t", [A, B])
    assert rows is not None and np.isfinite(rows[:, 0]).tolist() == [False, True]


@pytest.mark.parametrize("how", [{"tenant": "t"}, {"tenant": "t", "document": A}, {"document": A}, None])
def test_they_are_forgotten_although_the_numbers_of_them_were_evicted(
    store: RedisStore, connection: RedisConnection, how: dict[str, Any] | None
) -> None:
    store.keep_document_vectors("t", [A], VECTORS[:1], 1000)
    connection.client.delete(keys_of(store).document_counts)
    if how is None:
        store.clear()
    else:
        store.forget(**how)
    assert store.read_document_vectors("t", [A]) is None


@pytest.mark.parametrize("periods", [1, 2, 2.9])
def test_numbers_of_periods_that_are_over_do_not_pile_up(
    connection: RedisConnection, namespace: str, periods: float
) -> None:
    now = [1e9]
    options = {"namespace": namespace, "reranker": "r", "embedder": "e", "dims": DIMS, "ttl_s": 600.0}
    store = RedisStore(connection, **options, clock=lambda: now[0])  # type: ignore[arg-type]
    for _ in range(20):
        store.keep_document_vectors("", [A], VECTORS[:1], 1000)
        now[0] += 600 * periods
    assert connection.client.hlen(keys_of(store).document_counts) <= 3


def test_a_vector_takes_as_many_bytes_as_stated(connection: RedisConnection, namespace: str) -> None:
    store = RedisStore(connection, namespace=namespace, reranker="r", embedder="e", dims=384, ttl_s=600)
    vector = np.full((1, 384), 384**-0.5, dtype=np.float32)
    store.keep_document_vectors("", [A], vector, 100)
    assert connection.client.memory_usage(keys_of(store).document("", A)) <= 1024
