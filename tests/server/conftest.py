"""A pipeline of a counting reranker and a real Redis, and its server, for all tests of a module's limits."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from httpx import Client

from semcache import OptimizedRerankerPipeline
from semcache.server import create_app
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S
from tests.server.running import running

Serve = Callable[..., Client]


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
