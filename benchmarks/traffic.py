"""How much does the whole pipeline save on a stream of real web queries? ``python -m benchmarks.traffic``"""

import argparse
import gzip
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import experiment, machine, server, traffic_report
from benchmarks.bm25 import BM25
from benchmarks.dense import Dense
from benchmarks.experiment import ExperimentResult
from benchmarks.traffic_stream import Served, StreamRequest
from benchmarks.trec import data_folder
from semcache import OptimizedRerankerPipeline
from semcache.commands.calibration.replay import query_name
from semcache.commands.calibration.scores import ScoreFile
from semcache.commands.files import write_json
from semcache.embedders import SentenceTransformerEmbedder
from semcache.entries.fingerprint import document_fingerprint
from semcache.protocols import FloatArray, Reranker
from semcache.ranking import Status
from semcache.rerankers import OnnxCrossEncoder
from semcache.settings import Settings

SEED = 20_050_601
REQUESTS = 400
"""About 11 minutes of one quiet core, where 50 pairs take 1.3 s. A longer part of the log has more repeats."""
QUICK_REQUESTS = 40
CANDIDATES = 50
TOP_K = 10
SAMPLE_EVERY = 6
"""Every sixth request is made a second time without the cache, right before or right after the pipeline answers it."""
POINTS = 60
"""Number of times that the size of the cache is read."""
P95_S = 60.0
"""So high that no answer is degraded on a slow machine. Degradation is not the question here."""
TIMEOUT_S = 30.0
"""For Redis, so that no step of the cache fails on a slow machine. An unreachable Redis is not the question either."""
FIRST_STAGES = {
    "dense": "nearest passages by all-MiniLM-L6-v2, compared with all",
    "bm25": "BM25, k1 0.9, b 0.4, nothing dropped or stemmed",
}
SCORES = Path(__file__).parent / ".cache" / "traffic.scores"


