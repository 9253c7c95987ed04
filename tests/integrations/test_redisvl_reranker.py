"""The reranker as RedisVL's own rerankers are used."""

from typing import Any

import pytest
from redisvl.utils.rerank import BaseReranker

from semcache import CachedReranker, RedisSemanticCache
from semcache.documents import retriever_scores
from semcache.errors import InvalidInputError
from semcache.integrations.redisvl import SemcacheReranker
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.integrations.waiting import WaitingReranker, beside

QUERY = "the moon"
TEXTS = ["a mango", "the moon is far", "museums of berlin", "the moon"]
RESULTS = [
    {"id": f"doc:{number}", "content": text, "title": f"t{number}", "vector_distance": f"0.{number}"}
    for number, text in enumerate(TEXTS)
]


def best(count: int, before: str = "") -> tuple[list[int], Any]:
    """Places and scores of the best texts by the counting reranker itself."""
    scored = [(at, CountingReranker().score_of(QUERY, before + text)) for at, text in enumerate(TEXTS)]
    chosen = sorted(scored, key=lambda one: -one[1])[:count]
    return [at for at, _ in chosen], pytest.approx([score for _, score in chosen])


async def test_ranks_search_results_and_texts(cached: CachedReranker, model: CountingReranker) -> None:
    reranker = SemcacheReranker(cached, limit=2)
    assert isinstance(reranker, BaseReranker)
    places, scores = best(2)
    assert reranker.rank(QUERY, RESULTS) == ([RESULTS[at] for at in places], scores)
    assert await reranker.arank(query=QUERY, docs=TEXTS) == ([{"content": TEXTS[at]} for at in places], scores)
    assert len(model.pairs) == len(TEXTS)


async def test_limit_and_scores_are_chosen_for_all_calls_or_for_one(cached: CachedReranker) -> None:
    silent = SemcacheReranker(cached, return_score=False)
    assert silent.rank(QUERY, RESULTS, limit=1) == [RESULTS[best(1)[0][0]]]
    assert await silent.arank(QUERY, RESULTS, limit=1, return_score=True) == ([RESULTS[best(1)[0][0]]], best(1)[1])
    assert silent.model == "counting"
    for wrong in ({"limit": 0}, {"rank_by": "content"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SemcacheReranker(cached, **wrong)  # type: ignore[arg-type]
    for none in (0, -1):
        with pytest.raises(InvalidInputError, match="top_k"):
            silent.rank(QUERY, RESULTS, limit=none)


def test_fields_are_scored_as_rank_by_says(cached: CachedReranker, model: CountingReranker) -> None:
    SemcacheReranker(cached, rank_by=["title", "content"]).rank(QUERY, RESULTS)
    SemcacheReranker(cached).rank(QUERY, RESULTS, rank_by=["title"])
    assert [text for _, text in model.pairs[:5:4]] == ["t0\na mango", "t0"]
    with pytest.raises(InvalidInputError, match="absent"):
        SemcacheReranker(cached).rank(QUERY, RESULTS, rank_by=["absent"])


def test_a_document_without_text_is_refused_instead_of_dropped(cached: CachedReranker) -> None:
    with pytest.raises(InvalidInputError, match="no text found"):
        SemcacheReranker(cached).rank(QUERY, [{"content": "a"}, {"title": "b"}])
    with pytest.raises(InvalidInputError, match="must be a list"):
        SemcacheReranker(cached).rank(QUERY, "a text")  # type: ignore[arg-type]


def test_similarities_of_a_vector_search_reach_the_cache(model: CountingReranker, settings: Settings) -> None:
    seen: list[list[float] | None] = []

    class Watched(CachedReranker):
        def rerank(self, query: str, documents: Any, top_k: int = 5, **options: Any) -> Any:
            seen.append(retriever_scores(documents))
            return super().rerank(query, documents, top_k, **options)

    with Watched(model, RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)) as cached:
        reranker = SemcacheReranker(cached)
        reranker.rank(QUERY, RESULTS)
        reranker.rank(QUERY, [{"text": "a", "score": "2.5"}, {"text": "b", "score": 1}])
        reranker.rank(QUERY, [{"text": "a", "score": "much"}, {"text": "b"}])
    assert seen == [pytest.approx([1.0, 0.9, 0.8, 0.7]), [2.5, 1.0], None]


def test_nothing_and_a_blank_query_are_no_error(cached: CachedReranker) -> None:
    reranker = SemcacheReranker(cached, limit=2)
    assert reranker.rank(QUERY, []) == ([], [])
    assert reranker.rank(" ", RESULTS) == (RESULTS[:2], [0.0, -1.0])


def test_tenants_are_kept_apart(cached: CachedReranker, model: CountingReranker) -> None:
    reranker = SemcacheReranker(cached, tenant="a")
    for tenant in (None, "a", "b"):
        reranker.rank(QUERY, RESULTS, tenant=tenant)
    assert len(model.pairs) == 2 * len(TEXTS)


async def test_the_event_loop_is_not_blocked(settings: Settings) -> None:
    reranker = WaitingReranker()
    cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
    async with CachedReranker(reranker, cache) as cached:
        _, scores = await beside(SemcacheReranker(cached, limit=2).arank(QUERY, RESULTS), reranker)
    assert scores == best(2)[1]


def test_what_it_opened_is_closed_with_it(settings: Settings) -> None:
    def score(query: str, texts: list[str]) -> list[float]:
        return [CountingReranker().score_of(query, text) for text in texts]

    with SemcacheReranker(score, settings=settings, limit=1) as reranker:
        assert reranker.rank(QUERY, RESULTS) == ([RESULTS[best(1)[0][0]]], best(1)[1])
