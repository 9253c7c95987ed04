"""The store of remembered scores for threads; ``async_store`` has the same one for event loops."""

from collections.abc import Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar, Unpack

from semcache.entries.entry import Neighbour, NewScores, Scores, StoredEntry
from semcache.flow.drive import adrive, drive
from semcache.flow.steps import Lease
from semcache.protocols import FloatArray
from semcache.pruning.features import Floats
from semcache.redis import document_vectors, earlier, ensure, inspection, invalidation, reading, writing
from semcache.redis import lease as leases
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection
from semcache.redis.earlier import Taught
from semcache.redis.keys import KeySpace
from semcache.redis.layout import Layout, LayoutOptions
from semcache.redis.operation import Operation, StoreOptions, StoreState
from semcache.redis.source import Source

P = ParamSpec("P")
T = TypeVar("T")


class RedisStore:
    """Scores of one namespace, one reranker and one embedder, in Redis. Safe to use from several threads.

    The connection stays the caller's to close. Every method raises StoreUnavailableError when Redis does not answer (at
    once, while it is left alone after a failure), and StoreError, or its IndexMismatchError, when it cannot be used as
    it is set up. Each carries out the operation of its name, which says more.

    Example:
        store = RedisStore(connection, namespace="docs", reranker="r", embedder="e", dims=384, ttl_s=600)
        store.remember("", "how far is the moon", vector, [(document_fingerprint(text), 9.2)])
        store.read_exact("", "how far is the moon")
    """

    def __init__(self, connection: RedisConnection, **options: Unpack[StoreOptions]) -> None:
        self.connection = connection
        self._state = StoreState.of(connection.where, **options)

    # Every method is the same call again, here and in AsyncRedisStore. They are written out all the same: of methods
    # that a function makes, type checkers infer different things, and pyright does not take them for those of Store.

    def check(self) -> None:
        """Try whether Redis can be used, and create the index, or check that the existing one fits. Two round trips."""
        drive(ensure.check(self._state), self.connection.execute)

    def read_exact(self, tenant: str, query: str) -> Scores | None:
        """Scores by document fingerprint of the entry of exactly this query, or None. One GETRANGE."""
        return drive(reading.read_exact(self._state, tenant, query), self.connection.execute)

    def read_exact_many(self, tenant: str, queries: Sequence[str]) -> list[Scores | None]:
        """``read_exact`` for several queries, 500 at a time."""
        return drive(reading.read_exact_many(self._state, tenant, queries), self.connection.execute)

    def read_vector(self, tenant: str, query: str) -> FloatArray | None:
        """The stored unit vector of exactly this query, shape ``(dims,)``, or None. One HGETALL."""
        return drive(reading.read_vector(self._state, tenant, query), self.connection.execute)

    def find_neighbours(self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0) -> list[Neighbour]:
        """At most k entries of at least this similarity (a cosine), nearest first, without those that just expired."""
        return drive(reading.find_neighbours(self._state, tenant, vector, k, min_similarity), self.connection.execute)

    def find_neighbours_many(
        self, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
    ) -> list[list[Neighbour]]:
        """``find_neighbours`` for several vectors, twenty at a time."""
        return drive(
            reading.find_neighbours_many(self._state, tenant, vectors, k, min_similarity), self.connection.execute
        )

    def find_near(
        self,
        tenant: str,
        vectors: Sequence[FloatArray],
        k: int,
        min_similarity: float,
        documents: Sequence[Sequence[bytes]],
        lease: Lease | None = None,
        former: FloatArray | None = None,
    ) -> list[tuple[list[Neighbour], Floats | None, list[float]]]:
        """``find_neighbours_many`` with what is known of some documents of each from earlier queries."""
        return drive(
            reading.find_near(self._state, tenant, vectors, k, min_similarity, documents, lease, former),
            self.connection.execute,
        )

    def remember(
        self,
        tenant: str,
        query: str,
        vector: FloatArray | None,
        scores: Sequence[tuple[bytes, float]],
        *,
        cues: bytes = b"",
        ttl_s: float | None = None,
        lease: Lease | None = None,
    ) -> bool:
        """Store scores as (document fingerprint, score), in one round trip; scores that the entry has already stay."""
        return drive(
            writing.remember(self._state, tenant, query, vector, scores, cues=cues, ttl_s=ttl_s, lease=lease),
            self.connection.execute,
        )

    def remember_many(
        self, tenant: str, new: Sequence[NewScores], *, ttl_s: float | None = None, lease: Lease | None = None
    ) -> list[bool]:
        """``remember`` for several queries, ten at a time; a ``lease`` is that of a single one."""
        return drive(writing.remember_many(self._state, tenant, new, ttl_s=ttl_s, lease=lease), self.connection.execute)

    def forget(self, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None) -> int:
        """Remove a query's entry, a document's scores, or all of a tenant; how many entries changed."""
        return drive(invalidation.forget(self._state, tenant, query=query, document=document), self.connection.execute)

    def clear(self) -> int:
        """Remove all entries of this namespace and these models, of all tenants; how many there were."""
        return drive(invalidation.clear(self._state), self.connection.execute)

    def count(self) -> int:
        """How many entries the indexes hold, of all tenants."""
        return drive(inspection.count(self._state), self.connection.execute)

    def sample(self, n: int, tenant: str | None = None) -> list[StoredEntry]:
        """At most n whole entries, of one tenant or (None) of all, in the order of the server's hash table."""
        return drive(inspection.sample(self._state, n, tenant), self.connection.execute)

    def read_document_vectors(self, tenant: str, fingerprints: Sequence[bytes]) -> FloatArray | None:
        """The kept vectors of a tenant's documents as unit rows, nan where there is none; None without any."""
        return drive(document_vectors.read_document_vectors(self._state, tenant, fingerprints), self.connection.execute)

    def keep_document_vectors(self, tenant: str, fingerprints: Sequence[bytes], vectors: FloatArray, most: int) -> bool:
        """Keep vectors of a tenant's documents, one row each. False where ``most`` are kept already, of all tenants."""
        return drive(
            document_vectors.keep_document_vectors(self._state, tenant, fingerprints, vectors, most),
            self.connection.execute,
        )

    def read_earlier(self, tenant: str, query_id: str, fingerprints: Sequence[bytes]) -> Floats | None:
        """How much better than the others a tenant's documents scored for queries other than this one."""
        return drive(earlier.read_earlier(self._state, tenant, query_id, fingerprints), self.connection.execute)

    def add_earlier(self, tenant: str, taught: Sequence[Taught], most: int) -> bool:
        """Add what queries of one tenant taught. False where ``most`` documents are known already, of all tenants."""
        return drive(earlier.add_earlier(self._state, tenant, taught, most), self.connection.execute)

    def claim_lease(self, lease: Lease) -> None:
        """Claim a lease. One round trip."""
        drive(leases.claim_lease(self._state, lease), self.connection.execute)

    def look_at_lease(self, lease: Lease) -> tuple[Scores | None, bool]:
        """The scores of its query's entry, and whether no other process holds the lease. One round trip."""
        return drive(leases.look_at_lease(self._state, lease), self.connection.execute)

    def renew_leases(self, held: Sequence[Lease]) -> list[bool]:
        """Let leases live as long again from now; False for one that this process no longer holds. One round trip."""
        return drive(leases.renew_leases(self._state, held), self.connection.execute)

    def end_leases(self, held: Sequence[Lease]) -> None:
        """End those of the leases that this process holds, and no other's. One round trip."""
        drive(leases.end_leases(self._state, held), self.connection.execute)

    def __repr__(self) -> str:
        return f"<RedisStore {self._state.layout.keys.base} in {self.connection.where}>"


