"""Rerankers: scores for (query, text) pairs, by several libraries, behind one protocol."""

from semcache.rerankers.adapt import adapt
from semcache.rerankers.awaiting import AwaitedReranker
from semcache.rerankers.cross_encoder import CrossEncoderReranker
from semcache.rerankers.embedding import EmbeddingReranker
from semcache.rerankers.function import QueryFunctionReranker, function_reranker
from semcache.rerankers.http import Dialect, HttpReranker
from semcache.rerankers.learned import LearnedReranker
from semcache.rerankers.onnx import OnnxCrossEncoder
from semcache.rerankers.pairs import PairReranker
from semcache.rerankers.ranking import RankingReranker
from semcache.rerankers.redisvl import RedisVLReranker
from semcache.rerankers.retrieval_order import RetrievalOrder
from semcache.rerankers.split import SplitReranker

__all__ = [
    "AwaitedReranker",
    "CrossEncoderReranker",
    "Dialect",
    "EmbeddingReranker",
    "HttpReranker",
    "LearnedReranker",
    "OnnxCrossEncoder",
    "PairReranker",
    "QueryFunctionReranker",
    "RankingReranker",
    "RedisVLReranker",
    "RetrievalOrder",
    "SplitReranker",
    "adapt",
    "function_reranker",
]
