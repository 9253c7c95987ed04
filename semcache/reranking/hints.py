"""Takes what callers know of their documents beside the texts, vectors of the cache's embedder included."""

from collections.abc import Sequence

from semcache.embedders.checked import given_vectors
from semcache.flow.hints import one_per_query, with_hints
from semcache.flow.requests import Request
from semcache.protocols import FloatArray
from semcache.scoped_cache import ScopedCache


def hinted(
    request: Request,
    cache: ScopedCache,
    retrieval_scores: Sequence[float] | None,
    document_vectors: FloatArray | None,
    min_score: float | None,
) -> Request:
    """The request with these arguments of ``CachedReranker.rerank``, checked. Raises InvalidInputError."""
    if retrieval_scores is None and document_vectors is None and min_score is None:
        return request
    if document_vectors is not None:
        # Read only for these: some embedders load their model to know it.
        dims = cache.backend.embedder.dims
        document_vectors = given_vectors(document_vectors, len(request.text_positions), dims)
    return with_hints(request, retrieval_scores, document_vectors, min_score)


def all_hinted(
    requests: Sequence[Request],
    cache: ScopedCache,
    retrieval_scores: Sequence[Sequence[float] | None] | None,
    document_vectors: Sequence[FloatArray | None] | None,
    min_score: float | None,
) -> list[Request]:
    """The requests with these arguments of ``CachedReranker.rerank_many``, checked. Raises InvalidInputError."""
    all_scores = one_per_query(retrieval_scores, len(requests), "retrieval_scores")
    all_vectors = one_per_query(document_vectors, len(requests), "document_vectors")
    return [
        hinted(request, cache, scores, vectors, min_score)
        for request, scores, vectors in zip(requests, all_scores, all_vectors, strict=True)
    ]
