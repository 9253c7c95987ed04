"""Requests whose candidates a surrogate describes that has learned from the other half of the topics."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.reuse_requests import Evidence, Floats, Request, pairs
from semcache.flow.reuse import UNKNOWN, Learned, Prior, with_learned
from semcache.pruning.features import Features, features
from semcache.pruning.likeness import likeness
from semcache.pruning.statistics import Statistics
from semcache.pruning.surrogate import Surrogate

LEAST_REQUESTS = 20
"""Fewer than in service: half of the topics have 21 original wordings, and more is not scored by every reranker."""

Learners = dict[tuple[int, str], Surrogate]
"""By (half of the topics that it is for, retriever)."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What is given beside the texts: ``vectors`` of the documents, and scores of a ``cheap`` reranker, by topic.

    ``change`` moves cached scores by half of the change that the surrogate expects between the two queries.
    """

    vectors: bool = True
    cheap: dict[str, Floats] | None = None
    change: bool = True


def misses(evidence: Sequence[Evidence], depth: int, retrievers: Sequence[str], hints: Hints) -> list[Request]:
    """Every wording with every retriever's candidates; nothing is remembered of any query like it."""
    learners = _learners(evidence, depth, retrievers, hints)
    return [
        _request(each, wording, retriever, depth, hints, learners[half, retriever])
        for half, each in _halves(evidence)
        for retriever in retrievers
        if (half, retriever) in learners
        for wording in _scored(each, retriever, depth, hints)
    ]


def near(evidence: Sequence[Evidence], known: str, depth: int, reuse_threshold: float, hints: Hints) -> list[Request]:
    """The requests of ``pairs``, where the surrogate expects a score of what the neighbour does not know."""
    learners = _learners(evidence, depth, ("bm25", "tasb", "splade"), hints)
    by_topic = {each.topic.id: (half, each) for half, each in _halves(evidence)}
    found = []
    for request in pairs(evidence, known, depth, reuse_threshold):
        half, each = by_topic[request.topic.id]
        if (half, request.retriever) not in learners:
            continue
        learner = learners[half, request.retriever]
        now, alike = _described(each, request.served, request.retriever, depth, hints)
        changes = {}
        if hints.change:
            then, _ = _described(each, request.cached[0], request.retriever, depth, hints)
            changes = {0: learner.change(now, then)}
        learned = Learned(learner.predict(now), alike, changes)
        found.append(replace(request, prior=with_learned(request.prior, learned)))
    return found


def _halves(evidence: Sequence[Evidence]) -> list[tuple[int, Evidence]]:
    return [(position % 2, each) for position, each in enumerate(evidence)]


def _scored(evidence: Evidence, retriever: str, depth: int, hints: Hints) -> list[int]:
    """The wordings whose candidates all have a score, of the cheap reranker, too, where there is one."""
    candidates = evidence.topic.runs[retriever][:depth]
    cheap = hints.cheap and hints.cheap[evidence.topic.id]
    return [
        wording
        for wording in range(len(evidence.topic.queries))
        if evidence.is_scored(wording, candidates) and (cheap is None or not np.isnan(cheap[wording, candidates]).any())
    ]


def _learners(evidence: Sequence[Evidence], depth: int, retrievers: Sequence[str], hints: Hints) -> Learners:
    """One surrogate per half and retriever, as a namespace has one retriever, learned request by request."""
    learners = {}
    for half in (0, 1):
        for retriever in retrievers:
            sums = Statistics.empty()
            for other, each in _halves(evidence):
                for wording in _scored(each, retriever, depth, hints) if other != half else ():
                    known, _ = _described(each, wording, retriever, depth, hints)
                    truth = each.scores[wording, each.topic.runs[retriever][:depth]]
                    # As it learns in service: what it is off by counts from when it can predict anything.
                    learner = Surrogate.of(sums)
                    expected = learner.predict(known) if learner else None
                    sums += Statistics.of(
                        known, truth, *((expected.scores, expected.spread) if expected is not None else ())
                    )
            # None where too little is scored so far: those requests are left out.
            if (learner := Surrogate.of(sums, LEAST_REQUESTS)) is not None:
                learners[half, retriever] = learner
    return learners


def _described(evidence: Evidence, wording: int, retriever: str, depth: int, hints: Hints) -> tuple[Features, Floats]:
    """Features and likeness of the candidates for one wording."""
    topic = evidence.topic
    candidates = topic.runs[retriever][:depth]
    vectors = evidence.document_vectors[candidates] if hints.vectors else None
    known = features(
        topic.queries[wording],
        [topic.documents[position] for position in candidates],
        retrieval_scores=topic.run_scores[retriever][:depth],
        query_vector=evidence.query_vectors[wording],
        document_vectors=vectors,
        cheap_scores=hints.cheap[topic.id][wording, candidates] if hints.cheap else None,
    )
    return known, likeness(known, vectors)


def _request(evidence: Evidence, wording: int, retriever: str, depth: int, hints: Hints, learner: Surrogate) -> Request:
    candidates = evidence.topic.runs[retriever][:depth]
    known, alike = _described(evidence, wording, retriever, depth, hints)
    nothing = Prior(np.full(depth, np.nan), np.full(depth, UNKNOWN, dtype=np.intp), np.empty(0))
    return Request(
        evidence.topic,
        wording,
        (),
        retriever,
        candidates,
        evidence.scores[wording, candidates],
        with_learned(nothing, Learned(learner.predict(known), alike)),
        evidence.cosines[wording, candidates],
    )
