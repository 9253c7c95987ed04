"""HttpReranker: what it sends, in which parts, under which name, and what it refuses."""

import asyncio
import builtins
from collections.abc import Iterator
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from semcache.errors import ConfigurationError, InvalidInputError, MissingExtraError, RerankServiceError
from semcache.identity.kinds import IdentifiedBy, base_name
from semcache.rerankers import Dialect, HttpReranker, SplitReranker, adapt
from semcache.rerankers.awaiting import is_awaited
from semcache.rerankers.single import as_ladder
from tests.contracts.reranker import PAIRS, QUERY, TEXTS, ListwiseContract
from tests.rerank_service import RerankService, Response, relevance

MANY = [(QUERY, f"document {number} of berlin") for number in range(100)]


@pytest.fixture
def tei() -> Iterator[RerankService]:
    with RerankService("tei") as service:
        yield service


@pytest.fixture
def reranker(tei: RerankService) -> Iterator[HttpReranker]:
    with HttpReranker("tei", url=tei.url) as reranker:
        yield reranker


def lengths(service: RerankService) -> list[int]:
    return sorted(len(request.body["texts"]) for request in service.requests)


def test_a_request_is_split_at_the_limit_of_the_dialect(reranker: HttpReranker, tei: RerankService) -> None:
    assert reranker.score(MANY).tolist() == [np.float32(relevance(*pair)) for pair in MANY]
    assert lengths(tei) == [4, 32, 32, 32]


def test_the_limit_of_a_server_may_be_another(tei: RerankService) -> None:
    with HttpReranker("tei", url=tei.url, max_pairs_per_call=20) as reranker:
        reranker.score(MANY)
        assert lengths(tei) == [20] * 5
        adapted = adapt(reranker, max_pairs_per_call=10)
        assert isinstance(adapted, SplitReranker)
        adapted.score(MANY[:20])
        assert lengths(tei) == [10, 10, *[20] * 5]


async def test_the_parts_of_a_request_are_under_way_together(tei: RerankService) -> None:
    together = Barrier(4)

    def answer(handler: Any, request: Any) -> Response:
        together.wait(10)
        return tei.routes["/rerank"](handler, request)  # type: ignore[return-value]

    tei.always = answer
    async with HttpReranker("tei", url=tei.url) as reranker:
        assert (await reranker.ascore_pairs(MANY)).tolist() == [np.float32(relevance(*pair)) for pair in MANY]
    assert tei.connections == 4


async def test_no_more_connections_are_opened_than_may_be(tei: RerankService) -> None:
    async with HttpReranker("tei", url=tei.url, concurrency=2) as reranker:
        await asyncio.gather(*(reranker.ascore_pairs(MANY) for _ in range(4)))
    assert (len(tei.requests), tei.connections) == (16, 2)


async def test_the_first_error_ends_the_other_parts(tei: RerankService) -> None:
    tei.always = lambda handler, request: Response("no", 500 if len(request.body["texts"]) == 4 else 503)
    async with HttpReranker("tei", url=tei.url, retries=50) as reranker:
        with pytest.raises(RerankServiceError, match="500"):
            await reranker.ascore_pairs(MANY)


async def test_a_cancelled_call_is_cancelled_and_the_next_one_works(tei: RerankService) -> None:
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    hold = Barrier(2)

    def answer(handler: Any, request: Any) -> None:
        loop.call_soon_threadsafe(reached.set)
        hold.wait(10)

    tei.script.append(answer)
    async with HttpReranker("tei", url=tei.url) as reranker:
        task = asyncio.ensure_future(reranker.ascore_pairs(PAIRS))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await reranker.ascore_pairs(PAIRS)).shape == (3,)
        hold.wait(10)


def test_several_queries_cost_a_request_each(reranker: HttpReranker, tei: RerankService) -> None:
    mixed = [("a", "x"), ("b", "x"), ("a", "y")]
    assert reranker.score(mixed).tolist() == [relevance(*pair) for pair in mixed]
    assert [(request.body["query"], request.body["texts"]) for request in tei.requests] == [
        ("a", ["x", "y"]),
        ("b", ["x"]),
    ]


