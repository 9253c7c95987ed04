"""Whole result lists over a cache, as the cache has them that semcache replaces."""

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from semcache.flow.outcome import in_order_of, lookup
from semcache.flow.requests import checked_request
from semcache.flow.rerank import remember
from semcache.flow.results import find_results, ranks
from semcache.flow.run import arun, run
from semcache.flow.steps import Step
from semcache.scoped_cache import ScopedCache

D = TypeVar("D")


class ResultLists:
    """The lists of a cache. Where it has none for a request, the scores of the one reranker over it give the order."""

    def __init__(self, cache: ScopedCache) -> None:
        self._cache = cache
        self._lists = cache.lists()

    def get(self, query: str, documents: Sequence[D]) -> list[D] | None:
        """``RedisSemanticCache.get``."""
        request = checked_request(query, documents, 1, read=self._cache.read)
        calls = self._lists.calls(budget_s=self._cache.budget_s)
        found = run(find_results(request, documents, self._cache.policy()), calls)
        scored = self._cache.scored() if found is None else None
        if scored is None:
            return found
        known = run(scored.find(request), scored.calls(budget_s=self._cache.budget_s))
        return in_order_of(lookup(request, known), documents)

    async def aget(self, query: str, documents: Sequence[D]) -> list[D] | None:
        """``get`` for an event loop."""
        request = checked_request(query, documents, 1, read=self._cache.read)
        calls = self._lists.async_calls(budget_s=self._cache.budget_s)
        found = await arun(find_results(request, documents, self._cache.policy()), calls)
        scored = self._cache.scored() if found is None else None
        if scored is None:
            return found
        known = await arun(scored.find(request), scored.async_calls(budget_s=self._cache.budget_s))
        return in_order_of(lookup(request, known), documents)

    def set(self, query: str, documents: Sequence[object], results: Sequence[object]) -> None:
        """``RedisSemanticCache.set``."""
        run(self._remember(query, documents, results), self._lists.calls())

    async def aset(self, query: str, documents: Sequence[object], results: Sequence[object]) -> None:
        """``set`` for an event loop."""
        await arun(self._remember(query, documents, results), self._lists.async_calls())

    def _remember(
        self, query: str, documents: Sequence[object], results: Sequence[object]
    ) -> Generator[Step, Any, bool]:
        request = checked_request(query, documents, 1, read=self._cache.read)
        return remember(request, self._cache.policy(), ranks(request, results, self._cache.read))

    def __repr__(self) -> str:
        return f"<ResultLists of {self._cache.reranker!r}>"
