"""Which guard a cache uses: of an argument, of the settings, or of the default."""

import numpy as np
import pytest

from semcache import CachedReranker, OptimizedRerankerPipeline, RedisSemanticCache, Settings
from semcache.errors import ConfigurationError
from semcache.protocols import FloatArray
from tests.fakes import CountingReranker

DOCUMENTS = ["a passage", "another passage", "a third passage"]
QUERY = "how can I lose weight fast"
NEAR = "what is a healthy method to lose weight quickly"
OPPOSITE = "how can I not lose weight fast"


class OneDirection:
    """Every query has the same vector, so that the guard alone keeps them apart."""

    name = "one direction"
    dims = 2

    def embed(self, texts: list[str]) -> FloatArray:
        return np.tile(np.array([1, 0], dtype=np.float32), (len(texts), 1))


def status_of(query: str, cache: RedisSemanticCache) -> str:
    with CachedReranker(CountingReranker(), cache) as reranker:
        reranker.cache.clear()
        reranker.rerank(QUERY, DOCUMENTS)
        return reranker.rerank(query, DOCUMENTS).status.value


@pytest.mark.parametrize(
    ("query", "guard", "expected"),
    [
        (NEAR, "facts", "semantic"),
        (NEAR, "strict", "fresh"),
        (OPPOSITE, "facts", "fresh"),
        (OPPOSITE, "off", "semantic"),
        (OPPOSITE, None, "semantic"),
    ],
)
def test_a_mode_is_an_argument_or_a_setting(
    redis_url: str, namespace: str, query: str, guard: str | None, expected: str
) -> None:
    settings = Settings(cache={"namespace": namespace}, reuse={"guard": "strict" if guard == "facts" else "facts"})
    cache = RedisSemanticCache(redis_url, OneDirection(), 0.9, guard=guard, settings=settings)
    assert status_of(query, cache) == expected
    if guard is not None:
        chosen = Settings(cache={"namespace": namespace}, reuse={"guard": guard})
        assert status_of(query, RedisSemanticCache(redis_url, OneDirection(), 0.9, settings=chosen)) == expected


def test_a_reranker_takes_a_guard_of_its_own(redis_url: str, namespace: str) -> None:
    cache = RedisSemanticCache(redis_url, OneDirection(), settings=Settings(cache={"namespace": namespace}))
    for guard, expected in (("off", "semantic"), ("strict", "fresh")):
        reranker = CachedReranker(CountingReranker(guard), cache, guard=guard)
        reranker.rerank(QUERY, DOCUMENTS)
        assert reranker.rerank(OPPOSITE, DOCUMENTS).status == expected
    with pytest.raises(ConfigurationError, match="give 'facts', 'strict' or 'off'"):
        CachedReranker(CountingReranker(), cache, guard="loose")


def test_a_pipeline_takes_a_guard(redis_url: str, namespace: str) -> None:
    settings = Settings(cache={"namespace": namespace})
    with OptimizedRerankerPipeline(
        CountingReranker(), None, redis_url, embedding_model=OneDirection(), guard="off", settings=settings
    ) as pipeline:
        pipeline.rerank(QUERY, DOCUMENTS)
        assert pipeline.rerank(OPPOSITE, DOCUMENTS).status == "semantic"


@pytest.mark.parametrize("guard", ["loose", 3, object()])
def test_another_guard_is_refused(redis_url: str, guard: object) -> None:
    with pytest.raises(ConfigurationError, match="give 'facts', 'strict' or 'off'"):
        RedisSemanticCache(redis_url, OneDirection(), guard=guard)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["reranker", "pipeline"])
def test_a_rewording_is_served_at_a_lower_threshold(redis_url: str, namespace: str, kind: str) -> None:
    """With the real embedder: the similarity of the two wordings is 0.825."""
    settings = Settings(cache={"namespace": namespace})
    if kind == "reranker":
        cache = RedisSemanticCache(redis_url, similarity_threshold=0.80, settings=settings)
        reranker = CachedReranker(CountingReranker(), cache)
    else:
        reranker = OptimizedRerankerPipeline(
            CountingReranker(), None, redis_url, similarity_threshold=0.80, settings=settings
        )
    with reranker:
        statuses = [
            reranker.rerank(query, DOCUMENTS).status.value
            for query in ("How does RAG work?", "How does RAG work?", "Explain how RAG functions")
        ]
        stats = reranker.get_stats()
    assert statuses == ["fresh", "exact", "semantic"]
    assert (stats["cache"] if kind == "pipeline" else stats)["hit_rate"] == "66.67%"
