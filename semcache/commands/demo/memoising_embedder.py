"""An embedder that embeds each text once, as the index of a retriever does with its passages."""

from collections.abc import Sequence

import numpy as np

from semcache.protocols import Embedder, FloatArray


class MemoisingEmbedder:
    """The vectors of ``embedder``, kept by text for as long as this object lives. For one thread at a time."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, FloatArray] = {}

    @property
    def name(self) -> str:
        """The name of the embedder."""
        return self._embedder.name

    @property
    def dims(self) -> int:
        """Length of the vectors."""
        return self._embedder.dims

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One row per text. Only texts that are new are embedded."""
        new = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if new:
            self._vectors.update(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._vectors[text] for text in texts])

    def __repr__(self) -> str:
        return f"<MemoisingEmbedder of {len(self._vectors)} texts by {self.name}>"
