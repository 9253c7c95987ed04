"""Recorder: the observer that keeps the latest requests and what went wrong, for the page of a server."""

import logging
from collections import deque
from math import inf
from time import time
from typing import Any

from semcache.events import (
    BreakerChanged,
    CacheRecovered,
    Event,
    IdentityChanged,
    PruningChanged,
    Reranked,
    RungRecovered,
    ShardRecovered,
    State,
    TrustChanged,
)
from semcache.observers import OutageLog
from semcache.protocols import Clock
from semcache.runtime.forking import ForkSafeLock
from semcache.server.live.ring import WINDOWS, Ring, Window, bucket_of

_MOST_REMEMBERED = 60
"""Changes of breakers, and outages, that are kept: a screen or two. Older ones are in the log."""


class Recorder:
    """Keeps requests of the last quarter of an hour and of the last day, and the latest outages.

    Its memory is bounded: some 2 MB at most. ``semcache serve`` makes one by itself; an application that passes a
    pipeline of its own to ``create_app`` gives one to that pipeline, where it is found. ``clock`` gives the time of day
    in seconds. Safe to call from several threads.

    Example:
        >>> pipeline = OptimizedRerankerPipeline.from_settings(observers=[Recorder()])
        >>> app = create_app(pipeline)
    """

    def __init__(self, clock: Clock = time) -> None:
        self._clock = clock
        # Guards the rings. Only counting is done while it is held.
        self._lock = ForkSafeLock()
        self._rings = {name: Ring(window) for name, window in WINDOWS.items()}
        # Appending to a deque needs no lock.
        self._breakers: deque[dict[str, Any]] = deque(maxlen=_MOST_REMEMBERED)
        self._happened: deque[dict[str, Any]] = deque(maxlen=_MOST_REMEMBERED)
        # The words of the log for outages are those of the page.
        self._keeping = _Keeping(self._happened, clock)
        logger = logging.Logger("semcache.page")
        logger.addHandler(self._keeping)
        self._outages = OutageLog(logger=logger)
        self._outages_lock = ForkSafeLock()

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, Reranked):
            self._count(event)
            return
        if isinstance(event, BreakerChanged):
            self._breakers.append(
                {
                    "at": self._clock(),
                    "reranker": event.reranker,
                    "old": event.old,
                    "new": event.new,
                    "reason": event.reason,
                    "cause": event.cause,
                }
            )
        with self._outages_lock:
            self._keeping.is_over = _is_good_news(event)
            self._keeping.reason = event.reason if isinstance(event, BreakerChanged) else ""
            self._outages(event)

    def _count(self, event: Reranked) -> None:
        now, bucket = self._clock(), bucket_of(event.duration_s)
        with self._lock:
            for ring in self._rings.values():
                ring.at(now).add(event, bucket)

    def sample_queue(self, pairs: int) -> None:
        """Keep how many pairs wait for the reranker now; of several samples in a slot the largest is kept."""
        now = self._clock()
        with self._lock:
            for ring in self._rings.values():
                slot = ring.at(now)
                slot.waiting = max(slot.waiting, pairs)

    def dump(self, window: Window) -> dict[str, Any]:
        """All records, ready for JSON: ``slots`` of the window; ``breakers`` and ``happened``, newest last."""
        with self._lock:
            slots = self._rings[window.name].dump(self._clock())
        return {"slots": slots, "breakers": list(self._breakers), "happened": list(self._happened)}

    def __repr__(self) -> str:
        return f"<Recorder of {', '.join(self._rings)}: {len(self._happened)} outages>"


class _Keeping(logging.Handler):
    """Keeps what would be logged."""

    def __init__(self, kept: deque[dict[str, Any]], clock: Clock) -> None:
        super().__init__()
        self._kept = kept
        self._clock = clock
        self.is_over = False
        self.reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "semcache_event", "")
        told = {"event": event, "reason": self.reason, "text": record.getMessage(), "is_over": self.is_over}
        self._kept.append({"at": self._clock(), **told})


def _is_good_news(event: Event) -> bool:
    """Whether an event tells that an outage is over, so that there is nothing to do."""
    match event:
        case CacheRecovered() | ShardRecovered() | RungRecovered():
            return True
        case BreakerChanged():
            return event.new in (State.CLOSED, State.DISABLED)
        case TrustChanged():
            return event.new < event.old
        case PruningChanged():
            return event.new < inf
        case IdentityChanged():
            return event.reason == "identified"
    return False
