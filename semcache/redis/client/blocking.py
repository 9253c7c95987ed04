"""Calls of redis-py that may block for long, such as a cluster's search for its nodes, within the time of a request."""

from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from semcache.errors import DeadlineExceededError, StoreTooSlowError
from semcache.runtime.budget import current_budget
from semcache.runtime.threads import ThreadPool, in_own_thread

T = TypeVar("T")


class BlockingCalls:
    """Makes calls in a thread of its own, one after the other; a request waits for them no longer than it may.

    A call that takes longer goes on, so that its result is there for later requests. ``subject`` names what is waited
    for in errors.
    """

    def __init__(self, name: str, subject: str) -> None:
        self._name = name
        self._subject = subject
        self._threads = ThreadPool(1, name, idle_s=0)

    def call(self, call: Callable[[], T]) -> T:
        """The result of the call; made here where no request waits. Raises StoreTooSlowError when the time is over."""
        budget, began = current_budget(), monotonic()
        if budget is None:
            return call()
        try:
            return self._threads.call(call, self._subject, budget.left_s)
        except (DeadlineExceededError, RuntimeError):  # RuntimeError: the system gives no more threads
            raise self._too_slow() from None
        finally:
            budget.left_s -= monotonic() - began

    async def acall(self, call: Callable[[], T]) -> T:
        """``call``, without blocking the event loop."""
        budget, began = current_budget(), monotonic()
        if budget is None:
            return await in_own_thread(call, self._name)
        try:
            return await self._threads.acall(call, self._subject, budget.left_s)
        except (DeadlineExceededError, RuntimeError):
            raise self._too_slow() from None
        finally:
            budget.left_s -= monotonic() - began

    def _too_slow(self) -> StoreTooSlowError:
        return StoreTooSlowError(f"{self._subject} takes longer than the request may wait for it")
