"""Everything that can be asked of a Redis server: commands, calls of Lua scripts, and the creation of an index."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis
import redis.asyncio
from redis.exceptions import ResponseError

if TYPE_CHECKING:  # importing RedisVL is slow, and only new indexes and searches need it
    from redisvl.schema import IndexSchema

Command = tuple[bytes | str | int | float, ...]
Replies = list[Any]
"""One reply per command, in order. Where the server answered with an error, the reply is that exception, not raised."""


class PinnedIndex(str):
    """The name of an index in a search that concerns the entries in one slot of a cluster alone, that of ``pin``."""

    __slots__ = ("pin",)

    pin: bytes

    @classmethod
    def at(cls, index: str, pin: bytes) -> Self:
        """The name for this slot, which is that of a key."""
        name = cls(index)
        name.pin = pin
        return name


@dataclass(frozen=True, slots=True)
class CreateIndex:
    """Create an index by a schema of RedisVL. An index of that name that exists already stays as it is.

    With ``skips_scan`` only keys that are written from then on get into it; otherwise the server goes through all keys
    that there are.
    """

    schema: "IndexSchema"
    skips_scan: bool = False

    def named(self, name: str) -> "CreateIndex":
        """The same for an index of another name."""
        index = self.schema.index.model_copy(update={"name": name})
        return replace(self, schema=self.schema.model_copy(update={"index": index}))

    def create(self, client: redis.Redis) -> ResponseError | None:
        """None, or the error that the server answered with. Raises what redis-py raises for a connection."""
        try:
            client.ft(self.schema.index.name).create_index(**self._arguments())
        except ResponseError as error:
            return error
        return None

    async def acreate(self, client: redis.asyncio.Redis) -> ResponseError | None:
        """``create``, awaited."""
        try:
            await client.ft(self.schema.index.name).create_index(**self._arguments())
        except ResponseError as error:
            return error
        return None

    def _arguments(self) -> dict[str, Any]:
        # RedisVL's own index does the same, but cannot leave out the scan, and asks for all indexes before.
        from redis.commands.search.index_definition import IndexDefinition, IndexType

        prefix = [self.schema.index.prefix]
        definition = IndexDefinition(prefix=prefix, index_type=IndexType.HASH)  # type: ignore[no-untyped-call]
        fields = self.schema.redis_fields
        return {"fields": fields, "definition": definition, "skip_initial_scan": self.skips_scan}


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Use none of the open connections any more: a reply may not have been that of the command that it came for."""


class Reads(tuple[Command, ...]):
    """Commands of a look-up. Those of them that read entries may be answered by a replica, where that is wanted."""

    __slots__ = ()


RedisStep = Sequence[Command] | CreateIndex | Reconnect
"""A step of an operation, which a connection carries out. Commands go out together, in one round trip."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, which the server runs in one step. It is called by its digest, which is shorter than its text."""

    text: bytes
    digest: str

    def by_digest(self, keys: tuple[bytes, ...], *arguments: bytes | int) -> Command:
        """A call that the server refuses with NoScriptError until it has seen the text once."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def by_text(self, command: Command) -> Command:
        """The same call with the text instead of the digest; from then on the server knows the script."""
        return ("EVAL", self.text, *command[2:])


_texts: dict[str, bytes] = {}
"""The texts of the scripts that were used so far, by their digests."""


@cache
def script(name: str) -> Script:
    """The script in the file ``{name}.lua`` beside this module."""
    text = Path(__file__).with_name(f"{name}.lua").read_bytes()
    # SHA-1 because the server names scripts by it. The digest only has to be the server's; it protects nothing.
    digest = sha1(text, usedforsecurity=False).hexdigest()
    _texts[digest] = text
    return Script(text, digest)


def with_one_key(call: Command) -> Command:
    """The same call of a script for a server that is to get the slot of its keys, and has none of them yet.

    Such a server refuses all that names several keys, since another one may still have some. The call names one, and
    gives the script the others beside it. Any other command stays as it is.
    """
    if call[0] not in ("EVAL", "EVALSHA") or (keys := int(call[2])) < 2:
        return call
    text = _texts[str(call[1])] if call[0] == "EVALSHA" else call[1]
    others = ", ".join(f"ARGV[{at}]" for at in range(1, keys))
    shifted = f"local KEYS, ARGV = {{KEYS[1], {others}}}, {{unpack(ARGV, {keys})}}\n"
    return ("EVAL", shifted.encode() + (text if isinstance(text, bytes) else str(text).encode()), 1, *call[3:])
