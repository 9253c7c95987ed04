"""The sentence-transformers cross-encoder, on a tiny model of random weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcache.errors import ConfigurationError, RerankerError
from semcache.protocols import Reranker
from semcache.rerankers import CrossEncoderReranker
from tests.contracts.reranker import PAIRS, PointwiseContract


@pytest.fixture(scope="module")
def of_folder(tiny_cross_encoder: Path) -> CrossEncoderReranker:
    return CrossEncoderReranker(tiny_cross_encoder, device="cpu")


class TestCrossEncoder(PointwiseContract):
    @pytest.fixture
    def reranker(self, of_folder: CrossEncoderReranker) -> Reranker:
        return of_folder

    def test_gives_what_the_model_predicts(self, reranker: Reranker, tiny_cross_encoder: Path) -> None:
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(tiny_cross_encoder), device="cpu")
        assert reranker.score(PAIRS) == pytest.approx(model.predict(PAIRS), abs=1e-6)

    def test_the_name_tells_configurations_apart(self, reranker: Reranker, tiny_cross_encoder: Path) -> None:
        import torch
        from sentence_transformers import CrossEncoder

        folder = str(tiny_cross_encoder)
        raw = CrossEncoder(folder, device="cpu", activation_fn=torch.nn.Identity())
        short = CrossEncoder(folder, device="cpu", max_length=16)
        half = CrossEncoder(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
        names = {reranker.name, *(CrossEncoderReranker(model).name for model in (raw, short, half))}
        assert len(names) == 4


def test_refuses_a_model_with_several_labels() -> None:
    class Entailment:
        def predict(self, pairs: Any, **options: Any) -> Any:
            return np.zeros((len(pairs), 3))

    with pytest.raises(RerankerError, match=r"Entailment.* shape \(3, 3\) for 3 pairs; .*single label"):
        CrossEncoderReranker(Entailment()).score(PAIRS)


def test_refuses_a_batch_of_none() -> None:
    with pytest.raises(ConfigurationError, match="must be at least 1 pair, got 0"):
        CrossEncoderReranker(object(), batch_size=0)


def test_says_that_a_folder_has_no_torch_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigurationError, match=r"no weights for torch; .* use OnnxCrossEncoder"):
        CrossEncoderReranker(tmp_path)
