"""Says in one line why an answer has no better status, for people who read a log or a response."""

from collections.abc import Sequence
from math import floor

from semcache.entries.entry import Neighbour, Scores
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.requests import Request
from semcache.flow.reuse import FIRST_ROUND_EXTRA, Learned
from semcache.flow.steps import Refuse
from semcache.protocols import Scored

EXACT_ONLY = "near queries are not looked for"
EXPLORED = "scored whole to measure what pruning costs"

_DEGRADED = {
    "open": "the circuit breaker keeps calls from the primary reranker",
    "busy": "the primary reranker was too busy",
    "deadline": "the primary reranker had not answered when its time was over",
    "error": "the primary reranker failed",
}


def degraded(reason: str, cause: str = "") -> str:
    """Why a lower rung answered. Ladders of the caller's own may have reasons of their own."""
    said = _DEGRADED.get(reason, f"the primary reranker did not answer: {reason}")
    return f"{said} ({cause})" if cause else said


def stood_in(request: Request, known: int, similarity: float | None, scored: Scored) -> str:
    """The origin of the scores that ordered the documents of a degraded answer."""
    source = "this query" if similarity is None else f"near queries (similarity {floor(similarity * 1000) / 1000:.3f})"
    documents = len(request.fingerprints)
    rest = "" if known == documents else f", the others placed among them by {scored.reranker}"
    return f"{known} of {documents} documents by scores remembered of {source}{rest}"


def unavailable(failure: str) -> str:
    """A step of the look-up failed."""
    return f"cache unavailable: {failure}"


def not_embedded(failure: str) -> str:
    """Without a vector of the query no near one can be looked for."""
    return f"query not embedded: {failure}"


def too_long(policy: FlowPolicy) -> str:
    """Queries that an embedder would cut are looked up exactly only."""
    return f"query longer than {policy.max_query_chars} characters: {EXACT_ONLY}"


def none_near(rule: ReusePolicy) -> str:
    """No entry is similar enough to help."""
    return f"no near query: none of similarity {rule.reuse_threshold:g} or more"


def withdrawn(policy: FlowPolicy) -> str:
    """An audit saw that reuse cost too much."""
    return f"trust withdrawn: {policy.withdrawn or 'by an audit'}"


def none_shared(nearest: Neighbour) -> str:
    """Near queries were found, and all their scores are of other documents."""
    return f"nothing shared: no near query knows any of these documents (nearest: similarity {_shown(nearest)})"


def not_trusted(
    request: Request,
    policy: FlowPolicy,
    rule: ReusePolicy,
    near: Sequence[Neighbour],
    alike: Sequence[Neighbour],
    refusal: Refuse | None,
) -> str:
    """Why the scores of near queries were not served unasked. ``alike`` are those that are trusted."""
    if not policy.trust_near:
        return withdrawn(policy)
    if alike:
        return f"the trusted queries know {_known(request, alike)} of {len(request.fingerprints)} documents"
    if refusal is not None:
        return refused(refusal.difference, refusal.similarity)
    if not near[0].is_comparable:
        return f"near by the former embedder alone ({_shown(near[0])}), for which the trust threshold is not meant"
    raised = f" ({withdrawn(policy)})" if policy.withdrawn else ""
    return f"below the trust threshold: {_shown(near[0])} < {rule.trust_threshold:g}{raised}"


def refused(difference: str, similarity: float) -> str:
    """In what the guard sees that a near query differs."""
    return f"guard: {difference} (similarity {similarity:.3f})"


def nothing_skipped(request: Request, neighbours: Sequence[Neighbour], learned: Learned | None = None) -> str:
    """Why every document was asked about, although neighbours know some of them, or something is ``learned``."""
    documents, top_k = len(request.fingerprints), request.top_k
    if documents <= top_k:
        return f"list too short to verify: {documents} documents for a top {top_k}"
    shared = _known(request, neighbours)
    if shared <= top_k + FIRST_ROUND_EXTRA and learned is None:
        return f"too few documents shared to verify: {shared} of {documents} for a top {top_k}"
    return f"every document could still reach the top {top_k}"


def unknown_documents(request: Request, exact: Scores) -> str:
    """The query is known, and some of its documents were not scored for it."""
    documents = len(request.fingerprints)
    unknown = sum(fingerprint not in exact for fingerprint in request.fingerprints)
    return f"{unknown} of {documents} documents were not scored for this query before"


def _known(request: Request, neighbours: Sequence[Neighbour]) -> int:
    """How many documents of the request one of the neighbours has a score of."""
    return sum(any(fingerprint in neighbour.scores for neighbour in neighbours) for fingerprint in request.fingerprints)


def _shown(neighbour: Neighbour) -> str:
    # Rounded down, so that 0.9699 is not shown as equal to the threshold that it is below.
    return f"{floor(neighbour.similarity * 1000) / 1000:.3f}"
