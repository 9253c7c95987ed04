"""A small proxy in front of a Redis, which holds back, cuts up or replaces what the server says."""

import asyncio
import contextlib
import os
import random
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote

_CHUNK = 65536
_TICK_S = 0.005
_RESET = struct.pack("ii", 1, 0)
"""Lingering for no time at all: a socket that is closed then is reset."""
_HEALTHY: dict[str, Any] = {
    "delay_s": 0.0,
    "jitter_s": 0.0,
    "byte_s": 0.0,
    "garbage": False,
    "frozen": False,
    "cut": False,
    "flips": 0.0,
    "twice": 0,
    "stray": 0,
}


class Proxy:
    """Change its fields at any time, by themselves or by ``change``: they hold for replies from then on.

    ``delay_s``: every reply comes so much later. ``jitter_s``: and up to so much later still, by chance. ``byte_s``: it
    comes byte by byte, one in so many seconds. ``garbage``: other bytes come instead. ``frozen``: nothing comes, also
    no answer to new connections. ``cut``: half of a reply comes, and then the end of the connection. ``flips``: share
    of replies with one bit changed. ``twice``: so many replies come twice. ``stray``: before so many replies comes
    one that no command asked for. ``accepted`` counts connections. With a ``certificate``, a file with its key, it
    speaks TLS; if it ``asks_for_certificate``, clients have to show that one, too.
    """

    delay_s: float
    jitter_s: float
    byte_s: float
    garbage: bool
    frozen: bool
    cut: bool
    flips: float
    twice: int
    stray: int

    def __init__(self, server_url: str, certificate: Path | None = None, *, asks_for_certificate: bool = False) -> None:
        self._certificate = certificate
        self._asks_for_certificate = asks_for_certificate
        self.upstream = unquote(server_url.removeprefix("unix://"))
        """The path of the server's socket; new connections go there."""
        self.accepted = 0
        self.url = ""
        self._port = 0
        self._open: set[StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self._full: list[socket.socket] = []
        self._started = Event()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._chance = random.Random(1)
        self.heal()

    def heal(self) -> None:
        """Pass everything on as it is."""
        self.change(**_HEALTHY)

    def change(self, **fields: Any) -> None:
        """Set several fields."""
        for name, value in fields.items():
            setattr(self, name, value)

    def listen(self, how: str) -> None:
        """``yes``, ``refuse`` connections, or let new ones ``wait`` for ever; both end those that are open."""
        asyncio.run_coroutine_threadsafe(self._listen(how), self._loop).result()

    def end_connections(self) -> None:
        """Reset every open connection."""
        self._loop.call_soon_threadsafe(self._reset_all)

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
        await self._listen("yes")
        self.url = f"redis://127.0.0.1:{self._port}"
        if self._certificate is not None:
            self.url = f"rediss://127.0.0.1:{self._port}?ssl_ca_certs={self._certificate}"
        self._started.set()
        await self._stopped.wait()
        await self._stop_listening()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, how: str) -> None:
        await self._stop_listening()
        if how == "yes":
            context = None
            if self._certificate is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self._certificate)
                if self._asks_for_certificate:
                    context.verify_mode = ssl.CERT_REQUIRED
                    context.load_verify_locations(self._certificate)
            self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self._port, ssl=context)
            self._port = self._listener.sockets[0].getsockname()[1]
            return
        self._reset_all()
        if how == "wait":
            self._full = _full_queue(self._port)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
        for held in self._full:
            held.close()
        self._listener, self._full = None, []

    def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.accepted += 1
        self._open.add(writer)
        try:
            upstream, to_server = await asyncio.open_unix_connection(self.upstream)
        except OSError:  # the server is away
            self._open.discard(writer)
            _reset(writer)
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._up(reader, to_server))
                both.create_task(self._down(upstream, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # one of the two sides is gone, or the test is over
        finally:
            self._open.discard(writer)
            writer.close()
            to_server.close()

    async def _up(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data)
        writer.close()

    async def _down(self, reader: StreamReader, writer: StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            if self.delay_s or self.jitter_s:
                await asyncio.sleep(self.delay_s + self._chance.random() * self.jitter_s)
            while self.frozen:
                await asyncio.sleep(_TICK_S)
            if self.cut:
                writer.write(data[: len(data) // 2])
                await writer.drain()
                _reset(writer)
                return
            async for piece in self._pieces(self._changed(data)):
                if writer.is_closing():
                    return
                writer.write(piece)
        writer.close()

    def _changed(self, data: bytes) -> bytes:
        if self.garbage:
            return os.urandom(len(data))
        if self._chance.random() < self.flips:
            place = self._chance.randrange(8 * len(data))
            flipped = bytearray(data)
            flipped[place // 8] ^= 1 << place % 8
            return bytes(flipped)
        if self.twice > 0:
            self.twice -= 1
            return 2 * data
        if self.stray > 0:
            self.stray -= 1
            return b"$-1\r\n" + data
        return data

    async def _pieces(self, data: bytes) -> AsyncIterator[bytes]:
        if not self.byte_s:
            yield data
            return
        for byte in data:
            yield bytes((byte,))
            await asyncio.sleep(self.byte_s)


def _reset(writer: StreamWriter) -> None:
    """End a connection as a machine does that knows nothing of it."""
    with contextlib.suppress(OSError):  # it has ended already
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


def _full_queue(port: int) -> list[socket.socket]:
    """A listener that accepts nothing, and connections that fill its queue: further ones are never answered."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(0)
    held = [listener]
    for _ in range(3):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        held.append(client)
    return held
