"""What all integrations share: the reranker behind them, and what they make of empty input."""

from typing import Any

import pytest

from semcache import CachedReranker, OptimizedRerankerPipeline, RedisSemanticCache
from semcache.errors import ConfigurationError
from semcache.integrations.backing import BackingReranker, falling_scores
from semcache.observers.labels import REQUESTS
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = ["the moon is far", "a mango", "the moon"]


def shared_words(query: str, texts: list[str]) -> list[float]:
    return [float(len(set(query.split()) & set(text.split()))) for text in texts]


def test_a_ready_reranker_is_used_and_stays_open(cached: CachedReranker) -> None:
    backing = BackingReranker(cached)
    assert backing.reranker is cached
    backing.close()
    assert backing.rerank("the moon", DOCUMENTS, 1).status == "fresh"
    assert backing.rerank("the moon", DOCUMENTS, 1).status == "exact"


def test_any_other_reranker_becomes_the_primary_of_a_pipeline_that_is_closed_with_it(settings: Settings) -> None:
    backing = BackingReranker(shared_words, settings)
    assert isinstance(backing.reranker, OptimizedRerankerPipeline)
    assert list(backing.rerank("the moon is", DOCUMENTS, 2)) == [DOCUMENTS[0], DOCUMENTS[2]]
    assert backing.reranker.get_stats()["cache"]["by_status"]["fresh"] == 1
    backing.close()


def test_without_a_reranker_all_comes_from_the_settings(settings: Settings) -> None:
    order_only = settings.model_copy(update={"rerankers": Settings(rerankers=[{"kind": "retrieval-order"}]).rerankers})
    backing = BackingReranker(None, order_only)
    assert list(backing.rerank("the moon", DOCUMENTS, 2)) == DOCUMENTS[:2]
    backing.close()


def test_settings_beside_a_ready_reranker_are_refused(cached: CachedReranker, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="has its own; leave them out"):
        BackingReranker(cached, settings)


async def test_no_documents_give_an_empty_ranking(cached: CachedReranker, model: CountingReranker) -> None:
    backing = BackingReranker(cached)
    assert len(backing.rerank("the moon", [], 3)) == len(await backing.arerank("the moon", [], 3)) == 0
    assert not model.pairs


async def test_documents_of_a_blank_query_keep_their_order_and_that_is_told(model: CountingReranker) -> None:
    events: list[Any] = []
    with (
        RedisSemanticCache("embedded", WordEmbedder()) as cache,
        CachedReranker(model, cache, observers=[events.append]) as cached,
    ):
        for ranking in (
            BackingReranker(cached).rerank(" \n", DOCUMENTS, 2),
            await BackingReranker(cached).arerank("", DOCUMENTS, 2),
        ):
            assert list(ranking) == DOCUMENTS[:2]
            assert (ranking.status, ranking.reason, ranking.scores) == ("degraded", "blank", None)
    assert not model.pairs
    assert [(event.status, event.reason, event.documents) for event in events if hasattr(event, "documents")] == [
        ("degraded", "blank", 3)
    ] * 2
    # Metrics have a time series for it, so that an alert can leave it out: nothing is wrong with a reranker.
    assert ("degraded", "blank") in REQUESTS


def test_all_documents_come_back_where_no_number_is_given(cached: CachedReranker) -> None:
    assert len(BackingReranker(cached).rerank("the moon", DOCUMENTS, None)) == len(DOCUMENTS)


def test_without_redis_the_answers_are_the_same(model: CountingReranker, settings: Settings) -> None:
    away = RedisSemanticCache("redis://127.0.0.1:1", WordEmbedder(), settings=settings)
    pairs = [("the moon", text) for text in DOCUMENTS]
    with CachedReranker(model, away) as cached:
        assert BackingReranker(cached).pair_scores(pairs, "") == pytest.approx(
            [model.score_of(*pair) for pair in pairs]
        )


def test_pairs_of_several_queries_are_scored_in_their_order(cached: CachedReranker, model: CountingReranker) -> None:
    pairs = [("red", "a red car"), ("moon", "the moon"), ("red", "the moon"), ("red", "a red car")]
    for _ in range(2):
        assert BackingReranker(cached).pair_scores(pairs, "") == pytest.approx(
            [model.score_of(*pair) for pair in pairs]
        )
    assert len(model.pairs) == 3
    assert BackingReranker(cached).pair_scores([], "") == []


def test_scores_fall_where_there_are_none(cached: CachedReranker) -> None:
    assert falling_scores(BackingReranker(cached).rerank(" ", DOCUMENTS, None)) == [0.0, -1.0, -2.0]
    assert BackingReranker(cached).pair_scores([("", "a"), ("red", "a"), ("", "b")], "")[::2] == [0.0, -1.0]
