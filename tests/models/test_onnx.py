"""ONNX graphs: errors name what is missing, and texts are run in batches of like length."""

import os
import subprocess
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from semcache.embedders import SentenceTransformerEmbedder
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.names import find_folder
from semcache.models.onnx import Outputs, batch_bounds, is_quantised, open_onnx
from semcache.rerankers import OnnxCrossEncoder

PACKAGED = "cross-encoder/ms-marco-MiniLM-L-12-v2"


@pytest.fixture(scope="module")
def folder() -> Path:
    found = find_folder(PACKAGED, "onnx-int8")
    assert found
    return found


@pytest.mark.parametrize("library", ["onnxruntime", "tokenizers"])
def test_says_how_to_install_what_is_missing(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        MissingExtraError, match=rf"{library} is not installed; run: pip install 'redis-semcache\[onnx\]'"
    ):
        OnnxCrossEncoder()


def test_knows_a_quantised_graph(folder: Path, onnx_embedder: SentenceTransformerEmbedder, tmp_path: Path) -> None:
    assert is_quantised(folder / "model.onnx")
    (tmp_path / "float.onnx").write_bytes(b"MatMul" * 100)
    assert not is_quantised(tmp_path / "float.onnx")


def test_pads_to_the_longest_of_a_batch(folder: Path) -> None:
    model = open_onnx(folder / "model.onnx", folder / "tokenizer.json", 64, 1)
    encodings = model.encode([("berlin", "a city"), ("berlin", "museums " * 1000)])
    assert [len(encoding.ids) for encoding in encodings] == [6, 64]
    outputs, mask = model.run(encodings)
    assert outputs[0].shape == (2, 1)
    assert mask.sum(axis=1).tolist() == [6, 64]


def test_batches_hold_texts_of_like_length_and_every_text_once(folder: Path) -> None:
    model = open_onnx(folder / "model.onnx", folder / "tokenizer.json", 64, 1)
    texts = [("berlin", "museums " * count) for count in (30, 1, 20, 2, 10)]
    batches = list(model.batches(texts, 2))
    assert [positions for positions, _, _ in batches] == [[0], [2, 4], [3, 1]]
    assert [outputs[0].shape for _, outputs, _ in batches] == [(1, 1), (2, 1), (2, 1)]
    assert list(model.batches([], 2)) == []


def test_batches_on_several_threads_give_what_one_thread_gives(folder: Path) -> None:
    alone, together = (
        open_onnx(folder / "model.onnx", folder / "tokenizer.json", 64, threads, is_batched=True) for threads in (1, 3)
    )
    texts = [("berlin", "museums " * (count % 20)) for count in range(30)]
    assert together.pool is not None
    assert together.pool.most == 2
    assert alone.pool is None

    def scores(batches: Iterable[Outputs]) -> dict[int, np.float32]:
        return {at: score for places, (found,), _ in batches for at, score in zip(places, found.ravel(), strict=True)}

    # One at a time, since quantised scores depend on the batch.
    assert scores(together.batches(texts, 1)) == scores(alone.batches(texts, 1))
    assert scores(together.batches(texts, 8)).keys() == set(range(30))


@pytest.mark.parametrize(
    ("texts", "batch_size", "at_once", "sizes"),
    [
        (0, 8, 2, []),
        (3, 8, 2, [3]),
        (8, 8, 1, [8]),
        (8, 8, 2, [4, 4]),
        (8, 8, 16, [4, 4]),
        (17, 8, 2, [4, 4, 4, 5]),
        (64, 8, 2, [8] * 8),
        (3, 1, 2, [1, 1, 1]),
    ],
)
def test_batches_are_of_like_size_and_not_of_fewer_than_four(
    texts: int, batch_size: int, at_once: int, sizes: list[int]
) -> None:
    assert [stop - start for start, stop in pairwise(batch_bounds(texts, batch_size, at_once))] == sizes


def test_refuses_a_graph_without_token_ids(tmp_path: Path, folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [result])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "g.onnx")
    with pytest.raises(ConfigurationError, match=r"takes \['x'\], not token ids"):
        open_onnx(tmp_path / "g.onnx", folder / "tokenizer.json", 64, 1)


def test_a_damaged_tokenizer_is_named(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"tokenizer.json' cannot be read as a tokenizer: .*[^.]; download"):
        open_onnx(folder / "model.onnx", tmp_path / "tokenizer.json", 64, 1)


@pytest.mark.parametrize(("given", "said"), [(None, "['1'] None"), ("0", "['0'] 0")])
def test_onnxruntime_is_imported_without_its_telemetry_and_the_environment_is_left_alone(
    given: str | None, said: str
) -> None:
    script = """
import os, sys
seen = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            seen.append(os.environ.get("ORT_DISABLE_TELEMETRY"))
from semcache.rerankers import OnnxCrossEncoder
sys.meta_path.insert(0, Finder())
OnnxCrossEncoder()
print(seen, os.environ.get("ORT_DISABLE_TELEMETRY"))
"""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
    assert done.stdout.strip() == said
