"""What a rerank does, step by step, without doing it: a generator that asks for steps and is sent their answers.

Theory of operation. ``rerank`` yields the steps of ``steps.py``; whoever drives it carries each step out and sends
the answer back. A cache step that failed is answered as if nothing had been found: the flow never sees the difference.
``Score`` is the one step that cannot be done without; if it raises, the error passes through the flow to the caller.

Scores computed for a query are stored under that query only, and scores taken from a neighbour are never stored, so an
error cannot travel along a chain of neighbours. What a lower rung said is never stored.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from semcache.entries.codec import scores_of
from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import entry_id
from semcache.flow import reuse
from semcache.flow.drift import Floats, Positions
from semcache.flow.requests import Request
from semcache.flow.reuse import ReusePolicy
from semcache.flow.steps import Embed, FindNeighbours, ReadExact, ReadVector, Refuse, Remember, Score, Step
from semcache.protocols import FloatArray, Guard, Scored
from semcache.ranking import Drift, Status


@dataclass(frozen=True, slots=True)
class FlowPolicy:
    """What the flow may do. ``guard`` None trusts by similarity alone; ``reuse`` None looks up exact queries only.

    Without ``trust_near`` no similarity is enough to be served unasked; without ``trust_exact`` even what is remembered
    of this very query is only verified. Both are withdrawn when reuses were seen to cost too much.
    """

    reuse: ReusePolicy | None
    guard: Guard | None = None
    # An embedder reads 256 tokens, of 2 characters or more; two longer texts with the same beginning would look equal.
    max_query_chars: int = 512
    trust_near: bool = True
    trust_exact: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """Cached and fresh scores of the same documents: what the reuse of the nearest neighbour really cost.

    ``id`` and ``cues`` are the neighbour's; ``worst`` is the score, known or expected, of the worst candidate.
    """

    id: str
    similarity: float
    cues: bytes
    cached: Floats
    fresh: Floats
    worst: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The order of a request's distinct texts, best first, with scores by position (None: the retriever's order)."""

    order: Sequence[int]
    scores: Sequence[float] | None
    status: Status
    reranker: str
    reason: str | None = None
    similarity: float | None = None
    asked: int = 0
    reused: int = 0
    rounds: int = 0
    drift: Drift | None = None
    evidence: Evidence | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What the cache knows about a request. ``outcome`` is set when no reranker needs to be asked."""

    exact: Mapping[bytes, float] | None
    vector: FloatArray | None = None
    neighbours: tuple[Neighbour, ...] = ()
    outcome: Outcome | None = None


FindFlow = Generator[Step, Any, Found]
Flow = Generator[Step, Any, Outcome]


def rerank(request: Request, policy: FlowPolicy, reranker: str, *, listwise: bool = False) -> Flow:
    """The whole rerank. A ``listwise`` reranker's order is served whole or not at all, and always asked for whole."""
    if not request.texts:
        return Outcome((), (), Status.EXACT, reranker)
    found = yield from find(request, policy, reranker, listwise=listwise)
    if found.outcome is not None:
        return found.outcome
    if listwise or policy.reuse is None or not found.neighbours:
        return (yield from _ask_unknown(request, policy, found, listwise))
    return (yield from _verify(request, policy, policy.reuse, found, reranker))


