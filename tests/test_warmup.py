"""Warming up does what the first request would wait for, says how long it took, and raises what fails."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from semcache import AsyncBatchReranker, CachedReranker, OptimizedRerankerPipeline, RedisSemanticCache
from semcache.errors import RerankerError, StoreUnavailableError
from semcache.protocols import FloatArray, Scored
from semcache.settings import Settings
from tests.fakes import CountingReranker, OneRung, WordEmbedder

DOCUMENTS = ["a", "bb"]
NOWHERE = "redis://127.0.0.1:1"

Warm = Callable[[Any], dict[str, float]]


def by_call(reranker: Any) -> dict[str, float]:
    return reranker.warmup()  # type: ignore[no-any-return]


def awaited(reranker: Any) -> dict[str, float]:
    return asyncio.run(reranker.awarmup())


BOTH_WAYS = pytest.mark.parametrize("warm", [by_call, awaited])


class BrokenEmbedder(WordEmbedder):
    def embed(self, texts: Sequence[str]) -> FloatArray:
        raise OSError("no such weights")


@pytest.fixture
def knobs(namespace: str) -> Settings:
    return Settings(cache={"namespace": namespace})


@pytest.fixture
def cache(redis_url: str, knobs: Settings) -> Iterator[RedisSemanticCache]:
    with RedisSemanticCache(redis_url, WordEmbedder(), settings=knobs) as cache:
        yield cache


@BOTH_WAYS
def test_a_pipeline_calls_every_model_once_and_says_the_seconds(redis_url: str, knobs: Settings, warm: Warm) -> None:
    primary, fallback, embedder = CountingReranker("primary"), CountingReranker("fallback"), WordEmbedder()
    with OptimizedRerankerPipeline(primary, fallback, redis_url, embedding_model=embedder, settings=knobs) as pipeline:
        primary.pairs.clear()
        took = warm(pipeline)
        assert list(took) == ["redis", "embedder", "rerankers"]
        assert all(0 <= seconds < 60 for seconds in took.values())
        assert (len(primary.pairs), len(fallback.pairs), len(embedder.texts)) == (1, 1, 1)
        # Neither the breaker nor the record of the model's speed counts what loading took.
        assert pipeline.get_stats()["reranker"]["samples"] == 0
        assert pipeline.reranker.monitor.latencies == ()
        assert pipeline.get_stats()["cache"]["requests"] == 0


@BOTH_WAYS
def test_its_time_does_not_make_a_model_look_slow(warm: Warm) -> None:
    with AsyncBatchReranker(CountingReranker()) as reranker:
        warm(reranker.batcher) if warm is by_call else asyncio.run(reranker.batcher.awarmup())
        assert reranker.batcher.load().cost is None


@BOTH_WAYS
def test_a_single_reranker_and_a_cache_are_warmed_too(cache: RedisSemanticCache, warm: Warm) -> None:
    model = CountingReranker()
    assert list(warm(CachedReranker(model, cache))) == ["redis", "embedder", "rerankers"]
    assert len(model.pairs) == 1
    assert list(warm(cache)) == ["redis", "embedder"]


@BOTH_WAYS
def test_a_ladder_of_the_callers_own_that_cannot_be_warmed_is_left_out(cache: RedisSemanticCache, warm: Warm) -> None:
    ladder = OneRung(CountingReranker())
    assert warm(CachedReranker(ladder, cache))["rerankers"] < 1
    assert ladder.reranker.pairs == []
    assert isinstance(ladder.score("q", DOCUMENTS, [0]), Scored)


async def test_an_asynchronous_reranker_is_awaited(cache: RedisSemanticCache) -> None:
    asked: list[str] = []

    async def score(query: str, texts: list[str]) -> list[float]:
        asked.append(query)
        return [1.0] * len(texts)

    reranker = CachedReranker(score, cache, name="awaited", probe=False)
    await reranker.awarmup()
    await asyncio.to_thread(reranker.warmup)
    assert len(asked) == 2


@BOTH_WAYS
def test_what_fails_is_raised_as_it_is(redis_url: str, knobs: Settings, warm: Warm) -> None:
    with RedisSemanticCache(NOWHERE, WordEmbedder(), settings=knobs) as cache, pytest.raises(StoreUnavailableError):
        warm(cache)
    with (
        RedisSemanticCache(redis_url, BrokenEmbedder(), settings=knobs) as cache,
        pytest.raises(OSError, match="no such weights"),
    ):
        warm(cache)
    with (
        RedisSemanticCache(redis_url, WordEmbedder(), settings=knobs) as cache,
        pytest.raises(RerankerError, match="gave 0 scores"),
    ):
        warm(CachedReranker(lambda query, texts: [], cache, name="none", probe=False))


def test_eager_does_it_at_once(redis_url: str, knobs: Settings) -> None:
    embedder, model = WordEmbedder(), CountingReranker()
    with RedisSemanticCache(redis_url, embedder, settings=knobs, eager=True) as cache:
        assert len(embedder.texts) == 1
        CachedReranker(model, cache, eager=True)
        assert (len(embedder.texts), len(model.pairs)) == (2, 1)
    embedder.texts.clear()
    with OptimizedRerankerPipeline(
        model, None, redis_url, embedding_model=embedder, settings=knobs, eager=True
    ) as pipeline:
        assert embedder.texts
        assert len(model.pairs) == 2
        assert pipeline.rerank("q", DOCUMENTS).status == "fresh"


def test_eager_raises_what_fails_and_leaves_nothing_open(redis_url: str, knobs: Settings) -> None:
    with pytest.raises(StoreUnavailableError, match=r"127.0.0.1:1 cannot be reached"):
        RedisSemanticCache(NOWHERE, WordEmbedder(), settings=knobs, eager=True)
    with pytest.raises(StoreUnavailableError, match=r"127.0.0.1:1 cannot be reached"):
        OptimizedRerankerPipeline(
            CountingReranker(), None, NOWHERE, embedding_model=WordEmbedder(), settings=knobs, eager=True
        )
    with pytest.raises(OSError, match="no such weights"):
        OptimizedRerankerPipeline(
            CountingReranker(), None, redis_url, embedding_model=BrokenEmbedder(), settings=knobs, eager=True
        )
    broken = CountingReranker()
    broken.score = lambda pairs: broken.score_of(1, 2)  # type: ignore[assignment, arg-type]
    with pytest.raises(AttributeError):
        OptimizedRerankerPipeline(broken, None, redis_url, embedding_model=WordEmbedder(), settings=knobs, eager=True)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("semcache-model")]


def test_settings_can_be_eager(redis_url: str, namespace: str) -> None:
    settings = Settings(cache={"namespace": namespace}, redis={"url": redis_url}, rerankers=[{"kind": "embedding"}])
    embedder = WordEmbedder()
    with OptimizedRerankerPipeline.from_settings(settings, embedder=embedder, eager=True):
        assert embedder.texts
