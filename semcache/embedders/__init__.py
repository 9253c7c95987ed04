"""Embedders: text to unit vectors, by several libraries, behind one protocol."""

from semcache.embedders.adapt import adapt_embedder
from semcache.embedders.callable import CallableEmbedder
from semcache.embedders.redisvl import RedisVLEmbedder
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder

__all__ = ["CallableEmbedder", "RedisVLEmbedder", "SentenceTransformerEmbedder", "adapt_embedder"]
