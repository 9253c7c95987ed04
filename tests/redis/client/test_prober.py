"""A probe says how long the server takes, also in a process whose own threads are busy."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from select import select
from socket import socketpair
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest

from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.prober import quickest_answer_s
from semcache.redis.client.timed_socket import Limit, TimedSocket
from tests.redis.proxy import Proxy
from tests.scripted import PATIENCE_S

SLOW_S = 0.01
HOLD_S = 0.03


@pytest.fixture
def busy_process() -> Iterator[None]:
    """A thread holds Python's lock for longer than a quick answer takes, and again after every call of the system."""
    ended = Event()

    def count() -> None:
        while not ended.is_set():
            pass

    thread = Thread(target=count)
    before = sys.getswitchinterval()
    sys.setswitchinterval(HOLD_S)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)


@contextmanager
def after_a_failure(url: str) -> Iterator[RedisConnection]:
    """A connection whose breaker has just opened."""
    with RedisConnection(url, budget_s=5 * SLOW_S, retry_after_s=0.01) as connection:
        connection.node.breaker.failed(0, "made up")
        yield connection


class RemoteServer:
    """A connection to a server that is 1 ms away: a thread that waits for it gives Python's lock to others."""

    limit = Limit()

    def send_packed_command(self, packed: Any, check_health: bool) -> None: ...

    def read_response(self) -> bytes:
        select([], [], [], 0.001)
        return b"PONG"


@pytest.mark.usefixtures("busy_process")
def test_waiting_for_other_threads_is_no_fault_of_the_server() -> None:
    until = monotonic() + PATIENCE_S
    while quickest_answer_s(RemoteServer(), PATIENCE_S, SLOW_S) >= HOLD_S / 2:
        assert monotonic() < until


@pytest.mark.usefixtures("busy_process")
def test_a_busy_process_finds_a_server_that_is_back(redis_url: str) -> None:
    with after_a_failure(redis_url) as connection:
        until = monotonic() + PATIENCE_S
        while connection.node.breaker.is_open:
            assert monotonic() < until


@pytest.mark.usefixtures("busy_process")
def test_a_busy_process_still_sees_that_a_server_is_slow(redis_url: str) -> None:
    with Proxy(redis_url).running() as proxy:
        proxy.delay_s = 0.2
        with after_a_failure(proxy.url) as connection:
            until = monotonic() + 0.5
            while monotonic() < until:
                assert connection.node.breaker.is_open


def test_a_server_that_takes_just_as_long_as_it_may_is_not_taken_up_again_and_again(redis_url: str) -> None:
    with Proxy(redis_url).running() as proxy:
        proxy.delay_s = 0.93 * SLOW_S
        with after_a_failure(proxy.url) as connection:
            until = monotonic() + 0.3
            while monotonic() < until:
                assert connection.node.breaker.is_open
            proxy.heal()
            until = monotonic() + PATIENCE_S
            while connection.node.breaker.is_open:
                assert monotonic() < until


def test_what_has_come_is_read_also_by_a_thread_that_is_late() -> None:
    here, there = socketpair()
    with here, there:
        limit = Limit()
        timed = TimedSocket(here, limit)
        limit.begin(monotonic() - 0.01, PATIENCE_S)
        there.sendall(b"to")
        first, second, third = bytearray(1), bytearray(1), bytearray(1)
        assert [timed.recv_into(first), timed.recv_into(second)] == [1, 1]
        assert first + second == b"to"
        with pytest.raises(TimeoutError):
            timed.recv_into(third)


def test_a_server_that_never_stops_holds_nothing_up() -> None:
    here, there = socketpair()
    with here, there:
        limit = Limit()
        timed = TimedSocket(here, limit)
        limit.begin(monotonic() - 2.0, 1.0)
        there.sendall(b"and so on")
        byte = bytearray(1)
        assert timed.recv_into(byte) == 1, "the first read is bounded by the timeout of the socket"
        with pytest.raises(TimeoutError):
            timed.recv_into(byte)
