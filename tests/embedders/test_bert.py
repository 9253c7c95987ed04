"""Graphs that are written without torch compute what torch computes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semcache.embedders.bert import is_bert, write_bert
from semcache.embedders.folder import read_folder

TINY = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 24,
}
# The second text is padded, and holds a padding token of its own, which only RoBERTa treats as such.
IDS = np.array([[5, 6, 7, 8, 9, 10, 11], [12, 1, 14, 15, 1, 1, 1]])
MASK = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]])
KINDS = np.array([[0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 0, 0, 0]])


def saved(folder: Path, kind: str, half: bool = False, head: str = "", **config: Any) -> Any:
    """A model of random weights, saved to a folder; gives the model."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

    torch.manual_seed(3)
    made = AutoConfig.for_model(kind, **TINY, **config)
    model = (AutoModelForSequenceClassification if head else AutoModel).from_config(made)
    if half:
        model = model.half()
    model.save_pretrained(folder)
    return (getattr(model, head) if head else model).float().eval()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bert", {}),
        ("bert", {"half": True}),
        ("bert", {"head": "bert", "layer_norm_eps": 1e-3}),
        ("roberta", {"type_vocab_size": 1, "pad_token_id": 1}),
        ("xlm-roberta", {"type_vocab_size": 1, "pad_token_id": 1, "head": "roberta"}),
    ],
)
def test_hidden_states_are_those_of_torch(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    import onnxruntime
    import torch

    model = saved(tmp_path, kind, **options)
    folder = read_folder(tmp_path)
    assert is_bert(folder)
    write_bert(folder, tmp_path / "made.onnx")
    feeds = {"input_ids": IDS, "attention_mask": MASK} | ({"token_type_ids": KINDS} if kind == "bert" else {})
    (hidden,) = onnxruntime.InferenceSession(tmp_path / "made.onnx").run(None, feeds)
    with torch.no_grad():
        expected = model(**{name: torch.tensor(feed) for name, feed in feeds.items()}).last_hidden_state.numpy()
    # Nothing is said about the hidden states of padding.
    assert hidden[MASK == 1] == pytest.approx(expected[MASK == 1], abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"is_decoder": True}),
        ("electra", {}),
    ],
)
def test_leaves_other_models_to_torch(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    saved(tmp_path, kind, **options)
    assert not is_bert(read_folder(tmp_path))


def test_leaves_other_number_types_and_positions_to_torch(tmp_path: Path) -> None:
    model = saved(tmp_path, "bert")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"position_embedding_type": "relative_key"}))
    assert not is_bert(read_folder(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps(config))
    model.bfloat16().save_pretrained(tmp_path)
    assert not is_bert(read_folder(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    assert not is_bert(read_folder(tmp_path))
