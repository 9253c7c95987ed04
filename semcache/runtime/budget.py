"""The time that one request may wait for its store, all calls of the request together."""

from contextvars import ContextVar, Token
from math import inf
from types import TracebackType

_current: "ContextVar[TimeBudget | None]" = ContextVar("semcache_time_budget", default=None)


class TimeBudget:
    """Seconds that are left of a request's waiting, as a context manager: what is called inside spends from it.

    ``whole_s`` is the budget of any request. A request with a deadline may have less: at most ``at_most_s``. The
    budget follows a request into its tasks and into the threads of ``ThreadPool``, since all of these run in copies of
    its context.

    Example:
        with TimeBudget(0.05):
            store.read_exact("", "how far is the moon")
    """

    __slots__ = ("_token", "left_s", "whole_s")

    def __init__(self, whole_s: float, at_most_s: float = inf) -> None:
        self.whole_s = whole_s
        # Not locked: calls of one request that end at the same time spend a little less than they took.
        self.left_s = min(whole_s, at_most_s)
        self._token: Token[TimeBudget | None] | None = None

    def __enter__(self) -> "TimeBudget":
        self._token = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _current.reset(self._token)

    def __repr__(self) -> str:
        return f"<TimeBudget {self.left_s:.3g} of {self.whole_s:g} s left>"


def current_budget() -> TimeBudget | None:
    """The budget of the request that is being answered here; None outside of requests."""
    return _current.get()
