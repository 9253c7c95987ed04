"""What the event of a request tells of the look-up behind it: the nearest entry, and seconds spent and saved."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from semcache import OptimizedRerankerPipeline
from semcache.events import BatchScored, CacheFailed, Event, Reranked
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = [f"passage {n} about the moon" for n in range(6)]
QUERY = "how far is the moon from here"
FAR = "completely other words come now"
NEAR = "how far is the moon from there"


class Asked:
    """A pipeline, and the events of its requests."""

    def __init__(self, redis_url: str, namespace: str, **settings: Any) -> None:
        self.events: list[Event] = []
        reuse = {"trust_threshold": 0.95, "reuse_threshold": 0.8, "audit_rate": 0}
        settings = {"reuse": reuse, "prune": {"mode": "off"}, "cache": {"namespace": namespace}} | settings
        self.pipeline = OptimizedRerankerPipeline(
            CountingReranker(),
            None,
            redis_url,
            embedding_model=WordEmbedder(),
            guard="off",
            settings=Settings(**settings),
            observers=[self.events.append],
        )

    def of(self, query: str, documents: list[str] | None = None) -> Reranked:
        self.pipeline.rerank(query, documents or DOCUMENTS, 3)
        return self.last(Reranked)

    async def aof(self, query: str) -> Reranked:
        await self.pipeline.arerank(query, DOCUMENTS, 3)
        return self.last(Reranked)

    def last(self, kind: type[Any]) -> Any:
        return next(event for event in reversed(self.events) if isinstance(event, kind))


@pytest.fixture(scope="module")
def asked(redis_url: str) -> Iterator[Asked]:
    """A pipeline that remembers QUERY."""
    asked = Asked(redis_url, "measures")
    with asked.pipeline:
        asked.pipeline.cache.clear()
        asked.of(QUERY)
        yield asked


def test_every_look_up_by_meaning_tells_of_the_nearest_also_where_it_is_too_far(asked: Asked) -> None:
    near, far = asked.of(NEAR), asked.of(FAR)
    assert (near.status, far.status) == ("verified", "fresh")
    assert near.nearest == near.similarity and near.nearest is not None and near.nearest > 0.8
    assert far.similarity is None
    assert far.nearest is not None and -1 <= far.nearest < 0.8


def test_an_exact_hit_looks_for_nothing_and_says_so(asked: Asked) -> None:
    exact = asked.of(QUERY)
    assert (exact.status, exact.nearest, exact.embedding_s) == ("exact", None, None)
    assert exact.redis_s is not None and 0 < exact.redis_s <= exact.duration_s


def test_the_query_of_a_partial_hit_is_not_its_own_nearest(asked: Asked) -> None:
    asked.of(QUERY)
    partial = asked.of(QUERY, [*DOCUMENTS, "a new passage"])
    assert partial.status == "partial" and partial.embedding_s is None
    assert partial.nearest is None or partial.nearest < 0.999


def test_the_first_request_of_a_scope_has_no_nearest(redis_url: str, namespace: str) -> None:
    first = Asked(redis_url, namespace)
    with first.pipeline:
        assert first.of(QUERY).nearest is None


@pytest.mark.parametrize("query", [NEAR + " please", FAR + " please"])
def test_seconds_of_redis_and_of_the_embedder_are_parts_of_the_whole(asked: Asked, query: str) -> None:
    for event in (asked.of(query), asyncio.run(asked.aof(query + " soon"))):
        assert event.redis_s is not None and event.embedding_s is not None
        assert event.redis_s > 0 and event.embedding_s > 0
        assert event.redis_s + event.embedding_s <= event.duration_s


def test_requests_together_have_no_round_trip_of_their_own(asked: Asked) -> None:
    asked.pipeline.rerank_many(["one red word", "two red words"], [DOCUMENTS] * 2)
    events = [event for event in asked.events if isinstance(event, Reranked)][-2:]
    assert [event.redis_s for event in events] == [None, None]
    assert events[0].embedding_s == events[1].embedding_s and events[0].embedding_s
    assert all(event.nearest is not None for event in events)


def test_an_embedder_that_fails_took_its_time_too(redis_url: str, namespace: str) -> None:
    class Broken(WordEmbedder):
        def embed(self, texts: Any) -> Any:
            raise OSError("gone")

    settings = Settings(cache={"namespace": namespace})
    events: list[Event] = []
    with OptimizedRerankerPipeline(
        CountingReranker(), None, redis_url, embedding_model=Broken(), settings=settings, observers=[events.append]
    ) as pipeline:
        pipeline.rerank(QUERY, DOCUMENTS)
    [request] = [event for event in events if isinstance(event, Reranked)]
    assert request.embedding_s and request.nearest is None
    [failure] = [event for event in events if isinstance(event, CacheFailed) and event.step == "Embed"]
    assert failure.error_class == "OSError"


def test_what_was_saved_follows_from_what_calls_took(asked: Asked) -> None:
    fresh = asked.of("some words that are new here")
    batch = asked.last(BatchScored)
    assert fresh.saved_s == 0
    assert batch.queued == 0 and batch.fixed_s >= 0 and batch.per_pair_s > 0
    exact = asked.of("some words that are new here")
    assert exact.saved_s == pytest.approx(len(DOCUMENTS) * batch.per_pair_s + batch.fixed_s)
    assert asked.pipeline.get_stats()["cache"]["saved_s"] >= exact.saved_s - 1e-6


def test_nothing_is_known_to_be_saved_before_the_first_call(redis_url: str, namespace: str) -> None:
    before = Asked(redis_url, namespace)
    with before.pipeline:
        before.pipeline.cache.of("counting").remember(QUERY, DOCUMENTS, [1.0] * len(DOCUMENTS))
        exact = before.of(QUERY)
    assert (exact.status, exact.saved_s) == ("exact", None)


def test_threads_that_share_a_computation_each_tell_what_they_waited_for_redis(asked: Asked) -> None:
    count = len(asked.events)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(asked.of, ["a query of many threads"] * 4))
    requests = [event for event in asked.events[count:] if isinstance(event, Reranked)]
    assert len(requests) == 4
    assert sum(event.redis_s or 0 for event in requests) <= sum(event.duration_s for event in requests)
