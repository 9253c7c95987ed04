"""Kinds of rerankers: which are called several times at once, by what they are and by what is said."""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from threading import Barrier
from typing import Any

import pytest

from semcache.batching.reranker import AsyncBatchReranker
from semcache.errors import ConfigurationError
from semcache.protocols import Pair, Reranker
from semcache.rerankers import adapt
from semcache.rerankers.kind import ASYNC_CONCURRENCY, CLIENT_CONCURRENCY, CallKind, Kind, call_kind
from tests.scripted import PATIENCE_S, ScriptedReranker

LOCAL = CallKind(Kind.COMPUTE_BOUND, 1)


def by_query(query: str, texts: list[str]) -> list[float]:
    return [float(len(text)) for text in texts]


def by_pairs(pairs: list[Pair]) -> list[float]:
    return [float(len(text)) for _, text in pairs]


def ranks(query: str, documents: list[str], top_n: int) -> list[int]:
    return list(range(len(documents)))


async def awaited(query: str, texts: list[str]) -> list[float]:
    return by_query(query, texts)


def saying(concurrency: object, function: Callable[..., Any] = by_query) -> Callable[..., Any]:
    @wraps(function)
    def copy(*args: Any, **named: Any) -> Any:
        return function(*args, **named)

    copy.concurrency = concurrency  # type: ignore[attr-defined]
    return copy


class Client:
    """Ranks for a service, as its library's class."""

    def rerank(self, query: str, documents: list[str], top_n: int) -> list[dict[str, float]]:
        return [{"index": at, "relevance_score": 1.0 - at} for at in range(len(documents))]


class CohereClient(Client):
    __module__ = "cohere.client_v2"


@pytest.mark.parametrize(
    ("reranker", "kind"),
    [
        (by_query, LOCAL),
        (by_pairs, LOCAL),
        (ranks, LOCAL),
        (awaited, CallKind(Kind.REMOTE, ASYNC_CONCURRENCY)),
        (CohereClient(), CallKind(Kind.REMOTE, CLIENT_CONCURRENCY)),
        (partial(CohereClient().rerank, top_n=3), CallKind(Kind.REMOTE, CLIENT_CONCURRENCY)),
        (saying(50), CallKind(Kind.REMOTE, 50)),
        (saying(50, by_pairs), CallKind(Kind.REMOTE, 50)),
        (partial(saying(7)), CallKind(Kind.REMOTE, 7)),
        (saying(1), LOCAL),
        (saying("many"), LOCAL),
        (saying(None), LOCAL),
        (ScriptedReranker(concurrency=3), CallKind(Kind.REMOTE, 3)),
        (ScriptedReranker(), LOCAL),
    ],
)
def test_the_kind_is_found_where_nothing_is_said(reranker: Any, kind: CallKind) -> None:
    assert call_kind(adapt(reranker, probe=False)) == kind


@pytest.mark.parametrize("reranker", [by_query, by_pairs, ranks, awaited, saying(3), ScriptedReranker(concurrency=3)])
def test_what_the_user_says_counts_for_more(reranker: Any) -> None:
    assert call_kind(adapt(reranker, concurrency=50)) == CallKind(Kind.REMOTE, 50)
    assert call_kind(adapt(reranker, concurrency=1)).concurrency == 1
    assert call_kind(adapt(reranker), 9).concurrency == 9


def test_the_users_own_object_is_not_changed() -> None:
    mine = ScriptedReranker()
    assert call_kind(adapt(mine, concurrency=5)).concurrency == 5
    assert (call_kind(mine), adapt(mine, concurrency=5).name) == (LOCAL, mine.name)


@pytest.mark.parametrize("number", [0, -1, 2.5])
def test_wrong_numbers_are_named(number: Any) -> None:
    with pytest.raises(ConfigurationError, match="concurrency"):
        adapt(saying(number))
    with pytest.raises(ConfigurationError, match="concurrency must be a whole number"):
        call_kind(ScriptedReranker(), number)


def test_it_is_said_in_words() -> None:
    assert str(LOCAL) == "compute-bound, one call at a time"
    with AsyncBatchReranker(awaited) as reranker:
        assert "remote, 100 calls at once" in repr(reranker)


@pytest.mark.parametrize("function", [by_query, by_pairs])
def test_a_blocking_function_gets_as_many_threads_as_it_says(function: Callable[..., Any]) -> None:
    together = Barrier(5)

    @wraps(function)
    def waits_for_the_others(*args: Any, **named: Any) -> Any:
        together.wait(PATIENCE_S)
        return function(*args, **named)

    with AsyncBatchReranker(waits_for_the_others, concurrency=5) as reranker:
        rankings = reranker.batch_rerank([f"query {at}" for at in range(5)], [["a", "bb"]] * 5, 1)
    assert [list(ranking) for ranking in rankings] == [["bb"]] * 5


def test_max_workers_bounds_the_threads() -> None:
    assert AsyncBatchReranker(saying(50), max_workers=4).batcher.kind.concurrency == 4
    assert AsyncBatchReranker(awaited, max_workers=4).batcher.kind.concurrency == ASYNC_CONCURRENCY
    assert AsyncBatchReranker(by_query, max_workers=4).batcher.kind.concurrency == 1
    with pytest.raises(ConfigurationError, match="max_workers"):
        AsyncBatchReranker(by_query, max_workers=0)


def test_queries_are_not_merged_where_each_costs_a_call_anyway() -> None:
    """They would follow one another in one thread, while the others have nothing to do."""

    def scored(reranker: Reranker) -> Sequence[float]:
        return reranker.score([("q", "a"), ("r", "bb")]).tolist()

    assert scored(adapt(by_query)) == [1.0, 2.0]
    assert [getattr(adapt(each), "one_query_per_call", False) for each in (by_query, ranks, awaited, by_pairs)] == [
        True,
        True,
        True,
        False,
    ]
