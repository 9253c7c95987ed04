"""Ranking methods are called by the names and the order of their own parameters, or refused before they are called."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from semcache.errors import InvalidInputError
from semcache.rerankers import RankingReranker, adapt
from semcache.rerankers.calling import asking_for_all, takes_pairs
from tests.contracts.reranker import QUERY
from tests.rerankers.test_ranking import by_length


def keyword_only(*, query: str, documents: list[Any], top_n: int = 3) -> list[Any]:
    return by_length(query, documents, top_n)


def documents_first(documents: list[Any], query: str, top_n: int | None = 3) -> list[Any]:
    assert query == QUERY
    return by_length(query, documents, top_n or 99)


def unknown_names(asked: str, found: list[Any]) -> list[Any]:
    return by_length(asked, found, 99)


def unknown_names_with_count(asked: str, found: list[Any], how_many: int) -> list[Any]:
    return by_length(asked, found, how_many)


def limited(query: str, docs: list[Any], **options: Any) -> list[Any]:
    return by_length(query, docs, 99)


@pytest.mark.parametrize(
    "rank", [by_length, keyword_only, documents_first, unknown_names, unknown_names_with_count, limited]
)
def test_calls_methods_whatever_their_parameters_are_called(rank: Callable[..., Any]) -> None:
    many = [(QUERY, "x" * at) for at in range(1, 11)]
    assert RankingReranker(rank, "any").score(many).tolist() == list(range(10, 0, -1))


def by_name_only(docs: list[Any], query: str, /) -> list[Any]:
    return by_length(query, docs, 99)


def anything(*arguments: Any, **options: Any) -> list[Any]:
    return by_length(*arguments, 99)


def any_names(**named: Any) -> list[Any]:
    return by_length(named["query"], named["documents"], 99)


def flashrank(request: Any) -> list[Any]:
    # FlashRank sorts the list that it gets, and writes into its dictionaries.
    request.passages.sort(key=lambda passage: len(passage["text"]))
    return [{**passage, "score": 1.0 / (1 + len(passage["text"]))} for passage in request.passages]


@pytest.mark.parametrize("rank", [by_name_only, anything, any_names, partial(keyword_only, top_n=3)])
def test_calls_what_does_not_name_its_parameters(rank: Callable[..., Any]) -> None:
    assert (
        asking_for_all(rank)(QUERY, [SimpleNamespace(page_content=text) for text in ("bb", "a")])[0].page_content == "a"
    )


def test_passes_a_request_in_place_of_query_and_documents() -> None:
    texts = ["ccc", "a", "bb"]
    assert [passage["id"] for passage in asking_for_all(flashrank)(QUERY, texts)] == [1, 2, 0]
    assert texts == ["ccc", "a", "bb"]


class Service:
    """Needs a model in every call, as cohere's client does."""

    def __init__(self) -> None:
        self.models: list[str] = []

    def rerank(self, *, model: str, query: str, documents: list[Any], top_n: int | None = None) -> dict[str, Any]:
        self.models.append(model)
        best = sorted(range(len(documents)), key=lambda at: -len(documents[at]))[:top_n]
        return {"results": [{"index": at, "relevance_score": len(documents[at]) / 100} for at in best]}


class ServiceWithAddress:
    def rank(self, query: str, texts: list[str], url: str, token: str) -> list[Any]:
        raise AssertionError("never called")


class ChainWithoutQuery:
    def run(self, documents: list[Any], top_k: int | None = None) -> dict[str, Any]:
        raise AssertionError("never called")


class RunsSomethingElse:
    def run(self, command: str, arguments: list[str]) -> int:
        raise AssertionError("never called")


class ScoresWithLabels:
    def score(self, pairs: list[Any], labels: list[float]) -> float:
        raise AssertionError("never called")


def needs_a_third(query: str, texts: list[str], tokenizer: object) -> list[float]:
    raise AssertionError("never called")


@pytest.mark.parametrize(
    ("reranker", "said"),
    [
        (Service(), r"Service\.rerank\(\) needs model, .* functools\.partial\(\.\.\., model=\.\.\.\), or pass model="),
        (ServiceWithAddress(), r"ServiceWithAddress\.rank\(\) needs url, token, which a rerank does not have"),
        (ChainWithoutQuery(), r"ChainWithoutQuery\.run\(\) has no parameter for the query; looked for query, question"),
        (RunsSomethingElse(), r"RunsSomethingElse\.run\(\) has no parameters query and documents"),
        (needs_a_third, r"needs_a_third\(\) needs tokenizer, which a rerank does not have"),
        (lambda: None, r"has no parameter for the query"),
        (lambda query: [], r"has no parameter for the documents; looked for documents, docs"),
    ],
)
def test_refuses_what_it_cannot_call_before_any_call(reranker: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        adapt(reranker, name=None if hasattr(reranker, "__dict__") and not callable(reranker) else "named")


def test_a_model_can_be_given_to_a_client_that_wants_it_in_every_call() -> None:
    service = Service()
    reranker = adapt(service, model="rerank-v3.5")
    assert reranker.name == "Service/rerank-v3.5"
    assert reranker.score([(QUERY, "a"), (QUERY, "bbb")]).tolist() == pytest.approx([0.01, 0.03])
    assert not reranker.listwise
    assert set(service.models) == {"rerank-v3.5"}
    assert adapt(service.rerank, model="rerank-v3.5").name == reranker.name
    assert adapt(partial(service.rerank, model="x"), name="x").score([(QUERY, "bb")]).tolist() == pytest.approx([0.02])


@pytest.mark.parametrize("reranker", [ServiceWithAddress(), lambda query, texts: [], object()])
def test_a_model_is_refused_where_no_call_takes_it(reranker: Any) -> None:
    with pytest.raises(InvalidInputError, match="takes no model in a call"):
        adapt(reranker, model="rerank-v3.5")


@pytest.mark.parametrize("kind", [Service, ServiceWithAddress])
def test_a_class_is_no_object_of_it(kind: type) -> None:
    with pytest.raises(InvalidInputError, match=rf"{kind.__name__} is a class; pass an object of it"):
        adapt(kind)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (lambda pairs: 0, True),
        (lambda text_pairs, batch_size=32, **options: 0, True),
        (anything, True),
        (lambda query, doc: 0, False),
        (lambda query, docs=None: 0, False),
        (lambda request: 0, False),
        (lambda: 0, False),
    ],
)
def test_one_argument_that_is_no_query_is_a_list_of_pairs(method: Callable[..., Any], expected: bool) -> None:
    assert takes_pairs(method) is expected
