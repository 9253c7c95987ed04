"""Learns what a call of a model costs: a fixed time and a time per pair, from its latest calls.

A local cross-encoder costs nearly nothing per call and much per pair; a service or a GPU costs a round trip or a launch
whatever it is sent. Time divided by pairs mistakes the second kind for the first: a call of ten pairs in 0.3 s
then predicts 3 s for a hundred, and nothing is ever merged.

Two memories. The *shape*, how fixed and per-pair cost relate, is a property of the model and is learned slowly, by
least squares with decayed sums, drawn towards "all per pair" while calls hardly differ in size (which is the cautious
assumption, since it expects more of a larger call). The *level*, how slow the model is just now, follows within a few
calls.
"""

from dataclasses import dataclass

# Of the shape: a call counts half after 34 further ones.
_SHAPE_DECAY = 0.98
# Of the level: half after seven further ones; quick enough for a machine that becomes busy, steady against one outlier.
_LEVEL_DECAY = 0.9
# Sizes whose variance is this share of their squared mean say as much about the shape as the cautious assumption does.
# Calls of ten and of twenty pairs have a share of 0.11.
_PRIOR = 0.01
_ONE_SIZE = 0.05
# Evidence of so many seconds ago counts half: a model that was overloaded or being started up is another one by then.
_HALF_LIFE_S = 10.0


@dataclass(frozen=True, slots=True)
class Cost:
    """A call of n pairs takes ``fixed_s + n * per_pair_s`` seconds.

    ``evidence`` is the number of calls that this comes from, older ones counting less. ``usual_pairs`` is the mean
    size of these calls, and ``one_size`` says that they hardly differed, so that larger ones may take less than this
    predicts.
    """

    fixed_s: float
    per_pair_s: float
    evidence: float = 1.0
    usual_pairs: float = 1.0
    one_size: bool = False

    def seconds(self, pairs: float) -> float:
        """Seconds that a call of so many pairs takes."""
        return self.fixed_s + pairs * self.per_pair_s

    def times_usual(self, pairs: int) -> float:
        """How many times as long as a call of usual size one of so many pairs may take; at least 1.

        It depends on the shape of the cost only, and so says the same while the model is slow.
        """
        usual_s = self.seconds(self.usual_pairs)
        return max(1.0, self.seconds(pairs) / usual_s) if usual_s > 0 else 1.0


class ServiceTime:
    """The cost of one model's calls. It has no lock and reads no clock.

    Example:
        >>> service = ServiceTime()
        >>> for pairs in (10, 20, 40) * 20:
        ...     service.record(pairs, 0.3, now=0.0)  # a service that takes as long for any number of pairs
        >>> round(service.cost(now=0.0).seconds(100), 1)
        0.3
    """

    __slots__ = ("_at", "_calls", "_level", "_shape")

    def __init__(self) -> None:
        self._at = 0.0
        self._calls = 0.0
        # Decayed sums of 1, n, n^2, t and n t; and of 1, n and t.
        self._shape = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._level = (0.0, 0.0, 0.0)

    def record(self, pairs: int, service_s: float, now: float) -> Cost | None:
        """One call of the model scored ``pairs`` pairs in ``service_s`` seconds. Gives the cost as it is known now."""
        self._calls = self._evidence(now) * _SHAPE_DECAY + 1
        self._at = now
        terms = (1.0, pairs, pairs * pairs, service_s, pairs * service_s)
        self._shape = _decayed(self._shape, terms, _SHAPE_DECAY)  # type: ignore[assignment]
        self._level = _decayed(self._level, (1.0, pairs, service_s), _LEVEL_DECAY)  # type: ignore[assignment]
        return self.cost(now)

    def cost(self, now: float) -> Cost | None:
        """The cost of a call as far as is known at the time ``now``; None before the first call."""
        count, pairs, squares, seconds, products = self._shape
        if not count or not pairs:
            return None
        mean_pairs, mean_s = pairs / count, seconds / count
        variance = max(0.0, squares / count - mean_pairs**2)
        prior = _PRIOR * mean_pairs**2
        # The slope by least squares, drawn to that of a line through the origin; and neither cost below zero.
        slope = (products / count - mean_pairs * mean_s + prior * mean_s / mean_pairs) / (variance + prior)
        slope = min(max(slope, 0.0), mean_s / mean_pairs)
        fixed = max(0.0, mean_s - slope * mean_pairs)
        level = self._level_of(fixed, slope)
        one_size = variance < _ONE_SIZE * mean_pairs**2
        return Cost(level * fixed, level * slope, self._evidence(now), mean_pairs, one_size)

    def _level_of(self, fixed: float, slope: float) -> float:
        count, pairs, seconds = self._level
        predicted = count * fixed + pairs * slope
        return seconds / predicted if predicted > 0 else 1.0

    def _evidence(self, now: float) -> float:
        return float(self._calls * 0.5 ** (max(0.0, now - self._at) / _HALF_LIFE_S))

    def __repr__(self) -> str:
        return f"<ServiceTime {self.cost(self._at)}>"


def _decayed(sums: tuple[float, ...], terms: tuple[float, ...], decay: float) -> tuple[float, ...]:
    return tuple(total * decay + term for total, term in zip(sums, terms, strict=True))
