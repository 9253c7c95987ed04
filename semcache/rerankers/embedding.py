"""The cheap fallback: how similar the embeddings of query and document are."""

from collections.abc import Sequence

import numpy as np

from semcache.embedders.checked import as_rows
from semcache.identity.kinds import IdentifiedBy, identified_by
from semcache.protocols import Embedder, FloatArray, Pair
from semcache.rerankers.checked import checked_scores


class EmbeddingReranker:
    """Cosine in [-1, 1] of query and document, by any embedder. Each different text of a call is embedded once."""

    listwise = False

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def name(self) -> str:
        """The embedder's name, marked as cosine."""
        return f"cosine/{self._embedder.name}"

    @property
    def identified_by(self) -> IdentifiedBy:
        """The kind of evidence that stands behind the embedder's name."""
        return identified_by(self._embedder)

    @property
    def content(self) -> str:
        """A digest of what can be read of the embedder, beyond its name."""
        return getattr(self._embedder, "content", "")

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One cosine per pair."""
        if not pairs:
            return np.empty(0, dtype=np.float32)
        # One call for all texts, and one row per different text: the pairs of a request all have the same query.
        rows: dict[str, int] = {}
        for pair in pairs:
            for text in pair:
                rows.setdefault(text, len(rows))
        vectors = as_rows(self._embedder.embed(list(rows)), self._embedder.name)
        # One of the caller's own may give others than unit vectors. A vector of zeros is like no other.
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
        queries = vectors[[rows[query] for query, _ in pairs]]
        documents = vectors[[rows[text] for _, text in pairs]]
        return checked_scores(np.einsum("ij,ij->i", queries, documents), len(pairs), self.name)

    def __repr__(self) -> str:
        return f"<EmbeddingReranker {self.name}>"
