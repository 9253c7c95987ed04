"""What an answer is worth: change of nDCG against scoring everything afresh, and the pairs and rounds it took."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.reuse_requests import Request
from benchmarks.reuse_rules import Answer, Rule, best_first, verified
from benchmarks.statistics import clustered_interval, worst
from benchmarks.trec import ndcg
from semcache.flow.reuse import Prior, ReusePolicy, next_to_ask, settle

Row = dict[str, Any]


def answers(rule: Rule, requests: Sequence[Request], top_k: int) -> list[Answer]:
    """One answer per request."""
    return [rule(request, top_k) for request in requests]


def summary(given: Sequence[Answer], requests: Sequence[Request], top_k: int) -> Row:
    """nDCG is cut at ``top_k``. ``avoided`` is the share of pairs not scored; intervals are over topics."""
    fresh = np.array([_ndcg(request, best_first(request.truth), top_k) for request in requests])
    ours = np.array([_ndcg(request, one.order, top_k) for request, one in zip(requests, given, strict=True)])
    change = ours - fresh
    topics = np.array([int(request.topic.id) for request in requests])
    avoided = np.array([1 - one.asked / len(request.truth) for request, one in zip(requests, given, strict=True)])
    return {
        "requests": len(requests),
        "topics": len(np.unique(topics)),
        "known_share": float(np.mean([np.mean(~np.isnan(request.prior.scores)) for request in requests])),
        "fresh": float(fresh.mean()),
        "change": asdict(clustered_interval(change, topics)),
        "loss": float(np.minimum(change, 0).mean()),
        "worst": worst(change),
        "mean_of_worst": float(np.sort(change)[: max(1, len(change) // 20)].mean()),
        "avoided": asdict(clustered_interval(avoided, topics)),
        "rounds": float(np.mean([one.rounds for one in given])),
        "same_top": float(
            np.mean([_same_top(request, one, top_k) for request, one in zip(requests, given, strict=True)])
        ),
        "stopped": float(np.mean([one.reason is not None for one in given])),
    }


def measure(rule: Rule, requests: Sequence[Request], top_k: int) -> Row:
    """A rule's summary."""
    return summary(answers(rule, requests, top_k), requests, top_k)


def overhead(policy: ReusePolicy, documents: int = 100, neighbours: int = 8, runs: int = 300) -> Row:
    """Milliseconds of all decisions of one verified reuse (all plans, and settling), on the clock and of CPU."""
    random = np.random.default_rng(7)
    truth = random.normal(0, 4, documents)
    source = random.integers(0, neighbours, documents)
    prior = Prior(truth + random.normal(0, 1, documents), source, np.linspace(0.95, 0.65, neighbours))
    wall, cpu, rounds = [], [], 0
    for _ in range(runs):
        clock, used = time.perf_counter(), time.process_time()
        rounds = _decide(prior, truth, policy)
        wall.append(1000 * (time.perf_counter() - clock))
        cpu.append(1000 * (time.process_time() - used))
    return {
        "documents": documents,
        "neighbours": neighbours,
        "rounds": rounds,
        "p50_ms": float(np.median(wall)),
        "p95_ms": float(np.quantile(wall, 0.95)),
        "cpu_p50_ms": float(np.median(cpu)),
    }


def _decide(prior: Prior, truth: np.ndarray, policy: ReusePolicy) -> int:
    fresh, rounds = np.full(len(truth), np.nan), 0
    while (ask := next_to_ask(prior, fresh, 10, rounds, policy)).size:
        fresh[ask], rounds = truth[ask], rounds + 1
    settle(prior, fresh, 10, policy)
    return rounds


def same_cost(policy: ReusePolicy, requests: Sequence[Request], top_k: int) -> tuple[Row, list[int]]:
    """The summary of the verified rule, and what it asked for each request."""
    given = answers(verified(policy), requests, top_k)
    return summary(given, requests, top_k), [one.asked for one in given]


def _ndcg(request: Request, order: np.ndarray, top_k: int) -> float:
    return ndcg(request.candidates[order], request.topic, top_k)


def _same_top(request: Request, given: Answer, top_k: int) -> float:
    """Share of the fresh top k that is in this one."""
    return len(np.intersect1d(best_first(request.truth)[:top_k], given.order[:top_k])) / top_k
