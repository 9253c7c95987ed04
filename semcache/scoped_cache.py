"""The scores of one reranker in a backend: where they are kept, what requests may do with them, and what does it."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any, Self

from semcache.backend import Backend
from semcache.documents import Reader
from semcache.events import Event
from semcache.flow.calls import Calls
from semcache.flow.former import FormerEmbedding
from semcache.flow.functions import EmbedTexts, ScoreDocuments
from semcache.flow.policy import FlowPolicy
from semcache.flow.requests import Request
from semcache.flow.rerank import FindFlow, find
from semcache.guards import guard_of
from semcache.observers import notify
from semcache.protocols import AsyncStore, FloatArray, Guard, Observer, Store
from semcache.redis.async_store import AsyncRedisStore
from semcache.redis.store import RedisStore, follow, is_searching_source
from semcache.settings import FROM_SETTINGS, FromSettings


class ScopedCache:
    """The part of a cache that one reranker uses, which all that watches or serves its requests shares.

    ``reranker`` is the name that its scores are kept under, which ``move`` changes; those of a ``listwise`` one are
    places in an order. ``read`` gives the text of a document. ``observers`` are told what happens here, beside those of
    the backend. ``guard`` replaces that of the backend's policy, if it is given. A reranker that ``is_remote`` waits
    for a service. Events have the text of a query only if ``captures_queries``.
    """

    def __init__(
        self,
        backend: Backend,
        reranker: str,
        *,
        read: Reader,
        captures_queries: bool,
        listwise: bool = False,
        observers: Sequence[Observer] = (),
        guard: Guard | str | FromSettings | None = FROM_SETTINGS,
        is_remote: bool = False,
    ) -> None:
        self.backend = backend
        self.reranker: str = reranker
        self.listwise: bool = listwise
        self.is_private: bool = False
        self.is_remote = is_remote
        self.read: Reader = read
        self.captures_queries = captures_queries
        self._name = reranker
        self._guard = guard if isinstance(guard, FromSettings) else guard_of(guard)
        # Copies, which can be moved without the others of this name.
        store, async_store = backend.stores(reranker, listwise=listwise)
        self.store: RedisStore = copy(store)
        self.async_store: AsyncRedisStore = copy(async_store)
        # An observer that was given to both the cache and a reranker over it is told once. Compared by equality, as
        # Python makes a new bound method, such as ``events.append``, each time that one is named.
        shared = backend.observers
        self.observers: tuple[Observer, ...] = (*shared, *(one for one in observers if one not in shared))

    def of(
        self,
        reranker: str,
        *,
        listwise: bool = False,
        observers: Sequence[Observer] = (),
        read: Reader | None = None,
        guard: Guard | str | FromSettings | None = FROM_SETTINGS,
        is_remote: bool = False,
    ) -> Self:
        """The same for another reranker, whose scope may not be known yet: ``move`` brings it there.

        Text and guard are as here unless they are given.
        """
        return type(self)(
            self.backend,
            reranker,
            read=read or self.read,
            captures_queries=self.captures_queries,
            listwise=listwise,
            observers=observers,
            guard=self._guard if isinstance(guard, FromSettings) else guard,
            is_remote=is_remote,
        )

    def lists(self) -> Self:
        """The scope of this cache's result lists. They are stored as ranks, which must not mix with scores."""
        return self._beside(f"{self.reranker} (results)", listwise=True)

    def scored(self) -> Self | None:
        """The scope of the one reranker over the backend; None where there is none, or several."""
        scope = self.backend.users.only_scope()
        return None if scope is None else self._beside(scope.reranker, listwise=scope.listwise)

    def everywhere(self) -> list[Self]:
        """The scopes in which something of this cache may be remembered: its own, its lists, its reranker's."""
        scored = self.scored()
        is_other = scored is not None and (scored.reranker, scored.listwise) != (self.reranker, self.listwise)
        return [self, self.lists(), *([scored] if scored is not None and is_other else [])]

    def _beside(self, name: str, *, listwise: bool) -> Self:
        return self.of(self.backend.scopes.of(name), listwise=listwise, observers=self.observers)

    def move(self, reranker: str, *, listwise: bool, is_private: bool) -> None:
        """Read and write the scores of another scope from now on, also for requests under way.

        A private scope serves exact queries only: an index for each would outlive its process.
        """
        self.backend.scopes.settle(self._name, self.reranker, reranker)
        self.reranker, self.listwise, self.is_private = reranker, listwise, is_private
        store, async_store = self.backend.stores(reranker, listwise=listwise)
        follow(self.store, store)
        follow(self.async_store, async_store)

    def on_event(self, event: Event) -> None:
        """Tell the observers of the backend, and those of this reranker."""
        notify(self.observers, event)

    def policy(self, tenant: str = "") -> FlowPolicy:
        """What the flow of a tenant's request may do with these scores now."""
        policy = self.backend.policy_for(self.reranker).for_tenant(tenant)
        if not isinstance(self._guard, FromSettings):
            policy = replace(policy, guard=self._guard)
        if self.is_private:
            return replace(policy, reuse=None, prune=None, surrogate=None, unpruned="")
        return policy

    def find(self, request: Request, vector: FloatArray | None = None) -> FindFlow:
        """The flow that looks for the scores of a request; ``vector`` is the query's unit vector, if it is known."""
        return find(request, self.policy(request.tenant), self.reranker, listwise=self.listwise, vector=vector)

    @property
    def budget_s(self) -> float:
        """How many seconds a request may wait for Redis."""
        return self.backend.connection.budget_s

    def calls(
        self, score: ScoreDocuments | None = None, k: int | None = None, budget_s: float | None = None
    ) -> Calls[Store]:
        """Performs the steps of flows over these scores. ``score`` is a ladder's; ``k`` neighbours, None as set up."""
        migration = self.backend.migration
        embed_former = None if migration is None else migration.queries.embed
        return self._calls(self.store, self.backend.embed, embed_former, score, k, budget_s)

    def async_calls(
        self, score: ScoreDocuments | None = None, k: int | None = None, budget_s: float | None = None
    ) -> Calls[AsyncStore]:
        """``calls`` for an event loop; ``score`` is a ladder's ``ascore``."""
        migration = self.backend.migration
        embed_former = None if migration is None else migration.queries.aembed
        return self._calls(self.async_store, self.backend.aembed, embed_former, score, k, budget_s)

    def _calls(
        self,
        store: Any,
        embed: EmbedTexts,
        embed_former: EmbedTexts | None,
        score: ScoreDocuments | None,
        k: int | None,
        budget_s: float | None,
    ) -> Calls[Any]:
        neighbours = self.backend.knobs.neighbours if k is None else k
        read, near = store.read_document_vectors, store.find_near
        former = FormerEmbedding(embed_former, partial(is_searching_source, store))
        on_event, reranker = self.on_event, self.reranker
        return Calls(store, embed, score, neighbours, on_event, reranker, read, budget_s, near=near, former=former)

    def __repr__(self) -> str:
        return f"<ScopedCache of {self.reranker!r} in {self.backend.connection.where}>"
