"""The reranker behind every integration, with what callers of other libraries expect of one.

Their rerankers take an empty list of documents, and a blank query: what a person typed comes to them unchecked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self, TypeVar

from semcache.cached import CachedReranker
from semcache.errors import ConfigurationError
from semcache.events import Reranked
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.ranking import Ranking, Status
from semcache.settings import FROM_SETTINGS, Settings

D = TypeVar("D")

_BLANK = "the query is blank"


class BackingReranker:
    """Asks one CachedReranker, which it closes if it has made it.

    ``reranker`` is a CachedReranker or an OptimizedRerankerPipeline, which stays open; or any other reranker, which
    becomes the primary of a pipeline; or None for a pipeline all from ``settings`` (environment and YAML unless given).
    Raises what a pipeline's constructor raises, and ConfigurationError for settings beside a ready reranker.
    """

    def __init__(self, reranker: object = None, settings: Settings | None = None) -> None:
        self.is_ready: bool = isinstance(reranker, CachedReranker)
        if isinstance(reranker, CachedReranker):
            if settings is not None:
                raise ConfigurationError(
                    f"settings are for a pipeline that is made here, and {reranker!r} has its own; leave them out"
                )
            self.reranker: CachedReranker = reranker
        else:
            primary = FROM_SETTINGS if reranker is None else reranker
            self.reranker = OptimizedRerankerPipeline.from_settings(settings, primary=primary)

    def rerank(self, query: str, documents: Sequence[D], top_n: int | None, **options: Any) -> Ranking[D]:
        """The best ``top_n`` documents, None for all; ``options`` are those of ``CachedReranker.rerank``.

        No documents give an empty ranking. Of a blank query the documents keep their order, with the status degraded,
        the reason ``blank``, and an event that says so.
        """
        if not documents or not query.strip():
            return self._as_retrieved(documents, top_n, options.get("tenant", ""))
        return self.reranker.rerank(query, documents, len(documents) if top_n is None else top_n, **options)

    async def arerank(self, query: str, documents: Sequence[D], top_n: int | None, **options: Any) -> Ranking[D]:
        """``rerank`` for an event loop."""
        if not documents or not query.strip():
            return self._as_retrieved(documents, top_n, options.get("tenant", ""))
        return await self.reranker.arerank(query, documents, len(documents) if top_n is None else top_n, **options)

    def pair_scores(self, pairs: Sequence[tuple[str, str]], tenant: str) -> list[float]:
        """One score per (query, text), in order; what was asked about one query is one request.

        Where an order is the retriever's, its scores fall by one with each text: 0, -1, -2.
        """
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            places.setdefault(query, []).append(place)
        scores = [0.0] * len(pairs)
        for query, of_query in places.items():
            ranking = self.rerank(query, [pairs[place][1] for place in of_query], None, tenant=tenant)
            for index, score in zip(ranking.indices, falling_scores(ranking), strict=True):
                scores[of_query[index]] = score
        return scores

    def close(self) -> None:
        """Close the reranker, unless it was passed in ready."""
        if not self.is_ready:
            self.reranker.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        if not self.is_ready:
            await self.reranker.aclose()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: copies of what it belongs to, as optimisers of programs make them, share connections and models."""
        return self

    def _as_retrieved(self, documents: Sequence[D], top_n: int | None, tenant: str) -> Ranking[D]:
        started = monotonic()
        kept = tuple(documents[:top_n])
        ranking = Ranking(kept, tuple(range(len(kept))), None, Status.DEGRADED, "retrieval-order", "blank", why=_BLANK)
        if documents:
            self.reranker.cache.scoped.on_event(
                Reranked(
                    status=ranking.status,
                    reason=ranking.reason,
                    reranker=ranking.reranker,
                    tenant=tenant,
                    documents=len(documents),
                    asked=0,
                    reused=0,
                    rounds=0,
                    similarity=None,
                    drift=None,
                    duration_s=monotonic() - started,
                    why=ranking.why,
                )
            )
        return ranking


@dataclass(frozen=True, slots=True)
class Passage:
    """A text with the score of its retriever, which is read only when a request needs it."""

    text: str
    score: float | None


class Closing:
    """A part of another library that closes its reranker, also as a context manager."""

    _backing: BackingReranker

    def close(self) -> None:
        """Close the pipeline that was made here; one that was passed in stays open."""
        self._backing.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        await self._backing.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def falling_scores(ranking: Ranking[Any]) -> list[float]:
    """The scores of a ranking; 0, -1, -2 and so on where there are none, since the order is the retriever's."""
    return [float(-rank) for rank in range(len(ranking))] if ranking.scores is None else list(ranking.scores)
