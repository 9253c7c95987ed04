"""Decides which failures of a rerank service are tried again, and when: pure, apart from the date of a header."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from threading import Lock
from typing import Any

from tenacity import (
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_any,
    stop_before_delay,
    wait_random_exponential,
)

from semcache.errors import RerankServiceError
from semcache.protocols import Clock

_PASSING = frozenset({429, 502, 503, 504})
"""Statuses that say "later": too many requests, and a server behind the service that is away, overloaded or slow. What
they refuse was not computed, or not in time."""

_FIRST_WAIT_S = 0.1  # a connection that was reset is back at once, and half of this is waited on average
_LONGEST_WAIT_S = 2.0
LONGEST_PAUSE_S = 60.0
"""Limits of services are per minute, so after this time there is something left, whatever a header says."""


def retried(attempts: int, left_s: float, pause: "Pause") -> dict[str, Any]:
    """Arguments of tenacity's ``Retrying`` and ``AsyncRetrying``: at most so many attempts, none after ``left_s``.

    Between two attempts a random time passes, which doubles each time, and never less than what the service asked for.
    """
    backoff = wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S)

    def wait(state: RetryCallState) -> float:
        return max(backoff(state), pause.left_s())

    return {
        "retry": retry_if_exception(_may_pass),
        "wait": wait,
        "stop": stop_any(stop_after_attempt(attempts), stop_before_delay(left_s)),
        "reraise": True,
    }


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, RerankServiceError) and error.may_pass


def is_passing(status: int) -> bool:
    """Whether a status says that the same request may be answered later."""
    return status in _PASSING


def retry_after_s(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which holds a number or a date; None for none that can be read.

    At most ``LONGEST_PAUSE_S``.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_PAUSE_S) if isfinite(seconds) else None


class Pause:
    """The time until which a service asked not to be called, for all callers together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = float("-inf")
        self._listeners: list[Callable[[float], object]] = []
        self._changing = Lock()

    def left_s(self) -> float:
        """Seconds until the service may be called again; 0 if it may be called now."""
        return max(0.0, self._until - self._clock())

    def begin(self, seconds: float) -> None:
        """Pause for so long, unless the pause lasts longer already."""
        with self._changing:
            self._until = max(self._until, self._clock() + seconds)
        for listener in self._listeners:
            listener(seconds)

    def on_pause(self, listener: Callable[[float], object]) -> None:
        """Call the listener with the seconds of each pause when it begins. It must neither wait nor raise."""
        self._listeners.append(listener)
