"""Calls methods of other libraries with a query and documents, whatever their parameters are called."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from types import SimpleNamespace
from typing import Any

from semcache.errors import InvalidInputError

QUERIES = ("query", "question", "query_str", "query_text", "search_query", "q")
DOCUMENTS = (
    "documents", "docs", "passages", "texts", "candidates", "nodes", "sentences", "chunks", "hits", "input", "inputs",
)  # fmt: skip
COUNTS = ("top_k", "top_n", "limit", "k", "n", "how_many", "max_results", "num_results")
ONE_DOCUMENT = ("document", "doc", "passage", "text", "candidate", "sentence", "chunk")
"""Parameters of methods that score one document in a call, such as ``score(query, doc)``."""

Ask = Callable[[str, Sequence[Any]], Any]
"""Gives the answer of another library about a query and documents."""

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_REST = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class UncallableError(InvalidInputError):
    """A method or function that a rerank cannot call; the message names the parameter and what was looked for."""


@dataclass(frozen=True, slots=True)
class CallShape:
    """How a method is called: what its positional arguments and its named ones are.

    They are "query", "documents", "count" (of the results) or "request" (FlashRank's object with query and passages).
    """

    positional: tuple[str, ...]
    by_name: Mapping[str, str]

    @classmethod
    def of(cls, method: Callable[..., Any]) -> "CallShape":
        """By the names of the parameters, and by their order where these are unknown.

        Raises UncallableError when query or documents have no parameter, or when another one has no default.
        """
        try:
            found = inspect.signature(method).parameters
        except (TypeError, ValueError):  # some methods written in C do not say their parameters
            return cls(("query", "documents"), {})
        roles = _roles(found)
        missing = [] if "request" in roles.values() else [r for r in ("query", "documents") if r not in roles.values()]
        rest = [name for name, p in found.items() if name not in roles and p.default is p.empty and p.kind not in _REST]
        kinds = {parameter.kind for parameter in found.values()}
        if rest or (missing and not kinds & set(_REST)):
            raise _uncallable(method, rest, missing)
        takes_more = bool(missing) and Parameter.VAR_POSITIONAL in kinds
        # By name wherever possible, since some libraries put the documents first.
        kept = _BY_POSITION if takes_more else (Parameter.POSITIONAL_ONLY,)
        positional = [role for name, role in roles.items() if found[name].kind in kept]
        by_name = {name: role for name, role in roles.items() if found[name].kind not in kept}
        if takes_more:
            return cls((*positional, *missing), by_name)
        return cls(tuple(positional), {**by_name, **{role: role for role in missing}})

    @property
    def takes_one_document(self) -> bool:
        """True for ``score(query, doc)``, by the name of the parameter."""
        return any(role == "documents" and name in ONE_DOCUMENT for name, role in self.by_name.items())

    @property
    def has_count(self) -> bool:
        """True if the method takes the number of results, as those do that rank."""
        return "count" in (*self.positional, *self.by_name.values())


def asking_for_all(method: Callable[..., Any]) -> Ask:
    """``method`` as a function of query and documents that asks for as many results as there are documents.

    Parameters are found by name; unknown names mean query and documents, in this order. A count is passed by its
    name alone, since a third parameter may well be an address or a token. A parameter ``request`` in place of both gets
    an object with ``query`` and ``passages``, as FlashRank's rankers want. Raises UncallableError.

    Example:
        ``asking_for_all(rank)`` of ``def rank(docs, query, top_n=3)`` calls ``rank(docs=..., query=..., top_n=...)``.
    """
    shape = CallShape.of(method)
    has_request = "request" in shape.by_name.values()

    def ask(query: str, passages: Sequence[Any]) -> Any:
        given: dict[str, Any] = {"query": query, "documents": passages, "count": len(passages)}
        if has_request:
            # New dictionaries for each call: FlashRank writes the scores into them, and sorts the list.
            request = [{"id": at, "text": text} for at, text in enumerate(passages)]
            given["request"] = SimpleNamespace(query=query, passages=request)
        named = {name: given[role] for name, role in shape.by_name.items()}
        return method(*(given[role] for role in shape.positional), **named)

    return ask


def takes_pairs(method: Callable[..., Any]) -> bool:
    """True if one argument is enough, and it is not the query: ``predict(pairs)``, ``score(text_pairs, batch=32)``."""
    try:
        found = inspect.signature(method)
        found.bind([])
    except TypeError:  # it needs more than one argument, or none
        return False
    except ValueError:  # some methods written in C do not say their parameters
        return True
    return next(iter(found.parameters)) not in (*QUERIES, "request")


def takes_model(method: Callable[..., Any]) -> bool:
    """True if a method has a parameter ``model``, or takes any."""
    try:
        found = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return False
    return "model" in found or Parameter.VAR_KEYWORD in {parameter.kind for parameter in found.values()}


def _roles(found: Mapping[str, Parameter]) -> dict[str, str]:
    """The role of each parameter, in their order; parameters without one are left out."""
    fixed = {name for name, parameter in found.items() if parameter.kind not in _REST}
    known = {"query": QUERIES, "documents": (*DOCUMENTS, *ONE_DOCUMENT), "count": COUNTS}
    firsts = {role: next((name for name in names if name in fixed), "") for role, names in known.items()}
    named = {name: role for role, name in firsts.items() if name}
    if "request" in fixed and not {"query", "documents"} & set(named.values()):
        return {"request": "request"}
    # An option such as ``batch_size=32`` is neither query nor documents.
    unnamed = [
        name for name, p in found.items() if name not in named and p.kind in _BY_POSITION and p.default is p.empty
    ]
    for role in ("query", "documents"):
        if unnamed and role not in named.values():
            named[unnamed.pop(0)] = role
    return {name: named[name] for name in found if name in named}


def _uncallable(method: Callable[..., Any], rest: Sequence[str], missing: Sequence[str]) -> UncallableError:
    function = getattr(method, "func", method)  # of a partial
    called = f"{getattr(function, '__qualname__', type(function).__name__)}()"
    if rest:
        hint = ", or pass model= to semcache.rerankers.adapt()" if "model" in rest else ""
        return UncallableError(
            f"{called} needs {', '.join(rest)}, which a rerank does not have; give it beforehand, for example by "
            f"functools.partial(..., {rest[0]}=...){hint}"
        )
    names = QUERIES if missing[0] == "query" else DOCUMENTS
    return UncallableError(f"{called} has no parameter for the {missing[0]}; looked for {', '.join(names)}")
