"""The reranker for RedisVL's rerankers, which give an order and the score of each document."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from semcache.errors import RerankerError
from semcache.identity.kinds import IdentifiedBy
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.answers import SentPassages
from semcache.rerankers.checked import finite
from semcache.runtime.forking import ForkSafeLock


class RedisVLReranker:
    """Scores of ``rank(query, docs, limit=..., return_score=True)``.

    Every document is scored: the ranker's own ``limit`` is overridden in each call and stays as the caller set it. One
    call at a time. RerankerError when a document comes back without a score, or not at all.
    """

    listwise = False
    one_query_per_call = True
    identified_by = IdentifiedBy.PROBE

    def __init__(self, ranker: Any, name: str) -> None:
        self._ranker = ranker
        self._name = name
        self._lock = ForkSafeLock()

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair; one call of the ranker per run of pairs with the same query."""
        scores: list[float] = []
        # Without sorting: pairs of one query come together, and the scores must keep the order of the pairs.
        for query, group in groupby(pairs, itemgetter(0)):
            sent = SentPassages([text for _, text in group], self._name)
            count = len(sent.passages)
            # The lock covers the call alone: RedisVL does not say whether threads may share a ranker's model.
            with self._lock:
                answer = self._ranker.rank(encodable(query), list(sent.passages), limit=count, return_score=True)
            found = {position: score for position, score in sent.read(answer) if score is not None}
            if len(found) < count:
                raise RerankerError(
                    f"{self._name} gave {len(found)} scores for {count} pairs; it must give one per pair"
                )
            scores.extend(found[position] for position in range(count))
        return finite(np.array(scores, dtype=np.float32), self._name)

    def __repr__(self) -> str:
        return f"<RedisVLReranker {self._name}>"
