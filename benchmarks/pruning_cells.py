"""What pruning saves and loses in every setting of the quality benchmark, beside the alternatives at the same cost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.evidence import CUT_CROSS_ENCODER, OTHER_EMBEDDER, load, stored_scores
from benchmarks.pruning_overhead import overhead
from benchmarks.pruning_requests import Hints, misses, near
from benchmarks.quality_measure import Row, measure, summary
from benchmarks.reuse_requests import NEAR, Evidence, Floats, Request, pairs
from benchmarks.reuse_rules import (
    Answer,
    first_by_embedding,
    first_by_prior,
    first_of_retriever,
    verified,
)
from benchmarks.trec import RETRIEVERS, Topic
from semcache.flow.policy import PrunePolicy, ReusePolicy

DENSE = ("tasb", "splade")
SETTINGS = {"careful": (PrunePolicy().confidence, ReusePolicy().confidence), "eager": (1.65, 0.25)}
"""Confidence (in spreads) for what the surrogate expects, and for what a near query's scores say; the first are the
defaults."""
CONFIDENCES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
PAIR_S, CALL_S = 0.0135, 0.2
"""Seconds: one pair of the packaged cross-encoder on two threads of this kind of machine, and one call of an API."""
CHEAP_SHARES = {CUT_CROSS_ENCODER: 0.48, OTHER_EMBEDDER: 0.76}
"""CPU time of a pair of cheap rerankers, as a share of that of a whole one (84 tokens): 60 pairs, one thread. Of the
embedder that is the passage alone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A kind of request. ``known`` is what share of the candidates a near query's scores are remembered of."""

    known: str
    top_k: int
    candidates: int
    vectors: bool = True
    retrievers: tuple[str, ...] = RETRIEVERS
    careful: float | None = None
    eager: float | None = None

    @property
    def head(self) -> Row:
        """What tells its rows from others."""
        return {
            "known": self.known,
            "candidates": self.candidates,
            "top_k": self.top_k,
            "vectors": "yes" if self.vectors else "no",
            "retriever": "any" if self.retrievers == RETRIEVERS else "dense",
        }

    def requests(
        self, evidence: Sequence[Evidence], cheap: dict[str, Floats] | None = None, *, change: bool = True
    ) -> list[Request]:
        """Its requests, with what the surrogate expects."""
        hints = Hints(self.vectors, cheap, change)
        if self.known == "none":
            return misses(evidence, self.candidates, self.retrievers, hints)
        return near(evidence, self.known, self.candidates, NEAR, hints)


# The shares to avoid are the targets that the benchmark was written for.
CELLS = (
    Cell("none", 10, 50, careful=0.32, eager=0.45),
    Cell("none", 5, 50, careful=0.52, eager=0.62),
    Cell("none", 10, 100, careful=0.52, eager=0.66),
    Cell("none", 5, 100, careful=0.70, eager=0.78),
    Cell("none", 10, 100, vectors=False, retrievers=DENSE, careful=0.45, eager=0.58),
    Cell("two thirds", 10, 50, careful=0.42, eager=0.50),
    Cell("all", 10, 50, careful=0.66, eager=0.72),
    Cell("none", 10, 50, vectors=False),
    Cell("none", 5, 50, vectors=False),
    Cell("none", 10, 100, vectors=False),
    Cell("none", 5, 100, vectors=False),
    Cell("one third", 10, 50),
)


def rule(
    learned: float, cached: float = ReusePolicy().confidence, rounds: int | None = None
) -> Callable[[Request, int], Answer]:
    """The rule of semcache with these confidences. ``rounds`` None takes the most that the flow takes by default."""

    def answer(request: Request, top_k: int) -> Answer:
        default = (ReusePolicy() if request.cached else PrunePolicy().rule()).most_rounds
        ours = verified(ReusePolicy(confidence=cached, max_rounds=rounds or default))
        return ours(replace(request, prior=replace(request.prior, confidence=learned)), top_k)

    return answer


def result(topics: Sequence[Topic], ours: Sequence[Evidence]) -> Row:
    """All figures. ``ours`` is the evidence of the cross-encoder."""
    return {
        "settings": SETTINGS,
        "cells": list(rows(ours)),
        "retrievers": list(by_retriever(ours)),
        "curve": list(by_confidence(ours)),
        "rounds": list(by_rounds(ours)),
        "last_resort": list(last_resort(ours)),
        "oracle": [row for row in rows(load(topics, OTHER_EMBEDDER), CELLS[:7]) if row["rule"] == "pruned"],
        "cascade": [row for name in CHEAP_SHARES for row in cascade(ours, name, stored_scores(topics, name))],
        "pair_s": PAIR_S,
        "call_s": CALL_S,
        "overhead": overhead(ours),
    }


