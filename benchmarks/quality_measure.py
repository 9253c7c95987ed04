"""Measures answers: the change of nDCG against scoring everything afresh, the pairs, and the rounds."""

import time
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np

from benchmarks.reuse_requests import Request
from benchmarks.reuse_rules import Answer, Rule, best_first, verified
from benchmarks.trec import ndcg
from semcache.commands.bootstrap import mean_interval
from semcache.flow.policy import ReusePolicy
from semcache.flow.reuse import Prior, next_to_ask, settle

Row = dict[str, Any]
SEED = 20191120


def summary(given: Sequence[Answer], requests: Sequence[Request], top_k: int) -> Row:
    """nDCG is cut at ``top_k``. ``avoided`` is the share of pairs not scored; intervals are over topics."""
    fresh = np.array([_ndcg(request, best_first(request.truth), top_k) for request in requests])
    ours = np.array([_ndcg(request, answer.order, top_k) for request, answer in zip(requests, given, strict=True)])
    change = ours - fresh
    topics = np.array([int(request.topic.id) for request in requests])
    asked, rounds, stopped = np.array([(answer.asked, answer.rounds, answer.reason is not None) for answer in given]).T
    avoided = 1 - asked / [len(request.truth) for request in requests]
    same_top = [*map(_same_top, requests, given, repeat(top_k))]
    return {
        "requests": len(requests),
        "topics": len(np.unique(topics)),
        "known_share": float(np.mean([np.mean(request.prior.is_cached) for request in requests])),
        "fresh": float(fresh.mean()),
        "change": _mean(change, topics),
        "loss": float(np.minimum(change, 0).mean()),
        "worst": float(np.quantile(change, 0.05)),
        "mean_of_worst": float(np.sort(change)[: max(1, len(change) // 20)].mean()),
        "avoided": _mean(avoided, topics),
        "rounds": float(rounds.mean()),
        "same_top": float(np.mean(same_top)),
        "stopped": float(stopped.mean()),
    }


def measure(rule: Rule, requests: Sequence[Request], top_k: int) -> Row:
    """The summary of a rule's answers."""
    return summary([rule(request, top_k) for request in requests], requests, top_k)


def _mean(values: np.ndarray, topics: np.ndarray) -> Row:
    """A mean with its 95 % interval over topics. Paired differences cancel out how difficult a topic is."""
    low, high = mean_interval(values, np.ones(len(values)), topics, SEED)
    return {"mean": float(values.mean()), "low": low, "high": high}


def overhead(policy: ReusePolicy, documents: int = 100, neighbours: int = 8, runs: int = 300) -> Row:
    """Milliseconds that all decisions of one verified reuse take: every plan and the settling, by clock and by CPU."""
    random = np.random.default_rng(7)
    truth = random.normal(0, 4, documents)
    source = random.integers(0, neighbours, documents)
    prior = Prior(truth + random.normal(0, 1, documents), source, np.linspace(0.95, 0.65, neighbours))
    wall, cpu, rounds = [], [], 0
    for _ in range(runs):
        clock, used = time.perf_counter(), time.process_time()
        fresh, rounds = np.full(documents, np.nan), 0
        while (ask := next_to_ask(prior, fresh, 10, rounds, policy)).size:
            fresh[ask], rounds = truth[ask], rounds + 1
        settle(prior, fresh, 10, policy)
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


def same_cost(policy: ReusePolicy, requests: Sequence[Request], top_k: int) -> tuple[Row, list[int]]:
    """The summary of the verified rule, and the number of pairs that it asked about for each request."""
    rule = verified(policy)
    given = [rule(request, top_k) for request in requests]
    return summary(given, requests, top_k), [answer.asked for answer in given]


def _ndcg(request: Request, order: np.ndarray, top_k: int) -> float:
    return ndcg(request.candidates[order], request.topic, top_k)


def _same_top(request: Request, given: Answer, top_k: int) -> float:
    """Share of the fresh top k that is in this one."""
    return len(np.intersect1d(best_first(request.truth)[:top_k], given.order[:top_k])) / top_k
