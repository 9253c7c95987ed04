"""The connection to a Redis Cluster: carries out steps on its nodes, and follows its changes."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any

from semcache.causes import cause_of
from semcache.errors import StoreError, StoreTooSlowError
from semcache.events import CacheRecovered, CacheUnavailable, Event, ShardLeftOut, ShardRecovered, ShardUnavailable
from semcache.flow.drive import adrive, drive
from semcache.redis.client.address import Address, Kind
from semcache.redis.client.awaited import Awaited
from semcache.redis.client.blocking import BlockingCalls
from semcache.redis.client.commands import CreateIndex, Reconnect, RedisStep, Replies
from semcache.redis.client.node import NodeConnection
from semcache.redis.cluster.discovery import Discovery
from semcache.redis.cluster.keeper import TopologyKeeper
from semcache.redis.cluster.left_out import LeftOut
from semcache.redis.cluster.parts import POINTS_ELSEWHERE, Pause, Refresh, Round
from semcache.redis.cluster.routing import alone, carry_out
from semcache.redis.cluster.topology import Node, Topology
from semcache.runtime.budget import TimeBudget, current_budget
from semcache.runtime.forking import ForkSafeLock

_SHARE = 0.5
"""Of the time that a request has left, where several shards are asked at once. The slowest of them may not use up what
the answers of the others need after that."""
_DISCOVERY_TIMEOUT_S = 1.0
"""For the answer of one node; then another one is asked."""


class ClusterConnection:
    """All nodes of the cluster that a server belongs to, as if they were one server.

    ``address`` is that of one node; the others are reached with the same login. ``open_node`` makes the connection to
    one. Each has pools and a circuit breaker of its own: what one shard cannot answer is missing, and the others
    answer. Raises StoreError when the cluster does not tell its topology.
    """

    def __init__(
        self, address: Address, open_node: Callable[..., NodeConnection], on_event: Callable[[Event], None]
    ) -> None:
        self.where: str = address.where.replace("Redis at", "Redis Cluster at", 1)
        self._address = address
        self._open_node = open_node
        self._on_event = on_event
        self._nodes: dict[Node, NodeConnection] = {}
        self._lock = ForkSafeLock()
        self._blocking = BlockingCalls("semcache-redis-topology", f"the topology of the {self.where}")
        discovery = Discovery(address, self.where, _DISCOVERY_TIMEOUT_S, self._connection_to)
        self._left_out = LeftOut()
        self._keeper = TopologyKeeper(discovery, on_event, self._retire)

    @property
    def topology(self) -> Topology:
        """The topology that was seen last."""
        return self._keeper.current

    @property
    def primaries(self) -> Sequence[NodeConnection]:
        """The connections to the primary of each shard."""
        return [self._connection_to(node) for node in self.topology.tags]

    def _connection_to(self, node: Node) -> NodeConnection:
        connection = self._nodes.get(node)
        if connection is not None:
            return connection
        with self._lock:
            if node not in self._nodes:
                parameters = {**self._address.parameters, "host": node.host, "port": node.port}
                parameters.pop("path", None)
                kind: Kind = "tls" if self._address.kind == "tls" else "tcp"
                self._nodes[node] = self._open_node(
                    replace(self._address, kind=kind, parameters=parameters), on_event=partial(self._of_node, node)
                )
            return self._nodes[node]

    def _of_node(self, node: Node, event: Event) -> None:
        """Tell of what happened to a node."""
        if isinstance(event, CacheUnavailable | CacheRecovered):
            self.suspect()
        if isinstance(event, CacheRecovered) and (reads := self._left_out.rest(node)):
            self._on_event(ShardLeftOut(str(node), "it was away until now", reads))
        self._on_event(of_shard(str(node), event))

    def left_out(self, node: Node, error: StoreError) -> None:
        """Tell that an answer lacks what this node would have said, once in a while."""
        if reads := self._left_out.count(node, monotonic()):
            self._on_event(ShardLeftOut(str(node), cause_of(error), reads))

    def suspect(self, *, has_changed: bool = False) -> None:
        """Look soon whether the topology has changed."""
        self._keeper.suspect(has_changed=has_changed)

    def _retire(self, topology: Topology) -> None:
        """Close the connections to nodes that serve no slots any more: what comes back is connected to anew."""
        with self._lock:
            gone = [self._nodes.pop(node) for node in list(self._nodes) if node not in topology.tags]
        for connection in gone:
            connection.retire()

    def execute(self, step: RedisStep) -> Any:
        """See ``RedisConnection.execute``. Raises StoreError only where no node that was asked answers."""
        topology = self._keeper.current
        node = alone(step, topology)
        if node is not None:
            # The path of an exact hit. Where the node points to another one, the step begins anew.
            try:
                replies = self._connection_to(node).execute(step)
            except StoreError:
                self.suspect()
                raise
            if not isinstance(replies[0], POINTS_ELSEWHERE):
                return replies
        return drive(carry_out(step, topology, self), self._perform)

    async def aexecute(self, step: RedisStep) -> Any:
        """``execute``, awaited."""
        topology = self._keeper.current
        node = alone(step, topology)
        if node is not None:
            try:
                replies = await self._connection_to(node).aexecute(step)
            except StoreError:
                self.suspect()
                raise
            if not isinstance(replies[0], POINTS_ELSEWHERE):
                return replies
        return await adrive(carry_out(step, topology, self), self._aperform)

    def _perform(self, step: Round | Pause | Refresh) -> Any:
        if isinstance(step, Round) and len(step.asked) == 1:
            ((node, asked),) = step.asked.items()
            try:
                return {node: self._connection_to(node).execute(asked)}
            except StoreError as error:
                return {node: error}
        if isinstance(step, Refresh):
            return self._blocking.call(self._keeper.refresh)
        # What several nodes are waited for at the same time is spent once.
        budget, began = current_budget(), monotonic()
        left_s = None if budget is None else budget.left_s
        try:
            if isinstance(step, Round):
                return self._at_once(step.asked, left_s and left_s * _SHARE)
            time.sleep(self._pause_s(step, left_s))
        finally:
            if budget is not None:
                budget.left_s -= monotonic() - began
        return None

    def _at_once(self, asked: Mapping[Node, RedisStep], share_s: float | None) -> dict[Node, Any]:
        # All are sent before the first reply is waited for, so that no thread has to be woken for each of them.
        answers: dict[Node, Any] = {}
        sent: list[tuple[Node, Callable[[], Replies]]] = []
        for node, step in asked.items():
            connection = self._connection_to(node)
            try:
                if isinstance(step, CreateIndex | Reconnect):
                    with _budget(share_s):
                        answers[node] = connection.execute(step)
                else:
                    sent.append((node, connection.begin(step, share_s)))
            except StoreError as error:
                answers[node] = error
        for node, finish in sent:
            try:
                answers[node] = finish()
            except StoreError as error:
                answers[node] = error
        return answers

    async def _aperform(self, step: Round | Pause | Refresh) -> Any:
        if isinstance(step, Round) and len(step.asked) == 1:
            ((node, asked),) = step.asked.items()
            try:
                return {node: await self._connection_to(node).aexecute(asked)}
            except StoreError as error:
                return {node: error}
        if isinstance(step, Refresh):
            return await self._blocking.acall(self._keeper.refresh)
        budget, began = current_budget(), monotonic()
        left_s = None if budget is None else budget.left_s
        try:
            if isinstance(step, Round):
                return await self._aat_once(step.asked, left_s and left_s * _SHARE)
            await asyncio.sleep(self._pause_s(step, left_s))
        finally:
            if budget is not None:
                budget.left_s -= monotonic() - began
        return None

    async def _aat_once(self, asked: Mapping[Node, RedisStep], share_s: float | None) -> dict[Node, Any]:
        commands = {node: step for node, step in asked.items() if not isinstance(step, CreateIndex | Reconnect)}
        if len(commands) < len(asked):
            several = await asyncio.gather(*(self._share_of(node, step, share_s) for node, step in asked.items()))
            return dict(zip(asked, several, strict=True))
        # Commands are all sent from this task: one for each node would cost more than the rest of a look-up.
        answers: dict[Node, Any] = {}
        sent: list[tuple[Node, Awaited]] = []
        try:
            for node, own in commands.items():
                try:
                    sent.append((node, await self._connection_to(node).abegin(own, share_s)))
                except StoreError as error:
                    answers[node] = error
            for node, awaited in sent:
                try:
                    answers[node] = await awaited.replies()
                except StoreError as error:
                    answers[node] = error
        finally:
            for _, awaited in sent:
                awaited.cancel()  # where this task was cancelled; else it is done
        return answers

    async def _share_of(self, node: Node, step: RedisStep, share_s: float | None) -> Any:
        # In a task of its own, and so in a copy of the request's context.
        with _budget(share_s):
            try:
                return await self._connection_to(node).aexecute(step)
            except StoreError as error:
                return error

    def _pause_s(self, pause: Pause, left_s: float | None) -> float:
        if left_s is not None and left_s <= pause.seconds:
            raise self._too_slow()
        return pause.seconds

    def _too_slow(self) -> StoreTooSlowError:
        return StoreTooSlowError(f"slots of the {self.where} are moving for longer than the request may wait for it")

    def close(self) -> None:
        """See ``RedisConnection.close``."""
        self._keeper.stop()
        for connection in list(self._nodes.values()):
            connection.close()

    async def aclose(self) -> None:
        """See ``RedisConnection.aclose``."""
        for connection in list(self._nodes.values()):
            await connection.aclose()
        self.close()

    def __repr__(self) -> str:
        return f"<ClusterConnection to {self.where}: {self._keeper!r}>"


def of_shard(node: str, event: Event) -> Event:
    """What happened to a node, as news of this node: one that is away is not the whole cache."""
    match event:
        case CacheUnavailable(error):
            return ShardUnavailable(node, error)
        case CacheRecovered(after_s):
            return ShardRecovered(node, after_s)
    return event


def _budget(left_s: float | None) -> AbstractContextManager[object]:
    """The time that one node may be waited for."""
    return nullcontext() if left_s is None else TimeBudget(left_s)
