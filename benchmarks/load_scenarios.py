"""The traffic and the misfortunes of each scenario. Times are in nominal seconds, see ``Scenario.scale``."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from benchmarks import load_arrivals
from benchmarks.load_arrivals import Times

MEAN_PAIRS = 8
PER_PAIR_S = 0.008
FIXED_S = 0.016
"""16 ms per call and 8 ms per pair: 80 ms for a request of 8 pairs, 12.5 requests a second."""
CAPACITY = 1 / (FIXED_S + MEAN_PAIRS * PER_PAIR_S)
"""Requests per second of a model that is called once per request."""
NOISE = 0.25
"""Standard deviation of the logarithm of a call's duration."""
THRESHOLD_S = 2.0
"""T: slower answers are late. 25 times the mean service time."""


class Trouble(StrEnum):
    """What goes wrong with a primary."""

    SLOW = "slow"
    """Calls that begin in it take 40 times as long: 3.2 s for a request of 8 pairs."""
    ERRORS = "errors"
    """Calls that begin in it raise after 10 ms."""
    FREEZE = "freeze"
    """Calls that run in it end after it."""


LIMITED = "service with a rate limit, 1.5x"
SLOW_FACTOR = 40.0
ERROR_AFTER_S = 0.01


@dataclass(frozen=True, slots=True)
class Incident:
    """A trouble from ``start`` to ``end``."""

    trouble: Trouble
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """Traffic at ``load`` times the capacity, and perhaps an incident.

    ``scale`` is the real duration of a nominal second. Everything is scaled, the threshold and the breaker's times
    included, so that a scenario with 0.1 runs ten times as fast. Only clocks, schedulers and locks are not.

    ``fixed`` is the part of a call's time that does not depend on its pairs; 0 means that merging gains nothing, so
    that a model at 1.6 times its capacity can serve 62 %. ``limit_per_s`` makes the primary a service behind HTTP that
    lets in so many requests in any second, and is the capacity then. ``real_per_s`` makes it the packaged
    cross-encoder, which was found to score so many requests a second.
    """

    name: str
    load: float
    count: int
    arrivals: str = "poisson"
    incident: Incident | None = None
    fixed: float = FIXED_S
    limit_per_s: int = 0
    real_per_s: float = 0.0
    scale: float = 1.0
    seed: int = 1

    @property
    def per_pair_s(self) -> float:
        """Nominal seconds per pair, so that a request of mean size takes 80 ms with the fixed part."""
        return (1 / CAPACITY - self.fixed) / MEAN_PAIRS

    @property
    def rate(self) -> float:
        """Requests per nominal second."""
        return self.load * (self.limit_per_s or self.real_per_s or CAPACITY)

    @property
    def threshold_s(self) -> float:
        """T in real seconds."""
        return THRESHOLD_S * self.scale

    def times(self) -> Times:
        """When requests arrive, in nominal seconds."""
        if self.arrivals == "poisson":
            return load_arrivals.poisson(self.rate, self.count, self.seed)
        return load_arrivals.scaled(load_arrivals.azure(), self.rate, self.count, self.seed)

    def sizes(self) -> list[int]:
        """Pairs of each request: 4 to 12, 8 on average."""
        return list(map(int, np.random.default_rng(self.seed + 1000).integers(4, 13, self.count)))


def scenarios(quick: bool) -> Mapping[str, Scenario]:
    """All scenarios by name."""
    spell = (5.0, 15.0) if quick else (20.0, 50.0)
    half = 150 if quick else 750
    over = 200 if quick else 1200
    slow, errors, freeze = (Incident(trouble, *spell) for trouble in Trouble)
    found = (
        Scenario("half capacity", 0.5, 500 if quick else 10_000, scale=0.15),
        Scenario("half capacity, real arrivals", 0.5, half, "azure"),
        Scenario("overload 1.6x", 1.6, over, fixed=0.0),
        Scenario("overload 1.6x, real arrivals", 1.6, over, "azure", fixed=0.0),
        Scenario("overload 1.6x, mergeable", 1.6, over),
        Scenario("slow spell", 0.5, half, incident=slow),
        Scenario("error burst", 0.5, half, incident=errors),
        Scenario("freeze", 0.5, half, incident=freeze),
    )
    return {scenario.name: scenario for scenario in found}


def limited(quick: bool) -> Scenario:
    """A service that allows 20 requests a second and is sent 30."""
    return Scenario(LIMITED, 1.5, 150 if quick else 1350, limit_per_s=20)


def real(per_s: float, quick: bool) -> Scenario:
    """The packaged cross-encoder at 1.6 times of what it can do, with real arrivals."""
    seconds = 6.0 if quick else 18.0
    return Scenario("packaged cross-encoder, 1.6x", 1.6, int(1.6 * per_s * seconds), "azure", real_per_s=per_s)


def spells(count: int) -> list[Scenario]:
    """Slow spells of 10 to 60 s that begin at different times, with other seeds: for times to detect and to recover."""
    lengths = np.linspace(10, 60, count)
    return [
        Scenario(
            f"slow spell of {length:.0f} s",
            0.5,
            int((20 + length + 45) * 0.5 * CAPACITY),
            incident=Incident(Trouble.SLOW, 20 + at, 20 + at + float(length)),
            seed=100 + at,
        )
        for at, length in enumerate(lengths)
    ]
