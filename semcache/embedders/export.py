"""Makes ONNX graphs by torch, of any transformer, and quantises them; without the network."""

import inspect
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from semcache.causes import message_of
from semcache.embedders.folder import ModelFolder
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.loading import without_logging_setup, without_progress_bars, without_telemetry


def export(folder: ModelFolder, path: Path) -> None:
    """Writes the transformer of a folder to ``path`` as a float32 graph from token ids to the last hidden state.

    Raises ConfigurationError for a model that torch cannot load or trace, and MissingExtraError.
    """
    try:
        import_module("onnx")  # torch.onnx.export needs it, and says so only at its end
        import torch
        from transformers import AutoModel
    except ImportError as error:
        raise MissingExtraError("onnx, torch or transformers, which make ONNX graphs,", "onnx") from error
    try:
        with without_progress_bars(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # tracing warns about its own internals, and that it is the older way
            # Eager attention is traced, since the newer exporter, built on torch.export, gives the same vectors more
            # slowly. In float32, since onnxruntime has no 16-bit operations for a CPU.
            model = AutoModel.from_pretrained(folder.transformer, attn_implementation="eager").float().eval()
            _trace(torch, model, path)
    except Exception as error:  # torch and transformers raise errors of many classes about models that they cannot run
        raise ConfigurationError(
            f'{str(folder.path)!r} cannot be made an ONNX graph ({message_of(error)}); use backend="torch"'
        ) from error


def _trace(torch: Any, model: Any, path: Path) -> None:
    # Two short texts of different length: a tracer takes a size that never differs for a constant.
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    example = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    # DistilBERT and RoBERTa take no token types.
    accepted = inspect.signature(model.forward).parameters
    inputs = {name: value for name, value in example.items() if name in accepted}
    torch.onnx.export(
        _last_hidden_state(torch, model, tuple(inputs)),
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in (*inputs, "last_hidden_state")},
        opset_version=17,
        dynamo=False,
    )


def _last_hidden_state(torch: Any, model: Any, names: tuple[str, ...]) -> Any:
    """A module with the model's inputs in this order and its last hidden state as the only output."""

    # Defined in here, since its base class comes with torch, which is imported only where it is used.
    class LastHiddenState(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(**dict(zip(names, values, strict=True))).last_hidden_state

    return LastHiddenState()


def quantise(graph: Path, path: Path) -> None:
    """Writes a float32 graph to ``path`` with 8-bit integers: weights rounded now, activations in each run.

    Raises ConfigurationError for a graph that onnxruntime cannot quantise, and MissingExtraError.
    """
    try:
        # By name: its type hints refer to names that it does not export, which mypy refuses.
        with without_telemetry():
            quantization: Any = import_module("onnxruntime.quantization")
    except ImportError as error:
        raise MissingExtraError("onnx or onnxruntime, which quantise graphs,", "onnx") from error
    # Per channel, since vectors are then much closer to float32's than per tensor, at the same speed: a mean cosine of
    # 0.992 (benchmarks/results/embedding.md). Unsigned weights, a reduced range, fused graphs and float32 word
    # embeddings were tried, too, and came no closer.
    try:
        with without_logging_setup():
            quantization.quantize_dynamic(graph, path, per_channel=True)
    except Exception as error:  # it raises errors of many classes about graphs, and protobuf's about their size
        raise ConfigurationError(
            f'{str(graph)!r} cannot be quantised ({message_of(error)}); use backend="onnx" or "torch"'
        ) from error
