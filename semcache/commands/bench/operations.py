"""What is measured: the bare commands, the look-ups, a write, a whole request, and the models."""

from collections.abc import Iterator
from itertools import count

from semcache.commands.bench.entries import SyntheticEntries
from semcache.commands.bench.measuring import Operation
from semcache.commands.demo.models import Models
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
_PROBES = 200


def bare_commands(
    connection: RedisConnection, keys: KeySpace, entries: SyntheticEntries, stored: int
) -> Iterator[Operation]:
    """The shortest round trip, and the one that an exact hit cannot do without, by redis-py alone."""
    client = connection.client
    yield Operation(PING, lambda number: None, lambda _: client.ping(), bool)
    yield Operation(GET, lambda number: keys.scores("", entries.query(number % stored)), client.get, bool)


def look_ups(
    pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, stored: int, neighbours: int
) -> Iterator[Operation]:
    """What is read of so many stored entries. Vectors are given, so nothing is embedded."""
    cache = pipeline.cache
    findable = _findable(pipeline, entries, stored)
    yield Operation(
        EXACT,
        lambda number: (entries.query(number % stored), entries.texts(number % stored)),
        lambda sent: cache.lookup(*sent),
        lambda found: found.status is Status.EXACT,
    )
    yield Operation(
        SEMANTIC,
        lambda number: (*entries.rewording(at := findable[number % len(findable)]), entries.texts(at)),
        lambda sent: cache.lookup(sent[0], sent[2], vector=sent[1]),
        lambda found: found.status is Status.SEMANTIC,
    )
    yield Operation(
        MISS,
        lambda number: (*entries.unknown(number), entries.texts(number)),
        lambda sent: cache.lookup(sent[0], sent[2], vector=sent[1]),
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
        lambda sent: pipeline.rerank(sent[0], sent[1], _TOP_K),
        lambda ranking: ranking.status is Status.EXACT,
    )


def writes(pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, stored: int) -> Iterator[Operation]:
    """A new entry each time, so what is stored grows while this is measured."""
    new = count(stored)
    yield Operation(
        REMEMBER,
        lambda _: (entries.query(at := next(new)), entries.texts(at), entries.scores(at), entries.vector(at)),
        lambda sent: pipeline.cache.remember(*sent[:3], vector=sent[3]),
        bool,
    )


def model_calls(models: Models, entries: SyntheticEntries) -> Iterator[Operation]:
    """One query embedded; the documents of one request reranked without a cache."""
    yield Operation(EMBED, lambda number: [entries.question(number)], models.embedder.embed)
    yield Operation(
        RERANK,
        lambda number: [(entries.question(number), text) for text in entries.texts(number)],
        models.reranker.score,
    )


def _findable(pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, stored: int) -> list[int]:
    """Entries whose rewording finds them: among many random vectors, unlike real ones, the graph leads past some."""
    some = range(0, stored, max(1, stored // _PROBES))
    found = [at for at in some if _is_found(pipeline, entries, at)]
    if not found:
        raise StoreError(
            f"none of {len(some)} stored entries is found by meaning; see that Redis neither fails nor evicts, or use "
            "fewer entries"
        )
    return found


def _is_found(pipeline: OptimizedRerankerPipeline, entries: SyntheticEntries, number: int) -> bool:
    query, vector = entries.rewording(number)
    return pipeline.cache.lookup(query, entries.texts(number), vector=vector).status is Status.SEMANTIC
