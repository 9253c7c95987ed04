"""sentence-transformers: a cross-encoder whose scores are remembered."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.errors import ConfigurationError, MissingExtraError
from semcache.integrations.backing import BackingReranker, falling_scores
from semcache.models.foreign import as_float32
from semcache.ranking import Ranking
from semcache.settings import Settings

# They say how scores are computed and given, and never which.
_HARMLESS = {"batch_size", "show_progress_bar", "convert_to_numpy", "convert_to_tensor", "num_workers", "chunk_size"}


class CachedCrossEncoder:
    """A sentence-transformers ``CrossEncoder`` that computes only what the cache does not know.

    ``model`` is a CrossEncoder, or a folder or hub name, which is loaded with ``options`` as CrossEncoder is. ``cache``
    is a RedisSemanticCache of yours, which stays open; None makes one from ``settings`` (environment and YAML unless
    given). Nothing is read or written across a ``tenant``.

    ``predict`` and ``rank`` are those of CrossEncoder, with the same results. A call with a keyword that may change the
    scores, such as ``activation_fn``, ``prompt`` or one that is unknown here, goes to the model as it is, and so do
    pairs that are not texts: nothing of it is read or remembered. All other attributes are the model's. ``arank`` is
    ``rank`` for an event loop. There are no fallbacks: an error of the model reaches the caller.

    Raises ConfigurationError for a model with several labels: a score is one number.

    Example:
        >>> model = CachedCrossEncoder("cross-encoder/ms-marco-MiniLM-L-12-v2")
        >>> model.rank("how far is the moon", passages, top_k=5, return_documents=True)
    """

    def __init__(
        self,
        model: Any,
        cache: RedisSemanticCache | None = None,
        *,
        settings: Settings | None = None,
        tenant: str = "",
        **options: Any,
    ) -> None:
        if cache is not None and settings is not None:
            raise ConfigurationError(f"settings are for a cache that is made here, and {cache!r} is given; pass one")
        self.cross_encoder: Any = _loaded(model, options) if isinstance(model, str | Path) else model
        labels = getattr(self.cross_encoder, "num_labels", 1)
        if labels != 1:
            raise ConfigurationError(
                f"the cross-encoder gives {labels} numbers per pair; pass one that gives a score (num_labels 1)"
            )
        # A cache that is held nowhere else is closed with the reranker.
        cache = RedisSemanticCache(settings=settings) if cache is None else cache
        self._cached = CachedReranker(self.cross_encoder, cache)
        self._backing = BackingReranker(self._cached)
        self._tenant = tenant

    def predict(self, inputs: Any = None, *more: Any, **keywords: Any) -> Any:
        """One score per pair, or the score of a single one, as ``CrossEncoder.predict`` gives them.

        An array, or with ``convert_to_tensor`` a tensor, or with ``convert_to_numpy=False`` a list of tensors.
        ``sentences=`` is the former name of ``inputs``.
        """
        if inputs is None and "sentences" in keywords:
            inputs = keywords.pop("sentences")
        pairs = _pairs_of(inputs)
        if more or pairs is None or _may_change_scores(keywords):
            return self.cross_encoder.predict(inputs, *more, **keywords)
        scores = self._shaped(self._backing.pair_scores(pairs, self._tenant), keywords)
        return scores[0] if _is_pair(inputs) else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        *more: Any,
        **keywords: Any,
    ) -> list[dict[str, Any]]:
        """The best ``top_k`` documents, None for all: a list of ``{"corpus_id": position, "score": float}``.

        With ``return_documents`` each has its ``text``.
        """
        texts = list(documents)
        if more or _goes_to_the_model(query, texts, top_k, keywords):
            answer: list[dict[str, Any]] = self.cross_encoder.rank(
                query, documents, top_k, return_documents, *more, **keywords
            )
            return answer
        return _results(self._backing.rerank(query, texts, top_k, tenant=self._tenant), return_documents)

    async def arank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        *more: Any,
        **keywords: Any,
    ) -> list[dict[str, Any]]:
        """``rank`` for an event loop."""
        texts = list(documents)
        if more or _goes_to_the_model(query, texts, top_k, keywords):
            rank = partial(self.cross_encoder.rank, query, documents, top_k, return_documents, *more, **keywords)
            return await asyncio.to_thread(rank)
        return _results(await self._backing.arerank(query, texts, top_k, tenant=self._tenant), return_documents)

    def get_stats(self) -> dict[str, Any]:
        """Counts of the requests that went through the cache, see ``CachedReranker.get_stats``."""
        return self._cached.get_stats()

    def close(self) -> None:
        """Close the cache that was made here; one that was passed in stays open."""
        self._cached.close()

    async def aclose(self) -> None:
        """``close`` for the running event loop's connections too."""
        await self._cached.aclose()

    def __getattr__(self, name: str) -> Any:
        # Only what is not found here; copying and pickling ask before there is a model.
        if name == "cross_encoder":
            raise AttributeError(name)
        return getattr(self.cross_encoder, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<CachedCrossEncoder {self._cached!r}>"

    def _shaped(self, scores: list[float], keywords: dict[str, Any]) -> Any:
        numbers = as_float32(scores)
        if not keywords.get("convert_to_tensor") and keywords.get("convert_to_numpy", True):
            return numbers
        from torch import tensor

        found = tensor(numbers, device=getattr(self.cross_encoder, "device", None))
        return found if keywords.get("convert_to_tensor") else list(found)


def _loaded(model: str | Path, options: dict[str, Any]) -> Any:
    try:
        from sentence_transformers import CrossEncoder
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "all") from error
    return CrossEncoder(str(model), **options)


def _may_change_scores(keywords: dict[str, Any]) -> bool:
    # None is everywhere the default, and so is False.
    return any(value is not None and value is not False for name, value in keywords.items() if name not in _HARMLESS)


def _is_pair(inputs: Any) -> bool:
    return len(inputs) == 2 and all(isinstance(one, str) for one in inputs)


def _pairs_of(inputs: Any) -> list[tuple[str, str]] | None:
    """The pairs of texts of a call; None where the model itself has to be asked what they are."""
    if not isinstance(inputs, list | tuple) or not inputs:
        return None
    pairs = [inputs] if _is_pair(inputs) else inputs
    if not all(
        isinstance(pair, list | tuple) and _is_pair(pair) and not pair[0].isspace() and pair[0] for pair in pairs
    ):
        return None
    return [(query, text) for query, text in pairs]


def _goes_to_the_model(query: Any, texts: list[Any], top_k: int | None, keywords: dict[str, Any]) -> bool:
    is_text = isinstance(query, str) and query.strip() and all(isinstance(text, str) for text in texts)
    return not is_text or not texts or (top_k is not None and top_k < 1) or _may_change_scores(keywords)


def _results(ranking: Ranking[Any], return_documents: bool) -> list[dict[str, Any]]:
    scores = falling_scores(ranking)
    results = [{"corpus_id": index, "score": score} for index, score in zip(ranking.indices, scores, strict=True)]
    if return_documents:
        return [{**result, "text": text} for result, text in zip(results, ranking, strict=True)]
    return results