# Functions and not methods: all methods are operations on what is stored.
def keys_of(store: RedisStore | AsyncRedisStore) -> KeySpace:
    """The names of a store's keys in Redis."""
    return store._state.layout.keys


def follow(store: RedisStore | AsyncRedisStore, other: RedisStore | AsyncRedisStore) -> None:
    """Let a store be from now on, for all who hold it, what another store is."""
    store._state = other._state


def move(store: RedisStore | AsyncRedisStore, **options: Unpack[LayoutOptions]) -> None:
    """Let a store, and all stores that follow it, read and write elsewhere from now on."""
    store._state.move(Layout.of(**options))


def perform(
    store: RedisStore, operation: Callable[Concatenate[StoreState, P], Operation[T]], *given: P.args, **named: P.kwargs
) -> T:
    """Carry out an operation on what a store holds that is not one of its methods."""
    return drive(operation(store._state, *given, **named), store.connection.execute)


def source_of(store: RedisStore | AsyncRedisStore) -> Source | None:
    """The scope that the entries of a store are migrated from, None where there is none."""
    return store._state.source


async def estimate(store: AsyncRedisStore) -> tuple[int, bool]:
    """How many entries there are, and whether that is only about so many, since counting would hold up requests."""
    entries, is_about = await adrive(inspection.estimate(store._state), store.connection.aexecute)
    topology = store.connection.topology
    return entries * (len(topology.tags) if is_about and topology is not None else 1), is_about


def count_former(store: RedisStore) -> int:
    """How many entries the indexes of the source hold; 0 without one."""
    source = store._state.source
    return 0 if source is None else drive(inspection.count(source.state), store.connection.execute)


def is_searching_source(store: RedisStore | AsyncRedisStore) -> bool:
    """Whether near queries are looked for by vectors of another embedder, too."""
    source = store._state.source
    return source is not None and source.is_read and source.is_searched and not source.shares_vectors
