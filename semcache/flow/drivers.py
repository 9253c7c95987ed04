"""Carry out the steps of flows, one flow or many in lockstep, by calls or by awaited calls."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from semcache.events import CacheFailed, Event, TrustRefused
from semcache.flow.steps import Embed, FindNeighbours, ReadExact, ReadVector, Refuse, Remember, Score, Step

T = TypeVar("T")
Call = Callable[[], Any]

# More threads than the batcher merges into one run gain nothing: they only wait.
_SCORING_THREADS = 16


@dataclass(slots=True)
class Calls:
    """Which call carries out which step: functions, or coroutine functions of the same arguments.

    ``embed`` gives an array of one row per text; ``store`` is a RedisStore or its asynchronous twin, None when there
    is nowhere to remember; ``score`` is ``score`` or ``ascore`` of a ladder.
    """

    store: Any
    embed: Callable[[Sequence[str]], Any]
    score: Callable[..., Any]
    neighbours: int
    on_event: Callable[[Event], None]

    def one(self, step: Step) -> Any:
        """Carry out one cache step, or give what is to be awaited. The answer to ``Embed`` is an array of one row."""
        match step:
            case ReadExact(tenant, query):
                return self.store.read_exact(tenant, query)
            case FindNeighbours(tenant, vector, min_similarity):
                return self.store.find_neighbours(tenant, vector, self.neighbours, min_similarity)
            case Embed(query):
                return self.embed([query])
            case ReadVector(tenant, query):
                return self.store.read_vector(tenant, query)
            case Remember(tenant, query, vector, scores, cues, ttl_s):
                return self.store.remember(tenant, query, vector, scores, cues=cues, ttl_s=ttl_s)
        raise TypeError(f"not a cache step: {step!r}")

    def many(self, kind: type, steps: Sequence[Any]) -> Call | None:
        """One call that carries out equal steps of several requests of one tenant, or None if there is no such call."""
        tenant = getattr(steps[0], "tenant", "")
        if kind is ReadExact:
            return lambda: self.store.read_exact_many(tenant, [step.query for step in steps])
        if kind is Embed:
            return lambda: self.embed([step.query for step in steps])
        if kind is FindNeighbours:
            vectors, min_similarity = [step.vector for step in steps], min(step.min_similarity for step in steps)
            return lambda: self.store.find_neighbours_many(tenant, vectors, self.neighbours, min_similarity)
        return None

    def score_call(self, step: Score, deadline: float | None) -> Call:
        """Ask the ladder; ``deadline`` is a time of ``time.monotonic``."""
        left = None if deadline is None else max(0.0, deadline - monotonic())
        return lambda: self.score(step.query, step.texts, step.ask, deadline_s=left)

    def failed(self, step: object, error: Exception) -> None:
        """Tell that a cache step failed; the request goes on as if nothing had been found."""
        name = step.__name__ if isinstance(step, type) else type(step).__name__
        self.on_event(CacheFailed(name, f"{type(error).__name__}: {error}"))

    def told(self, step: Step) -> bool:
        """Whether the step was only something to tell."""
        if not isinstance(step, Refuse):
            return False
        self.on_event(TrustRefused(step.difference, step.similarity))
        return True


def run(flow: Generator[Step, Any, T], calls: Calls, deadline: float | None = None) -> T:
    """Drive one flow to its result. Only what ``Score`` raises is raised."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        if isinstance(step, Score):
            answer = calls.score_call(step, deadline)()
        else:
            answer = _try(calls, step, deadline)


async def arun(flow: Generator[Step, Any, T], calls: Calls, deadline: float | None = None) -> T:
    """``run`` for calls that are awaited."""
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        if isinstance(step, Score):
            answer = await calls.score_call(step, deadline)()
        else:
            answer = await _atry(calls, step, deadline)


def _try(calls: Calls, step: Step, deadline: float | None) -> Any:
    if calls.told(step) or _is_late(deadline):
        return _nothing(step)
    try:
        return _answer(step, calls.one(step))
    except Exception as error:  # noqa: BLE001 - the cache may fail, the request may not; observers are told
        calls.failed(step, error)
        return _nothing(step)


