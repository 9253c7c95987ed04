"""Decides how far the cached scores of a scope may be trusted, from what its reuses were seen to cost.

    trusted   -- near queries cost more than the budget -->   a higher threshold, in the end none
    trusted   -- the same query costs more than noise does --> nothing, not even scores of the same query
    trusted   -- cached orders are worth nothing -->           no near query
    withdrawn -- as many good observations as a budget needs --> one step back

What is not trusted is verified, so that evidence goes on coming in. Withdrawing starts the counting anew: what comes
after it is judged by itself.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from semcache.quality import sequential_test
from semcache.quality.statistics import BANDS, EXACT, ReuseStatistics, bands_from

NEVER = math.inf
_STEPS = (0.98, 0.99, 0.995, NEVER)

# One false alarm in a hundred where the mean is just at the limit, and next to none where it is half of that.
_SURE = math.log(100)
# Relaxing too early is undone by the next alarm, so a normal bound at one in ten is enough; a bet that holds whatever
# the losses may be would take a thousand healthy near queries (0.0065) at a budget of 0.01, this takes 200.
_LIKELY_Z = 1.28
# As if one more order had been that of chance: losses are rare and large, and the first few good ones prove little.
_FEARED = 0.5
_ENOUGH = 30

# Ten times what the noise of the packaged int8 model costs (0.002); another model's scores cost 0.13.
EXACT_NOISE = 0.02
# Verified near queries lose 0.02 to 0.05 at similarities 0.7 to 0.95 and 0.08 at 0.6 to 0.7 (TREC DL 2019, one MiniLM
# cross-encoder). Unrelated scores lose 0.20 in a top 5 of 50 and 0.40 in a top 10: what is verified is only what looks
# best, so less of the loss is seen there than in an audit.
USELESS = 0.12

BandStatistics = Mapping[str, ReuseStatistics]


@dataclass(frozen=True, slots=True)
class Trust:
    """What is trusted: near queries from similarity ``near`` on (0: from where the user says), and the same query.

    ``reason`` says what changed it last. With ``is_cleared``, near queries have shown that they are good although
    the orders of far ones are worth nothing, as in a domain of fill-in-the-blank queries.
    """

    near: float = 0.0
    exact: bool = True
    reason: str = ""
    is_cleared: bool = False

    def threshold(self, wanted: float) -> float:
        """The threshold in force where the user wants ``wanted``; infinite: no near query is trusted."""
        return max(wanted, self.near)

    def is_stricter_than(self, other: "Trust") -> bool:
        """Whether this withdraws something that the other trusts."""
        return self.near > other.near or (other.exact and not self.exact)


def decide(trust: Trust, statistics: BandStatistics, wanted: float, budget: float) -> Trust:
    """The trust that follows; the same one if nothing speaks for a change.

    ``wanted`` is the user's threshold, ``budget`` the mean loss that trusted near queries may cost.
    """
    return _withdrawn(trust, statistics, wanted, budget) or _relaxed(trust, statistics, wanted, budget) or trust


def _withdrawn(trust: Trust, statistics: BandStatistics, wanted: float, budget: float) -> Trust | None:
    if trust.exact and _is_over(_pooled(statistics, [EXACT]), _exact_limit(budget)):
        return Trust(NEVER, exact=False, reason="the same query was scored differently")
    in_force = trust.threshold(wanted)
    if in_force == NEVER:
        return None
    if _is_over(_near(statistics, in_force), budget):
        step = next(step for step in _STEPS if step > in_force and not _is_over(_near(statistics, step), budget))
        return replace(trust, near=step, reason="near queries cost more than the budget")
    if not trust.is_cleared and _is_over(_far(statistics, wanted), USELESS):
        return replace(trust, near=NEVER, reason="cached orders are worth nothing")
    return None


def _relaxed(trust: Trust, statistics: BandStatistics, wanted: float, budget: float) -> Trust | None:
    if not trust.exact:
        if not _is_under(_pooled(statistics, [EXACT]), _exact_limit(budget)):
            return None
        return replace(trust, exact=True, reason="the same query is scored alike again")
    in_force = trust.threshold(wanted)
    for step in (wanted, *_STEPS):
        if step < in_force and _is_under(_near(statistics, step), budget):
            near = 0.0 if step == wanted else step
            return replace(trust, near=near, reason="near queries cost less than the budget", is_cleared=True)
    return None


def _exact_limit(budget: float) -> float:
    return max(budget, EXACT_NOISE)


def _near(statistics: BandStatistics, threshold: float) -> ReuseStatistics:
    return _pooled(statistics, bands_from(threshold))


def _far(statistics: BandStatistics, wanted: float) -> ReuseStatistics:
    return _pooled(statistics, set(BANDS[1:]) - set(bands_from(wanted)))


def _pooled(statistics: BandStatistics, bands: Iterable[str]) -> ReuseStatistics:
    return sum((statistics[band] for band in bands if band in statistics), start=ReuseStatistics())


def _is_over(statistics: ReuseStatistics, limit: float) -> bool:
    """Whether the mean loss is above the limit; the latest alone may tell, before they outweigh a good past."""
    return any(
        sequential_test.log_e_value_above(losses, limit) >= _SURE for losses in (statistics.recent, statistics.losses)
    )


def _is_under(statistics: ReuseStatistics, limit: float) -> bool:
    """Whether the mean loss is likely below the limit."""
    n = float(statistics.losses.sum())
    if n < _ENOUGH:
        return False
    error = math.sqrt(sequential_test.variance(statistics.losses) / n)
    return (statistics.loss + _FEARED) / (n + 1) + _LIKELY_Z * error < limit
