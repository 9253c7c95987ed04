"""Scripted rerankers: they sleep for as long as a model would compute, go wrong on schedule, and keep a ledger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from time import sleep

import numpy as np

from benchmarks.load_scenarios import ERROR_AFTER_S, NOISE, SLOW_FACTOR, Incident, Scenario, Trouble
from semcache.commands.models import packaged_models
from semcache.protocols import FloatArray, Pair

Clock = Callable[[], float]
"""Nominal seconds since the first request may arrive."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the primary in nominal seconds, and how many pairs of which request it scored."""

    started: float
    ended: float
    pairs: dict[int, int]
    failed: bool


class ScriptedError(Exception):
    """The error of a primary during an error burst."""


def texts_of(request: int, pairs: int) -> tuple[str, list[str]]:
    """A query and its documents, from which the number of the request can be read."""
    return f"query {request}", [f"document {request} {position}" for position in range(pairs)]


def request_of(pair: Pair) -> int:
    """The number of the request that a pair belongs to."""
    return int(pair[0].split()[1])


def true_scores(pairs: Sequence[Pair]) -> FloatArray:
    """The primary's scores: by them documents stand in another order than the caller sends."""
    positions = [int(text.split()[2]) for _, text in pairs]
    return np.array([(position * 7) % 13 + 0.5 for position in positions], np.float32)


class ScriptedPrimary:
    """A model that computes one call at a time, however many threads call it."""

    name = "primary"
    listwise = False

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self.calls: list[Call] = []
        self._scenario = scenario
        self._clock = clock
        self._rng = np.random.default_rng(scenario.seed + 2000)
        self._computing = Lock()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """``true_scores`` after the time that a call of this size takes now."""
        with self._computing:
            started = self._clock()
            incident = self._scenario.incident
            in_trouble = incident is not None and incident.start <= started < incident.end
            failed = in_trouble and incident.trouble is Trouble.ERRORS
            ends = started + (ERROR_AFTER_S if failed else self._service_s(len(pairs), started))
            # In steps, since a freeze may begin while the call runs.
            while (left := _end(ends, self._clock(), incident) - self._clock()) > 0:
                sleep(min(left, 0.25) * self._scenario.scale)
            self.calls.append(Call(started, self._clock(), _counted(pairs), failed))
        if failed:
            raise ScriptedError("the service answered 503")
        return true_scores(pairs)

    def _service_s(self, pairs: int, now: float) -> float:
        incident = self._scenario.incident
        noise = float(np.exp(self._rng.normal(0, NOISE) - NOISE**2 / 2))
        is_slow = incident is not None and incident.trouble is Trouble.SLOW and incident.start <= now < incident.end
        return (self._scenario.fixed + pairs * self._scenario.per_pair_s) * noise * (SLOW_FACTOR if is_slow else 1)


class RealPrimary:
    """The packaged cross-encoder with a ledger, called by several threads at once as far as they do so."""

    name = "primary"
    listwise = False

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self.calls: list[Call] = []
        self._clock = clock
        self._model = packaged_models().reranker
        self._model.score([("warm up", "a text")])

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """The model's scores."""
        started = self._clock()
        scores = self._model.score(pairs)
        self.calls.append(Call(started, self._clock(), _counted(pairs), failed=False))
        return scores


class ScriptedFallback:
    """A cheap reranker: 5 ms a call, any number at once."""

    name = "fallback"
    listwise = False
    concurrency = 64

    def __init__(self, scenario: Scenario) -> None:
        self._seconds = 0.005 * scenario.scale

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """Scores by which documents stand in the order of the caller."""
        sleep(self._seconds)
        return -np.arange(len(pairs), dtype=np.float32)


def _end(ends: float, now: float, incident: Incident | None) -> float:
    is_frozen = incident is not None and incident.trouble is Trouble.FREEZE and incident.start <= now < incident.end
    return max(ends, incident.end) if is_frozen and incident is not None else ends


def _counted(pairs: Sequence[Pair]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for pair in pairs:
        counts[request_of(pair)] = counts.get(request_of(pair), 0) + 1
    return counts
