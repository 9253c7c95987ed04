"""The reranker for a plain function, of a query and its texts or of pairs."""

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from semcache.errors import RerankerError
from semcache.identity.code import read_function
from semcache.identity.kinds import IdentifiedBy
from semcache.models.foreign import as_float32
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers.answers import SentPassages
from semcache.rerankers.awaiting import Steps, awaited_if_async, called
from semcache.rerankers.by_query import scored_by_query
from semcache.rerankers.calling import Ask, CallShape, asking_for_all, takes_pairs
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.naming import name_of
from semcache.rerankers.pairs import PairReranker
from semcache.rerankers.ranking import ranking_reranker


class QueryFunctionReranker:
    """One score per text from ``function(query, texts)``, called once per query.

    The function gives numbers in the order of the texts, or results that name a text or its index and have a score for
    each. ``one_by_one`` is for a function of a query and a single text. It may be called from several threads at once.
    """

    listwise = False
    one_query_per_call = True

    def __init__(self, function: Callable[..., Any], name: str, *, one_by_one: bool = False) -> None:
        self._function = function
        self._ask: Ask = asking_for_all(function)
        self._name = name
        self._one_by_one = one_by_one
        reading = read_function(function)
        self.identified_by: IdentifiedBy = reading.identified_by
        self.content: str = reading.digest

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. RerankerError when the function gives something else."""
        return called(self.steps(pairs))

    def steps(self, pairs: Sequence[Pair]) -> Steps:
        """``score``, with the calls of the function left to others."""
        return scored_by_query(pairs, self._each if self._one_by_one else self._all)

    def _all(self, query: str, texts: list[str]) -> Steps:
        # Each query is checked by itself, so that the error counts the pairs of the call that went wrong.
        answer = yield partial(self._ask, encodable(query), list(map(encodable, texts)))
        if _has_indices(answer):
            return self._scores_of_results(answer, texts)
        try:
            as_float32(answer)
        except (TypeError, ValueError):  # no numbers, but results of a service
            return self._scores_of_results(answer, texts)
        return checked_scores(answer, len(texts), self._name)

    def _each(self, query: str, texts: list[str]) -> Steps:
        scores = []
        for text in texts:
            answer = yield partial(self._ask, encodable(query), encodable(text))
            scores.append(float(checked_scores(answer, 1, self._name)[0]))
        return np.array(scores, dtype=np.float32)

    def _scores_of_results(self, answer: Any, texts: list[str]) -> FloatArray:
        sent = SentPassages(texts, self._name)
        scores = sent.scores(sent.read(answer))
        if scores is None:
            raise RerankerError(
                f"{self._name} did not give a score for each of {len(texts)} documents; if it gives an order, pass "
                "adapt(..., listwise=True)"
            )
        return checked_scores(scores, len(texts), self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        # For worker processes, to which no function within a function can be sent.
        return partial(type(self), one_by_one=self._one_by_one), (self._function, self._name)

    def __repr__(self) -> str:
        return f"<QueryFunctionReranker {self._name}>"


def _has_indices(answer: Any) -> bool:
    """True for a list of (index, score), which numpy would take for a table of scores."""
    return (
        isinstance(answer, list | tuple)
        and bool(answer)
        and all(isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], Integral) for item in answer)
    )


def function_reranker(
    function: Callable[..., Any], name: str | None = None, *, listwise: bool | None = None, may_ask: bool = True
) -> Reranker:
    """A reranker of ``f(query, texts) -> scores``, ``f(pairs) -> scores``, or a function that ranks documents.

    They are told apart by their parameters: one that takes a number of results, such as ``top_n``, ranks; so does a
    method ``rerank`` or ``rank``, and everything for which ``listwise`` is given; both options are those of
    ``RankingReranker``. A second parameter in the singular, such as ``doc``, gets one text. Raises InvalidInputError
    for a function that cannot be called with these.

    Example:
        function_reranker(lambda query, texts: [len(text) for text in texts], "longest-first")
    """
    named = name or name_of(function)
    if takes_pairs(function):
        return awaited_if_async(function, PairReranker(function, named, listwise=bool(listwise)))
    shape = CallShape.of(function)
    # A bound method such as client.rerank is what its object would have been taken for.
    is_ranking = getattr(getattr(function, "func", function), "__name__", "") in ("rank", "rerank")
    if listwise is not None or is_ranking or shape.has_count or "request" in shape.by_name.values():
        return ranking_reranker(function, function, named, listwise=listwise, may_ask=may_ask)
    return awaited_if_async(function, QueryFunctionReranker(function, named, one_by_one=shape.takes_one_document))
