"""The file: a header, a line per entry, and a last line that says how many entries there are.

An entry's bytes stand in base64 as they are stored, with the checks over them. Texts of queries are there only where
the cache keeps them (setting cache.store_queries); texts of documents and names of tenants never are.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from semcache.causes import message_of
from semcache.entries.checks import Damaged
from semcache.errors import InvalidInputError, described
from semcache.redis.layout import VECTOR_TYPES, VectorFormat
from semcache.redis.transfer import RawEntry

VERSION = 1
_MARK = "semcache export"
_BINARY = {"embedding": b"embedding", "cues": b"cues", "check": b"check"}
_NOT_JSON = (ValueError, RecursionError)
"""The errors of a text that is no JSON; the second is of one with thousands of brackets in each other."""
_LONGEST_S = 1e12
"""Redis counts in milliseconds, and refuses those that have no room in 64 bits."""
_ID = re.compile(r"[\w-]{22}")
_TAG = re.compile(r"(?:[0-9a-f]{16})?")


@dataclass(frozen=True, slots=True)
class Header:
    """Where entries came from. ``scope`` are the 11 characters in their keys, ``signed_with`` names the signing key.

    ``entry_format`` is the version of the format in which entries are stored, ``exported_at`` in seconds since 1970.
    """

    namespace: str
    scope: str
    reranker: str
    embedder: str
    listwise: bool
    dims: int
    vector_type: str
    entry_format: int
    signed_with: str
    exported_at: float

    @property
    def vectors(self) -> VectorFormat:
        """How the vectors in the file are written."""
        return VectorFormat(self.dims, VECTOR_TYPES[self.vector_type])

    def line(self) -> str:
        """The first line of a file."""
        return json.dumps({_MARK: VERSION, **asdict(self)})

    @classmethod
    def of_line(cls, line: bytes, where: str) -> Self:
        """Read the first line of a file. Raises InvalidInputError."""
        content = _json(line, where)
        if _MARK not in content:
            raise InvalidInputError(f"{where}: this is no export of semcache; semcache export writes one")
        if content.pop(_MARK) != VERSION:
            raise InvalidInputError(f"{where}: this format is of another release of semcache; use that, or export anew")
        kinds = {"listwise": bool, "dims": int, "entry_format": int, "exported_at": float}
        try:
            is_whole = all(type(content[name]) is kinds.get(name, str) for name in cls.__slots__)
            if is_whole and content["vector_type"] in VECTOR_TYPES:
                return cls(**content)
        except (KeyError, TypeError):
            pass
        raise InvalidInputError(f"{where}: the header is damaged; export anew")


def line_of(entry: RawEntry, now: float) -> str:
    """The line of an entry. It ends at a point of time, so that no entry gets older on the way."""
    content: dict[str, Any] = {"id": entry.id, "tenant": entry.tag, "scores": b64encode(entry.scores).decode()}
    content["expires_at"] = None if entry.left_ms is None else round(now + entry.left_ms / 1000, 3)
    if entry.values:
        values = entry.values
        content["created_at"] = values[b"created_at"].decode()
        content |= {name: b64encode(values[key]).decode() for name, key in _BINARY.items() if key in values}
        if b"query" in values:
            content["query"] = values[b"query"].decode("utf-8", "surrogatepass")
    return json.dumps(content)


def entry_of(line: bytes, where: str, now: float) -> RawEntry | None:
    """The entry of a line, which is not checked yet; None for one that has expired. Raises InvalidInputError."""
    content = _json(line, where)
    try:
        name, tag, ends = content["id"], content["tenant"], content["expires_at"]
        if not _ID.fullmatch(name) or not _TAG.fullmatch(tag):
            raise ValueError("no id or tenant")
        left_s = 0.0 if ends is None else float(ends) - now
        if not abs(left_s) < _LONGEST_S:
            raise ValueError("no time")
        left_ms = None if ends is None else round(1000 * left_s)
        values: dict[bytes, bytes] = {}
        if "embedding" in content:
            values = {key: b64decode(content[each], validate=True) for each, key in _BINARY.items() if each in content}
            values[b"created_at"] = content["created_at"].encode()
            if tag:
                values[b"tenant"] = tag.encode()
            if "query" in content:
                values[b"query"] = content["query"].encode("utf-8", "surrogatepass")
        entry = RawEntry(name, tag, b64decode(content["scores"], validate=True), values, left_ms)
    # OverflowError: a time of hundreds of digits.
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidInputError(f"{where}: this is no whole entry ({described(error)}); export anew") from error
    return None if left_ms is not None and left_ms <= 0 else entry


def end_line(entries: int) -> str:
    """The last line of a file."""
    return json.dumps({"end": entries})


def entries_at_end(line: bytes) -> int | None:
    """The number of entries that the last line tells; None for another line."""
    try:
        content = json.loads(line.decode())
    except _NOT_JSON:
        return None
    count = content.get("end") if isinstance(content, dict) else None
    return count if type(count) is int else None


def refusal(where: str, damaged: Damaged, is_signed: bool) -> InvalidInputError:
    """The error for an entry whose bytes do not fit its check."""
    changed = "it was changed, or signed with another key" if is_signed else "it was changed on its way"
    return InvalidInputError(f"{where}: this entry cannot be used ({damaged.fault}): {changed}; export anew")


def _json(line: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{where}: not UTF-8; export anew") from error
    except _NOT_JSON as error:
        raise InvalidInputError(
            f"{where}: not JSON ({message_of(error)}); give a file that semcache export wrote"
        ) from error
    if not isinstance(content, Mapping):
        raise InvalidInputError(f"{where}: {content!r:.60} is no JSON object; give a file that semcache export wrote")
    return dict(content)
