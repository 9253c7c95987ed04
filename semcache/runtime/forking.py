"""Renews objects in a forked child, where the parent's other threads are gone and locks may be left locked for ever.

Of all threads only the one that forked lives on in the child. A worker thread does not; a lock that another thread held
at that moment is never released; jobs in a queue have no caller any more; sockets are shared with the parent. So every
object that has one of these offers ``after_fork_in_child``, and registers here when it is made.
"""

import ctypes
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Lock, get_ident, local
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

T = TypeVar("T")

# Calls of a model take a fraction of a second, and loading one some seconds. One that takes longer may hang.
_LONGEST_WAIT_S = 15.0


class Renewable(Protocol):
    """Can begin anew in a forked child."""

    def after_fork_in_child(self) -> None:
        """Forget the parent's threads, jobs and connections, and replace every lock.

        Called in the only thread of the child, before anything else of the application runs there. Must neither take
        an old lock nor write into an inherited socket, and must not raise: the objects after it would stay as they are.
        """
        ...


_renewables: WeakSet[Renewable] = WeakSet()
_thread = local()


def renew_in_child(renewable: Renewable) -> None:
    """Call ``after_fork_in_child`` of this object in every child that this process forks, as long as it lives."""
    _renewables.add(renewable)


def is_forked_thread() -> bool:
    """Whether this is the thread of a forked child that was a thread of its parent already."""
    return getattr(_thread, "is_forked", False)


class _Calls:
    """The calls that a fork must not cut in two."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Without calls, and without forks that wait for them."""
        self._changed = Condition()
        self._inside: Counter[int] = Counter()
        """Number of calls by thread; a call may lead to another one."""
        self._forks = 0

    def enter(self) -> None:
        with self._changed:
            # A thread that is inside already must go on, or the fork would wait for it and it for the fork.
            self._changed.wait_for(lambda: not self._forks or get_ident() in self._inside, _LONGEST_WAIT_S)
            self._inside[get_ident()] += 1

    def leave(self) -> None:
        with self._changed:
            self._inside[get_ident()] -= 1
            if self._inside[get_ident()] <= 0:  # below, if this call itself has forked, and this is the child
                del self._inside[get_ident()]
            self._changed.notify_all()

    def before_fork(self) -> None:
        with self._changed:
            self._forks += 1
            # Not for this thread's own call, which forks itself.
            self._changed.wait_for(lambda: not self._inside.keys() - {get_ident()}, _LONGEST_WAIT_S)

    def after_fork(self) -> None:
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()


_calls = _Calls()


@contextmanager
def forks_wait() -> Iterator[None]:
    """A fork waits for the end of the block, and a block that begins meanwhile for the fork; neither for ever.

    For what does not survive being cut in two: a module that is just being imported is never complete in the child, and
    a lock that a library below Python holds in the middle of a call is never released there.
    """
    _calls.enter()
    try:
        yield
    finally:
        _calls.leave()


class ForkSafeLock:
    """A lock that is free in a forked child, in the hands of whichever thread it was at the fork; and in a copy."""

    __slots__ = ("__weakref__", "_lock")

    def __reduce__(self) -> tuple[type["ForkSafeLock"], tuple[()]]:
        return ForkSafeLock, ()

    def __init__(self) -> None:
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Be free; also used for the beginning itself."""
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Reopened(Generic[T]):
    """Something that does not survive a fork: it is opened now, and anew in a child that asks for it."""

    def __init__(self, opened: Callable[[], T]) -> None:
        self._open = opened
        self._lock = ForkSafeLock()
        self._value: T | None = opened()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave what was opened to the parent. Nothing is opened yet: many children never ask."""
        # It is not freed here, nor at the exit of this process: to end an ONNX session means to wait for its threads,
        # and some of those that are not here are waited for for ever. Its memory is the parent's until it is written.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._value))
        self._value = None

    def get(self) -> T:
        """The value that is open in this process. Raises what opening raises."""
        value = self._value
        if value is None:
            with self._lock:
                value = self._value = self._open() if self._value is None else self._value
        return value


def _renew_all() -> None:
    _thread.is_forked = True
    _calls.begin_anew()
    for renewable in list(_renewables):
        renewable.after_fork_in_child()


# Windows cannot fork, and has no such function.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_calls.before_fork, after_in_parent=_calls.after_fork, after_in_child=_renew_all)
