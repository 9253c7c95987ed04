"""Says which call performs which step of a flow, and answers a cache step that fails as if nothing were known."""

from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from time import monotonic
from typing import Any, Generic, TypeVar

from semcache.causes import cause_of
from semcache.errors import DeadlineExceededError, InvalidInputError, QueueFullError, StoreLeftAloneError
from semcache.events import CacheFailed, Event, RungFailed, TrustRefused
from semcache.flow.former import FormerEmbedding, embedding_time
from semcache.flow.functions import EmbedTexts, FindNear, ScoreDocuments
from semcache.flow.pacing import first_within
from semcache.flow.steps import (
    AwaitScores,
    Embed,
    FindNeighbours,
    ReadDocumentVectors,
    ReadExact,
    ReadVector,
    Refuse,
    Remember,
    Score,
    ScoreCheaply,
    Step,
)
from semcache.flow.waiting import LeaseCalls
from semcache.protocols import AsyncStore, FloatArray, Scored, Store
from semcache.runtime.budget import TimeBudget, current_budget
from semcache.runtime.tenancy import serve

StoreT = TypeVar("StoreT", bound=Store | AsyncStore)
Call = Callable[[], Any]
"""Performs one step. Its result is the answer, or in an event loop the awaitable of the answer."""

# How much of it the store may take of a request at most, if that is less than its budget.
_STORE_SHARE = 0.5

# How much of it a cheaper reranker may take to say what need not be asked. It is used where it costs a fifth of the
# primary or less, which has most of the time left when that was in vain.
_CHEAP_SHARE = 0.2


_NO_FORMER = FormerEmbedding()


