"""Removes a whole namespace: the entries and indexes of all its models and tenants."""

from itertools import islice

from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, is_missing_index, translated
from semcache.redis.keys import namespace_prefix
from semcache.redis.operation import PAGE


def remove_namespace(connection: RedisConnection, namespace: str) -> None:
    """Drop its indexes and unlink its keys. Goes through all keys of the server.

    Raises StoreUnavailableError or StoreError when Redis does not answer; some of the keys may then still be there.
    """
    prefix = namespace_prefix(namespace).encode()
    client = connection.client
    try:
        # The indexes go first, so that the server need not take every vector out of a graph on its own.
        for name in client.execute_command("FT._LIST"):  # type: ignore[no-untyped-call]
            if name.startswith(prefix):
                try:
                    client.execute_command("FT.DROPINDEX", name)  # type: ignore[no-untyped-call]
                except FOREIGN as error:
                    if not is_missing_index(error):  # another process may have dropped it since it was listed
                        raise
        keys = client.scan_iter(match=prefix + b"*", count=PAGE)
        while page := list(islice(keys, PAGE)):
            client.unlink(*page)
    except FOREIGN as error:
        raise translated(error, connection.where) from error
