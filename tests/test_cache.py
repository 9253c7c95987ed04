"""The cache by itself, on a real Redis."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.documents import Document
from semcache.entries.fingerprint import document_fingerprint
from semcache.errors import ConfigurationError, EmbedderError, InvalidInputError, StoreUnavailableError
from semcache.events import CacheFailed, CacheUnavailable, Event
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import Embedder
from semcache.ranking import Status
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S

DOCUMENTS = [Document(f"passage {n} about the moon") for n in range(6)]
SCORES = [0.5, 3.25, -1.0, 2.0, 0.0, 1.0]


@pytest.fixture
def cache(redis_url: str, namespace: str) -> Iterator[RedisSemanticCache]:
    settings = Settings(cache={"namespace": namespace})
    with RedisSemanticCache(redis_url, WordEmbedder(), 0.9, settings=settings) as cache:
        yield cache


def test_what_is_remembered_is_looked_up_exactly_and_by_meaning(cache: RedisSemanticCache) -> None:
    assert cache.lookup("how far is the moon", DOCUMENTS).status is None
    assert cache.remember("how far is the moon", DOCUMENTS, SCORES)
    exact = cache.lookup("how far is the moon", DOCUMENTS[::-1])
    assert (exact.status, exact.scores) == (Status.EXACT, tuple(SCORES[::-1]))
    near = cache.lookup("is the moon how far", DOCUMENTS)
    assert (near.status, near.scores) == (Status.SEMANTIC, tuple(SCORES))
    assert near.similarity == pytest.approx(1, abs=1e-3)


def test_unknown_documents_of_a_known_query_are_none(cache: RedisSemanticCache) -> None:
    cache.remember("how far is the moon", DOCUMENTS[:3], SCORES[:3])
    found = cache.lookup("how far is the moon", DOCUMENTS)
    assert (found.status, found.scores) == (Status.PARTIAL, (0.5, 3.25, -1.0, None, None, None))


def test_tenants_never_meet(cache: RedisSemanticCache) -> None:
    cache.remember("how far is the moon", DOCUMENTS, SCORES, tenant="a")
    for other in ("", "b", "A", "a "):
        assert cache.lookup("how far is the moon", DOCUMENTS, tenant=other).status is None
        assert cache.lookup("is the moon how far", DOCUMENTS, tenant=other).status is None
    assert cache.lookup("is the moon how far", DOCUMENTS, tenant="a").status is Status.SEMANTIC


def test_rerankers_and_embedders_never_meet(cache: RedisSemanticCache, redis_url: str, namespace: str) -> None:
    cache.remember("how far is the moon", DOCUMENTS, SCORES)
    assert cache.of("another model").lookup("how far is the moon", DOCUMENTS).status is None

    class Other(WordEmbedder):
        name = "other words"

    settings = Settings(cache={"namespace": namespace})
    with RedisSemanticCache(redis_url, Other(), 0.9, settings=settings) as other:
        assert other.lookup("how far is the moon", DOCUMENTS).status is None


def test_what_was_embedded_by_torch_is_found_by_onnx_and_not_by_8_bit_integers(
    redis_url: str, namespace: str, minilm: Embedder, onnx_embedder: Embedder, int8_embedder: Embedder
) -> None:
    settings = Settings(cache={"namespace": namespace})
    by_torch, by_onnx, by_int8 = (
        RedisSemanticCache(redis_url, embedder, 0.5, guard=None, settings=settings)
        for embedder in (minilm, onnx_embedder, int8_embedder)
    )
    with by_torch, by_onnx, by_int8:
        by_torch.remember("how far is the moon", DOCUMENTS, SCORES)
        near = by_onnx.lookup("distance of the moon", DOCUMENTS)
        assert (near.status, near.scores) == (Status.SEMANTIC, tuple(SCORES))
        assert near.similarity == pytest.approx(by_torch.lookup("distance of the moon", DOCUMENTS).similarity, abs=1e-5)
        assert by_int8.lookup("distance of the moon", DOCUMENTS).status is None


def test_a_given_vector_spares_the_embedding(cache: RedisSemanticCache) -> None:
    vector = 7 * cache.backend.embedder.embed(["how far is the moon"])[0]
    cache.backend.embedder.texts.clear()
    cache.remember("how far is the moon", DOCUMENTS, SCORES, vector=vector)
    assert cache.lookup("is the moon far", DOCUMENTS, vector=vector).status is Status.SEMANTIC
    (neighbour,) = cache.neighbours(vector)
    assert neighbour.similarity == pytest.approx(1, abs=1e-3)
    assert dict(neighbour.scores) == {
        document_fingerprint(document.text): score for document, score in zip(DOCUMENTS, SCORES, strict=True)
    }
    assert cache.backend.embedder.texts == []


def test_forgetting(cache: RedisSemanticCache) -> None:
    for query in ("how far is the moon", "best pizza dough"):
        for tenant in ("", "a"):
            cache.remember(query, DOCUMENTS, SCORES, tenant=tenant)
    assert cache.forget(query="best pizza dough") == 1
    assert cache.lookup("best pizza dough", DOCUMENTS).status is None
    assert cache.lookup("best pizza dough", DOCUMENTS, tenant="a").status is Status.EXACT
    assert cache.forget(document=DOCUMENTS[0]) == 3
    found = cache.lookup("how far is the moon", DOCUMENTS)
    assert (found.status, found.scores[0]) == (Status.PARTIAL, None)
    assert cache.forget(document=document_fingerprint(DOCUMENTS[1].text), tenant="a") == 2
    assert cache.lookup("how far is the moon", DOCUMENTS[1:]).status is Status.EXACT
    assert cache.forget(tenant="a") == 2
    assert cache.lookup("how far is the moon", DOCUMENTS[2:], tenant="a").status is None
    assert cache.clear() == 1
    assert cache.lookup("how far is the moon", DOCUMENTS[1:]).status is None


@pytest.mark.parametrize("how", ["forget", "aforget", "clear", "aclear"])
def test_what_was_left_to_be_stored_later_does_not_come_back(cache: RedisSemanticCache, how: str) -> None:
    def late() -> None:
        threading.Event().wait(0.2)  # longer than forgetting takes
        cache.remember("how far is the moon", DOCUMENTS, SCORES)

    cache.backend.writes.submit(late)
    forgetting = getattr(cache, how)(**({"query": "how far is the moon"} if "forget" in how else {}))
    assert (asyncio.run(forgetting) if asyncio.iscoroutine(forgetting) else forgetting) == 1
    assert cache.backend.writes.drain(PATIENCE_S)
    assert cache.lookup("how far is the moon", DOCUMENTS).status is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "pass a query, a document or a tenant"),
        ({"query": "q", "document": "d"}, "not both"),
        ({"query": " "}, "query is blank"),
        ({"tenant": 5}, "tenant must be a string"),
        ({"document": 5}, "no text found in int 5"),
    ],
)
def test_forgetting_nothing_in_particular_is_an_error(
    cache: RedisSemanticCache, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        cache.forget(**arguments)


def test_get_gives_the_callers_own_documents_in_the_remembered_order(cache: RedisSemanticCache) -> None:
    results = [DOCUMENTS[3], DOCUMENTS[0], DOCUMENTS[5]]
    assert cache.get("how far is the moon", DOCUMENTS) is None
    cache.set("how far is the moon", DOCUMENTS, results)
    mine = [Document(document.text, {"mine": True}) for document in DOCUMENTS]
    got = cache.get("is the moon how far", mine)
    assert got == [mine[3], mine[0], mine[5]]
    assert all(document.metadata == {"mine": True} for document in got)
    assert cache.get("how far is the moon", [*mine, Document("new")]) is None
    assert cache.get("how far is the moon", mine[1:]) is None, "its shortened list is not all among the candidates"
    assert cache.get("how far is the moon", [mine[5], mine[3], mine[0]]) == [mine[3], mine[0], mine[5]]


def test_a_full_list_is_served_for_fewer_candidates_too(cache: RedisSemanticCache) -> None:
    cache.set("how far is the moon", DOCUMENTS, DOCUMENTS[::-1])
    assert cache.get("how far is the moon", DOCUMENTS[:3]) == DOCUMENTS[:3][::-1]


def test_an_empty_result_is_a_result(cache: RedisSemanticCache) -> None:
    cache.set("how far is the moon", DOCUMENTS, [])
    assert cache.get("how far is the moon", DOCUMENTS) == []


def test_a_later_list_replaces_the_earlier_one(cache: RedisSemanticCache) -> None:
    cache.set("how far is the moon", DOCUMENTS, DOCUMENTS)
    cache.set("how far is the moon", DOCUMENTS, DOCUMENTS[:2])
    assert cache.get("how far is the moon", DOCUMENTS) == DOCUMENTS[:2]


def test_result_lists_and_scores_do_not_mix(cache: RedisSemanticCache) -> None:
    cache.set("how far is the moon", DOCUMENTS, DOCUMENTS)
    assert cache.lookup("how far is the moon", DOCUMENTS).status is None


def test_a_result_that_was_no_candidate_is_an_error(cache: RedisSemanticCache) -> None:
    with pytest.raises(InvalidInputError, match="is none of the documents"):
        cache.set("how far is the moon", DOCUMENTS, [Document("something else")])


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ([1.0], "1 scores for 6 documents; pass one score per document"),
        ([1.0, float("nan"), 1, 1, 1, 1], "the score of document 1 is nan"),
        ([1.0, 1, 1, 1, 1, float("inf")], "the score of document 5 is inf"),
    ],
)
def test_only_one_finite_score_per_document_is_remembered(
    cache: RedisSemanticCache, scores: list[float], said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        cache.remember("how far is the moon", DOCUMENTS, scores)
    assert cache.lookup("how far is the moon", DOCUMENTS).status is None


@pytest.mark.parametrize(
    ("argument", "value", "remedy"),
    [
        *(("redis_url", url, "write redis://") for url in (None, "", 6379, "localhost:6379")),
        *(
            ("similarity_threshold", threshold, "give a cosine from -1 to 1")
            for threshold in (1.5, -2, float("nan"), "0.9", None, True, [0.9])
        ),
        *(
            ("ttl", ttl, "give a number of seconds above 0 and up to 315360000 .*, or None for no expiry")
            for ttl in (0, -1, float("nan"), float("inf"), "3600", True, 1e18, time.time())
        ),
        *(("embedding_model", model, "give the name of a model") for model in (None, "", " ")),
    ],
)
@pytest.mark.parametrize("kind", [RedisSemanticCache, OptimizedRerankerPipeline])
def test_a_wrong_argument_is_named_with_the_remedy_before_anything_is_loaded(
    kind: type[Any], argument: str, value: object, remedy: str
) -> None:
    given = {argument: value}
    if kind is OptimizedRerankerPipeline:
        argument = "cache_ttl" if argument == "ttl" else argument
        given = {"primary_reranker": NeverLoaded(), argument: value}
    said = f"Redis url cannot be read.*{remedy}" if value == "localhost:6379" else f"^{argument} is .*{remedy}"
    with pytest.raises(ConfigurationError, match=said):
        kind(**given)


class NeverLoaded:
    """A reranker that must not be looked at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")


