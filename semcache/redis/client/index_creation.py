"""Creates indexes by redis-py's own clients, bounded by the time that a request has left."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
import redis.asyncio

from semcache.errors import DeadlineExceededError
from semcache.redis.client.commands import CreateIndex
from semcache.runtime.threads import ThreadPool

_Creation = tuple[asyncio.AbstractEventLoop, str]
"""An event loop, and the name of an index that is being created there."""


class IndexCreation:
    """``client`` creates for threads, and clients over what ``make_pool`` gives for event loops.

    RedisVL sends several commands for one index. Each has a timeout, and there is no limit for all of them, so a
    request with ``left_s`` seconds waits beside the creation, which goes on when the request does.
    """

    def __init__(self, client: redis.Redis, make_pool: Callable[[], Any]) -> None:
        self._client = client
        self._make_pool = make_pool
        self._threads = ThreadPool(1, "semcache-redis-index", idle_s=0)
        self._under_way: dict[_Creation, asyncio.Future[redis.ResponseError | None]] = {}

    def create(self, step: CreateIndex, left_s: float | None) -> redis.ResponseError | None:
        """None, or the error that the server answered with. Raises what redis-py raises for a connection."""
        create = partial(step.create, self._client)
        if left_s is None:
            return create()
        try:
            return self._threads.call(create, "the creation of an index", left_s)
        except DeadlineExceededError as error:
            raise redis.TimeoutError(str(error)) from None
        except RuntimeError as error:  # the system gives no more threads
            raise redis.ConnectionError(str(error)) from error

    async def acreate(self, step: CreateIndex, left_s: float | None) -> redis.ResponseError | None:
        """``create``, once for all tasks of a loop that find the index missing at the same time, as in a burst."""
        key = (asyncio.get_running_loop(), step.schema.index.name)
        creating = self._under_way.get(key)
        if creating is None:
            creating = self._under_way[key] = asyncio.ensure_future(self._acreate(step))
            creating.add_done_callback(partial(self._created, key))
        # Waited for, not awaited, so that a task that is cancelled does not take the index from the others.
        await asyncio.wait((creating,), timeout=left_s)
        if not creating.done():
            raise redis.TimeoutError(f"no index within the {left_s:.3g} s that were left")
        return creating.result()

    def _created(self, key: _Creation, creating: "asyncio.Future[redis.ResponseError | None]") -> None:
        self._under_way.pop(key, None)
        # Read, since an error whose waiting tasks were all cancelled would be logged by asyncio as never retrieved.
        if not creating.cancelled():
            creating.exception()

    async def _acreate(self, step: CreateIndex) -> redis.ResponseError | None:
        # Once per index, so the client is not kept.
        async with redis.asyncio.Redis.from_pool(self._make_pool()) as client:
            return await step.acreate(client)
