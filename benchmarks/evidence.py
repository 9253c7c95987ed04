"""Scores, vectors and similarities of every topic, loaded from disk and completed where they are missing."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.oracle import CACHE, Scorer, bge_small, cross_encoder, embedding, minilm, topic_scores
from benchmarks.reuse_requests import Evidence, Floats
from benchmarks.trec import Topic
from semcache.embedders import SentenceTransformerEmbedder

CROSS_ENCODER, EMBEDDER, OTHER_EMBEDDER = "ms-marco-minilm-l12-int8", "all-minilm-l6-v2", "bge-small-en-v1.5-int8"
CUT_CROSS_ENCODER = f"{CROSS_ENCODER}-32"
"""The cross-encoder on the first 32 tokens of query and passage: a cheap reranker for the cascade."""
VECTORS = CACHE.parent / "vectors" / EMBEDDER
ORACLES: dict[str, Callable[[], Scorer]] = {
    EMBEDDER: lambda: embedding(minilm()),
    OTHER_EMBEDDER: lambda: embedding(bge_small()),
    CROSS_ENCODER: cross_encoder,
}
"""The rerankers whose scores are reused, cheapest first."""


def score_missing(topics: Sequence[Topic]) -> None:
    """Score every wording with every document by every oracle. Scores that are on disk are not made again."""
    for name, make in ORACLES.items():
        scorer = make()
        for at, topic in enumerate(topics, 1):
            topic_scores(name, topic, scorer, np.arange(len(topic.documents)))
            print(f"{name}: {at} of {len(topics)} topics scored", flush=True)
    wording_similarities(topics)


def load(topics: Sequence[Topic], oracle: str) -> list[Evidence]:
    """The evidence of every topic. Scores of pairs that were not scored are NaN."""
    similarities = wording_similarities(topics)
    found = []
    for topic in topics:
        queries, documents = topic_vectors(topic)
        found.append(
            Evidence(topic, _stored(oracle, topic), queries @ documents.T, similarities[topic.id], queries, documents)
        )
    return found


def stored_scores(topics: Sequence[Topic], oracle: str) -> dict[str, Floats]:
    """Scores on disk by topic, of shape (wordings, documents); NaN where a pair was not scored."""
    return {topic.id: _stored(oracle, topic) for topic in topics}


def topic_vectors(topic: Topic) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of a topic's wordings and documents, by the embedder of the cache, as ONNX graph."""
    path = VECTORS / f"{topic.id}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        embed = _embedder().embed
        np.savez(partial, queries=embed(topic.queries), documents=embed(topic.documents))
        partial.replace(path)  # a run that is stopped in between leaves no half-written file
    with np.load(path) as stored:
        return stored["queries"], stored["documents"]


@cache
def _embedder() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(backend="onnx", threads=1)


def _stored(oracle: str, topic: Topic) -> Floats:
    return topic_scores(oracle, topic, _nothing, np.arange(0)).astype(float)


def _nothing(queries: Sequence[str], documents: Sequence[str]) -> Floats:
    raise AssertionError("no documents were asked for, so there is nothing to score")


def wording_similarities(topics: Sequence[Topic]) -> dict[str, Floats]:
    """Cosines between the wordings of each topic, by the embedder of the cache."""
    path = CACHE / "wordings.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        encode = minilm()
        vectors = {topic.id: encode(topic.queries) for topic in topics}
        np.savez(path, **{name: rows @ rows.T for name, rows in vectors.items()})
    with np.load(path) as stored:
        return {name: stored[name].astype(float) for name in stored.files}
