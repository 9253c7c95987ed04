"""The store of remembered scores, for threads and for event loops: two thin drivers of the same operations."""

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Required, TypedDict, TypeVar, Unpack

import redis
import redis.asyncio

from semcache.entries.entry import Neighbour, NewScores, Scores, StoredEntry
from semcache.errors import ConfigurationError
from semcache.events import Event
from semcache.flow.drive import adrive, drive
from semcache.protocols import Clock, FloatArray
from semcache.redis import inspection, invalidation, reading, writing
from semcache.redis.client.connection import Connection, GivenClient
from semcache.redis.client.execute import aexecute, execute
from semcache.redis.ensure import ensure_index
from semcache.redis.entry_format import Lifetime, VectorFormat
from semcache.redis.index import VECTOR_TYPES, IndexTuning, attributes_of
from semcache.redis.keys import KeySpace
from semcache.redis.operation import Operation, Setup
from semcache.redis.sizes import Sizes

T = TypeVar("T")
_AS_IN_THE_YAML = IndexTuning()


class StoreOptions(TypedDict, total=False):
    """How a store is set up; RedisStore and AsyncRedisStore take the same. Defaults and their reasons: ``_setup``."""

    namespace: Required[str]
    reranker: Required[str]
    embedder: Required[str]
    dims: Required[int]
    listwise: bool
    ttl_s: float | None
    ttl_jitter: float
    max_scores: int
    store_queries: bool
    tuning: IndexTuning
    on_event: Callable[[Event], None]
    rng: random.Random
    clock: Clock


class RedisStore:
    """Scores of one namespace, one reranker and one embedder, in Redis. Safe to use from several threads.

    ``connection`` is a RedisConnection, or a redis-py client that stays the caller's to close. Every method raises
    StoreUnavailableError when Redis does not answer (at once, while it is being left alone after it failed), and
    StoreError, or its IndexMismatchError, when it cannot be used as it is set up.
    """

    def __init__(self, connection: Connection | redis.Redis, **options: Unpack[StoreOptions]) -> None:
        self.connection = GivenClient(connection) if isinstance(connection, redis.Redis) else connection
        self._setup = _setup(self.connection.where, **options)

    def _do(self, operation: Operation[T]) -> T:
        return drive(operation, partial(execute, self.connection))

    def check(self) -> None:
        """Create the index, or see that the one that is there fits. Raises StoreError for a Redis of no use."""
        self._do(ensure_index(self._setup, ""))

    def read_exact(self, tenant: str, query: str) -> Scores | None:
        """Scores by document fingerprint of the entry of exactly this query, or None. One GET."""
        return self._do(reading.read_exact(self._setup, tenant, query))

    def read_exact_many(self, tenant: str, queries: Sequence[str]) -> list[Scores | None]:
        """``read_exact`` for several queries in one round trip."""
        return self._do(reading.read_exact_many(self._setup, tenant, queries))

    def read_vector(self, tenant: str, query: str) -> FloatArray | None:
        """The stored unit vector of exactly this query, shape ``(dims,)``, or None. One HGET."""
        return self._do(reading.read_vector(self._setup, tenant, query))

    def find_neighbours(self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0) -> list[Neighbour]:
        """At most k entries of at least this similarity (a cosine), nearest first, without those that just expired.

        Two round trips; one when nothing is similar enough.
        """
        return self._do(reading.find_neighbours(self._setup, tenant, vector, k, min_similarity))

    def find_neighbours_many(
        self, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
    ) -> list[list[Neighbour]]:
        """``find_neighbours`` for several vectors, in two round trips together."""
        return self._do(reading.find_neighbours_many(self._setup, tenant, vectors, k, min_similarity))

    def remember(
        self,
        tenant: str,
        query: str,
        vector: FloatArray | None,
        scores: Sequence[tuple[bytes, float]],
        *,
        cues: bytes = b"",
        ttl_s: float | None = None,
    ) -> bool:
        """Store scores as (document fingerprint, score), in one round trip; what the entry has already stays.

        A new entry lives ``ttl_s`` seconds (None: as the store is set up); an entry that is there keeps its end.
        Without a vector it can be read exactly, but is nobody's neighbour. False when there were no scores to store.
        """
        return self._do(writing.remember(self._setup, tenant, NewScores(query, vector, scores, cues), ttl_s))

    def remember_many(self, tenant: str, new: Sequence[NewScores], *, ttl_s: float | None = None) -> list[bool]:
        """``remember`` for several queries in one round trip."""
        return self._do(writing.remember_many(self._setup, tenant, new, ttl_s))

    def forget(self, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None) -> int:
        """Remove one query's entry, one document's scores (by fingerprint), or all of a tenant; how many entries.

        With a query, no tenant means the empty one; with a document, everybody. Query and document together remove
        that document from that entry. Entries left without scores go whole.
        """
        return self._do(invalidation.forget(self._setup, tenant, query, document))

    def clear(self) -> int:
        """Remove all entries of this namespace and these models, of all tenants; how many there were."""
        return self._do(invalidation.clear(self._setup))

    def count(self) -> int:
        """How many entries the indexes hold, of all tenants."""
        return self._do(inspection.count(self._setup))

    def entry_ids(self, tenant: str | None = None) -> list[str]:
        """The ids of all entries, of one tenant or (None) of all. Goes through all keys of the server."""
        return self._do(inspection.entry_ids(self._setup, tenant))

    def sample(self, n: int, tenant: str | None = None) -> list[StoredEntry]:
        """At most n whole entries, in the order of the server's hash table: not random, yet arbitrary."""
        return self._do(inspection.sample(self._setup, n, tenant))

    def __repr__(self) -> str:
        return f"<RedisStore {self._setup.keys.base} in {self.connection.where}>"


