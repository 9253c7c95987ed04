"""Haystack's rankers and documents."""

from typing import Any

import pytest
from haystack import component
from haystack.components.rankers import LostInTheMiddleRanker, MetaFieldRanker
from haystack.dataclasses import Document

from semcache.documents import text_of
from semcache.errors import InvalidInputError
from semcache.protocols import Reranker
from semcache.rerankers import adapt
from tests.contracts.reranker import PAIRS, TEXTS, PointwiseContract


@component
class Longest:
    """A ranker of one's own, as the documentation of Haystack has them."""

    def __init__(self, top_k: int = 1) -> None:
        self.top_k = top_k
        self.is_warm = False

    def warm_up(self) -> None:
        self.is_warm = True

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        assert self.is_warm, "warm_up() comes first"
        scored = [Document(id=one.id, content=one.content, score=float(len(one.content or ""))) for one in documents]
        best = sorted(scored, key=lambda one: -(one.score or 0.0))
        return {"documents": best[: top_k or self.top_k]}


class TestRankerWithScores(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(Longest(), name="longest")

    def test_gives_the_scores_of_all_documents_whatever_its_top_k(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [float(len(text)) for text in TEXTS]


@pytest.mark.parametrize("ranker", [LostInTheMiddleRanker(), MetaFieldRanker(meta_field="year")])
def test_rankers_that_take_no_query_are_refused(ranker: Any) -> None:
    with pytest.raises(
        InvalidInputError, match=rf"{type(ranker).__name__} cannot be called: .*run\(\) has no parameter"
    ):
        adapt(ranker)


def test_documents_have_a_text_unless_they_are_images() -> None:
    assert text_of(Document(content="a passage")) == "a passage"
    with pytest.raises(InvalidInputError, match="no text found in Document"):
        text_of(Document(content=None, meta={"file_path": "cat.png"}))
