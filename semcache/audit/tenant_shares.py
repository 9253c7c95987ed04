"""Bounds how much one tenant teaches where others are there: all of them share what is learned."""

_MOST_SHARE = 0.5
"""Of all requests that were learned from lately."""
_OTHERS = 30
"""Requests of other tenants from which on the bound holds; until then one tenant may well be the only one."""
_LATELY = 2000
"""Requests after which all counts are halved, as many as the sums of the surrogate rest on."""
_MOST_TENANTS = 4096
"""Tenants counted at a time. Beyond that, the smallest counts are dropped."""


class TenantShares:
    """Counts requests by tenant, in this process. Not locked: one thread calls it.

    Example:
        >>> shares = TenantShares()
        >>> all(shares.admits("a") for _ in range(100)), all(shares.admits("b") for _ in range(30)), shares.admits("a")
        (True, True, False)
    """

    def __init__(self) -> None:
        self._counts: dict[str, float] = {}
        self._total = 0.0

    def admits(self, tenant: str) -> bool:
        """True if a request of this tenant may be learned from; it is counted then."""
        count = self._counts.get(tenant, 0.0)
        others = self._total - count
        if others >= _OTHERS and count + 1 > _MOST_SHARE * (self._total + 1):
            return False
        self._counts[tenant] = count + 1
        self._total += 1
        if self._total > _LATELY or len(self._counts) > _MOST_TENANTS:
            self._forget()
        return True

    def _forget(self) -> None:
        self._counts = {tenant: count / 2 for tenant, count in self._counts.items() if count >= 2}
        self._total = sum(self._counts.values())

    def __repr__(self) -> str:
        return f"<TenantShares of {len(self._counts)} tenants>"
