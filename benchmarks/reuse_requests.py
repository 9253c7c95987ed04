"""Requests in which one wording of a topic is served from what was remembered of other wordings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.trec import RETRIEVERS, Topic
from semcache.flow.reuse import UNKNOWN, Prior

Floats = NDArray[np.float64]

KNOWN = {
    "all": tuple((name, name) for name in RETRIEVERS),
    "two thirds": (("tasb", "splade"), ("splade", "tasb")),
    "one third": (("bm25", "splade"), ("splade", "bm25"), ("bm25", "tasb"), ("tasb", "bm25")),
}
"""Whose candidates are served, and whose were remembered: two retrievers agree on a part of their lists."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One wording served with one retriever's candidates, and what the cache knows about them."""

    topic: Topic
    served: int
    cached: tuple[int, ...]
    retriever: str
    candidates: NDArray[np.int64]
    truth: Floats
    """What the reranker says for the served wording, by candidate."""
    prior: Prior
    cosine: Floats
    """Similarity of each candidate to the served wording by the embedder."""

    @property
    def similarity(self) -> float:
        return float(self.prior.similarity.max())

    @property
    def kind(self) -> str:
        """How the rewrite was made; one side of every pair is the original wording."""
        return self.topic.kinds[max(self.served, self.cached[0])]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Everything measured once about a topic: scores and cosines by (wording, document), and between wordings."""

    topic: Topic
    scores: Floats
    cosines: Floats
    similarity: Floats

    def is_scored(self, wording: int, documents: NDArray[np.int64]) -> bool:
        return not np.isnan(self.scores[wording, documents]).any()


def pairs(evidence: Sequence[Evidence], known: str, depth: int, reuse_threshold: float) -> list[Request]:
    """Original from rewrite and rewrite from original, one neighbour each."""
    return [
        request
        for one in evidence
        for retriever, remembered in KNOWN[known]
        for served, cached in _directions(one.topic)
        if one.similarity[served, cached] >= reuse_threshold
        for request in _request(one, served, {cached: remembered}, retriever, depth)
    ]


def crowds(evidence: Sequence[Evidence], known: str, depth: int, reuse_threshold: float, most: int) -> list[Request]:
    """Every wording served from up to ``most`` of its nearest other wordings at once."""
    requests = []
    for one in evidence:
        for retriever, remembered in KNOWN[known]:
            for served in range(len(one.topic.queries)):
                near = [at for at in np.argsort(-one.similarity[served], kind="stable") if at != served][:most]
                near = [int(at) for at in near if one.similarity[served, at] >= reuse_threshold]
                if near:
                    requests.extend(_request(one, served, dict.fromkeys(near, remembered), retriever, depth))
    return requests


def _directions(topic: Topic) -> Iterator[tuple[int, int]]:
    for rewrite in range(1, len(topic.queries)):
        yield 0, rewrite
        yield rewrite, 0


def _request(
    one: Evidence, served: int, remembered: Mapping[int, str], retriever: str, depth: int
) -> Iterator[Request]:
    """The request, if the model has scored all it needs (a stopped run has not)."""
    candidates = one.topic.runs[retriever][:depth]
    stored = {wording: one.topic.runs[name][:depth] for wording, name in remembered.items()}
    if not all(one.is_scored(wording, documents) for wording, documents in stored.items()):
        return
    if one.is_scored(served, candidates) and not np.isnan(one.cosines[served, candidates]).any():
        prior = _prior(one, served, candidates, stored)
        truth = one.scores[served, candidates]
        cosine = one.cosines[served, candidates]
        yield Request(one.topic, served, tuple(remembered), retriever, candidates, truth, prior, cosine)


def _prior(one: Evidence, served: int, candidates: NDArray[np.int64], stored: Mapping[int, NDArray[np.int64]]) -> Prior:
    """As semcache.flow.reuse.prior makes it, from columns instead of entries; ``stored`` has the nearest first."""
    scores = np.full(len(candidates), np.nan)
    source = np.full(len(candidates), UNKNOWN, dtype=np.intp)
    for at, (wording, documents) in enumerate(stored.items()):
        new = np.isin(candidates, documents) & (source == UNKNOWN)
        scores[new], source[new] = one.scores[wording, candidates[new]], at
    return Prior(scores, source, one.similarity[served, list(stored)])
