"""The arguments of ``rerank`` that let documents be skipped: checked at once, and a least score that is kept to."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semcache.batching.reranker import AsyncBatchReranker
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = [f"passage {n} about the moon" for n in range(6)]
QUERY = "how far is the moon"
MODEL = CountingReranker()
SCORES = {text: float(np.float32(MODEL.score_of(QUERY, text))) for text in DOCUMENTS}
MIDDLE = sorted(SCORES.values())[3]
VECTORS = WordEmbedder().embed(DOCUMENTS)


@pytest.fixture
def reranker(redis_url: str, namespace: str) -> Iterator[CachedReranker]:
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    cache = RedisSemanticCache(redis_url, WordEmbedder(), 0.9, settings=settings)
    with CachedReranker(CountingReranker(), cache) as reranker:
        yield reranker


async def test_documents_below_the_least_score_are_left_out_fresh_and_exact(reranker: CachedReranker) -> None:
    expected = sorted((score for score in SCORES.values() if score >= MIDDLE), reverse=True)
    hints = {"retrieval_scores": [0.5] * 6, "document_vectors": VECTORS, "min_score": MIDDLE}
    fresh = reranker.rerank(QUERY, DOCUMENTS, 6, **hints)
    exact = await reranker.arerank(QUERY, DOCUMENTS, 6, min_score=MIDDLE)
    assert fresh.scores is not None and list(fresh.scores) == expected == list(exact.scores or ())
    assert (fresh.status, exact.status) == ("fresh", "exact")
    # Another limit is another answer, and all scores are remembered.
    assert len(reranker.rerank(QUERY, DOCUMENTS, 6)) == 6


async def test_the_classes_below_the_cache_leave_out_documents_below_the_least_score_too() -> None:
    model = CountingReranker()
    with AsyncBatchReranker(model) as batched, DegradableReranker(model, None, LatencyMonitor()) as ladder:
        rankings = [
            batched.rerank(QUERY, DOCUMENTS, 6, min_score=MIDDLE),
            await batched.rerank_async(QUERY, DOCUMENTS, 6, min_score=MIDDLE),
            *batched.batch_rerank([QUERY], [DOCUMENTS], 6, min_score=MIDDLE),
            *await batched.batch_rerank_async([QUERY], [DOCUMENTS], 6, min_score=MIDDLE),
            ladder.rerank(QUERY, DOCUMENTS, 6, min_score=MIDDLE),
            await ladder.arerank(QUERY, DOCUMENTS, 6, min_score=MIDDLE),
        ]
        assert [len(ranking) for ranking in rankings] == [3] * 6
        with pytest.raises(InvalidInputError, match="min_score is 'high'"):
            ladder.rerank(QUERY, DOCUMENTS, min_score="high")  # type: ignore[arg-type]
        ladder.force_open()
        assert len(ladder.rerank(QUERY, DOCUMENTS, 6, min_score=MIDDLE)) == 6


async def test_many_requests_take_one_item_each(reranker: CachedReranker) -> None:
    many: dict[str, Any] = {"retrieval_scores": [[0.5] * 6, None], "document_vectors": [None, VECTORS]}
    queries, lists = [QUERY, "another query"], [DOCUMENTS, DOCUMENTS]
    rankings = reranker.rerank_many(queries, lists, 6, min_score=MIDDLE, **many)
    again = await reranker.arerank_many(queries, lists, 6, min_score=MIDDLE, **many)
    assert [len(ranking) for ranking in rankings] == [len(ranking) for ranking in again]
    assert len(rankings[0]) == 3


@pytest.mark.parametrize(
    "hints",
    [
        {"retrieval_scores": [0.5]},
        {"document_vectors": np.ones((6, 5))},
        {"document_vectors": VECTORS[:5]},
        {"min_score": "high"},
    ],
    ids=lambda hints: next(iter(hints)),
)
async def test_what_does_not_fit_is_refused_before_the_model_is_asked(
    reranker: CachedReranker, hints: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        reranker.rerank(QUERY, DOCUMENTS, **hints)
    with pytest.raises(InvalidInputError):
        await reranker.arerank(QUERY, DOCUMENTS, **hints)
    assert reranker.reranker.pairs == [] or all(QUERY not in pair for pair in reranker.reranker.pairs)


def test_the_settings_say_how_pruning_is_done(redis_url: str, namespace: str) -> None:
    prune = {"mode": "on", "confidence": 2, "explore": 0.1, "document_vectors": "off"}
    settings = Settings(cache={"namespace": namespace}, prune=prune)
    with RedisSemanticCache(redis_url, WordEmbedder(), settings=settings) as cache:
        policy = cache.scoped.policy().prune
    assert policy is not None
    assert (policy.mode, policy.confidence, policy.explore, policy.document_vectors) == ("on", 2.0, 0.1, "off")


@pytest.mark.parametrize(("given", "mode"), [(False, "off"), (True, "on"), ("measure", "measure")])
def test_a_bare_on_or_off_of_yaml_is_a_mode(given: object, mode: str) -> None:
    assert Settings(prune={"mode": given}).prune.mode == mode


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", "yes"), ("mode", 1), ("confidence", -1), ("explore", 1.5), ("max_rounds", 0), ("document_vectors", True)],
)
def test_a_setting_out_of_range_is_named(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=rf"prune\.{name}"):
        Settings(prune={name: value})
