"""Makes the requests one after the other and records what each took."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from semcache.commands.demo.corpus import Update
from semcache.commands.demo.retriever import InMemoryRetriever
from semcache.commands.demo.slowed import SlowedReranker
from semcache.commands.demo.traffic import DemoRequest
from semcache.documents import Document
from semcache.events import BreakerChanged, Event
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.protocols import Reranker
from semcache.ranking import Ranking

TOP_K = 5
SLOW_SPELL = (0.55, 0.72)
"""The shares of the requests between which the primary is slow: late enough for the breaker to have its samples."""

# Shortest time in seconds from one request to the next. Exact hits take under a millisecond, so that without it all
# the remaining requests would pass while the breaker is open once, and none would see it close again.
_GAP_S = 0.02


@dataclass(frozen=True, slots=True)
class Served:
    """A request and its answer; ``duration_s`` is how long its caller waited, in seconds."""

    request: DemoRequest
    documents: tuple[Document, ...]
    ranking: Ranking[Document]
    duration_s: float
    is_slow_spell: bool


@dataclass(slots=True)
class BreakerDiary:
    """An observer that notes every transition of the breaker with the number of the request at which it came."""

    request: int = 0
    transitions: list[tuple[int, BreakerChanged]] = field(default_factory=list)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, BreakerChanged):
            self.transitions.append((self.request, event))


def replay(
    pipeline: OptimizedRerankerPipeline,
    requests: Sequence[DemoRequest],
    retriever: InMemoryRetriever,
    updates: Sequence[Update],
    primary: SlowedReranker,
    diary: BreakerDiary,
) -> Iterator[Served]:
    """Yield every request when it is answered, one at a time. Finding its candidates is not part of its duration."""
    due = {int(update.at * len(requests)): update.passage for update in updates}
    first_slow, first_after = (int(share * len(requests)) for share in SLOW_SPELL)
    for number, request in enumerate(requests):
        if number in due:
            retriever.publish(due[number])
        diary.request = number
        primary.is_slow = first_slow <= number < first_after
        documents = tuple(retriever.candidates(request.query, request.variant))
        started = time.perf_counter()
        ranking = pipeline.rerank(request.query, documents, TOP_K, tenant=request.tenant)
        duration_s = time.perf_counter() - started
        yield Served(request, documents, ranking, duration_s, primary.is_slow)
        time.sleep(max(0.0, _GAP_S - duration_s))


@dataclass(frozen=True, slots=True)
class Uncached:
    """A request of the replay made again without a cache: its duration in seconds, and its top documents."""

    served: Served
    duration_s: float
    top: tuple[Document, ...]

    @property
    def overlap(self) -> float:
        """Share of the replay's top k that is in the fresh one, in [0, 1]."""
        return sum(document in self.top for document in self.served.ranking) / len(self.top)


def without_cache(
    sample: Sequence[Served], reranker: Reranker, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Uncached]:
    """Score all candidates of each request of the sample, as a pipeline without a cache has to."""
    for served in sample:
        started = clock()
        scores = reranker.score([(served.request.query, document.text) for document in served.documents])
        # Sorting belongs to what such a pipeline does, so it is timed too.
        order = sorted(range(len(scores)), key=lambda position: -scores[position])
        top = tuple(served.documents[position] for position in order[:TOP_K])
        yield Uncached(served, clock() - started, top)
