"""Breaker: its table of transitions, its times, and the invariants that no sequence of calls may break."""

import random
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from semcache.degradation.breaker import Breaker, BreakerPolicy, Ticket
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.transitions import TRANSITIONS, Signal
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.events import State
from semcache.settings import Breaker as BreakerSettings

SLOW, FAST = 3.0, 0.1


def breaker(*, window: int = 20, **policy: Any) -> Breaker:
    return Breaker(LatencyMonitor(window, 2.0, window), BreakerPolicy(**policy))


def call(machine: Breaker, latency_s: float, now: float = 0.0) -> None:
    ticket = machine.admit(now)
    assert ticket is not None
    machine.record(ticket, latency_s, now)


def opened(now: float = 0.0, **policy: Any) -> Breaker:
    machine = breaker(**policy)
    for _ in range(20):
        call(machine, SLOW, now)
    assert machine.state is State.OPEN
    return machine


def half_opened(**policy: Any) -> tuple[Breaker, Ticket]:
    machine = opened(**policy)
    ticket = machine.admit(1000.0)
    assert ticket is not None
    assert machine.state is State.HALF_OPEN
    return machine, ticket


class TestClosed:
    def test_stays_closed_while_calls_are_fast(self) -> None:
        machine = breaker()
        for _ in range(200):
            call(machine, FAST)
        assert machine.state is State.CLOSED

    def test_opens_when_p95_is_above_the_threshold(self) -> None:
        machine = breaker()
        for latency in [FAST] * 18 + [SLOW] * 2:
            assert machine.state is State.CLOSED
            call(machine, latency)
        assert machine.state is State.OPEN

    def test_errors_in_a_row_open_it(self) -> None:
        machine = breaker()
        for _ in range(5):
            assert machine.state is State.CLOSED
            machine.record_error(machine.admit(0.0) or pytest.fail(), 0.0)
        assert machine.state is State.OPEN

    def test_a_success_between_errors_starts_the_count_anew(self) -> None:
        machine = breaker()
        for _ in range(50):
            for _ in range(4):
                machine.record_error(machine.admit(0.0) or pytest.fail(), 0.0)
            call(machine, FAST)
        assert machine.state is State.CLOSED

    def test_errors_are_not_latencies(self) -> None:
        machine = breaker()
        machine.record_error(machine.admit(0.0) or pytest.fail(), 0.0)
        assert machine.monitor.samples == 0

    def test_a_cancelled_call_records_nothing(self) -> None:
        machine = breaker()
        for _ in range(100):
            machine.cancel(machine.admit(0.0) or pytest.fail())
        assert machine.state is State.CLOSED
        assert machine.monitor.samples == 0


def fail(machine: Breaker, times: int, now: float = 0.0) -> None:
    """Calls that fail, of a reranker that scored a request before."""
    for _ in range(times):
        machine.record_error(machine.admit(now) or pytest.fail(), now, can_check=True)


