"""The time that several waits may take together."""

from math import inf
from time import monotonic


class Countdown:
    """Begins when it is made, with ``timeout_s`` seconds; None means without an end.

    Example:
        countdown = Countdown(10.0)
        first.join(countdown.left_s(5.0))
        second.join(countdown.left_s(5.0))
    """

    __slots__ = ("_until",)

    def __init__(self, timeout_s: float | None) -> None:
        self._until = inf if timeout_s is None else monotonic() + timeout_s

    @property
    def is_over(self) -> bool:
        """Whether no time is left."""
        return monotonic() >= self._until

    def left_s(self, most_s: float) -> float:
        """Seconds that are left, at least 0 and at most ``most_s``."""
        return max(0.0, min(most_s, self._until - monotonic()))

    def __repr__(self) -> str:
        return f"<Countdown {self.left_s(inf):.3g} s left>"
