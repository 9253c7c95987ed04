"""A semantic rerank cache for RAG: reuses reranker scores across repeated and reworded queries."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from semcache.batching.reranker import AsyncBatchReranker
    from semcache.cache import RedisSemanticCache
    from semcache.cached import CachedReranker
    from semcache.degradation.monitor import LatencyMonitor
    from semcache.degradation.reranker import DegradableReranker
    from semcache.documents import Document
    from semcache.entries.entry import Neighbour
    from semcache.errors import SemcacheError
    from semcache.flow.outcome import Lookup
    from semcache.pipeline import OptimizedRerankerPipeline
    from semcache.ranking import Ranking, Status
    from semcache.redis.server.embedded import EmbeddedRedis
    from semcache.settings import Settings

# Outages are warnings on this logger (observers/outages.py). An application that has not set up logging is left in
# peace, as of every library: https://docs.python.org/3/howto/logging.html#configuring-logging-for-a-library
logging.getLogger(__name__).addHandler(logging.NullHandler())

# Public names and where they live. They are imported when first used: redis, redisvl and pydantic take half a second.
_ROOMS = {
    "AsyncBatchReranker": "batching.reranker",
    "CachedReranker": "cached",
    "DegradableReranker": "degradation.reranker",
    "Document": "documents",
    "EmbeddedRedis": "redis.server.embedded",
    "LatencyMonitor": "degradation.monitor",
    "Lookup": "flow.outcome",
    "Neighbour": "entries.entry",
    "OptimizedRerankerPipeline": "pipeline",
    "Ranking": "ranking",
    "RedisSemanticCache": "cache",
    "SemcacheError": "errors",
    "Settings": "settings",
    "Status": "ranking",
}

__all__ = [
    "AsyncBatchReranker",
    "CachedReranker",
    "DegradableReranker",
    "Document",
    "EmbeddedRedis",
    "LatencyMonitor",
    "Lookup",
    "Neighbour",
    "OptimizedRerankerPipeline",
    "Ranking",
    "RedisSemanticCache",
    "SemcacheError",
    "Settings",
    "Status",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
