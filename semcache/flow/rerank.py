"""One rerank, decided without I/O: a generator that yields steps and is sent their answers.

Theory of operation. ``rerank`` yields the steps of ``steps.py``; a driver (``drive.py``) performs each step and sends
the answer back. The driver answers a cache step that failed as if nothing had been found, so no flow handles failures.
``Score`` is the one step that no rerank can do without: if it raises, the error passes through the flow to the caller.

Scores computed for a query are stored under that query only, and scores taken from a neighbour are never stored, so an
error cannot travel along a chain of neighbours. Scores of a lower rung are never stored.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from semcache.entries.codec import scores_of
from semcache.entries.entry import Neighbour, Scores
from semcache.entries.fingerprint import entry_id
from semcache.flow import why
from semcache.flow.asking import Flow, ask_about_all, ask_as_needed
from semcache.flow.lease import NewLease, ask_once, give_up
from semcache.flow.outcome import Found, Outcome, all_known
from semcache.flow.policy import FlowPolicy, ReusePolicy
from semcache.flow.prune import is_prunable
from semcache.flow.requests import Request
from semcache.flow.steps import Embed, FindNeighbours, Lease, ReadExact, ReadVector, Refuse, Remember, Step
from semcache.protocols import FloatArray
from semcache.ranking import Status

__all__ = ["FindFlow", "Flow", "find", "remember", "rerank", "trusted"]

FindFlow = Generator[Step, Any, Found]


def rerank(
    request: Request,
    policy: FlowPolicy,
    reranker: str,
    *,
    listwise: bool = False,
    is_remote: bool = False,
    new_lease: NewLease | None = None,
) -> Flow:
    """The whole rerank. A ``listwise`` reranker's order is served whole or not at all, and always asked for whole.

    One that ``is_remote`` waits for a service, and is asked as often as ``FlowPolicy.for_service`` says. With
    ``new_lease``, which makes the lease of a request, only one of several processes asks for the same at once.

    Example:
        >>> flow = rerank(checked_request("red", ["a red car"], top_k=1), FlowPolicy(None), "a reranker")
        >>> next(flow), flow.send(None)  # nothing is remembered, so the reranker is asked about document 0
        (ReadExact(tenant='', query='red'), Score(query='red', texts=('a red car',), ask=(0,)))
    """
    if not request.texts:
        return Outcome((), (), Status.EXACT, reranker)
    found = yield from find(request, policy, reranker, listwise=listwise, new_lease=new_lease)
    if (outcome := found.outcome) is None:
        ask: Callable[[Found], Flow]
        if listwise:
            ask = partial(ask_about_all, request, policy, reranker=reranker, listwise=True)
        else:
            ask = partial(ask_as_needed, request, policy.for_service() if is_remote else policy, reranker=reranker)
        if found.lease is None:
            outcome = yield from ask(found)
        else:
            outcome = yield from ask_once(request, found, found.lease, ask, reranker)
    elif outcome.status is Status.EXACT:
        return outcome
    elif found.lease is not None:
        give_up(found.lease)
    return replace(outcome, nearest=found.nearest, embedding_s=found.embedding_s)


def find(
    request: Request,
    policy: FlowPolicy,
    reranker: str,
    *,
    listwise: bool = False,
    vector: FloatArray | None = None,
    new_lease: NewLease | None = None,
) -> FindFlow:
    """Look up what is known: of exactly this query first, since that needs no embedding; then of its neighbours.

    ``vector`` is the query's unit vector if the caller has it. The lease by ``new_lease`` is claimed with the look-up
    of neighbours; without such a look-up it is still to be claimed.
    """
    reading = ReadExact(request.tenant, request.query)
    remembered: Scores | None = yield reading
    # Without trust in exact scores the flow goes on as if there were none, and so learns from them as from a neighbour.
    exact = remembered if policy.trust_exact else None
    if exact is not None:
        scores = scores_of(exact, request.fingerprints)
        if None not in scores:
            return Found(exact, outcome=all_known(cast("list[float]", scores), Status.EXACT, reranker))
    before = why.unavailable(reading.failure) if reading.failure else ""
    if exact is None and remembered is not None:
        before = why.withdrawn(policy)
    # Without trust in exact scores it is no use to wait for some; and no lease where Redis failed just now.
    lease = new_lease(request) if new_lease is not None and policy.trust_exact and not reading.failure else None
    rule = policy.reuse
    if rule is None or len(request.query) > policy.max_query_chars:
        return Found(exact, why=before or (why.EXACT_ONLY if rule is None else why.too_long(policy)), lease=lease)
    if vector is None and remembered is not None:
        vector = yield ReadVector(request.tenant, request.query)
    embedding = Embed(request.query)
    if vector is None:
        vector = yield embedding
        if vector is None:
            unembedded = before or why.not_embedded(embedding.failure)
            return Found(exact, why=unembedded, embedding_s=embedding.took_s, lease=lease)
    found = yield from _find_near(request, policy, rule, exact, vector, reranker, listwise, lease)
    said = before if before and found.outcome is None else found.why
    # A lease that could not be claimed is none: Redis has failed.
    is_claimed = lease is not None and lease.is_ours is not None
    return replace(found, why=said, embedding_s=embedding.took_s, lease=lease if is_claimed else None)


def _find_near(
    request: Request,
    policy: FlowPolicy,
    rule: ReusePolicy,
    exact: Scores | None,
    vector: FloatArray,
    reranker: str,
    listwise: bool,
    lease: Lease | None,
) -> FindFlow:
    """The neighbours of a query of which ``exact`` is known, and whether they answer by themselves."""
    # Read with the neighbours, since a round trip of its own would be longer than the search.
    documents = request.fingerprints if policy.is_pruning and not listwise and is_prunable(request) else ()
    searching = FindNeighbours(request.tenant, vector, rule.reuse_threshold, documents, lease, request.query)
    found: Sequence[Neighbour] = yield searching
    if exact is None and policy.trust_exact:
        # It came after its exact read, or that failed. As a neighbour it would teach that there is no drift.
        exact = _own_entry(request, found)
        if exact is not None and None not in (scores := scores_of(exact, request.fingerprints)):
            return Found(exact, outcome=all_known(cast("list[float]", scores), Status.EXACT, reranker))
    near = _other_entries(request, found, rule.reuse_threshold, is_exact_known=exact is not None)
    reuse = yield from _reuse(request, policy, rule, exact, near, searching, reranker, listwise)
    return replace(reuse, nearest=_nearest(request, found, near, searching.similarities))


def _own_entry(request: Request, found: Sequence[Neighbour]) -> Scores | None:
    """The scores of this very query's entry, if it is among those that a search found."""
    own_id = entry_id(request.tenant, request.query)
    return next((neighbour.scores for neighbour in found if neighbour.id == own_id), None)


