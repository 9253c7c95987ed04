"""Remembers the scopes of rerankers that were passed before: applications wrap the same one for every request."""

from operator import itemgetter
from typing import Any, NamedTuple
from weakref import ref

from semcache.identity.code import read_function


class _Settled(NamedTuple):
    holder: ref[Any]
    state: str
    scope: str
    is_private: bool


class SettledScopes:
    """Settled scopes by object and name, as long as the object lives and its plain attributes stay as they are.

    Threads use it without a lock: each call reads or replaces one item of a dictionary, which is atomic in CPython.
    """

    def __init__(self) -> None:
        self._settled: dict[tuple[int, str], _Settled] = {}

    def find(self, holder: object, base: str) -> tuple[str, bool] | None:
        """The scope of an object under a base name, and whether it is private; None if it must be settled anew."""
        owner = _owner(holder)
        found = self._settled.get((id(owner), base))
        if found is None or found.holder() is not owner or found.state != _state(owner):
            return None
        return found.scope, found.is_private

    def keep(self, holder: object, base: str, scope: str, *, is_private: bool) -> None:
        """Remember a scope. An object that takes no weak reference is not remembered."""
        owner = _owner(holder)
        key = id(owner), base
        try:
            # Weak, and by identity: two objects that are equal need not score alike.
            holding = ref(owner, lambda _: self._settled.pop(key, None))
        except TypeError:
            return
        self._settled[key] = _Settled(holding, _state(owner), scope, is_private)

    def __len__(self) -> int:
        """How many scopes are remembered."""
        return len(self._settled)


def _owner(holder: object) -> object:
    """The object behind a bound method, which is another object each time that it is asked for."""
    owner = getattr(holder, "__self__", None)
    return holder if owner is None else owner


def _state(owner: object) -> str:
    """A digest of the plain attributes of an object: numbers, texts, and tuples of them."""
    return read_function(tuple(sorted(getattr(owner, "__dict__", {}).items(), key=itemgetter(0)))).digest
