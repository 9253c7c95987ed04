"""Replies that are on their way to an event loop, from one of several servers that were asked at once."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from semcache.errors import StoreError
from semcache.redis.client.commands import Replies
from semcache.redis.client.failures import FOREIGN


@dataclass(frozen=True, slots=True)
class Awaited:
    """``NodeConnection.abegin`` returns it; a caller that gives up cancels it."""

    _replies: "asyncio.Future[Replies]"
    _failure: Callable[[BaseException], StoreError]

    async def replies(self) -> Replies:
        """Raises what ``NodeConnection.aexecute`` raises."""
        try:
            return await self._replies
        except FOREIGN as error:
            raise self._failure(error) from error

    def cancel(self) -> None:
        """They are not needed any more."""
        if not self._replies.cancel() and not self._replies.cancelled():
            self._replies.exception()  # else asyncio logs one that was never retrieved
