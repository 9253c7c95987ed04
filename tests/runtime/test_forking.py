"""What is left locked, open or under way in a parent is as new in its forked child."""

import os
from collections.abc import Callable
from threading import Event, Thread

import pytest

from semcache.runtime.forking import ForkSafeLock, Reopened, forks_wait, is_forked_thread, renew_in_child
from semcache.runtime.threads import in_fresh_thread
from tests.forks import PATIENCE_S, in_child


class Counted:
    def __init__(self) -> None:
        self.forks = 0
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        self.forks += 1


def test_each_child_renews_what_lives_and_the_parent_renews_nothing() -> None:
    counted = Counted()
    assert in_child(lambda: (counted.forks, in_child(lambda: counted.forks))) == (1, 2)
    assert counted.forks == 0


def test_a_lock_that_another_thread_holds_is_free_in_the_child() -> None:
    lock, held, done = ForkSafeLock(), Event(), Event()

    def hold() -> None:
        with lock:
            held.set()
            done.wait(PATIENCE_S)

    holder = Thread(target=hold)
    holder.start()
    held.wait(PATIENCE_S)

    def take() -> str:
        with lock:
            return "taken"

    assert in_child(take) == "taken"
    done.set()
    holder.join()


def test_what_was_opened_is_opened_anew_in_the_child_once_and_not_before_it_is_asked_for() -> None:
    opened: list[int] = []

    def open_() -> int:
        opened.append(os.getpid())
        return os.getpid()

    value = Reopened(open_)
    in_the_child = in_child(lambda: (len(opened), value.get() == os.getpid(), value.get() == value.get(), len(opened)))
    assert in_the_child == (1, True, True, 2)
    assert value.get() == os.getpid()
    assert len(opened) == 1


def test_an_error_while_opening_is_raised_and_the_next_call_tries_again() -> None:
    outcomes: list[Callable[[], str]] = [lambda: "parent's", _fail, lambda: "child's"]

    def open_() -> str:
        return outcomes.pop(0)()

    value = Reopened(open_)

    def ask() -> str:
        with pytest.raises(OSError, match="no file"):
            value.get()
        return value.get()

    assert in_child(ask) == "child's"


def _fail() -> str:
    raise OSError("no file")


def test_only_the_thread_that_forked_makes_its_calls_in_another_one() -> None:
    def threads() -> tuple[bool, bool, list[bool]]:
        of_others: list[bool] = []
        other = Thread(target=lambda: of_others.append(in_fresh_thread(is_forked_thread)))
        other.start()
        other.join()
        return is_forked_thread(), in_fresh_thread(is_forked_thread), of_others

    assert threads() == (False, False, [False])
    assert in_child(threads) == (True, False, [False])


def test_a_fork_waits_for_calls_of_other_threads_and_later_calls_for_the_fork() -> None:
    order: list[str] = []
    inside, forking, may_end = Event(), Event(), Event()

    def call(name: str) -> None:
        with forks_wait():
            inside.set()
            order.append(f"{name} begins")
            may_end.wait(PATIENCE_S)
            order.append(f"{name} ends")

    def fork() -> None:
        forking.set()
        in_child(lambda: None)
        order.append("forked")

    threads = [Thread(target=call, args=("first",)), Thread(target=fork)]
    threads[0].start()
    inside.wait(PATIENCE_S)
    threads[1].start()
    forking.wait(PATIENCE_S)
    threads[1].join(0.05)  # it must not be over
    assert order == ["first begins"]
    may_end.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    call("second")
    assert [event for event in order if not event.startswith("second")] == ["first begins", "first ends", "forked"]


def test_a_call_may_lead_to_another_one_and_may_fork_itself() -> None:
    def nested() -> str:
        with forks_wait(), forks_wait():
            return in_child(lambda: "from a call")

    assert nested() == "from a call"
    assert in_child(nested) == "from a call"
