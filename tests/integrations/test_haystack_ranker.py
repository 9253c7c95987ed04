"""The ranker component in Haystack's own pipelines."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import Any, ClassVar

import haystack
import pytest
from haystack import Document, Pipeline, component, tracing
from haystack.components.rankers import MetaFieldRanker
from haystack.core.errors import DeserializationError, SerializationError
from haystack.utils import Secret

from semcache import CachedReranker, RedisSemanticCache
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.integrations.haystack import SemcacheRanker
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.integrations.waiting import WaitingReranker, beside

QUERY = "the moon"
TEXTS = ["a mango", "the moon is far", "museums of berlin", "the moon"]
DOCUMENTS = [
    Document(id=str(number), content=text, meta={"title": f"t{number}"}, score=1 - number / 10)
    for number, text in enumerate(TEXTS)
]


@component
class Longest:
    """A ranker of one's own, which is written with the pipeline."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        scored = [replace(one, score=self.factor * len(one.content or "")) for one in documents]
        return {"documents": sorted(scored, key=lambda one: -(one.score or 0.0))[:top_k]}


def found(answer: dict[str, Any]) -> list[tuple[str, float | None]]:
    return [(one.id, one.score) for one in answer["documents"]]


def best(count: int, text: Any = lambda one: one.content) -> list[tuple[str, Any]]:
    """Id and score of the best documents by the counting reranker itself."""
    scored = [(one.id, CountingReranker().score_of(QUERY, text(one))) for one in DOCUMENTS]
    return [(name, pytest.approx(score)) for name, score in sorted(scored, key=lambda one: -one[1])[:count]]


def is_allow_list_there() -> bool:
    return "allowed_modules" in signature(Pipeline.loads).parameters


def read(text: str, *modules: str) -> Any:
    """A pipeline that was written, loaded with these modules allowed where Haystack asks for it."""
    allowed = {"allowed_modules": list(modules)} if is_allow_list_there() else {}
    return Pipeline.loads(text, **allowed)  # type: ignore[arg-type]


async def run_async(ranker: SemcacheRanker, asked: dict[str, Any]) -> Any:
    """What an asynchronous pipeline gives, which had a class of its own before Haystack 3."""
    pipeline = getattr(haystack, "AsyncPipeline", Pipeline)()
    pipeline.add_component("ranker", ranker)
    return (await pipeline.run_async(asked))["ranker"]


def in_pipeline(ranker: SemcacheRanker) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("ranker", ranker)
    return pipeline


async def test_a_pipeline_is_answered_from_the_cache(cached: CachedReranker, model: CountingReranker) -> None:
    asked = {"ranker": {"query": QUERY, "documents": DOCUMENTS}}
    assert found(await run_async(SemcacheRanker(cached, top_k=2), asked)) == best(2)
    pipeline = in_pipeline(SemcacheRanker(cached, top_k=2))
    assert found(pipeline.run(asked)["ranker"]) == best(2)
    asked_for_more = {"ranker": {"query": QUERY, "documents": DOCUMENTS, "top_k": 3}}
    assert found(pipeline.run(asked_for_more)["ranker"]) == best(3)
    assert len(model.pairs) == len(TEXTS)
    assert [one.score for one in DOCUMENTS] == [1.0, 0.9, 0.8, 0.7]


def test_meta_fields_are_scored_before_the_content(cached: CachedReranker, model: CountingReranker) -> None:
    ranker = SemcacheRanker(cached, top_k=1, meta_fields_to_embed=["title", "absent"], embedding_separator=" / ")
    assert found(ranker.run(QUERY, DOCUMENTS)) == best(1, lambda one: f"{one.meta['title']} / {one.content}")
    assert model.pairs[0] == (QUERY, "t0 / a mango")


def test_documents_below_the_threshold_are_left_out(cached: CachedReranker) -> None:
    (_, highest), (_, second) = [(name, value.expected) for name, value in best(2)]
    assert found(SemcacheRanker(cached, score_threshold=(highest + second) / 2).run(QUERY, DOCUMENTS)) == best(1)
    assert found(SemcacheRanker(cached).run(QUERY, DOCUMENTS, score_threshold=(highest + second) / 2)) == best(1)


def test_tenants_are_kept_apart(cached: CachedReranker, model: CountingReranker) -> None:
    ranker = SemcacheRanker(cached, tenant="a")
    for tenant in (None, "a", "b"):
        ranker.run(QUERY, DOCUMENTS, tenant=tenant)
    assert len(model.pairs) == 2 * len(TEXTS)


