"""The parts that the caches of one application share: a connection, an embedder, and a store per reranker."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary, ref

from semcache.embedders.checked import unit_rows, unit_vectors
from semcache.errors import ConfigurationError, EmbedderError
from semcache.events import Event
from semcache.flow.policy import FlowPolicy
from semcache.identity.identity import Identity, is_private
from semcache.identity.settled import SettledScopes
from semcache.identity.subjects import EmbedderSubject
from semcache.observers import notify
from semcache.protocols import Embedder, FloatArray, Observer
from semcache.redis.client.connection import RedisConnection
from semcache.redis.layout import LayoutOptions
from semcache.redis.store import AsyncRedisStore, RedisStore, move
from semcache.redis.variants import VariantStore
from semcache.runtime.background import Background
from semcache.runtime.foreign_errors import called
from semcache.runtime.forking import ForkSafeLock
from semcache.runtime.threads import MOST_THREADS, ThreadPool, in_fresh_thread, in_own_thread
from semcache.settings import Cache as CacheKnobs
from semcache.settings import Reuse as ReuseKnobs

# Scores that no other process will read need not be kept for longer than a process usually lives.
_PRIVATE_TTL_S = 24 * 3600.0

_MOST_WRITES = 64
"""What requests left to be stored after their answers. They come from a moment of slowness: soon Redis is quick again,
or left alone, and what waits is refused."""
_CLOSING_S = 5.0

EMBEDDER_PATIENCE_S = 1.0
"""What a request without a deadline waits for the vector of its query, once the model is known to be loaded. A query
takes a model some 1 to 15 ms (benchmarks/results/embedding.md) and a service some 100. It is half of the time in which
rerankers have to answer (monitor.p95_threshold_s): so much of a deadline is the embedder's, too."""


class _Scope(Protocol):
    """Whose scores a user reads and writes at the moment."""

    reranker: str
    listwise: bool


