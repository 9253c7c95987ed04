"""Results of flows, by distinct text of the request, and the results that callers get, by their own documents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from semcache.entries.entry import Neighbour, Scores
from semcache.events import Reranked
from semcache.flow.drift import Floats
from semcache.flow.requests import Request, by_position, caller_positions
from semcache.flow.steps import Lease
from semcache.flow.why import degraded
from semcache.protocols import FloatArray, Scored
from semcache.ranking import Drift, Ranking, Status

D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Cached and fresh scores of the same documents: what the reuse of the nearest neighbour really cost.

    ``id`` and ``cues`` are the neighbour's. ``worst`` is the lowest score of all candidates, fresh or expected.
    """

    id: str
    similarity: float
    cues: bytes
    cached: Floats
    fresh: Floats
    worst: float


@dataclass(frozen=True, slots=True)
class Whole:
    """A request whose documents were all scored now, which shows what pruning it would have cost.

    ``vector`` is the query's, and ``neighbours`` are the near queries that were not made use of.
    """

    vector: FloatArray | None
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The order of a request's distinct texts, best first, as positions in ``Request.texts``.

    ``scores`` are by position, None for the retriever's order. The other fields are those of the Ranking.
    """

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
    why: str = ""
    skipped: int = 0
    cheap_asked: int = 0
    # For events only: see ``Reranked``.
    nearest: float | None = field(default=None, repr=False)
    embedding_s: float | None = field(default=None, repr=False)
    # For the audit only; a caller never sees them.
    evidence: Evidence | None = field(default=None, repr=False)
    whole: Whole | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a look-up. ``outcome`` is set when no reranker needs to be asked; else ``why`` says why not.

    ``exact`` are all scores remembered of this very query. ``neighbours`` have a score of any of the documents.
    ``earlier`` is how much better than the others each document scored for other queries, where that was read.
    ``nearest`` is the similarity of the nearest entry of another query, however far, where one was looked for, and
    ``embedding_s`` the seconds that the query took to embed, where it was. The ``lease``, if there is one,
    is what a reranker may be asked by.
    """

    exact: Scores | None
    vector: FloatArray | None = None
    neighbours: tuple[Neighbour, ...] = ()
    outcome: Outcome | None = None
    why: str = ""
    earlier: Floats | None = None
    nearest: float | None = None
    embedding_s: float | None = None
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The known scores of a caller's documents.

    ``scores`` has one score per document, None where unknown. ``status`` is EXACT or SEMANTIC when every score is
    known, PARTIAL when this query is known but not every document, None for a miss. ``similarity`` is the cosine of the
    nearest entry that may be reused. ``why`` says why not every score is known.
    """

    scores: tuple[float | None, ...]
    status: Status | None
    similarity: float | None
    why: str = ""


def all_known(scores: list[float], status: Status, reranker: str, similarity: float | None = None) -> Outcome:
    """The outcome of a request of which every score was known."""
    return Outcome(best_first(scores), scores, status, reranker, similarity=similarity, reused=len(scores))


def best_first(scores: Sequence[float]) -> list[int]:
    """Positions by falling score; equal scores stay in the caller's order."""
    # reverse=True keeps the order of equal elements, unlike reversing afterwards.
    return sorted(range(len(scores)), key=scores.__getitem__, reverse=True)


def in_order_of(found: Lookup, documents: Sequence[D]) -> list[D] | None:
    """The caller's documents by falling score; None unless every score is known."""
    if found.status not in (Status.EXACT, Status.SEMANTIC) or None in found.scores:
        return None
    documents = by_position(documents)
    return [documents[position] for position in best_first(cast("Sequence[float]", found.scores))]


def answered(request: Request, scored: Scored) -> Outcome:
    """The outcome when a ladder was asked about every text: fresh, or degraded with its reason."""
    status, why = (
        (Status.FRESH, "") if scored.reason is None else (Status.DEGRADED, degraded(scored.reason, scored.cause))
    )
    count = len(request.texts)
    # The retriever's order: no pair was sent to a model, whatever the rungs above tried.
    if scored.scores is None:
        return Outcome(range(count), None, status, scored.reranker, reason=scored.reason, why=why)
    scores, rounds = scored.scores.tolist(), min(count, 1)
    return Outcome(
        best_first(scores), scores, status, scored.reranker, scored.reason, asked=count, rounds=rounds, why=why
    )


