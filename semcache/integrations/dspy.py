"""DSPy: a module that reranks what a retriever finds."""

import asyncio
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

from semcache.documents import retriever_scores, text_of
from semcache.errors import ConfigurationError, InvalidInputError, MissingExtraError, described
from semcache.flow.requests import check_count
from semcache.integrations.backing import BackingReranker, Closing, Passage, falling_scores
from semcache.ranking import Ranking
from semcache.settings import Settings

try:
    from dspy import Module, Prediction
except ImportError as _error:
    raise MissingExtraError("dspy", "dspy") from _error


class SemcacheRerank(Closing, Module):
    """Retrieves, reranks, and asks the reranker only what the cache does not know.

    ``retriever`` is a module or function that gives passages for a query: a Prediction with ``passages``, or a list. A
    passage is a text, or has a ``long_text``. ``reranker`` is a pipeline or CachedReranker of yours, or any reranker;
    None takes all from ``settings`` (environment and YAML unless given). ``k`` is the number of passages returned.
    Nothing is read or written across a ``tenant``. ``deadline_s`` (seconds, without the retrieval) and ``min_score``
    (in the units of the reranker's scores) are those of ``CachedReranker.rerank``. Copies that optimisers make share
    the reranker.

    Example:
        >>> search = SemcacheRerank(dspy.retrievers.Embeddings(corpus, embedder, k=50), k=5)
        >>> search("how far is the moon").passages
    """

    def __init__(
        self,
        retriever: Any,
        reranker: object = None,
        *,
        k: int = 3,  # that of dspy.Retrieve
        tenant: str = "",
        deadline_s: float | None = None,
        min_score: float | None = None,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        if not callable(retriever):
            raise ConfigurationError(f"retriever is a {type(retriever).__name__}; pass a module or function of a query")
        check_count("k", k)
        self.retriever = retriever
        self.k = k
        self.tenant = tenant
        self.deadline_s = deadline_s
        self.min_score = min_score
        self._backing = BackingReranker(reranker, settings)

    def forward(self, query: str, k: int | None = None, **more: Any) -> Prediction:
        """The best ``k`` passages: a Prediction with ``passages``, ``scores`` and ``status``.

        What else the retriever says of each passage, such as ``indices``, comes in the same order. ``more`` is passed
        to the retriever.
        """
        found = self.retriever(query, **more)
        passages = _passages_of(found)
        return _prediction(found, self._backing.rerank(query, _sent(passages), self._count(k), **self._options()))

    async def aforward(self, query: str, k: int | None = None, **more: Any) -> Prediction:
        """``forward`` for an event loop, which is never blocked."""
        found = await self._retrieved(query, **more)
        passages = _passages_of(found)
        ranking = await self._backing.arerank(query, _sent(passages), self._count(k), **self._options())
        return _prediction(found, ranking)

    async def _retrieved(self, query: str, **more: Any) -> Any:
        if hasattr(self.retriever, "aforward"):
            return await self.retriever.acall(query, **more)
        if inspect.iscoroutinefunction(self.retriever):
            return await self.retriever(query, **more)
        return await asyncio.to_thread(partial(self.retriever, query, **more))

    def _count(self, k: int | None) -> int:
        if k is not None:
            check_count("k", k, InvalidInputError)
        return self.k if k is None else k

    def _options(self) -> dict[str, Any]:
        return {"tenant": self.tenant, "deadline_s": self.deadline_s, "min_score": self.min_score}


def _passages_of(found: Any) -> list[Any]:
    passages = found.get("passages") if isinstance(found, Prediction) else found
    if isinstance(passages, str) or not isinstance(passages, Sequence):
        raise InvalidInputError(
            f"the retriever gave {described(found)}; it must give a list of passages, or a Prediction that has one"
        )
    return list(passages)


def _sent(passages: Sequence[Any]) -> list[Passage | str]:
    texts = [passage if isinstance(passage, str) else _text_of(passage) for passage in passages]
    scores: Sequence[float | None] = retriever_scores(passages) or [None] * len(passages)
    return [Passage(text, score) if text else "" for text, score in zip(texts, scores, strict=True)]


def _text_of(passage: Any) -> str:
    # The dictionaries of DSPy's retrievers have their keys as attributes, too.
    text = getattr(passage, "long_text", None) or (passage.get("long_text") if isinstance(passage, dict) else None)
    return text if isinstance(text, str) else text_of(passage)


def _prediction(found: Any, ranking: Ranking[Any]) -> Prediction:
    fields = dict(found.items()) if isinstance(found, Prediction) else {"passages": found}
    count = len(fields["passages"])
    in_order = {
        name: [values[index] for index in ranking.indices]
        for name, values in fields.items()
        if isinstance(values, Sequence) and not isinstance(values, str) and len(values) == count
    }
    return Prediction(**{**fields, **in_order, "scores": falling_scores(ranking), "status": ranking.status.value})
