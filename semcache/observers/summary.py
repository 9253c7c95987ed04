"""SummaryLog: one line of the log sums up the requests of a while."""

import logging
from collections import Counter
from math import floor, log
from time import monotonic
from typing import Any

from semcache.events import BreakerChanged, CacheFailed, CacheRecovered, CacheUnavailable, Event, Reranked, State
from semcache.protocols import Clock
from semcache.ranking import Status
from semcache.runtime.forking import ForkSafeLock, renew_in_child

_STEP = 1.05
"""Durations are counted by powers of this, so that quantiles are off by 2.5 % at most however many there are."""
_SHORTEST_S = 1e-6


class SummaryLog:
    """Logs a line on the logger ``semcache.summary`` (INFO) about the requests since the last one.

    The first event after ``every_s`` seconds writes it, so there is no thread, and a process without requests writes
    none. The record has each figure as ``semcache_<name>``, as those of LoggingObserver do. A forked child begins with
    nothing. The setting ``telemetry.summary_s`` gives a pipeline one of its own.

    Example:
        >>> logging.getLogger("semcache.summary").setLevel(logging.INFO)
        >>> pipeline = OptimizedRerankerPipeline.from_settings(observers=[SummaryLog(60)])
    """

    def __init__(
        self,
        every_s: float,
        pipeline: str = "default",
        *,
        logger: logging.Logger | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._every_s = every_s
        self._pipeline = pipeline
        self._logger = logger or logging.getLogger("semcache.summary")
        self._clock = clock
        self._breaker: str = State.CLOSED
        self._redis = "up"
        # Guards the counts. Nothing is logged while it is held.
        self._lock = ForkSafeLock()
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Count from now on; also used for the beginning itself. What the parent counted is in the parent's line."""
        self._counts = _Counts(self._clock())

    def __call__(self, event: Event, /) -> None:
        now = self._clock()
        with self._lock:
            counts, state = self._counts, {"breaker": self._breaker, "redis": self._redis}
            is_over = now - counts.since >= self._every_s
            if is_over:
                self._counts = _Counts(now)
            self._count(event)
        if is_over and counts.statuses:
            self._log(counts.figures(now) | state)

    def _count(self, event: Event) -> None:
        match event:
            case Reranked():
                self._counts.add(event)
            case BreakerChanged(new=new, is_primary=True):
                self._breaker = str(new)
            case CacheUnavailable():
                self._redis = "away"
            case CacheRecovered():
                self._redis = "up"
            case CacheFailed():
                self._counts.failures += 1

    def _log(self, figures: dict[str, Any]) -> None:
        shares = ", ".join(f"{status} {share:.1%}" for status, share in figures["shares"].items())
        pairs = figures["pairs_asked"] + figures["pairs_saved"]
        drift = "" if figures["drift"] is None else f", drift {figures['drift']:+.3g} in {figures['drifts']}"
        self._logger.info(
            "%s: %d requests in %.0f s (%s), p50 %s, p95 %s, pairs saved %.1f%% of %d (about %s), "
            "breaker %s%s, redis %s, %d cache failures",
            self._pipeline,
            figures["requests"],
            figures["period_s"],
            shares,
            _span(figures["p50_s"]),
            _span(figures["p95_s"]),
            100 * figures["pairs_saved"] / (pairs or 1),
            pairs,
            _span(figures["saved_s"]),
            figures["breaker"],
            drift,
            figures["redis"],
            figures["cache_failures"],
            # Prefixed, because logging refuses fields that a record has itself.
            extra={
                "semcache_event": "Summary",
                "semcache_pipeline": self._pipeline,
                **{f"semcache_{name}": value for name, value in figures.items()},
            },
        )

    def __repr__(self) -> str:
        return f"<SummaryLog of {self._pipeline!r} every {self._every_s:g} s>"


def _span(seconds: float) -> str:
    """A duration with the unit that keeps it readable: three digits, and never a power of ten."""
    # Below what is rounded to a thousand.
    if 0 < seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"


class _Counts:
    """The counts since a time of the clock."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.statuses: Counter[str] = Counter()
        self.failures = 0
        self._durations: Counter[int] = Counter()
        self._asked = self._saved = self._drifts = 0
        self._saved_s = self._drift = 0.0

    def add(self, event: Reranked) -> None:
        """Count a request."""
        self.statuses[event.status] += 1
        self._durations[floor(log(max(event.duration_s, _SHORTEST_S), _STEP))] += 1
        self._asked += event.asked
        self._saved += event.reused + event.skipped
        self._saved_s += event.saved_s or 0.0
        if event.drift is not None:
            self._drifts += 1
            self._drift += event.drift

    def figures(self, now: float) -> dict[str, Any]:
        """The figures of the line, by name."""
        requests = self.statuses.total()
        by_status = {status.value: self.statuses[status] / requests for status in Status if self.statuses[status]}
        return {
            "period_s": round(now - self.since, 3),
            "requests": requests,
            "shares": {status: round(share, 4) for status, share in by_status.items()},
            "p50_s": self._quantile(0.5),
            "p95_s": self._quantile(0.95),
            "pairs_asked": self._asked,
            "pairs_saved": self._saved,
            "saved_s": round(self._saved_s, 3),
            "drift": round(self._drift / self._drifts, 4) if self._drifts else None,
            "drifts": self._drifts,
            "cache_failures": self.failures,
        }

    def _quantile(self, share: float) -> float:
        rank = share * self._durations.total()
        for power in sorted(self._durations):
            rank -= self._durations[power]
            if rank <= 0:
                # The middle of what was counted together.
                return float(f"{_STEP ** (power + 0.5):.3g}")
        return 0.0
