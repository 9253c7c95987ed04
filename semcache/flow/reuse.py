"""Decides which documents need not be scored again when scores of a near query are known.

A near query's scores are off by a drift, which is learned from the documents that were scored for both queries. A
document is skipped when the score to expect for it, raised by ``confidence`` spreads, cannot reach the k-th best score.
This is the threshold algorithm of Fagin, Lotem and Naor (2003) with a learned bound in place of a sure one.

round 1       the unknown documents and the best-looking known ones, two more than top_k
rounds 2 ..   the few most promising of those that could still reach the top k: each answer moves the bar
last round    all that could still reach it
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from semcache.entries.entry import Neighbour
from semcache.errors import ConfigurationError
from semcache.flow.drift import UNKNOWN, Expected, Floats, Positions, Prior, expect
from semcache.ranking import Drift

__all__ = ["UNKNOWN", "Prior", "ReusePolicy", "Settled", "next_to_ask", "prior", "settle"]

EXTRA = 2
"""How many more than top_k the first round asks for: a worse document among them raises the bar for all others. Two
more save about 0.4 rounds but ask for documents that the bound would have skipped."""
STEP = 0.6
"""Most documents of one round between the first and the last, as a share of top_k. Smaller steps ask for less and take
more rounds; at equal cost the loss is the same from 0.3 to 0.6."""


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """From which similarity scores are reused, and how sure the skipping has to be.

    Thresholds are cosines in [-1, 1]. ``confidence`` is in spreads of the drift. ``max_pairs_share`` is the share of
    the candidates that may be scored although a neighbour knows them. ``drift_limit`` is for median and spread of the
    drift, in standard deviations of the candidates' cached scores: above it everything is asked; None for no limit.
    """

    trust_threshold: float = 0.97  # unasked reuse loses 0.05 nDCG on its worst 5 % above it, 0.16 from 0.90
    reuse_threshold: float = 0.60  # benchmarks/results/quality.md: no band down to 0.45 loses on average
    confidence: float = 1.0  # 0.5 asks for 5 % of the pairs less and misses twice as much; 2 asks for 12 % more
    max_rounds: int = 3  # two lose more at equal cost, four gain nothing
    max_pairs_share: float = 1.0  # a query that drifts far is scored afresh: as expensive as without a cache, no worse
    drift_limit: float | None = None  # the bound widens with the drift by itself; a limit asks more and gains nothing

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
        share = self.max_pairs_share
        _require(0 < share <= 1, "max_pairs_share", share, "give a share above 0 and up to 1")
        if self.drift_limit is not None:
            _require(self.drift_limit > 0, "drift_limit", self.drift_limit, "give more than 0, or None for no limit")


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """The order of all documents: those scored for this query by score, then the others by the score to expect.

    ``scores`` are by document, not in this order. ``reason`` is None when no document that was not asked about could
    have reached the top k; otherwise it says what ended the asking: "budget" or "rounds".
    """

    order: Positions
    scores: Floats
    drift: Drift | None
    reason: str | None


def prior(fingerprints: Sequence[bytes], neighbours: Sequence[Neighbour]) -> Prior:
    """Every document takes the score of the nearest neighbour that has it; of equally near ones, the first's."""
    scores = [np.nan] * len(fingerprints)
    source = [UNKNOWN] * len(fingerprints)
    missing = list(range(len(fingerprints)))
    for at in sorted(range(len(neighbours)), key=lambda at: -neighbours[at].similarity):
        known = neighbours[at].scores
        for place in missing:
            score = known.get(fingerprints[place])
            if score is not None and isfinite(score):
                scores[place], source[place] = score, at
        missing = [place for place in missing if source[place] == UNKNOWN]
    similarity = [neighbour.similarity for neighbour in neighbours]
    return Prior(np.array(scores, dtype=float), np.array(source, dtype=np.intp), np.array(similarity, dtype=float))


def next_to_ask(prior: Prior, fresh: Floats, top_k: int, rounds: int, policy: ReusePolicy) -> Positions:
    """Positions of the documents to score next, in the caller's order; none when the asking is over.

    ``fresh`` has the scores made for this query so far, nan where not asked. ``rounds`` were asked before this one.
    """
    if rounds >= policy.max_rounds:
        return np.empty(0, dtype=np.intp)
    expected = expect(prior, fresh)
    wanted = _first(expected, fresh, top_k) if rounds == 0 and top_k < len(fresh) else fresh[:0].astype(np.intp)
    if not wanted.size:
        wanted = _could_reach(expected, fresh, top_k, policy)
        if 0 < rounds < policy.max_rounds - 1 and not _is_adrift(expected, policy):
            wanted = wanted[: max(3, round(STEP * top_k))]
    return np.sort(_within_budget(wanted, prior, fresh, policy))


def settle(prior: Prior, fresh: Floats, top_k: int, policy: ReusePolicy) -> Settled:
    """The order that follows from what is known now."""
    expected = expect(prior, fresh)
    unasked = np.isnan(fresh)
    scores = np.where(unasked, expected.scores, fresh)
    order = np.lexsort((-scores, unasked))
    wanted = _could_reach(expected, fresh, top_k, policy)
    reason = None
    if wanted.size:
        reason = "rounds" if _within_budget(wanted, prior, fresh, policy).size else "budget"
    return Settled(order, scores, expected.drift, reason)


def _first(expected: Expected, fresh: Floats, top_k: int) -> Positions:
    """Unknown documents, and what is unasked among those that look best now."""
    looks = np.where(np.isnan(fresh), expected.scores, fresh)
    unknown = np.isnan(looks)
    best = np.argsort(np.where(unknown, np.inf, -looks), kind="stable")[: top_k + EXTRA]
    best = best[np.isnan(fresh[best]) & ~unknown[best]]
    return np.concatenate([np.flatnonzero(unknown), best])


def _could_reach(expected: Expected, fresh: Floats, top_k: int, policy: ReusePolicy) -> Positions:
    """Unasked documents that could be among the top k, the most promising first; all of them when adrift."""
    unasked = np.isnan(fresh)
    if _is_adrift(expected, policy):
        return np.flatnonzero(unasked)
    reach = np.where(np.isnan(expected.scores), np.inf, expected.scores + policy.confidence * expected.spread)
    wanted = np.flatnonzero(unasked & (reach > _bar(fresh[~unasked], top_k)))
    return wanted[np.argsort(-reach[wanted], kind="stable")]


def _bar(scores: Floats, top_k: int) -> float:
    """The k-th best score, which a document has to beat to get in."""
    return float(np.sort(scores)[-top_k]) if len(scores) >= top_k else -np.inf


def _is_adrift(expected: Expected, policy: ReusePolicy) -> bool:
    if policy.drift_limit is None or expected.distance is None:
        return False
    return expected.distance > policy.drift_limit


def _within_budget(wanted: Positions, prior: Prior, fresh: Floats, policy: ReusePolicy) -> Positions:
    """The first of ``wanted`` that the budget still pays for; unknown documents cost nothing of it."""
    known = prior.source != UNKNOWN
    spent = np.count_nonzero(known & ~np.isnan(fresh))
    room = int(policy.max_pairs_share * len(fresh)) - spent
    priced = known[wanted]
    affordable: Positions = wanted[~priced | (np.cumsum(priced) <= room)]
    return affordable


def _require(met: bool, name: str, value: object, remedy: str) -> None:
    if not met:
        raise ConfigurationError(f"{name} is {value!r}; {remedy}")
