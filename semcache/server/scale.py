"""Relevance scores between 0 and 1, as clients expect them, from whatever scores a reranker gives."""

from collections.abc import Sequence
from math import exp
from typing import Any, Literal

from semcache.ranking import Ranking

PROBE_QUERY = "How many people live in Berlin?"
PROBE_TEXTS = ("Berlin had a population of 3.9 million in 2024.", "A recipe for pancakes needs flour, milk and eggs.")
"""One text that answers and one that does not: a reranker that gives logits gives one outside of 0..1."""

Scores = Literal["raw", "sigmoid", "order"]
"""The meaning of scores: the reranker's own, their sigmoid, or falling steps where only the order is known."""


class Scale:
    """How scores of each reranker are shown. ``mode`` is the setting ``server.scores``.

    In the mode auto a reranker that gave a score outside of 0..1 once gives logits, then and later. The order is never
    changed; scores that lie beyond some 37 are all shown as 1.0.

    Example:
        >>> meaning, scores = Scale("auto").shown(ranking)
    """

    def __init__(self, mode: Literal["auto", "raw", "sigmoid"]) -> None:
        self._mode = mode
        self._logits: set[str] = set()

    def hear(self, reranker: str, scores: Sequence[float]) -> None:
        """Learn from scores of this reranker which range it has."""
        if reranker not in self._logits and any(not 0.0 <= score <= 1.0 for score in scores):
            self._logits.add(reranker)

    def shown(self, ranking: Ranking[Any], *, raw: bool = False) -> tuple[Scores, list[float]]:
        """The meaning of the relevance scores of a ranking, and the scores. ``raw`` is the wish for the reranker's own.

        Where only the order is known they fall from 1 in equal steps and stay above 0: a client that sorts by them, or
        leaves out those of 0, keeps the order and all documents.
        """
        scores, reranker = ranking.scores, ranking.reranker
        if scores is None:
            return "order", [1 - place / len(ranking) for place in range(len(ranking))]
        self.hear(reranker, scores)
        if raw or self._mode == "raw" or (self._mode == "auto" and reranker not in self._logits):
            return "raw", list(scores)
        return "sigmoid", [_sigmoid(score) for score in scores]


def _sigmoid(score: float) -> float:
    # exp of a large number overflows, so it gets the negative one of the two.
    small = exp(-abs(score))
    return 1 / (1 + small) if score >= 0 else small / (1 + small)
