"""Builds the reranker that a rung of the settings describes."""

from semcache.errors import ConfigurationError
from semcache.models.names import find_folder
from semcache.protocols import Embedder, Reranker
from semcache.rerankers.cross_encoder import CrossEncoderReranker
from semcache.rerankers.embedding import EmbeddingReranker
from semcache.rerankers.onnx import OnnxCrossEncoder
from semcache.rerankers.retrieval_order import RetrievalOrder
from semcache.settings import Rung


def build(rung: Rung, embedder: Embedder) -> Reranker:
    """The reranker of one rung; ``embedder`` is the cache's, which the kind ``embedding`` shares."""
    if rung.kind == "retrieval-order":
        return RetrievalOrder()
    if rung.kind == "embedding":
        return EmbeddingReranker(embedder)
    if rung.model is None:
        raise ConfigurationError(f"a rung of kind {rung.kind} needs a model: a hub name or a folder")
    if rung.kind == "onnx" or (rung.kind == "auto" and _has_graph(rung.model)):
        return OnnxCrossEncoder(rung.model, rung.max_length, rung.batch_size)
    return CrossEncoderReranker(rung.model, max_length=rung.max_length, batch_size=rung.batch_size)


def _has_graph(model: str) -> bool:
    folder = find_folder(model, "onnx-int8")
    return folder is not None and any((folder / name).is_file() for name in ("model.onnx", "onnx/model.onnx"))
