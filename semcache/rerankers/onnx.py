"""A cross-encoder as an ONNX graph on the CPU: onnxruntime and tokenizers, without torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semcache.errors import ConfigurationError
from semcache.models.names import DEFAULT_CROSS_ENCODER, content_hint, folder_of, read_json, required, short_name
from semcache.models.onnx import OnnxModel, open_onnx
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.checked import finite, one_per_pair

_GRAPHS = ("model.onnx", "onnx/model.onnx")
_FILES = ("*.json", "onnx/model.onnx", "model.onnx")


class OnnxCrossEncoder:
    """Raw logits of a cross-encoder with one label, from a folder with ``model.onnx`` and ``tokenizer.json``.

    ``model`` is a folder or a name; with extra ``offline`` the default is on the machine already (int8). Pairs are cut
    to ``max_length`` tokens, the longer text first, sorted by length and run in batches of ``batch_size``, each padded
    to its longest. ``threads`` None means one per core.

    **A quantised graph scores a pair by the company it is in**: it rounds activations by the range of the whole batch,
    so the same pair differs between batches by 0.15 logits on average, 0.8 at most. ``batch_size=1`` makes scores
    depend on their pair alone. The name carries the files' content and ``max_length``, but not ``batch_size``:
    two batches of the same size differ as much as two of different sizes. Safe across threads.
    """

    listwise = False

    def __init__(
        self,
        model: str | Path = DEFAULT_CROSS_ENCODER,
        max_length: int = 512,  # what the packaged model was trained with, and the most that BERT knows
        batch_size: int = 8,  # 4 to 8 short pairs are fastest on a CPU: more are padded more and leave its caches
        threads: int | None = None,
    ) -> None:
        if batch_size < 1 or max_length < 8:
            raise ConfigurationError(
                f"batch_size must be at least 1 and max_length at least 8 tokens, got {batch_size} and {max_length}"
            )
        folder = folder_of(model, "onnx-int8", _FILES)
        graph, tokenizer = required(folder, *_GRAPHS), required(folder, "tokenizer.json")
        self._model: OnnxModel = open_onnx(graph, tokenizer, min(max_length, _positions(folder)), threads)
        self._batch_size = batch_size
        hint = content_hint(graph, tokenizer)
        self._name = f"{short_name(model)}@{hint}/onnx/logits/max{self._model.max_length}"

    @property
    def name(self) -> str:
        """Model, hash of its files, activation and maximum length."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One raw logit per pair. The tokenizer reads no more of a text than could be used, so 1 MB does no harm."""
        encodings = self._model.encode(pairs) if pairs else []
        scores = np.empty(len(pairs), dtype=np.float32)
        order = sorted(range(len(pairs)), key=lambda at: len(encodings[at].ids))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            outputs, _ = self._model.run([encodings[at] for at in batch])
            scores[batch] = one_per_pair(outputs[0], len(batch), self._name)
        return finite(scores, self._name)

    def __repr__(self) -> str:
        return f"<OnnxCrossEncoder {self._name}, batches of {self._batch_size}>"


def _positions(folder: Path) -> int:
    """How many tokens the model knows; 512 when the folder does not say, as for every BERT."""
    config = read_json(folder / "config.json")
    known = int(config.get("max_position_embeddings", 512))
    # RoBERTa and its kin keep the first two positions for padding.
    return known - 2 if str(config.get("model_type", "")).endswith("roberta") else known
