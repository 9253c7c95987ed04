"""Rerankers: scores for (query, text) pairs, by several libraries, behind one protocol."""

from semcache.rerankers.adapt import adapt
from semcache.rerankers.cross_encoder import CrossEncoderReranker
from semcache.rerankers.embedding import EmbeddingReranker
from semcache.rerankers.function import QueryFunctionReranker, function_reranker
from semcache.rerankers.listwise import ListwiseReranker
from semcache.rerankers.onnx import OnnxCrossEncoder
from semcache.rerankers.pairs import PairReranker
from semcache.rerankers.redisvl import RedisVLReranker
from semcache.rerankers.retrieval_order import RetrievalOrder

__all__ = [
    "CrossEncoderReranker",
    "EmbeddingReranker",
    "ListwiseReranker",
    "OnnxCrossEncoder",
    "PairReranker",
    "QueryFunctionReranker",
    "RedisVLReranker",
    "RetrievalOrder",
    "adapt",
    "function_reranker",
]
