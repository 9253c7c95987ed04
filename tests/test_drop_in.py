"""The six classes under their old names and call shapes, with the documents and the CrossEncoder of their users."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from semcache import (
    AsyncBatchReranker,
    CachedReranker,
    DegradableReranker,
    LatencyMonitor,
    OptimizedRerankerPipeline,
    RedisSemanticCache,
)
from tests.fakes import CountingReranker, WordEmbedder

QUERY = "what is a river"
DOCUMENTS = [
    SimpleNamespace(page_content=text, metadata={"source": number})
    for number, text in enumerate(["a river is water", "the moon", "a red car", "rivers flow to the sea"])
]


@pytest.fixture(scope="module")
def cross_encoder_model(tiny_cross_encoder: Path) -> Any:
    """A bare sentence-transformers CrossEncoder: it has ``predict`` and no ``rerank``."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(tiny_cross_encoder), device="cpu")
    assert not hasattr(model, "rerank")
    return model


@pytest.fixture
def expected(cross_encoder_model: Any) -> list[object]:
    scores = cross_encoder_model.predict([(QUERY, document.page_content) for document in DOCUMENTS])
    return [DOCUMENTS[place] for place in sorted(range(4), key=lambda place: -scores[place])]


@pytest.fixture(autouse=True)
def _own_namespace(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)


def caches(redis_url: str) -> Iterator[RedisSemanticCache]:
    yield RedisSemanticCache(redis_url, "all-MiniLM-L6-v2", 0.95, 3600)
    yield RedisSemanticCache(
        redis_url=redis_url, embedding_model="all-MiniLM-L6-v2", similarity_threshold=0.95, ttl=3600
    )


def test_the_cache(redis_url: str, expected: list[object]) -> None:
    for cache in caches(redis_url):
        with cache:
            assert cache.get("is a river water", DOCUMENTS) is None
            cache.set(QUERY, DOCUMENTS, expected[:2])
            assert cache.get(QUERY, DOCUMENTS) == expected[:2]
            cache.set(query=QUERY, documents=DOCUMENTS, results=expected)
            assert cache.get(query=QUERY, documents=DOCUMENTS) == expected


def test_the_cached_reranker(redis_url: str, cross_encoder_model: Any, expected: list[object]) -> None:
    for cache in caches(redis_url):
        with CachedReranker(cross_encoder_model, cache) as reranker:
            reranker.cache.clear()
            assert reranker.rerank(QUERY, DOCUMENTS, 2) == expected[:2]
            assert reranker.rerank(query=QUERY, documents=DOCUMENTS, top_k=3) == expected[:3]
            assert reranker.rerank(QUERY, DOCUMENTS) == expected
            stats = reranker.get_stats()
            assert (stats["cache_hits"], stats["cache_misses"], stats["hit_rate"]) == (2, 1, "66.67%")
            assert reranker.stats.items() <= stats.items()


def test_the_batch_reranker(cross_encoder_model: Any, expected: list[object]) -> None:
    async def in_a_loop(reranker: AsyncBatchReranker) -> None:
        assert await reranker.rerank_async(QUERY, DOCUMENTS, 2) == expected[:2]
        assert await reranker.batch_rerank_async([QUERY], [DOCUMENTS], 2) == [expected[:2]]
        assert reranker.batch_rerank([QUERY], [DOCUMENTS], 2) == [expected[:2]]

    for reranker in (
        AsyncBatchReranker(cross_encoder_model, 10, 4),
        AsyncBatchReranker(reranker=cross_encoder_model, batch_size=10, max_workers=4),
    ):
        with reranker:
            asyncio.run(in_a_loop(reranker))
            assert reranker.batch_rerank(queries=[QUERY] * 3, documents_list=[DOCUMENTS] * 3, top_k=4) == [expected] * 3


