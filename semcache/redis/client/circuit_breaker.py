"""A circuit breaker for Redis: a server that hangs or is slow costs the requests of a moment, and then none."""

import threading
from collections import deque
from collections.abc import Callable
from math import inf

from semcache.errors import StoreLeftAloneError
from semcache.events import CacheRecovered, CacheUnavailable
from semcache.protocols import Clock
from semcache.runtime.forking import renew_in_child

_SLOW_IN_A_ROW = 8
"""Slow answers in a row after which Redis is looked at: three requests, or many at once. Single slow answers are a
snapshot of the server, or a pause of this process."""
_CALM_S = 1.0
"""A probe that was answered quickly speaks for so long against slow answers: then it is this process that is busy."""
_VAIN_BESIDE = 2
"""Requests that wait in vain while a probe does so. One alone may have met a moment of the network."""
_LATE_S = 0.005
"""A thread that comes so much later than it should has waited for others: the interval at which Python switches."""
_LONGEST_IN_VAIN_S = 1.0
"""A server that is slow now and then, since others keep it busy, is looked at again as soon as that."""
_JITTER_SHARE = 0.2
"""Share of the time until a probe that is added at random. All processes meet the failure of a server at the same
moment, and would all come back at the same moment: to one that was overloaded, by what overloaded it."""
_VAIN = 5
_RELAPSE_S = 10.0
"""So many requests that waited in vain within this time are a failure, also if probes are answered; and a failure so
soon after a recovery belongs to the same trouble: the server answers probes, and cannot work."""


