"""Gives callers their rankings, and tells observers of each."""

from collections.abc import Hashable, Mapping, Sequence
from time import monotonic
from typing import TypeVar

from semcache.cache import RedisSemanticCache
from semcache.flow.outcome import Outcome, ranking, reranked, saved_time_s
from semcache.flow.requests import Request
from semcache.flow.singleflight import flight_key
from semcache.observers.counters import Counters
from semcache.ranking import Ranking
from semcache.runtime.budget import TimeBudget

D = TypeVar("D")


class Answers:
    """What callers of the reranker called ``name`` get. ``counters`` know what a call of it costs.

    Callers that shared one computation each have their documents and their event.
    """

    def __init__(self, cache: RedisSemanticCache, counters: Counters, name: str) -> None:
        self._cache = cache
        self._counters = counters
        self._name = name

    def ranking(
        self,
        request: Request,
        documents: Sequence[D],
        outcome: Outcome,
        started: float,
        budget: TimeBudget | None = None,
    ) -> Ranking[D]:
        """The ranking for one caller, whose request began at ``started`` and may wait for Redis by ``budget``."""
        redis_s = None if budget is None else budget.spent_s
        saved_s = saved_time_s(outcome, self._counters.call_cost(self._name))
        captures = self._cache.captures_queries
        duration_s = monotonic() - started
        self._cache.on_event(reranked(request, outcome, duration_s, redis_s, saved_s, captures_query=captures))
        return ranking(request, documents, outcome)

    def rankings(
        self,
        requests: Sequence[Request],
        documents_list: Sequence[Sequence[D]],
        outcomes: Mapping[Hashable, Outcome],
        started: float,
    ) -> list[Ranking[D]]:
        """One ranking per request; ``outcomes`` are by ``flight_key``, as equal requests share one."""
        return [
            self.ranking(request, documents, outcomes[flight_key(request)], started)
            for request, documents in zip(requests, documents_list, strict=True)
        ]

    def __repr__(self) -> str:
        return f"<Answers of {self._name!r}>"
