"""The reranker for RedisVL's rerankers, which rank but also tell each document's score."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from threading import Lock
from typing import Any

import numpy as np

from semcache.errors import RerankerError
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.answers import Sent
from semcache.rerankers.checked import finite


class RedisVLReranker:
    """Scores of ``rank(query, docs, limit=..., return_score=True)``, of every document, whatever ``limit`` is set to.

    One call at a time. RerankerError when a document comes back without a score, or not at all.
    """

    listwise = False

    def __init__(self, ranker: Any, name: str) -> None:
        self._ranker = ranker
        self._name = name
        self._lock = Lock()

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair; one call of the ranker per run of pairs with the same query."""
        parts = [self._of_query(query, [text for _, text in group]) for query, group in groupby(pairs, itemgetter(0))]
        return finite(np.concatenate(parts), self._name) if parts else np.empty(0, dtype=np.float32)

    def _of_query(self, query: str, texts: list[str]) -> FloatArray:
        sent = Sent(texts, self._name)
        with self._lock:
            answer = self._ranker.rank(encodable(query), list(sent.passages), limit=len(texts), return_score=True)
        found = {at: score for at, score in sent.read(answer) if score is not None}
        if len(found) < len(texts):
            raise RerankerError(
                f"{self._name} gave {len(found)} scores for {len(texts)} pairs; it must give one per pair"
            )
        return np.array([found[at] for at in range(len(texts))], dtype=np.float32)

    def __repr__(self) -> str:
        return f"<RedisVLReranker {self._name}>"
