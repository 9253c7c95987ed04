"""LatencyMonitor: a sliding window of latencies, and whether their 95th percentile (p95) is above a threshold."""

from collections import deque
from collections.abc import Collection
from math import inf
from numbers import Real

from semcache.errors import InvalidInputError
from semcache.flow.requests import check_count
from semcache.settings import Monitor

_DEFAULTS = Monitor()


class LatencyMonitor:
    """The latest ``window_size`` latencies in seconds, judged by their nearest-rank p95.

    Nothing is judged before there are ``min_samples`` latencies, or a full window if that is smaller. Choose
    ``p95_threshold``, in seconds, near the p99 of healthy calls: at their p95 itself 5 % of healthy calls are too slow,
    so that every breaker opens. Raises InvalidInputError for values that are not above 0.

    The window has no lock: threads that record must hold a common one, as those of a DegradableReranker do. Reading is
    safe meanwhile.

    Example:
        monitor = LatencyMonitor(window_size=100, p95_threshold=2.0)
        monitor.record(0.8)
        monitor.should_degrade()  # False: fewer than 20 samples
    """

    __slots__ = ("_latencies", "_slow", "min_samples", "p95_threshold")

    def __init__(
        self,
        window_size: int = _DEFAULTS.window_size,
        p95_threshold: float = _DEFAULTS.p95_threshold_s,
        min_samples: int = _DEFAULTS.min_samples,
    ) -> None:
        check_count("window_size", window_size, InvalidInputError)
        check_count("min_samples", min_samples, InvalidInputError)
        if not _is_duration(p95_threshold) or p95_threshold == 0:
            raise InvalidInputError(f"p95_threshold must be a number of seconds above 0, got {p95_threshold!r}")
        self.p95_threshold: float = float(p95_threshold)
        self.min_samples: int = min(min_samples, window_size)
        self._latencies: deque[float] = deque(maxlen=window_size)
        self._slow = 0

    def record(self, latency_s: float) -> None:
        """Add one latency; the oldest leaves a full window. Raises InvalidInputError unless it is finite and >= 0."""
        check_latency(latency_s)
        # Before the append, which drops the oldest latency of a full window.
        if len(self._latencies) == self._latencies.maxlen:
            self._slow -= self._latencies[0] > self.p95_threshold
        self._latencies.append(float(latency_s))
        self._slow += float(latency_s) > self.p95_threshold

    def get_p95(self) -> float:
        """The nearest-rank p95 of the latencies so far, in seconds: of fewer than 20 the maximum, and 0.0 of none.

        ``p95_if_enough`` is None until there are enough samples to judge it.
        """
        return nearest_rank_p95(self.latencies) or 0.0

    def p95_if_enough(self) -> float | None:
        """The p95 that ``should_degrade`` judges, in seconds; None while there are fewer than ``min_samples``."""
        return self.get_p95() if self.samples >= self.min_samples else None

    def should_degrade(self) -> bool:
        """True if p95 is above the threshold and there are enough samples to judge. Takes constant time."""
        # The nearest-rank p95 is the ceil(0.95 n)-th smallest of n. It is above the threshold exactly when fewer than
        # that many calls are within it: when the slow ones are more than n - ceil(0.95 n) = floor(n / 20).
        return self.samples >= self.min_samples and self._slow > self.samples // 20

    @property
    def slow(self) -> int:
        """Number of latencies in the window that are above the threshold."""
        return self._slow

    def clear(self) -> None:
        """Remove every latency from the window."""
        self._latencies.clear()
        self._slow = 0

    @property
    def window_size(self) -> int:
        """Most latencies that the window holds."""
        return self._latencies.maxlen or 0

    @property
    def samples(self) -> int:
        """Number of latencies in the window."""
        return len(self._latencies)

    @property
    def latencies(self) -> tuple[float, ...]:
        """The window, oldest first, in seconds."""
        # Copied in one step that other threads cannot interrupt: iterating while one of them records would fail.
        return tuple(self._latencies)

    def __repr__(self) -> str:
        window = f"{self.samples}/{self.window_size} samples, {self._slow} slow"
        return f"<LatencyMonitor p95={self.p95_if_enough()} threshold={self.p95_threshold} {window}>"


def nearest_rank_p95(latencies: Collection[float]) -> float | None:
    """The smallest latency that at least 95 % of them do not exceed; None for no latencies."""
    # ceil(0.95 n) in integers: 0.95 has no exact float, and a product slightly too large would give the next rank.
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
    # Real, so that numpy's floats are accepted. NaN is refused, since it is not at least 0.
    return isinstance(value, Real) and 0 <= float(value) < inf
