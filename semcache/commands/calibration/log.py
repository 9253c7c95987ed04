"""Reads a log of requests: one JSON object with a query and its candidate documents per line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from semcache.causes import message_of
from semcache.commands.whole_file import opened
from semcache.errors import InvalidInputError
from semcache.flow.requests import check_query, texts_of

_REMEDY = 'each line must be like {"query": "...", "documents": ["...", "..."]}'


@dataclass(frozen=True, slots=True)
class Logged:
    """A request as it was made: the query, and each distinct candidate text once, in the retriever's order."""

    query: str
    documents: tuple[str, ...]

    @classmethod
    def of_line(cls, line: bytes, where: str) -> Self:
        """Read a line of a log. ``where`` names the line in the error that a wrong one raises."""
        try:
            content = json.loads(line.decode("utf-8-sig"))
        # The order matters: an error of decoding is a ValueError too.
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{where}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from error
        except (ValueError, RecursionError) as error:  # the latter by thousands of brackets in each other
            raise InvalidInputError(f"{where}: not JSON ({message_of(error)}); {_REMEDY}") from error
        if not isinstance(content, dict):
            raise InvalidInputError(f"{where}: {content!r:.60} is no JSON object; {_REMEDY}")
        for name in ("query", "documents"):
            if name not in content:
                raise InvalidInputError(f'{where}: "{name}" is missing, found {list(content)!r:.60}; {_REMEDY}')
        if not content["documents"]:
            raise InvalidInputError(
                f'{where}: "documents" is {content["documents"]!r:.60}; give some, or drop the line'
            )
        try:
            # The checks of a real request, so that a log has what the cache would accept, and nothing else.
            check_query(content["query"])
            return cls(content["query"], tuple(dict.fromkeys(texts_of(content["documents"]))))
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}: {error}") from error


def read_log(path: Path) -> list[Logged]:
    """All requests, in the order of the file, or of stdin (``-``). Blank lines are skipped.

    Raises InvalidInputError with the number of the first line that cannot be used, what is wrong and what to do.
    """
    # Bytes, split at newlines only: a text may hold other characters that str.splitlines takes for line ends, and
    # decoding line by line names the line that is not UTF-8.
    with opened(path) as lines:
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    requests = [Logged.of_line(line, f"{path}, line {number}") for number, line in numbered]
    if not requests:
        raise InvalidInputError(f"{path} holds no request; {_REMEDY}")
    return requests
