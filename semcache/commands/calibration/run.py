"""Runs a calibration: embeds, looks for neighbours, has the reranker score what is needed, and concludes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from semcache.arguments import reuse_policy
from semcache.cache import RedisSemanticCache
from semcache.commands import models
from semcache.commands.calibration import pruning
from semcache.commands.calibration.log import Logged
from semcache.commands.calibration.replay import distinct_queries, query_name, replay
from semcache.commands.calibration.result import Calibration, Origin, conclude
from semcache.commands.calibration.sampling import Sample, draw_sample
from semcache.commands.calibration.scores import ScoreFile
from semcache.commands.calibration.stored import stored_cases
from semcache.entries.entry import StoredEntry
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.flow.policy import FlowPolicy, PrunePolicy, ReusePolicy
from semcache.guards import CueGuard
from semcache.protocols import Embedder, FloatArray, Guard, Reranker
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.kind import Kind, call_kind
from semcache.settings import Settings

Progress = Callable[[str, int, int], None]
"""Called with a task, how many of its steps are done, and how many it has."""

# Queries that are embedded at once: enough to fill a batch, few enough for the bar to move.
_QUERIES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """``rule`` holds the thresholds in force and how verification goes about it. ``budget`` is a mean loss in [0, 1].

    At most ``max_requests`` requests are looked at, and ``max_pairs`` pairs scored. ``seed`` decides which.
    """

    rule: ReusePolicy
    budget: float
    max_requests: int
    max_pairs: int
    seed: int
    neighbours: int
    max_query_chars: int
    guard: Guard = CueGuard()  # noqa: RUF009 - has no state
    prune: PrunePolicy = PrunePolicy()  # noqa: RUF009 - a frozen value

    def for_kind_of(self, reranker: Reranker) -> Self:
        """The options with as many rounds as this reranker is asked in."""
        if call_kind(reranker).kind is not Kind.REMOTE:
            return self
        served = FlowPolicy(self.rule, prune=self.prune).for_service()
        return replace(self, rule=served.reuse or self.rule, prune=served.prune or self.prune)

    @classmethod
    def of(cls, settings: Settings, budget: float | None, max_requests: int, max_pairs: int, seed: int) -> Self:
        """The settings in force. ``budget`` None is that of the settings."""
        knobs = settings.reuse
        return cls(
            rule=reuse_policy(knobs, knobs.trust_threshold),
            budget=knobs.quality_budget if budget is None else budget,
            max_requests=max_requests,
            max_pairs=max_pairs,
            seed=seed,
            neighbours=settings.cache.neighbours,
            max_query_chars=settings.cache.max_query_chars,
            prune=PrunePolicy(max_rounds=settings.prune.max_rounds),
        )


def calibrate_log(
    log: Sequence[Logged],
    embedder: Embedder,
    reranker: Reranker,
    options: CalibrationOptions,
    state: Path | None,
    progress: Progress,
) -> Calibration:
    """Recommend thresholds for the traffic of a log. It may be stopped at any time: called again, it goes on.

    ``state`` is the file that keeps the scores made so far; without one it begins anew. Raises
    ConfigurationError for a listwise reranker, whose orders of different lists cannot be compared.
    """
    if reranker.listwise:
        raise ConfigurationError(f"{reranker.name} gives orders, not scores, so that nothing can be verified by it")
    log = contiguous_sample(log, options.max_requests, options.seed)
    options = options.for_kind_of(reranker)
    # Opened first: a state file of another reranker is noticed before anything is embedded.
    with ScoreFile(state, reranker.name) as book:
        vectors = _embedded(distinct_queries(log), embedder, options.max_query_chars, progress)
        cases = replay(log, vectors, options.guard, options.neighbours)
        sample = draw_sample(cases, options.max_pairs, options.seed)
        sample = pruning.with_misses(sample, cases, options.max_pairs, options.seed)
        _score(log, sample, reranker, book, progress)
        origin = Origin("log", reranker.name, embedder.name, options.seed)
        found = conclude(origin, cases, sample, book.scores, options.rule, options.budget)
        figures = pruning.pruned(cases, book.scores, _texts(log), options.prune)
        return replace(found, pruned=figures, prune=pruning.advised(figures, options.budget))


def calibrate_cache(settings: Settings, options: CalibrationOptions) -> Calibration:
    """Recommend thresholds from what the running cache of these settings holds; see ``calibrate_entries``.

    Raises ConfigurationError when there is no such cache, InvalidInputError when it is empty.
    """
    url = settings.redis.url.get_secret_value()
    if url == "embedded":
        raise ConfigurationError("redis.url is embedded, and a new private server is empty; name the running cache's")
    # No model is called. They are loaded for their names, which say in which scope their entries are.
    loaded = models.configured_models(settings)
    embedder, reranker = loaded.embedder, loaded.reranker
    if reranker.listwise:
        raise ConfigurationError(f"{reranker.name} gives orders; the cache holds no scores to compare")
    with RedisSemanticCache(url, embedder, reranker=reranker.name, settings=settings) as cache:
        entries = cache.store.sample(options.max_requests)
    if not entries:
        raise InvalidInputError(
            f"namespace {settings.cache.namespace!r} holds no entry of {reranker.name} with {embedder.name}; "
            "set what the running application has set (semcache config shows it), or give a log"
        )
    return calibrate_entries(entries, reranker.name, embedder.name, options.for_kind_of(reranker))


def calibrate_entries(
    entries: Sequence[StoredEntry], reranker: str, embedder: str, options: CalibrationOptions
) -> Calibration:
    """Recommend thresholds from the entries of a running cache and the scores in them. No model is called.

    Entries do not tell how often a query comes, nor anything of documents that only one entry has. An entry that was
    answered by verification holds the best-looking documents only, so its order behind them is unknown.
    """
    cases, scores = stored_cases(entries, options.guard, options.neighbours)
    # Scores are there already, so there is no need to draw: every case with a neighbour stands for itself.
    usable = tuple(case for case in cases if case.near)
    sample = Sample(usable, (1.0,) * len(usable), ())
    origin = Origin("cache", reranker, embedder, options.seed)
    return conclude(origin, cases, sample, scores, options.rule, options.budget)


def contiguous_sample(log: Sequence[Logged], requests: int, seed: int) -> Sequence[Logged]:
    """A contiguous part of the log. Requests drawn one by one would hide how often queries come again."""
    if len(log) <= requests:
        return log
    start = int(np.random.default_rng(seed).integers(0, len(log) - requests + 1))
    return log[start : start + requests]


def _embedded(queries: Sequence[str], embedder: Embedder, max_chars: int, progress: Progress) -> FloatArray:
    """A row per query. A query that is too long to be looked up by meaning gets zeros, which are near to nothing."""
    vectors = np.zeros((len(queries), embedder.dims), dtype=np.float32)
    short = [row for row, query in enumerate(queries) if len(query) <= max_chars]
    for start in range(0, len(short), _QUERIES_AT_ONCE):
        progress("embedding", start, len(short))
        rows = short[start : start + _QUERIES_AT_ONCE]
        vectors[rows] = embedder.embed([queries[row] for row in rows])
    progress("embedding", len(short), len(short))
    return vectors


def _score(log: Sequence[Logged], sample: Sample, reranker: Reranker, book: ScoreFile, progress: Progress) -> None:
    """Score what the sample needs and the book does not have. Each call is in the book before the next begins."""
    # The sample knows names and fingerprints only, as the state file does. The reranker needs the texts.
    queries = {query_name(query): query for query in distinct_queries(log)}
    texts = _texts(log)
    done = 0
    for call in sample.calls:
        progress("scoring", done, sample.pairs)
        missing = book.missing(call.query, call.fingerprints)
        if missing:
            pairs = [(queries[call.query], texts[fingerprint]) for fingerprint in missing]
            scores = checked_scores(reranker.score(pairs), len(pairs), reranker.name).tolist()
            book.add(call.query, dict(zip(missing, scores, strict=True)))
        done += len(call)
    progress("scoring", done, sample.pairs)


def _texts(log: Sequence[Logged]) -> dict[bytes, str]:
    return {document_fingerprint(text): text for logged in log for text in logged.documents}
