"""The store of remembered scores: the same operations as methods for threads and as coroutines for event loops."""

import random
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, Unpack

from semcache.events import Event
from semcache.flow.drive import adrive, drive
from semcache.protocols import Clock
from semcache.redis import document_vectors, earlier, ensure, inspection, invalidation, lease, reading, writing
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import KeySpace
from semcache.redis.layout import Layout, LayoutOptions
from semcache.redis.operation import Operation, StoreState
from semcache.redis.refilling import Filling
from semcache.redis.source import Source

P = ParamSpec("P")
T = TypeVar("T")


class StoreOptions(LayoutOptions, total=False):
    """Options of a store, the same for threads and for event loops.

    ``on_event`` is called in the thread that carries out the operation. ``rng`` draws the lifetimes of entries.
    ``clock`` gives the time of day in seconds, which entries are stamped with. ``source`` is the scope that entries are
    migrated from, which is read beside the store's own; ``filling`` fills indexes that were created without the
    server's going through its keys.
    """

    on_event: Callable[[Event], None]
    rng: random.Random
    clock: Clock
    source: Source | None
    filling: Filling | None


def _blocking(
    operation: Callable[Concatenate[StoreState, P], Operation[T]],
) -> Callable[Concatenate["RedisStore", P], T]:
    """A method of RedisStore that carries out an operation, with the operation's parameters and docstring."""

    @wraps(operation)
    def method(store: "RedisStore", /, *arguments: P.args, **named: P.kwargs) -> T:
        return drive(operation(store._state, *arguments, **named), store.connection.execute)

    return method


def _awaited(
    operation: Callable[Concatenate[StoreState, P], Operation[T]],
) -> Callable[Concatenate["AsyncRedisStore", P], Coroutine[Any, Any, T]]:
    """``_blocking`` for AsyncRedisStore: the method is a coroutine function."""

    @wraps(operation)
    async def method(store: "AsyncRedisStore", /, *arguments: P.args, **named: P.kwargs) -> T:
        return await adrive(operation(store._state, *arguments, **named), store.connection.aexecute)

    return method


class RedisStore:
    """Scores of one namespace, one reranker and one embedder, in Redis. Safe to use from several threads.

    The connection stays the caller's to close. Every method raises StoreUnavailableError when Redis does not answer (at
    once, while it is left alone after a failure), and StoreError, or its IndexMismatchError, when it cannot be used as
    it is set up. Parameters and docstrings of the methods are those of the operations; ``help(RedisStore)`` shows them.

    Example:
        store = RedisStore(connection, namespace="docs", reranker="r", embedder="e", dims=384, ttl_s=600)
        store.remember("", "how far is the moon", vector, [(document_fingerprint(text), 9.2)])
        store.read_exact("", "how far is the moon")
    """

    def __init__(self, connection: RedisConnection, **options: Unpack[StoreOptions]) -> None:
        self.connection = connection
        self._state = StoreState.of(connection.where, **options)

    # Assigned, not written out: every method would be the same call again, here and once more in AsyncRedisStore.
    # Final, by which all type checkers see the parameters and the result of each operation; without it, pyright trusts
    # no type of another package that it has to infer.
    check: Final = _blocking(ensure.check)
    read_exact: Final = _blocking(reading.read_exact)
    read_exact_many: Final = _blocking(reading.read_exact_many)
    read_vector: Final = _blocking(reading.read_vector)
    find_neighbours: Final = _blocking(reading.find_neighbours)
    find_neighbours_many: Final = _blocking(reading.find_neighbours_many)
    find_near: Final = _blocking(reading.find_near)
    remember: Final = _blocking(writing.remember)
    remember_many: Final = _blocking(writing.remember_many)
    forget: Final = _blocking(invalidation.forget)
    clear: Final = _blocking(invalidation.clear)
    count: Final = _blocking(inspection.count)
    sample: Final = _blocking(inspection.sample)
    read_document_vectors: Final = _blocking(document_vectors.read_document_vectors)
    keep_document_vectors: Final = _blocking(document_vectors.keep_document_vectors)
    read_earlier: Final = _blocking(earlier.read_earlier)
    add_earlier: Final = _blocking(earlier.add_earlier)
    claim_lease: Final = _blocking(lease.claim_lease)
    look_at_lease: Final = _blocking(lease.look_at_lease)
    end_lease: Final = _blocking(lease.end_lease)

    def __repr__(self) -> str:
        return f"<RedisStore {self._state.layout.keys.base} in {self.connection.where}>"


class AsyncRedisStore:
    """RedisStore for event loops: the same methods as coroutines. May be used from several loops."""

    def __init__(self, connection: RedisConnection, **options: Unpack[StoreOptions]) -> None:
        self.connection = connection
        self._state = StoreState.of(connection.where, **options)

    check: Final = _awaited(ensure.check)
    read_exact: Final = _awaited(reading.read_exact)
    read_exact_many: Final = _awaited(reading.read_exact_many)
    read_vector: Final = _awaited(reading.read_vector)
    find_neighbours: Final = _awaited(reading.find_neighbours)
    find_neighbours_many: Final = _awaited(reading.find_neighbours_many)
    find_near: Final = _awaited(reading.find_near)
    remember: Final = _awaited(writing.remember)
    remember_many: Final = _awaited(writing.remember_many)
    forget: Final = _awaited(invalidation.forget)
    clear: Final = _awaited(invalidation.clear)
    count: Final = _awaited(inspection.count)
    sample: Final = _awaited(inspection.sample)
    read_document_vectors: Final = _awaited(document_vectors.read_document_vectors)
    keep_document_vectors: Final = _awaited(document_vectors.keep_document_vectors)
    read_earlier: Final = _awaited(earlier.read_earlier)
    add_earlier: Final = _awaited(earlier.add_earlier)
    claim_lease: Final = _awaited(lease.claim_lease)
    look_at_lease: Final = _awaited(lease.look_at_lease)
    end_lease: Final = _awaited(lease.end_lease)

    def __repr__(self) -> str:
        return f"<AsyncRedisStore {self._state.layout.keys.base} in {self.connection.where}>"


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