U = "redis://localhost:1"


@pytest.mark.parametrize(
    ("construct", "said"),
    [
        *(
            (lambda kind=kind: kind(settings={"redis": {"url": U}}), r"settings is a dict; pass Settings\(")
            for kind in (
                partial(RedisSemanticCache, U, WordEmbedder()),
                partial(OptimizedRerankerPipeline, CountingReranker(), None, U, embedding_model=WordEmbedder()),
                RedisSemanticCache.from_settings,
                OptimizedRerankerPipeline.from_settings,
            )
        ),
        *(
            (
                lambda observers=observers: RedisSemanticCache(U, WordEmbedder(), observers=observers),
                "observers is .*; give a list of callables",
            )
            for observers in (print, ["log"], "log", None)
        ),
        *(
            (lambda name=name: RedisSemanticCache(U, WordEmbedder(), reranker=name), "reranker is .*; give the name")
            for name in (None, "", 5)
        ),
        (lambda: CachedReranker(CountingReranker(), None), "cache is a NoneType; pass a RedisSemanticCache"),
        (lambda: CachedReranker(CountingReranker(), "redis://:secret@h"), "cache is a str; pass a RedisSemanticCache"),
        *(
            (
                lambda p95=p95: OptimizedRerankerPipeline(NeverLoaded(), None, U, p95_threshold=p95),
                "p95_threshold must be a number of seconds above 0",
            )
            for p95 in ("2.0", None, 0, float("nan"))
        ),
        (
            lambda: OptimizedRerankerPipeline(
                CountingReranker(), None, U, rungs="a model", embedding_model=WordEmbedder()
            ),
            "rungs is str 'a model'; put a single reranker in a list",
        ),
    ],
)
def test_so_are_the_others(construct: Callable[[], object], said: str) -> None:
    with pytest.raises((ConfigurationError, InvalidInputError), match=said):
        construct()


