"""LlamaIndex: a node postprocessor."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import ConfigDict, Field, PrivateAttr

from semcache.errors import ConfigurationError, InvalidInputError, MissingExtraError
from semcache.integrations.backing import BackingReranker, Closing, Passage
from semcache.ranking import Ranking
from semcache.settings import Settings

try:
    from llama_index.core.callbacks import CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ImportError as _error:
    raise MissingExtraError("llama-index-core", "llama-index") from _error

_dispatcher = get_dispatcher(__name__)


class SemcacheRerank(Closing, BaseNodePostprocessor):
    """Reranks the nodes of a retriever, and asks its reranker only what the cache does not know.

    ``reranker`` is a pipeline or CachedReranker of yours, or any reranker, another postprocessor included; None takes
    all from ``settings`` (environment and YAML unless given). ``top_n`` is the number of nodes returned, None for all.

    ``metadata_mode`` says what of a node is scored: its text with the metadata that it shows to embedding models, as
    LlamaIndex' own rerankers have it. Metadata that changes from request to request belongs into the node's
    ``excluded_embed_metadata_keys``: with another text a node is scored anew. ``use_embeddings`` is for nodes whose
    embeddings are of the cache's own embedder: they let more be skipped.

    Nothing is read or written across a ``tenant``; a postprocessor for each tenant, over one ready pipeline, costs
    nothing. ``deadline_s`` (seconds) and ``min_score`` (in the units of the reranker's scores) are those of
    ``CachedReranker.rerank``.

    The nodes that come back have the reranker's score; where the order is the retriever's, so are the scores.
    ``keep_retrieval_score`` puts the retriever's as ``retrieval_score`` into the metadata of a copy. Callbacks and
    LlamaIndex' dispatcher hear of every rerank.

    Example:
        >>> engine = index.as_query_engine(node_postprocessors=[SemcacheRerank(reranker=my_cross_encoder, top_n=3)])
    """

    reranker: Any = Field(default=None, exclude=True)
    settings: Settings | None = Field(default=None, exclude=True, repr=False)
    # 2 is the default of LlamaIndex' SentenceTransformerRerank and CohereRerank.
    top_n: int | None = Field(default=2, ge=1)
    metadata_mode: MetadataMode = MetadataMode.EMBED
    use_embeddings: bool = False
    keep_retrieval_score: bool = False
    tenant: str = ""
    deadline_s: float | None = Field(default=None, gt=0)
    min_score: float | None = None
    _backing: BackingReranker = PrivateAttr()

    model_config: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    def model_post_init(self, context: Any, /) -> None:
        """Open the pipeline, unless a ready one was given."""
        super().model_post_init(context)
        self._backing = BackingReranker(self.reranker, self.settings)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex knows the class."""
        return "SemcacheRerank"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """The postprocessor that ``to_dict`` wrote, with a ``reranker`` that has to be said: none is written.

        Raises ConfigurationError without one; None is that of the settings.
        """
        if "reranker" not in kwargs:
            raise ConfigurationError(
                "rerankers are not written to a dictionary; pass reranker=, or reranker=None for that of the settings"
            )
        made: Self = super().from_dict(data, **kwargs)
        return made

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        with self._told(query, nodes) as reranked:
            ranking = self._backing.rerank(query, self._sent(nodes), self.top_n, **self._options(nodes))
            reranked.extend(self._reranked(nodes, ranking))
        return reranked

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        with self._told(query, nodes) as reranked:
            ranking = await self._backing.arerank(query, self._sent(nodes), self.top_n, **self._options(nodes))
            reranked.extend(self._reranked(nodes, ranking))
        return reranked

    @contextmanager
    def _told(self, query: str, nodes: list[NodeWithScore]) -> Iterator[list[NodeWithScore]]:
        """Tells callbacks and dispatcher of the rerank inside, whose nodes go into the list."""
        reranked: list[NodeWithScore] = []
        top_n, model = self.top_n or len(nodes), self._backing.reranker.ladder.name
        _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=model))
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield reranked
            event.on_end(payload={EventPayload.NODES: reranked})
        _dispatcher.event(ReRankEndEvent(nodes=reranked))

    def _sent(self, nodes: Sequence[NodeWithScore]) -> list[Passage | str]:
        texts = [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        # A node of an image has no text, and is scored as an empty one.
        return [Passage(text, node.score) if text else "" for text, node in zip(texts, nodes, strict=True)]

    def _options(self, nodes: Sequence[NodeWithScore]) -> dict[str, Any]:
        options: dict[str, Any] = {"tenant": self.tenant, "deadline_s": self.deadline_s, "min_score": self.min_score}
        vectors = [node.node.embedding for node in nodes] if self.use_embeddings else [None]
        if None not in vectors:
            options["document_vectors"] = np.array(vectors, dtype=np.float32)
        return options

    def _reranked(self, nodes: Sequence[NodeWithScore], ranking: Ranking[Any]) -> list[NodeWithScore]:
        best = [nodes[index] for index in ranking.indices]
        if ranking.scores is None:
            return best
        return [
            node.model_copy(update={"node": self._kept(node), "score": score})
            for node, score in zip(best, ranking.scores, strict=True)
        ]

    def _kept(self, node: NodeWithScore) -> Any:
        if not self.keep_retrieval_score:
            return node.node
        # The retriever's own node may be the one in the index: with other metadata its text would be another.
        return node.node.model_copy(update={"metadata": {**node.node.metadata, "retrieval_score": node.score}})


def _query_of(query_bundle: QueryBundle | None) -> str:
    if query_bundle is None:
        raise InvalidInputError("nodes cannot be reranked without a query; pass query_bundle= or query_str=")
    return str(query_bundle.query_str)
