"""When the breaker admits calls to Redis, and when it refuses them."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from semcache.errors import StoreError, StoreUnavailableError
from semcache.events import CacheRecovered
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from tests.forks import in_child


class BreakerInTime:
    """A breaker on a clock that the test moves, and the events that it sent."""

    def __init__(self) -> None:
        self.now = 100.0
        self.events: list[Any] = []
        self.breaker = RedisCircuitBreaker(1.0, 30.0, clock=lambda: self.now, on_event=self.events.append)

    def fail(self) -> None:
        with pytest.raises(StoreUnavailableError, match="frozen"), self.breaker.admit():
            raise StoreUnavailableError("frozen")

    def is_refused(self) -> bool:
        try:
            with self.breaker.admit():
                return False
        except StoreUnavailableError:
            return True


@pytest.fixture
def timed() -> BreakerInTime:
    return BreakerInTime()


def test_all_calls_are_admitted_while_redis_answers(timed: BreakerInTime) -> None:
    assert not any(timed.is_refused() for _ in range(3))
    assert timed.events == []


def test_after_a_failure_calls_are_refused_until_the_time_is_over(timed: BreakerInTime) -> None:
    timed.fail()
    timed.now += 0.99
    assert timed.is_refused()
    timed.now += 0.01
    assert not timed.is_refused()
    assert timed.events == [CacheRecovered(pytest.approx(1.0))]


def test_the_refusal_says_since_when_and_for_how_long(timed: BreakerInTime) -> None:
    timed.fail()
    timed.now += 0.4
    with pytest.raises(
        StoreUnavailableError, match=r"breaker is open: Redis failed 0\.4 s ago and is left alone for 0\.6 s more"
    ):
        timed.breaker.admit()


def test_the_time_doubles_up_to_its_limit(timed: BreakerInTime) -> None:
    for delay in (1, 2, 4, 8, 16, 30, 30):
        timed.fail()
        timed.now += delay - 0.01
        assert timed.is_refused()
        timed.now += 0.01
    assert not timed.is_refused()
    timed.fail()
    timed.now += 1  # after a recovery it begins anew
    assert not timed.is_refused()


def test_the_event_tells_how_long_it_was_gone(timed: BreakerInTime) -> None:
    timed.fail()
    timed.now += 1
    timed.fail()
    timed.now += 2
    timed.is_refused()
    assert timed.events == [CacheRecovered(pytest.approx(3.0))]


def test_one_probe_at_a_time(timed: BreakerInTime) -> None:
    timed.fail()
    timed.now += 1
    with timed.breaker.admit():
        assert timed.is_refused()
    assert not timed.is_refused()


def test_calls_that_began_before_the_failure_count_once(timed: BreakerInTime) -> None:
    admitted = [timed.breaker.admit() for _ in range(4)]
    for call in admitted:
        with pytest.raises(StoreUnavailableError), call:
            raise StoreUnavailableError("frozen")
    timed.now += 1
    assert not timed.is_refused()


def test_a_success_from_before_the_failure_does_not_close_it(timed: BreakerInTime) -> None:
    with timed.breaker.admit():
        timed.fail()
    assert timed.is_refused()


@pytest.mark.parametrize("error", [StoreError("wrong kind"), ValueError("ours")])
def test_an_answer_that_is_an_error_is_an_answer(timed: BreakerInTime, error: Exception) -> None:
    timed.fail()
    timed.now += 1
    with pytest.raises(type(error)), timed.breaker.admit():
        raise error
    assert not timed.is_refused()
    assert len(timed.events) == 1


@pytest.mark.parametrize("interruption", [asyncio.CancelledError, KeyboardInterrupt])
def test_a_cancelled_probe_lets_the_next_one_through(timed: BreakerInTime, interruption: type[BaseException]) -> None:
    timed.fail()
    timed.now += 1
    with pytest.raises(interruption), timed.breaker.admit():
        raise interruption
    assert timed.events == []
    assert not timed.is_refused()


def test_of_many_threads_one_probes(timed: BreakerInTime) -> None:
    timed.fail()
    timed.now += 1
    admitted: list[object] = []
    together = threading.Barrier(16)

    def call() -> None:
        together.wait()
        with contextlib.suppress(StoreUnavailableError):
            admitted.append(timed.breaker.admit())

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1


def test_its_repr_tells_its_state(timed: BreakerInTime) -> None:
    assert repr(timed.breaker) == "<RedisCircuitBreaker closed>"
    timed.fail()
    assert repr(timed.breaker) == "<RedisCircuitBreaker open, next probe in 1.0 s>"


def test_a_forked_child_probes_for_itself_also_when_the_parent_is_just_probing(timed: BreakerInTime) -> None:
    timed.fail()
    timed.now += 1
    with timed.breaker.admit():
        assert timed.is_refused()
        assert not in_child(timed.is_refused)
