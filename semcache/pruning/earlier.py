"""The evidence that a document's scores for earlier queries give of its score for another one."""

import numpy as np

from semcache.pruning.features import Floats

SHRINKAGE = 8.0
"""How many requests in which it scored like the others each document begins with. The best prediction of an effect is
the mean of its differences, drawn to 0 by the ratio of the variance of single differences to that of effects (Henderson
1975, Biometrics 31). A ratio of 8 avoids a point more than 3 or 1 on both streams of benchmarks/results/traffic.md.
There, differences in standard deviations of their request lose less on web queries than those in units of the scores,
or those from what the surrogate expects, at equal shares of pairs avoided."""
_FARTHEST = 100.0
"""In medians of all effects of a request. No document is that different from the others, so the number was damaged."""


def standardised(scores: Floats) -> Floats:
    """How much better than the others each document of a request scored, in standard deviations of its scores."""
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), 1e-12))


def effects(sums: Floats, counts: Floats) -> Floats | None:
    """How much better than the others each document scores, in the units of the sums; nan where nothing is known.

    ``sums`` are of the differences from the mean score of ``counts`` earlier requests, of which the older ones may
    count less than 1. None where nothing is known of any document.

    Example:
        >>> effects(np.array([8.0, 0.0]), np.array([8.0, 0.0]))
        array([0.5, nan])
    """
    is_known = np.isfinite(sums) & np.isfinite(counts) & (counts > 0)
    if not is_known.any():
        return None
    found = np.full(len(sums), np.nan)
    found[is_known] = sums[is_known] / (counts[is_known] + SHRINKAGE)
    sizes = np.abs(found)
    found[sizes > _FARTHEST * np.median(sizes[is_known])] = np.nan
    return found
