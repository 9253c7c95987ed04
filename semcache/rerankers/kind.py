"""Whether a reranker computes in this process or waits for a service, and how many of its calls may run at once."""

from dataclasses import dataclass
from enum import StrEnum
from numbers import Real
from typing import Any, cast

from semcache.flow.requests import check_count
from semcache.models.foreign import is_from
from semcache.protocols import Reranker
from semcache.rerankers.awaiting import is_awaited

# Clients of these libraries wait for a service, and their documentation allows threads to share them.
_SERVICE_LIBRARIES = ("cohere", "voyageai", "pinecone", "mixedbread")

ASYNC_CONCURRENCY = 100
"""Calls at once of an asynchronous reranker that does not say how many: the connections that httpx opens by default,
on which most clients of services are built. More would wait inside the client, where no deadline frees them."""

CLIENT_CONCURRENCY = 20
"""Calls at once of a blocking client of a known service: the connections that httpx keeps open by default. Each call
occupies a thread, and beyond these it would open a connection anew."""


class Kind(StrEnum):
    """Whether a reranker computes or waits; the value is what statistics show."""

    COMPUTE_BOUND = "compute-bound"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class CallKind:
    """The kind of a reranker, and how many of its calls may run at once."""

    kind: Kind
    concurrency: int

    def __str__(self) -> str:
        if self.kind is Kind.COMPUTE_BOUND and self.concurrency == 1:
            return f"{self.kind}, one call at a time"
        return f"{self.kind}, {self.concurrency} calls at once"


def call_kind(reranker: Reranker, concurrency: int | None = None) -> CallKind:
    """The kind of a reranker. ``concurrency`` is what its user says; None asks the reranker itself.

    Remote is what is awaited, what is a client of a known service, and what may be called several times at once.
    Everything else counts as compute-bound and gets one call at a time: a local model gains nothing from a second
    thread, and many break when threads share them, while a service that is taken for a model is only slow. So a
    blocking function that calls a service should say so, by an attribute ``concurrency`` or to the pipeline.

    Raises ConfigurationError for a number below 1.
    """
    if concurrency is None:
        concurrency = declared_concurrency(reranker)
    else:
        check_count("concurrency", concurrency)
    is_remote = is_awaited(reranker) or getattr(reranker, "is_remote", False)
    if concurrency is None:
        concurrency = 1
        if is_remote:
            concurrency = ASYNC_CONCURRENCY if is_awaited(reranker) else CLIENT_CONCURRENCY
    return CallKind(Kind.REMOTE if is_remote or concurrency > 1 else Kind.COMPUTE_BOUND, int(concurrency))


def declared_concurrency(reranker: Any) -> int | None:
    """The ``concurrency`` of an object, or of the function or object behind a partial or bound method.

    None if it has none, or one that is no number, which then means something else in its library. Raises
    ConfigurationError for a number that is no whole number of at least 1.
    """
    for holder in _holders(reranker):
        declared = getattr(holder, "concurrency", None)
        if isinstance(declared, Real) and not isinstance(declared, bool):
            check_count(f"concurrency of {type(holder).__name__}", declared)
            return int(cast("Any", declared))
    return None


def is_service(reranker: Any) -> bool:
    """True for a client of a known service, and for its methods and partials of these."""
    return any(is_from(holder, *_SERVICE_LIBRARIES) for holder in _holders(reranker))


def say_calls(reranker: Any, source: Any, concurrency: int | None = None) -> None:
    """Write on an adapter of ours what its source, the object that it adapts, says about its calls.

    ``concurrency`` is what the user says, which counts for more.
    """
    if concurrency is None:
        concurrency = declared_concurrency(source)
    else:
        check_count("concurrency", concurrency)
    if concurrency is not None:
        reranker.concurrency = int(concurrency)
    if is_service(source):
        reranker.is_remote = True


def has_one_query_per_call(reranker: Reranker) -> bool:
    """True if each query costs a call of its own, so that merging requests of several queries saves nothing."""
    return bool(getattr(reranker, "one_query_per_call", False))


def _holders(reranker: Any) -> list[Any]:
    function = getattr(reranker, "func", reranker)  # of a partial
    owner = getattr(function, "__self__", function)  # of a bound method
    return [reranker, function, owner]