def lookup(request: Request, found: Found) -> Lookup:
    """The result of a look-up by the caller's documents."""
    scores: Sequence[float | None]
    status: Status | None
    if found.outcome is not None:
        scores, status, similarity = found.outcome.scores or (), found.outcome.status, found.outcome.similarity
    else:
        known = found.exact or {}
        scores = list(map(known.get, request.fingerprints))
        status = Status.PARTIAL if found.exact else None
        similarity = found.neighbours[0].similarity if found.neighbours else None
    # A text that came twice has its score at both places.
    if not isinstance(request.text_positions, range):
        scores = list(map(scores.__getitem__, request.text_positions))
    return Lookup(tuple(scores), status, similarity, found.why)


def ranking(request: Request, documents: Sequence[D], outcome: Outcome) -> Ranking[D]:
    """The best ``top_k`` of the caller's own documents, equal texts side by side in the caller's order.

    Documents below the request's ``min_score`` are left out, unless a lower rung answered.

    Example:
        >>> request = checked_request("red", ["a red car", "the moon"], top_k=1)
        >>> scored = Scored(np.array([0.2, 0.9], dtype=np.float32), "a reranker")
        >>> list(ranking(request, ["a red car", "the moon"], answered(request, scored)))
        ['the moon']
    """
    positions = request.text_positions
    best = caller_positions(positions, outcome.order)[: request.top_k]
    scores = outcome.scores
    # Scores of a lower rung are of another scale.
    if request.min_score is not None and scores is not None and outcome.status is not Status.DEGRADED:
        best = [index for index in best if scores[positions[index]] >= request.min_score]
    # Only now, with the caller's own objects: callers that shared one computation each get theirs.
    documents = by_position(documents)
    return Ranking(
        documents=tuple(documents[index] for index in best),
        indices=tuple(best),
        scores=None if scores is None else tuple(scores[positions[index]] for index in best),
        status=outcome.status,
        reranker=outcome.reranker,
        reason=outcome.reason,
        similarity=outcome.similarity,
        asked=outcome.asked,
        reused=outcome.reused,
        rounds=outcome.rounds,
        drift=outcome.drift,
        why=outcome.why,
        skipped=outcome.skipped,
        cheap_asked=outcome.cheap_asked,
    )


def saved_time_s(outcome: Outcome, call_cost: tuple[float, float] | None) -> float | None:
    """Seconds that the primary would have taken for the pairs that it was not asked about; None if unknown.

    ``call_cost`` is what one of its calls takes whatever is asked, and what it takes for each pair. A cheaper reranker
    that helped is not counted.

    Example:
        >>> exact = Outcome([0], [2.5], Status.EXACT, "a reranker", reused=1)
        >>> saved_time_s(exact, (0.01, 0.005))
        0.015
    """
    if call_cost is None or outcome.status is Status.DEGRADED:
        return None
    fixed_s, per_pair_s = call_cost
    unasked = outcome.reused + outcome.skipped
    # Without documents there would have been no call.
    return unasked * per_pair_s + (1 - outcome.rounds) * fixed_s if unasked else 0.0


def pairs_scored(outcomes: Iterable[Outcome]) -> int:
    """How many pairs the primary has scored; not those of degraded requests, of which nothing is remembered."""
    return sum(outcome.asked for outcome in outcomes if outcome.status is not Status.DEGRADED)


def as_shared(outcome: Outcome) -> Outcome:
    """The outcome as it counts for a request that waited for the computation of an equal one, where its pairs count."""
    is_degraded = outcome.status is Status.DEGRADED
    reused = outcome.reused if is_degraded else outcome.reused + outcome.asked
    return replace(outcome, asked=0, reused=reused, rounds=0, cheap_asked=0, embedding_s=None)


def reranked(
    request: Request,
    outcome: Outcome,
    duration_s: float,
    redis_s: float | None = None,
    saved_s: float | None = None,
    *,
    captures_query: bool = False,
) -> Reranked:
    """The event of an answered request."""
    return Reranked(
        status=outcome.status,
        reason=outcome.reason,
        reranker=outcome.reranker,
        tenant=request.tenant,
        documents=len(request.text_positions),
        asked=outcome.asked,
        reused=outcome.reused,
        rounds=outcome.rounds,
        similarity=outcome.similarity,
        drift=None if outcome.drift is None else outcome.drift.median,
        duration_s=duration_s,
        why=outcome.why,
        skipped=outcome.skipped,
        cheap_asked=outcome.cheap_asked,
        nearest=outcome.nearest,
        redis_s=redis_s,
        embedding_s=outcome.embedding_s,
        saved_s=saved_s,
        top_k=request.top_k,
        query=request.query if captures_query else None,
    )
