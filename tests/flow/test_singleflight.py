"""Equal requests share one computation; a caller that leaves does not disturb the others."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from semcache.flow.singleflight import AsyncSingleFlight, SingleFlight
from tests.forks import in_child


class Gate:
    """A computation that waits until it is let through, and counts."""

    def __init__(self, result: object = "result") -> None:
        self.started, self.open = threading.Event(), threading.Event()
        self.count = 0
        self.result = result

    def __call__(self) -> object:
        self.count += 1
        self.started.set()
        assert self.open.wait(10)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def _followers(
    flight: SingleFlight, pool: ThreadPoolExecutor, gate: Gate, number: int
) -> tuple[Future[object], list[Future[object]]]:
    leader = pool.submit(flight.do, "key", gate)
    assert gate.started.wait(10)
    entered = threading.Barrier(number + 1)

    def follow() -> object:
        entered.wait(10)
        return flight.do("key", gate)

    followers = [pool.submit(follow) for _ in range(number)]
    entered.wait(10)
    return leader, followers


def test_equal_calls_share_one_computation() -> None:
    flight, gate = SingleFlight(), Gate()
    with ThreadPoolExecutor(9) as pool:
        leader, followers = _followers(flight, pool, gate, 8)
        gate.open.set()
        assert leader.result(10) == "result"
        assert {follower.result(10) for follower in followers} == {"result"}
    assert flight.do("key", lambda: "new") == "new"


def test_other_keys_do_not_wait() -> None:
    flight, gate = SingleFlight(), Gate()
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(flight.do, "key", gate)
        assert gate.started.wait(10)
        assert flight.do("other", lambda: 1) == 1
        gate.open.set()
        assert leader.result(10) == "result"


def test_an_error_is_everybodys_but_not_the_next_ones() -> None:
    flight, gate = SingleFlight(), Gate(ValueError("bad"))
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(flight.do, "key", gate)
        gate.open.set()
        with pytest.raises(ValueError, match="bad"):
            leader.result(10)
    assert flight.do("key", lambda: 2) == 2


def test_an_interrupted_leader_hands_over() -> None:
    flight, gate = SingleFlight(), Gate(KeyboardInterrupt())
    outcomes = []

    def lead() -> None:
        try:
            flight.do("key", gate)
        except KeyboardInterrupt:
            outcomes.append("interrupted")

    leader = threading.Thread(target=lead)
    leader.start()
    assert gate.started.wait(10)
    with ThreadPoolExecutor(1) as pool:
        follower = pool.submit(flight.do, "key", lambda: "by the follower")
        gate.open.set()
        assert follower.result(10) == "by the follower"
    leader.join(10)
    assert outcomes == ["interrupted"]


async def test_tasks_share_one_computation_and_the_first_may_leave() -> None:
    flight, gate, count = AsyncSingleFlight(), asyncio.Event(), 0

    async def compute() -> str:
        nonlocal count
        count += 1
        await gate.wait()
        return "result"

    tasks = [asyncio.ensure_future(flight.do("key", compute)) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*tasks[1:]) == ["result"] * 4
    assert tasks[0].cancelled()
    assert count == 1


async def test_the_computation_is_cancelled_when_no_task_waits_and_starts_anew_for_the_next() -> None:
    flight, cancelled = AsyncSingleFlight(), asyncio.Event()

    async def compute() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    tasks = [asyncio.ensure_future(flight.do("key", compute)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    assert await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait_for(cancelled.wait(), 10)

    async def quick() -> str:
        return "new"

    assert await flight.do("key", quick) == "new"
    assert repr(flight) == "<AsyncSingleFlight: 0 under way>"


async def test_an_error_reaches_every_waiting_task() -> None:
    flight = AsyncSingleFlight()

    async def compute() -> str:
        await asyncio.sleep(0)
        raise ValueError("bad")

    outcomes = await asyncio.gather(*(flight.do("key", compute) for _ in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["bad"] * 3


def test_a_forked_child_waits_for_no_leader_of_its_parent() -> None:
    flight: SingleFlight[object] = SingleFlight()
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(flight.do, "key", gate)
        assert gate.started.wait(10)
        assert in_child(lambda: flight.do("key", lambda: "the child's")) == "the child's"
        gate.open.set()
        assert leader.result(10) == "result"
    assert repr(flight) == "<SingleFlight: 0 under way>"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of tasks that vanish unfinished
def test_a_flight_of_a_closed_loop_is_forgotten_with_its_loop() -> None:
    flight: AsyncSingleFlight[object] = AsyncSingleFlight()
    loop = asyncio.new_event_loop()
    task = loop.create_task(flight.do("key", asyncio.Event().wait))
    loop.run_until_complete(asyncio.wait([task], timeout=0))
    assert repr(flight) == "<AsyncSingleFlight: 1 under way>"
    loop.close()

    async def answer() -> object:
        return "another loop's"

    assert asyncio.run(flight.do("key", answer)) == "another loop's"
    assert repr(flight) == "<AsyncSingleFlight: 0 under way>"
    del task
    gc.collect()


def test_loops_that_ended_are_not_kept() -> None:
    flight: AsyncSingleFlight[weakref.ref[asyncio.AbstractEventLoop]] = AsyncSingleFlight()

    async def answer() -> weakref.ref[asyncio.AbstractEventLoop]:
        return weakref.ref(asyncio.get_running_loop())

    ended = [asyncio.run(flight.do("key", answer)) for _ in range(3)]
    gc.collect()
    assert [loop() for loop in ended] == [None] * 3


async def test_a_forked_child_waits_for_no_task_of_its_parent() -> None:
    flight: AsyncSingleFlight[str] = AsyncSingleFlight()
    gate = asyncio.Event()

    async def wait() -> str:
        await gate.wait()
        return "the parent's"

    async def answer() -> str:
        return "the child's"

    waiting = asyncio.ensure_future(flight.do("key", wait))
    await asyncio.sleep(0)
    assert in_child(lambda: in_a_thread(lambda: asyncio.run(flight.do("key", answer)))) == "the child's"
    gate.set()
    assert await waiting == "the parent's"


def in_a_thread(call: Callable[[], str]) -> str:
    # The thread of a child that was forked inside a running loop may still believe that it runs there.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(10)
