"""Goes through a file of requests: checks it, then scores and stores what is not known."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby
from time import monotonic, sleep
from typing import IO, Any

from rich.progress import TimeRemainingColumn

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.commands import models
from semcache.commands.bars import Bars
from semcache.commands.in_words import count, span
from semcache.commands.target import check_reachable, connected
from semcache.commands.warm.requests import WarmRequest, read_requests
from semcache.errors import InvalidInputError, RerankerError, StoreUnavailableError
from semcache.events import CacheFailed, Event
from semcache.flow.requests import check_tenant
from semcache.settings import Settings

_AT_ONCE = 16
"""Requests that are scored together: as many calls as services take at once, and little is lost by Ctrl-C."""
_NEEDED = ("ReadExact", "Embed", "Remember")
"""The cache steps of a request that is scored whole. What the background learns may fail."""


@dataclass(slots=True)
class Done:
    """The work done so far. ``known`` pairs were stored before; ``scored`` ones the reranker was asked about."""

    requests: int = 0
    pairs: int = 0
    scored: int = 0
    seconds: float = 0.0

    @property
    def known(self) -> int:
        return self.pairs - self.scored

    def summary(self, namespace: str) -> str:
        """It in a line."""
        requests = count(self.requests, "request", "requests")
        return (
            f"{requests} stored in namespace {namespace}: {self.scored:,} pairs scored, {self.known:,} were known, in "
            f"{span(self.seconds)}"
        )

    def as_json(self) -> dict[str, Any]:
        """It as plain values."""
        return {**asdict(self), "known": self.known}


@dataclass(slots=True)
class Warming:
    """The requests of one file; ``tenant`` is that of requests that name none."""

    name: str
    lines: IO[bytes]
    tenant: str
    requests: int = 0
    done: Done = field(default_factory=Done)

    def check(self) -> None:
        """Read the whole file. Raises InvalidInputError that names what cannot be used."""
        check_tenant(self.tenant)
        self.requests = sum(1 for _ in read_requests(self.lines, self.name))
        if not self.requests:
            raise InvalidInputError(f"{self.name} holds no requests; semcache warm -h shows what a line is like")

    def run(self, settings: Settings, pairs_per_minute: float | None) -> None:
        """Score and store what is not known. Raises StoreError when Redis fails, and what the reranker raises."""
        failures: list[CacheFailed] = []
        began = monotonic()
        with Bars(TimeRemainingColumn()) as bars:
            bars.show("loading the models", 0, 1)
            with _opened(settings, failures) as reranker:
                bars.show("loading the models", 1, 1)
                for tenant, chunk in self._chunks(_AT_ONCE if pairs_per_minute is None else 1):
                    started = monotonic()
                    scored = reranker.warm([(each.query, each.documents) for each in chunk], tenant=tenant)
                    if failures:
                        # As an event it would go by, and all that follows would be scored for nothing.
                        stored = f"{self.done.requests:,} requests are stored, and the same command goes on"
                        raise StoreUnavailableError(f"{failures[0].error}; {stored}")
                    self._count(chunk, scored, monotonic() - began)
                    bars.show("scoring", self.done.requests, self.requests)
                    if pairs_per_minute is not None:
                        sleep(max(0.0, 60 * scored / pairs_per_minute - (monotonic() - started)))

    def _count(self, chunk: list[WarmRequest], scored: int, seconds: float) -> None:
        self.done.requests += len(chunk)
        self.done.pairs += sum(len(each.documents) for each in chunk)
        self.done.scored += scored
        self.done.seconds = seconds

    def _chunks(self, most: int) -> Iterator[tuple[str, list[WarmRequest]]]:
        """At most so many requests that follow each other and are of one tenant."""
        requests = read_requests(self.lines, self.name)
        for tenant, several in groupby(requests, key=lambda each: self.tenant if each.tenant is None else each.tenant):
            chunk: list[WarmRequest] = []
            for request in several:
                chunk.append(request)
                if len(chunk) == most:
                    yield tenant, chunk
                    chunk = []
            if chunk:
                yield tenant, chunk


@contextmanager
def _opened(settings: Settings, failures: list[CacheFailed]) -> Iterator[CachedReranker]:
    """The primary reranker behind its cache, which add what fails to ``failures``."""

    def keep(event: Event, /) -> None:
        if isinstance(event, CacheFailed) and event.step in _NEEDED:
            failures.append(event)

    with connected(settings) as connection:
        check_reachable(connection)  # first, since models take seconds to load
    loaded = models.configured_models(settings)
    with (
        RedisSemanticCache.from_settings(settings, embedder=loaded.embedder, observers=[keep]) as cache,
        CachedReranker(loaded.reranker, cache) as reranker,
    ):
        # It raises what a request would only tell as an event.
        cache.warmup()
        if reranker.cache.scoped.is_private:
            raise RerankerError(
                f"{loaded.reranker.name} did not answer the probes, so its scores would not be found again; semcache "
                "doctor tries it"
            )
        yield reranker
