"""Haystack: a ranker component."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from semcache.causes import cause_of
from semcache.errors import ConfigurationError, InvalidInputError, MissingExtraError, TransientStoreError
from semcache.events import CacheFailed
from semcache.flow.requests import check_count
from semcache.integrations.backing import BackingReranker, Passage
from semcache.ranking import Ranking
from semcache.runtime.forking import ForkSafeLock
from semcache.settings import Settings, hidden

try:
    from haystack import Document, component, default_from_dict, default_to_dict, tracing
    from haystack.core.errors import SerializationError
    from haystack.core.serialization import component_to_dict
    from haystack.utils import Secret, deserialize_secrets_inplace
    from haystack.utils.deserialization import deserialize_component_inplace
except ImportError as _error:
    raise MissingExtraError("haystack-ai", "haystack") from _error


@component
class SemcacheRanker:
    """Ranks documents, and asks its reranker only what the cache does not know.

    ``reranker`` is a model name, another Haystack ranker, any reranker, or a pipeline or CachedReranker of yours; None
    takes the ladder of the settings. ``settings`` are those of ``semcache.Settings`` as a mapping, over environment and
    YAML; ``redis_url`` is a Secret that stands above them. Nothing is opened or loaded before ``warm_up``, which
    pipelines call.

    ``top_k`` documents come back with the reranker's score, but for those below ``score_threshold``; where the order is
    the retriever's, so are the scores. ``meta_fields_to_embed`` are scored before the content, joined by
    ``embedding_separator``. ``use_embeddings`` is for documents whose embeddings are of the cache's own embedder: they
    let more be skipped. Nothing is read or written across a ``tenant``. ``deadline_s`` is in seconds.

    It is written to a file unless its reranker or its settings cannot be: the rerankers are a name, a Haystack ranker
    or None, and secrets stand in the environment. To load it, ``Pipeline.loads`` of Haystack 3 wants
    ``allowed_modules=["semcache.*"]``. Raises ConfigurationError for settings that cannot be used.

    Example:
        >>> pipeline.add_component("ranker", SemcacheRanker(top_k=3))
        >>> pipeline.connect("retriever.documents", "ranker.documents")
        >>> pipeline.run({"retriever": {"query": query}, "ranker": {"query": query, "tenant": "shop-a"}})
    """

    def __init__(
        self,
        reranker: Any = None,
        *,
        top_k: int = 10,  # that of Haystack's own rankers
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        use_embeddings: bool = False,
        tenant: str = "",
        deadline_s: float | None = None,
        settings: dict[str, Any] | None = None,
        redis_url: Secret | None = None,
    ) -> None:
        check_count("top_k", top_k)
        if settings is not None:
            Settings(**settings)  # a misspelt one is to be seen now, and not when the pipeline runs
        self.reranker = reranker
        self.top_k = top_k
        self.score_threshold = score_threshold
        self.meta_fields_to_embed: list[str] = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator
        self.use_embeddings = use_embeddings
        self.tenant = tenant
        self.deadline_s = deadline_s
        self.settings = settings
        self.redis_url = redis_url
        self._backing: BackingReranker | None = None
        self._opening = ForkSafeLock()

    def warm_up(self) -> None:
        """Open the pipeline and load its models, once; a ready one is as warm as its owner has made it.

        Raises what ``warmup`` of a pipeline raises, but not for a Redis that is away: requests are answered without it.
        """
        if self._backing is not None:
            return
        with self._opening:
            if self._backing is None:
                self._backing = _warm(self._opened())

    async def warm_up_async(self) -> None:
        """``warm_up`` without blocking the event loop."""
        if self._backing is None:
            await asyncio.to_thread(self.warm_up)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        tenant: str | None = None,
    ) -> dict[str, list[Document]]:
        """``{"documents": the best top_k of them, best first}``; arguments that are not given are the constructor's.

        Raises what ``CachedReranker.rerank`` raises.
        """
        self.warm_up()
        documents = _distinct(documents)
        options = self._options(documents, score_threshold, tenant)
        ranking = self._open_backing().rerank(query, self._sent(documents), self._count(top_k), **options)
        return {"documents": _ranked(documents, ranking)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
        tenant: str | None = None,
    ) -> dict[str, list[Document]]:
        """``run`` for an event loop."""
        await self.warm_up_async()
        documents = _distinct(documents)
        options = self._options(documents, score_threshold, tenant)
        ranking = await self._open_backing().arerank(query, self._sent(documents), self._count(top_k), **options)
        return {"documents": _ranked(documents, ranking)}

    def to_dict(self) -> dict[str, Any]:
        """Everything that makes it, without secrets. Raises SerializationError where that cannot be written."""
        secret = _secret_in(self.settings)
        if secret is not None:
            raise SerializationError(
                f"settings hold a secret in {secret}, which must not be written to a file; set it in the environment, "
                "or the Redis url by redis_url=Secret.from_env_var(...)"
            )
        written: dict[str, Any] = default_to_dict(
            self,
            reranker=self._written_reranker(),
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            meta_fields_to_embed=self.meta_fields_to_embed,
            embedding_separator=self.embedding_separator,
            use_embeddings=self.use_embeddings,
            tenant=self.tenant,
            deadline_s=self.deadline_s,
            settings=self.settings,
            redis_url=None if self.redis_url is None else self.redis_url.to_dict(),
        )
        return written

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SemcacheRanker":
        """The ranker that ``to_dict`` wrote.

        Haystack's list of allowed modules says whether a ranker in it may be imported.
        """
        arguments = dict(data.get("init_parameters", {}))
        if isinstance(arguments.get("reranker"), dict):
            deserialize_component_inplace(arguments, key="reranker")
        deserialize_secrets_inplace(arguments, keys=["redis_url"])
        made: SemcacheRanker = default_from_dict(cls, {**data, "init_parameters": arguments})
        return made

    def close(self) -> None:
        """Close the pipeline that was made here; one that was passed in stays open."""
        backing, self._backing = self._backing, None
        if backing is not None:
            backing.close()

    async def close_async(self) -> None:
        """``close`` for the running event loop's connections too."""
        backing, self._backing = self._backing, None
        if backing is not None:
            await backing.aclose()

    def _opened(self) -> BackingReranker:
        if self.redis_url is None:
            return BackingReranker(self.reranker, None if self.settings is None else Settings(**self.settings))
        url = {"url": self.redis_url.resolve_value()}
        values = self.settings or {}
        return BackingReranker(self.reranker, Settings(**{**values, "redis": {**values.get("redis", {}), **url}}))

    def _open_backing(self) -> BackingReranker:
        # Another thread may close it at any time.
        if self._backing is None:
            raise ConfigurationError("the ranker was closed during a request; close it when all requests have ended")
        return self._backing

    def _written_reranker(self) -> Any:
        if self.reranker is None or isinstance(self.reranker, str):
            return self.reranker
        if not hasattr(self.reranker, "__haystack_input__"):
            raise SerializationError(
                f"reranker is a {type(self.reranker).__name__}, which cannot be written to a file; pass the name of a "
                "model or a Haystack ranker, or say it in the settings (rerankers)"
            )
        return component_to_dict(self.reranker, "reranker")

    def _sent(self, documents: Sequence[Document]) -> list[Document | Passage | str]:
        sent: list[Document | Passage | str] = []
        for document in documents:
            fields = [str(document.meta[name]) for name in self.meta_fields_to_embed if document.meta.get(name)]
            text = self.embedding_separator.join([*fields, document.content or ""])
            # A document of an image has no text, and is scored as an empty one.
            sent.append("" if not text else Passage(text, document.score) if fields else document)
        return sent

    def _options(
        self, documents: Sequence[Document], score_threshold: float | None, tenant: str | None
    ) -> dict[str, Any]:
        options: dict[str, Any] = {
            "tenant": self.tenant if tenant is None else tenant,
            "deadline_s": self.deadline_s,
            "min_score": self.score_threshold if score_threshold is None else score_threshold,
        }
        vectors = [document.embedding for document in documents] if self.use_embeddings else [None]
        if documents and not any(vector is None for vector in vectors):
            options["document_vectors"] = np.array(vectors, dtype=np.float32)
        return options

    def _count(self, top_k: int | None) -> int:
        if top_k is not None:
            check_count("top_k", top_k, InvalidInputError)
        return self.top_k if top_k is None else top_k


