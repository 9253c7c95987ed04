"""A transformer as an ONNX graph with its tokenizer: texts or pairs in, the graph's outputs out."""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.loading import without_telemetry
from semcache.models.texts import readable
from semcache.runtime.forking import Reopened, forks_wait

Texts = Sequence[str] | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """Session and tokenizer, both safe across threads. The session is opened anew in a forked child.

    ``max_length`` is in tokens; ``inputs`` are the graph's names of its inputs; ``pad_id`` is the token that fills up
    the shorter texts of a batch.
    """

    session: Reopened[Any]
    tokenizer: Any
    max_length: int
    inputs: frozenset[str]
    pad_id: int

    def encode(self, texts: Texts) -> list[Any]:
        """Token ids per text or pair, unpadded, at most ``max_length`` of them."""
        # Texts are cut before the tokenizer sees them, since it reads all of a text before it truncates.
        cut = [
            readable(text, self.max_length)
            if isinstance(text, str)
            else (readable(text[0], self.max_length), readable(text[1], self.max_length))
            for text in texts
        ]
        return list(self.tokenizer.encode_batch(cut))

    def run(self, encodings: Sequence[Any]) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
        """The graph's outputs for one batch, padded to its longest member, and the attention mask."""
        shape = (len(encodings), max(len(encoding.ids) for encoding in encodings))
        feeds = {name: np.zeros(shape, dtype=np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
        feeds["input_ids"][:] = self.pad_id
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            feeds["input_ids"][row, :length] = encoding.ids
            feeds["attention_mask"][row, :length] = 1
            feeds["token_type_ids"][row, :length] = encoding.type_ids
        # DistilBERT and RoBERTa have no token types, and onnxruntime refuses an input that a graph does not name.
        outputs = self.session.get().run(None, {name: feed for name, feed in feeds.items() if name in self.inputs})
        return outputs, feeds["attention_mask"]

    def batches(
        self, texts: Texts, batch_size: int
    ) -> Iterator[tuple[list[int], list[NDArray[np.float32]], NDArray[np.int64]]]:
        """Runs all texts or pairs in batches; gives the positions of each batch, its outputs and its attention mask."""
        encodings = self.encode(texts)
        # Texts of one length share a batch, so that little of the work goes into padding.
        order = sorted(range(len(encodings)), key=lambda position: len(encodings[position].ids))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            yield batch, *self.run([encodings[position] for position in batch])

    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [output.name for output in self.session.get().get_outputs()]


def open_onnx(
    graph: Path,
    tokenizer: Path,
    max_length: int,
    threads: int | None,
    *,
    is_lowered: bool = False,
    unused_optimizers: Sequence[str] = (),
) -> OnnxModel:
    """Opens a graph on the CPU. ``max_length`` is in tokens; ``threads`` None means one per core.

    ``is_lowered`` puts texts in lower case before they are tokenized. ``unused_optimizers`` are onnxruntime's names of
    changes to the graph that it shall not make. Raises ConfigurationError for a file that is no graph or takes no token
    ids, and MissingExtraError.
    """
    session = Reopened(lambda: _session(graph, threads, unused_optimizers))
    inputs = frozenset(given.name for given in session.get().get_inputs())
    if "input_ids" not in inputs:
        raise ConfigurationError(f"{str(graph)!r} takes {sorted(inputs)}, not token ids; export the transformer itself")
    opened, pad_id = _tokenizer(tokenizer, max_length, is_lowered)
    return OnnxModel(session, opened, max_length, inputs, pad_id)


def is_quantised(graph: Path) -> bool:
    """Whether a graph multiplies 8-bit integers."""
    # Names of operators stand in the file as plain bytes. To parse it would need the onnx package, which running a
    # graph does not, and mapping the file into memory spares a copy of it.
    with graph.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"MatMulInteger") >= 0 or data.find(b"QLinearMatMul") >= 0


def _session(graph: Path, threads: int | None, unused_optimizers: Sequence[str]) -> Any:
    try:
        # By name: its type hints refer to names that it does not export, which mypy refuses.
        with without_telemetry(), forks_wait():
            onnxruntime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3  # errors only: warnings about foldable constants are of no use to a caller
    try:
        return onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(unused_optimizers)
        )
    except Exception as error:  # onnxruntime has a class for each of its status codes, and no common one
        raise ConfigurationError(f"{str(graph)!r} cannot be opened as an ONNX graph: {error}") from error


def _tokenizer(path: Path, max_length: int, is_lowered: bool) -> tuple[Any, int]:
    try:
        from tokenizers import Tokenizer, normalizers
    except ImportError as error:
        raise MissingExtraError("tokenizers", "onnx") from error
    tokenizer = Tokenizer.from_file(str(path))
    # The token for padding is read before padding is turned off, which forgets it.
    pad_id = (tokenizer.padding or {}).get("pad_id", 0)
    # Packaged files often pad every text to 128 or 512 tokens, where a query has ten; run() pads to the longest text.
    tokenizer.no_padding()
    if is_lowered:
        # In front of what the tokenizer does already, which may be to put in lower case, too.
        steps = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
        tokenizer.normalizer = normalizers.Sequence(steps)
    # Longest first: a long document is cut and its query stays whole.
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    return tokenizer, pad_id
