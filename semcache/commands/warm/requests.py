"""Reads requests from a file: JSON lines, or a table (CSV) with a row per query and document."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import groupby
from typing import IO, Any

from semcache.causes import message_of
from semcache.commands.calibration.log import Logged
from semcache.errors import InvalidInputError
from semcache.flow.requests import check_query

_CSV_REMEDY = "the first row must name the columns: query, document, and tenant where requests have one"
_REMEDY = f"""give lines like {{"query": "...", "documents": ["...", "..."]}}, or a table (CSV), where {_CSV_REMEDY}"""


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """A query with the documents to score for it, of a tenant (None: that of the command)."""

    query: str
    documents: tuple[str, ...]
    tenant: str | None = None


def read_requests(lines: IO[bytes], name: str) -> Iterator[WarmRequest]:
    """The requests of a file, from its beginning, whose first character tells which kind it is.

    Rows of a table that follow each other with the same query and tenant are one request. Raises InvalidInputError that
    names the line.
    """
    lines.seek(0)
    # A query that is the first word of a table may begin like this only in quotes.
    is_json = lines.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    lines.seek(0)
    yield from _of_json(lines, name) if is_json else _of_table(lines, name)


def _of_json(lines: IO[bytes], name: str) -> Iterator[WarmRequest]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        # As semcache calibrate reads them, so that one file serves both.
        logged = Logged.of_line(line, where)
        tenant = json.loads(line.decode("utf-8-sig")).get("tenant")
        if not isinstance(tenant, str | None):
            raise InvalidInputError(f'{where}: "tenant" is {tenant!r:.60}; give a text, or leave it out')
        yield WarmRequest(logged.query, logged.documents, tenant)


def _of_table(lines: IO[bytes], name: str) -> Iterator[WarmRequest]:
    text = TextIOWrapper(lines, encoding="utf-8-sig", newline="")
    try:
        reader = csv.DictReader(text, strict=True)
        if not {"query", "document"} <= set(reader.fieldnames or ()):
            if not reader.fieldnames:
                raise InvalidInputError(f"{name} is empty; {_REMEDY}")
            raise InvalidInputError(f"{name} has the columns {list(reader.fieldnames)!r:.80}; {_REMEDY}")
        rows = (_row(row, f"{name}, line {reader.line_num}") for row in reader)
        for (query, tenant), several in groupby(rows, key=lambda row: row[:2]):
            yield WarmRequest(query, tuple(dict.fromkeys(document for _, _, document in several)), tenant)
    except csv.Error as error:
        raise InvalidInputError(
            f"{name}, line {reader.line_num + 1}: no CSV ({message_of(error)}); {_CSV_REMEDY}"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name}: not UTF-8; convert the file to UTF-8") from error
    finally:
        # Or it would close the file with it.
        text.detach()


def _row(row: dict[str, Any], where: str) -> tuple[str, str | None, str]:
    if row.get("document") is None:
        raise InvalidInputError(f"{where}: there is no document; {_CSV_REMEDY}")
    try:
        check_query(row["query"])
    except InvalidInputError as error:
        raise InvalidInputError(f"{where}: {error}") from error
    # A cell that is empty names no tenant.
    return row["query"], row.get("tenant") or None, row["document"]
