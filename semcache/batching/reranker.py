"""AsyncBatchReranker: reranks for many callers with one model, whose calls their requests share."""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from time import monotonic
from typing import Any, Self, TypeVar
from warnings import warn

from semcache.batching.batcher import Batcher
from semcache.batching.limits import DEFAULT_WORKERS, DEFAULTS
from semcache.documents import TextOf, reader_of
from semcache.flow.hints import with_min_score
from semcache.flow.outcome import answered, ranking
from semcache.flow.requests import Request, check_count, checked_request, checked_requests, time_left_after
from semcache.identity.kinds import IdentifiedBy, identified_by
from semcache.protocols import Clock, FloatArray, Observer, Pair, Reranker, Scored
from semcache.ranking import Ranking
from semcache.rerankers.adapt import adapt
from semcache.rerankers.awaiting import is_awaited
from semcache.rerankers.kind import Kind, call_kind
from semcache.settings.reranker_sections import OnFull, Workers

D = TypeVar("D")


class AsyncBatchReranker:
    """Reranks for any number of threads and tasks with one model or service.

    ``reranker`` is anything that ``semcache.rerankers.adapt`` takes. ``batch_size`` is how many *requests* one call of
    the model may merge, ``max_batch_pairs`` how many (query, document) pairs, ``max_batch_s`` how many seconds of work,
    by the model's own record; a single request that is larger goes alone. How many of these pairs pass through the
    network at once is the reranker's own setting. At most ``max_queue_pairs`` pairs wait for each call that may run at
    once.

    ``concurrency`` is how many calls may run at once; None asks the reranker (``semcache.rerankers.kind``): one of a
    local model or of a function that says nothing, several of a service. ``max_workers`` bounds the threads for that.
    ``requests_per_minute`` and ``pairs_per_minute`` are what a service allows. See ``Batcher``.

    ``max_pairs_per_call`` is the most pairs that one call takes, as services have such limits: a larger request is
    split into several calls, one after the other, unless the reranker gives an order. None means ``max_batch_pairs``
    where that is not the default, and else no limit: a request then costs one call. ``max_wait_s``, ``on_full`` and
    ``tenant_share`` are explained at ``semcache.batching.limits.Limits``, ``workers`` at ``Batcher``.

    ``max_pairs`` is the former name of ``max_batch_pairs``, and will go.

    ``text`` says what of a document is scored: a function that gives its text, or names of fields; None takes the text
    that ``semcache.documents.text_of`` finds. ``name``, ``version`` and ``probe`` are those of ``adapt``. Raises
    ConfigurationError for bounds that are not above 0.

    It is a Reranker itself, so that it can be the primary of a DegradableReranker. Close it, or use ``with``.

    Example:
        async with AsyncBatchReranker(CrossEncoder("cross-encoder/ms-marco-MiniLM-L-12-v2")) as reranker:
            best = await reranker.rerank_async("a query", documents, top_k=5)
    """

    def __init__(
        self,
        reranker: Any,
        batch_size: int = DEFAULTS.max_requests,
        max_workers: int | None = None,
        *,
        concurrency: int | None = None,
        requests_per_minute: float | None = None,
        pairs_per_minute: float | None = None,
        max_batch_pairs: int = DEFAULTS.max_batch_pairs,
        max_batch_s: float = DEFAULTS.max_batch_s,
        max_queue_pairs: int = DEFAULTS.max_queue_pairs,
        max_pairs_per_call: int | None = None,
        max_wait_s: float = DEFAULTS.max_wait_s,
        on_full: OnFull = DEFAULTS.on_full,
        tenant_share: float = DEFAULTS.tenant_share,
        workers: Workers = DEFAULT_WORKERS,
        text: TextOf | None = None,
        name: str | None = None,
        version: str | None = None,
        probe: bool = True,
        max_pairs: int | None = None,
        clock: Clock = monotonic,
        on_event: Observer | None = None,
    ) -> None:
        if max_pairs is not None:
            warn("max_pairs is now called max_batch_pairs; the former name will go", DeprecationWarning, stacklevel=2)
            max_batch_pairs = max_pairs
        adapted = adapt(reranker, name=name, version=version, probe=probe, concurrency=concurrency)
        calls = call_kind(adapted).concurrency
        if max_workers is not None:
            check_count("max_workers", max_workers)
            # Asynchronous ones have no threads.
            calls = calls if is_awaited(adapted) else min(calls, max_workers)
        # As given, under the names that users of the classes replaced here read.
        self.reranker: Any = reranker
        self.batch_size: int = batch_size
        self.max_workers: int = max_workers or calls
        self.batcher: Batcher = Batcher(
            adapted,
            concurrency=calls,
            requests_per_minute=requests_per_minute,
            pairs_per_minute=pairs_per_minute,
            max_requests=batch_size,
            max_batch_pairs=max_batch_pairs,
            max_batch_s=max_batch_s,
            max_queue_pairs=max_queue_pairs,
            max_pairs_per_call=max_pairs_per_call,
            max_wait_s=max_wait_s,
            on_full=on_full,
            tenant_share=tenant_share,
            workers=workers,
            clock=clock,
            on_event=on_event,
        )
        self._clock = clock
        self._read = reader_of(text)
        self._window_pairs = max_queue_pairs * calls

    @property
    def name(self) -> str:
        """The name of the reranker inside."""
        return self.batcher.reranker.name

    @property
    def listwise(self) -> bool:
        """True if scores are comparable only within one call; requests are not merged then."""
        return self.batcher.reranker.listwise

    @property
    def is_remote(self) -> bool:
        """True if the reranker inside waits for a service."""
        return self.batcher.kind.kind is Kind.REMOTE

    @property
    def primary(self) -> Reranker:
        """The reranker inside, as it is called."""
        return self.batcher.primary

    @property
    def identified_by(self) -> IdentifiedBy:
        """The kind of identity behind the name of the reranker inside."""
        return identified_by(self.batcher.reranker)

    @property
    def content(self) -> str:
        """A digest of what can be read of the reranker inside, beyond its name."""
        return getattr(self.batcher.reranker, "content", "")

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        """One float32 per pair, in the order of the pairs."""
        return self.batcher.score(pairs)

    def rerank(
        self,
        query: str,
        documents: Sequence[D],
        top_k: int = 5,
        *,
        deadline_s: float | None = None,
        min_score: float | None = None,
    ) -> Ranking[D]:
        """The best ``top_k`` documents, best first; those that score below ``min_score`` are left out.

        Raises DeadlineExceededError after ``deadline_s`` seconds, QueueFullError if too many pairs wait already, and
        what the reranker raised.
        """
        request = with_min_score(checked_request(query, documents, top_k, read=self._read), min_score)
        scores = self.batcher.score(_pairs(request), deadline=time_left_after(self._clock(), deadline_s))
        return self._ranking(request, documents, scores)

    async def rerank_async(
        self,
        query: str,
        documents: Sequence[D],
        top_k: int = 5,
        *,
        deadline_s: float | None = None,
        min_score: float | None = None,
    ) -> Ranking[D]:
        """``rerank`` without blocking the event loop."""
        request = with_min_score(checked_request(query, documents, top_k, read=self._read), min_score)
        scores = await self.batcher.ascore(_pairs(request), deadline=time_left_after(self._clock(), deadline_s))
        return self._ranking(request, documents, scores)

    def batch_rerank(
        self,
        queries: Sequence[str],
        documents_list: Sequence[Sequence[D]],
        top_k: int = 5,
        *,
        min_score: float | None = None,
    ) -> list[Ranking[D]]:
        """One ranking per query, the documents of each in the list at the same position.

        Inside a running event loop it blocks the loop; ``batch_rerank_async`` does not. Raises what the reranker raised
        for the first request that it could not score.
        """
        requests = checked_requests(queries, documents_list, top_k, read=self._read)
        requests = [with_min_score(request, min_score) for request in requests]
        scores: list[FloatArray] = []
        for window in _windows(requests, self._window_pairs):
            with self._submitted(window) as futures:
                scores += [future.result() for future in futures]
        return list(map(self._ranking, requests, documents_list, scores))

    async def batch_rerank_async(
        self,
        queries: Sequence[str],
        documents_list: Sequence[Sequence[D]],
        top_k: int = 5,
        *,
        min_score: float | None = None,
    ) -> list[Ranking[D]]:
        """``batch_rerank`` without blocking the event loop."""
        requests = checked_requests(queries, documents_list, top_k, read=self._read)
        requests = [with_min_score(request, min_score) for request in requests]
        scores: list[FloatArray] = []
        for window in _windows(requests, self._window_pairs):
            if is_awaited(self.batcher.reranker):
                scores += await _all_awaited(self.batcher.ascore(_pairs(request)) for request in window)
                continue
            with self._submitted(window) as futures:
                scores += await asyncio.gather(*map(asyncio.wrap_future, futures))
        return list(map(self._ranking, requests, documents_list, scores))

    def get_stats(self) -> dict[str, Any]:
        """Kind, queue, outcomes and times, see ``Batcher.get_stats``."""
        return self.batcher.get_stats()

    def close(self, timeout_s: float | None = None) -> None:
        """Score what waits, then end the worker; after ``timeout_s`` seconds see ``Batcher.close``. Can be repeated."""
        self.batcher.close(timeout_s)

    async def aclose(self, timeout_s: float | None = None) -> None:
        """``close`` without blocking the event loop."""
        await self.batcher.aclose(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncBatchReranker {self.batcher!r}>"

    @contextmanager
    def _submitted(self, window: Sequence[Request]) -> Iterator[list[Future[FloatArray]]]:
        """Futures of the requests. Those that still wait at the end, because another one failed, are cancelled."""
        futures: list[Future[FloatArray]] = []
        # Inside the try, since submit() may raise QueueFullError after some requests were accepted already.
        try:
            for request in window:
                futures.append(self.batcher.submit(_pairs(request)))
            yield futures
        finally:
            for future in futures:
                future.cancel()

    def _ranking(self, request: Request, documents: Sequence[D], scores: FloatArray) -> Ranking[D]:
        return ranking(request, documents, answered(request, Scored(scores, self.name)))


def _pairs(request: Request) -> list[Pair]:
    return [(request.query, text) for text in request.texts]


async def _all_awaited(calls: Iterable[Coroutine[Any, Any, FloatArray]]) -> list[FloatArray]:
    """The results in order. If one fails, the others are cancelled, and its error is raised."""
    tasks = list(map(asyncio.ensure_future, calls))
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _windows(requests: Sequence[Request], most_pairs: int) -> Iterator[list[Request]]:
    """Requests in order, as many at a time as the queue may hold, so that one large batch does not overflow it."""
    window: list[Request] = []
    pairs = 0
    for request in requests:
        if window and pairs + len(request.texts) > most_pairs:
            yield window
            window, pairs = [], 0
        window.append(request)
        pairs += len(request.texts)
    if window:
        yield window
