"""The rerankers with a model behind them: the packaged cross-encoder, a tiny one by torch, embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.errors import ConfigurationError, RerankerError
from semcache.protocols import Reranker
from semcache.rerankers import CrossEncoderReranker, EmbeddingReranker, OnnxCrossEncoder
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, PointwiseContract

BERLIN = [
    "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "Berlin is well known for its museums.",
]


@pytest.fixture(scope="module")
def of_folder(tiny_cross_encoder: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_cross_encoder, device="cpu")


class TestOnnxCrossEncoder(PointwiseContract):
    tolerance = 1.0  # activations are rounded by the range of the batch

    @pytest.fixture
    def reranker(self, cross_encoder: OnnxCrossEncoder) -> Reranker:
        return cross_encoder

    def test_gives_the_scores_of_the_models_card(self, reranker: Reranker) -> None:
        scores = reranker.score([("How many people live in Berlin?", text) for text in BERLIN])
        assert scores == pytest.approx([9.15, -4.32], abs=0.3)

    def test_one_by_one_a_score_depends_on_its_pair_alone(self) -> None:
        reranker = OnnxCrossEncoder(batch_size=1)
        assert reranker.score(PAIRS)[::-1].tolist() == reranker.score(PAIRS[::-1]).tolist()
        assert reranker.score(PAIRS[:1])[0] == reranker.score(PAIRS)[0]

    def test_is_named_by_content_and_length_not_by_batch_size(self, reranker: Reranker) -> None:
        assert OnnxCrossEncoder(batch_size=4).name == reranker.name
        assert OnnxCrossEncoder(max_length=128).name != reranker.name
        assert (
            OnnxCrossEncoder("cross-encoder/ms-marco-MiniLM-L12-v2").name.split("@")[1] == reranker.name.split("@")[1]
        )

    def test_reads_no_further_than_max_length(self) -> None:
        reranker = OnnxCrossEncoder(max_length=16, batch_size=1)
        text = "paris is the capital of france " * 10
        assert reranker.score([(QUERY, text)]) == reranker.score([(QUERY, text + "and berlin of germany")])


class TestCrossEncoder(PointwiseContract):
    @pytest.fixture
    def reranker(self, of_folder: CrossEncoderReranker) -> Reranker:
        return of_folder

    def test_gives_what_the_model_predicts(self, reranker: Reranker, tiny_cross_encoder: Path) -> None:
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(tiny_cross_encoder), device="cpu")
        assert reranker.score(PAIRS) == pytest.approx(model.predict(PAIRS), abs=1e-6)
        assert CrossEncoderReranker(model).name == reranker.name

    def test_the_name_tells_configurations_apart(self, reranker: Reranker, tiny_cross_encoder: Path) -> None:
        import torch
        from sentence_transformers import CrossEncoder

        folder = str(tiny_cross_encoder)
        raw = CrossEncoder(folder, device="cpu", activation_fn=torch.nn.Identity())
        short = CrossEncoder(folder, device="cpu", max_length=16)
        half = CrossEncoder(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
        names = {reranker.name, *(CrossEncoderReranker(model).name for model in (raw, short, half))}
        assert len(names) == 4


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


def test_refuses_a_model_with_several_labels() -> None:
    class Entailment:
        def predict(self, pairs: Any, **options: Any) -> Any:
            return np.zeros((len(pairs), 3))

    with pytest.raises(RerankerError, match=r"Entailment.* shape \(3, 3\) for 3 pairs; .*single label"):
        CrossEncoderReranker(Entailment()).score(PAIRS)


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"max_length": 0}])
def test_refuses_sizes_that_cannot_be(arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="must be at least"):
        OnnxCrossEncoder(**arguments)


def test_refuses_a_batch_of_none() -> None:
    with pytest.raises(ConfigurationError, match="must be at least 1 pair, got 0"):
        CrossEncoderReranker(object(), batch_size=0)


@pytest.mark.parametrize(
    ("files", "lacking"), [([], "model.onnx or onnx/model.onnx"), (["model.onnx"], "tokenizer.json")]
)
def test_says_what_a_folder_lacks(tmp_path: Path, files: list[str], lacking: str) -> None:
    for file in files:
        (tmp_path / file).write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=f"lacks {lacking}"):
        OnnxCrossEncoder(tmp_path)


def test_says_which_file_is_no_graph(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"model\.onnx' cannot be opened as an ONNX graph"):
        OnnxCrossEncoder(tmp_path)


def test_says_that_a_folder_has_no_torch_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigurationError, match=r"cannot be loaded by torch .* use OnnxCrossEncoder"):
        CrossEncoderReranker(tmp_path)
