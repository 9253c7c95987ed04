"""LlamaIndex' postprocessors and nodes."""

from pathlib import Path

import pytest
from llama_index.core.postprocessor.sbert_rerank import SentenceTransformerRerank
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    MediaResource,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)

from semcache import CachedReranker, RedisSemanticCache
from semcache.documents import text_of
from semcache.errors import InvalidInputError
from semcache.protocols import Reranker
from semcache.rerankers import CrossEncoderReranker, adapt
from semcache.settings import Settings
from tests.contracts.reranker import PAIRS, ListwiseContract
from tests.fakes import CountingReranker, WordEmbedder

TEXT_KINDS: list[BaseNode] = [
    TextNode(text="a passage"),
    Document(text="a passage"),
    Node(text_resource=MediaResource(text="a passage")),
]
EMPTY_KINDS: list[BaseNode] = [
    TextNode(text=""),
    Document(text=""),
    Node(),
    ImageNode(image_path="cat.png"),
]


@pytest.mark.parametrize("node", TEXT_KINDS, ids=lambda node: type(node).__name__)
def test_every_kind_of_node_has_its_text_also_with_a_score_around_it(node: BaseNode) -> None:
    assert text_of(node) == text_of(NodeWithScore(node=node, score=0.1)) == "a passage"


@pytest.mark.parametrize("node", EMPTY_KINDS, ids=lambda node: type(node).__name__)
def test_nodes_without_text_are_shown_before_anything_is_remembered(
    node: BaseNode, redis_url: str, namespace: str
) -> None:
    model = CountingReranker()
    cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=Settings(cache={"namespace": namespace}))
    with CachedReranker(model, cache) as reranker:
        for odd in (node, NodeWithScore(node=node, score=0.1)):
            with pytest.raises(InvalidInputError, match=type(odd).__name__):
                reranker.rerank("q", ["fine", odd], 2)
    assert not model.pairs


class Backwards(BaseNodePostprocessor):
    """A postprocessor of one's own, which only orders."""

    top_n: int = 1

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle is not None
        return nodes[::-1][: self.top_n]


class TestPostprocessorWithoutScores(ListwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(Backwards(), name="backwards")

    def test_gives_the_places_of_all_documents_whatever_its_top_n(self, reranker: Reranker) -> None:
        assert reranker.score(PAIRS).tolist() == [1.0, 2.0, 3.0]


def test_a_cross_encoder_of_its_own_gives_the_scores_of_all_nodes_whatever_its_top_n(tiny_cross_encoder: Path) -> None:
    reranker = adapt(SentenceTransformerRerank(model=str(tiny_cross_encoder), top_n=1, device="cpu"), name="tiny")
    assert not reranker.listwise
    expected = CrossEncoderReranker(tiny_cross_encoder, device="cpu").score(PAIRS)
    assert reranker.score(PAIRS) == pytest.approx(expected, abs=1e-4)
