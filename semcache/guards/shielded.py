"""A guard of the caller's own, whose errors keep queries apart and fail no request."""

from semcache.protocols import Guard

_FAILED = b"\x00guard failed"
"""Stands for the cues of a query that could not be taken. No other query's scores are trusted for it, nor its own."""


class ShieldedGuard:
    """The guard inside; where it raises, or gives no bytes, two queries differ, and ``TrustRefused`` says by what.

    A guard that was changed may well raise for cues that an earlier version of it has stored.

    Example:
        >>> ShieldedGuard(mine).difference(b"what mine cannot read", mine.cues("a query"))
        'guard failed: ValueError'
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard

    def cues(self, query: str) -> bytes:
        """The cues that the guard inside takes."""
        try:
            cues: object = self.guard.cues(query)
        except Exception:  # noqa: BLE001 - code of the caller's: the comparison of these cues tells of it
            return _FAILED
        return cues if isinstance(cues, bytes) else _FAILED

    def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
        """The difference that the guard inside sees, or that it failed."""
        if _FAILED in (ours, theirs):
            return "guard failed"
        try:
            return self.guard.difference(ours, theirs, similarity)
        except Exception as error:  # noqa: BLE001 - code of the caller's: what it cannot compare is not trusted
            return f"guard failed: {type(error).__name__}"

    def __repr__(self) -> str:
        return f"<ShieldedGuard {self.guard!r}>"
