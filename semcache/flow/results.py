"""Remembers whole result lists, as the cache does that semcache replaces: an order of one list of candidates.

A list may be shorter than its candidates, since it was cut at a top_k. Stored are ranks as scores: 0 for the best
document, -1 for the next, and a mark for candidates that are not in the list. A shortened list is served only when
every document on it is among the caller's candidates, since nothing is known of the documents that came after it.
"""

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from semcache.documents import Reader, text_of
from semcache.entries.entry import Neighbour, Scores
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import InvalidInputError
from semcache.flow.policy import FlowPolicy
from semcache.flow.requests import Request, by_position, caller_positions, texts_of
from semcache.flow.rerank import trusted
from semcache.flow.steps import Embed, FindNeighbours, ReadExact, Step

D = TypeVar("D")

# Below every rank, and a float32 holds it.
_LEFT_OUT = -1e30


def ranks(request: Request, results: Sequence[object], read: Reader = text_of) -> list[tuple[bytes, float]]:
    """The scores to store: a rank for every result, and the mark for every other candidate.

    ``read`` gives the text of a result. Raises InvalidInputError for a result that is none of the candidates.
    """
    candidates = set(request.fingerprints)
    listed = [document_fingerprint(text) for text in texts_of(results, read)]
    for result, fingerprint in zip(results, listed, strict=True):
        if fingerprint not in candidates:
            raise InvalidInputError(
                f"the result {result!r:.80} is none of the documents; pass the documents it was chosen from"
            )
    # A text that is listed twice has the rank of its first place.
    distinct = list(dict.fromkeys(listed))
    rank_of = {fingerprint: float(-rank) for rank, fingerprint in enumerate(distinct)}
    return [(fingerprint, rank_of.get(fingerprint, _LEFT_OUT)) for fingerprint in request.fingerprints]


def find_results(request: Request, documents: Sequence[D], policy: FlowPolicy) -> Generator[Step, Any, list[D] | None]:
    """The caller's documents that are on a remembered list, in its order; None when no entry covers the candidates."""
    exact: Scores | None = yield ReadExact(request.tenant, request.query)
    # A list cannot be verified, so that one that is not trusted is not served at all.
    order = _order(request, exact) if exact is not None and policy.trust_exact else None
    if order is None and policy.reuse is not None and len(request.query) <= policy.max_query_chars:
        vector = yield Embed(request.query)
        near: Sequence[Neighbour] = (
            () if vector is None else (yield FindNeighbours(request.tenant, vector, query=request.query))
        )
        alike, _ = yield from trusted(request, policy, policy.reuse.trust_threshold, near)
        orders = (_order(request, neighbour.scores) for neighbour in alike)
        order = next((order for order in orders if order is not None), None)
    if order is None:
        return None
    documents = by_position(documents)
    return [documents[position] for position in caller_positions(request.text_positions, order)]


def _order(request: Request, stored: Scores) -> list[int] | None:
    """Positions of the request's texts in the order that an entry holds; None unless it knows all of them."""
    candidates = request.fingerprints
    if any(fingerprint not in stored for fingerprint in candidates):
        return None
    rank_of = {fingerprint: rank for fingerprint, rank in stored.items() if rank > _LEFT_OUT}
    is_shortened = len(rank_of) < len(stored)
    if is_shortened and not rank_of.keys() <= set(candidates):
        return None
    listed = [position for position, fingerprint in enumerate(candidates) if fingerprint in rank_of]
    return sorted(listed, key=lambda position: -rank_of[candidates[position]])
