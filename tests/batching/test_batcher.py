"""Batcher: many callers share one model; none waits without need, and none is hurt by the trouble of another."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import product
from threading import Event as Gate
from threading import Thread, get_ident
from threading import enumerate as all_threads
from time import monotonic

import numpy as np
import pytest

from semcache.batching.batcher import Batcher
from semcache.batching.jobs import Served
from semcache.batching.reranker import AsyncBatchReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidInputError,
    QueueFullError,
    RerankerError,
    SemcacheError,
)
from semcache.events import BatchScored, Event
from semcache.protocols import FloatArray, Pair
from semcache.rerankers import adapt
from semcache.settings.reranker_sections import OnFull
from tests.forks import in_child
from tests.scripted import PATIENCE_S, GatedReranker, ScriptedClock, ScriptedReranker, poison

# A deadline that passes while a call is in the model; long enough that an idle worker is sure to have begun before.
SOON_S = 0.3


def pairs(*texts: str, query: str = "q") -> list[Pair]:
    return [(query, text) for text in texts]


def scores(future: "Future[FloatArray]") -> list[float]:
    return [float(score) for score in future.result(PATIENCE_S)]


def busy(model: GatedReranker, **options: object) -> Batcher:
    """A batcher whose model is working on a first request."""
    batcher = Batcher(model, **options)  # type: ignore[arg-type]
    batcher.submit(pairs("first"))
    model.wait_until_inside()
    return batcher


class TestScores:
    def test_one_per_pair_in_the_order_of_the_pairs(self) -> None:
        with Batcher(ScriptedReranker()) as batcher:
            assert batcher.score(pairs("ccc", "a", "bb")).tolist() == [3, 1, 2]

    def test_equal_pairs_are_scored_once_and_all_answered(self) -> None:
        model = ScriptedReranker()
        with Batcher(model) as batcher:
            assert batcher.score(pairs("aa", "b", "aa")).tolist() == [2, 1, 2]
        assert len(model.calls[0]) == 2

    def test_no_pairs_need_no_model(self) -> None:
        model = ScriptedReranker()
        with Batcher(model) as batcher:
            assert batcher.score([]).shape == (0,)
        assert model.calls == []

    async def test_awaited(self) -> None:
        async with Batcher(ScriptedReranker()) as batcher:
            assert (await batcher.ascore(pairs("ccc", "a"))).tolist() == [3, 1]


class TestMerging:
    def test_an_idle_model_starts_at_once_with_one_request(self) -> None:
        model = GatedReranker()
        with busy(model) as batcher:
            assert (batcher.busy, batcher.waiting_pairs) == (True, 0)
            model.let_go()

    def test_what_waits_goes_together_each_pair_once(self) -> None:
        model = GatedReranker()
        with busy(model) as batcher:
            waiting = [batcher.submit(pairs("a", "bb")), batcher.submit(pairs("bb", "ccc"))]
            assert batcher.waiting_pairs == 4
            model.let_go(2)
            assert [scores(future) for future in waiting] == [[1, 2], [2, 3]]
        assert model.calls[1] == tuple(pairs("ccc", "bb", "a"))

    def test_at_most_max_requests(self) -> None:
        model = GatedReranker()
        with busy(model, max_requests=2) as batcher:
            waiting = [batcher.submit(pairs(f"text {number}")) for number in range(5)]
            model.let_go(4)
            assert [scores(future) for future in waiting] == [[6]] * 5
        assert [len(call) for call in model.calls] == [1, 2, 2, 1]

    def test_at_most_max_pairs_unless_one_request_is_larger(self) -> None:
        model = GatedReranker()
        with busy(model, max_batch_pairs=3, max_pairs_per_call=100) as batcher:
            sizes = (2, 1, 1, 7, 1)
            for request, size in enumerate(sizes):
                batcher.submit([(f"q{request}", str(number)) for number in range(size)])
            model.let_go(5)
        assert [len(call) for call in model.calls] == [1, 3, 1, 7, 1]

    def test_no_longer_than_max_batch_s_by_the_models_own_record(self) -> None:
        clock = ScriptedClock()
        model = GatedReranker(clock=clock, service_s=0.1)
        with busy(model, clock=clock, max_batch_s=0.25) as batcher:
            for number in range(4):
                batcher.submit(pairs("a", query=f"q{number}"))
            model.let_go(3)
        assert [len(call) for call in model.calls] == [1, 2, 2]

    def test_a_listwise_reranker_gets_one_request_at_a_time_in_its_order(self) -> None:
        model = GatedReranker(listwise=True)
        with busy(model) as batcher:
            waiting = [batcher.submit(pairs("a", "ccc", "bb")), batcher.submit(pairs("a"))]
            model.let_go(3)
            assert scores(waiting[0]) == [1, 3, 2]
        assert model.calls[1:] == [tuple(pairs("a", "ccc", "bb")), tuple(pairs("a"))]

    def test_events_carry_pairs_requests_wait_and_service(self) -> None:
        clock, events = ScriptedClock(), list[Event]()
        model = GatedReranker(clock=clock, service_s=0.5)
        with busy(model, clock=clock, max_batch_s=9.0, on_event=events.append) as batcher:
            batcher.submit(pairs("a", "b"))
            batcher.submit(pairs("b"))
            model.let_go(2)
        first, second = events
        assert first == BatchScored("gated", 1, 1, 0.0, 0.5, queued=3, fixed_s=0.0, per_pair_s=0.5)
        assert isinstance(second, BatchScored) and (second.pairs, second.requests, second.queued) == (2, 2, 0)
        assert (second.waited_s, second.service_s) == (0.5, 0.5)
        # Both calls took as long, whatever they were asked.
        assert second.fixed_s == pytest.approx(0.46, abs=0.04) and second.per_pair_s == pytest.approx(0.02, abs=0.02)

    def test_an_observer_that_raises_fails_no_request(self) -> None:
        def broken(event: Event) -> None:
            raise RuntimeError("observer")

        with Batcher(ScriptedReranker(), on_event=broken) as batcher:
            assert [batcher.score(pairs("a")).tolist() for _ in range(3)] == [[1]] * 3


class TestFailures:
    def test_requests_about_the_same_pairs_fail_together(self) -> None:
        model = GatedReranker()
        with busy(model) as batcher:
            waiting = [batcher.submit(pairs("bad", "good")) for _ in range(8)]
            model.fail = poison("bad")
            model.let_go(10)
            assert all(isinstance(future.exception(PATIENCE_S), Exception) for future in waiting)
        assert len(model.calls) == 2

    def test_one_bad_request_fails_alone(self) -> None:
        model = GatedReranker()
        model.fail = poison("bad")
        with busy(model) as batcher:
            good = [batcher.submit(pairs(f"good {number}")) for number in range(3)]
            bad = batcher.submit(pairs("also good", "bad"))
            good += [batcher.submit(pairs(f"good {number}")) for number in range(3, 7)]
            model.let_go(100)
            assert [scores(future) for future in good] == [[6]] * 7
            with pytest.raises(ValueError, match="cannot read bad"):
                scores(bad)

    def test_two_requests_with_the_bad_pair_both_fail(self) -> None:
        model = GatedReranker()
        model.fail = poison("bad")
        with busy(model) as batcher:
            futures = [batcher.submit(pairs("bad")), batcher.submit(pairs("good")), batcher.submit(pairs("bad", "x"))]
            model.let_go(100)
            assert [type(future.exception(PATIENCE_S)) for future in futures] == [ValueError, type(None), ValueError]

    def test_a_dead_model_is_asked_at_most_twice_per_request(self) -> None:
        model = GatedReranker()
        with busy(model) as batcher:
            model.fail = lambda pairs: ConnectionError("down")
            futures = [batcher.submit(pairs(str(number))) for number in range(10)]
            model.let_go(100)
            assert all(isinstance(future.exception(PATIENCE_S), ConnectionError) for future in futures)
        assert len(model.calls) == 1 + 19

    async def test_those_whose_callers_gave_up_are_not_tried_again(self) -> None:
        model, served = GatedReranker(), list[Served]()
        model.fail = poison("bad")
        async with busy(model) as batcher:
            bad = batcher.submit(pairs("bad"))
            # Submitted when the task first runs, and in the model before its deadline.
            left = asyncio.create_task(
                batcher.ascore(pairs("left"), deadline=monotonic() + SOON_S, on_served=served.append)
            )
            await asyncio.sleep(0)
            model.let_go()
            await asyncio.to_thread(model.wait_until_inside)
            with pytest.raises(DeadlineExceededError):
                await left
            assert batcher.abandoned == 1
            model.let_go(100)
            assert isinstance(await asyncio.to_thread(bad.exception, PATIENCE_S), ValueError)
        assert served == [Served()], "settled without a second call of the model"
        assert [len(call) for call in model.calls] == [1, 2, 1]

    @pytest.mark.parametrize("wrong", [[1.0], [1.0, float("nan")], [1.0, float("inf")], None, [[1.0, 2.0], [1.0, 2.0]]])
    def test_unusable_scores_are_an_error(self, wrong: object) -> None:
        class Wrong(ScriptedReranker):
            def score(self, pairs: object) -> FloatArray:
                return wrong  # type: ignore[return-value]

        with Batcher(Wrong()) as batcher, pytest.raises(RerankerError, match="scripted gave"):
            batcher.score(pairs("a", "b"))

    def test_a_nan_for_one_caller_is_not_another_callers_error(self) -> None:
        class Picky(GatedReranker):
            def score(self, pairs: object) -> FloatArray:
                given = super().score(pairs)  # type: ignore[arg-type]
                return np.where(given == 3, np.nan, given)

        model = Picky()
        with Batcher(model) as batcher:
            batcher.submit(pairs("first"))
            model.wait_until_inside()
            good, bad = batcher.submit(pairs("a", "bb")), batcher.submit(pairs("ccc"))
            model.let_go(100)
            assert scores(good) == [1, 2]
            with pytest.raises(RerankerError, match="not finite"):
                scores(bad)

    @pytest.mark.parametrize(
        "raised",
        [
            StopIteration("x"),
            StopAsyncIteration("x"),
            SystemExit(3),
            KeyboardInterrupt(),
            GeneratorExit(),
            asyncio.CancelledError(),
            CancelledError(),
        ],
    )
    @pytest.mark.parametrize("is_awaited", [False, True])
    async def test_what_only_python_raises_is_an_ordinary_error_of_the_model(
        self, raised: BaseException, is_awaited: bool
    ) -> None:
        model = ScriptedReranker()

        async def score_awaited(pairs: Sequence[Pair]) -> FloatArray:
            return model.score(pairs)

        reranker = adapt(score_awaited, name="scripted") if is_awaited else model
        async with Batcher(reranker) as batcher:
            model.fail = lambda pairs: raised
            with pytest.raises(Exception, match=type(raised).__name__) as caught:
                await batcher.ascore(pairs("a"))
            assert type(caught.value) in (RerankerError, RuntimeError), "asyncio makes the latter of a StopIteration"
            with pytest.raises(Exception, match=type(raised).__name__):
                await asyncio.to_thread(batcher.score, pairs("a"))
            model.fail = lambda pairs: None
            assert (await batcher.ascore(pairs("a"))).tolist() == [1]

    def test_a_property_that_raises_is_an_error_of_its_callers(self) -> None:
        class Broken(ScriptedReranker):
            def score(self, pairs: object) -> FloatArray:
                raise ConnectionError("no model")

        broken = Broken()
        with Batcher(broken) as batcher:
            # From here on, as a batcher asks for it, too.
            type(broken).listwise = property(lambda self: 1 / 0)  # type: ignore[assignment]
            with pytest.raises(ConnectionError):
                batcher.score(pairs("a"), deadline=monotonic() + PATIENCE_S)

    def test_pairs_that_are_none_are_refused_at_once(self) -> None:
        with Batcher(ScriptedReranker()) as batcher, pytest.raises(InvalidInputError, match="tuple of two texts"):
            batcher.score([["q", "a"]])  # type: ignore[list-item]


class TestSingleFlight:
    def test_a_pair_in_the_model_is_not_asked_again(self) -> None:
        model, served = GatedReranker(), list[Served]()
        with busy(model) as batcher:
            whole = batcher.submit(pairs("first"), on_served=served.append)
            twice = batcher.submit(pairs("first", "bb", "first"))
            model.let_go()
            assert scores(whole) == [5]
            model.let_go()
            assert scores(twice) == [5, 2, 5]
        assert model.calls == [tuple(pairs("first")), tuple(pairs("bb"))]
        assert served == [Served()], "no call was made for it"

    def test_if_the_call_fails_those_that_waited_for_it_are_asked_about(self) -> None:
        model = GatedReranker()
        model.fail = lambda pairs: ConnectionError("down") if len(model.calls) == 1 else None
        with Batcher(model) as batcher:
            first = batcher.submit(pairs("a"))
            model.wait_until_inside()
            same = batcher.submit(pairs("a"))
            model.let_go(2)
            assert isinstance(first.exception(PATIENCE_S), ConnectionError)
            assert scores(same) == [1]

    def test_a_leader_that_gave_up_answers_those_that_follow(self) -> None:
        model = GatedReranker()
        with Batcher(model) as batcher:
            with pytest.raises(DeadlineExceededError):
                batcher.score(pairs("a"), deadline=monotonic() + SOON_S)
            same = batcher.submit(pairs("a"))
            model.let_go()
            assert scores(same) == [1]
        assert len(model.calls) == 1

    def test_with_several_workers_none_asks_what_another_one_asks(self) -> None:
        model = GatedReranker(concurrency=3)
        with Batcher(model) as batcher:
            same = [batcher.submit(pairs("a", "bb")) for _ in range(5)]
            other = batcher.submit(pairs("ccc"))
            model.wait_until_inside()
            model.wait_until_inside()
            model.let_go(2)
            assert [scores(future) for future in same] == [[1, 2]] * 5
            assert scores(other) == [3]
        assert len(model.calls) == 2

    def test_one_that_follows_can_be_cancelled_and_close_waits_for_the_others(self) -> None:
        model = GatedReranker(concurrency=2)
        batcher = busy(model)
        cancelled, kept = batcher.submit(pairs("first")), batcher.submit(pairs("first"))
        assert cancelled.cancel()
        closing = Thread(target=batcher.close)
        closing.start()
        model.let_go()
        closing.join(PATIENCE_S)
        assert not closing.is_alive()
        assert scores(kept) == [5]

    def test_an_order_is_never_shared(self) -> None:
        model = GatedReranker(listwise=True)
        with busy(model) as batcher:
            again = batcher.submit(pairs("first"))
            model.let_go(2)
            assert scores(again) == [5]
        assert len(model.calls) == 2


class TestQueue:
    def test_is_bounded_in_pairs(self) -> None:
        model = GatedReranker()
        with busy(model, max_queue_pairs=3) as batcher:
            batcher.submit(pairs("a", "b"))
            with pytest.raises(QueueFullError, match="2 pairs are waiting, 2 more would exceed 3"):
                batcher.submit(pairs("c", "d"))
            batcher.submit(pairs("c"))
            model.let_go(2)

    def test_takes_a_request_larger_than_the_bound_when_it_is_empty(self) -> None:
        with Batcher(ScriptedReranker(), max_queue_pairs=2) as batcher:
            assert len(batcher.score(pairs("a", "b", "c", "d"))) == 4

    def test_one_worker_thread_per_model(self) -> None:
        threads = set()

        class Watching(ScriptedReranker):
            def score(self, pairs: object) -> FloatArray:
                threads.add(get_ident())
                return super().score(pairs)  # type: ignore[arg-type]

        with Batcher(Watching()) as batcher, ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda n: len(batcher.score(pairs(str(n)))), range(50))) == [1] * 50
        assert len(threads) == 1

    def test_several_workers_for_a_reranker_that_allows_it(self) -> None:
        model = GatedReranker(concurrency=2)
        with Batcher(model) as batcher:
            first = batcher.submit(pairs("a"))
            model.wait_until_inside()
            assert not batcher.busy
            second = batcher.submit(pairs("b"))
            model.wait_until_inside()
            assert batcher.busy
            model.let_go(2)
            assert (scores(first), scores(second)) == ([1], [1])

    @pytest.mark.parametrize(
        ("limit", "value"),
        [
            *product(["max_requests", "max_batch_pairs", "max_queue_pairs"], [0, -1, 1.5, True, None]),
            *product(["max_batch_s"], [0, -1.0, float("nan"), None]),
            *product(["max_wait_s"], [-1.0, float("nan"), float("inf"), None]),
            *product(["on_full"], ["refuse", None, ""]),
            *product(["concurrency"], [0, -1, 1.5, True]),
            *product(["requests_per_minute", "pairs_per_minute"], [0, -1.0, float("nan"), True]),
        ],
    )
    def test_bad_limits_are_named(self, limit: str, value: object) -> None:
        with pytest.raises(ConfigurationError, match=limit):
            Batcher(ScriptedReranker(), **{limit: value})  # type: ignore[arg-type]


class TestDeadlines:
    def test_the_caller_is_free_on_time_while_the_model_goes_on(self) -> None:
        model = GatedReranker()
        with Batcher(model) as batcher:
            with pytest.raises(DeadlineExceededError, match="gated did not answer"):
                batcher.score(pairs("a"), deadline=monotonic() + SOON_S)
            model.wait_until_inside()
            assert batcher.abandoned == 1
            model.let_go()
            model.let_go()
            assert batcher.score(pairs("bb")).tolist() == [2]
            assert batcher.abandoned == 0

    async def test_the_same_awaited(self) -> None:
        model = GatedReranker()
        async with Batcher(model) as batcher:
            with pytest.raises(DeadlineExceededError):
                await batcher.ascore(pairs("a"), deadline=monotonic() + SOON_S)
            await asyncio.to_thread(model.wait_until_inside)
            assert batcher.abandoned == 1
            model.let_go()

    @pytest.mark.parametrize("is_async", [False, True])
    def test_one_that_waits_leaves_the_queue_and_is_never_scored(self, is_async: bool) -> None:
        model, served = GatedReranker(), list[Served]()
        with busy(model) as batcher:
            with pytest.raises(DeadlineExceededError):
                if is_async:
                    asyncio.run(batcher.ascore(pairs("late"), deadline=monotonic(), on_served=served.append))
                else:
                    batcher.score(pairs("late"), deadline=monotonic(), on_served=served.append)
            assert (batcher.waiting_pairs, batcher.abandoned) == (0, 0)
            model.let_go()
        assert served == [Served()]
        assert len(model.calls) == 1

    def test_an_expired_future_without_a_waiting_caller_is_dropped_at_its_turn(self) -> None:
        clock, served = ScriptedClock(), list[Served]()
        model = GatedReranker(clock=clock, service_s=1.0)
        with busy(model, clock=clock) as batcher:
            late = batcher.submit(pairs("late"), deadline=clock() + 0.5, on_served=served.append)
            in_time = batcher.submit(pairs("in time"), deadline=clock() + 5.0)
            model.let_go(2)
            assert scores(in_time) == [7]
            with pytest.raises(DeadlineExceededError):
                scores(late)
        assert served == [Served()]
        assert [len(call) for call in model.calls] == [1, 1]

    def test_a_timeout_that_the_reranker_raises_is_the_rerankers(self) -> None:
        model = ScriptedReranker()
        model.fail = lambda pairs: TimeoutError("remote")
        with Batcher(model) as batcher, pytest.raises(TimeoutError, match="remote"):
            batcher.score(pairs("a"), deadline=monotonic() + PATIENCE_S)


class TestCancellation:
    async def test_one_cancelled_caller_disturbs_no_other(self) -> None:
        model = GatedReranker()
        async with Batcher(model) as batcher:
            first = asyncio.create_task(batcher.ascore(pairs("first")))
            await asyncio.to_thread(model.wait_until_inside)
            others = [asyncio.create_task(batcher.ascore(pairs("shared", str(number)))) for number in range(3)]
            await asyncio.sleep(0)
            others[1].cancel()
            await asyncio.gather(others[1], return_exceptions=True)
            assert others[1].cancelled()
            assert batcher.waiting_pairs == 4
            model.let_go(2)
            assert (await first).tolist() == [5]
            assert [(await other).tolist() for other in (others[0], others[2])] == [[6, 1]] * 2
        assert model.calls[1] == tuple(pairs("shared", "0", "2"))

    async def test_cancelled_inside_the_model_the_others_of_the_batch_get_their_scores(self) -> None:
        model = GatedReranker()
        async with Batcher(model) as batcher:
            tasks = [asyncio.create_task(batcher.ascore(pairs(text))) for text in ("first", "a", "bb")]
            await asyncio.to_thread(model.wait_until_inside)
            model.let_go()
            await asyncio.to_thread(model.wait_until_inside)
            tasks[1].cancel()
            await asyncio.gather(tasks[1], return_exceptions=True)
            model.let_go()
            assert (await tasks[2]).tolist() == [2]

    async def test_cancelling_the_first_of_equal_requests_cancels_no_other(self) -> None:
        model = GatedReranker()
        async with Batcher(model) as batcher:
            tasks = [asyncio.create_task(batcher.ascore(pairs("same"))) for _ in range(5)]
            await asyncio.to_thread(model.wait_until_inside)
            for task in tasks[:2]:
                task.cancel()
            await asyncio.gather(*tasks[:2], return_exceptions=True)
            model.let_go(2)
            assert [(await task).tolist() for task in tasks[2:]] == [[4]] * 3

    def test_a_cancelled_future_is_settled_once_and_not_scored(self) -> None:
        model, served = GatedReranker(), list[Served]()
        with busy(model) as batcher:
            future = batcher.submit(pairs("a"), on_served=served.append)
            assert future.cancel()
            assert batcher.waiting_pairs == 0
            model.let_go()
        assert served == [Served()]
        assert len(model.calls) == 1
        with pytest.raises(CancelledError):
            future.result()

    async def test_the_event_loop_goes_on_meanwhile(self) -> None:
        model = GatedReranker()
        async with Batcher(model) as batcher:
            task = asyncio.create_task(batcher.ascore(pairs("a")))
            turns = 0
            while turns < 100:
                await asyncio.sleep(0)
                turns += 1
            assert not task.done()
            model.let_go()
            assert (await task).tolist() == [1]


class TestOnServed:
    def test_reports_service_time_and_pairs_of_the_call_before_the_caller_has_the_scores(self) -> None:
        clock, served = ScriptedClock(), list[Served]()
        with Batcher(ScriptedReranker(clock=clock, service_s=0.5), clock=clock) as batcher:
            batcher.score(pairs("a", "b"), on_served=served.append)
            assert served == [Served(0.5, 2)]

    def test_reports_an_error(self) -> None:
        model, served = ScriptedReranker(), list[Served]()
        error = ValueError("x")
        model.fail = lambda pairs: error
        with Batcher(model) as batcher, pytest.raises(ValueError, match="x"):
            batcher.score(pairs("a"), on_served=served.append)
        assert served == [Served(error=error)]

    def test_reports_also_when_the_caller_has_left(self) -> None:
        clock, served = ScriptedClock(), list[Served]()
        model = GatedReranker(clock=clock, service_s=3.0)
        with Batcher(model, clock=clock) as batcher:
            with pytest.raises(DeadlineExceededError):
                batcher.score(pairs("a"), deadline=clock() + SOON_S, on_served=served.append)
            assert served == []
            model.let_go()
        assert served == [Served(3.0, 1)]

    def test_reports_a_request_that_was_refused(self) -> None:
        model, served = GatedReranker(), list[Served]()
        with busy(model, max_queue_pairs=1) as batcher:
            batcher.submit(pairs("a"))
            with pytest.raises(QueueFullError):
                batcher.submit(pairs("b"), on_served=served.append)
            model.let_go(2)
        assert served == [Served()]

    def test_an_invalid_input_error_of_the_reranker_is_the_callers(self) -> None:
        model = ScriptedReranker()
        model.fail = lambda pairs: InvalidInputError("too long")
        with Batcher(model) as batcher, pytest.raises(InvalidInputError):
            batcher.score(pairs("a"))


class TestLoad:
    def test_knows_rate_and_wait_from_what_it_did(self) -> None:
        clock = ScriptedClock()
        model = GatedReranker(clock=clock, service_s=1.0)
        with Batcher(model, clock=clock) as batcher:
            assert batcher.load().cost is None
            model.let_go()
            batcher.score(pairs("a", "b"))
            model.wait_until_inside()
            assert batcher.load().expected_s(3) == pytest.approx(1.5)
            batcher.submit(pairs("c", "d"))
            model.wait_until_inside()
            batcher.submit(pairs("e"))
            clock.pass_(0.25)
            load = batcher.load()
            assert (load.busy, load.wait_s, load.expected_s(4)) == (True, pytest.approx(1.25), pytest.approx(3.25))
            model.let_go(2)

    def test_an_idle_model_has_no_wait(self) -> None:
        with Batcher(ScriptedReranker()) as batcher:
            batcher.score(pairs("a"))
            load = batcher.load()
            assert (load.busy, load.wait_s, load.abandoned) == (False, 0.0, 0)


class TestEnd:
    def test_close_scores_what_waits_and_ends_the_thread(self) -> None:
        model, before = GatedReranker(), set(all_threads())
        batcher = busy(model)
        waiting = batcher.submit(pairs("a"))
        (thread,) = set(all_threads()) - before
        model.let_go(2)
        batcher.close()
        assert scores(waiting) == [1]
        assert not thread.is_alive()

    def test_close_without_drain_fails_what_waits(self) -> None:
        model, served = GatedReranker(), list[Served]()
        batcher = busy(model)
        waiting = batcher.submit(pairs("a"), on_served=served.append)
        closing = Thread(target=lambda: batcher.close(drain=False))
        closing.start()
        with pytest.raises(SemcacheError, match="closed before"):
            scores(waiting)
        model.let_go()
        closing.join(PATIENCE_S)
        assert not closing.is_alive()
        assert served == [Served()]

    def test_close_does_not_wait_for_ever_for_a_model_that_hangs(self) -> None:
        model = GatedReranker()
        batcher = busy(model)
        waiting = batcher.submit(pairs("a"))
        batcher.close(stuck_after_s=SOON_S)
        with pytest.raises(SemcacheError, match="closed before"):
            scores(waiting)
        model.let_go()

    def test_close_does_not_wait_long_for_a_call_that_no_caller_waits_for(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = GatedReranker()
        batcher = Batcher(model)
        with pytest.raises(DeadlineExceededError):
            batcher.score(pairs("a"), deadline=monotonic() + SOON_S)
        model.wait_until_inside()
        began = monotonic()
        batcher.close()
        assert monotonic() - began < PATIENCE_S / 2
        assert "requests that failed: 0 in these calls, and 0 that waited" in caplog.text
        model.let_go()

    def test_close_waits_for_a_slow_model_as_long_as_its_calls_come_to_an_end(self) -> None:
        model = GatedReranker()
        batcher = busy(model, max_requests=1)
        waiting = [batcher.submit(pairs(text)) for text in ("a", "bb", "ccc")]

        def let_go_slowly() -> None:
            for _ in range(4):
                Gate().wait(SOON_S / 2)
                model.let_go()

        letting = Thread(target=let_go_slowly)
        letting.start()
        batcher.close(stuck_after_s=SOON_S)  # shorter than all calls together
        assert [scores(future) for future in waiting] == [[1], [2], [3]]
        letting.join()

    def test_close_says_what_it_gave_up_when_its_time_was_over(self, caplog: pytest.LogCaptureFixture) -> None:
        model = GatedReranker()
        batcher = Batcher(model)
        inside = batcher.submit(pairs("a"))
        model.wait_until_inside()
        waiting = [batcher.submit(pairs(f"text {n}")) for n in range(30)]
        batcher.close(timeout_s=SOON_S)
        for future, message in ((inside, "by a call that did not end"), *((each, "closed before") for each in waiting)):
            with pytest.raises(SemcacheError, match=message):
                scores(future)
        [line] = [record.getMessage() for record in caplog.records]
        assert line == (
            "gated was closed, and its threads are left to calls that do not end: 1; requests that failed: 1 in these "
            "calls, and 30 that waited"
        )
        model.let_go()

    def test_the_time_to_close_is_for_all_calls_together(self) -> None:
        model = GatedReranker()
        batcher = busy(model, max_requests=1)
        waiting = [batcher.submit(pairs(f"text {n}")) for n in range(1000)]
        stop = Gate()

        def go_on() -> None:
            while not stop.wait(SOON_S / 20):
                model.let_go()

        going = Thread(target=go_on)
        going.start()
        batcher.close(timeout_s=SOON_S)
        assert any(isinstance(future.exception(PATIENCE_S), SemcacheError) for future in waiting)
        stop.set()
        going.join()
        model.let_go(1000)

    async def test_aclose_does_not_wait_for_ever_either(self) -> None:
        model = GatedReranker()
        batcher = busy(model)
        await batcher.aclose(stuck_after_s=SOON_S)
        model.let_go()

    def test_a_forked_child_has_none_of_the_parents_requests(self) -> None:
        model = GatedReranker()
        with busy(model) as batcher:
            waiting = batcher.submit(pairs("a"))

            def score() -> tuple[int, bool, list[float]]:
                model.let_go()
                before = batcher.waiting_pairs, batcher.busy
                return *before, batcher.score(pairs("bb")).tolist()

            assert in_child(score) == (0, False, [2])
            model.let_go(2)
            assert scores(waiting) == [1]

    def test_a_closed_batcher_says_so(self) -> None:
        batcher = Batcher(ScriptedReranker())
        batcher.close()
        batcher.close()
        with pytest.raises(SemcacheError, match="is closed; make a new one"):
            batcher.submit(pairs("a"))

    def test_one_that_is_dropped_ends_its_thread(self) -> None:
        before = set(all_threads())
        batcher = Batcher(ScriptedReranker())
        batcher.score(pairs("a"))
        (thread,) = set(all_threads()) - before
        del batcher
        gc.collect()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()

    def test_an_interpreter_that_ends_with_work_in_the_model_ends_quietly(self) -> None:
        program = """
