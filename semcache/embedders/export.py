"""ONNX graphs made from a model's weights, offline, and kept in the user's cache directory."""

import inspect
import os
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from semcache.embedders.folder import ModelFolder
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.loading import without_logging_setup, without_progress_bars
from semcache.models.names import ModelBackend, content_hint, required
from semcache.models.onnx import is_quantised

_RECIPE = "1"  # part of the file name: a graph made by an older recipe is made again
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/semcache``, else ``~/.cache/semcache``; ``%LOCALAPPDATA%\\semcache`` on Windows."""
    root = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return Path(root) / "semcache" if root else Path.home() / ".cache" / "semcache"


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX file. ``identity`` is the same wherever the graph is made of the same weights in the same way."""

    path: Path
    identity: str


def graph_of(folder: ModelFolder, form: ModelBackend, cache: Path | None = None) -> Graph:
    """The graph of this form: one that the folder has, else one in the cache, else made now (5 to 20 s, once)."""
    found = _shipped(folder, form)
    if found:
        return Graph(found, f"{content_hint(found)}/{form}")
    if not folder.is_plain:
        raise ConfigurationError(
            f"{str(folder.path)!r} has modules {folder.modules} with {folder.pooling} pooling; without torch only a "
            'transformer with mean or cls pooling can run, so use backend="torch"'
        )
    made = _Made(folder, cache or cache_directory())
    plain = _shipped(folder, "onnx") or made.graph("onnx", lambda path: _export(folder, path))
    path = plain if form == "onnx" else made.graph(form, lambda path: _quantise(plain, path))
    return Graph(path, f"{made.hint}/{form}.{_RECIPE}")


class _Made:
    """Graphs in the cache directory that were made of one folder's weights."""

    def __init__(self, folder: ModelFolder, cache: Path) -> None:
        source = required(folder.transformer, *WEIGHTS, "model.onnx", "onnx/model.onnx")
        self.hint = content_hint(source, required(folder.transformer, "config.json"))
        self._cache = cache / "onnx"

    def graph(self, form: ModelBackend, make: Callable[[Path], None]) -> Path:
        """The graph of this form, made if it is not there."""
        target = self._cache / f"{self.hint}-{form}.{_RECIPE}.onnx"
        if not target.is_file():
            _write_atomically(target, make)
        return target


def _shipped(folder: ModelFolder, form: ModelBackend) -> Path | None:
    for graph in (folder.path / "model.onnx", folder.path / "onnx" / "model.onnx"):
        if graph.is_file() and is_quantised(graph) == (form == "onnx-int8"):
            return graph
    return None


def _write_atomically(target: Path, make: Callable[[Path], None]) -> None:
    """Nobody ever sees half a file: made beside the target, then renamed. Two processes at once make it twice."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        room = tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-")
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep ONNX graphs in {str(target.parent)!r} ({error}); set cache_dir"
        ) from error
    with room as made:
        make(Path(made) / target.name)
        (Path(made) / target.name).replace(target)


def _export(folder: ModelFolder, path: Path) -> None:
    required(folder.transformer, *WEIGHTS)
    try:
        import_module("onnx")  # torch.onnx.export needs it, and says so only at its end
        import torch
        from transformers import AutoModel
    except ImportError as error:
        raise MissingExtraError("onnx, torch or transformers, which make ONNX graphs,", "onnx") from error
    # Eager attention, traced: of the ways there are, the one whose attention onnxruntime recognises and fuses
    # (3.6 ms for a short query, against 7.6 ms for the graph of the torch.export based exporter).
    with without_progress_bars():
        model = AutoModel.from_pretrained(folder.transformer, attn_implementation="eager").eval()
    inputs = _example(torch, model)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns about its own internals, and that it is the older way
        torch.onnx.export(
            _tokens_in(torch, model, tuple(inputs)),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=["last_hidden_state"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in (*inputs, "last_hidden_state")},
            opset_version=17,
            dynamo=False,
        )


def _tokens_in(torch: Any, model: Any, names: tuple[str, ...]) -> Any:
    """A module whose only output is the last hidden state, with the inputs in this order."""

    class Tokens(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(**dict(zip(names, values, strict=True))).last_hidden_state

    return Tokens()


def _example(torch: Any, model: Any) -> dict[str, Any]:
    """Two short texts of different length, so that no size is taken for a constant."""
    accepted = inspect.signature(model.forward).parameters
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]])
    values = (ids, torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]), torch.zeros_like(ids))
    return {name: value for name, value in zip(_INPUTS, values, strict=True) if name in accepted}


def _quantise(graph: Path, path: Path) -> None:
    """Weights once, activations as they come: 8-bit integers. Measured on short queries, cosine to float32 in brackets.

    Per channel (0.992, lowest 0.989) rather than per tensor (0.974), at the same speed. Unsigned weights (0.993),
    a reduced range (0.992) and fused graphs (0.992) are no better beyond noise; float32 word embeddings neither.
    """
    try:
        # By name, since its type hints do not export what they name.
        quantization: Any = import_module("onnxruntime.quantization")
    except ImportError as error:
        raise MissingExtraError("onnx or onnxruntime, which quantise graphs,", "onnx") from error
    with without_logging_setup():
        quantization.quantize_dynamic(graph, path, per_channel=True)
