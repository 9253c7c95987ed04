"""A pipeline of a counting reranker and a real Redis, and its server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from threading import Event
from typing import Any

import pytest
from httpx import Client

from semcache import OptimizedRerankerPipeline
from semcache.protocols import FloatArray, Pair
from semcache.server import create_app
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S
from tests.server.running import running

Serve = Callable[..., Client]


class Waiting(CountingReranker):
    """Waits inside the model when the query is "wait", until the test sets ``go``."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = Event()
        self.go = Event()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        if any(query == "wait" for query, _ in pairs):
            self.inside.set()
            assert self.go.wait(PATIENCE_S), "the test did not let this call go on"
        return super().score(pairs)


@pytest.fixture
def model() -> CountingReranker:
    """The reranker behind the server, which remembers what it was asked."""
    return CountingReranker()


@pytest.fixture
def serve(model: CountingReranker, redis_url: str, namespace: str) -> Iterator[Serve]:
    """A function that serves the model under these settings of the section ``server``, and gives a client."""
    with ExitStack() as stack:

        def serve(primary: object = model, *, sections: dict[str, Any] | None = None, **server: Any) -> Client:
            settings = Settings(
                **{
                    "redis": {"url": redis_url},
                    "cache": {"namespace": namespace},
                    "reuse": {"audit_rate": 0},
                    "server": server,
                    **(sections or {}),
                }
            )
            pipeline = OptimizedRerankerPipeline(primary, None, embedding_model=WordEmbedder(), settings=settings)
            stack.enter_context(pipeline)
            url = stack.enter_context(running(create_app(pipeline, settings=settings)))
            return stack.enter_context(Client(base_url=url, timeout=PATIENCE_S))

        yield serve
