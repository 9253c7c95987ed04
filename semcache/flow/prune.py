"""Asks the surrogate what is to be expected of the documents of a request."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import entry_id
from semcache.flow.drift import Floats
from semcache.flow.hints import carried_vectors, retrieval_scores
from semcache.flow.policy import FlowPolicy
from semcache.flow.requests import Request
from semcache.flow.reuse import FIRST_ROUND_EXTRA, Learned
from semcache.flow.steps import ReadDocumentVectors, Step
from semcache.protocols import FloatArray
from semcache.pruning.features import Features, features
from semcache.pruning.likeness import likeness
from semcache.pruning.surrogate import Surrogate


def is_prunable(request: Request) -> bool:
    """True if there are more documents than the first round would ask about."""
    return len(request.fingerprints) > request.top_k + FIRST_ROUND_EXTRA


def is_explored(request: Request, share: float) -> bool:
    """True for a ``share`` of all queries, always the same ones: these are scored whole, so that the loss is known."""
    # By the query and not by chance: this room has none, and a query that comes back is then answered exactly.
    return crc32(entry_id(request.tenant, request.query).encode()) < share * 2**32


def learned(
    request: Request,
    policy: FlowPolicy,
    vector: FloatArray | None,
    neighbours: Sequence[Neighbour] = (),
    *,
    completes: bool = True,
    earlier: Floats | None = None,
    cheap_scores: FloatArray | None = None,
) -> Generator[Step, Any, Learned | None]:
    """Scores that the surrogate expects of the documents, and how much more than for the queries of the neighbours.

    None while too little was learned. ``vector`` is the query's; ``completes`` is that of ``Learned``; ``earlier`` and
    ``cheap_scores`` are those of ``described``.
    """
    if policy.surrogate is None or policy.prune is None:
        return None
    vectors = vectors_at_hand(request, policy, vector)
    if vectors is None and policy.prune.document_vectors == "embed":
        vectors = yield ReadDocumentVectors(request.tenant, request.fingerprints)
    known = described(request, policy, request.query, vector, vectors, earlier=earlier, cheap_scores=cheap_scores)
    found = expected(policy.surrogate, known, vectors, policy.prune.confidence)
    changes = {
        index: policy.surrogate.change(
            known, described(request, policy, near.query, near.vector, vectors, earlier=earlier)
        )
        for index, near in enumerate(neighbours)
    }
    found = replace(found, changes=changes, completes=completes)
    # A spread that is no number would leave a document out without a reason.
    numbers = found.predicted.scores, found.predicted.spread, found.likeness, *changes.values()
    return found if all(part is not None and np.isfinite(part).all() for part in numbers) else None


def vectors_at_hand(request: Request, policy: FlowPolicy, vector: FloatArray | None) -> FloatArray | None:
    """The vectors of documents that came with a request, as far as they may be used."""
    kind = "off" if policy.prune is None else policy.prune.document_vectors
    if kind == "off" or request.document_vectors is not None:
        return None if kind == "off" else request.document_vectors
    return carried_vectors(request, len(vector)) if kind == "documents" and vector is not None else None


def expected(surrogate: Surrogate, known: Features, document_vectors: FloatArray | None, confidence: float) -> Learned:
    """The scores that the surrogate expects of documents with these features, and how alike they are."""
    return Learned(surrogate.predict(known), likeness(known, document_vectors), confidence=confidence)


def described(
    request: Request,
    policy: FlowPolicy,
    query: str | None,
    vector: FloatArray | None,
    document_vectors: FloatArray | None,
    *,
    earlier: Floats | None = None,
    cheap_scores: FloatArray | None = None,
) -> Features:
    """The features of a request's documents for its own query or, of a neighbour, for what is known of another one.

    ``document_vectors`` are by document, a row of nan where there is none; ``earlier`` says how much better than
    the others each document scored for other queries, nan where nothing is known; ``cheap_scores`` are of a cascade.
    """
    return features(
        query,
        request.texts,
        retrieval_scores=retrieval_scores(request),
        query_vector=vector,
        document_vectors=document_vectors,
        earlier=earlier,
        cheap_scores=cheap_scores,
    )
