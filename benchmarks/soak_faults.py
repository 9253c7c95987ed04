"""What happens to the Redis of the soak: each fault begins, lasts for some seconds, and is healed."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from random import Random

import redis

from semcache import EmbeddedRedis
from tests.redis.proxy import Proxy


class Victim:
    """A server behind a proxy, and how to hurt them."""

    def __init__(self, server: EmbeddedRedis, proxy: Proxy, random: Random) -> None:
        self.server = server
        self.proxy = proxy
        self.random = random
        self.admin = redis.Redis.from_url(server.url, protocol=2, socket_timeout=2)

    def pid(self) -> int:
        """The process of the server."""
        return int(self.admin.info("server")["process_id"])

    @contextmanager
    def configured(self, **values: object) -> Iterator[None]:
        """The server with other settings during the block."""
        before = {name: self.admin.config_get(name)[name] for name in (n.replace("_", "-") for n in values)}
        for name, value in values.items():
            self.admin.config_set(name.replace("_", "-"), value)
        try:
            yield
        finally:
            for name, value in before.items():
                self.admin.config_set(name, value)


@contextmanager
def _frozen(victim: Victim) -> Iterator[None]:
    pid = victim.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def _killed(victim: Victim) -> Iterator[None]:
    os.kill(victim.pid(), signal.SIGKILL)
    try:
        yield
    finally:
        victim.server.revive()


@contextmanager
def _full(victim: Victim) -> Iterator[None]:
    with victim.configured(maxmemory=1):
        yield


@contextmanager
def _evicting(victim: Victim) -> Iterator[None]:
    used = int(victim.admin.info("memory")["used_memory"])
    with victim.configured(maxmemory_policy="allkeys-lru", maxmemory=int(used * 0.9)):
        yield


@contextmanager
def _read_only(victim: Victim) -> Iterator[None]:
    victim.admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        victim.admin.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def _cut(victim: Victim) -> Iterator[None]:
    # Some commands come into the middle of an exchange.
    for _ in range(20):
        victim.admin.client_kill_filter(_type="normal", skipme=True)
    yield


@contextmanager
def _emptied(victim: Victim) -> Iterator[None]:
    victim.admin.flushall()
    yield


@contextmanager
def _without_index(victim: Victim) -> Iterator[None]:
    for index in victim.admin.execute_command("FT._LIST"):
        with suppress(redis.ResponseError):  # it went with another one's last entry
            victim.admin.execute_command("FT.DROPINDEX", index)
    yield


@contextmanager
def _behind(victim: Victim, **fields: object) -> Iterator[None]:
    victim.proxy.change(**fields)
    try:
        yield
    finally:
        victim.proxy.heal()


def _slow(victim: Victim) -> AbstractContextManager[None]:
    return _behind(victim, delay_s=victim.random.choice((0.01, 0.05, 0.1, 0.5)))


def _dribbling(victim: Victim) -> AbstractContextManager[None]:
    return _behind(victim, byte_s=0.05)


def _garbled(victim: Victim) -> AbstractContextManager[None]:
    return _behind(victim, garbage=True)


def _flipped(victim: Victim) -> AbstractContextManager[None]:
    return _behind(victim, flips=0.2)


def _twice(victim: Victim) -> AbstractContextManager[None]:
    return _behind(victim, twice=5, stray=5)


@contextmanager
def _refusing(victim: Victim) -> Iterator[None]:
    victim.proxy.listen("refuse")
    try:
        yield
    finally:
        victim.proxy.listen("yes")


def _silent(victim: Victim) -> AbstractContextManager[None]:
    return _behind(victim, frozen=True)


FAULTS: Mapping[str, Callable[[Victim], AbstractContextManager[None]]] = {
    "server stopped (SIGSTOP)": _frozen,
    "server killed and started again": _killed,
    "memory full": _full,
    "evicting": _evicting,
    "read-only": _read_only,
    "connections cut": _cut,
    "emptied": _emptied,
    "indexes dropped": _without_index,
    "replies late by 10 to 500 ms": _slow,
    "replies byte by byte": _dribbling,
    "garbage for replies": _garbled,
    "no replies": _silent,
    "one bit flipped in a fifth of the replies": _flipped,
    "replies twice, and without a question": _twice,
    "connections refused": _refusing,
}
"""By name. Each gives a block in which the fault lasts."""
