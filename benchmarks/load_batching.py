"""Concurrent callers of one real cross-encoder: a call per request, a lock around the model, semcache's batches."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.data import queries
from semcache import AsyncBatchReranker
from semcache.commands.bench.measuring import Budget, Seconds, take_turns
from semcache.commands.models import packaged_models
from semcache.models.names import DEFAULT_CROSS_ENCODER, folder_of
from semcache.protocols import Pair, Reranker

CALLERS = (1, 8, 32, 128)
QUICK_CALLERS = (1, 32)
ROUNDS, ROUND_S = 2, 3.0
QUICK_ROUNDS, QUICK_ROUND_S = 1, 1.0
SINGLE, QUICK_SINGLE = Budget(12.0, samples=400, blocks=20, warm_up=3), Budget(2.0, samples=20, blocks=2, warm_up=3)
PAIRS = 8
POOL, LOCK, THREADS, TASKS = "a call per request", "a lock around the model", "semcache, threads", "semcache, tasks"

Round = Callable[[int, float], tuple[float, Seconds]]
"""(number of callers, seconds) -> requests per second, and the duration of each request."""


def requests() -> list[tuple[str, list[str]]]:
    """Real queries with 8 short texts each: other queries, 1 to 47 words long, half of them up to 8."""
    texts = queries()[:36_000]
    return [(texts[at], list(texts[4000 + at * PAIRS : 4000 + (at + 1) * PAIRS])) for at in range(4000)]


@contextmanager
def models() -> Iterator[Mapping[str, Reranker]]:
    """The packaged cross-encoder, and one of the same architecture in torch, by sentence-transformers."""
    from semcache.rerankers import adapt

    with TemporaryDirectory() as name:
        yield {"onnx int8": packaged_models().reranker, "torch": adapt(_torch_model(Path(name)), name="torch")}


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
    """Rows of requests per second and p95 by model, side and number of callers, and of a single caller's latency."""
    callers = QUICK_CALLERS if quick else CALLERS
    rounds, round_s = (QUICK_ROUNDS, QUICK_ROUND_S) if quick else (ROUNDS, ROUND_S)
    rows, single = [], {}
    with models() as found:
        for name, model in found.items():
            model.score([("warm up", "a text")])
            with AsyncBatchReranker(model) as reranker:
                sides = sides_of(model, reranker)
                for number in callers:
                    rates: dict[str, list[float]] = {side: [] for side in sides}
                    took: dict[str, list[Seconds]] = {side: [] for side in sides}
                    worked_s: dict[str, float] = {}
                    for at in range(rounds):
                        for side in list(sides)[:: 1 if at % 2 == 0 else -1]:
                            before = process_time()
                            rate, durations = sides[side](number, round_s)
                            worked_s[side] = worked_s.get(side, 0.0) + process_time() - before
                            rates[side].append(rate)
                            took[side].append(durations)
                    rows += [
                        _row(name, number, side, rates[side], np.concatenate(took[side]), worked_s[side])
                        for side in sides
                    ]
                single[name] = _single(model, reranker, QUICK_SINGLE if quick else SINGLE)
    return {"rows": rows, "single": single}


def sides_of(model: Reranker, reranker: AsyncBatchReranker) -> Mapping[str, Round]:
    """All sides by name. Each gives the order of a request's documents."""
    work = requests()
    lock = Lock()

    def locked(pairs: Sequence[Pair]) -> object:
        with lock:
            return model.score(pairs)

    def pairs_of(at: int) -> list[Pair]:
        query, texts = work[at % len(work)]
        return [(query, text) for text in texts]

    return {
        POOL: _threads(lambda at: np.argsort(model.score(pairs_of(at)))),
        LOCK: _threads(lambda at: np.argsort(locked(pairs_of(at)))),
        THREADS: _threads(lambda at: reranker.rerank(*work[at % len(work)])),
        TASKS: _tasks(reranker, work),
    }


def _single(model: Reranker, reranker: AsyncBatchReranker, budget: Budget) -> dict[str, Seconds]:
    work = requests()
    alone = {
        "the model": lambda at: model.score([(work[at][0], text) for text in work[at][1]]),
        "semcache": lambda at: reranker.score([(work[at][0], text) for text in work[at][1]]),
    }
    return take_turns({name: _timed(call) for name, call in alone.items()}, budget)


def _timed(call: Callable[[int], object]) -> Callable[[Sequence[int]], Seconds]:
    def side(numbers: Sequence[int]) -> Seconds:
        taken = []
        for number in numbers:
            started = perf_counter()
            call(number)
            taken.append(perf_counter() - started)
        return np.array(taken)

    return side


def _threads(call: Callable[[int], object]) -> Round:
    def one_round(callers: int, round_s: float) -> tuple[float, Seconds]:
        durations: list[float] = []
        started = perf_counter()
        end = started + round_s

        def caller(at: int) -> None:
            while (began := perf_counter()) < end:
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


def _row(model: str, callers: int, side: str, rates: Sequence[float], took: Seconds, worked_s: float) -> dict[str, Any]:
    return {
        "model": model,
        "callers": callers,
        "side": side,
        "requests_per_s": float(np.mean(rates)),
        "p50_ms": float(np.quantile(took, 0.5)) * 1000,
        "p95_ms": float(np.quantile(took, 0.95)) * 1000,
        "cpu_ms": worked_s * 1000 / len(took),
        "n": len(took),
    }
