"""``semcache export``: entries to a file of JSON lines."""

from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from semcache.commands.console import say
from semcache.commands.exit_codes import ExitCode
from semcache.commands.files import STDOUT, check_folder
from semcache.commands.in_words import entries
from semcache.commands.target import Namespace, RedisUrl, connected, settings_for
from semcache.errors import InvalidInputError

if TYPE_CHECKING:
    from semcache.commands.transfer.source import Place


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
    from semcache.commands.transfer.part import part_of
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
                say(f"stopped; what was exported so far is in {part_of(file)}, and the same command goes on")
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
    from semcache.commands.transfer.part import opened
    from semcache.commands.transfer.source import pages
    from semcache.flow.drive import drive
    from semcache.redis.inspection import count

    expected = drive(count(place.state), place.connection.execute)
    left_out: list[int] = []
    with opened(file, place.header(), tenant) as (output, known), Bars(TimeElapsedColumn()) as bars:
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
