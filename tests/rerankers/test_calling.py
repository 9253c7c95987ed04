"""Ranking methods are called by the names and the order of their own parameters."""

from collections.abc import Callable
from typing import Any

import pytest

from semcache.rerankers import RankingReranker
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
