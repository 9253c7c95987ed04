"""Repairs: what a lower rung answered is scored by the primary in spare time, on a real Redis."""

import asyncio
import gc
import threading
from collections.abc import Iterator, Sequence
from time import monotonic
from weakref import ref

import pytest

from semcache.audit import repairer
from semcache.audit.repairer import Repairer
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.events import Event, RepairDropped, Repaired, RungFailed
from semcache.protocols import FloatArray, Pair
from semcache.ranking import Status
from tests.fakes import CountingOrder, CountingReranker
from tests.forks import PATIENCE_S, in_child

DOCUMENTS = [f"passage {number}" for number in range(20)]


class Gated(CountingReranker):
    """A primary that waits in a call until it may go on; ``calls`` has the number of pairs of each."""

    def __init__(self, name: str = "primary") -> None:
        super().__init__(name)
        self.gate = threading.Event()
        self.gate.set()
        self.inside = threading.Event()
        self.calls: list[int] = []
        self.error: Exception | None = None

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.calls.append(len(pairs))
        self.inside.set()
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return super().score(pairs)


@pytest.fixture
def primary() -> Gated:
    return Gated()


@pytest.fixture
def cached(cache: RedisSemanticCache, primary: CountingReranker) -> Iterator[CachedReranker]:
    """Its breaker is forced open, so that every answer is degraded until ``recover``."""
    with degraded(primary, cache) as cached:
        yield cached


def degraded(primary: object, cache: RedisSemanticCache, **options: bool) -> CachedReranker:
    # Not probed: the scope of its scores is to stay the same from the beginning.
    ladder = DegradableReranker(primary, None, LatencyMonitor(), name="primary", probe=False)
    ladder.force_open()
    return CachedReranker(ladder, cache, **options)


def recover(cached: CachedReranker) -> None:
    cached.reranker.reset()
    assert cached.repairs.drain(PATIENCE_S)


