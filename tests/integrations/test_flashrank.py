"""FlashRank's Ranker on the packaged cross-encoder, in the folder where it looks for a downloaded model."""

import json
from pathlib import Path

import numpy as np
import pytest
from flashrank import Ranker
from flashrank.Config import model_file_map

from semcache.models.names import folder_of
from semcache.protocols import Reranker
from semcache.rerankers import OnnxCrossEncoder, RankingReranker, adapt
from tests.contracts.reranker import PAIRS, PointwiseContract

_MODEL = "ms-marco-MiniLM-L-12-v2"


@pytest.fixture(scope="module")
def ranker(tmp_path_factory: pytest.TempPathFactory) -> Ranker:
    cache = tmp_path_factory.mktemp("flashrank")
    folder = cache / _MODEL
    folder.mkdir()
    packaged: Path = folder_of("cross-encoder/ms-marco-MiniLM-L-12-v2", "onnx-int8", ())
    (folder / model_file_map[_MODEL]).symlink_to(packaged / "model.onnx")
    (folder / "tokenizer.json").symlink_to(packaged / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 512, "pad_token": "[PAD]"}))
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    return Ranker(_MODEL, cache_dir=str(cache), log_level="WARNING")


class TestFlashRank(PointwiseContract):
    # The graph is quantised, so that the score of a pair depends on the pairs beside it.
    tolerance = 0.1

    @pytest.fixture
    def reranker(self, ranker: Ranker) -> Reranker:
        return adapt(ranker, name="flashrank")

    def test_is_known_to_score(self, reranker: Reranker) -> None:
        assert isinstance(reranker, RankingReranker)
        assert repr(reranker) == "<RankingReranker flashrank, pointwise>"

    def test_gives_the_scores_of_its_model(self, reranker: Reranker, cross_encoder: OnnxCrossEncoder) -> None:
        logits = cross_encoder.score(PAIRS)
        assert reranker.score(PAIRS) == pytest.approx(1 / (1 + np.exp(-logits)), abs=self.tolerance)
