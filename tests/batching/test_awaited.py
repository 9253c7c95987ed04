"""Asynchronous rerankers behind a batcher: no queue and no thread, and yet its bounds, deadlines and reports."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import numpy as np
import pytest

from semcache.batching.batcher import Batcher
from semcache.batching.jobs import NEVER_RUN, Served
from semcache.batching.reranker import AsyncBatchReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.errors import DeadlineExceededError, QueueFullError, RerankerError, SemcacheError
from semcache.events import BatchScored, Event
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.awaiting import OWN_LOOP
from tests.forks import in_child
from tests.scripted import PATIENCE_S, ScriptedClock

# A deadline that passes while a call is under way; long enough that the call has begun before.
SOON_S = 0.2


class Remote:
    """Scores a pair by the length of its text, once the gate is open, and knows how many calls are under way."""

    name = "remote"
    listwise = False

    def __init__(self, clock: ScriptedClock | None = None) -> None:
        self.clock = clock
        self.calls: list[int] = []
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.under_way = self.most = 0
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None
        self.cancelled = threading.Event()
        self.asked: Callable[[Sequence[Pair]], object] = len

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        raise AssertionError("only awaited")

    async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        self.calls.append(len(pairs))
        self.asked(pairs)
        self.loops.append(asyncio.get_running_loop())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.under_way -= 1
        if self.clock is not None:
            self.clock.pass_(0.5)
        if self.error is not None:
            raise self.error
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


def pairs(*texts: str) -> list[Pair]:
    return [("q", text) for text in texts]


async def test_requests_go_out_at_once_on_the_loop_of_their_callers() -> None:
    remote = Remote()
    remote.gate = asyncio.Event()
    async with Batcher(remote) as batcher:
        requests = [asyncio.create_task(batcher.ascore(pairs("a" * at))) for at in range(5)]
        while remote.under_way < 5:
            await asyncio.sleep(0)
        assert not batcher.load().busy
        remote.gate.set()
        assert [scores.tolist() for scores in await asyncio.gather(*requests)] == [[0], [1], [2], [3], [4]]
    assert set(remote.loops) == {asyncio.get_running_loop()}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("semcache-model")]


def test_callers_without_a_loop_wait_for_one_of_ours() -> None:
    remote = Remote()
    with Batcher(remote) as batcher, ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda at: batcher.score(pairs("a" * at)).tolist(), range(4))) == [[0], [1], [2], [3]]
        assert batcher.submit(pairs("bb")).result(PATIENCE_S).tolist() == [2]
    assert len(set(remote.loops)) == 1


async def test_no_pairs_are_no_call() -> None:
    remote = Remote()
    async with Batcher(remote) as batcher:
        assert (await batcher.ascore([])).tolist() == []
        assert batcher.score([]).tolist() == []
        assert batcher.submit([]).result(0).tolist() == []
    assert remote.calls == []


async def test_a_deadline_frees_the_caller_and_the_call_is_still_measured() -> None:
    clock, served = ScriptedClock(), list[Served]()
    remote = Remote(clock)
    remote.gate = asyncio.Event()
    async with Batcher(remote, clock=clock) as batcher:
        with pytest.raises(DeadlineExceededError, match="remote did not answer before the deadline"):
            await batcher.ascore(pairs("a"), deadline=clock() + SOON_S, on_served=served.append)
        assert served == []
        remote.gate.set()
        while not served:
            await asyncio.sleep(0)
    assert served == [Served(0.5, 1)]


def test_a_deadline_frees_a_caller_without_a_loop() -> None:
    remote = Remote()

    async def never(pairs: Sequence[Pair]) -> FloatArray:
        await asyncio.Event().wait()
        raise AssertionError

    remote.ascore_pairs = never  # type: ignore[method-assign]
    with Batcher(remote) as batcher, pytest.raises(DeadlineExceededError):
        batcher.score(pairs("a"), deadline=monotonic() + SOON_S)


async def test_a_cancelled_caller_cancels_the_call_and_counts_for_nothing() -> None:
    served: list[Served] = []
    remote = Remote()
    remote.gate = asyncio.Event()
    async with Batcher(remote, max_queue_pairs=1) as batcher:
        request = asyncio.create_task(batcher.ascore(pairs("a"), on_served=served.append))
        while not remote.under_way:
            await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        while not served:
            await asyncio.sleep(0)
        assert served == [NEVER_RUN]
        assert remote.cancelled.is_set()
        # Its pairs are no longer under way: the bound of one pair lets the next one through.
        remote.gate.set()
        waiting = asyncio.create_task(batcher.ascore(pairs("bb")))
        assert (await waiting).tolist() == [2]


def test_a_call_that_is_cancelled_before_it_has_begun_counts_for_nothing() -> None:
    served: list[Served] = []
    may_go_on = threading.Event()

    async def block_the_loop() -> None:
        assert may_go_on.wait(PATIENCE_S)

    remote = Remote()
    with Batcher(remote, max_queue_pairs=1) as batcher:
        OWN_LOOP.submit(block_the_loop())
        assert batcher.submit(pairs("a"), on_served=served.append).cancel()
        may_go_on.set()
        assert served == [NEVER_RUN]
        assert batcher.score(pairs("bb")).tolist() == [2]
    assert served == [NEVER_RUN]


async def test_errors_are_reported_and_reach_the_caller() -> None:
    served: list[Served] = []
    remote = Remote()
    remote.error = ConnectionError("no route to host")
    async with Batcher(remote) as batcher:
        with pytest.raises(ConnectionError, match="no route"):
            await batcher.ascore(pairs("a"), on_served=served.append)
    assert [report.error for report in served] == [remote.error]


async def test_wrong_scores_are_an_error_of_the_reranker() -> None:
    remote = Remote()

    async def too_few(pairs: Sequence[Pair]) -> FloatArray:
        return np.zeros(1, dtype=np.float32)

    remote.ascore_pairs = too_few  # type: ignore[method-assign]
    async with Batcher(remote) as batcher:
        with pytest.raises(RerankerError, match="remote gave 1 scores for 2 pairs"):
            await batcher.ascore(pairs("a", "b"))


async def test_what_waits_is_bounded() -> None:
    served: list[Served] = []
    remote = Remote()
    remote.gate = asyncio.Event()
    async with Batcher(remote, concurrency=1, max_queue_pairs=3) as batcher:
        waiting = [asyncio.create_task(batcher.ascore(pairs(*texts))) for texts in ("a", "bcde")]
        while batcher.waiting_pairs < 4:  # in an empty queue any number of pairs may wait
            await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="4 pairs are waiting, 1 more would exceed 3"):
            await batcher.ascore(pairs("f"), on_served=served.append)
        assert served == [NEVER_RUN]
        remote.gate.set()
        assert [len(scores) for scores in await asyncio.gather(*waiting)] == [1, 4]
        assert (await batcher.ascore(pairs("f"))).tolist() == [1]


async def test_calls_at_once_are_bounded_first_come_first_served() -> None:
    remote = Remote()
    remote.gate = asyncio.Event()
    async with Batcher(remote, concurrency=2) as batcher:
        requests = [asyncio.create_task(batcher.ascore(pairs(*"abcdef"[: at + 1]))) for at in range(6)]
        while remote.under_way < 2:
            await asyncio.sleep(0)
        assert remote.calls == [1, 2]
        assert batcher.load().busy
        requests[3].cancel()
        remote.gate.set()
        await asyncio.gather(*requests, return_exceptions=True)
    assert (remote.calls, remote.most) == ([1, 2, 3, 5, 6], 2)
    assert (batcher.waiting_pairs, batcher.busy) == (0, False)


async def test_one_that_waits_for_its_turn_is_never_called_after_its_deadline() -> None:
    served: list[Served] = []
    remote = Remote()
    remote.gate = asyncio.Event()
    async with Batcher(remote, concurrency=1) as batcher:
        first = asyncio.create_task(batcher.ascore(pairs("a")))
        while not remote.under_way:
            await asyncio.sleep(0)
        with pytest.raises(DeadlineExceededError):
            await batcher.ascore(pairs("bb"), deadline=monotonic() + 0.02, on_served=served.append)
        while batcher.waiting_pairs:
            await asyncio.sleep(0)
        assert (served, batcher.abandoned) == ([NEVER_RUN], 0)
        remote.gate.set()
        await first
    assert remote.calls == [1]


async def test_several_event_loops_share_the_calls_at_once() -> None:
    class Slow(Remote):
        async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0.005)
            self.under_way -= 1
            return np.zeros(len(pairs), dtype=np.float32)

    remote = Slow()
    async with Batcher(remote, concurrency=3) as batcher:

        async def several(loop: int) -> None:
            await asyncio.gather(*(batcher.ascore([(f"q{loop}", f"text {at}")]) for at in range(10)))

        with ThreadPoolExecutor(4) as threads:
            futures = [threads.submit(asyncio.run, several(loop)) for loop in range(3)]
            futures.append(threads.submit(batcher.score, pairs("a")))
            await asyncio.gather(several(3), *map(asyncio.wrap_future, futures))
    assert remote.most == 3


async def test_observers_hear_of_every_call() -> None:
    events: list[Event] = []
    async with Batcher(Remote(ScriptedClock()), on_event=events.append) as batcher:
        await batcher.ascore(pairs("a", "b"))
    assert [(event.reranker, event.pairs, event.requests) for event in events if isinstance(event, BatchScored)] == [
        ("remote", 2, 1)
    ]


async def test_the_load_is_that_of_the_calls_at_once() -> None:
    clock = ScriptedClock()
    remote = Remote(clock)
    async with Batcher(remote, concurrency=2, clock=clock) as batcher:
        await batcher.ascore(pairs("warm"))  # takes 0.5 s
        remote.gate = asyncio.Event()
        tasks = [asyncio.create_task(batcher.ascore(pairs(str(at)))) for at in range(4)]
        while remote.under_way < 2:
            await asyncio.sleep(0)
        clock.pass_(0.25)
        load = batcher.load()
        assert (load.busy, load.abandoned) == (True, 0)
        # The rest of the two under way, and the two that wait, side by side.
        assert load.wait_s == pytest.approx(0.25 + 0.5)
        remote.gate.set()
        await asyncio.gather(*tasks)


def test_a_forked_child_has_none_of_the_parents_calls() -> None:
    remote = Remote()
    gate = threading.Event()

    async def blocked(asked: Sequence[Pair]) -> FloatArray:
        await asyncio.to_thread(gate.wait, PATIENCE_S)
        return np.zeros(len(asked), dtype=np.float32)

    remote.ascore_pairs, unblocked = blocked, remote.ascore_pairs  # type: ignore[method-assign]
    with Batcher(remote, concurrency=1) as batcher:
        waiting = [batcher.submit(pairs(text)) for text in ("a", "bb")]

        def score() -> tuple[int, bool, list[float]]:
            remote.ascore_pairs = unblocked  # type: ignore[method-assign]
            before = batcher.waiting_pairs, batcher.busy
            return *before, batcher.score(pairs("a")).tolist()

        assert in_child(score) == (0, False, [1.0])
        gate.set()
        assert [future.result(PATIENCE_S).tolist() for future in waiting] == [[0], [0]]


class TestSingleFlight:
    async def test_a_pair_that_is_asked_about_is_not_asked_about_again(self) -> None:
        served: list[Served] = []
        remote = Remote()
        remote.gate = asyncio.Event()
        async with Batcher(remote) as batcher:
            leader = asyncio.create_task(batcher.ascore(pairs("a", "bb", "a")))
            while not remote.under_way:
                await asyncio.sleep(0)
            follower = asyncio.create_task(batcher.ascore(pairs("bb", "a"), on_served=served.append))
            # A caller without a loop, whose call runs on another one.
            in_thread = asyncio.create_task(asyncio.to_thread(batcher.score, pairs("bb")))
            other = asyncio.create_task(batcher.ascore(pairs("a", "ccc")))
            while remote.under_way < 2:
                await asyncio.sleep(0)
            remote.gate.set()
            assert [(await task).tolist() for task in (leader, follower, other)] == [[1, 2, 1], [2, 1], [1, 3]]
            assert (await in_thread).tolist() == [2]
            assert batcher.get_stats()["shared"] == 2
        assert (remote.calls, served) == ([2, 2], [NEVER_RUN])

    @pytest.mark.parametrize("is_cancelled", [True, False])
    async def test_where_the_leader_ends_without_scores_one_of_the_others_leads(self, is_cancelled: bool) -> None:
        remote = Remote()
        remote.gate = asyncio.Event()
        async with Batcher(remote) as batcher:
            leader, *others = (asyncio.create_task(batcher.ascore(pairs("a"))) for _ in range(4))
            while not remote.under_way:
                await asyncio.sleep(0)
            if is_cancelled:
                leader.cancel()
                remote.gate.set()
            else:
                remote.error = ConnectionError("down")
                remote.gate.set()
                with pytest.raises(ConnectionError):
                    await leader
                remote.error = None
            assert [(await other).tolist() for other in others] == [[1]] * 3
        assert len(remote.calls) == 2

    async def test_a_failure_is_tried_once_more_and_then_that_of_all_who_wait(self) -> None:
        served: list[Served] = []
        remote = Remote()
        remote.gate = asyncio.Event()
        remote.error = ConnectionError("down")
        async with Batcher(remote) as batcher:
            waiting = [asyncio.create_task(batcher.ascore(pairs("a"), on_served=served.append)) for _ in range(20)]
            while not remote.under_way:
                await asyncio.sleep(0)
            remote.gate.set()
            errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(error) for error in errors} == {ConnectionError}
        assert len(remote.calls) == 2
        assert len(served) == 20 and sum(one.error is not None for one in served) == 2

    async def test_a_follower_has_its_own_deadline_and_may_be_cancelled(self) -> None:
        served: list[Served] = []
        remote = Remote()
        remote.gate = asyncio.Event()
        async with Batcher(remote) as batcher:
            leader = asyncio.create_task(batcher.ascore(pairs("a")))
            while not remote.under_way:
                await asyncio.sleep(0)
            with pytest.raises(DeadlineExceededError):
                await batcher.ascore(pairs("a"), deadline=monotonic() + 0.01, on_served=served.append)
            follower = asyncio.create_task(batcher.ascore(pairs("a"), on_served=served.append))
            await asyncio.sleep(0)
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
            assert served == [NEVER_RUN, NEVER_RUN]
            remote.gate.set()
            assert (await leader).tolist() == [1]

    async def test_an_order_is_never_shared(self) -> None:
        remote = Remote()
        remote.listwise = True
        async with Batcher(remote) as batcher:
            await asyncio.gather(*(batcher.ascore(pairs("a", "bb")) for _ in range(3)))
        assert remote.calls == [2, 2, 2]


async def test_the_end_waits_for_those_in_the_line() -> None:
    remote = Remote()
    remote.gate = asyncio.Event()
    batcher = Batcher(remote, concurrency=2)
    requests = [asyncio.create_task(batcher.ascore(pairs("a" * at))) for at in range(6)]
    while remote.under_way < 2:
        await asyncio.sleep(0)
    closing = asyncio.create_task(batcher.aclose())
    asyncio.get_running_loop().call_later(0.02, remote.gate.set)
    await closing
    assert [request.done() for request in requests] == [True] * 6
    assert [(await request).tolist() for request in requests] == [[0], [1], [2], [3], [4], [5]]


async def test_without_drain_those_that_wait_fail() -> None:
    remote = Remote()
    remote.gate = asyncio.Event()
    batcher = Batcher(remote, concurrency=1)
    first, second = (asyncio.create_task(batcher.ascore(pairs(text))) for text in ("a", "bb"))
    while not remote.under_way:
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.02, remote.gate.set)
    await batcher.aclose(drain=False)
    assert (await first).tolist() == [1]
    with pytest.raises(SemcacheError, match="closed before"):
        await second
    assert remote.calls == [1]


async def test_a_service_that_hangs_is_given_up_and_its_callers_are_told() -> None:
    remote = Remote()
    remote.gate = asyncio.Event()
    batcher = Batcher(remote, concurrency=1)
    requests = [asyncio.create_task(batcher.ascore(pairs(text))) for text in ("a", "bb")]
    while not remote.under_way:
        await asyncio.sleep(0)
    await batcher.aclose(stuck_after_s=0.02)
    results = await asyncio.gather(*requests, return_exceptions=True)
    # None of them was cancelled by its caller, whose own task goes on.
    assert [type(result) for result in results] == [SemcacheError, SemcacheError]
    assert remote.cancelled.is_set()


async def test_close_says_what_it_gave_up_when_its_time_was_over(caplog: pytest.LogCaptureFixture) -> None:
    remote = Remote()
    remote.gate = asyncio.Event()
    batcher = Batcher(remote, concurrency=1)
    requests = [asyncio.create_task(batcher.ascore(pairs(text))) for text in ("a", "bb", "ccc")]
    while not remote.under_way:
        await asyncio.sleep(0)
    await batcher.aclose(timeout_s=0.02)
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(result) for result in results] == [SemcacheError] * 3
    [line] = [record.getMessage() for record in caplog.records]
    assert line.endswith("closed, and calls that do not end were cancelled: 1; requests that waited and failed: 2")


async def test_close_in_a_running_loop_leaves_those_in_the_line_to_it() -> None:
    remote = Remote()
    remote.gate = asyncio.Event()
    batcher = Batcher(remote)
    request = asyncio.create_task(batcher.ascore(pairs("a")))
    while not remote.under_way:
        await asyncio.sleep(0)
    batcher.close()
    remote.gate.set()
    assert (await request).tolist() == [1]


def test_one_that_was_submitted_is_not_asked_about_after_its_deadline() -> None:
    clock = ScriptedClock()
    remote = Remote(clock)
    with Batcher(remote, concurrency=1, clock=clock) as batcher:
        soon = clock() + 0.2
        first = batcher.submit(pairs("a"))
        late = batcher.submit(pairs("bb"), deadline=soon)
        assert first.result(PATIENCE_S).tolist() == [1]
        with pytest.raises(DeadlineExceededError):
            late.result(PATIENCE_S)
    assert remote.calls == [1]


async def test_a_closed_batcher_takes_nothing() -> None:
    batcher = Batcher(Remote())
    await batcher.aclose()
    with pytest.raises(SemcacheError, match="closed"):
        await batcher.ascore(pairs("a"))
    with pytest.raises(SemcacheError, match="closed"):
        batcher.score(pairs("a"))


async def test_many_requests_are_awaited_on_the_loop_of_their_caller_and_split() -> None:
    remote = Remote()
    async with AsyncBatchReranker(remote, max_pairs_per_call=2) as reranker:
        rankings = await reranker.batch_rerank_async(["q", "r"], [["a", "bbb", "cc"], ["dd"]], 2)
    assert [list(ranking) for ranking in rankings] == [["bbb", "cc"], ["dd"]]
    assert set(remote.loops) == {asyncio.get_running_loop()}
    assert sorted(remote.calls) == [1, 1, 2]


async def test_a_failing_request_of_many_cancels_the_others() -> None:
    class Failing(Remote):
        async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
            if pairs[0][0] == "bad":
                raise ConnectionError("no route to host")
            return await super().ascore_pairs(pairs)

    remote = Failing()
    remote.gate = asyncio.Event()
    async with AsyncBatchReranker(remote) as reranker:
        with pytest.raises(ConnectionError):
            await reranker.batch_rerank_async(["q", "bad"], [["a"], ["b"]], 1)
        while remote.under_way:
            await asyncio.sleep(0)
    assert remote.cancelled.is_set()


async def test_a_ladder_falls_back_from_it_and_leaves_it_alone_in_the_background() -> None:
    remote = Remote()
    async with DegradableReranker(remote, None, LatencyMonitor()) as reranker:
        assert list(await reranker.arerank("q", ["a", "bb"])) == ["bb", "a"]
        assert reranker.score_when_idle("q", ["a"], [0]).reason == "awaited"
        remote.error = ConnectionError("no route to host")
        assert (await reranker.arerank("q", ["a", "bb"])).reason == "error"