import numpy, threading
from semcache.batching.batcher import Batcher
inside = threading.Event()
class Slow:
    name, listwise = "slow", False
    def score(self, pairs):
        inside.set()
        threading.Event().wait(0.3)
        return numpy.zeros(len(pairs))
batcher = Batcher(Slow())
batcher.submit([("q", "a")]); batcher.submit([("q", "b")])
inside.wait()
print("end")
"""
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "end\n", "")


class TestManyCallers:
    def test_threads_all_get_their_own_scores(self) -> None:
        model = ScriptedReranker()
        model.fail = poison("bad")

        def ask(number: int) -> object:
            if number % 17 == 0:
                with pytest.raises(ValueError, match="bad"):
                    batcher.score(pairs("bad", query=str(number)))
                return True
            texts = ["x" * (number % 7 + 1), "y" * (number % 11 + 1)]
            return batcher.score(pairs(*texts, query=str(number % 5))).tolist() == [len(text) for text in texts]

        with Batcher(model, max_batch_pairs=16) as batcher, ThreadPoolExecutor(16) as pool:
            assert all(pool.map(ask, range(400)))
            assert (batcher.waiting_pairs, batcher.abandoned, batcher.busy) == (0, 0, False)

    async def test_tasks_that_come_and_go(self) -> None:
        async with Batcher(ScriptedReranker(), max_batch_pairs=16) as batcher:
            tasks = [asyncio.create_task(batcher.ascore(pairs("x" * (number % 7 + 1)))) for number in range(400)]
            for task in tasks[::3]:
                await asyncio.sleep(0)
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            for number, result in enumerate(results):
                if number % 3:
                    assert not isinstance(result, BaseException)
                    assert result.tolist() == [number % 7 + 1]
            assert (batcher.waiting_pairs, batcher.abandoned) == (0, 0)


class TestFullQueue:
    def test_wait_lets_any_number_wait(self) -> None:
        model = GatedReranker()
        with busy(model, max_queue_pairs=1, on_full="wait") as batcher:
            waiting = [batcher.submit(pairs(f"text {number}")) for number in range(5)]
            model.let_go(100)
            assert [scores(future) for future in waiting] == [[6]] * 5

    def test_the_bound_is_for_each_call_at_once(self) -> None:
        model = GatedReranker(concurrency=2)
        with Batcher(model, max_queue_pairs=2) as batcher:
            for number in range(2):
                batcher.submit(pairs(str(number)))
                model.wait_until_inside()
            batcher.submit(pairs("a", "b", "c"))
            batcher.submit(pairs("d"))
            with pytest.raises(QueueFullError, match="4 pairs are waiting, 1 more would exceed 4"):
                batcher.submit(pairs("e"))
            model.let_go(100)

    @pytest.mark.parametrize(("on_full", "reason"), [("fallback", "busy"), ("reject", None)])
    def test_a_ladder_falls_back_or_rejects(self, on_full: OnFull, reason: str | None) -> None:
        model = GatedReranker()
        with (
            AsyncBatchReranker(model, max_queue_pairs=1, on_full=on_full) as reranker,
            DegradableReranker(reranker, None, LatencyMonitor()) as ladder,
        ):
            for text in ("first", "second"):
                reranker.batcher.submit(pairs(text))
            if reason is None:
                with pytest.raises(QueueFullError):
                    ladder.rerank("q", ["a"])
            else:
                assert ladder.rerank("q", ["a"]).reason == reason
            model.let_go(100)


class TestLinger:
    def test_an_idle_model_waits_for_others_to_join(self) -> None:
        model = ScriptedReranker()
        with Batcher(model, max_wait_s=PATIENCE_S, max_requests=3) as batcher:
            waiting = [batcher.submit(pairs(text)) for text in ("a", "bb", "ccc")]
            assert [scores(future) for future in waiting] == [[1], [2], [3]]
        assert [len(call) for call in model.calls] == [3], "a full call waits no longer"

    def test_no_longer_than_it_may(self) -> None:
        with Batcher(ScriptedReranker(), max_wait_s=0.05) as batcher:
            began = monotonic()
            assert batcher.score(pairs("a")).tolist() == [1]
            assert monotonic() - began >= 0.05

    def test_a_later_deadline_is_no_reason_to_begin(self) -> None:
        with Batcher(ScriptedReranker(), max_wait_s=0.05) as batcher:
            began = monotonic()
            batcher.score(pairs("a"), deadline=monotonic() + PATIENCE_S)
            assert monotonic() - began >= 0.05

    def test_not_where_it_makes_late_nor_at_the_end(self) -> None:
        batcher = Batcher(ScriptedReranker(), max_wait_s=PATIENCE_S)
        began = monotonic()
        batcher.score(pairs("a"), deadline=monotonic() + PATIENCE_S)
        waiting = batcher.submit(pairs("b"))
        batcher.close()
        assert scores(waiting) == [1]
        assert monotonic() - began < PATIENCE_S / 2


class TestStatistics:
    def test_outcomes_and_times(self) -> None:
        clock = ScriptedClock()
        model = GatedReranker(clock=clock, service_s=0.5)
        model.fail = poison("bad")
        with busy(model, clock=clock, max_queue_pairs=5, max_batch_s=9.0) as batcher:
            waiting = [batcher.submit(pairs("a", "b")), batcher.submit(pairs("first"))]
            batcher.submit(pairs("gone")).cancel()
            with pytest.raises(DeadlineExceededError):
                batcher.score(pairs("late"), deadline=clock())
            with pytest.raises(QueueFullError):
                batcher.submit(pairs("c", "d", "e"))
            model.let_go(2)
            assert [scores(future) for future in waiting] == [[1, 1], [5]]
            model.let_go()
            with pytest.raises(ValueError, match="bad"):
                batcher.score(pairs("bad"))
            stats = batcher.get_stats()
        assert {name: stats[name] for name in ("kind", "concurrency", "calls", "pairs")} == {
            "kind": "compute-bound", "concurrency": 1, "calls": 2, "pairs": 3,
        }  # fmt: skip
        outcomes = {"answered": 3, "shared": 1, "refused": 1, "late": 1, "cancelled": 1, "failed": 1}
        assert {name: stats[name] for name in outcomes} == outcomes
        assert stats["wait_s"] == {"mean": 0.25, "p50": 0.0, "p95": 0.5, "max": 0.5}
        assert stats["service_s"] == {"mean": 0.5, "p50": 0.5, "p95": 0.5, "max": 0.5}
        assert (stats["batch_pairs"]["max"], stats["batch_requests"]["max"]) == (2, 1)

    def test_without_calls(self) -> None:
        with AsyncBatchReranker(ScriptedReranker()) as reranker:
            stats = reranker.get_stats()
        assert (stats["answered"], stats["wait_s"]) == (0, {})


@pytest.mark.parametrize("deadline", [1e10, 1e300, float("inf")])
@pytest.mark.parametrize("is_awaited", [False, True])
async def test_a_deadline_may_be_as_late_as_one_likes(deadline: float, is_awaited: bool) -> None:
    async def score_awaited(query: str, texts: list[str]) -> list[float]:
        return [float(len(text)) for text in texts]

    async with Batcher(adapt(score_awaited) if is_awaited else ScriptedReranker()) as batcher:
        assert (await batcher.ascore(pairs("a"), deadline=deadline)).tolist() == [1]
        assert (await asyncio.to_thread(batcher.score, pairs("a"), deadline=deadline)).tolist() == [1]


class TestRateLimit:
    @pytest.mark.parametrize("is_async", [False, True])
    def test_calls_begin_no_sooner_than_it_allows(self, is_async: bool) -> None:
        calls: list[float] = []

        def remember(query: str, texts: list[str]) -> list[float]:
            calls.append(monotonic())
            return [1.0] * len(texts)

        async def aremember(query: str, texts: list[str]) -> list[float]:
            return remember(query, texts)

        reranker = adapt(aremember if is_async else remember, concurrency=50)
        with Batcher(reranker, requests_per_minute=6000) as batcher:
            began = monotonic()
            futures = [batcher.submit(pairs("a", query=f"q{number}")) for number in range(70)]
            assert [scores(future) for future in futures] == [[1.0]] * 70
        # 50 at once, half a second's share, and then one every 10 ms.
        assert 0.19 < calls[-1] - began < PATIENCE_S
        assert sum(call - began < 0.1 for call in calls) <= 61

    def test_a_request_that_would_begin_after_its_deadline_is_refused_at_once(self) -> None:
        served = list[Served]()
        with Batcher(ScriptedReranker(), requests_per_minute=1) as batcher:
            batcher.score(pairs("a"))
            with pytest.raises(DeadlineExceededError, match="begin in 60 s, and its deadline is in 30 s"):
                batcher.score(pairs("b"), deadline=monotonic() + 30, on_served=served.append)
            load = batcher.load()
            assert load.busy
            assert load.wait_s > 50
        assert served == [Served()]

    async def test_one_that_is_awaited_is_refused_too(self) -> None:
        async def score(query: str, texts: list[str]) -> list[float]:
            return [1.0] * len(texts)

        async with Batcher(adapt(score), requests_per_minute=1) as batcher:
            await batcher.ascore(pairs("a"))
            with pytest.raises(DeadlineExceededError, match="begin in"):
                await batcher.ascore(pairs("b"), deadline=monotonic() + 30)
            assert batcher.load().wait_s > 50

    def test_a_pause_that_the_service_asks_for_holds_all_calls(self) -> None:
        class Pausing(ScriptedReranker):
            def on_pause(self, listener: Callable[[float], object]) -> None:
                self.pause = listener

        model = Pausing()
        with Batcher(model) as batcher:
            model.pause(0.1)
            began = monotonic()
            batcher.score(pairs("a"))
            assert monotonic() - began >= 0.1
