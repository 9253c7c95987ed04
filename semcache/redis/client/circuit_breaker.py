"""Decides whether Redis is asked at all: a frozen server costs one timeout per interval, not one per call."""

import threading
from collections.abc import Callable
from types import TracebackType

from semcache.errors import StoreUnavailableError
from semcache.events import CacheRecovered
from semcache.protocols import Clock


class RedisCircuitBreaker:
    """Leaves Redis alone after it failed: for ``retry_after_s`` seconds, doubling up to ``max_retry_after_s``.

    The breaker is closed until a failure. While it is open, calls are refused until the time is over. Then one call
    goes through as a probe: its result closes the breaker, or opens it for twice as long. Results of calls that began
    before the latest failure are ignored, since they all met the same failure. Safe to use from several threads.
    """

    def __init__(
        self,
        retry_after_s: float,
        max_retry_after_s: float,
        *,
        clock: Clock,
        on_event: Callable[[CacheRecovered], None],
    ) -> None:
        self._retry_after_s = retry_after_s
        self._max_retry_after_s = max_retry_after_s
        self._clock = clock
        self._on_event = on_event
        self._lock = threading.Lock()
        self._epoch = 0
        self._failed_at: float | None = None
        self._delay_s = 0.0
        self._next_probe = 0.0
        self._is_probing = False

    def enter(self) -> "Attempt":
        """A passage for one call. Raises StoreUnavailableError while Redis is being left alone."""
        if self._failed_at is not None:  # read without the lock: the closed breaker is the hot path
            self._take_probe()
        return Attempt(self, self._epoch)

    def _take_probe(self) -> None:
        with self._lock:
            if self._failed_at is None:
                return
            left = self._next_probe - self._clock()
            if self._is_probing or left > 0:
                raise StoreUnavailableError(
                    f"Redis failed {self._next_probe - left - self._failed_at:.1f} s ago and is left alone for "
                    f"{max(left, 0):.1f} s more; the cache comes back by itself when Redis does"
                )
            self._is_probing = True

    def succeeded(self, epoch: int) -> None:
        if self._failed_at is None:
            return
        with self._lock:
            if epoch != self._epoch or self._failed_at is None:
                return
            after_s = self._clock() - self._failed_at
            self._failed_at, self._delay_s, self._is_probing = None, 0.0, False
        self._on_event(CacheRecovered(after_s))

    def failed(self, epoch: int) -> None:
        with self._lock:
            if epoch != self._epoch:
                return
            now = self._clock()
            self._delay_s = min(self._delay_s * 2 or self._retry_after_s, self._max_retry_after_s)
            self._next_probe = now + self._delay_s
            self._failed_at = now if self._failed_at is None else self._failed_at
            self._epoch += 1
            self._is_probing = False

    def abandoned(self, epoch: int) -> None:
        """The call was cancelled: nothing is known, and if it was the probe, the next call may be one."""
        with self._lock:
            if epoch == self._epoch:
                self._is_probing = False

    def __repr__(self) -> str:
        if self._failed_at is None:
            return "<RedisCircuitBreaker closed>"
        return f"<RedisCircuitBreaker open, next probe in {self._next_probe - self._clock():.1f} s>"


class Attempt:
    """One call that the breaker let through, as a context manager.

    Leaving it without an error is a success, leaving it with StoreUnavailableError a failure.
    """

    __slots__ = ("_breaker", "_epoch")

    def __init__(self, breaker: RedisCircuitBreaker, epoch: int) -> None:
        self._breaker = breaker
        self._epoch = epoch

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StoreUnavailableError):
            self._breaker.failed(self._epoch)
        elif error is None or isinstance(error, Exception):  # any other answer, even an error, is an answer
            self._breaker.succeeded(self._epoch)
        else:
            self._breaker.abandoned(self._epoch)
