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
        scores = [np.empty(0, dtype=np.float32)]
        # Without sorting: pairs of one query come together, and the scores must keep the order of the pairs.
        for query, group in groupby(pairs, itemgetter(0)):
            texts = [encodable(text) for _, text in group]
            # A run is checked by itself, so that the error counts the pairs of the call that went wrong.
            scores.append(checked_scores(self._function(encodable(query), texts), len(texts), self._name))
        return np.concatenate(scores)

    def __repr__(self) -> str:
        return f"<QueryFunctionReranker {self._name}>"


def function_reranker(function: Callable[..., Any], name: str | None = None) -> Reranker:
    """A reranker of ``f(query, texts) -> scores`` or ``f(pairs) -> scores``, told apart by the number of parameters.

    Counted are positional parameters without a default; if there are none, those with one. Raises InvalidInputError
    for another number, for a function without a signature, and for a lambda without ``name``.

    Example:
        function_reranker(lambda query, texts: [len(text) for text in texts], "longest-first")
    """
    named = name or name_of(function)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        found = [p for p in inspect.signature(function).parameters.values() if p.kind in positional]
    except ValueError as error:  # some functions written in C have no signature
        raise InvalidInputError(f"{function!r} does not say its parameters; wrap it in a function that does") from error
    # An option such as ``batch_size=32`` must not make a function of pairs look like one of query and texts.
    count = len([p for p in found if p.default is inspect.Parameter.empty] or found)
    if count == 1:
        return PairReranker(function, named)
    if count == 2:
        return QueryFunctionReranker(function, named)
    raise InvalidInputError(
        f"{named} takes {count} arguments; a reranking function takes (pairs) or (query, texts) and gives scores"
    )
