"""Pairs of queries with a label that says whether one may be served with the other's scores, and their similarities."""

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.trec import data_folder

_DATA = Path(__file__).parent.parent / "tests" / "data"
_CACHE = Path(__file__).parent / ".cache"
OWN, CHINESE, REWRITES = "own pairs", "own pairs, Chinese", "TREC rewrites"
LEARNED_FROM, HELD_OUT = "QQP, learned from", "QQP, held out"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two queries. ``may_trust`` is True when people say that one query may be served with the other's scores."""

    set: str
    kind: str
    a: str
    b: str
    may_trust: bool


def own() -> list[Pair]:
    """Pairs written for this project: every kind of difference, and harmless rewordings beside them."""
    return list(_own("guard_pairs.jsonl", OWN))


def chinese() -> list[Pair]:
    """The same in Chinese."""
    return list(_own("guard_pairs_zh.jsonl", CHINESE))


def _own(file: str, name: str) -> Iterator[Pair]:
    for line in (_DATA / file).read_text("utf-8").splitlines():
        row = json.loads(line)
        yield Pair(name, row["kind"], row["a"], row["b"], row["trust_ok"])


def rewrites() -> list[Pair]:
    """TREC DL 2019 queries and rewrites that programs made of them. People judged which still ask the same."""
    path = data_folder() / "ir" / "query_variations" / "variations_trec2019_labeled.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            Pair(REWRITES, row["transformation_type"], row["original_query"], row["variation"], row["valid"] == "True")
            for row in csv.DictReader(lines)
            if row["original_query"] != row["variation"]
        ]


def questions() -> list[Pair]:
    """Quora question pairs. The weighing was learned from the first half; the second half only judges it."""
    with gzip.open(data_folder() / "pairs" / "qqp_part1.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    half = len(rows) // 2
    return [
        Pair(LEARNED_FROM if at < half else HELD_OUT, "question", row["a"], row["b"], row["label"] == 1)
        for at, row in enumerate(rows)
    ]


def similarities(pairs: Sequence[Pair]) -> NDArray[np.float32]:
    """Cosine of the two queries' all-MiniLM-L6-v2 vectors, in float32 by ONNX."""
    from semcache.embedders import SentenceTransformerEmbedder

    embed = SentenceTransformerEmbedder(backend="onnx", threads=1).embed
    texts = sorted({text for pair in pairs for text in (pair.a, pair.b)})
    vectors = np.concatenate([embed(texts[at : at + 1024]) for at in range(0, len(texts), 1024)])
    row = {text: at for at, text in enumerate(texts)}
    ours, theirs = (vectors[[row[getattr(pair, side)] for pair in pairs]] for side in "ab")
    return np.asarray(np.einsum("ij,ij->i", ours, theirs), dtype=np.float32)


def question_similarities(pairs: Sequence[Pair]) -> NDArray[np.float32]:
    """Similarities of all ``questions()``, kept on disk: 72,000 of them take 20 minutes on one core."""
    path = _CACHE / "qqp_part1.similarity.npy"
    if not path.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        np.save(path, similarities(pairs))
    found: NDArray[np.float32] = np.load(path)
    return found
