"""Operations of the store: generators that decide what to send to Redis, and the state that they share.

An operation yields steps (commands, or the creation of an index), is sent the answer to each, and returns its result.
It does no I/O itself, so that one text serves threads and event loops: ``RedisStore`` drives it with
``RedisConnection.execute``, ``AsyncRedisStore`` with ``aexecute``. One ``yield`` of commands is one round trip.

Example:
    def read_exact(state: StoreState, tenant: str, query: str) -> Operation[Scores | None]:
        key = state.layout.keys.scores(tenant, query)
        (blob,) = yield (("GET", key),)
        return codec.unpack(key, state.value(blob))
"""

import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import numpy as np
from redis.exceptions import NoScriptError

from semcache.errors import StoreError, TransientStoreError
from semcache.events import Event, VectorRefused
from semcache.protocols import Clock, FloatArray
from semcache.redis.client.commands import Command, RedisStep, script
from semcache.redis.client.failures import translated
from semcache.redis.layout import Layout, LayoutOptions
from semcache.redis.sizes import Sizes

if TYPE_CHECKING:
    from semcache.redis.refilling import Filling
    from semcache.redis.source import Source

T = TypeVar("T")

Operation = Generator[RedisStep, Any, T]

PAGE = 1000
"""Keys per SCAN. More would save round trips, but the server does nothing else while it looks through a page."""
INDEXED_AT_ONCE = 10
"""Hashes that are written or removed in one round trip, where an index has their vectors: to put one into the graph,
or to take it out, takes the server up to 1 ms (benchmarks/results/recall.md), in which it serves nothing else. For all
of a page that would be longer than a command may take (``redis.timeout_s``)."""


class StoreOptions(LayoutOptions, total=False):
    """Options of a store, the same for threads and for event loops.

    ``on_event`` is called in the thread that carries out the operation. ``rng`` draws the lifetimes of entries.
    ``clock`` gives the time of day in seconds, which entries are stamped with. ``source`` is the scope that entries are
    migrated from, which is read beside the store's own; ``filling`` fills indexes that were created without the
    server's going through its keys.
    """

    on_event: Callable[[Event], None]
    rng: random.Random
    clock: Clock
    source: "Source | None"
    filling: "Filling | None"


@dataclass(slots=True, eq=False)
class StoreState:
    """Everything that the operations of one store share. Each store owns one and passes it to every operation.

    ``layout`` changes by ``move`` only. Four parts change all the time, and every thread and task that calls the store
    uses them without a lock:

    - ``checked_indexes`` names the indexes that this store has seen to exist and to fit. Adding to a set and
      discarding from it are atomic in CPython. Two threads that check at the same time cost one more round trip.
    - ``unfilled_indexes`` names those of them that did not hold all entries then, and are looked at again.
    - ``sizes`` replaces whole items of a dictionary, see its docstring.
    - ``rng`` draws the lifetimes of entries. ``Random.uniform`` takes one number from the generator, atomically.

    ``clock`` gives the time of day in seconds, which entries are stamped with. ``on_event`` is called in the thread
    that carries out the operation. ``where`` names the server in messages, without its password. ``source`` is what
    entries are migrated from, None mostly. A store that does not create indexes finds nothing where one is missing.
    ``filling`` fills indexes that were created without the server's going through its keys; None lets it do so.
    """

    layout: Layout
    where: str
    on_event: Callable[[Event], None]
    rng: random.Random
    clock: Clock
    sizes: Sizes
    checked_indexes: set[str] = field(default_factory=set)
    unfilled_indexes: set[str] = field(default_factory=set)
    source: "Source | None" = None
    creates_indexes: bool = True
    filling: "Filling | None" = None

    @classmethod
    def of(
        cls,
        where: str,
        *,
        on_event: Callable[[Event], None] = lambda event: None,
        rng: random.Random | None = None,
        clock: Clock = time.time,
        source: "Source | None" = None,
        filling: "Filling | None" = None,
        **layout: Unpack[LayoutOptions],
    ) -> Self:
        """The state of a new store. Raises ConfigurationError for impossible options."""
        options = Layout.of(**layout)
        return cls(
            options, where, on_event, rng or random.Random(), clock, Sizes(clock), source=source, filling=filling
        )

    def move(self, layout: Layout) -> None:
        """Work elsewhere from the next operation on."""
        # An operation under way may see both; what it writes is then a miss for every reader.
        self.layout = layout
        self.checked_indexes.clear()

    def value(self, reply: Any) -> Any:
        """The reply. Raises StoreError when it is an error of the server."""
        return value_of(reply, self.where)


def value_of(reply: Any, where: str) -> Any:
    """The reply. Raises StoreError when the reply is an error of the server, or there is none of a shard."""
    if isinstance(reply, StoreError):
        raise reply
    if isinstance(reply, Exception):
        raise translated(reply, where) from reply
    return reply


def unreadable(where: str, command: str) -> TransientStoreError:
    """The error for a reply that has not the shape of replies to this command."""
    return TransientStoreError(f"{where} gave a reply to {command} that cannot be read; something changed it")


def packed_vector(state: StoreState, vector: FloatArray) -> bytes | None:
    """The bytes of a vector; None for one that must not reach the server, which is an event."""
    blob = state.layout.vectors.pack(vector)
    if blob is None:
        state.on_event(VectorRefused(float(np.linalg.norm(vector.astype(np.float64)))))
    return blob


def in_groups(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))


def scan(state: StoreState, beginning: bytes, cursor: int) -> Operation[tuple[int | None, list[bytes]]]:
    """A page of the keys that begin so, and the cursor of the next page, which is None after the last.

    The beginning may be a pattern. SCAN may give a key twice, and goes through all keys of the server.
    """
    (reply,) = yield (("SCAN", cursor, "MATCH", beginning + b"*", "COUNT", PAGE),)
    match state.value(reply):
        case [bytes(following), list(found)] if following.isdigit():
            return int(following) or None, found
    raise unreadable(state.where, "SCAN")


def run_script(where: str, name: str, calls: Sequence[Command]) -> Operation[list[Any]]:
    """The replies to calls of one script by its digest; calls that met a server without the script are repeated."""
    replies = yield calls
    # Only these are repeated, not all calls: scores that were stored would be stored twice.
    unknown = [position for position, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        repeated = yield [script(name).by_text(calls[position]) for position in unknown]
        for position, reply in zip(unknown, repeated, strict=True):
            replies[position] = reply
    return [value_of(reply, where) for reply in replies]
