"""The embedder for any RedisVL vectorizer."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from semcache.embedders.checked import as_rows, unit_vectors
from semcache.errors import EmbedderError
from semcache.models.texts import encodable
from semcache.protocols import FloatArray


class RedisVLEmbedder:
    """Unit vectors of a RedisVL vectorizer (``dims``, ``embed_many``), whatever service or model is behind it.

    One call at a time, since a vectorizer does not say whether threads may share it. ``name`` overrides the name made
    of the vectorizer's class and model.
    """

    def __init__(self, vectorizer: Any, name: str | None = None) -> None:
        if not callable(getattr(vectorizer, "embed_many", None)):
            raise EmbedderError(f"{type(vectorizer).__name__} has no embed_many(); pass a RedisVL vectorizer")
        self._vectorizer = vectorizer
        self._lock = Lock()
        self._name = name or f"{type(vectorizer).__name__}/{getattr(vectorizer, 'model', 'unnamed')}"
        self._dims = getattr(vectorizer, "dims", None) or as_rows(self._vectors(["dims"]), self._name).shape[1]

    @property
    def name(self) -> str:
        """The vectorizer's class and model."""
        return self._name

    @property
    def dims(self) -> int:
        """Length of the vectors, asked with one text if the vectorizer does not say."""
        return int(self._dims)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text. EmbedderError when the vectorizer gives something else."""
        if not texts:
            return np.empty((0, self.dims), dtype=np.float32)
        return unit_vectors(self._vectors([encodable(text) for text in texts]), texts, self.dims, self._name)

    def _vectors(self, texts: list[str]) -> Any:
        with self._lock:
            return self._vectorizer.embed_many(texts)

    def __repr__(self) -> str:
        return f"<RedisVLEmbedder {self._name}, {self._dims} dims>"
