"""A circuit breaker for Redis: a server that hangs costs one timeout per interval, not one per call."""

import threading
from collections.abc import Callable
from types import TracebackType

from semcache.errors import StoreUnavailableError
from semcache.events import CacheRecovered
from semcache.protocols import Clock
from semcache.runtime.forking import renew_in_child


class RedisCircuitBreaker:
    """Leaves Redis alone after it failed: for ``retry_after_s`` seconds, doubling up to ``max_retry_after_s``.

    The breaker is closed until a failure. While it is open, calls are refused until the time is over. Then one call
    is admitted as a probe: its outcome closes the breaker, or keeps it open for twice as long. Outcomes of calls that
    were admitted before the latest failure are ignored, since they all met the same failure. Safe to use from several
    threads.

    Example:
        with breaker.admit():  # raises StoreUnavailableError while the breaker is open
            client.ping()
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
        # The lock guards everything below. Two of the fields are also read without it, see ``admit``. No event is
        # sent while it is held: an observer may call the cache again, in the same thread.
        self._lock = threading.Lock()
        self._epoch = 0
        """Number of failures so far. An outcome counts only in the epoch in which its call was admitted."""
        self._failed_at: float | None = None
        """When the breaker opened; None while it is closed."""
        self._failure = ""
        """What it was that opened the breaker; else refusals, the latest errors of all, would hide it."""
        self._delay_s = 0.0
        self._next_probe = 0.0
        self._is_probing = False
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Forget the parent's probe, whose outcome comes to the parent alone."""
        self._lock = threading.Lock()
        self._is_probing = False

    def admit(self) -> "AdmittedCall":
        """Let one call pass. Raises StoreUnavailableError while the breaker is open and no probe is due."""
        # The closed breaker is the path of every request, so it takes no lock. The epoch is read before ``_failed_at``:
        # if another thread's failure falls between the two reads, this call sees an open breaker; if it falls after
        # both, the call's outcome belongs to the epoch before and is ignored.
        epoch = self._epoch
        if self._failed_at is not None:
            with self._lock:
                if self._failed_at is not None:
                    left = self._next_probe - self._clock()
                    if self._is_probing or left > 0:
                        raise StoreUnavailableError(
                            f"the circuit breaker is open: Redis failed {self._next_probe - left - self._failed_at:.1f}"
                            f" s ago and is left alone for {max(left, 0):.1f} s more; the cache comes back by itself "
                            f"when Redis does. The failure: {self._failure}"
                        )
                    self._is_probing = True
                epoch = self._epoch
        return AdmittedCall(self, epoch)

    def succeeded(self, epoch: int) -> None:
        """Close the breaker, unless it has failed since that epoch."""
        if self._failed_at is None:  # nothing to close: again the path of every request
            return
        with self._lock:
            if epoch != self._epoch or self._failed_at is None:
                return
            after_s = self._clock() - self._failed_at
            self._failed_at, self._delay_s, self._is_probing = None, 0.0, False
        self._on_event(CacheRecovered(after_s))

    def failed(self, epoch: int, failure: str) -> None:
        """Open the breaker, or keep it open for twice as long, unless it has failed since that epoch."""
        with self._lock:
            if epoch != self._epoch:
                return
            now = self._clock()
            self._delay_s = min(self._delay_s * 2 or self._retry_after_s, self._max_retry_after_s)
            self._next_probe = now + self._delay_s
            self._failed_at = now if self._failed_at is None else self._failed_at
            self._epoch += 1
            self._is_probing = False
            self._failure = failure

    def abandoned(self, epoch: int) -> None:
        """The call was cancelled and says nothing about Redis. If it was the probe, the next call may be one."""
        with self._lock:
            if epoch == self._epoch:
                self._is_probing = False

    def __repr__(self) -> str:
        if self._failed_at is None:
            return "<RedisCircuitBreaker closed>"
        return f"<RedisCircuitBreaker open, next probe in {self._next_probe - self._clock():.1f} s>"


class AdmittedCall:
    """One call that the breaker let pass, as a context manager that reports its outcome to the breaker.

    Leaving the block without an error is a success, leaving it with StoreUnavailableError a failure.
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
            self._breaker.failed(self._epoch, str(error))
        elif error is None or isinstance(error, Exception):  # the server answered, if only with an error
            self._breaker.succeeded(self._epoch)
        else:
            self._breaker.abandoned(self._epoch)
