"""Background work gives way to foreground work, and foreground work waits only for the piece under way."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from semcache.rerankers.priority_lock import PriorityLock
from tests.forks import in_child


def test_background_work_is_refused_while_a_foreground_caller_holds_the_lock() -> None:
    lock = PriorityLock()
    with lock.foreground():
        with lock.background() as is_held:
            assert not is_held
        with lock.background() as is_held:
            assert not is_held
    with lock.background() as is_held:
        assert is_held


def test_background_work_has_the_lock_alone() -> None:
    lock = PriorityLock()
    with lock.background() as is_held:
        assert is_held
        with lock.background() as is_held_again:
            assert not is_held_again
        # The refused caller has not released the lock of the first.
        with lock.background() as is_held_again:
            assert not is_held_again


def test_foreground_callers_share_the_lock() -> None:
    lock = PriorityLock()
    with lock.foreground(), lock.foreground(), lock.background() as is_held:
        assert not is_held


def test_a_foreground_caller_waits_for_the_background_work_that_holds_the_lock() -> None:
    lock, started, order = PriorityLock(), Event(), []

    def caller() -> None:
        started.set()
        with lock.foreground():
            order.append("foreground")

    with ThreadPoolExecutor(1) as threads:
        with lock.background():
            future = threads.submit(caller)
            assert started.wait(10)
            assert not order
            order.append("background")
        future.result(10)
    assert order == ["background", "foreground"]


@pytest.mark.parametrize("side", ["foreground", "background"])
def test_an_error_releases_the_lock(side: str) -> None:
    lock = PriorityLock()
    with pytest.raises(ValueError, match="failed"), getattr(lock, side)():
        raise ValueError("failed")
    with lock.background() as is_held:
        assert is_held


def test_in_a_forked_child_no_thread_of_the_parent_holds_it() -> None:
    lock = PriorityLock()

    def both() -> tuple[bool, bool]:
        with lock.background() as is_held:
            in_background = is_held
        with lock.foreground():
            return in_background, True

    with lock.foreground():
        assert in_child(both) == (True, True)
    with lock.background():
        assert in_child(both) == (True, True)
