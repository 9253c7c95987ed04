"""Processes of one server ask each other, and wait for none that is gone or busy."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from semcache.server.live.ring import WINDOWS, Window
from semcache.server.live.workers import FOLDER, listening, others

WINDOW = WINDOWS["15m"]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # Not tmp_path: names of sockets have at most some hundred letters.
    with TemporaryDirectory() as folder:
        monkeypatch.setenv(FOLDER, folder)
        yield Path(folder)


async def tell(window: Window) -> dict[str, Any]:
    return {"process": os.getpid(), "window": window.name}


async def test_a_process_tells_its_part_and_does_not_ask_itself(folder: Path) -> None:
    async with listening(tell):
        assert await others(WINDOW) == ([], 0)
        # As if it were another process.
        [own] = folder.iterdir()
        own.rename(folder / "1.sock")
        assert await others(WINDOW) == ([{"process": os.getpid(), "window": "15m"}], 0)


async def test_one_that_was_killed_is_left_out(folder: Path) -> None:
    left = await asyncio.start_unix_server(lambda reader, writer: None, folder / "1.sock")
    left.close()
    assert await others(WINDOW) == ([], 0)


async def test_one_that_breaks_off_is_counted_as_silent(folder: Path) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps({"process": 1})[:-1].encode())
        writer.close()

    async with await asyncio.start_unix_server(break_off, folder / "1.sock"):
        assert await others(WINDOW) == ([], 1)


async def test_one_that_is_too_busy_is_not_waited_for_for_long(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semcache.server.live.workers._PATIENCE_S", 0.05)
    done = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    async with await asyncio.start_unix_server(wait, folder / "1.sock"):
        assert await others(WINDOW) == ([], 1)
        done.set()


async def test_a_single_process_has_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    async with listening(tell):
        assert await others(WINDOW) == ([], 0)


async def test_where_there_can_be_no_socket_the_server_starts_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    long = folder / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv(FOLDER, str(long))
    async with listening(tell):
        assert await others(WINDOW) == ([], 0)
    [record] = caplog.records
    assert "TMPDIR" in record.getMessage()
