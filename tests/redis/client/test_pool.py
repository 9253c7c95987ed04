"""Commands go out together, a failure fails only the calls that met it, and no call waits for ever."""

import asyncio
import socket
import threading
from collections import deque
from typing import Any

import hiredis
import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from semcache.redis.client.commands import Reconnect
from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.pipelined_pool import PipelinedPool
from semcache.redis.client.pool import ConnectionPool
from semcache.redis.client.timed_socket import Limit, bounded
from tests.forks import in_child

ECHO = (("ECHO", "a"),)


class ScriptedConnection:
    """A connection that echoes, or does what its script says at the next sending: an error, or wait for an event."""

    def __init__(self, *script: Any) -> None:
        self.script = deque(script)
        self.is_connected = False
        self.sent: list[list[str]] = []
        """What was to be echoed, by batch."""
        self.opened = 0
        self._replies: deque[Any] = deque()
        self._parser = self._reader = self

    async def connect(self) -> None:
        self.is_connected = True
        self.opened += 1

    async def disconnect(self, nowait: bool = False) -> None:
        self.is_connected = False
        self._replies.clear()

    async def send_packed_command(self, packed: list[bytes], check_health: bool) -> None:
        reader = hiredis.Reader(encoding="utf-8")
        reader.feed(b"".join(packed))
        texts = [command[1] for command in iter(reader.gets, False)]
        self.sent.append(texts)
        self._replies.extend(texts)
        step = self.script.popleft() if self.script else None
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, int):  # answers that many, and then the connection is gone
            self._replies = deque([*list(self._replies)[:step], RedisConnectionError("gone")])
        elif step is not None:
            raise step

    def say_again(self, reply: str) -> None:
        """Let a reply come a second time."""
        self._replies.append(reply)

    def has_data(self) -> bool:
        """As hiredis' reader, which is deep inside of a connection."""
        return bool(self._replies)

    async def read_response(self) -> Any:
        await asyncio.sleep(0)
        reply = self._replies.popleft()
        if isinstance(reply, Exception):
            raise reply
        return reply


def pool_of(*connections: ScriptedConnection, timeout_s: float = 5.0) -> PipelinedPool:
    made = iter(connections)
    return PipelinedPool(lambda: next(made), timeout_s, 5.0)


async def one_after_another(pool: PipelinedPool, count: int) -> list["asyncio.Task[list[Any]]"]:
    """Calls of which each is sent, or waits, before the next is made."""
    calls = []
    for at in range(count):
        calls.append(asyncio.create_task(pool.exchange((("ECHO", at),))))
        await asyncio.sleep(0.001)
    return calls


