"""Decides how surely a document has to be out of reach to be skipped, from what skipping would have cost.

A request that is scored whole shows what pruning it would have cost, at any confidence. While nothing is proven, every
request is scored whole; later a share of them.

    observed                                                    decision
    the loss at a confidence is below the budget, surely        prune at it: the lowest such confidence, not below the
                                                                user's
    the loss at the confidence in force is above it, surely     a higher confidence that is proven; without one, ask
                                                                about everything, and start counting anew
    the latest losses are above it, and so are those that       ask about everything, and start counting anew
    follow, surely

Both are sequential tests, so that they may be read after every request. Between the two a decision stays.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from semcache.quality import sequential_test
from semcache.quality.sequential_test import Counts, Rise, histogram

ASK_ALL = math.inf
"""A confidence at which nothing is skipped."""
HIGHER = (1.5, 2.0, 2.5, 3.0, 4.0)
"""Confidences that may take the place of the user's; half a spread changes the loss by a factor of two or so."""
MOST_LEVELS = 4
"""Confidences that are measured, the user's included. Each costs a replay of a request, a millisecond."""

# A scope whose mean loss is above the budget is pruned all the same with a chance of at most one in ten. With losses of
# next to nothing and a budget of 0.01 the proof takes about 240 requests, at 5 % it would take 310.
_LOG_E_VALUE_OF_PROOF = math.log(10)
# How far the user's confidence has to be when a higher one is proven, so that nothing is skipped until it is proven,
# too: at as many requests again. After that, only few requests are scored whole, and it would take thousands.
_WORTH_WAITING = 0.5
LOG_E_VALUE_OF_ALARM = math.log(100)
"""How sure it has to be that the loss is above the budget before pruning is given up: level 1 %, as for trust."""
# A single loss of ten times the budget raises doubt, or five in a row of twice the budget.
_LOG_E_VALUE_OF_DOUBT = math.log(2)
# Doubt lasts until the losses that follow say two to one that it was none: 70 of nothing. With fewer, a change that
# shows in one request of ten would be laid to rest each time it is seen.
_LOG_E_VALUE_OF_CALM = math.log(2)
_CALM_BET = 0.99
EXPLORE_IN_DOUBT = 0.5
"""Share of the requests that are scored whole while there is doubt, so that an alarm does not wait for thousands."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Savings and cost that pruning one request, which was scored whole, would have had at a confidence.

    ``asked`` of ``documents`` would have been scored. ``loss`` (0 to 1) is that of ``flow.replay.Replayed``.
    """

    confidence: float
    documents: int
    asked: int
    loss: float

    @property
    def band(self) -> str:
        """The name under which this is counted."""
        return band_of(self.confidence)

    def increments(self) -> dict[str, float]:
        """Amounts by which this raises the numbers of its band; see ``PruneStatistics.of``."""
        return {
            f"r{sequential_test.bin_of(self.loss)}": 1.0,
            "loss": self.loss,
            "documents": self.documents,
            "avoided": self.documents - self.asked,
        }


@dataclass(frozen=True, slots=True, eq=False)
class PruneStatistics:
    """Savings and cost that pruning would have had at a confidence: histograms of recent and older losses, and sums."""

    recent: Counts = field(default_factory=lambda: np.zeros(sequential_test.BINS))
    older: Counts = field(default_factory=lambda: np.zeros(sequential_test.BINS))
    loss: float = 0.0
    documents: float = 0.0
    avoided: float = 0.0

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> Self:
        """Statistics from sums of ``Pruned.increments``; ``r7`` counts recent losses in bin 7, ``o7`` older ones."""
        sums = (numbers.get(name, 0.0) for name in ("loss", "documents", "avoided"))
        return cls(histogram(numbers, "r"), histogram(numbers, "o"), *sums)

    @property
    def losses(self) -> Counts:
        """Histogram of all losses, recent and older."""
        return self.recent + self.older

    def log_e_value_below(self, budget: float) -> float:
        """That of ``sequential_test``, of all losses against the budget."""
        return sequential_test.log_e_value_below(self.losses, budget, self.loss)

    def summary(self) -> dict[str, Any]:
        """For display: ``n`` requests, pairs avoided (share), mean loss and its 95 % bounds; only ``n`` without any."""
        n = float(self.losses.sum())
        if not n or not self.documents:
            return {"n": 0}
        low, high = sequential_test.bounds(self.losses, total=self.loss)
        return {
            "n": round(n),
            "avoided": self.avoided / self.documents,
            "loss": self.loss / n,
            "loss_low": low,
            "loss_high": high,
        }


_EXPENSIVE = "pruning cost more than the budget"

