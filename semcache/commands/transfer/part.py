"""The file of an export until it is whole: it has another name, and the same command goes on with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from semcache.commands.files import STDOUT
from semcache.commands.transfer.format import Header, entry_of
from semcache.commands.transfer.source import Key
from semcache.entries.fingerprint import tenant_tag
from semcache.errors import InvalidInputError
from semcache.redis.transfer import RawEntry

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # on Windows, where nothing tells two exports to one file apart
    flock = None  # type: ignore[assignment]

_BEGINNING = b'{"semcache export"'


def part_of(file: Path) -> Path:
    """The name that the file has until it is whole."""
    return file.with_name(f"{file.name}.part")


@contextmanager
def opened(file: Path, header: Header, tenant: str | None) -> Iterator[tuple[IO[str], set[Key]]]:
    """The file to write to, and the entries that are in it already; after the block it has its name.

    So a file of this name never lacks entries. Raises InvalidInputError where what is there belongs to another export,
    or another process writes it.
    """
    if file == STDOUT:
        sys.stdout.write(f"{header.line()}\n")
        yield sys.stdout, set()
        return
    part = part_of(file)
    with part.open("a", encoding="utf-8") as output:
        _be_alone(part, output)
        known, whole = _resumed(part, header, tenant)
        output.truncate(whole)
        if not whole:
            output.write(f"{header.line()}\n")
        yield output, known
    part.replace(file)


def _be_alone(part: Path, output: IO[str]) -> None:
    if flock is None:
        return
    try:
        flock(output, LOCK_EX | LOCK_NB)
    except BlockingIOError as error:
        raise InvalidInputError(
            f"{part} is being written by another export; let it end, or name another file"
        ) from error
    except OSError:  # some network file systems have no locks
        return


def _resumed(part: Path, header: Header, tenant: str | None) -> tuple[set[Key], int]:
    """The entries of an export that was stopped, and the length of the part of the file that is whole.

    It ends at the first line that is no whole entry: one that was being written, bytes that a power failure left, the
    last line of an export that could not be given its name. What follows there is exported once more.
    """
    known: set[Key] = set()
    wanted = tenant_tag(tenant) if tenant else ""
    with part.open("rb") as lines:
        first = lines.readline()
        whole = len(first) if _is_header(first, header, part) else 0
        for line in lines if whole else ():
            entry = _whole_entry(line)
            if entry is None:
                break
            if tenant is not None and entry.tag != wanted:
                raise _of_another(part)
            known.add((entry.tag, entry.id))
            whole += len(line)
    return known, whole


def _is_header(line: bytes, header: Header, part: Path) -> bool:
    """Whether this first line is the header of the same export; False where it was not finished, or there is none.

    Raises InvalidInputError for any other line: the file is not one of these exports, and must not be lost.
    """
    if not line.endswith(b"\n") and line[: len(_BEGINNING)] == _BEGINNING[: len(line)]:
        return False
    try:
        begun = Header.of_line(line, str(part))
    except InvalidInputError as error:
        raise _of_another(part) from error
    if replace(begun, exported_at=header.exported_at) != header:
        raise _of_another(part)
    return True


def _whole_entry(line: bytes) -> RawEntry | None:
    try:
        # At the beginning of time, when none had expired.
        return entry_of(line, "", 0.0) if line.endswith(b"\n") else None
    except InvalidInputError:
        return None


def _of_another(part: Path) -> InvalidInputError:
    return InvalidInputError(f"{part} is of another export; remove it, or name another file")
