"""When the breaker admits calls to Redis, when it refuses them, and when it wants a probe."""

from typing import Any

import pytest

from semcache.errors import StoreLeftAloneError, StoreUnavailableError
from semcache.events import CacheRecovered, CacheUnavailable
from semcache.redis.client.circuit_breaker import RedisCircuitBreaker
from tests.forks import in_child

SLOW_S = 0.011


class BreakerInTime:
    """A breaker on a clock that the test moves, the events that it sent, and how often it asked to be watched."""

    def __init__(self) -> None:
        self.now = 100.0
        self.events: list[Any] = []
        self.watches = 0
        self.jitter = 0.0
        self.breaker = RedisCircuitBreaker(
            1.0,
            30.0,
            clock=lambda: self.now,
            on_event=self.events.append,
            watch=self._watch,
            jitter=lambda: self.jitter,
        )

    def _watch(self, breaker: RedisCircuitBreaker) -> None:
        self.watches += 1

    def fail(self) -> None:
        self.breaker.failed(self.breaker.admit(), "frozen")

    def wait_in_vain(self, times: int = 1, late_s: float = 0.001) -> None:
        """Requests begin now and use up their time, which is 0.05 s."""
        self.now += 0.05
        for _ in range(times):
            self.breaker.waited_in_vain(0.05, late_s, "Redis")

    def is_refused(self) -> bool:
        try:
            self.breaker.admit()
        except StoreLeftAloneError:
            return True
        return False

    def probe(self, failure: str = "") -> float:
        """Wait for the next probe, which has this outcome. Returns how long it took until it was due."""
        due_in_s = self.breaker.due_in_s()
        assert due_in_s is not None
        self.now += due_in_s
        assert self.breaker.due_in_s() == 0
        self.breaker.probed(failure)
        return due_in_s


@pytest.fixture
def timed() -> BreakerInTime:
    return BreakerInTime()


def test_processes_that_met_the_same_failure_do_not_come_back_at_once(timed: BreakerInTime) -> None:
    timed.jitter = 0.5
    timed.fail()
    assert timed.probe("still away") == pytest.approx(1.1)
    timed.jitter = 1.0
    assert timed.probe("still away") == pytest.approx(1.1), "as was drawn when the last one failed"
    assert timed.probe() == pytest.approx(1.2)
    timed.fail()
    assert timed.probe() == pytest.approx(2.4)


def test_all_calls_are_admitted_while_redis_answers(timed: BreakerInTime) -> None:
    assert not any(timed.is_refused() for _ in range(3))
    assert (timed.events, timed.watches) == ([], 0)


def test_after_a_failure_calls_are_refused_until_a_probe_is_answered_however_long(timed: BreakerInTime) -> None:
    timed.fail()
    for _ in range(50):
        assert timed.is_refused()
        assert timed.probe("still frozen") == 1.0
    assert timed.events == [CacheUnavailable("frozen")]
    timed.probe()
    assert not timed.is_refused()
    assert timed.events == [CacheUnavailable("frozen"), CacheRecovered(pytest.approx(51.0))]
    assert timed.breaker.due_in_s() is None
    assert timed.watches == 1


def test_the_refusal_says_since_when_and_why(timed: BreakerInTime) -> None:
    timed.fail()
    timed.now += 0.4
    with pytest.raises(StoreUnavailableError, match=r"breaker is open: Redis failed 0\.4 s ago .*The failure: frozen"):
        timed.breaker.admit()


def test_where_probes_are_answered_and_requests_fail_the_time_doubles_up_to_its_limit(timed: BreakerInTime) -> None:
    for delay in (1, 2, 4, 8, 16, 30, 30):
        timed.fail()
        assert timed.probe() == delay
    timed.now += 10
    timed.fail()
    assert timed.probe() == 1, "another outage"


def test_calls_that_began_before_the_failure_count_once(timed: BreakerInTime) -> None:
    admitted = [timed.breaker.admit() for _ in range(4)]
    for epoch in admitted[:3]:
        timed.breaker.failed(epoch, "frozen")
    timed.probe()
    timed.breaker.failed(admitted[3], "frozen")
    assert not timed.is_refused()
    assert len(timed.events) == 2


