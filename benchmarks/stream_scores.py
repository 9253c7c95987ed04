"""Scores of real rerankers for the candidates of a stream, computed once and kept on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.oracle import CACHE, Scorer, bge_small, cross_encoder, embedding
from benchmarks.streams import Stream

CROSS_ENCODER, OTHER = "ms-marco-minilm-l12-int8", "bge-small-en-v1.5-int8"
SCORERS: dict[str, Callable[[], Scorer]] = {CROSS_ENCODER: cross_encoder, OTHER: lambda: embedding(bge_small())}
"""The rerankers: the packaged cross-encoder, and similarity by an embedder that is not the cache's."""
_SAVE_EVERY = 100
"""Queries between two writes to the disk; a run that is stopped loses no more than these."""


def recorded(stream: Stream, name: str, depth: int, folder: Path = CACHE / "streams") -> NDArray[np.float32]:
    """Scores of the first ``depth`` candidates, shape (queries, depth), nan for queries that no request asks.

    What is missing is scored now, which takes the cross-encoder half an hour per stream.
    """
    path = folder / f"{name}-{stream.name}.npy"
    scores = np.load(path) if path.exists() else np.full(stream.candidates.shape, np.nan, dtype=np.float32)
    asked = np.unique(stream.requests)
    missing = asked[np.isnan(scores[asked, :depth]).any(axis=1)]
    scorer = SCORERS[name]() if len(missing) else None
    for count, query in enumerate(missing.tolist(), 1):
        texts = [stream.documents[at] for at in stream.candidates[query, :depth]]
        scores[query, :depth] = scorer([stream.queries[query]], texts)[0]
        if count % _SAVE_EVERY == 0 or count == len(missing):
            _save(path, scores)
            print(f"{name}, {stream.name}: {count} of {len(missing)} queries scored", flush=True)
    return scores[:, :depth]


def _save(path: Path, scores: NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, scores)
    partial.replace(path)  # a run that is stopped in between leaves no half-written file
