"""Two real streams of requests that hardly repeat: questions to an FAQ search, and web queries to TREC's passages."""

import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.trec import data_folder
from semcache.embedders import SentenceTransformerEmbedder

SEED = 20_050_601
CACHE = Path(__file__).parent / ".cache" / "vectors"
_PART = 256

FAQ_CORPUS = 15_000
FAQ_REQUESTS = 3_200
FAQ_DEPTH = 100
FAQ_SKEW = 0.5
"""Exponent of the Zipf law by which questions are asked again: about a fifth of the requests repeat an earlier one,
near the 15 % of the web log."""

WEB_REQUESTS = 1_000
WEB_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests in order, each a row of ``queries``; and the candidates of each query, nearest first.

    ``requests`` has shape (requests,), ``candidates`` and ``cosines`` shape (queries, depth): positions in
    ``documents``, and similarities of query and document by all-MiniLM-L6-v2.
    """

    name: str
    documents: tuple[str, ...]
    queries: tuple[str, ...]
    requests: NDArray[np.int64]
    candidates: NDArray[np.int64]
    cosines: NDArray[np.float32]
    query_vectors: NDArray[np.float32]
    document_vectors: NDArray[np.float32]


@cache
def faq() -> Stream:
    """Questions that people marked as asking the same as one of the corpus, worded in another way.

    No question of the stream is in the corpus. Which one is asked follows Zipf's law.
    """
    corpus: dict[str, None] = {}
    asked: dict[str, None] = {}
    rows = list(_question_pairs())
    for row in rows:
        if row["label"] and len(corpus) < FAQ_CORPUS:
            corpus.setdefault(row["a"])
    for row in rows:
        if len(corpus) < FAQ_CORPUS:
            corpus.setdefault(row["a"])
    for row in rows:
        if row["label"] and row["a"] in corpus and row["b"] not in corpus:
            asked.setdefault(row["b"])
    random = np.random.default_rng(SEED)
    queries = tuple(np.array(list(asked), dtype=object)[random.permutation(len(asked))])
    weights = np.arange(1, len(queries) + 1) ** -FAQ_SKEW
    drawn = random.choice(len(queries), FAQ_REQUESTS, p=weights / weights.sum())
    used, requests = np.unique(drawn, return_inverse=True)
    return _stream("faq", tuple(corpus), tuple(queries[at] for at in used), requests, FAQ_DEPTH)


@cache
def web() -> Stream:
    """Consecutive queries of a web log against passages that mostly do not answer them."""
    folder = data_folder()
    with gzip.open(folder / "ir/trec_dl/passages.jsonl.gz", "rt", encoding="utf-8") as lines:
        passages = tuple(json.loads(line)["text"] for line in lines)
    with gzip.open(folder / "queries/web_stream_part1.txt.gz", "rt", encoding="utf-8") as lines:
        log = [line.strip() for line in lines]
    start = int(np.random.default_rng(SEED).integers(0, len(log) - WEB_REQUESTS))
    asked = log[start : start + WEB_REQUESTS]
    position = {query: at for at, query in enumerate(dict.fromkeys(asked))}
    return _stream("web", passages, tuple(position), np.array([position[query] for query in asked]), WEB_DEPTH)


def _question_pairs() -> list[dict[str, str | int]]:
    path = data_folder() / "pairs" / "qqp_part1.jsonl.gz"
    if not path.is_file():
        sys.exit(f"{path} is missing; SEMCACHE_BENCH_DATA must name the folder that holds it")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _stream(
    name: str, documents: Sequence[str], queries: Sequence[str], requests: NDArray[np.int64], depth: int
) -> Stream:
    ours, theirs = _embedded(queries), _embedded(documents)
    cosines = ours @ theirs.T
    candidates = np.argsort(-cosines, axis=1, kind="stable")[:, :depth]
    near = np.take_along_axis(cosines, candidates, axis=1)
    return Stream(name, tuple(documents), tuple(queries), requests, candidates, near, ours, theirs)


def _embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors, shape (texts, 384). They are kept on disk in parts, so that a stopped run can go on."""
    embedder = SentenceTransformerEmbedder(backend="onnx", threads=1)
    name = blake2b("\0".join((embedder.name, *texts)).encode(), digest_size=8).hexdigest()
    return np.concatenate([_part(embedder, texts, start, name) for start in range(0, len(texts), _PART)])


def _part(embedder: SentenceTransformerEmbedder, texts: Sequence[str], start: int, name: str) -> NDArray[np.float32]:
    path = CACHE / f"{name}-{start:06d}.npy"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, embedder.embed(texts[start : start + _PART]))
        partial.replace(path)
    return np.load(path)
