"""The retriever of the demo: passages by the similarity of their embedding to that of the query."""

from collections.abc import Sequence

import numpy as np

from semcache.documents import Document
from semcache.protocols import Embedder

CANDIDATES = 16
"""Passages per request. RAG pipelines rerank 20 to 100; fewer keep the demo at about a minute on two cores."""


class InMemoryRetriever:
    """Passages that can be searched, and replaced while requests come in."""

    def __init__(self, passages: Sequence[Document], embedder: Embedder) -> None:
        self._embedder = embedder
        self._passages = list(passages)
        self._vectors = embedder.embed([passage.text for passage in passages])

    def publish(self, passage: Document) -> None:
        """Replace the passage of the same title, or add a passage."""
        titles = [known.metadata["title"] for known in self._passages]
        vector = self._embedder.embed([passage.text])
        if passage.metadata["title"] in titles:
            row = titles.index(passage.metadata["title"])
            self._passages[row], self._vectors[row] = passage, vector[0]
        else:
            self._passages.append(passage)
            self._vectors = np.vstack([self._vectors, vector])

    def candidates(self, query: str, variant: int | None = None) -> list[Document]:
        """The most similar passages. A ``variant`` from 0 to 4 leaves out every fifth, for later ones."""
        nearest = np.argsort(-(self._vectors @ self._embedder.embed([query])[0]), kind="stable")
        # The same query with other candidates, as after a filter or a change of the index.
        kept = [row for rank, row in enumerate(nearest) if variant is None or rank % 5 != variant]
        return [self._passages[row] for row in kept[:CANDIDATES]]

    def __repr__(self) -> str:
        return f"<InMemoryRetriever of {len(self._passages)} passages>"