class TestPipelinedPool:
    async def test_a_connection_with_a_reply_too_many_is_not_used_again(self) -> None:
        connection = ScriptedConnection()
        pool = pool_of(connection)
        assert await pool.exchange(ECHO) == ["a"]
        connection.say_again("a")
        assert await pool.exchange((("ECHO", "b"),)) == ["b"]
        assert connection.opened == 2

    async def test_after_a_doubt_a_connection_in_use_is_opened_anew_before_the_next_call(self) -> None:
        gate = asyncio.Event()
        connection = ScriptedConnection(gate)
        pool = pool_of(connection)
        (call,) = await one_after_another(pool, 1)
        pool.renew()
        gate.set()
        assert await call == ["0"]
        assert [await pool.exchange(ECHO), await pool.exchange(ECHO)] == [["a"], ["a"]]
        assert connection.opened == 2

    async def test_what_is_sent_at_once_goes_out_at_once(self) -> None:
        connection = ScriptedConnection()
        pool = pool_of(connection)
        replies = await asyncio.gather(*(pool.exchange((("ECHO", at), ("ECHO", -at))) for at in range(50)))
        assert replies == [[str(at), str(-at)] for at in range(50)]
        assert [len(batch) for batch in connection.sent] == [100]

    async def test_what_comes_while_all_connections_wait_is_the_next_batch(self) -> None:
        gates = [asyncio.Event() for _ in range(4)]
        connections = [ScriptedConnection(gate) for gate in gates]
        pool = pool_of(*connections)
        calls = await one_after_another(pool, 10)
        gates[2].set()
        assert await asyncio.gather(*calls[4:]) == [[str(at)] for at in range(4, 10)]
        assert [len(batch) for batch in connections[2].sent] == [1, 6]
        for gate in gates:
            gate.set()
        assert await asyncio.gather(*calls) == [[str(at)] for at in range(10)]
        await pool.close()
        assert not any(connection.is_connected for connection in connections)

    async def test_a_connection_that_went_stale_is_opened_again_and_only_the_unanswered_is_sent_again(self) -> None:
        connection = ScriptedConnection(None, 2)
        pool = pool_of(connection)
        await pool.exchange(ECHO)
        replies = await asyncio.gather(*(pool.exchange((("ECHO", at),)) for at in "01234"))
        assert replies == [[at] for at in "01234"]
        assert connection.opened == 2
        assert ["".join(batch) for batch in connection.sent] == ["a", "01234", "234"]

    async def test_a_new_connection_that_fails_is_not_tried_twice(self) -> None:
        connection = ScriptedConnection(RedisConnectionError("no"))
        pool = pool_of(connection, ScriptedConnection())
        with pytest.raises(RedisConnectionError):
            await pool.exchange(ECHO)
        assert len(connection.sent) == 1
        assert await pool.exchange(ECHO) == ["a"]

    async def test_calls_that_wait_behind_a_failure_fail_with_it_and_the_next_is_served(self) -> None:
        gates = [asyncio.Event() for _ in range(4)]
        pool = pool_of(
            *(ScriptedConnection(gate) for gate in gates), *(ScriptedConnection() for _ in range(4)), timeout_s=0.2
        )
        calls = await one_after_another(pool, 6)
        failed = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(error) for error in failed] == [RedisTimeoutError] * 6
        assert await pool.exchange(ECHO) == ["a"]

    async def test_no_call_waits_longer_than_it_may(self) -> None:
        pool = pool_of(ScriptedConnection(None, asyncio.Event()), timeout_s=0.3)
        await pool.exchange(ECHO)
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(RedisTimeoutError, match=r"no reply within 0\.3 s"):
            await pool.exchange(ECHO)
        assert 0.29 < loop.time() - start < 10

    async def test_a_cancelled_call_leaves_the_others_alone(self) -> None:
        gate = asyncio.Event()
        connection = ScriptedConnection(gate)
        pool = pool_of(connection)
        calls = [asyncio.create_task(pool.exchange((("ECHO", at),))) for at in "012"]
        await asyncio.sleep(0.001)
        calls[1].cancel()
        gate.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert (done[0], done[2]) == (["0"], ["2"])
        assert isinstance(done[1], asyncio.CancelledError)
        assert await pool.exchange(ECHO) == ["a"]
        assert connection.opened == 1

    async def test_what_was_cancelled_before_it_went_out_is_not_sent(self) -> None:
        gates = [asyncio.Event() for _ in range(4)]
        connections = [ScriptedConnection(gate) for gate in gates]
        pool = pool_of(*connections)
        calls = await one_after_another(pool, 6)
        calls[4].cancel()
        for gate in gates:
            gate.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert ("ECHO", 4) not in [
            command for connection in connections for batch in connection.sent for command in batch
        ]

    async def test_no_call_is_forgotten_that_comes_as_the_senders_end(self) -> None:
        pool = pool_of(*(ScriptedConnection() for _ in range(4)))

        async def again_and_again(caller: int) -> None:
            for at in range(200):
                assert await pool.exchange((("ECHO", f"{caller} {at}"),)) == [f"{caller} {at}"]
                if (caller + at) % 3 == 0:
                    await asyncio.sleep(0)

        async with asyncio.timeout(20):
            await asyncio.gather(*map(again_and_again, range(9)))

    async def test_no_call_waits_for_a_sender_that_was_cancelled_before_it_ran(self) -> None:
        pool = pool_of(ScriptedConnection())
        call = asyncio.create_task(pool.exchange(ECHO))
        before = asyncio.all_tasks()
        await asyncio.sleep(0)
        (sender,) = asyncio.all_tasks() - before
        sender.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(5):
            assert await pool.exchange(ECHO) == ["a"]

    async def test_a_connection_that_cannot_even_be_made_is_an_error_of_the_call(self) -> None:
        def refuse() -> Any:
            raise RedisConnectionError("no such thing")

        with pytest.raises(RedisConnectionError, match="no such thing"):
            await PipelinedPool(refuse, 1.0, 1.0).exchange(ECHO)

    async def test_an_error_of_the_server_is_a_reply(self, redis_url: str) -> None:
        async with RedisConnection(redis_url) as connection:
            echoed, refused = await connection.aexchange((("ECHO", "a"), ("NONSENSE",)))
            assert echoed == b"a"
            assert isinstance(refused, ResponseError)

    def test_a_loop_that_ends_with_calls_under_way_takes_them_along(self, redis_url: str) -> None:
        connection = RedisConnection(redis_url, timeout_s=10)
        outcome: list[BaseException] = []

        async def waits() -> None:
            try:
                await connection.aexchange((("BLPOP", "nothing-comes-here", 5),))
            except asyncio.CancelledError as error:
                outcome.append(error)
                raise

        async def main() -> None:
            task = asyncio.create_task(waits())
            await asyncio.sleep(0.05)
            assert not task.done()

        asyncio.run(main())
        connection.close()
        assert len(outcome) == 1


