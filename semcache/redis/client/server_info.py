"""What a server says of itself: its versions, and how much memory it may still use."""

from dataclasses import dataclass
from typing import Any

from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, translated


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """``search_version`` is None when the server names no search module; ``free_bytes`` is None without a limit."""

    version: str
    search_version: str | None
    free_bytes: int | None


def server_info(connection: RedisConnection) -> ServerInfo:
    """Ask the server. Raises StoreUnavailableError or StoreError when it does not answer."""
    try:
        server, modules, memory = map(connection.client.info, ("server", "modules", "memory"))
    except FOREIGN as error:
        raise translated(error, connection.where) from error
    limit = int(memory.get("maxmemory", 0))
    free = max(0, limit - int(memory.get("used_memory", 0))) if limit else None
    return ServerInfo(str(server.get("redis_version", "unknown")), _search_version(modules), free)


def _search_version(modules: dict[str, Any]) -> str | None:
    for module in modules.get("modules", ()):
        if module.get("name") == "search":
            version = int(module["ver"])  # 21005 is 2.10.5
            return f"{version // 10_000}.{version // 100 % 100}.{version % 100}"
    return None
