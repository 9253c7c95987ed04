"""The embedder for any RedisVL vectorizer."""

from collections.abc import Sequence
from typing import Any

from semcache.embedders.callable import CallableEmbedder
from semcache.errors import EmbedderError
from semcache.identity.kinds import IdentifiedBy
from semcache.protocols import FloatArray


class RedisVLEmbedder:
    """Unit vectors of a RedisVL vectorizer (``dims``, ``embed_many``), whatever service or model is behind it.

    One call at a time, since a vectorizer does not say whether threads may share it. ``name`` overrides the name made
    of the vectorizer's class and model. Raises EmbedderError for an object without ``embed_many``.

    Example:
        RedisVLEmbedder(OpenAITextVectorizer(model="text-embedding-3-small"))
    """

    def __init__(self, vectorizer: Any, name: str | None = None) -> None:
        if not callable(getattr(vectorizer, "embed_many", None)):
            raise EmbedderError(f"{type(vectorizer).__name__} has no embed_many(); pass a RedisVL vectorizer")
        name = name or f"{type(vectorizer).__name__}/{getattr(vectorizer, 'model', 'unnamed')}"
        # A vectorizer usually knows its dims; to ask it with a text may be a paid call over the network.
        dims = getattr(vectorizer, "dims", None)
        self._embedder = CallableEmbedder(vectorizer.embed_many, dims, name, per_text=False)

    @property
    def identified_by(self) -> IdentifiedBy:
        """By a vector that it gave, or by the first one that it will give where it says its dims."""
        return self._embedder.identified_by

    @property
    def probe_vector(self) -> FloatArray | None:
        """Its vector of the probe text, if it was asked for one to see its length."""
        return self._embedder.probe_vector

    @property
    def name(self) -> str:
        """The vectorizer's class and model, or the name given."""
        return self._embedder.name

    @property
    def dims(self) -> int:
        """Length of the vectors, asked with one text if the vectorizer does not say."""
        return self._embedder.dims

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """One unit vector per text. EmbedderError when the vectorizer gives something else."""
        return self._embedder.embed(texts)

    def __repr__(self) -> str:
        return f"<RedisVLEmbedder {self.name}, {self.dims} dims>"
