"""The operations that are measured: bare commands, look-ups, a write, a whole request, and model calls."""

from collections.abc import Iterator
from itertools import count

from semcache.commands.bench.entries import SyntheticEntries
from semcache.commands.bench.measuring import Operation
from semcache.commands.models import Models
from semcache.errors import StoreError
from semcache.pipeline import OptimizedRerankerPipeline
from semcache.ranking import Status
from semcache.redis.client.connection import RedisConnection
from semcache.redis.keys import KeySpace

PING, GET = "ping", "get"
EXACT, SEMANTIC, MISS, NEIGHBOURS = "exact_hit", "semantic_hit", "miss", "neighbours"
REQUEST, REMEMBER = "exact_request", "remember"
EMBED, RERANK = "embed", "fresh_rerank"

_TOP_K = 5
# Enough entries for the timed calls not to repeat the same few, found in a fraction of a second.
_PROBES = 200


def bare_commands(
    connection: RedisConnection, keys: KeySpace, entries: SyntheticEntries, stored: int
) -> Iterator[Operation]:
    """Two commands by redis-py alone: the shortest round trip, and the GET that every exact hit needs."""
    client = connection.client
    yield Operation(PING, lambda number: None, lambda _: client.ping(), bool)
    yield Operation(GET, lambda number: keys.scores("", entries.query(number % stored)), client.get, bool)


def look_ups(
    pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, stored: int, neighbours: int
) -> Iterator[Operation]:
    """Reads of ``stored`` entries. Vectors are given, so nothing is embedded."""
    cache = pipeline.cache
    findable = findable_entries(pipeline, entries, stored)
    yield Operation(
        EXACT,
        lambda number: (entries.query(number % stored), entries.texts(number % stored)),
        lambda request: cache.lookup(*request),
        lambda found: found.status is Status.EXACT,
    )
    yield Operation(
        SEMANTIC,
        lambda number: (*entries.rewording(at := findable[number % len(findable)]), entries.texts(at)),
        lambda request: cache.lookup(request[0], request[2], vector=request[1]),
        lambda found: found.status is Status.SEMANTIC,
    )
    yield Operation(
        MISS,
        lambda number: (*entries.unknown(number), entries.texts(number)),
        lambda request: cache.lookup(request[0], request[2], vector=request[1]),
        lambda found: found.status is None,
    )
    yield Operation(
        NEIGHBOURS,
        lambda number: entries.unknown(number)[1],
        lambda vector: cache.neighbours(vector, neighbours),
        bool,
    )
    yield Operation(
        REQUEST,
        lambda number: (entries.query(number % stored), entries.texts(number % stored)),
        lambda request: pipeline.rerank(request[0], request[1], _TOP_K),
        lambda ranking: ranking.status is Status.EXACT,
    )


def writes(pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, stored: int) -> Iterator[Operation]:
    """Writes of new entries. The number of stored entries grows while they are measured."""
    # Not by the number of the call, which starts again after the warm-up: a known entry only gets scores appended,
    # which takes half of the time of inserting its vector into the graph (benchmarks/results/writes.md).
    new = count(stored)
    yield Operation(
        REMEMBER,
        lambda _: (entries.query(at := next(new)), entries.texts(at), entries.scores(at), entries.vector(at)),
        lambda entry: pipeline.cache.remember(*entry[:3], vector=entry[3]),
        bool,
    )


def model_calls(models: Models, entries: SyntheticEntries) -> Iterator[Operation]:
    """One query embedded, and the documents of one request reranked without a cache."""
    yield Operation(EMBED, lambda number: [entries.question(number)], models.embedder.embed)
    yield Operation(
        RERANK,
        lambda number: [(entries.question(number), text) for text in entries.texts(number)],
        models.reranker.score,
    )


def findable_entries(pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, stored: int) -> list[int]:
    """Numbers of stored entries, up to 400, that a look-up of their rewording finds.

    Raises StoreError when there are none.
    """
    # The graph of an HNSW index links near vectors. Random vectors are all equally far from each other, unlike real
    # ones, so the search through the graph does not reach every one of them.
    probes = range(0, stored, max(1, stored // _PROBES))
    found = []
    for number in probes:
        query, vector = entries.rewording(number)
        if pipeline.cache.lookup(query, entries.texts(number), vector=vector).status is Status.SEMANTIC:
            found.append(number)
    if not found:
        raise StoreError(
            f"none of {len(probes)} stored entries is found by meaning; see that Redis neither fails nor evicts, or "
            "use fewer entries"
        )
    return found
