"""How much of a queue one tenant may hold: a share of it, while there are requests of others."""

from collections import Counter
from collections.abc import Iterable
from math import inf

_LATELY_S = 30.0
"""Requests of others that came so long ago still count. A tenant that sends one every few seconds is about all the
time; and half a minute after the last one the whole queue belongs to those that are left."""


def over_their_share(holding: Iterable[str | None], calls: int, share: float) -> frozenset[str | None]:
    """The tenants that hold at least that share of the calls that may run at once; ``holding`` names one for each call.

    Others that wait go before them. With one call at a time there is nothing to divide.

    Example:
        >>> over_their_share(["a", "a", "b", None, None], calls=4, share=0.5)
        frozenset({'a'})
    """
    most = max(1.0, share * calls)
    held = Counter(holding)
    return frozenset(tenant for tenant, count in held.items() if tenant is not None and count >= most)


class RecentTenants:
    """Which tenants came last: enough to know whether there are others, however many there are. Has no lock.

    Example:
        >>> recent = RecentTenants()
        >>> recent.note("a", now=0.0)
        >>> recent.note("b", now=1.0)
        >>> recent.has_others("b", now=2.0), recent.has_others("b", now=40.0)
        (True, False)
    """

    __slots__ = ("_before_at", "_latest", "_latest_at")

    def __init__(self) -> None:
        self._latest: str | None = None
        self._latest_at = -inf
        # When a request of any other tenant than the latest came last.
        self._before_at = -inf

    def note(self, tenant: str | None, now: float) -> None:
        """A request of this tenant came; None says that it was not a request of a tenant."""
        if tenant is None:
            return
        if tenant != self._latest:
            self._before_at = self._latest_at
            self._latest = tenant
        self._latest_at = now

    def has_others(self, tenant: str | None, now: float) -> bool:
        """Whether requests of other tenants came lately."""
        at = self._before_at if tenant == self._latest else self._latest_at
        return tenant is not None and now - at <= _LATELY_S

    def __repr__(self) -> str:
        return f"<RecentTenants: latest {self._latest!r}>"
