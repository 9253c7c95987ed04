"""What an answer loses against scoring every candidate, judged by the reranker's own scores.

``loss = 1 - DCG@k(served) / DCG@k(whole scoring)``, with ``DCG@k = sum(gain / log2(rank + 1))`` over the first k ranks:
one minus nDCG, where the gain of a document is what the reranker says of it. 0 where no document has a gain.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gains(scores: Floats, min_score: float | None = None) -> Floats:
    """Sigmoid of the score: for a cross-encoder's logit the probability that the document is relevant.

    Documents below ``min_score`` have none, since a caller who sets it drops them.
    """
    probability = 1 / (1 + np.exp(-scores))
    return probability if min_score is None else np.where(scores >= min_score, probability, 0.0)


def scaled_gains(scores: Floats, min_score: float | None = None) -> Floats:
    """0 for the worst candidate and 1 for the best, in proportion: for scores that are no logits, and a harder test.

    It is the gain of ``semcache.quality.statistics.order_loss``. ``min_score`` is as in ``gains``.
    """
    share = (scores - scores.min()) / max(float(np.ptp(scores)), 1e-12)
    return share if min_score is None else np.where(scores >= min_score, share, 0.0)


def loss(served: Sequence[int], gain: Floats, top_k: int) -> float:
    """The loss of an answer with these candidates, best first; 0 (none) to 1."""
    best = _dcg(np.sort(gain)[::-1][:top_k])
    return 1 - _dcg(gain[list(served)[:top_k]]) / best if best > 0 else 0.0


def absolute_loss(served: Sequence[int], gain: Floats, top_k: int) -> float:
    """The same difference of DCG as a share of the DCG of ``top_k`` documents of gain 1.

    Where no candidate answers the query, all gains are next to 0: ``loss`` then says how much of next to nothing is
    missing, and this that it is next to nothing.
    """
    missing = _dcg(np.sort(gain)[::-1][:top_k]) - _dcg(gain[list(served)[:top_k]])
    return missing / _dcg(np.ones(top_k))


def kept(served: Sequence[int], scores: Floats, top_k: int, min_score: float | None = None) -> float:
    """Share of the true top k that is in the answer; of those that reach ``min_score``, 1 where none does."""
    true = np.argsort(-scores, kind="stable")[:top_k]
    if min_score is not None:
        true = true[scores[true] >= min_score]
    return float(np.isin(true, served).mean()) if len(true) else 1.0


def _dcg(gain: Floats) -> float:
    return float(gain @ (1 / np.log2(np.arange(2, len(gain) + 2))))