async def _atry(calls: Calls, step: Step, deadline: float | None) -> Any:
    if calls.told(step) or _is_late(deadline):
        return _nothing(step)
    try:
        return _answer(step, await calls.one(step))
    except Exception as error:  # noqa: BLE001 - the cache may fail, the request may not; observers are told
        calls.failed(step, error)
        return _nothing(step)


def _is_late(deadline: float | None) -> bool:
    return deadline is not None and monotonic() >= deadline


def _answer(step: Step, answer: Any) -> Any:
    return answer[0] if isinstance(step, Embed) else answer


def _nothing(step: object) -> Any:
    return () if isinstance(step, FindNeighbours) else None


def run_many(flows: Iterable[Generator[Step, Any, T]], calls: Calls) -> list[T]:
    """Drive flows of one tenant together: equal steps are carried out in one call, scores are asked for at once."""
    together = _Together(flows)
    with ThreadPoolExecutor(_SCORING_THREADS, thread_name_prefix="semcache-many") as pool:
        while waiting := together.advance():
            for kind, places in waiting.items():
                steps = together.steps(places)
                if kind is Score:
                    answers = list(pool.map(lambda step: calls.score_call(step, None)(), steps))
                else:
                    answers = _try_many(calls, kind, steps)
                together.answer(places, answers)
    return together.results()


async def arun_many(flows: Iterable[Generator[Step, Any, T]], calls: Calls) -> list[T]:
    """``run_many`` for calls that are awaited."""
    together = _Together(flows)
    while waiting := together.advance():
        for kind, places in waiting.items():
            steps = together.steps(places)
            if kind is Score:
                answers = await asyncio.gather(*(calls.score_call(step, None)() for step in steps))
            else:
                answers = await _atry_many(calls, kind, steps)
            together.answer(places, answers)
    return together.results()


def _try_many(calls: Calls, kind: type, steps: Sequence[Step]) -> list[Any]:
    call = calls.many(kind, steps)
    if call is None:
        return [_try(calls, step, None) for step in steps]
    try:
        return list(call())
    except Exception as error:  # noqa: BLE001 - the cache may fail, the requests may not; observers are told
        calls.failed(kind, error)
        return [_nothing(step) for step in steps]


async def _atry_many(calls: Calls, kind: type, steps: Sequence[Step]) -> list[Any]:
    call = calls.many(kind, steps)
    if call is None:
        return [await _atry(calls, step, None) for step in steps]
    try:
        answer: Awaitable[Any] = call()
        return list(await answer)
    except Exception as error:  # noqa: BLE001 - the cache may fail, the requests may not; observers are told
        calls.failed(kind, error)
        return [_nothing(step) for step in steps]


class _Together:
    """Flows in lockstep: which step each waits for, and which have ended."""

    def __init__(self, flows: Iterable[Generator[Step, Any, Any]]) -> None:
        self._flows = list(flows)
        self._answers: dict[int, Any] = dict.fromkeys(range(len(self._flows)))
        self._steps: dict[int, Step] = {}
        self._results: dict[int, Any] = {}

    def advance(self) -> Mapping[type, list[int]]:
        """Send every answer on; the places of the flows that wait, by the kind of step they wait for."""
        waiting: dict[type, list[int]] = {}
        for place, answer in self._answers.items():
            try:
                step = self._flows[place].send(answer)
            except StopIteration as done:
                self._results[place] = done.value
            else:
                self._steps[place] = step
                waiting.setdefault(type(step), []).append(place)
        self._answers = {}
        return waiting

    def steps(self, places: Sequence[int]) -> list[Any]:
        return [self._steps[place] for place in places]

    def answer(self, places: Sequence[int], answers: Sequence[Any]) -> None:
        self._answers.update(zip(places, answers, strict=True))

    def results(self) -> list[Any]:
        return [self._results[place] for place in range(len(self._flows))]
