"""Removes a whole namespace: the entries and indexes of all its models and tenants."""

from itertools import islice

from redis import Redis
from redis.exceptions import MovedError

from semcache.redis.client.connection import RedisConnection
from semcache.redis.client.failures import FOREIGN, is_missing_index, translated
from semcache.redis.keys import namespace_prefix
from semcache.redis.operation import PAGE


def remove_namespace(connection: RedisConnection, namespace: str) -> None:
    """Drop its indexes and unlink its keys. Goes through all keys of the server.

    Raises StoreUnavailableError or StoreError when Redis does not answer; some of the keys may then still be there.
    """
    prefix = namespace_prefix(namespace).encode()
    for node in connection.nodes:
        try:
            # The indexes go first, so that the server need not take every vector out of a graph on its own.
            for name in node.client.execute_command("FT._LIST"):  # type: ignore[no-untyped-call]
                if name.startswith(prefix):
                    _drop(node.client, name)
            keys = node.client.scan_iter(match=prefix + b"*", count=PAGE)
            while page := list(islice(keys, PAGE)):
                # One command for each: in a cluster they lie in many slots.
                with node.client.pipeline(transaction=False) as pipeline:
                    for key in page:
                        pipeline.unlink(key)
                    pipeline.execute()
        except FOREIGN as error:
            raise translated(error, connection.where) from error


def _drop(client: Redis, name: bytes) -> None:
    try:
        client.execute_command("FT.DROPINDEX", name)  # type: ignore[no-untyped-call]
    except MovedError:
        pass  # one that the slot of its name has left behind in a cluster; no command reaches it
    except FOREIGN as error:
        if not is_missing_index(error):  # another process may have dropped it since it was listed
            raise