@dataclass(slots=True)
class Calls(Generic[StoreT]):
    """Says which call performs which step of a flow: ordinary calls with a Store, awaited ones with an AsyncStore.

    ``embed`` gives an array of one row per text. ``score`` may be None for flows that never yield ``Score``.
    ``neighbours`` is how many entries one look-up by meaning asks for. ``on_event`` gets failures and refusals;
    ``reranker`` is the name that those of ``score`` have there. ``document_vectors`` reads those that are kept;
    ``near`` finds neighbours with what is known of documents from earlier queries, as ``find_near`` of RedisStore; None
    leaves that to ``find_neighbours`` of the store. ``budget_s`` is how long one request may wait for the store, all
    its steps together; None for no such limit. A request that has used up half of that hands over what it has to store
    to ``write_later``. ``score_cheaply`` is the scorer of a ``Cascade``, or its ``ascore``.
    ``leases`` deals with those of flows that have some; ``former`` embeds for a search of what is migrated.
    """

    store: StoreT
    embed: EmbedTexts
    score: ScoreDocuments | None
    neighbours: int
    on_event: Callable[[Event], None]
    reranker: str = "reranker"
    document_vectors: Callable[[str, Sequence[bytes]], Any] | None = None
    budget_s: float | None = None
    pairs_at_once: Callable[[], int] | None = None
    write_later: Callable[[Remember], None] | None = None
    near: FindNear | None = None
    score_cheaply: Callable[..., Any] | None = None
    leases: LeaseCalls | None = None
    former: FormerEmbedding = _NO_FORMER

    def budget(self, deadline: float | None) -> TimeBudget | None:
        """The time that a request may wait for the store."""
        if self.budget_s is None or deadline is None:
            return None if self.budget_s is None else TimeBudget(self.budget_s)
        return TimeBudget(min(self.budget_s, max(0.0, deadline - monotonic()) * _STORE_SHARE))

    def answer(
        self, step: Step, deadline: float | None = None, started: float | None = None
    ) -> Generator[Call, Any, Any]:
        """One step's answer. A cache step that fails, or comes after the deadline, is answered as a miss.

        ``deadline`` and ``started``, when the request began, are times of ``time.monotonic``. Only what ``Score``
        raises is raised, since no flow can do without its answer.
        """
        if isinstance(step, Score):
            try:
                with nullcontext() if step.lease is None or self.leases is None else self.leases.computing(step.lease):
                    return (yield self._score_call(step, deadline, started))
            except Exception as error:  # reported, and raised again for the caller
                self._report_reranker([step], error)
                raise
        # An event takes no time, so a refusal is an event also after the deadline.
        if isinstance(step, Refuse):
            self.on_event(TrustRefused(step.difference, step.similarity))
        elif self.write_later is not None and isinstance(step, Remember) and _is_late(deadline):
            self.write_later(step)
        elif deadline is None or monotonic() < deadline:
            # What is left of a deadline belongs to the reranker. A cache call under way is bounded by its budget.
            try:
                if isinstance(step, FindNeighbours) and self.near is not None:
                    former = yield from self.former.vectors([step], deadline, self.on_event)
                    return _read_beside([step], (yield self._near_call([step], self.near, former)))[0]
                if isinstance(step, Embed):
                    return (yield from _timed([step], self._cache_call(step, deadline)))[0]
                if isinstance(step, AwaitScores) and self.leases is not None:
                    return (yield from self.leases.wait(step, deadline))
                return (yield self._cache_call(step, deadline))
            except Exception as error:  # noqa: BLE001 - the cache may fail, the request may not; it becomes an event
                self._report([step], error)
        else:
            step.failure = "the deadline left no time"
        return _miss(step)

    def answers(self, steps: Sequence[Any]) -> Generator[Call | tuple[Call, ...], Any, Sequence[Any]]:
        """The answers of steps of one type and one tenant: by one call where there is such a call.

        A tuple of calls is to be performed at once; it is answered by the list of their results.
        """
        if isinstance(steps[0], Score):
            scored: list[Scored] = []
            # Asked anew for each part: the model may have become slower meanwhile, or be needed by others.
            while part := first_within(steps[len(scored) :], self.pairs_at_once):
                try:
                    scored += yield tuple(self._score_call(step, None, is_patient=True) for step in part)
                except Exception as error:  # reported, and raised again for the caller
                    self._report_reranker(part, error)
                    raise
            return scored
        near = self.near if isinstance(steps[0], FindNeighbours) else None
        if near is None:
            together = self._joint_call(steps)
        else:
            former = yield from self.former.vectors(steps, None, self.on_event)
            together = self._near_call(steps, near, former)
        if together is None:
            answers = []
            for step in steps:
                answers.append((yield from self.answer(step)))
            return answers
        try:
            found = list((yield from _timed(steps, together)) if isinstance(steps[0], Embed) else (yield together))
            return found if near is None else _read_beside(steps, found)
        except Exception as error:  # noqa: BLE001 - the cache may fail, the requests may not; it becomes an event
            self._report(steps, error)
            return [_miss(step) for step in steps]

    def _cache_call(self, step: Step, deadline: float | None) -> Call:
        # The step of every request, and the only one of an exact hit: a pattern would cost 0.3 us more.
        if isinstance(step, ReadExact):
            return partial(self.store.read_exact, step.tenant, step.query)
        call: Call
        match step:
            case FindNeighbours(tenant, vector, min_similarity):
                call = partial(self.store.find_neighbours, tenant, vector, self.neighbours, min_similarity)
            case Embed(query):
                call = partial(self.embed, [query], *embedding_time(deadline))
            case ReadVector(tenant, query):
                call = partial(self.store.read_vector, tenant, query)
            case ReadDocumentVectors(tenant, fingerprints) if self.document_vectors is not None:
                call = partial(self.document_vectors, tenant, fingerprints)
            case ScoreCheaply(query, texts) if self.score_cheaply is not None:
                left_s = None if deadline is None else (deadline - monotonic()) * _CHEAP_SHARE
                call = partial(self.score_cheaply, query, texts, deadline_s=left_s)
            case Remember(tenant, query):
                # Stores of callers have no leases, and need not know the word.
                more = {} if step.lease is None else {"lease": step.lease}
                call = partial(
                    self.store.remember,
                    tenant,
                    query,
                    step.vector,
                    step.scores,
                    cues=step.cues,
                    ttl_s=step.ttl_s,
                    **more,
                )
            case _:
                raise TypeError(f"not a cache step: {step!r}")
        return call

    def _joint_call(self, steps: Sequence[Any]) -> Call | None:
        first = steps[0]
        if isinstance(first, ReadExact):
            return lambda: self.store.read_exact_many(first.tenant, [step.query for step in steps])
        if isinstance(first, Embed):
            return lambda: self.embed([step.query for step in steps])
        if isinstance(first, FindNeighbours):
            # The flows drop what is less similar than they asked for, so the lowest bound serves all of them.
            lowest = min(step.min_similarity for step in steps)
            vectors = [step.vector for step in steps]
            return lambda: self.store.find_neighbours_many(first.tenant, vectors, self.neighbours, lowest)
        return None

    def _near_call(self, steps: Sequence[FindNeighbours], near: FindNear, former: FloatArray | None) -> Call:
        tenant, lowest = steps[0].tenant, min(step.min_similarity for step in steps)
        vectors, documents = [step.vector for step in steps], [step.documents for step in steps]
        leases = () if steps[0].lease is None else (steps[0].lease,)
        found = partial(near, tenant, vectors, self.neighbours, lowest, documents, *leases)
        return found if former is None else partial(found, former=former)

    def _score_call(
        self, step: Score, deadline: float | None, started: float | None = None, *, is_patient: bool = False
    ) -> Call:
        if self.score is None:
            raise TypeError("this flow asks for scores, and there is no reranker to give them")
        score = self.score
        # A ladder that is given 0 answers at once, by its last rung.
        left_s = None if deadline is None else max(0.0, deadline - monotonic())
        if is_patient and self.pairs_at_once is not None:
            left_s = inf
        if self.pairs_at_once is None or left_s is not None or started is None:
            return lambda: serve(step.tenant, partial(score, step.query, step.texts, step.ask, deadline_s=left_s))
        # Without a deadline such a ladder has a patience of its own, which is the whole request's.
        spent_s = monotonic() - started - step.waited_s
        call = partial(score, step.query, step.texts, step.ask, spent_s=spent_s)  # type: ignore[call-arg]
        return lambda: serve(step.tenant, call)

    def _report_reranker(self, steps: Sequence[Score], error: Exception) -> None:
        """Tell observers of a ladder that could not answer, before its error goes to the caller."""
        # These three say nothing about the reranker: the caller's mistake, and too much work for the time.
        if not isinstance(error, InvalidInputError | QueueFullError | DeadlineExceededError):
            texts = [text for step in steps for text in (step.query, *step.texts)]
            self.on_event(RungFailed(self.reranker, cause_of(error, texts)))

    def _report(self, steps: Sequence[Any], error: Exception) -> None:
        """Say on each of the steps why it failed, and tell observers once; of an outage once per request."""
        cause = cause_of(error, [query for step in steps if (query := getattr(step, "query", None)) is not None])
        for step in steps:
            step.failure = cause
        # The first step of a request tells of it; that the others are left out as well is nothing new.
        if not isinstance(error, StoreLeftAloneError) or isinstance(steps[0], ReadExact):
            self.on_event(CacheFailed(type(steps[0]).__name__, cause))


def _is_late(deadline: float | None) -> bool:
    """Whether a write has to be done after the answer, as the request may not wait any longer.

    A look-up that took half of the budget says that a write may take the rest of it, and the answer is there already.
    """
    budget = current_budget()
    is_over = deadline is not None and monotonic() >= deadline
    return is_over or (budget is not None and budget.left_s <= budget.whole_s / 2)


def _timed(steps: Sequence[Embed], call: Call) -> Generator[Call, Any, Any]:
    """The result of a call that embeds queries, whether it fails or not with the time that it took on their steps."""
    began = monotonic()
    try:
        return (yield call)
    finally:
        share_s = (monotonic() - began) / len(steps)
        for step in steps:
            step.took_s = share_s


def _read_beside(steps: Sequence[FindNeighbours], found: Sequence[Any]) -> list[Any]:
    """The neighbours of each step, of what was read together; the rest is written to the steps."""
    for step, (_, earlier, similarities) in zip(steps, found, strict=True):
        step.earlier, step.similarities = earlier, similarities
    return [neighbours for neighbours, *_ in found]


def _miss(step: Step) -> Any:
    """The answer to a cache step when nothing was found."""
    return () if isinstance(step, FindNeighbours) else None
