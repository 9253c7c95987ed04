"""Savings and cost that leaving documents out would have had, worked out on requests whose scores are all known."""

from dataclasses import dataclass

import numpy as np

from semcache.flow.drift import Floats, Prior
from semcache.flow.policy import ReusePolicy
from semcache.flow.reuse import next_to_ask


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome that the rule would have had for one request.

    ``asked`` of ``documents`` would have been scored in ``rounds`` calls of the reranker. ``kept`` is the share of the
    true top k that would have been returned. ``loss`` is ``1 - sum(gain x discount) / sum(best gain x discount)`` over
    the returned and the true top k, best first, with ``discount(r) = 1 / log2(r + 1)`` for ranks r = 1 .. k; the gain
    of a document is its score less the lowest of the request. No labels are needed: it is the share of nDCG that is
    lost if the reranker's own scores are the truth. 0 where all scores are equal. Documents below the least score count
    for neither, since they are not wanted.
    """

    documents: int
    asked: int
    rounds: int
    kept: float
    loss: float

    @property
    def avoided(self) -> float:
        """Share of the documents that would not have been scored."""
        return 1 - self.asked / self.documents if self.documents else 0.0


def replay(
    prior: Prior,
    truth: Floats,
    top_k: int,
    policy: ReusePolicy,
    *,
    known: Floats | None = None,
    min_score: float = -np.inf,
) -> Replayed:
    """The outcome that ``policy`` would have had for the request whose documents have the scores ``truth``.

    ``known`` are scores of this very query that were there before, nan elsewhere; they cost nothing.
    """
    fresh = np.full(len(truth), np.nan) if known is None else known.copy()
    asked = rounds = 0
    while (ask := next_to_ask(prior, fresh, top_k, rounds, policy, min_score)).size:
        fresh[ask] = truth[ask]
        asked, rounds = asked + len(ask), rounds + 1
    best, served = (np.sort(scores[scores >= min_score])[::-1][:top_k] for scores in (truth, fresh[~np.isnan(fresh)]))
    if not len(best):
        return Replayed(len(truth), asked, rounds, 1.0, 0.0)
    # By score alone: of documents with equal scores it does not matter which one was returned.
    kept = np.count_nonzero(served >= best[-1]) / len(best)
    return Replayed(len(truth), asked, rounds, kept, top_loss(served, best, float(truth.min())))


def top_loss(served: Floats, best: Floats, worst: float) -> float:
    """The loss of ``Replayed``: scores of the returned and of the true top k, each best first."""
    discounts = 1 / np.log2(np.arange(2, len(best) + 2))
    ideal = float((best - worst) @ discounts)
    return 1 - float((served - worst) @ discounts[: len(served)]) / ideal if ideal > 0 else 0.0
