"""Bursts at once: to a slow API, to an API with a rate limit, and to the packaged cross-encoder on a cold cache."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from time import perf_counter, sleep
from typing import Any

import numpy as np

from benchmarks.data import queries
from benchmarks.trec import data_folder, load_topics
from semcache import OptimizedRerankerPipeline
from semcache.commands.models import packaged_models
from semcache.protocols import FloatArray

API_S = 0.2
CONCURRENCY = 50
COLD, DOCUMENTS = 50, 8
THRESHOLD_S = 2.0
API_THRESHOLD_S = 5.0
"""T for the bursts to the API: the ideal duration of the larger one is 2 s."""
AGAIN_AFTER_S = 60.0


class RandomEmbedder:
    """A random vector per text, always the same: so the bursts to an API measure no embedder and find no neighbours."""

    name = "random"
    dims = 384

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of length 1."""
        seeds = (int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) for text in texts)
        vectors = np.stack([np.random.default_rng(seed).standard_normal(self.dims, np.float32) for seed in seeds])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class Request:
    """A query with documents, which are given to ``arerank``."""

    query: str
    documents: Sequence[str]


def api_requests(count: int) -> list[Request]:
    """Requests that no other asks: each pair is new to the cache."""
    return [Request(query, [f"{query} {place}" for place in range(DOCUMENTS)]) for query in queries()[:count]]


def passages() -> list[str]:
    """The passages of all topics of TREC DL 2019, each once."""
    return list(dict.fromkeys(text for topic in load_topics(data_folder()) for text in topic.documents))


def passage_requests(count: int) -> list[Request]:
    """Real queries with 8 real passages each, all different."""
    texts = passages()
    return [
        Request(query, texts[at * DOCUMENTS : (at + 1) * DOCUMENTS])
        for at, query in enumerate(queries()[5000 : 5000 + count])
    ]


def requests_per_s() -> float:
    """How many requests of 8 passages the packaged cross-encoder scores in a second, called by one caller."""
    model, requests = packaged_models().reranker, passage_requests(COLD)
    model.score([(requests[0].query, text) for text in requests[0].documents])
    started = perf_counter()
    for request in requests:
        model.score([(request.query, text) for text in request.documents])
    return len(requests) / (perf_counter() - started)


async def burst(
    pipeline: OptimizedRerankerPipeline, requests: Sequence[Request], threshold_s: float = THRESHOLD_S
) -> dict[str, Any]:
    """Send all requests at once. Gives wall clock, answers by status and reason, and how many were later than T."""

    async def one(request: Request) -> tuple[str, float]:
        started = perf_counter()
        ranking = await pipeline.arerank(request.query, request.documents, top_k=5)
        return str(ranking.reason or ranking.status), perf_counter() - started

    started = perf_counter()
    answers = await asyncio.gather(*map(one, requests))
    wall_s = perf_counter() - started
    return {
        "requests": len(requests),
        "wall_s": wall_s,
        "answers": ", ".join(f"{count} {status}" for status, count in Counter(by for by, _ in answers).most_common()),
        "later_than_t": sum(took > threshold_s for _, took in answers),
        "fresh": sum(by == "fresh" for by, _ in answers),
        "fresh_in_time": sum(by == "fresh" and took <= threshold_s for by, took in answers),
        "exact": sum(by == "exact" for by, _ in answers),
    }


def api(delay_s: float) -> Callable[[str, list[str]], Any]:
    """An asynchronous function that answers after ``delay_s`` seconds, as the client of a rerank API does."""

    async def remote(query: str, texts: list[str]) -> list[float]:
        await asyncio.sleep(delay_s)
        return [float(len(text)) for text in texts]

    return remote


def blocking_api(delay_s: float) -> Callable[[str, list[str]], list[float]]:
    """The same as a blocking function."""

    def remote(query: str, texts: list[str]) -> list[float]:
        sleep(delay_s)
        return [float(len(text)) for text in texts]

    return remote


def measure(quick: bool) -> dict[str, Any]:
    """Rows of all bursts."""
    rows = []
    for kind, primary in {"asynchronous": api(API_S), "blocking": blocking_api(API_S)}.items():
        for count in (50,) if quick else (50, 500):
            with _api_pipeline(primary) as pipeline:
                pipeline.warmup()
                row = asyncio.run(burst(pipeline, api_requests(count), API_THRESHOLD_S))
            ideal_s = -(-count // CONCURRENCY) * API_S
            rows.append({"burst": f"{count} to a function of {API_S * 1000:.0f} ms, {kind}", "ideal_s": ideal_s, **row})
    rows += _cold(0.0 if quick else AGAIN_AFTER_S)
    return {"rows": rows}


def _api_pipeline(primary: object) -> OptimizedRerankerPipeline:
    return OptimizedRerankerPipeline(
        primary,
        None,
        "embedded",
        p95_threshold=API_THRESHOLD_S,
        embedding_model=RandomEmbedder(),
        name="api",
        concurrency=CONCURRENCY,
    )


def _cold(again_after_s: float) -> list[dict[str, Any]]:
    """The packaged cross-encoder, all requests at once on a cold cache, and the same once more."""
    models, requests = packaged_models(), passage_requests(COLD)
    pairs = [(request.query, text) for request in requests for text in request.documents]
    models.reranker.score(pairs[:8])
    started = perf_counter()
    models.reranker.score(pairs)
    all_s = perf_counter() - started
    with OptimizedRerankerPipeline(
        models.reranker, None, "embedded", p95_threshold=THRESHOLD_S, embedding_model=models.embedder
    ) as pipeline:
        pipeline.warmup()
        first = asyncio.run(burst(pipeline, requests))
        sleep(again_after_s)
        second = asyncio.run(burst(pipeline, requests))
    ideal = min(COLD, int(COLD * THRESHOLD_S / all_s))
    return [
        {"burst": "50 cold requests to the cross-encoder", "ideal_s": all_s, "ideal_primary": ideal, **first},
        {"burst": f"the same {again_after_s:.0f} s later", "ideal_s": 0.0, "ideal_primary": COLD, **second},
    ]
