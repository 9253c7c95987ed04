"""A lock that background work may take only while no foreground work holds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from semcache.runtime.forking import renew_in_child


class PriorityLock:
    """Foreground holders share the lock; a background holder has it alone.

    A foreground caller waits at most for the background work that holds the lock now, so background work should be
    cut into short pieces. A background caller never waits: it is refused while the lock is held.

    Example:
        with lock.background() as is_held:
            if is_held:
                work()
    """

    def __init__(self) -> None:
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Be held by no thread, as the holders are threads of the parent; also used for the beginning itself."""
        # The condition's own lock guards both fields. It is held only while they change, never during the work.
        self._change = Condition()
        self._foreground_holders = 0
        self._has_background = False

    @contextmanager
    def foreground(self) -> Iterator[None]:
        """Hold the lock together with other foreground callers, after the background work that holds it now."""
        with self._change:
            self._change.wait_for(lambda: not self._has_background)
            self._foreground_holders += 1
        try:
            yield
        finally:
            # Notifying is not needed here: only foreground callers wait, and they wait for background work alone.
            with self._change:
                self._foreground_holders -= 1

    @contextmanager
    def background(self) -> Iterator[bool]:
        """Hold the lock alone and give True, or give False at once when it is held."""
        with self._change:
            is_free = not self._foreground_holders and not self._has_background
            # A refused caller must not clear the mark of the one that holds the lock.
            self._has_background = self._has_background or is_free
        try:
            yield is_free
        finally:
            if is_free:
                with self._change:
                    self._has_background = False
                    self._change.notify_all()
