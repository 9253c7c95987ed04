"""LatencyMonitor: a sliding window of latencies that knows whether its 95th percentile is above a threshold."""

from collections import deque
from collections.abc import Collection
from math import inf
from numbers import Real

from semcache.errors import InvalidInputError


class LatencyMonitor:
    """The latest ``window_size`` latencies in seconds, judged by their nearest-rank p95.

    Below ``min_samples`` latencies (or a full window, if that is smaller) nothing is judged. Choose ``p95_threshold``
    near the healthy p99: at the healthy p95 itself 5 % of good calls are too slow and every breaker trips.

    The window has no lock: between threads, record under one, as DegradableReranker does. Reading is safe meanwhile.
    """

    __slots__ = ("_latencies", "_slow", "min_samples", "p95_threshold")

    # 100: p95 is decided by 5 calls, so one slow call never trips it. 2 s: about the p99 of 100 passages on two CPU
    # cores. 20: below that the nearest-rank p95 is simply the maximum.
    def __init__(self, window_size: int = 100, p95_threshold: float = 2.0, min_samples: int = 20) -> None:
        _check_count("window_size", window_size)
        _check_count("min_samples", min_samples)
        if not _is_duration(p95_threshold) or p95_threshold == 0:
            raise InvalidInputError(f"p95_threshold must be a number of seconds above 0, got {p95_threshold!r}")
        self.p95_threshold = float(p95_threshold)
        self.min_samples = min(min_samples, window_size)
        self._latencies: deque[float] = deque(maxlen=window_size)
        self._slow = 0

    def record(self, latency_s: float) -> None:
        """Add one latency; the oldest leaves a full window. Raises InvalidInputError unless it is finite and >= 0."""
        check_latency(latency_s)
        if len(self._latencies) == self._latencies.maxlen:
            self._slow -= self._latencies[0] > self.p95_threshold
        self._latencies.append(float(latency_s))
        self._slow += float(latency_s) > self.p95_threshold

    def get_p95(self) -> float | None:
        """The nearest-rank p95 of the window in seconds; None below the minimum of samples."""
        return nearest_rank_p95(tuple(self._latencies)) if self.samples >= self.min_samples else None

    def should_degrade(self) -> bool:
        """Whether p95 is above the threshold, in constant time."""
        # The nearest-rank p95 is the ceil(0.95 n)-th smallest of n. It is above the threshold exactly when fewer than
        # that many calls are within it: when the slow ones are more than n - ceil(0.95 n) = floor(n / 20).
        return self.samples >= self.min_samples and self._slow > self.samples // 20

    def clear(self) -> None:
        """Forget every latency."""
        self._latencies.clear()
        self._slow = 0

    @property
    def samples(self) -> int:
        """How many latencies are in the window."""
        return len(self._latencies)

    @property
    def latencies(self) -> tuple[float, ...]:
        """The window, oldest first, in seconds."""
        return tuple(self._latencies)

    def __repr__(self) -> str:
        window = f"{self.samples}/{self._latencies.maxlen} samples, {self._slow} slow"
        return f"<LatencyMonitor p95={self.get_p95()} threshold={self.p95_threshold} {window}>"


def nearest_rank_p95(latencies: Collection[float]) -> float | None:
    """The smallest latency that at least 95 % of them do not exceed; None for no latencies."""
    # Integers: 0.95 has no exact float, and ceil forgives nothing.
    rank = -(-95 * len(latencies) // 100)
    return sorted(latencies)[rank - 1] if latencies else None


def check_latency(latency_s: object) -> None:
    """Raises InvalidInputError unless it is a finite number of seconds, 0 or more."""
    if not _is_duration(latency_s):
        raise InvalidInputError(
            f"a latency must be a finite number of seconds of at least 0, got {latency_s!r}; "
            "take both times from one monotonic clock"
        )


def _is_duration(value: object) -> bool:
    # Real, so that numpy's floats count. NaN is not at least 0.
    return isinstance(value, Real) and 0 <= float(value) < inf


def _check_count(name: str, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise InvalidInputError(f"{name} must be a whole number of at least 1, got {count!r}")
