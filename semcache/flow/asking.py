"""Asks the reranker about what is not known: about all of it, or only about what could be among the best."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np

from semcache.entries.entry import Neighbour
from semcache.entries.fingerprint import settled_mark
from semcache.flow import reuse, why
from semcache.flow.drift import Floats, Positions, expect
from semcache.flow.outcome import Evidence, Found, Outcome, Whole, answered, best_first
from semcache.flow.policy import FlowPolicy, PrunePolicy, ReusePolicy
from semcache.flow.prune import is_explored, is_prunable, learned
from semcache.flow.requests import Request
from semcache.flow.stand_in import Remembered, stand_in
from semcache.flow.steps import Remember, Score, ScoreCheaply, Step
from semcache.protocols import FloatArray, Scored
from semcache.pruning.surrogate import LEARNED
from semcache.ranking import Status

Flow = Generator[Step, Any, Outcome]

DOUBTED_DRIFT = 1.0
"""Drift limit, in standard deviations of the cached scores, for near queries that surely ask something else. Without it
58 of 60 such requests, with candidates of both queries, got another top 5; rewordings are mistaken for them in 2 % of
the pairs of TREC DL 2019 and 2020, and then avoid 8 points less."""


def ask_as_needed(request: Request, policy: FlowPolicy, found: Found, reranker: str) -> Flow:
    """Ask about the documents that could be among the best, as far as neighbours or the surrogate can tell."""
    rule, prune = policy.reuse, policy.prune
    if rule is not None and found.neighbours:
        rule, found = _without_doubted(request, policy, rule, found)
    expected = cheap = None
    # Near hits are corrected by what was learned also while pruning is only measured, or not proven yet: by the cached
    # scores alone, those of another question of the same subject lose a tenth (benchmarks/results/traffic.md).
    is_helped = policy.is_pruning or bool(found.neighbours)
    if rule is not None and prune is not None and is_helped and is_prunable(request):
        if policy.is_pruning and is_explored(request, prune.explore):
            return (yield from ask_about_all(request, policy, replace(found, why=why.EXPLORED), reranker))
        if policy.is_pruning and prune.cascade is not None and not _was_settled(request, prune, rule, found):
            cheap = yield ScoreCheaply(request.query, request.texts)
        expected = yield from learned(
            request,
            policy,
            found.vector,
            found.neighbours,
            completes=policy.is_pruning,
            earlier=found.earlier,
            cheap_scores=cheap,
        )
        if expected is not None and not found.neighbours:
            # What a near query's drift has to do with it says nothing here.
            rule = prune.rule()
    if rule is None or (expected is None and not found.neighbours):
        return (yield from ask_about_all(request, policy, found, reranker))
    outcome = yield from _ask_by_rounds(request, policy, rule, found, expected, reranker)
    return outcome if cheap is None else replace(outcome, cheap_asked=len(request.texts))


def ask_about_all(request: Request, policy: FlowPolicy, found: Found, reranker: str, *, listwise: bool = False) -> Flow:
    """Ask about every document that was not scored for this query; about all of them where the reranker is listwise."""
    # A listwise reranker orders the documents of one call, so ranks from two calls cannot be compared.
    known = _known_scores(request, None if listwise else found.exact)
    unknown = np.flatnonzero(np.isnan(known))
    scored, fresh = yield from _ask(request, known, unknown)
    if scored.reason is not None:
        if listwise:
            return answered(request, scored)
        return (yield from _degraded(request, policy, found, known, scored))
    yield _remember(request, policy, found.vector, fresh, unknown)
    scores = fresh.tolist()
    is_whole = len(unknown) == len(scores)
    return Outcome(
        best_first(scores),
        scores,
        Status.FRESH if is_whole else Status.PARTIAL,
        scored.reranker,
        asked=len(unknown),
        reused=len(scores) - len(unknown),
        rounds=1,
        why=_why(request, found, policy.unpruned),
        whole=Whole(found.vector, found.neighbours) if is_whole and not listwise else None,
    )


def _ask_by_rounds(
    request: Request,
    policy: FlowPolicy,
    rule: ReusePolicy,
    found: Found,
    expected: reuse.Learned | None,
    reranker: str,
) -> Flow:
    prior = reuse.prior(request.fingerprints, found.neighbours, expected)
    least = -inf if request.min_score is None else request.min_score
    known = fresh = _known_scores(request, found.exact)
    rounds = 0
    surely = (-1.0, 0.0) if expected is None else (expected.confidence or 0.0, float(expected.completes))
    mark = _settled_mark(request, rule, *surely)
    # A repetition costs nothing, although the rule, which has learned meanwhile, might ask about some more.
    is_repeated = _is_settled(found.exact, mark, known)
    while not is_repeated and (ask := reuse.next_to_ask(prior, fresh, request.top_k, rounds, rule, least)).size:
        scored, fresh = yield from _ask(request, fresh, ask)
        if scored.reason is not None:
            return (yield from _degraded(request, policy, found, fresh, scored))
        rounds, reranker = rounds + 1, scored.reranker
    asked = np.flatnonzero(np.isnan(known) & ~np.isnan(fresh))
    if asked.size:
        scored_ones = int(np.count_nonzero(np.isfinite(fresh)))
        marks = ((mark, float(scored_ones)),) if scored_ones < len(fresh) else ()
        yield _remember(request, policy, found.vector, fresh, asked, marks)
    settled = reuse.settle(prior, fresh, request.top_k, rule, least)
    skipped = int(np.count_nonzero(np.isnan(fresh) & ~prior.is_cached))
    teaches = bool(found.neighbours) and found.neighbours[0].is_comparable
    status = _status(prior, known, fresh)
    is_skipping = bool(np.isnan(fresh).any())
    return Outcome(
        settled.order.tolist(),
        settled.scores.tolist(),
        status,
        reranker,
        reason=settled.reason,
        similarity=found.neighbours[0].similarity if found.neighbours else None,
        asked=len(asked),
        reused=len(fresh) - len(asked) - skipped,
        rounds=rounds,
        drift=settled.drift,
        why=_why(request, found, "" if is_skipping else why.nothing_skipped(request, found.neighbours, expected)),
        skipped=skipped,
        evidence=_evidence(found, prior, asked, fresh, settled) if teaches else None,
    )


def _degraded(request: Request, policy: FlowPolicy, found: Found, fresh: Floats, scored: Scored) -> Flow:
    """The answer of a lower rung, completed by all that is known about this request.

    ``fresh`` are scores of the primary for this query, nan where there is none.
    """
    near = [neighbour for neighbour in found.neighbours if _is_alike(request, policy, neighbour)]
    expected = None
    if scored.reranker == LEARNED:
        expected = yield from learned(request, policy, found.vector, near, earlier=found.earlier)
    prior = reuse.prior(request.fingerprints, near, expected)
    # Scores of this very query say how far off the others are; where they are known, they stand.
    scores = np.where(np.isnan(fresh), expect(prior, fresh).scores, fresh)
    if expected is not None:
        return replace(answered(request, scored), order=best_first(scores.tolist()), scores=scores.tolist())
    known = int(np.count_nonzero(np.isfinite(fresh) | prior.is_cached))
    similarity = near[0].similarity if prior.is_cached[np.isnan(fresh)].any() else None
    return stand_in(request, scored, Remembered(scores, known, similarity))


def _without_doubted(
    request: Request, policy: FlowPolicy, rule: ReusePolicy, found: Found
) -> tuple[ReusePolicy, Found]:
    """Only the neighbours that do not surely ask something else; if all do, a rule that gives them up sooner.

    "Enable" and "disable" share candidates, and the scores of one say the opposite for the other: those asked about
    first all lose, and by their drift no other document seems to be in reach. Where there is only one round, nothing is
    asked after that, and such neighbours are left out even if there are no others.
    """
    guard = policy.guard
    if guard is None:
        return rule, found
    cues = guard.cues(request.query)
    # Whatever a guard refuses even of equal vectors differs in more than its words.
    differences = [guard.difference(cues, neighbour.cues, 1.0) for neighbour in found.neighbours]
    alike = tuple(near for near, difference in zip(found.neighbours, differences, strict=True) if difference is None)
    if len(alike) == len(differences):
        return rule, found
    if alike or rule.most_rounds == 1:
        said = found.why if alike else why.refused(str(differences[0]), found.neighbours[0].similarity)
        return rule, replace(found, neighbours=alike, why=said)
    return replace(rule, drift_limit=min(DOUBTED_DRIFT, rule.drift_limit or inf)), found


def _is_alike(request: Request, policy: FlowPolicy, neighbour: Neighbour) -> bool:
    """Whether a near query's scores may order documents unverified, as far as the guard and the quality watch say."""
    if not policy.trust_near or policy.guard is None:
        return policy.trust_near
    return policy.guard.difference(policy.guard.cues(request.query), neighbour.cues, neighbour.similarity) is None


