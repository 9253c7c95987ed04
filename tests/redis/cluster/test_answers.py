"""A cluster says what one server says: 2,000 random calls, on both at once.

By hand, all of them: SEMCACHE_TEST_CALLS=2000 python -m pytest tests/redis/cluster/test_answers.py
"""

import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from semcache.entries.entry import Neighbour
from semcache.redis.client.connection import RedisConnection
from semcache.redis.cluster import merging
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from tests.redis.conftest import DIMS, LAYOUT, fingerprint

CALLS = int(os.environ.get("SEMCACHE_TEST_CALLS", "250"))
TENANTS = ("", "", "acme", "b:c")


class Both:
    """The same store on one server and on a cluster."""

    def __init__(self, stores: Sequence[RedisStore]) -> None:
        self.stores = stores
        self.chance = random.Random(7)
        self.vectors = np.random.default_rng(7).standard_normal((80, DIMS)).astype(np.float32)
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)

    def call(self) -> tuple[str, list[Any]]:
        """A random call, and what each of the two says."""
        tenant, number = self.chance.choice(TENANTS), self.chance.randrange(len(self.vectors))
        query, vector = f"query {number}", self.vectors[number]
        near = vector + 0.3 * self.vectors[self.chance.randrange(len(self.vectors))]
        near /= np.linalg.norm(near)
        document = fingerprint(self.chance.randrange(30))
        scores = [(fingerprint(self.chance.randrange(30)), float(number + place)) for place in range(5)]
        queries = [f"query {self.chance.randrange(80)}" for _ in range(6)]
        k, least = self.chance.choice((1, 4, 9)), self.chance.choice((-1.0, 0.5))
        calls: dict[str, Any] = {
            "remember": lambda store: store.remember(tenant, query, vector, scores, cues=query.encode()),
            "remember without a vector": lambda store: store.remember(tenant, query, None, scores),
            "read_exact": lambda store: _plain(store.read_exact(tenant, query)),
            "read_exact_many": lambda store: [_plain(one) for one in store.read_exact_many(tenant, queries)],
            "read_vector": lambda store: _rounded(store.read_vector(tenant, query)),
            "find_neighbours": lambda store: _shown(store.find_neighbours(tenant, near, k, least)),
            "count": lambda store: store.count(),
            "sample": lambda store: sorted(entry.id for entry in store.sample(1000, tenant)),
            "forget query": lambda store: store.forget(tenant, query=query),
            "forget document": lambda store: store.forget(tenant or None, document=document),
            "forget tenant": lambda store: store.forget("b:c"),
            "keep documents": lambda store: store.keep_document_vectors(tenant, [document], vector[None], 50),
            "read documents": lambda store: _rounded(store.read_document_vectors(tenant, [document])),
        }
        weights = (9, 1, 4, 2, 1, 9, 1, 0.3, 1, 0.3, 0.2, 1, 1)
        (name,) = self.chance.choices(list(calls), weights)
        return name, [calls[name](store) for store in self.stores]


def _plain(scores: Any) -> Any:
    return None if scores is None else dict(scores)


def _rounded(numbers: Any) -> Any:
    return None if numbers is None else np.nan_to_num(numbers, nan=-9).round(4).tolist()


def _shown(neighbours: Sequence[Neighbour]) -> list[Any]:
    return [(one.id, round(one.similarity, 4), dict(one.scores), one.cues) for one in neighbours]


@pytest.fixture
def both(redis_url: str, cluster: EmbeddedRedis, namespace: str) -> Iterator[Both]:
    # All candidates are kept, so that the graph of neither misses a neighbour.
    layout = {**LAYOUT, "namespace": namespace, "ttl_jitter": 0, "ef_runtime": 200}
    times: Any = {"timeout_s": 10, "connect_timeout_s": 10}
    with RedisConnection(redis_url, **times) as one, RedisConnection(cluster.url, **times) as many:
        yield Both([RedisStore(one, **layout), RedisStore(many, **layout)])


def test_the_answers_are_the_same(both: Both) -> None:
    seen = set()
    for place in range(CALLS):
        name, (of_one, of_many) = both.call()
        assert of_many == of_one, f"call {place}: {name}"
        seen.add(name)
    assert len(seen) >= 10
    of_one, of_many = (store.clear() for store in both.stores)
    assert of_one == of_many > 0


def test_without_the_fan_out_they_are_not(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would see a cluster of which one shard alone is asked, as redis-py's client does."""
    real = merging.merged_search

    def of_one_shard(command: Any, replies: Any, *rest: Any) -> Any:
        return real(command, dict(list(replies.items())[:1]), *rest)

    monkeypatch.setattr(merging, "merged_search", of_one_shard)
    differ = 0
    for _ in range(60):
        _, (of_one, of_many) = both.call()
        differ += of_one != of_many
    assert differ > 0
