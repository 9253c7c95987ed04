"""Keeps what rerankers and embedders answered to the probes, by name, for all processes of a namespace."""

from semcache.identity.pairs import VERSION
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import records_key
from semcache.redis.operation import value_of

_YEAR_MS = 365 * 24 * 3600 * 1000
_MOST_YEARS = 20
"""No entry lives for more than ten years unless it has no end (``flow/requests.py``)."""


class VariantStore:
    """The records of one namespace; ``kind`` is "reranker" or "embedder". Raises StoreError when Redis cannot be asked.

    The records of a name stand one after the other in one string, in the order in which they came. APPEND is atomic, so
    two processes that add at the same time agree which came first. ``ttl_s`` is how long entries live, in seconds
    (None: without end).
    """

    def __init__(self, connection: RedisConnection, namespace: str, kind: str, ttl_s: float | None) -> None:
        self._connection = connection
        self._namespace = namespace
        self._kind = f"{kind}/{VERSION}"
        # Records have a few dozen bytes, are looked at by every start, and must outlive every entry.
        self._life_ms = _MOST_YEARS * _YEAR_MS if ttl_s is None else int(max(_YEAR_MS, 2000 * ttl_s))

    def read(self, base: str, length: int) -> list[bytes]:
        """The records of ``length`` bytes under a name, the oldest first; one round trip."""
        key = records_key(self._namespace, self._kind, base)
        return self._records(key, length)

    def peek(self, base: str, length: int) -> list[bytes]:
        """``read`` for what only looks: the records do not live longer for it."""
        (reply,) = self._connection.execute([("GET", records_key(self._namespace, self._kind, base))])
        return _split(value_of(reply, self._connection.where) or b"", length)

    def add(self, base: str, record: bytes) -> list[bytes]:
        """All records under a name, after this one was added; one round trip."""
        key = records_key(self._namespace, self._kind, base)
        return self._records(key, len(record), ("APPEND", key, record))

    def _records(self, key: bytes, length: int, *before: tuple[str, bytes, bytes]) -> list[bytes]:
        replies = self._connection.execute([*before, ("GET", key), ("PEXPIRE", key, self._life_ms)])
        # The life of the key is a courtesy to the server; a user who may not set it can still share scores.
        needed = [value_of(reply, self._connection.where) for reply in replies[: len(before) + 1]]
        return _split(needed[-1] or b"", length)

    def __repr__(self) -> str:
        return f"<VariantStore {self._namespace} {self._kind} in {self._connection.where}>"


def _split(records: bytes, length: int) -> list[bytes]:
    return [records[at : at + length] for at in range(0, len(records) - length + 1, length)]