def find(
    request: Request,
    policy: FlowPolicy,
    reranker: str,
    *,
    listwise: bool = False,
    vector: FloatArray | None = None,
) -> FindFlow:
    """What the cache knows: exactly this query first, since that needs no embedding; then its neighbours.

    ``vector`` is the query's unit vector, where it is at hand already.
    """
    exact: Mapping[bytes, float] | None = yield ReadExact(request.tenant, request.query)
    is_known = exact is not None
    if not policy.trust_exact:
        exact = None
    if exact is not None:
        scores = scores_of(exact, request.fingerprints)
        if None not in scores:
            return Found(exact, outcome=_known(cast("list[float]", scores), Status.EXACT, reranker))
    if policy.reuse is None or len(request.query) > policy.max_query_chars:
        return Found(exact)
    if vector is None:
        vector = yield from _vector(request, known=is_known)
    if vector is None:
        return Found(exact)
    min_similarity = policy.reuse.reuse_threshold
    near = yield FindNeighbours(request.tenant, vector, min_similarity)
    # This query's own entry is no neighbour: its scores are fresh already, and would pass for drift that is always 0.
    own = None if exact is None else entry_id(request.tenant, request.query)
    near = [one for one in near if one.similarity >= min_similarity and one.id != own]
    threshold = policy.reuse.trust_threshold
    relied_on = (yield from trusted(request, policy, threshold, near)) if policy.trust_near else []
    outcome = _serve_trusted(request, exact, relied_on, reranker, listwise)
    if outcome is not None:
        return Found(exact, vector, outcome=outcome)
    return Found(exact, vector, tuple(neighbour for neighbour in near if _shares(request, neighbour)))


def _vector(request: Request, *, known: bool) -> Generator[Step, Any, FloatArray | None]:
    stored = (yield ReadVector(request.tenant, request.query)) if known else None
    return cast("FloatArray | None", (yield Embed(request.query)) if stored is None else stored)


def _shares(request: Request, neighbour: Neighbour) -> bool:
    return any(fingerprint in neighbour.scores for fingerprint in request.fingerprints)


def trusted(
    request: Request, policy: FlowPolicy, threshold: float, neighbours: Sequence[Neighbour]
) -> Generator[Step, Any, list[Neighbour]]:
    """The neighbours whose scores may be served unasked: similar enough, and the guard sees no difference."""
    similar = [neighbour for neighbour in neighbours if neighbour.similarity >= threshold]
    if not similar or policy.guard is None:
        return similar
    ours = policy.guard.cues(request.query)
    alike = []
    for neighbour in similar:
        difference = policy.guard.difference(ours, neighbour.cues)
        if difference is None:
            alike.append(neighbour)
        else:
            yield Refuse(difference, neighbour.similarity)
    return alike


def _serve_trusted(
    request: Request,
    exact: Mapping[bytes, float] | None,
    trusted: Sequence[Neighbour],
    reranker: str,
    listwise: bool,
) -> Outcome | None:
    """Scores of trusted neighbours, if they cover every document: one entry alone where an order is listwise."""
    if not trusted:
        return None
    sources = [neighbour.scores for neighbour in trusted]
    if listwise:
        sources = [scores for scores in sources if all(fp in scores for fp in request.fingerprints)][:1]
    elif exact is not None:
        sources.insert(0, exact)
    if not sources:
        return None
    scores = scores_of(sources[0], request.fingerprints)
    for known in sources[1:]:
        if None not in scores:
            break
        more = scores_of(known, request.fingerprints)
        scores = [other if score is None else score for score, other in zip(scores, more, strict=True)]
    if None in scores:
        return None
    return _known(cast("list[float]", scores), Status.SEMANTIC, reranker, trusted[0].similarity)


def _known(scores: list[float], status: Status, reranker: str, similarity: float | None = None) -> Outcome:
    return Outcome(best_first(scores), scores, status, reranker, similarity=similarity, reused=len(scores))


def best_first(scores: Sequence[float]) -> list[int]:
    """Positions by falling score; equal scores stay in the caller's order."""
    # reverse=True keeps the order of equal elements, unlike reversing afterwards.
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)


def _ask_unknown(request: Request, policy: FlowPolicy, found: Found, listwise: bool) -> Flow:
    known = {} if listwise or found.exact is None else found.exact
    fresh = _exact_scores(request, known)
    ask = np.flatnonzero(np.isnan(fresh))
    scored = yield from _score(request, ask)
    if scored.reason is not None:
        return answered(request, scored)
    fresh[ask] = scored.scores
    yield _remember(request, policy, found, fresh, ask)
    scores = fresh.tolist()
    status = Status.FRESH if len(ask) == len(scores) else Status.PARTIAL
    asked = len(ask)
    return Outcome(
        best_first(scores), scores, status, scored.reranker, asked=asked, reused=len(scores) - asked, rounds=1
    )