def _evidence(found: Found, prior: reuse.Prior, asked: Positions, fresh: Floats, settled: reuse.Settled) -> Evidence:
    """Cached and fresh scores of the documents that the nearest neighbour knows."""
    nearest = found.neighbours[0]
    # Only the nearest neighbour's: what is learned about a similarity has to come from an entry of that similarity.
    compared = asked[prior.source[asked] == 0]
    return Evidence(
        nearest.id,
        nearest.similarity,
        nearest.cues,
        prior.as_cached[compared],
        fresh[compared],
        worst=float(np.nanmin(settled.scores)),
    )


def _known_scores(request: Request, exact: Mapping[bytes, float] | None) -> Floats:
    """The score of each text that was computed for this query earlier; nan where there is none."""
    known = exact or {}
    return np.array([known.get(fingerprint, np.nan) for fingerprint in request.fingerprints], dtype=float)


def _ask(request: Request, fresh: Floats, ask: Positions) -> Generator[Step, Any, tuple[Scored, Floats]]:
    """The reranker's answer for these texts, and the fresh scores with it; ``fresh`` itself stays as it is."""
    scored: Scored = yield Score(request.query, request.texts, tuple(ask.tolist()), request.tenant)
    if scored.reason is None:
        fresh = fresh.copy()
        fresh[ask] = scored.scores
    return scored, fresh