LevelStatistics = Mapping[float, PruneStatistics]
"""Statistics by confidence."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """The confidence in force, ASK_ALL while nothing is skipped, and what changed it last."""

    confidence: float = ASK_ALL
    reason: str = ""


def levels(confidence: float) -> tuple[float, ...]:
    """The confidences that are measured where the user's is this one, the lowest first.

    Example:
        >>> levels(1.5)
        (1.5, 2.0, 2.5, 3.0)
    """
    return (confidence, *(level for level in HIGHER if level > confidence))[:MOST_LEVELS]


def band_of(confidence: float) -> str:
    """The name under which a confidence is counted."""
    return f"z{confidence:g}"


def decide(
    pruning: Pruning, statistics: LevelStatistics, confidence: float, budget: float, *, is_doubt_confirmed: bool = False
) -> Pruning:
    """The confidence that follows from the statistics; the same object when nothing changes.

    ``confidence`` is the user's, ``budget`` (0 to 1) the mean loss that pruning may cost. ``is_doubt_confirmed`` is
    that of ``Doubt``.

    Example:
        >>> decide(Pruning(), {}, 1.5, 0.01) == Pruning()
        True
    """
    usable = [level for level in levels(confidence) if _is_proven(statistics.get(level), budget)]
    in_force = effective(pruning, confidence)
    if in_force < ASK_ALL and is_doubt_confirmed:
        # Something has changed, so that what was proven before says nothing of any confidence.
        return Pruning(ASK_ALL, _EXPENSIVE)
    if in_force < ASK_ALL and _is_over(statistics.get(in_force), budget):
        # What costs more than before at one confidence mostly does so at the next, too, which is measured less often.
        sound = (
            level
            for level in usable
            if level > in_force and sequential_test.least_mean(statistics[level].recent) < budget
        )
        higher = next(sound, ASK_ALL)
        return Pruning(higher, _EXPENSIVE)
    # A higher confidence is proven a little sooner. Once it is in force, only a small share of the requests is scored
    # whole, so that the user's, which saves more, would be proven much later.
    is_worth_waiting = in_force == ASK_ALL and _is_nearly_proven(statistics.get(confidence), budget)
    if usable and usable[0] < in_force and (usable[0] == confidence or not is_worth_waiting):
        return Pruning(usable[0], "pruning costs less than the budget")
    return pruning


def effective(pruning: Pruning, confidence: float) -> float:
    """The confidence to prune at: the one in force, but never one below the user's."""
    return max(pruning.confidence, confidence)


def is_anew(pruning: Pruning, decided: Pruning) -> bool:
    """Whether all counting starts anew with this decision: what was learned and measured has proved wrong."""
    return decided.confidence == ASK_ALL and pruning.confidence < ASK_ALL


@dataclass(frozen=True, slots=True)
class Doubt:
    """Whether the latest losses of one process, at the confidence in force, look as if they had risen above the budget.

    While they do, more requests are scored whole, so that the doubt is soon confirmed or laid to rest. A mean of twice
    the budget would not be seen for thousands of requests among a long good past, of which few are scored whole.
    ``calm`` is the logarithm of the wealth of a bet on losses below the budget, begun when the doubt was raised; None
    without doubt.
    """

    rise: Rise
    calm: float | None = None

    def after(self, loss: float) -> "Doubt":
        """The doubt after one more loss."""
        rise, budget = self.rise.after(loss), self.rise.limit
        if self.calm is None:
            return Doubt(rise, 0.0 if rise.log_value >= _LOG_E_VALUE_OF_DOUBT else None)
        calm = self.calm + math.log1p(_CALM_BET / (1 - budget) * (budget - loss))
        return Doubt(rise, None if calm >= _LOG_E_VALUE_OF_CALM else calm)

    @property
    def is_raised(self) -> bool:
        """Whether more requests are to be scored whole."""
        return self.calm is not None

    @property
    def is_confirmed(self) -> bool:
        """Whether the mean loss has risen above the budget, surely."""
        return self.rise.log_value >= LOG_E_VALUE_OF_ALARM

    def explore_share(self, explore: float) -> float:
        """Share of the requests to score whole: the user's, or more while there is doubt."""
        return max(explore, EXPLORE_IN_DOUBT) if self.is_raised else explore


def _is_nearly_proven(statistics: PruneStatistics | None, budget: float) -> bool:
    """Whether a confidence has come at least ``_WORTH_WAITING`` of the way to its proof."""
    if statistics is None or _is_over(statistics, budget):
        return False
    return statistics.log_e_value_below(budget) >= _WORTH_WAITING * _LOG_E_VALUE_OF_PROOF


def _is_proven(statistics: PruneStatistics | None, budget: float) -> bool:
    if statistics is None:
        return False
    is_below = statistics.log_e_value_below(budget) >= _LOG_E_VALUE_OF_PROOF
    return is_below and not _is_over(statistics, budget)


def _is_over(statistics: PruneStatistics | None, budget: float) -> bool:
    """Whether the mean loss is above the budget with confidence, among the recent losses or among all."""
    # Recent ones alone, because a change would have to outweigh a long good past.
    return statistics is not None and any(
        sequential_test.log_e_value_above(losses, budget) >= LOG_E_VALUE_OF_ALARM
        for losses in (statistics.recent, statistics.losses)
    )
