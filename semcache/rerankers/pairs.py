"""The reranker for any method or function of pairs: ``function([(query, text), ...]) -> scores``."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np

from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.checked import checked_scores


class PairReranker:
    """One score per pair from ``function(pairs)``; one call at a time, since few models may be shared by threads.

    ``as_lists`` passes each pair as a list, for libraries in which a tuple means something else.

    Example:
        PairReranker(FlagReranker("BAAI/bge-reranker-base").compute_score, "bge-base", as_lists=True)
    """

    listwise = False

    def __init__(self, function: Callable[[Any], Any], name: str, *, as_lists: bool = False) -> None:
        self._function = function
        self._name = name
        self._pair_type = list if as_lists else tuple
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. RerankerError when the function gives something else."""
        # Many models fail on an empty batch.
        if not pairs:
            return np.empty(0, dtype=np.float32)
        with self._lock:
            scores = self._function([self._pair_type(map(encodable, pair)) for pair in pairs])
        # FlagEmbedding gives a bare number for a single pair.
        return checked_scores([scores] if isinstance(scores, (int, float)) else scores, len(pairs), self._name)

    def __repr__(self) -> str:
        return f"<PairReranker {self._name}>"
