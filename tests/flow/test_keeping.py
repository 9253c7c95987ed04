"""Leases that this process holds: renewed while they are computed, ended when they are given up."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from threading import Semaphore
from time import monotonic

import pytest

from semcache.errors import StoreLeftAloneError, StoreUnavailableError
from semcache.events import CacheFailed, Event
from semcache.flow.keeping import LeaseKeeper, LeaseWrites
from semcache.flow.steps import Lease
from tests.forks import in_child
from tests.scripted import PATIENCE_S


def lease(name: str = "n", *, life_s: float = 0.003, longest_s: float = 60.0) -> Lease:
    return Lease("", "how far is the moon", name, b"token", life_s, longest_s, is_ours=True)


class Written:
    """The writes of a keeper; a call waits for the test where that holds it up."""

    def __init__(self) -> None:
        self.renewed: list[Lease] = []
        self.ended: list[list[str]] = []
        self.events: list[Event] = []
        self.error: Exception | None = None
        self.calls = Semaphore(0)
        self.permits: Semaphore | None = None
        self.writes = LeaseWrites(self._renew, self._end, self.events.append)

    def _renew(self, leases: Sequence[Lease]) -> None:
        self.renewed += leases
        self._called()

    def _end(self, leases: Sequence[Lease]) -> None:
        self.ended.append([lease.name for lease in leases])
        self._called()

    def _called(self) -> None:
        self.calls.release()
        assert self.permits is None or self.permits.acquire(timeout=PATIENCE_S)
        if self.error is not None:
            raise self.error

    def wait(self, calls: int = 1) -> None:
        for _ in range(calls):
            assert self.calls.acquire(timeout=PATIENCE_S), "nothing was written"


@pytest.fixture
def keeper() -> Iterator[LeaseKeeper]:
    keeper = LeaseKeeper()
    yield keeper
    assert keeper.drain(PATIENCE_S)


def test_one_is_renewed_again_and_again_while_it_is_computed(keeper: LeaseKeeper) -> None:
    written, long = Written(), lease()
    with keeper.computing(long, written.writes):
        written.wait(calls=4)
    assert set(written.renewed) == {long}
    # Others are renewed from now on, and this one is not.
    so_far = written.renewed.count(long)
    with keeper.computing(lease("another"), written.writes):
        written.wait(calls=4)
    # One renewal may have begun before the block ended.
    assert written.renewed.count(long) <= so_far + 1
    assert written.ended == []


def test_no_longer_than_it_may_be(keeper: LeaseKeeper) -> None:
    written, hanging = Written(), lease(longest_s=0.0)
    with keeper.computing(hanging, written.writes), keeper.computing(lease("sound"), written.writes):
        written.wait(calls=3)
    assert hanging not in written.renewed


def test_one_whose_event_loop_was_closed_is_ended(keeper: LeaseKeeper) -> None:
    async def computing() -> None:
        with keeper.computing(lease("left"), written.writes):
            inside.set()
            await asyncio.Event().wait()

    written, inside = Written(), threading.Event()
    loop = asyncio.new_event_loop()
    task = loop.create_task(computing())
    while not inside.is_set():
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    until = monotonic() + PATIENCE_S
    while ["left"] not in written.ended:
        assert monotonic() < until
        written.wait()
    task.get_coro().close()  # type: ignore[union-attr]


def test_those_given_up_are_ended_together(keeper: LeaseKeeper) -> None:
    written, other_store = Written(), Written()
    written.permits = Semaphore(0)
    keeper.give_up(lease("first"), written.writes)
    written.wait()
    for name in "abc":
        keeper.give_up(lease(name), written.writes)
    keeper.give_up(lease("d"), other_store.writes)
    written.permits.release(2)
    assert keeper.drain(PATIENCE_S)
    assert (written.ended, other_store.ended) == ([["first"], ["a", "b", "c"]], [["d"]])


def test_no_more_are_kept_than_a_short_outage_leaves(keeper: LeaseKeeper) -> None:
    written = Written()
    written.permits = Semaphore(0)
    keeper.give_up(lease("first"), written.writes)
    written.wait()
    for name in range(2000):
        keeper.give_up(lease(str(name)), written.writes)
    assert repr(keeper) == "<LeaseKeeper: 0 held, 1024 given up>"
    written.permits.release(2)


def test_at_the_end_there_is_no_thread_and_later_leases_have_another(keeper: LeaseKeeper) -> None:
    before, written = set(threading.enumerate()), Written()
    for name in "ab":
        with keeper.computing(lease(), written.writes):
            written.wait()
            # One that is held needs it still.
            keeper.end(PATIENCE_S)
            written.wait()
        keeper.give_up(lease(name), written.writes)
        keeper.end(PATIENCE_S)
        assert set(threading.enumerate()) <= before
    assert written.ended == [["a"], ["b"]]
    keeper.end(PATIENCE_S)


@pytest.mark.parametrize(
    ("error", "told"),
    [(StoreUnavailableError("Redis is gone"), 2), (StoreLeftAloneError("left alone"), 0)],
    ids=["gone", "left alone"],
)
def test_a_failure_is_an_event_and_holds_up_no_other(keeper: LeaseKeeper, error: Exception, told: int) -> None:
    failing, sound = Written(), Written()
    failing.error = error
    with keeper.computing(lease("f"), failing.writes):
        failing.wait(calls=2)
    keeper.give_up(lease("f"), failing.writes)
    keeper.give_up(lease("s"), sound.writes)
    assert keeper.drain(PATIENCE_S)
    steps = [event.step for event in failing.events if isinstance(event, CacheFailed)]
    assert set(steps) == ({"RenewLease", "EndLease"} if told else set())
    assert sound.ended == [["s"]]


def test_a_forked_child_begins_without_them(keeper: LeaseKeeper) -> None:
    written, in_parent = Written(), lease()
    with keeper.computing(in_parent, written.writes):

        def check() -> None:
            theirs, own = Written(), lease("own")
            with keeper.computing(own, theirs.writes):
                theirs.wait(calls=3)
            keeper.give_up(own, theirs.writes)
            assert keeper.drain(PATIENCE_S)
            assert (set(theirs.renewed), theirs.ended) == ({own}, [["own"]])

        in_child(check)
        written.wait()


def test_without_a_thread_they_expire(keeper: LeaseKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    written = Written()
    monkeypatch.setattr("semcache.flow.keeping.start_thread", refuse)
    with keeper.computing(lease(), written.writes):
        keeper.give_up(lease("b"), written.writes)
    assert keeper.drain(PATIENCE_S)
    monkeypatch.undo()
    keeper.give_up(lease("c"), written.writes)
    assert keeper.drain(PATIENCE_S)
    assert written.ended == [["c"]]
