"""FallbackChain: which rung is called, until when, and with what reason; stepped by hand, without calling a model."""

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from semcache.batching.batcher import Batcher
from semcache.degradation.breaker import Breaker
from semcache.degradation.fallback_chain import FallbackChain, call_rung
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.rung import Rung
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import DeadlineExceededError, InvalidInputError, QueueFullError, RerankServiceError
from semcache.events import Event, RungFailed
from semcache.flow.drive import drive
from semcache.protocols import Scored
from tests.scripted import ScriptedClock, ScriptedReranker

DOCUMENTS = ["a", "ccc", "bb"]


@pytest.fixture
def clock() -> ScriptedClock:
    return ScriptedClock()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def chain(clock: ScriptedClock, events: list[Event]) -> Iterator[FallbackChain]:
    """Two rungs; the fallback takes 2 s for a call."""
    primary = ScriptedReranker("primary", clock=clock)
    fallback = ScriptedReranker("fallback", clock=clock, service_s=2.0)
    with Batcher(primary, clock=clock) as first, Batcher(fallback, clock=clock) as second:
        rungs = tuple(rung_of(batcher, clock, events) for batcher in (first, second))
        yield FallbackChain(rungs, clock, events.append)


def rung_of(batcher: Batcher, clock: ScriptedClock, events: list[Event], **options: Any) -> Rung:
    policy = options.pop("policy", None)
    machine = Breaker(LatencyMonitor(), policy, batcher.name)
    return Rung(batcher, SharedBreaker(machine, clock, lambda: 0.0, events.append), 2.0, 1.6, **options)


class TestDeadlines:
    @pytest.mark.parametrize(("left_s", "primary_s"), [(10.0, 6.0), (2.0, 1.0)])
    def test_the_primary_gets_no_more_time_than_leaves_the_fallback_its_own(
        self, chain: FallbackChain, clock: ScriptedClock, left_s: float, primary_s: float
    ) -> None:
        """The fallback takes 2 s for these documents by its own record; the primary gets 10 s less twice that."""
        chain.rungs[1].batcher.score([("q", text) for text in DOCUMENTS])
        deadline = clock() + left_s
        calls = chain.calls("q", DOCUMENTS, [0], deadline)
        assert next(calls).deadline == clock() + primary_s
        assert calls.throw(DeadlineExceededError("late")).deadline == deadline

    def test_without_a_deadline_the_threshold_is_one_for_the_primary_and_again_for_each_rung_below(
        self, chain: FallbackChain, clock: ScriptedClock
    ) -> None:
        for rung in chain.rungs:
            rung.batcher.score([("q", text) for text in DOCUMENTS])
        calls = chain.calls("q", DOCUMENTS, [0], None)
        # 1.9 s, less what the fallback needs: but at least half.
        assert next(calls).deadline == pytest.approx(clock() + 0.95)
        assert calls.throw(ConnectionError("down")).deadline == pytest.approx(clock() + 1.9)

    def test_what_a_request_has_spent_already_is_not_waited_for_again(
        self, clock: ScriptedClock, events: list[Event]
    ) -> None:
        with Batcher(ScriptedReranker(clock=clock, service_s=0.1), clock=clock) as batcher:
            batcher.score([("q", "a")])
            lone = FallbackChain((rung_of(batcher, clock, events),), clock, events.append)
            assert next(lone.calls("q", ["a"], [0], None, 0.5)).deadline == pytest.approx(clock() + 1.4)
            assert next(lone.calls("q", ["a"], [0], clock() + 3.0, 0.5)).deadline == pytest.approx(clock() + 3.0)
            with pytest.raises(StopIteration) as ended:
                next(lone.calls("q", ["a"], [0], None, 2.0))
            assert ended.value.value.reason == "deadline"

    def test_a_first_call_may_load_the_model(self, chain: FallbackChain, clock: ScriptedClock) -> None:
        calls = chain.calls("q", DOCUMENTS, [0], None)
        assert next(calls).deadline == pytest.approx(clock() + 0.75 * 30)

    @pytest.mark.parametrize("deadline_s", [inf, 1e300])
    def test_as_long_as_it_takes_is_until_the_model_must_be_taken_to_hang(
        self, chain: FallbackChain, clock: ScriptedClock, deadline_s: float
    ) -> None:
        calls = chain.calls("q", DOCUMENTS, [0], clock() + deadline_s)
        assert next(calls).deadline == pytest.approx(clock() + 0.75 * 150)

    def test_a_timeout_of_a_rung_is_the_most_that_a_request_waits_for_it(
        self, chain: FallbackChain, clock: ScriptedClock
    ) -> None:
        first = replace(chain.rungs[0], timeout_s=0.5)
        chain = replace(chain, rungs=(first, *chain.rungs[1:]))
        for deadline in (None, clock() + 10.0, inf):
            assert next(chain.calls("q", DOCUMENTS, [0], deadline)).deadline == clock() + 0.5

    @pytest.mark.parametrize(
        ("documents", "service_s", "waits_s"),
        [
            (5, 0.25, 1.9),
            (100, 0.05, 1.9),  # a hundred take 1 s: there is time enough
            (100, 0.25, 0.95 * 10.0),  # they take 5 s, and twice that is waited
            (10, 5.0, 0.95 * 4.0),  # the model is slow: a request twice as large as usual gets twice the time
        ],
    )
    def test_a_request_that_is_larger_than_usual_may_take_longer_if_it_must(
        self, clock: ScriptedClock, events: list[Event], documents: int, service_s: float, waits_s: float
    ) -> None:
        with Batcher(ScriptedReranker(clock=clock, service_s=service_s), clock=clock) as batcher:
            for number in range(40):
                batcher.score([(f"q{number}", str(place)) for place in range(5)])
            lone = FallbackChain((rung_of(batcher, clock, events),), clock, events.append)
            texts = [str(number) for number in range(documents)]
            assert next(lone.calls("q", texts, range(documents), None)).deadline == pytest.approx(clock() + waits_s)