class RedisCircuitBreaker:
    """Leaves Redis alone after a failure, until a probe is answered.

    The breaker is closed until a failure. While it is open, calls are refused at once: no request waits for a probe.
    Probes are made in the background (``Prober``), ``retry_after_s`` seconds after the failure and after each probe
    that fails, or a little later: ``jitter`` draws a number from 0 to 1. Where Redis answers probes but soon fails
    requests again, the time doubles each time, up to ``max_retry_after_s``. Slow answers, and requests that wait in
    vain, lead to a probe, too: it may be this process that is busy, so only a probe that finds the same opens the
    breaker.

    Outcomes of calls that were admitted before the latest failure are ignored, since they all met the same failure.
    ``watch`` begins to probe for the breaker that it is given, and is called again if it raised
    RuntimeError. Safe to use from several threads.

    Example:
        epoch = breaker.admit()  # raises StoreLeftAloneError while the breaker is open
        try:
            client.ping()
        except redis.ConnectionError as error:
            breaker.failed(epoch, str(error))
    """

    def __init__(
        self,
        retry_after_s: float,
        max_retry_after_s: float,
        *,
        clock: Clock,
        on_event: Callable[[CacheUnavailable | CacheRecovered], None],
        watch: Callable[["RedisCircuitBreaker"], None],
        jitter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._retry_after_s = retry_after_s
        self._max_retry_after_s = max_retry_after_s
        self._clock = clock
        self._on_event = on_event
        self._watch = watch
        self._jitter = jitter
        # The lock guards everything below. Some of the fields are also read without it, see ``admit``. Neither is an
        # event sent nor a thread started while it is held: an observer may call the cache again, in the same thread.
        self._lock = threading.Lock()
        self._epoch = 0
        """Number of failures so far. An outcome counts only in the epoch in which its call was admitted."""
        self._failed_at: float | None = None
        """When the breaker opened; None while it is closed."""
        self._failure = ""
        """The error that opened the breaker; else refusals, the latest errors of all, would hide it."""
        self._recovered_at: float | None = None
        self._delay_s = retry_after_s
        self._next_probe = 0.0
        self.slow_in_a_row: int = 0
        """Slow answers since the latest quick one."""
        self._is_suspected = False
        """Whether a probe is to find out if Redis is slow; the breaker is closed meanwhile."""
        self._suspected_at = 0.0
        self._vain_beside = 0
        """Requests that began since then and waited in vain."""
        self._calm_until = 0.0
        self._vain: deque[float] = deque(maxlen=_VAIN)
        """When requests waited in vain."""
        self._is_watched = False
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Forget the parent's probes, whose outcome comes to the parent alone."""
        self._lock = threading.Lock()
        self._is_watched = self._is_suspected = False

    @property
    def is_open(self) -> bool:
        """Whether Redis is left alone."""
        return self._failed_at is not None

    def admit(self) -> int:
        """Let one call pass, with the epoch that its failure counts in. Raises StoreLeftAloneError while it is open."""
        # The closed breaker is the path of every request, so it takes no lock. The epoch is read before ``_failed_at``:
        # if another thread's failure falls between the two reads, this call sees an open breaker; if it falls after
        # both, the call's outcome belongs to the epoch before and is ignored.
        epoch = self._epoch
        failed_at = self._failed_at
        if failed_at is not None:
            # In a forked child, and where no thread could be started, nothing probes yet.
            if not self._is_watched:
                self._begin_to_watch()
            raise StoreLeftAloneError(
                f"the circuit breaker is open: Redis failed {self._clock() - failed_at:.1f} s ago and is left alone "
                f"until it answers a probe; the cache comes back by itself when Redis does. The failure: "
                f"{self._failure}"
            )
        return epoch

    def failed(self, epoch: int, failure: str) -> None:
        """Open the breaker, unless it has failed since that epoch."""
        with self._lock:
            if epoch != self._epoch or self._failed_at is not None:
                return
            self._open(failure)
        self._on_event(CacheUnavailable(failure))
        self._begin_to_watch()

    def took(self, too_long: bool) -> None:
        """Count an answer that a request waited for. Need not be told of quick ones after a quick one."""
        if not too_long:
            self.slow_in_a_row = 0
            return
        with self._lock:
            self.slow_in_a_row += 1
            now = self._clock()
            if self.slow_in_a_row < _SLOW_IN_A_ROW or now < self._calm_until or not self._is_trusted():
                return
            self._suspect(now)
        self._begin_to_watch()

    def waited_in_vain(self, seconds: float, late_s: float, where: str) -> None:
        """A request used up its time in one call that took ``seconds``, ``late_s`` of them longer than it should wait.

        ``where`` names the server. One that comes late is on a busy machine, where Redis may be just as late, and where
        it is better to wait for it than to do all the work that it saves: then a probe alone decides.
        """
        failure = ""
        with self._lock:
            if self._failed_at is not None:
                return
            now = self._clock()
            if late_s < _LATE_S:
                failure = self._failure_in_vain(now, seconds, where)
            if failure:
                self._open(failure, _LONGEST_IN_VAIN_S)
            elif not self._is_suspected:
                self._suspect(now)
        if failure:
            self._on_event(CacheUnavailable(failure))
        self._begin_to_watch()

    def _failure_in_vain(self, now: float, seconds: float, where: str) -> str:
        if self._is_suspected:
            # Only requests that began when the probe was on its way already.
            self._vain_beside += now - seconds >= self._suspected_at
            if self._vain_beside < _VAIN_BESIDE:
                return ""
            return f"{where} did not answer in time: requests wait in vain for {seconds:.3f} s, and so does a probe"
        self._vain.append(now)
        if len(self._vain) < _VAIN or now - self._vain[0] >= _RELAPSE_S:
            return ""
        failure = f"{where} did not answer in time: {_VAIN} requests in {now - self._vain[0]:.1f} s waited in vain"
        self._vain.clear()
        return failure

    def _is_trusted(self) -> bool:
        return self._failed_at is None and not self._is_suspected

    def due_in_s(self) -> float | None:
        """Seconds until the next probe is due; None if there is nothing to find out, and the watch ends."""
        with self._lock:
            if self._is_trusted():
                self._is_watched = False
                return None
            return max(0.0, self._next_probe - self._clock())

    def unwatched(self) -> None:
        """The watch has ended without being told so."""
        self._is_watched = False

    def probed(self, failure: str) -> None:
        """The outcome of a probe: close the breaker, or keep it open, or open it. An empty text is a good answer."""
        event: CacheUnavailable | CacheRecovered | None = None
        with self._lock:
            self._is_suspected, self.slow_in_a_row = False, 0
            if failure and self._failed_at is None:
                self._open(failure, _LONGEST_IN_VAIN_S)
                event = CacheUnavailable(failure)
            elif failure:
                self._failure = failure
                self._wait(self._clock())
            elif self._failed_at is None:
                self._calm_until = self._clock() + _CALM_S
            else:
                self._recovered_at = self._clock()
                event = CacheRecovered(self._recovered_at - self._failed_at)
                self._failed_at = None
        if event is not None:
            self._on_event(event)

    def _suspect(self, now: float) -> None:
        self._is_suspected, self._suspected_at, self._next_probe = True, now, now
        self._vain_beside = 0

    def _open(self, failure: str, longest_s: float = inf) -> None:
        now = self._clock()
        if self._recovered_at is not None and now - self._recovered_at < _RELAPSE_S:
            longest_s = min(self._max_retry_after_s, max(longest_s, self._retry_after_s))
            self._delay_s = min(self._delay_s * 2, longest_s)
        else:
            self._delay_s = self._retry_after_s
        self._wait(now)
        self._failed_at = now
        self._epoch += 1
        self._failure = failure

    def _wait(self, now: float) -> None:
        self._next_probe = now + self._delay_s * (1 + _JITTER_SHARE * self._jitter())

    def _begin_to_watch(self) -> None:
        with self._lock:
            if self._is_watched:
                return
            self._is_watched = True
        try:
            self._watch(self)
        except RuntimeError:  # the system gives no more threads; the next refused call tries again
            self._is_watched = False

    def __repr__(self) -> str:
        if self._failed_at is None:
            return "<RedisCircuitBreaker closed>"
        return f"<RedisCircuitBreaker open, next probe in {max(0.0, self._next_probe - self._clock()):.1f} s>"