class TestHealthCheck:
    def test_inputs_that_no_reranker_can_read_do_not_open_it(self) -> None:
        machine = breaker()
        now = 0.0
        for _ in range(50):
            fail(machine, 5, now)
            check = machine.take_check(now)
            if check is not None:
                machine.record(check, FAST, now)
            now += 0.5
        assert machine.state is State.CLOSED

    def test_there_is_one_check_a_second_however_many_of_them_come(self) -> None:
        machine = breaker(open_s=5.0)
        checks = 0
        for step in range(500):
            fail(machine, 1, step / 100)
            check = machine.take_check(step / 100)
            if check is not None:
                checks += 1
                machine.record(check, FAST, step / 100)
        assert 4 <= checks <= 5

    def test_a_reranker_that_fails_for_all_opens_it_with_the_check(self) -> None:
        machine = breaker()
        fail(machine, 4)
        assert machine.take_check(0.0) is None
        fail(machine, 1)
        machine.record_error(machine.take_check(0.0) or pytest.fail(), 0.0, cause="ConnectionError", can_check=True)
        assert machine.state is State.OPEN
        (change,) = machine.take_changes()
        assert (change.reason, change.cause, change.errors) == ("errors", "ConnectionError", 6)

    def test_a_success_meanwhile_outweighs_a_check_that_fails(self) -> None:
        machine = breaker()
        fail(machine, 5)
        check = machine.take_check(0.0) or pytest.fail()
        call(machine, FAST)
        machine.record_error(check, 0.0, can_check=True)
        assert machine.state is State.CLOSED

    def test_one_check_at_a_time(self) -> None:
        machine = breaker()
        fail(machine, 5)
        assert machine.take_check(0.0) is not None
        fail(machine, 20)
        assert machine.take_check(0.0) is None
        assert machine.state is State.CLOSED

    def test_a_check_that_never_ran_is_asked_for_again_with_the_next_error(self) -> None:
        machine = breaker()
        fail(machine, 5)
        machine.cancel(machine.take_check(0.0) or pytest.fail())
        assert machine.take_check(0.0) is None
        fail(machine, 1)
        assert machine.take_check(0.0) is not None

    def test_a_check_that_does_not_come_back_counts_as_failed(self) -> None:
        machine = breaker(max_open_s=10.0)
        fail(machine, 5)
        assert machine.take_check(0.0) is not None
        fail(machine, 1, 9.9)
        assert machine.state is State.CLOSED
        fail(machine, 1, 10.0)
        assert machine.state is State.OPEN

    def test_disabled_there_is_no_check_since_nothing_follows_from_it(self) -> None:
        machine = breaker()
        machine.disable(0.0)
        fail(machine, 20)
        assert machine.take_check(0.0) is None

    def test_a_success_takes_the_wish_for_a_check_back(self) -> None:
        machine = breaker()
        fail(machine, 5)
        call(machine, FAST)
        assert machine.take_check(0.0) is None

    def test_half_open_the_check_takes_the_place_of_a_probe_that_failed(self) -> None:
        machine, probe = half_opened(probes=2)
        machine.record_error(probe, 1000.0, can_check=True)
        check = machine.take_check(1000.0) or pytest.fail()
        assert machine.admit(1000.0) is None
        machine.record(check, FAST, 1000.0)
        assert machine.state is State.HALF_OPEN
        call(machine, FAST, 1000.0)
        assert machine.state is State.CLOSED

    def test_half_open_a_check_that_fails_reopens_it(self) -> None:
        machine, probe = half_opened()
        machine.record_error(probe, 1000.0, can_check=True)
        machine.record_error(machine.take_check(1000.0) or pytest.fail(), 1000.0, can_check=True)
        assert machine.state is State.OPEN

    def test_half_open_another_probe_may_come_first(self) -> None:
        machine, probe = half_opened()
        machine.record_error(probe, 1000.0, can_check=True)
        assert machine.admit(1000.0) is not None
        assert machine.take_check(1000.0) is None


class TestSlowInARow:
    def healthy(self, **policy: Any) -> Breaker:
        machine = breaker(window=100, **policy)
        for _ in range(100):
            call(machine, FAST)
        return machine

    def test_three_slow_calls_in_a_row_open_it_long_before_they_are_a_twentieth_of_the_window(self) -> None:
        machine = self.healthy()
        for _ in range(3):
            assert machine.state is State.CLOSED
            call(machine, SLOW)
        (change,) = machine.take_changes()
        assert (change.new, change.reason, change.cause) == ("open", "slow in a row", "3 s for 1 pair")
        assert (change.samples, change.slow, change.errors) == (100, 3, 0)

    def test_a_fast_call_in_between_starts_the_count_anew(self) -> None:
        machine = self.healthy()
        for latency in [SLOW, SLOW, FAST, SLOW, SLOW, FAST]:
            call(machine, latency)
        assert machine.state is State.CLOSED

    def test_says_nothing_before_the_window_may_be_judged(self) -> None:
        machine = breaker(window=20)
        for _ in range(19):
            call(machine, SLOW)
        assert machine.state is State.CLOSED

    def test_no_trips_in_ten_thousand_calls_of_which_one_in_two_hundred_is_slow(self) -> None:
        rng = random.Random(12)
        machine = breaker(window=100)
        for number in range(10_000):
            call(machine, SLOW if rng.random() < 0.005 else FAST, number * 0.1)
        assert machine.take_changes() == []


