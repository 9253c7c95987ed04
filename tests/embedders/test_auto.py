"""The backend ``auto``: onnx where it can run, torch where it cannot, the same vectors under the same name."""

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.errors import ConfigurationError
from semcache.settings import Settings
from tests.contracts.embedder import TEXTS


@pytest.fixture
def tiny_distilbert(tiny_tokenizer: Path, tmp_path: Path) -> Path:
    """A model whose graph only torch can make."""
    import torch
    from transformers import BertTokenizerFast, DistilBertConfig, DistilBertModel

    torch.manual_seed(4)
    config = DistilBertConfig(vocab_size=32, dim=32, n_layers=1, n_heads=4, hidden_dim=64, max_position_embeddings=64)
    folder = tmp_path / "tiny-distilbert"
    DistilBertModel(config).save_pretrained(folder)
    BertTokenizerFast.from_pretrained(tiny_tokenizer).save_pretrained(folder)
    return folder


def test_is_the_default_and_takes_onnx(tiny_embedder: Path, tmp_path: Path) -> None:
    assert Settings().embedder.backend == "auto"
    embedder = SentenceTransformerEmbedder(tiny_embedder, cache_dir=tmp_path)
    assert embedder.backend == "onnx"
    assert "by onnx" in repr(embedder)


@pytest.mark.parametrize("library", ["onnxruntime", "onnx", "tokenizers"])
def test_without_the_extra_it_is_torch_without_a_word(
    tiny_embedder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    library: str,
) -> None:
    by_onnx = SentenceTransformerEmbedder(tiny_embedder, cache_dir=tmp_path)
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed
    by_torch = SentenceTransformerEmbedder(tiny_embedder, cache_dir=tmp_path)
    assert (by_torch.backend, by_torch.name) == ("torch", by_onnx.name)
    assert not caplog.records


def test_a_device_means_torch(tiny_embedder: Path) -> None:
    assert SentenceTransformerEmbedder(tiny_embedder, device="cpu").backend == "torch"


def test_a_loaded_model_runs_by_torch(tiny_embedder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    assert SentenceTransformerEmbedder(SentenceTransformer(str(tiny_embedder), device="cpu")).backend == "torch"


def test_modules_that_only_torch_can_run_are_left_to_it_without_a_word(
    tiny_embedder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "last-token"
    shutil.copytree(tiny_embedder, folder)
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling | {"pooling_mode": "lasttoken"}))
    assert SentenceTransformerEmbedder(folder, cache_dir=tmp_path).backend == "torch"
    assert not caplog.records


def test_a_graph_that_torch_has_to_make_is_made_once_and_announced(
    tiny_distilbert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "semcache")
    first, second = (SentenceTransformerEmbedder(tiny_distilbert, cache_dir=tmp_path / "cache") for _ in range(2))
    by_torch = SentenceTransformerEmbedder(tiny_distilbert, "torch")
    assert (first.backend, second.backend) == ("onnx", "onnx")
    assert first.name == by_torch.name
    assert first.embed(TEXTS) == pytest.approx(by_torch.embed(TEXTS), abs=1e-5)
    said = [record.getMessage() for record in caplog.records if record.name == "semcache"]
    assert len(said) == 1
    assert str(tiny_distilbert) in said[0]
    assert str(tmp_path / "cache") in said[0]


def test_a_graph_that_cannot_be_made_is_a_warning_and_torch(
    tiny_distilbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Unsupported: ONNX export of operator einsum")

    monkeypatch.setattr(torch.onnx, "export", fail)
    embedder = SentenceTransformerEmbedder(tiny_distilbert, cache_dir=tmp_path / "cache")
    assert embedder.backend == "torch"
    assert embedder.embed(TEXTS).shape == (len(TEXTS), 32)
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert str(tiny_distilbert) in warning.getMessage()
    assert "operator einsum" in warning.getMessage()
    with pytest.raises(ConfigurationError, match=r'operator einsum\); use backend="torch"'):
        SentenceTransformerEmbedder(tiny_distilbert, "onnx", cache_dir=tmp_path / "cache")
    assert not list((tmp_path / "cache" / "onnx").iterdir())


def test_a_graph_that_cannot_be_kept_is_a_warning_and_torch(
    tiny_embedder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert SentenceTransformerEmbedder(tiny_embedder, cache_dir=tmp_path / "file").backend == "torch"
    assert "set cache_dir or XDG_CACHE_HOME" in caplog.text


def test_a_damaged_graph_in_the_cache_is_a_warning_and_torch(
    tiny_embedder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    SentenceTransformerEmbedder(tiny_embedder, cache_dir=tmp_path)
    graph = next((tmp_path / "onnx").glob("*.onnx"))
    graph.write_bytes(graph.read_bytes()[:1000])
    assert SentenceTransformerEmbedder(tiny_embedder, cache_dir=tmp_path).backend == "torch"
    assert str(graph) in caplog.text


def test_a_model_that_is_not_there_is_an_error_and_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError, match="no model folder at"):
        SentenceTransformerEmbedder(tmp_path / "nowhere")
    assert not caplog.records
