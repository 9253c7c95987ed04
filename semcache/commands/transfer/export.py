"""``semcache export``: entries to a file of JSON lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from semcache.commands.console import say
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import STDOUT, check_folder
from semcache.commands.in_words import entries
from semcache.commands.target import Namespace, RedisUrl, connected, settings_for
from semcache.errors import InvalidInputError

if TYPE_CHECKING:
    from semcache.commands.transfer.format import Header
    from semcache.commands.transfer.source import Key, Place


def export(
    file: Annotated[Path, Argument(dir_okay=False, help="File of JSON lines to write; - for stdout.")],
    tenant: Annotated[str | None, Option(help="Only the entries of this tenant.", show_default="all")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace the file if it is there already.")] = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
) -> None:
    """Write the entries of the configured models to a file, which semcache import stores in another Redis.

    Their ends, tenants and signatures are kept. There are no texts in it but those of queries that the cache keeps.
    Ctrl-C stops it at any time; the same command goes on where it stopped. What was learned about the cost of reuse
    is not exported.
    """
    from semcache.commands.transfer.source import Place

    check_folder(file)
    if file != STDOUT and file.exists() and not overwrite:
        raise InvalidInputError(f"{file} is there already; name another file, or pass --overwrite")
    settings = settings_for(redis_url, namespace)
    with connected(settings) as connection:
        place, *others = _places(Place.all_of(settings, connection))
        try:
            exported, left_out = _export(place, file, tenant)
        except KeyboardInterrupt:
            if file != STDOUT:
                say(f"stopped; what was exported so far is in {_part(file)}, and the same command goes on")
            raise Exit(ExitCode.INTERRUPTED) from None
    rest = f"; {left_out:,} expired meanwhile or were damaged" if left_out else ""
    say(f"{entries(exported)} of {place.names.reranker} in namespace {place.namespace}{rest}")
    if others:
        names = "; ".join(f"{other.names.reranker}, queries by {other.names.embedder}" for other in others)
        say(f"not in it: the entries of others of these names, which this namespace also has ({names})")


def _places(places: "list[Place]") -> "list[Place]":
    """The places that have entries; the first of all where none has."""
    from semcache.commands.transfer.source import pages

    found = [place for place in places if next(pages(place, None, ()), None)]
    return found or places[:1] or [_nothing()]


def _nothing() -> "Place":
    raise InvalidInputError(
        "this namespace has never seen this reranker, so there is nothing to export; semcache stats shows what there is"
    )


def _export(place: "Place", file: Path, tenant: str | None) -> tuple[int, int]:
    """Write all entries; how many, and how many were left out."""
    from rich.progress import TimeElapsedColumn

    from semcache.commands.bars import Bars
    from semcache.commands.transfer.format import end_line, line_of
    from semcache.commands.transfer.source import pages
    from semcache.flow.drive import drive
    from semcache.redis.inspection import count

    expected = drive(count(place.state), place.connection.execute)
    left_out: list[int] = []
    with _opened(file, place.header(), tenant) as (output, known), Bars(TimeElapsedColumn()) as bars:
        done = len(known)
        for page in pages(place, tenant, known, left_out.append):
            now = time()
            # SCAN may give a key twice.
            for entry in page:
                if (entry.tag, entry.id) not in known:
                    known.add((entry.tag, entry.id))
                    output.write(f"{line_of(entry, now)}\n")
            output.flush()
            done = len(known)
            bars.show("exporting", done, max(done, expected))
        output.write(f"{end_line(done)}\n")
    return done, sum(left_out)


@contextmanager
def _opened(file: Path, header: "Header", tenant: str | None) -> "Iterator[tuple[IO[str], set[Key]]]":
    """The file to write to, and the entries that are in it already.

    It has another name until it is whole, so that a file of this name never lacks entries.
    """
    if file == STDOUT:
        sys.stdout.write(f"{header.line()}\n")
        yield sys.stdout, set()
        return
    part = _part(file)
    known = _resumed(part, header, tenant)
    with part.open("a", encoding="utf-8") as output:
        if not part.stat().st_size:
            output.write(f"{header.line()}\n")
        yield output, known
    part.replace(file)


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _resumed(part: Path, header: "Header", tenant: str | None) -> "set[Key]":
    """The entries of an export that was stopped; a line that it had not finished is cut off, and a last line, too."""
    from dataclasses import replace

    from semcache.commands.transfer.format import Header, entries_at_end, entry_of
    from semcache.entries.fingerprint import tenant_tag

    known: set[Key] = set()
    if not part.exists():
        return known
    wanted = tenant_tag(tenant) if tenant else ""
    whole = 0
    with part.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            where = f"{part}, line {number}"
            if number == 1:
                begun = Header.of_line(line.decode(), where)
                if replace(begun, exported_at=header.exported_at) != header:
                    raise _of_another(part)
            # Where it could not be given its name.
            elif entries_at_end(line.decode()) is not None:
                break
            # At the beginning of time, when none had expired.
            elif (entry := entry_of(line.decode(), where, 0.0)) is not None:
                if tenant is not None and entry.tag != wanted:
                    raise _of_another(part)
                known.add((entry.tag, entry.id))
            whole += len(line)
    with part.open("ab") as output:
        output.truncate(whole)
    return known


def _of_another(part: Path) -> InvalidInputError:
    return InvalidInputError(f"{part} is of another export; remove it, or name another file")
