"""What does it cost to tell whose scores are whose, and how far do answers of one model differ?"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import experiment, machine
from benchmarks.experiment import ExperimentResult
from benchmarks.timing import summary, timed
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.commands.bench.measuring import Budget, Side, take_turns
from semcache.embedders import SentenceTransformerEmbedder
from semcache.identity.code import read_function
from semcache.identity.pairs import SHORT
from semcache.identity.subjects import EmbedderSubject, RerankerSubject
from semcache.models.content import folder_hint
from semcache.models.memory import settings_hint, weights_hint
from semcache.rerankers import OnnxCrossEncoder, adapt
from semcache.settings import Settings

BUDGET = Budget(samples=100, limit_s=20)
QUICK_BUDGET = Budget(samples=5, limit_s=2)
BATCH_SIZES = (1, 2, 4, 8, 16, 32)


def shared_words(query: str, texts: list[str]) -> list[float]:
    """A function that a user might pass."""
    return [len(set(query.split()) & set(text.split())) for text in texts]


class Weighted:
    """An object of a class that semcache does not know."""

    def __init__(self, weight: int) -> None:
        self.weight = weight

    def score(self, query: str, texts: list[str]) -> list[float]:
        return [self.weight + len(text) for text in texts]


class Vouched:
    """The same as a class of the user's own, which is asked nothing."""

    name, listwise = "vouched", False

    def score(self, pairs: Any) -> Any:
        return np.array([shared_words(query, [text])[0] for query, text in pairs], dtype=np.float32)


def measure(quick: bool) -> ExperimentResult:
    """Measure digests of models, answers to the probes, and the set-up of a reranker that is probed."""
    settings = Settings(cache={"namespace": "identity"}, reuse={"audit_rate": 0})
    with tempfile.TemporaryDirectory() as name, RedisSemanticCache("embedded", settings=settings) as cache:
        folder = Path(name)
        sides = _sides(_cross_encoder(folder), folder, cache)
        found = take_turns(sides, QUICK_BUDGET if quick else BUDGET)
    return ExperimentResult(
        name="identity",
        question="What does it cost to tell whose scores are whose?",
        method=(
            "Each step alone, in turns. The loaded cross-encoder has random weights, 33.4 million in float32, and the "
            "vocabulary of all-MiniLM-L6-v2. Setting up is CachedReranker(reranker, cache); with a new object each "
            "time: two calls of it, a thread, and a look at the records in Redis; a function: by its code; vouched: of "
            "a class that is asked nothing."
        ),
        parameters={"budget": BUDGET, "batch_sizes": BATCH_SIZES},
        machine=machine.describe(),
        rows=[{"step": step, **summary(durations)} for step, durations in found.items()],
        notes=[_noise()],
    )


def _sides(model: Any, folder: Path, cache: RedisSemanticCache) -> Mapping[str, Side]:
    packaged, function = OnnxCrossEncoder(), adapt(shared_words)
    embedder = SentenceTransformerEmbedder()

    return {
        "digest of a function": timed(lambda at: read_function(shared_words)),
        "digest of the weights in memory": timed(lambda at: weights_hint(model)),
        "digest of prompt, configuration and tokenizer in memory": timed(lambda at: settings_hint(model)),
        "digest of the folder's files": timed(lambda at: folder_hint(folder)),
        "probes: a function": timed(lambda at: RerankerSubject(function).ask()),
        "probes: the packaged cross-encoder": timed(lambda at: RerankerSubject(packaged).ask()),
        "probe: the default embedder": timed(lambda at: EmbedderSubject(embedder).ask()),
        "setting up: a method of an unknown object": timed(lambda at: CachedReranker(Weighted(at).score, cache)),
        "setting up: a function": timed(lambda at: CachedReranker(shared_words, cache)),
        "setting up: vouched": timed(lambda at: CachedReranker(Vouched(), cache)),
    }


def _cross_encoder(folder: Path) -> Any:
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from semcache.models.names import find_folder

    torch.manual_seed(0)
    config = BertConfig(hidden_size=384, num_attention_heads=12, intermediate_size=1536, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(find_folder("all-MiniLM-L6-v2", "torch")).save_pretrained(folder)
    return CrossEncoder(str(folder), device="cpu")


def _noise() -> str:
    answers = [OnnxCrossEncoder(batch_size=size).score(SHORT) for size in BATCH_SIZES]
    spread = max(float(np.ptp(scores)) for scores in answers)
    worst = max(float(np.abs(one - other).max()) for one in answers for other in answers)
    return (
        f"The packaged int8 cross-encoder's scores of the probes differ by at most {worst:.2f} between batch sizes, "
        f"{worst / spread:.3f} of their spread of {spread:.1f}."
    )


if __name__ == "__main__":
    experiment.main(measure)
