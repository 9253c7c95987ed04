"""The processor time that a pair and an embedding take with the real models, and whether it adds up to real requests.

Processor time and not the time that passes, since the machine of a benchmark is rarely quiet for an hour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np

from benchmarks import server
from benchmarks.streams import Stream
from benchmarks.traffic_replay import Mode, Replayed, Served, answer, pipeline
from semcache.embedders import SentenceTransformerEmbedder
from semcache.rerankers import OnnxCrossEncoder

BARE_EVERY = 3
"""Every third request of the check is made a second time by the bare reranker: that gives the seconds per pair."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Processor seconds of one pair of a stream in the cross-encoder, and of one of its queries in the embedder."""

    pair_s: float
    embedding_s: float

    def cost_s(self, served: Served) -> float:
        """Modelled processor seconds of an answer, without those of Redis."""
        return served.asked * self.pair_s + served.embedded * self.embedding_s + served.own_s


@dataclass(frozen=True, slots=True)
class Check:
    """A part of a stream with the real models: the prices seen there, processor seconds and pairs of every request."""

    prices: Prices
    seconds: list[float]
    asked: list[int]

    def row(self, replayed: Replayed) -> Mapping[str, Any]:
        """Measured against modelled seconds of the same requests, without those of Redis."""
        modelled = sum(map(self.prices.cost_s, replayed.served))
        return {
            "requests": len(self.seconds),
            "ms_per_pair": 1000 * self.prices.pair_s,
            "ms_per_embedding": 1000 * self.prices.embedding_s,
            "pairs_asked_recorded": sum(answered.asked for answered in replayed.served),
            "pairs_asked_real": sum(self.asked),
            "modelled_s": modelled,
            "measured_s": sum(self.seconds),
            "modelled_of_measured": modelled / sum(self.seconds),
        }


def checked(stream: Stream, mode: Mode, top_k: int, depth: int) -> Check:
    """The requests of a stream through the pipeline, with the real reranker and embedder."""
    reranker, embedder = OnnxCrossEncoder(threads=1), SentenceTransformerEmbedder(backend="onnx", threads=1)
    embedder.embed([stream.queries[0]])
    reranker.score([(stream.queries[0], stream.documents[0])])
    seconds, asked, bare = [], [], []
    with server.started() as url, pipeline(url, reranker, embedder, mode) as tried:
        tried.warmup()
        for number, query in enumerate(stream.requests):
            # In turn before and after, so that what the other leaves in the processor's caches helps both alike.
            turn, rest = divmod(number, BARE_EVERY)
            if rest == 0 and turn % 2:
                bare.append(_bare_s(stream, query, depth, reranker))
            started = process_time()
            asked.append(answer(tried, stream, query, top_k, depth).asked)
            seconds.append(process_time() - started)
            if rest == 0 and not turn % 2:
                bare.append(_bare_s(stream, query, depth, reranker))
    embeddings = [_embedding_s(stream, query, embedder) for query in stream.requests]
    return Check(Prices(sum(bare) / (len(bare) * depth), float(np.mean(embeddings))), seconds, asked)


def _bare_s(stream: Stream, query: int, depth: int, reranker: OnnxCrossEncoder) -> float:
    pairs = [(stream.queries[query], stream.documents[at]) for at in stream.candidates[query, :depth]]
    started = process_time()
    reranker.score(pairs)
    return process_time() - started


def _embedding_s(stream: Stream, query: int, embedder: SentenceTransformerEmbedder) -> float:
    started = process_time()
    embedder.embed([stream.queries[query]])
    return process_time() - started