class AsyncRedisStore:
    """RedisStore for event loops: the same methods as coroutines. May be used from several loops."""

    def __init__(self, connection: Connection | redis.asyncio.Redis, **options: Unpack[StoreOptions]) -> None:
        self.connection = GivenClient(connection) if isinstance(connection, redis.asyncio.Redis) else connection
        self._setup = _setup(self.connection.where, **options)

    async def _do(self, operation: Operation[T]) -> T:
        return await adrive(operation, partial(aexecute, self.connection))

    async def check(self) -> None:
        """See RedisStore."""
        await self._do(ensure_index(self._setup, ""))

    async def read_exact(self, tenant: str, query: str) -> Scores | None:
        """See RedisStore."""
        return await self._do(reading.read_exact(self._setup, tenant, query))

    async def read_exact_many(self, tenant: str, queries: Sequence[str]) -> list[Scores | None]:
        """See RedisStore."""
        return await self._do(reading.read_exact_many(self._setup, tenant, queries))

    async def read_vector(self, tenant: str, query: str) -> FloatArray | None:
        """See RedisStore."""
        return await self._do(reading.read_vector(self._setup, tenant, query))

    async def find_neighbours(
        self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0
    ) -> list[Neighbour]:
        """See RedisStore."""
        return await self._do(reading.find_neighbours(self._setup, tenant, vector, k, min_similarity))

    async def find_neighbours_many(
        self, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
    ) -> list[list[Neighbour]]:
        """See RedisStore."""
        return await self._do(reading.find_neighbours_many(self._setup, tenant, vectors, k, min_similarity))

    async def remember(
        self,
        tenant: str,
        query: str,
        vector: FloatArray | None,
        scores: Sequence[tuple[bytes, float]],
        *,
        cues: bytes = b"",
        ttl_s: float | None = None,
    ) -> bool:
        """See RedisStore."""
        return await self._do(writing.remember(self._setup, tenant, NewScores(query, vector, scores, cues), ttl_s))

    async def remember_many(self, tenant: str, new: Sequence[NewScores], *, ttl_s: float | None = None) -> list[bool]:
        """See RedisStore."""
        return await self._do(writing.remember_many(self._setup, tenant, new, ttl_s))

    async def forget(
        self, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None
    ) -> int:
        """See RedisStore."""
        return await self._do(invalidation.forget(self._setup, tenant, query, document))

    async def clear(self) -> int:
        """See RedisStore."""
        return await self._do(invalidation.clear(self._setup))

    async def count(self) -> int:
        """See RedisStore."""
        return await self._do(inspection.count(self._setup))

    async def entry_ids(self, tenant: str | None = None) -> list[str]:
        """See RedisStore."""
        return await self._do(inspection.entry_ids(self._setup, tenant))

    async def sample(self, n: int, tenant: str | None = None) -> list[StoredEntry]:
        """See RedisStore."""
        return await self._do(inspection.sample(self._setup, n, tenant))

    def __repr__(self) -> str:
        return f"<AsyncRedisStore {self._setup.keys.base} in {self.connection.where}>"


def _setup(
    where: str,
    *,
    namespace: str,
    reranker: str,
    embedder: str,
    dims: int,
    listwise: bool = False,
    ttl_s: float | None = 3600.0,  # scores do not go stale, so this bounds memory, not error
    ttl_jitter: float = 0.1,  # entries written together must not expire together
    max_scores: int = 4096,  # 80 KB: 40 retrievals of 100 documents, still read in one round trip
    store_queries: bool = False,  # queries may be personal data, and no look-up needs them
    tuning: IndexTuning = _AS_IN_THE_YAML,
    on_event: Callable[[Event], None] = lambda event: None,
    rng: random.Random | None = None,
    clock: Clock = time.time,  # the hour of the day is wanted here, not a stopwatch
) -> Setup:
    if max_scores < 1:
        raise ConfigurationError(f"max_scores must be at least 1, got {max_scores}")
    attributes = attributes_of(tuning, dims)
    return Setup(
        keys=KeySpace.of(namespace, reranker, embedder),
        attributes=attributes,
        vectors=VectorFormat(dims, VECTOR_TYPES[attributes["datatype"]]),
        lifetime=Lifetime(ttl_s, ttl_jitter),
        listwise=listwise,
        max_scores=max_scores,
        store_queries=store_queries,
        where=where,
        on_event=on_event,
        rng=rng or random.Random(),
        clock=clock,
        sizes=Sizes(clock),
        ef_runtime=tuning.ef_runtime,
    )
