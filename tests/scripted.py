"""A clock and rerankers that do what a test says, when it says so."""

from collections.abc import Callable, Sequence
from threading import Event, Semaphore, Thread
from typing import Self

import numpy as np

from semcache.protocols import FloatArray, Pair

PATIENCE_S = 20.0
"""A test that waits this long has failed."""
_TURN_S = 0.01


class ScriptedClock:
    """Goes on only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class Stopwatch:
    """Counts the seconds in which this process got its turns, so that a machine that is busy with others adds none.

    For upper bounds: what waits too long is seen here as well, and what merely had no turn is not. May run behind.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._end = Event()
        self._thread = Thread(target=self._count, daemon=True)

    def _count(self) -> None:
        # However late a turn comes, it counts as one.
        while not self._end.wait(_TURN_S):
            self.seconds += _TURN_S

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


class ScriptedReranker:
    """Scores a pair by the length of its text; takes as long on a scripted clock, or fails, as it is told."""

    def __init__(
        self,
        name: str = "scripted",
        *,
        clock: ScriptedClock | None = None,
        service_s: float = 0.0,
        listwise: bool = False,
        concurrency: int = 1,
    ) -> None:
        self.name = name
        self.listwise = listwise
        self.concurrency = concurrency
        self.clock = clock
        self.service_s = service_s
        self.fail: Callable[[Sequence[Pair]], BaseException | None] = lambda pairs: None
        self.calls: list[tuple[Pair, ...]] = []

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.calls.append(tuple(pairs))
        if self.clock is not None:
            self.clock.pass_(self.service_s)
        error = self.fail(pairs)
        if error is not None:
            raise error
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


class GatedReranker(ScriptedReranker):
    """Every call waits inside the model until the test lets it go."""

    def __init__(self, name: str = "gated", **script: object) -> None:
        super().__init__(name, **script)  # type: ignore[arg-type]
        self._inside = Semaphore(0)
        self._go = Semaphore(0)

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self._inside.release()
        assert self._go.acquire(timeout=PATIENCE_S), "the test did not let this call go on"
        return super().score(pairs)

    def wait_until_inside(self) -> None:
        """Until one more call is inside the model."""
        assert self._inside.acquire(timeout=PATIENCE_S), "no call came"

    def let_go(self, calls: int = 1) -> None:
        self._go.release(calls)


def poison(text: str) -> Callable[[Sequence[Pair]], BaseException | None]:
    """Makes every call fail that carries this text."""
    return lambda pairs: ValueError(f"cannot read {text}") if any(text == pair[1] for pair in pairs) else None
