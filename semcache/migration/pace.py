"""Keeps background work to a share of the server's time."""

import time
from collections.abc import Callable
from typing import TypeVar

from semcache.protocols import Clock

T = TypeVar("T")

_MOST_PAUSE_S = 1.0
"""One call that was slow for a reason of its own must not stop the work for long."""


class Pace:
    """Pauses after each call so that calls take at most ``share`` of the time, from 0 (not included) to 1.

    The time until the answer stands for the server's: a server that is busy answers later, and is left alone longer.
    """

    def __init__(
        self, share: float, *, clock: Clock = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._share = share
        self._clock = clock
        self._sleep = sleep

    def call(self, work: Callable[[], T]) -> T:
        """The result of ``work``, after the pause that follows from its time."""
        started = self._clock()
        result = work()
        self._sleep(min(_MOST_PAUSE_S, (self._clock() - started) * (1 / self._share - 1)))
        return result
