"""The whole: old names positionally and by keyword, fallbacks that leave no trace, everything closed at the end."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

import semcache
from semcache import OptimizedRerankerPipeline, Status
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.rung import LadderRung
from semcache.errors import ConfigurationError
from semcache.events import BreakerChanged, Degraded, Event
from semcache.protocols import FloatArray, Pair
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = [SimpleNamespace(page_content=f"passage {n} about the moon", metadata={"n": n}) for n in range(20)]
QUERY = "how far is the moon"


class Moody(CountingReranker):
    """A primary that can be told to fail."""

    error: Exception | None = None

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        if self.error is not None:
            raise self.error
        return super().score(pairs)


class Backwards(CountingReranker):
    """A fallback with an order of its own."""

    def score_of(self, query: str, text: str) -> float:
        return -super().score_of(query, text)


@pytest.fixture
def knobs(namespace: str) -> Settings:
    return Settings(cache={"namespace": namespace})


@pytest.fixture
def heard() -> list[Event]:
    """What an observer of the pipeline heard."""
    return []


@pytest.fixture
def primary() -> Moody:
    """The first reranker of the pipeline."""
    return Moody("primary")


@pytest.fixture
def pipeline(
    redis_url: str, knobs: Settings, primary: Moody, heard: list[Event]
) -> Iterator[OptimizedRerankerPipeline]:
    with OptimizedRerankerPipeline(
        primary,
        Backwards("fallback"),
        redis_url,
        embedding_model=WordEmbedder(),
        settings=knobs,
        observers=[heard.append],
    ) as pipeline:
        yield pipeline


def test_the_old_constructor_by_position_and_by_keyword(redis_url: str) -> None:
    by_position = OptimizedRerankerPipeline(
        Moody(), Backwards(), redis_url, 60, 0.9, 1.5, embedding_model=WordEmbedder()
    )
    by_keyword = OptimizedRerankerPipeline(
        primary_reranker=Moody(),
        fallback_reranker=Backwards(),
        redis_url=redis_url,
        cache_ttl=60,
        similarity_threshold=0.9,
        p95_threshold=1.5,
        embedding_model=WordEmbedder(),
    )
    for pipeline in (by_position, by_keyword):
        with pipeline:
            assert pipeline.cache.scoped.policy().reuse.trust_threshold == 0.9
            assert pipeline.cache.backend.ttl_s == 60
            assert pipeline.reranker.monitor.p95_threshold == 1.5
            assert pipeline.get_stats().keys() == {"cache", "reranker"}
            assert pipeline.get_stats()["reranker"]["degraded"] is False


def test_what_the_fallback_said_is_never_served_as_the_primarys(
    pipeline: OptimizedRerankerPipeline, primary: Moody
) -> None:
    primary.error = RuntimeError("model gone")
    degraded = pipeline.rerank(QUERY, DOCUMENTS)
    assert (degraded.status, degraded.reason, degraded.reranker) == (Status.DEGRADED, "error", "fallback")
    assert pipeline.cache.lookup(QUERY, DOCUMENTS).status is None
    primary.error = None
    fresh = pipeline.rerank(QUERY, DOCUMENTS)
    assert (fresh.status, fresh.reranker) == (Status.FRESH, "primary")
    assert pipeline.rerank(QUERY, DOCUMENTS).scores == fresh.scores


def test_errors_open_the_breaker_and_hits_are_served_meanwhile(
    pipeline: OptimizedRerankerPipeline, primary: Moody, heard: list[Event]
) -> None:
    known = pipeline.rerank(QUERY, DOCUMENTS)
    primary.error = RuntimeError("model gone")
    reasons = [pipeline.rerank(f"question {n} here", DOCUMENTS).reason for n in range(7)]
    assert reasons == ["error"] * 5 + ["open"] * 2
    assert pipeline.get_stats()["reranker"]["degraded"] is True
    assert pipeline.rerank(QUERY, DOCUMENTS).scores == known.scores
    assert [event.new for event in heard if isinstance(event, BreakerChanged)] == ["open"]
    assert len([event for event in heard if isinstance(event, Degraded)]) == 7
    pipeline.reranker.reset()
    primary.error = None
    assert pipeline.rerank("question 1 here", DOCUMENTS).status is Status.FRESH


@pytest.mark.parametrize(("state", "shown"), [("open", "forced-open"), ("disabled", "disabled"), ("auto", "closed")])
def test_the_settings_can_take_the_primary_out_of_service(
    redis_url: str, namespace: str, primary: Moody, state: str, shown: str
) -> None:
    knobs = Settings(cache={"namespace": namespace}, breaker={"state": state})
    with OptimizedRerankerPipeline(
        primary, None, redis_url, embedding_model=WordEmbedder(), settings=knobs
    ) as pipeline:
        ranking = pipeline.rerank(QUERY, DOCUMENTS)
        rung = pipeline.get_stats()["reranker"]["rungs"][0]
    assert ranking.reason == ("open" if state == "open" else None)
    assert rung["state"] == shown
    assert rung["cause"] == (None if state == "auto" else "setting breaker.state")


def test_rungs_have_options_of_their_own_in_code_and_in_settings(
    redis_url: str, namespace: str, primary: Moody
) -> None:
    knobs = Settings(
        cache={"namespace": namespace},
        rerankers=[
            {"kind": "embedding", "timeout_s": 0.5, "p95_threshold_s": 0.4},
            {"kind": "embedding", "timeout_s": 0.25},
        ],
    )
    embedder = WordEmbedder()
    with OptimizedRerankerPipeline(redis_url=redis_url, embedding_model=embedder, settings=knobs) as pipeline:
        assert pipeline.monitor.p95_threshold == 0.4
        assert "timeout 0.5 s" in repr(pipeline.reranker)
        assert "timeout 0.25 s" in repr(pipeline.reranker)
    rung = LadderRung(primary, timeout_s=1.5, monitor=LatencyMonitor(p95_threshold=1.0))
    with OptimizedRerankerPipeline(
        rung, LadderRung(Backwards("fallback"), timeout_s=0.75), redis_url, embedding_model=embedder, settings=knobs
    ) as pipeline:
        assert pipeline.monitor.p95_threshold == 1.0
        assert pipeline.rerank(QUERY, DOCUMENTS).status is Status.FRESH


def test_without_any_fallback_the_retrievers_order_answers(redis_url: str, knobs: Settings, primary: Moody) -> None:
    with OptimizedRerankerPipeline(
        primary, None, redis_url, embedding_model=WordEmbedder(), settings=knobs
    ) as pipeline:
        primary.error = RuntimeError("model gone")
        ranking = pipeline.rerank(QUERY, DOCUMENTS, 3)
        assert (list(ranking), ranking.scores, ranking.status) == (DOCUMENTS[:3], None, Status.DEGRADED)


def test_a_deadline_is_kept_by_the_fallback(redis_url: str, knobs: Settings) -> None:
    gate = threading.Event()

    class Stuck(CountingReranker):
        def score(self, pairs: Sequence[Pair]) -> FloatArray:
            gate.wait(30)
            return super().score(pairs)

    with OptimizedRerankerPipeline(
        Stuck(), Backwards("fallback"), redis_url, embedding_model=WordEmbedder(), settings=knobs
    ) as pipeline:
        ranking = pipeline.rerank(QUERY, DOCUMENTS, deadline_s=0.3)
        assert (ranking.status, ranking.reason) == (Status.DEGRADED, "deadline")
        assert pipeline.rerank("best pizza dough", DOCUMENTS).reason == "busy"
        gate.set()


async def test_everything_in_an_event_loop(redis_url: str, knobs: Settings, primary: Moody) -> None:
    async with OptimizedRerankerPipeline(
        primary, Backwards("fallback"), redis_url, embedding_model=WordEmbedder(), settings=knobs
    ) as pipeline:
        queries = [
            "red apples",
            "cold wind",
            "old ships",
            "tall trees",
            "deep caves",
            "loud bells",
            "warm bread",
            "long roads",
        ]
        first = await asyncio.gather(*(pipeline.arerank(query, DOCUMENTS) for query in queries))
        again = await pipeline.arerank_many(queries, [DOCUMENTS] * 8)
        assert {ranking.status for ranking in again} == {Status.EXACT}
        assert [ranking.indices for ranking in again] == [ranking.indices for ranking in first]
        primary.error = RuntimeError("model gone")
        assert (await pipeline.arerank("best pizza dough", DOCUMENTS)).reranker == "fallback"


def test_closing_ends_every_thread(redis_url: str, knobs: Settings) -> None:
    before = set(threading.enumerate())
    pipeline = OptimizedRerankerPipeline(
        Moody(), Backwards(), redis_url, embedding_model=WordEmbedder(), settings=knobs
    )
    pipeline.rerank(QUERY, DOCUMENTS)
    pipeline.rerank_many([QUERY, "best pizza dough"], [DOCUMENTS] * 2)
    pipeline.close()
    assert set(threading.enumerate()) <= before
    pipeline.close()


def test_everything_from_settings_with_the_real_models(namespace: str) -> None:
    settings = Settings(redis={"url": "embedded"}, cache={"namespace": namespace})
    passages = [
        "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
        "New York City is famous for the Metropolitan Museum of Art.",
        "Berlin is well known for its museums.",
        "The mayor of Berlin is elected by the house of representatives.",
    ]
    with OptimizedRerankerPipeline.from_settings(settings) as pipeline:
        fresh = pipeline.rerank("How many people live in Berlin?", passages, 2)
        assert fresh[0] == passages[0]
        assert fresh.scores[0] == pytest.approx(9.15, abs=0.7), "the model's card says 9.22 for float32"
        exact = pipeline.rerank("How many people live in Berlin?", passages, 4)
        assert (exact.status, exact.scores[:2]) == (Status.EXACT, fresh.scores)
        near = pipeline.rerank("how many people live in Berlin ?", passages, 2)
        assert near.status is Status.SEMANTIC
        assert near.similarity > 0.97
        assert pipeline.rerank("what is the best way to cook rice", passages, 2).status is Status.FRESH
        stats = pipeline.get_stats()
        assert stats["cache"]["cache_failures"] == 0
        assert stats["reranker"]["samples"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"similarity_threshold": 1.2}, "similarity_threshold is 1.2; give a cosine from -1 to 1"),
        ({"cache_ttl": -1}, "ttl is -1; give a number of seconds above 0"),
        ({"redis_url": "localhost:6379"}, "redis://"),
    ],
)
def test_bad_arguments_are_named_with_their_remedy(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        OptimizedRerankerPipeline(Moody(), Backwards(), embedding_model=WordEmbedder(), **arguments)


def test_a_reranker_that_is_none_says_what_was_looked_for(redis_url: str) -> None:
    with pytest.raises(semcache.SemcacheError, match="looked for"):
        OptimizedRerankerPipeline(object(), None, redis_url, embedding_model=WordEmbedder())
