"""RedisVL's own vectorizers as embedders."""

import numpy as np
import pytest
from redisvl.utils.vectorize import CustomVectorizer

from semcache.embedders import RedisVLEmbedder, adapt_embedder
from semcache.errors import EmbedderError
from semcache.protocols import Embedder
from tests.contracts.embedder import EmbedderContract
from tests.embedders.test_callable import letters, many


def vectorizer() -> CustomVectorizer:
    return CustomVectorizer(embed=letters, embed_many=many)


class TestCustomVectorizer(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return adapt_embedder(vectorizer())


class VectorizerWithoutDims:
    model = "m"

    def embed_many(self, texts: list[str]) -> list[list[float]]:
        return many(texts)


def test_asks_for_dims_that_the_vectorizer_does_not_say() -> None:
    assert RedisVLEmbedder(VectorizerWithoutDims()).dims == 10


def test_is_named_by_class_and_model() -> None:
    assert RedisVLEmbedder(VectorizerWithoutDims()).name == "VectorizerWithoutDims/m"
    assert RedisVLEmbedder(VectorizerWithoutDims(), name="mine").name == "mine"


def test_refuses_what_is_no_vectorizer() -> None:
    with pytest.raises(EmbedderError, match="list has no embed_many"):
        RedisVLEmbedder([])


def test_normalises_what_the_vectorizer_gives() -> None:
    assert np.linalg.norm(RedisVLEmbedder(vectorizer()).embed(["abc"])) == pytest.approx(1.0)
