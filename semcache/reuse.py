"""Decides which documents need not be scored again when scores of a near query are known.

A near query's scores are off by a drift. It is learned from the documents that were scored for both queries; a document
is skipped when its cached score, corrected by the drift and raised by ``confidence`` spreads, cannot reach the k-th
best score. This is the threshold algorithm of Fagin, Lotem and Naor (2003) with a learned bound in place of a sure one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semcache.entries import Neighbour
from semcache.errors import ConfigurationError
from semcache.ranking import Drift

Floats = NDArray[np.float64]
Positions = NDArray[np.intp]

UNKNOWN = -1
"""The source of a document that no neighbour has a score for."""


FIRST_ROUND = 10
"""The least number of documents with a cached score that the first round asks for: fewer give no estimate of drift."""


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """From which similarity scores are reused, and how sure the skipping has to be.

    Thresholds are cosines in [-1, 1]. ``confidence`` is in spreads of the drift; ``max_pairs`` is the share of the
    candidates that may be scored although a neighbour knows them; ``drift_limit`` is in standard deviations of the
    cached scores of the candidates, None for no limit.
    """

    trust_threshold: float = 0.97
    reuse_threshold: float = 0.60
    confidence: float = 1.0
    max_rounds: int = 3
    max_pairs: float = 1.0
    drift_limit: float | None = 1.0

    def __post_init__(self) -> None:
        for name in ("trust_threshold", "reuse_threshold"):
            _require(-1 <= getattr(self, name) <= 1, name, getattr(self, name), "give a cosine from -1 to 1")
        _require(
            self.trust_threshold >= self.reuse_threshold,
            "trust_threshold",
            self.trust_threshold,
            f"it must not be below reuse_threshold, {self.reuse_threshold!r}; raise it or lower that",
        )
        _require(0 <= self.confidence < np.inf, "confidence", self.confidence, "give a number of spreads, 0 or more")
        _require(self.max_rounds >= 1, "max_rounds", self.max_rounds, "give 1 or more")
        _require(0 < self.max_pairs <= 1, "max_pairs", self.max_pairs, "give a share above 0 and up to 1")
        if self.drift_limit is not None:
            _require(self.drift_limit > 0, "drift_limit", self.drift_limit, "give more than 0, or None for no limit")


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
class Settled:
    """The order of all documents: those scored for this query by score, then the others by corrected cached score.

    ``scores`` are by document, not in this order. ``complete`` says that nobody outside could have reached the top k;
    otherwise ``reason`` says what ended the asking: budget or rounds.
    """

    order: Positions
    scores: Floats
    drift: Drift | None
    complete: bool
    reason: str | None


def prior(fingerprints: Sequence[bytes], neighbours: Sequence[Neighbour]) -> Prior:
    """Every document takes the score of the nearest neighbour that has it."""
    scores = [np.nan] * len(fingerprints)
    source = [UNKNOWN] * len(fingerprints)
    nearest_last = sorted(range(len(neighbours)), key=lambda at: neighbours[at].similarity)
    for at in nearest_last:
        known = neighbours[at].scores
        for place, fingerprint in enumerate(fingerprints):
            score = known.get(fingerprint)
            if score is not None:
                scores[place], source[place] = score, at
    similarity = [neighbour.similarity for neighbour in neighbours]
    return Prior(np.array(scores, dtype=float), np.array(source, dtype=np.intp), np.array(similarity, dtype=float))


def next_to_ask(prior: Prior, fresh: Floats, top_k: int, rounds: int, policy: ReusePolicy) -> Positions:
    """Positions of the documents to score next, in the caller's order; none when the asking is over.

    ``fresh`` has the scores made for this query so far, nan where not asked. ``rounds`` were asked before this one.
    """
    wanted = _wanted(prior, fresh, top_k, policy)
    if rounds >= policy.max_rounds:
        return wanted[:0]
    return _within_budget(wanted, prior, fresh, policy)


def settle(prior: Prior, fresh: Floats, top_k: int, policy: ReusePolicy) -> Settled:
    """The order that follows from what is known now."""
    center, _, drift = _expected(prior, fresh)
    asked = ~np.isnan(fresh)
    scores = np.where(asked, fresh, center)
    order = np.lexsort((-scores, ~asked))
    wanted = _wanted(prior, fresh, top_k, policy)
    reason = None
    if len(wanted):
        reason = "rounds" if len(_within_budget(wanted, prior, fresh, policy)) else "budget"
    return Settled(order, scores, drift, reason is None, reason)


def _wanted(prior: Prior, fresh: Floats, top_k: int, policy: ReusePolicy) -> Positions:
    """Unknown documents, and the known ones that could still reach the top k; the most promising first."""
    left = np.isnan(fresh)
    center, spread, drift = _expected(prior, fresh)
    if top_k >= len(fresh) or _is_adrift(prior, drift, policy):
        return np.flatnonzero(left)
    known = center if left.all() else np.where(left, center, fresh)
    margin = 0.0 if left.all() else policy.confidence
    start = max(top_k, FIRST_ROUND) if left.all() else top_k
    bar = _kth_best(known[~np.isnan(known)], start)
    reach = np.where(np.isnan(prior.scores), np.inf, center + margin * spread)
    wanted = np.flatnonzero(left & (reach >= bar))
    return wanted[np.argsort(-reach[wanted], kind="stable")]


def _kth_best(scores: Floats, k: int) -> float:
    return float(np.sort(scores)[-k]) if len(scores) >= k else -np.inf


def _within_budget(wanted: Positions, prior: Prior, fresh: Floats, policy: ReusePolicy) -> Positions:
    known = ~np.isnan(prior.scores)
    spent = np.count_nonzero(known & ~np.isnan(fresh))
    room = max(int(policy.max_pairs * len(fresh)) - spent, 0)
    free = ~known[wanted]
    return np.sort(wanted[free | (np.cumsum(~free) <= room)])


def _expected(prior: Prior, fresh: Floats) -> tuple[Floats, Floats, Drift | None]:
    """Expected score and its spread for every document with a cached score, and the drift over all neighbours."""
    both = ~np.isnan(prior.scores) & ~np.isnan(fresh)
    moved = (fresh - prior.scores)[both]
    if not len(moved):
        return prior.scores, np.zeros_like(prior.scores), None
    pooled = _drift(moved)
    center = prior.scores + pooled.median
    spread = np.full_like(center, max(pooled.spread, 0.3))
    for at in range(len(prior.similarity)):
        here = prior.source == at
        samples = (fresh - prior.scores)[both & here]
        if len(samples) >= 5:
            own = _drift(samples)
            center[here] = prior.scores[here] + own.median
            spread[here] = max(own.spread, 0.3)
    return center, spread, pooled


def _drift(moved: Floats) -> Drift:
    median = float(np.median(moved))
    return Drift(median, 1.4826 * float(np.median(np.abs(moved - median))), len(moved))


def _is_adrift(prior: Prior, drift: Drift | None, policy: ReusePolicy) -> bool:
    if drift is None or policy.drift_limit is None:
        return False
    scale = float(np.nanstd(prior.scores))
    return drift.spread > policy.drift_limit * max(scale, 1e-6)


def _require(met: bool, name: str, value: object, remedy: str) -> None:
    if not met:
        raise ConfigurationError(f"{name} is {value!r}; {remedy}")