class TestCallsUnderWay:
    """A call that does not end says that the model is slow before its end does."""

    def test_counts_as_slow_as_soon_as_it_has_taken_longer_than_the_threshold(self) -> None:
        machine = breaker(window=100)
        for _ in range(100):
            call(machine, FAST)
        assert not machine.record_running(since=10.0, now=12.0)
        assert machine.record_running(since=10.0, now=12.1)
        assert (machine.monitor.slow, machine.monitor.latencies[-1]) == (1, pytest.approx(2.1))

    def test_is_none_of_its_business_if_it_began_before_the_present_state(self) -> None:
        machine, probe = half_opened()
        assert not machine.record_running(since=999.0, now=1003.0)
        machine.cancel(probe)
        assert not machine.record_running(since=1000.0, now=1003.0)
        assert machine.state is State.HALF_OPEN

    def test_a_probe_that_takes_too_long_has_failed_before_its_end(self) -> None:
        machine, _ = half_opened()
        assert machine.record_running(since=1000.0, now=1003.0)
        assert machine.state is State.OPEN

    def test_is_not_recorded_while_no_call_is_admitted(self) -> None:
        forced = breaker()
        forced.force_open(0.0)
        for machine in (forced, opened()):
            before = machine.monitor.latencies
            assert not machine.record_running(since=1.0, now=100.0)
            assert machine.monitor.latencies == before

    def test_one_that_is_given_up_opens_it_at_once(self) -> None:
        machine = breaker()
        machine.record_hung(10.0, 11.0)
        (change,) = machine.take_changes()
        assert (change.new, change.reason, change.cause) == ("open", "hung", "given up after 10 s")


class TestSizes:
    """A model of 25 ms a pair: requests of 5, and now and then one of 100, which takes 2.5 s."""

    def serve(self, machine: Breaker, calls: int, per_pair_s: float = 0.025) -> None:
        for number in range(calls):
            pairs = 100 if number % 15 == 14 else 5
            ticket = machine.admit(number) or pytest.fail()
            machine.record(ticket, per_pair_s * pairs, number, pairs=pairs)

    def test_rare_large_requests_do_not_trip_it(self) -> None:
        machine = breaker(window=100)
        self.serve(machine, 10_000)
        assert machine.state is State.CLOSED
        assert machine.monitor.slow == 0

    def test_nor_do_they_hide_that_the_model_has_become_slow(self) -> None:
        machine = breaker(window=100)
        self.serve(machine, 300)
        for number in range(6):
            assert machine.state is State.CLOSED
            machine.record(machine.admit(300.0 + number) or pytest.fail(), 2.6, 300.0 + number, pairs=5)
            if machine.state is State.OPEN:
                break
        assert machine.state is State.OPEN

    def test_a_large_request_to_a_slow_model_is_slow_too(self) -> None:
        machine = breaker(window=100)
        self.serve(machine, 300)
        large = machine.admit(300.0) or pytest.fail()
        machine.record(large, 100.0, 300.0, pairs=100)
        assert machine.monitor.slow == 1


