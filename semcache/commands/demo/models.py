"""The models of the demo: packaged ones, so that nothing is downloaded."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from semcache.commands.demo.shelf import CANDIDATES
from semcache.documents import Document
from semcache.embedders.sentence_transformers import SentenceTransformerEmbedder
from semcache.protocols import Embedder, Reranker
from semcache.rerankers.build import build
from semcache.settings import DEFAULT_LADDER


@dataclass(frozen=True, slots=True)
class Models:
    """What the demo embeds with, and the primary reranker."""

    embedder: Embedder
    reranker: Reranker


def load_models() -> Models:
    """all-MiniLM-L6-v2, by onnxruntime where that is installed and else by torch, and the default cross-encoder."""
    embedder = SentenceTransformerEmbedder(backend="onnx" if find_spec("onnxruntime") else "torch")
    return Models(embedder, build(DEFAULT_LADDER[0], embedder))


def usual_latency_s(reranker: Reranker, passages: Sequence[Document]) -> float:
    """The slowest of three calls with as many passages as a request has, after one that is not counted."""
    pairs = [("How does it work?", passage.text) for passage in passages[:CANDIDATES]]
    reranker.score(pairs)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        reranker.score(pairs)
        took.append(time.perf_counter() - started)
    return max(took)
