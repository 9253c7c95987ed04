"""The order of the retriever as a reranker."""

import pytest

from semcache.protocols import Reranker
from semcache.rerankers import RetrievalOrder
from tests.contracts.reranker import PAIRS, ListwiseContract


class TestRetrievalOrder(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return RetrievalOrder()

    def test_falls_with_the_position(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [0.0, -1.0, -2.0]
