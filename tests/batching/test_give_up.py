"""Calls that hang are given up: their callers fail, and others take their places."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from semcache.batching.batcher import Batcher
from semcache.errors import RerankerHungError
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.adapt import adapt
from tests.scripted import PATIENCE_S, GatedReranker, ScriptedClock


def pairs(*texts: str) -> list[Pair]:
    return [("q", text) for text in texts]


@pytest.fixture
def clock() -> ScriptedClock:
    return ScriptedClock()


def model_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("semcache-model")}


class TestThreads:
    def test_callers_fail_and_the_next_request_is_scored_by_another_thread(self, clock: ScriptedClock) -> None:
        model = GatedReranker(clock=clock)
        with Batcher(model, clock=clock) as batcher:
            hung = batcher.submit(pairs("a"))
            model.wait_until_inside()
            waiting = batcher.submit(pairs("bb"))
            clock.pass_(10.0)
            assert batcher.give_up(10.1) == 0
            assert batcher.give_up(10.0) == 1
            with pytest.raises(RerankerHungError, match="gated did not answer within 10 s"):
                hung.result(PATIENCE_S)
            model.wait_until_inside()
            assert batcher.load().since == clock()
            model.let_go(2)
            assert waiting.result(PATIENCE_S).tolist() == [2.0]
        assert batcher.give_up(0.0) == 0

    def test_a_late_answer_of_such_a_call_is_dropped_and_its_thread_ends(self, clock: ScriptedClock) -> None:
        model = GatedReranker(clock=clock)
        served: list[object] = []
        with Batcher(model, clock=clock) as batcher:
            before = model_threads()
            hung = batcher.submit(pairs("a"), on_served=served.append)
            model.wait_until_inside()
            [stuck] = model_threads() - before
            assert batcher.give_up(0.0) == 1
            model.let_go()
            stuck.join(PATIENCE_S)
            assert not stuck.is_alive()
            assert isinstance(hung.exception(PATIENCE_S), RerankerHungError)
            assert len(served) == 1
            assert batcher.load().cost is None, "its time says nothing about the next calls"

    def test_a_batch_is_given_up_with_all_its_requests_also_while_it_is_bisected(self, clock: ScriptedClock) -> None:
        model = GatedReranker(clock=clock)
        model.fail = lambda asked: ValueError("too many") if len(asked) > 1 else None
        with Batcher(model, clock=clock) as batcher:
            first = batcher.submit(pairs("first"))
            model.wait_until_inside()
            batch = [batcher.submit(pairs(text)) for text in ("a", "bb", "ccc")]
            # The first call, the batch, which fails, and its first half.
            model.let_go(3)
            for _ in range(3):
                model.wait_until_inside()
            assert first.result(PATIENCE_S).tolist() == [5.0]
            assert batch[0].result(PATIENCE_S).tolist() == [1.0]
            assert batcher.give_up(0.0) == 1
            for job in batch[1:]:
                assert isinstance(job.exception(PATIENCE_S), RerankerHungError)
            model.let_go(3)

    def test_no_more_threads_than_four_are_left_to_their_calls(self, clock: ScriptedClock) -> None:
        model = GatedReranker(clock=clock)
        with Batcher(model, clock=clock) as batcher:
            for count in (1, 1, 1, 1, 0):
                batcher.submit(pairs("a"))
                model.wait_until_inside()
                assert batcher.give_up(0.0) == count
            model.let_go(5)

    def test_closing_does_not_wait_for_them(self, clock: ScriptedClock) -> None:
        model = GatedReranker(clock=clock)
        batcher = Batcher(model, clock=clock)
        batcher.submit(pairs("a"))
        model.wait_until_inside()
        batcher.give_up(0.0)
        batcher.close()
        model.let_go()


class TestAwaited:
    async def test_the_call_is_cancelled_and_its_place_is_free(self, clock: ScriptedClock) -> None:
        began, cancelled = asyncio.Event(), asyncio.Event()

        async def score(query: str, documents: Sequence[str]) -> Sequence[float]:
            if documents == ["hangs"]:
                began.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled.set()
                    raise
            return [float(len(text)) for text in documents]

        async with Batcher(adapt(score, name="score"), concurrency=1, clock=clock) as batcher:
            hung = asyncio.create_task(batcher.ascore(pairs("hangs")))
            await began.wait()
            waiting = asyncio.create_task(batcher.ascore(pairs("bb")))
            await asyncio.sleep(0)
            clock.pass_(10.0)
            assert batcher.give_up(10.0) == 1
            scores: FloatArray = await asyncio.wait_for(waiting, PATIENCE_S)
            assert scores.tolist() == [2.0]
            with pytest.raises(RerankerHungError, match="score did not answer"):
                await hung
            assert cancelled.is_set()
            assert batcher.load().since is None