def _warm(backing: BackingReranker) -> BackingReranker:
    if not backing.is_ready:
        try:
            backing.reranker.warmup()
        except TransientStoreError as error:
            backing.reranker.cache.scoped.on_event(CacheFailed("Connect", cause_of(error)))
        except BaseException:  # also an interrupt: the pipeline's threads and connections would stay
            backing.close()
            raise
    return backing


def _distinct(documents: Sequence[Document]) -> list[Document]:
    """One document per id, the one with the best score: a joiner may pass what several retrievers found."""
    best: dict[str, Document] = {}
    for document in documents:
        known = best.setdefault(document.id, document)
        if document.score is not None and (known.score is None or known.score < document.score):
            best[document.id] = document
    return list(best.values())


def _ranked(documents: Sequence[Document], ranking: Ranking[Any]) -> list[Document]:
    span = tracing.tracer.current_span()
    if span is not None:
        span.set_tags({f"semcache.{name}": getattr(ranking, name) for name in ("status", "why", "asked", "reused")})
    best = [documents[index] for index in ranking.indices]
    if ranking.scores is None:
        return best
    return [replace(document, score=score) for document, score in zip(best, ranking.scores, strict=True)]


def _secret_in(settings: Any, path: tuple[str, ...] = ()) -> str | None:
    """The dotted name of the first setting that holds a secret, None without one."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(settings, Mapping):
        items = settings.items()
    elif isinstance(settings, list | tuple):
        items = enumerate(settings)
    for name, value in items:
        here = (*path, str(name))
        is_secret = str(name).endswith(("_key", "_keys")) or (name == "url" and hidden(value) != value)
        found = ".".join(here) if is_secret and value else _secret_in(value, here)
        if found is not None:
            return found
    return None
