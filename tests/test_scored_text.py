"""Every public class takes ``text=``, which says what of a document is scored and remembered."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from semcache import AsyncBatchReranker, CachedReranker, DegradableReranker, LatencyMonitor, OptimizedRerankerPipeline
from semcache.cache import RedisSemanticCache
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

PAGES = [
    {"id": 1, "title": "Mango", "body": "A fruit."},
    {"id": 2, "title": "Moon", "body": "It is far away."},
    {"id": 3, "title": "Apple", "body": "A fruit."},
]
TITLE_AND_BODY = ["Mango\nA fruit.", "Moon\nIt is far away.", "Apple\nA fruit."]


def body_of(page: dict[str, Any]) -> str:
    return str(page["body"])


def small_cache(redis_url: str, namespace: str, **options: Any) -> RedisSemanticCache:
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    return RedisSemanticCache(redis_url, WordEmbedder(), settings=settings, **options)


def batched(reranker: CountingReranker, text: Any, redis_url: str, namespace: str) -> AsyncBatchReranker:
    return AsyncBatchReranker(reranker, text=text)


def degradable(reranker: CountingReranker, text: Any, redis_url: str, namespace: str) -> DegradableReranker:
    return DegradableReranker(reranker, None, LatencyMonitor(), text=text)


def cached(reranker: CountingReranker, text: Any, redis_url: str, namespace: str) -> CachedReranker:
    return CachedReranker(reranker, small_cache(redis_url, namespace), text=text)


def as_the_cache(reranker: CountingReranker, text: Any, redis_url: str, namespace: str) -> CachedReranker:
    return CachedReranker(reranker, small_cache(redis_url, namespace, text=text))


def pipeline(reranker: CountingReranker, text: Any, redis_url: str, namespace: str) -> OptimizedRerankerPipeline:
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    return OptimizedRerankerPipeline(
        reranker, None, redis_url, embedding_model=WordEmbedder(), text=text, settings=settings
    )


@pytest.mark.parametrize("make", [batched, degradable, cached, as_the_cache, pipeline])
@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (("title", "body"), TITLE_AND_BODY),
        (lambda page: page["title"], ["Mango", "Moon", "Apple"]),
        (body_of, ["A fruit.", "It is far away."]),  # the first and the last are one text, scored once
    ],
)
def test_the_reranker_gets_what_was_said(
    make: Callable[..., Any], text: Any, sent: Sequence[str], redis_url: str, namespace: str
) -> None:
    model = CountingReranker()
    with make(model, text, redis_url, namespace) as reranker:
        ranking = reranker.rerank("fruit", PAGES, 3)
    assert {text for _, text in model.pairs} == set(sent)
    assert len(model.pairs) == len(sent)
    assert sorted(page["id"] for page in ranking) == [1, 2, 3]


async def test_every_call_of_a_cached_reranker_reads_documents_alike(redis_url: str, namespace: str) -> None:
    model = CountingReranker()
    with cached(model, ("title", "body"), redis_url, namespace) as reranker:
        reranker.warm([("fruit", PAGES)])
        known = [
            reranker.rerank("fruit", PAGES),
            await reranker.arerank("fruit", PAGES),
            *reranker.rerank_many(["fruit"], [PAGES]),
            *await reranker.arerank_many(["fruit"], [PAGES]),
        ]
        assert [ranking.status for ranking in known] == ["exact"] * 4
        assert len(model.pairs) == len(PAGES)
        assert reranker.cache.lookup("fruit", PAGES).status == "exact"
        # The body alone is not what was scored, so that nothing is known of it.
        assert reranker.cache.lookup("fruit", [page["body"] for page in PAGES]).scores == (None, None, None)
        assert reranker.cache.forget(document=PAGES[0]) == 1
        assert reranker.rerank("fruit", PAGES).asked == 1
        await reranker.aclose()


def test_a_changed_field_is_scored_again(redis_url: str, namespace: str) -> None:
    model = CountingReranker()
    with cached(model, ("title", "body"), redis_url, namespace) as reranker:
        reranker.rerank("fruit", PAGES)
        changed = [{**PAGES[0], "title": "Fresh mango"}, {**PAGES[1], "id": 99}, PAGES[2]]
        ranking = reranker.rerank("fruit", changed)
    assert (ranking.status, ranking.asked) == ("partial", 1)
    assert model.pairs[-1] == ("fruit", "Fresh mango\nA fruit.")


def test_results_are_remembered_by_what_is_scored(redis_url: str, namespace: str) -> None:
    with small_cache(redis_url, namespace, text=("title", "body")) as cache:
        cache.set("fruit", PAGES, [PAGES[2], PAGES[0]])
        assert cache.get("fruit", PAGES) == [PAGES[2], PAGES[0]]
