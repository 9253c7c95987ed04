"""The time that one request may wait for its store, all calls of the request together."""

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType

_current: "ContextVar[TimeBudget | None]" = ContextVar("semcache_time_budget", default=None)


class TimeBudget:
    """Seconds that are left of a request's waiting, as a context manager: what is called inside spends from it.

    ``whole_s`` is what the request has at the beginning. The budget follows a request into its tasks and into the
    threads of ``ThreadPool``, since all of these run in copies of its context.

    Example:
        with TimeBudget(0.05):
            store.read_exact("", "how far is the moon")
    """

    __slots__ = ("_token", "left_s", "whole_s")

    _token: "Token[TimeBudget | None]"

    def __init__(self, whole_s: float) -> None:
        self.whole_s: float = whole_s
        # Not locked: calls of one request that end at the same time spend a little less than they took.
        self.left_s: float = whole_s

    @property
    def spent_s(self) -> float:
        """Seconds that were waited so far."""
        return self.whole_s - self.left_s

    def __enter__(self) -> "TimeBudget":
        self._token = begin_to_spend(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The garbage collector ends a coroutine whose loop is gone, in a context to which the token does not belong.
        with suppress(ValueError):
            end_spending(self._token)

    def __repr__(self) -> str:
        return f"<TimeBudget {self.left_s:.3g} of {self.whole_s:g} s left>"


# Functions for the path of every request, where a ``with`` would cost more than what it does.
current_budget: "Callable[[], TimeBudget | None]" = _current.get
"""The budget of the request that is being answered here; None where no request waits."""
begin_to_spend: "Callable[[TimeBudget | None], Token[TimeBudget | None]]" = _current.set
"""Let a budget count from here on, or none if it is None. Returns what ``end_spending`` needs."""
end_spending: "Callable[[Token[TimeBudget | None]], None]" = _current.reset
"""Let that count again which did before."""
