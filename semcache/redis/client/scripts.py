"""The Lua scripts of the store: what must happen in one step on the server."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from pathlib import Path

Command = tuple[bytes | str | int | float, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A script, called by its digest; the whole text goes over the wire only when the server does not know it yet."""

    text: bytes
    digest: str

    def by_digest(self, keys: tuple[bytes, ...], *arguments: bytes | int) -> Command:
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def by_text(self, command: Command) -> Command:
        """The same call with the text, which the server then knows."""
        return ("EVAL", self.text, *command[2:])


@cache
def script(name: str) -> Script:
    """The script in the file of this name beside this module."""
    text = Path(__file__).with_name(f"{name}.lua").read_bytes()
    # The server names scripts by SHA-1; nothing rests on it being hard to forge.
    return Script(text, sha1(text, usedforsecurity=False).hexdigest())
