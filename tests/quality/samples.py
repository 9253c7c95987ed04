"""Losses and observations as statistics."""

from collections.abc import Iterable, Sequence

import numpy as np
from hypothesis import strategies as st

from semcache.quality import sequential_test
from semcache.quality.sequential_test import Counts
from semcache.quality.statistics import DRIFT_BINS, Observation, ReuseStatistics

TwoScores = tuple[list[float], list[float]]
"""(cached, fresh)"""

SCORES = st.lists(st.integers(-50, 50).map(float), min_size=1, max_size=40)
TWO_SCORES = SCORES.flatmap(
    lambda fresh: st.tuples(
        st.lists(st.integers(-50, 50).map(float), min_size=len(fresh), max_size=len(fresh)), st.just(fresh)
    )
)
LOSSES = st.lists(st.floats(0, 1), max_size=200)


def histogram(losses: Iterable[float]) -> Counts:
    counts = np.zeros(sequential_test.BINS)
    for loss in losses:
        counts[sequential_test.bin_of(loss)] += 1
    return counts


def reuse(losses: Sequence[float]) -> ReuseStatistics:
    """Observations with these losses, all of them recent."""
    drifts = np.full(DRIFT_BINS, float(len(losses)))
    return ReuseStatistics(recent=histogram(losses), drifts=drifts, loss=float(np.sum(losses)))


def add(numbers: dict[str, float], observation: Observation) -> None:
    """Add an observation to the numbers of its band, as the store does."""
    for name, amount in observation.increments().items():
        numbers[name] = numbers.get(name, 0.0) + amount


def sums_of(observations: Iterable[Observation]) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for observation in observations:
        add(numbers, observation)
    return numbers
