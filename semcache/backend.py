"""What the caches of one application share: a connection, an embedder, and a store per reranker."""

import asyncio
from collections.abc import Sequence
from threading import Lock
from typing import Any

from semcache.events import Event
from semcache.flow.rerank import FlowPolicy
from semcache.observers import notify
from semcache.protocols import Embedder, FloatArray, Observer
from semcache.redis.client.connection import RedisConnection
from semcache.redis.store import AsyncRedisStore, RedisStore
from semcache.settings import Cache as CacheKnobs
from semcache.settings import Reuse as ReuseKnobs


class Backend:
    """Opens stores when they are first asked for, and everything it opened is closed with it.

    ``policy`` is what the user allows; ``in_force`` has what is left of it for rerankers (by name) whose scores are
    trusted less, since reuses were seen to cost too much.
    """

    def __init__(
        self,
        connection: RedisConnection,
        embedder: Embedder,
        policy: FlowPolicy,
        knobs: CacheKnobs,
        ttl_s: float | None,
        observers: list[Observer],
        reuse_knobs: ReuseKnobs,
    ) -> None:
        self.connection = connection
        self.observers = observers
        self.embedder = embedder
        self.policy = policy
        self.knobs = knobs
        self.ttl_s = ttl_s
        self.reuse_knobs = reuse_knobs
        self.in_force: dict[str, FlowPolicy] = {}
        self._lock = Lock()
        self._stores: dict[tuple[str, bool], tuple[RedisStore, AsyncRedisStore]] = {}

    def store(self, reranker: str, *, listwise: bool) -> RedisStore:
        """The store of one reranker's scores."""
        return self._both(reranker, listwise)[0]

    def async_store(self, reranker: str, *, listwise: bool) -> AsyncRedisStore:
        """The asynchronous twin of ``store``, for any number of event loops."""
        return self._both(reranker, listwise)[1]

    def _both(self, reranker: str, listwise: bool) -> tuple[RedisStore, AsyncRedisStore]:
        both = self._stores.get((reranker, listwise))
        if both is not None:
            return both
        with self._lock:
            if (reranker, listwise) not in self._stores:
                layout = self._layout(reranker, listwise)
                both = RedisStore(self.connection, **layout), AsyncRedisStore(self.connection, **layout)
                self._stores[reranker, listwise] = both
            return self._stores[reranker, listwise]

    def _layout(self, reranker: str, listwise: bool) -> dict[str, Any]:
        return {
            "namespace": self.knobs.namespace,
            "reranker": reranker,
            "embedder": self.embedder.name,
            "dims": self.embedder.dims,
            "listwise": listwise,
            "ttl_s": self.ttl_s,
            "ttl_jitter": self.knobs.ttl_jitter,
            "max_scores": self.knobs.max_scores,
            "store_queries": self.knobs.store_queries,
            "on_event": self.on_event,
        }

    def on_event(self, event: Event) -> None:
        """Tell everybody who observes this cache."""
        notify(self.observers, event)

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors of texts, one row each."""
        return self.embedder.embed(texts)

    async def aembed(self, texts: Sequence[str]) -> FloatArray:
        """``embed`` in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(self.embedder.embed, texts)

    def close(self) -> None:
        """Close the connection, and the embedded server if this was its last user."""
        self.connection.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        await self.connection.aclose()