def rows(evidence: Sequence[Evidence], cells: Sequence[Cell] = CELLS) -> Iterator[Row]:
    """Both settings in every cell, and what else could be done with as many pairs."""
    for cell in cells:
        requests = cell.requests(evidence)
        for name, confidences in SETTINGS.items():
            head = cell.head | {"setting": name, "target": getattr(cell, name)}
            found = measure(rule(*confidences), requests, cell.top_k)
            yield head | {"rule": "pruned"} | found
            count = round((1 - found["avoided"]["mean"]) * cell.candidates)
            for prefix, first in FIRSTS.items():
                given = [first(request, count) for request in requests]
                yield head | {"rule": f"{prefix} {count}"} | summary(given, requests, cell.top_k)
        if cell.known != "none":
            unchanged = cell.requests(evidence, change=False)
            for name, confidences in SETTINGS.items():
                head = cell.head | {"setting": name, "rule": "pruned, without the change", "target": None}
                yield head | measure(rule(*confidences), unchanged, cell.top_k)
            reused = pairs(evidence, cell.known, cell.candidates, NEAR)
            yield (
                cell.head
                | {"setting": "reuse alone", "rule": "verified", "target": None}
                | measure(verified(ReusePolicy()), reused, cell.top_k)
            )
        print(cell.head, len(requests), "requests", flush=True)


FIRSTS: dict[str, Callable[[Request, int], Answer]] = {
    "surrogate's first": first_by_prior,
    "retriever's first": first_of_retriever,
    "embedding's first": first_by_embedding,
}


def by_retriever(evidence: Sequence[Evidence]) -> Iterator[Row]:
    """Both settings for each retriever alone."""
    for cell in CELLS[:5]:
        requests = cell.requests(evidence)
        for retriever in cell.retrievers:
            chosen = [request for request in requests if request.retriever == retriever]
            for name, confidences in SETTINGS.items():
                head = cell.head | {"retriever": retriever, "setting": name}
                yield head | measure(rule(*confidences), chosen, cell.top_k)


def by_confidence(evidence: Sequence[Evidence]) -> Iterator[Row]:
    """The whole range between asking everything and asking hardly more than the top k."""
    for cell in CELLS[:5]:
        requests = cell.requests(evidence)
        for confidence in CONFIDENCES:
            yield cell.head | {"confidence": confidence} | measure(rule(confidence), requests, cell.top_k)
        for count in np.linspace(1.2 * cell.top_k, 0.8 * cell.candidates, 7).round().astype(int).tolist():
            for prefix, first in FIRSTS.items():
                given = [first(request, count) for request in requests]
                yield cell.head | {"rule": prefix, "asked": count} | summary(given, requests, cell.top_k)


def by_rounds(evidence: Sequence[Evidence]) -> Iterator[Row]:
    """What more rounds save, in pairs and in time, by a local model and by an API; and one round of a fixed number."""
    for cell in CELLS[:7]:
        requests = cell.requests(evidence)
        alone = pairs(evidence, cell.known, cell.candidates, NEAR) if cell.known != "none" else []
        for rounds in (1, 2, 3, 5, 8):
            for name, confidences in SETTINGS.items():
                head = cell.head | {"most_rounds": rounds, "setting": name}
                found = measure(rule(*confidences, rounds), requests, cell.top_k)
                yield head | {"rule": "pruned"} | _timed(found, cell)
                if rounds == 1:
                    count = round((1 - found["avoided"]["mean"]) * cell.candidates)
                    given = [first_by_prior(request, count) for request in requests]
                    same = summary(given, requests, cell.top_k)
                    yield head | {"rule": f"surrogate's first {count}"} | _timed(same, cell)
            if alone:
                head = cell.head | {"most_rounds": rounds, "setting": "reuse alone", "rule": "verified"}
                yield head | _timed(measure(verified(ReusePolicy(max_rounds=rounds)), alone, cell.top_k), cell)


def _timed(found: Row, cell: Cell) -> Row:
    """With the seconds of the reranker for one request."""
    asked = (1 - found["avoided"]["mean"]) * cell.candidates
    return found | {"local_s": asked * PAIR_S, "api_s": found["rounds"] * CALL_S}


def last_resort(evidence: Sequence[Evidence]) -> Iterator[Row]:
    """Orders without a call of the reranker: what a degraded answer costs."""
    cell = CELLS[0]
    requests = cell.requests(evidence)
    for prefix, first in FIRSTS.items():
        given = [replace(first(request, 0), rounds=0) for request in requests]
        yield {"rule": prefix.replace("'s first", " alone")} | summary(given, requests, 10)


def cascade(evidence: Sequence[Evidence], name: str, cheap: dict[str, Floats]) -> Iterator[Row]:
    """A cheap reranker sees all candidates. ``saved`` is what is avoided less what it costs; ``gained`` what it adds to
    what is avoided without it: a scorer that costs more than that share of a pair does not pay."""
    for cell in CELLS[:4]:
        requests = cell.requests(evidence, cheap)
        helped = {(request.topic.id, request.served, request.retriever) for request in requests}
        unhelped = [
            request
            for request in cell.requests(evidence)
            if (request.topic.id, request.served, request.retriever) in helped
        ]
        for setting, confidences in SETTINGS.items() if requests else ():
            found = measure(rule(*confidences), requests, cell.top_k)
            without = measure(rule(*confidences), unhelped, cell.top_k)
            avoided = found["avoided"]["mean"]
            costs = {"cost": CHEAP_SHARES[name], "saved": avoided - CHEAP_SHARES[name]}
            gained = {"without": without["avoided"]["mean"], "gained": avoided - without["avoided"]["mean"]}
            yield cell.head | {"cheap": name, "setting": setting} | costs | gained | found
