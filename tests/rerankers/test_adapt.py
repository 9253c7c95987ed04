"""Objects of many libraries become rerankers, by the methods that they have."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from semcache.errors import InvalidInputError
from semcache.protocols import Pair
from semcache.rerankers import (
    CrossEncoderReranker,
    OnnxCrossEncoder,
    RankingReranker,
    adapt,
)
from tests.contracts.reranker import PAIRS, TEXTS
from tests.rerankers.test_function import of_pairs, of_query, of_query_with_option

LENGTHS = [float(len(text)) for text in TEXTS]


class RerankerOfProtocol:
    name = "ours"
    listwise = False

    def score(self, pairs: Any) -> Any:
        return np.zeros(len(pairs), dtype=np.float32)


class LangChainCrossEncoder:
    """``langchain_community.cross_encoders.HuggingFaceCrossEncoder``."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def score(self, text_pairs: list[Pair]) -> list[float]:
        return of_pairs(text_pairs)


class LangChainCompressor:
    """``langchain.retrievers.document_compressors.CrossEncoderReranker``."""

    def __init__(self, model: Any = None, top_n: int = 3) -> None:
        self.model = model
        self.top_n = top_n

    def model_copy(self, update: dict[str, Any]) -> "LangChainCompressor":
        return LangChainCompressor(self.model, **update)

    def compress_documents(self, documents: list[Any], query: str, callbacks: Any = None) -> list[Any]:
        return sorted(documents, key=lambda document: -len(document.page_content))[: self.top_n]


class FlagReranker:
    """``FlagEmbedding.FlagReranker``: takes lists, and gives a bare number for one pair."""

    model_name_or_path = "BAAI/bge-reranker-base"

    def compute_score(self, pairs: list[list[str]]) -> Any:
        assert all(isinstance(pair, list) for pair in pairs)
        scores = [float(len(text)) for _, text in pairs]
        return scores[0] if len(scores) == 1 else scores


class ModelWithPredict:
    def predict(self, pairs: list[Pair]) -> list[float]:
        return of_pairs(pairs)


class RerankerOfUsers:
    """The call shape of rerankers in existing code."""

    def rerank(self, query: str, documents: list[Any], top_k: int = 5) -> list[Any]:
        return sorted(documents, key=lambda document: -len(document.page_content))[:top_k]


class ModelWithRank:
    """``rerankers.Reranker`` of answerdotai, and its like."""

    name = "ranker"

    def rank(self, query: str, docs: list[str]) -> Any:
        longest_first = sorted(docs, key=len, reverse=True)
        return SimpleNamespace(results=[{"document": {"text": doc}, "score": len(doc)} for doc in longest_first])


def test_takes_ours_as_it_is(cross_encoder: OnnxCrossEncoder) -> None:
    ours = RerankerOfProtocol()
    assert adapt(ours) is ours
    assert adapt(cross_encoder) is cross_encoder


@pytest.mark.parametrize(
    ("reranker", "name"),
    [
        (LangChainCrossEncoder("small"), "LangChainCrossEncoder/small"),
        (LangChainCompressor(LangChainCrossEncoder("small")), "LangChainCrossEncoder/small"),
        (FlagReranker(), "FlagReranker/BAAI/bge-reranker-base"),
        (ModelWithPredict(), f"{__name__}.ModelWithPredict"),
        (of_pairs, f"{of_pairs.__module__}.of_pairs"),
        (of_query, f"{of_pairs.__module__}.of_query"),
        (of_query_with_option, f"{of_pairs.__module__}.of_query_with_option"),
        (LangChainCrossEncoder("small").score, f"{__name__}.LangChainCrossEncoder.score"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_takes_what_scores_pairs(reranker: Any, name: str) -> None:
    adapted = adapt(reranker)
    assert adapted.name == name
    assert not adapted.listwise
    assert adapted.score(PAIRS).tolist() == LENGTHS
    assert adapted.score(PAIRS[:1]).tolist() == LENGTHS[:1]


@pytest.mark.parametrize("reranker", [RerankerOfUsers(), LangChainCompressor(top_n=1)], ids=lambda r: type(r).__name__)
def test_takes_what_only_ranks(reranker: Any) -> None:
    adapted = adapt(reranker)
    assert isinstance(adapted, RankingReranker)
    assert adapted.listwise
    assert adapted.score(PAIRS).tolist() == [3.0, 2.0, 1.0]


class ModelOfOneText:
    """answerdotai's rankers score one text in a call."""

    def score(self, query: str, doc: str) -> float:
        raise AssertionError("the compressor is asked")


class HaystackRanker:
    """Has the twin of a component alone."""

    async def run_async(self, query: str, documents: list[Any], top_k: int | None = None) -> dict[str, Any]:
        return {"documents": sorted(documents, key=lambda document: -len(document.content))[:top_k]}


def test_a_compressor_is_asked_itself_where_its_model_does_not_score_pairs() -> None:
    adapted = adapt(LangChainCompressor(ModelOfOneText(), top_n=1), name="compressor")
    assert adapted.score(PAIRS).tolist() == [3.0, 2.0, 1.0]


def test_takes_the_asynchronous_twin_of_a_component() -> None:
    assert adapt(HaystackRanker(), name="ranker").score(PAIRS).tolist() == [3.0, 2.0, 1.0]


def test_keeps_the_scores_of_what_ranks_by_scores() -> None:
    adapted = adapt(ModelWithRank())
    assert not adapted.listwise
    assert adapted.score(PAIRS).tolist() == LENGTHS


def test_takes_a_bare_cross_encoder(tiny_cross_encoder: Path) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(tiny_cross_encoder), device="cpu")
    adapted = adapt(model)
    assert isinstance(adapted, CrossEncoderReranker)
    assert adapted.score(PAIRS) == pytest.approx(model.predict(PAIRS), abs=1e-6)
    assert adapt(model, name="mine").name == "mine"


def test_takes_model_names_and_folders(tiny_cross_encoder: Path, cross_encoder: OnnxCrossEncoder) -> None:
    assert adapt("cross-encoder/ms-marco-MiniLM-L-12-v2").name == cross_encoder.name
    assert isinstance(adapt(tiny_cross_encoder), CrossEncoderReranker)
    assert isinstance(adapt(str(tiny_cross_encoder)), CrossEncoderReranker)


def test_names_tell_configurations_apart() -> None:
    assert adapt(LangChainCrossEncoder("small")).name != adapt(LangChainCrossEncoder("large")).name
    assert adapt(RerankerOfUsers(), name="a").name != adapt(RerankerOfUsers(), name="b").name


@pytest.mark.parametrize("function", [lambda pairs: of_pairs(list(pairs)), partial(of_pairs)])
def test_takes_functions_without_a_name_of_their_own(function: Any) -> None:
    assert adapt(function).score(PAIRS).tolist() == LENGTHS
    assert adapt(function, name="mine").name == "mine"


@pytest.mark.parametrize("nothing", [42, None, object(), ["model"]])
def test_says_what_it_looked_for(nothing: object) -> None:
    with pytest.raises(InvalidInputError, match=rf"{type(nothing).__name__} is no reranker; looked for .*predict"):
        adapt(nothing)
