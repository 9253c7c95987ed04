"""Takes the address and the credentials from a redis-py client of the application, and leaves the client alone."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.cluster
import redis.sentinel
from redis.credentials import CredentialProvider

from semcache.errors import ConfigurationError
from semcache.redis.client.address import ASYNC, ONLY_SYNC, SYNC, TLS_OPTIONS, Address, Kind
from semcache.redis.client.sentinel import Sentinels

_POOLS = (redis.ConnectionPool, redis.asyncio.ConnectionPool)
_CLIENTS = (redis.Redis, redis.asyncio.Redis)
_CLUSTERS = (redis.cluster.RedisCluster, redis.asyncio.RedisCluster)
_SENTINELS = (redis.sentinel.Sentinel, redis.asyncio.sentinel.Sentinel)
_SENTINEL_POOLS = (redis.sentinel.SentinelConnectionPool, redis.asyncio.sentinel.SentinelConnectionPool)
_SERVERS: Mapping[type, Kind] = {connection: kind for known in (SYNC, ASYNC) for kind, connection in known.items()}
_OF_SENTINELS: Mapping[type, Kind] = {
    redis.sentinel.SentinelManagedConnection: "tcp",
    redis.sentinel.SentinelManagedSSLConnection: "tls",
    redis.asyncio.sentinel.SentinelManagedConnection: "tcp",
    redis.asyncio.sentinel.SentinelManagedSSLConnection: "tls",
}
_TAKEN = frozenset(
    {
        *("host", "port", "path", "db", "username", "password", "credential_provider"),
        *("client_name", "lib_name", "lib_version", "driver_info"),
        *("socket_type", "socket_keepalive_options"),
        *TLS_OPTIONS,
    }
)


def address_of_client(client: object) -> Address:
    """The address of a redis-py client or connection pool, for threads or for event loops.

    Nothing is sent over the client. Of a Redis Cluster it is the address of one node, and of a client of Sentinels the
    primary of its service. Raises ConfigurationError for a client whose connections cannot be made anew: of replicas
    that Sentinels name, of a class that redis-py does not know (a fake, for one), with a ``redis_connect_func``.
    """
    pool = client if isinstance(client, _POOLS) else getattr(client, "connection_pool", None)
    if isinstance(client, _CLUSTERS):
        return _node_of(client)
    if isinstance(client, _SENTINELS):
        raise _refused(client, "it watches several services; pass a client of one, sentinel.master_for(service)")
    if isinstance(pool, _SENTINEL_POOLS):
        return _watched_by_sentinels(client, pool)
    if not isinstance(client, (*_CLIENTS, *_POOLS)) or not isinstance(pool, _POOLS):
        raise _refused(client, "pass a redis.Redis, a redis.asyncio.Redis, or a connection pool of one of them")
    return _address(client, pool, _SERVERS)


def _watched_by_sentinels(client: object, pool: Any) -> Address:
    """The primary of the service that a client of Sentinels is for."""
    if not pool.is_master:
        raise _refused(client, "entries are written to the primary; pass sentinel.master_for(service)")
    asked = [_address(client, one.connection_pool, _SERVERS) for one in pool.sentinel_manager.sentinels]
    hosts = tuple((str(one.parameters["host"]), int(one.parameters["port"])) for one in asked)
    login = {name: value for name, value in asked[0].parameters.items() if name not in ("host", "port", "db")}
    if asked[0].kind == "tls":
        login["ssl"] = True
    return replace(_address(client, pool, _OF_SENTINELS), sentinels=Sentinels(pool.service_name, hosts, login))


def _address(client: object, pool: Any, kinds: Mapping[type, Kind]) -> Address:
    # Not by isinstance: a subclass may connect to something that is no server, as fakes do.
    if pool.connection_class not in kinds:
        raise _refused(client, f"connections of class {pool.connection_class.__name__} cannot be made anew")
    return Address(kinds[pool.connection_class], _taken(client, pool.connection_kwargs))


def _node_of(client: Any) -> Address:
    """The address of one node that a client of a cluster knows."""
    node = next(iter(client.nodes_manager.startup_nodes.values()))
    # Each of redis-py's two clients keeps them in a place of its own.
    arguments = getattr(client, "connection_kwargs", None) or client.nodes_manager.connection_kwargs
    is_tls = arguments.get("ssl") or arguments.get("connection_class") is ASYNC["tls"]
    # The client calls a function of its own, and that one the user's.
    own = {"redis_connect_func": getattr(client, "user_on_connect_func", None), "host": node.host, "port": node.port}
    return Address("tls" if is_tls else "tcp", _taken(client, {**arguments, **own}))


def _taken(client: object, arguments: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("redis_connect_func", *sorted(ONLY_SYNC)):
        if arguments.get(name):
            raise _refused(client, f"{name} cannot be taken over; for logins use a credential_provider")
    taken = {name: value for name, value in arguments.items() if name in _TAKEN and value is not None}
    if "credential_provider" in taken:
        taken["credential_provider"] = _Credentials(taken["credential_provider"])
    return taken


class _Credentials(CredentialProvider):
    """The application's credential provider. What it raises becomes redis-py's error for a failed connection.

    A service that hands out tokens may be away for a while, as Redis may.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def get_credentials(self) -> Any:
        try:
            return self._provider.get_credentials()
        except Exception as error:  # the provider is the application's code and may raise anything
            raise _failed(error) from error

    async def get_credentials_async(self) -> Any:
        own = getattr(type(self._provider), "get_credentials_async", None)
        try:
            if own is None or own is CredentialProvider.get_credentials_async:  # it only knows how to block
                return await asyncio.to_thread(self._provider.get_credentials)
            return await self._provider.get_credentials_async()
        except Exception as error:  # the provider is the application's code and may raise anything
            raise _failed(error) from error


def _failed(error: Exception) -> redis.ConnectionError:
    # The message of the error is left out, since it may quote a secret.
    return redis.ConnectionError(f"the credential provider raised {type(error).__name__}")


def _refused(client: object, remedy: str) -> ConfigurationError:
    # The class alone: the repr of a client shows its password.
    return ConfigurationError(f"redis_client is a {type(client).__module__}.{type(client).__name__}: {remedy}")
