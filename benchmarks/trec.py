"""TREC DL 2019 with human-checked rewrites, read from the folder that SEMCACHE_BENCH_DATA names."""

import csv
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RETRIEVERS = ("bm25", "tasb", "splade")
DEPTH = 100
"""Hits per topic in each run file."""

EXPECTED_NDCG = {"bm25": 0.5058, "tasb": 0.7210, "splade": 0.7308}
"""nDCG@10 of the runs as published with them: a loader that gives anything else is wrong."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One information need: its wordings, the original first, and the documents that three retrievers found for it."""

    id: str
    queries: tuple[str, ...]
    kinds: tuple[str, ...]
    documents: tuple[str, ...]
    runs: Mapping[str, NDArray[np.int64]]
    """Positions in ``documents`` of each retriever's hits, best first."""
    run_scores: Mapping[str, NDArray[np.float64]]
    """Each retriever's own scores of its hits, in the same order."""
    grades: NDArray[np.float64]
    """Relevance of each document, 0 to 3; unjudged documents count as 0."""
    ideal: NDArray[np.float64]
    """All positive grades of the topic, best first, judged documents outside the runs included."""


def data_folder() -> Path:
    """The folder with the benchmark data. Ends the program with a hint when it is missing."""
    named = os.environ.get("SEMCACHE_BENCH_DATA", "")
    folder = Path(named or ".")
    if not named or not (folder / "ir" / "trec_dl").is_dir():
        raise SystemExit(
            f"SEMCACHE_BENCH_DATA is {named!r}; set it to the folder that holds ir/trec_dl and ir/query_variations"
        )
    return folder


def load_topics(folder: Path) -> list[Topic]:
    """Every topic with judgments, in the order of the run files."""
    runs = {name: _run(folder / f"ir/trec_dl/runs/{name}_dl19.jsonl.gz") for name in RETRIEVERS}
    texts = {row["id"]: row["text"] for row in _rows(folder / "ir/trec_dl/passages.jsonl.gz")}
    qrels = _qrels(folder / "ir/trec_dl/qrels.dl19-passage.txt")
    rewrites = _rewrites(folder / "ir/query_variations/variations_trec2019_labeled.csv")
    queries = {row["qid"]: row["query"] for row in _rows(folder / "ir/trec_dl/runs/bm25_dl19.jsonl.gz")}
    return [
        _topic(qid, query, rewrites.get(qid, []), {name: run[qid] for name, run in runs.items()}, qrels[qid], texts)
        for qid, query in queries.items()
    ]


def ndcg(order: NDArray[np.int64], topic: Topic, cut: int = 10) -> float:
    """nDCG with linear gain, as trec_eval's ndcg_cut computes it."""
    discounts = 1 / np.log2(np.arange(2, cut + 2))
    gained = topic.grades[order[:cut]]
    best = topic.ideal[:cut]
    return float(gained @ discounts[: len(gained)] / (best @ discounts[: len(best)]))


def check_loader(topics: list[Topic]) -> dict[str, float]:
    """nDCG@10 of each retriever alone. Ends the program when one differs from the published figure."""
    found = {name: float(np.mean([ndcg(topic.runs[name], topic) for topic in topics])) for name in RETRIEVERS}
    for name, value in found.items():
        if abs(value - EXPECTED_NDCG[name]) > 0.0001:
            raise SystemExit(f"nDCG@10 of {name} is {value:.4f}, published {EXPECTED_NDCG[name]}; the data differs")
    return found


def _topic(
    qid: str,
    query: str,
    rewrites: list[tuple[str, str]],
    hits: Mapping[str, list[tuple[str, float]]],
    grades: Mapping[str, int],
    texts: Mapping[str, str],
) -> Topic:
    names = list(dict.fromkeys(name for run in hits.values() for name, _ in run))
    position = {name: at for at, name in enumerate(names)}
    return Topic(
        id=qid,
        queries=(query, *(text for text, _ in rewrites)),
        kinds=("original", *(kind for _, kind in rewrites)),
        documents=tuple(map(texts.__getitem__, names)),
        runs={retriever: np.array([position[name] for name, _ in run]) for retriever, run in hits.items()},
        run_scores={retriever: np.array([score for _, score in run]) for retriever, run in hits.items()},
        grades=np.array([max(grades.get(name, 0), 0) for name in names], dtype=float),
        ideal=np.array(sorted((grade for grade in grades.values() if grade > 0), reverse=True), dtype=float),
    )


def _run(path: Path) -> dict[str, list[tuple[str, float]]]:
    return {row["qid"]: row["hits"][:DEPTH] for row in _rows(path)}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = {}
    for line in path.read_text().splitlines():
        qid, _, name, grade = line.split()
        grades.setdefault(qid, {})[name] = int(grade)
    return grades


def _rewrites(path: Path) -> dict[str, list[tuple[str, str]]]:
    """Valid rewrites by topic, each wording once."""
    found: dict[str, dict[str, str]] = {}
    with path.open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if row["valid"] == "True" and row["variation"].strip() != row["original_query"].strip():
                found.setdefault(row["q_id"], {}).setdefault(row["variation"].strip(), row["transformation_type"])
    return {qid: list(texts.items()) for qid, texts in found.items()}
