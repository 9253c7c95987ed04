"""Whether errors are the reranker's or the inputs': a request that was scored lately is sent again to see.

Inputs that no reranker can read, one after the other, would otherwise take it from all callers. If the check fails,
too, the reranker is down; if it is scored, the inputs are at fault.
"""

from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")


class HealthCheck(Generic[T]):
    """The health check of one breaker: wanted, under way (with a ticket), or neither. Has no lock and reads no clock.

    Errors of inputs do not count until ``excused_until``: so there is one check a second at most, however many of
    these inputs come.
    """

    __slots__ = ("_since", "_ticket", "excused_until", "is_wanted")

    def __init__(self) -> None:
        self.is_wanted: bool = False
        self.excused_until: float = -inf
        self._ticket: T | None = None
        self._since = inf

    def want(self) -> None:
        """Ask for a check, unless one is under way."""
        self.is_wanted = self._ticket is None

    def begin(self, ticket: T, now: float) -> None:
        """A check is under way."""
        self._ticket, self._since, self.is_wanted = ticket, now, False

    def end(self, ticket: T) -> bool:
        """Whether this is the ticket of the check under way, which is over then."""
        is_check = self._ticket is not None and self._ticket == ticket
        if is_check:
            self._ticket, self._since = None, inf
        return is_check

    def is_lost(self, now: float, after_s: float) -> bool:
        """Whether a check has been under way for so many seconds, so that it will hardly come back."""
        return now - self._since >= after_s

    def __repr__(self) -> str:
        state = "wanted" if self.is_wanted else "none" if self._ticket is None else "under way"
        return f"<HealthCheck {state}>"