def test_nothing_is_asked_about_nothing(reranker: HttpReranker, tei: RerankService) -> None:
    assert reranker.score([]).shape == (0,)
    assert tei.requests == []


def test_a_request_holds_key_headers_and_options(tei: RerankService) -> None:
    with HttpReranker(
        "tei", url=tei.url, api_key=SecretStr("sk-1"), headers={"X-Team": "search"}, options={"raw_scores": True}
    ) as reranker:
        reranker.score(PAIRS)
    (request,) = tei.requests
    assert request.headers["authorization"] == "Bearer sk-1"
    assert request.headers["x-team"] == "search"
    assert request.headers["content-type"] == "application/json"
    assert request.body == {"truncate": True, "raw_scores": True, "query": QUERY, "texts": TEXTS}


def test_a_login_in_the_url_is_sent_as_basic_authentication(tei: RerankService) -> None:
    with HttpReranker("tei", url=tei.url.replace("//", "//me:pass%21@")) as reranker:
        reranker.score(PAIRS)
    assert tei.requests[0].headers["authorization"] == "Basic bWU6cGFzcyE="


def test_a_dialect_of_ones_own(tei: RerankService) -> None:
    tei.always = lambda handler, request: Response(
        {
            "scores": [{"index": at, "value": len(text)} for at, text in enumerate(request.body["passages"])][
                : request.body["n"]
            ]
        }
    )
    ours = Dialect(
        "ours", "/v3/relevance", documents="passages", results="scores", score="value", count="n", fields={"v": 3}
    )
    with HttpReranker(ours, "m", url=tei.url) as reranker:
        assert reranker.score(PAIRS).tolist() == [len(text) for text in TEXTS]
        assert reranker.name == f"ours/m@127.0.0.1:{tei.url.rpartition(':')[2]}"
    assert tei.requests[0].path == "/v3/relevance"
    assert tei.requests[0].body == {"v": 3, "n": 3, "model": "m", "query": QUERY, "passages": TEXTS}


def named(*arguments: Any, **options: Any) -> str:
    return base_name(HttpReranker(*arguments, **options))


def test_its_name_says_dialect_model_and_host_and_its_content_the_rest() -> None:
    assert named("cohere", "rerank-v3.5", api_key="k") == "cohere/rerank-v3.5@api.cohere.com"
    assert named("tei", url="http://gpu:8080") == "tei@gpu:8080"
    raw = named("tei", url="http://gpu:8080", options={"raw_scores": True})
    assert raw.startswith("tei@gpu:8080#")
    assert raw == named("tei", url="http://me:pass@gpu:8080", options={"raw_scores": True}, timeout_s=1, concurrency=2)
    assert raw != named("tei", url="http://gpu:8080", options={"raw_scores": False})
    assert named(Dialect("tei", "/rerank"), "m", url="http://gpu:8080") != named("vllm", "m", url="http://gpu:8080")


def test_it_is_known_by_its_answers_and_is_awaited() -> None:
    reranker = HttpReranker("tei", url="http://h")
    assert reranker.identified_by is IdentifiedBy.PROBE
    assert is_awaited(reranker)
    assert adapt(reranker) is reranker
    assert (reranker.concurrency, reranker.one_query_per_call) == (8, True)
    assert adapt(reranker, name="ours", version="7").name == "ours@7"


class TestListwise(ListwiseContract):
    @pytest.fixture
    def reranker(self, tei: RerankService) -> Iterator[HttpReranker]:
        with HttpReranker("tei", url=tei.url, listwise=True) as reranker:
            yield reranker

    def test_an_order_is_not_put_together_from_parts(self, reranker: HttpReranker) -> None:
        with pytest.raises(InvalidInputError, match=r"is listwise and takes 32 documents in one request, got 100"):
            reranker.score(MANY)
        with pytest.raises(InvalidInputError, match=r"is listwise: .* got 2 queries in one call"):
            reranker.score([PAIRS[0], ("another", "x")])


