"""What the trials amount to at every threshold, for the whole traffic, with 95 % intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semcache.commands.calibration.cases import Case
from semcache.commands.calibration.trial import Trial, Trials

THRESHOLDS = (0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.93, 0.95, 0.97, 0.98, 0.99)
RESAMPLES = 2000
"""Bootstrap resamples: the bounds of a 95 % interval move by about 1 % of its width between seeds."""

Pick = Callable[[Trials, float], Trial | None]


@dataclass(frozen=True, slots=True)
class Figures:
    """One threshold. ``hits`` is the share of all requests, ``avoided`` the share of all pairs of the traffic.

    The others are means over hits, estimated from ``sampled`` of them (None without any): share of pairs avoided,
    loss with its 95 % interval, the loss that 5 % of them exceed, overlap of the top 10, rounds.
    """

    threshold: float
    hits: float
    avoided: float
    sampled: int
    avoided_of_hits: float | None = None
    loss: float | None = None
    low: float | None = None
    high: float | None = None
    worst: float | None = None
    overlap: float | None = None
    rounds: float | None = None


def trusted(cases: Sequence[Case], tried: Sequence[Trials]) -> tuple[Figures, ...]:
    """Per threshold what serving unasked saves and costs, where the guard lets it."""
    return _all(cases, tried, lambda case: case.trust_from, _trusted_at)


def unguarded(cases: Sequence[Case], tried: Sequence[Trials]) -> tuple[Figures, ...]:
    """The same without a guard."""
    return _all(cases, tried, lambda case: case.unguarded_from, _unguarded_at)


def verified(cases: Sequence[Case], tried: Sequence[Trials]) -> tuple[Figures, ...]:
    """Per threshold what verified reuse saves and costs, if nothing were trusted."""
    return _all(cases, tried, lambda case: case.reuse_from, Trials.verified_at)


def _trusted_at(one: Trials, threshold: float) -> Trial | None:
    return one.trusted if one.case.trust_from >= threshold else None


def _unguarded_at(one: Trials, threshold: float) -> Trial | None:
    return one.unguarded if one.case.unguarded_from >= threshold else None


def _all(
    cases: Sequence[Case], tried: Sequence[Trials], starts: Callable[[Case], float], pick: Pick
) -> tuple[Figures, ...]:
    begins = np.array([starts(case) for case in cases])
    pairs = sum(len(case.fingerprints) for case in cases)
    return tuple(
        _figures(threshold, float(np.mean(begins >= threshold)), pairs, tried, pick) for threshold in THRESHOLDS
    )


def _figures(threshold: float, hits: float, pairs: int, tried: Sequence[Trials], pick: Pick) -> Figures:
    found = [(one, trial) for one in tried if (trial := pick(one, threshold)) is not None]
    if not found:
        return Figures(threshold, hits, 0.0, 0)
    weights = np.array([one.weight for one, _ in found])
    sizes = np.array([len(one.case.fingerprints) for one, _ in found])
    spared = sizes - [trial.asked for _, trial in found]
    losses = np.array([trial.loss for _, trial in found])
    low, high = interval(losses, weights, [one.case.query for one, _ in found])
    return Figures(
        threshold,
        hits,
        float(weights @ spared / pairs),
        len(found),
        float(weights @ spared / (weights @ sizes)),
        float(np.average(losses, weights=weights)),
        low,
        high,
        worst(losses, weights),
        float(np.average([trial.overlap for _, trial in found], weights=weights)),
        float(np.average([trial.rounds for _, trial in found], weights=weights)),
    )


def interval(
    values: NDArray[np.float64], weights: NDArray[np.float64], clusters: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """95 % bounds of a weighted mean by bootstrap over clusters: requests of one query are not independent."""
    _, place = np.unique(clusters, return_inverse=True)
    sums, counts = np.bincount(place, values * weights), np.bincount(place, weights)
    chosen = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    low, high = np.quantile(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), (0.025, 0.975))
    return float(low), float(high)


def worst(losses: NDArray[np.float64], weights: NDArray[np.float64], share: float = 0.05) -> float:
    """The loss that ``share`` of the hits reach or exceed."""
    order = np.argsort(-losses, kind="stable")
    reached = np.cumsum(weights[order]) >= share * weights.sum() * (1 - 1e-9)
    return float(losses[order][np.argmax(reached)])
