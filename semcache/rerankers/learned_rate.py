"""The rate that a service was found to allow by what it refused: pure, times are arguments.

A service says by a 429 that it was sent too much, but not how much it takes. What it took before, over the time until
it takes more, is what it allows: 1,000 calls in 10 s and a Retry-After of 50 s are 1,000 a minute. Before such a burst
there may have been hours of few calls, so of all times since which to count, within a minute, the one counts that tells
the most.
"""

from collections import deque
from math import inf

_GROWTH_PER_S = 0.02
"""By this share of what was learned the rate grows each second, since the limit may be shared with others who send less
now. Each time that it is too high again costs a pause; with 2 % that is once in half a minute or so."""
_FORGOTTEN_AFTER_S = 60.0
"""Limits of services are per minute or shorter, so a refusal says nothing about the time after it."""
_SPAN_S = 1.0
"""Calls are counted by so many seconds, as no limit is for less."""
_LEAST_SHARE = 0.5
"""A single refusal at most halves the rate: one that follows a pause at once may be meant for others."""


class LearnedRate:
    """How many calls a second a service takes, from what it took until it refused. No limit until then.

    ``now`` is in seconds on a clock that never goes back. It has no lock.

    Example:
        >>> rate = LearnedRate()
        >>> for call in range(101):
        ...     rate.take(now=call / 50)
        >>> rate.refused(now=2.0, pause_s=3.0)  # took 100 calls in 2 s, and takes no further one for 3 s
        >>> rate.per_s(now=5.0)
        20.0
    """

    def __init__(self) -> None:
        self._since = inf
        # When each span began, and its calls.
        self._taken: deque[tuple[float, int]] = deque(maxlen=1 + int(_FORGOTTEN_AFTER_S / _SPAN_S))
        self._learned: float | None = None
        self._next = -inf

    def per_s(self, now: float) -> float:
        """Calls a second that are allowed now; infinite while nothing was refused lately."""
        if self._learned is None or now - self._since >= _FORGOTTEN_AFTER_S:
            return inf
        return self._learned * (1 + _GROWTH_PER_S * max(0.0, now - self._since))

    def start(self, now: float, ahead: float = 0.0) -> float:
        """When a call may start, if ``ahead`` others start before it; ``now`` or later."""
        return max(now, self._next) + ahead / self.per_s(now)

    def take(self, now: float, calls: int = 1) -> None:
        """So many calls start now."""
        self._since = min(self._since, now)
        if self._taken and now - self._taken[-1][0] < _SPAN_S:
            began, before = self._taken.pop()
            self._taken.append((began, before + calls))
        else:
            self._taken.append((now, calls))
        self._next = max(self._next, now) + calls / self.per_s(now)

    def refused(self, now: float, pause_s: float) -> None:
        """The service refused a call because of its limit, and takes none for ``pause_s`` seconds."""
        # Of calls that were under way together, the first refusal tells it.
        if now < self._since < inf:
            return
        before = self.per_s(now)
        allowed = self._allowed(now, pause_s)
        self._learned = allowed if before == inf else max(allowed, _LEAST_SHARE * before)
        self._since = now + pause_s
        self._taken.clear()
        self._next = self._since

    def _allowed(self, now: float, pause_s: float) -> float:
        """The highest rate at which calls were taken over the last spans and the pause; one call at least.

        Infinite where none was counted: calls that another limit let start say nothing here.
        """
        # The refused call itself was not taken.
        count, most = -1, 0.0
        for began, calls in reversed(self._taken):
            if now - began > _FORGOTTEN_AFTER_S:
                break
            count += calls
            # Others may have begun just now, and a few calls at once would pass for a high rate.
            taking_s = now - began if began == self._taken[0][0] else max(now - began, _SPAN_S)
            most = max(most, max(1, count) / max(taking_s + pause_s, 1e-3))
        return most or inf
