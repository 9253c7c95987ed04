"""Asks the embedder that entries are migrated from for the vectors by which its index is searched."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from semcache.causes import cause_of
from semcache.events import CacheFailed, Event
from semcache.flow.steps import FindNeighbours
from semcache.protocols import FloatArray

# How much of the time until the deadline a query may be embedded. It takes 5 to 40 ms on a CPU
# (benchmarks/results/embedding.md), so only a model that is loading or hangs takes half of a deadline that leaves a
# reranker time at all. The request then goes on without the cache's help, and the reranker has the other half.
_EMBEDDING_SHARE = 0.5


def embedding_time(deadline: float | None) -> tuple[float, ...]:
    """The argument of an embedder that says how many seconds it has; none without a deadline."""
    return () if deadline is None else ((deadline - monotonic()) * _EMBEDDING_SHARE,)


@dataclass(frozen=True, slots=True)
class FormerEmbedding:
    """``embed`` of the former embedder, or its ``aembed``, asked as long as ``is_needed`` says so; None without one."""

    embed: Callable[..., Any] | None = None
    is_needed: Callable[[], bool] = bool

    def vectors(
        self, steps: Sequence[FindNeighbours], deadline: float | None, on_event: Callable[[Event], None]
    ) -> Generator[Callable[[], Any], Any, FloatArray | None]:
        """Its vectors of the queries of searches, one row each; None where they are not needed, or it fails."""
        if self.embed is None or not self.is_needed() or not all(step.query for step in steps):
            return None
        queries = [step.query for step in steps]
        try:
            vectors: FloatArray = yield partial(self.embed, queries, *embedding_time(deadline))
        except Exception as error:  # noqa: BLE001 - what the present embedder finds is found all the same
            on_event(CacheFailed("Migration", cause_of(error, queries)))
            return None
        return vectors
