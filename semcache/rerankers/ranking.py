"""The reranker for an object that ranks the documents of one query, with scores or without."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from threading import RLock
from typing import Any

import numpy as np

from semcache.errors import InvalidInputError, RerankerError
from semcache.identity.code import read_function
from semcache.identity.kinds import IdentifiedBy
from semcache.identity.settled import SettledScopes
from semcache.models.texts import encodable
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers.answers import SentPassages
from semcache.rerankers.awaiting import Steps, awaited_if_async, called, is_async
from semcache.rerankers.by_query import scored_by_query
from semcache.rerankers.calling import asking_for_all
from semcache.rerankers.checked import checked_scores
from semcache.rerankers.known import known_listwise
from semcache.runtime.forking import renew_in_child

_log = logging.getLogger("semcache")

# Of rankers that are still in use: an application that wraps one for each request must not ask each time.
_DECIDED = SettledScopes()

# The best document is not the first, so that a ranker that orders answers another order than it was sent.
_PROBE = [
    ("how many people live in berlin", text)
    for text in (
        "Mangoes ripen in early summer.",
        "Berlin is known for its museums.",
        "About 3.9 million people live in Berlin, the capital of Germany.",
        "The moon is far away.",
    )
]


class RankingReranker:
    """The scores that a ranker gives, or its order as numbers: n for the first of n documents, 1 for the last.

    ``rank`` is ``rerank(query, documents, top_k)`` or alike, with parameters under any usual name. It is always asked
    for all documents, so that a later larger ``top_k`` is not truncated. The documents that it gets are strings with
    ``page_content``, ``text``, ``content`` and ``metadata``. It may answer documents, indices, pairs with a score, or
    results with ``index`` or ``document``. It may be called from several threads at once.

    ``listwise`` says whether its answers are an order alone. None finds out, once, before anything is remembered: the
    first answer decides, and until there is one, reading ``listwise`` asks for one about four documents. A ranker
    *scores* if each document got a finite score and the answer is in the order of the scores or of the documents; then
    a later answer that lacks a score is a RerankerError. Where it cannot be asked (``may_ask`` is False, or it fails
    now), it counts as listwise, since that is right for both kinds; its scores are given as long as all answers have
    them. Of an order, documents that are left out come last, as they were sent. ``on_decided`` is told once what an
    answer has shown.

    RerankerError when it answers a document that was not sent. Raises UncallableError for a ``rank`` that cannot be
    called with a query and documents.

    Example:
        RankingReranker(client.rerank, "rerank-service").score([("a query", "worse"), ("a query", "better")])
        gives ``array([0.1, 0.7], dtype=float32)``.
    """

    one_query_per_call = True

    def __init__(
        self,
        rank: Callable[..., Any],
        name: str,
        *,
        listwise: bool | None = None,
        may_ask: bool = True,
        on_decided: Callable[[bool], Any] = bool,
    ) -> None:
        self._rank = asking_for_all(rank)
        self._on_decided = on_decided
        self._name = name
        reading = read_function(rank)
        self.identified_by: IdentifiedBy = reading.identified_by
        self.content: str = reading.digest
        self._may_ask = may_ask
        self._listwise = listwise
        # Of a ranker of unknown kind that counts as listwise: whether all of its answers had scores so far.
        self._has_scores = listwise is None
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Wait for no thread of the parent that is just asking for the kind; also used for the beginning itself."""
        self._deciding = RLock()

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    @property
    def listwise(self) -> bool:
        """True if the scores of one call must not be compared with those of another."""
        if self._listwise is None:
            with self._deciding:
                if self._listwise is None:
                    self._ask_for_kind()
        return bool(self._listwise)

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair. A listwise ranker takes one query with all of its documents, else InvalidInputError."""
        return called(self.steps(pairs))

    def steps(self, pairs: Sequence[Pair]) -> Steps:
        """``score``, with the calls of the ranker left to others."""
        queries = len({query for query, _ in pairs})
        # Several queries in one call cannot be taken back once the answer to the first turns out to be an order.
        if queries > 1 and self.listwise:
            raise InvalidInputError(
                f"{self._name} is listwise: its scores hold within one query, got {queries} queries in one call; "
                "call it once per query"
            )
        return (yield from scored_by_query(pairs, self._scored))

    def _scored(self, query: str, texts: list[str]) -> Steps:
        sent = SentPassages(texts, self._name)
        found = sent.read((yield partial(self._rank, encodable(query), sent.passages)))
        scores = sent.scores(found)
        is_scored = scores is not None and _agree(found)
        # A single document is in every order, and says nothing about whether the others would have a score.
        if self._listwise is None and len(texts) > 1:
            self._listwise = not is_scored
            self._has_scores = is_scored
            self._on_decided(self._listwise)
        if self._listwise:
            self._has_scores = self._has_scores and is_scored
            return _finite(scores, self._name) if self._has_scores and scores else _places(found, len(texts))
        if scores is not None:
            return _finite(scores, self._name)
        if self._listwise is None:
            return _places(found, len(texts))
        raise RerankerError(
            f"{self._name} gave {len(found)} documents with a score for {len(texts)} documents, and is known to score "
            "each; if it leaves documents out, pass adapt(..., listwise=True)"
        )

    def _ask_for_kind(self) -> None:
        if self._may_ask:
            try:
                self.score(_PROBE)
            except Exception as error:  # noqa: BLE001 - a ranker that fails now may work later; until then it is listwise
                _log.warning(
                    "%s could not be asked whether it scores or orders (%s: %s); it is taken for listwise, so that its "
                    "answers are remembered whole: pass adapt(..., listwise=False) if it scores every document",
                    self._name,
                    type(error).__name__,
                    error,
                )
        if self._listwise is None:
            self._listwise = True

    def __repr__(self) -> str:
        kind = {None: "of unknown kind", True: "listwise", False: "pointwise"}[self._listwise]
        return f"<RankingReranker {self._name}, {kind}>"


def ranking_reranker(
    ranker: Any,
    rank: Callable[..., Any],
    name: str,
    *,
    listwise: bool | None = None,
    may_ask: bool = True,
    method: Callable[..., Any] | None = None,
) -> Reranker:
    """The reranker of ``rank``, awaited if it has to be; its kind is what is given, or known of the ranker's class.

    ``method`` is the ranker's own, where ``rank`` only passes documents on to it.
    """
    method = method or rank
    # An asynchronous client belongs to the event loop that it is first used on, which need not be ours.
    may_ask = may_ask and not is_async(method)
    kind = known_listwise(ranker) if listwise is None else listwise
    if kind is None and (decided := _DECIDED.find(ranker, name)) is not None:
        kind = decided[0] == "listwise"

    def remember(is_listwise: bool) -> None:
        _DECIDED.keep(ranker, name, "listwise" if is_listwise else "pointwise", is_private=False)

    return awaited_if_async(method, RankingReranker(rank, name, listwise=kind, may_ask=may_ask, on_decided=remember))


def _agree(found: Sequence[tuple[int, float | None]]) -> bool:
    """True if the scores say the same as the order of the answer, or the answer is in the order of the documents.

    Otherwise the order means something else, such as diversity, or lower scores are better, or all have the same score
    because none was computed.
    """
    scores = [score or 0.0 for _, score in found]
    if [position for position, _ in found] == list(range(len(found))):
        return True
    return scores == sorted(scores, reverse=True) and scores[0] > scores[-1]


def _places(found: Sequence[tuple[int, float | None]], count: int) -> FloatArray:
    order = [position for position, _ in found]
    answered = set(order)
    order += [position for position in range(count) if position not in answered]
    scores = np.empty(count, dtype=np.float32)
    scores[order] = np.arange(count, 0, -1, dtype=np.float32)
    return scores


def _finite(scores: Sequence[float] | None, name: str) -> FloatArray:
    return checked_scores(scores, len(scores or ()), name)
