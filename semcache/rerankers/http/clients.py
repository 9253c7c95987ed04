"""The connections to a rerank service: clients for threads, and one for each event loop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Any

from semcache.errors import MissingExtraError, SemcacheError
from semcache.runtime.forking import renew_in_child
from semcache.runtime.loops import PerLoop

if TYPE_CHECKING:
    import httpx

# Long enough for the answers that are under way on another loop to be dropped.
_CLOSING_PATIENCE_S = 5.0
_KEEPALIVE_S = 60.0
"""How long an idle connection is kept. A TLS handshake costs two round trips, and load balancers keep idle connections
for 60 seconds or more."""


def import_httpx() -> Any:
    """The library. Raises MissingExtraError where it is not installed."""
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError("httpx, which asks rerank services,", "http") from error
    return httpx


class Clients:
    """Opens clients when they are first asked for, and anew in a forked child. Not usable any more once closed.

    A client for threads is used by one of them at a time: with one for all, httpcore's pool now and then takes a
    connection that another thread has just begun to use for one that the server has closed, and closes it (three in
    2,000 requests of 16 threads).

    ``headers`` and ``auth`` go with every request; ``connections`` is how many are open at most for all threads, and
    for each event loop.
    """

    def __init__(self, service: str, headers: dict[str, str], auth: Any, connections: int) -> None:
        self._httpx = import_httpx()
        self._service = service
        self._headers = headers
        self._auth = auth
        self._connections = connections
        self._ssl: Any = None
        self._is_closed = False
        self._loops = PerLoop(self._make_loop_client)
        self._sockets = _Sockets()
        self._begin()
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave the connections to the parent."""
        self._sockets.close()
        self._begin()

    def _begin(self) -> None:
        self._free = BoundedSemaphore(self._connections)
        # Guards the two lists. The last one that was used comes first, so that few connections are open.
        self._changing = Lock()
        self._idle: list[httpx.Client] = []
        self._made: list[httpx.Client] = []

    @contextmanager
    def for_thread(self, patience_s: float) -> "Iterator[httpx.Client]":
        """A client that no other thread uses meanwhile.

        Raises httpx.PoolTimeout if all are in use for so many seconds, and SemcacheError after ``close``.
        """
        if not self._free.acquire(timeout=patience_s):
            raise self._httpx.PoolTimeout("all are in use")
        try:
            client = self._lent()
            try:
                yield client
            finally:
                with self._changing:
                    self._idle.append(client)
        finally:
            self._free.release()

    async def for_running_loop(self) -> "httpx.AsyncClient":
        """The client of the running event loop. Raises SemcacheError after ``close``."""
        self._check_open()
        opened = self._loops.of_running_loop() or await self._loops.open()
        return opened.client

    @property
    def is_closed(self) -> bool:
        """Whether ``close`` or ``aclose`` was called."""
        return self._is_closed

    def close(self) -> None:
        """Close all connections but those of an event loop that runs in this thread, which only ``aclose`` can close.

        Twice is harmless.
        """
        with self._changing:
            self._is_closed = True
            made, self._made, self._idle = self._made, [], []
        for client in made:
            client.close()
        self._loops.close_others(_CLOSING_PATIENCE_S)

    async def aclose(self) -> None:
        """Close all connections."""
        self._is_closed = True
        await self._loops.close_running()
        # In a thread, since other loops are waited for.
        await asyncio.to_thread(self.close)

    def _lent(self) -> "httpx.Client":
        with self._changing:
            self._check_open()
            if self._idle:
                return self._idle.pop()
            client: httpx.Client = self._httpx.Client(
                **self._options(1), event_hooks={"response": [self._sockets.note]}
            )
            self._made.append(client)
            return client

    def _make_loop_client(self) -> "_LoopClient":
        sockets = _Sockets()
        make = self._httpx.AsyncClient
        options = self._options(self._connections)
        return _LoopClient(make(**options, event_hooks={"response": [sockets.anote]}), sockets)

    def _options(self, connections: int) -> dict[str, Any]:
        if self._ssl is None:
            # Once for all clients: reading the certificates takes some 20 ms.
            self._ssl = self._httpx.create_ssl_context()
        return {
            "headers": self._headers,
            "auth": self._auth,
            "verify": self._ssl,
            "limits": self._httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEPALIVE_S
            ),
            # A redirect is an error that names the new address: to follow it would show the key to another host.
            "follow_redirects": False,
        }

    def _check_open(self) -> None:
        if self._is_closed:
            raise SemcacheError(f"the reranker {self._service} is closed; make a new one")


class _LoopClient:
    """The client of one event loop."""

    def __init__(self, client: "httpx.AsyncClient", sockets: "_Sockets") -> None:
        self.client = client
        self._sockets = sockets
        self._is_abandoned = False

    async def close(self) -> None:
        """Close the connections, on their loop."""
        if not self._is_abandoned:
            await self.client.aclose()

    def abandon(self) -> None:
        """Close the sockets alone."""
        self._is_abandoned = True
        self._sockets.close()


class _Sockets:
    """The sockets of a client, which can be closed without its event loop, or without a word to the server."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}

    def note(self, response: "httpx.Response") -> None:
        """Remember the socket that a response comes from."""
        stream = response.extensions.get("network_stream")
        sock = stream and stream.get_extra_info("socket")
        # asyncio wraps the socket and offers no way to close it. uvloop closes the sockets of a loop with the loop.
        sock = getattr(sock, "_sock", sock)
        if sock is not None and id(sock) not in self._known:
            self._known = {id(known): known for known in (*self._known.values(), sock) if known.fileno() >= 0}

    async def anote(self, response: "httpx.Response") -> None:
        """``note`` for asynchronous clients."""
        self.note(response)

    def close(self) -> None:
        """Close the sockets."""
        known, self._known = self._known, {}
        for sock in known.values():
            sock.close()
