"""Runs generators that decide without I/O, and carries out the steps that they yield.

Whole reranks, operations on the store and the chain of fallbacks are all written once, as such generators. Only
``drive`` and ``adrive`` know whether a step is performed by a call or by an awaited call; everything else here is
shared by both worlds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from operator import call as invoke
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from semcache.causes import cause_of
from semcache.errors import DeadlineExceededError, InvalidInputError, QueueFullError, StoreLeftAloneError
from semcache.events import CacheFailed, Event, RungFailed, TrustRefused
from semcache.flow.pacing import first_within
from semcache.flow.steps import (
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
from semcache.protocols import AsyncStore, FloatArray, Scored, Store
from semcache.runtime.budget import TimeBudget, begin_to_spend, current_budget, end_spending
from semcache.runtime.tenancy import serve

S = TypeVar("S")
T = TypeVar("T")
StoreT = TypeVar("StoreT", bound=Store | AsyncStore)
Call = Callable[[], Any]
"""Performs one step. Its result is the answer, or in an event loop the awaitable of the answer."""

# How much of the time until the deadline a query may be embedded. It takes 5 to 40 ms on a CPU
# (benchmarks/results/embedding.md), so only a model that is loading or hangs takes half of a deadline that leaves a
# reranker time at all. The request then goes on without the cache's help, and the reranker has the other half.
_EMBEDDING_SHARE = 0.5

# How much of it the store may take of a request at most, if that is less than its budget.
_STORE_SHARE = 0.5

# How much of it a cheaper reranker may take to say what need not be asked. It is used where it costs a fifth of the
# primary or less, which has most of the time left when that was in vain.
_CHEAP_SHARE = 0.2

# More threads than the batcher merges into one run gain nothing: they only wait.
_SCORING_THREADS = 16


def drive(steps: Generator[S, Any, T], perform: Callable[[S], Any]) -> T:
    """Send the answer of ``perform`` to each step back, until the generator returns.

    An error of ``perform`` is raised inside the generator, at the step that caused it: the generator may handle it, and
    otherwise the caller gets it. Interrupts such as KeyboardInterrupt are not offered to the generator.

    Example:
        >>> def double(number):
        ...     return 2 * (yield f"what is {number}?")
        >>> drive(double(3), perform=lambda question: int(question[8:-1]))
        6
    """
    try:
        step = next(steps)
        while True:
            try:
                answer = perform(step)
            except Exception as error:  # noqa: BLE001 - the generator decides what an error means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def adrive(steps: Generator[S, Any, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """``drive`` for steps that are performed by an awaited call."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await perform(step)
            except Exception as error:  # noqa: BLE001 - the generator decides what an error means
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def lockstep(flows: Iterable[Generator[S, Any, T]]) -> Generator[list[S], Sequence[Any], list[T]]:
    """Many generators as one, which yields the steps they wait for in groups of one type; returns their results.

    A group is answered by one answer per step, in order. An error that is thrown in at a group ends all generators.

    Example:
        >>> groups = lockstep([double(1), double(2)])
        >>> next(groups)
        ['what is 1?', 'what is 2?']
    """
    running = list(flows)
    # By the generator's number, since those that have ended drop out.
    results: dict[int, T] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(running)))
    while answers:
        groups: dict[type, dict[int, S]] = {}
        for index, answer in answers.items():
            try:
                step = running[index].send(answer)
            except StopIteration as done:
                results[index] = done.value
            else:
                groups.setdefault(type(step), {})[index] = step
        # All groups of a round are answered before any generator goes on. Generators that take the same way then stay
        # together, and one call can perform their steps.
        answers = {}
        for group in groups.values():
            answers.update(zip(group, (yield list(group.values())), strict=True))
    return [results[index] for index in range(len(running))]


