"""Removes a whole namespace: the entries and indexes of all its models and tenants."""

from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, is_missing_index, translated
from semcache.redis.keys import namespace_prefix
from semcache.redis.operation import PAGE


def remove_namespace(connection: RedisConnection, namespace: str) -> None:
    """Drop its indexes and unlink its keys. Goes through all keys of the server.

    Raises StoreUnavailableError or StoreError when Redis does not answer; something may then still be there.
    """
    prefix = namespace_prefix(namespace).encode()
    try:
        _drop_indexes(connection, prefix)
        _unlink_keys(connection, prefix)
    except FOREIGN as error:
        raise translated(error, connection.where) from error


def _drop_indexes(connection: RedisConnection, prefix: bytes) -> None:
    execute = connection.client.execute_command
    for name in execute("FT._LIST"):  # type: ignore[no-untyped-call]
        if name.startswith(prefix):
            try:
                execute("FT.DROPINDEX", name)  # type: ignore[no-untyped-call]
            except FOREIGN as error:
                if not is_missing_index(error):  # somebody else may have been faster
                    raise


def _unlink_keys(connection: RedisConnection, prefix: bytes) -> None:
    found: list[bytes] = []
    for key in connection.client.scan_iter(match=prefix + b"*", count=PAGE):
        found.append(key)
        if len(found) == PAGE:
            connection.client.unlink(*found)
            found.clear()
    if found:
        connection.client.unlink(*found)
