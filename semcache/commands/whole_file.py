"""Opens a file that is read twice: once to check all of it, and once to work on it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from semcache.commands.files import STDOUT
from semcache.errors import InvalidInputError


@contextmanager
def opened(file: Path) -> Iterator[IO[bytes]]:
    """The file, or what comes by stdin (``-``), kept on disk. Raises InvalidInputError if it cannot be read."""
    if file != STDOUT:
        try:
            lines = file.open("rb")
        except OSError as error:
            raise InvalidInputError(f"cannot read {file}: {error.strerror}; name a file that is there") from error
        with lines:
            yield lines
        return
    with TemporaryFile() as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.seek(0)
        yield kept
