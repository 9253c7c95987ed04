"""The last rung: the order that the retriever gave, which needs no model and cannot fail."""

from collections.abc import Sequence

import numpy as np

from semcache.protocols import FloatArray, Pair


class RetrievalOrder:
    """Keeps the caller's order: 0, -1, -2 and so on. These only tell the order, so the ladder gives ``scores=None``."""

    listwise = True
    name = "retrieval-order"

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """Minus the position of each pair in the call."""
        return -np.arange(len(pairs), dtype=np.float32)

    def __repr__(self) -> str:
        return f"<RetrievalOrder {self.name}>"
