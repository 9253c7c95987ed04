"""A sentence-transformers model as an ONNX graph: onnxruntime and tokenizers, pooled here, without torch."""

from collections.abc import Sequence

import numpy as np

from semcache.models.onnx import OnnxModel
from semcache.protocols import FloatArray

_POOLED_ALREADY = "sentence_embedding"  # sentence-transformers' name for it in the graphs that it exports


class OnnxEncoder:
    """Vectors of texts, run in batches. Safe across threads: sessions and tokenizers are."""

    def __init__(self, model: OnnxModel, pooling: str, dims: int, batch_size: int) -> None:
        self._model = model
        self._pooling = pooling
        self._dims = dims
        self._batch_size = batch_size
        names = model.outputs()
        self._pooled_output = names.index(_POOLED_ALREADY) if _POOLED_ALREADY in names else None

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """One vector per text, not normalised."""
        vectors = np.empty((len(texts), self._dims), dtype=np.float32)
        for batch, outputs, mask in self._model.batches(texts, self._batch_size):
            tokens = outputs[0]
            if self._pooled_output is not None:
                vectors[batch] = outputs[self._pooled_output]
            elif self._pooling == "cls":
                vectors[batch] = tokens[:, 0]
            else:
                # The mean over a text's own tokens. Each text has at least its two special tokens, so that no weight
                # is zero.
                weights = mask[:, :, None].astype(np.float32)
                vectors[batch] = (tokens * weights).sum(axis=1) / weights.sum(axis=1)
        return vectors
