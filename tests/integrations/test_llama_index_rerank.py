"""The postprocessor in LlamaIndex' own query engines."""

from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from semcache import CachedReranker, RedisSemanticCache
from semcache.documents import retriever_scores
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.integrations.llama_index import SemcacheRerank
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.integrations.waiting import WaitingReranker, beside

QUERY = "the moon"
TEXTS = ["a mango", "the moon is far", "museums of berlin", "the moon"]


def nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(node=TextNode(id_=str(number), text=text, metadata={"title": "t"}), score=1 - number / 10)
        for number, text in enumerate(TEXTS)
    ]


class Retriever(BaseRetriever):
    """Gives the same nodes to every query."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return nodes()


def found(answer: list[NodeWithScore]) -> list[tuple[str, float | None]]:
    return [(one.node.node_id, one.score) for one in answer]


def best(count: int, before: str = "title: t\n\n") -> list[tuple[str, Any]]:
    """Id and score of the best nodes by the counting reranker itself, of the text with the metadata before it."""
    scored = [(str(at), CountingReranker().score_of(QUERY, before + text)) for at, text in enumerate(TEXTS)]
    return [(name, pytest.approx(score)) for name, score in sorted(scored, key=lambda one: -one[1])[:count]]


async def test_a_query_engine_is_answered_from_the_cache(
    cached: CachedReranker, model: CountingReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own would be downloaded.
    monkeypatch.setattr("llama_index.core.global_tokenizer", str.split)
    engine = RetrieverQueryEngine(
        Retriever(),
        response_synthesizer=get_response_synthesizer(llm=MockLLM()),
        node_postprocessors=[SemcacheRerank(reranker=cached)],
    )
    for answer in (engine.query(QUERY), await engine.aquery(QUERY)):
        assert isinstance(answer, Response)
        assert found(answer.source_nodes) == best(2)
    assert len(model.pairs) == len(TEXTS)


def test_what_is_scored_is_said_by_the_metadata_mode(cached: CachedReranker, model: CountingReranker) -> None:
    rerank = SemcacheRerank(reranker=cached, metadata_mode=MetadataMode.NONE, top_n=1)
    assert found(rerank.postprocess_nodes(nodes(), query_str=QUERY)) == best(1, before="")
    assert [text for _, text in model.pairs] == TEXTS


def test_the_retrievers_nodes_stay_as_they_are_and_its_score_can_be_kept(cached: CachedReranker) -> None:
    given = nodes()
    answer = SemcacheRerank(reranker=cached, keep_retrieval_score=True).postprocess_nodes(given, query_str=QUERY)
    assert given == nodes()
    assert [one.node.metadata["retrieval_score"] for one in answer] == [
        given[int(one.node.node_id)].score for one in answer
    ]
    assert found(answer) == best(2)


def test_scores_of_the_retriever_reach_the_cache(model: CountingReranker, settings: Settings) -> None:
    seen: list[list[float] | None] = []

    class Watched(CachedReranker):
        def rerank(self, query: str, documents: Any, top_k: int = 5, **options: Any) -> Any:
            seen.append(retriever_scores(documents))
            return super().rerank(query, documents, top_k, **options)

    with Watched(model, RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)) as cached:
        SemcacheRerank(reranker=cached).postprocess_nodes(nodes(), query_str=QUERY)
    assert seen == [[1.0, 0.9, 0.8, pytest.approx(0.7)]]


def test_embeddings_are_passed_on_where_they_are_said_to_be_of_the_same_embedder(cached: CachedReranker) -> None:
    given = nodes()
    for node, vector in zip(given, WordEmbedder().embed(TEXTS), strict=True):
        node.node.embedding = vector.tolist()
    assert found(SemcacheRerank(reranker=cached, use_embeddings=True).postprocess_nodes(given, query_str=QUERY))
    given[0].node.embedding = [1.0, 0.0]
    assert found(SemcacheRerank(reranker=cached).postprocess_nodes(given, query_str=QUERY))
    given[0].node.embedding = None
    assert found(SemcacheRerank(reranker=cached, use_embeddings=True).postprocess_nodes(given, query_str=QUERY))


async def test_the_event_loop_is_not_blocked(settings: Settings) -> None:
    reranker = WaitingReranker()
    cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
    async with CachedReranker(reranker, cache) as cached:
        rerank = SemcacheRerank(reranker=cached)
        assert found(await beside(rerank.apostprocess_nodes(nodes(), query_str=QUERY), reranker)) == best(2)


class Heard(BaseEventHandler):
    """Keeps the events of the dispatcher."""

    events: list[Any]

    def handle(self, event: Any, **_: Any) -> None:
        self.events.append(event)


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler, dispatcher = Heard(events=[]), get_dispatcher("semcache.integrations.llama_index")
    dispatcher.add_event_handler(handler)
    yield handler
    dispatcher.event_handlers.remove(handler)


async def test_the_dispatcher_hears_of_the_rerank(cached: CachedReranker, heard: Heard) -> None:
    rerank = SemcacheRerank(reranker=cached, top_n=1)
    rerank.postprocess_nodes(nodes(), query_str=QUERY)
    await rerank.apostprocess_nodes(nodes(), query_str=QUERY)
    starts = [event for event in heard.events if isinstance(event, ReRankStartEvent)]
    ends = [event for event in heard.events if isinstance(event, ReRankEndEvent)]
    assert [(start.query, start.top_n, start.model_name, len(start.nodes)) for start in starts] == [
        (QUERY, 1, "counting", 4)
    ] * 2
    assert [found(end.nodes) for end in ends] == [best(1)] * 2


class Callbacks(BaseCallbackHandler):
    """Keeps the payloads of rerank events."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.payloads: list[dict[str, Any]] = []

    def on_event_start(self, event_type: Any, payload: Any = None, event_id: str = "", parent_id: str = "", **_: Any):  # type: ignore[no-untyped-def]
        if event_type is CBEventType.RERANKING:
            self.payloads.append(payload)
        return event_id

    def on_event_end(self, event_type: Any, payload: Any = None, event_id: str = "", **_: Any) -> None:
        if event_type is CBEventType.RERANKING:
            self.payloads.append(payload)

    def start_trace(self, trace_id: str | None = None) -> None: ...

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None: ...


