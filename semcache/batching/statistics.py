"""Statistics of one batcher: how requests ended, and how long its latest calls waited and took."""

from asyncio import CancelledError
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from semcache.batching.service_time import Cost
from semcache.errors import DeadlineExceededError, QueueFullError
from semcache.events import BatchScored, Event
from semcache.runtime.forking import ForkSafeLock

# Enough for a p95 that is not one outlier, and few enough that it is of now.
_WINDOW = 512

_OUTCOMES = ("answered", "shared", "refused", "late", "cancelled", "failed")


class BatchingStatistics:
    """An observer of one batcher's calls that is told the outcomes of its requests, too. Safe between threads."""

    def __init__(self) -> None:
        # Guards everything below. No other lock is taken while it is held.
        self._lock = ForkSafeLock()
        self._outcomes: Counter[str] = Counter()
        self._calls = self._requests = self._pairs = 0
        self._recent: deque[BatchScored] = deque(maxlen=_WINDOW)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, BatchScored):
            with self._lock:
                self._calls += 1
                self._requests += event.requests
                self._pairs += event.pairs
                self._recent.append(event)

    def count(self, outcome: str, requests: int = 1) -> None:
        """So many requests ended like this."""
        with self._lock:
            self._outcomes[outcome] += requests

    @contextmanager
    def outcome(self) -> Iterator[None]:
        """Count the request that the block makes, by how it ends."""
        try:
            yield
        except BaseException as error:  # only counted
            self.count(outcome_of(error))
            raise
        self.count("answered")

    def snapshot(self) -> dict[str, Any]:
        """For display.

        Requests by their end: ``answered``, of these ``shared`` by a call for the same pairs, ``refused`` by a full
        queue, ``late`` (their deadline passed), ``cancelled`` by their callers, ``failed``. ``calls`` of the model, and
        ``pairs`` that these scored. Of the latest 512 calls mean, p50, p95 and maximum: ``wait_s`` of the request that
        waited longest, ``service_s`` in the model, ``batch_pairs`` and ``batch_requests``.
        """
        with self._lock:
            recent = list(self._recent)
            outcomes = {outcome: self._outcomes[outcome] for outcome in _OUTCOMES}
            counts = {"calls": self._calls, "pairs": self._pairs}
        return {
            **outcomes,
            **counts,
            "wait_s": _summary([call.waited_s for call in recent]),
            "service_s": _summary([call.service_s for call in recent]),
            "batch_pairs": _summary([call.pairs for call in recent]),
            "batch_requests": _summary([call.requests for call in recent]),
        }

    def __repr__(self) -> str:
        return f"<BatchingStatistics of {self._calls} calls, {self._outcomes.total()} requests>"


def batch_scored(
    reranker: str, pairs: int, requests: int, waited_s: float, service_s: float, *, queued: int, cost: Cost | None
) -> BatchScored:
    """The event of a batch; ``cost`` is what a call of the reranker costs, now that this one is over."""
    fixed_s, per_pair_s = (None, None) if cost is None else (cost.fixed_s, cost.per_pair_s)
    return BatchScored(reranker, pairs, requests, waited_s, service_s, queued, fixed_s, per_pair_s)


def outcome_of(error: BaseException) -> str:
    """The word for how a request ended that raised this."""
    if isinstance(error, QueueFullError):
        return "refused"
    if isinstance(error, DeadlineExceededError):
        return "late"
    return "failed" if isinstance(error, Exception) and not isinstance(error, CancelledError) else "cancelled"


def _summary(numbers: Sequence[float]) -> dict[str, float]:
    """Mean, nearest-rank quantiles and maximum; empty for no numbers."""
    if not numbers:
        return {}
    ordered = sorted(numbers)
    ranks = {"p50": 50, "p95": 95, "max": 100}
    quantiles = {name: ordered[-(-percent * len(ordered) // 100) - 1] for name, percent in ranks.items()}
    return {
        name: round(float(number), 6) for name, number in {"mean": sum(ordered) / len(ordered), **quantiles}.items()
    }
