"""Finds the scope of a reranker in use by the name that users know it by."""

from semcache.errors import ConfigurationError
from semcache.runtime.forking import ForkSafeLock


class ScopesByName:
    """The scopes of the rerankers in use. Safe to use from several threads.

    Example:
        >>> scopes = ScopesByName()
        >>> scopes.settle("scorer", "scorer", "scorer#1")
        >>> scopes.of("scorer"), scopes.of("never used")
        ('scorer#1', 'never used')
    """

    def __init__(self) -> None:
        # Guards the dictionary: several rerankers of one name may be settled at once.
        self._lock = ForkSafeLock()
        # None where several rerankers of one name have scopes of their own.
        self._scopes: dict[str, str | None] = {}

    def settle(self, name: str, before: str, scope: str) -> None:
        """Say under which scope the scores of a reranker of this name are kept, and where they were before."""
        with self._lock:
            self._scopes[name] = scope if self._scopes.get(name, scope) in (before, scope) else None

    def of(self, name: str) -> str:
        """The scope of the reranker of this name, or the name itself. Raises ConfigurationError if it is of several."""
        with self._lock:
            scope = self._scopes.get(name, name)
        if scope is None:
            raise ConfigurationError(
                f"several rerankers are called {name!r} here, and they are not the same; pass the scope of one, its "
                "cached.cache.reranker, or give them names of their own"
            )
        return scope

    def __repr__(self) -> str:
        return f"<ScopesByName of {len(self._scopes)} rerankers>"
