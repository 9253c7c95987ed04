"""A thread for work that no caller waits for: jobs are bounded, and without jobs there is no thread."""

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread, current_thread

from semcache.runtime.forking import renew_in_child
from semcache.runtime.threads import start_thread


class Background:
    """Does jobs one after another. At most ``most`` wait; jobs may not raise.

    The thread is a daemon and ends with the last job, so that an object that is dropped without ``close`` leaves none.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._is_closed = False
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Begin without jobs and without a thread, which are the parent's; also used for the beginning itself."""
        # The condition guards everything below, and whether this is closed. No job runs while it is held.
        self._change = Condition()
        self._jobs: deque[Callable[[], None]] = deque()
        self._is_running = False
        self._worker: Thread | None = None

    @property
    def is_closed(self) -> bool:
        """Whether no more jobs are taken, since it was closed or the interpreter exits; a long job is to end then."""
        return self._is_closed

    def submit(self, job: Callable[[], None]) -> bool:
        """Queue a job. Returns False if it will not be done, because too many wait or after ``close``."""
        with self._change:
            if self._is_closed or len(self._jobs) >= self._most:
                return False
            self._jobs.append(job)
            if not self._is_running:
                # Set here and not by the thread itself, or a second submit would start a second thread.
                self._is_running = True
                try:
                    start_thread(self._work, self._name, self._drop)
                except RuntimeError:  # the system gives no more threads, or the interpreter exits
                    self._is_running = False
                    self._jobs.clear()
                    return False
        return True

    def _work(self) -> None:
        self._worker = current_thread()
        while True:
            with self._change:
                if not self._jobs:
                    # Decided under the lock: a job that is submitted from now on starts a new thread.
                    self._is_running = False
                    self._change.notify_all()
                    return
                job = self._jobs.popleft()
            try:
                job()
            except BaseException:  # none may raise; where one does all the same, later jobs need another thread
                with self._change:
                    self._is_running = False
                    self._change.notify_all()
                raise

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything is done. Returns False if that takes longer than ``timeout_s`` seconds.

        A job that asks for that itself, as by an observer that it tells something, is told at once whether it is the
        last.
        """
        with self._change:
            if self._worker is current_thread():
                return not self._jobs
            return self._change.wait_for(lambda: not self._is_running, timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Drop the jobs that wait, take no more, and wait at most ``timeout_s`` seconds for the job under way."""
        self._drop()
        self.drain(timeout_s)

    def _drop(self) -> None:
        with self._change:
            self._is_closed = True
            self._jobs.clear()

    def __repr__(self) -> str:
        return f"<Background {self._name}: {len(self._jobs)} waiting>"
