"""FallbackChain: which rung is called, until when, and with what reason; stepped by hand, without calling a model."""

from collections.abc import Iterator

import pytest

from semcache.batching.batcher import Batcher
from semcache.degradation.breaker import Breaker
from semcache.degradation.fallback_chain import FallbackChain, call_rung
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.shared_breaker import SharedBreaker
from semcache.errors import DeadlineExceededError, InvalidInputError, QueueFullError
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
    breaker = SharedBreaker(Breaker(LatencyMonitor()), clock, lambda: 0.0, events.append)
    with Batcher(primary, clock=clock) as first, Batcher(fallback, clock=clock) as second:
        yield FallbackChain(breaker, (first, second), 1.6, clock, events.append)


class TestDeadlines:
    @pytest.mark.parametrize(("left_s", "primary_s"), [(10.0, 6.0), (2.0, 1.0)])
    def test_the_primary_gets_no_more_time_than_leaves_the_fallback_its_own(
        self, chain: FallbackChain, clock: ScriptedClock, left_s: float, primary_s: float
    ) -> None:
        """The fallback takes 2 s for these documents by its own record; the primary gets 10 s less twice that."""
        chain.batchers[1].score([("q", text) for text in DOCUMENTS])
        deadline = clock() + left_s
        calls = chain.calls("q", DOCUMENTS, [0], deadline)
        assert next(calls).deadline == clock() + primary_s
        assert calls.throw(DeadlineExceededError("late")).deadline == deadline

    def test_without_a_deadline_no_call_has_one(self, chain: FallbackChain) -> None:
        calls = chain.calls("q", DOCUMENTS, [0], None)
        assert (next(calls).deadline, calls.throw(ConnectionError("down")).deadline) == (None, None)


class TestReasons:
    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (ConnectionError("down"), "error"),
            (QueueFullError("full"), "busy"),
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
