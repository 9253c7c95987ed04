"""A transformer as an ONNX graph with its tokenizer: texts or pairs in, the graph's outputs out."""

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semcache.causes import message_of
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.models.loading import without_telemetry
from semcache.models.texts import readable
from semcache.runtime.forking import Reopened, forks_wait
from semcache.runtime.threads import ThreadPool

Texts = Sequence[str] | Sequence[tuple[str, str]]
Outputs = tuple[list[int], list[NDArray[np.float32]], NDArray[np.int64]]
"""Positions of the texts of a batch, the graph's outputs for them, and the attention mask."""

# The least that a thread is given of its own: a batch of 2 costs more of its time per text than one of 4, which costs
# as much as one of 8.
_LEAST = 4


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """Session and tokenizer, both safe across threads. The session is opened anew in a forked child.

    ``max_length`` is in tokens; ``inputs`` are the graph's names of its inputs; ``pad_id`` is the token that fills up
    the shorter texts of a batch. ``batches`` runs as many at once as ``pool`` has threads, and one in the calling
    thread; without a pool one after the other.
    """

    session: Reopened[Any]
    tokenizer: Any
    max_length: int
    inputs: frozenset[str]
    pad_id: int
    pool: ThreadPool | None = None

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

    def batches(self, texts: Texts, batch_size: int) -> Iterator[Outputs]:
        """Runs all texts or pairs in batches; gives the positions of each batch, its outputs and its attention mask."""
        encodings = self.encode(texts)
        # Texts of one length share a batch, so that little of the work goes into padding. The longest come first, since
        # at the end some threads have nothing left to do.
        order = sorted(range(len(encodings)), key=lambda position: -len(encodings[position].ids))
        at_once = 1 if self.pool is None else self.pool.most + 1
        parts = [order[start:stop] for start, stop in pairwise(batch_bounds(len(order), batch_size, at_once))]

        def run(batch: list[int]) -> Outputs:
            return batch, *self.run([encodings[position] for position in batch])

        yield from map(run, parts) if self.pool is None else self.pool.each(run, parts)

    def outputs(self) -> list[str]:
        """Names of the graph's outputs."""
        return [output.name for output in self.session.get().get_outputs()]


def batch_bounds(texts: int, batch_size: int, at_once: int) -> list[int]:
    """Where batches begin and end, ``at_once`` of which run at the same time: of like size, at most ``batch_size``.

    So many that all threads have one, but for texts that would make batches of fewer than 4.

    Example:
        >>> batch_bounds(17, 8, 2)
        [0, 4, 8, 12, 17]
    """
    count = max(-(-texts // batch_size), min(at_once, texts // _LEAST))
    # Whole rounds: in a last round of one batch the other threads would have nothing to do.
    if count > 1 and texts // (rounded := -(-count // at_once) * at_once) >= min(_LEAST, batch_size):
        count = rounded
    return [texts * number // count for number in range(count + 1)] if count else [0]


def open_onnx(
    graph: Path,
    tokenizer: Path,
    max_length: int,
    threads: int | None,
    *,
    is_lowered: bool = False,
    is_batched: bool = False,
    unused_optimizers: Sequence[str] = (),
) -> OnnxModel:
    """Opens a graph on the CPU. ``max_length`` is in tokens; ``threads`` None means one per core.

    With ``is_batched`` each thread runs a batch of its own, instead of all threads the same. ``is_lowered`` puts texts
    in lower case before they are tokenized. ``unused_optimizers`` are onnxruntime's names of changes to the graph that
    it shall not make. Raises ConfigurationError for a file that is no graph or takes no token ids, and
    MissingExtraError.
    """
    # All threads on one batch of some short texts mostly wait for each other, at each operator of the graph: for 64
    # passages on two cores that takes 1.6 times as long as a batch per thread, and as much more of their time.
    at_once = (threads or os.cpu_count() or 1) if is_batched else 1
    session = Reopened(lambda: _session(graph, 1 if is_batched else threads, unused_optimizers))
    inputs = frozenset(given.name for given in session.get().get_inputs())
    if "input_ids" not in inputs:
        raise ConfigurationError(f"{str(graph)!r} takes {sorted(inputs)}, not token ids; export the transformer itself")
    opened, pad_id = _tokenizer(tokenizer, max_length, is_lowered)
    pool = ThreadPool(at_once - 1, "semcache-onnx") if at_once > 1 else None
    return OnnxModel(session, opened, max_length, inputs, pad_id, pool)


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
    # onnxruntime would keep a plan of its memory for each shape of a batch, 11 KB for ever, and there are thousands of
    # shapes. Without plans 264 of them take as long.
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors only: warnings about foldable constants are of no use to a caller
    try:
        return onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(unused_optimizers)
        )
    except Exception as error:  # onnxruntime has a class for each of its status codes, and no common one
        raise ConfigurationError(
            f"{str(graph)!r} cannot be opened as an ONNX graph: {message_of(error)}; download the model again"
        ) from error


def _tokenizer(path: Path, max_length: int, is_lowered: bool) -> tuple[Any, int]:
    try:
        from tokenizers import Tokenizer, normalizers
    except ImportError as error:
        raise MissingExtraError("tokenizers", "onnx") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # it raises no other class, for files that are missing and for damaged ones
        raise ConfigurationError(
            f"{str(path)!r} cannot be read as a tokenizer: {message_of(error)}; download the model again"
        ) from error
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
