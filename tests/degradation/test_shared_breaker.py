"""SharedBreaker: one breaker for all threads, whose observers are called outside its lock."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from semcache.batching.jobs import NEVER_RUN, Served
from semcache.degradation.breaker import Breaker, BreakerPolicy, Ticket
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import InvalidInputError, RerankServiceError
from semcache.events import Event, State
from tests.forks import in_child
from tests.scripted import PATIENCE_S, ScriptedClock


def shared(events: list[Event], **policy: float) -> SharedBreaker:
    machine = Breaker(LatencyMonitor(), BreakerPolicy(**policy))  # type: ignore[arg-type]
    return SharedBreaker(machine, ScriptedClock(), lambda: 0.0, events.append)


def admitted(breaker: SharedBreaker) -> Ticket:
    ticket = breaker.admit()
    assert ticket is not None
    return ticket


def test_an_observer_may_use_the_breaker() -> None:
    states: list[State] = []

    def look(event: Event) -> None:
        breaker.cancel(Ticket(0, 0))
        states.append(breaker.state)

    breaker = SharedBreaker(Breaker(LatencyMonitor()), ScriptedClock(), lambda: 0.0, look)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(breaker.force_open).result(PATIENCE_S)
    assert states == [State.FORCED_OPEN]


def test_errors_of_the_model_open_it_but_not_mistakes_of_callers_nor_a_rate_limit() -> None:
    events: list[Event] = []
    breaker = shared(events, errors=2)
    refusal = RerankServiceError("too many requests", status=429)
    for error in [InvalidInputError("too long")] * 5 + [refusal] * 5:
        breaker.settle(admitted(breaker), Served(error=error))
    assert not breaker.is_degraded
    for _ in range(2):
        breaker.settle(admitted(breaker), Served(error=ConnectionError("down")))
    assert breaker.is_degraded
    assert len(events) == 1


def test_a_health_check_is_the_latest_request_that_is_not_large() -> None:
    breaker = shared([], errors=1)
    large, small, later = ([("q", str(number)) for number in range(size)] for size in (100, 32, 3))
    for scored, checked in ((large, large), (small, small), (large, small), (later, later)):
        breaker.settle(admitted(breaker), Served(0.1, len(scored)), scored)
        breaker.settle(admitted(breaker), Served(error=ConnectionError("down")), [("q", "unreadable")])
        ticket, pairs = breaker.take_check() or pytest.fail()
        assert pairs == checked
        breaker.settle(ticket, Served(0.1, 1), pairs)
        breaker.reset()


def test_without_a_request_that_was_scored_there_is_no_check() -> None:
    breaker = shared([], errors=1)
    breaker.settle(admitted(breaker), Served(error=ConnectionError("down")), [("q", "a")])
    assert breaker.take_check() is None
    assert breaker.is_degraded


def test_calls_that_never_ran_are_not_recorded() -> None:
    monitor = LatencyMonitor()
    breaker = SharedBreaker(Breaker(monitor), ScriptedClock(), lambda: 0.0, lambda event: None)
    breaker.settle(admitted(breaker), NEVER_RUN)
    breaker.cancel(admitted(breaker))
    breaker.settle(admitted(breaker), Served(0.5, 3))
    assert monitor.latencies == (0.5,)


def test_a_forked_child_probes_for_itself_also_when_the_parent_is_just_probing() -> None:
    clock = ScriptedClock()
    policy = BreakerPolicy(open_s=1, max_open_s=60, errors=1, probes=1)
    breaker = SharedBreaker(Breaker(LatencyMonitor(), policy), clock, lambda: 0.0, lambda event: None)
    breaker.settle(admitted(breaker), Served(error=ConnectionError("down")))
    clock.pass_(2)
    probe = admitted(breaker)
    assert breaker.admit() is None

    def probe_in_child() -> State:
        breaker.settle(admitted(breaker), Served(0.1, 1))
        return breaker.state

    assert in_child(probe_in_child) is State.CLOSED
    assert breaker.admit() is None, "the parent still waits for its own probe"
    breaker.settle(probe, Served(0.1, 1))
    assert breaker.state is State.CLOSED
