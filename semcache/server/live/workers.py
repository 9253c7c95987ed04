"""How the processes of one server ask each other for their parts: by sockets in a folder that only they can read."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from semcache.server.live.ring import WINDOWS, Window

FOLDER = "_SEMCACHE_SERVER_SOCKETS"
"""The variable that names the folder to the workers of ``semcache serve``. No setting: it ends with the server."""

_PATIENCE_S = 1.0
"""A worker that does not tell within that time has too much to do, and is left out of this look."""

_log = logging.getLogger(__name__)

Tell = Callable[[Window], Awaitable[dict[str, Any]]]


@asynccontextmanager
async def listening(tell: Tell) -> AsyncIterator[None]:
    """Tell other workers what ``tell`` gives, in the block. Without a folder there are none.

    Where there can be no socket, that is logged, and this process is missing in the figures of the others.
    """
    folder = os.environ.get(FOLDER)
    if folder is None:
        yield
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            window = WINDOWS[(await reader.readline()).decode().strip()]
            writer.write(json.dumps(await tell(window)).encode())
            await writer.drain()
        writer.close()

    path = _socket(Path(folder), os.getpid())
    try:
        server = await asyncio.start_unix_server(answer, path)
    except OSError as error:  # a name of more than some hundred letters, a disk that is full: requests need no figures
        _log.warning(
            "no socket %s (%s), so other workers do not show this one; set TMPDIR to another folder", path, error
        )
        yield
        return
    try:
        yield
    finally:
        server.close()


async def others(window: Window) -> tuple[list[dict[str, Any]], int]:
    """The parts of the other workers, and how many of these did not tell theirs in time."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return [], 0
    told = await asyncio.gather(*(_ask(path, window) for path in _others(Path(folder))))
    return [part for part in told if part], sum(part == {} for part in told)


async def _ask(path: Path, window: Window) -> dict[str, Any] | None:
    """The part of a worker; empty where it does not answer, None where it has ended."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(f"{window.name}\n".encode())
                part: dict[str, Any] = json.loads(await reader.read())
            finally:
                writer.close()
    except (FileNotFoundError, ConnectionRefusedError):
        # A process that was killed leaves its socket behind.
        return None
    except (TimeoutError, OSError, ValueError):
        return {}
    return part


def _others(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.sock") if path != _socket(folder, os.getpid())]


def _socket(folder: Path, process: int) -> Path:
    return folder / f"{process}.sock"
