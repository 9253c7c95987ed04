"""The reranker for an object that can only put documents in order."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from semcache.errors import InvalidInputError
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair
from semcache.rerankers.answers import SentPassages
from semcache.rerankers.calling import asking_for_all


class ListwiseReranker:
    """An order as rank scores: n for the first of n documents, 1 for the last.

    ``rank`` is ``rerank(query, documents, top_k)`` or alike, with parameters under any usual name. It is always asked
    for all documents, so that a later larger ``top_k`` is not truncated. The documents that it gets are strings with
    ``page_content``, ``text``, ``content`` and ``metadata``. It may answer documents, indices, pairs with a score, or
    results with ``index`` or ``document``. Documents that it leaves out come last, in retrieval order. RerankerError
    when it answers a document that was not sent. It may be called from several threads at once.

    Example:
        ListwiseReranker(client.rerank, "rerank-service").score([("a query", "worse"), ("a query", "better")])
        gives ``array([1., 2.], dtype=float32)``.
    """

    listwise = True

    def __init__(self, rank: Callable[..., Any], name: str) -> None:
        self._rank = asking_for_all(rank)
        self._name = name

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """Rank scores for one query and all of its documents. InvalidInputError for several queries in one call."""
        if not pairs:
            return np.empty(0, dtype=np.float32)
        queries = {query for query, _ in pairs}
        if len(queries) > 1:
            raise InvalidInputError(
                f"{self._name} is listwise: its scores hold within one query, got {len(queries)} queries in one call; "
                "call it once per query"
            )
        sent = SentPassages([text for _, text in pairs], self._name)
        order = [position for position, _ in sent.read(self._rank(encodable(queries.pop()), sent.passages))]
        answered = set(order)
        order += [position for position in range(len(pairs)) if position not in answered]
        # The ranker's own scores are not used: they may be missing, and many are of no fixed scale.
        scores = np.empty(len(pairs), dtype=np.float32)
        scores[order] = np.arange(len(pairs), 0, -1, dtype=np.float32)
        return scores

    def __repr__(self) -> str:
        return f"<ListwiseReranker {self._name}>"
