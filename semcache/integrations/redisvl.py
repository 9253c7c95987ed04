"""RedisVL: a reranker."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import PrivateAttr
from redisvl.utils.rerank import BaseReranker

from semcache.documents import reader_of, text_of
from semcache.errors import InvalidInputError, described
from semcache.integrations.backing import BackingReranker, Closing, Passage, falling_scores
from semcache.ranking import Ranking
from semcache.settings import Settings


class SemcacheReranker(Closing, BaseReranker):
    """Ranks search results, and asks its reranker only what the cache does not know.

    ``reranker`` is a pipeline or CachedReranker of yours, or any reranker, another one of RedisVL included; None takes
    all from ``settings`` (environment and YAML unless given). ``limit`` is the number of documents returned.
    ``rank_by`` names the fields of a document that are scored; without it that is its ``content`` or ``text``. Nothing
    is read or written across a ``tenant``.

    Example:
        >>> reranker = SemcacheReranker(limit=3)
        >>> documents, scores = reranker.rank("how far is the moon", index.query(vector_query))
    """

    _backing: BackingReranker = PrivateAttr()
    _tenant: str = PrivateAttr()

    def __init__(
        self,
        reranker: object = None,
        *,
        rank_by: list[str] | None = None,
        limit: int = 5,  # that of RedisVL's rerankers of services
        return_score: bool = True,
        tenant: str = "",
        settings: Settings | None = None,
    ) -> None:
        # First the arguments are checked, then a pipeline is opened, which has the name.
        super().__init__(model="", rank_by=rank_by, limit=limit, return_score=return_score)
        self._backing = BackingReranker(reranker, settings)
        self.model: str = self._backing.reranker.ladder.name
        self._tenant = tenant

    def rank(  # type: ignore[override]
        self,
        query: str,
        docs: list[dict[str, Any]] | list[str],
        *,
        limit: int | None = None,
        return_score: bool | None = None,
        rank_by: list[str] | None = None,
        tenant: str | None = None,
        deadline_s: float | None = None,
        min_score: float | None = None,
    ) -> tuple[list[dict[str, Any]], list[float]] | list[dict[str, Any]]:
        """The best documents and their scores, or the documents alone without ``return_score``.

        Arguments that are not given are the constructor's. A text comes back as ``{"content": text}``. Where the order
        is the retriever's, the scores fall by one. Raises InvalidInputError for a document without text.
        """
        passages = self._passages(docs, rank_by)
        tenant = self._tenant if tenant is None else tenant
        limit = self.limit if limit is None else limit
        ranking = self._backing.rerank(
            query, passages, limit, tenant=tenant, deadline_s=deadline_s, min_score=min_score
        )
        return _ranked(docs, ranking, self.return_score if return_score is None else return_score)

    async def arank(  # type: ignore[override]
        self,
        query: str,
        docs: list[dict[str, Any]] | list[str],
        *,
        limit: int | None = None,
        return_score: bool | None = None,
        rank_by: list[str] | None = None,
        tenant: str | None = None,
        deadline_s: float | None = None,
        min_score: float | None = None,
    ) -> tuple[list[dict[str, Any]], list[float]] | list[dict[str, Any]]:
        """``rank`` for an event loop, which is never blocked."""
        passages = self._passages(docs, rank_by)
        tenant = self._tenant if tenant is None else tenant
        limit = self.limit if limit is None else limit
        ranking = await self._backing.arerank(
            query, passages, limit, tenant=tenant, deadline_s=deadline_s, min_score=min_score
        )
        return _ranked(docs, ranking, self.return_score if return_score is None else return_score)

    def _passages(self, docs: Any, rank_by: list[str] | None) -> list[Passage | str]:
        if not isinstance(docs, list | tuple):
            raise InvalidInputError(f"docs must be a list of documents, got {described(docs)}")
        fields = rank_by or self.rank_by
        read = text_of if fields is None else reader_of(fields)
        return [doc if isinstance(doc, str) else Passage(read(doc), _retrieval_score(doc)) for doc in docs]


def _ranked(
    docs: Any, ranking: Ranking[Any], return_score: bool
) -> tuple[list[dict[str, Any]], list[float]] | list[dict[str, Any]]:
    best = [docs[index] for index in ranking.indices]
    documents = [{"content": doc} if isinstance(doc, str) else doc for doc in best]
    return (documents, falling_scores(ranking)) if return_score else documents


def _retrieval_score(doc: Any) -> float | None:
    """The similarity of a vector search, which gives its distance as a text, or the score of a full-text search."""
    if not isinstance(doc, Mapping):
        return None
    with suppress(KeyError, TypeError, ValueError):
        return 1.0 - float(doc["vector_distance"])
    with suppress(KeyError, TypeError, ValueError):
        return float(doc["score"])
    return None
