"""Cosines of embeddings as scores."""

from typing import Any

import numpy as np
import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.protocols import Reranker
from semcache.rerankers import EmbeddingReranker
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, PointwiseContract


class TestEmbeddingReranker(PointwiseContract):
    @pytest.fixture
    def reranker(self, minilm: SentenceTransformerEmbedder) -> Reranker:
        return EmbeddingReranker(minilm)

    def test_scores_are_cosines(self, reranker: Reranker) -> None:
        scores = reranker.score([(QUERY, QUERY), *PAIRS])
        assert scores[0] == pytest.approx(1.0, abs=1e-5)
        assert scores[1] > scores[2] > -1.0

    def test_embeds_each_text_once(self) -> None:
        class Counting:
            name, dims = "counting", 2
            texts: tuple[str, ...] = ()

            def embed(self, texts: Any) -> Any:
                self.texts += tuple(texts)
                return np.tile(np.float32([1.0, 0.0]), (len(texts), 1))

        embedder = Counting()
        EmbeddingReranker(embedder).score([*PAIRS, PAIRS[0]])
        assert sorted(embedder.texts) == sorted([QUERY, *TEXTS])

    def test_vectors_of_other_lengths_give_cosines_too(self) -> None:
        class Unscaled:
            name, dims = "unscaled", 2

            def embed(self, texts: Any) -> Any:
                return np.array([[3.0 * len(text), 4.0 * len(text)] for text in texts], dtype=np.float32)

        scores = EmbeddingReranker(Unscaled()).score([("a", "bbb"), ("a", "")])
        assert scores.tolist() == pytest.approx([1.0, 0.0])