class TestRepair:
    def test_a_service_is_asked_in_one_call(self, cache: RedisSemanticCache, primary: Gated) -> None:
        primary.concurrency = 4  # type: ignore[attr-defined]
        with degraded(primary, cache) as cached:
            cached.rerank("how far is the moon", DOCUMENTS)
            recover(cached)
        assert primary.calls == [len(DOCUMENTS)]

    def test_the_second_burst_is_exact(self, cached: CachedReranker, events: list[Event]) -> None:
        queries = [f"question {number}" for number in range(6)]
        assert {cached.rerank(query, DOCUMENTS).status for query in queries} == {Status.DEGRADED}
        assert cached.get_stats()["repairs"] == {"waiting": 6, "repaired": 0}
        recover(cached)
        assert {cached.rerank(query, DOCUMENTS).status for query in queries} == {Status.EXACT}
        assert cached.get_stats()["repairs"] == {"waiting": 0, "repaired": 6}
        assert [event for event in events if isinstance(event, Repaired)] == [Repaired(20)] * 6

    def test_scores_are_those_of_the_primary_and_of_the_tenant(
        self, cached: CachedReranker, primary: Gated, cache: RedisSemanticCache
    ) -> None:
        cached.rerank("a question", DOCUMENTS, tenant="shop")
        recover(cached)
        assert cached.cache.lookup("a question", DOCUMENTS).status is None
        known = cached.cache.lookup("a question", DOCUMENTS, tenant="shop").scores
        assert known == tuple(pytest.approx(primary.score_of("a question", text)) for text in DOCUMENTS)

    def test_only_what_is_unknown_is_scored_a_few_pairs_at_a_time(self, cached: CachedReranker, primary: Gated) -> None:
        cached.reranker.reset()
        cached.rerank("a question", DOCUMENTS[:4])
        primary.calls.clear()
        cached.reranker.force_open()
        cached.rerank("a question", DOCUMENTS)
        recover(cached)
        assert primary.calls == [8, 8]

    def test_equal_requests_wait_once(self, cached: CachedReranker) -> None:
        for _ in range(5):
            cached.rerank("a question", DOCUMENTS)
        cached.rerank("a question", DOCUMENTS[:5])
        assert cached.repairs.snapshot()["waiting"] == 2

    def test_no_more_pairs_wait_than_are_allowed(
        self, cached: CachedReranker, events: list[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(repairer, "_MOST_PAIRS", 50)
        for number in range(4):
            cached.rerank(f"question {number}", DOCUMENTS)
        assert cached.repairs.snapshot()["waiting"] == 2
        assert [event for event in events if isinstance(event, RepairDropped)] == [RepairDropped("full")] * 2

    def test_waits_while_a_request_needs_the_primary(self, cached: CachedReranker, primary: Gated) -> None:
        cached.reranker.reset()
        cached.rerank("to settle the identity", DOCUMENTS)
        cached.reranker.force_open()
        cached.rerank("a question", DOCUMENTS)
        primary.gate.clear()
        primary.inside.clear()
        cached.reranker.reset()
        asking = threading.Thread(target=cached.rerank, args=("another", DOCUMENTS))
        asking.start()
        assert primary.inside.wait(PATIENCE_S)
        calls = len(primary.calls)
        assert not cached.repairs.drain(0.2)
        assert len(primary.calls) == calls
        primary.gate.set()
        asking.join(PATIENCE_S)
        assert cached.repairs.drain(PATIENCE_S)
        assert cached.rerank("a question", DOCUMENTS).status is Status.EXACT

    def test_an_order_is_asked_for_whole(self, cache: RedisSemanticCache) -> None:
        order = CountingOrder("order")
        with degraded(order, cache) as cached:
            cached.rerank("a question", DOCUMENTS)
            recover(cached)
            assert cached.rerank("a question", DOCUMENTS).status is Status.EXACT

    def test_what_the_primary_cannot_score_is_dropped(
        self, cached: CachedReranker, primary: Gated, events: list[Event]
    ) -> None:
        cached.rerank("a question", DOCUMENTS)
        primary.error = ValueError("cannot read this")
        recover(cached)
        assert cached.repairs.snapshot() == {"waiting": 0, "repaired": 0}
        assert [event for event in events if isinstance(event, RepairDropped)] == [RepairDropped("error")]
        assert not any(isinstance(event, RungFailed) for event in events), "no caller was failed"

    def test_a_primary_that_has_just_failed_is_left_alone(self, cached: CachedReranker, primary: Gated) -> None:
        cached.reranker.reset()
        primary.error = ConnectionError("down")
        cached.rerank("a question", DOCUMENTS)
        calls = len(primary.calls)
        assert not cached.repairs.drain(0.2)
        assert len(primary.calls) == calls
        primary.error = None
        cached.rerank("another question", DOCUMENTS)
        assert cached.repairs.drain(PATIENCE_S)
        assert cached.rerank("a question", DOCUMENTS).status is Status.EXACT

    def test_can_be_turned_off(self, cache: RedisSemanticCache, primary: Gated) -> None:
        with degraded(primary, cache, repair=False) as cached:
            cached.rerank("a question", DOCUMENTS)
            recover(cached)
            assert cached.rerank("a question", DOCUMENTS).status is Status.FRESH


class TestAwaited:
    """A client of an asynchronous reranker belongs to the loop of the requests."""

    def test_is_asked_on_the_loop_of_the_request(self, cache: RedisSemanticCache) -> None:
        loops = []

        async def score(query: str, documents: Sequence[str]) -> list[float]:
            loops.append(asyncio.get_running_loop())
            return [float(len(text)) for text in documents]

        async def ask() -> None:
            async with degraded(score, cache) as cached:
                assert (await cached.arerank("a question", DOCUMENTS)).status is Status.DEGRADED
                cached.reranker.reset()
                assert await asyncio.to_thread(cached.repairs.drain, PATIENCE_S)
                assert (await cached.arerank("a question", DOCUMENTS)).status is Status.EXACT
                assert set(loops) <= {asyncio.get_running_loop()}

        asyncio.run(ask())
        assert loops

    def test_is_dropped_when_that_loop_has_ended(self, cache: RedisSemanticCache, events: list[Event]) -> None:
        async def score(query: str, documents: Sequence[str]) -> list[float]:
            raise AssertionError("on another loop")

        cached = degraded(score, cache)
        asyncio.run(cached.arerank("a question", DOCUMENTS))
        recover(cached)
        assert [event for event in events if isinstance(event, RepairDropped)] == [RepairDropped("loop")]
        cached.close()

    def test_is_asked_on_semcaches_own_loop_for_callers_without_one(self, cache: RedisSemanticCache) -> None:
        async def score(query: str, documents: Sequence[str]) -> list[float]:
            return [float(len(text)) for text in documents]

        with degraded(score, cache) as cached:
            cached.rerank("a question", DOCUMENTS)
            recover(cached)
            assert cached.rerank("a question", DOCUMENTS).status is Status.EXACT


class TestEnd:
    def test_a_pipeline_that_is_dropped_is_freed_and_its_thread_ends(
        self, cache: RedisSemanticCache, primary: Gated
    ) -> None:
        cached = degraded(primary, cache)
        cached.rerank("a question", DOCUMENTS)
        dropped, repairs = ref(cached.reranker), ref(cached.repairs)
        del cached
        give_up = monotonic() + PATIENCE_S
        while (dropped() or repairs()) and monotonic() < give_up:
            gc.collect()
        assert (dropped(), repairs()) == (None, None)
        while repair_threads() and monotonic() < give_up:
            pass
        assert not repair_threads()

    def test_close_drops_what_waits_and_ends_the_thread(self, cached: CachedReranker, events: list[Event]) -> None:
        cached.rerank("a question", DOCUMENTS)
        cached.close()
        assert cached.repairs.snapshot()["waiting"] == 0
        assert not repair_threads()
        cached.repairs.close()

    def test_a_forked_child_repairs_its_own_requests_only(self, cached: CachedReranker) -> None:
        cached.rerank("the parent's", DOCUMENTS)

        def repair() -> dict[str, int]:
            cached.rerank("the child's", DOCUMENTS)
            recover(cached)
            return cached.repairs.snapshot()

        assert in_child(repair) == {"waiting": 0, "repaired": 1}
        recover(cached)
        assert cached.repairs.snapshot() == {"waiting": 0, "repaired": 1}

    def test_a_ladder_that_does_not_know_when_it_is_idle_is_left_alone(self, cached: CachedReranker) -> None:
        assert repr(Repairer(cached.cache.scoped, CountingReranker())) == "<Repairer of 'primary': 0 requests waiting>"  # type: ignore[arg-type]


def repair_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "semcache-repair"]
