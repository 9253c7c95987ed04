"""Gives callers their rankings, and tells observers of each."""

from collections.abc import Hashable, Mapping, Sequence
from time import monotonic
from typing import TypeVar

from semcache.flow.outcome import Outcome, as_shared, ranking, reranked, saved_time_s
from semcache.flow.requests import Request
from semcache.flow.singleflight import flight_key
from semcache.observers.counters import Counters
from semcache.ranking import Ranking
from semcache.runtime.budget import TimeBudget
from semcache.scoped_cache import ScopedCache

D = TypeVar("D")


class Answers:
    """Makes the answers that callers of the reranker ``name`` get. ``counters`` know what a call of it costs.

    Callers that shared one computation each have their documents and their event; its pairs count once.
    """

    def __init__(self, cache: ScopedCache, counters: Counters, name: str) -> None:
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
        *,
        is_shared: bool = False,
    ) -> Ranking[D]:
        """The ranking for one caller, whose request began at ``started`` and may wait for Redis by ``budget``.

        ``is_shared`` says that it waited for the computation of an equal request.
        """
        redis_s = None if budget is None else budget.spent_s
        counted = as_shared(outcome) if is_shared else outcome
        saved_s = saved_time_s(counted, self._counters.call_cost(self._name))
        captures = self._cache.captures_queries
        duration_s = monotonic() - started
        self._cache.on_event(reranked(request, counted, duration_s, redis_s, saved_s, captures_query=captures))
        return ranking(request, documents, outcome)

    def rankings(
        self,
        requests: Sequence[Request],
        documents_list: Sequence[Sequence[D]],
        outcomes: Mapping[Hashable, Outcome],
        started: float,
    ) -> list[Ranking[D]]:
        """One ranking per request; ``outcomes`` are by ``flight_key``, as equal requests share one."""
        answered: list[Ranking[D]] = []
        computed: set[Hashable] = set()
        for request, documents in zip(requests, documents_list, strict=True):
            key = flight_key(request)
            answered.append(self.ranking(request, documents, outcomes[key], started, is_shared=key in computed))
            computed.add(key)
        return answered

    def __repr__(self) -> str:
        return f"<Answers of {self._name!r}>"