def test_the_monitor() -> None:
    for monitor in (LatencyMonitor(100, 2.0), LatencyMonitor(window_size=100, p95_threshold=2.0)):
        for _ in range(94):
            monitor.record(0.1)
        for _ in range(5):
            monitor.record(latency_s=3.0)
        assert (monitor.get_p95(), monitor.should_degrade()) == (3.0, True)


def test_the_degradable_reranker(cross_encoder_model: Any, expected: list[object]) -> None:
    def longest(query: str, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    monitor = LatencyMonitor()
    for reranker in (
        DegradableReranker(cross_encoder_model, longest, monitor),
        DegradableReranker(primary_reranker=cross_encoder_model, fallback_reranker=longest, monitor=monitor),
    ):
        with reranker:
            assert reranker.rerank(QUERY, DOCUMENTS, 2) == expected[:2]
            stats = reranker.get_stats()
            assert stats["degraded"] is False
            assert stats["p95_latency"].endswith("s")
            assert stats["samples"] == monitor.samples
            reranker.force_open()
            assert reranker.rerank(query=QUERY, documents=DOCUMENTS, top_k=2) == [DOCUMENTS[3], DOCUMENTS[0]]
            reranker.reset()


def test_the_pipeline(redis_url: str, cross_encoder_model: Any, expected: list[object]) -> None:
    with OptimizedRerankerPipeline(cross_encoder_model, None, redis_url, 3600, 0.95, 2.0) as pipeline:
        assert pipeline.rerank(QUERY, DOCUMENTS, 2) == expected[:2]
        assert pipeline.rerank(query=QUERY, documents=DOCUMENTS, top_k=3) == expected[:3]
        assert pipeline.get_stats()["cache"]["hit_rate"] == "50.00%"
        assert pipeline.get_stats()["reranker"]["samples"] == 1


class TestArgumentsCanBeReadBack:
    """Under the names of the constructors, as in the classes that are replaced."""

    def test_of_the_cache_and_of_a_reranker_over_it(self, redis_url: str) -> None:
        def length(query: str, texts: Sequence[str]) -> list[int]:
            return [len(text) for text in texts]

        with RedisSemanticCache(redis_url, WordEmbedder(), 0.85, 60) as cache:
            assert (cache.similarity_threshold, cache.ttl) == (0.85, 60)
            reranker = CachedReranker(length, cache)
            assert reranker.reranker is length
            assert (reranker.cache.similarity_threshold, reranker.cache.ttl) == (0.85, 60)
        with RedisSemanticCache(redis_url, WordEmbedder(), ttl=None) as cache:
            assert (cache.similarity_threshold, cache.ttl) == (0.97, None)

    def test_of_the_ladder_and_its_parts(self, redis_url: str) -> None:
        primary, fallback, monitor = CountingReranker("a"), CountingReranker("b"), LatencyMonitor(7, 1.5)
        with DegradableReranker(primary, fallback, monitor) as degradable:
            assert (degradable.primary_reranker, degradable.fallback_reranker) == (primary, fallback)
            assert degradable.monitor is monitor
        with AsyncBatchReranker(primary, 3, 2) as batching:
            assert (batching.reranker, batching.batch_size, batching.max_workers) == (primary, 3, 2)
        assert (monitor.window_size, monitor.p95_threshold) == (7, 1.5)

    def test_of_the_pipeline(self, redis_url: str) -> None:
        with OptimizedRerankerPipeline(
            CountingReranker(), None, redis_url, 60, 0.85, 1.5, embedding_model=WordEmbedder()
        ) as pipeline:
            assert (pipeline.cache.ttl, pipeline.cache.similarity_threshold) == (60, 0.85)
            assert pipeline.monitor is pipeline.reranker.monitor
            assert pipeline.monitor.p95_threshold == 1.5
            pipeline.rerank(QUERY, DOCUMENTS)
            assert pipeline.stats["cache_misses"] == 1
            assert pipeline.monitor.get_p95() < 1.5
