"""The sentence-transformers embedder on the packaged model and on a tiny one, by torch and by ONNX."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.errors import ConfigurationError, EmbedderError, MissingExtraError
from semcache.identity.kinds import IdentifiedBy
from semcache.models.names import ModelBackend
from tests.contracts.embedder import TEXTS, EmbedderContract

RAG = ["How does RAG work?", "Explain how RAG functions"]

# One of each kind of text that a tokenizer, a cut or a pooling might treat in its own way.
TABLE = [
    *RAG,
    *TEXTS,
    "",
    " \n\t ",
    ".",
    "x",
    "\u200b",
    "\ud800 broken",
    "where is the best pizza of the town? " * 200,  # longer than the model reads
    "a" * 20_000,
    "如何开启缓存",
    "メロスは激怒した。" * 60,
    "가격 비교",
    "caf\u00e9 cafe\u0301 na\u00efve \u0130stanbul",
    "😀" * 50,
    "👩\u200d🔬 and 🏳️\u200d🌈",
    "مرحبا بالعالم",
    "SELECT * FROM t WHERE a <> 'b';",
    "[CLS] [SEP] [PAD] [MASK]",
]


@pytest.fixture(scope="module")
def bge_small() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder("BAAI/bge-small-en-v1.5", "onnx-int8")


@pytest.fixture(scope="module")
def of_instance(tiny_embedder: Path) -> SentenceTransformerEmbedder:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformerEmbedder(SentenceTransformer(str(tiny_embedder), device="cpu"))


def assert_one_vector_per_text(embedder: SentenceTransformerEmbedder) -> None:
    alone = {text: embedder.embed([text])[0] for text in TABLE}
    for batch in (TABLE, TABLE[::-1], TABLE[3:5], [TABLE[0]] * 3):
        assert np.array_equal(embedder.embed(batch), np.stack([alone[text] for text in batch]))


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
        assert embedder.embed(TABLE) == pytest.approx(minilm.embed(TABLE), abs=1e-5)

    def test_gives_a_text_one_vector_whatever_comes_with_it(self, embedder: SentenceTransformerEmbedder) -> None:
        assert_one_vector_per_text(embedder)


class TestInt8(EmbedderContract):
    tolerance = 0.0

    @pytest.fixture
    def embedder(self, int8_embedder: SentenceTransformerEmbedder) -> SentenceTransformerEmbedder:
        return int8_embedder

    def test_is_close_to_torch(
        self, embedder: SentenceTransformerEmbedder, minilm: SentenceTransformerEmbedder
    ) -> None:
        exact = minilm.embed(RAG)
        rounded = np.concatenate([embedder.embed([text]) for text in RAG])
        assert ((exact * rounded).sum(axis=1) > 0.985).all()

    def test_gives_a_text_one_vector_whatever_comes_with_it(self, embedder: SentenceTransformerEmbedder) -> None:
        assert_one_vector_per_text(embedder)


class TestPackagedBge(EmbedderContract):
    tolerance = 0.0

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

    @pytest.mark.parametrize("change", ["weights", "prompt", "length", "precision"])
    def test_has_a_name_of_its_own_once_it_is_changed(
        self, embedder: SentenceTransformerEmbedder, tiny_embedder: Path, change: str
    ) -> None:
        import torch
        from sentence_transformers import SentenceTransformer

        options = {"prompts": {"web": "berlin "}, "default_prompt_name": "web"} if change == "prompt" else {}
        model = SentenceTransformer(str(tiny_embedder), device="cpu", **options)
        with torch.no_grad():
            if change == "weights":
                next(iter(model.parameters())).mul_(1.01)
        if change == "length":
            model.max_seq_length = 8
        if change == "precision":
            model.half()
        changed = SentenceTransformerEmbedder(model)
        assert changed.name != embedder.name
        assert changed.name == SentenceTransformerEmbedder(model).name
        assert changed.identified_by is IdentifiedBy.CONTENT


def test_names_tell_vectors_apart_and_not_libraries(
    minilm: SentenceTransformerEmbedder,
    onnx_embedder: SentenceTransformerEmbedder,
    int8_embedder: SentenceTransformerEmbedder,
) -> None:
    assert minilm.name == onnx_embedder.name
    assert int8_embedder.name != onnx_embedder.name
    assert int8_embedder.name.startswith("all-MiniLM-L6-v2@")
    assert [embedder.backend for embedder in (minilm, onnx_embedder, int8_embedder)] == ["torch", "onnx", "onnx-int8"]


def test_both_spellings_of_the_default_are_one_model(minilm: SentenceTransformerEmbedder) -> None:
    assert SentenceTransformerEmbedder("sentence-transformers/all-MiniLM-L6-v2").name == minilm.name


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_names_follow_the_weights(tiny_embedder: Path, tmp_path: Path, backend: ModelBackend) -> None:
    changed = tmp_path / tiny_embedder.name
    shutil.copytree(tiny_embedder, changed)
    weights = bytearray((changed / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (changed / "model.safetensors").write_bytes(weights)
    other, same = (
        SentenceTransformerEmbedder(folder, backend, cache_dir=tmp_path) for folder in (changed, tiny_embedder)
    )
    assert other.name != same.name


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer.json", lambda known: known["model"]["vocab"].update(berlin=15, paris=16)),
        ("1_Pooling/config.json", lambda known: known.update(pooling_mode="cls")),
        ("config_sentence_transformers.json", lambda known: known.update(prompts={"a": "b"}, default_prompt_name="a")),
        ("sentence_bert_config.json", lambda known: known.update(max_seq_length=16)),
    ],
)
def test_names_follow_the_settings(
    tiny_embedder: Path, tmp_path: Path, file: str, change: Callable[[dict[str, Any]], None]
) -> None:
    changed = tmp_path / tiny_embedder.name
    shutil.copytree(tiny_embedder, changed)
    content = json.loads((changed / file).read_text())
    change(content)
    (changed / file).write_text(json.dumps(content))
    names = {SentenceTransformerEmbedder(folder, "torch").name for folder in (changed, tiny_embedder)}
    assert len(names) == 2


def test_dims_and_name_load_no_model(tiny_embedder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # as if it were not installed
    embedder = SentenceTransformerEmbedder(tiny_embedder, "torch")
    assert embedder.dims == 32
    assert "tiny-embedder" in embedder.name
    with pytest.raises(MissingExtraError):
        embedder.embed(["berlin"])


def test_refuses_an_unknown_backend() -> None:
    with pytest.raises(ConfigurationError, match="backend must be one of auto, torch, onnx, onnx-int8, got 'tf'"):
        SentenceTransformerEmbedder(backend="tf")  # type: ignore[arg-type]


def test_refuses_a_model_that_does_not_say_its_dims() -> None:
    class ModelWithoutDims:
        def encode(self, texts: list[str]) -> list[list[float]]:
            return [[1.0] for _ in texts]

    with pytest.raises(EmbedderError, match="ModelWithoutDims does not say its dims"):
        SentenceTransformerEmbedder(ModelWithoutDims())
