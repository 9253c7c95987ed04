"""Counts the answers and the failures of a ladder, for its statistics and for the events that follow from them."""

from collections import Counter
from typing import Any

from semcache.degradation.recent import WINDOW_S, RecentAnswers
from semcache.events import BreakerChanged, Degraded, Event, RungFailed, RungRecovered, State
from semcache.observers.last_errors import LastErrors
from semcache.protocols import Clock, Scored
from semcache.runtime.forking import ForkSafeLock


class Tally:
    """An observer of a ladder's failures that is told its answers, too. Safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._errors = LastErrors(clock)
        # Guards everything below. No other lock is taken and no observer is called while it is held.
        self._lock = ForkSafeLock()
        self._answers: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._recent = RecentAnswers()
        self._failing: dict[str, float] = {}
        """Since when each reranker fails that has not answered since."""
        self._failed: dict[str, float] = {}
        """When each of these failed last."""

    def __call__(self, event: Event, /) -> None:
        self._errors(event)
        if isinstance(event, RungFailed):
            with self._lock:
                self._failing.setdefault(event.reranker, self._clock())
                self._failed[event.reranker] = self._clock()
        elif isinstance(event, BreakerChanged) and event.is_primary and event.new in (State.CLOSED, State.DISABLED):
            # The primary is asked again, so what was answered before says nothing about now.
            with self._lock:
                self._recent = RecentAnswers()

    def count(self, scored: Scored) -> list[Event]:
        """Count an answer; gives the events that observers have to be told of."""
        events: list[Event] = []
        now = self._clock()
        with self._lock:
            self._answers[scored.reranker] += 1
            self._recent.add(scored.reason, now)
            failing_since = self._failing.pop(scored.reranker, None)
            if scored.reason is not None:
                self._reasons[scored.reason] += 1
        if failing_since is not None:
            events.append(RungRecovered(scored.reranker, now - failing_since))
        if scored.reason is not None:
            events.append(Degraded(scored.reason, scored.reranker))
        return events

    def degraded_for(self) -> str | None:
        """The reason if requests are being degraded now, see RecentAnswers; else None."""
        with self._lock:
            return self._recent.reason(self._clock())

    def is_failing(self, reranker: str) -> bool:
        """Whether the latest answer of a reranker was an error, not long ago."""
        with self._lock:
            return reranker in self._failing and self._clock() - self._failed[reranker] < WINDOW_S

    def snapshot(self) -> dict[str, Any]:
        """``answers`` by reranker, ``reasons`` of degraded ones, ``degraded_share`` of the latest, ``last_error``."""
        with self._lock:
            return {
                "degraded_share": round(self._recent.share(self._clock()), 4),
                "answers": dict(self._answers),
                "reasons": dict(self._reasons),
                "last_error": self._errors.snapshot()["reranker"],
            }

    def __repr__(self) -> str:
        return f"<Tally of {self._answers.total()} answers, {self._reasons.total()} degraded>"
