"""Trouble is never silent: a warning per outage, the last error of each part, and whether answers are degraded now."""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import FloatArray, Pair
from semcache.ranking import Status
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.redis.conftest import server_pid

QUERY = "what did the patient John Smith die of"
DOCUMENTS = [f"file {n}: the patient John Smith died of a secret disease in ward {n * 7}" for n in range(6)]
SECRETS = ("Smith", "disease", "patient", "geheim")


class Quoting(CountingReranker):
    """Fails when it is told to, and quotes what it was asked."""

    is_failing = False

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        if self.is_failing:
            raise RuntimeError(f"model gone while reading {pairs[0]!r} with api_key=geheim")
        return super().score(pairs)


class QuotingEmbedder(WordEmbedder):
    is_failing = False

    def embed(self, texts: Sequence[str]) -> FloatArray:
        if self.is_failing:
            raise ValueError(f"cannot embed {list(texts)}")
        return super().embed(texts)


def settings(namespace: str, **redis: Any) -> Settings:
    return Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0}, redis=redis)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """The records of the library, at the level that an application sees that has set up nothing."""
    caplog.set_level("WARNING")
    return caplog


def lines(warnings: pytest.LogCaptureFixture) -> list[str]:
    taken = [record.getMessage() for record in warnings.records if record.name == "semcache"]
    warnings.clear()
    return taken


@pytest.fixture
def pipeline(redis_url: str, namespace: str) -> Iterator[OptimizedRerankerPipeline]:
    with OptimizedRerankerPipeline(
        Quoting("primary"),
        CountingReranker("below"),
        redis_url,
        embedding_model=QuotingEmbedder(),
        settings=settings(namespace),
    ) as pipeline:
        yield pipeline


def primary(pipeline: OptimizedRerankerPipeline) -> Quoting:
    reranker = pipeline.reranker.primary_reranker.reranker
    assert isinstance(reranker, Quoting)
    return reranker


class TestWarnings:
    def test_counts_say_how_often_redis_was_left_alone(self, namespace: str) -> None:
        settings = Settings(redis={"url": "redis://127.0.0.1:9"}, cache={"namespace": namespace})
        pipeline = OptimizedRerankerPipeline(
            CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings
        )
        with pipeline:
            pipeline.rerank("red apples", ["an apple", "a car"])
            assert pipeline.get_stats()["cache"]["outages"] == 1
        with EmbeddedRedis() as server:
            settings = Settings(redis={"url": server.url}, cache={"namespace": namespace})
            pipeline = OptimizedRerankerPipeline(
                CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings
            )
            with pipeline:
                assert pipeline.get_stats()["cache"]["outages"] == 0
                server.close()
                pipeline.rerank("red apples", ["an apple", "a car"])
                assert pipeline.get_stats()["cache"]["outages"] == 1

    def test_redis_away_and_back_and_away_again(self, namespace: str, warnings: pytest.LogCaptureFixture) -> None:
        quick = settings(namespace, timeout_s=0.1, retry_after_s=0.01, max_retry_after_s=0.01)
        with EmbeddedRedis() as server, RedisSemanticCache(server.url, WordEmbedder(), settings=quick) as cache:
            pid, reranker = server_pid(server), CachedReranker(CountingReranker(), cache)
            reranker.rerank(QUERY, DOCUMENTS)
            assert lines(warnings) == []
            for _ in range(3):
                os.kill(pid, signal.SIGSTOP)
                assert {reranker.rerank(QUERY, DOCUMENTS).status for _ in range(4)} == {Status.FRESH}
                [line] = lines(warnings)
                assert line.startswith("Redis is away, and requests go on without the cache: Redis at ")
                os.kill(pid, signal.SIGCONT)
                tries = iter(range(10_000))
                while reranker.rerank(QUERY, DOCUMENTS).status is not Status.EXACT:
                    assert next(tries) < 9_999
                [line] = lines(warnings)
                assert line.startswith("Redis is back after")

    def test_a_reranker_that_fails_and_answers_again(
        self, pipeline: OptimizedRerankerPipeline, warnings: pytest.LogCaptureFixture
    ) -> None:
        for time in range(3):
            primary(pipeline).is_failing = True
            for n in range(4):
                pipeline.rerank(f"question {n} here", DOCUMENTS)
            [line] = lines(warnings)
            assert line == "reranker primary failed: RuntimeError: model gone while reading ('…', '…') with api_key=***"
            primary(pipeline).is_failing = False
            pipeline.rerank(f"question number {time}", DOCUMENTS)
            [line] = lines(warnings)
            assert line.startswith("reranker primary answers again after")

    def test_the_breaker(self, pipeline: OptimizedRerankerPipeline, warnings: pytest.LogCaptureFixture) -> None:
        pipeline.reranker.force_open()
        pipeline.rerank(QUERY, DOCUMENTS)
        pipeline.reranker.reset()
        assert lines(warnings) == [
            "the circuit breaker of primary is open (forced): others answer",
            "the circuit breaker of primary is closed (reset)",
        ]

    def test_no_text_and_no_password_is_in_any_of_them(
        self, pipeline: OptimizedRerankerPipeline, warnings: pytest.LogCaptureFixture
    ) -> None:
        primary(pipeline).is_failing = True
        embedder = pipeline.cache.backend.embedder
        assert isinstance(embedder, QuotingEmbedder)
        embedder.is_failing = True
        ranking = pipeline.rerank(QUERY, DOCUMENTS)
        with CachedReranker(
            Quoting(), RedisSemanticCache("redis://me:geheim@localhost:1", WordEmbedder(), 0.9)
        ) as lonely:
            lonely.rerank(QUERY, DOCUMENTS)
            seen = [*lines(warnings), ranking.why, repr(pipeline.get_stats()), repr(lonely.get_stats())]
        assert len(seen) >= 6
        assert [secret for secret in SECRETS for text in seen if secret in text] == []

    def test_a_cache_without_reranker_warns_too(self, warnings: pytest.LogCaptureFixture) -> None:
        with RedisSemanticCache("redis://localhost:1", WordEmbedder()) as cache:
            assert cache.get(QUERY, DOCUMENTS) is None
        [line] = lines(warnings)
        assert "localhost:1 cannot be reached" in line


