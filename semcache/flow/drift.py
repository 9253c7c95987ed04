"""Learns from the scores made for a query how far off the cached scores of near queries are, and how surely."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from semcache.flow.kriging import Kriging
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
class Expected:
    """Scores to expect for this query, by document (nan where nothing is known), and their spreads.

    ``distance`` is how far off the cached scores are: the larger of median drift and mean spread, in standard
    deviations of the cached scores. It and ``drift`` are None until a document has been scored for both queries.
    """

    scores: Floats
    spread: Floats
    drift: Drift | None
    distance: float | None


@dataclass(slots=True, eq=False)
class _Memory:
    """All that follows from a prior alone, and what was expected last."""

    is_cached: Flags | None = None
    process: "_Process | None" = None
    fresh: bytes = b""
    expected: Expected | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """Scores expected of the distinct documents of one request before any of them is scored.

    ``scores`` has one score per document, nan where unknown. ``source`` says which neighbour it is from, UNKNOWN, or
    ``learned`` where it is the surrogate's. ``similarity`` has one cosine per neighbour. ``spread``, by document, says
    how far off the surrogate's scores usually are; None without a surrogate. ``likeness``, of shape ``(documents,
    documents)``, says how much what a score is off by is shared by two documents, 1 on the diagonal or somewhat above;
    None if they have nothing in common. ``confidence``, in spreads, is how surely a document has to be out of reach
    that only the surrogate knows; None: as the policy says. ``cached`` are the neighbours' scores as they are, where
    ``scores`` has them moved by what the surrogate expects; None where it does not.
    """

    scores: Floats
    source: Positions
    similarity: Floats
    spread: Floats | None = None
    likeness: Floats | None = None
    confidence: float | None = None
    cached: Floats | None = None
    # A request asks in several rounds, and most of what each of them works out is the same.
    memory: _Memory = field(default_factory=_Memory, init=False, repr=False)

    @property
    def learned(self) -> int:
        """The source of scores that the surrogate expects: the number behind those of the neighbours."""
        return len(self.similarity)

    @property
    def as_cached(self) -> Floats:
        """The scores as neighbours have them."""
        return self.scores if self.cached is None else self.cached

    @property
    def is_cached(self) -> Flags:
        """True for documents whose score a neighbour has."""
        if self.memory.is_cached is None:
            self.memory.is_cached = (self.source != UNKNOWN) & (self.source != self.learned)
        return self.memory.is_cached


def expect(prior: Prior, fresh: Floats) -> Expected:
    """Corrects the scores of the prior by those that were made for this query: what is known of one document is known,
    in part, of those that are like it.

    ``fresh`` has one score per document, nan where it was not asked about. The differences from the prior are taken for
    a Gaussian process (universal kriging, Matheron 1969): an offset of which nothing is known before, an offset per
    source, a slope over the scores, and whatever ``prior.likeness`` says that documents have in common. Its scale is
    that of the prior's spreads, raised or lowered by the differences seen.

    Example:
        >>> cached = Prior(np.array([3.0, 1.0]), np.array([0, 0]), similarity=np.array([0.9]))
        >>> expect(cached, np.array([2.0, np.nan])).drift  # document 0 lost a point, so document 1 is expected to
        Drift(median=-1.0, spread=0.0, samples=1)
    """
    memory = prior.memory
    # The bytes, since callers may write the next scores into the same array.
    asked_for = fresh.tobytes()
    if memory.expected is None or memory.fresh != asked_for:
        if memory.process is None:
            memory.process = _Process.of(prior)
        memory.fresh, memory.expected = asked_for, memory.process.expect(prior, fresh)
    return memory.expected


@dataclass(frozen=True, slots=True, eq=False)
class _Process:
    """The Gaussian process of a prior. ``unit`` is the standard deviation of the scores of its ``known`` documents."""

    known: Positions
    source: Positions
    unit: float
    before: Floats
    kriging: Kriging | None

    @classmethod
    def of(cls, prior: Prior) -> "_Process":
        """The process before any score is made for the query."""
        known = np.flatnonzero(prior.source != UNKNOWN)
        source = prior.source[known]
        if not known.size:
            return cls(known, source, 0.0, prior.scores, None)
        # Equal cached scores have no spread of their own, and nothing may be divided by 0.
        unit = max(float(prior.scores[known].std()), 1e-12)
        before = _before(prior, unit)
        scale = before[known]
        covariance = _covariance(prior, known, unit)
        covariance *= scale[:, None]
        covariance *= scale
        return cls(known, source, unit, before, Kriging(covariance))

    def expect(self, prior: Prior, fresh: Floats) -> Expected:
        """``expect``, when ``prior`` is that of the process."""
        moved = fresh[self.known] - prior.scores[self.known]
        if self.kriging is None or np.isnan(moved).all():
            return Expected(prior.scores, self.before, None, None)
        # How much each source is off depends on the order in which its documents count.
        self.kriging.see(moved, in_order=bool((self.source != self.source[0]).any()))
        expected, variance, squares = self.kriging.expected()
        growth = _growth(squares, self.source[self.kriging.seen], self.source)
        scores, spread = prior.scores.copy(), self.before.copy()
        scores[self.known] += expected
        spread[self.known] = np.sqrt(variance * growth)
        drift, distance = _seen(prior, fresh, spread, self.unit)
        return Expected(scores, spread, drift, distance)


def _before(prior: Prior, unit: float) -> Floats:
    """How far off the scores are expected to be before any is seen, by document; nan where nothing is known."""
    near = SPREAD * unit * np.sqrt(np.maximum(1 - prior.similarity, LEAST_DISTANCE))
    # UNKNOWN, -1, picks the nan at the end; the surrogate's place is the one before it.
    before = np.concatenate([near, [np.nan, np.nan]])[prior.source]
    return before if prior.spread is None else np.where(prior.source == prior.learned, prior.spread, before)


def _covariance(prior: Prior, known: Positions, unit: float) -> Floats:
    """The covariance of the differences of the known documents, in expected spreads."""
    source = prior.source[known]
    scores = (prior.scores[known] - prior.scores[known].mean()) / unit
    # A neighbour's own offset is worth OFFSET_SAMPLES documents, a slope of one spread per unit SLOPE_SAMPLES.
    shared = scores[:, None] * (scores / SLOPE_SAMPLES)
    shared += (source[:, None] == source) / OFFSET_SAMPLES
    if prior.likeness is None:
        shared[np.diag_indices(len(known))] += 1
    else:
        # To pick rows and columns takes longer than all the rest, and mostly every document is known.
        shared += prior.likeness if len(known) == len(prior.scores) else prior.likeness[np.ix_(known, known)]
    return np.asarray(shared)


def _growth(squares: Floats, seen: Positions, source: Positions) -> Floats:
    """By document: how many times as large as expected the squares are, from those seen of its source and of all."""
    counts = np.bincount(seen, minlength=int(source.max()) + 1)
    # Two steps of shrinking: all sources together towards the expectation, and each of them towards all.
    overall = (SPREAD_SAMPLES + squares.sum()) / (SPREAD_SAMPLES + len(seen))
    sums = np.bincount(seen, weights=squares, minlength=len(counts))
    return np.asarray(((SPREAD_SAMPLES * overall + sums) / (SPREAD_SAMPLES + counts))[source])


def _seen(prior: Prior, fresh: Floats, spread: Floats, unit: float) -> tuple[Drift | None, float | None]:
    """The drift of the neighbours' scores, and how far off they are in ``unit``; None without any."""
    compared = prior.is_cached & ~np.isnan(fresh)
    if not compared.any():
        return None, None
    moved = (fresh - prior.as_cached)[compared]
    median = _median(moved)
    # 1.4826 makes the median absolute deviation of a normal distribution its standard deviation.
    drift = Drift(median, 1.4826 * _median(np.abs(moved - median)), len(moved))
    left = spread[prior.is_cached & np.isnan(fresh)]
    return drift, max(abs(median), float(left.mean()) if left.size else 0.0) / unit


def _median(values: Floats) -> float:
    # np.median takes several times as long for a dozen values, and every round of every request needs two.
    ordered = np.sort(values)
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
