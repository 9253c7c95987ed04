"""Generators are driven alike by calls and by awaited calls, one alone or many in lockstep."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import copy_context
from time import monotonic
from typing import Any

import numpy as np
import pytest

from semcache.events import CacheFailed, Event, RungFailed, TrustRefused
from semcache.flow.calls import Calls
from semcache.flow.drive import adrive, drive, lockstep
from semcache.flow.run import arun, arun_many, run, run_many, written_later
from semcache.flow.steps import (
    Embed,
    FindNeighbours,
    ReadDocumentVectors,
    ReadExact,
    ReadVector,
    Refuse,
    Remember,
    Score,
    Step,
)
from semcache.protocols import AsyncStore, FloatArray, Scored, Store
from semcache.runtime.budget import current_budget
from tests.fakes import MemoryStore
from tests.scripted import PATIENCE_S

Flow = Generator[Step, Any, Any]
VECTOR = np.array([1.0, 0.0], dtype=np.float32)
CACHE_STEPS: list[Step] = [
    ReadExact("", "q"),
    Embed("q"),
    ReadVector("", "q"),
    FindNeighbours("", VECTOR, 0.5),
    ReadDocumentVectors("", (b"a" * 16,)),
    Remember("", "q", VECTOR, ((b"a" * 16, 1.0),), b""),
]
MISSES = [None, None, None, (), None, None]


class AwaitedStore:
    """The memory store with coroutines for methods."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*arguments: Any, **named: Any) -> Any:
            return getattr(self.store, name)(*arguments, **named)

        return call


class Driven:
    """Runs flows over a memory store, by calls or by awaited calls, and keeps what happened."""

    def __init__(self, *, awaited: bool) -> None:
        self.awaited = awaited
        self.store = MemoryStore()
        self.events: list[Event] = []
        self.embedded: list[list[str]] = []
        self.left_s: list[float | None] = []
        self.score_error: Exception | None = None
        self.budget_s: float | None = None
        self.jobs: list[Callable[[], None]] | None = []
        """The writes that were left for later; None to refuse them."""

    def embed(self, texts: Sequence[str]) -> FloatArray:
        if self.store.broken:
            raise OSError("model gone")
        self.embedded.append(list(texts))
        return np.array([[len(text), 0] for text in texts], dtype=np.float32)

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        self.left_s.append(deadline_s)
        if self.score_error is not None:
            raise self.score_error
        return Scored(np.array(ask, dtype=np.float32), "r")

    def read_document_vectors(self, tenant: str, fingerprints: Sequence[bytes]) -> FloatArray:
        if self.store.broken:
            raise ConnectionError("scripted outage")
        return np.ones((len(fingerprints), 2), dtype=np.float32)

    def run(self, flow: Flow, deadline: float | None = None) -> Any:
        if self.awaited:
            return asyncio.run(arun(flow, self._awaited_calls(), deadline))
        return run(flow, self._calls(), deadline)

    def run_many(self, flows: Sequence[Flow]) -> list[Any]:
        if self.awaited:
            return asyncio.run(arun_many(flows, self._awaited_calls()))
        return run_many(flows, self._calls())

    def _calls(self) -> Calls[Store]:
        later = written_later(Calls(self.store, self.embed, None, 4, self.events.append), self._submit)
        return Calls(
            self.store,
            self.embed,
            self.score,
            4,
            self.events.append,
            document_vectors=self.read_document_vectors,
            budget_s=self.budget_s,
            write_later=None if self.budget_s is None else later,
        )

    def _submit(self, job: Callable[[], None]) -> bool:
        if self.jobs is None:
            return False
        self.jobs.append(job)
        return True

    def _awaited_calls(self) -> Calls[AsyncStore]:
        async def embed(texts: Sequence[str]) -> FloatArray:
            return self.embed(texts)

        async def score(
            query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
        ) -> Scored:
            return self.score(query, documents, ask, deadline_s=deadline_s)

        async def read_document_vectors(tenant: str, fingerprints: Sequence[bytes]) -> FloatArray:
            return self.read_document_vectors(tenant, fingerprints)

        store: Any = AwaitedStore(self.store)
        calls = self._calls()
        return Calls(
            store,
            embed,
            score,
            4,
            self.events.append,
            document_vectors=read_document_vectors,
            budget_s=self.budget_s,
            write_later=calls.write_later,
        )


