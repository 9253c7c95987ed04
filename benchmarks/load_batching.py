"""Concurrent callers of one real cross-encoder: a call per request, a lock around the model, semcache's batches."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.data import queries
from semcache import AsyncBatchReranker
from semcache.commands.bench.measuring import Budget, Operation, Seconds, Side, take_turns
from semcache.commands.models import packaged_models
from semcache.models.names import DEFAULT_CROSS_ENCODER, folder_of
from semcache.models.onnx import open_onnx
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers import adapt

CALLERS = {1: 2.0, 8: 2.0, 32: 3.0, 128: 6.0}
QUICK_CALLERS = {1: 0.5, 32: 1.0}
"""Seconds of a round by the number of callers: each has to get several answers."""
ROUNDS, QUICK_ROUNDS = 2, 1
SINGLE, QUICK_SINGLE = Budget(8.0, samples=300, blocks=20, warm_up=3), Budget(1.0, samples=20, blocks=2, warm_up=3)
SHAPES = (2, 8)
"""Texts per request."""
POOL, LOCK, OURS = "a call per request", "a lock around the model", "semcache"

Sides = Mapping[str, "Round"]
Round = Callable[[int, float], tuple[float, Seconds]]
"""(number of callers, seconds) -> requests per second, and the duration of each request."""


def requests(size: int) -> list[tuple[str, list[str]]]:
    """Real queries with so many short texts each: other queries, 1 to 47 words long, half of them up to 8."""
    texts = queries()[:36_000]
    return [(texts[at], list(texts[4000 + at * size : 4000 + (at + 1) * size])) for at in range(4000)]


Score = Callable[[Sequence[Pair]], Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A cross-encoder as its library calls it, as semcache's single caller would call it, and as a reranker."""

    plain: Score
    direct: Score
    reranker: Reranker


@contextmanager
def models() -> Iterator[Mapping[str, Model]]:
    """The packaged cross-encoder, and one of the same architecture by sentence-transformers on torch."""
    packaged = packaged_models().reranker
    with TemporaryDirectory() as folder:
        predict = partial(_torch_model(Path(folder)).predict, show_progress_bar=False)
        yield {
            "onnx int8": Model(_by_onnxruntime(), packaged.score, packaged),
            "torch": Model(predict, predict, adapt(predict.func.__self__)),
        }


def _by_onnxruntime() -> Score:
    """The packaged cross-encoder by onnxruntime with its defaults: a run per call, padded to its longest pair."""
    folder = folder_of(DEFAULT_CROSS_ENCODER, "onnx-int8", ("tokenizer.json",))
    model = open_onnx(folder / "model.onnx", folder / "tokenizer.json", 512, None)
    return lambda pairs: model.run(model.encode(pairs))[0][0].ravel()


