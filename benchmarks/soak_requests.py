"""The requests of the soak, the reranker whose scores anyone can compute, and the check of every answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import count
from random import Random
from threading import Event
from time import sleep

import numpy as np

from benchmarks.data import queries
from semcache import Ranking, Status
from semcache.entries.fingerprint import document_fingerprints
from semcache.protocols import Embedder, FloatArray, Guard, Pair

TOP_K = 5
TRUST = 0.95
"""Similarity from which scores are served unasked."""
CANDIDATES = 20
_QUERIES = 60_000
"""Queries that are used; the run begins anew with them after so many that were never asked before."""
_HOT = 150
_SCALE = 3.0
"""Score units by which the scores of two queries at a right angle differ."""
_QUALITY = 4.0
"""Score units between the worst and the best document, whatever is asked; the retriever knows them."""
_NOISE = 0.01
"""Score units that the same query's vector differs by between two batches, at most, with room to spare."""
_REWORDINGS = ("please: {}", "tell me {}", "{} please", "i would like to know {}", "{} explained", "what about {}")


@dataclass(frozen=True, slots=True)
class Work:
    """One request. ``asked`` is the query before it was reworded; ``scores`` are the retriever's, or None."""

    asked: str
    wording: str
    documents: list[str]
    scores: list[float] | None

    @property
    def query(self) -> str:
        """What is asked, in these words."""
        return self.wording.format(self.asked)


class Workload:
    """Chooses requests: repeats, rewordings, other candidates of known queries, and queries that are new."""

    def __init__(self) -> None:
        self._queries = queries()[:_QUERIES]
        # All of them would be a fourth of the client's memory, and make its growth look smaller than it is.
        queries.cache_clear()
        self._new = count(_HOT)

    def fill_caches(self, guard: Guard | None) -> None:
        """Let the process see more words and documents than it remembers, so that its memory can settle."""
        if guard is not None:
            for query in self._queries:
                guard.cues(query)
        for number in range(1000):
            document_fingerprints([self._document(number, at) for at in range(CANDIDATES)])

    def queries(self, random: Random, many: int) -> list[str]:
        """Some of the queries."""
        return random.sample(self._queries, many)

    def work(self, random: Random) -> Work:
        """A request of a random kind."""
        kind = random.random()
        # Few are asked often and many seldom, as in real traffic.
        hot = int(_HOT * random.random() ** 3)
        if kind < 0.4:
            return self._work(random, hot)
        if kind < 0.6:
            return self._work(random, hot, _REWORDINGS[random.randrange(len(_REWORDINGS))])
        if kind < 0.7:
            return self._work(random, hot, first=random.randrange(1, CANDIDATES))
        return self._work(random, next(self._new) % _QUERIES)

    def hottest(self, random: Random) -> Work:
        """A request that every other tenant has made lately."""
        return self._work(random, random.randrange(3))

    def _work(self, random: Random, number: int, wording: str = "{}", first: int = 0) -> Work:
        documents = [self._document(number, at) for at in range(first, first + CANDIDATES)]
        random.shuffle(documents)
        scores = _qualities(_digests(documents)).tolist() if random.random() < 0.5 else None
        return Work(self._queries[number], wording, documents, scores)

    def _document(self, number: int, at: int) -> str:
        words = " ".join(self._queries[(number * 31 + at * 7 + part) % _QUERIES] for part in range(4))
        return f"passage {at} of {number}: {words}"


class ScriptedReranker:
    """Scores by the direction of the query's vector, so that near queries have near scores, as with a real model.

    ``trouble`` makes it raise ("error"), take 1.5 s a call ("slow"), or hang until ``released`` is set ("hang").
    """

    name = "scripted"
    listwise = False

    def __init__(self, embedder: Embedder) -> None:
        self.trouble = ""
        self.released = Event()
        self._embedder = embedder
        self._vector = lru_cache(maxsize=1024)(self._embed)

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """The true scores, after the time that a quick model takes."""
        trouble = self.trouble
        if trouble == "error":
            raise RuntimeError("scripted trouble")
        if trouble == "hang":
            self.released.wait()
        sleep(1.5 if trouble == "slow" else 0.004 + 0.0002 * len(pairs))
        scores = np.empty(len(pairs), np.float32)
        for query in {query for query, _ in pairs}:
            places = [place for place, pair in enumerate(pairs) if pair[0] == query]
            scores[places] = self.true_scores(query, [pairs[place][1] for place in places])
        return scores

    def true_scores(self, query: str, texts: Sequence[str]) -> FloatArray:
        """The scores of these texts, without delay and trouble."""
        digests = _digests(texts)
        directions = np.unpackbits(digests[:, :48], axis=1).astype(np.float32) * 2 - 1
        return (_SCALE * directions @ self._vector(query) + _qualities(digests)).astype(np.float32)

    def fault_of(self, work: Work, ranking: Ranking[str]) -> str:
        """What is wrong with an answer; empty if nothing is."""
        fault = not_own(work, ranking)
        if fault or ranking.status is Status.DEGRADED or ranking.scores is None:
            return fault
        true = self.true_scores(work.query, work.documents)
        off = np.array(ranking.scores) - true[list(ranking.indices)]
        if ranking.status is Status.SEMANTIC:
            return self._fault_of_semantic(work, ranking, off)
        if np.abs(off).max() > _NOISE:
            return "scores of another pair"
        left_out = np.delete(true, list(ranking.indices))
        # What was skipped by a bound is left out with a confidence, and not with certainty.
        is_whole = ranking.status in (Status.EXACT, Status.FRESH, Status.PARTIAL) and not ranking.skipped
        return "not the best" if is_whole and left_out.max() > min(ranking.scores) + 2 * _NOISE else ""

    def _fault_of_semantic(self, work: Work, ranking: Ranking[str], off: FloatArray) -> str:
        # Each document has the score of the nearest query that knows it, and all of these are trusted: their vectors
        # are at most this far away, and scores differ by so much in the mean square.
        expected = _NOISE + _SCALE * np.sqrt(2 - 2 * TRUST)
        share = float(np.sqrt(np.mean(off**2)) / expected)
        if share < 2:
            return ""
        wordings = [wording.format(work.asked) for wording in ("{}", *_REWORDINGS)]
        known = np.array([self.true_scores(wording, ranking.documents) for wording in wordings])
        if (np.abs(known - np.array(ranking.scores)).min(axis=0) < _NOISE).all():
            return ""
        return f"scores of no wording, {share:.1f} times as far as the trust threshold lets expect"

    def _embed(self, query: str) -> FloatArray:
        return self._embedder.embed([query])[0]


def not_own(work: Work, ranking: Ranking[str]) -> str:
    """Whether an answer is other than some of the caller's documents, each once, best first; empty if it is not."""
    chosen = [work.documents[at] for at in ranking.indices]
    if len(set(ranking.indices)) != TOP_K or any(a is not b for a, b in zip(chosen, ranking, strict=True)):
        return "not the caller's documents"
    scores = ranking.scores
    if scores is not None and (not np.isfinite(scores).all() or sorted(scores, reverse=True) != list(scores)):
        return "not in order"
    return ""


def _digests(texts: Sequence[str]) -> np.ndarray:
    # 384 bits are the signs of a direction among the embedder's vectors, and one more byte is the quality.
    joined = b"".join(blake2b(text.encode(), digest_size=49).digest() for text in texts)
    return np.frombuffer(joined, np.uint8).reshape(len(texts), 49)


def _qualities(digests: np.ndarray) -> np.ndarray:
    return digests[:, 48] * (_QUALITY / 255)
