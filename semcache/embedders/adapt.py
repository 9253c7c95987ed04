"""Makes an embedder of what the caller has: a model name, a model, a vectorizer, LangChain embeddings, a function."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from semcache.embedders.callable import CallableEmbedder
from semcache.embedders.redisvl import RedisVLEmbedder
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
from semcache.embedders.torch import DIMS_METHODS
from semcache.errors import InvalidInputError
from semcache.protocols import Embedder


def adapt_embedder(embedder: Any, *, name: str | None = None) -> Embedder:
    """An Embedder for a model name or folder, or for an object, picked by what the object can do.

    ``name`` is for functions without one, and for objects whose class and model name do not tell them apart. Raises
    InvalidInputError that says what was looked for.
    """
    if isinstance(embedder, (str, Path)):
        return SentenceTransformerEmbedder(embedder)
    if isinstance(embedder, Embedder) and not _has(embedder, "embed_many"):
        return embedder
    return _of_object(embedder, name)


def _of_object(embedder: Any, name: str | None) -> Embedder:
    if _has(embedder, "embed_many"):
        return RedisVLEmbedder(embedder, name)
    if _has(embedder, "embed_documents", "embed_query"):
        return CallableEmbedder(_queries(embedder), name=name or _model_name(embedder), one=False)
    if _has(embedder, "encode"):
        return _of_encoder(embedder, name)
    if callable(embedder):
        return CallableEmbedder(embedder, name=name)
    raise InvalidInputError(
        f"{type(embedder).__name__} is no embedder; looked for name + dims + embed(texts), embed_many (RedisVL), "
        "embed_documents + embed_query (LangChain), encode (sentence-transformers) and for a function of texts"
    )


def _of_encoder(model: Any, name: str | None) -> Embedder:
    if name is None and any(_has(model, method) for method in DIMS_METHODS):
        return SentenceTransformerEmbedder(model)
    return CallableEmbedder(model.encode, name=name or _model_name(model), one=False)


def _queries(embeddings: Any) -> Any:
    """What is embedded here are queries; many models embed documents differently."""

    def embed(texts: Sequence[str]) -> Any:
        return [embeddings.embed_query(text) for text in texts]

    return embed


def _model_name(model: Any) -> str:
    """Class and model name, as LangChain and others say it."""
    for attribute in ("model_name", "model", "model_id", "name"):
        value = getattr(model, attribute, None)
        if isinstance(value, str):
            return f"{type(model).__name__}/{value}"
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _has(obj: Any, *methods: str) -> bool:
    return all(callable(getattr(obj, method, None)) for method in methods)
