"""What the scores made for a query say about those remembered of near queries: how far off, and how surely."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semcache.ranking import Drift

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]

UNKNOWN = -1
"""The source of a document that no neighbour has a score for."""

# All constants are relative to the spread of the cached scores themselves, so that they fit any reranker's scale.
SPREAD = 1.5
"""Spread of the drift at similarity s, before any of it was seen: 1.5 x sqrt(1 - s) standard deviations of the cached
scores. Measured on rewrites of TREC DL 2019 queries: 1.6 at 0.70 and 0.85, 1.7 at 0.93, 2.2 at 0.98."""
FLOOR = 0.001
"""The least 1 - similarity that is believed: embeddings are rounded, and rerankers see more than they do."""
SPREAD_SAMPLES = 15.0
"""How many documents' drift that expectation is worth: as much as one or two rounds show. From 2 to 15 the loss at
equal cost hardly changes; 15 loses least."""
OFFSET_SAMPLES = 2.0
"""How many documents' drift the offset over all neighbours is worth in the offset of one neighbour."""
SLOPE_SAMPLES = 10.0
"""How many documents, one standard deviation from the mean, an unchanged order of magnitude (slope 1) is worth.
Without it, a slope fitted to the dozen best documents swings; without a slope, low documents are underestimated."""


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """What the cache knows about the distinct documents of one request.

    ``scores`` has one cached score per document, nan where unknown. ``source`` says which neighbour it is from, or
    UNKNOWN. ``similarity`` has one cosine per neighbour.
    """

    scores: Floats
    source: Positions
    similarity: Floats


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
    """Corrects cached scores by the drift seen on the documents that have a fresh score too (nan: not asked).

    Per neighbour an offset, over all a slope and, per neighbour again, a spread; each is shrunk towards what is
    expected without samples, by the number of samples it rests on.
    """
    known = prior.source != UNKNOWN
    if not known.any():
        return Expected(prior.scores, prior.scores, None, None)
    unit = max(float(prior.scores[known].std()), 1e-12)
    before = SPREAD * unit * np.sqrt(np.maximum(1 - prior.similarity, FLOOR))
    both = np.flatnonzero(known & ~np.isnan(fresh))
    if not both.size:
        return Expected(prior.scores, np.where(known, before[prior.source], np.nan), None, None)
    scores, surprise = _corrected(prior, fresh, both, unit)
    spread = np.where(known, _spreads(prior.source[both], surprise, before)[prior.source], np.nan)
    drift = _seen(prior, fresh, both)
    return Expected(scores, spread, drift, max(abs(drift.median), float(spread[known].mean())) / unit)


def _corrected(prior: Prior, fresh: Floats, both: Positions, unit: float) -> tuple[Floats, Floats]:
    """Expected scores of all documents, and how far off they are for those in ``both``."""
    source, cached = prior.source[both], prior.scores[both]
    moved = fresh[both] - cached
    counts = np.bincount(source, minlength=len(prior.similarity))
    # Around each neighbour's own means: what differs between neighbours is offset, not slope.
    across = cached - (_sums(source, cached, counts) / np.maximum(counts, 1))[source]
    slope = float(across @ moved) / (float(across @ across) + SLOPE_SAMPLES * unit**2)
    center = float(cached.mean())
    level = moved - slope * (cached - center)
    offset = (_sums(source, level, counts) + OFFSET_SAMPLES * level.mean()) / (counts + OFFSET_SAMPLES)
    scores = prior.scores + offset[prior.source] + slope * (prior.scores - center)
    return scores, fresh[both] - scores[both]


def _spreads(source: Positions, surprise: Floats, before: Floats) -> Floats:
    """One spread per neighbour: the expected one, raised or lowered by how surprising its scores were."""
    squares = (surprise / before[source]) ** 2
    counts = np.bincount(source, minlength=len(before))
    overall = (SPREAD_SAMPLES + squares.sum()) / (SPREAD_SAMPLES + len(source))
    own = (SPREAD_SAMPLES * overall + _sums(source, squares, counts)) / (SPREAD_SAMPLES + counts)
    # A neighbour's own offset is as unsure as a single document's drift until some of its scores were seen.
    offset = OFFSET_SAMPLES / (counts + OFFSET_SAMPLES)
    return np.asarray(before * np.sqrt(own + offset))


def _sums(source: Positions, values: Floats, counts: Positions) -> Floats:
    return np.bincount(source, weights=values, minlength=len(counts)).astype(float)


def _seen(prior: Prior, fresh: Floats, both: Positions) -> Drift:
    moved = fresh[both] - prior.scores[both]
    median = _median(moved)
    return Drift(median, 1.4826 * _median(np.abs(moved - median)), len(moved))


def _median(values: Floats) -> float:
    # np.median takes ten times as long for a dozen values, and every round of every request needs two.
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
