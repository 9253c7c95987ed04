"""An embedder and a reranker whose right answers are known, and that misbehave as they are told."""

import hashlib
import time
from collections.abc import Callable, Sequence

import numpy as np

from semcache.protocols import FloatArray, Pair

DIMS = 64
VARIANT = "#"
"""What follows it changes the vector of a query a little, and not what is asked."""
SHARED = "shared passage"
_DRIFT = 0.2
"""Makes scores of near queries differ by 0.8 at the standard deviation, where they range over 10: those of a
cross-encoder, which range over about as much, differed by 0.59 at a similarity of 0.97 and more."""
_ASIDE = 0.17
"""How far variants of a query lie from it: their similarity to it is 0.985, above the trust threshold."""


def drawn(*parts: str) -> int:
    """The same number for the same texts, and without pattern for others."""
    return int.from_bytes(hashlib.blake2b("\x1f".join(parts).encode(), digest_size=8).digest(), "big")


def meaning(query: str) -> str:
    """What a query asks, without its variant."""
    return query.partition(VARIANT)[0].strip()


def true_score(query: str, text: str) -> float:
    """The score of a pair, from 0 to 10.

    A shared passage scores nearly the same for all queries, as real ones do for queries of high similarity. One that is
    said to be of what the query asks has 10 more.
    """
    own = _to_10(meaning(query), text)
    if text.startswith(SHARED):
        return _to_10(text) + _DRIFT * (own - 5)
    return own + 10 * text.endswith(f" of {meaning(query)}")


def _to_10(*parts: str) -> float:
    return (drawn(*parts) % 10_000_000) / 1_000_000


def best(query: str, texts: Sequence[str], k: int) -> list[str]:
    """The right answer."""
    scores = np.array([true_score(query, text) for text in texts], dtype=np.float32)
    return [texts[place] for place in np.argsort(-scores, kind="stable")[:k]]


def _unit(*parts: str) -> FloatArray:
    vector = np.random.default_rng(drawn(*parts)).standard_normal(DIMS)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class ScriptedEmbedder:
    """Queries of different meaning lie far apart, and variants near each other.

    ``same_place`` has queries that lie as near to each other as variants do, although they ask something else.
    ``fault`` takes the right vectors and gives others, raises, or takes its time.
    """

    name, dims = "scripted", DIMS

    def __init__(self) -> None:
        self.same_place: dict[str, str] = {}
        self.fault: Callable[[FloatArray], FloatArray] | None = None

    def embed(self, texts: Sequence[str]) -> FloatArray:
        vectors = np.stack([self._vector(text) for text in texts])
        return vectors if self.fault is None else self.fault(vectors)

    def _vector(self, text: str) -> FloatArray:
        place = self.same_place.get(text, meaning(text))
        vector = _unit(self.name, place)
        if text != place:
            vector = vector + _ASIDE * _unit(self.name, text)
            vector /= np.linalg.norm(vector)
        return vector


class ScriptedReranker:
    """Takes ``service_s`` for a call, and gives the true scores.

    ``fault`` is called first, and may raise, wait, or give other scores. ``spent_s`` has how long calls for a query
    took in all. ``concurrency`` is how many calls at once it says to take.
    """

    name, listwise = "scripted", False

    def __init__(self, service_s: float = 0.01, concurrency: int = 1) -> None:
        self.service_s = service_s
        self.concurrency = concurrency
        self.fault: Callable[[Sequence[Pair]], FloatArray | None] | None = None
        self.spent_s: dict[str, float] = {}

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        began = time.perf_counter()
        try:
            scores = None if self.fault is None else self.fault(pairs)
            time.sleep(self.service_s)
            return true_scores(pairs) if scores is None else scores
        finally:
            took = time.perf_counter() - began
            for query in {query for query, _ in pairs}:
                self.spent_s[query] = self.spent_s.get(query, 0.0) + took


def true_scores(pairs: Sequence[Pair]) -> FloatArray:
    """The score of each pair."""
    return np.array([true_score(*pair) for pair in pairs], dtype=np.float32)
