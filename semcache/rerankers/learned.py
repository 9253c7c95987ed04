"""A fallback without a model: orders documents by what the primary's earlier scores taught."""

from collections.abc import Callable, Sequence

import numpy as np

from semcache.protocols import FloatArray, Pair, Reranker
from semcache.pruning.features import features
from semcache.pruning.surrogate import LEARNED, Surrogate
from semcache.rerankers.checked import checked_scores


class LearnedReranker:
    """Scores that the surrogate expects, by rank, words and length; by ``otherwise`` until enough has been learned.

    A cached reranker whose ladder has it lets it follow what is learned there, and completes its answer by what only
    the cache knows: scores of the same and of near queries, vectors, and scores of the retriever.
    """

    # The rank of a document is its place in the call.
    listwise = True

    def __init__(self, otherwise: Reranker) -> None:
        self._otherwise = otherwise
        self._surrogate: Callable[[], Surrogate | None] = lambda: None

    def follow(self, surrogate: Callable[[], Surrogate | None]) -> None:
        """Use what this gives from now on; None while too little is known."""
        self._surrogate = surrogate

    @property
    def name(self) -> str:
        """``learned``, or the name of the other reranker while too little is known."""
        return self._otherwise.name if self._surrogate() is None else LEARNED

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One expected score per pair of one query, relative to the others."""
        surrogate = self._surrogate()
        if surrogate is None or not pairs:
            return self._otherwise.score(pairs)
        expected = surrogate.predict(features(pairs[0][0], [text for _, text in pairs])).scores
        return checked_scores(expected.astype(np.float32), len(pairs), LEARNED)

    def __repr__(self) -> str:
        return f"<LearnedReranker {self.name}>"
