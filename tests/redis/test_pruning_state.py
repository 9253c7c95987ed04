"""What a scope learned about pruning, on a real server: added up by all processes, bounded, and forgotten slowly."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from semcache.pruning.statistics import SIZE, Statistics
from semcache.quality.pruning import ASK_ALL, Pruned, Pruning
from semcache.redis.client.connection import RedisConnection
from semcache.redis.pruning_state import MOST_REQUESTS, PruningStore

GOOD, BAD = Pruned(1.5, 50, 30, 0.0), Pruned(1.5, 50, 20, 0.2)


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url) as connection:
        yield connection


@pytest.fixture
def store(connection: RedisConnection, namespace: str) -> PruningStore:
    return PruningStore(connection, namespace, "model", "words")


def sums(requests: float, other: float = 0.5) -> Statistics:
    return Statistics(np.concatenate([[requests], np.full(SIZE - 1, other)]))


def test_nothing_learned_is_nothing_skipped(store: PruningStore) -> None:
    state = store.read()
    assert (state.pruning.confidence, state.statistics, state.changes) == (ASK_ALL, {}, 0)
    assert store.read_sums().requests == 0


def test_what_was_learned_with_a_cheap_reranker_stands_apart(connection: RedisConnection, namespace: str) -> None:
    stores = [PruningStore(connection, namespace, "model", "words", *cascade) for cascade in ((), ("a",), ("b",))]
    for number, one in enumerate(stores, 1):
        one.add_sums(sums(float(number)))
        one.add([GOOD] * number)
    assert [one.read_sums().requests for one in stores] == [1, 2, 3]
    assert [one.read().statistics[1.5].summary()["n"] for one in stores] == [1, 2, 3]


def test_processes_add_to_one_state(store: PruningStore, redis_url: str, namespace: str) -> None:
    with RedisConnection(redis_url) as elsewhere:
        other = PruningStore(elsewhere, namespace, "model", "words")
        store.add_sums(sums(2))
        assert other.add_sums(sums(3, 1.0)).sums.tolist() == [5.0] + [1.5] * (SIZE - 1)
        store.add([GOOD, GOOD])
        state = other.add([BAD, Pruned(2.0, 50, 50, 0.0)])
    assert state.statistics[1.5].losses.sum() == 3 and state.statistics[2.0].losses.sum() == 1
    assert state.statistics[1.5].summary()["avoided"] == pytest.approx(70 / 150)
    assert store.read_sums().requests == 5


def test_nothing_is_lost_when_many_add_at_once(store: PruningStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.add_sums(sums(1, 0.25)), range(200)))
    assert store.read_sums().sums.tolist() == [200.0] + [50.0] * (SIZE - 1)


def test_old_requests_count_less_and_less(store: PruningStore) -> None:
    store.add_sums(sums(MOST_REQUESTS, 1000.0))
    after = store.add_sums(sums(MOST_REQUESTS / 4, 0.0))
    assert after.requests == MOST_REQUESTS
    assert after.sums[1] == pytest.approx(750)


@pytest.mark.parametrize(
    "stored", [b"", b"damaged", sums(5).to_bytes()[:-8], b"\x00" * 8 + sums(5).to_bytes()[8:],
               sums(5, float("nan")).to_bytes(), sums(5, float("inf")).to_bytes()],
    ids=["empty", "short", "shorter", "another version", "nan", "infinite"],
)  # fmt: skip
def test_what_cannot_be_read_is_replaced(store: PruningStore, connection: RedisConnection, stored: bytes) -> None:
    connection.client.set(store.key, stored)
    assert store.read_sums().requests == 0
    assert store.add_sums(sums(2)).sums.tolist() == sums(2).sums.tolist()


def test_only_the_first_of_two_decisions_counts(store: PruningStore) -> None:
    seen = store.read()
    first = store.change(seen, Pruning(1.5, "proven"))
    second = store.change(seen, Pruning(2.0, "proven later"))
    assert first.pruning == second.pruning == Pruning(1.5, "proven")
    assert (first.changes, second.changes) == (1, 1)


def test_giving_up_starts_all_counting_anew(store: PruningStore) -> None:
    store.add_sums(sums(50))
    store.add([BAD] * 3)
    in_force = store.change(store.read(), Pruning(1.5))
    assert store.read_sums().requests == 50
    state = store.change(in_force, Pruning(ASK_ALL, "cost too much"))
    assert (state.pruning, state.statistics) == (Pruning(ASK_ALL, "cost too much"), {})
    assert store.read_sums().requests == 0


def test_it_stays_small_and_expires(store: PruningStore, connection: RedisConnection, namespace: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(8):
        losses = rng.random(500) ** 8
        store.add([Pruned(float(rng.choice([1.5, 2.0, 2.5, 3.0])), 50, 30, float(loss)) for loss in losses])
    store.add_sums(sums(50))
    keys = list(connection.client.scan_iter(f"semcache:{namespace}:*"))
    assert len(keys) == 2
    assert all(connection.client.pttl(key) > 0 for key in keys)
    assert sum(connection.client.memory_usage(key) for key in keys) < 16_000
    assert all(statistics.losses.sum() < 5000 for statistics in store.read().statistics.values())


def test_scopes_do_not_mix(store: PruningStore, connection: RedisConnection, namespace: str) -> None:
    store.add_sums(sums(2))
    store.add([GOOD])
    for names in (("other", "model", "words"), (namespace, "other", "words"), (namespace, "model", "other")):
        other = PruningStore(connection, *names)
        assert other.read().statistics == {} and other.read_sums().requests == 0


@pytest.mark.parametrize("value", [b"x", b"nan", b"-1", b"inf"])
def test_a_damaged_count_counts_as_none(
    store: PruningStore, connection: RedisConnection, namespace: str, value: bytes
) -> None:
    state = store.add([GOOD, GOOD])
    key = next(
        key for key in connection.client.scan_iter(f"semcache:{namespace}:*") if connection.client.type(key) == b"hash"
    )
    connection.client.hset(key, "z1.5:loss", value)
    connection.client.hset(key, b"z" + value[:1] + b"?:loss", b"1")
    connection.client.hset(key, "confidence", value)
    connection.client.hset(key, "changes", value)
    damaged = store.read()
    assert set(damaged.statistics) == {1.5}
    assert damaged.statistics[1.5].losses.sum() == state.statistics[1.5].losses.sum() == 2
    assert damaged.statistics[1.5].loss == 0.0 and damaged.pruning.confidence == ASK_ALL
    assert damaged.changes == 0
    assert store.change(damaged, Pruning(1.5, "proven")).pruning.confidence == 1.5, "a decision can still be made"