def _nearest(
    request: Request, found: Sequence[Neighbour], near: Sequence[Neighbour], similarities: Sequence[float]
) -> float | None:
    """The similarity of the nearest entry of another query, also of one that is too far to be made use of."""
    own_id = entry_id(request.tenant, request.query)
    # Its own entry is among the near ones while it is not trusted.
    for neighbour in near:
        if neighbour.id != own_id:
            return neighbour.similarity
    others = similarities[any(neighbour.id == own_id for neighbour in found) :]
    return others[0] if others else None


def _reuse(
    request: Request,
    policy: FlowPolicy,
    rule: ReusePolicy,
    exact: Scores | None,
    near: list[Neighbour],
    searching: FindNeighbours,
    reranker: str,
    listwise: bool,
) -> FindFlow:
    """Whether the neighbours that a search found answer by themselves, and which others help to."""
    vector = searching.vector
    if not near:
        unfound = why.unavailable(searching.failure) if searching.failure else why.none_near(rule)
        return Found(exact, vector, why=unfound, earlier=searching.earlier)
    # A guard is asked only about neighbours that would be trusted otherwise: each of its refusals is an event.
    alike, refusal = yield from trusted(request, policy, rule.trust_threshold, near)
    outcome = _serve_trusted(request, exact, alike, reranker, listwise)
    if outcome is not None:
        return Found(exact, vector, outcome=outcome)
    sharing = _sharing(request, near)
    if not sharing:
        return Found(exact, vector, why=why.none_shared(near[0]), earlier=searching.earlier)
    untrusted = why.not_trusted(request, policy, rule, near, alike, refusal)
    return Found(exact, vector, sharing, why=untrusted, earlier=searching.earlier)