def answer_twice(listening: socket.socket, connections: int) -> None:
    """A server that gives the reply to the last command of each connection twice."""
    for _ in range(connections):
        accepted, _ = listening.accept()
        with accepted:
            reader = hiredis.Reader()
            while data := accepted.recv(4096):
                reader.feed(data)
                for command in iter(reader.gets, False):
                    reply = b"$%d\r\n%b\r\n" % (len(command[-1]), command[-1]) if command[0] == b"ECHO" else b"+OK\r\n"
                    accepted.sendall(reply * (2 if command[0] == b"ECHO" else 1))


class TestLink:
    def test_a_connection_is_kept_for_the_next_call(self, redis_url: str, client: redis.Redis) -> None:
        with RedisConnection(redis_url) as connection:
            ids = [connection.exchange((("CLIENT", "ID"),)) for _ in range(5)]
            assert all(one == ids[0] for one in ids)
            client.execute_command("CLIENT", "KILL", "ID", *ids[0])
            assert connection.exchange((("CLIENT", "ID"),)) != ids[0]

    def test_a_reply_too_many_is_not_taken_for_the_next(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            server = threading.Thread(target=answer_twice, args=(listening, 3))
            server.start()
            with RedisConnection(f"redis://127.0.0.1:{listening.getsockname()[1]}") as connection:
                for name in ("one", "two", "three"):
                    assert connection.exchange((("ECHO", name),)) == [name.encode()]
            server.join()

    def test_after_a_doubt_another_connection_is_used(self, redis_url: str) -> None:
        with RedisConnection(redis_url) as connection:
            before = connection.exchange((("CLIENT", "ID"),))
            connection.execute(Reconnect())
            assert connection.exchange((("CLIENT", "ID"),)) != before

    async def test_and_so_in_an_event_loop(self, redis_url: str) -> None:
        async with RedisConnection(redis_url) as connection:
            await connection.aexecute(Reconnect())
            before = await connection.aexchange((("CLIENT", "ID"),))
            await connection.aexecute(Reconnect())
            assert await connection.aexchange((("CLIENT", "ID"),)) != before

    def test_each_thread_has_its_own(self, redis_url: str) -> None:
        together = threading.Barrier(8)
        wrong: list[Any] = []

        with RedisConnection(redis_url) as connection:

            def echo(name: str) -> None:
                together.wait()
                for at in range(200):
                    replies = connection.exchange((("ECHO", f"{name} {at}"), ("ECHO", name)))
                    if replies != [f"{name} {at}".encode(), name.encode()]:
                        wrong.append(replies)

            threads = [threading.Thread(target=echo, args=(str(name),)) for name in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert wrong == []

    def test_an_interrupt_leaves_no_answer_behind_for_the_next(self, redis_url: str) -> None:
        path = redis_url.removeprefix("unix://").partition("?")[0]
        connection = bounded(redis.UnixDomainSocketConnection)(path=path, protocol=2)
        pool = ConnectionPool(lambda: connection, 5.0, 5.0)
        pool.exchange(ECHO)
        read, interrupted = connection.read_response, iter([True])

        def interrupt_once(**named: Any) -> Any:
            if next(interrupted, False):
                raise KeyboardInterrupt
            return read(**named)

        connection.read_response = interrupt_once
        with pytest.raises(KeyboardInterrupt):
            pool.exchange((("ECHO", "mine"),))
        assert pool.exchange((("ECHO", "yours"),)) == [b"yours"]
        pool.close()

    def test_a_forked_child_opens_its_own(self, redis_url: str) -> None:
        with RedisConnection(redis_url) as connection:
            ours = connection.exchange((("CLIENT", "ID"),))
            theirs = in_child(lambda: connection.exchange((("CLIENT", "ID"),)))
            assert theirs != ours
            assert connection.exchange((("CLIENT", "ID"),)) == ours

    def test_a_new_connection_that_fails_is_not_tried_twice(self) -> None:
        class Refusing:
            sent = 0
            limit = Limit()

            def connect(self) -> None: ...

            def send_packed_command(self, packed: Any, check_health: bool) -> None:
                Refusing.sent += 1
                raise RedisConnectionError("no")

            def disconnect(self) -> None: ...

        with pytest.raises(RedisConnectionError):
            ConnectionPool(Refusing, 1.0, 1.0).exchange(ECHO)
        assert Refusing.sent == 1
