"""Work that nobody waits for: on one thread, bounded, and without a thread while there is nothing to do."""

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread


class Background:
    """Does jobs one after another. At most ``most`` wait; jobs may not raise.

    The thread is a daemon and ends with the last job, so that an object that is dropped without ``close`` leaves none.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: deque[Callable[[], None]] = deque()
        self._change = Condition()
        self._is_running = False
        self._is_closed = False

    def submit(self, job: Callable[[], None]) -> bool:
        """Whether the job will be done; not when too many wait, or after ``close``."""
        with self._change:
            if self._is_closed or len(self._jobs) >= self._most:
                return False
            self._jobs.append(job)
            if not self._is_running:
                self._is_running = True
                Thread(target=self._work, name=self._name, daemon=True).start()
        return True

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Callable[[], None] | None:
        with self._change:
            if self._jobs:
                return self._jobs.popleft()
            self._is_running = False
            self._change.notify_all()
        return None

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is done; False if it is not after ``timeout_s`` seconds."""
        with self._change:
            return self._change.wait_for(lambda: not self._is_running, timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Drop what waits, take no more, and wait at most ``timeout_s`` seconds for the job under way."""
        with self._change:
            self._is_closed = True
            self._jobs.clear()
        self.drain(timeout_s)

    def __repr__(self) -> str:
        return f"<Background {self._name}: {len(self._jobs)} waiting>"