@pytest.fixture(params=[False, True], ids=["calls", "awaited calls"])
def driven(request: pytest.FixtureRequest) -> Driven:
    return Driven(awaited=request.param)


def asking(*steps: Step) -> Flow:
    """A flow that returns the answers to these steps."""
    answers = []
    for step in steps:
        answers.append((yield step))
    return answers


def test_each_step_is_answered_in_its_turn(driven: Driven) -> None:
    driven.store.remember("", "q", VECTOR, [(b"a" * 16, 2.0)])
    exact, embedded, vector, near, documents, stored, scored, refused = driven.run(
        asking(*CACHE_STEPS, Score("q", ("a", "b"), (1,)), Refuse("negation", 0.9))
    )
    assert (exact, embedded.tolist(), stored) == ({b"a" * 16: 2.0}, [1, 0], True)
    assert vector is VECTOR
    assert documents.tolist() == [[1, 1]]
    assert [neighbour.similarity for neighbour in near] == [1.0]
    assert (scored.scores.tolist(), scored.reranker) == ([1], "r")
    assert (refused, driven.events) == (None, [TrustRefused("negation", 0.9)])


def test_a_cache_step_that_fails_is_a_miss_and_an_event(driven: Driven) -> None:
    driven.store.broken = True
    assert driven.run(asking(*CACHE_STEPS)) == MISSES
    assert driven.events == [
        CacheFailed("ReadExact", "ConnectionError: scripted outage"),
        CacheFailed("Embed", "OSError: model gone"),
        CacheFailed("ReadVector", "ConnectionError: scripted outage"),
        CacheFailed("FindNeighbours", "ConnectionError: scripted outage"),
        CacheFailed("ReadDocumentVectors", "ConnectionError: scripted outage"),
        CacheFailed("Remember", "ConnectionError: scripted outage"),
    ]


def test_after_the_deadline_only_the_reranker_is_asked(driven: Driven) -> None:
    *missed, scored = driven.run(asking(*CACHE_STEPS, Score("q", ("a",), (0,))), monotonic() - 1)
    assert missed == MISSES
    assert (scored.reranker, driven.left_s, driven.store.calls, driven.events) == ("r", [0.0], [], [])


REMEMBER = Remember("", "q", VECTOR, ((b"a" * 16, 1.0),), b"")


def spending(seconds: float, *steps: Step) -> Flow:
    """A flow whose look-ups took so long."""
    budget = current_budget()
    assert budget is not None
    budget.left_s -= seconds
    return (yield from asking(*steps))


def test_what_half_of_the_budget_is_left_for_is_stored_at_once(driven: Driven) -> None:
    driven.budget_s = 1.0
    assert driven.run(spending(0.4, REMEMBER)) == [True]
    assert driven.jobs == []


@pytest.mark.parametrize(("spent_s", "deadline_s"), [(0.6, None), (0.6, 100.0), (0.0, -1.0)])
def test_a_write_that_the_answer_would_wait_for_too_long_comes_after_it(
    driven: Driven, spent_s: float, deadline_s: float | None
) -> None:
    driven.budget_s = 1.0
    driven.run(spending(spent_s, REMEMBER), None if deadline_s is None else monotonic() + deadline_s)
    assert driven.store.calls == []
    assert driven.jobs is not None
    for job in driven.jobs:
        job()
    assert driven.store.calls == ["remember"]
    assert driven.run(asking(ReadExact("", "q"))) == [{b"a" * 16: 1.0}]


def test_a_write_of_later_that_fails_or_is_not_taken_is_an_event(driven: Driven) -> None:
    driven.budget_s = 1.0
    driven.run(spending(1.0, REMEMBER))
    driven.store.broken = True
    assert driven.jobs is not None
    driven.jobs.pop()()
    driven.jobs = None
    driven.run(spending(1.0, REMEMBER))
    assert driven.events == [
        CacheFailed("Remember", "ConnectionError: scripted outage"),
        CacheFailed("Remember", "StoreTooSlowError: too many other writes wait for Redis"),
    ]