async def test_a_document_that_came_twice_is_ranked_once(cached: CachedReranker) -> None:
    again = [Document(id="3", content="the moon", meta={"from": score}, score=score) for score in (-2.0, None, -1.0)]
    ranker = SemcacheRanker(cached)
    for answer in (ranker.run(QUERY, [*again, *DOCUMENTS[:3]]), await ranker.run_async(QUERY, again + DOCUMENTS[:3])):
        assert sorted(one.id for one in answer["documents"]) == ["0", "1", "2", "3"]
        assert [one.meta["from"] for one in answer["documents"] if one.id == "3"] == [-1.0]


def test_embeddings_are_passed_on_where_they_are_said_to_be_of_the_same_embedder(cached: CachedReranker) -> None:
    rows = WordEmbedder().embed(TEXTS)
    embedded = [replace(one, embedding=row.tolist()) for one, row in zip(DOCUMENTS, rows, strict=True)]
    assert found(SemcacheRanker(cached, use_embeddings=True, top_k=1).run(QUERY, embedded)) == best(1)
    odd = [Document(id="x", content="the moon is here", embedding=[1.0, 0.0])]
    assert found(SemcacheRanker(cached).run(QUERY, odd))
    with pytest.raises(InvalidInputError, match="document_vectors"):
        SemcacheRanker(cached, use_embeddings=True).run(QUERY, odd)


def test_images_blank_queries_and_no_documents_are_no_error(cached: CachedReranker) -> None:
    ranker = SemcacheRanker(cached, top_k=2)
    picture = Document(id="cat", content=None, meta={"file_path": "cat.png"})
    assert found(ranker.run(QUERY, [picture, *DOCUMENTS])) == best(2)
    assert found(ranker.run(" ", DOCUMENTS)) == [("0", 1.0), ("1", 0.9)]
    assert found(ranker.run(QUERY, [])) == []


async def test_the_event_loop_is_not_blocked(settings: Settings) -> None:
    reranker = WaitingReranker()
    cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
    async with CachedReranker(reranker, cache) as cached:
        ranker = SemcacheRanker(cached, top_k=2)
        assert found(await beside(ranker.run_async(QUERY, DOCUMENTS), reranker)) == best(2)


def test_nothing_is_opened_before_it_is_warm_and_redis_may_be_away_then() -> None:
    away = {"redis": {"url": "redis://127.0.0.1:1"}, "rerankers": [{"kind": "retrieval-order"}]}
    ranker = SemcacheRanker(settings=away, top_k=1)
    ranker.warm_up()
    ranker.warm_up()
    assert found(ranker.run(QUERY, DOCUMENTS)) == [("0", 0.0)]
    ranker.close()


async def test_what_it_opened_is_closed_with_it_and_opened_again_when_needed(settings: Settings) -> None:
    values = {"cache": {"namespace": settings.cache.namespace}, "rerankers": [{"kind": "retrieval-order"}]}
    url = Secret.from_token(settings.redis.url.get_secret_value())
    ranker = SemcacheRanker(settings=values, redis_url=url, top_k=1)
    assert found(ranker.run(QUERY, DOCUMENTS)) == [("0", 0.0)]
    ranker.close()
    assert found(await ranker.run_async(QUERY, DOCUMENTS)) == [("0", 0.0)]
    await ranker.close_async()
    await ranker.close_async()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"top_k": 0}, "top_k"), ({"settings": {"cach": {"namespace": "a"}}}, "did you mean"), ({"top_k": True}, "top_k")],
)
def test_wrong_arguments_are_refused_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SemcacheRanker(**wrong)


def test_a_wrong_count_of_a_call_is_refused(cached: CachedReranker) -> None:
    with pytest.raises(InvalidInputError, match="top_k"):
        SemcacheRanker(cached).run(QUERY, DOCUMENTS, top_k=0)


class Span(tracing.Span):
    """Keeps its tags."""

    def __init__(self) -> None:
        self.tags: dict[str, Any] = {}

    def set_tag(self, key: str, value: Any) -> None:
        self.tags[key] = value


class Tracer(tracing.Tracer):
    """Has one span for all."""

    def __init__(self) -> None:
        self.span = Span()

    @contextmanager
    def trace(self, operation_name: str, tags: Any = None, parent_span: Any = None) -> Iterator[Span]:
        yield self.span

    def current_span(self) -> Span:
        return self.span


