"""A sentence-transformers model as an ONNX graph: onnxruntime and tokenizers, pooled here, without torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from semcache.embedders.folder import ModelFolder
from semcache.models.onnx import OnnxModel
from semcache.protocols import FloatArray

_POOLED_ALREADY = "sentence_embedding"  # sentence-transformers' name for it in the graphs that it exports

SLOW_OPTIMIZERS = ("SkipLayerNormFusion",)
"""The optimizers that onnxruntime shall not apply to a graph: the fused operation takes a tenth to a fifth longer on a
CPU than the two that it replaces.
"""


class OnnxEncoder:
    """Vectors of texts. Safe across threads: sessions and tokenizers are.

    **A text's vector does not depend on the texts beside it**, to the last bit: each text is a run of its own. In a
    batch, a graph of 8-bit integers rounds its activations by the range of the whole batch, which turns a text's vector
    by 0.02 of cosine and more, and float32 sums in another order. On a CPU a run per text takes no longer than batches
    of 32 (benchmarks/results/embedding.md).
    """

    def __init__(self, model: OnnxModel, folder: ModelFolder) -> None:
        self._model = model
        self._folder = folder
        names = model.outputs()
        self._pooled_output = names.index(_POOLED_ALREADY) if _POOLED_ALREADY in names else None

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """One vector per text, not normalised."""
        vectors = np.empty((len(texts), self._folder.dims), dtype=np.float32)
        prompted = [self._folder.prompt + text for text in texts]
        for row, encoding in enumerate(self._model.encode(prompted)):
            outputs, _ = self._model.run([encoding])
            vectors[row] = self._pooled(outputs)[: self._folder.dims]
        return vectors

    def _pooled(self, outputs: Sequence[Any]) -> Any:
        if self._pooled_output is not None:
            return outputs[self._pooled_output][0]
        tokens = outputs[0][0]
        return tokens[0] if self._folder.pooling == "cls" else tokens.mean(axis=0)
