"""The ONNX cross-encoder: scores of the packaged model, its name, and folders and sizes that it refuses."""

from pathlib import Path

import pytest

from semcache.errors import ConfigurationError
from semcache.protocols import Reranker
from semcache.rerankers import OnnxCrossEncoder
from tests.contracts.reranker import PAIRS, QUERY, PointwiseContract

BERLIN = [
    "Berlin has a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.",
    "Berlin is well known for its museums.",
]


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


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"max_length": 0}])
def test_refuses_sizes_that_cannot_be(arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="must be at least"):
        OnnxCrossEncoder(**arguments)


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
