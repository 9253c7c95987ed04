"""Runs a calibration: embeds, looks for neighbours, has the reranker score what is needed, and concludes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semcache.commands.calibration.log import Logged
from semcache.commands.calibration.replay import distinct_queries, query_name, replay
from semcache.commands.calibration.result import Calibration, Origin, conclude
from semcache.commands.calibration.sampling import Sample, draw_sample
from semcache.commands.calibration.scores import ScoreFile
from semcache.commands.calibration.stored import stored_cases
from semcache.entries.entry import StoredEntry
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import ConfigurationError
from semcache.flow.reuse import ReusePolicy
from semcache.guards import CueGuard
from semcache.protocols import Embedder, FloatArray, Guard, Reranker
from semcache.rerankers.checked import checked_scores

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are over, and how many there are."""

_TEXTS = 64
"""Queries embedded at once: enough to fill a batch, few enough for the bar to move."""


@dataclass(frozen=True, slots=True)
class Options:
    """What may be spent, and on what terms. ``rule`` holds the thresholds in force and how verification goes about."""

    rule: ReusePolicy
    budget: float
    max_requests: int
    max_pairs: int
    seed: int
    neighbours: int
    max_query_chars: int
    guard: Guard | None = CueGuard()  # noqa: RUF009 - has no state


def calibrate_log(
    log: Sequence[Logged], embedder: Embedder, reranker: Reranker, options: Options, state: Path, progress: Progress
) -> Calibration:
    """Thresholds for the traffic of a log. Stopped at any time, it goes on from ``state`` when called again.

    Raises ConfigurationError for a listwise reranker, whose orders of different lists cannot be compared.
    """
    if reranker.listwise:
        raise ConfigurationError(f"{reranker.name} gives orders, not scores, so that nothing can be verified by it")
    log = contiguous_sample(log, options.max_requests, options.seed)
    with ScoreFile(state, reranker.name) as book:
        vectors = _embedded(distinct_queries(log), embedder, options.max_query_chars, progress)
        cases = replay(log, vectors, options.guard or _NoGuard(), options.neighbours)
        sample = draw_sample(cases, options.max_pairs, options.seed)
        _score(log, sample, reranker, book, progress)
        origin = Origin("log", reranker.name, embedder.name, options.seed)
        return conclude(origin, cases, sample, book.scores, options.rule, options.budget)


def calibrate_entries(entries: Sequence[StoredEntry], reranker: str, embedder: str, options: Options) -> Calibration:
    """Thresholds for what a running cache holds, from the scores that are in it: no model is asked.

    It cannot know how often a query comes, nor anything of documents that only one entry has. Entries that were
    verified hold the best-looking documents only, so that little is seen of the order behind them.
    """
    cases, scores = stored_cases(entries, options.guard or _NoGuard(), options.neighbours)
    usable = [case for case in cases if case.near]
    sample = Sample(tuple(usable), (1.0,) * len(usable), ())
    origin = Origin("cache", reranker, embedder, options.seed)
    return conclude(origin, cases, sample, scores, options.rule, options.budget)


def contiguous_sample(log: Sequence[Logged], requests: int, seed: int) -> Sequence[Logged]:
    """A contiguous part of the log: requests drawn one by one would hide how often queries come again."""
    if len(log) <= requests:
        return log
    start = int(np.random.default_rng(seed).integers(0, len(log) - requests + 1))
    return log[start : start + requests]


def _embedded(queries: Sequence[str], embedder: Embedder, max_chars: int, progress: Progress) -> FloatArray:
    """A row per query; zeros, which are near to nothing, for one that is too long to be looked up by meaning."""
    vectors = np.zeros((len(queries), embedder.dims), dtype=np.float32)
    short = [place for place, query in enumerate(queries) if len(query) <= max_chars]
    for start in range(0, len(short), _TEXTS):
        progress("embedding", start, len(short))
        places = short[start : start + _TEXTS]
        vectors[places] = embedder.embed([queries[place] for place in places])
    progress("embedding", len(short), len(short))
    return vectors


def _score(log: Sequence[Logged], sample: Sample, reranker: Reranker, book: ScoreFile, progress: Progress) -> None:
    queries = {query_name(query): query for query in distinct_queries(log)}
    texts = {document_fingerprint(text): text for logged in log for text in logged.documents}
    done = 0
    for need in sample.needs:
        progress("scoring", done, sample.pairs)
        missing = book.missing(need.query, need.fingerprints)
        if missing:
            pairs = [(queries[need.query], texts[fingerprint]) for fingerprint in missing]
            scores = checked_scores(reranker.score(pairs), len(pairs), reranker.name).tolist()
            book.add(need.query, dict(zip(missing, scores, strict=True)))
        done += len(need.fingerprints)
    progress("scoring", done, sample.pairs)


class _NoGuard:
    """Sees no differences."""

    def cues(self, query: str) -> bytes:
        return b""

    def difference(self, ours: bytes, theirs: bytes) -> str | None:
        return None
