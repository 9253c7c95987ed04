"""Makes the requests one after the other and notes what each cost."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from semcache.commands.demo.corpus import Update
from semcache.commands.demo.shelf import InMemoryRetriever
from semcache.commands.demo.slowed import SlowedReranker
from semcache.commands.demo.traffic import Ask
from semcache.documents import Document
from semcache.events import BreakerChanged, Event
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import Reranker
from semcache.ranking import Ranking

TOP_K = 5
SLOW_SPELL = (0.55, 0.72)
"""The shares of the requests between which the primary is slow: late enough for the breaker to have its samples."""

_GAP_S = 0.02
"""Least time from one request to the next: without it all the rest would pass while the breaker is open for once."""


@dataclass(frozen=True, slots=True)
class Served:
    """A request and its answer; ``duration_s`` is what its caller waited."""

    ask: Ask
    documents: tuple[Document, ...]
    ranking: Ranking[Document]
    duration_s: float
    is_slow_spell: bool


@dataclass(slots=True)
class BreakerDiary:
    """An observer that notes at which request the breaker moved."""

    request: int = 0
    moves: list[tuple[int, BreakerChanged]] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, BreakerChanged):
            self.moves.append((self.request, event))


def replay(
    pipeline: OptimizedRerankerPipeline,
    asks: Sequence[Ask],
    shelf: InMemoryRetriever,
    updates: Sequence[Update],
    primary: SlowedReranker,
    diary: BreakerDiary,
) -> Iterator[Served]:
    """Yields every answered request, one at a time; finding its candidates is not part of its duration."""
    due = {int(update.at * len(asks)): update.passage for update in updates}
    first, last = (int(share * len(asks)) for share in SLOW_SPELL)
    for number, ask in enumerate(asks):
        if number in due:
            shelf.publish(due[number])
        diary.request = number
        primary.is_slow = first <= number < last
        documents = tuple(shelf.candidates(ask.query, ask.variant))
        started = time.perf_counter()
        ranking = pipeline.rerank(ask.query, documents, TOP_K, tenant=ask.tenant)
        duration_s = time.perf_counter() - started
        yield Served(ask, documents, ranking, duration_s, primary.is_slow)
        time.sleep(max(0.0, _GAP_S - duration_s))


@dataclass(frozen=True, slots=True)
class Uncached:
    """A request of the replay made again without a cache: what it took, and which documents came out on top."""

    served: Served
    duration_s: float
    top: tuple[Document, ...]

    @property
    def overlap(self) -> float:
        """Share of the replay's top k that is in the fresh one."""
        return sum(document in self.top for document in self.served.ranking) / len(self.top)


def without_cache(
    sample: Sequence[Served], reranker: Reranker, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Uncached]:
    """Scores all candidates of each request of the sample, as a pipeline without a cache has to."""
    for served in sample:
        started = clock()
        scores = reranker.score([(served.ask.query, document.text) for document in served.documents])
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        top = tuple(served.documents[at] for at in order[:TOP_K])
        yield Uncached(served, clock() - started, top)
