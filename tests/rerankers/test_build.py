"""Rungs of the settings become rerankers."""

from pathlib import Path

import pytest

from semcache.embedders import CallableEmbedder
from semcache.errors import ConfigurationError
from semcache.rerankers import (
    CrossEncoderReranker,
    HttpReranker,
    LearnedReranker,
    OnnxCrossEncoder,
    RetrievalOrder,
)
from semcache.rerankers.build import build
from semcache.settings import DEFAULT_LADDER, Rung
from tests.embedders.test_callable import many

EMBEDDER = CallableEmbedder(many, dims=10)


def test_the_default_ladder_runs_the_packaged_model_by_onnx(cross_encoder: OnnxCrossEncoder) -> None:
    first, second, third = (build(rung, EMBEDDER) for rung in DEFAULT_LADDER)
    assert isinstance(first, OnnxCrossEncoder)
    assert first.name == cross_encoder.name
    assert isinstance(second, LearnedReranker)
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


def test_a_service_is_built_with_all_that_its_rung_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_KEY", "sk-1")
    rung = Rung(
        kind="http",
        dialect="infinity",
        model="bge",
        url="http://host:7997",  # type: ignore[arg-type]
        api_key_variable="OUR_KEY",
        options={"raw_scores": True},
        timeout_s=3,
        concurrency=4,
        max_pairs_per_call=50,
        listwise=True,
        requests_per_minute=600,
        pairs_per_minute=9000,
    )
    reranker = build(rung, EMBEDDER)
    assert isinstance(reranker, HttpReranker)
    assert reranker.name == "infinity/bge@host:7997"
    assert (reranker.timeout_s, reranker.concurrency, reranker.max_pairs_per_call) == (3.0, 4, 50)
    assert reranker.listwise
    assert repr(reranker.rate_limit) == "<RateLimit 600 requests a minute and 9000 pairs a minute>"
    assert reranker.content


def test_a_service_that_lacks_something_is_refused_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CO_API_KEY", raising=False)
    for rung, message in (
        (Rung(kind="http", dialect="tei"), "dialect tei has no hosted service; pass url"),
        (Rung(kind="http", dialect="cohere"), r"https://api\.cohere\.com needs a key; pass api_key, or set CO_API_KEY"),
        (Rung.model_construct(kind="http", dialect=None), "needs a dialect"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            build(rung, EMBEDDER)
