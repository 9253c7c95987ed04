"""Several rerankers over one cache: which observers hear what, whose counters count, and when the cache is closed."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.errors import ConfigurationError, RerankerError, StoreError
from semcache.events import CacheFailed, Event, IndexCreated, Reranked, RungFailed
from semcache.observers import Counters
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import FloatArray, Pair
from semcache.ranking import Status
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

QUERY = "how far is the moon"
DOCUMENTS = [f"passage {number} about the moon" for number in range(8)]


class Failing(CountingReranker):
    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        raise RerankerError("scripted")


def unwatched(namespace: str = "default") -> Settings:
    """Settings without audits: they would take part in the events."""
    return Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})


@pytest.fixture
def heard() -> list[Event]:
    """What the observer of the cache heard."""
    return []


@pytest.fixture
def cache(redis_url: str, namespace: str, heard: list[Event]) -> Iterator[RedisSemanticCache]:
    with RedisSemanticCache(
        redis_url, WordEmbedder(), 0.9, settings=unwatched(namespace), observers=[heard.append]
    ) as cache:
        yield cache


def socket_of(cache: RedisSemanticCache) -> Path:
    """The socket of the embedded server of a cache, which is there as long as the server runs."""
    return Path(cache.backend.connection.where.removeprefix("Redis at unix://"))


def failures(reranker: CachedReranker) -> int:
    return reranker.get_stats()["cache_failures"]


class TestObservers:
    def test_those_of_the_cache_hear_every_event_over_it(self, cache: RedisSemanticCache, heard: list[Event]) -> None:
        CachedReranker(CountingReranker("one"), cache).rerank(QUERY, DOCUMENTS)
        CachedReranker(CountingReranker("two"), cache).rerank_many([QUERY], [DOCUMENTS], tenant="t")
        reranked = [(event.reranker, event.tenant) for event in heard if isinstance(event, Reranked)]
        assert reranked == [("one", ""), ("two", "t")]
        assert IndexCreated in map(type, heard)

    def test_those_of_a_reranker_hear_of_its_own_requests(self, cache: RedisSemanticCache) -> None:
        heard: list[Event] = []
        observed = CachedReranker(CountingReranker("one"), cache, observers=[heard.append])
        CachedReranker(CountingReranker("two"), cache).rerank(QUERY, DOCUMENTS)
        observed.rerank(QUERY, DOCUMENTS)
        assert [event.reranker for event in heard if isinstance(event, Reranked)] == ["one"]

    def test_one_given_to_both_hears_each_event_once(self, cache: RedisSemanticCache, heard: list[Event]) -> None:
        CachedReranker(CountingReranker(), cache, observers=[heard.append]).rerank(QUERY, DOCUMENTS)
        assert len([event for event in heard if isinstance(event, Reranked)]) == 1

    async def test_awaited_requests_are_heard_of_too(self, cache: RedisSemanticCache, heard: list[Event]) -> None:
        await CachedReranker(CountingReranker(), cache).arerank(QUERY, DOCUMENTS)
        assert [event.status for event in heard if isinstance(event, Reranked)] == [Status.FRESH]


class TestCounters:
    def test_failed_steps_count_where_they_were_taken(self) -> None:
        with EmbeddedRedis() as server:
            cache = RedisSemanticCache(server.url, WordEmbedder(), settings=unwatched())
            busy, idle = (CachedReranker(CountingReranker(), cache) for _ in range(2))
        busy.rerank(QUERY, DOCUMENTS)
        assert failures(busy) == 1, "reading exactly; the other steps were left out"
        assert failures(idle) == 0
        cache.close()

    def test_failed_rungs_count_in_their_pipeline(self, redis_url: str, namespace: str) -> None:
        heard: list[Event] = []
        with OptimizedRerankerPipeline(
            Failing(),
            CountingReranker("fallback"),
            redis_url,
            embedding_model=WordEmbedder(),
            settings=unwatched(namespace),
            observers=[heard.append],
        ) as pipeline:
            other = CachedReranker(CountingReranker(), pipeline.cache)
            assert pipeline.rerank(QUERY, DOCUMENTS).status is Status.DEGRADED
            assert pipeline.get_stats()["cache"]["rung_failures"] == 1
            assert other.get_stats()["rung_failures"] == 0
            assert [type(event) for event in heard].count(RungFailed) == 1

    def test_skipped_neighbours_count_for_the_rerankers_of_that_name(self, cache: RedisSemanticCache) -> None:
        ours, theirs = (CachedReranker(CountingReranker(name), cache) for name in ("ours", "theirs"))
        ours.rerank(QUERY, DOCUMENTS)
        client = cache.backend.connection.client
        client.delete(*client.keys(f"semcache:{cache.backend.knobs.namespace}:*:s:*"))
        ours.rerank("is the moon how far", DOCUMENTS)
        assert ours.get_stats()["neighbours_skipped"] == 1
        assert theirs.get_stats()["neighbours_skipped"] == 0

    def test_rerankers_made_per_request_may_share_one(self, cache: RedisSemanticCache) -> None:
        counters = Counters()
        for _ in range(3):
            CachedReranker(CountingReranker(), cache, counters=counters).rerank(QUERY, DOCUMENTS)
        assert counters.snapshot()["hit_rate"] == "66.67%"


class TestDropped:
    def test_rerankers_made_per_request_leave_nothing(self, cache: RedisSemanticCache) -> None:
        before = len(cache.backend.observers)
        dropped = []
        for _ in range(300):
            reranker = CachedReranker(CountingReranker(), cache)
            reranker.rerank(QUERY, DOCUMENTS)
            dropped += [weakref.ref(reranker), weakref.ref(reranker.counters)]
        del reranker
        gc.collect()
        assert len(cache.backend.observers) == before
        assert [ref for ref in dropped if ref() is not None] == []

    def test_one_that_is_watched_goes_with_its_audits(self, redis_url: str, namespace: str) -> None:
        settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 1})
        with RedisSemanticCache(redis_url, WordEmbedder(), settings=settings) as cache:
            reranker = CachedReranker(CountingReranker(), cache)
            reranker.rerank(QUERY, DOCUMENTS)
            reranker.rerank(QUERY, DOCUMENTS)
            assert reranker.audit.drain(30)
            counters = weakref.ref(reranker.counters)
            del reranker
            gc.collect()
            assert counters() is None


class TestClosing:
    def test_the_cache_stays_open_for_the_other_reranker(self) -> None:
        failed: list[Event] = []
        cache = RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched(), observers=[failed.append])
        other = CachedReranker(CountingReranker(), cache)
        other.rerank(QUERY, DOCUMENTS)
        with CachedReranker(CountingReranker(), cache) as first:
            assert first.rerank(QUERY, DOCUMENTS).status is Status.EXACT
        assert [other.rerank(QUERY, DOCUMENTS).status for _ in range(2)] == [Status.EXACT] * 2
        first.close()
        assert other.rerank(QUERY, DOCUMENTS).status is Status.EXACT, "closing twice closes no more"
        other.close()
        assert cache.of(other.cache.reranker).lookup(QUERY, DOCUMENTS).status is Status.EXACT, (
            "its maker holds it still"
        )
        assert CacheFailed not in map(type, failed)
        cache.close()
        assert other.rerank(QUERY, DOCUMENTS).status is Status.FRESH, "the private server ended with its last user"
        assert CacheFailed in map(type, failed)

    def test_a_cache_that_was_made_for_one_reranker_is_closed_with_it(self) -> None:
        with CachedReranker(
            CountingReranker(), RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched())
        ) as only:
            assert [only.rerank(QUERY, DOCUMENTS).status for _ in range(2)] == [Status.FRESH, Status.EXACT]
        assert only.rerank(QUERY, DOCUMENTS).status is Status.FRESH

    def test_the_cache_of_another_reranker_closes_nothing(self) -> None:
        with RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched()) as cache:
            with cache.of("another") as other:
                other.remember(QUERY, DOCUMENTS, [1.0] * len(DOCUMENTS))
            assert other.lookup(QUERY, DOCUMENTS).status is Status.EXACT
            cache.close()
            assert other.lookup(QUERY, DOCUMENTS).status is None

    async def test_nor_does_it_in_an_event_loop(self) -> None:
        async with RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched()) as cache:
            async with cache.of("another") as other:
                await other.aremember(QUERY, DOCUMENTS, [1.0] * len(DOCUMENTS))
            assert (await other.alookup(QUERY, DOCUMENTS)).status is Status.EXACT

    def test_two_caches_share_an_embedded_server_until_the_last_is_closed(self) -> None:
        settings = Settings(redis={"url": "embedded"}, reuse={"audit_rate": 0}, rerankers=[{"kind": "retrieval-order"}])
        first = RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched())
        second = OptimizedRerankerPipeline.from_settings(settings, primary=CountingReranker(), embedder=WordEmbedder())
        first.of("counting").remember(QUERY, DOCUMENTS, [1.0] * len(DOCUMENTS))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: first.close(), range(8)))
        with second:
            assert [second.rerank("best pizza dough", DOCUMENTS).status for _ in range(2)] == ["fresh", "exact"]
        second.close()
        assert not socket_of(first).exists()
        with RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched()) as third:
            first.close()
            assert socket_of(third).exists(), "closing twice takes nothing from those that came later"

    @pytest.mark.parametrize(
        ("arguments", "knobs"),
        [({"text": 3}, {}), ({}, {"prune": {"cascade": "no such rung"}})],
        ids=["text", "cascade"],
    )
    def test_a_pipeline_that_cannot_be_made_leaves_no_server_behind(
        self, arguments: dict[str, Any], knobs: dict[str, Any]
    ) -> None:
        settings = Settings(reuse={"audit_rate": 0}, **knobs)
        with RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched()) as cache:
            server = socket_of(cache)
            with pytest.raises(ConfigurationError, match=r"text must be|no such rung"):
                OptimizedRerankerPipeline(
                    CountingReranker(),
                    None,
                    "embedded",
                    embedding_model=WordEmbedder(),
                    settings=settings,
                    **arguments,
                )
        assert not server.exists()

    def test_a_server_that_the_caller_started_is_the_callers_to_end(self) -> None:
        with EmbeddedRedis() as server:
            for _ in range(2):
                with RedisSemanticCache(server.url, WordEmbedder(), settings=unwatched()):
                    pass
            with redis.Redis.from_url(server.url) as client:
                assert client.ping()

    def test_a_constructor_that_fails_keeps_no_server(self) -> None:
        class OtherDims(WordEmbedder):
            dims = 32

        with RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched()) as cache:
            with pytest.raises(StoreError):
                RedisSemanticCache("embedded", OtherDims(), settings=unwatched())
            assert socket_of(cache).exists()
        assert not socket_of(cache).exists()

    def test_a_dropped_reranker_does_not_keep_it_open(self) -> None:
        cache = RedisSemanticCache("embedded", WordEmbedder(), settings=unwatched())
        CachedReranker(CountingReranker(), cache).rerank(QUERY, DOCUMENTS)
        last = CachedReranker(CountingReranker(), cache)
        last.rerank(QUERY, DOCUMENTS)
        del cache
        gc.collect()
        last.close()
        assert last.rerank(QUERY, DOCUMENTS).status is Status.FRESH


def test_the_cache_of_another_reranker_keeps_what_a_subclass_adds(cache: RedisSemanticCache) -> None:
    cache.note = "mine"  # type: ignore[attr-defined]
    other = cache.of("another", listwise=True)
    assert (other.note, other.reranker, other.scoped.listwise, other.backend) == (
        "mine",
        "another",
        True,
        cache.backend,
    )  # type: ignore[attr-defined]
    assert (cache.reranker, cache.scoped.listwise) == ("default", False)


def test_settings_may_be_given_a_reranker_and_an_embedder(redis_url: str, namespace: str) -> None:
    settings = Settings(
        redis={"url": redis_url},
        cache={"namespace": namespace, "ttl_s": 60},
        reuse={"trust_threshold": 0.91, "audit_rate": 0},
        monitor={"p95_threshold_s": 1.5},
        rerankers=[{"kind": "auto", "model": "a model that is not here"}, {"kind": "embedding"}],
    )
    primary, heard = CountingReranker("mine"), list[Event]()
    with OptimizedRerankerPipeline.from_settings(
        settings, primary=primary, embedder=WordEmbedder(), observers=[heard.append]
    ) as pipeline:
        assert pipeline.rerank(QUERY, DOCUMENTS).reranker == "mine"
        assert pipeline.cache.scoped.policy().reuse.trust_threshold == 0.91
        assert (pipeline.cache.backend.ttl_s, pipeline.reranker.monitor.p95_threshold) == (60, 1.5)
        pipeline.reranker.force_open()
        assert "words" in pipeline.rerank("best pizza dough", DOCUMENTS).reranker, "the rung below shares the embedder"
        assert [event.status for event in heard if isinstance(event, Reranked)] == [Status.FRESH, Status.DEGRADED]


class TestListsOfTheCacheThatWasHandedOver:
    """``get`` of the old API sees what the one reranker over the cache remembered."""

    def test_in_the_order_of_its_scores(self, redis_url: str, namespace: str) -> None:
        cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=Settings(cache={"namespace": namespace}))
        reranker = CachedReranker(CountingReranker(), cache)
        documents = ["an apple pie", "a red car", "red apples"]
        assert cache.get("red apple", documents) is None
        ranking = reranker.rerank("red apple", documents, 3)
        assert cache.get("red apple", documents) == list(ranking)
        assert cache.get("red apple", [*documents, "never seen"]) is None
        # A list that was set by hand comes first.
        cache.set("red apple", documents, documents)
        assert cache.get("red apple", documents) == documents

    async def test_in_an_event_loop(self, redis_url: str, namespace: str) -> None:
        cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=Settings(cache={"namespace": namespace}))
        reranker = CachedReranker(CountingReranker(), cache)
        documents = ["an apple pie", "a red car", "red apples"]
        assert await cache.aget("red apple", documents) is None
        ranking = await reranker.arerank("red apple", documents, 3)
        assert await cache.aget("red apple", documents) == list(ranking)
        await cache.aset("red apple", documents, documents)
        assert await cache.aget("red apple", documents) == documents
        await cache.aclose()

    async def test_what_is_forgotten_there_is_forgotten_everywhere(self, redis_url: str, namespace: str) -> None:
        cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=Settings(cache={"namespace": namespace}))
        reranker = CachedReranker(CountingReranker(), cache)
        documents = ["an apple pie", "a red car"]
        for forget in (cache.forget, cache.aforget):
            reranker.rerank("red apple", documents)
            cache.set("red apple", documents, documents)
            touched = forget(query="red apple")
            assert (touched if isinstance(touched, int) else await touched) == 2
            assert cache.get("red apple", documents) is None
        assert reranker.rerank("red apple", documents).status == "fresh"
        await cache.aclose()

    def test_of_two_rerankers_neither_is_meant(self, redis_url: str, namespace: str) -> None:
        cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=Settings(cache={"namespace": namespace}))
        rerankers = [CachedReranker(CountingReranker(name), cache) for name in ("one", "other")]
        rerankers[0].rerank("red apple", ["an apple pie", "a red car"])
        assert cache.get("red apple", ["an apple pie", "a red car"]) is None
