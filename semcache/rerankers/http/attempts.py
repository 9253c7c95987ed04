"""Decides which failures of a rerank service are tried again, and when: pure, apart from the date of a header."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
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

_PASSING = frozenset({429, 502, 503, 504})
"""Statuses that say "later": too many requests, and a server behind the service that is away, overloaded or slow. What
they refuse was not computed, or not in time."""

_FIRST_WAIT_S = 0.1  # a connection that was reset is back at once, and half of this is waited on average
_LONGEST_WAIT_S = 2.0
LONGEST_PAUSE_S = 60.0
"""Limits of services are per minute, so after this time there is something left, whatever a header says."""


def retried(attempts: int, left_s: float, turn_s: Callable[[], float]) -> dict[str, Any]:
    """Arguments of tenacity's ``Retrying`` and ``AsyncRetrying``: at most so many attempts, none after ``left_s``.

    Between two attempts a random time passes, which doubles each time, and never less than ``turn_s`` gives: the
    seconds until the service may be called.
    """
    backoff = wait_random_exponential(multiplier=_FIRST_WAIT_S, max=_LONGEST_WAIT_S)

    def wait(state: RetryCallState) -> float:
        return max(backoff(state), turn_s())

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
