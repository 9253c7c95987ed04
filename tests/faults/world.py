"""What a fault may strike: the server, the network, the models."""

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Protocol

import redis

from semcache.redis.server.embedded import EmbeddedRedis
from tests.faults.models import ScriptedEmbedder, ScriptedReranker
from tests.redis.conftest import server_pid


class AnyProxy(Protocol):
    """``Proxy`` in a thread or in a process."""

    url: str

    def heal(self) -> None: ...

    def change(self, **fields: Any) -> None: ...

    def listen(self, how: str) -> None: ...

    def end_connections(self) -> None: ...


@dataclass
class World:
    """A server of its own behind a proxy, and the models. ``admin`` is a redis-py client past the proxy.

    ``later`` closes what a fault has opened. ``other`` is a second server that a fault has started.
    """

    server: EmbeddedRedis
    proxy: AnyProxy
    embedder: ScriptedEmbedder
    reranker: ScriptedReranker
    admin: Any
    later: ExitStack = field(default_factory=ExitStack)
    other: EmbeddedRedis | None = None
    pid: int = 0

    def start_other(self) -> redis.Redis:
        """A second server, and a client of it."""
        self.other = self.later.enter_context(EmbeddedRedis())
        return self.later.enter_context(redis.Redis.from_url(self.other.url))

    def stop_server(self, number: int) -> None:
        """Send the server a signal."""
        self.pid = server_pid(self.server)
        os.kill(self.pid, number)

    def continue_server(self) -> None:
        """After SIGSTOP."""
        os.kill(self.pid, signal.SIGCONT)

    def end_connections(self) -> None:
        """The server ends all connections but that of ``admin``."""
        self.admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def keys(self, kind: str) -> list[bytes]:
        """All keys of a type of Redis."""
        return list(self.admin.scan_iter(count=1000, _type=kind))

    def indexes(self) -> Any:
        """The names of all indexes."""
        return self.admin.execute_command("FT._LIST")

    def again_and_again(self, strike: Any, every_s: float) -> None:
        """Do something in the background until the world ends or ``later`` is closed."""
        over = Event()

        def go_on() -> None:
            with redis.Redis.from_url(self.server.url) as client:
                while not over.wait(every_s):
                    with contextlib.suppress(redis.RedisError):  # a full server refuses
                        strike(client)

        thread = Thread(target=go_on, daemon=True)
        thread.start()
        self.later.callback(thread.join)
        self.later.callback(over.set)


@contextlib.contextmanager
def a_world(make_proxy: Any, reranker: ScriptedReranker) -> Iterator[World]:
    """A world of its own. ``make_proxy`` gives a context manager with a proxy in front of a url."""
    with EmbeddedRedis() as server, ExitStack() as stack:
        proxy: AbstractContextManager[AnyProxy] = make_proxy(server.url)
        admin = redis.Redis.from_url(server.url, single_connection_client=True)
        world = World(server, stack.enter_context(proxy), ScriptedEmbedder(), reranker, stack.enter_context(admin))
        with world.later:
            yield world
