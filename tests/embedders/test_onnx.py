"""A folder's word about texts and vectors holds by ONNX as it does by torch, or the folder is left to torch."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.errors import ConfigurationError
from tests.contracts.embedder import TEXTS

WORDS = "how many people live in the city of berlin and paris is the capital of france ? "
Change = dict[str, dict[str, Any]]

PROMPT: Change = {
    "config_sentence_transformers.json": {"prompts": {"query": "what is "}, "default_prompt_name": "query"}
}


@pytest.fixture
def changed(tiny_embedder: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A copy of the tiny model with some values in its JSON files replaced."""

    def changed(change: Change) -> Path:
        folder = tmp_path / tiny_embedder.name
        shutil.copytree(tiny_embedder, folder)
        for name, values in change.items():
            file = folder / name
            file.write_text(json.dumps(json.loads(file.read_text()) | values))
        return folder

    return changed


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        (PROMPT, True),
        ({"config_sentence_transformers.json": {"prompts": {"query": "what is "}}}, False),
        ({"config_sentence_transformers.json": {"truncate_dim": 8}}, True),
        ({"config_sentence_transformers.json": {"truncate_dim": 64}}, False),
        ({"tokenizer_config.json": {"model_max_length": 9}}, True),
        ({"sentence_bert_config.json": {"max_seq_length": 7}}, True),
        ({"tokenizer_config.json": {"model_max_length": 10**30}}, True),
        ({"1_Pooling/config.json": {"pooling_mode": "cls"}}, True),
        ({"1_Pooling/config.json": {"include_prompt": False}}, False),
    ],
)
def test_vectors_are_those_of_torch(
    changed: Callable[[Change], Path], tiny_embedder: Path, tmp_path: Path, change: Change, matters: bool
) -> None:
    texts = [*TEXTS, WORDS * 4]
    folder = changed(change)
    vectors = SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path).embed(texts)
    assert vectors == pytest.approx(SentenceTransformerEmbedder(folder, "torch").embed(texts), abs=1e-5)
    before = SentenceTransformerEmbedder(tiny_embedder, "onnx", cache_dir=tmp_path).embed(texts)
    assert matters != (before.shape == vectors.shape and before == pytest.approx(vectors, abs=1e-5))


def test_texts_are_put_in_lower_case_where_the_model_says_so(changed: Callable[[Change], Path], tmp_path: Path) -> None:
    as_written = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": False}
    folder = changed({"tokenizer.json": {"normalizer": as_written}, "tokenizer_config.json": {"do_lower_case": False}})
    texts = ["BERLIN is a City", "berlin is a city"]
    apart = SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path).embed(texts)
    assert apart[0] @ apart[1] < 0.99
    limits = json.loads((folder / "sentence_bert_config.json").read_text())
    (folder / "sentence_bert_config.json").write_text(json.dumps(limits | {"do_lower_case": True}))
    together = SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path).embed(texts)
    assert together == pytest.approx(SentenceTransformerEmbedder(folder, "torch").embed(texts), abs=1e-5)
    assert together[0] == pytest.approx(together[1])


@pytest.mark.parametrize(
    "change",
    [
        PROMPT | {"1_Pooling/config.json": {"include_prompt": False}},
        {"1_Pooling/config.json": {"pooling_mode": "lasttoken"}},
        {"1_Pooling/config.json": {"pooling_mode": ["mean", "cls"]}},
    ],
)
def test_what_only_torch_can_do_is_left_to_it_also_with_a_graph_in_the_folder(
    changed: Callable[[Change], Path], tiny_embedder: Path, tmp_path: Path, change: Change
) -> None:
    folder = changed(change)
    SentenceTransformerEmbedder(tiny_embedder, "onnx", cache_dir=tmp_path)
    graph = next((tmp_path / "onnx").glob("*.onnx"))
    shutil.copy(graph, folder / "model.onnx")
    with pytest.raises(ConfigurationError, match='use backend="torch"'):
        SentenceTransformerEmbedder(folder, "onnx", cache_dir=tmp_path)
    assert SentenceTransformerEmbedder(folder, cache_dir=tmp_path).backend == "torch"
