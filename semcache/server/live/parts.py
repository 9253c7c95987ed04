"""Knowledge of one process of a server about its own requests, ready to be sent to another process."""

import asyncio
import os
from time import time
from typing import Any

from fastapi.encoders import jsonable_encoder

from semcache.causes import cause_of
from semcache.errors import SemcacheError
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.redis.store import estimate
from semcache.server.live.recorder import Recorder
from semcache.server.live.remedies import remedy_of
from semcache.server.live.ring import Window

_REDIS_PATIENCE_S = 1.0
"""The page waits no longer for the number of entries, also where a single command may take as long."""


class Parts:
    """Describes one process: its counts since it started, and what its recorder kept."""

    def __init__(self, pipeline: OptimizedRerankerPipeline) -> None:
        self._pipeline = pipeline
        observers = pipeline.cache.backend.observers
        self._recorder = next((observer for observer in observers if isinstance(observer, Recorder)), None)
        self._started = time()

    async def part(self, window: Window) -> dict[str, Any]:
        """Everything that this process knows, ready for JSON."""
        # In a thread: statistics of quality take some milliseconds, in which no request would be answered.
        return await asyncio.to_thread(self._part, window)

    def _part(self, window: Window) -> dict[str, Any]:
        recorded = {} if self._recorder is None else self._recorder.dump(window)
        stats = jsonable_encoder(self._pipeline.get_stats())
        return {"process": os.getpid(), "started": self._started, "stats": stats, **recorded}

    def about(self) -> dict[str, Any]:
        """The models whose scores these are, and the settings that they are judged by; the same in every process."""
        cache = self._pipeline.cache
        policy, reuse = cache.backend.policy, cache.backend.reuse_knobs
        return {
            "namespace": cache.backend.knobs.namespace,
            "reranker": cache.reranker,
            "embedder": cache.backend.embedder_name,
            "trust_threshold": reuse.trust_threshold,
            "reuse_threshold": None if policy.reuse is None else policy.reuse.reuse_threshold,
            "quality_budget": reuse.quality_budget,
            "p95_threshold_s": self._pipeline.monitor.p95_threshold,
            "ttl_s": cache.ttl,
        }

    async def redis(self) -> dict[str, Any]:
        """Whether Redis answers now, how many entries it holds (or ``is_about`` so many), and why it does not."""
        try:
            async with asyncio.timeout(_REDIS_PATIENCE_S):
                entries, is_about = await estimate(self._pipeline.cache.async_store)
        except (SemcacheError, TimeoutError) as error:
            cause = cause_of(error)
            remedy = remedy_of(cause, "CacheUnavailable")
            return {"up": False, "entries": None, "is_about": False, "error": cause, "remedy": remedy}
        return {"up": True, "entries": entries, "is_about": is_about, "error": None, "remedy": None}

    def sample_queue(self) -> None:
        """Record how many pairs wait."""
        if self._recorder is not None:
            self._recorder.sample_queue(self._pipeline.reranker.get_stats()["waiting_pairs"])

    def __repr__(self) -> str:
        return f"<Parts of process {os.getpid()}, {'not ' if self._recorder is None else ''}recorded>"
