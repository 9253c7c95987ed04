"""Carries out what a routing asks for: several servers are asked at once, within the time that a request has left."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from typing import Any

from semcache.errors import StoreError, StoreTooSlowError
from semcache.redis.client.awaited import Awaited
from semcache.redis.client.blocking import BlockingCalls
from semcache.redis.client.commands import CreateIndex, Reconnect, RedisStep, Replies
from semcache.redis.client.node import NodeConnection
from semcache.redis.cluster.parts import Pause, Refresh, Round
from semcache.redis.cluster.topology import Node, Topology
from semcache.runtime.budget import TimeBudget, current_budget

_SHARE = 0.5
"""Of the time that a request has left, where several servers are asked at once. The slowest of them may not use up what
the answers of the others need after that."""


class Rounds:
    """``connection_to`` opens a connection, ``refresh`` reads the topology anew, ``where`` names all nodes together."""

    def __init__(
        self, connection_to: Callable[[Node], NodeConnection], refresh: Callable[[], Topology], where: str
    ) -> None:
        self._connection_to = connection_to
        self._refresh = refresh
        self._where = where
        self._blocking = BlockingCalls("semcache-redis-topology", f"the topology of the {where}")

    def perform(self, step: Round | Pause | Refresh) -> Any:
        """The result that a routing asks for, in threads: the answers by node, None, or the topology."""
        if isinstance(step, Round) and len(step.asked) == 1 and not step.may_be_repeated:
            ((node, asked),) = step.asked.items()
            try:
                return {node: self._connection_to(node).execute(asked)}
            except StoreError as error:
                return {node: error}
        if isinstance(step, Refresh):
            return self._blocking.call(self._refresh)
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
        with _budget(share_s):  # that of steps which are carried out one after the other
            for node, step in asked.items():
                connection = self._connection_to(node)
                try:
                    if isinstance(step, CreateIndex | Reconnect):
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

    async def aperform(self, step: Round | Pause | Refresh) -> Any:
        """``perform``, awaited."""
        if isinstance(step, Round) and len(step.asked) == 1 and not step.may_be_repeated:
            ((node, asked),) = step.asked.items()
            try:
                return {node: await self._connection_to(node).aexecute(asked)}
            except StoreError as error:
                return {node: error}
        if isinstance(step, Refresh):
            return await self._blocking.acall(self._refresh)
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
        return StoreTooSlowError(f"slots of the {self._where} are moving for longer than the request may wait for it")


def _budget(left_s: float | None) -> AbstractContextManager[object]:
    """The time that one node may be waited for."""
    return nullcontext() if left_s is None else TimeBudget(left_s)
