"""The connection to one Redis, which may be a server or a whole cluster."""

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, Literal, Self

import redis

from semcache.errors import ConfigurationError, StoreError, StoreUnavailableError
from semcache.events import Event, OptionIgnored
from semcache.protocols import Clock
from semcache.redis.client.address import Address
from semcache.redis.client.blocking import BlockingCalls
from semcache.redis.client.commands import Command, RedisStep, Replies
from semcache.redis.client.lent_client import address_of_client
from semcache.redis.client.node import NodeConnection
from semcache.redis.client.url import address_of_url
from semcache.redis.cluster.connection import ClusterConnection, of_shard
from semcache.redis.cluster.replicated import ReplicatedConnection
from semcache.redis.cluster.topology import Topology
from semcache.redis.server.shared import SHARED_SERVER, Lease
from semcache.runtime.forking import ForkSafeLock
from semcache.runtime.threads import in_own_thread
from semcache.settings import Redis as RedisKnobs

_DEFAULTS = RedisKnobs()
"""The defaults stand in the settings, each with its reason."""
DEFAULT_URL = _DEFAULTS.url.get_secret_value()


Reached = NodeConnection | ClusterConnection | ReplicatedConnection


def server_of(redis_url: object, redis_client: object | None = None) -> "Address | Literal['embedded']":
    """The server of a url, or else of a redis-py client; asks it nothing.

    Raises ConfigurationError for what cannot be used, and for both at once; the default url counts as none.
    """
    if redis_client is None:
        return "embedded" if redis_url == "embedded" else address_of_url(redis_url)
    if redis_url != DEFAULT_URL:
        raise ConfigurationError("redis_url and redis_client are both given; pass one of them")
    return address_of_client(redis_client)


