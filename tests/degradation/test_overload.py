"""The rules of admission, patience and breaker together, under load: a simulated model on a scripted clock, no threads.

The queue, the chain and the breaker are the real ones; only the worker is simulated, so that hours pass in no time.
"""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pytest

from semcache.batching.admission import Load
from semcache.batching.jobs import Batch, Job, Served
from semcache.batching.limits import Limits
from semcache.batching.queue import BatchQueue
from semcache.degradation.breaker import Breaker, BreakerPolicy
from semcache.degradation.fallback_chain import FallbackChain
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.rung import Rung
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import DeadlineExceededError
from semcache.events import BreakerChanged, Event
from semcache.rerankers.rate_limit import RateLimit
from semcache.runtime.tenancy import current_tenant, serving
from tests.scripted import ScriptedClock

THRESHOLD_S = 2.0
Cost = Callable[[int, float], float]
"""(pairs, time since the start) -> seconds of a call."""


class SimulatedBatcher:
    """A batcher whose worker is the simulation."""

    name = "simulated"
    reranker = None

    def __init__(self, queue: BatchQueue) -> None:
        self.queue = queue

    def load(self) -> Load:
        return self.queue.load()

    def give_up(self, running_s: float) -> int:
        return len(self.queue.give_up(running_s))


@dataclass
class Simulation:
    """Requests arrive, wait, are scored, or are answered by the retriever's order."""

    cost: Cost
    tenant_of: Callable[[int], str] = lambda number: ""
    limits: Limits = field(default_factory=Limits)
    deadline_of: Callable[[int], float | None] = lambda number: None
    clock: ScriptedClock = field(default_factory=ScriptedClock)
    events: list[Event] = field(default_factory=list)
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    """(arrival, latency, reranker or reason) of every request."""
    of_tenant: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Reranker or reason of every request, by tenant."""
    calls: int = 0
    busy_s: float = 0.0
    wasted: int = 0

    def __post_init__(self) -> None:
        self.queue = BatchQueue(self.limits, 1, RateLimit(clock=self.clock), self.clock)
        machine = Breaker(LatencyMonitor(), BreakerPolicy())
        self.breaker = SharedBreaker(machine, self.clock, random.Random(5).random, self.events.append)
        batcher: Any = SimulatedBatcher(self.queue)
        rung = Rung(batcher, self.breaker, THRESHOLD_S, 0.8 * THRESHOLD_S)
        self.chain = FallbackChain((rung,), self.clock, self.events.append)
        self.started = self.clock()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def run(self, arrivals: Sequence[float], pairs: Callable[[int], int]) -> "Simulation":
        for number, at in enumerate(arrivals):
            self._at(self.started + at, lambda number=number: self._arrive_as(number, pairs(number)))
        while self._due:
            self.clock.now, _, step = heapq.heappop(self._due)
            step()
        return self

    def share(self, since: float = 0.0) -> float:
        kinds = Counter(kind for arrived, _, kind in self.answers if arrived - self.started >= since)
        return kinds["simulated"] / kinds.total()

    def later_than_threshold(self) -> int:
        return sum(latency > THRESHOLD_S for _, latency, _ in self.answers)

    def changes(self) -> list[tuple[str, str]]:
        return [(event.new, event.reason) for event in self.events if isinstance(event, BreakerChanged)]

    def _at(self, time: float, step: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time, next(self._numbers), step))

    def _arrive_as(self, number: int, pairs: int) -> None:
        tenant = self.tenant_of(number)
        with serving(tenant):
            self._arrive(number, pairs, self.of_tenant[tenant])

    def _arrive(self, number: int, pairs: int, kinds: Counter[str]) -> None:
        arrived = self.clock()
        documents = [f"{number}-{place}" for place in range(pairs)]
        deadline_s = self.deadline_of(number)
        deadline = None if deadline_s is None else arrived + deadline_s
        calls = self.chain.calls(f"q{number}", documents, range(pairs), deadline)
        try:
            call = next(calls)
        except StopIteration as done:
            self.answers.append((arrived, 0.0, done.value.reason))
            kinds[done.value.reason] += 1
            return
        assert call.on_served is not None
        job = Job(tuple(call.pairs), arrived, call.deadline, call.on_served, tenant=current_tenant())
        self.queue.put(job)
        assert call.deadline is not None
        self._at(call.deadline, lambda: self._expire(job, calls, arrived, kinds))
        job.future.add_done_callback(lambda future: self._answer(future, calls, arrived, kinds))
        self._work()

    def _expire(self, job: Job, calls: Iterator[Any], arrived: float, kinds: Counter[str]) -> None:
        if not job.future.done():
            self.queue.leave(job)
            self._end(calls, DeadlineExceededError("late"), arrived, kinds)

    def _answer(self, future: Any, calls: Iterator[Any], arrived: float, kinds: Counter[str]) -> None:
        if future.cancelled() or future.exception() is not None:
            if not future.cancelled():
                self._end(calls, future.exception(), arrived, kinds)
            return
        self._end(calls, future.result(), arrived, kinds)

    def _end(self, calls: Any, result: Any, arrived: float, kinds: Counter[str]) -> None:
        try:
            calls.throw(result) if isinstance(result, BaseException) else calls.send(result)
        except StopIteration as done:
            latency = self.clock() - arrived
            kind = done.value.reason or done.value.reranker
            self.answers.append((arrived, latency, kind))
            kinds[kind] += 1

    def _work(self) -> None:
        while self.queue.waiting_pairs and not self.queue.busy:
            taken = self.queue.take()
            assert taken is not None
            for job in taken.cancelled:
                job.on_served(Served())
            for job in taken.expired:
                job.expire()
            if taken.batch is not None:
                batch = taken.batch
                service_s = self.cost(batch.pairs, self.clock() - self.started)
                self._at(
                    self.clock() + service_s, lambda batch=batch, service_s=service_s: self._done(batch, service_s)
                )

    def _done(self, batch: Batch, service_s: float) -> None:
        jobs = list(batch.jobs)
        self.calls += 1
        self.busy_s += service_s
        self.queue.record_service(batch.pairs, service_s)
        if not self.queue.claim(batch, jobs):
            return
        self.queue.finish(batch, jobs)
        served = Served(service_s, batch.pairs, since=batch.since)
        for job in jobs:
            if job.has_left:
                self.wasted += 1
                job.on_served(served)
            else:
                job.succeed(np.zeros(len(job.pairs), np.float32), served)
        self._work()


def poisson(rate: float, seconds: float, seed: int = 1) -> list[float]:
    rng, at, times = random.Random(seed), 0.0, []
    while (at := at + rng.expovariate(rate)) < seconds:
        times.append(at)
    return times


def noisy(fixed_s: float, per_pair_s: float, seed: int = 2) -> Cost:
    """A model whose calls vary by a quarter, as on a machine with other work."""
    rng = random.Random(seed)
    return lambda pairs, _: (fixed_s + per_pair_s * pairs) * rng.lognormvariate(0, 0.25)


def test_overload_keeps_the_primary_at_its_limit_and_every_answer_in_time() -> None:
    """32 requests a second of 50 ms each: 62.5 % is the most that the primary can serve."""
    simulated = Simulation(noisy(0.0, 0.005)).run(poisson(32, 60), lambda number: 10)
    assert simulated.share(since=10) >= 0.58
    assert simulated.later_than_threshold() == 0
    assert simulated.changes() == []
    assert simulated.wasted < 0.02 * len(simulated.answers)


def test_requests_of_all_sizes_get_their_share_of_an_overload() -> None:
    sizes = [random.Random(number).choice([3, 10, 40]) for number in range(2_000)]
    simulated = Simulation(noisy(0.02, 0.004)).run(poisson(20, 40), sizes.__getitem__)
    assert simulated.share(since=10) > 0.55
    assert simulated.later_than_threshold() == 0
    assert simulated.changes() == []


def test_half_capacity_is_served_by_the_primary_alone() -> None:
    simulated = Simulation(noisy(0.0, 0.005)).run(poisson(10, 200), lambda number: 10)
    assert len(simulated.answers) > 1_900
    assert simulated.share() >= 0.98
    assert simulated.changes() == []


@pytest.mark.parametrize("rate", [2, 10, 20])
def test_a_model_of_fixed_cost_is_given_more_at_once(rate: float) -> None:
    """0.3 s a call however many pairs: 3.3 requests a second one by one, and 33 in calls of ten."""
    simulated = Simulation(noisy(0.3, 0.0)).run(poisson(rate, 40), lambda number: 10)
    assert simulated.share(since=5) > 0.99


@pytest.mark.parametrize("is_known", [False, True])
def test_a_burst_on_an_idle_model_is_served_as_far_as_time_allows(is_known: bool) -> None:
    """50 requests of 8 pairs at 13 ms each: 18 fit into 1.9 s, in which all are answered."""
    before = [number * 1.0 for number in range(60)] if is_known else []
    burst = [100.0 + number * 0.0001 for number in range(50)]
    simulated = Simulation(lambda pairs, _: 0.013 * pairs).run(before + burst, lambda number: 8)
    served = [kind for arrived, _, kind in simulated.answers if arrived - simulated.started >= 100]
    assert Counter(served)["simulated"] >= 17
    assert simulated.later_than_threshold() == 0


class TestTenants:
    """One tenant floods the model, another sends two requests a second among 60."""

    @staticmethod
    def served_of_the_other(tenant_share: float) -> float:
        limits = Limits(tenant_share=tenant_share)
        flood = Simulation(noisy(0.0, 0.005), lambda number: "ab"[number % 30 == 0], limits)
        flood.run(poisson(60, 30), lambda number: 10)
        assert flood.later_than_threshold() == 0
        assert flood.share(since=10) > 0.30  # 20 of 60 is all that it can
        return flood.of_tenant["b"]["simulated"] / flood.of_tenant["b"].total()

    def test_a_flood_of_one_tenant_leaves_room_for_others(self) -> None:
        assert self.served_of_the_other(0.5) >= 0.95

    def test_without_a_limit_others_are_refused_like_the_flood(self) -> None:
        assert self.served_of_the_other(1.0) < 0.6

    def test_a_tenant_that_is_alone_has_the_whole_queue(self) -> None:
        alone, unlimited = (
            Simulation(noisy(0.0, 0.005), lambda number: "a", Limits(tenant_share=share)).run(
                poisson(32, 20), lambda number: 10
            )
            for share in (0.5, 1.0)
        )
        assert alone.answers == unlimited.answers


def test_callers_with_hopeless_deadlines_do_not_make_others_wait() -> None:
    """Three in ten allow 20 ms for what takes 70."""
    queue = Simulation(noisy(0.05, 0.002))
    arrivals = poisson(15, 60)
    impatient = {number for number in range(len(arrivals)) if random.Random(number).random() < 0.3}
    queue.deadline_of = lambda number: 0.02 if number in impatient else None
    queue.tenant_of = lambda number: "impatient" if number in impatient else "patient"
    queue.run(arrivals, lambda number: 10)
    patient = queue.of_tenant["patient"]
    assert patient["simulated"] / patient.total() >= 0.98


def test_rare_large_requests_do_not_open_the_breaker() -> None:
    """A request of 100 documents takes 2.5 s, one of 5 takes 0.13 s."""
    simulated = Simulation(noisy(0.005, 0.025)).run(
        [number * 0.5 for number in range(600)], lambda number: 100 if number % 15 == 14 else 5
    )
    assert simulated.changes() == []
    assert simulated.share(since=10) > 0.75


@pytest.mark.parametrize("spell_s", [5, 10])
def test_slow_spells_of_few_calls_make_no_answer_late(spell_s: int) -> None:
    """A call takes 3 s in every other spell: of five seconds, in which two calls begin, or of ten, in which four do."""

    def cost(pairs: int, at: float) -> float:
        return 0.02 if int(at / spell_s) % 2 == 0 else 3.0

    simulated = Simulation(cost).run(poisson(15, 60), lambda number: 10)
    assert simulated.later_than_threshold() == 0
    opened = [event for event in simulated.events if isinstance(event, BreakerChanged) and event.new == "open"]
    if spell_s == 10:
        assert (opened[0].reason, opened[0].slow) == ("slow in a row", 3)


@pytest.fixture(scope="module")
def spell() -> Simulation:
    """Half a minute of good calls, a minute of slow ones, and good ones again."""
    usual = noisy(0.02, 0.002)

    def cost(pairs: int, at: float) -> float:
        return usual(pairs, at) * (60 if 60 <= at < 120 else 1)

    return Simulation(cost).run(poisson(12, 180), lambda number: 10)


class TestSlowSpell:
    """From 60 s to 120 s every call takes sixty times as long."""

    def test_is_found_within_few_calls(self, spell: Simulation) -> None:
        assert spell.changes()[0] in [("open", "slow in a row"), ("open", "slow")]

    def test_no_answer_is_late(self, spell: Simulation) -> None:
        assert spell.later_than_threshold() == 0

    def test_the_primary_is_back_within_fifteen_seconds_of_its_end(self, spell: Simulation) -> None:
        assert spell.share(since=135) == 1.0
        assert spell.changes()[-1] == ("closed", "probes fast")