def test_slow_answers_in_a_row_want_a_probe_and_a_slow_probe_opens(timed: BreakerInTime) -> None:
    for _ in range(20):
        timed.breaker.took(True)
    assert not timed.is_refused()
    assert timed.watches == 1
    assert timed.probe("it takes 11 ms") == 0
    assert timed.is_refused()
    assert timed.events == [CacheUnavailable("it takes 11 ms")]


def test_a_quick_answer_among_them_begins_the_row_anew(timed: BreakerInTime) -> None:
    for _ in range(20):
        for _ in range(7):
            timed.breaker.took(True)
        timed.breaker.took(False)
    assert timed.watches == 0


def test_slow_answers_of_a_busy_process_do_not_open_it_and_want_few_probes(timed: BreakerInTime) -> None:
    probes = 0
    for _ in range(1000):
        timed.now += SLOW_S
        timed.breaker.took(True)
        if timed.breaker.due_in_s() is not None:
            timed.probe()
            probes += 1
    assert timed.events == []
    assert 5 <= probes <= 11


def test_a_request_that_waited_in_vain_wants_a_probe(timed: BreakerInTime) -> None:
    timed.wait_in_vain()
    assert not timed.is_refused()
    assert timed.probe() == 0
    assert timed.events == []
    timed.wait_in_vain()
    assert timed.probe("no reply") == 0
    assert timed.is_refused()


def test_requests_that_wait_in_vain_beside_a_probe_open_it(timed: BreakerInTime) -> None:
    timed.wait_in_vain(times=5)
    assert not timed.is_refused(), "they began before the probe did"
    timed.wait_in_vain()
    assert not timed.is_refused()
    timed.wait_in_vain()
    assert timed.is_refused()
    assert [event.error for event in timed.events] == [
        "Redis did not answer in time: requests wait in vain for 0.050 s, and so does a probe"
    ]
    timed.breaker.probed("no reply")
    assert timed.probe() == 1
    assert not timed.is_refused()


def test_on_a_machine_that_is_late_itself_a_probe_decides(timed: BreakerInTime) -> None:
    for _ in range(20):
        timed.wait_in_vain(late_s=0.01)
    assert not timed.is_refused()
    assert timed.probe("no reply") == 0
    assert timed.is_refused()


def test_a_server_that_is_slow_now_and_then_is_looked_at_soon(timed: BreakerInTime) -> None:
    for _ in range(9):
        timed.wait_in_vain()
        timed.probe("no reply")
        assert timed.probe() == 1


def test_many_requests_that_waited_in_vain_are_a_failure_although_probes_are_answered(timed: BreakerInTime) -> None:
    for _ in range(4):
        timed.wait_in_vain()
        timed.probe()
        timed.now += 1
    timed.wait_in_vain()
    assert timed.is_refused()
    assert timed.probe() == 1
    assert not timed.is_refused()


def test_a_watch_that_could_not_begin_is_asked_for_again(timed: BreakerInTime) -> None:
    def refuse(breaker: RedisCircuitBreaker) -> None:
        asked.append(breaker)
        raise RuntimeError("can't start new thread")

    asked: list[RedisCircuitBreaker] = []
    breaker = RedisCircuitBreaker(1.0, 30.0, clock=lambda: 0.0, on_event=lambda event: None, watch=refuse)
    breaker.failed(breaker.admit(), "gone")
    with pytest.raises(StoreLeftAloneError):
        breaker.admit()
    assert asked == [breaker, breaker]


def test_its_repr_tells_its_state(timed: BreakerInTime) -> None:
    assert repr(timed.breaker) == "<RedisCircuitBreaker closed>"
    timed.fail()
    assert repr(timed.breaker) == "<RedisCircuitBreaker open, next probe in 1.0 s>"


def test_a_forked_child_has_it_watched_anew(timed: BreakerInTime) -> None:
    timed.fail()
    assert timed.is_refused()
    assert timed.watches == 1
    assert in_child(lambda: (timed.is_refused(), timed.watches)) == (True, 2)