def test_the_span_of_the_component_says_where_the_answer_came_from(cached: CachedReranker) -> None:
    tracer = Tracer()
    tracing.enable_tracing(tracer)
    try:
        in_pipeline(SemcacheRanker(cached)).run({"ranker": {"query": QUERY, "documents": DOCUMENTS}})
    finally:
        tracing.disable_tracing()
    assert (tracer.span.tags["semcache.status"], tracer.span.tags["semcache.asked"]) == ("fresh", 4)


class TestFiles:
    WRITTEN: ClassVar[dict[str, Any]] = {
        "top_k": 3,
        "score_threshold": 0.5,
        "meta_fields_to_embed": ["title"],
        "embedding_separator": " ",
        "use_embeddings": True,
        "tenant": "a",
        "deadline_s": 2.0,
        "settings": {"cache": {"namespace": "other"}},
    }

    @pytest.mark.parametrize("reranker", [None, "cross-encoder/ms-marco-MiniLM-L-12-v2"])
    def test_a_pipeline_is_the_same_after_it_was_written_and_read(self, reranker: str | None) -> None:
        ranker = SemcacheRanker(reranker, redis_url=Secret.from_env_var("MY_REDIS"), **self.WRITTEN)
        text = in_pipeline(ranker).dumps()
        assert "MY_REDIS" in text
        loaded = read(text, "semcache.*")
        assert loaded.dumps() == text
        again = loaded.get_component("ranker")
        assert isinstance(again, SemcacheRanker)
        assert (again.reranker, again.redis_url) == (reranker, ranker.redis_url)
        assert {name: getattr(again, name) for name in self.WRITTEN} == self.WRITTEN

    def test_a_ranker_of_haystack_is_written_with_it(self) -> None:
        written = SemcacheRanker(MetaFieldRanker(meta_field="year")).to_dict()
        json.dumps(written)
        again = SemcacheRanker.from_dict(written)
        assert isinstance(again.reranker, MetaFieldRanker)
        assert again.to_dict() == written

    def test_a_ranker_of_ones_own_is_loaded_only_where_its_module_is_allowed(self, settings: Settings) -> None:
        values = {"cache": {"namespace": settings.cache.namespace}}
        ranker = SemcacheRanker(Longest(2.0), settings=values, redis_url=Secret.from_env_var("MY_REDIS"), top_k=1)
        text = in_pipeline(ranker).dumps()
        if is_allow_list_there():
            with pytest.raises(DeserializationError, match=r"tests\.integrations"):
                read(text, "semcache.*")
        loaded = read(text, "semcache.*", "tests.*")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MY_REDIS", settings.redis.url.get_secret_value())
            answer = loaded.run({"ranker": {"query": QUERY, "documents": DOCUMENTS}})
        assert found(answer["ranker"]) == [("2", 2.0 * len("museums of berlin"))]
        loaded.get_component("ranker").close()

    @pytest.mark.parametrize(
        ("values", "name"),
        [
            ({"redis": {"url": "redis://me:geheim@host:6379"}}, "redis.url"),
            ({"cache": {"signing_key": "0123456789abcdef0123456789abcdef"}}, "cache.signing_key"),
            ({"server": {"api_keys": "shop-a:geheim-0123456789abcdef"}}, "server.api_keys"),
            (
                {"rerankers": [{"kind": "http", "dialect": "jina", "model": "m", "api_key": "geheim-key"}]},
                "rerankers.0.api_key",
            ),
        ],
    )
    def test_secrets_are_never_written(self, values: dict[str, Any], name: str) -> None:
        with pytest.raises(SerializationError, match=name) as refused:
            SemcacheRanker(settings=values).to_dict()
        assert "geheim" not in str(refused.value)
        with pytest.raises(ValueError, match=r"[Cc]annot serialize"):
            SemcacheRanker(redis_url=Secret.from_token("redis://me:geheim@host")).to_dict()

    def test_a_url_without_a_password_is_written(self) -> None:
        values = {"redis": {"url": "redis://host:6379"}}
        assert SemcacheRanker(settings=values).to_dict()["init_parameters"]["settings"] == values

    def test_a_ready_reranker_is_not_written(self, cached: CachedReranker) -> None:
        with pytest.raises(SerializationError, match="CachedReranker, which cannot be written"):
            SemcacheRanker(cached).to_dict()
