"""The caches that are put through faults: semcache, and its peers as their users put them in front of a reranker."""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from semcache import OptimizedRerankerPipeline, Ranking
from semcache.settings import Settings
from tests.faults.models import ScriptedEmbedder, ScriptedReranker

EXTRAS = Path(__file__).parents[2] / ".integrations"
"""Where `make test` installs langchain-redis."""
TRUST = 0.95
"""Similarity from which answers of another query are served, for all subjects."""
_HITS = ("exact", "semantic", "verified", "partial")


@dataclass(frozen=True, slots=True)
class Answer:
    """``order`` is what the caller gets; ``is_hit`` whether the cache saved work, ``is_degraded`` as semcache says."""

    order: list[str]
    is_hit: bool
    is_degraded: bool = False


class Subject(Protocol):
    """A reranker behind a cache."""

    name: str

    def rerank(self, query: str, documents: Sequence[str], k: int, tenant: str = "") -> Answer: ...

    async def arerank(self, query: str, documents: Sequence[str], k: int, tenant: str = "") -> Answer: ...

    def told(self) -> Counter[str]:
        """How many events of each kind there were so far, and how many ``warnings``."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What a subject is made of.

    ``budget_s`` and ``timeout_s`` are for one request and for one command of Redis. ``threshold_s`` is how long the
    reranker may take before it counts as slow. ``guard`` is semcache's: None unless queries are language.
    """

    url: str
    embedder: ScriptedEmbedder
    reranker: ScriptedReranker
    namespace: str = "faults"
    budget_s: float = 0.05
    timeout_s: float = 0.25
    threshold_s: float = 2.0
    guard: str | None = None


class Semcache:
    """The pipeline with its defaults."""

    name = "semcache"

    def __init__(self, setup: Setup) -> None:
        self._heard: list[str] = []
        self._warnings = _Warnings(self._heard)
        logging.getLogger("semcache").addHandler(self._warnings)
        self.pipeline = OptimizedRerankerPipeline(
            setup.reranker,
            None,
            setup.url,
            p95_threshold=setup.threshold_s,
            similarity_threshold=TRUST,
            embedding_model=setup.embedder,
            settings=Settings(
                redis={"budget_s": setup.budget_s, "timeout_s": setup.timeout_s},
                cache={"namespace": setup.namespace},
            ),
            observers=[self._hear],
            guard=setup.guard,
        )

    def _hear(self, event: object) -> None:
        self._heard.append(type(event).__name__)

    def rerank(self, query: str, documents: Sequence[str], k: int, tenant: str = "") -> Answer:
        return _answer(self.pipeline.rerank(query, documents, k, tenant=tenant))

    async def arerank(self, query: str, documents: Sequence[str], k: int, tenant: str = "") -> Answer:
        return _answer(await self.pipeline.arerank(query, documents, k, tenant=tenant))

    def told(self) -> Counter[str]:
        return Counter(list(self._heard))

    def close(self) -> None:
        self.pipeline.close()
        logging.getLogger("semcache").removeHandler(self._warnings)


def _answer(ranking: Ranking[str]) -> Answer:
    return Answer(list(ranking), ranking.status in _HITS, ranking.status == "degraded")


