"""A small proxy in front of a Redis, which holds back, cuts up or replaces what the server says."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from threading import Event, Thread
from urllib.parse import unquote


class Proxy:
    """Change its fields at any time: they hold for replies from then on.

    ``delay_s``: every reply comes so much later. ``byte_s``: it comes byte by byte, one in so many seconds.
    ``garbage``: other bytes come instead. ``frozen``: nothing comes. ``accepted`` counts connections.
    """

    def __init__(self, server_url: str) -> None:
        self._path = unquote(server_url.removeprefix("unix://"))
        self.delay_s = 0.0
        self.byte_s = 0.0
        self.garbage = False
        self.frozen = False
        self.accepted = 0
        self.url = ""
        self._started = Event()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()

    def heal(self) -> None:
        """Pass everything on as it is."""
        self.delay_s, self.byte_s, self.garbage, self.frozen = 0.0, 0.0, False, False

    @contextlib.contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve in a thread."""
        thread = Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        thread.start()
        try:
            self._started.wait()
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stopped.set)
            thread.join()
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stopped.wait()
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        upstream, to_server = await asyncio.open_unix_connection(self._path)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, to_server))
                both.create_task(self._down(upstream, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # one of the two sides is gone, or the test is over
        finally:
            writer.close()
            to_server.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            while self.frozen:
                await asyncio.sleep(0.005)
            async for piece in self._pieces(os.urandom(len(data)) if self.garbage else data):
                writer.write(piece)
        writer.close()

    async def _pieces(self, data: bytes) -> AsyncIterator[bytes]:
        if not self.byte_s:
            yield data
            return
        for byte in data:
            yield bytes((byte,))
            await asyncio.sleep(self.byte_s)
