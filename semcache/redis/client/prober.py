"""Asks a Redis that is left alone whether it answers again, in the background."""

from collections.abc import Callable
from functools import partial
from threading import Event
from weakref import WeakMethod

from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from semcache.runtime.threads import start_thread


class Prober:
    """Makes the probes that a breaker asks for, in a thread that ends when there is nothing left to find out.

    ``probe`` is a method that says what is wrong with Redis, or an empty text. Its object is not kept alive: one that
    is dropped without being closed ends the thread.
    """

    def __init__(self, probe: Callable[[], str]) -> None:
        self._probe = WeakMethod(probe)
        self._stopped = Event()

    def start(self, breaker: RedisCircuitBreaker) -> None:
        """Probe for this breaker from now on. Raises RuntimeError if no thread can be started."""
        # A new one each time: after ``stop``, and in a forked child, the old one is set or belongs to another thread.
        self._stopped = stopped = Event()
        start_thread(partial(_probe, self._probe, breaker, stopped), "semcache-redis-probe", stopped.set)

    def stop(self) -> None:
        """End the thread soon. A breaker that needs it later starts another one."""
        self._stopped.set()


def _probe(probe_of: "WeakMethod[Callable[[], str]]", breaker: RedisCircuitBreaker, stopped: Event) -> None:
    while (due_in_s := breaker.due_in_s()) is not None:
        if due_in_s > 0:
            stopped.wait(due_in_s)
        probe = probe_of()
        if probe is None or stopped.is_set():
            breaker.unwatched()
            return
        if due_in_s == 0:
            breaker.probed(probe())
        del probe