def main() -> None:
    """Replay a contiguous part of the log, compare the answers with fresh ones, and write results and plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few requests; files go to benchmarks/.cache/trials")
    parser.add_argument("--first-stage", choices=FIRST_STAGES, default="dense", help="what finds the candidates")
    parser.add_argument("--requests", type=int, default=0, help=f"how many (default {REQUESTS})")
    arguments = parser.parse_args()
    count = arguments.requests or (QUICK_REQUESTS if arguments.quick else REQUESTS)
    requests, without_candidates = contiguous_requests(count, arguments.first_stage)
    described, served, fresh = _measured(requests)
    name = "traffic" if arguments.first_stage == "dense" else f"traffic_{arguments.first_stage}"
    result = ExperimentResult(
        name=name,
        question="What does the whole pipeline save on a stream of real web queries?",
        method=traffic_report.METHOD,
        parameters={
            "requests": len(requests),
            "candidates_at_most": CANDIDATES,
            "candidates_mean": float(np.mean([len(request.documents) for request in requests])),
            "top_k": TOP_K,
            "repeats_of_a_query": float(np.mean([request.is_repeat for request in requests])),
            "queries_without_candidates_left_out": without_candidates,
            "sampled_without_cache": sum(answer.bare_s is not None for answer in served),
            "first_stage": FIRST_STAGES[arguments.first_stage],
            "reranker": "cross-encoder/ms-marco-MiniLM-L-12-v2, int8 ONNX, batches of 8, 1 thread",
            "redis_timeout_s": TIMEOUT_S,
            "p95_threshold_s": P95_S,
            "embedder": "all-MiniLM-L6-v2, ONNX, 1 thread",
            **{f"reuse.{name}": value for name, value in Settings().reuse.model_dump().items()},
        },
        machine=described,
        rows=list(traffic_report.rows(served, fresh)),
        notes=traffic_report.notes(served, fresh),
        seed=SEED,
    )
    stream = traffic_report.stream(served)
    experiment.report(result, lambda _, path: traffic_report.plot(stream, path), is_trial=arguments.quick)
    # The plot is drawn from the stream, so that it goes into the result file, too.
    path = (experiment.TRIALS if arguments.quick else experiment.RESULTS) / f"{name}.json"
    write_json(path, {**json.loads(path.read_text()), "stream": stream})
    for note in result.notes:
        print(note)


def contiguous_requests(count: int, first_stage: str) -> tuple[list[StreamRequest], int]:
    """``count`` requests in log order from a random one on, and the number of queries between without candidates."""
    folder = data_folder()
    with gzip.open(folder / "ir/trec_dl/passages.jsonl.gz", "rt", encoding="utf-8") as lines:
        passages = [json.loads(line)["text"] for line in lines]
    index = Dense(passages) if first_stage == "dense" else BM25(passages)
    with gzip.open(folder / "queries/web_stream_part1.txt.gz", "rt", encoding="utf-8") as lines:
        queries = [line.strip() for line in lines]
    # Twice as many are left behind the start, since BM25 finds nothing for a fifth of the queries.
    start = int(np.random.default_rng(SEED).integers(0, max(1, len(queries) - 2 * count)))
    requests: list[StreamRequest] = []
    seen: set[str] = set()
    without_candidates = 0
    for query in queries[start:]:
        documents = index.search(query, CANDIDATES)
        if documents:
            requests.append(StreamRequest(query, documents, query in seen))
        else:
            without_candidates += 1
        seen.add(query)
        if len(requests) == count:
            return requests, without_candidates
    sys.exit(f"the log has only {len(requests)} requests with candidates from line {start} on; ask for fewer")


def _measured(requests: Sequence[StreamRequest]) -> tuple[Any, list[Served], list[np.ndarray | None]]:
    """The description of the machine, all answers, and fresh scores where the answers are compared with them."""
    embedder = SentenceTransformerEmbedder(backend="onnx", threads=1)
    reranker = OnnxCrossEncoder(threads=1)
    embedder.embed([requests[0].query])
    _bare(requests[0], reranker)
    with server.started() as url, _pipeline(url, embedder, reranker) as pipeline:
        described = machine.describe(url)
        served = []
        for answer in _replayed(requests, pipeline, reranker, server.client(url)):
            if len(served) % 50 == 0:
                print(f"request {len(served)} of {len(requests)}", flush=True)
            served.append(answer)
        counts = pipeline.get_stats()["cache"]
    if counts["cache_failures"]:
        sys.exit(f"{counts['cache_failures']} cache steps failed, which makes the figures worthless; free the machine")
    SCORES.parent.mkdir(parents=True, exist_ok=True)
    with ScoreFile(SCORES, reranker.name) as book:
        fresh = [_fresh(answer, reranker, book) for answer in served]
    return {**described, "guard_refused_trust": counts["trust_refused"]}, served, fresh


def _pipeline(url: str, embedder: SentenceTransformerEmbedder, reranker: Reranker) -> OptimizedRerankerPipeline:
    settings = Settings(
        redis={"url": url, "timeout_s": TIMEOUT_S, "connect_timeout_s": TIMEOUT_S},
        monitor={"p95_threshold_s": P95_S},
        # The given reranker takes the place of the first rung.
        rerankers=[{"kind": "embedding"}, {"kind": "embedding"}],
    )
    return OptimizedRerankerPipeline.from_settings(settings, primary=reranker, embedder=embedder)


def _replayed(
    requests: Sequence[StreamRequest], pipeline: OptimizedRerankerPipeline, reranker: Reranker, client: Any
) -> Iterator[Served]:
    every = max(1, len(requests) // POINTS)
    for number, request in enumerate(requests):
        turn, rest = divmod(number, SAMPLE_EVERY)
        # In turn first and last, so that whatever the other leaves in the processor's caches helps both alike.
        bare = _bare(request, reranker) if rest == 0 and turn % 2 else (None, None)
        started = perf_counter()
        ranking = pipeline.rerank(request.query, request.documents, TOP_K)
        duration_s = perf_counter() - started
        bare = _bare(request, reranker) if rest == 0 and not turn % 2 else bare
        is_read = number % every == 0 or number == len(requests) - 1
        entries = pipeline.cache.store.count() if is_read else None
        used = client.info("memory")["used_memory"] if is_read else None
        yield Served(request, ranking, duration_s, *bare, entries, used)


def _bare(request: StreamRequest, reranker: Reranker) -> tuple[float, FloatArray]:
    """Rerank without a cache: the seconds that it takes, and the scores."""
    started = perf_counter()
    scores = reranker.score([(request.query, text) for text in request.documents])
    sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    return perf_counter() - started, scores


def _fresh(answer: Served, reranker: Reranker, book: ScoreFile) -> np.ndarray | None:
    """Scores of all candidates for this very query, made in one call; None for a fresh answer outside the sample.

    They are kept on disk for the next run, since nothing is timed here.
    """
    request = answer.request
    name = query_name(request.query)
    fingerprints = list(map(document_fingerprint, request.documents))
    if answer.bare_scores is None and answer.ranking.status is Status.FRESH:
        return None
    if book.missing(name, fingerprints):
        scores = answer.bare_scores
        if scores is None:
            _, scores = _bare(request, reranker)
        book.add(name, dict(zip(fingerprints, scores.tolist(), strict=True)))
    return np.array([book.scores[name][fingerprint] for fingerprint in fingerprints])


if __name__ == "__main__":
    main()
