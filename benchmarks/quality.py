"""Does skipping pairs cost ranking quality? By a near query's scores, or by what earlier scores have taught.

``python -m benchmarks.quality``
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import evidence, machine, pruning_cells, pruning_report, quality_report
from benchmarks.quality_measure import SEED, Row, measure, overhead, same_cost, summary
from benchmarks.reuse_requests import KNOWN, NEAR, Evidence, Request, crowds, pairs
from benchmarks.reuse_rules import first_by_embedding, first_of_retriever, plain, plain_from, steps_of_five, verified
from benchmarks.trec import RETRIEVERS, check_loader, data_folder, load_topics
from semcache.commands.bootstrap import RESAMPLES
from semcache.flow.policy import ReusePolicy

RESULTS = Path(__file__).parent / "results"
POLICY = ReusePolicy(reuse_threshold=NEAR)
LOWEST = 0.45
BANDS = (LOWEST, 0.60, 0.70, 0.80, 0.90, 0.95, 0.97, 1.01)
CONFIDENCES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
SETTINGS = [(known, depth, top_k) for known in KNOWN for depth in (50, 100) for top_k in (10, 5)]


def main() -> None:
    """Score what is missing, measure, and write the results.

    Scoring takes an hour on one core the first time. A run that was stopped continues where it was.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-scored", action="store_true", help="measure with the scores on disk, score nothing new")
    only_scored = parser.parse_args().only_scored
    topics = load_topics(data_folder())
    retrievers = check_loader(topics)
    if not only_scored:
        evidence.score_missing(topics)
    ours = evidence.load(topics, evidence.CROSS_ENCODER)
    result: dict[str, Any] = {
        "about": {"retrievers": retrievers, "policy": asdict(POLICY), "seed": SEED, "resamples": RESAMPLES}
        | {
            "scored": float(np.mean([np.mean(~np.isnan(topic.scores)) for topic in ours])),
            "machine": machine.describe(),
        },
        "settings": list(_settings(ours)),
        "bands": list(_bands(ours)),
        "kinds": list(_kinds(ours)),
        "confidence": list(_confidence(ours)),
        "halves": list(_halves(ours)),
        "oracles": [row for name in evidence.ORACLES for row in _oracle(name, evidence.load(topics, name))],
        "neighbours": list(_neighbours(ours)),
        "overhead": overhead(POLICY),
        "pruning": pruning_cells.result(topics, ours),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "quality.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "quality.md").write_text(f"{quality_report.markdown(result)}\n{pruning_report.markdown(result)}")
    quality_report.plot(result, RESULTS / "quality.png", lambda axes: pruning_report.plot(axes, result["pruning"]))


def _settings(topics: Sequence[Evidence]) -> Iterator[Row]:
    """Every rule in every setting, over all retrievers and for each."""
    for known, depth, top_k in SETTINGS:
        requests = pairs(topics, known, depth, POLICY.reuse_threshold)
        for retriever in ("any", *RETRIEVERS):
            chosen = [request for request in requests if retriever in ("any", request.retriever)]
            if chosen:
                head = {"known": known, "candidates": depth, "top_k": top_k, "retriever": retriever}
                yield from ({**row, **head} for row in _rules(chosen, top_k))
        print(f"{known}, top {top_k} of {depth}: {len(requests)} requests", flush=True)


def _rules(requests: Sequence[Request], top_k: int) -> Iterator[Row]:
    ours, asked = same_cost(POLICY, requests, top_k)
    yield {"rule": "verified", **ours}
    yield {"rule": "steps of five", **measure(steps_of_five(), requests, top_k)}
    yield {"rule": "plain", **measure(plain, requests, top_k)}
    for threshold in (0.80, 0.90, 0.95, 0.97):
        yield {"rule": f"plain from {threshold:.2f}", **measure(plain_from(threshold), requests, top_k)}
    for name, prefix in (("retriever's first", first_of_retriever), ("embedding's first", first_by_embedding)):
        given = [prefix(request, count) for request, count in zip(requests, asked, strict=True)]
        yield {"rule": f"{name}, same cost", **summary(given, requests, top_k)}


def _bands(topics: Sequence[Evidence]) -> Iterator[Row]:
    """By similarity of the two wordings, also below the default threshold."""
    for known in KNOWN:
        requests = pairs(topics, known, 50, LOWEST)
        for low, high in pairwise(BANDS):
            chosen = [request for request in requests if low <= request.similarity < high]
            for name, rule in (("verified", verified(POLICY)), ("plain", plain)):
                if chosen:
                    yield {"known": known, "low": low, "high": high, "rule": name, **measure(rule, chosen, 10)}


def _kinds(topics: Sequence[Evidence]) -> Iterator[Row]:
    """By how the rewrite was made, and by which of the two wordings is served from the other."""
    requests = pairs(topics, "all", 50, POLICY.reuse_threshold)
    for kind in sorted({request.kind for request in requests}):
        for served in ("original", "rewrite"):
            chosen = [
                request
                for request in requests
                if request.kind == kind and (request.served == 0) == (served == "original")
            ]
            for name, rule in (("verified", verified(POLICY)), ("plain", plain)):
                if chosen:
                    yield {"kind": kind, "served": served, "rule": name, **measure(rule, chosen, 10)}


def _confidence(topics: Sequence[Evidence]) -> Iterator[Row]:
    """By confidence, for the rule of semcache and for the first one."""
    for known in KNOWN:
        requests = pairs(topics, known, 50, POLICY.reuse_threshold)
        for confidence in CONFIDENCES:
            rule = verified(replace(POLICY, confidence=confidence))
            yield {"known": known, "rule": "verified", "confidence": confidence, **measure(rule, requests, 10)}
        for confidence in (0.0, 1.0, 2.0):
            row = measure(steps_of_five(confidence), requests, 10)
            yield {"known": known, "rule": "steps of five", "confidence": confidence, **row}


def _halves(topics: Sequence[Evidence]) -> Iterator[Row]:
    """The confidence that one half of the topics would choose, measured on the other half."""
    for name, chosen, other in (("even", topics[::2], topics[1::2]), ("odd", topics[1::2], topics[::2])):
        confidence = _chosen(pairs(chosen, "all", 50, POLICY.reuse_threshold))
        rule = verified(replace(POLICY, confidence=confidence))
        requests = pairs(other, "all", 50, POLICY.reuse_threshold)
        yield {"chosen_on": name, "confidence": confidence, **measure(rule, requests, 10)}


def _chosen(requests: Sequence[Request]) -> float:
    """The lowest confidence that keeps the mean change at zero or above and loses at most 0.005 where it loses."""
    for confidence in CONFIDENCES:
        row = measure(verified(replace(POLICY, confidence=confidence)), requests, 10)
        if row["change"]["mean"] >= 0 and row["loss"] >= -0.005:
            return confidence
    return CONFIDENCES[-1]


def _oracle(name: str, topics: Sequence[Evidence]) -> Iterator[Row]:
    """The same policy with other rerankers, since none of its values may be fitted to one model."""
    for known in KNOWN:
        for depth in (50, 100):
            requests = pairs(topics, known, depth, POLICY.reuse_threshold)
            for rule_name, rule in (
                ("verified", verified(POLICY)),
                ("steps of five", steps_of_five()),
                ("plain", plain),
            ):
                head = {"oracle": name, "known": known, "candidates": depth, "rule": rule_name}
                if requests:
                    yield {**measure(rule, requests, 10), **head}


def _neighbours(topics: Sequence[Evidence]) -> Iterator[Row]:
    """Several remembered wordings at once, up to 8."""
    for known in KNOWN:
        for most in (1, 2, 4, 8):
            requests = crowds(topics, known, 50, POLICY.reuse_threshold, most)
            if requests:
                yield {**measure(verified(POLICY), requests, 10), "known": known, "neighbours": most}


if __name__ == "__main__":
    main()
