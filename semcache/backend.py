"""The parts that the caches of one application share: a connection, an embedder, and a store per reranker."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Self
from weakref import WeakMethod

from semcache.arguments import CacheArguments, embedders_of, flow_policy
from semcache.embedders.queries import QueryEmbedder
from semcache.errors import ConfigurationError, StoreUnavailableError
from semcache.events import Event
from semcache.flow.keeping import LeaseKeeper
from semcache.flow.policy import FlowPolicy
from semcache.identity.identity import Identity, is_private
from semcache.identity.names import ScopesByName
from semcache.identity.settled import SettledScopes
from semcache.identity.subjects import EmbedderSubject
from semcache.migration.migrator import Migrator
from semcache.migration.refiller import Refiller
from semcache.migration.serving import ServedMigration
from semcache.observers import notify
from semcache.observers.relay import Relay
from semcache.observers.users import Users
from semcache.protocols import Embedder, FloatArray, Guard, Observer
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.client.connection import RedisConnection, server_of
from semcache.redis.layout import LayoutOptions, options_of
from semcache.redis.refilling import Filling
from semcache.redis.store import RedisStore, move
from semcache.redis.variants import VariantStore
from semcache.runtime.background import Background
from semcache.runtime.forking import ForkSafeLock
from semcache.runtime.threads import in_own_thread
from semcache.settings import Cache as CacheKnobs
from semcache.settings import FromSettings, Settings
from semcache.settings import Reuse as ReuseKnobs

# Scores that no other process will read need not be kept for longer than a process usually lives.
_PRIVATE_TTL_S = 24 * 3600.0

_MOST_WRITES = 64
"""Most writes that requests leave to be done after their answers. They come from a moment of slowness: soon Redis is
quick again, or left alone, and what waits is refused."""
_CLOSING_S = 5.0


class Backend:
    """Opens stores when they are first asked for, and everything it opened is closed with it.

    ``observers`` are told every event that happens over this backend; they never change. ``policy`` is what the user
    allows. ``embedder_name`` is what entries are kept under: the embedder's name, unless its vectors are not those of
    the first embedder of that name. ``former`` is the embedder that entries are migrated from, None without a
    migration. Safe to use from several threads.
    """

    def __init__(
        self,
        connection: RedisConnection,
        embedder: Embedder,
        former: Embedder | None,
        policy: FlowPolicy,
        settings: Settings,
        ttl_s: float | None,
        observers: Sequence[Observer],
    ) -> None:
        knobs, migration = settings.cache, settings.migration
        self.connection = connection
        self.observers: tuple[Observer, ...] = tuple(observers)
        self.embedder = embedder
        self.policy = policy
        self.knobs: CacheKnobs = knobs
        self.ttl_s = ttl_s
        self.reuse_knobs: ReuseKnobs = settings.reuse
        self._restricted: dict[str, FlowPolicy] = {}
        # Guards the stores, and changes of the policies. Neither Redis nor an observer is called while it is held.
        self._lock = ForkSafeLock()
        self.writes: Background = Background(_MOST_WRITES, "semcache-write")
        self.leases: LeaseKeeper = LeaseKeeper()
        self._stores: dict[tuple[str, bool], tuple[RedisStore, AsyncRedisStore]] = {}
        self.users: Users = Users()
        self.scopes: ScopesByName = ScopesByName()
        self.variants: VariantStore = VariantStore(connection, knobs.namespace, "reranker", ttl_s)
        self.settled: SettledScopes = SettledScopes()
        self.embedder_name: str = embedder.name
        embedders = VariantStore(connection, knobs.namespace, "embedder", ttl_s)
        self._identity = Identity(
            EmbedderSubject(embedder), embedders, on_event=self.on_event, on_moved=self._move_embedder
        )
        self._queries = QueryEmbedder(embedder, self._identity.verify)
        # Before anything is asked of the server, so that an embedder that stands for both is refused at once.
        self.migration: ServedMigration | None = None
        if former is not None:
            self.migration = ServedMigration(
                former, embedder, migration, embedders, self.embed, policy.max_query_chars, self.on_event
            )
        self._refiller = Refiller(migration.server_share, self.on_event)
        self._identity.start()

    @classmethod
    def opened(
        cls,
        arguments: CacheArguments,
        settings: Settings,
        observers: Sequence[Observer],
        *,
        redis_client: object | None,
        guard: Guard | str | FromSettings | None,
        migrate_from: object,
    ) -> Self:
        """The backend for these arguments of a cache, and the settings for all others. Asks Redis nothing.

        Raises ConfigurationError, and what loading a model raises.
        """
        policy = flow_policy(settings, arguments.similarity_threshold, guard)
        # Models are loaded before anything is opened that a failure would leave open.
        embedder, former = embedders_of(settings, arguments.embedding_model, migrate_from)
        relay = Relay(observers)
        connection = RedisConnection.of(server_of(arguments.redis_url, redis_client), settings.redis, relay)
        try:
            backend = cls(connection, embedder, former, policy, settings, arguments.ttl, observers)
        except BaseException:  # also an interrupt: an embedded server would run on
            connection.close()
            raise
        relay.later = WeakMethod(backend.users.on_connection_event)
        return backend

    def stores(self, reranker: str, *, listwise: bool) -> tuple[RedisStore, AsyncRedisStore]:
        """The store of one reranker's scores, for threads and for any number of event loops; asks Redis nothing.

        ``reranker`` is the scope of its scores, which may be private.
        """
        if is_private(reranker):
            # Made for one user, so there is nothing to share, and nothing to keep when it is gone.
            return self._new_stores(reranker, listwise)
        # All rerankers of one name share a pair, since stores learn what their index is like. It is made under the
        # lock, so that two threads do not make two; making one asks Redis nothing.
        with self._lock:
            both = self._stores.get((reranker, listwise))
            if both is None:
                both = self._stores[reranker, listwise] = self._new_stores(reranker, listwise)
            return both

    def _new_stores(self, reranker: str, listwise: bool) -> tuple[RedisStore, AsyncRedisStore]:
        layout = self._layout(reranker, listwise)
        on_event = partial(self._on_store_event, reranker, listwise)
        source, filling = None, None
        if not is_private(reranker):  # which has no index
            filling = Filling(
                lambda: self.connection.topology is None, lambda index: self.fill(reranker, listwise, index)
            )
        if self.migration is not None and not is_private(reranker):
            source = self.migration.source(layout, self.connection.where, on_event)
        store = RedisStore(self.connection, on_event=on_event, source=source, filling=filling, **layout)
        if self.migration is not None and source is not None:
            self.migration.move_by_traffic(store, source)
        return store, AsyncRedisStore(self.connection, on_event=on_event, source=source, filling=filling, **layout)

    def fill(self, reranker: str, listwise: bool, index: str) -> None:
        """Fill an index of the store of these scores in the background."""
        self._refiller.submit(self.stores(reranker, listwise=listwise)[0], index)

    def _layout(self, reranker: str, listwise: bool) -> LayoutOptions:
        is_kept = self.ttl_s is not None and self.ttl_s < _PRIVATE_TTL_S
        options = options_of(
            self.knobs, reranker=reranker, embedder=self.embedder_name, dims=self.embedder.dims, listwise=listwise
        )
        options["ttl_s"] = _PRIVATE_TTL_S if is_private(reranker) and not is_kept else self.ttl_s
        return options

    def _move_embedder(self, scope: str, is_private: bool) -> None:
        """Keep entries under another name of the embedder from now on, also for requests under way."""
        self.embedder_name = scope
        if self.migration is not None:
            self.migration.follow(scope)
        with self._lock:
            stores = list(self._stores.items())
        for (reranker, listwise), both in stores:
            for store in both:
                move(store, **self._layout(reranker, listwise))

    def policy_for(self, reranker: str) -> FlowPolicy:
        """The policy for requests over the scores of this reranker: what the user allows, less what was withdrawn.

        A request takes its policy once, when it begins.
        """
        # Every request reads this without a lock while a quality thread may write: a dict's get and set are atomic, and
        # policies are frozen.
        return self._restricted.get(reranker, self.policy)

    def restrict(self, reranker: str, change: Callable[[FlowPolicy], FlowPolicy]) -> FlowPolicy:
        """Put a changed policy in force for requests that begin from now on; gives the one that was in force.

        Only the watches over this reranker's scores call this: one changes trust, the other pruning. If several of a
        kind do, the last one wins; they follow the same state in Redis and so agree after their next look at it.
        """
        with self._lock:
            before = self.policy_for(reranker)
            self._restricted[reranker] = change(before)
        return before

    def on_event(self, event: Event) -> None:
        """Tell the observers of the backend."""
        notify(self.observers, event)

    def _on_store_event(self, reranker: str, listwise: bool, event: Event) -> None:
        self.on_event(event)
        self.users.tell(reranker, listwise, event)

    def embed(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray:
        """Unit vectors of texts, one row each; see ``QueryEmbedder.embed``."""
        return self._queries.embed(texts, timeout_s)

    async def aembed(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray:
        """``embed`` without blocking the event loop."""
        return await self._queries.aembed(texts, timeout_s)

    def migrator(self, stores: Sequence[RedisStore]) -> Migrator:
        """Moves the entries of these stores that were written with the former embedder.

        Raises ConfigurationError where there is none.
        """
        if self.migration is None:
            raise ConfigurationError(
                "there is nothing to migrate from; name the former embedder in migration.from_model, or pass it as "
                "migrate_from"
            )
        return Migrator(
            stores,
            self.embed,
            server_share=self.migration.knobs.server_share,
            max_query_chars=self.policy.max_query_chars,
            on_event=self.on_event,
            settle=self._identity.verify,
        )

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until the work in the background is over. False if a part takes longer than ``timeout_s`` seconds."""
        is_moved = self.migration is None or self.migration.drain(timeout_s)
        is_written = self.writes.drain(timeout_s) and self.leases.drain(timeout_s)
        return is_written and self._refiller.drain(timeout_s) and is_moved

    def settle_writes(self) -> None:
        """Wait for what requests left to be stored after their answers: it must not come after it was forgotten.

        Raises StoreUnavailableError where that takes too long.
        """
        if not self.writes.drain(_CLOSING_S):
            raise StoreUnavailableError(
                f"{self.connection.where} is slow: what earlier requests left to be stored is not stored after "
                f"{_CLOSING_S:g} s, and would come back; try again later"
            )

    async def asettle_writes(self) -> None:
        """``settle_writes`` for an event loop."""
        await in_own_thread(self.settle_writes, "semcache-settle")

    def close(self) -> None:
        """Close the connection, and the embedded server if this was its last user."""
        self._end_work()
        # A request after this opens the connection anew, which is then closed with the last user.
        self.users.disown()
        self.connection.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        await in_own_thread(self._end_work, "semcache-close")
        self.users.disown()
        await self.connection.aclose()

    def _end_work(self) -> None:
        self.writes.drain(_CLOSING_S)
        self.leases.end(_CLOSING_S)
        self._refiller.close(_CLOSING_S)
        self._queries.end()
        if self.migration is not None:
            self.migration.close(_CLOSING_S)

    def __repr__(self) -> str:
        return f"<Backend at {self.connection.where} with {self.embedder.name}>"
