"""LangChain's standard tests, of a retriever with the compressor in it; there are none for compressors themselves."""

from functools import partial
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests

from semcache import CachedReranker
from semcache.integrations.langchain import SemcacheCompressor


class Numbered(BaseRetriever):
    """Gives ``k`` documents."""

    k: int = 4

    def _get_relevant_documents(self, query: str, *, run_manager: Any, k: int | None = None) -> list[Document]:
        return [Document(page_content=f"document {number}") for number in range(self.k if k is None else k)]


def _retriever(cached: CachedReranker, k: int = 4) -> ContextualCompressionRetriever:
    compressor = SemcacheCompressor(reranker=cached, top_n=None)
    return ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Numbered(k=k))


class TestRetrieverWithCompressor(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def use(self, cached: CachedReranker) -> None:
        self.cached = cached

    @property
    def retriever_constructor(self) -> Any:
        return partial(_retriever, self.cached)

    @property
    def retriever_query_example(self) -> str:
        return "which document"
