"""Threads that neither a hanging call nor the end of the interpreter can make a trap."""

import atexit
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Condition, Thread, current_thread
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from semcache.runtime.countdown import Countdown
from semcache.runtime.forking import is_forked_thread, renew_in_child
from semcache.runtime.futures import auntil_done, too_late, until_done

S = TypeVar("S")
T = TypeVar("T")

MOST_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""How many calls of foreign code a pool makes at once: as many as asyncio's own executor. Models keep a few cores busy,
and services are waited for."""

# How long the interpreter waits at exit for calls that are in a model: a thread killed inside torch aborts the process.
EXIT_WAIT_S = 10.0
# Long enough that steady traffic finds its threads, and short enough that a dropped pool soon leaves none.
_IDLE_S = 10.0
# Threads without a call end within a millisecond. One with a call may hang in it.
_END_S = 0.2

# Weak, so that a thread that has ended is forgotten. Read once, at exit.
_running: WeakKeyDictionary[Thread, Callable[[], object]] = WeakKeyDictionary()


def start_thread(work: Callable[[], None], name: str, stop: Callable[[], object]) -> Thread:
    """Start a thread that is told to ``stop`` when the interpreter exits, and is waited for then, but not for ever.

    ``stop`` must neither wait nor raise.
    """
    # A daemon, since the interpreter joins all other threads before it calls atexit.
    thread = Thread(target=work, name=name, daemon=True)
    _running[thread] = stop
    thread.start()
    return thread


def forget_thread(thread: Thread) -> None:
    """Do not wait for this thread when the interpreter exits: its call hangs."""
    _running.pop(thread, None)


@atexit.register
def _stop_threads() -> None:
    threads = dict(_running)
    # All are told first: then they finish their calls at the same time.
    for stop in threads.values():
        stop()
    until = monotonic() + EXIT_WAIT_S
    for thread in threads:
        thread.join(max(0.0, until - monotonic()))


async def in_own_thread(call: Callable[[], T], name: str) -> T:
    """The result of a call in a thread that ends with it, without blocking the event loop.

    For what is rare, such as the end of things, and is to leave no idle thread behind. The thread goes on if its caller
    is cancelled.
    """
    job = _Job(call)
    Thread(target=job.run, name=name, daemon=True).start()
    await auntil_done(job.future, None)
    return job.future.result()  # type: ignore[no-any-return]


class ThreadPool:
    """At most ``most`` threads for calls that a caller may give up, such as those of a model that loads or hangs.

    Unlike those of a ThreadPoolExecutor they do not hold up the exit of the interpreter, they end when there is
    nothing to do for a while, and a call that was given up before it began is never made. A pool needs no closing, and
    works in a forked child. A thread ends after ``idle_s`` seconds without a call.

    Example:
        pool.call(partial(embedder.embed, ["a query"]), "the embedder", timeout_s=0.5)
    """

    def __init__(self, most: int, name: str, idle_s: float = _IDLE_S) -> None:
        self._most = most
        self._idle_s = idle_s
        self._name = name
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Begin without threads and calls; also used for the beginning itself."""
        # Guards everything below. Idle threads sleep on it.
        self._changed = Condition()
        self._waiting: deque[_Job] = deque()
        # Those that ``end`` has let go are not among them.
        self._threads: set[Thread] = set()
        self._idle = 0
        self._is_stopped = False

    @property
    def most(self) -> int:
        """How many threads it has at most."""
        return self._most

    def call(self, call: Callable[[], T], subject: str, timeout_s: float | None = None) -> T:
        """The result of the call, or what it raised.

        Raises DeadlineExceededError, which names the subject, after ``timeout_s`` seconds. A call that has begun goes
        on then, and its result is dropped.
        """
        job = self._submit(call, subject, timeout_s)
        try:
            until_done(job.future, timeout_s)
        except BaseException:  # KeyboardInterrupt, for one
            self._withdraw(job)
            raise
        return self._result(job, subject, timeout_s)  # type: ignore[no-any-return]

    async def acall(self, call: Callable[[], T], subject: str, timeout_s: float | None = None) -> T:
        """``call`` without blocking the event loop."""
        job = self._submit(call, subject, timeout_s)
        try:
            await auntil_done(job.future, timeout_s)
        except BaseException:  # CancelledError, for one
            self._withdraw(job)
            raise
        return self._result(job, subject, timeout_s)  # type: ignore[no-any-return]

    def each(self, function: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """The function's result for every item, in their order; this thread and those of the pool call it at once.

        Raises what the function raised first, when all calls that had begun have ended; no further ones are made then.
        """
        results: dict[int, T] = {}
        # Shared by the threads: each step of this iterator is one that other threads cannot interrupt.
        left = iter(enumerate(items))

        def work() -> None:
            try:
                for at, item in left:
                    results[at] = function(item)
            except BaseException:  # also an interrupt of the calling thread: no further call may begin
                deque(left, maxlen=0)  # takes what is left, so that no thread begins with it
                raise

        helping: list[_Job] = []
        try:
            with suppress(RuntimeError):  # the system gives no more threads; those that are there do it
                while len(helping) < min(self._most, len(items) - 1):
                    helping.append(self._submit(work, self._name, None))
            work()
        finally:
            # Threads of the pool that are busy with other items have nothing left to help with here.
            begun = [job for job in helping if not self._withdraw(job)]
            for job in begun:
                until_done(job.future, None)
        for job in begun:
            job.future.result()
        return [results[at] for at in range(len(items))]

    def end(self) -> None:
        """End the threads: at once those without a call, the others when their call is over. Later calls get others.

        Waits for that for a moment only, since a call may hang.
        """
        with self._changed:
            ending, self._threads, self._idle = self._threads, set(), 0
            self._changed.notify_all()
        countdown = Countdown(_END_S)
        for thread in ending - {current_thread()}:
            thread.join(countdown.left_s(_END_S))

    def __repr__(self) -> str:
        threads = f"{len(self._threads)} of {self._most} threads"
        return f"<ThreadPool {self._name}: {threads}, {len(self._waiting)} calls waiting>"

    def _submit(self, call: Callable[[], Any], subject: str, timeout_s: float | None) -> "_Job":
        if timeout_s is not None and timeout_s <= 0:
            raise too_late(subject, timeout_s)
        job = _Job(call)
        with self._changed:
            self._waiting.append(job)
            if len(self._waiting) <= self._idle:
                self._changed.notify()
            elif len(self._threads) < self._most:
                try:
                    self._threads.add(start_thread(self._work, self._name, self._stop))
                except RuntimeError:  # the system gives no more threads, or the interpreter exits
                    self._waiting.remove(job)
                    raise
        return job

    def _withdraw(self, job: "_Job") -> bool:
        """Take a call back that has not begun; False if it has."""
        with self._changed:
            is_waiting = job in self._waiting
            if is_waiting:
                self._waiting.remove(job)
            return is_waiting

    def _result(self, job: "_Job", subject: str, timeout_s: float | None) -> Any:
        if not job.future.done():
            self._withdraw(job)
            raise too_late(subject, timeout_s)
        return job.future.result()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            # Otherwise the last call, with all that it refers to, would be kept until the next one comes.
            del job

    def _next(self) -> "_Job | None":
        thread = current_thread()
        with self._changed:
            if thread in self._threads:
                self._idle += 1
                self._changed.wait_for(
                    lambda: self._waiting or self._is_stopped or thread not in self._threads, self._idle_s
                )
            if thread in self._threads:
                self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._threads.discard(thread)
            return None

    def _stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()


class _Job:
    """A call and the future of its result."""

    __slots__ = ("_call", "future")

    def __init__(self, call: Callable[[], Any]) -> None:
        # In a copy of the caller's context, so that what counts there counts here: the budget of its request, and
        # whatever the application keeps, such as a trace.
        self._call: Callable[[], Any] = partial(copy_context().run, call)
        self.future: Future[Any] = Future()

    def run(self) -> None:
        try:
            result = self._call()
        except BaseException as error:  # noqa: BLE001 - also SystemExit: it is the caller's, and must not end the thread
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


_beside_forked_thread = ThreadPool(1, "semcache-forked")


def in_fresh_thread(call: Callable[[], T]) -> T:
    """The result of a call that may use OpenMP (torch, for one), made where OpenMP works.

    Of a thread that was forked, OpenMP believes that its helper threads live on, and the next parallel loop waits for
    them for ever. In a thread that began in the child it starts new ones. Any other thread makes the call itself.
    """
    return _beside_forked_thread.call(call, "the call") if is_forked_thread() else call()
