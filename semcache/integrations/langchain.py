"""LangChain: a document compressor, and a cross-encoder for the stock ``CrossEncoderReranker``."""

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, PrivateAttr

from semcache.errors import InvalidInputError, MissingExtraError
from semcache.integrations.backing import BackingReranker, Closing
from semcache.ranking import Ranking
from semcache.settings import Settings

try:
    from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from langchain_core.runnables.config import ensure_config
except ImportError as _error:
    raise MissingExtraError("langchain-core", "langchain") from _error


class SemcacheCompressor(Closing, BaseDocumentCompressor):
    """Reranks the documents of a retriever, and asks its reranker only what the cache does not know.

    ``reranker`` is a pipeline or CachedReranker of yours, or any reranker, another compressor included; None takes all
    from ``settings`` (environment and YAML unless given). ``top_n`` is the number of documents returned, None for all.

    Nothing is read or written across a ``tenant``. With ``tenant_key`` it is not fixed: each call says it in the
    metadata of its config, under that key, and a call that does not say it is refused. ``deadline_s`` (seconds) and
    ``min_score`` (in the units of the reranker's scores) are those of ``CachedReranker.rerank``.

    Documents that come back are copies with ``relevance_score`` in their metadata, as other rerankers of LangChain
    write it; without it where the order is the retriever's. Callbacks hear of a run with the status and its reason.
    Close it where it has made its own pipeline.

    Example:
        >>> compressor = SemcacheCompressor(reranker=my_cross_encoder, top_n=3, tenant_key="shop")
        >>> retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=my_retriever)
        >>> retriever.invoke("how far is the moon", config={"metadata": {"shop": "a"}})
    """

    reranker: Any = None
    settings: Settings | None = None
    # 3 is the default of LangChain's CrossEncoderReranker and CohereRerank.
    top_n: int | None = Field(default=3, ge=1)
    tenant: str = ""
    tenant_key: str | None = None
    deadline_s: float | None = Field(default=None, gt=0)
    min_score: float | None = None
    _backing: BackingReranker = PrivateAttr()

    model_config: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def model_post_init(self, context: Any, /) -> None:
        """Open the pipeline, unless a ready one was given."""
        super().model_post_init(context)
        self._backing = BackingReranker(self.reranker, self.settings)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """The best ``top_n`` documents, best first. Raises what ``CachedReranker.rerank`` raises."""
        manager = CallbackManager.configure(_given_or_current(callbacks))
        run = manager.on_chain_start(None, _asked(query, documents), name=type(self).__name__)
        try:
            ranking = self._backing.rerank(query, _sent(documents), self.top_n, **self._options(manager))
            compressed = _compressed(documents, ranking)
        except BaseException as error:  # also a cancellation: callbacks hear of each run that ends
            run.on_chain_error(error)
            raise
        run.on_chain_end({**ranking.to_dict(), "documents": compressed})
        return compressed

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """``compress_documents`` for an event loop, which is never blocked."""
        manager = AsyncCallbackManager.configure(_given_or_current(callbacks))
        run = await manager.on_chain_start(None, _asked(query, documents), name=type(self).__name__)
        try:
            ranking = await self._backing.arerank(query, _sent(documents), self.top_n, **self._options(manager))
            compressed = _compressed(documents, ranking)
        except BaseException as error:  # also a cancellation: callbacks hear of each run that ends
            await run.on_chain_error(error)
            raise
        await run.on_chain_end({**ranking.to_dict(), "documents": compressed})
        return compressed

    def _options(self, manager: Any) -> dict[str, Any]:
        return {"tenant": self._tenant_of(manager), "deadline_s": self.deadline_s, "min_score": self.min_score}

    def _tenant_of(self, manager: Any) -> str:
        if self.tenant_key is None:
            return self.tenant
        tenant = manager.metadata.get(self.tenant_key)
        # Without a tenant the call would read and write what belongs to all.
        if not isinstance(tenant, str) or not tenant:
            config = f"config={{'metadata': {{{self.tenant_key!r}: '...'}}}}"
            raise InvalidInputError(f"the tenant of this call is {tenant!r:.80}; say it in the call: {config}")
        return tenant


def _given_or_current(callbacks: Callbacks) -> Callbacks:
    # A caller within a runnable of its own need not pass them on: then they are those of the run that it is part of.
    return ensure_config().get("callbacks") if callbacks is None else callbacks


def _asked(query: str, documents: Sequence[Document]) -> dict[str, Any]:
    return {"query": query, "documents": list(documents)}


def _sent(documents: Sequence[Document]) -> list[Document | str]:
    # A page without text is no document to semcache, but a loader may well leave one; it is scored as an empty text.
    return [document if document.page_content else "" for document in documents]


def _compressed(documents: Sequence[Document], ranking: Ranking[Any]) -> list[Document]:
    best = [documents[index] for index in ranking.indices]
    if ranking.scores is None:
        return best
    return [
        document.model_copy(update={"metadata": {**document.metadata, "relevance_score": score}})
        for document, score in zip(best, ranking.scores, strict=True)
    ]


def _cross_encoder_base(modules: Iterable[str]) -> Any:
    for module in modules:
        try:
            return import_module(module).BaseCrossEncoder
        except ImportError:
            continue
    # Only langchain's CrossEncoderReranker asks for the class, and brings it.
    return object


if TYPE_CHECKING:
    from langchain_core.cross_encoders import BaseCrossEncoder as _BaseCrossEncoder
else:
    # It has been in langchain-core since 1.2; before, it belonged to the package that uses it.
    _BaseCrossEncoder = _cross_encoder_base(
        f"{package}.{module}"
        for package, module in (
            ("langchain_core", "cross_encoders"),
            ("langchain_classic", "retrievers.document_compressors.cross_encoder"),
            ("langchain", "retrievers.document_compressors.cross_encoder"),
        )
    )


class SemcacheCrossEncoder(Closing, _BaseCrossEncoder):
    """A cross-encoder behind the cache, for the ``model`` of LangChain's ``CrossEncoderReranker``.

    ``reranker`` and ``settings`` are those of SemcacheCompressor, which avoids more: here every pair needs a score, not
    only the best. Where a reranker gave no scores, they fall by one with each document, so that the order stays.

    Example:
        >>> reranker = CrossEncoderReranker(model=SemcacheCrossEncoder(my_cross_encoder), top_n=3)
    """

    def __init__(self, reranker: object = None, *, settings: Settings | None = None, tenant: str = "") -> None:
        self._backing = BackingReranker(reranker, settings)
        self._tenant = tenant

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """One score per (query, text), in order. Raises what ``CachedReranker.rerank`` raises."""
        return self._backing.pair_scores(text_pairs, self._tenant)
