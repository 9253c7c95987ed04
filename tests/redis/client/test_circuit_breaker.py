"""When Redis is asked and when it is left alone."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest

from semcache.errors import StoreError, StoreUnavailableError
from semcache.events import CacheRecovered
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker


class Scripted:
    """A gate with a clock that the test moves, and the events it told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.events: list[Any] = []
        self.breaker = RedisCircuitBreaker(1.0, 30.0, clock=lambda: self.now, on_event=self.events.append)

    def fail(self) -> None:
        with pytest.raises(StoreUnavailableError, match="frozen"), self.breaker.enter():
            raise StoreUnavailableError("frozen")

    def is_refused(self) -> bool:
        try:
            with self.breaker.enter():
                return False
        except StoreUnavailableError:
            return True


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


def test_everything_passes_while_redis_answers(scripted: Scripted) -> None:
    assert not any(scripted.is_refused() for _ in range(3))
    assert scripted.events == []


def test_after_a_failure_nothing_passes_until_the_time_is_over(scripted: Scripted) -> None:
    scripted.fail()
    scripted.now += 0.99
    assert scripted.is_refused()
    scripted.now += 0.01
    assert not scripted.is_refused()
    assert scripted.events == [CacheRecovered(pytest.approx(1.0))]


def test_the_refusal_says_since_when_and_for_how_long(scripted: Scripted) -> None:
    scripted.fail()
    scripted.now += 0.4
    with pytest.raises(StoreUnavailableError, match=r"failed 0\.4 s ago and is left alone for 0\.6 s more"):
        scripted.breaker.enter()


def test_the_time_doubles_up_to_its_limit(scripted: Scripted) -> None:
    for delay in (1, 2, 4, 8, 16, 30, 30):
        scripted.fail()
        scripted.now += delay - 0.01
        assert scripted.is_refused()
        scripted.now += 0.01
    assert not scripted.is_refused()
    scripted.fail()
    scripted.now += 1  # after a recovery it begins anew
    assert not scripted.is_refused()


def test_the_event_tells_how_long_it_was_gone(scripted: Scripted) -> None:
    scripted.fail()
    scripted.now += 1
    scripted.fail()
    scripted.now += 2
    scripted.is_refused()
    assert scripted.events == [CacheRecovered(pytest.approx(3.0))]


def test_one_probe_at_a_time(scripted: Scripted) -> None:
    scripted.fail()
    scripted.now += 1
    with scripted.breaker.enter():
        assert scripted.is_refused()
    assert not scripted.is_refused()


def test_calls_that_began_before_the_failure_count_once(scripted: Scripted) -> None:
    passages = [scripted.breaker.enter() for _ in range(4)]
    for passage in passages:
        with pytest.raises(StoreUnavailableError), passage:
            raise StoreUnavailableError("frozen")
    scripted.now += 1
    assert not scripted.is_refused()


def test_a_success_from_before_the_failure_does_not_open(scripted: Scripted) -> None:
    with scripted.breaker.enter():
        scripted.fail()
    assert scripted.is_refused()


@pytest.mark.parametrize("error", [StoreError("wrong kind"), ValueError("ours")])
def test_an_answer_that_is_an_error_is_an_answer(scripted: Scripted, error: Exception) -> None:
    scripted.fail()
    scripted.now += 1
    with pytest.raises(type(error)), scripted.breaker.enter():
        raise error
    assert not scripted.is_refused()
    assert len(scripted.events) == 1


@pytest.mark.parametrize("interruption", [asyncio.CancelledError, KeyboardInterrupt])
def test_a_cancelled_probe_lets_the_next_one_through(scripted: Scripted, interruption: type[BaseException]) -> None:
    scripted.fail()
    scripted.now += 1
    with pytest.raises(interruption), scripted.breaker.enter():
        raise interruption
    assert scripted.events == []
    assert not scripted.is_refused()


def test_of_many_threads_one_probes(scripted: Scripted) -> None:
    scripted.fail()
    scripted.now += 1
    entered = []
    together = threading.Barrier(16)

    def knock() -> None:
        together.wait()
        with contextlib.suppress(StoreUnavailableError):
            entered.append(scripted.breaker.enter())

    threads = [threading.Thread(target=knock) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 1


def test_its_repr_tells_its_state(scripted: Scripted) -> None:
    assert repr(scripted.breaker) == "<RedisCircuitBreaker closed>"
    scripted.fail()
    assert repr(scripted.breaker) == "<RedisCircuitBreaker open, next probe in 1.0 s>"
