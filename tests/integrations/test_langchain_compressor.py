"""The compressor and the cross-encoder in LangChain's own chains."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError

from semcache import CachedReranker, RedisSemanticCache
from semcache.errors import InvalidInputError, RerankerError
from semcache.integrations.langchain import SemcacheCompressor, SemcacheCrossEncoder
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.integrations.waiting import WaitingReranker, beside

try:
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker, DocumentCompressorPipeline
except ImportError:  # before LangChain 1.0
    from langchain.retrievers import ContextualCompressionRetriever
    from langchain.retrievers.document_compressors import CrossEncoderReranker, DocumentCompressorPipeline

QUERY = "the moon"
DOCUMENTS = [
    Document(id=str(number), page_content=text, metadata={"page": number, "score": 1 - number / 10})
    for number, text in enumerate(["a mango", "the moon is far", "museums of berlin", "the moon"])
]


class Retriever(BaseRetriever):
    """Gives the same documents to every query."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return DOCUMENTS


class Heard(BaseCallbackHandler):
    """Keeps what it hears of runs."""

    def __init__(self) -> None:
        self.starts: list[tuple[str, dict[str, Any]]] = []
        self.ends: list[dict[str, Any]] = []
        self.errors: list[BaseException] = []

    def on_chain_start(self, serialized: Any, inputs: dict[str, Any], **more: Any) -> None:
        self.starts.append((more["name"], inputs))

    def on_chain_end(self, outputs: Any, **_: Any) -> None:
        self.ends.append(outputs)

    def on_chain_error(self, error: BaseException, **_: Any) -> None:
        self.errors.append(error)


def best(count: int) -> list[tuple[str, float]]:
    """Id and score of the best documents by the counting reranker itself."""
    scored = [(str(one.id), CountingReranker().score_of(QUERY, one.page_content)) for one in DOCUMENTS]
    return sorted(scored, key=lambda one: -one[1])[:count]


def found(documents: Sequence[Document]) -> list[tuple[str, float]]:
    return [(str(one.id), one.metadata["relevance_score"]) for one in documents]


async def test_a_chain_is_answered_from_the_cache_with_scores_in_the_metadata(
    cached: CachedReranker, model: CountingReranker
) -> None:
    compressor = SemcacheCompressor(reranker=cached, top_n=2)
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Retriever())
    for answer in (retriever.invoke(QUERY), await retriever.ainvoke(QUERY)):
        assert found(answer) == [(name, pytest.approx(score)) for name, score in best(2)]
        assert all(one.metadata["page"] == int(str(one.id)) for one in answer)
    assert len(model.pairs) == len(DOCUMENTS)
    # The retriever's own documents are as they were.
    assert not any("relevance_score" in one.metadata for one in DOCUMENTS)


def test_three_documents_come_back_unless_more_or_all_are_asked_for(cached: CachedReranker) -> None:
    assert len(SemcacheCompressor(reranker=cached).compress_documents(DOCUMENTS, QUERY)) == 3
    assert len(SemcacheCompressor(reranker=cached, top_n=None).compress_documents(DOCUMENTS, QUERY)) == 4


@pytest.mark.parametrize("wrong", [{"top_n": 0}, {"deadline_s": 0}, {"top_k": 3}])
def test_wrong_arguments_are_refused_at_once(cached: CachedReranker, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SemcacheCompressor(reranker=cached, **wrong)


def test_a_chain_is_changed_in_two_lines_and_keeps_its_cross_encoder(settings: Settings) -> None:
    def score(pairs: list[tuple[str, str]]) -> list[float]:
        return [CountingReranker().score_of(*pair) for pair in pairs]

    compressor = SemcacheCompressor(reranker=score, settings=settings, top_n=1)
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Retriever())
    assert found(retriever.invoke(QUERY)) == [(name, pytest.approx(score)) for name, score in best(1)]
    compressor.close()


async def test_the_event_loop_is_not_blocked(settings: Settings) -> None:
    reranker = WaitingReranker()
    cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
    async with CachedReranker(reranker, cache) as cached:
        compressor = SemcacheCompressor(reranker=cached, top_n=1)
        assert found(await beside(compressor.acompress_documents(DOCUMENTS, QUERY), reranker))[0][0] == best(1)[0][0]


async def test_callbacks_hear_of_a_run_with_its_status(cached: CachedReranker) -> None:
    retriever = ContextualCompressionRetriever(
        base_compressor=SemcacheCompressor(reranker=cached, top_n=1), base_retriever=Retriever()
    )
    heard = Heard()
    retriever.invoke(QUERY, config={"callbacks": [heard]})
    await retriever.ainvoke(QUERY, config={"callbacks": [heard]})
    assert [name for name, _ in heard.starts] == ["SemcacheCompressor"] * 2
    assert heard.starts[0][1] == {"query": QUERY, "documents": DOCUMENTS}
    assert [(end["status"], end["asked"], len(end["documents"])) for end in heard.ends] == [
        ("fresh", 4, 1),
        ("exact", 0, 1),
    ]


