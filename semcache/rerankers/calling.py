"""Calls ranking methods of other libraries, whose parameters differ in name and order."""

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

    Example:
        ``asking_for_all(rank)`` of ``def rank(docs, query, top_n=3)`` calls ``rank(docs=..., query=..., top_n=...)``.
    """
    try:
        found = inspect.signature(method).parameters
    except (TypeError, ValueError):  # methods written in C have no signature: they get query and documents, in order
        return method
    # Only parameters that can be passed by name are looked up by name.
    parameters = {name: p for name, p in found.items() if p.kind is not inspect.Parameter.POSITIONAL_ONLY}
    query, documents = _one_of(parameters, _QUERIES), _one_of(parameters, _DOCUMENTS)
    count = _one_of(parameters, _COUNTS)
    # By name wherever possible, since some libraries put the documents first.
    if query and documents:

        def by_name(text: str, passages: Sequence[str]) -> Any:
            return method(**{query: text, documents: passages}, **({count: len(passages)} if count else {}))

        return by_name
    if count:
        return lambda text, passages: method(text, passages, **{count: len(passages)})
    by_position = inspect.Parameter.POSITIONAL_OR_KEYWORD
    if sum(p.kind is by_position and p.default is inspect.Parameter.empty for p in parameters.values()) > 2:
        return lambda text, passages: method(text, passages, len(passages))
    return method


def _one_of(parameters: dict[str, inspect.Parameter], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in parameters), None)
