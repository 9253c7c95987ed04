"""The fallback that was learned: by another reranker until enough is known, and then without any model."""

from math import inf
from typing import Any

import numpy as np
import pytest

from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import ConfigurationError
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.pruning.surrogate import Surrogate
from semcache.rerankers import LearnedReranker
from semcache.rerankers.build import build
from semcache.settings import Rung, Settings
from tests.audit.test_pruning import ChanceEmbedder
from tests.fakes import CountingReranker, WordEmbedder
from tests.flow.test_asking import DOCUMENTS, FallingReranker, surrogate_of

PAIRS = [("a query", text) for text in DOCUMENTS]


@pytest.fixture(scope="module")
def surrogate() -> Surrogate:
    return surrogate_of(FallingReranker())


def test_another_one_answers_until_enough_is_known(surrogate: Surrogate) -> None:
    otherwise = CountingReranker("cosine")
    reranker = LearnedReranker(otherwise)
    assert reranker.name == "cosine" and reranker.score(PAIRS).tolist() == otherwise.score(PAIRS).tolist()
    otherwise.pairs.clear()
    reranker.follow(lambda: surrogate)
    scores = reranker.score(PAIRS)
    assert reranker.name == "learned" and otherwise.pairs == []
    assert np.argsort(-scores, kind="stable")[:5].tolist() == list(range(5))
    assert (scores.dtype, scores.shape) == (np.float32, (len(PAIRS),))
    assert reranker.score([]).shape == (0,)


def test_the_settings_name_it_and_it_is_the_default_fallback() -> None:
    embedder: Any = WordEmbedder()
    assert [rung.kind for rung in Settings().rerankers] == ["auto", "learned", "retrieval-order"]
    assert build(Rung(kind="learned"), embedder).name == "cosine/words"
    with pytest.raises(ConfigurationError, match="learned has nothing to learn from as the first reranker"):
        Settings(rerankers=[{"kind": "learned"}])
    with pytest.raises(ConfigurationError, match="a rung of kind learned takes no model"):
        Settings(rerankers=[{"kind": "embedding"}, {"kind": "learned", "model": "x"}])


def test_a_ladder_lets_it_follow_what_is_learned(surrogate: Surrogate) -> None:
    with DegradableReranker(
        CountingReranker("primary"), LearnedReranker(CountingReranker("cosine")), LatencyMonitor()
    ) as ladder:
        ladder.force_open()
        assert ladder.rerank("a query", DOCUMENTS).reranker == "cosine"
        ladder.follow_learned(lambda: surrogate)
        ranking = ladder.rerank("a query", DOCUMENTS)
        assert (ranking.reranker, ranking.status, ranking.to_list()) == ("learned", "degraded", DOCUMENTS[:5])


def test_a_pipeline_answers_by_what_it_has_learned_while_its_primary_is_away(redis_url: str, namespace: str) -> None:
    settings = Settings(redis={"url": redis_url}, cache={"namespace": namespace})
    fallback = LearnedReranker(CountingReranker("cosine"))
    with OptimizedRerankerPipeline(
        FallingReranker("primary"), fallback, embedding_model=ChanceEmbedder(), settings=settings
    ) as pipeline:
        pipeline.audit.pruning.share_of_time = inf
        pipeline.reranker.force_open()
        assert pipeline.rerank("before anything is known", DOCUMENTS).reranker == "cosine"
        pipeline.reranker.reset()
        for number in range(40):
            pipeline.rerank(f"question {number}", DOCUMENTS)
        assert pipeline.audit.drain(30)
        pipeline.reranker.force_open()
        ranking = pipeline.rerank("another question", DOCUMENTS)
        assert (ranking.reranker, ranking.status) == ("learned", "degraded")
        assert set(ranking.indices) <= set(range(8))
        assert pipeline.cache.lookup("another question", DOCUMENTS).status is None
