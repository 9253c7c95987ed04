"""RedisVL's own rerankers, whose scores are kept and whose limit is not."""

from pathlib import Path
from typing import Any

import pytest
from redisvl.utils.rerank import HFCrossEncoderReranker

from semcache.errors import RerankerError
from semcache.protocols import Reranker
from semcache.rerankers import CrossEncoderReranker, RedisVLReranker, adapt
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, PointwiseContract


@pytest.fixture(scope="module")
def redisvl_ranker(tiny_cross_encoder: Path) -> HFCrossEncoderReranker:
    return HFCrossEncoderReranker(str(tiny_cross_encoder), limit=1, return_score=False, device="cpu")


class TestRedisVL(PointwiseContract):
    @pytest.fixture
    def reranker(self, redisvl_ranker: HFCrossEncoderReranker) -> Reranker:
        return adapt(redisvl_ranker)

    def test_gives_the_models_scores(self, reranker: Reranker, tiny_cross_encoder: Path) -> None:
        assert isinstance(reranker, RedisVLReranker)
        expected = CrossEncoderReranker(tiny_cross_encoder, device="cpu").score(PAIRS)
        assert reranker.score(PAIRS) == pytest.approx(expected, abs=1e-5)

    def test_is_named_by_its_model(self, reranker: Reranker) -> None:
        assert reranker.name.startswith("HFCrossEncoderReranker/tiny-cross-encoder")


def test_reports_documents_that_a_ranker_left_out() -> None:
    class Forgetful:
        limit, return_score = 1, True

        def rank(self, query: str, docs: list[str], **options: Any) -> Any:
            return docs[:1], [0.5]

    with pytest.raises(RerankerError, match="gave 1 scores for 3 pairs"):
        adapt(Forgetful(), name="forgetful").score([(QUERY, text) for text in TEXTS])
