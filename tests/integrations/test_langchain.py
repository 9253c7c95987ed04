"""LangChain's compressors and documents."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import BaseDocumentCompressor, Document

from semcache import CachedReranker, RedisSemanticCache
from semcache.protocols import Reranker
from semcache.rerankers import adapt
from semcache.settings import Settings
from tests.contracts.reranker import PAIRS, TEXTS, ListwiseContract, PointwiseContract
from tests.fakes import CountingReranker, WordEmbedder


class Compressor(BaseDocumentCompressor):
    """As those of the services are: the best ``top_n``, with the score in the metadata if there is one."""

    top_n: int = 2
    has_scores: bool = True

    def compress_documents(self, documents: Sequence[Document], query: str, callbacks: Any = None) -> list[Document]:
        best = sorted(documents, key=lambda document: -len(document.page_content))[: self.top_n]
        if not self.has_scores:
            return best
        return [
            Document(page_content=one.page_content, metadata={"relevance_score": len(one.page_content) / 1000})
            for one in best
        ]


class TestCompressorWithScores(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(Compressor(), name="compressor")

    def test_gives_the_scores_of_all_documents_whatever_its_top_n(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == pytest.approx([len(text) / 1000 for text in TEXTS])

    def test_leaves_the_callers_compressor_as_it_is(self) -> None:
        compressor = Compressor()
        adapt(compressor, name="compressor").score(PAIRS)
        assert compressor.top_n == 2


class TestCompressorWithoutScores(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(Compressor(has_scores=False), name="compressor")

    def test_gives_places(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [3.0, 2.0, 1.0]


def test_the_callers_own_documents_come_back_and_may_be_scored_with_their_title(redis_url: str, namespace: str) -> None:
    documents = [Document(page_content="far away", metadata={"title": title}) for title in ("moon", "mango")]
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    model = CountingReranker()
    cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=settings)
    with CachedReranker(model, cache, text=("title", "page_content")) as reranker:
        ranking = reranker.rerank("the moon", documents, 2)
    assert ranking[0] is documents[0]
    assert {text for _, text in model.pairs} == {"moon\nfar away", "mango\nfar away"}