def test_a_coroutine_that_is_ended_elsewhere_is_ended_without_a_word(driven: Driven) -> None:
    class Silent:
        async def read_exact(self, tenant: str, query: str) -> None:
            await asyncio.Future(loop=loop)

    loop = asyncio.new_event_loop()
    store: Any = Silent()
    waiting = arun(asking(ReadExact("", "q")), Calls(store, driven.embed, None, 4, driven.events.append))
    copy_context().run(waiting.send, None)
    waiting.close()
    loop.close()
    assert current_budget() is None


def test_the_reranker_is_told_how_much_time_is_left(driven: Driven) -> None:
    driven.run(asking(Score("q", ("a",), (0,))), monotonic() + 100)
    driven.run(asking(Score("q", ("a",), (0,))))
    left_s, unlimited = driven.left_s
    assert left_s is not None
    assert 0 < left_s <= 100
    assert unlimited is None


def test_an_error_of_the_reranker_reaches_the_flow_and_then_the_caller(driven: Driven) -> None:
    driven.score_error = RuntimeError("model gone")
    seen = []

    def flow() -> Flow:
        try:
            yield Score("q", ("a",), (0,))
        except RuntimeError as error:
            seen.append(error)
            raise

    with pytest.raises(RuntimeError, match="model gone"):
        driven.run(flow())
    assert seen == [driven.score_error]
    with pytest.raises(RuntimeError, match="model gone"):
        driven.run_many([flow(), flow()])
    assert driven.events == [RungFailed("reranker", "RuntimeError: model gone")] * 2


def test_flows_without_a_reranker_may_not_ask_for_scores() -> None:
    calls: Calls[Store] = Calls(MemoryStore(), lambda texts: VECTOR, None, 4, lambda event: None)
    with pytest.raises(TypeError, match="there is no reranker"):
        run(asking(Score("q", ("a",), (0,))), calls)


def test_many_flows_share_calls_and_get_their_own_answers(driven: Driven) -> None:
    driven.store.remember("", "two", VECTOR, [(b"a" * 16, 2.0)])
    driven.store.calls.clear()
    queries = ["one", "two", "three"]
    flows = [asking(ReadExact("", query), Embed(query), Score(query, ("a",), (0,))) for query in queries]
    answers = driven.run_many(flows)
    assert [exact for exact, _, _ in answers] == [None, {b"a" * 16: 2.0}, None]
    assert [embedded.tolist() for _, embedded, _ in answers] == [[3, 0], [3, 0], [5, 0]]
    assert driven.embedded == [queries]
    assert driven.store.calls == ["read_exact"] * 3
    assert driven.left_s == [None] * 3


def test_many_flows_survive_a_call_that_fails_for_all_of_them(driven: Driven) -> None:
    driven.store.broken = True
    assert driven.run_many([asking(*CACHE_STEPS), asking(*CACHE_STEPS)]) == [MISSES, MISSES]
    steps = [event.step for event in driven.events if isinstance(event, CacheFailed)]
    # One call for both flows fails once; steps without a common call fail one by one.
    assert steps == [
        *("ReadExact", "Embed", "ReadVector", "ReadVector", "FindNeighbours"),
        *("ReadDocumentVectors", "ReadDocumentVectors", "Remember", "Remember"),
    ]


def test_one_flow_alone_may_fail_too(driven: Driven) -> None:
    driven.store.broken = True
    assert driven.run_many([asking(ReadExact("", "q"))]) == [[None]]
    assert driven.events == [CacheFailed("ReadExact", "ConnectionError: scripted outage")]


def test_flows_that_look_for_different_similarities_share_the_lower_one(driven: Driven) -> None:
    near = np.array([0.6, 0.8], dtype=np.float32)
    driven.store.remember("", "near", near, [(b"a" * 16, 1.0)])
    flows = [asking(FindNeighbours("", VECTOR, bound)) for bound in (0.5, 0.7)]
    assert [len(found) for (found,) in driven.run_many(flows)] == [1, 1], "each flow drops what it does not want"


def test_no_flows_give_no_results(driven: Driven) -> None:
    assert driven.run_many([]) == []


def test_scores_of_many_flows_are_asked_for_at_once_in_sixteen_threads() -> None:
    together = threading.Barrier(16)

    def score(query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None) -> Scored:
        together.wait(PATIENCE_S)
        return Scored(None, query)

    calls: Calls[Store] = Calls(MemoryStore(), lambda texts: VECTOR, score, 4, lambda event: None)
    answers = run_many([asking(Score(str(number), (), ())) for number in range(32)], calls)
    assert [scored.reranker for (scored,) in answers] == [str(number) for number in range(32)]