class TestOpen:
    def test_admits_no_call_until_the_open_time_is_over(self) -> None:
        machine = opened()
        assert machine.admit(4.999) is None
        assert machine.admit(5.0) is not None

    def test_after_errors_it_is_tried_again_sooner(self) -> None:
        machine = breaker()
        for _ in range(5):
            machine.record_error(machine.admit(0.0) or pytest.fail(), 0.0)
        assert machine.admit(0.9) is None
        probe = machine.admit(1.0) or pytest.fail()
        machine.record_error(probe, 1.0)
        assert machine.admit(2.9) is None
        assert machine.admit(3.0) is not None

    def test_jitter_lengthens_the_open_time_and_never_shortens_it(self) -> None:
        machine = breaker()
        for _ in range(20):
            machine.record(machine.admit(0.0) or pytest.fail(), SLOW, 0.0, jitter=0.5)
        assert machine.admit(5.499) is None
        assert machine.admit(5.5) is not None

    def test_calls_that_began_before_it_opened_are_ignored(self) -> None:
        machine = breaker()
        before = [machine.admit(0.0) or pytest.fail() for _ in range(30)]
        for ticket in before:
            machine.record(ticket, SLOW, 0.0)
        assert machine.monitor.samples == 20
        machine.admit(5.0)
        machine.record(before[0], FAST, 5.0)
        machine.record_error(before[1], 5.0)
        machine.cancel(before[2])
        assert machine.state is State.HALF_OPEN
        assert machine.admit(5.0) is None

    def test_open_time_doubles_up_to_its_maximum_and_starts_anew_after_recovery(self) -> None:
        machine = opened(max_open_s=60.0)
        now, waits = 0.0, []
        for _ in range(6):
            since = now
            while (ticket := machine.admit(now)) is None:
                now += 1.0
            waits.append(now - since)
            machine.record(ticket, SLOW, now)
        assert waits == [5, 10, 20, 40, 60, 60]
        now += 60
        for _ in range(3):
            call(machine, FAST, now)
        assert machine.state is State.CLOSED
        for _ in range(20):
            call(machine, SLOW, now)
        assert machine.admit(now + 4.9) is None
        assert machine.admit(now + 5.0) is not None

    def test_a_thousand_failed_probes_do_not_overflow(self) -> None:
        machine = opened()
        for probe in range(1, 2000):
            machine.record(machine.admit(probe * 60.0) or pytest.fail(), SLOW, probe * 60.0)
        assert machine.state is State.OPEN


class TestHalfOpen:
    def test_one_probe_at_a_time(self) -> None:
        machine, probe = half_opened()
        assert machine.admit(1000.0) is None
        machine.record(probe, FAST, 1000.0)
        assert machine.admit(1000.0) is not None
        assert machine.admit(1000.0) is None

    def test_closes_after_enough_fast_probes_with_an_empty_window(self) -> None:
        machine, probe = half_opened()
        for _ in range(3):
            assert machine.state is State.HALF_OPEN
            machine.record(probe, FAST, 1000.0)
            probe = machine.admit(1000.0) or pytest.fail()
        assert machine.state is State.CLOSED
        assert machine.monitor.samples == 0

    @pytest.mark.parametrize(("latency_s", "state"), [(1.6, State.HALF_OPEN), (1.61, State.OPEN)])
    def test_a_probe_must_be_clearly_below_the_threshold(self, latency_s: float, state: State) -> None:
        machine, probe = half_opened()
        machine.record(probe, latency_s, 1000.0)
        assert machine.state is state

    def test_a_failed_probe_reopens(self) -> None:
        machine, probe = half_opened()
        machine.record_error(probe, 1000.0)
        assert machine.state is State.OPEN

    def test_a_cancelled_probe_frees_its_place_and_counts_for_nothing(self) -> None:
        machine, probe = half_opened(probes=1)
        machine.cancel(probe)
        assert machine.state is State.HALF_OPEN
        assert machine.admit(1000.0) is not None

    def test_a_probe_counts_once(self) -> None:
        machine, probe = half_opened()
        for _ in range(5):
            machine.record(probe, FAST, 1000.0)
        assert machine.state is State.HALF_OPEN

    def test_probes_stay_out_of_the_window(self) -> None:
        machine, probe = half_opened()
        before = machine.monitor.latencies
        machine.record(probe, FAST, 1000.0)
        assert machine.monitor.latencies == before

    def test_a_probe_that_never_comes_back_has_failed(self) -> None:
        machine, probe = half_opened(max_open_s=60.0)
        assert machine.admit(1059.9) is None
        assert machine.state is State.HALF_OPEN
        assert machine.admit(1060.0) is None
        assert machine.state is State.OPEN
        machine.record(probe, FAST, 1061.0)
        assert machine.state is State.OPEN


