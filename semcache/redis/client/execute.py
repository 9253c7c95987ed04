"""Carries out the steps of operations on a client, by calls or by awaited calls."""

from typing import Any

import redis
import redis.asyncio
from redis.exceptions import ResponseError

from semcache.redis.client.connection import Connection
from semcache.redis.client.failures import FOREIGN, translated
from semcache.redis.operation import CreateIndex, Step


def execute(connection: Connection, step: Step) -> Any:
    """The answer to a step. Raises StoreUnavailableError or StoreError when there is none."""
    with connection.breaker.enter():
        try:
            if isinstance(step, CreateIndex):
                return _create(connection.client, step)
            return connection.exchange(step)
        except FOREIGN as error:
            raise translated(error, connection.where) from error


async def aexecute(connection: Connection, step: Step) -> Any:
    """``execute``, awaited."""
    with connection.breaker.enter():
        try:
            if isinstance(step, CreateIndex):
                return await _acreate(connection.async_client(), step)
            return await connection.aexchange(step)
        except FOREIGN as error:
            raise translated(error, connection.where) from error


def _create(client: redis.Redis, step: CreateIndex) -> ResponseError | None:
    from redisvl.exceptions import RedisSearchError
    from redisvl.index import SearchIndex

    try:
        SearchIndex(step.schema, redis_client=client).create(overwrite=False)
    except RedisSearchError as error:
        return _refusal(error)
    return None


async def _acreate(client: redis.asyncio.Redis, step: CreateIndex) -> ResponseError | None:
    from redisvl.exceptions import RedisSearchError
    from redisvl.index import AsyncSearchIndex

    try:
        await AsyncSearchIndex(step.schema, redis_client=client).create(overwrite=False)
    except RedisSearchError as error:
        return _refusal(error)
    return None


def _refusal(error: Exception) -> ResponseError:
    """What the server said, out of RedisVL's wrapping; anything else (no connection) goes on as an error."""
    if isinstance(error.__cause__, ResponseError):
        return error.__cause__
    raise error.__cause__ or error
