"""Asks a server for its versions, and for how much memory it may still use."""

from dataclasses import dataclass

from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, translated


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """``search_version`` is None when the server has no search module; ``free_bytes`` is None without a limit."""

    version: str
    search_version: str | None
    free_bytes: int | None


def server_info(connection: RedisConnection) -> ServerInfo:
    """Ask the server. Raises StoreUnavailableError or StoreError when it does not answer."""
    try:
        server, modules, memory = map(connection.client.info, ("server", "modules", "memory"))
    except FOREIGN as error:
        raise translated(error, connection.where) from error
    search = [int(module["ver"]) for module in modules.get("modules", ()) if module.get("name") == "search"]
    limit = int(memory.get("maxmemory", 0))
    free = max(0, limit - int(memory.get("used_memory", 0))) if limit else None
    return ServerInfo(
        str(server.get("redis_version", "unknown")), version_of_module(search[0]) if search else None, free
    )


def version_of_module(number: int) -> str:
    """The version that a module writes as one number.

    Example:
        >>> version_of_module(21005)
        '2.10.5'
    """
    return f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
