"""The store of remembered scores for event loops."""

from collections.abc import Sequence
from typing import Unpack

from semcache.entries.entry import Neighbour, NewScores, Scores, StoredEntry
from semcache.flow.drive import adrive
from semcache.flow.steps import Lease
from semcache.protocols import FloatArray
from semcache.pruning.features import Floats
from semcache.redis import document_vectors, earlier, ensure, inspection, invalidation, reading, writing
from semcache.redis import lease as leases
from semcache.redis.client.connection import RedisConnection
from semcache.redis.earlier import Taught
from semcache.redis.operation import StoreOptions, StoreState


class AsyncRedisStore:
    """RedisStore for event loops: the same methods as coroutines. May be used from several loops."""

    def __init__(self, connection: RedisConnection, **options: Unpack[StoreOptions]) -> None:
        self.connection = connection
        self._state = StoreState.of(connection.where, **options)

    async def check(self) -> None:
        """Try whether Redis can be used, and create the index, or check that the existing one fits. Two round trips."""
        await adrive(ensure.check(self._state), self.connection.aexecute)

    async def read_exact(self, tenant: str, query: str) -> Scores | None:
        """Scores by document fingerprint of the entry of exactly this query, or None. One GETRANGE."""
        return await adrive(reading.read_exact(self._state, tenant, query), self.connection.aexecute)

    async def read_exact_many(self, tenant: str, queries: Sequence[str]) -> list[Scores | None]:
        """``read_exact`` for several queries, 500 at a time."""
        return await adrive(reading.read_exact_many(self._state, tenant, queries), self.connection.aexecute)

    async def read_vector(self, tenant: str, query: str) -> FloatArray | None:
        """The stored unit vector of exactly this query, shape ``(dims,)``, or None. One HGETALL."""
        return await adrive(reading.read_vector(self._state, tenant, query), self.connection.aexecute)

    async def find_neighbours(
        self, tenant: str, vector: FloatArray, k: int, min_similarity: float = -1.0
    ) -> list[Neighbour]:
        """At most k entries of at least this similarity (a cosine), nearest first, without those that just expired."""
        return await adrive(
            reading.find_neighbours(self._state, tenant, vector, k, min_similarity), self.connection.aexecute
        )

    async def find_neighbours_many(
        self, tenant: str, vectors: Sequence[FloatArray], k: int, min_similarity: float = -1.0
    ) -> list[list[Neighbour]]:
        """``find_neighbours`` for several vectors, twenty at a time."""
        return await adrive(
            reading.find_neighbours_many(self._state, tenant, vectors, k, min_similarity), self.connection.aexecute
        )

    async def find_near(
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
        return await adrive(
            reading.find_near(self._state, tenant, vectors, k, min_similarity, documents, lease, former),
            self.connection.aexecute,
        )

    async def remember(
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
        return await adrive(
            writing.remember(self._state, tenant, query, vector, scores, cues=cues, ttl_s=ttl_s, lease=lease),
            self.connection.aexecute,
        )

    async def remember_many(
        self, tenant: str, new: Sequence[NewScores], *, ttl_s: float | None = None, lease: Lease | None = None
    ) -> list[bool]:
        """``remember`` for several queries, ten at a time; a ``lease`` is that of a single one."""
        return await adrive(
            writing.remember_many(self._state, tenant, new, ttl_s=ttl_s, lease=lease), self.connection.aexecute
        )

    async def forget(
        self, tenant: str | None = None, *, query: str | None = None, document: bytes | None = None
    ) -> int:
        """Remove a query's entry, a document's scores, or all of a tenant; how many entries changed."""
        return await adrive(
            invalidation.forget(self._state, tenant, query=query, document=document), self.connection.aexecute
        )

    async def clear(self) -> int:
        """Remove all entries of this namespace and these models, of all tenants; how many there were."""
        return await adrive(invalidation.clear(self._state), self.connection.aexecute)

    async def count(self) -> int:
        """How many entries the indexes hold, of all tenants."""
        return await adrive(inspection.count(self._state), self.connection.aexecute)

    async def sample(self, n: int, tenant: str | None = None) -> list[StoredEntry]:
        """At most n whole entries, of one tenant or (None) of all, in the order of the server's hash table."""
        return await adrive(inspection.sample(self._state, n, tenant), self.connection.aexecute)

    async def read_document_vectors(self, tenant: str, fingerprints: Sequence[bytes]) -> FloatArray | None:
        """The kept vectors of a tenant's documents as unit rows, nan where there is none; None without any."""
        return await adrive(
            document_vectors.read_document_vectors(self._state, tenant, fingerprints), self.connection.aexecute
        )

    async def keep_document_vectors(
        self, tenant: str, fingerprints: Sequence[bytes], vectors: FloatArray, most: int
    ) -> bool:
        """Keep vectors of a tenant's documents, one row each. False where ``most`` are kept already, of all tenants."""
        return await adrive(
            document_vectors.keep_document_vectors(self._state, tenant, fingerprints, vectors, most),
            self.connection.aexecute,
        )

    async def read_earlier(self, tenant: str, query_id: str, fingerprints: Sequence[bytes]) -> Floats | None:
        """How much better than the others a tenant's documents scored for queries other than this one."""
        return await adrive(earlier.read_earlier(self._state, tenant, query_id, fingerprints), self.connection.aexecute)

    async def add_earlier(self, tenant: str, taught: Sequence[Taught], most: int) -> bool:
        """Add what queries of one tenant taught. False where ``most`` documents are known already, of all tenants."""
        return await adrive(earlier.add_earlier(self._state, tenant, taught, most), self.connection.aexecute)

    async def claim_lease(self, lease: Lease) -> None:
        """Claim a lease. One round trip."""
        await adrive(leases.claim_lease(self._state, lease), self.connection.aexecute)

    async def look_at_lease(self, lease: Lease) -> tuple[Scores | None, bool]:
        """The scores of its query's entry, and whether no other process holds the lease. One round trip."""
        return await adrive(leases.look_at_lease(self._state, lease), self.connection.aexecute)

    async def renew_leases(self, held: Sequence[Lease]) -> list[bool]:
        """Let leases live as long again from now; False for one that this process no longer holds. One round trip."""
        return await adrive(leases.renew_leases(self._state, held), self.connection.aexecute)

    async def end_leases(self, held: Sequence[Lease]) -> None:
        """End those of the leases that this process holds, and no other's. One round trip."""
        await adrive(leases.end_leases(self._state, held), self.connection.aexecute)

    def __repr__(self) -> str:
        return f"<AsyncRedisStore {self._state.layout.keys.base} in {self.connection.where}>"