class EmbedTexts(Protocol):
    """``embed`` of a backend, or its ``aembed``. ``timeout_s`` is only passed for requests with a deadline."""

    def __call__(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray | Awaitable[FloatArray]: ...


class ScoreDocuments(Protocol):
    """``score`` of a ladder, or its ``ascore``."""

    def __call__(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored | Awaitable[Scored]: ...


class FindNear(Protocol):
    """``find_near`` of a store; of one for event loops it is awaited."""

    def __call__(
        self,
        tenant: str,
        vectors: Sequence[FloatArray],
        k: int,
        min_similarity: float,
        documents: Sequence[Sequence[bytes]],
    ) -> Any: ...


@dataclass(slots=True)
class Calls(Generic[StoreT]):
    """Says which call performs which step of a flow: ordinary calls with a Store, awaited ones with an AsyncStore.

    ``embed`` gives an array of one row per text. ``score`` may be None for flows that never yield ``Score``.
    ``neighbours`` is how many entries one look-up by meaning asks for. ``on_event`` gets failures and refusals;
    ``reranker`` is the name that those of ``score`` have there. ``document_vectors`` reads those that are kept;
    ``near`` reads with the neighbours what is known of documents from earlier queries, as ``find_near`` of RedisStore.
    ``budget_s`` is how long one request may wait for the store, all its steps together; None for no such limit. A
    request that has used up half of that hands over what it has to store to ``write_later``. ``score_cheaply`` is the
    scorer of a ``Cascade``, or its ``ascore``.
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
                return (yield self._score_call(step, deadline, started))
            except Exception as error:  # reported, and raised again for the caller
                self._report_reranker([step], error)
                raise
        # An event takes no time, so a refusal is an event also after the deadline.
        if isinstance(step, Refuse):
            self.on_event(TrustRefused(step.difference, step.similarity))
        elif isinstance(step, Remember) and self.write_later is not None and _is_late(deadline):
            self.write_later(step)
        elif deadline is None or monotonic() < deadline:
            # What is left of a deadline belongs to the reranker. A cache call under way is bounded by its budget.
            try:
                if isinstance(step, FindNeighbours) and step.documents and self.near is not None:
                    return _read_beside([step], (yield self._near_call([step], self.near)))[0]
                answer = yield self._cache_call(step, deadline)
                return answer[0] if isinstance(step, Embed) else answer
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
        is_near = isinstance(steps[0], FindNeighbours) and any(step.documents for step in steps)
        near = self.near if is_near else None
        together = self._joint_call(steps) if near is None else self._near_call(steps, near)
        if together is None:
            answers = []
            for step in steps:
                answers.append((yield from self.answer(step)))
            return answers
        try:
            found = list((yield together))
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
            case Embed(query) if deadline is None:
                call = partial(self.embed, [query])
            case Embed(query):
                call = partial(self.embed, [query], ((deadline or 0.0) - monotonic()) * _EMBEDDING_SHARE)
            case ReadVector(tenant, query):
                call = partial(self.store.read_vector, tenant, query)
            case ReadDocumentVectors(tenant, fingerprints) if self.document_vectors is not None:
                call = partial(self.document_vectors, tenant, fingerprints)
            case ScoreCheaply(query, texts) if self.score_cheaply is not None:
                left_s = None if deadline is None else (deadline - monotonic()) * _CHEAP_SHARE
                call = partial(self.score_cheaply, query, texts, deadline_s=left_s)
            case Remember(tenant, query):
                call = partial(
                    self.store.remember, tenant, query, step.vector, step.scores, cues=step.cues, ttl_s=step.ttl_s
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

    def _near_call(self, steps: Sequence[FindNeighbours], near: FindNear) -> Call:
        tenant, lowest = steps[0].tenant, min(step.min_similarity for step in steps)
        vectors, documents = [step.vector for step in steps], [step.documents for step in steps]
        return partial(near, tenant, vectors, self.neighbours, lowest, documents)

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
        spent_s = monotonic() - started
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
        cause = cause_of(error, [step.query for step in steps if not isinstance(step, FindNeighbours)])
        for step in steps:
            step.failure = cause
        # The first step of a request tells of it; that the others are left out as well is nothing new.
        if not isinstance(error, StoreLeftAloneError) or isinstance(steps[0], ReadExact):
            self.on_event(CacheFailed(type(steps[0]).__name__, cause))


def _is_late(deadline: float | None) -> bool:
    """Whether a request may not wait for anything more than it must.

    A look-up that took half of the budget says that a write may take the rest of it, and the answer is there already.
    """
    if deadline is not None and monotonic() >= deadline:
        return True
    budget = current_budget()
    return budget is not None and budget.left_s <= budget.whole_s / 2


def _read_beside(steps: Sequence[FindNeighbours], found: Sequence[Any]) -> list[Any]:
    """The neighbours of each step, of what was read together; the rest is written to the steps."""
    for step, (_, earlier) in zip(steps, found, strict=True):
        step.earlier = earlier
    return [neighbours for neighbours, _ in found]


def _miss(step: Step) -> Any:
    """The answer to a cache step when nothing was found."""
    return () if isinstance(step, FindNeighbours) else None


def run(
    flow: Generator[Step, Any, T], calls: Calls[Store], deadline: float | None = None, started: float | None = None
) -> T:
    """Drive one flow to its result. Only what ``Score`` raises is raised.

    ``deadline`` and ``started``, when the request began, are times of ``time.monotonic``.

    Example:
        >>> calls = Calls(store, embedder.embed, ladder.score, neighbours=4, on_event=print)
        >>> outcome = run(rerank(request, policy, ladder.name), calls)
    """
    # The inner loop performs the calls of one step, and there a failed cache call ends. The error of a ``Score`` goes
    # through it, is raised inside the flow, and from there reaches the caller.
    token = begin_to_spend(calls.budget(deadline))
    try:
        return drive(flow, lambda step: drive(calls.answer(step, deadline, started), invoke))
    finally:
        end_spending(token)


async def arun(
    flow: Generator[Step, Any, T], calls: Calls[AsyncStore], deadline: float | None = None, started: float | None = None
) -> T:
    """``run`` for calls that are awaited."""
    token = begin_to_spend(calls.budget(deadline))
    try:
        return await adrive(flow, lambda step: adrive(calls.answer(step, deadline, started), invoke))
    finally:
        # The garbage collector ends a coroutine whose loop is gone, in a context to which the token does not belong.
        with suppress(ValueError):
            end_spending(token)


def written_later(calls: Calls[Store], submit: Callable[[Callable[[], None]], bool]) -> Callable[[Remember], None]:
    """Stores scores by jobs that no request waits for. ``submit`` says whether a job will be done.

    A write that fails is an event, and so is one that is dropped since too many others wait.
    """

    def write(step: Remember) -> None:
        if not submit(lambda: drive(calls.answer(step), invoke)):
            calls.on_event(CacheFailed("Remember", "StoreTooSlowError: too many other writes wait for Redis"))

    return write


def run_many(flows: Iterable[Generator[Step, Any, T]], calls: Calls[Store]) -> list[T]:
    """Drive flows of one tenant together: one call performs equal steps, and scores are asked for at once.

    They have no budget: one call for many of them takes its time, and the store's own timeouts bound it.

    The first error of a ``Score`` is raised, and the other flows are given up.
    """
    # A pool per call: its threads start only when there are scores to ask for, and none is left behind.
    with ThreadPoolExecutor(_SCORING_THREADS, thread_name_prefix="semcache-many") as pool:

        def perform(call: Call | tuple[Call, ...]) -> Any:
            return list(pool.map(invoke, call)) if isinstance(call, tuple) else call()

        return drive(lockstep(flows), lambda steps: drive(calls.answers(steps), perform))


async def arun_many(flows: Iterable[Generator[Step, Any, T]], calls: Calls[AsyncStore]) -> list[T]:
    """``run_many`` for calls that are awaited."""

    def perform(call: Call | tuple[Call, ...]) -> Awaitable[Any]:
        return asyncio.gather(*map(invoke, call)) if isinstance(call, tuple) else call()

    return await adrive(lockstep(flows), lambda steps: adrive(calls.answers(steps), perform))
