"""The rate limit of a service, in requests and pairs per minute, which may also be told to pause.

Our own, since the libraries for it (pyrate-limiter, aiolimiter, limits) either wait or refuse: none says when it will
be a caller's turn, which a caller with a deadline has to know before it waits, and none can be told of a Retry-After.
"""

from contextvars import ContextVar
from math import inf
from time import monotonic

from semcache.protocols import Clock
from semcache.rerankers.learned_rate import LearnedRate
from semcache.rerankers.token_bucket import TokenBucket
from semcache.runtime.forking import ForkSafeLock

_has_turn: ContextVar[bool] = ContextVar("has_turn", default=False)


def say_turn_taken() -> None:
    """Say, in a task's own context, that its call has taken its turn of the reranker's rate limit already."""
    _has_turn.set(True)


def has_turn() -> bool:
    """Whether this call has its turn already. A reranker that keeps its limit by itself takes none then."""
    return _has_turn.get()


class RateLimit:
    """When the next call of a service may start. Safe between threads and event loops; it never waits itself.

    A service that allows both N requests and M pairs per minute has both numbers; None is no limit. What a service
    refuses teaches a rate for the next minute, too (learned_rate.py). ``max_pairs_per_call`` is how many pairs one
    request carries (None: any number). Raises ConfigurationError for a number that is not above 0.

    Example:
        limit = RateLimit(requests_per_minute=600)
        while (wait_s := limit.try_take(pairs=50)) > 0:
            time.sleep(wait_s)
        response = client.rerank(...)
        if response.status_code == 429:
            limit.refused(pause_s=float(response.headers["Retry-After"]))
    """

    def __init__(
        self,
        requests_per_minute: float | None = None,
        pairs_per_minute: float | None = None,
        *,
        max_pairs_per_call: int | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._requests = _bucket(requests_per_minute, "requests_per_minute")
        self._pairs = _bucket(pairs_per_minute, "pairs_per_minute")
        self._max_pairs_per_call = max_pairs_per_call
        self._clock = clock
        self._learned = LearnedRate()
        self._paused_until = -inf
        self._lock = ForkSafeLock()
        """Guards the buckets, the learned rate and the pause. No other lock is taken while it is held."""

    def requests(self, pairs: int) -> int:
        """How many requests to the service that many pairs of one query are."""
        return 1 if self._max_pairs_per_call is None else -(-pairs // self._max_pairs_per_call)

    def try_take(self, pairs: int) -> float:
        """Start a call of so many pairs now: 0.0. Or the seconds until it may start."""
        requests = self.requests(pairs)
        with self._lock:
            now = self._clock()
            wait_s = self._start(now, pairs, requests, 0, 0) - now
            if wait_s <= 0:
                for bucket, cost in ((self._requests, requests), (self._pairs, pairs)):
                    if bucket is not None:
                        bucket.take(now, cost)
                self._learned.take(now, requests)
            return max(0.0, wait_s)

    def wait_s(self, pairs: int, *, pairs_ahead: int = 0, requests_ahead: int = 0) -> float:
        """In how many seconds such a call may start, if those ahead of it start before."""
        requests = self.requests(pairs)
        with self._lock:
            now = self._clock()
            return self._start(now, pairs, requests, pairs_ahead, requests_ahead) - now

    def pause_until(self, at: float) -> None:
        """Start no call before this time of the clock, as a service asks by Retry-After. Never ends a longer pause."""
        with self._lock:
            self._paused_until = max(self._paused_until, at)

    def pause(self, seconds: float) -> None:
        """``pause_until`` so many seconds from now."""
        self.pause_until(self._clock() + seconds)

    def refused(self, pause_s: float) -> None:
        """The service refused a call because of its limit (429), and asks for a pause of so many seconds."""
        with self._lock:
            now = self._clock()
            self._learned.refused(now, pause_s)
            self._paused_until = max(self._paused_until, now + pause_s)

    def _start(self, now: float, pairs: int, requests: int, pairs_ahead: int, requests_ahead: int) -> float:
        starts = [self._learned.start(now, requests_ahead), self._paused_until]
        if self._requests is not None:
            starts.append(self._requests.start(now, requests, requests_ahead))
        if self._pairs is not None:
            starts.append(self._pairs.start(now, pairs, pairs_ahead))
        return max(starts)

    def __repr__(self) -> str:
        bounds = [
            f"{bucket.per_minute:g} {unit} a minute"
            for bucket, unit in ((self._requests, "requests"), (self._pairs, "pairs"))
            if bucket is not None
        ]
        return f"<RateLimit {' and '.join(bounds) or 'without numbers'}>"


def _bucket(per_minute: float | None, name: str) -> TokenBucket | None:
    return None if per_minute is None else TokenBucket(per_minute, name)