class TestByHand:
    def test_forced_open_admits_no_call_at_any_time(self) -> None:
        machine = breaker()
        machine.force_open(0.0)
        assert machine.admit(1e9) is None
        assert machine.is_degraded

    def test_disabled_admits_and_measures_whatever_happens(self) -> None:
        machine = breaker()
        machine.disable(0.0)
        for _ in range(50):
            call(machine, SLOW)
            machine.record_error(machine.admit(0.0) or pytest.fail(), 0.0)
        assert machine.state is State.DISABLED
        assert not machine.is_degraded
        assert machine.monitor.get_p95() == SLOW

    def test_reset_starts_anew_from_any_state(self) -> None:
        for prepare in (Breaker.force_open, Breaker.disable, lambda machine, now: None):
            machine = opened()
            prepare(machine, 0.0)
            machine.reset(0.0)
            assert machine.state is State.CLOSED
            assert machine.monitor.samples == 0
            assert machine.admit(0.0) is not None


class TestChanges:
    def test_a_whole_outage_is_reported_with_reasons(self) -> None:
        machine, probe = half_opened(probes=1)
        machine.record(probe, SLOW, 1000.0)
        machine.record(machine.admit(2000.0) or pytest.fail(), FAST, 2000.0)
        reported = [(change.old, change.new, change.reason, change.p95_s) for change in machine.take_changes()]
        assert reported == [
            ("closed", "open", "slow", SLOW),
            ("open", "half-open", "open time over", SLOW),
            ("half-open", "open", "probe slow", SLOW),
            ("open", "half-open", "open time over", SLOW),
            ("half-open", "closed", "probes fast", SLOW),
        ]
        assert machine.take_changes() == []

    def test_a_reset_of_what_is_closed_is_no_change(self) -> None:
        machine = breaker()
        machine.reset(0.0)
        assert machine.take_changes() == []


class TestPerPair:
    def test_long_calls_of_many_pairs_are_not_slow(self) -> None:
        machine = Breaker(LatencyMonitor(20, 0.02), BreakerPolicy(per_pair=True))
        for _ in range(50):
            machine.record(machine.admit(0.0) or pytest.fail(), 1.5, 0.0, pairs=100)
        assert machine.state is State.CLOSED
        assert machine.monitor.get_p95() == 0.015

    def test_short_calls_of_few_pairs_can_be_slow(self) -> None:
        machine = Breaker(LatencyMonitor(20, 0.02), BreakerPolicy(per_pair=True))
        for _ in range(20):
            machine.record(machine.admit(0.0) or pytest.fail(), 0.1, 0.0, pairs=2)
        assert machine.state is State.OPEN


class TestBadInput:
    @pytest.mark.parametrize(("latency_s", "pairs"), [(-1.0, 1), (float("nan"), 1), (0.1, 0)])
    def test_measurements(self, latency_s: float, pairs: int) -> None:
        machine = breaker()
        ticket = machine.admit(0.0) or pytest.fail()
        with pytest.raises(InvalidInputError):
            machine.record(ticket, latency_s, 0.0, pairs=pairs)

    @pytest.mark.parametrize(
        "policy",
        [
            {"open_s": 0},
            {"open_s": 70},
            {"max_open_s": float("inf")},
            {"probes": 0},
            {"errors": 0},
            {"slow_in_a_row": 0},
            {"probe_factor": 0},
            {"probe_factor": 1.1},
        ],
    )
    def test_policies(self, policy: dict[str, float]) -> None:
        (name,) = policy
        with pytest.raises(ConfigurationError, match=name):
            BreakerPolicy(**policy)  # type: ignore[arg-type]


def test_defaults_are_those_of_the_settings() -> None:
    policy = asdict(BreakerPolicy())
    assert policy.pop("per_pair") is False
    assert policy == BreakerSettings().model_dump(exclude={"state"})


def test_every_signal_has_a_place_in_the_table() -> None:
    assert {signal for _, signal in TRANSITIONS} == set(Signal)


