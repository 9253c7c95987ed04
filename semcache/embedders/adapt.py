"""Makes an embedder of a model name, a model, a vectorizer, LangChain embeddings, or a function."""

from pathlib import Path
from typing import Any

from semcache.embedders.callable import CallableEmbedder
from semcache.embedders.redisvl import RedisVLEmbedder
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
from semcache.embedders.torch import is_sentence_transformer
from semcache.errors import InvalidInputError
from semcache.models.foreign import has_methods
from semcache.models.names import DEFAULT_BACKEND, EmbedderBackend
from semcache.protocols import Embedder


def adapt_embedder(  # noqa: PLR0911 - one per kind of object
    embedder: Any, *, name: str | None = None, backend: EmbedderBackend = DEFAULT_BACKEND
) -> Embedder:
    """An Embedder for a model name or folder, or for an object, picked by the methods that the object has.

    ``backend`` is for model names and folders; a loaded model has its own. ``name`` is for functions without one, and
    for objects whose class and model name do not tell them apart. Raises InvalidInputError for any other object; the
    message lists the methods that were looked for.

    Example:
        adapt_embedder("all-MiniLM-L6-v2")
        adapt_embedder(lambda texts: client.embed(texts).vectors, name="our-service/v2")
    """
    if isinstance(embedder, (str, Path)):
        return SentenceTransformerEmbedder(embedder, backend)
    # Before our own protocol, which RedisVL's vectorizers seem to fit: they have dims and embed, but for one text.
    if has_methods(embedder, "embed_many"):
        return RedisVLEmbedder(embedder, name)
    if isinstance(embedder, Embedder):
        return embedder
    # LangChain. Only queries are embedded here, and many models embed documents differently.
    if has_methods(embedder, "embed_documents", "embed_query"):
        return CallableEmbedder(embedder.embed_query, name=name or _model_name(embedder), per_text=True)
    # A name of the caller's own means that the name made of the loaded model would not do.
    if name is None and is_sentence_transformer(embedder):
        return SentenceTransformerEmbedder(embedder)
    if has_methods(embedder, "encode"):
        return CallableEmbedder(embedder.encode, name=name or _model_name(embedder), per_text=False)
    # Functions last: many models can be called as well.
    if callable(embedder):
        return CallableEmbedder(embedder, name=name)
    raise InvalidInputError(
        f"{type(embedder).__name__} is no embedder; looked for name + dims + embed(texts), embed_many (RedisVL), "
        "embed_documents + embed_query (LangChain), encode (sentence-transformers) and for a function of texts"
    )


def _model_name(model: Any) -> str:
    """Class and model name, by the attributes that LangChain and others use; module and class if there is none."""
    for attribute in ("model_name", "model", "model_id", "name"):
        value = getattr(model, attribute, None)
        if isinstance(value, str):
            return f"{type(model).__name__}/{value}"
    return f"{type(model).__module__}.{type(model).__qualname__}"
