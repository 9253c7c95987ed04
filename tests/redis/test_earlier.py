"""What documents scored for earlier queries, on a real server: by tenant, of a bounded number, forgotten in time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import redis

from semcache.entries.fingerprint import document_fingerprint, entry_id
from semcache.pruning.earlier import SHRINKAGE
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.earlier import Taught
from semcache.redis.store import RedisStore, keys_of
from tests.redis.conftest import DIMS, vector

A, B, C = (document_fingerprint(text) for text in "abc")
TTL_S = 600.0
MANY = 1000
OTHER = entry_id("", "another query")
StoreOf = Callable[..., RedisStore]


class Time:
    """The time of day, which tests set; in the middle of a period at first."""

    now = 10.5 * TTL_S

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url) as connection:
        yield connection


@pytest.fixture
def store_of(connection: RedisConnection, namespace: str, time: Time) -> StoreOf:
    def make(reranker: str = "r", ttl_s: float | None = TTL_S) -> RedisStore:
        return RedisStore(
            connection, namespace=namespace, reranker=reranker, embedder="e", dims=DIMS, ttl_s=ttl_s, clock=time
        )

    return make


@pytest.fixture
def store(store_of: StoreOf) -> RedisStore:
    return store_of()


def taught(number: int, *differences: float) -> Taught:
    """What the query of this number taught of the first documents."""
    return Taught(entry_id("", f"query {number}"), (A, B, C)[: len(differences)], np.array(differences))


def mean(total: float, count: float) -> float:
    return total / (count + SHRINKAGE)


def test_differences_add_up_over_queries_and_what_is_unknown_is_nan(store: RedisStore) -> None:
    assert store.read_earlier("", OTHER, (A, B)) is None
    assert store.add_earlier("", [taught(1, 3.0), taught(2, 1.0, -2.0)], MANY)
    known = store.read_earlier("", OTHER, (A, B, C))
    assert known is not None
    assert known[:2].tolist() == pytest.approx([mean(4.0, 2), mean(-2.0, 1)])
    assert np.isnan(known[2])


def test_a_query_does_not_count_for_itself_and_counts_once(store: RedisStore) -> None:
    store.add_earlier("", [taught(1, 3.0), taught(1, 3.0)], MANY)
    store.add_earlier("", [taught(1, 3.0)], MANY)
    assert store.read_earlier("", taught(1).query_id, (A,)) is None
    known = store.read_earlier("", OTHER, (A,))
    assert known is not None and known[0] == pytest.approx(mean(3.0, 1))


def test_processes_lose_nothing_of_each_other(store: RedisStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.add_earlier("", [taught(number, 0.5)], MANY), range(100)))
    known = store.read_earlier("", OTHER, (A,))
    assert known is not None and known[0] == pytest.approx(mean(50.0, 100))


def test_nothing_is_read_across_tenants_and_scopes(store: RedisStore, store_of: StoreOf) -> None:
    store.add_earlier("a", [taught(1, 3.0)], MANY)
    assert store.read_earlier("a", OTHER, (A,)) is not None
    for other, tenant in ((store, "b"), (store, ""), (store_of("another"), "a")):
        assert other.read_earlier(tenant, OTHER, (A,)) is None
        assert other.find_near(tenant, [vector(1)], 4, 0.5, [(A,)])[0][1] is None


def test_the_period_before_counts_half_and_older_ones_are_gone(store: RedisStore, time: Time) -> None:
    store.add_earlier("", [taught(1, 4.0, 2.0)], MANY)
    time.now += TTL_S
    store.add_earlier("", [taught(2, 1.0)], MANY)
    known = store.read_earlier("", OTHER, (A, B))
    assert known is not None and known.tolist() == pytest.approx([mean(3.0, 1.5), mean(1.0, 0.5)])
    assert store.read_earlier("", taught(1).query_id, (A, B)) is None
    time.now += TTL_S
    known = store.read_earlier("", OTHER, (A, B))
    assert known is not None and known[0] == pytest.approx(mean(1.5, 0.75)) and np.isnan(known[1])


def test_it_expires_with_the_entries(store: RedisStore, client: redis.Redis, namespace: str) -> None:
    store.add_earlier("t", [taught(1, 4.0)], MANY)
    lives_s = [client.ttl(key) for key in client.scan_iter(f"semcache:{namespace}:*")]
    assert len(lives_s) == 2 and all(2 * TTL_S < life <= 3 * TTL_S for life in lives_s)


def test_without_a_time_to_live_it_is_forgotten_by_days(store_of: StoreOf, time: Time) -> None:
    store = store_of(ttl_s=None)
    store.add_earlier("", [taught(1, 4.0)], MANY)
    time.now += 2 * 24 * 3600
    assert store.read_earlier("", OTHER, (A,)) is None


def test_no_more_documents_are_known_than_allowed(store: RedisStore, time: Time) -> None:
    # Half of them in each of the two periods that live; a query takes a place, too.
    assert store.add_earlier("", [taught(1, 1.0)], 4)
    assert not store.add_earlier("other", [taught(2, 1.0)], 4)
    assert store.read_earlier("other", OTHER, (A,)) is None
    time.now += TTL_S
    assert store.add_earlier("other", [taught(2, 1.0)], 4)


def test_a_search_reads_it_in_the_same_round_trip(store: RedisStore) -> None:
    store.remember("", "near", vector(1), [(A, 1.0)])
    store.add_earlier("", [taught(1, 3.0)], MANY)
    store.read_earlier("", OTHER, (A,))
    (found, known, similar), (_, nothing, _) = store.find_near("", [vector(1), vector(1)], 4, 0.5, [(B, A), ()])
    assert [neighbour.scores for neighbour in found] == [{A: 1.0}]
    assert similar == [found[0].similarity]
    assert known is not None and np.isnan(known[0]) and known[1] == pytest.approx(mean(3.0, 1))
    assert nothing is None


async def test_event_loops_read_the_same(connection: RedisConnection, store: RedisStore, namespace: str) -> None:
    store.add_earlier("", [taught(1, 3.0)], MANY)
    other = AsyncRedisStore(
        connection, namespace=namespace, reranker="r", embedder="e", dims=DIMS, ttl_s=TTL_S, clock=Time()
    )
    known = await other.read_earlier("", OTHER, (A,))
    assert known is not None and known[0] == pytest.approx(mean(3.0, 1))
    await connection.aclose()


def test_a_server_that_does_not_know_the_script_still_finds_neighbours(store: RedisStore, client: redis.Redis) -> None:
    store.remember("", "near", vector(1), [(A, 1.0)])
    store.add_earlier("", [taught(1, 3.0)], MANY)
    client.script_flush()
    ((found, known, _),) = store.find_near("", [vector(1)], 4, 0.5, [(A,)])
    assert len(found) == 1 and known is None
    # The background, which learns from it, sends it.
    assert store.read_earlier("", OTHER, (A,)) is not None
    assert store.find_near("", [vector(1)], 4, 0.5, [(A,)])[0][1] is not None


@pytest.mark.parametrize("damage", [b"", b"123", b"\xff" * 8, np.array([1e38, 1], "<f4").tobytes()])
def test_damaged_numbers_count_as_none(store: RedisStore, client: redis.Redis, damage: bytes) -> None:
    store.add_earlier("", [taught(1, 3.0, 1.0, -2.0)], MANY)
    (key,) = client.scan_iter(keys_of(store).earlier("") + b"*")
    client.hset(key, A, damage)  # type: ignore[arg-type]
    known = store.read_earlier("", OTHER, (A, B, C))
    assert known is not None and np.isnan(known[0]) and known[1] == pytest.approx(mean(1.0, 1))
    client.set(key, "no hash")
    ((found, nothing, _),) = store.find_near("", [vector(1)], 4, 0.5, [(A,)])
    assert found == [] and nothing is None


@pytest.mark.parametrize(
    ("how", "left"),
    [
        ({"tenant": "a", "document": A}, {"", "b"}),
        ({"document": A}, set()),
        ({"tenant": "a"}, {"", "b"}),
        ({"tenant": ""}, {"a", "b"}),
    ],
)
def test_it_is_forgotten_with_its_document_and_its_tenant(
    store: RedisStore, how: dict[str, str], left: set[str]
) -> None:
    for tenant in ("", "a", "b"):
        store.add_earlier(tenant, [taught(1, 3.0, 1.0)], MANY)
    store.forget(**how)  # type: ignore[arg-type]
    assert {tenant for tenant in ("", "a", "b") if store.read_earlier(tenant, OTHER, (A,)) is not None} == left
    if "document" in how:
        assert store.read_earlier("a", OTHER, (B,)) is not None
    store.clear()
    assert all(store.read_earlier(tenant, OTHER, (B,)) is None for tenant in ("", "a", "b"))