class AnySequence(RuleBasedStateMachine):
    """Calls begin, end, fail and are cancelled in any order while time passes and operators interfere."""

    tickets = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.machine = Breaker(LatencyMonitor(8, 2.0, 4), BreakerPolicy(errors=3, probes=2))
        self.now = 0.0
        self.state = State.CLOSED
        self.opened_at = self.least_open_s = 0.0
        self.generation = 0  # counted here by the changes that are reported
        self.made_in: dict[Ticket, int] = {}
        self.probe: Ticket | None = None

    def after(self) -> None:
        for change in self.machine.take_changes():
            assert change.old == self.state
            table = {(old, signal.value): new for (old, signal), new in TRANSITIONS.items()}
            assert table[(self.state, change.reason)] == change.new
            self.state = State(change.new)
            self.generation += 1
            self.probe = None
            if self.state is State.OPEN:
                self.opened_at = self.now
                has_failed = change.reason in (Signal.ERRORS.value, Signal.PROBE_FAILED.value)
                self.least_open_s = self.machine.policy.open_time_s(0, has_failed=has_failed, jitter=0.0)
        assert self.machine.state is self.state

    @rule(target=tickets, jitter=st.floats(0, 1, exclude_max=True))
    def admit(self, jitter: float) -> Ticket:
        probe, state = self.probe, self.state
        ticket = self.machine.admit(self.now, jitter)
        self.after()
        if ticket is None:
            assert self.state not in (State.CLOSED, State.DISABLED)
            assume(False)
            raise AssertionError
        assert ticket not in self.made_in
        assert self.state in (State.CLOSED, State.DISABLED, State.HALF_OPEN)
        if state is State.OPEN:
            assert self.now - self.opened_at >= self.least_open_s
        if self.state is State.HALF_OPEN:
            assert probe is None, "a second probe"
            self.probe = ticket
        self.made_in[ticket] = self.generation
        return ticket

    def settled(self, ticket: Ticket, before: tuple[State, int, tuple[float, ...]]) -> None:
        is_stale = self.made_in[ticket] != self.generation
        self.after()
        if is_stale:
            assert (self.state, self.generation, self.machine.monitor.latencies) == before
        elif ticket == self.probe:
            self.probe = None

    def seen(self) -> tuple[State, int, tuple[float, ...]]:
        return self.state, self.generation, self.machine.monitor.latencies

    @rule(ticket=consumes(tickets), latency_s=st.sampled_from([FAST, 1.6, 1.9, SLOW]), jitter=st.floats(0, 0.99))
    def record(self, ticket: Ticket, latency_s: float, jitter: float) -> None:
        before = self.seen()
        self.machine.record(ticket, latency_s, self.now, jitter=jitter)
        self.settled(ticket, before)

    @rule(ticket=consumes(tickets), can_check=st.booleans())
    def record_error(self, ticket: Ticket, can_check: bool) -> None:
        before = self.seen()
        self.machine.record_error(ticket, self.now, can_check=can_check)
        self.settled(ticket, before)

    @rule(target=tickets)
    def take_check(self) -> Ticket:
        ticket = self.machine.take_check(self.now)
        if ticket is None:
            assume(False)
            raise AssertionError
        assert ticket not in self.made_in
        assert self.state in (State.CLOSED, State.DISABLED, State.HALF_OPEN)
        if self.state is State.HALF_OPEN:
            assert self.probe is None, "a check beside a probe"
            self.probe = ticket
        self.made_in[ticket] = self.generation
        return ticket

    @rule(ticket=consumes(tickets))
    def cancel(self, ticket: Ticket) -> None:
        before = self.seen()
        self.machine.cancel(ticket)
        self.settled(ticket, before)
        assert self.seen() == before

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(switch=st.sampled_from([Breaker.force_open, Breaker.disable, Breaker.reset]))
    def by_hand(self, switch: Callable[[Breaker, float], None]) -> None:
        was = self.state
        switch(self.machine, self.now)
        self.after()
        # Reported as a change or not: older tickets are stale.
        self.generation += was is self.state
        self.probe = None

    @precondition(lambda self: self.state in (State.OPEN, State.HALF_OPEN))
    @rule()
    def never_stuck(self) -> None:
        """Left alone for long enough, with its probes lost, it still offers another probe."""
        self.now += 200.0
        first = self.machine.admit(self.now)
        self.now += 200.0
        second = self.machine.admit(self.now)
        self.after()
        ticket = first or second
        assert ticket is not None
        self.machine.force_open(self.now)
        self.after()

    @invariant()
    def degraded_is_not_closed(self) -> None:
        assert self.machine.is_degraded == (self.state in (State.OPEN, State.HALF_OPEN, State.FORCED_OPEN))


AnySequence.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestAnySequence = AnySequence.TestCase
