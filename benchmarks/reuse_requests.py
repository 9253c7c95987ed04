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
"""(retriever of the request, retriever of the remembered query), by how many candidates are then known."""

NEAR = 0.60
"""Rewrites are served from this similarity on, below the default of ReusePolicy, so that the figures also show what
lower thresholds would do."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One wording with one retriever's candidates, and the scores that the cache has for them."""

    topic: Topic
    served: int
    cached: tuple[int, ...]
    retriever: str
    candidates: NDArray[np.int64]
    truth: Floats
    """Scores of the reranker for the served wording, by candidate."""
    prior: Prior
    cosine: Floats
    """Similarity of each candidate to the served wording by the embedder."""

    @property
    def similarity(self) -> float:
        return float(self.prior.similarity.max())

    @property
    def kind(self) -> str:
        """How the rewrite was made. The other wording of a pair is always the original."""
        return self.topic.kinds[max(self.served, self.cached[0])]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Everything measured once about a topic: scores and cosines by (wording, document), and between wordings.

    ``query_vectors`` and ``document_vectors`` are unit vectors by the embedder of the cache.
    """

    topic: Topic
    scores: Floats
    cosines: Floats
    similarity: Floats
    query_vectors: NDArray[np.float32]
    document_vectors: NDArray[np.float32]

    def is_scored(self, wording: int, documents: NDArray[np.int64]) -> bool:
        return not np.isnan(self.scores[wording, documents]).any()


def pairs(evidence: Sequence[Evidence], known: str, depth: int, reuse_threshold: float) -> list[Request]:
    """Original from rewrite and rewrite from original, one neighbour each."""
    return [
        request
        for measured in evidence
        for retriever, remembered in KNOWN[known]
        for rewrite in range(1, len(measured.topic.queries))
        for served, cached in ((0, rewrite), (rewrite, 0))
        if measured.similarity[served, cached] >= reuse_threshold
        for request in _request(measured, served, {cached: remembered}, retriever, depth)
    ]


def crowds(evidence: Sequence[Evidence], known: str, depth: int, reuse_threshold: float, most: int) -> list[Request]:
    """Every wording served from up to ``most`` of its nearest other wordings at once."""
    requests = []
    for measured in evidence:
        for retriever, remembered in KNOWN[known]:
            for served in range(len(measured.topic.queries)):
                near = [at for at in np.argsort(-measured.similarity[served], kind="stable") if at != served][:most]
                near = [int(at) for at in near if measured.similarity[served, at] >= reuse_threshold]
                if near:
                    requests.extend(_request(measured, served, dict.fromkeys(near, remembered), retriever, depth))
    return requests


def _request(
    evidence: Evidence, served: int, remembered: Mapping[int, str], retriever: str, depth: int
) -> Iterator[Request]:
    """The request, if all its scores are there; after a stopped run some are missing."""
    candidates = evidence.topic.runs[retriever][:depth]
    stored = {wording: evidence.topic.runs[name][:depth] for wording, name in remembered.items()}
    if not all(evidence.is_scored(wording, documents) for wording, documents in stored.items()):
        return
    if evidence.is_scored(served, candidates) and not np.isnan(evidence.cosines[served, candidates]).any():
        prior = _prior(evidence, served, candidates, stored)
        truth = evidence.scores[served, candidates]
        cosine = evidence.cosines[served, candidates]
        yield Request(evidence.topic, served, tuple(remembered), retriever, candidates, truth, prior, cosine)


def _prior(
    evidence: Evidence, served: int, candidates: NDArray[np.int64], stored: Mapping[int, NDArray[np.int64]]
) -> Prior:
    """The prior that ``semcache.flow.reuse.prior`` makes, from columns; ``stored`` has the nearest wording first."""
    scores = np.full(len(candidates), np.nan)
    source = np.full(len(candidates), UNKNOWN, dtype=np.intp)
    for at, (wording, documents) in enumerate(stored.items()):
        new = np.isin(candidates, documents) & (source == UNKNOWN)
        scores[new], source[new] = evidence.scores[wording, candidates[new]], at
    return Prior(scores, source, evidence.similarity[served, list(stored)])
