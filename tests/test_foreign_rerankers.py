"""Rerankers of other libraries behind a cache: what is remembered of their scores and of their orders."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from semcache import AsyncBatchReranker, CachedReranker, OptimizedRerankerPipeline, RedisSemanticCache
from semcache.errors import ConfigurationError
from semcache.rerankers import adapt
from semcache.settings import Settings
from tests.fakes import WordEmbedder

DOCUMENTS = ["the moon is far away", "a mango", "the moon"]


class Service:
    """Answers the relevance of each document, best first; counts what it is sent."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.asked: list[int] = []

    def relevance(self, document: str) -> float:
        return len(document) / 128

    def rerank(self, query: str, documents: Sequence[str], top_n: int) -> Any:
        if len(documents) > self.limit:
            raise ValueError(f"400: at most {self.limit} documents per call, got {len(documents)}")
        self.asked.append(len(documents))
        scores = list(map(self.relevance, documents))
        best = sorted(range(len(documents)), key=lambda at: -scores[at])[:top_n]
        return {"results": [{"index": at, "relevance_score": scores[at]} for at in best]}


class Moody(Service):
    """The same service, after it has lost its scores."""

    def rerank(self, query: str, documents: Sequence[str], top_n: int) -> Any:
        return [{"index": result["index"]} for result in super().rerank(query, documents, top_n)["results"]][::-1]


class Awaited(Service):
    async def rerank(self, query: str, documents: Sequence[str], top_n: int) -> Any:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().rerank(query, documents, top_n)


def cached(redis_url: str, namespace: str, reranker: Any) -> CachedReranker:
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    return CachedReranker(reranker, RedisSemanticCache(redis_url, WordEmbedder(), 0.9, settings=settings))


def scores(documents: Sequence[str]) -> list[float]:
    return sorted((len(document) / 128 for document in documents), reverse=True)


def test_scores_of_a_service_are_kept_and_only_unknown_documents_are_asked_about(
    redis_url: str, namespace: str
) -> None:
    service = Service()
    with cached(redis_url, namespace, adapt(service, name="service", version="1", listwise=False)) as reranker:
        first = reranker.rerank("how far is the moon", DOCUMENTS, 3)
        assert list(first.scores or ()) == scores(DOCUMENTS)
        more = reranker.rerank("how far is the moon", [*DOCUMENTS, "a fruit"], 4)
        assert (more.status, more.asked) == ("partial", 1)
        assert list(more.scores or ()) == scores([*DOCUMENTS, "a fruit"])
    assert service.asked == [3, 1]


def test_an_order_is_remembered_whole(redis_url: str, namespace: str) -> None:
    ranker = Moody()
    with cached(redis_url, namespace, adapt(ranker, name="moody", version="1", listwise=True)) as reranker:
        assert reranker.rerank("how far is the moon", DOCUMENTS, 3).scores == (3.0, 2.0, 1.0)
        assert reranker.rerank("how far is the moon", DOCUMENTS, 3).status == "exact"
        assert reranker.rerank("how far is the moon", [*DOCUMENTS, "a fruit"], 4).status == "fresh"
    assert ranker.asked == [3, 4]


def test_orders_and_scores_under_one_name_never_meet(redis_url: str, namespace: str) -> None:
    # As when one process could ask the service whether it scores, and another could not.
    scoring = adapt(Service(), name="service", version="1", listwise=False)
    ordering = adapt(Moody(), name="service", version="1", listwise=True)
    with cached(redis_url, namespace, scoring) as one, cached(redis_url, namespace, ordering) as other:
        one.rerank("how far is the moon", DOCUMENTS, 3)
        assert other.rerank("how far is the moon", DOCUMENTS, 3).status == "fresh"
        again = one.rerank("how far is the moon", DOCUMENTS, 3)
        assert (again.status, list(again.scores or ())) == ("exact", scores(DOCUMENTS))
        assert one.rerank("how far is the moon", [*DOCUMENTS, "a fruit"], 4).asked == 1
        assert other.rerank("how far is the moon", DOCUMENTS, 3).scores == (3.0, 2.0, 1.0)


def test_a_service_whose_kind_could_not_be_asked_is_served_whole_with_its_scores(
    redis_url: str, namespace: str
) -> None:
    with cached(redis_url, namespace, adapt(Service(), name="service", version="1")) as reranker:
        assert list(reranker.rerank("how far is the moon", DOCUMENTS, 3).scores or ()) == scores(DOCUMENTS)
        again = reranker.rerank("how far is the moon", DOCUMENTS[:2], 2)
        assert (again.status, list(again.scores or ())) == ("exact", scores(DOCUMENTS[:2]))
        assert reranker.rerank("how far is the moon", [*DOCUMENTS, "a fruit"], 4).status == "fresh"


