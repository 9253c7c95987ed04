"""Asks a Redis that is left alone whether it answers again, in the background."""

from collections.abc import Callable
from functools import partial
from math import inf
from sys import getswitchinterval
from threading import Event
from time import monotonic, sleep
from typing import Any
from weakref import WeakMethod

from redis.exceptions import ResponseError

from semcache.causes import cause_of
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from semcache.redis.client.failures import is_denial
from semcache.redis.client.pool import exchange_on
from semcache.runtime.threads import start_thread

_TIMES = 5
"""Times that a probe asks. The quickest answer counts, since this process may be busy itself."""
_MOMENT_S = 0.0005


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
            try:
                failure = probe()
            except Exception as error:  # noqa: BLE001 - whatever it is, no answer came, and the next probe is due
                failure = cause_of(error)
            breaker.probed(failure)
        del probe


def quickest_answer_s(connection: Any, timeout_s: float, enough_s: float) -> float:
    """Seconds that a server takes to answer: the quickest of several answers, or the first within ``enough_s``.

    ``connection`` is of a ``bounded`` kind. Each answer takes ``timeout_s`` at most. Raises what redis-py raises for a
    connection, and the error that the server answered with.
    """
    quickest_s = late_s = inf
    for _ in range(_TIMES):
        late_s = min(late_s, _seconds(partial(sleep, _MOMENT_S)) - _MOMENT_S)
        connection.limit.begin(monotonic() + timeout_s, timeout_s)
        quickest_s = min(quickest_s, _seconds(partial(_ping, connection)))
        if quickest_s <= enough_s:
            return quickest_s
    # In a process with busy threads, whatever blocks waits for Python's lock afterwards: for one interval at least, of
    # 5 ms. A short sleep says how long that takes, which is no fault of the server.
    return quickest_s if late_s < getswitchinterval() else max(0.0, quickest_s - late_s)


def _seconds(call: Callable[[], None]) -> float:
    began = monotonic()
    call()
    return monotonic() - began


def _ping(connection: Any) -> None:
    (reply,) = exchange_on(connection, (("PING",),))
    # It says so if it is still loading its files. A user without the right to PING is refused, which is an answer.
    if isinstance(reply, ResponseError) and not is_denial(reply):
        raise reply
