"""A cross-encoder as an ONNX graph on the CPU: onnxruntime and tokenizers, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semcache.errors import ConfigurationError
from semcache.identity.kinds import IdentifiedBy
from semcache.models.content import graph_files
from semcache.models.names import (
    DEFAULT_CROSS_ENCODER,
    GRAPHS,
    content_hint,
    folder_of,
    read_json,
    required,
    short_name,
)
from semcache.models.onnx import OnnxModel, open_onnx
from semcache.models.texts import max_tokens
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.checked import finite, one_per_pair
from semcache.settings import DEFAULT_LADDER

_FILES = ("*.json", *GRAPHS)


class OnnxCrossEncoder:
    """Raw logits of a cross-encoder with one label, from a folder with ``model.onnx`` and ``tokenizer.json``.

    ``model`` is a folder or a name; with extra ``offline`` the default is on the machine already (int8). Pairs are cut
    to ``max_length`` tokens, the longer text first, sorted by length and run in batches of ``batch_size``, each padded
    to its longest. ``threads`` None means one per core. Defaults are those of the settings.

    **In a quantised graph the score of a pair depends on its batch**: activations are rounded by the range of the whole
    batch, so the same pair's logit differs a little between batches. ``batch_size=1`` makes each score depend on its
    pair alone. The name carries the files' content and ``max_length``, but not ``batch_size``: two batches of the same
    size differ as much as two of different sizes. Safe across threads. Raises ConfigurationError for a folder that
    lacks a file and for sizes that cannot be, and MissingExtraError.

    Example:
        OnnxCrossEncoder(batch_size=4).score([("how many people live in berlin", "Berlin has 3.5 million people.")])
    """

    listwise = False
    identified_by = IdentifiedBy.CONTENT

    def __init__(
        self,
        model: str | Path = DEFAULT_CROSS_ENCODER,
        max_length: int = DEFAULT_LADDER[0].max_length,
        batch_size: int = DEFAULT_LADDER[0].batch_size,
        threads: int | None = None,
    ) -> None:
        if batch_size < 1 or max_length < 8:
            raise ConfigurationError(
                f"batch_size must be at least 1 and max_length at least 8 tokens, got {batch_size} and {max_length}"
            )
        folder = folder_of(model, "onnx-int8", _FILES)
        graph, tokenizer = required(folder, *GRAPHS), required(folder, "tokenizer.json")
        # Beyond its positions a graph fails in the middle of a request, so a longer max_length is cut here.
        most = min(max_length, max_tokens(read_json(folder / "config.json")))
        self._model: OnnxModel = open_onnx(graph, tokenizer, most, threads, is_batched=True)
        self._batch_size = batch_size
        self._made_of = (model, max_length, batch_size, threads)
        self._name = f"{short_name(model)}@{content_hint(*graph_files(graph), tokenizer)}/onnx/logits/max{most}"

    @property
    def name(self) -> str:
        """Model, hash of its files, activation and maximum length."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One raw logit per pair. Texts are cut before they are tokenized, so a text of a megabyte costs no more."""
        scores = np.empty(len(pairs), dtype=np.float32)
        for batch, outputs, _ in self._model.batches(pairs, self._batch_size):
            scores[batch] = one_per_pair(outputs[0], len(batch), self._name)
        # Checked at the end, so that the error names the position in the call and not in a batch.
        return finite(scores, self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        # For worker processes, which open a session of their own.
        return type(self), self._made_of

    def __repr__(self) -> str:
        return f"<OnnxCrossEncoder {self._name}, batches of {self._batch_size}>"
