"""Finds the primary that a group of Sentinels watches, or its replicas, and opens connections to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any
from weakref import WeakMethod

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

from semcache.redis.client.timed_socket import bounded
from semcache.redis.client.wire import as_invalid
from semcache.runtime.threads import in_own_thread

HostPort = tuple[str, int]

_NO_STATE = (TypeError, ValueError, LookupError, AttributeError)
"""The errors of reading a reply that says nothing of servers, as that of another program does."""


class PrimaryNotKnownError(redis.ConnectionError):
    """No Sentinel that answers knows a living primary at the moment, as in the middle of a failover."""


class ReplicaNotKnownError(redis.ConnectionError):
    """No Sentinel that answers knows a replica that follows its primary at the moment."""


class ServiceNotWatchedError(redis.RedisError):
    """The Sentinels watch no service of this name."""


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels of one ``service``, host and port of each, and what redis-py needs to connect and log in there.

    If ``of_replicas``, connections lead to the replicas of the service, and else to its primary.
    """

    service: str
    hosts: tuple[HostPort, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)  # a password may be among them
    of_replicas: bool = False

    def __str__(self) -> str:
        return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)


class Finder:
    """Asks the Sentinels for an address, one after the other until one knows it.

    All of them together take ``timeout_s`` seconds at most, but for looking up their names. ``on_move``, a method whose
    object is not kept alive, is called with the address of the primary before and the new one when they differ. Of
    several replicas each is named in turn. Safe to use from several threads.
    """

    def __init__(self, sentinels: Sentinels, timeout_s: float, on_move: Callable[[HostPort, HostPort], None]) -> None:
        self._sentinels = sentinels
        share_s = timeout_s / len(sentinels.hosts)
        self._connection = _LIMITED_TLS if sentinels.parameters.get("ssl") else _LIMITED
        self._parameters: dict[str, Any] = {
            **{name: value for name, value in sentinels.parameters.items() if name != "ssl"},
            "socket_timeout": share_s,
            "socket_connect_timeout": share_s,
            "limit_s": share_s,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),  # the next Sentinel is asked instead
        }
        self._on_move = WeakMethod(on_move)  # else each connection would keep its node alive
        # The one that answered last comes first. Replaced as a whole, so that threads need no lock.
        self._hosts: Sequence[HostPort] = sentinels.hosts
        self._latest: HostPort | None = None
        self._turn = count()

    def find(self) -> HostPort:
        """Host and port of the primary, or of a replica, as the Sentinels name it now.

        Raises what redis-py raises for a connection where none answers, PrimaryNotKnownError, ReplicaNotKnownError and
        ServiceNotWatchedError.
        """
        failures: list[redis.RedisError] = []
        for host in self._hosts:
            try:
                found = self._replica_by(host) if self._sentinels.of_replicas else self._primary_by(host)
            except redis.RedisError as error:
                failures.append(error)
                continue
            except _NO_STATE as error:
                failures.append(as_invalid(error))
                continue
            self._hosts = (host, *(other for other in self._hosts if other != host))
            if not self._sentinels.of_replicas:
                self._tell(found)
            return found
        raise min(failures, key=_is_away)  # what one that answers says tells more than that another is away

    def _tell(self, primary: HostPort) -> None:
        before, self._latest = self._latest, primary
        if before is not None and before != primary:
            on_move = self._on_move()
            if on_move is not None:
                on_move(before, primary)

    def _client(self, sentinel: HostPort) -> redis.Redis:
        # With a connection of its own: a look-up is as rare as a new connection to the primary, and to tell a stale one
        # would cost more than it saves.
        host, port = sentinel
        pool = redis.ConnectionPool(connection_class=self._connection, host=host, port=port, **self._parameters)
        return redis.Redis.from_pool(pool)

    def _primary_by(self, sentinel: HostPort) -> HostPort:
        service = self._sentinels.service
        with self._client(sentinel) as client:
            watched: Mapping[str, Mapping[str, Any]] = client.sentinel_masters()
        state = watched.get(service)
        if state is None:
            raise ServiceNotWatchedError(
                f"the Sentinel at {sentinel[0]}:{sentinel[1]} watches no service {service!r}, but "
                f"{', '.join(sorted(watched)) or 'none at all'}"
            )
        is_primary = state["is_master"] and state.get("role-reported", "master") == "master"
        if not is_primary or state["is_sdown"] or state["is_odown"]:
            raise PrimaryNotKnownError(
                f"the Sentinel at {sentinel[0]}:{sentinel[1]} says that the primary of {service!r} is away"
            )
        return str(state["ip"]), int(state["port"])

    def _replica_by(self, sentinel: HostPort) -> HostPort:
        with self._client(sentinel) as client:
            known: Sequence[Mapping[str, Any]] = client.sentinel_slaves(self._sentinels.service)
        fit = [state for state in known if not state["is_sdown"] and state.get("master-link-status") == "ok"]
        if not fit:
            raise ReplicaNotKnownError(
                f"the Sentinel at {sentinel[0]}:{sentinel[1]} knows no replica of {self._sentinels.service!r} that "
                "follows its primary"
            )
        state = fit[next(self._turn) % len(fit)]
        return str(state["ip"]), int(state["port"])


def _is_away(error: redis.RedisError) -> bool:
    has_answered = isinstance(error, PrimaryNotKnownError | ReplicaNotKnownError | redis.AuthenticationError)
    return isinstance(error, redis.ConnectionError | redis.TimeoutError) and not has_answered


def _limited(kind: type[Any]) -> type[Any]:
    """A kind of redis-py's connections for threads that is done with all that it does ``limit_s`` seconds from now."""

    class Limited(bounded(kind)):  # type: ignore[misc] # a kind of which mypy knows nothing
        def __init__(self, *arguments: Any, limit_s: float, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.limit.begin(monotonic() + limit_s, limit_s)
            self.limit.is_new = False  # some of that is over when the first reply is read

    return Limited


_LIMITED, _LIMITED_TLS = _limited(redis.Connection), _limited(redis.SSLConnection)


def following(kind: type[Any]) -> type[Any]:
    """A kind of redis-py's connections for threads that asks ``find`` for its host and port when it opens."""

    class Following(kind):  # type: ignore[misc] # a kind of which mypy knows nothing
        def __init__(self, *arguments: Any, find: Callable[[], HostPort], **named: Any) -> None:
            self._find = find
            super().__init__(*arguments, **named)

        def _connect(self) -> Any:
            self.host, self.port = self._find()
            return super()._connect()

    return Following


def afollowing(kind: type[Any]) -> type[Any]:
    """``following`` for event loops. The Sentinels are asked in a thread."""

    class Following(kind):  # type: ignore[misc]
        def __init__(self, *arguments: Any, find: Callable[[], HostPort], **named: Any) -> None:
            self._find = find
            super().__init__(*arguments, **named)

        async def _connect(self) -> None:
            try:
                self.host, self.port = await in_own_thread(self._find, "semcache-redis-sentinel")
            except RuntimeError as error:  # the system gives no more threads
                raise redis.ConnectionError(str(error)) from error
            await super()._connect()

    return Following
