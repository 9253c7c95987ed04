"""Faults of embedders and rerankers."""

import asyncio
from collections.abc import Iterator, Sequence
from threading import Event

import numpy as np

from semcache.protocols import FloatArray, Pair
from tests.faults.fault import LONG_S, Fault
from tests.faults.models import drawn, true_scores
from tests.faults.world import World

_CACHE = ("CacheFailed", "VectorRefused")
_RUNG = ("RungFailed", "Degraded", "BreakerChanged")


def _embedder_ends(world: World) -> None:
    world.embedder.fault = None


def _reranker_ends(world: World) -> None:
    world.reranker.fault = None


def _embeds(name: str, number: float) -> Fault:
    """One of two vectors is this number all over, or is multiplied with it."""

    def changed(vectors: FloatArray) -> FloatArray:
        odd = np.array([drawn(row.tobytes().hex()) % 2 == 0 for row in vectors])
        with np.errstate(over="ignore", invalid="ignore"):
            return np.where(odd[:, None], vectors * np.float32(number), vectors)

    def begin(world: World) -> None:
        world.embedder.fault = changed

    return Fault(name, "embedder", begin, _embedder_ends, tells=() if number > 1 else _CACHE)


def _embedder_raises(world: World) -> None:
    def fail(vectors: FloatArray) -> FloatArray:
        raise RuntimeError("the service of the embedder is away")

    world.embedder.fault = fail


def _hang(world: World) -> Event:
    """Set when the fault, or the world, ends."""
    over = Event()
    world.later.callback(over.set)
    return over


def _embedder_hangs(world: World) -> None:
    over = _hang(world)

    def wait(vectors: FloatArray) -> FloatArray:
        over.wait()
        return vectors

    world.embedder.fault = wait


def _embedder_goes_on(world: World) -> None:
    _embedder_ends(world)
    world.later.close()


def _reranker_hangs(world: World) -> None:
    over = _hang(world)

    def wait(pairs: Sequence[Pair]) -> None:
        over.wait()

    world.reranker.fault = wait


def _reranker_goes_on(world: World) -> None:
    _reranker_ends(world)
    world.later.close()


def _raises(error: type[BaseException]) -> Fault:
    def fail(pairs: Sequence[Pair]) -> None:
        raise error("scripted")

    def begin(world: World) -> None:
        world.reranker.fault = fail

    return Fault(f"raises {error.__name__}", "reranker", begin, _reranker_ends, tells=_RUNG)


def _scores_nan(world: World) -> None:
    def damaged(pairs: Sequence[Pair]) -> FloatArray:
        scores = true_scores(pairs)
        scores[0] = np.nan
        return scores

    world.reranker.fault = damaged


def _scores_too_few(world: World) -> None:
    world.reranker.fault = lambda pairs: true_scores(pairs[1:])


def model_faults() -> Iterator[Fault]:
    """All of them."""
    yield Fault("hangs", "embedder", _embedder_hangs, _embedder_goes_on, tells=_CACHE, lasts_s=LONG_S)
    yield Fault("raises RuntimeError", "embedder", _embedder_raises, _embedder_ends, tells=_CACHE)
    yield _embeds("half of the vectors zero", 0.0)
    yield _embeds("half of the vectors NaN", np.nan)
    yield _embeds("half of the vectors a million times too long", 1e6)
    yield Fault("hangs", "reranker", _reranker_hangs, _reranker_goes_on, tells=_RUNG, lasts_s=LONG_S)
    for error in (RuntimeError, SystemExit, KeyboardInterrupt, StopIteration, asyncio.CancelledError, MemoryError):
        yield _raises(error)
    yield Fault("a score is NaN", "reranker", _scores_nan, _reranker_ends, tells=_RUNG)
    yield Fault("a score is missing", "reranker", _scores_too_few, _reranker_ends, tells=_RUNG)
