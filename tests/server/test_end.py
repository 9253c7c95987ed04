"""The end of an application: requests have had their time, and what is left gets a moment."""

import asyncio
import re
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.types import Message, Receive, Scope, Send

from semcache import OptimizedRerankerPipeline
from semcache.server import create_app
from semcache.server.ending import Ending
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder


async def test_all_ends_before_kubernetes_kills(
    redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float | None] = []

    class Told(OptimizedRerankerPipeline):
        async def aclose(self, timeout_s: float | None = None) -> None:
            given.append(timeout_s)
            await super().aclose(timeout_s)

    settings = Settings(redis={"url": redis_url}, cache={"namespace": namespace})
    pipeline = Told(CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings)
    monkeypatch.setattr(OptimizedRerankerPipeline, "from_settings", lambda *_, **__: pipeline)
    app = create_app(settings=settings)
    async with app.router.lifespan_context(app):
        assert not given
    [closing_s] = given
    manifest = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
    [killed_s] = re.findall(r"terminationGracePeriodSeconds: (\d+)", manifest)
    [paused_s] = re.findall(r'command: \[sleep, "(\d+)"\]', manifest)
    assert closing_s is not None
    assert int(paused_s) + settings.server.shutdown_s + closing_s < int(killed_s)


class Hanging:
    """Answers never, or only begins to."""

    def __init__(self, first: list[Message]) -> None:
        self.first = first
        self.inside = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for message in self.first:
            await send(message)
        self.inside.set()
        await asyncio.Event().wait()


async def test_a_request_whose_time_is_over_is_told_that_the_server_ends() -> None:
    hanging = Hanging([])
    async with AsyncClient(transport=ASGITransport(Ending(hanging, 7)), base_url="http://server") as client:
        request = asyncio.create_task(client.post("/v1/rerank"))
        await hanging.inside.wait()
        request.cancel()
        answer = await request
    assert (answer.status_code, answer.headers["Retry-After"], answer.headers["Connection"]) == (503, "7", "close")
    assert answer.json()["message"] == "the server ends; ask again, and another one answers"


async def test_an_answer_that_has_begun_is_broken_off() -> None:
    hanging = Hanging([{"type": "http.response.start", "status": 200, "headers": []}])
    async with AsyncClient(transport=ASGITransport(Ending(hanging, 7)), base_url="http://server") as client:
        request = asyncio.create_task(client.get("/metrics"))
        await hanging.inside.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
