"""Names of model folders follow every file that changes what the model says, and no other."""

import json
from pathlib import Path

import pytest

from semcache.models.content import folder_hint, graph_files, has_weights


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "modules.json").write_text(json.dumps([{"path": ""}, {"path": "1_Pooling"}]))
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "config.json",
        "model.safetensors",
        "model-00002-of-00002.safetensors",
        "config_sentence_transformers.json",
        "chat_template.jinja",
        "vocab.txt",
        "tokenizer.model",
        "modeling_own.py",
        "1_Pooling/config.json",
        "1_Pooling/model.safetensors",
    ],
)
def test_follows(folder: Path, file: str) -> None:
    before = folder_hint(folder)
    (folder / file).write_bytes(b"[]")
    assert folder_hint(folder) != before


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "trainer_state.json",
        "training_args.bin",
        "optimizer.pt",
        "pytorch_model.bin",  # not read where the other kind is there
        "checkpoint-500/model.safetensors",
        "onnx/model.onnx",
    ],
)
def test_does_not_follow(folder: Path, file: str) -> None:
    before = folder_hint(folder)
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"anything")
    assert folder_hint(folder) == before


def test_older_weights_count_where_they_are_alone(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert not has_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(b"one")
    assert has_weights(folder)
    before = folder_hint(folder)
    (folder / "pytorch_model.bin").write_bytes(b"two")
    assert folder_hint(folder) != before


def test_a_large_graph_keeps_its_weights_beside_it(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.onnx_data", "model.onnx.data", "other.onnx"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in graph_files(tmp_path / "model.onnx")] == [
        "model.onnx",
        "model.onnx.data",
        "model.onnx_data",
    ]
