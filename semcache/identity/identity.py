"""Which scope the scores of a reranker, or the vectors of an embedder, belong to, now and from when on."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from secrets import token_hex
from threading import Thread
from time import monotonic
from typing import Any, Protocol

from semcache.causes import cause_of
from semcache.errors import StoreUnavailableError
from semcache.events import CacheFailed, Event, IdentityChanged
from semcache.flow.drive import adrive, drive
from semcache.identity.behaviour import Behaviour
from semcache.identity.kinds import IdentifiedBy
from semcache.identity.settle import AddRecord, Ask, ReadRecords, Step, Verdict, settle
from semcache.identity.settled import SettledScopes
from semcache.identity.subjects import Subject
from semcache.protocols import Clock
from semcache.runtime.forking import ForkSafeLock
from semcache.runtime.futures import auntil_done, until_done
from semcache.runtime.threads import MOST_THREADS, ThreadPool, in_own_thread, start_thread

# Answers to requests prove that a scorer works, so a probe that fails meanwhile fails for good.
_MOST_FAILURES = 3
_RETRY_AFTER_S = 1.0

# Scorers are not asked by the thread of an attempt itself, which ends with it: a thread that has used torch frees its
# memory under a lock of MKL when it ends, and in a child that is forked just then the lock stays locked for ever. The
# threads of a pool end long after the last call.
_asking = ThreadPool(MOST_THREADS, "semcache-probe")

_REMEDY = "To share them, pass version='...' to say what it is, or probe=False to trust its name"


class Variants(Protocol):
    """The records under a name, in the order in which they came. Raises StoreError."""

    def read(self, base: str, length: int) -> list[bytes]: ...

    def add(self, base: str, record: bytes) -> list[bytes]: ...


class Identity:
    """Settles the scope of a subject and reports every change of it. ``settle.py`` has the theory of it.

    A subject of kind PROBE is settled by ``start``, before its first use; until then, and while it fails, its scope is
    private. One of kind CONTENT is settled by ``verify``, when its model has worked for the first time. A subject that
    is awaited is asked by ``averify`` on the loop that uses it, since its connections belong to one loop.

    Nothing waits longer than ``patience_s`` seconds for an answer; a later one still counts.

    ``on_moved`` is called with the scope, and whether it is private, by ``start`` and whenever it has changed.
    ``holder`` is what the user passed: ``settled`` remembers the scope for the next time that it is passed. Safe to use
    from several threads and tasks.
    """

    def __init__(
        self,
        subject: Subject,
        variants: Variants,
        *,
        on_event: Callable[[Event], None],
        on_moved: Callable[[str, bool], None],
        settled: SettledScopes | None = None,
        holder: object = None,
        # A service that does not answer must not hold up the start of an application, nor its first request.
        patience_s: float = 5.0,
        clock: Clock = monotonic,
    ) -> None:
        self._kind = subject.kind
        self._base = subject.base
        self._is_probed = self._kind is IdentifiedBy.PROBE
        self.scope: str = private_scope(self._base) if self._is_probed else self._base
        self.is_private: bool = self._is_probed
        self.is_settled: bool = self._kind in (IdentifiedBy.NAME, IdentifiedBy.CODE)
        self._subject = subject
        self._variants = variants
        self._on_event = on_event
        self._on_moved = on_moved
        self._memory = settled
        self._holder = holder
        self._patience_s = patience_s
        self._clock = clock
        # Answers that could not be compared yet, since Redis was away.
        self._answers: Behaviour | None = None
        self._failures = 0
        self._next_try = 0.0
        self._reported: set[str] = set()
        # Guards the attempt under way, and is held only while one is begun.
        self._lock = ForkSafeLock()
        self._done: Future[None] | None = None
        self._worker: Thread | asyncio.Task[None] | None = None

    def start(self) -> None:
        """Settle what must be settled before the first use."""
        found = None if self._memory is None else self._memory.find(self._holder, self._base)
        if found is not None:
            self.scope, self.is_private = found
            self.is_settled = True
        elif self.is_settled:
            self._end()
        elif self._is_probed and not self._subject.is_awaited:
            done = self._begun(self._thread)
            if done is not None:
                until_done(done, self._patience_s)
            # Nothing has shown yet that the scorer works, so that it failed now does not count.
            self._failures = 0
            if done and not done.done():
                # The thread goes on, and moves the scope when the answers come.
                self._keep_private("failed", f"gave no answer to the probes within {self._patience_s:g} s")
        self._on_moved(self.scope, self.is_private)

    def verify(self, timeout_s: float | None = None) -> None:
        """To be called when the subject has worked: what is not settled is tried again.

        Waits, at most ``timeout_s`` seconds, only where something wrong might be written into a shared scope otherwise.
        """
        if not self.is_settled:
            done = self._begun(self._thread)
            if done is not None and not self._is_probed:
                until_done(done, self._patience(timeout_s))

    async def averify(self, timeout_s: float | None = None) -> None:
        """``verify`` without blocking the event loop."""
        if not self.is_settled:
            done = self._begun(self._task if self._subject.is_awaited else self._thread)
            if done is not None and not self._is_probed:
                await auntil_done(done, self._patience(timeout_s))

    def _patience(self, timeout_s: float | None) -> float:
        return self._patience_s if timeout_s is None else max(0.0, min(timeout_s, self._patience_s))

    def _begun(self, begin: Callable[[Future[None]], Thread | asyncio.Task[None]]) -> Future[None] | None:
        """The future of the attempt under way, which is begun if it is time; None: it is not."""
        with self._lock:
            if self._done is not None and not self._done.done() and _is_alive(self._worker):
                return self._done
            if self.is_settled or self._clock() < self._next_try:
                return None
            self._next_try = self._clock() + _RETRY_AFTER_S
            self._done = Future()
            try:
                self._worker = begin(self._done)
            except RuntimeError:  # the system gives no more threads, or the interpreter exits: tried again later
                self._done.set_result(None)
            return self._done

    def _thread(self, done: Future[None]) -> Thread:
        def attempt() -> None:
            try:
                self._follow(drive(settle(self._kind, self._base, self._answers), self._perform))
            except Exception as error:  # noqa: BLE001 - whatever a scorer raises, it is reported, and requests go on
                self._failed(error)
            finally:
                done.set_result(None)

        # In the caller's context, since functions may read context variables.
        return start_thread(partial(copy_context().run, attempt), "semcache-identity", lambda: None)

    def _task(self, done: Future[None]) -> asyncio.Task[None]:
        async def attempt() -> None:
            try:
                self._follow(await adrive(settle(self._kind, self._base, self._answers), self._aperform))
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)
            finally:
                done.set_result(None)

        return asyncio.get_running_loop().create_task(attempt(), name="semcache-identity")

    def _perform(self, step: Step) -> Any:
        match step:
            case Ask():
                # In the caller's context, as above.
                return _asking.call(partial(copy_context().run, self._subject.ask), self._subject.name)
            case ReadRecords(base, length):
                return self._variants.read(base, length)
            case AddRecord(base, record):
                return self._variants.add(base, record)

    async def _aperform(self, step: Step) -> Any:
        if isinstance(step, Ask):
            return await self._subject.aask()
        # Not in the loop's own threads: requests wait for this, and the application may keep those busy.
        return await in_own_thread(partial(self._perform, step), "semcache-identity")

    def _follow(self, verdict: Verdict) -> None:
        self._answers = verdict.answers
        if verdict.scope is None:
            self._keep_private(verdict.reason or "", verdict.detail)
        else:
            # A scorer that had failed is heard of again.
            is_back = verdict.reason is None and "failed" in self._reported
            reason, detail = ("identified", "answers the probes now") if is_back else (verdict.reason, verdict.detail)
            if reason is not None:
                self._report(reason, verdict.scope, detail)
            self._move(verdict.scope, is_private=False)
        if verdict.unread is None:
            self._end()
        elif not isinstance(verdict.unread, StoreUnavailableError) and "unread" not in self._reported:
            self._reported.add("unread")
            self._on_event(CacheFailed("Identity", cause_of(verdict.unread)))

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        is_over = self._failures >= _MOST_FAILURES
        detail = f"raised {cause_of(error)} when asked about the probes"
        if self._is_probed:
            self._keep_private("failed", detail)
        elif is_over:
            self._report("failed", self.scope, detail)
        if is_over:
            self._end()

    def _keep_private(self, reason: str, detail: str) -> None:
        scope = self.scope if self.is_private else private_scope(self._base)
        self._report(reason, scope, f"{detail}; its scores are not shared with other processes. {_REMEDY}")
        self._move(scope, is_private=True)

    def _report(self, reason: str, scope: str, detail: str) -> None:
        if reason not in self._reported:
            self._reported.add(reason)
            self._on_event(IdentityChanged(self._subject.name, scope, reason, f"{self._subject.name} {detail}"))

    def _move(self, scope: str, *, is_private: bool) -> None:
        if scope != self.scope:
            self.scope, self.is_private = scope, is_private
            self._on_moved(scope, is_private)

    def _end(self) -> None:
        self.is_settled = True
        if self._memory is not None:
            self._memory.keep(self._holder, self._base, self.scope, is_private=self.is_private)

    def __repr__(self) -> str:
        return f"<Identity {self.scope}{'' if self.is_settled else ', not settled yet'}>"


def _is_alive(worker: "Thread | asyncio.Task[None] | None") -> bool:
    """Whether an attempt is still under way: a thread is dead in a forked child, and a task when its loop has ended."""
    if isinstance(worker, Thread):
        return worker.is_alive()
    return worker is not None and not worker.get_loop().is_closed()


def private_scope(base: str) -> str:
    """A scope that no other process can guess."""
    return f"{base}~private-{token_hex(8)}"


def is_private(scope: str) -> bool:
    """Whether a scope is private. Its entries need not outlive the process."""
    return "~private-" in scope
