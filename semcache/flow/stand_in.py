"""Orders documents that the primary was not there for, by what is remembered of them and what a lower rung says.

A near query's scores order documents better than a cheap fallback does, and so do the scores of this very query that
are known of some of them. The others are placed among them by the lower rung: its scores, or the retriever's order, are
brought to the primary's scale by a straight line through the documents of which both are known. Known documents first
and the others behind them would be wrong as soon as what is known is not the best (benchmarks/results/degraded.md).

Such an answer is degraded all the same, and nothing of it is remembered.
"""

from dataclasses import dataclass

import numpy as np

from semcache.flow.drift import Floats
from semcache.flow.outcome import Outcome, answered, best_first
from semcache.flow.requests import Request
from semcache.flow.why import stood_in
from semcache.protocols import Scored
from semcache.ranking import Status

# All three from benchmarks/results/degraded.md, on TREC DL 2019: with less, what is remembered does not reliably beat
# the lower rung. The retriever's order is hard to beat where a near query asks something else, and a line through
# few documents is steep by chance.
LEAST_SHARE = 0.3
"""Share of the documents that has to be known beside the scores of a lower rung."""
LEAST_SHARE_OF_ORDER = 0.5
"""The same beside the retriever's order."""
LEAST_SIMILARITY_OF_ORDER = 0.7
"""The similarity of the nearest query that has to be reached beside the retriever's order."""
SLOPE_SAMPLES = 5.0
"""How many documents the assumption is worth that the lower rung says nothing. Without it, a line through a handful of
documents would spread the others over the whole scale."""


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """Scores that the cache knows of the documents of one request, in the primary's units.

    ``scores`` has one score per document, nan where nothing is known; ``known`` is how many of them come from scores
    of the primary, for this query or a near one. ``similarity`` is that of the nearest such query, None if all are for
    this query.
    """

    scores: Floats
    known: int
    similarity: float | None = None


def stand_in(request: Request, scored: Scored, remembered: Remembered) -> Outcome:
    """The degraded outcome: by what is remembered where that is enough, else as the lower rung gave it."""
    outcome = answered(request, scored)
    if not _is_enough(scored, remembered):
        return outcome
    ranks = -np.log1p(np.arange(len(request.texts)))
    scores = on_scale(remembered.scores, ranks if scored.scores is None else scored.scores.astype(float)).tolist()
    return Outcome(
        best_first(scores),
        scores,
        Status.DEGRADED,
        scored.reranker,
        reason=scored.reason,
        similarity=remembered.similarity,
        asked=outcome.asked,
        reused=remembered.known,
        rounds=outcome.rounds,
        why=f"{outcome.why}; {stood_in(request, remembered.known, remembered.similarity, scored)}",
    )


def on_scale(known: Floats, other: Floats) -> Floats:
    """``known``, completed by ``other`` brought to its scale, by document; nothing is known where it is nan.

    Example:
        >>> on_scale(np.array([4.0, np.nan, 0.0]), np.array([0.9, 0.5, 0.1])).round(1).tolist()
        [4.0, 2.0, 0.0]
    """
    is_known = ~np.isnan(known)
    values, others = known[is_known], other[is_known]
    variance = float(others.var())
    slope = 0.0
    if variance > 0:
        slope = float(((others - others.mean()) * (values - values.mean())).mean()) / variance
        # Never downwards: a lower rung that orders the known ones the other way says nothing about the unknown.
        slope = max(0.0, slope * len(values) / (len(values) + SLOPE_SAMPLES))
    return np.where(is_known, known, values.mean() + slope * (other - others.mean()))


def _is_enough(scored: Scored, remembered: Remembered) -> bool:
    share = remembered.known / max(1, len(remembered.scores))
    if scored.scores is not None:
        return share >= LEAST_SHARE
    is_near = remembered.similarity is None or remembered.similarity >= LEAST_SIMILARITY_OF_ORDER
    return share >= LEAST_SHARE_OF_ORDER and is_near
