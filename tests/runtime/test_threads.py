"""A bounded pool: callers may give up, calls that hang hold up no exit, and no thread is left over."""

import asyncio
import gc
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread, current_thread
from threading import enumerate as all_threads
from time import monotonic

import pytest

from semcache.errors import DeadlineExceededError
from semcache.runtime.threads import ThreadPool
from tests.forks import PATIENCE_S, in_child

SOON_S = 0.05


def threads_of(name: str) -> int:
    return sum(thread.name == name for thread in all_threads())


def test_a_call_gives_its_result_or_its_error() -> None:
    pool = ThreadPool(1, "results")
    assert pool.call(lambda: 1, "one") == 1
    with pytest.raises(ZeroDivisionError):
        pool.call(lambda: 1 // 0, "none")
    with pytest.raises(TimeoutError, match=r"^mine$"):
        pool.call(lambda: _raise(TimeoutError("mine")), "timeouts", 5)
    assert pool.call(lambda: current_thread().name, "name") == "results"


def test_each_item_is_called_once_by_the_caller_and_the_pool_at_the_same_time() -> None:
    pool, both = ThreadPool(1, "each"), Barrier(2)

    def call(item: int) -> tuple[int, str]:
        if item < 2:  # one thread alone would wait here for the other
            both.wait(PATIENCE_S)
        return item * item, current_thread().name

    found = pool.each(call, range(10))
    assert [square for square, _ in found] == [item * item for item in range(10)]
    assert {name for _, name in found[:2]} == {"each", current_thread().name}
    assert pool.each(call, []) == []


def test_each_ends_with_the_first_error_and_leaves_out_what_had_not_begun() -> None:
    pool, begun = ThreadPool(1, "each-error"), []
    both = Barrier(2)

    def call(item: int) -> None:
        begun.append(item)
        both.wait(PATIENCE_S)
        raise KeyError(item)

    with pytest.raises(KeyError):
        pool.each(call, range(100))
    assert len(begun) == 2
    assert pool.call(lambda: 1, "still there") == 1


def test_each_does_not_wait_for_threads_that_are_busy_elsewhere() -> None:
    pool, go, busy = ThreadPool(1, "each-busy"), Event(), Event()

    def hold() -> None:
        busy.set()
        go.wait(PATIENCE_S)

    with ThreadPoolExecutor(1) as other:
        held = other.submit(pool.call, hold, "held", PATIENCE_S)
        assert busy.wait(PATIENCE_S)
        assert pool.each(lambda item: current_thread().name, range(3)) == [current_thread().name] * 3
        go.set()
        held.result()


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [StopIteration("stop"), SystemExit(3), asyncio.CancelledError()])
def test_no_error_of_a_call_ends_the_thread_or_hangs_a_task(error: BaseException) -> None:
    pool = ThreadPool(1, "errors")
    with pytest.raises(type(error)):
        pool.call(lambda: _raise(error), "errors", PATIENCE_S)

    async def await_it() -> str:
        try:
            await pool.acall(lambda: _raise(error), "errors", PATIENCE_S)
        except RuntimeError as raised:  # no coroutine can raise StopIteration
            return type(raised.__cause__).__name__
        except BaseException as raised:  # noqa: BLE001 - this is what is tested
            return type(raised).__name__
        return "nothing"

    assert asyncio.run(await_it()) == type(error).__name__
    assert pool.call(lambda: 2, "still there") == 2


def test_a_caller_gives_up_on_time_and_a_call_that_had_not_begun_is_never_made() -> None:
    pool, go, made = ThreadPool(1, "giving-up"), Event(), []
    with pytest.raises(DeadlineExceededError, match=r"^the model did not answer within 0\.05 s$"):
        pool.call(lambda: go.wait(PATIENCE_S), "the model", SOON_S)
    with pytest.raises(DeadlineExceededError):
        pool.call(lambda: made.append("late"), "the model", SOON_S)
    with pytest.raises(DeadlineExceededError):
        pool.call(lambda: made.append("at once"), "the model", 0)
    go.set()
    assert pool.call(lambda: "next", "the model", PATIENCE_S) == "next"
    assert made == []


