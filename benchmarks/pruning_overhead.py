"""What pruning itself costs one request, in time and bytes."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.reuse_requests import Evidence
from semcache.flow.policy import PrunePolicy
from semcache.flow.replay import replay
from semcache.flow.reuse import UNKNOWN, Learned, Prior, next_to_ask, settle, with_learned
from semcache.pruning.features import Features, features
from semcache.pruning.likeness import likeness
from semcache.pruning.statistics import Statistics
from semcache.pruning.surrogate import Surrogate

Row = dict[str, object]
RUNS = 300
TOP_K = 10


def overhead(evidence: Sequence[Evidence], depth: int = 100) -> Row:
    """Milliseconds of each part for real requests of ``depth`` documents with vectors."""
    each = [(topic, topic.topic.runs["tasb"][:depth]) for topic in evidence]
    each = [(topic, candidates) for topic, candidates in each if topic.is_scored(0, candidates)]
    truths = [topic.scores[0, candidates] for topic, candidates in each]
    vectors = [topic.document_vectors[candidates] for topic, candidates in each]
    texts = [[topic.topic.documents[position] for position in candidates] for topic, candidates in each]
    policy = PrunePolicy().rule()
    nothing = Prior(np.full(depth, np.nan), np.full(depth, UNKNOWN, dtype=np.intp), np.empty(0))

    def described(at: int) -> Features:
        topic = each[at][0]
        given = topic.topic.run_scores["tasb"][:depth].tolist()
        return features(
            topic.topic.queries[0],
            texts[at],
            retrieval_scores=given,
            query_vector=topic.query_vectors[0],
            document_vectors=vectors[at],
        )

    known = [described(at) for at in range(len(each))]
    sums = sum((Statistics.of(*pair) for pair in zip(known, truths, strict=True)), Statistics.empty())
    surrogate = Surrogate(sums)

    def expected(at: int, known: Features) -> Prior:
        return with_learned(nothing, Learned(surrogate.predict(known), likeness(known, vectors[at])))

    def rounds(at: int, prior: Prior) -> None:
        fresh, asked = np.full(depth, np.nan), 0
        while (ask := next_to_ask(prior, fresh, TOP_K, asked, policy)).size:
            fresh[ask], asked = truths[at][ask], asked + 1
        settle(prior, fresh, TOP_K, policy)

    def measured(at: int) -> None:
        now = described(at)
        predicted = surrogate.predict(now)
        prior = with_learned(nothing, Learned(predicted, likeness(now, vectors[at])))
        replay(prior, truths[at], TOP_K, policy)
        Statistics.of(now, truths[at], predicted.scores, predicted.spread)

    priors = [expected(at, known[at]) for at in range(len(each))]
    return {
        "documents": depth,
        "features": _timed(described, len(each)),
        "expected": _timed(lambda at: expected(at, known[at]), len(each)),
        "rounds": _timed(lambda at: rounds(at, priors[at]), len(each)),
        "on": _timed(lambda at: rounds(at, expected(at, described(at))), len(each)),
        "measure": _timed(measured, len(each)),
        "sums_bytes": len(sums.to_bytes()),
        "vector_bytes": 2 * vectors[0].shape[1],
    }


def _timed(call: Callable[[int], object], requests: int) -> dict[str, float]:
    """By clock, and by CPU time, which says more where other processes share the machine."""
    call(0)
    wall, cpu = np.empty(RUNS), np.empty(RUNS)
    for run in range(RUNS):
        clock, used = time.perf_counter(), time.thread_time()
        call(run % requests)
        wall[run], cpu[run] = 1000 * (time.perf_counter() - clock), 1000 * (time.thread_time() - used)
    return {
        "p50_ms": float(np.median(wall)),
        "p95_ms": float(np.quantile(wall, 0.95)),
        "cpu_p50_ms": float(np.median(cpu)),
        "cpu_p95_ms": float(np.quantile(cpu, 0.95)),
    }
