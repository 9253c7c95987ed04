"""The end of an application: requests have had their time, and what is left gets a moment."""

import re
from pathlib import Path

import pytest

from semcache import OptimizedRerankerPipeline
from semcache.server import create_app
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
