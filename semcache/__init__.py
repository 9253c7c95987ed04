"""A semantic rerank cache for RAG: reuses reranker scores across repeated and reworded queries."""

import logging
import os
import warnings
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

# https://pypi.org/project/semcache/ is another package of the same import name: the two write into one folder, and the
# one that is installed last has the other's files between its own. Only ours lacks this file.
if os.path.exists(os.path.join(__path__[0], "client.py")):  # noqa: PTH110, PTH118 - pathlib would double the time of this import
    warnings.warn(
        "the package 'semcache', a client of semcache.io, is installed beside redis-semcache, and both are imported as "
        "semcache; run: pip uninstall semcache redis-semcache, then install redis-semcache again",
        stacklevel=2,
    )

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

# Not for type checkers, which would take every misspelt name for one of the package.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
