"""Background work: one job after another, bounded, and none of the parent's in a forked child."""

import threading
from threading import Event

import pytest

from semcache.runtime.background import Background
from tests.forks import PATIENCE_S, in_child


def test_jobs_are_done_one_after_another_and_no_more_than_may_wait() -> None:
    background, go, done = Background(2, "jobs"), Event(), list[int]()
    started = Event()

    def first() -> None:
        started.set()
        go.wait(PATIENCE_S)

    assert background.submit(first)
    assert started.wait(PATIENCE_S)
    assert [background.submit(lambda number=number: done.append(number)) for number in range(3)] == [True, True, False]
    assert not background.drain(0.01)
    go.set()
    assert background.drain(PATIENCE_S)
    assert done == [0, 1]


def test_a_job_that_raises_against_the_rule_ends_its_thread_and_not_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    background, done, reported = Background(2, "raising"), list[str](), Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: reported.set())

    def fail() -> None:
        raise RuntimeError("scripted")

    background.submit(fail)
    assert background.drain(PATIENCE_S)
    assert reported.wait(PATIENCE_S)
    assert background.submit(lambda: done.append("next"))
    assert background.drain(PATIENCE_S)
    assert done == ["next"]


def test_a_job_does_not_wait_for_its_own_end() -> None:
    background, told, more = Background(2, "jobs"), list[bool](), Event()

    def job() -> None:
        more.wait(PATIENCE_S)
        told.append(background.drain())

    background.submit(job)
    background.submit(job)
    more.set()
    assert background.drain(PATIENCE_S)
    assert told == [False, True]


def test_a_closed_one_drops_what_waits() -> None:
    background, go, started = Background(2, "closed"), Event(), Event()

    def first() -> None:
        started.set()
        go.wait(PATIENCE_S)

    background.submit(first)
    started.wait(PATIENCE_S)
    background.submit(lambda: None)
    background.close(0.01)
    assert repr(background) == "<Background closed: 0 waiting>"
    assert not background.submit(lambda: None)
    go.set()


def test_a_forked_child_begins_with_none_of_the_parents_jobs() -> None:
    background, go, done = Background(2, "forked"), Event(), list[str]()
    background.submit(lambda: done.append("parent's") if go.wait(PATIENCE_S) else None)
    background.submit(lambda: done.append("waiting"))

    def work() -> tuple[bool, bool, list[str]]:
        return background.submit(lambda: done.append("child's")), background.drain(PATIENCE_S), done

    assert in_child(work) == (True, True, ["child's"])
    go.set()
    assert background.drain(PATIENCE_S)
    assert done == ["parent's", "waiting"]
