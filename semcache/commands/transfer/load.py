"""``semcache import``: entries from a file of JSON lines."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option

from semcache.commands.console import say
from semcache.commands.exit_codes import ExitCode
from semcache.commands.in_words import entries
from semcache.commands.target import Namespace, RedisUrl, connected, settings_for
from semcache.commands.whole_file import opened
from semcache.errors import InvalidInputError

if TYPE_CHECKING:
    from semcache.commands.bars import Bars
    from semcache.commands.transfer.format import Header
    from semcache.commands.transfer.source import Place
    from semcache.redis.transfer import Checked, RawEntry

_AT_ONCE = 100
"""Entries per round trip, as they are read."""


def load(
    file: Annotated[Path, Argument(dir_okay=False, help="File that semcache export wrote; - for stdin.")],
    check: Annotated[bool, Option("--check", help="Only check the file; store nothing.")] = False,
    redis_url: RedisUrl = None,
    namespace: Namespace = None,
) -> None:
    """Store the entries of a file that semcache export wrote.

    Every line is checked before anything is stored: the models, the format, the signatures. Entries that are there
    already stay as they are, and those whose time is over are left out. Ctrl-C stops it at any time; the same command
    goes on where it stopped.
    """
    from semcache.commands.transfer.source import Place

    settings = settings_for(redis_url, namespace)
    with opened(file) as lines, connected(settings) as connection:
        loader = _Loader(str(file), lines)
        try:
            loader.verify(partial(Place.all_of, settings, connection))
            if not check:
                loader.store()
        except KeyboardInterrupt:
            say(f"stopped; {entries(loader.stored)} stored, and the same command goes on")
            raise Exit(ExitCode.INTERRUPTED) from None
    say(loader.summary(is_check=check))


@dataclass(slots=True)
class _Loader:
    """Goes through the lines of a file twice: once to check all of them, and once to store them."""

    name: str
    lines: IO[bytes]
    place: "Place | None" = None
    header: "Header | None" = None
    entries: int = 0
    expired: int = 0
    stored: int = 0
    is_stored: bool = False

    def verify(self, places: "Callable[[tuple[str, str]], list[Place]]") -> None:
        """Check every line. Raises InvalidInputError that names the first one that cannot be used.

        ``places`` gives those of the settings, and of namesakes of their models that the file tells of.
        """
        from semcache.commands.transfer.fit import fitting_place
        from semcache.commands.transfer.format import Header

        self.lines.seek(0)
        self.header = Header.of_line(self.lines.readline(), f"{self.name}, line 1")
        told = places((self.header.reranker, self.header.embedder))
        self.place = fitting_place(self.header, told, self.name)
        with _bars() as bars:
            for read, _ in enumerate(self._checked(), start=1):
                bars.show("checking", read, max(read, self.entries))

    def store(self) -> None:
        """Store all entries that are not there yet."""
        from semcache.flow.drive import drive
        from semcache.redis.transfer import store_raw

        assert self.place is not None  # noqa: S101 - ``verify`` comes first
        state, execute = self.place.state, self.place.connection.execute
        batch: list[tuple[RawEntry, Checked]] = []
        with _bars() as bars:
            for done, pair in enumerate(self._checked(), start=1):
                batch += [] if pair is None else [pair]
                if len(batch) == _AT_ONCE:
                    self.stored += drive(store_raw(state, batch), execute)
                    batch = []
                    bars.show("storing", done, self.entries)
            self.stored += drive(store_raw(state, batch), execute)
            bars.show("storing", self.entries, self.entries)
        self.is_stored = True

    def _checked(self) -> "Iterator[tuple[RawEntry, Checked] | None]":
        """Each entry with its content, None for one that has expired."""
        from semcache.commands.transfer.format import entries_at_end, entry_of, refusal
        from semcache.entries.checks import Damaged
        from semcache.redis.keys import KeySpace
        from semcache.redis.transfer import checked

        assert self.place is not None and self.header is not None  # noqa: S101 - ``verify`` comes first
        layout = self.place.state.layout
        origin = KeySpace.at(self.header.namespace, self.header.scope)
        self.expired, read, end = 0, 0, None
        self.lines.seek(0)
        self.lines.readline()
        for number, line in enumerate(self.lines, start=2):
            where = f"{self.name}, line {number}"
            end = entries_at_end(line)
            if end is not None:
                break
            read += 1
            # Looked at for each: the first of many may be stored long before the last.
            entry = entry_of(line, where, time())
            self.expired += entry is None
            try:
                found = None if entry is None else checked(entry, origin, self.header.vectors, layout.signing_key)
            except Damaged as damaged:
                raise refusal(where, damaged, bool(layout.signing_key)) from damaged
            if entry is None or found is None:
                yield None
            else:
                yield entry, found.with_vectors(self.header.vectors, layout.vectors)
        if end != read or self.lines.readline():
            told = "no end" if end is None else f"an end after {end:,}"
            raise InvalidInputError(f"{self.name} is not whole: {read:,} entries, and {told}; export anew")
        self.entries = read

    def summary(self, *, is_check: bool) -> str:
        """The work that was done, in a line."""
        expired = f", {self.expired:,} have expired" if self.expired else ""
        if is_check:
            return f"{self.name} can be imported: {entries(self.entries)}{expired}"
        there = self.entries - self.expired - self.stored
        return f"{self.stored:,} of {entries(self.entries)} stored{f', {there:,} were there' if there else ''}{expired}"


def _bars() -> "Bars":
    from rich.progress import TimeRemainingColumn

    from semcache.commands.bars import Bars

    return Bars(TimeRemainingColumn())
