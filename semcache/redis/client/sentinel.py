"""Finds the primary that a group of Sentinels watches, and opens connections to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakMethod

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from semcache.runtime.threads import in_own_thread

HostPort = tuple[str, int]


class PrimaryNotKnownError(redis.ConnectionError):
    """No Sentinel that answers knows a living primary at the moment, as in the middle of a failover."""


class ServiceNotWatchedError(redis.RedisError):
    """The Sentinels watch no service of this name."""


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels of one ``service``, host and port of each, and what redis-py needs to connect and log in there."""

    service: str
    hosts: tuple[HostPort, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)  # a password may be among them

    def __str__(self) -> str:
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)


class PrimaryFinder:
    """Asks the Sentinels for the address of the primary, one after the other until one knows it.

    All of them together take ``timeout_s`` seconds at most. ``on_move``, a method whose object is not kept alive, is
    called with the address before and the new one when they differ. Safe to use from several threads.
    """

    def __init__(self, sentinels: Sentinels, timeout_s: float, on_move: Callable[[HostPort, HostPort], None]) -> None:
        self._service = sentinels.service
        self._parameters: dict[str, Any] = {
            **sentinels.parameters,
            "socket_timeout": timeout_s / len(sentinels.hosts),
            "socket_connect_timeout": timeout_s / len(sentinels.hosts),
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),  # the next Sentinel is asked instead
        }
        self._on_move = WeakMethod(on_move)  # else each connection would keep its node alive
        # The one that answered last comes first. Replaced as a whole, so that threads need no lock.
        self._hosts: Sequence[HostPort] = sentinels.hosts
        self._latest: HostPort | None = None

    def find(self) -> HostPort:
        """Host and port of the primary, as the Sentinels name it now.

        Raises what redis-py raises for a connection where none answers, PrimaryNotKnownError and
        ServiceNotWatchedError.
        """
        failures: list[redis.RedisError] = []
        for host in self._hosts:
            try:
                primary = self._primary_by(host)
            except redis.RedisError as error:
                failures.append(error)
                continue
            self._hosts = (host, *(other for other in self._hosts if other != host))
            before, self._latest = self._latest, primary
            if before is not None and before != primary:
                on_move = self._on_move()
                if on_move is not None:
                    on_move(before, primary)
            return primary
        raise min(failures, key=_is_away)  # what one that answers says tells more than that another is away

    def _primary_by(self, sentinel: HostPort) -> HostPort:
        # A connection of its own: a look-up is as rare as a new connection to the primary, and to tell a stale one
        # would cost more than it saves.
        with redis.Redis(*sentinel, **self._parameters) as client:
            watched: Mapping[str, Mapping[str, Any]] = client.sentinel_masters()
        state = watched.get(self._service)
        if state is None:
            raise ServiceNotWatchedError(
                f"the Sentinel at {sentinel[0]}:{sentinel[1]} watches no service {self._service!r}, but "
                f"{', '.join(sorted(watched)) or 'none at all'}"
            )
        is_primary = state["is_master"] and state.get("role-reported", "master") == "master"
        if not is_primary or state["is_sdown"] or state["is_odown"]:
            raise PrimaryNotKnownError(
                f"the Sentinel at {sentinel[0]}:{sentinel[1]} says that the primary of {self._service!r} is away"
            )
        return str(state["ip"]), int(state["port"])


def _is_away(error: redis.RedisError) -> bool:
    has_answered = isinstance(error, PrimaryNotKnownError | redis.AuthenticationError)
    return isinstance(error, redis.ConnectionError | redis.TimeoutError) and not has_answered


def following(kind: type[Any]) -> type[Any]:
    """A kind of redis-py's connections for threads that asks ``find_primary`` for its host and port when it opens."""

    class Following(kind):  # type: ignore[misc] # a kind of which mypy knows nothing
        def __init__(self, *arguments: Any, find_primary: Callable[[], HostPort], **named: Any) -> None:
            self._find_primary = find_primary
            super().__init__(*arguments, **named)

        def _connect(self) -> Any:
            self.host, self.port = self._find_primary()
            return super()._connect()

    return Following


def afollowing(kind: type[Any]) -> type[Any]:
    """``following`` for event loops. The Sentinels are asked in a thread."""

    class Following(kind):  # type: ignore[misc]
        def __init__(self, *arguments: Any, find_primary: Callable[[], HostPort], **named: Any) -> None:
            self._find_primary = find_primary
            super().__init__(*arguments, **named)

        async def _connect(self) -> None:
            self.host, self.port = await in_own_thread(self._find_primary, "semcache-redis-sentinel")
            await super()._connect()

    return Following