@pytest.mark.parametrize("ttl", [1e-9, 315_360_000, None])
def test_the_longest_and_the_shortest_life_are_stored(redis_url: str, namespace: str, ttl: float | None) -> None:
    settings = Settings(cache={"namespace": namespace})
    with RedisSemanticCache(redis_url, WordEmbedder(), ttl=ttl, settings=settings) as cache:
        assert cache.remember("how far is the moon", DOCUMENTS, SCORES)


def test_a_threshold_of_zero_is_not_the_default(redis_url: str) -> None:
    with RedisSemanticCache(redis_url, WordEmbedder(), 0) as cache:
        assert cache.scoped.policy().reuse.trust_threshold == 0


@pytest.mark.parametrize("vector", [np.zeros(64), np.full(64, np.nan), np.full(64, np.nan, np.float32), np.ones(5)])
def test_a_given_vector_is_checked(cache: RedisSemanticCache, vector: np.ndarray) -> None:
    with pytest.raises(EmbedderError, match="the caller gave"):
        cache.lookup("how far is the moon", DOCUMENTS, vector=vector)


def test_without_redis_everything_is_a_miss_and_nothing_raises_but_forgetting() -> None:
    events: list[Event] = []
    cache = RedisSemanticCache("redis://localhost:1/0", WordEmbedder(), observers=[events.append])
    assert [type(event) for event in events] == [CacheUnavailable, CacheFailed]
    assert cache.lookup("how far is the moon", DOCUMENTS).status is None
    assert cache.remember("how far is the moon", DOCUMENTS, SCORES) is False
    assert cache.get("how far is the moon", DOCUMENTS) is None
    cache.set("how far is the moon", DOCUMENTS, DOCUMENTS)
    assert cache.neighbours(np.ones(64)) == []
    with pytest.raises(StoreUnavailableError):
        cache.forget(query="how far is the moon")
    cache.close()


