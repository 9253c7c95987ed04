"""Bursts of requests to a service: as many calls at once as it allows, and every answer fresh."""

import asyncio
from collections.abc import Callable
from threading import Event, Lock
from time import monotonic
from typing import Any

import pytest

from semcache import OptimizedRerankerPipeline
from semcache.settings import Settings
from tests.fakes import WordEmbedder

CALL_S = 0.03
AT_ONCE = 25
DOCUMENTS = [f"document {'x' * number}" for number in range(8)]


class Service:
    """Takes a while for each call, and knows how many were made at once."""

    def __init__(self) -> None:
        self.under_way = self.most = self.calls = 0
        self._lock = Lock()

    def begin(self) -> None:
        with self._lock:
            self.calls += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)

    def end(self, texts: list[str]) -> list[float]:
        with self._lock:
            self.under_way -= 1
        return [float(len(text)) for text in texts]

    def blocking(self, query: str, texts: list[str]) -> list[float]:
        self.begin()
        Event().wait(CALL_S)
        return self.end(texts)

    async def awaited(self, query: str, texts: list[str]) -> list[float]:
        self.begin()
        await asyncio.sleep(CALL_S)
        return self.end(texts)


def pipeline_of(
    function: Callable[..., Any], redis_url: str, knobs: Settings, **given: Any
) -> OptimizedRerankerPipeline:
    return OptimizedRerankerPipeline(
        function, None, redis_url, embedding_model=WordEmbedder(), probe=False, settings=knobs, **given
    )


@pytest.mark.parametrize("kind", ["blocking", "awaited"])
async def test_a_burst_is_answered_by_the_service_alone(kind: str, redis_url: str, namespace: str) -> None:
    service = Service()
    # A threshold that a busy machine keeps: what is tested here is that none is turned away.
    given = {"concurrency": AT_ONCE, "p95_threshold": 20.0}
    async with pipeline_of(
        getattr(service, kind), redis_url, Settings(cache={"namespace": namespace}), **given
    ) as pipeline:
        queries = [f"query {number} of {number * 7919}" for number in range(4 * AT_ONCE)]
        rankings = await asyncio.gather(*(pipeline.arerank(query, DOCUMENTS, top_k=3) for query in queries))
        stats = pipeline.get_stats()["reranker"]["batching"]
    assert {(str(ranking.status), ranking.reason) for ranking in rankings} == {("fresh", None)}
    assert (service.calls, service.most <= AT_ONCE) == (4 * AT_ONCE, True)
    assert service.most > AT_ONCE / 2
    assert (stats["kind"], stats["concurrency"], stats["answered"]) == ("remote", AT_ONCE, 4 * AT_ONCE)


async def test_a_rate_limit_is_kept_and_those_it_makes_late_are_told_at_once(redis_url: str, namespace: str) -> None:
    service = Service()
    settings = Settings(
        cache={"namespace": namespace}, batching={"requests_per_minute": 60, "concurrency": 50, "repair": False}
    )
    async with pipeline_of(service.awaited, redis_url, settings) as pipeline:
        began = monotonic()
        rankings = await asyncio.gather(
            *(pipeline.arerank(f"query {number}", DOCUMENTS, deadline_s=0.5) for number in range(5))
        )
    assert sorted(str(ranking.reason) for ranking in rankings) == ["None", *["deadline"] * 4]
    assert service.calls == 1
    assert monotonic() - began < 10


@pytest.mark.parametrize("how", ["rerank_many", "arerank_many", "warm", "awarm"])
async def test_calls_for_many_requests_turn_none_of_their_own_away(how: str, redis_url: str, namespace: str) -> None:
    knobs = Settings(cache={"namespace": namespace}, monitor={"p95_threshold_s": 0.3}, batching={"repair": False})
    queries = [f"question {number} {number * number}" for number in range(12)]

    def model(query: str, texts: list[str]) -> list[float]:
        Event().wait(0.005 * len(texts))  # all of them take 0.5 s, and a request waits for 0.24 s at most
        return [float(len(text)) for text in texts]

    with pipeline_of(model, redis_url, knobs) as pipeline:
        pipeline.rerank("what the model takes for a pair is known from this one", DOCUMENTS)
        log = [(query, DOCUMENTS) for query in queries]
        match how:
            case "rerank_many":
                rankings = await asyncio.to_thread(pipeline.rerank_many, queries, [DOCUMENTS] * len(queries))
                assert {ranking.status for ranking in rankings} == {"fresh"}
            case "arerank_many":
                rankings = await pipeline.arerank_many(queries, [DOCUMENTS] * len(queries))
                assert {ranking.status for ranking in rankings} == {"fresh"}
            case "warm":
                assert await asyncio.to_thread(pipeline.warm, log) == len(queries) * len(DOCUMENTS)
            case "awarm":
                assert await pipeline.awarm(log) == len(queries) * len(DOCUMENTS)
        assert {pipeline.rerank(query, DOCUMENTS).status for query in queries} == {"exact"}
