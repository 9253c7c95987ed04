"""ONNX graphs are made once, kept where the platform says, and refused where only torch can run the model."""

import json
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.names import ModelBackend
from tests.contracts.embedder import TEXTS


@pytest.mark.parametrize("backend", ["onnx", "onnx-int8"])
def test_makes_a_graph_once(tiny_embedder: Path, tmp_path: Path, backend: ModelBackend) -> None:
    first = SentenceTransformerEmbedder(tiny_embedder, backend, cache_dir=tmp_path)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "onnx").iterdir()}
    second = SentenceTransformerEmbedder(tiny_embedder, backend, cache_dir=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "onnx").iterdir()} == made
    assert len([path for path in made if path.suffix == ".onnx"]) == (1 if backend == "onnx" else 2)
    assert first.name == second.name
    assert first.embed(TEXTS) == pytest.approx(
        SentenceTransformerEmbedder(tiny_embedder, "torch").embed(TEXTS), abs=0.1
    )


def test_setting_up_a_graph_prints_and_logs_nothing(
    tiny_embedder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = list(logging.getLogger().handlers)
    SentenceTransformerEmbedder(tiny_embedder, "onnx-int8", cache_dir=tmp_path).embed(["berlin"])
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")


def test_graphs_are_kept_where_the_platform_says(
    tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    SentenceTransformerEmbedder(tiny_embedder, "onnx")
    kept = sorted((tmp_path / "semcache" / "onnx").iterdir())
    assert [path.suffixes[-1] for path in kept] == [".onnx", ".data"]
    assert kept[1].name == f"{kept[0].name}.data"


def test_says_where_graphs_cannot_be_kept(tiny_embedder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match="set cache_dir"):
        SentenceTransformerEmbedder(tiny_embedder, "onnx", cache_dir=tmp_path / "file")


@pytest.mark.parametrize(("backend", "library"), [("onnx", "onnx"), ("onnx-int8", "onnxruntime.quantization")])
def test_says_what_making_a_graph_needs(
    backend: ModelBackend, library: str, tiny_embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'redis-semcache\[onnx\]'"):
        SentenceTransformerEmbedder(tiny_embedder, backend, cache_dir=tmp_path)
    assert not list((tmp_path / "onnx").glob("*onnx-int8*"))


def test_refuses_a_model_that_no_graph_can_hold(tiny_embedder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    shutil.copytree(tiny_embedder, folder)
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as weights:
        weights.truncate(2**31)  # a hole, which takes no room on disk
    with pytest.raises(ConfigurationError, match=r"large' are too large for an ONNX graph .* use backend=\"torch\""):
        SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path)


def test_says_which_weights_cannot_be_read(tiny_embedder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_embedder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigurationError, match=r"damaged/model\.safetensors' cannot be read .*; download the model"):
        SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path)


def test_a_torch_that_computes_in_16_bits_shares_no_name_with_a_graph(tiny_embedder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(tiny_embedder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    by_onnx, by_torch = (
        SentenceTransformerEmbedder(folder, backend, cache_dir=tmp_path) for backend in ("onnx", "torch")
    )
    assert by_onnx.name != by_torch.name
    assert by_onnx.embed(TEXTS) == pytest.approx(by_torch.embed(TEXTS), abs=1e-2)


def test_a_graph_of_the_folder_has_a_name_of_its_own(tiny_embedder: Path, tmp_path: Path) -> None:
    made = SentenceTransformerEmbedder(tiny_embedder, "onnx", cache_dir=tmp_path)
    folder = tmp_path / tiny_embedder.name
    shutil.copytree(tiny_embedder, folder)
    (folder / "onnx").mkdir()
    graph, data = sorted((tmp_path / "onnx").iterdir())
    shutil.copy(graph, folder / "onnx" / "model.onnx")
    shutil.copy(data, folder / "onnx" / data.name)
    # Nothing says that it was made of the weights beside it.
    own = SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path)
    assert own.name != made.name
    assert np.array_equal(own.embed(TEXTS), made.embed(TEXTS))
    # The hub's name for the weights of a large graph: they count for the name of the vectors.
    (folder / "onnx" / "model.onnx_data").write_bytes(b"other weights")
    assert SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path).name != own.name


def test_refuses_modules_that_only_torch_can_run(tiny_embedder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dense"
    shutil.copytree(tiny_embedder, folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigurationError, match='use backend="torch"'):
        SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path)
