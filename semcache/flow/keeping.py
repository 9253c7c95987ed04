"""Renews the leases of requests while they are computed, and ends those that are given up, in one thread."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import inf
from secrets import token_bytes
from threading import Condition, Thread
from time import monotonic
from typing import Any

from semcache.causes import cause_of
from semcache.errors import StoreLeftAloneError
from semcache.events import CacheFailed, Event
from semcache.flow.lease import lease_of
from semcache.flow.requests import Request
from semcache.flow.steps import Lease
from semcache.runtime.countdown import Countdown
from semcache.runtime.forking import renew_in_child
from semcache.runtime.loops import running_loop
from semcache.runtime.threads import start_thread

LONGEST_S = 30.0
"""Renewals go on for so long at most, and others wait a life longer: a call that has not ended by then hangs, as far as
they can know. Calls of large models about a hundred long passages take ten seconds on two cores."""

_TOKEN_BYTES = 16
"""No two leases have the same token."""

_RENEWALS_PER_LIFE = 3
"""One that comes late, or fails, leaves time for another."""

_TOGETHER_S = 0.05
"""For so long leases that are given up are collected, to be ended in one round trip. One each would make a near hit
cost the client and the server half as much again of the processor's time, for the switches between threads."""

_MOST_GIVEN_UP = 1024
"""While Redis does not answer. Any more are left to expire."""

_IDLE_S = 1.0
"""Long enough that steady traffic finds the thread, and short enough that a dropped object soon leaves none."""


@dataclass(frozen=True, slots=True)
class LeaseWrites:
    """Ordinary calls of the store of some leases, and what is told where one fails."""

    renew: Callable[[Sequence[Lease]], Any]
    end: Callable[[Sequence[Lease]], Any]
    on_event: Callable[[Event], None]


@dataclass(slots=True)
class _Held:
    writes: LeaseWrites
    due: float
    until: float
    loop: AbstractEventLoop | None


@dataclass(slots=True)
class _Work:
    """The writes that are due at the moment."""

    renewing: list[tuple[LeaseWrites, Lease]]
    ending: list[tuple[LeaseWrites, Lease]]


