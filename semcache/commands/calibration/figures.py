"""Savings and losses at every threshold, estimated for the whole traffic from the sampled trials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Self

import numpy as np

from semcache.commands.bootstrap import Floats, mean_interval
from semcache.commands.calibration.cases import Case
from semcache.commands.calibration.trial import Trial, Trials

# Finer towards 1: most near queries of real traffic that may be trusted are there.
THRESHOLDS = (0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.93, 0.95, 0.97, 0.98, 0.99)


@dataclass(frozen=True, slots=True)
class Figures:
    """One threshold. ``hits`` is the share of all requests, ``avoided`` the share of all pairs of the traffic.

    The others are means over hits, estimated from ``sampled`` of them, and None without any: share of pairs avoided,
    loss with its 95 % interval, the loss that 5 % of the hits reach or exceed, overlap of the top 10, rounds.
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

    @classmethod
    def of(cls, threshold: float, hits: float, pairs: int, sampled: Sequence[tuple[Trials, Trial]]) -> Self:
        """Estimate from the trials that hit at the threshold. ``pairs`` are those of the whole traffic."""
        if not sampled:
            return cls(threshold, hits, 0.0, 0)
        columns = [
            (trials.weight, len(trials.case.fingerprints), trial.asked, trial.loss, trial.overlap, trial.rounds)
            for trials, trial in sampled
        ]
        weights, sizes, asked, losses, overlaps, rounds = np.array(columns, dtype=float).T
        avoided = float(weights @ (sizes - asked))
        low, high = mean_interval(losses, weights, [trials.case.query for trials, _ in sampled])
        return cls(
            threshold,
            hits,
            avoided / pairs,
            len(sampled),
            avoided / float(weights @ sizes),
            float(np.average(losses, weights=weights)),
            low,
            high,
            worst(losses, weights),
            float(np.average(overlaps, weights=weights)),
            float(np.average(rounds, weights=weights)),
        )


def trusted(cases: Sequence[Case], tried: Sequence[Trials]) -> tuple[Figures, ...]:
    """Figures of serving unasked, where the guard permits it."""
    return _by_threshold(cases, tried, attrgetter("trust_from"), Trials.trusted_at)


def unguarded(cases: Sequence[Case], tried: Sequence[Trials]) -> tuple[Figures, ...]:
    """Figures of serving unasked, if there were no guard."""
    return _by_threshold(cases, tried, attrgetter("unguarded_from"), Trials.unguarded_at)


def verified(cases: Sequence[Case], tried: Sequence[Trials]) -> tuple[Figures, ...]:
    """Figures of verified reuse, if no neighbour were trusted."""
    return _by_threshold(cases, tried, attrgetter("reuse_from"), Trials.verified_at)


def _by_threshold(
    cases: Sequence[Case],
    tried: Sequence[Trials],
    hit_from: Callable[[Case], float],
    trial_at: Callable[[Trials, float], Trial | None],
) -> tuple[Figures, ...]:
    highest = np.array([hit_from(case) for case in cases])
    pairs = sum(len(case.fingerprints) for case in cases)
    rows = []
    for threshold in THRESHOLDS:
        # Hits are counted on all cases, which costs no model call. Only what they are worth comes from the sample.
        hits = float(np.mean(highest >= threshold))
        sampled = [(trials, trial) for trials in tried if (trial := trial_at(trials, threshold)) is not None]
        rows.append(Figures.of(threshold, hits, pairs, sampled))
    return tuple(rows)


def worst(losses: Floats, weights: Floats, share: float = 0.05) -> float:
    """The loss that ``share`` of the hits reach or exceed; a hit counts as many times as its weight says."""
    order = np.argsort(-losses, kind="stable")
    # The sum of weights is rounded, so a share that is reached exactly could be missed by the last bit.
    reached = np.cumsum(weights[order]) >= share * weights.sum() * (1 - 1e-9)
    return float(losses[order][np.argmax(reached)])