@pytest.mark.parametrize("batched", [False, True])
def test_an_unknown_service_is_asked_about_the_probes_alone_when_it_is_wrapped(
    redis_url: str, namespace: str, batched: bool
) -> None:
    service = Service()
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})

    def wrapped() -> CachedReranker:
        if batched:
            return OptimizedRerankerPipeline(
                service, None, redis_url, embedding_model=WordEmbedder(), settings=settings
            )
        return cached(redis_url, namespace, service)

    with wrapped() as reranker:
        probes = len(service.asked)
        assert probes == 2, "those of its identity, which also show that it scores"
        assert reranker.rerank("how far is the moon", DOCUMENTS, 3).status == "fresh"
        more = reranker.rerank("how far is the moon", [*DOCUMENTS, "a fruit"], 4)
        assert (more.status, more.asked) == ("partial", 1)
    assert service.asked[probes:] == [3, 1]


def test_a_service_that_is_wrapped_for_every_request_is_asked_once(redis_url: str, namespace: str) -> None:
    service = Service()
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    cache = RedisSemanticCache(redis_url, WordEmbedder(), 0.9, settings=settings)
    probes = 0
    for request in range(3):
        reranker = CachedReranker(service, cache)
        probes = probes or len(service.asked)
        assert reranker.rerank("how far is the moon", DOCUMENTS, 3).status == ("exact" if request else "fresh")
    cache.close()
    assert service.asked[probes:] == [3]


async def test_an_asynchronous_service_is_awaited_behind_the_cache_and_the_pipeline(
    redis_url: str, namespace: str
) -> None:
    for make in (
        lambda: cached(redis_url, namespace, adapt(Awaited(), name="a", version="1", listwise=False)),
        lambda: OptimizedRerankerPipeline(
            adapt(Awaited(), name="b", version="1", listwise=False),
            None,
            redis_url,
            embedding_model=WordEmbedder(),
            settings=Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0}),
        ),
    ):
        async with make() as reranker:
            first = await reranker.arerank("how far is the moon", DOCUMENTS, 3)
            assert (first.status, list(first.scores or ())) == ("fresh", scores(DOCUMENTS))
            assert (await reranker.arerank("how far is the moon", [*DOCUMENTS, "a fruit"], 4)).status == "partial"
            many = await reranker.arerank_many(["what is a mango", "what is the moon"], [DOCUMENTS] * 2, 3)
            assert [ranking.reason for ranking in many] == [None, None]
            in_a_thread = await asyncio.to_thread(reranker.rerank, "how near is mars", DOCUMENTS, 3)
            assert list(in_a_thread.scores or ()) == scores(DOCUMENTS)


@pytest.mark.parametrize("bounds", [{"max_batch_pairs": 100}, {"max_pairs_per_call": 100}])
def test_a_request_larger_than_a_service_takes_is_split(redis_url: str, namespace: str, bounds: Any) -> None:
    many = [f"document {number} " + "x" * (number % 7) for number in range(250)]
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0}, batching=bounds)
    service = adapt(Service(limit=100), name="service", version="1", listwise=False)
    with OptimizedRerankerPipeline(
        service, None, redis_url, embedding_model=WordEmbedder(), settings=settings
    ) as pipeline:
        ranking = pipeline.rerank("q", many, 5)
        assert (ranking.status, ranking.asked) == ("fresh", 250)
    with AsyncBatchReranker(service, **bounds) as batched:
        assert batched.rerank("q", many, 5).scores == ranking.scores


def test_an_argument_of_the_pipeline_wins_over_the_settings(redis_url: str, namespace: str) -> None:
    service = Service()
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0}, batching={"max_pairs_per_call": 2})
    adapted = adapt(service, name="service", version="1", listwise=False)
    with OptimizedRerankerPipeline(
        adapted, None, redis_url, embedding_model=WordEmbedder(), max_pairs_per_call=3, settings=settings
    ) as pipeline:
        pipeline.rerank("q", ["a", "b", "c", "d"], 4)
    assert service.asked == [3, 1]


def test_a_limit_for_an_order_is_refused_before_anything_is_opened(redis_url: str) -> None:
    ordering = adapt(Moody(), name="moody", version="1", listwise=True)
    with pytest.raises(ConfigurationError, match="an order cannot be put together from parts"):
        OptimizedRerankerPipeline(ordering, None, redis_url, embedding_model=WordEmbedder(), max_pairs_per_call=100)