class Backend:
    """Opens stores when they are first asked for, and everything it opened is closed with it.

    ``observers`` are told every event that happens over this backend; they never change. ``policy`` is what the user
    allows. ``embedder_name`` is what entries are kept under: the embedder's name, unless its vectors are not those of
    the first embedder of that name. Safe to use from several threads.
    """

    def __init__(
        self,
        connection: RedisConnection,
        embedder: Embedder,
        policy: FlowPolicy,
        knobs: CacheKnobs,
        ttl_s: float | None,
        observers: Sequence[Observer],
        reuse_knobs: ReuseKnobs,
    ) -> None:
        self.connection = connection
        self.observers: tuple[Observer, ...] = tuple(observers)
        self.embedder = embedder
        self.policy = policy
        self.knobs = knobs
        self.ttl_s = ttl_s
        self.reuse_knobs = reuse_knobs
        self._restricted: dict[str, FlowPolicy] = {}
        # Guards the dicts below and changes of the one above. Neither Redis nor an observer is called while it is held.
        self._lock = ForkSafeLock()
        # Of its own, since a hanging embedder would use up the event loop's executor, which others need.
        self._threads = ThreadPool(MOST_THREADS, "semcache-embed")
        self._is_embedder_loaded = False
        self.writes: Background = Background(_MOST_WRITES, "semcache-write")
        self._stores: dict[tuple[str, bool], tuple[RedisStore, AsyncRedisStore]] = {}
        # Both are weak: applications build rerankers per request, or caches for one reranker, and drop them unclosed.
        self._owner: ref[object] | None = None
        self._users: WeakKeyDictionary[object, tuple[_Scope, Observer]] = WeakKeyDictionary()
        # By name of a reranker; None where several rerankers of one name have scopes of their own.
        self._scopes: dict[str, str | None] = {}
        self.variants: VariantStore = VariantStore(connection, knobs.namespace, "reranker", ttl_s)
        self.settled: SettledScopes = SettledScopes()
        self.embedder_name: str = embedder.name
        self._embedder_identity = Identity(
            EmbedderSubject(embedder),
            VariantStore(connection, knobs.namespace, "embedder", ttl_s),
            on_event=self.on_event,
            on_moved=self._move_embedder,
        )
        self._embedder_identity.start()

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
        return (
            RedisStore(self.connection, on_event=on_event, **layout),
            AsyncRedisStore(self.connection, on_event=on_event, **layout),
        )

    def _layout(self, reranker: str, listwise: bool) -> LayoutOptions:
        is_kept = self.ttl_s is not None and self.ttl_s < _PRIVATE_TTL_S
        return {
            "namespace": self.knobs.namespace,
            "reranker": reranker,
            "embedder": self.embedder_name,
            "dims": self.embedder.dims,
            "listwise": listwise,
            "ttl_s": _PRIVATE_TTL_S if is_private(reranker) and not is_kept else self.ttl_s,
            "ttl_jitter": self.knobs.ttl_jitter,
            "max_scores": self.knobs.max_scores,
            "store_queries": self.knobs.store_queries,
            "signing_key": None if (key := self.knobs.signing_key) is None else key.get_secret_value(),
        }

    def _move_embedder(self, scope: str, is_private: bool) -> None:
        """Keep entries under another name of the embedder from now on, also for requests under way."""
        self.embedder_name = scope
        with self._lock:
            stores = list(self._stores.items())
        for (reranker, listwise), both in stores:
            for store in both:
                move(store, **self._layout(reranker, listwise))

    def settle_scope(self, name: str, before: str, scope: str) -> None:
        """Say under which scope the scores of a reranker of this name are kept, and where they were before."""
        with self._lock:
            self._scopes[name] = scope if self._scopes.get(name, scope) in (before, scope) else None

    def scope_of(self, name: str) -> str:
        """The scope of the reranker of this name, or the name itself. Raises ConfigurationError if it is of several."""
        with self._lock:
            scope = self._scopes.get(name, name)
        if scope is None:
            raise ConfigurationError(
                f"several rerankers are called {name!r} here, and they are not the same; pass the scope of one, its "
                "cached.cache.reranker, or give them names of their own"
            )
        return scope

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

    def join(self, user: object, scope: _Scope, counters: Observer) -> None:
        """Keep the backend open for ``user``, and tell ``counters`` about events of its scope, until it leaves.

        A user that is dropped without leaving is forgotten, and its counters with it.
        """
        with self._lock:
            self._users[user] = scope, counters

    def leave(self, user: object) -> bool:
        """Forget a user. Returns True if it was the last and no owner is left, so that the backend may be closed.

        A cache that was made for one reranker and is held nowhere else has no owner left, and is closed with that.
        """
        with self._lock:
            self._users.pop(user, None)
            owner = None if self._owner is None else self._owner()
            return not self._users and (owner is None or owner is user)

    def only_scope(self) -> _Scope | None:
        """The scope of the reranker that uses this backend; None without one, and where several do."""
        with self._lock:
            scopes = {(scope.reranker, scope.listwise): scope for scope, _ in self._users.values()}
        return next(iter(scopes.values())) if len(scopes) == 1 else None

    def belong_to(self, owner: object) -> None:
        """Keep the backend open until ``owner`` closes or leaves it, or is dropped."""
        self._owner = ref(owner)

    def on_event(self, event: Event) -> None:
        """Tell the observers of the backend."""
        notify(self.observers, event)

    def _on_store_event(self, reranker: str, listwise: bool, event: Event) -> None:
        self.on_event(event)
        # A store serves all rerankers of one name and cannot say which of them made it skip an expired neighbour.
        with self._lock:
            counters = [
                counters
                for used, counters in self._users.values()
                if (used.reranker, used.listwise) == (reranker, listwise)
            ]
        notify(counters, event)

    def embed(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray:
        """Unit vectors of texts, one row each. Raises DeadlineExceededError after ``timeout_s`` seconds.

        Without a time, a single text has ``EMBEDDER_PATIENCE_S``, once the embedder has answered. A model that is still
        loading goes on with it, so that a later call finds it loaded.
        """
        embed = partial(self._embed, texts)
        timeout_s = self._patience_s(texts, timeout_s)
        # Without a deadline the caller would only wait for the other thread.
        if timeout_s is None:
            return in_fresh_thread(embed)
        return self._threads.call(embed, f"embedder {self.embedder.name}", timeout_s)

    async def aembed(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray:
        """``embed`` without blocking the event loop."""
        embed = partial(self._embed, texts)
        timeout_s = self._patience_s(texts, timeout_s)
        return await self._threads.acall(embed, f"embedder {self.embedder.name}", timeout_s)

    def _patience_s(self, texts: Sequence[str], timeout_s: float | None) -> float | None:
        # Of many texts nothing is known of how long they may take, and a model may load for long.
        is_limited = timeout_s is None and self._is_embedder_loaded and len(texts) == 1
        return EMBEDDER_PATIENCE_S if is_limited else timeout_s

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        # Checked here, since an embedder of the caller's own is believed otherwise. Of several texts one without a
        # vector must not spoil the others: the store neither keeps NaN nor searches by it, and says so.
        check = unit_vectors if len(texts) == 1 else unit_rows
        name = self.embedder.name
        answer = called(partial(self.embedder.embed, texts), name, EmbedderError)
        self._is_embedder_loaded = True
        vectors = check(answer, texts, self.embedder.dims, name)
        # Before anything is looked for by these vectors, or stored with them.
        self._embedder_identity.verify()
        return vectors

    def close(self) -> None:
        """Close the connection, and the embedded server if this was its last user."""
        self._end_work()
        # A request after this opens the connection anew, which is then closed with the last user.
        self._owner = None
        self.connection.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        await in_own_thread(self._end_work, "semcache-close")
        self._owner = None
        await self.connection.aclose()

    def _end_work(self) -> None:
        self.writes.drain(_CLOSING_S)
        self._threads.end()

    def __repr__(self) -> str:
        return f"<Backend at {self.connection.where} with {self.embedder.name}>"
