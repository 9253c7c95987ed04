"""What an operation on the store asks to be carried out, and what all operations of one store share."""

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from semcache.events import Event
from semcache.protocols import Clock
from semcache.redis.client.failures import translated
from semcache.redis.client.scripts import Command, script
from semcache.redis.entry_format import Lifetime, VectorFormat
from semcache.redis.keys import KeySpace
from semcache.redis.sizes import Sizes

if TYPE_CHECKING:
    from redisvl.schema import IndexSchema

T = TypeVar("T")
PAGE = 1000
"""Keys per SCAN: about 1 ms of the server's only thread."""


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Create an index with RedisVL; the answer is the error it met, or None. One that is there already stays."""

    schema: "IndexSchema"


Step = Sequence[Command] | CreateIndex
"""Commands go out together and are answered by a list of replies, in which an error is a value like any other."""

Operation = Generator[Step, Any, T]
"""What the store does, without I/O: a generator of steps that is sent their answers and returns a result."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all operations of one store share. ``where`` names the server in messages, without its password.

    ``attributes`` are those of the vector field; ``ef_runtime`` is how many candidates a search keeps, None to choose
    by the number of entries; ``checked`` names the indexes that are known to be there and to fit.
    """

    keys: KeySpace
    attributes: Mapping[str, Any]
    vectors: VectorFormat
    lifetime: Lifetime
    listwise: bool
    max_scores: int
    store_queries: bool
    where: str
    on_event: Callable[[Event], None]
    rng: random.Random
    clock: Clock
    sizes: Sizes
    ef_runtime: int | None = None
    checked: set[str] = field(default_factory=set)

    def value(self, reply: Any) -> Any:
        """The reply itself, or the error that it is, raised in our words."""
        if isinstance(reply, Exception):
            raise translated(reply, self.where) from reply
        return reply


def read_all(setup: Setup, keys: Sequence[bytes]) -> Operation[list[bytes | None]]:
    """The strings under these keys, None where there is none, in one round trip."""
    if not keys:
        return []
    (blobs,) = yield (("MGET", *keys),)
    return list(setup.value(blobs))


def scan(setup: Setup, prefix: bytes, cursor: int) -> Operation[tuple[int | None, list[bytes]]]:
    """The next page of keys that begin so, and where to go on; None at the end."""
    (reply,) = yield (("SCAN", cursor, "MATCH", prefix + b"*", "COUNT", PAGE),)
    onward, found = setup.value(reply)
    return int(onward) or None, found


def run_script(setup: Setup, name: str, calls: Sequence[Command]) -> Operation[list[Any]]:
    """The replies to calls of one script; those that the server did not know it for are repeated with its text."""
    replies = yield calls
    unknown = [place for place, reply in enumerate(replies) if _is_unknown_script(reply)]
    if unknown:
        again = yield [script(name).by_text(calls[place]) for place in unknown]
        for place, reply in zip(unknown, again, strict=True):
            replies[place] = reply
    return [setup.value(reply) for reply in replies]


def _is_unknown_script(reply: object) -> bool:
    # redis-py takes the word NOSCRIPT away and makes a class of it.
    return type(reply).__name__ == "NoScriptError"
