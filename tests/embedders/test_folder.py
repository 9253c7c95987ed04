"""Folders of sentence-transformers, in the layouts of several years."""

import json
from pathlib import Path
from typing import Any

import pytest

from semcache.embedders.folder import read_folder
from semcache.errors import ConfigurationError

BERT = {"hidden_size": 384, "max_position_embeddings": 512, "model_type": "bert"}
MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
DENSE = [*MODULES, {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}]


def written(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("pooling", "mode", "dims"),
    [
        (
            {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False},
            "mean",
            384,
        ),
        (
            {"word_embedding_dimension": 384, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True},
            "cls",
            384,
        ),
        ({"embedding_dimension": 384, "pooling_mode": "cls"}, "cls", 384),
        ({"embedding_dimension": 384, "pooling_mode": ["mean", "cls"]}, "mean+cls", 768),
        ({}, "mean", 384),
    ],
)
def test_reads_pooling(tmp_path: Path, pooling: dict[str, Any], mode: str, dims: int) -> None:
    files = {"modules.json": MODULES, "config.json": BERT, "1_Pooling/config.json": pooling}
    folder = read_folder(written(tmp_path, files))
    assert (folder.pooling, folder.dims, folder.max_length) == (mode, dims, 512)
    assert folder.is_plain == (mode in ("mean", "cls"))


def test_a_dense_layer_decides_the_dims(tmp_path: Path) -> None:
    files = {"modules.json": DENSE, "config.json": BERT, "2_Dense/config.json": {"out_features": 128}}
    folder = read_folder(written(tmp_path, files))
    assert folder.dims == 128
    assert not folder.is_plain


def test_a_bare_transformer_is_pooled_as_its_owner_says(tmp_path: Path) -> None:
    folder = written(tmp_path, {"config.json": BERT})
    assert read_folder(folder).pooling == "mean"
    assert read_folder(folder, "cls").pooling == "cls"


@pytest.mark.parametrize(
    ("config", "limit", "length"),
    [
        (BERT, {"max_seq_length": 256}, 256),
        (BERT, {"max_seq_length": None}, 512),
        (BERT, {"max_seq_length": 9999}, 512),
        (BERT | {"model_type": "xlm-roberta", "max_position_embeddings": 514}, {}, 512),
    ],
)
def test_reads_the_longest_text(tmp_path: Path, config: Any, limit: Any, length: int) -> None:
    folder = written(tmp_path, {"config.json": config, "sentence_bert_config.json": limit})
    assert read_folder(folder).max_length == length


def test_reads_the_transformer_from_its_own_folder(tmp_path: Path) -> None:
    modules = [{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
    folder = read_folder(written(tmp_path, {"modules.json": modules, "0_Transformer/config.json": BERT}))
    assert folder.transformer == tmp_path / "0_Transformer"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "lacks config.json"),
        ({"config.json": {"model_type": "bert"}}, "does not say how long its vectors are"),
        ({"config.json": "{"}, "is not valid JSON"),
    ],
)
def test_says_what_a_folder_lacks(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_folder(written(tmp_path, files))
    assert tmp_path.name in str(caught.value)
