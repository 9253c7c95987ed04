"""Requests at a fixed rate, with the same mix in every second, and what came of each."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from time import monotonic, sleep

import numpy as np
from numpy.typing import NDArray

from benchmarks import vectors, workload
from benchmarks.data import queries
from semcache.cached import CachedReranker
from semcache.protocols import Embedder, FloatArray, Pair
from semcache.ranking import Ranking

MIX = ("exact", "near", "exact", "miss", "exact", "near", "exact", "near", "miss", "exact")
"""Ten requests: five repetitions, three in other words, and two that nothing is known of."""
TOP_K = 5
_NEAR = 0.9
"""Of both embedders: above the reuse threshold, so that a request in other words is a hit with either."""


class TextScores:
    """Scores that mostly depend on the text and a little on the query, so that near queries order alike."""

    name, listwise = "text-scores/v1", False

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """The score of each pair."""
        return np.array([score_of(query, text) for query, text in pairs], dtype=np.float32)


def score_of(query: str, text: str) -> float:
    """A score from -11 to 11.5."""
    return float(np.float32(22 * _share(text) - 11 + 0.5 * _share(f"{query}\0{text}")))


def _share(text: str) -> float:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") / 2**32


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: ``query`` about the documents of an entry; ``origin`` is the query of that entry, None for a miss."""

    kind: str
    query: str
    entry: int
    origin: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a request: ``at`` is when it was due, ``took_s`` the time since then, in seconds."""

    phase: str
    kind: str
    at: float
    took_s: float
    status: str
    is_right: bool


def requests(entries: int, former: Embedder, present: Embedder, count: int) -> Iterator[Asked]:
    """Requests for ever: about ``count`` reworded queries and as many unknown ones, each asked once while they last."""
    texts = queries()[workload.HELD_OUT : workload.HELD_OUT + entries]
    rng = np.random.default_rng(workload.SEED)
    near = itertools.cycle(list(_reworded(texts, rng, former, present, count)))
    repeated = (int(rng.integers(entries)) for _ in itertools.count())
    missing = itertools.cycle(queries()[: workload.HELD_OUT])
    for number, kind in enumerate(itertools.cycle(MIX)):
        if kind == "near":
            yield next(near)
        elif kind == "exact":
            entry = next(repeated)
            yield Asked(kind, texts[entry], entry, texts[entry])
        else:
            yield Asked(kind, next(missing), entries + number, None)


def _reworded(
    texts: Sequence[str], rng: np.random.Generator, former: Embedder, present: Embedder, count: int
) -> Iterator[Asked]:
    chosen = rng.choice(len(texts), min(len(texts), 3 * count // 2), replace=False)
    made = [f"{texts[entry]} please" for entry in chosen]
    alike = np.ones(len(chosen), dtype=bool)
    for embedder in (former, present):
        cosine = np.einsum(
            "ij,ij->i", _embedded(embedder, [texts[entry] for entry in chosen]), _embedded(embedder, made)
        )
        alike &= cosine >= _NEAR
    for place in np.flatnonzero(alike)[:count]:
        entry = int(chosen[place])
        yield Asked("near", made[place], entry, texts[entry])


def _embedded(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    return np.concatenate([embedder.embed(texts[start : start + 64]) for start in range(0, len(texts), 64)])


def fill(reranker: CachedReranker, entries: int) -> None:
    """Store the entries, with the vectors of all-MiniLM-L6-v2 that are kept on disk."""
    texts = queries()[workload.HELD_OUT : workload.HELD_OUT + entries]
    rows = vectors.extended(workload.HELD_OUT, workload.HELD_OUT + entries, workload.SEED).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for entry, (text, row) in enumerate(zip(texts, rows, strict=True)):
        documents = workload.documents(entry)
        scores = [score_of(text, document) for document in documents]
        reranker.cache.remember(text, documents, scores, vector=row)


class Traffic:
    """Asks one request after the other, ``rate`` in a second, and keeps what came of each.

    A request that has to wait for the one before is timed from when it was due.
    """

    def __init__(self, asked: Iterator[Asked], rate: float) -> None:
        self.seen: list[Seen] = []
        self._asked = asked
        self._rate = rate
        self._started = monotonic()
        self._number = 0

    def run(self, phase: str, rerankers: Sequence[CachedReranker], is_over: Callable[[float], bool]) -> None:
        """Ask these in turns for a whole number of seconds, until ``is_over`` of the seconds since the beginning."""
        begun, block = monotonic(), 0
        while block % floor(self._rate) or not is_over(monotonic() - begun):
            self._ask(phase, rerankers[self._number % len(rerankers)])
            block += 1

    def _ask(self, phase: str, reranker: CachedReranker) -> None:
        due = self._started + self._number / self._rate
        self._number += 1
        sleep(max(0.0, due - monotonic()))
        asked = next(self._asked)
        documents = workload.documents(asked.entry)
        status, is_right = "failed", True
        try:
            ranking = reranker.rerank(asked.query, documents, TOP_K)
        except Exception as error:  # noqa: BLE001 - counted, and shown below
            print(f"failed: {type(error).__name__}: {error}", flush=True)
        else:
            status, is_right = str(ranking.status), _is_right(asked, ranking)
        self.seen.append(Seen(phase, asked.kind, due - self._started, monotonic() - due, status, is_right))


def _is_right(asked: Asked, ranking: Ranking[str]) -> bool:
    """Whether every score is what the reranker says: of this query, or of the near one that it was trusted for."""
    queries_of = {asked.query}
    if ranking.status == "semantic" and asked.origin is not None:
        queries_of.add(asked.origin)
    scores = ranking.scores or ()
    return len(scores) == TOP_K and all(
        any(abs(score - score_of(query, text)) < 1e-5 for query in queries_of)
        for score, text in zip(scores, ranking, strict=True)
    )
