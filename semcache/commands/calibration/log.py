"""Reads a log of requests, one JSON object with a query and its candidate documents per line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semcache.errors import InvalidInputError
from semcache.flow.requests import check_query, texts_of


@dataclass(frozen=True, slots=True)
class Logged:
    """A request as it was made: the query, and each distinct candidate text once, in the retriever's order."""

    query: str
    documents: tuple[str, ...]


def read_log(path: Path) -> list[Logged]:
    """All requests, in the order of the file. Blank lines are passed over.

    Raises InvalidInputError with the number of the first line that cannot be used, what is wrong and what to do.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InvalidInputError(f"cannot read {path}: {error.strerror}; name a file of JSON lines") from error
    requests = [_logged(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not requests:
        raise InvalidInputError(f"{path} holds no request; {_REMEDY}")
    return requests


_REMEDY = 'each line must be like {"query": "...", "documents": ["...", "..."]}'


def _logged(line: bytes, where: str) -> Logged:
    said = _parsed(line, where)
    if not isinstance(said, dict):
        raise InvalidInputError(f"{where}: {_shown(said)} is no JSON object; {_REMEDY}")
    for name in ("query", "documents"):
        if name not in said:
            raise InvalidInputError(f'{where}: "{name}" is missing, found {_shown(list(said))}; {_REMEDY}')
    if not said["documents"]:
        raise InvalidInputError(f'{where}: "documents" is {_shown(said["documents"])}; give some, or drop the line')
    try:
        check_query(said["query"])
        return Logged(said["query"], tuple(dict.fromkeys(texts_of(said["documents"]))))
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error}") from error


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{where}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from error
    except ValueError as error:
        raise InvalidInputError(f"{where}: not JSON ({error}); {_REMEDY}") from error


def _shown(value: object) -> str:
    shown = repr(value)
    return f"{shown[:60]}{'...' if len(shown) > 60 else ''}"
