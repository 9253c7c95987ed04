"""The figures of a server as callers get them: gathered when asked for, and at most once a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import metadata
from time import monotonic, time
from typing import Any

from semcache.pipeline import OptimizedRerankerPipeline
from semcache.server.live.figures import figures
from semcache.server.live.health import wrong_with
from semcache.server.live.parts import Parts
from semcache.server.live.ring import WINDOWS, Window
from semcache.server.live.workers import listening, others

_FRESH_S = 1.0
"""Pages that ask at the same time get the same answer: several of them cost the server no more than one."""
_ENTRIES_FRESH_S = 10.0
"""Counting entries costs Redis more than a look-up."""
_SAMPLE_S = 5.0
"""How often the length of the queue is looked at: once a slot of the shorter window."""


class LiveView:
    """Gathers the figures of all processes of a server. For one event loop."""

    def __init__(self, pipeline: OptimizedRerankerPipeline) -> None:
        self._parts = Parts(pipeline)
        self._latest: dict[str, tuple[float, dict[str, Any]]] = {}
        self._redis: tuple[float, dict[str, Any]] | None = None
        self._lock = asyncio.Lock()

    async def figures(self, window: Window) -> dict[str, Any]:
        """All that ``figures.figures`` gives, and what is known of the whole server.

        ``about`` says whose scores these are, ``redis`` whether it answers, ``silent`` how many workers did not tell,
        and ``wrong`` what is wrong with all that, see ``health``.
        """
        async with self._lock:
            known = self._latest.get(window.name)
            if known is None or monotonic() - known[0] >= _FRESH_S:
                known = self._latest[window.name] = monotonic(), await self._gathered(window)
        return known[1]

    async def _gathered(self, window: Window) -> dict[str, Any]:
        own, (parts, silent), redis = await asyncio.gather(
            self._parts.part(window), others(window), self._redis_state()
        )
        shown = await asyncio.to_thread(figures, [own, *parts], window, time())
        shown |= {"about": self._parts.about(), "redis": redis, "silent": silent}
        return {
            "semcache": metadata.version("redis-semcache"),
            "windows": list(WINDOWS),
            **shown,
            "wrong": wrong_with(shown),
        }

    async def _redis_state(self) -> dict[str, Any]:
        if self._redis is None or monotonic() - self._redis[0] >= _ENTRIES_FRESH_S or not self._redis[1]["up"]:
            self._redis = monotonic(), await self._parts.redis()
        return self._redis[1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sample the queue and answer other workers, in the block."""
        sampling = asyncio.create_task(self._sample())
        try:
            async with listening(self._parts.part):
                yield
        finally:
            sampling.cancel()
            with suppress(asyncio.CancelledError):
                await sampling

    async def _sample(self) -> None:
        while True:
            self._parts.sample_queue()
            await asyncio.sleep(_SAMPLE_S)

    def __repr__(self) -> str:
        return f"<LiveView of {self._parts}>"
