"""What trust costs in ranking: wordings of TREC DL 2019 topics, served unasked with another wording's scores."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.evidence import CROSS_ENCODER, wording_similarities
from benchmarks.oracle import Scorer, cross_encoder, topic_scores
from benchmarks.quality_measure import SEED
from benchmarks.reuse_rules import best_first
from benchmarks.trec import Topic, data_folder, load_topics, ndcg
from semcache.commands.bootstrap import mean_interval
from semcache.guards import CueGuard

TITLE = "Cost in ranking: TREC DL 2019, wordings of one topic, nDCG@10 against fresh scores"
RETRIEVER, DEPTH = "tasb", 50
LOWEST = 0.90
BANDS = ((0.90, 1.01), (0.95, 1.01), (0.97, 1.01), (0.90, 0.95), (0.95, 0.97))


@dataclass(frozen=True, slots=True)
class Request:
    """One wording with another one remembered. ``change`` is that of nDCG@10 if it is served unasked.

    ``is_original`` says that the wording asked is the topic's own; the remembered one is a rewrite then.
    """

    topic: str
    is_original: bool
    similarity: float
    change: float
    is_refused: Mapping[str, bool]


def rows(modes: Mapping[str, CueGuard | None], every: int = 1) -> Iterator[dict[str, Any]]:
    """By band of similarity and mode: how much is served, and what it costs. Takes every ``every``-th topic."""
    topics = load_topics(data_folder())[::every]
    similarity = wording_similarities(load_topics(data_folder()))
    scorer = cross_encoder()
    found = [request for topic in topics for request in _requests(topic, similarity[topic.id], modes, scorer)]
    for low, high in BANDS:
        near = [request for request in found if low <= request.similarity < high]
        for mode in modes:
            yield _row(f"{low:.2f} and up" if high > 1 else f"{low:.2f} to {high:.2f}", mode, near, len(found))


def _row(band: str, mode: str, near: Sequence[Request], all_requests: int) -> dict[str, Any]:
    is_served = np.array([not request.is_refused[mode] for request in near])
    is_original = np.array([request.is_original for request in near])
    plain = np.array([request.change for request in near])
    topics = np.array([request.topic for request in near])
    change, loss = np.where(is_served, plain, 0.0), np.minimum(plain, 0.0)
    return {
        "similarity": band,
        "guard": mode,
        "requests": len(near),
        "topics": len(set(topics)),
        "served unasked, %": _interval(100.0 * is_served, topics, 1),
        "of all from 0.90, %": round(100.0 * float(is_served.sum()) / all_requests, 1),
        "change, originals": _interval(change[is_original], topics[is_original], 4),
        "losses, mean": _interval(np.minimum(change, 0.0), topics, 4),
        "worst 5 %": f"{np.quantile(change, 0.05):.3f}",
        "mean of the worst 5 %": f"{np.sort(change)[: max(1, len(change) // 20)].mean():.3f}",
        "losses of the served": _mean(loss[is_served]),
        "losses that refusals avoid": _mean(loss[~is_served]),
    }


def _mean(changes: np.ndarray) -> str:
    return f"{changes.mean():.4f}" if len(changes) else ""


def _interval(values: np.ndarray, topics: np.ndarray, digits: int) -> str:
    """The mean with its 95 % interval over topics."""
    low, high = mean_interval(values.astype(float), np.ones(len(values)), topics, SEED)
    return f"{values.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _requests(
    topic: Topic, similarity: np.ndarray, modes: Mapping[str, CueGuard | None], scorer: Scorer
) -> Iterator[Request]:
    near = np.argwhere((similarity >= LOWEST) & ~np.eye(len(similarity), dtype=bool))
    candidates = topic.runs[RETRIEVER][:DEPTH]
    wanted = sorted({int(wording) for wording in near[:, 0]})
    scores = topic_scores(CROSS_ENCODER, topic, scorer, candidates, wanted)[:, candidates].astype(float)
    quality = {wording: ndcg(candidates[best_first(scores[wording])], topic) for wording in wanted}
    for served, cached in near.tolist():
        cosine = float(similarity[served, cached])
        refused = {
            mode: guard is not None
            and guard.difference(guard.cues(topic.queries[served]), guard.cues(topic.queries[cached]), cosine)
            is not None
            for mode, guard in modes.items()
        }
        yield Request(topic.id, served == 0, cosine, quality[cached] - quality[served], refused)