def test_callbacks_hear_of_the_rerank(cached: CachedReranker) -> None:
    callbacks = Callbacks()
    rerank = SemcacheRerank(reranker=cached, top_n=1, callback_manager=CallbackManager([callbacks]))
    rerank.postprocess_nodes(nodes(), query_str=QUERY)
    start, end = callbacks.payloads
    assert (start[EventPayload.QUERY_STR], start[EventPayload.TOP_K]) == (QUERY, 1)
    assert found(end[EventPayload.NODES]) == best(1)


def test_nodes_without_text_blank_queries_and_no_nodes_are_no_error(cached: CachedReranker) -> None:
    rerank = SemcacheRerank(reranker=cached, metadata_mode=MetadataMode.NONE)
    picture = NodeWithScore(node=ImageNode(image_path="cat.png"), score=0.1)
    assert found(rerank.postprocess_nodes([picture, *nodes()], query_str=QUERY)) == best(2, before="")
    assert found(rerank.postprocess_nodes(nodes(), query_str=" ")) == [("0", 1.0), ("1", 0.9)]
    assert rerank.postprocess_nodes([], query_str=QUERY) == []


def test_a_rerank_without_a_query_is_refused(cached: CachedReranker) -> None:
    with pytest.raises(InvalidInputError, match="query_str="):
        SemcacheRerank(reranker=cached).postprocess_nodes(nodes())


@pytest.mark.parametrize("wrong", [{"top_n": 0}, {"deadline_s": 0}, {"top_k": 3}])
def test_wrong_arguments_are_refused_at_once(cached: CachedReranker, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SemcacheRerank(reranker=cached, **wrong)


def test_tenants_are_kept_apart(cached: CachedReranker, model: CountingReranker) -> None:
    for tenant in ("a", "b", "a"):
        SemcacheRerank(reranker=cached, tenant=tenant).postprocess_nodes(nodes(), query_str=QUERY)
    assert len(model.pairs) == 2 * len(TEXTS)


def test_its_dict_holds_no_reranker_and_no_settings(cached: CachedReranker) -> None:
    shown = SemcacheRerank(reranker=cached).to_dict()
    assert shown["class_name"] == "SemcacheRerank"
    assert not {"reranker", "settings", "callback_manager"} & shown.keys()


def test_a_dictionary_does_not_bring_another_reranker(cached: CachedReranker) -> None:
    written = SemcacheRerank(reranker=cached, top_n=1).to_dict()
    with pytest.raises(ConfigurationError, match="reranker="):
        SemcacheRerank.from_dict(written)
    again = SemcacheRerank.from_dict(written, reranker=cached)
    assert found(again.postprocess_nodes(nodes(), query_str=QUERY)) == best(1)
