"""The reranker for any method or function of pairs: ``function([(query, text), ...]) -> scores``."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np

from semcache.identity.code import read_function
from semcache.identity.kinds import IdentifiedBy
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.awaiting import Steps, called
from semcache.rerankers.checked import checked_scores
from semcache.runtime.forking import ForkSafeLock


class PairReranker:
    """One score per pair from ``function(pairs)``; one call at a time, since few models may be shared by threads.

    With an attribute ``concurrency`` above 1 it makes as many calls at once as its callers do.

    ``as_lists`` passes each pair as a list, for libraries in which a tuple means something else. ``listwise`` says that
    the scores hold within one call only.

    Example:
        PairReranker(FlagReranker("BAAI/bge-reranker-base").compute_score, "bge-base", as_lists=True)
    """

    def __init__(
        self, function: Callable[[Any], Any], name: str, *, as_lists: bool = False, listwise: bool = False
    ) -> None:
        self.listwise = listwise
        self._function = function
        self._name = name
        reading = read_function(function)
        self.identified_by: IdentifiedBy = reading.identified_by
        self.content: str = reading.digest
        self._pair_type = list if as_lists else tuple
        self.concurrency: int | None = None
        self._lock = ForkSafeLock()

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. RerankerError when the function gives something else."""
        with self._lock if (self.concurrency or 1) == 1 else nullcontext():
            return called(self.steps(pairs))

    def steps(self, pairs: Sequence[Pair]) -> Steps:
        """``score``, with the call of the function left to others."""
        # Many models fail on an empty batch.
        if not pairs:
            return np.empty(0, dtype=np.float32)
        scores = yield partial(self._function, [self._pair_type(map(encodable, pair)) for pair in pairs])
        return checked_scores(scores, len(pairs), self._name)

    def __repr__(self) -> str:
        return f"<PairReranker {self._name}>"
