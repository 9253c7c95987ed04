"""betterdb-semantic-cache over valkey-py, against the search module of Redis instead of valkey-search."""

import asyncio

import valkey.asyncio
from betterdb_semantic_cache import SemanticCache, SemanticCacheOptions
from betterdb_semantic_cache.types import (
    AnalyticsOptions,
    ConfigRefreshOptions,
    DiscoveryOptions,
    EmbeddingCacheOptions,
)
from serve import Embedding, answer, serve


class Peer:
    def __init__(self, url):
        self.loop = asyncio.new_event_loop()
        self.embedding = Embedding()
        self.cache = SemanticCache(
            SemanticCacheOptions(
                client=valkey.asyncio.Valkey.from_url(url),
                embed_fn=self._embed,
                name="peer-betterdb",
                default_threshold=0.05,
                # Switched off: an extra GET and SET per look-up, and background traffic.
                embedding_cache=EmbeddingCacheOptions(enabled=False),
                analytics=AnalyticsOptions(disabled=True),
                config_refresh=ConfigRefreshOptions(enabled=False),
                discovery=DiscoveryOptions(enabled=False),
            )
        )
        self._run(self.cache.initialize())
        self.response = answer()

    def _run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    async def _embed(self, text):
        return self.embedding.vectors.get(text) or [1.0] * 384  # it probes its embedder with a text of its own

    def load(self, workload, start, stop):
        async def store():
            for entry in range(start, stop):
                text = workload.texts[entry]
                self.embedding.vectors = {text: workload.vector(entry).tolist()}
                await self.cache.store(text, self.response)

        self._run(store())

    def prepare(self, workload):
        self.texts = workload.probe_texts
        self.vectors = {
            kind: dict(zip(self.texts[kind], probes.tolist(), strict=True)) for kind, probes in workload.probes.items()
        }

    def look_up(self, kind, number):
        self.embedding.vectors = self.vectors[kind]
        return self._run(self.cache.check(self.texts[kind][number])).hit


serve(Peer)