async def test_callbacks_hear_of_an_error_which_the_caller_gets(settings: Settings) -> None:
    def broken(query: str, texts: list[str]) -> list[float]:
        raise RerankerError("out of order")

    heard = Heard()
    cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
    with CachedReranker(broken, cache, name="broken") as cached:
        compressor = SemcacheCompressor(reranker=cached)
        with pytest.raises(RerankerError, match="out of order"):
            compressor.compress_documents(DOCUMENTS, QUERY, callbacks=[heard])
        with pytest.raises(RerankerError, match="out of order"):
            await compressor.acompress_documents(DOCUMENTS, QUERY, callbacks=[heard])
    assert len(heard.errors) == 2


def test_within_a_runnable_the_callbacks_are_those_of_its_run(cached: CachedReranker) -> None:
    compressor = SemcacheCompressor(reranker=cached, tenant_key="shop")
    heard = Heard()
    chain = RunnableLambda(lambda query: compressor.compress_documents(DOCUMENTS, query), name="chain")
    chain.invoke(QUERY, config={"callbacks": [heard], "metadata": {"shop": "a"}})
    assert [name for name, _ in heard.starts] == ["chain", "SemcacheCompressor"]


async def test_each_call_says_its_tenant(cached: CachedReranker, model: CountingReranker) -> None:
    compressor = SemcacheCompressor(reranker=cached, tenant_key="shop")
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Retriever())
    retriever.invoke(QUERY, config={"metadata": {"shop": "a"}})
    await retriever.ainvoke(QUERY, config={"metadata": {"shop": "a"}})
    assert len(model.pairs) == len(DOCUMENTS)
    retriever.with_config(metadata={"shop": "b"}).invoke(QUERY)
    assert len(model.pairs) == 2 * len(DOCUMENTS)
    for metadata in ({}, {"shop": ""}, {"shop": 7}):
        with pytest.raises(InvalidInputError, match=r"say it in the call: config=.*'shop'"):
            retriever.invoke(QUERY, config={"metadata": metadata})


def test_a_tenant_can_be_fixed(cached: CachedReranker, model: CountingReranker) -> None:
    for tenant in ("a", "b", "a"):
        SemcacheCompressor(reranker=cached, tenant=tenant).compress_documents(DOCUMENTS, QUERY)
    assert len(model.pairs) == 2 * len(DOCUMENTS)


def test_empty_pages_and_blank_queries_are_no_error(cached: CachedReranker) -> None:
    compressor = SemcacheCompressor(reranker=cached, top_n=2)
    answer = compressor.compress_documents([Document(page_content=""), *DOCUMENTS], QUERY)
    assert found(answer) == [(name, pytest.approx(score)) for name, score in best(2)]
    assert compressor.compress_documents(DOCUMENTS, "  ") == DOCUMENTS[:2]
    assert compressor.compress_documents([], QUERY) == []


def test_it_stands_in_a_pipeline_of_compressors(cached: CachedReranker) -> None:
    stages = DocumentCompressorPipeline(
        transformers=[SemcacheCompressor(reranker=cached, top_n=3), SemcacheCompressor(reranker=cached, top_n=1)]
    )
    assert found(stages.compress_documents(DOCUMENTS, QUERY))[0][0] == best(1)[0][0]
    assert found(asyncio.run(stages.acompress_documents(DOCUMENTS, QUERY)))[0][0] == best(1)[0][0]


class TestCrossEncoder:
    def test_serves_the_stock_reranker(self, cached: CachedReranker, model: CountingReranker) -> None:
        reranker = CrossEncoderReranker(model=SemcacheCrossEncoder(cached), top_n=2)
        retriever = ContextualCompressionRetriever(base_compressor=reranker, base_retriever=Retriever())
        for answer in (retriever.invoke(QUERY), retriever.invoke(QUERY)):
            assert [one.id for one in answer] == [name for name, _ in best(2)]
        assert len(model.pairs) == len(DOCUMENTS)

    def test_gives_one_score_per_pair_in_order(self, cached: CachedReranker) -> None:
        pairs = [("red", "a red car"), ("moon", "the moon"), ("red", "the moon"), ("red", "a red car")]
        expected = [CountingReranker().score_of(*pair) for pair in pairs]
        assert SemcacheCrossEncoder(cached).score(pairs) == pytest.approx(expected)
        assert SemcacheCrossEncoder(cached).score([]) == []

    def test_keeps_tenants_apart(self, cached: CachedReranker, model: CountingReranker) -> None:
        for tenant in ("a", "b"):
            SemcacheCrossEncoder(cached, tenant=tenant).score([("red", "a red car")])
        assert len(model.pairs) == 2

    def test_leaves_a_ready_reranker_open(self, cached: CachedReranker) -> None:
        SemcacheCrossEncoder(cached).close()
        assert cached.rerank(QUERY, ["the moon"], 1).status == "fresh"