def _other_entries(
    request: Request, near: Sequence[Neighbour], min_similarity: float, *, is_exact_known: bool
) -> list[Neighbour]:
    # This query's own entry is no neighbour when its scores count as fresh: its drift would always be 0.
    own_id = entry_id(request.tenant, request.query) if is_exact_known else None
    # Flows in lockstep share one search and its lowest bound, so there may be entries that are too far for this one.
    return [neighbour for neighbour in near if neighbour.similarity >= min_similarity and neighbour.id != own_id]


def _sharing(request: Request, near: Sequence[Neighbour]) -> tuple[Neighbour, ...]:
    """Those that have a score of any of the documents; the others teach nothing."""
    return tuple(
        neighbour for neighbour in near if any(fingerprint in neighbour.scores for fingerprint in request.fingerprints)
    )


def trusted(
    request: Request, policy: FlowPolicy, threshold: float, neighbours: Sequence[Neighbour]
) -> Generator[Step, Any, tuple[list[Neighbour], Refuse | None]]:
    """The neighbours whose scores may be served unasked: known to be similar enough, and the guard sees no difference.

    With them comes the guard's refusal of the nearest that it refused.
    """
    if not policy.trust_near:
        return [], None
    similar = [neighbour for neighbour in neighbours if neighbour.is_comparable and neighbour.similarity >= threshold]
    if not similar or policy.guard is None:
        return similar, None
    cues = policy.guard.cues(request.query)
    alike = []
    refusal: Refuse | None = None
    for neighbour in similar:
        difference = policy.guard.difference(cues, neighbour.cues, neighbour.similarity)
        if difference is None:
            alike.append(neighbour)
        else:
            refused = Refuse(difference, neighbour.similarity)
            yield refused
            refusal = refusal or refused
    return alike, refusal


def _serve_trusted(
    request: Request, exact: Scores | None, trusted: Sequence[Neighbour], reranker: str, listwise: bool
) -> Outcome | None:
    """The outcome by scores of trusted neighbours, if they cover every document.

    Its similarity is that of the nearest of which a score was used.
    """
    fingerprints = request.fingerprints
    if listwise:
        # Ranks in two orders cannot be compared, so one entry alone has to know every document.
        for neighbour in trusted:
            scores = scores_of(neighbour.scores, fingerprints)
            if None not in scores:
                return all_known(cast("list[float]", scores), Status.SEMANTIC, reranker, neighbour.similarity)
        return None
    # Scores of this very query come before those of the nearest neighbour, and those before a farther one's.
    merged = [None] * len(fingerprints) if exact is None else scores_of(exact, fingerprints)
    nearest: float | None = None
    for neighbour in trusted:
        before, scores = merged, scores_of(neighbour.scores, fingerprints)
        merged = [other if score is None else score for score, other in zip(before, scores, strict=True)]
        if nearest is None and merged != before:
            nearest = neighbour.similarity
        if None not in merged:
            return all_known(cast("list[float]", merged), Status.SEMANTIC, reranker, nearest)
    return None


def remember(
    request: Request,
    policy: FlowPolicy,
    scores: Sequence[tuple[bytes, float]],
    vector: FloatArray | None = None,
    ttl_s: float | None = None,
) -> Generator[Step, Any, bool]:
    """Store scores that were computed for this query elsewhere. Returns True if they were stored."""
    if vector is None and policy.reuse is not None and len(request.query) <= policy.max_query_chars:
        vector = yield Embed(request.query)
    cues = policy.guard.cues(request.query) if policy.guard is not None else b""
    return bool((yield Remember(request.tenant, request.query, vector, tuple(scores), cues, ttl_s)))
