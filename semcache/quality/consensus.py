"""Weighs the evidence of several tenants: what one of them alone was seen to lose decides about itself, not about all.

Trust is shared, so that a tenant with little traffic profits from what others showed. But a tenant may send requests
whose cached orders are worth nothing, on purpose or not. So what is in force for all changes only as far as the
observations say so whichever group of tenants is left out of them (a jackknife). A group whose own observations say
something else has a trust of its own.
"""

from collections.abc import Iterable, Mapping

from semcache.quality.statistics import ReuseStatistics
from semcache.quality.trust import BandStatistics, Trust, decide


def pooled(groups: Iterable[BandStatistics]) -> dict[str, ReuseStatistics]:
    """The statistics of several groups together, by band."""
    all_of_them: dict[str, ReuseStatistics] = {}
    for statistics in groups:
        for band, seen in statistics.items():
            all_of_them[band] = all_of_them[band] + seen if band in all_of_them else seen
    return all_of_them


def decide_for_all(
    trust: Trust, by_tenants: Mapping[str, BandStatistics], user_threshold: float, budget: float, floor: float = 1.0
) -> Trust:
    """``decide`` by the statistics of groups of tenants; the same object when nothing changes for all.

    Without named tenants the empty one decides alone. Of several decisions that agree in direction, the one that
    changes least is taken.
    """
    if not any(by_tenants):
        return decide(trust, by_tenants.get("", {}), user_threshold, budget, floor)

    def strictness(trust: Trust) -> tuple[bool, float]:
        return not trust.exact, trust.threshold(user_threshold)

    now = strictness(trust)
    decisions = []
    for left_out in by_tenants:
        others = pooled(statistics for group, statistics in by_tenants.items() if group != left_out)
        decisions.append(decide(trust, others, user_threshold, budget, floor))
    if all(strictness(decision) > now for decision in decisions):
        return min(decisions, key=strictness)
    if all(strictness(decision) < now for decision in decisions):
        return max(decisions, key=strictness)
    return trust
