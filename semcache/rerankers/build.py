"""Builds the rerankers that the rungs of the settings describe."""

from semcache.errors import ConfigurationError
from semcache.models.names import GRAPHS, find_folder
from semcache.protocols import Embedder, Reranker
from semcache.rerankers.cross_encoder import CrossEncoderReranker
from semcache.rerankers.embedding import EmbeddingReranker
from semcache.rerankers.http import HttpReranker
from semcache.rerankers.http.reranker import DEFAULT_TIMEOUT_S
from semcache.rerankers.learned import LearnedReranker
from semcache.rerankers.onnx import OnnxCrossEncoder
from semcache.rerankers.retrieval_order import RetrievalOrder
from semcache.rerankers.split import split
from semcache.settings import Rung


def build(rung: Rung, embedder: Embedder) -> Reranker:
    """The reranker of one rung; ``embedder`` is the cache's, which the kind ``embedding`` shares.

    Raises ConfigurationError when the rung names no model, or one that cannot be loaded.
    """
    if rung.kind == "http":
        return _service(rung)
    return split(_built(rung, embedder), rung.max_pairs_per_call)


class Builder:
    """Builds the rerankers that settings name, and closes the connections that these have open."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._services: list[HttpReranker] = []

    def build(self, rung: Rung) -> Reranker:
        """``build`` with the embedder given."""
        reranker = build(rung, self._embedder)
        if isinstance(reranker, HttpReranker):
            self._services.append(reranker)
        return reranker

    def close(self) -> None:
        """Close the connections to services; those of a running event loop are closed by ``aclose``."""
        for service in self._services:
            service.close()

    async def aclose(self) -> None:
        """Close the connections to services."""
        for service in self._services:
            await service.aclose()


def _service(rung: Rung) -> HttpReranker:
    # The settings refuse a rung without one; this is for rungs that were made without validation.
    if rung.dialect is None:
        raise ConfigurationError("a rung of kind http needs a dialect, such as cohere or tei")
    return HttpReranker(
        rung.dialect,
        rung.model,
        url=rung.url,
        api_key=rung.api_key,
        api_key_variable=rung.api_key_variable,
        options=rung.options,
        listwise=rung.listwise,
        timeout_s=DEFAULT_TIMEOUT_S if rung.timeout_s is None else rung.timeout_s,
        retries=rung.retries,
        concurrency=rung.concurrency,
        requests_per_minute=rung.requests_per_minute,
        pairs_per_minute=rung.pairs_per_minute,
        max_pairs_per_call=rung.max_pairs_per_call,
    )


def _built(rung: Rung, embedder: Embedder) -> Reranker:
    if rung.kind == "retrieval-order":
        return RetrievalOrder()
    if rung.kind == "embedding":
        return EmbeddingReranker(embedder)
    if rung.kind == "learned":
        return LearnedReranker(EmbeddingReranker(embedder))
    # The settings refuse such a rung; this is for rungs that were made without validation.
    if rung.model is None:
        raise ConfigurationError(f"a rung of kind {rung.kind} needs a model: a hub name or a folder")
    is_onnx = rung.kind == "onnx"
    if rung.kind == "auto":
        # A hub name whose files are not here runs by torch: to look for a graph would mean to ask the hub.
        folder = find_folder(rung.model, "onnx-int8")
        is_onnx = folder is not None and any((folder / graph).is_file() for graph in GRAPHS)
    if is_onnx:
        return OnnxCrossEncoder(rung.model, rung.max_length, rung.batch_size)
    return CrossEncoderReranker(rung.model, max_length=rung.max_length, batch_size=rung.batch_size)
