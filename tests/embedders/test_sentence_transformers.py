"""The sentence-transformers embedder on the packaged model and on a tiny one, by torch and by ONNX."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.errors import ConfigurationError, EmbedderError, MissingExtraError
from tests.contracts.embedder import TEXTS, EmbedderContract

RAG = ["How does RAG work?", "Explain how RAG functions"]


@pytest.fixture(scope="module")
def bge_small() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder("BAAI/bge-small-en-v1.5", "onnx-int8")


@pytest.fixture(scope="module")
def of_instance(tiny_embedder: Path) -> SentenceTransformerEmbedder:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformerEmbedder(SentenceTransformer(str(tiny_embedder), device="cpu"))


class TestTorch(EmbedderContract):
    @pytest.fixture
    def embedder(self, minilm: SentenceTransformerEmbedder) -> SentenceTransformerEmbedder:
        return minilm

    def test_knows_the_similarity_of_a_paraphrase(self, embedder: SentenceTransformerEmbedder) -> None:
        first, second = embedder.embed(RAG)
        assert first @ second == pytest.approx(0.825, abs=0.005)


class TestOnnx(EmbedderContract):
    @pytest.fixture
    def embedder(self, onnx_embedder: SentenceTransformerEmbedder) -> SentenceTransformerEmbedder:
        return onnx_embedder

    def test_gives_the_vectors_of_torch(
        self, embedder: SentenceTransformerEmbedder, minilm: SentenceTransformerEmbedder
    ) -> None:
        assert embedder.embed(RAG + TEXTS) == pytest.approx(minilm.embed(RAG + TEXTS), abs=1e-5)


class TestInt8(EmbedderContract):
    tolerance = 0.05  # activations are rounded by the range of the batch

    @pytest.fixture
    def embedder(self, int8_embedder: SentenceTransformerEmbedder) -> SentenceTransformerEmbedder:
        return int8_embedder

    def test_is_close_to_torch(
        self, embedder: SentenceTransformerEmbedder, minilm: SentenceTransformerEmbedder
    ) -> None:
        exact = minilm.embed(RAG)
        rounded = np.concatenate([embedder.embed([text]) for text in RAG])
        assert ((exact * rounded).sum(axis=1) > 0.985).all()


class TestPackagedBge(EmbedderContract):
    tolerance = 0.05

    @pytest.fixture
    def embedder(self, bge_small: SentenceTransformerEmbedder) -> SentenceTransformerEmbedder:
        return bge_small

    def test_pools_by_the_first_token(self, embedder: SentenceTransformerEmbedder) -> None:
        vectors = embedder.embed([*RAG, "museums in paris"])
        related, stranger = vectors[0] @ vectors[1:].T
        assert related > stranger + 0.2


class TestInstance(EmbedderContract):
    @pytest.fixture
    def embedder(self, of_instance: SentenceTransformerEmbedder) -> SentenceTransformerEmbedder:
        return of_instance

    def test_shares_its_name_with_the_same_folder(
        self, embedder: SentenceTransformerEmbedder, tiny_embedder: Path
    ) -> None:
        assert embedder.name == SentenceTransformerEmbedder(tiny_embedder).name


def test_names_tell_backends_apart(
    minilm: SentenceTransformerEmbedder,
    onnx_embedder: SentenceTransformerEmbedder,
    int8_embedder: SentenceTransformerEmbedder,
) -> None:
    assert len({minilm.name, onnx_embedder.name, int8_embedder.name}) == 3
    assert all(name.startswith("all-MiniLM-L6-v2@") for name in (minilm.name, onnx_embedder.name, int8_embedder.name))


def test_both_spellings_of_the_default_are_one_model(minilm: SentenceTransformerEmbedder) -> None:
    assert SentenceTransformerEmbedder("sentence-transformers/all-MiniLM-L6-v2").name == minilm.name


def test_names_follow_the_weights(tiny_embedder: Path, tmp_path: Path) -> None:
    changed = tmp_path / tiny_embedder.name
    shutil.copytree(tiny_embedder, changed)
    weights = bytearray((changed / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (changed / "model.safetensors").write_bytes(weights)
    assert SentenceTransformerEmbedder(changed).name != SentenceTransformerEmbedder(tiny_embedder).name


def test_dims_and_name_load_no_model(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # as if it were not installed
    embedder = SentenceTransformerEmbedder(tiny_embedder)
    assert embedder.dims == 32
    assert "tiny-embedder" in embedder.name
    with pytest.raises(MissingExtraError):
        embedder.embed(["berlin"])


def test_refuses_an_unknown_backend() -> None:
    with pytest.raises(ConfigurationError, match="backend must be one of torch, onnx, onnx-int8, got 'tf'"):
        SentenceTransformerEmbedder(backend="tf")  # type: ignore[arg-type]


def test_refuses_a_model_that_does_not_say_its_dims() -> None:
    class ModelWithoutDims:
        def encode(self, texts: list[str]) -> list[list[float]]:
            return [[1.0] for _ in texts]

    with pytest.raises(EmbedderError, match="ModelWithoutDims does not say its dims"):
        SentenceTransformerEmbedder(ModelWithoutDims())
