"""Cohere's clients, on a transport that answers here instead of over the network."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import cohere
import httpx
import pytest

from semcache import CachedReranker, RedisSemanticCache
from semcache.errors import InvalidInputError
from semcache.protocols import Reranker
from semcache.rerankers import adapt
from semcache.settings import Settings
from tests.contracts.reranker import PAIRS, TEXTS, PointwiseContract
from tests.fakes import WordEmbedder

MODEL = "rerank-v3.5"


class Service:
    """Scores a document by its length, takes at most 100 of them, and keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.loops: set[asyncio.AbstractEventLoop] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        self.sent.append(sent)
        if len(sent["documents"]) > 100:
            return httpx.Response(400, json={"message": "too many documents"})
        best = sorted(enumerate(map(len, sent["documents"])), key=lambda at: -at[1])[: sent.get("top_n")]
        results = [{"index": at, "relevance_score": length / 1000} for at, length in best]
        return httpx.Response(200, json={"id": "1", "results": results, "meta": {}})

    async def awaited(self, request: httpx.Request) -> httpx.Response:
        self.loops.add(asyncio.get_running_loop())
        return self(request)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(service: Service) -> cohere.ClientV2:
    return cohere.ClientV2("key", httpx_client=httpx.Client(transport=httpx.MockTransport(service)))


@pytest.fixture
def async_client(service: Service) -> cohere.AsyncClientV2:
    return cohere.AsyncClientV2("key", httpx_client=httpx.AsyncClient(transport=httpx.MockTransport(service.awaited)))


SHORT = [(query, text[:1000]) for query, text in PAIRS]


class TestClient(PointwiseContract):
    @pytest.fixture
    def reranker(self, client: cohere.ClientV2) -> Reranker:
        return adapt(client, model=MODEL)

    def test_gives_the_relevance_of_each_document(self, reranker: Reranker, service: Service) -> None:
        assert not reranker.listwise
        assert not service.sent  # its class says that it scores
        assert reranker.score(PAIRS).tolist() == pytest.approx([len(text) / 1000 for text in TEXTS])
        assert service.sent[0]["model"] == MODEL
        assert service.sent[0]["top_n"] == len(TEXTS)
        assert reranker.name == f"ClientV2/{MODEL}"


def test_a_bare_client_is_refused_with_the_remedy(client: cohere.ClientV2, async_client: cohere.AsyncClientV2) -> None:
    for bare in (client, async_client, client.rerank):
        with pytest.raises(InvalidInputError, match=r"needs model, .* functools\.partial\(\.\.\., model=\.\.\.\)"):
            adapt(bare, name="cohere")


@pytest.mark.parametrize(
    "given",
    [
        lambda client: partial(client.rerank, model=MODEL),
        lambda client: (
            partial(client.v2.rerank, model=MODEL) if hasattr(client, "v2") else partial(client.rerank, model=MODEL)
        ),
    ],
)
def test_a_partial_works_as_the_client_does(client: cohere.ClientV2, given: Callable[[Any], Any]) -> None:
    reranker = adapt(given(client), name="cohere")
    assert not reranker.listwise
    assert reranker.score(PAIRS).tolist() == pytest.approx([len(text) / 1000 for text in TEXTS])


def test_a_client_of_the_first_version_has_a_model_of_its_own(service: Service) -> None:
    client = cohere.Client("key", httpx_client=httpx.Client(transport=httpx.MockTransport(service)))
    assert adapt(client).score(PAIRS).tolist() == pytest.approx([len(text) / 1000 for text in TEXTS])


async def test_an_asynchronous_client_is_awaited_on_the_loop_of_its_caller(
    async_client: cohere.AsyncClientV2, service: Service, redis_url: str, namespace: str
) -> None:
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
    cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=settings)
    reranker = adapt(async_client, model=MODEL, version="1", max_pairs_per_call=100)
    async with CachedReranker(reranker, cache) as cached:
        many = [f"document {number}" for number in range(150)]
        first = await cached.arerank("q", many, 3)
        assert first.status == "fresh"
        assert list(first.scores or ()) == pytest.approx([0.012] * 3)
        more = await cached.arerank("q", [*many, "a new one"], 3)
        assert (more.status, more.asked) == ("partial", 1)
    assert [len(request["documents"]) for request in service.sent] == [100, 50, 1]
    assert service.loops == {asyncio.get_running_loop()}