class TestReasons:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (ConnectionError("down"), "error"),
            (QueueFullError("full"), "busy"),
            (RerankServiceError("too many requests", status=429), "busy"),
            (DeadlineExceededError("late"), "deadline"),
        ],
    )
    def test_are_why_the_primary_did_not_answer(
        self, chain: FallbackChain, events: list[Event], error: Exception, reason: str
    ) -> None:
        calls = chain.calls("q", DOCUMENTS, [0], None)
        next(calls)
        calls.throw(error)
        with pytest.raises(StopIteration) as ended:
            calls.throw(MemoryError("the fallback"))
        assert ended.value.value == Scored(None, "retrieval-order", reason)
        failed = [RungFailed("primary", "ConnectionError: down")] if reason == "error" else []
        assert events == [*failed, RungFailed("fallback", "MemoryError: the fallback")]

    def test_a_mistake_of_the_caller_ends_the_chain(self, chain: FallbackChain) -> None:
        calls = chain.calls("q", DOCUMENTS, [0], None)
        next(calls)
        with pytest.raises(InvalidInputError):
            calls.throw(InvalidInputError("too long"))


class TestCalls:
    def test_the_primary_is_called_with_what_is_asked_and_the_fallback_with_everything(
        self, chain: FallbackChain
    ) -> None:
        calls = chain.calls("q", DOCUMENTS, [2, 0], None)
        first = next(calls)
        second = calls.throw(ConnectionError("down"))
        assert (first.batcher.name, first.pairs) == ("primary", [("q", "bb"), ("q", "a")])
        assert (second.batcher.name, second.pairs) == ("fallback", [("q", text) for text in DOCUMENTS])

    def test_are_carried_out_by_the_driver(self, chain: FallbackChain) -> None:
        answer = drive(chain.calls("q", DOCUMENTS, [2, 0], None), call_rung)
        assert answer.scores is not None
        assert (answer.scores.tolist(), answer.reranker, answer.reason) == ([2, 1], "primary", None)
