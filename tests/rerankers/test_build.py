"""Rungs of the settings become rerankers."""

from pathlib import Path

import pytest

from semcache.embedders import CallableEmbedder
from semcache.errors import ConfigurationError
from semcache.rerankers import CrossEncoderReranker, EmbeddingReranker, OnnxCrossEncoder, RetrievalOrder
from semcache.rerankers.build import build
from semcache.settings import DEFAULT_LADDER, Rung
from tests.embedders.test_callable import many

EMBEDDER = CallableEmbedder(many, dims=10)


def test_the_default_ladder_runs_the_packaged_model_by_onnx(cross_encoder: OnnxCrossEncoder) -> None:
    first, second, third = (build(rung, EMBEDDER) for rung in DEFAULT_LADDER)
    assert isinstance(first, OnnxCrossEncoder)
    assert first.name == cross_encoder.name
    assert isinstance(second, EmbeddingReranker)
    assert EMBEDDER.name in second.name
    assert isinstance(third, RetrievalOrder)


@pytest.mark.parametrize("kind", ["auto", "cross-encoder"])
def test_a_folder_without_a_graph_runs_by_torch(kind: str, tiny_cross_encoder: Path) -> None:
    rung = Rung(kind=kind, model=str(tiny_cross_encoder), max_length=32)  # type: ignore[arg-type]
    reranker = build(rung, EMBEDDER)
    assert isinstance(reranker, CrossEncoderReranker)
    assert "/max32" in reranker.name


def test_onnx_needs_a_graph(tiny_cross_encoder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"lacks model\.onnx"):
        build(Rung(kind="onnx", model=str(tiny_cross_encoder)), EMBEDDER)