@pytest.mark.parametrize(
    ("dialect", "model", "listwise"),
    [
        ("jina", "jina-reranker-v3", True),
        ("jina", "jina-reranker-v3.5", True),
        ("jina", "jina-reranker-v2-base-multilingual", False),
        ("mixedbread", "mixedbread-ai/mxbai-rerank-v3-listwise", True),
        ("mixedbread", "mixedbread-ai/mxbai-rerank-large-v2", False),
    ],
)
def test_models_that_compare_documents_are_known(dialect: str, model: str, listwise: bool) -> None:
    assert HttpReranker(dialect, model, api_key="k").listwise is listwise
    assert HttpReranker(dialect, model, api_key="k", listwise=not listwise).listwise is not listwise


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dialect": "coher", "model": "m"}, "dialect 'coher' is not known; use one of cohere, cohere-v1, jina"),
        ({"dialect": "vllm"}, "requests of dialect vllm name a model; pass model"),
        ({"dialect": "vllm", "model": " "}, "model must be the name of a model, or None, got ' '"),
        (
            {"dialect": "tei", "model": "bge"},
            "requests of dialect tei name no model, since a server has one; remove 'bge'",
        ),
        ({"dialect": "tei", "options": {"texts": [], "query": ""}}, "options must not hold query, texts"),
        ({"dialect": "tei", "options": {"raw": {1}}}, "options must be what JSON can hold: .*set"),
        ({"dialect": "tei", "options": {"raw": float("nan")}}, "options must be what JSON can hold"),
        ({"dialect": "tei", "headers": {"x-key": "a\nb"}}, "header x-key has characters that no header can hold"),
        ({"dialect": "tei", "timeout_s": 0}, "timeout_s must be a number of seconds above 0, got 0"),
        ({"dialect": "tei", "timeout_s": float("nan")}, "timeout_s must be a number of seconds above 0, got nan"),
        ({"dialect": "tei", "timeout_s": "1"}, "timeout_s must be a number"),
        ({"dialect": "tei", "retries": -1}, "retries must be a whole number of at least 0, got -1"),
        ({"dialect": "tei", "retries": 1.5}, "retries must be a whole number"),
        ({"dialect": "tei", "concurrency": 0}, "concurrency must be a whole number of at least 1"),
        ({"dialect": "tei", "max_pairs_per_call": 0}, "max_pairs_per_call must be a whole number of at least 1"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        HttpReranker(**arguments, url="http://h")


def test_a_url_that_no_client_can_use_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match="url cannot be read") as caught:
        HttpReranker("tei", url="http://ge\x7fheim/rerank")
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": ""}, "name of a dialect must not be empty"),
        ({"documents": ""}, "documents of a dialect must not be empty"),
        ({"path": "rerank"}, "path of dialect ours must begin with /, got 'rerank'"),
        ({"max_pairs_per_call": 0}, "max_pairs_per_call of dialect ours must be a whole number of at least 1"),
    ],
)
def test_a_dialect_that_cannot_be_spoken_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Dialect(**{"name": "ours", "path": "/rerank", **wrong})


def test_no_display_shows_a_key(tei: RerankService) -> None:
    reranker = HttpReranker(
        "tei", url=tei.url + "/rerank?token=geheim", api_key="sk-geheim", headers={"x-key": "geheim-too"}
    )
    assert repr(reranker) == f"<HttpReranker tei@{tei.url[7:]}: pointwise, 8 requests at once>"
    tei.always = lambda handler, request: Response(
        {"message": f"{request.path} {request.headers['authorization']} {request.headers['x-key']}"}, 400
    )
    with pytest.raises(RerankServiceError) as caught:
        reranker.score(PAIRS)
    assert "geheim" not in str(caught.value)
    reranker.close()


def test_without_httpx_an_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_httpx(name: str, *arguments: Any) -> Any:
        if name == "httpx":
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_httpx)
    with pytest.raises(MissingExtraError, match=r"pip install 'redis-semcache\[http\]'"):
        HttpReranker("tei", url="http://h")


async def test_background_work_may_ask_it_too(reranker: HttpReranker) -> None:
    ladder = as_ladder(reranker)
    scored = await asyncio.to_thread(ladder.score_when_idle, QUERY, TEXTS, [2, 0])  # type: ignore[attr-defined]
    assert scored.scores.tolist() == [relevance(QUERY, TEXTS[2]), relevance(QUERY, TEXTS[0])]
