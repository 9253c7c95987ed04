"""Embeds documents in spare time, so that the next request for them knows how near each is to its query."""

from collections import deque
from collections.abc import Sequence
from math import inf
from threading import Event
from time import monotonic

import numpy as np

from semcache.causes import cause_of
from semcache.events import CacheFailed
from semcache.flow.requests import Request
from semcache.protocols import Clock
from semcache.runtime.background import Background
from semcache.runtime.forking import renew_in_child
from semcache.scoped_cache import ScopedCache

# Documents per call of the embedder: a request that embeds its query meanwhile waits for one such call at most.
_PIECE = 8
# Of the time of one processor. A passage takes some milliseconds, so that 50 new ones take two seconds in all.
_SHARE_OF_TIME = 0.2
# No room is made for further vectors before others expire, so it is not looked for with every request. Seconds.
_FULL_S = 60.0
# Each holds the texts of a request. Of more, the oldest are dropped: they are embedded when they are asked for again.
_MOST_WAITING = 64


class DocumentEmbedder:
    """Embeds the documents of requests that have no vectors yet, and keeps at most ``most`` vectors in Redis."""

    def __init__(
        self,
        cache: ScopedCache,
        most: int,
        *,
        share_of_time: float = _SHARE_OF_TIME,
        clock: Clock = monotonic,
    ) -> None:
        self._cache = cache
        self._most = most
        self.share_of_time = share_of_time
        self._clock = clock
        # Appending and popping at opposite ends of a deque needs no lock.
        self._waiting: deque[Request] = deque(maxlen=_MOST_WAITING)
        self._thread = Background(1, "semcache-vectors")
        self._closed = Event()
        # Written by the background thread, and read by requests without a lock.
        self._full_until = -inf
        renew_in_child(self)

    def after_fork_in_child(self) -> None:
        """Leave to the parent what waits, and begin with a lock that no other thread can hold."""
        self._waiting.clear()
        self._closed = Event()

    def consider(self, request: Request) -> None:
        """Embed soon what has no vector yet. Waits for nothing."""
        if self._clock() >= self._full_until:
            self._waiting.append(request)
            self._thread.submit(self._work)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until everything considered so far is embedded. Returns False if that takes longer."""
        return self._thread.drain(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Embed no more; wait for the piece under way."""
        self._closed.set()
        self._thread.close(timeout_s)

    def _work(self) -> None:
        try:
            while self._waiting and not self._closed.is_set():
                self._embed(self._waiting.popleft())
        except Exception as error:  # noqa: BLE001 - no caller waits for this thread; the vectors are only a help
            self._cache.on_event(CacheFailed("EmbedDocuments", cause_of(error)))

    def _embed(self, request: Request) -> None:
        known = self._cache.store.read_document_vectors(request.tenant, request.fingerprints)
        missing = range(len(request.texts)) if known is None else np.flatnonzero(np.isnan(known[:, 0])).tolist()
        for start in range(0, len(missing), _PIECE):
            started = self._clock()
            if not self._embed_piece(request, missing[start : start + _PIECE]):
                self._full_until = self._clock() + _FULL_S
                return
            took = self._clock() - started
            # The rest of the time belongs to requests. Closing ends the wait.
            if self._closed.wait(took / self.share_of_time - took):
                return

    def _embed_piece(self, request: Request, piece: Sequence[int]) -> bool:
        vectors = self._cache.backend.embed([request.texts[position] for position in piece])
        fingerprints = [request.fingerprints[position] for position in piece]
        return self._cache.store.keep_document_vectors(request.tenant, fingerprints, vectors, self._most)

    def __repr__(self) -> str:
        return f"<DocumentEmbedder of {self._cache.reranker!r}: {len(self._waiting)} requests waiting>"
