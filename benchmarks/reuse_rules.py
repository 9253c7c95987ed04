"""Rules for using the scores of a near query: semcache's own, and the alternatives that it has to beat."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.reuse_requests import Floats, Request
from semcache.flow.policy import ReusePolicy
from semcache.flow.reuse import next_to_ask, settle


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """An order of the candidates, the number of pairs that were asked about, and the rounds."""

    order: np.ndarray
    asked: int
    rounds: int
    reason: str | None = None


Rule = Callable[[Request, int], Answer]


def best_first(scores: Floats) -> np.ndarray:
    """Positions by falling score; equal scores keep their order."""
    return np.argsort(-scores, kind="stable")


def fresh(request: Request, top_k: int) -> Answer:
    """No cache: every candidate is scored."""
    return Answer(best_first(request.truth), len(request.truth), 1)


def plain(request: Request, top_k: int) -> Answer:
    """Cached scores as they are; only unknown documents are scored."""
    unknown = np.isnan(request.prior.scores)
    return Answer(
        best_first(np.where(unknown, request.truth, request.prior.scores)), int(unknown.sum()), int(unknown.any())
    )


def plain_from(threshold: float) -> Rule:
    """Plain reuse from a similarity on; below it every candidate is scored."""
    return lambda request, top_k: (plain if request.similarity >= threshold else fresh)(request, top_k)


def verified(policy: ReusePolicy) -> Rule:
    """The rule of semcache, in the same rounds as its flow."""

    def answer(request: Request, top_k: int) -> Answer:
        scores = np.full(len(request.truth), np.nan)
        rounds = asked = 0
        while len(ask := next_to_ask(request.prior, scores, top_k, rounds, policy)):
            scores[ask] = request.truth[ask]
            asked, rounds = asked + len(ask), rounds + 1
        settled = settle(request.prior, scores, top_k, policy)
        return Answer(settled.order, asked, rounds, settled.reason)

    return answer


def steps_of_five(confidence: float = 1.0, start: int = 10, share: float = 0.5) -> Rule:
    """The first rule that verified: a fixed start, then the five most promising at a time, with one drift for all."""

    def answer(request: Request, top_k: int) -> Answer:
        cached, truth = request.prior.scores, request.truth
        known = ~np.isnan(cached)
        asked = ~known
        best = [at for at in best_first(np.where(known, cached, -np.inf)) if known[at]]
        asked[best[:start]] = True
        rounds, room = 1, int(share * len(cached)) - start
        while True:
            center, spread = _shifted(cached, truth, asked & known)
            bar = np.sort(truth[asked])[-top_k] if asked.sum() >= top_k else -np.inf
            ask = [at for at in best if not asked[at] and center[at] + confidence * spread > bar][: min(5, room)]
            if not ask:
                order = np.lexsort((-np.where(asked, truth, center), ~asked))
                return Answer(order, int(asked.sum()), rounds)
            asked[ask] = True
            rounds, room = rounds + 1, room - len(ask)

    return answer


def _shifted(cached: Floats, truth: Floats, both: np.ndarray) -> tuple[Floats, float]:
    """Cached scores shifted by the median drift of those scored on both sides, and the spread of that drift."""
    if not both.any():
        return cached, 0.3
    moved = (truth - cached)[both]
    median = np.median(moved)
    return cached + median, max(0.3, 1.4826 * float(np.median(np.abs(moved - median))))


def first_of_retriever(request: Request, asked: int) -> Answer:
    """No cache: only the retriever's first ``asked`` candidates are scored."""
    return _prefix(request, np.arange(len(request.truth)), asked)


def first_by_embedding(request: Request, asked: int) -> Answer:
    """No cache: only the ``asked`` nearest candidates by embedding are scored."""
    return _prefix(request, best_first(request.cosine), asked)


def first_by_prior(request: Request, asked: int) -> Answer:
    """One round: only the ``asked`` candidates of which the most is expected are scored."""
    return _prefix(request, best_first(request.prior.scores), asked)


def _prefix(request: Request, order: np.ndarray, asked: int) -> Answer:
    head, tail = order[:asked], order[asked:]
    return Answer(np.concatenate([head[best_first(request.truth[head])], tail]), asked, 1)