def _settled_mark(request: Request, rule: ReusePolicy, confidence: float, completes: float) -> bytes:
    """Stands for this request in the entry of its query, beside the scores, once it was answered by this rule.

    An answer at a lower confidence, or by what may not be pruned by any more, is not repeated.
    """
    least = -inf if request.min_score is None else request.min_score
    rounds = float(rule.most_rounds)
    return settled_mark(request.fingerprints, request.top_k, least, rule.confidence, rounds, confidence, completes)


def _was_settled(request: Request, prune: PrunePolicy, rule: ReusePolicy, found: Found) -> bool:
    """Whether pruning this request again would ask about nothing."""
    mark = _settled_mark(request, rule if found.neighbours else prune.rule(), prune.confidence, 1.0)
    return _is_settled(found.exact, mark, _known_scores(request, found.exact))


def _is_settled(exact: Mapping[bytes, float] | None, mark: bytes, known: Floats) -> bool:
    """Whether this request was answered before, and all scores of then are still there."""
    return exact is not None and exact.get(mark, inf) <= int(np.count_nonzero(np.isfinite(known)))


def _status(prior: reuse.Prior, known: Floats, fresh: Floats) -> Status:
    if np.isnan(fresh).any():
        return Status.VERIFIED if prior.is_cached.any() else Status.PRUNED
    return Status.PARTIAL if np.isfinite(known).any() else Status.FRESH


def _why(request: Request, found: Found, unskipped: str = "") -> str:
    """Why the answer was not known, and why it had to be asked for whole if it was."""
    unknown = why.unknown_documents(request, found.exact) if found.exact else ""
    return "; ".join(filter(None, (unknown, found.why, unskipped)))


def _remember(
    request: Request,
    policy: FlowPolicy,
    vector: FloatArray | None,
    fresh: Floats,
    asked: Positions,
    marks: tuple[tuple[bytes, float], ...] = (),
) -> Remember:
    scores = tuple((request.fingerprints[position], float(fresh[position])) for position in asked.tolist())
    cues = policy.guard.cues(request.query) if policy.guard is not None else b""
    return Remember(request.tenant, request.query, vector, scores + marks, cues)