class LeaseKeeper:
    """Keeps the leases that this process holds. Safe to use from several threads and event loops.

    The thread is a daemon, and ends a second after the last lease.
    """

    def __init__(self) -> None:
        self._is_stopped = False
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Begin without leases and without a thread, which are the parent's; also used for the beginning itself."""
        # The condition guards everything below. Redis is not called while it is held.
        self._changed = Condition()
        self._held: dict[Lease, _Held] = {}
        self._given_up: list[tuple[LeaseWrites, Lease]] = []
        self._ends_at = inf
        self._wakes_at = -inf
        self._renewed_every_s = _IDLE_S  # the shortest of all
        self._thread: Thread | None = None
        self._is_wanted = True
        self._is_ending = False

    @contextmanager
    def computing(self, lease: Lease, writes: LeaseWrites) -> Iterator[None]:
        """Renew a lease until the end of the block, and for ``lease.longest_s`` at most."""
        now, every_s = monotonic(), lease.life_s / _RENEWALS_PER_LIFE
        held = _Held(writes, now + every_s, now + lease.longest_s, running_loop())
        with self._changed:
            self._held[lease] = held
            self._renewed_every_s = min(self._renewed_every_s, every_s)
            self._see_to(held.due)
        try:
            yield
        finally:
            with self._changed:
                self._held.pop(lease, None)  # none in a child that was forked inside

    def give_up(self, lease: Lease, writes: LeaseWrites) -> None:
        """End a lease soon, so that no process waits for what is not computed. Does not wait."""
        with self._changed:
            if not self._given_up:
                self._ends_at = monotonic() + _TOGETHER_S
            if len(self._given_up) < _MOST_GIVEN_UP:
                self._given_up.append((writes, lease))
                self._see_to(self._ends_at)

    def drain(self, timeout_s: float | None = None) -> bool:
        """End what was given up now. Returns False if that takes longer than ``timeout_s`` seconds."""
        with self._changed:
            self._ends_at = -inf
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not (self._given_up or self._is_ending), timeout_s)

    def end(self, timeout_s: float) -> None:
        """End what was given up, and the thread unless leases are held; wait for that at most so long.

        Later ones have another thread.
        """
        countdown = Countdown(timeout_s)
        self.drain(timeout_s)
        with self._changed:
            thread = self._thread
            if thread is None:
                return
            self._is_wanted = bool(self._held)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is not thread or self._is_wanted, countdown.left_s(timeout_s))
            is_leaving = self._thread is not thread
        if is_leaving:
            thread.join(countdown.left_s(timeout_s))

    def _see_to(self, due: float) -> None:
        """Have a thread that is awake then. The condition is held."""
        self._is_wanted = True
        if self._thread is not None:
            if due < self._wakes_at:
                self._changed.notify_all()
            return
        # Set here and not by the thread itself, or a second call would start a second thread.
        try:
            self._thread = start_thread(self._work, "semcache-lease", self._stop)
        except RuntimeError:  # the system gives no more threads, or the interpreter exits; the leases expire
            self._leave()

    def _stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def _leave(self) -> None:
        self._thread, self._is_ending = None, False
        self._given_up.clear()
        self._changed.notify_all()

    def _work(self) -> None:
        while (work := self._next()) is not None:
            _write(work.renewing, "RenewLease", lambda writes: writes.renew)
            _write(work.ending, "EndLease", lambda writes: writes.end)

    def _next(self) -> _Work | None:
        """The next writes, when their time has come; None where the thread is to end."""
        with self._changed:
            self._is_ending = False
            self._changed.notify_all()
            idle_until = inf
            while not self._is_stopped:
                now = monotonic()
                work = self._due(now)
                if work.renewing or work.ending:
                    return work
                if self._held or self._given_up:
                    idle_until = inf
                elif now >= idle_until or not self._is_wanted:
                    break
                else:
                    idle_until = min(idle_until, now + _IDLE_S)
                # So soon that no lease has to wake it: most are over before they are renewed.
                soon = now + self._renewed_every_s
                dues = [held.due for held in list(self._held.values())]
                self._wakes_at = min(idle_until, self._ends_at, soon, *dues)
                self._changed.wait(self._wakes_at - now)
            self._leave()
            return None

    def _due(self, now: float) -> _Work:
        renewing, ending = [], []
        # By the keys alone, which are copied in one step: the garbage collector may end a request, and so a block of
        # ``computing``, wherever something is made.
        for lease in list(self._held):
            held = self._held.get(lease)
            if held is None or held.due > now:
                continue
            if held.loop is not None and held.loop.is_closed():
                # Its request can never go on, and may not be collected for long.
                ending.append((held.writes, lease))
                self._held.pop(lease, None)
                continue
            if now >= held.until:
                # Its computation hangs, as far as others can know: one of them takes its place.
                self._held.pop(lease, None)
                continue
            renewing.append((held.writes, lease))
            held.due = now + lease.life_s / _RENEWALS_PER_LIFE
        if now >= self._ends_at:
            ending += self._given_up
            self._given_up, self._ends_at = [], inf
        self._is_ending = bool(ending)
        return _Work(renewing, ending)

    def __repr__(self) -> str:
        return f"<LeaseKeeper: {len(self._held)} held, {len(self._given_up)} given up>"


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of one reranker's requests: they live for ``life_s``, and are renewed for ``longest_s`` at most."""

    life_s: float
    longest_s: float
    keeper: LeaseKeeper
    writes: LeaseWrites

    def new(self, request: Request) -> Lease:
        """The lease of a request, which is not claimed yet."""
        return lease_of(request, self.life_s, token_bytes(_TOKEN_BYTES), self.longest_s, self._give_up)

    def computing(self, lease: Lease) -> AbstractContextManager[None]:
        """Renews a lease during the block."""
        return self.keeper.computing(lease, self.writes)

    def _give_up(self, lease: Lease) -> None:
        self.keeper.give_up(lease, self.writes)


def _write(
    leases: Sequence[tuple[LeaseWrites, Lease]], step: str, call_of: Callable[[LeaseWrites], Callable[..., Any]]
) -> None:
    """Write to the leases of each store in one round trip; a failure is an event."""
    by_store: dict[LeaseWrites, list[Lease]] = {}
    for writes, lease in leases:
        by_store.setdefault(writes, []).append(lease)
    for writes, together in by_store.items():
        try:
            call_of(writes)(together)
        except Exception as error:  # noqa: BLE001 - the cache may fail, and this thread serves all of them
            if not isinstance(error, StoreLeftAloneError):
                writes.on_event(CacheFailed(step, cause_of(error, [lease.query for lease in together])))
