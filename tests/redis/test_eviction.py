"""A server that is full, under each eviction policy: requests go on, scores are right, the index has no ghosts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.errors import TransientStoreError
from semcache.events import CacheFailed, Event
from semcache.ranking import Status
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import KeySpace
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.redis.store import RedisStore
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.redis.conftest import LAYOUT, fingerprint, vector

ROOM = 300_000
"""Bytes for entries: about 150 of those below."""
WRITTEN = 500
DOCUMENTS = 60
EVICTING = (
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)
KEYS = KeySpace.of(LAYOUT["namespace"], LAYOUT["reranker"], LAYOUT["embedder"])


@dataclass
class Full:
    """A store on a server that has room for few entries. ``client`` looks behind its back."""

    store: RedisStore
    client: Any

    def write(self, number: int) -> None:
        scores = [(fingerprint(document), float(number)) for document in range(DOCUMENTS)]
        assert self.store.remember("", f"q{number}", vector(number), scores)

    def empty_room(self) -> None:
        """From now on nothing is evicted any more."""
        self.client.config_set("maxmemory", 0)

    def parts(self) -> tuple[set[int], set[int]]:
        """Entries that have a hash, and entries that have scores."""
        pipeline = self.client.pipeline(transaction=False)
        for number in range(WRITTEN):
            pipeline.exists(KEYS.vector("", f"q{number}"))
            pipeline.exists(KEYS.scores("", f"q{number}"))
        there = pipeline.execute()
        return {n for n in range(WRITTEN) if there[2 * n]}, {n for n in range(WRITTEN) if there[2 * n + 1]}

    def indexed(self) -> set[bytes]:
        """The keys that the index knows."""
        return set(self.client.execute_command("FT.SEARCH", KEYS.plain.index, "*", "NOCONTENT", "LIMIT", 0, 9999)[1:])


def _full(server: EmbeddedRedis, policy: str, **options: Any) -> Iterator[Full]:
    with (
        redis.Redis.from_url(server.url, protocol=2) as client,
        RedisConnection(server.url, timeout_s=10) as connection,
    ):
        store = RedisStore(connection, **LAYOUT, **options)
        store.remember("", "the first makes the index", vector(WRITTEN), [(fingerprint(0), 1.0)])
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", client.info("memory")["used_memory"] + ROOM)
        yield Full(store, client)


@pytest.mark.parametrize("policy", EVICTING)
def test_what_is_evicted_is_a_miss_and_comes_back_with_the_next_write(own_server: EmbeddedRedis, policy: str) -> None:
    for full in _full(own_server, policy):
        for number in range(WRITTEN):
            full.write(number)
            if number % 3 == 0:  # some are used, so that the policies differ
                full.store.read_exact("", f"q{number // 2}")
                full.store.find_neighbours("", vector(number // 2), 4)
        assert full.client.info("stats")["evicted_keys"] > 2 * ROOM / 2000
        full.empty_room()
        with_hash, with_scores = full.parts()
        assert full.indexed() - {KEYS.vector("", "the first makes the index")} == {
            KEYS.vector("", f"q{number}") for number in with_hash
        }
        for number in range(WRITTEN):
            known = full.store.read_exact("", f"q{number}")
            assert (known is not None) == (number in with_scores)
            assert known is None or set(known.values()) == {float(number)}
        for number in (*sorted(with_hash - with_scores)[:5], *sorted(with_scores - with_hash)[:5], 0):
            full.write(number)
            assert full.store.find_neighbours("", vector(number), 1)[0].scores[fingerprint(0)] == float(number)


@pytest.mark.parametrize("policy", ["allkeys-random", "allkeys-lfu", "volatile-random"])
def test_hashes_without_scores_do_not_pile_up(own_server: EmbeddedRedis, policy: str) -> None:
    for full in _full(own_server, policy):
        for number in range(WRITTEN):
            full.write(number)
        full.empty_room()
        for number in range(WRITTEN):
            full.store.find_neighbours("", vector(number), 4)
        with_hash, with_scores = full.parts()
        # Each search removes those that it meets; a hash that no search meets hides nothing.
        assert with_hash <= with_scores


@pytest.mark.parametrize(("policy", "ttl_s"), [("noeviction", 3600.0), ("volatile-lru", None), ("volatile-ttl", None)])
def test_where_nothing_can_be_evicted_writes_fail_and_reads_go_on(
    own_server: EmbeddedRedis, policy: str, ttl_s: float | None
) -> None:
    for full in _full(own_server, policy, ttl_s=ttl_s):
        with pytest.raises(TransientStoreError, match=r"is full: .*; raise maxmemory, or set maxmemory-policy to allk"):
            for number in range(WRITTEN):
                full.write(number)
        with_hash, with_scores = full.parts()
        # The script that writes an entry is refused as a whole.
        assert with_hash == with_scores
        for number in with_scores:
            assert full.store.find_neighbours("", vector(number), 1)[0].scores[fingerprint(0)] == float(number)
        # Also where there is no room for the entries without it.
        full.client.config_set("maxmemory", 1)
        assert full.store.forget(document=fingerprint(0)) == len(with_scores) + 1
        assert full.parts() == (set(), set())


def _requests(server: EmbeddedRedis, observer: Callable[[Event], None]) -> CachedReranker:
    settings = Settings(
        redis={"url": server.url},
        cache={"namespace": "full"},
        reuse={"audit_rate": 1.0},
        prune={"document_vectors": "embed"},
    )
    cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings, observers=[observer])
    return CachedReranker(CountingReranker(), cache)


@pytest.mark.parametrize("policy", [*EVICTING, "noeviction"])
def test_requests_are_answered_whatever_is_evicted(own_server: EmbeddedRedis, policy: str) -> None:
    events: list[Event] = []
    documents = [f"passage {number} about the moon" for number in range(DOCUMENTS)]
    right = CountingReranker()
    with redis.Redis.from_url(own_server.url) as client, _requests(own_server, events.append) as reranker:
        reranker.rerank("the first makes the index", documents, top_k=5)
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", client.info("memory")["used_memory"] + ROOM)
        for number in range(200):
            query = f"question {number % 120} of {number % 7}"
            ranking = reranker.rerank(query, documents, top_k=5)
            assert len(set(ranking) & set(documents)) == 5
            # A trusted hit has the scores of a query like this one.
            if ranking.status is not Status.SEMANTIC:
                assert list(ranking.scores) == pytest.approx([right.score_of(query, text) for text in ranking])
            if number == 100:
                # All that is no entry at once, as a policy that takes any key may do.
                others = [key for key in client.keys("semcache:full:*") if b":v:" not in key and b":s:" not in key]
                client.delete(*others)
    told = [event for event in events if isinstance(event, CacheFailed)]
    assert bool(told) == (policy == "noeviction"), told[:3]
