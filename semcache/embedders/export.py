"""ONNX graphs made from a model's weights, offline, and kept in the user's cache directory."""

import inspect
import os
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from semcache.embedders.folder import ModelFolder
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models import Form, content_hint, required
from semcache.onnx import is_quantised

_RECIPE = "1"  # part of the file name: a graph made by an older recipe is made again
WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/semcache``, else ``~/.cache/semcache``; ``%LOCALAPPDATA%\\semcache`` on Windows."""
    root = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return Path(root) / "semcache" if root else Path.home() / ".cache" / "semcache"


def graph_of(folder: ModelFolder, form: Form, cache: Path | None = None) -> Path:
    """The graph of this form: one that the folder has, else one in the cache, else made now (10 to 40 s, once)."""
    found = _shipped(folder, form)
    if found:
        return found
    if not folder.is_plain:
        raise ConfigurationError(
            f"{str(folder.path)!r} has modules {folder.modules} with {folder.pooling} pooling; without torch only a "
            'transformer with mean or cls pooling can run, so use backend="torch"'
        )
    plain = _shipped(folder, "onnx") or _cached(folder, "onnx", cache, lambda path: _export(folder, path))
    return plain if form == "onnx" else _cached(folder, form, cache, lambda path: _quantise(plain, path))


def _shipped(folder: ModelFolder, form: Form) -> Path | None:
    for graph in (folder.path / "model.onnx", folder.path / "onnx" / "model.onnx"):
        if graph.is_file() and is_quantised(graph) == (form == "onnx-int8"):
            return graph
    return None


def _cached(folder: ModelFolder, form: Form, cache: Path | None, make: Callable[[Path], None]) -> Path:
    weights = required(folder.transformer, *WEIGHTS, "model.onnx", "onnx/model.onnx")
    target = (cache or cache_directory()) / "onnx" / f"{content_hint(weights)}-{form}-{_RECIPE}.onnx"
    if not target.is_file():
        _write_atomically(target, make)
    return target


def _write_atomically(target: Path, make: Callable[[Path], None]) -> None:
    """Nobody ever sees half a file: made beside the target, then renamed. Two processes at once make it twice."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as room:
        made = Path(room) / target.name
        make(made)
        made.replace(target)


def _export(folder: ModelFolder, path: Path) -> None:
    required(folder.transformer, *WEIGHTS)
    try:
        import torch
        from transformers import AutoModel
    except ImportError as error:
        raise MissingExtraError("torch or transformers, which ONNX graphs are made from,", "onnx") from error
    # Eager attention, traced: of the ways there are, the one whose attention onnxruntime recognises and fuses
    # (4.2 ms for a short query, against 7.6 ms for the graph of the torch.export based exporter).
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
    try:
        # By name, since its type hints do not export what they name.
        quantization: Any = import_module("onnxruntime.quantization")
    except ImportError as error:
        raise MissingExtraError("onnx or onnxruntime, which quantise graphs,", "onnx") from error
    # Per channel, measured on short queries: cosine to float32 0.993 against 0.974 per tensor, at the same speed.
    quantization.quantize_dynamic(graph, path, per_channel=True)
