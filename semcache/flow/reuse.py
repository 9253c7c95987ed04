"""Decides which documents need not be scored again when scores of a near query are known.

A near query's scores are off by a drift, which is learned from the documents that were scored for both queries. A
document is skipped when the score to expect for it, raised by ``confidence`` spreads, cannot reach the k-th best score.
This is the threshold algorithm of Fagin, Lotem and Naor (2003) with a learned bound in place of a sure one.

round 1       the unknown documents and the best-looking others: two more than top_k, or as many as could reach what
              the k-th best is expected to be, if those are more
rounds 2 ..   the few most promising of those that could still reach the top k: each answer moves the bar
last round    all that could still reach it

Of a service each round is a call over the network, so there is one, and the bound decides before anything is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

import numpy as np

from semcache.entries.entry import Neighbour
from semcache.flow.drift import UNKNOWN, Expected, Floats, Positions, Prior, expect
from semcache.flow.policy import ReusePolicy
from semcache.pruning.surrogate import Predicted
from semcache.ranking import Drift

__all__ = ["UNKNOWN", "Learned", "Prior", "Settled", "next_to_ask", "prior", "settle", "with_learned"]

FIRST_ROUND_EXTRA = 2
"""How many documents more than top_k the first round asks about. A worse document among them raises the bar for all
others; with many more, it would ask about documents that the bound would have skipped."""
FIRST_ROUND_MARGINS = (0.5, 1.0)
"""By how many spreads less than ``confidence`` the first of 2 or of more rounds reaches: it learns how far off the
expected scores are, and a wide one would ask about documents that the bound would have skipped."""
ONLY_ROUND_MARGIN = 0.25
"""By how many spreads more a cached score has to be out of reach of an only round, which has to be right at once: no
answer says how far the scores have drifted. It then loses no more than three rounds (benchmarks/results/quality.md)."""
MIDDLE_ROUND_SHARE = 0.6
"""Most documents of a round between the first and the last, as a share of top_k. Smaller rounds ask for fewer pairs, as
each answer moves the bar, and take more calls of the model."""
MIDDLE_ROUND_LEAST = 3
"""The same for a small top_k: a call of the model costs something, however few pairs it has."""
CHANGE_SHARE = 0.5
"""Share of the surrogate's change between two queries by which a cached score is moved: part of it is noise of the
features. On TREC DL 2019 it avoids half a point to a point more at a smaller loss (benchmarks/results/quality.md)."""
LEARNED_MARGIN = 0.25
"""By how many spreads more a cached score has to be out of reach where a surrogate says which documents are off alike:
the spreads are narrower then, and without a margin the worst requests lose more than by the cached scores alone."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Scores that the surrogate expects of one request's documents, relative to each other.

    ``likeness`` says how much two documents share of what it is off by (``semcache.pruning.likeness``). ``changes``
    has, by position of a neighbour, how much more it expects of each document for this query than for that neighbour's.
    ``confidence`` is that of ``Prior``. Without ``completes`` it corrects what neighbours know, and nothing is expected
    of documents that none of them knows: those are asked about.
    """

    predicted: Predicted
    likeness: Floats | None = None
    changes: Mapping[int, Floats] = field(default_factory=dict)
    confidence: float | None = None
    completes: bool = True


def prior(fingerprints: Sequence[bytes], neighbours: Sequence[Neighbour], learned: Learned | None = None) -> Prior:
    """Every document takes the score of the nearest neighbour that has it; of equally near ones, the first's.

    With ``learned``, that score is moved by half of the surrogate's change between the two queries, and a document that
    no neighbour has takes the score that the surrogate expects.

    Example:
        >>> near = [Neighbour("id", 0.9, {b"a": 2.0}, created_at=0.0)]
        >>> prior([b"a", b"b"], near).scores
        array([ 2., nan])
    """
    scores = [np.nan] * len(fingerprints)
    source = [UNKNOWN] * len(fingerprints)
    missing = list(range(len(fingerprints)))
    # sorted() keeps the order of equal elements, so of equally near neighbours the first one comes first.
    for index in sorted(range(len(neighbours)), key=lambda index: -neighbours[index].similarity):
        known = neighbours[index].scores
        for position in missing:
            score = known.get(fingerprints[position])
            # A store may hold anything; a score that is not finite would spoil every mean below.
            if score is not None and isfinite(score):
                scores[position], source[position] = score, index
        missing = [position for position in missing if source[position] == UNKNOWN]
    similarity = [neighbour.similarity for neighbour in neighbours]
    cached = Prior(np.array(scores, dtype=float), np.array(source, dtype=np.intp), np.array(similarity, dtype=float))
    return cached if learned is None else with_learned(cached, learned)


def with_learned(cached: Prior, learned: Learned) -> Prior:
    """The prior of cached scores, corrected and completed by what the surrogate expects."""
    scores, source = cached.scores.copy(), cached.source.copy()
    for neighbour, change in learned.changes.items():
        scores[source == neighbour] += CHANGE_SHARE * change[source == neighbour]
    if learned.completes:
        known = source != UNKNOWN
        # The surrogate knows differences only: its level is that at which both agree on average.
        level = float((scores[known] - learned.predicted.scores[known]).mean()) if known.any() else 0.0
        scores[~known] = learned.predicted.scores[~known] + level
        source[~known] = cached.learned
    spread, alike = learned.predicted.spread, learned.likeness
    return Prior(scores, source, cached.similarity, spread, alike, learned.confidence, cached.scores)


def next_to_ask(
    prior: Prior, fresh: Floats, top_k: int, rounds: int, policy: ReusePolicy, min_score: float = -np.inf
) -> Positions:
    """Positions of the documents to score next, in the caller's order; none when the asking is over.

    ``fresh`` has the scores made for this query so far, nan where not asked. ``rounds`` were asked before this one. A
    document that cannot reach ``min_score``, a raw score, is not asked about, even if fewer than top_k can.
    """
    if rounds >= policy.most_rounds:
        return np.empty(0, dtype=np.intp)
    expected = expect(prior, fresh)
    # With a top_k of all documents there is no first round: the bound below asks about all of them at once.
    if rounds == 0 and top_k < len(fresh):
        chosen = _first_round(prior, expected, fresh, top_k, policy)
        # Scores of this query that are known already may have answered the first round.
        if chosen.size:
            return np.sort(_within_budget(chosen, prior, fresh, policy))
    chosen = _could_reach(prior, expected, fresh, top_k, policy, min_score)
    is_between = 0 < rounds < policy.most_rounds - 1
    if is_between and not _is_adrift(expected, policy):
        chosen = chosen[: max(MIDDLE_ROUND_LEAST, round(MIDDLE_ROUND_SHARE * top_k))]
    return np.sort(_within_budget(chosen, prior, fresh, policy))


def settle(prior: Prior, fresh: Floats, top_k: int, policy: ReusePolicy, min_score: float = -np.inf) -> Settled:
    """The order that follows from the fresh scores so far; ``fresh`` and ``min_score`` are as in ``next_to_ask``."""
    expected = expect(prior, fresh)
    unasked = np.isnan(fresh)
    scores = np.where(unasked, expected.scores, fresh)
    # Fresh scores come first, whatever is expected of the others: no expected score may get into the top k.
    order = np.lexsort((-scores, unasked))
    left = _could_reach(prior, expected, fresh, top_k, policy, min_score)
    reason = None
    if left.size:
        reason = "rounds" if _within_budget(left, prior, fresh, policy).size else "budget"
    return Settled(order, scores, expected.drift, reason)


def _first_round(prior: Prior, expected: Expected, fresh: Floats, top_k: int, policy: ReusePolicy) -> Positions:
    """The documents to ask about before anything is known of how far off the expected scores are."""
    asked = ~np.isnan(fresh)
    looks = np.where(asked, fresh, expected.scores)
    unknown = np.isnan(looks)
    best = np.argsort(np.where(unknown, np.inf, -looks), kind="stable")[: top_k + FIRST_ROUND_EXTRA]
    if unknown.any():
        best = np.concatenate([np.flatnonzero(unknown), best[~unknown[best]]])
    known = np.flatnonzero(~unknown)
    if known.size > top_k and (policy.most_rounds == 1 or not unknown.any()):
        looks, spread = looks[known], np.where(asked, 0, expected.spread)[known]
        reach = looks + _first_confidence(prior, policy)[known] * spread
        best = np.union1d(best, known[reach > likely_bar(looks, spread, top_k)])
    return best[~asked[best]]


def _first_confidence(prior: Prior, policy: ReusePolicy) -> Floats:
    """``_confidence`` of the first round."""
    confidence = _confidence(prior, policy)
    if policy.most_rounds > 1:
        return confidence - FIRST_ROUND_MARGINS[min(policy.most_rounds, 3) - 2]
    if not prior.is_cached.any():
        return confidence
    if prior.confidence is None:
        return confidence + ONLY_ROUND_MARGIN
    # Cached scores are compared with the surrogate's, and their levels were not seen side by side: neither may count as
    # surer than the other. On TREC DL 2019 that avoids as many pairs as rounds do, at the same worst 5 %.
    return np.full_like(confidence, (prior.confidence + policy.confidence + LEARNED_MARGIN) / 2)


def likely_bar(scores: Floats, spread: Floats, top_k: int) -> float:
    """The score that ``top_k`` documents can be expected to be above, from normal distributions of these spreads."""
    reach = float(spread.max()) * 3
    low, high = float(scores.min()) - reach, float(scores.max()) + reach
    certain = np.maximum(spread, 1e-12 * max(high - low, 1e-300))
    # Halved twelve times, the range of scores is exact to a small part of any spread.
    for _ in range(12):
        middle = (low + high) / 2
        # 0.851 makes a hyperbolic tangent the normal distribution function within 0.01, and it does not overflow.
        above = float((0.5 + 0.5 * np.tanh(0.851 * (scores - middle) / certain)).sum())
        low, high = (middle, high) if above > top_k else (low, middle)
    return (low + high) / 2


def _could_reach(
    prior: Prior, expected: Expected, fresh: Floats, top_k: int, policy: ReusePolicy, min_score: float
) -> Positions:
    """Documents that are not asked about and could be in the top k, the most promising first; all of them if adrift."""
    unasked = np.isnan(fresh)
    if _is_adrift(expected, policy):
        return np.flatnonzero(unasked)
    # Nothing is expected of an unknown document, so it could reach anything.
    reach = np.where(np.isnan(expected.scores), np.inf, expected.scores + _confidence(prior, policy) * expected.spread)
    scored = fresh[~unasked]
    bar = float(np.sort(scored)[-top_k]) if len(scored) >= top_k else -np.inf
    bar = max(bar, min_score)
    # To be in the top k a document has to beat the k-th best; one that equals it stays behind.
    above = np.flatnonzero(unasked & (reach > bar))
    return above[np.argsort(-reach[above], kind="stable")]


def _confidence(prior: Prior, policy: ReusePolicy) -> Floats:
    """By document, how many spreads above its expected score it has to stay out of reach."""
    learned = policy.confidence if prior.confidence is None else prior.confidence
    cached = policy.confidence if prior.spread is None else policy.confidence + LEARNED_MARGIN
    return np.where(prior.source == prior.learned, learned, cached)


def _is_adrift(expected: Expected, policy: ReusePolicy) -> bool:
    """True if the drift is above the limit, so that the cached scores say too little about this query."""
    if policy.drift_limit is None or expected.distance is None:
        return False
    return expected.distance > policy.drift_limit


def _within_budget(chosen: Positions, prior: Prior, fresh: Floats, policy: ReusePolicy) -> Positions:
    """The first of ``chosen`` that the budget still pays for; unknown documents cost nothing of it."""
    if policy.max_pairs_share >= 1:
        return chosen
    known = prior.is_cached
    spent = np.count_nonzero(known & ~np.isnan(fresh))
    room = int(policy.max_pairs_share * len(fresh)) - spent
    priced = known[chosen]
    affordable: Positions = chosen[~priced | (np.cumsum(priced) <= room)]
    return affordable
