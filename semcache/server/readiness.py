"""Tells when requests may come: the models are loaded. A Redis that is away does not matter."""

import asyncio
import logging

from semcache.causes import cause_of
from semcache.errors import RerankServiceError, StoreError
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.server.scale import PROBE_QUERY, PROBE_TEXTS, Scale

_log = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
"""Between two tries to load: a model that is copied just now is soon there, and a wrong name never."""


class Readiness:
    """Loads the models of a pipeline in the background, again and again until it succeeds.

    ``missing`` says what is not there yet, and is empty when requests may come.
    """

    def __init__(self, pipeline: OptimizedRerankerPipeline, scale: Scale) -> None:
        self._pipeline = pipeline
        self._scale = scale
        self.missing: str = "models are being loaded"

    async def load(self) -> None:
        """Load everything; returns when that is done."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                await self._load()
            except Exception as error:  # noqa: BLE001 - whatever a model raises, the process goes on and tries again
                self.missing = f"models cannot be loaded: {type(error).__name__}"
                # The log has the message, which may name folders; /readyz is open to everyone.
                _log.warning("models cannot be loaded, next try in %g s: %s", wait_s, cause_of(error))
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            else:
                self.missing = ""
                return

    async def _load(self) -> None:
        pipeline = self._pipeline
        try:
            await pipeline.cache.async_store.check()
        except StoreError as error:
            _log.warning("Redis cannot be used; requests are answered without it: %s", error)
        await pipeline.cache.backend.aembed(["a query"])
        try:
            await pipeline.reranker.awarmup()
        except RerankServiceError as error:
            # It may be away for long, and until it is back the rungs below it answer.
            _log.warning("the rerank service does not answer; lower rungs do: %s", cause_of(error))
        await self._hear_scores()

    async def _hear_scores(self) -> None:
        scored = await self._pipeline.reranker.ascore(PROBE_QUERY, PROBE_TEXTS, range(len(PROBE_TEXTS)))
        if scored.scores is not None:
            self._scale.hear(scored.reranker, [float(score) for score in scored.scores])