async def test_a_task_gives_up_on_time_and_a_cancelled_one_is_cancelled() -> None:
    pool, go, made = ThreadPool(1, "awaited"), Event(), []
    with pytest.raises(DeadlineExceededError):
        await pool.acall(lambda: go.wait(PATIENCE_S), "the model", SOON_S)
    task = asyncio.ensure_future(pool.acall(lambda: made.append("cancelled"), "the model"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await pool.acall(lambda: "next", "the model") == "next"
    assert made == []


def test_as_many_calls_run_at_once_as_there_are_threads_and_no_more() -> None:
    pool, together = ThreadPool(3, "bounded"), Barrier(3)
    with ThreadPoolExecutor(30) as callers:
        # Each waits for two others; there are ten groups of three.
        waiting = [callers.submit(pool.call, lambda: together.wait(PATIENCE_S), "barrier") for _ in range(30)]
        assert [future.exception() for future in waiting] == [None] * 30
    assert threads_of("bounded") <= 3


def test_calls_that_hang_do_not_pile_up_threads() -> None:
    pool, go = ThreadPool(2, "hanging"), Event()
    for _ in range(10):
        with pytest.raises(DeadlineExceededError):
            pool.call(lambda: go.wait(PATIENCE_S), "the model", 0.01)
    assert threads_of("hanging") == 2
    assert repr(pool) == "<ThreadPool hanging: 2 of 2 threads, 0 calls waiting>"
    go.set()


def test_a_result_is_not_kept() -> None:
    pool = ThreadPool(1, "keeping")

    class Result:
        pass

    kept = weakref.ref(pool.call(Result, "result"))
    pool.call(lambda: None, "the next call")
    gc.collect()
    assert kept() is None


def test_threads_end_when_they_are_told_and_later_calls_get_others() -> None:
    pool, go, entered = ThreadPool(2, "ending"), Event(), Event()

    def hold() -> Thread:
        entered.set()
        go.wait(PATIENCE_S)
        return current_thread()

    first = pool.call(current_thread, "first")
    pool.end()
    assert not first.is_alive()
    with ThreadPoolExecutor(1) as callers:
        held = callers.submit(pool.call, hold, "held")
        assert entered.wait(PATIENCE_S)
        pool.end()
        second = pool.call(current_thread, "second")
        assert second.is_alive() and repr(pool) == "<ThreadPool ending: 1 of 2 threads, 0 calls waiting>"
        go.set()
        held.result(PATIENCE_S).join(PATIENCE_S)
    assert threads_of("ending") == 1
    pool.end()
    assert threads_of("ending") == 0


def test_a_child_starts_threads_of_its_own_while_the_parents_are_busy() -> None:
    pool, go = ThreadPool(1, "forked"), Event()
    with ThreadPoolExecutor(2) as callers:
        under_way = [callers.submit(pool.call, lambda: go.wait(PATIENCE_S), "parent") for _ in range(2)]
        assert in_child(lambda: pool.call(lambda: "from the child", "child", PATIENCE_S)) == "from the child"
        go.set()
        assert [future.result(PATIENCE_S) for future in under_way] == [True, True]


def test_the_interpreter_exits_while_calls_hang_and_others_wait() -> None:
    script = """
import threading
from semcache.errors import DeadlineExceededError
from semcache.runtime import threads
threads.EXIT_WAIT_S = 0.2
pool = threads.ThreadPool(1, "hanging")
for _ in range(2):
    try:
        pool.call(threading.Event().wait, "the model", 0.05)
    except DeadlineExceededError:
        print("late")
threading.Thread(target=pool.call, args=(lambda: None, "for ever"), daemon=True).start()
"""
    started = monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "late\nlate\n", "")
    assert monotonic() - started < 30
