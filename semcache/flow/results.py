"""Whole result lists, as the cache that semcache replaces remembers them: an order of one list of candidates.

A list may be shorter than its candidates (somebody's top_k). Stored are places, 0 for the best, -1 for the next, and a
mark for candidates that are not in the list. A shortened list is served only when every document on it is among the
caller's candidates, since what would follow it is not known.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from semcache.documents import Reader, text_of
from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import InvalidInputError
from semcache.flow.requests import Request, texts_of
from semcache.flow.rerank import FlowPolicy, trusted
from semcache.flow.steps import Embed, FindNeighbours, ReadExact, Step

_LEFT_OUT = -1e30


def places(request: Request, results: Sequence[object], read: Reader = text_of) -> list[tuple[bytes, float]]:
    """What to store: a place for every result, and the mark for every other candidate."""
    candidates = set(request.fingerprints)
    ranked = [document_fingerprint(text) for text in texts_of(results, read)]
    for result, fingerprint in zip(results, ranked, strict=True):
        if fingerprint not in candidates:
            raise InvalidInputError(
                f"the result {result!r:.80} is none of the documents; pass the documents it was chosen from"
            )
    ranked = list(dict.fromkeys(ranked))
    place_of = {fingerprint: float(-place) for place, fingerprint in enumerate(ranked)}
    return [(fingerprint, place_of.get(fingerprint, _LEFT_OUT)) for fingerprint in request.fingerprints]


def find_order(request: Request, policy: FlowPolicy) -> Generator[Step, Any, list[int] | None]:
    """Positions of the request's texts in the remembered order, or None when no entry covers the candidates."""
    exact = yield ReadExact(request.tenant, request.query)
    order = None if exact is None else _order(request, exact)
    if order is not None or policy.reuse is None or len(request.query) > policy.max_query_chars:
        return order
    vector = yield Embed(request.query)
    if vector is None:
        return None
    near: Sequence[Neighbour] = yield FindNeighbours(request.tenant, vector)
    alike = yield from trusted(request, policy, policy.reuse.trust_threshold, near)
    orders = (_order(request, neighbour.scores) for neighbour in alike)
    return next((order for order in orders if order is not None), None)


def _order(request: Request, stored: Mapping[bytes, float]) -> list[int] | None:
    candidates = request.fingerprints
    if any(fingerprint not in stored for fingerprint in candidates):
        return None
    ranked = {fingerprint: place for fingerprint, place in stored.items() if place > _LEFT_OUT}
    is_shortened = len(ranked) < len(stored)
    if is_shortened and not ranked.keys() <= set(candidates):
        return None
    listed = [place for place, fingerprint in enumerate(candidates) if fingerprint in ranked]
    return sorted(listed, key=lambda place: -ranked[candidates[place]])
