"""A reranker that answers only when the event loop runs meanwhile."""

import asyncio
from collections.abc import Awaitable, Sequence
from threading import Event
from typing import TypeVar

from semcache.protocols import FloatArray, Pair
from tests.fakes import CountingReranker
from tests.scripted import PATIENCE_S

T = TypeVar("T")


class WaitingReranker(CountingReranker):
    """Waits in ``score`` until it is told to go on."""

    def __init__(self) -> None:
        super().__init__("waiting")
        self.started, self.may_go_on = Event(), Event()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.started.set()
        assert self.may_go_on.wait(PATIENCE_S), "the event loop stood still"
        return super().score(pairs)


async def beside(call: Awaitable[T], reranker: WaitingReranker) -> T:
    """The result of a call, during which another task tells the reranker to go on."""

    async def let_go_on() -> None:
        while not reranker.started.is_set():
            await asyncio.sleep(0)
        reranker.may_go_on.set()

    result, _ = await asyncio.gather(call, let_go_on())
    return result
