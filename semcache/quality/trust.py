"""Decides how far the cached scores of a scope are trusted, from what their reuse was seen to cost.

    observed                                                   decision
    near queries cost more than the budget                     a higher threshold; the last step trusts no near query
    the same query costs more than noise                       trust nothing, not even scores of the same query
    cached orders are useless for far queries                  trust no near query, until near ones prove good
    after that, enough observations within the budget          back to a lower threshold, or to the same query
    queries just below the threshold cost less, surely         a threshold below the user's, down to the floor

Queries that are not trusted are verified, so observations continue after trust is withdrawn. The store starts counting
anew whenever trust is withdrawn: observations from before the decision do not count after it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from semcache.quality import sequential_test
from semcache.quality.statistics import BANDS, EXACT, ReuseStatistics, bands_from

NEVER = math.inf
"""A threshold that no similarity reaches."""
# Edges of the bands near 1, so that each step leaves out whole bands.
_HIGHER_THRESHOLDS = (0.98, 0.99, 0.995, NEVER)
_LOWER_THRESHOLDS = (0.96, 0.95, 0.9)
# Goes below what the user has set at level 5 %. With hardly any losses and a budget of 0.01 that takes 330 observations
# of each band on the way: a few hundred bad answers cost more than a few hundred model calls.
_LOG_E_VALUE_OF_PROOF = math.log(20)

# Withdraws at level 1 %: a false alarm in a hundred scopes whose mean loss is just at the limit, and hardly any where
# it is half of that.
_LOG_E_VALUE_OF_ALARM = math.log(100)
# Restores by a normal bound at about 10 %. Restoring too early is undone by the next alarm, and the sequential test,
# which holds for every distribution of losses, would need many times as many observations.
_RESTORE_Z = 1.28
_RESTORE_MIN_OBSERVATIONS = 30
# Adds one observation with the loss of an order by chance: losses are rare and large, so that a few good ones prove
# little, and a variance of 0 would otherwise restore trust at once.
_CHANCE_LOSS = 0.5

# Far above the noise of the packaged int8 model, by which fresh answers to web queries lost 0.0008, and
# far below another model's scores, which tests/quality/test_trust.py shows to be noticed.
EXACT_NOISE = 0.02
# Between what verified reuse of good scores costs and what unrelated scores would. A verification looks only at the
# documents that seem best, so it sees less of a loss than an audit of all candidates does.
USELESS = 0.12

_CHEAP = "near queries cost less than the budget"

BandStatistics = Mapping[str, ReuseStatistics]


@dataclass(frozen=True, slots=True)
class Trust:
    """The cached scores that are trusted: of near queries from similarity ``near`` on, of the same query if ``exact``.

    ``near`` is a cosine above the user's threshold, ``low`` one below it; 0 leaves that as it is. ``reason`` says what
    changed the trust last.
    ``is_cleared`` means that near queries proved good although cached orders are useless for far ones, as for
    fill-in-the-blank queries; far queries then no longer withdraw trust.
    """

    near: float = 0.0
    exact: bool = True
    reason: str = ""
    is_cleared: bool = False
    low: float = 0.0

    def threshold(self, user_threshold: float) -> float:
        """The threshold in force; infinite when no near query is trusted."""
        if self.near > user_threshold:
            return self.near
        return min(user_threshold, self.low or user_threshold)

    def is_stricter_than(self, other: "Trust") -> bool:
        """Whether this withdraws something that the other trusts."""
        is_raised = other.low > 0 and not 0 < self.low <= other.low
        return self.near > other.near or is_raised or (other.exact and not self.exact)


def decide(trust: Trust, statistics: BandStatistics, user_threshold: float, budget: float, floor: float = 1.0) -> Trust:
    """The trust that follows from the statistics; the same object when nothing changes.

    ``user_threshold`` is a cosine, and so is ``floor``, down to which good evidence may lower it. ``budget`` is the
    mean order loss (0 to 1) that trusted near queries may cost.

    Example:
        >>> decide(Trust(), {}, 0.97, 0.01) == Trust()
        True
    """
    # Withdrawing goes first: where one band is bad and another good, the bad one must not wait.
    withdrawn = _withdrawn(trust, statistics, user_threshold, budget)
    if withdrawn is not None:
        return withdrawn
    if not trust.exact:
        # Near queries follow in a later decision: their scores are no better than those of the same query.
        if not _is_under(_pooled(statistics, [EXACT]), _exact_limit(budget)):
            return trust
        return replace(trust, exact=True, reason="the same query is scored alike again")
    threshold = trust.threshold(user_threshold)
    # From the lowest threshold up, so that trust returns as far as the evidence goes in one decision.
    for step in (user_threshold, *_HIGHER_THRESHOLDS):
        if step < threshold and _is_under(_near(statistics, step), budget):
            near = 0.0 if step == user_threshold else step
            return replace(trust, near=near, reason=_CHEAP, is_cleared=True)
    low = _lowest(statistics, threshold, budget, floor)
    return trust if low is None else replace(trust, low=low, reason=_CHEAP, is_cleared=True)


def _lowest(statistics: BandStatistics, threshold: float, budget: float, floor: float) -> float | None:
    """The lowest threshold down to which every band costs less than the budget, surely; None for the one in force."""
    low = None
    for step in _LOWER_THRESHOLDS:
        if floor <= step < threshold < NEVER:
            # Band by band: many good near ones must not pay for the farther ones.
            band = statistics.get(str(step), ReuseStatistics())
            is_proven = sequential_test.log_e_value_below(band.losses, budget) >= _LOG_E_VALUE_OF_PROOF
            if not is_proven or _is_over(band, budget):
                break
            low = step
    return low


def _withdrawn(trust: Trust, statistics: BandStatistics, user_threshold: float, budget: float) -> Trust | None:
    """Less trust, if the statistics are against the present one."""
    # The same query first: if its own scores are wrong, the reranker has changed, and no band of near queries is right.
    if trust.exact and _is_over(_pooled(statistics, [EXACT]), _exact_limit(budget)):
        return Trust(NEVER, exact=False, reason="the same query was scored differently")
    threshold = trust.threshold(user_threshold)
    if threshold == NEVER:
        return None
    if _is_over(_near(statistics, threshold), budget):
        # Without bands nothing is over the budget, so the search ends at NEVER at the latest.
        higher = (step for step in (user_threshold, *_HIGHER_THRESHOLDS) if step > threshold)
        near = next(step for step in higher if not _is_over(_near(statistics, step), budget))
        near = 0.0 if near == user_threshold else near
        return replace(trust, near=near, low=0.0, reason="near queries cost more than the budget")
    # By the user's threshold, not the one in force: bands between the two are near ones that were withdrawn.
    far = set(BANDS[1:]) - set(bands_from(user_threshold))
    if not trust.is_cleared and _is_over(_pooled(statistics, far), USELESS):
        return replace(trust, near=NEVER, low=0.0, reason="cached orders are worth nothing")
    return None


def _exact_limit(budget: float) -> float:
    return max(budget, EXACT_NOISE)


def _near(statistics: BandStatistics, threshold: float) -> ReuseStatistics:
    return _pooled(statistics, bands_from(threshold))


def _pooled(statistics: BandStatistics, bands: Iterable[str]) -> ReuseStatistics:
    return sum((statistics[band] for band in bands if band in statistics), start=ReuseStatistics())


def _is_over(statistics: ReuseStatistics, limit: float) -> bool:
    """Whether the mean loss is above the limit with confidence, among the recent losses or among all."""
    # Recent ones alone, because a change would have to outweigh a long good past. All of them, because a small excess
    # needs more observations than are ever recent. Two tests double the chance of a false alarm at most.
    return any(
        sequential_test.log_e_value_above(losses, limit) >= _LOG_E_VALUE_OF_ALARM
        for losses in (statistics.recent, statistics.losses)
    )


def _is_under(statistics: ReuseStatistics, limit: float) -> bool:
    """Whether the mean loss is likely below the limit, after enough observations to tell."""
    n = float(statistics.losses.sum())
    if n < _RESTORE_MIN_OBSERVATIONS:
        return False
    standard_error = math.sqrt(sequential_test.variance(statistics.losses) / n)
    return (statistics.loss + _CHANCE_LOSS) / (n + 1) + _RESTORE_Z * standard_error < limit
