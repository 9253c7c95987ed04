"""Each event loop has connections of its own, and none is left when the loop has ended, however it ended."""

import asyncio
import gc
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest
import redis

from semcache.errors import StoreUnavailableError
from semcache.redis.client.connection import RedisConnection
from tests.forks import PATIENCE_S, in_child
from tests.loops import LoopInThread

WHO = (("CLIENT", "ID"),)
WAIT = (("BLPOP", "nothing", 0.2),)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def by_runner(connection: RedisConnection) -> object:
    return asyncio.run(connection.aexecute(WHO))


def by_bare_loop(connection: RedisConnection) -> object:
    """As frameworks do that close neither the generators of a loop nor its executor."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(connection.aexecute(WHO))
    finally:
        loop.close()


def in_mid_request(connection: RedisConnection) -> object:
    """The loop is closed while it waits for a reply."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(connection.aexecute(WAIT))
    loop.run_until_complete(asyncio.wait([task], timeout=0.005))
    loop.close()
    return task


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        yield connection


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of those that close a loop without closing what it has open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("use", [by_runner, by_bare_loop, in_mid_request])
def test_many_loops_leave_no_descriptor_and_no_client_behind(
    connection: RedisConnection, use: Callable[[RedisConnection], object]
) -> None:
    clients = len(connection.client.client_list())
    gc.disable()  # what is closed must not depend on when the collector runs
    try:
        use(connection)
        before = descriptors()
        for _ in range(50):
            use(connection)
        assert descriptors() <= before
    finally:
        gc.enable()
    assert len(connection.client.client_list()) <= clients + 1
    connection.close()
    gc.collect()  # here, where what it says about tasks of closed loops is expected


def test_the_last_loop_has_closed_its_own(connection: RedisConnection) -> None:
    clients = len(connection.client.client_list())
    before = descriptors()
    by_runner(connection)
    assert (descriptors(), len(connection.client.client_list())) == (before, clients)


def test_loops_at_the_same_time_keep_theirs(connection: RedisConnection) -> None:
    async def twice() -> tuple[object, object]:
        first = await connection.aexecute(WHO)
        await asyncio.to_thread(together.wait, PATIENCE_S)
        return first, await connection.aexecute(WHO)

    together = Barrier(8)
    seen: list[tuple[object, object]] = []
    threads = [Thread(target=lambda: seen.append(asyncio.run(twice()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert all(first == second for first, second in seen)
    assert len({str(first) for first, _ in seen}) == 8


async def test_a_closed_loop_can_be_used_again(connection: RedisConnection) -> None:
    first = await connection.aexecute(WHO)
    await connection.aclose()
    second = await connection.aexecute(WHO)
    assert first != second
    await connection.aclose()


async def test_a_connection_that_is_dropped_in_a_running_loop_is_closed(redis_url: str) -> None:
    connection = RedisConnection(redis_url)
    (ours,) = await connection.aexecute(WHO)
    del connection
    gc.collect()
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(100):
            await asyncio.sleep(0.01)
            if ours not in [int(known["id"]) for known in client.client_list()]:
                return
    pytest.fail("still connected")


def test_a_child_has_connections_of_its_own_and_the_parents_loop_goes_on(connection: RedisConnection) -> None:
    def in_parent(loop: asyncio.AbstractEventLoop) -> object:
        return asyncio.run_coroutine_threadsafe(connection.aexecute(WHO), loop).result(PATIENCE_S)

    def in_child_() -> tuple[object, int]:
        theirs = by_runner(connection)
        gc.collect()  # what was the parent's must not be closed in its name
        return theirs, sockets_of_redis()

    gc.collect()
    of_others = sockets_of_redis()  # clients of other tests' servers, which no fork closes
    with LoopInThread() as loop:
        ours = in_parent(loop)
        theirs, still_open = in_child(in_child_)
        assert theirs != ours
        assert still_open == of_others
        assert in_parent(loop) == ours


def sockets_of_redis() -> int:
    return len([fd for fd in Path("/proc/self/fd").iterdir() if _is_socket_of_redis(int(fd.name))])


def _is_socket_of_redis(descriptor: int) -> bool:
    try:
        # A duplicate of a pipe's end would keep the pipe open: that of a private server ends with its last copy.
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return False
        copy = socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return False
    with copy:
        try:
            peer = copy.getpeername()
        except OSError:
            return False
        return isinstance(peer, str) and peer.endswith("redis.sock")


def test_a_child_that_is_forked_in_mid_request_answers_and_so_does_the_parent(connection: RedisConnection) -> None:
    def slow(loop: asyncio.AbstractEventLoop) -> object:
        return asyncio.run_coroutine_threadsafe(connection.aexecute(WAIT), loop)

    with LoopInThread() as loop:
        asyncio.run_coroutine_threadsafe(connection.aexecute(WHO), loop).result(PATIENCE_S)
        waiting = slow(loop)
        assert in_child(lambda: by_runner(connection))
        assert waiting.result(PATIENCE_S) == [None]  # type: ignore[attr-defined]


def test_a_child_that_exits_as_programs_do_leaves_the_parents_loop_alone(redis_url: str) -> None:
    script = f"""
import asyncio, os, sys
from semcache.redis.client.connection import RedisConnection
connection = RedisConnection({redis_url!r}, timeout_s=2)
async def main():
    ours = await connection.aexecute((("CLIENT", "ID"),))
    if not (child := os.fork()):
        sys.exit()  # out of the coroutine, and through the end of the interpreter
    os.waitpid(child, 0)
    print(ours == await connection.aexecute((("CLIENT", "ID"),)))
try:
    asyncio.run(main())
except SystemExit:
    pass
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


async def test_a_cancelled_loop_ends_without_a_word(redis_url: str) -> None:
    script = f"""
import asyncio
from semcache.redis.client.connection import RedisConnection
connection = RedisConnection({redis_url!r})
async def main():
    asyncio.ensure_future(connection.aexecute((("BLPOP", "nothing", 5),)))
    await connection.aexecute((("CLIENT", "ID"),))
asyncio.run(main())
asyncio.run(main())
print("done")
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_an_unreachable_server_leaves_nothing_open_in_any_loop() -> None:
    connection = RedisConnection("redis://127.0.0.1:1", connect_timeout_s=0.2)
    before = descriptors()
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            by_runner(connection)
    assert descriptors() == before
    connection.close()
