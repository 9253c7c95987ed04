"""Lets spare work have a thing for itself, in pieces, whenever nobody else has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class PriorityLock:
    """Guests come and go together, and wait only for the piece of spare work that is under way."""

    def __init__(self) -> None:
        self._change = Condition()
        self._guests = 0
        self._is_spare = False

    @contextmanager
    def foreground(self) -> Iterator[None]:
        """Take part, after the piece of spare work that is under way."""
        with self._change:
            self._change.wait_for(lambda: not self._is_spare)
            self._guests += 1
        try:
            yield
        finally:
            with self._change:
                self._guests -= 1

    @contextmanager
    def background(self) -> Iterator[bool]:
        """Whether a piece of spare work may be done now; it is alone then."""
        with self._change:
            is_free = not self._guests and not self._is_spare
            self._is_spare = self._is_spare or is_free
        try:
            yield is_free
        finally:
            if is_free:
                with self._change:
                    self._is_spare = False
                    self._change.notify_all()
