"""Objects of many libraries become embedders, by the methods that they have."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcache.embedders import CallableEmbedder, RedisVLEmbedder, SentenceTransformerEmbedder, adapt_embedder
from semcache.errors import InvalidInputError
from tests.embedders.test_callable import letters, many
from tests.embedders.test_redisvl import vectorizer


class EmbedderOfProtocol:
    name = "ours"
    dims = 10

    def embed(self, texts: list[str]) -> Any:
        return np.asarray(many(texts))


class LangChainEmbeddings:
    """``langchain_core.embeddings.Embeddings``: other vectors for documents than for queries."""

    def __init__(self, model: str) -> None:
        self.model = model

    def embed_query(self, text: str) -> list[float]:
        return letters(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        raise AssertionError("queries are embedded, not documents")


class ModelWithEncode:
    def encode(self, texts: list[str]) -> list[list[float]]:
        return many(texts)


def test_takes_ours_as_it_is() -> None:
    ours = EmbedderOfProtocol()
    assert adapt_embedder(ours) is ours


def test_takes_a_model_name(minilm: SentenceTransformerEmbedder) -> None:
    assert adapt_embedder("all-MiniLM-L6-v2").name == minilm.name


def test_takes_a_folder(tiny_embedder: Path) -> None:
    assert adapt_embedder(tiny_embedder).dims == 32
    assert adapt_embedder(str(tiny_embedder)).dims == 32


def test_takes_a_sentence_transformer(tiny_embedder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    assert isinstance(adapt_embedder(SentenceTransformer(str(tiny_embedder))), SentenceTransformerEmbedder)


def test_takes_langchain_embeddings_by_their_queries() -> None:
    embedder = adapt_embedder(LangChainEmbeddings("small"))
    assert embedder.embed(["abc", "def"]).shape == (2, 10)
    assert embedder.name == "LangChainEmbeddings/small"
    assert adapt_embedder(LangChainEmbeddings("large")).name != embedder.name


def test_takes_anything_that_encodes() -> None:
    assert adapt_embedder(ModelWithEncode()).dims == 10


def test_takes_vectorizers_and_functions() -> None:
    assert isinstance(adapt_embedder(vectorizer()), RedisVLEmbedder)
    assert isinstance(adapt_embedder(many), CallableEmbedder)
    assert adapt_embedder(lambda texts: many(list(texts)), name="mine").name == "mine"


@pytest.mark.parametrize("nothing", [42, None, object(), ["all-MiniLM-L6-v2"]])
def test_says_what_it_looked_for(nothing: object) -> None:
    with pytest.raises(InvalidInputError, match=rf"{type(nothing).__name__} is no embedder; looked for .*encode"):
        adapt_embedder(nothing)