class TestLastErrors:
    def test_of_the_pipeline(self, pipeline: OptimizedRerankerPipeline) -> None:
        stats = pipeline.get_stats()
        assert stats["cache"]["last_error"] == {"cache": None, "embedder": None, "reranker": {}}
        assert stats["reranker"]["last_error"] == {}
        primary(pipeline).is_failing = True
        pipeline.rerank(QUERY, DOCUMENTS)
        stats = pipeline.get_stats()
        for shown in (stats["reranker"]["last_error"], stats["cache"]["last_error"]["reranker"]):
            assert shown["primary"]["error"].startswith("RuntimeError: model gone")
            assert 0 <= shown["primary"]["seconds_ago"] < 60

    def test_of_a_reranker_whose_error_reaches_the_caller(self, redis_url: str, namespace: str) -> None:
        reranker = Quoting("only")
        with CachedReranker(
            reranker, RedisSemanticCache(redis_url, WordEmbedder(), settings=settings(namespace))
        ) as cached:
            reranker.is_failing = True
            with pytest.raises(RuntimeError, match="Smith"):
                cached.rerank(QUERY, DOCUMENTS)
            with pytest.raises(RuntimeError):
                cached.rerank_many([QUERY], [DOCUMENTS])
            stats = cached.get_stats()
            assert stats["rung_failures"] == 2
            assert stats["last_error"]["reranker"]["only"]["error"].startswith("RuntimeError: model gone")

    def test_of_a_cache_that_is_away_with_the_cause(self) -> None:
        with CachedReranker(CountingReranker(), RedisSemanticCache("redis://localhost:1", WordEmbedder())) as cached:
            ranking = cached.rerank(QUERY, DOCUMENTS)
            error = cached.get_stats()["last_error"]["cache"]["error"]
            assert "localhost:1 cannot be reached" in error, "what opened the circuit breaker"
            assert ranking.why.startswith("cache unavailable: StoreLeftAloneError")

    def test_of_an_embedder(self, pipeline: OptimizedRerankerPipeline) -> None:
        embedder = pipeline.cache.backend.embedder
        assert isinstance(embedder, QuotingEmbedder)
        embedder.is_failing = True
        ranking = pipeline.rerank(QUERY, DOCUMENTS)
        assert ranking.why == "query not embedded: ValueError: cannot embed ['…']"
        shown = pipeline.get_stats()["cache"]["last_error"]["embedder"]
        assert (shown["error"], shown["step"]) == ("ValueError: cannot embed ['…']", "Embed")


class TestDegradedNow:
    def test_with_a_closed_breaker(self, pipeline: OptimizedRerankerPipeline) -> None:
        """Every fourth request gets through, so that five errors in a row never open the breaker."""
        for n in range(40):
            primary(pipeline).is_failing = n % 4 != 0
            pipeline.rerank(f"question {n} here", DOCUMENTS)
        stats = pipeline.get_stats()["reranker"]
        assert (stats["degraded"], stats["degraded_reason"], stats["state"]) == (True, "error", "closed")
        assert stats["degraded_share"] == 0.75
        assert pipeline.reranker.degraded is True
        primary(pipeline).is_failing = False
        for n in range(100):
            pipeline.rerank(f"well {n} again", DOCUMENTS)
        stats = pipeline.get_stats()["reranker"]
        assert (stats["degraded"], stats["degraded_reason"], stats["degraded_share"]) == (False, None, 0.0)
        assert pipeline.reranker.degraded is False

    def test_with_an_open_breaker_and_without_traffic(self, pipeline: OptimizedRerankerPipeline) -> None:
        pipeline.reranker.force_open()
        stats = pipeline.get_stats()["reranker"]
        assert (stats["degraded"], stats["degraded_reason"], stats["state"]) == (True, "open", "forced-open")
        pipeline.rerank(QUERY, DOCUMENTS)
        pipeline.reranker.reset()
        assert pipeline.get_stats()["reranker"]["degraded"] is False, "the primary is asked again"
