"""Any function of pairs as a reranker."""

import pytest

from semcache.errors import RerankerError
from semcache.rerankers import PairReranker
from tests.contracts.reranker import PAIRS


def test_reports_too_few_scores() -> None:
    with pytest.raises(RerankerError, match="of_one gave 1 scores for 3 pairs"):
        PairReranker(lambda pairs: [1.0], "of_one").score(PAIRS)
