"""Learns from the scores made for a query how far off the cached scores of near queries are, and how surely."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semcache.ranking import Drift

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]
Flags = NDArray[np.bool_]

UNKNOWN = -1
"""The source of a document that no neighbour has a score for."""

# All constants are relative to the spread of the cached scores themselves, so that they fit any reranker's scale. They
# were chosen together with the defaults of ReusePolicy, which benchmarks/results/quality.md measures; no result shows
# what another value of a single one would do.
SPREAD = 1.5
"""Spread of the drift at similarity s before any drift was seen: 1.5 x sqrt(1 - s) standard deviations of the cached
scores. The cosine's distance to 1 grows with the square of the angle, hence the root."""
LEAST_DISTANCE = 0.001
"""1 - similarity counts as at least this much: embeddings are rounded, and rerankers see differences that they miss."""
SPREAD_SAMPLES = 15.0
"""How many documents' drift that expectation is worth: as much as one or two rounds show."""
OFFSET_SAMPLES = 2.0
"""How many documents' drift the offset over all neighbours is worth in the offset of one neighbour."""
SLOPE_SAMPLES = 10.0
"""How many documents, one standard deviation from the mean, a slope of 1 (drifts do not depend on the score) is worth.
Without it, a slope fitted to the dozen best documents swings; without a slope, low documents are underestimated."""


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Scores expected of the distinct documents of one request before any of them is scored.

    ``scores`` has one score per document, nan where unknown. ``source`` says which neighbour it is from, UNKNOWN, or
    ``learned`` where it is the surrogate's. ``similarity`` has one cosine per neighbour. ``spread``, by document, says
    how far off the surrogate's scores usually are; None without a surrogate.
    """

    scores: Floats
    source: Positions
    similarity: Floats
    spread: Floats | None = None

    @property
    def learned(self) -> int:
        """The source of scores that the surrogate expects: the number behind those of the neighbours."""
        return len(self.similarity)

    @property
    def is_cached(self) -> Flags:
        """True for documents whose score a neighbour has."""
        return np.asarray((self.source != UNKNOWN) & (self.source != self.learned))


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """Scores to expect for this query, by document (nan where nothing is known), and their spreads.

    ``distance`` is how far off the cached scores are: the larger of median drift and mean spread, in standard
    deviations of the cached scores. It and ``drift`` are None until a document has been scored for both queries.
    """

    scores: Floats
    spread: Floats
    drift: Drift | None
    distance: float | None


def expect(prior: Prior, fresh: Floats) -> Expected:
    """Corrects cached scores by the drift seen on the documents that have a fresh score too.

    ``fresh`` has one score per document, nan where it was not asked about. Learned are an offset per neighbour, a slope
    over all of them and a spread per neighbour; each is shrunk towards what is expected without samples, by the number
    of samples that it rests on.

    Example:
        >>> cached = Prior(np.array([3.0, 1.0]), np.array([0, 0]), similarity=np.array([0.9]))
        >>> expect(cached, np.array([2.0, np.nan])).drift  # document 0 lost a point, so document 1 is expected to
        Drift(median=-1.0, spread=0.0, samples=1)
    """
    known = prior.source != UNKNOWN
    if not known.any():
        return Expected(prior.scores, prior.scores, None, None)
    # Equal cached scores have no spread of their own, and nothing may be divided by 0.
    unit = max(float(prior.scores[known].std()), 1e-12)
    before = _before(prior, unit)
    both = np.flatnonzero(known & ~np.isnan(fresh))
    if not both.size:
        return Expected(prior.scores, before, None, None)
    scores, residuals = _corrected(prior, fresh, both, unit)
    spread = before * _growth(prior, both, residuals / before[both])
    drift, distance = _seen(prior, fresh, spread, unit)
    return Expected(scores, spread, drift, distance)


def _before(prior: Prior, unit: float) -> Floats:
    """How far off the scores are expected to be before any is seen, by document; nan where nothing is known."""
    near = SPREAD * unit * np.sqrt(np.maximum(1 - prior.similarity, LEAST_DISTANCE))
    # UNKNOWN, -1, picks the nan at the end; the surrogate's place is the one before it.
    before = np.concatenate([near, [np.nan, np.nan]])[prior.source]
    return before if prior.spread is None else np.where(prior.source == prior.learned, prior.spread, before)


def _seen(prior: Prior, fresh: Floats, spread: Floats, unit: float) -> tuple[Drift | None, float | None]:
    """The drift of the neighbours' scores, and how far off they are in ``unit``; None without any."""
    compared = prior.is_cached & ~np.isnan(fresh)
    if not compared.any():
        return None, None
    moved = fresh[compared] - prior.scores[compared]
    median = _median(moved)
    # 1.4826 makes the median absolute deviation of a normal distribution its standard deviation.
    drift = Drift(median, 1.4826 * _median(np.abs(moved - median)), len(moved))
    return drift, max(abs(median), float(spread[prior.is_cached].mean())) / unit


def _corrected(prior: Prior, fresh: Floats, both: Positions, unit: float) -> tuple[Floats, Floats]:
    """Expected scores of all documents, and the residuals: how far off they are for those in ``both``."""
    source, cached = prior.source[both], prior.scores[both]
    moved = fresh[both] - cached
    counts = np.bincount(source, minlength=len(prior.similarity) + 1)
    # Around each neighbour's own means: what differs between neighbours is offset, not slope.
    across = cached - (_sums(source, cached, counts) / np.maximum(counts, 1))[source]
    # Ridge regression: the added term stands for SLOPE_SAMPLES documents whose drift does not depend on the score.
    slope = float(across @ moved) / (float(across @ across) + SLOPE_SAMPLES * unit**2)
    # The slope turns round the middle of what was asked about, where the drift is known best.
    center = float(cached.mean())
    level = moved - slope * (cached - center)
    offset = (_sums(source, level, counts) + OFFSET_SAMPLES * level.mean()) / (counts + OFFSET_SAMPLES)
    scores = prior.scores + offset[prior.source] + slope * (prior.scores - center)
    return scores, fresh[both] - scores[both]


def _growth(prior: Prior, both: Positions, residuals: Floats) -> Floats:
    """By document: how many times as large its spread is as expected, from residuals in expected spreads."""
    squares, source = residuals**2, prior.source[both]
    counts = np.bincount(source, minlength=len(prior.similarity) + 1)
    # Two steps of shrinking: all neighbours together towards the expectation, and each of them towards all.
    overall = (SPREAD_SAMPLES + squares.sum()) / (SPREAD_SAMPLES + len(source))
    own = (SPREAD_SAMPLES * overall + _sums(source, squares, counts)) / (SPREAD_SAMPLES + counts)
    # A neighbour's own offset is as unsure as a single document's drift until some of its scores were seen.
    offset = OFFSET_SAMPLES / (counts + OFFSET_SAMPLES)
    # The spread of an unknown document is nan, whatever it is multiplied with.
    return np.asarray(np.sqrt(own + offset)[prior.source])


def _sums(source: Positions, values: Floats, counts: Positions) -> Floats:
    """The sum of the values of each neighbour."""
    return np.bincount(source, weights=values, minlength=len(counts)).astype(float)


def _median(values: Floats) -> float:
    # np.median takes several times as long for a dozen values, and every round of every request needs two.
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
