"""Users: those who share a backend, each with the counters that are told of its scope, until the last one leaves."""

from typing import Protocol
from weakref import WeakKeyDictionary, ref

from semcache.events import CacheRecovered, CacheUnavailable, Event
from semcache.observers.dispatch import notify
from semcache.protocols import Observer
from semcache.runtime.forking import ForkSafeLock


class UsedScope(Protocol):
    """The reranker whose scores a user reads and writes at the moment."""

    reranker: str
    listwise: bool


class Users:
    """The users of a backend, and its owner. Both are weak: applications build rerankers per request, or caches for one
    reranker, and drop them unclosed. Safe to use from several threads.

    Example:
        >>> users.join(reranker, cache, counters)
        >>> if users.leave(reranker):
        ...     backend.close()
    """

    def __init__(self) -> None:
        # Guards the dict. No observer is called while it is held.
        self._lock = ForkSafeLock()
        self._owner: ref[object] | None = None
        self._users: WeakKeyDictionary[object, tuple[UsedScope, Observer]] = WeakKeyDictionary()
        self._outage: CacheUnavailable | None = None

    def join(self, user: object, scope: UsedScope, counters: Observer) -> None:
        """Keep the backend open for ``user``, and tell ``counters`` about events of its scope, until it leaves.

        A user that is dropped without leaving is forgotten, and its counters with it.
        """
        with self._lock:
            self._users[user] = scope, counters
        # Most pipelines are made after their cache, which has seen by then whether Redis answers.
        if self._outage is not None:
            notify([counters], self._outage)

    def leave(self, user: object) -> bool:
        """Forget a user. Returns True if it was the last and no owner is left, so that the backend may be closed.

        A cache that was made for one reranker and is held nowhere else has no owner left, and is closed with that.
        """
        with self._lock:
            self._users.pop(user, None)
            owner = None if self._owner is None else self._owner()
            return not self._users and (owner is None or owner is user)

    def belong_to(self, owner: object) -> None:
        """Keep the backend open until ``owner`` closes or leaves it, or is dropped."""
        self._owner = ref(owner)

    def disown(self) -> None:
        """Have no owner any more: the backend is closed, and closed again with its last user."""
        self._owner = None

    def only_scope(self) -> UsedScope | None:
        """The scope of the reranker that uses the backend; None without one, and where several do."""
        with self._lock:
            scopes = {(scope.reranker, scope.listwise): scope for scope, _ in self._users.values()}
        return next(iter(scopes.values())) if len(scopes) == 1 else None

    def on_connection_event(self, event: Event, /) -> None:
        """Tell the counters of every user, whose connection it is."""
        if isinstance(event, CacheUnavailable | CacheRecovered):
            self._outage = event if isinstance(event, CacheUnavailable) else None
        with self._lock:
            counters = [counters for _, counters in self._users.values()]
        notify(counters, event)

    def tell(self, reranker: str, listwise: bool, event: Event) -> None:
        """Tell the counters of the users of one scope."""
        # A store serves all rerankers of one name and cannot say which of them made it skip an expired neighbour.
        with self._lock:
            counters = [
                counters
                for used, counters in self._users.values()
                if (used.reranker, used.listwise) == (reranker, listwise)
            ]
        notify(counters, event)

    def __repr__(self) -> str:
        return f"<Users: {len(self._users)}>"