class RedisConnection:
    """One Redis, for any number of threads and event loops.

    ``url`` is ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://`` or ``rediss+sentinel://`` with the hosts
    of Sentinels and the service whose primary is meant, or ``embedded`` for a private server that all such connections
    of the process share and that ends with the last of them; or it is the ``Address`` of a server. A server that is a
    node of a Redis Cluster stands for all of it, as its answer to the first command tells; a url may name several of
    its nodes, ``redis://host:port,host:port``, of which one has to answer then. With ``read_from_replicas`` those of a
    cluster, or that Sentinels name, answer look-ups in turn with the primary. For the times, all in seconds, see
    ``NodeConnection``. Nothing is opened until the first command. Raises ConfigurationError for an address that cannot
    be used.

    Example:
        with RedisConnection("redis://localhost:6379", timeout_s=0.1) as connection:
            store = RedisStore(connection, namespace="docs", reranker="r", embedder="e", dims=384)
    """

    def __init__(
        self,
        url: str | Address,
        *,
        budget_s: float = _DEFAULTS.budget_s,
        timeout_s: float = _DEFAULTS.timeout_s,
        connect_timeout_s: float = _DEFAULTS.connect_timeout_s,
        retry_after_s: float = _DEFAULTS.retry_after_s,
        max_retry_after_s: float = _DEFAULTS.max_retry_after_s,
        read_from_replicas: bool = _DEFAULTS.read_from_replicas,
        on_event: Callable[[Event], None] = lambda event: None,
        clock: Clock = monotonic,
    ) -> None:
        self.budget_s = budget_s
        self._on_event = on_event
        self._read_from_replicas = read_from_replicas
        self._lease: Lease | None = None
        server = url if isinstance(url, Address) else server_of(url)
        if not isinstance(server, Address):
            self._lease = SHARED_SERVER.acquire()
            server = address_of_url(self._lease.url)
        for option, instead in server.ignored.items():
            on_event(OptionIgnored(option, instead))
        if read_from_replicas and self._lease is not None:
            on_event(OptionIgnored("read_from_replicas", _NO_REPLICAS))
        self._open_node = partial(
            NodeConnection,
            budget_s=budget_s,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            retry_after_s=retry_after_s,
            max_retry_after_s=max_retry_after_s,
            clock=clock,
        )
        revive = (lambda: None) if self._lease is None else self._lease.revive
        self._seeds = [
            (one, self._open_node(one, on_event=self._told_of(one, server), revive=revive)) for one in server.each()
        ]
        self.node: NodeConnection = self._seeds[0][1]
        """The server that the url names; of several the first that has answered."""
        # None until the first command, whose answer tells what the server is. An embedded one of this process is known.
        self._reached: NodeConnection | ClusterConnection | ReplicatedConnection | None = (
            None if self._lease is None else self.node
        )
        self._lock = ForkSafeLock()
        self._blocking = BlockingCalls("semcache-redis-cluster", f"the topology of the {self.node.where}")

    @classmethod
    def of(cls, server: str | Address, knobs: RedisKnobs, on_event: Callable[[Event], None]) -> Self:
        """The connection to a server with the times that the settings name."""
        return cls(
            server,
            budget_s=knobs.budget_s,
            timeout_s=knobs.timeout_s,
            connect_timeout_s=knobs.connect_timeout_s,
            retry_after_s=knobs.retry_after_s,
            max_retry_after_s=knobs.max_retry_after_s,
            read_from_replicas=knobs.read_from_replicas,
            on_event=on_event,
        )

    @property
    def where(self) -> str:
        """The Redis in words, without user or password."""
        return self.node.where if self._reached is None else self._reached.where

    @property
    def client(self) -> redis.Redis:
        """redis-py's own client of the server that the url names, for what is not on the path of a request."""
        return self.node.client

    @property
    def nodes(self) -> Sequence[NodeConnection]:
        """The server, or the primaries of the cluster. Asks it what it is, unless that is known."""
        reached = self._reached or self._reach()
        if isinstance(reached, ClusterConnection):
            return reached.primaries
        return (reached if isinstance(reached, NodeConnection) else reached.primary,)

    @property
    def topology(self) -> Topology | None:
        """Which node of a cluster serves what, as seen last; None for a server, and before the first command."""
        return self._reached.topology if isinstance(self._reached, ClusterConnection) else None

    def execute(self, step: RedisStep) -> Any:
        """The answer to a step: a reply for each command, or for ``CreateIndex`` the server's error or None.

        Raises StoreUnavailableError when Redis does not answer, at once while the breaker is open (its
        StoreLeftAloneError). Raises StoreError when it refuses the connection, and StoreTooSlowError when the time is
        over that the request may wait (``TimeBudget``).
        """
        return (self._reached or self._reach()).execute(step)

    async def aexecute(self, step: RedisStep) -> Any:
        """``execute``, awaited."""
        return await (self._reached or await self._areach()).aexecute(step)

    def _reach(self) -> Reached:
        failure = StoreUnavailableError(f"{self.where} was not asked")
        for address, node in self._seeds:
            try:
                (reply,) = node.execute(_WHAT_IT_IS)
            except StoreUnavailableError as error:
                failure = error
            else:
                # A cluster is asked for its topology, by means that know no budget.
                reached = partial(self._reached_by, address, node, reply)
                return self._blocking.call(reached) if _is_of_cluster(reply) else reached()
        raise failure

    async def _areach(self) -> Reached:
        failure = StoreUnavailableError(f"{self.where} was not asked")
        for address, node in self._seeds:
            try:
                (reply,) = await node.aexecute(_WHAT_IT_IS)
            except StoreUnavailableError as error:
                failure = error
            else:
                reached = partial(self._reached_by, address, node, reply)
                return await self._blocking.acall(reached) if _is_of_cluster(reply) else reached()
        raise failure

    def _reached_by(self, address: Address, node: NodeConnection, reply: object) -> Reached:
        """The server, or its whole cluster if it says that it is a node of one."""
        with self._lock:  # a cluster is asked for its topology once
            if self._reached is None:
                if _is_of_cluster(reply) and address.sentinels is not None:
                    raise StoreError(
                        f"{node.where} is a node of a Redis Cluster, which needs no Sentinels; use the url of a node"
                    )
                if _is_of_cluster(reply):
                    self._reached = ClusterConnection(
                        address, self._open_node, self._on_event, reads_from_replicas=self._read_from_replicas
                    )
                elif len(self._seeds) > 1:
                    raise StoreError(
                        f"the Redis url names {len(self._seeds)} hosts, as the nodes of a Redis Cluster, and "
                        f"{node.where} is none; name one host"
                    )
                elif address.sentinels is not None and self._read_from_replicas:
                    self._reached = ReplicatedConnection(
                        address, address.sentinels, node, self._open_node, self._on_event
                    )
                else:
                    self._reached = node
                    if self._read_from_replicas:
                        self._on_event(OptionIgnored("read_from_replicas", _NO_REPLICAS))
                self.node = node
                for _, other in self._seeds:
                    if other is not node:
                        other.close()  # nothing asks it any more, and nothing shall probe it
            return self._reached

    def _told_of(self, one: Address, server: Address) -> Callable[[Event], None]:
        """The observer of a server of the url: of several servers, one that is away is not the whole cache."""
        on_event, host = self._on_event, f"{one.parameters.get('host')}:{one.parameters.get('port', 6379)}"
        return (lambda event: on_event(of_shard(host, event))) if server.others else on_event

    def exchange(self, commands: Sequence[Command]) -> Replies:
        """Send commands to the server of the url in one round trip, without its breaker.

        Raises what redis-py raises for a connection.
        """
        return self.node.exchange(commands)

    async def aexchange(self, commands: Sequence[Command]) -> Replies:
        """``exchange``, awaited. Commands of tasks that send at the same time share round trips."""
        return await self.node.aexchange(commands)

    def close(self) -> None:
        """Close the connections of threads, and the embedded server if this was its last user. Twice is harmless.

        Those of an event loop are closed by ``aclose`` in that loop, or when the loop ends.
        """
        for _, node in self._seeds:
            node.close()
        if isinstance(self._reached, ClusterConnection | ReplicatedConnection):
            self._reached.close()
        if self._lease is not None:
            self._lease.end()

    async def aclose(self) -> None:
        """Close the running loop's connections, and everything that ``close`` does."""
        for _, node in self._seeds:
            await node.aclose()
        if isinstance(self._reached, ClusterConnection | ReplicatedConnection):
            await self._reached.aclose()
        # In a thread: the end of an embedded server is waited for.
        await in_own_thread(self.close, "semcache-close")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<RedisConnection to {self.where}>"


_NO_REPLICAS = (
    "the url names one server, which is read from alone; use the url of a Redis Cluster, or of Sentinels "
    "(redis+sentinel://host:port/service)"
)

# Every user may send HELLO, whatever rights there are. Without arguments it only asks.
_WHAT_IT_IS = (("HELLO",),)


def _is_of_cluster(reply: object) -> bool:
    """Whether a server's reply to HELLO says that it is a node of a cluster. What knows no HELLO is none."""
    return isinstance(reply, list) and (b"mode", b"cluster") in zip(reply[::2], reply[1::2], strict=False)
