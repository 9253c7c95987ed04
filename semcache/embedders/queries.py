"""Embeds queries for requests, which wait for it no longer than they may."""

from collections.abc import Callable, Sequence
from functools import partial

from semcache.embedders.checked import unit_rows, unit_vectors
from semcache.errors import EmbedderError
from semcache.protocols import Embedder, FloatArray
from semcache.runtime.foreign_errors import called
from semcache.runtime.threads import MOST_THREADS, ThreadPool, in_fresh_thread

EMBEDDER_PATIENCE_S = 1.0
"""The time that a request without a deadline waits for the vector of its query, once the model is known to be loaded. A
query takes a model some 1 to 15 ms (benchmarks/results/embedding.md) and a service some 100. It is half of the time in
which rerankers have to answer (monitor.p95_threshold_s): so much of a deadline is the embedder's, too."""


class QueryEmbedder:
    """An embedder as requests use it, from threads and from event loops.

    ``verify`` is called after each answer, before anything is done with the vectors. One that is only a help
    (``is_spare``) is not waited for while it loads: requests go on without its vectors until it has answered once.
    """

    def __init__(self, embedder: Embedder, verify: Callable[[], None], *, is_spare: bool = False) -> None:
        self._embedder = embedder
        self._verify = verify
        # Of its own, since a hanging embedder would use up the event loop's executor, which others need.
        self._threads = ThreadPool(MOST_THREADS, "semcache-embed")
        self._is_waited_for = not is_spare

    def embed(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray:
        """Unit vectors of texts, one row each. Raises DeadlineExceededError after ``timeout_s`` seconds.

        Without a time, a single text has ``EMBEDDER_PATIENCE_S``, once the embedder has answered, or if it is spare. A
        model that is still loading goes on with it, so that a later call finds it loaded.
        """
        embed = partial(self._embed, texts)
        timeout_s = self._patience_s(texts, timeout_s)
        # Without a deadline the caller would only wait for the other thread.
        if timeout_s is None:
            return in_fresh_thread(embed)
        return self._threads.call(embed, f"embedder {self._embedder.name}", timeout_s)

    async def aembed(self, texts: Sequence[str], timeout_s: float | None = None) -> FloatArray:
        """``embed`` without blocking the event loop."""
        embed = partial(self._embed, texts)
        timeout_s = self._patience_s(texts, timeout_s)
        return await self._threads.acall(embed, f"embedder {self._embedder.name}", timeout_s)

    def end(self) -> None:
        """End its threads."""
        self._threads.end()

    def _patience_s(self, texts: Sequence[str], timeout_s: float | None) -> float | None:
        # Of many texts nothing is known of how long they may take, and a model may load for long.
        is_limited = timeout_s is None and not self._is_waited_for and len(texts) == 1
        return EMBEDDER_PATIENCE_S if is_limited else timeout_s

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        # Checked here, since an embedder of the caller's own is believed otherwise. Of several texts one without a
        # vector must not spoil the others: the store neither keeps NaN nor searches by it, and says so.
        check = unit_vectors if len(texts) == 1 else unit_rows
        name = self._embedder.name
        answer = called(partial(self._embedder.embed, texts), name, EmbedderError)
        self._is_waited_for = False  # it is loaded now
        vectors = check(answer, texts, self._embedder.dims, name)
        # Before anything is looked for by these vectors, or stored with them.
        self._verify()
        return vectors

    def __repr__(self) -> str:
        return f"<QueryEmbedder of {self._embedder.name}>"
