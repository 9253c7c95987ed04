"""Calls foreign ranking methods, whose parameters have other names and another order in every library."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

_QUERIES = ("query", "question", "query_str")
_DOCUMENTS = ("documents", "docs", "passages", "texts", "candidates", "nodes")
_COUNTS = ("top_k", "top_n", "limit", "k")


def asking_for_all(method: Callable[..., Any]) -> Callable[[str, Sequence[str]], Any]:
    """``method`` as a function of query and documents that asks for as many results as there are documents.

    Parameters are found by name; unknown names mean query and documents, in this order. A count is passed by its
    name, or by position when there is a third parameter without a default.
    """
    parameters = _parameters(method)
    query, documents = _one_of(parameters, _QUERIES), _one_of(parameters, _DOCUMENTS)
    count = _one_of(parameters, _COUNTS)
    if query and documents:

        def by_name(text: str, passages: Sequence[str]) -> Any:
            return method(**{query: text, documents: passages}, **({count: len(passages)} if count else {}))

        return by_name
    if count:
        return lambda text, passages: method(text, passages, **{count: len(passages)})
    if _required(parameters) > 2:
        return lambda text, passages: method(text, passages, len(passages))
    return method


def _parameters(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):  # methods written in C have no signature: query and documents, then
        return {}
    return {name: p for name, p in parameters.items() if p.kind is not inspect.Parameter.POSITIONAL_ONLY}


def _one_of(parameters: dict[str, inspect.Parameter], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in parameters), None)


def _required(parameters: dict[str, inspect.Parameter]) -> int:
    wanted = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
    return sum(1 for p in parameters.values() if p.kind in wanted and p.default is inspect.Parameter.empty)
