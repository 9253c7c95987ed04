"""How long does embedding one query take, by backend, and how far do similarities move?"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import experiment, machine, plots, workload
from benchmarks.data import queries
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import ratio, summary, timed
from benchmarks.trec import data_folder, load_topics
from semcache.commands.bench.measuring import Budget, take_turns
from semcache.embedders import SentenceTransformerEmbedder

BACKENDS = ("torch", "onnx", "onnx-int8")
BUDGET = Budget(samples=1000, limit_s=60)
QUICK_BUDGET = Budget(samples=60, limit_s=3)

Vectors = NDArray[np.float32]


def measure(quick: bool) -> ExperimentResult:
    """Measure the time to embed a real query, and the error of similarities between queries and their rewrites."""
    embedders = {backend: SentenceTransformerEmbedder(backend=backend) for backend in BACKENDS}
    texts = queries()[: workload.HELD_OUT]
    budget = QUICK_BUDGET if quick else BUDGET
    sides = {name: timed(lambda at, e=e: e.embed([texts[at % len(texts)]])) for name, e in embedders.items()}
    found = take_turns(sides, budget)
    topics = load_topics(data_folder())
    pairs = [(query, rewrite) for query, *rewrites in (topic.queries for topic in topics) for rewrite in rewrites]
    pairs = pairs[: 20 if quick else None]
    vectors = {name: _embedded(embedder, pairs) for name, embedder in embedders.items()}
    return ExperimentResult(
        name="embedding",
        question="What does embedding one query cost, and how far do similarities move?",
        method=(
            "all-MiniLM-L6-v2, one real query at a time, backends alternating. Similarity error: absolute difference "
            f"to torch of the cosine of {len(pairs)} pairs of a query and its rewrite; cosine_to_torch: of the same "
            "text's vectors."
        ),
        parameters={"budget": budget, "pairs": len(pairs)},
        machine=machine.describe(),
        rows=[
            {"backend": name, **summary(found[name]), **_errors(vectors[name], vectors["torch"])} for name in BACKENDS
        ],
        targets=[
            Target("embedding one query, torch / onnx-int8", ratio(found["torch"], found["onnx-int8"]), at_least=4),
            Target("embedding one query, torch / onnx", ratio(found["torch"], found["onnx"]), at_least=2),
        ],
        seed=workload.SEED,
    )


def _embedded(embedder: SentenceTransformerEmbedder, pairs: list[tuple[str, str]]) -> tuple[Vectors, Vectors]:
    """Vectors of both sides, one text per call, as a request embeds them."""
    originals, rewrites = (np.concatenate([embedder.embed([pair[side]]) for pair in pairs]) for side in (0, 1))
    return originals, rewrites


def _errors(ours: tuple[Vectors, Vectors], torch: tuple[Vectors, Vectors]) -> dict[str, float]:
    moved = np.abs((ours[0] * ours[1]).sum(axis=1) - (torch[0] * torch[1]).sum(axis=1))
    same = (np.concatenate(ours) * np.concatenate(torch)).sum(axis=1)
    return {
        "error_mean": float(moved.mean()),
        "error_p95": float(np.quantile(moved, 0.95)),
        "error_max": float(moved.max()),
        "cosine_to_torch": float(same.mean()),
    }


def plot(result: ExperimentResult, path: Path) -> None:
    """p50 by backend."""
    plots.bars({row["backend"]: row["p50_ms"] for row in result.rows}, path, title="Embedding one query", x="p50, ms")


if __name__ == "__main__":
    experiment.main(measure, plot)
