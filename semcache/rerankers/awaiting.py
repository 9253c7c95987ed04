"""Rerankers that are awaited: on the caller's event loop, or on a loop of semcache's own where the caller has none."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future
from threading import Lock, Thread, current_thread
from typing import Any, Protocol, TypeVar

from semcache.errors import RerankerError
from semcache.flow.drive import adrive, drive
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.runtime.foreign_errors import awaited
from semcache.runtime.forking import renew_in_child

T = TypeVar("T")

Call = Callable[[], Any]
"""One call of another library, whose result may have to be awaited."""

Steps = Generator[Call, Any, FloatArray]
"""Yields calls, is sent their results, and returns one score per pair."""


class SteppedReranker(Protocol):
    """A reranker that says its calls by a generator, so that they can be made or awaited."""

    @property
    def name(self) -> str: ...

    @property
    def listwise(self) -> bool: ...

    def score(self, pairs: Sequence[Pair]) -> FloatArray: ...

    def steps(self, pairs: Sequence[Pair]) -> Steps: ...


class AwaitedReranker:
    """A reranker whose calls are awaited: on the running event loop by ``ascore_pairs``, on one of ours by ``score``.

    A client that keeps connections belongs to the loop that it was first used on, so an application should keep to one
    of the two. Everything else is as in the reranker inside.
    """

    def __init__(self, reranker: SteppedReranker) -> None:
        self.reranker = reranker

    @property
    def name(self) -> str:
        """The name of the reranker inside."""
        return self.reranker.name

    @property
    def listwise(self) -> bool:
        """Whether the reranker inside gives an order instead of scores."""
        return self.reranker.listwise

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair; waits for them in this thread."""
        return OWN_LOOP.run(self.ascore_pairs(pairs))

    async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        """One score per pair."""
        return await awaited(adrive(self.reranker.steps(pairs), _awaited), self.name, RerankerError)

    def __getattr__(self, attribute: str) -> Any:
        # What else the reranker inside says of itself. Pickle and copy ask before __init__ has run.
        if attribute == "reranker":
            raise AttributeError(attribute)
        return getattr(self.reranker, attribute)

    def __repr__(self) -> str:
        return f"<AwaitedReranker {self.reranker!r}>"


def is_async(function: Callable[..., Any]) -> bool:
    """True for ``async def`` functions and methods, partials of them, and objects with such a ``__call__``."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def is_awaited(reranker: Reranker) -> bool:
    """True if the reranker offers ``ascore_pairs(pairs)``, which is awaited in the caller's event loop."""
    # By the attribute, not by isinstance: wrappers pass it on, and a Protocol would not look there from Python 3.12 on.
    return hasattr(reranker, "ascore_pairs")


def is_loop_bound(reranker: Reranker) -> bool:
    """True if the reranker must not be used on another event loop than that of the requests, nor by threads.

    All that are awaited count as such, unless an attribute ``is_loop_bound`` says otherwise.
    """
    return is_awaited(reranker) and getattr(reranker, "is_loop_bound", True)


def awaited_if_async(function: Callable[..., Any], reranker: SteppedReranker) -> Reranker:
    """The reranker of a function, awaited if the function has to be."""
    return AwaitedReranker(reranker) if is_async(function) else reranker


def called(steps: Steps) -> FloatArray:
    """Make the calls of a stepped reranker in this thread. A result that has to be awaited is awaited on our loop."""
    return drive(steps, _finished)


def _finished(call: Call) -> Any:
    result = call()
    return OWN_LOOP.run(result) if inspect.isawaitable(result) else result


async def _awaited(call: Call) -> Any:
    result = call()
    return await result if inspect.isawaitable(result) else result


class LoopThread:
    """An event loop on a thread of its own, which starts with the first call and ends with the process.

    All calls share it: asynchronous clients keep connections, which only the loop that opened them can use.
    """

    def __init__(self) -> None:
        self.after_fork_in_child()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Have no loop, as its thread runs in the parent; also used for the beginning itself."""
        self._starting = Lock()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the loop; cancelling the future cancels it."""
        with self._starting:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                # A daemon, since it never ends: what it awaits when the interpreter exits is waited for by nothing.
                self._thread = Thread(target=self._loop.run_forever, name="semcache-awaiting", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, awaitable: Awaitable[T]) -> T:
        """The result of an awaitable, which this thread waits for. Raises RerankerError on the loop's own thread."""
        if current_thread() is self._thread:
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            raise RerankerError(
                "an asynchronous reranker was called from another one without await; await its arerank() there"
            )
        future = self.submit(_coroutine(awaitable))
        try:
            return future.result()
        except BaseException:  # KeyboardInterrupt, for one: this caller no longer waits
            future.cancel()
            raise


async def _coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


OWN_LOOP = LoopThread()
"""The loop for callers who have none."""