async def test_scores_of_many_flows_are_awaited_at_once() -> None:
    together = asyncio.Barrier(32)

    async def score(
        query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        await asyncio.wait_for(together.wait(), PATIENCE_S)
        return Scored(None, query)

    store: Any = AwaitedStore(MemoryStore())
    calls: Calls[AsyncStore] = Calls(store, lambda texts: VECTOR, score, 4, lambda event: None)
    answers = await arun_many([asking(Score(str(number), (), ())) for number in range(32)], calls)
    assert [scored.reranker for (scored,) in answers] == [str(number) for number in range(32)]


class TestLockstep:
    def test_steps_are_grouped_by_type_and_answered_in_order(self) -> None:
        groups = lockstep([asking(Embed("a")), asking(ReadVector("", "b"), Embed("b")), asking(Embed("c"))])
        assert next(groups) == [Embed("a"), Embed("c")]
        assert groups.send(["A", "C"]) == [ReadVector("", "b")]
        assert groups.send(["B1"]) == [Embed("b")], "it goes on only when the whole round is answered"
        with pytest.raises(StopIteration) as done:
            groups.send(["B2"])
        assert done.value.value == [["A"], ["B1", "B2"], ["C"]]

    def test_one_answer_per_step_is_required(self) -> None:
        groups = lockstep([asking(Embed("a")), asking(Embed("b"))])
        next(groups)
        with pytest.raises(ValueError, match="argument 2 is shorter"):
            groups.send(["A"])


class TestErrors:
    def test_a_generator_may_handle_the_error_of_its_step(self) -> None:
        def steps() -> Generator[str, int, list[int | str]]:
            answers: list[int | str] = [(yield "1")]
            try:
                yield "one"
            except ValueError:
                answers.append("not a number")
            answers.append((yield "3"))
            return answers

        async def perform(step: str) -> int:
            return int(step)

        assert drive(steps(), int) == [1, "not a number", 3]
        assert asyncio.run(adrive(steps(), perform)) == [1, "not a number", 3]

    def test_an_interrupt_is_not_offered_to_the_generator(self) -> None:
        seen = []

        def steps() -> Generator[str, None, None]:
            try:
                yield "step"
            except BaseException as error:
                seen.append(type(error))
                raise

        def interrupted(_step: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            drive(steps(), interrupted)
        assert seen == [GeneratorExit], "only its end is noticed"


def test_what_is_known_of_documents_is_read_with_the_neighbours_of_one_step_and_of_several() -> None:
    known = np.ones(1)
    asked: list[Any] = []

    def near(tenant: str, vectors: Any, k: int, min_similarity: float, documents: Any) -> list[Any]:
        asked.append((tenant, len(vectors), k, min_similarity, documents))
        return [([], known if fingerprints else None, [0.3]) for fingerprints in documents]

    steps = [FindNeighbours("", VECTOR, bound, documents) for bound, documents in ((0.5, (b"a",)), (0.7, ()))]

    def flow(step: FindNeighbours) -> Generator[Any, Any, Any]:
        assert (yield step) == []
        assert step.similarities == [0.3]
        return step.earlier

    calls: Calls[Store] = Calls(MemoryStore(), lambda texts: VECTOR, None, 4, lambda event: None, near=near)
    assert run(flow(steps[0]), calls) is known
    assert run_many([flow(step) for step in steps], calls) == [known, None]
    assert asked == [("", 1, 4, 0.5, [(b"a",)]), ("", 2, 4, 0.5, [(b"a",), ()])]


def test_neighbours_that_cannot_be_found_leave_nothing_known_of_documents() -> None:
    def near(*arguments: Any) -> Any:
        raise ConnectionError("scripted outage")

    events: list[Event] = []
    calls: Calls[Store] = Calls(MemoryStore(), lambda texts: VECTOR, None, 4, events.append, near=near)
    step = FindNeighbours("", VECTOR, 0.5, (b"a",))
    assert run(asking(step), calls) == [()] and step.earlier is None
    assert events == [CacheFailed("FindNeighbours", "ConnectionError: scripted outage")]