def _verify(request: Request, policy: FlowPolicy, rule: ReusePolicy, found: Found, reranker: str) -> Flow:
    prior = reuse.prior(request.fingerprints, found.neighbours)
    fresh = _exact_scores(request, found.exact or {})
    unknown = np.isnan(fresh)
    rounds = 0
    while (ask := reuse.next_to_ask(prior, fresh, request.top_k, rounds, rule)).size:
        scored = yield from _score(request, ask)
        if scored.reason is not None:
            return answered(request, scored)
        fresh[ask] = scored.scores
        rounds, reranker = rounds + 1, scored.reranker
    asked = np.flatnonzero(unknown & ~np.isnan(fresh))
    if asked.size:
        yield _remember(request, policy, found, fresh, asked)
    settled = reuse.settle(prior, fresh, request.top_k, rule)
    similarity = found.neighbours[0].similarity
    return Outcome(
        settled.order.tolist(),
        settled.scores.tolist(),
        _status(fresh, asked),
        reranker,
        reason=settled.reason,
        similarity=similarity,
        asked=len(asked),
        reused=len(fresh) - len(asked),
        rounds=rounds,
        drift=settled.drift,
        evidence=_evidence(found.neighbours[0], prior, fresh, asked, float(np.nanmin(settled.scores))),
    )


def _status(fresh: Floats, asked: Positions) -> Status:
    if np.isnan(fresh).any():
        return Status.VERIFIED
    return Status.FRESH if len(asked) == len(fresh) else Status.PARTIAL


def _evidence(nearest: Neighbour, prior: reuse.Prior, fresh: Floats, asked: Positions, worst: float) -> Evidence:
    compared = asked[prior.source[asked] == 0]
    return Evidence(nearest.id, nearest.similarity, nearest.cues, prior.scores[compared], fresh[compared], worst)


def _exact_scores(request: Request, known: Mapping[bytes, float]) -> Floats:
    return np.array([known.get(fingerprint, np.nan) for fingerprint in request.fingerprints], dtype=float)


def _score(request: Request, ask: Positions) -> Generator[Step, Any, Scored]:
    return cast("Scored", (yield Score(request.query, request.texts, tuple(ask.tolist()))))


def _remember(request: Request, policy: FlowPolicy, found: Found, fresh: Floats, asked: Positions) -> Remember:
    scores = tuple((request.fingerprints[place], float(fresh[place])) for place in asked.tolist())
    cues = policy.guard.cues(request.query) if policy.guard is not None else b""
    return Remember(request.tenant, request.query, found.vector, scores, cues)


def answered(request: Request, scored: Scored) -> Outcome:
    """What a ladder said about every text: fresh, or degraded with its reason.

    A lower rung's answer always covers every document, since its scores cannot be mixed with the primary's.
    """
    status = Status.FRESH if scored.reason is None else Status.DEGRADED
    count = len(request.texts)
    if scored.scores is None:
        return Outcome(range(count), None, status, scored.reranker, reason=scored.reason)
    scores = scored.scores.tolist()
    return Outcome(
        best_first(scores), scores, status, scored.reranker, reason=scored.reason, asked=count, rounds=min(count, 1)
    )


def remember(
    request: Request,
    policy: FlowPolicy,
    scores: Sequence[tuple[bytes, float]],
    vector: FloatArray | None = None,
    ttl_s: float | None = None,
) -> Generator[Step, Any, bool]:
    """Store scores that were computed for this query elsewhere; whether they were stored."""
    if vector is None and policy.reuse is not None and len(request.query) <= policy.max_query_chars:
        vector = yield Embed(request.query)
    cues = policy.guard.cues(request.query) if policy.guard is not None else b""
    return bool((yield Remember(request.tenant, request.query, vector, tuple(scores), cues, ttl_s)))
