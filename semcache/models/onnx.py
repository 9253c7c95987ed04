"""A transformer as an ONNX graph with its tokenizer: texts or pairs in, the graph's outputs out."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.texts import readable

Texts = Sequence[str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """Session and tokenizer, both safe across threads. ``max_length`` is in tokens."""

    session: Any
    tokenizer: Any
    max_length: int
    inputs: frozenset[str]
    pad_id: int

    def encode(self, texts: Texts) -> list[Any]:
        """Token ids per text or pair, unpadded, at most ``max_length`` of them."""
        return list(self.tokenizer.encode_batch([_readable(text, self.max_length) for text in texts]))

    def run(self, encodings: Sequence[Any]) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
        """The graph's outputs for one batch, padded to its longest member, and the attention mask."""
        feeds = _padded(encodings, self.pad_id)
        return self.session.run(None, {k: v for k, v in feeds.items() if k in self.inputs}), feeds["attention_mask"]

    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [output.name for output in self.session.get_outputs()]


def open_onnx(graph: Path, tokenizer: Path, max_length: int, threads: int | None) -> OnnxModel:
    """Opens a graph on the CPU. ``threads`` None means one per core."""
    session = _session(graph, threads)
    inputs = frozenset(given.name for given in session.get_inputs())
    if "input_ids" not in inputs:
        raise ConfigurationError(f"{str(graph)!r} takes {sorted(inputs)}, not token ids; export the transformer itself")
    opened, pad_id = _tokenizer(tokenizer, max_length)
    return OnnxModel(session, opened, max_length, inputs, pad_id)


def is_quantised(graph: Path) -> bool:
    """Whether a graph multiplies 8-bit integers. Names of operators stand in the file as plain bytes."""
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"MatMulInteger") >= 0 or data.find(b"QLinearMatMul") >= 0


def _session(graph: Path, threads: int | None) -> Any:
    try:
        # By name, since its type hints do not export what they name.
        onnxruntime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3  # errors only: warnings about foldable constants are no news to a user
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each of its status codes, and no common one
        raise ConfigurationError(f"{str(graph)!r} cannot be opened as an ONNX graph: {error}") from error


def _tokenizer(path: Path, max_length: int) -> tuple[Any, int]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "onnx") from error
    tokenizer = Tokenizer.from_file(str(path))
    pad_id = (tokenizer.padding or {}).get("pad_id", 0)
    tokenizer.no_padding()  # packaged files often pad to a fixed 128 or 512, which costs ten times the work
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    return tokenizer, pad_id


def _readable(text: str | tuple[str, str], max_length: int) -> str | tuple[str, str]:
    if isinstance(text, str):
        return readable(text, max_length)
    return readable(text[0], max_length), readable(text[1], max_length)


def _padded(encodings: Sequence[Any], pad_id: int) -> dict[str, NDArray[np.int64]]:
    shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
    feeds = {name: np.zeros(shape, dtype=np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    feeds["input_ids"][:] = pad_id
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        feeds["input_ids"][row, :length] = encoding.ids
        feeds["attention_mask"][row, :length] = 1
        feeds["token_type_ids"][row, :length] = encoding.type_ids
    return feeds
