"""Caches and rerankers of several scopes on one Redis, in which every score says where it was computed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from threading import Lock
from typing import NamedTuple
from uuid import uuid4

import numpy as np
import redis

from semcache.batching.reranker import AsyncBatchReranker
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.events import CacheFailed, EntryDamaged, Event
from semcache.protocols import FloatArray, Pair
from semcache.settings import Settings

TENANTS = (
    "", "a", "b", "A", "a ", " ", "a b", "a|b", "*", "a*", "{a}", "{", "}{", ":", "a:", ":a", "@tenant:{a}",
    "-@tenant:{a}", "(a)|(b)", "a\nb", "\n", "\\", "a\\", '"', "\0", "\u0410", "Å", "A\u030a", "北京", "\udc80", "None",
    "0", "x" * 5000, "x" * 5000 + "y",
)  # fmt: skip
"""Names that a query language, a pattern of keys, a file, an eye or a hash may take for others."""
TOPICS = 2
WORDINGS = (1.0, 0.995, 0.985, 0.9)
"""Similarity of each wording of a query to its topic. Those of two others are the products of theirs."""
DOCUMENTS = tuple(f"passage {number}" for number in range(1, 13))
TRUSTED, VERIFIED = 0.97, 0.80
_STEP = 65_536
"""A score is this times the rank of its document plus a number of its own; a float32 holds it exactly."""


class Scope(NamedTuple):
    """The wall."""

    namespace: str
    tenant: str
    reranker: str
    embedder: str


class Origin(NamedTuple):
    """What a score was computed for. The scope is None as long as several come into question."""

    scope: Scope | None
    query: str
    document: str
    score: float


def query_of(topic: int, wording: int) -> str:
    return f"topic {topic} {wording}"


def similarity(one: int, other: int) -> float:
    return 1.0 if one == other else WORDINGS[one] * WORDINGS[other]


class Axes:
    """An embedder: topics have axes of their own, and so has what a wording adds; ``turned`` gives them other axes."""

    dims = TOPICS + TOPICS * len(WORDINGS)

    def __init__(self, name: str, turned: int) -> None:
        self.name = name
        self._turned = turned

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.array([self._vector(text) for text in texts], dtype=np.float32)

    def _vector(self, text: str) -> FloatArray:
        vector = np.zeros(self.dims, dtype=np.float32)
        words = text.split()
        # Also of texts that are none of the queries, which the cache may have embedded to tell embedders apart.
        topic, wording = (int(words[1]), int(words[2])) if words[0] == "topic" else (0, len(text) % len(WORDINGS))
        cosine = WORDINGS[wording]
        vector[topic] = cosine
        vector[TOPICS + topic * len(WORDINGS) + wording] = np.sqrt(1 - cosine**2)
        return np.roll(vector, self._turned)


class Ledger:
    """Gives every score a number, and knows for what it was computed."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []
        self._lock = Lock()
        self.scope: Scope | None = None
        """Whose request is under way."""

    def score(self, query: str, document: str) -> float:
        if document not in DOCUMENTS:  # of a warm-up
            return 0.0
        with self._lock:  # tenants may ask at once
            score = float(_STEP * DOCUMENTS.index(document) + len(self.origins))
            self.origins.append(Origin(self.scope, query, document, score))
        return score

    def origin(self, score: float) -> Origin:
        number = int(score) % _STEP
        assert number < len(self.origins), f"no reranker gave the score {score!r}"
        origin = self.origins[number]
        assert origin.score == score, f"no reranker gave the score {score!r}, but {origin}"
        return origin


class Oracle:
    """A reranker whose scores stand in the ledger."""

    listwise = False

    def __init__(self, name: str, ledger: Ledger) -> None:
        self.name = name
        self._ledger = ledger

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        return np.array([self._ledger.score(query, document) for query, document in pairs], dtype=np.float32)


class Door(NamedTuple):
    """One way into the caches: a namespace, a reranker and an embedder."""

    namespace: str
    embedder: str
    reranker: CachedReranker

    @property
    def cache(self) -> RedisSemanticCache:
        return self.reranker.cache

    def scope(self, tenant: str) -> Scope:
        return Scope(self.namespace, tenant, self.cache.reranker, self.embedder)


@dataclass
class World:
    """All doors, made once; every run begins with empty caches.

    ``events`` are those that must not be. ``found`` is what was wrong, in the order in which it was seen: Hypothesis
    does not say it where a repetition of the steps comes out otherwise, as threads and server may have it.
    """

    url: str
    ledger: Ledger = field(default_factory=Ledger)
    events: list[Event] = field(default_factory=list)
    found: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = redis.Redis.from_url(self.url)
        self._prefix = f"isolation-{uuid4().hex}"
        self.doors = list(self._doors())

    def _doors(self) -> Iterator[Door]:
        self._open: list[Callable[[], None]] = [self.client.close]
        embedders = [Axes("axes", 0), Axes("turned", 1)]
        for place, embedder in product(("x", "y"), embedders):
            namespace = f"{self._prefix}-{place}"
            settings = Settings(
                cache={"namespace": namespace, "neighbours": 2 * len(WORDINGS)},
                redis={"budget_s": 30, "timeout_s": 30},
                reuse={"audit_rate": 0, "reuse_threshold": VERIFIED},
                prune={"mode": "off"},
            )
            cache = RedisSemanticCache(
                self.url, embedder, TRUSTED, guard=None, settings=settings, observers=[self._notice]
            )
            batched = AsyncBatchReranker(Oracle("batched", self.ledger))
            self._open += [batched.close, cache.close]
            for reranker in (Oracle("direct", self.ledger), batched):
                door = CachedReranker(reranker, cache)
                door.warmup()
                self._open.append(door.close)
                yield Door(namespace, embedder.name, door)

    def _notice(self, event: Event) -> None:
        if isinstance(event, CacheFailed | EntryDamaged):
            self.events.append(event)

    def empty(self) -> None:
        """Remove all entries, and keep the indexes, whose making takes longer than a whole run."""
        kinds = ("v", "s", "tv", "ts")
        keys = [key for kind in kinds for key in self.client.scan_iter(f"semcache:{self._prefix}-*:{kind}:*", 1000)]
        if keys:
            self.client.unlink(*keys)
        self.ledger.origins.clear()
        self.events.clear()

    def close(self) -> None:
        for close in reversed(self._open):
            close()
