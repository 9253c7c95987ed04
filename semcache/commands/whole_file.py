"""Opens a file that is read twice: once to check all of it, and once to work on it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from semcache.commands.files import STDOUT
from semcache.errors import InvalidInputError


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """The file; from stdin (``-``) or a pipe, a copy on disk. Raises InvalidInputError if it cannot be read."""
    if file == STDOUT:
        with _kept(sys.stdin.buffer) as lines:
            yield lines
        return
    try:
        source = file.open("rb")
    except OSError as error:
        raise InvalidInputError(f"cannot read {file}: {error.strerror}; name a file that is there") from error
    with source, nullcontext(source) if source.seekable() else _kept(source) as lines:
        yield lines


@contextmanager
def _kept(source: IO[bytes]) -> Iterator[IO[bytes]]:
    with TemporaryFile() as kept:
        shutil.copyfileobj(source, kept)
        kept.seek(0)
        yield kept