def _torch_model(folder: Path) -> Any:
    """MiniLM-L12 with random weights: what a score costs does not depend on them, and no real ones are packaged."""
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    config = BertConfig(
        hidden_size=384, num_hidden_layers=12, num_attention_heads=12, intermediate_size=1536, num_labels=1
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = folder_of(DEFAULT_CROSS_ENCODER, "onnx-int8", ("tokenizer.json",)) / "tokenizer.json"
    BertTokenizerFast(tokenizer_file=str(tokenizer)).save_pretrained(folder)
    return CrossEncoder(str(folder), device="cpu")


def measure(quick: bool) -> dict[str, Any]:
    """Rows by model, texts per request, number of callers and side; and the latencies of a single caller."""
    rows, single = [], []
    with models() as found:
        for name, model in found.items():
            for score in (model.plain, model.direct):
                score([("warm up", "a text")])
            with AsyncBatchReranker(model.reranker) as reranker:
                for size in SHAPES:
                    work = requests(size)
                    head = {"model": name, "texts": size}
                    sides = sides_of(model, reranker, work)
                    for callers, round_s in (QUICK_CALLERS if quick else CALLERS).items():
                        measured = _rounds(sides, callers, round_s, QUICK_ROUNDS if quick else ROUNDS)
                        rows += [{**head, "callers": callers, **row} for row in measured]
                    alone = _alone(model, reranker, work)
                    single.append({**head, "s": take_turns(alone, QUICK_SINGLE if quick else SINGLE)})
    return {"rows": rows, "single": single}


def _rounds(sides: Sides, callers: int, round_s: float, rounds: int) -> list[dict[str, Any]]:
    """Rounds of all sides in turn, A B B A."""
    rates: dict[str, list[float]] = {side: [] for side in sides}
    took: dict[str, list[Seconds]] = {side: [] for side in sides}
    worked_s = dict.fromkeys(sides, 0.0)
    for at in range(rounds):
        for side in list(sides)[:: 1 if at % 2 == 0 else -1]:
            before = process_time()
            rate, durations = sides[side](callers, round_s)
            worked_s[side] += process_time() - before
            rates[side].append(rate)
            took[side].append(durations)
    return [_row(side, rates[side], np.concatenate(took[side]), worked_s[side]) for side in sides]


def sides_of(model: Model, reranker: AsyncBatchReranker, work: Sequence[tuple[str, list[str]]]) -> Sides:
    """All sides by name. Each puts the documents of a request in order."""
    lock = Lock()

    def locked(pairs: Sequence[Pair]) -> object:
        with lock:
            return np.argsort(model.plain(pairs))

    def pairs_of(at: int) -> list[Pair]:
        query, texts = work[at % len(work)]
        return [(query, text) for text in texts]

    return {
        POOL: _threads(lambda at: np.argsort(model.plain(pairs_of(at)))),
        LOCK: _threads(lambda at: locked(pairs_of(at))),
        OURS: _tasks(reranker, work),
    }


def _alone(model: Model, reranker: AsyncBatchReranker, work: Sequence[tuple[str, list[str]]]) -> dict[str, Side]:
    """The model called directly and through semcache, for one caller."""
    scored = {"the model": model.direct, OURS: reranker.score}
    return {
        name: Operation(
            name, prepare=lambda at: [(work[at][0], text) for text in work[at][1]], call=score, is_right=_is_something
        )
        for name, score in scored.items()
    }


def _is_something(scores: FloatArray) -> bool:
    return len(scores) > 0


def _threads(call: Callable[[int], object]) -> Round:
    def one_round(callers: int, round_s: float) -> tuple[float, Seconds]:
        durations: list[float] = []
        started = perf_counter()
        end = started + round_s

        def caller(at: int) -> None:
            while (began := perf_counter()) < end:
                # Fast tokenizers refuse to be used by two threads at once ("Already borrowed"), at times.
                with suppress(RuntimeError):
                    call(at)
                    durations.append(perf_counter() - began)
                at += 1

        with ThreadPoolExecutor(callers) as pool:
            for done in [pool.submit(caller, first * 31) for first in range(callers)]:
                done.result()
        return len(durations) / (perf_counter() - started), np.array(durations)

    return one_round


def _tasks(reranker: AsyncBatchReranker, work: Sequence[tuple[str, list[str]]]) -> Round:
    async def together(callers: int, round_s: float) -> tuple[float, Seconds]:
        durations: list[float] = []
        started = perf_counter()
        end = started + round_s

        async def caller(at: int) -> None:
            while (began := perf_counter()) < end:
                await reranker.rerank_async(*work[at % len(work)], 5)
                durations.append(perf_counter() - began)
                at += 1

        await asyncio.gather(*(caller(first * 31) for first in range(callers)))
        return len(durations) / (perf_counter() - started), np.array(durations)

    return lambda callers, round_s: asyncio.run(together(callers, round_s))


def _row(side: str, rates: Sequence[float], took: Seconds, worked_s: float) -> dict[str, Any]:
    return {
        "side": side,
        "requests_per_s": float(np.mean(rates)),
        "p50_ms": float(np.quantile(took, 0.5)) * 1000,
        "p95_ms": float(np.quantile(took, 0.95)) * 1000,
        "cpu_ms": worked_s * 1000 / len(took),
        "n": len(took),
    }
