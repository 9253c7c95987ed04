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

    ``as_lists`` hands pairs as lists, for libraries that take a tuple for something else.
    """

    listwise = False

    def __init__(self, function: Callable[[Any], Any], name: str, *, as_lists: bool = False) -> None:
        self._function = function
        self._name = name
        self._kind = list if as_lists else tuple
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. RerankerError when the function gives something else."""
        if not pairs:
            return np.empty(0, dtype=np.float32)
        with self._lock:
            scores = self._function([self._kind(map(encodable, pair)) for pair in pairs])
        return checked_scores(_as_sequence(scores), len(pairs), self._name)

    def __repr__(self) -> str:
        return f"<PairReranker {self._name}>"


def _as_sequence(scores: Any) -> Any:
    """A bare number, which some libraries give for a single pair, as one score."""
    return [scores] if isinstance(scores, (int, float)) else scores
