"""A sentence-transformers model as an ONNX graph: onnxruntime and tokenizers, pooled here, without torch."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from semcache.models.onnx import OnnxModel
from semcache.protocols import FloatArray

_POOLED_ALREADY = "sentence_embedding"  # what sentence-transformers calls it in the graphs it exports


class OnnxEncoder:
    """Vectors of texts, sorted by length and run in batches. Safe across threads: sessions and tokenizers are."""

    def __init__(self, model: OnnxModel, pooling: str, dims: int, batch_size: int) -> None:
        self._model = model
        self._pooling = pooling
        self._dims = dims
        self._batch_size = batch_size
        names = model.outputs()
        self._pooled_output = names.index(_POOLED_ALREADY) if _POOLED_ALREADY in names else None

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """One vector per text, not normalised."""
        encodings = self._model.encode(texts)
        vectors = np.empty((len(texts), self._dims), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda at: len(encodings[at].ids))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            outputs, mask = self._model.run([encodings[at] for at in batch])
            vectors[batch] = self._pooled(outputs, mask)
        return vectors

    def _pooled(self, outputs: list[NDArray[np.float32]], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        if self._pooled_output is not None:
            return outputs[self._pooled_output]
        tokens = outputs[0]
        if self._pooling == "cls":
            return tokens[:, 0]
        weights = mask[:, :, None].astype(np.float32)
        return np.asarray((tokens * weights).sum(axis=1) / weights.sum(axis=1), dtype=np.float32)
