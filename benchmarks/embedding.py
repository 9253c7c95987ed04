"""How long does embedding queries take, by backend, one or many at once, and how far do similarities move?"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import experiment, machine, plots, workload
from benchmarks.data import queries
from benchmarks.experiment import ExperimentResult, Target
from benchmarks.timing import ratio, summary, timed
from benchmarks.trec import data_folder, load_topics
from semcache.commands.bench.measuring import Budget, Seconds, take_turns
from semcache.embedders import SentenceTransformerEmbedder
from semcache.embedders.folder import read_folder
from semcache.embedders.graphs import graph_of
from semcache.embedders.onnx import SLOW_OPTIMIZERS
from semcache.models.names import DEFAULT_EMBEDDER, ModelBackend, folder_of, required
from semcache.models.onnx import open_onnx

BACKENDS: tuple[ModelBackend, ...] = ("torch", "onnx", "onnx-int8")
BUDGET = Budget(samples=1000, limit_s=60)
QUICK_BUDGET = Budget(samples=60, limit_s=3)

MANY = 32
MANY_BUDGET = Budget(samples=100, limit_s=20, warm_up=3)
QUICK_MANY_BUDGET = Budget(samples=10, limit_s=2, warm_up=1)

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]


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
    at_once = {
        **{(name, "as it is embedded"): embedder.embed for name, embedder in embedders.items()},
        **{(name, "in one batch"): _in_one_batch(name) for name in BACKENDS if name != "torch"},
    }
    many = _of_many(at_once, texts, QUICK_MANY_BUDGET if quick else MANY_BUDGET)
    alone = {
        name: np.concatenate([embedder.embed([text]) for text in texts[:320]]) for name, embedder in embedders.items()
    }
    return ExperimentResult(
        name="embedding",
        question="What does embedding queries cost, and how far do similarities move?",
        method=(
            "all-MiniLM-L6-v2, real queries, backends alternating. Similarity error: absolute difference to torch of "
            f"the cosine of {len(pairs)} pairs of a query and its rewrite; cosine_to_torch: of the same text. "
            f"{MANY} at once: one call; by ONNX each query is a run of its own, and beside it stands one padded batch. "
            "cosine_to_alone: the lowest, of a text's vector among others to its vector alone."
        ),
        parameters={"budget": budget, "pairs": len(pairs), "many": MANY},
        machine=machine.describe(),
        rows=[
            *(
                {"queries": 1, "backend": name, **summary(found[name]), **_errors(vectors[name], vectors["torch"])}
                for name in BACKENDS
            ),
            *(
                {
                    "queries": MANY,
                    "backend": f"{name}, {way}",
                    **summary(many[name, way]),
                    "cosine_to_alone": _lowest_cosine(embed, texts[: len(alone[name])], alone[name]),
                }
                for (name, way), embed in at_once.items()
            ),
        ],
        targets=[
            Target("embedding one query, torch / onnx-int8", ratio(found["torch"], found["onnx-int8"]), at_least=4),
            Target("embedding one query, torch / onnx", ratio(found["torch"], found["onnx"]), at_least=2),
            *(
                Target(
                    f"{MANY} queries by {name}, a run each / one batch",
                    ratio(many[name, "as it is embedded"], many[name, "in one batch"]),
                    at_most=1.1,
                )
                for name in ("onnx", "onnx-int8")
            ),
        ],
        seed=workload.SEED,
    )


def _of_many(at_once: Mapping[Any, Embed], texts: Sequence[str], budget: Budget) -> dict[Any, Seconds]:
    batches = [texts[start : start + MANY] for start in range(0, len(texts) - MANY, MANY)]
    sides = {key: timed(lambda at, e=embed: e(batches[at % len(batches)])) for key, embed in at_once.items()}
    return take_turns(sides, budget)


def _in_one_batch(backend: ModelBackend) -> Embed:
    """How a graph was run before each text was a run of its own: all texts padded to the longest."""
    folder = read_folder(folder_of(DEFAULT_EMBEDDER, backend, ()))
    graph, tokenizer = graph_of(folder, backend).path, required(folder.transformer, "tokenizer.json")
    model = open_onnx(graph, tokenizer, folder.max_length, 1, unused_optimizers=SLOW_OPTIMIZERS)

    def embed(texts: Sequence[str]) -> Vectors:
        outputs, mask = model.run(model.encode(texts))
        weights = mask[:, :, None].astype(np.float32)
        pooled = (outputs[0] * weights).sum(axis=1) / weights.sum(axis=1)
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), dtype=np.float32)

    return embed


def _lowest_cosine(embed: Embed, texts: Sequence[str], alone: Vectors) -> float:
    among = np.concatenate([embed(texts[start : start + MANY]) for start in range(0, len(texts), MANY)])
    return float((among * alone).sum(axis=1).min())


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
    """p50 of one query by backend."""
    one = {row["backend"]: row["p50_ms"] for row in result.rows if row["queries"] == 1}
    plots.bars(one, path, title="Embedding one query", x="p50, ms")


if __name__ == "__main__":
    experiment.main(measure, plot)