async def test_the_asynchronous_methods_do_the_same(redis_url: str, namespace: str) -> None:
    settings = Settings(cache={"namespace": namespace})
    async with RedisSemanticCache(redis_url, WordEmbedder(), 0.9, settings=settings) as cache:
        assert await cache.aremember("how far is the moon", DOCUMENTS, SCORES)
        found = await cache.alookup("is the moon how far", DOCUMENTS)
        assert (found.status, found.scores) == (Status.SEMANTIC, tuple(SCORES))
        vector = cache.backend.embedder.embed(["how far is the moon"])[0]
        assert len(await cache.aneighbours(vector)) == 1
        assert await cache.aforget(query="how far is the moon") == 1
        assert await cache.aclear() == 0


def test_its_repr_says_where_without_the_password() -> None:
    cache = RedisSemanticCache("redis://user:secret@localhost:1/0", WordEmbedder())
    assert repr(cache) == "<RedisSemanticCache of 'default' in Redis at redis://localhost:1>"
    cache.close()


@pytest.mark.parametrize("k", [0, -1, 2.5, "4", True])
async def test_a_number_of_neighbours_that_is_none_is_refused(cache: RedisSemanticCache, k: Any) -> None:
    for call in (lambda: cache.neighbours(np.ones(64), k), lambda: asyncio.run(cache.aneighbours(np.ones(64), k))):
        with pytest.raises(InvalidInputError, match="k must be a whole number of at least 1"):
            await asyncio.to_thread(call)
