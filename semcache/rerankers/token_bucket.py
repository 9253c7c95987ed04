"""A token bucket: how soon a call of some cost may start, so that no minute holds more than a service allows."""

from math import inf

from semcache.errors import ConfigurationError
from semcache.flow.requests import is_number

_MINUTE_S = 60.0


class TokenBucket:
    """At most ``per_minute`` units in any 60 seconds, and about half a second's share of them at once.

    A call of more units than that share starts when the bucket is full, and those after it wait until its debt is paid.
    The machine reads no clock; ``now`` is in seconds on a clock that never goes back. It is the generic cell rate
    algorithm (ITU-T I.371): instead of counting tokens it keeps the time at which the bucket will be full again. Raises
    ConfigurationError for a number that is not above 0.

    Example:
        >>> bucket = TokenBucket(per_minute=60)
        >>> bucket.take(now=0.0, cost=1)
        >>> bucket.start(now=0.0, cost=1)
        1.0
    """

    def __init__(self, per_minute: float, name: str = "per_minute") -> None:
        # Written so that NaN, which is above nothing, is refused.
        if not is_number(per_minute) or isinstance(per_minute, bool) or not 0 < per_minute < inf:
            raise ConfigurationError(f"{name} must be a number above 0, or None for no limit, got {per_minute!r}")
        self.per_minute: float = float(per_minute)
        # A burst of half a second's share: large enough that calls need not be spaced to the millisecond, and small
        # enough for a service that allows a second's share at once, where calls arrive less evenly than they start.
        self._burst = max(1.0, self.per_minute / _MINUTE_S / 2)
        self._largest = self._burst
        self._full_at = -inf

    def start(self, now: float, cost: float, ahead: float = 0.0) -> float:
        """When a call of this cost may start, if calls of ``ahead`` units in all start before it; ``now`` or later."""
        full_at = max(self._full_at, now) + ahead / self._rate
        return max(now, full_at - max(0.0, self._burst - cost) / self._rate)

    def take(self, now: float, cost: float) -> None:
        """A call of this cost starts now."""
        self._largest = max(self._largest, cost)
        self._full_at = max(self._full_at, now) + cost / self._rate

    @property
    def _rate(self) -> float:
        # What may start at once is taken off the minute's share: a minute that begins with a full bucket and ends with
        # a call in debt must not hold more than it may. The share is halved at most, since calls larger than the limit
        # itself would stop everything.
        spare = max(self._burst, self._largest) - 1
        return max(self.per_minute - spare, self.per_minute / 2) / _MINUTE_S

    def __repr__(self) -> str:
        return f"<TokenBucket {self.per_minute:g} a minute>"
