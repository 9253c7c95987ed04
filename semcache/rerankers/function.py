"""The reranker for a plain function, of a query and its texts or of pairs."""

import inspect
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np

from semcache.errors import InvalidInputError
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.naming import name_of
from semcache.rerankers.pairs import PairReranker


class QueryFunctionReranker:
    """One score per text from ``function(query, texts)``, called once per run of pairs with the same query.

    The function may be called from several threads at once.
    """

    listwise = False

    def __init__(self, function: Callable[[str, list[str]], Any], name: str) -> None:
        self._function = function
        self._name = name

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. RerankerError when the function gives something else."""
        parts = [self._of_query(query, [text for _, text in group]) for query, group in groupby(pairs, itemgetter(0))]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)

    def _of_query(self, query: str, texts: list[str]) -> FloatArray:
        scores = self._function(encodable(query), [encodable(text) for text in texts])
        return checked_scores(scores, len(texts), self._name)

    def __repr__(self) -> str:
        return f"<QueryFunctionReranker {self._name}>"


def function_reranker(function: Callable[..., Any], name: str | None = None) -> Reranker:
    """A reranker of ``f(query, texts) -> scores`` or ``f(pairs) -> scores``, told apart by the number of parameters.

    Raises InvalidInputError for another number, and for a lambda without ``name``.
    """
    named = name or name_of(function)
    count = _required_parameters(function)
    if count == 1:
        return PairReranker(function, named)
    if count == 2:
        return QueryFunctionReranker(function, named)
    raise InvalidInputError(
        f"{named} takes {count} arguments; a reranking function takes (pairs) or (query, texts) and gives scores"
    )


def _required_parameters(function: Callable[..., Any]) -> int:
    """Positional parameters without a default; if there are none, those with one."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        found = [p for p in inspect.signature(function).parameters.values() if p.kind in positional]
    except ValueError as error:  # some functions written in C have no signature
        raise InvalidInputError(f"{function!r} does not say its parameters; wrap it in a function that does") from error
    required = [p for p in found if p.default is inspect.Parameter.empty]
    return len(required or found)
