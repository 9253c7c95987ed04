"""Waiting for what another thread or a coroutine gives, not longer than allowed."""

import asyncio
from concurrent.futures import Future

import pytest

from semcache.errors import DeadlineExceededError
from semcache.runtime.futures import auntil_done, within


async def test_waiting_ends_with_the_future_or_on_time_and_leaves_the_future_alone() -> None:
    never: Future[int] = Future()
    await auntil_done(never, 0.01)
    assert not never.done()
    assert not never.cancelled()
    done: Future[int] = Future()
    done.set_exception(StopIteration("not for asyncio's futures"))
    await auntil_done(done, None)


async def test_a_future_that_is_done_after_its_waiter_left_disturbs_no_loop() -> None:
    late: Future[int] = Future()
    waiting = asyncio.ensure_future(auntil_done(late, None))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    late.set_result(1)
    await asyncio.sleep(0)


def test_a_future_that_is_done_after_its_loop_was_closed_raises_nothing() -> None:
    late: Future[int] = Future()
    asyncio.run(auntil_done(late, 0.01))
    late.set_result(1)


async def test_a_late_coroutine_is_cancelled_and_its_subject_named() -> None:
    ended = asyncio.Event()

    async def late() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(DeadlineExceededError, match=r"the service did not answer within 0.01 s"):
        await within(late(), "the service", 0.01)
    await asyncio.wait_for(ended.wait(), 10)


async def test_a_coroutine_in_time_gives_its_result_or_its_own_error() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 1

    async def fail() -> int:
        raise TimeoutError("mine")

    assert await within(answer(), "the service", None) == 1
    with pytest.raises(TimeoutError, match=r"^mine$"):
        await within(fail(), "the service", 10)