class _Warnings(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append("warnings")


class _Peer:
    """Asks a cache of answers, then the reranker, and stores the order: the way that documentation shows."""

    name = ""

    def __init__(self, setup: Setup) -> None:
        self._reranker = setup.reranker

    def look_up(self, query: str, tenant: str) -> str | None:
        raise NotImplementedError

    def store(self, query: str, answer: str, tenant: str) -> None:
        raise NotImplementedError

    async def alook_up(self, query: str, tenant: str) -> str | None:
        raise NotImplementedError

    async def astore(self, query: str, answer: str, tenant: str) -> None:
        raise NotImplementedError

    def rerank(self, query: str, documents: Sequence[str], k: int, tenant: str = "") -> Answer:
        if (found := self.look_up(query, tenant)) is not None:
            return Answer(json.loads(found), is_hit=True)
        order = self._order(query, documents, k)
        self.store(query, json.dumps(order), tenant)
        return Answer(order, is_hit=False)

    async def arerank(self, query: str, documents: Sequence[str], k: int, tenant: str = "") -> Answer:
        if (found := await self.alook_up(query, tenant)) is not None:
            return Answer(json.loads(found), is_hit=True)
        order = await asyncio.to_thread(self._order, query, documents, k)
        await self.astore(query, json.dumps(order), tenant)
        return Answer(order, is_hit=False)

    def _order(self, query: str, documents: Sequence[str], k: int) -> list[str]:
        scores = self._reranker.score([(query, text) for text in documents])
        return [documents[place] for place in np.argsort(-scores, kind="stable")[:k]]

    def told(self) -> Counter[str]:
        return Counter()

    def close(self) -> None:
        """Nothing: what hangs is left to the end of the process."""


class RedisVL(_Peer):
    """``SemanticCache`` with a tag for the tenant, as its guide to filterable fields has it."""

    name = "RedisVL SemanticCache"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        from redisvl.extensions.cache.llm import SemanticCache
        from redisvl.utils.vectorize import CustomTextVectorizer

        def embed(text: str) -> list[float]:
            return [float(number) for number in setup.embedder.embed([text])[0]]

        async def aembed(text: str) -> list[float]:
            return await asyncio.to_thread(embed, text)

        self.cache = SemanticCache(
            name=setup.namespace,
            distance_threshold=1 - TRUST,
            ttl=3600,
            vectorizer=CustomTextVectorizer(embed=embed, aembed=aembed),
            redis_url=setup.url,
            filterable_fields=[{"name": "tenant", "type": "tag"}],
        )

    def look_up(self, query: str, tenant: str) -> str | None:
        return _response(self.cache.check(query, filter_expression=_of(tenant)))

    def store(self, query: str, answer: str, tenant: str) -> None:
        self.cache.store(query, answer, filters={"tenant": tenant} if tenant else None)

    async def alook_up(self, query: str, tenant: str) -> str | None:
        return _response(await self.cache.acheck(query, filter_expression=_of(tenant)))

    async def astore(self, query: str, answer: str, tenant: str) -> None:
        await self.cache.astore(query, answer, filters={"tenant": tenant} if tenant else None)


def _response(found: list[dict[str, Any]]) -> str | None:
    return found[0]["response"] if found else None


def _of(tenant: str) -> Any:
    from redisvl.query.filter import Tag

    return Tag("tenant") == tenant if tenant else None


class LangChain(_Peer):
    """``RedisSemanticCache`` of langchain-redis; each tenant has a cache with a prefix, which is there for that."""

    name = "langchain-redis RedisSemanticCache"

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        _find_extras()
        from langchain_core.embeddings import Embeddings
        from langchain_core.outputs import Generation
        from langchain_redis import RedisSemanticCache

        class Given(Embeddings):
            def embed_query(self, text: str) -> list[float]:
                return [float(number) for number in setup.embedder.embed([text])[0]]

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return [self.embed_query(text) for text in texts]

        self._generation = Generation
        self._cache_of = cache(
            lambda tenant: RedisSemanticCache(
                Given(),
                redis_url=setup.url,
                distance_threshold=1 - TRUST,
                ttl=3600,
                name=setup.namespace,
                prefix=tenant or None,
            )
        )
        self._cache_of("")

    def look_up(self, query: str, tenant: str) -> str | None:
        return _text(self._cache_of(tenant).lookup(query, "reranker"))

    def store(self, query: str, answer: str, tenant: str) -> None:
        self._cache_of(tenant).update(query, "reranker", [self._generation(text=answer)])

    async def alook_up(self, query: str, tenant: str) -> str | None:
        return _text(await self._cache_of(tenant).alookup(query, "reranker"))

    async def astore(self, query: str, answer: str, tenant: str) -> None:
        await self._cache_of(tenant).aupdate(query, "reranker", [self._generation(text=answer)])


def _text(found: Any) -> str | None:
    return found[0].text if found else None


def _find_extras() -> None:
    if str(EXTRAS) not in sys.path:
        # Last, so that nothing in .venv is replaced.
        sys.path.append(str(EXTRAS))


SUBJECTS: dict[str, Callable[[Setup], Subject]] = {kind.name: kind for kind in (Semcache, RedisVL, LangChain)}


def missing(name: str) -> str:
    """Why a subject cannot be used here, or nothing."""
    _find_extras()
    try:
        if name == LangChain.name:
            import langchain_redis  # noqa: F401 - only whether it can be imported
    except ImportError as error:
        return f"{error}; `make test` installs it into {EXTRAS.name} when PyPI can be reached"
    return ""
