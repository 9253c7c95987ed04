"""Takes the screenshots of the server's page in ``docs/images``: empty, busy and degraded, by real requests.

    .venv/bin/python -m benchmarks.screenshots           # those that the docs show
    .venv/bin/python -m benchmarks.screenshots FOLDER    # all of them

The traffic is the demo's, with the packaged models, over HTTP. The clock of the page runs fifteen times as fast as that
of the machine, so that a minute of traffic fills a quarter of an hour; latencies are those that were measured.
"""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from threading import Thread
from time import sleep, time
from typing import TYPE_CHECKING
from unittest.mock import patch

import httpx
import uvicorn
from PIL import Image

from benchmarks.browser import launched
from semcache import EmbeddedRedis, OptimizedRerankerPipeline
from semcache.commands.demo.corpus import load_corpus
from semcache.commands.demo.memoising_embedder import MemoisingEmbedder
from semcache.commands.demo.retriever import InMemoryRetriever
from semcache.commands.demo.slowed import SlowedReranker
from semcache.commands.demo.traffic import DemoRequest, traffic
from semcache.commands.models import Models, packaged_models
from semcache.rerankers.embedding import EmbeddingReranker
from semcache.server import Recorder, create_app
from semcache.settings import Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOLDER = Path(__file__).parents[1] / "docs" / "images"
BUSY_S, DEGRADED_S, SPEED = 55.0, 12.0, 15.0
SLOW_S, THRESHOLD_S = 1.2, 1.0
TOP_N = 5
WIDE, PHONE = (1180, 900), (390, 844)
IN_DOCS = ("page-busy-light", "page-busy-phone", "page-degraded-dark", "page-empty-light")
LOOKS = (("light", "light", WIDE), ("dark", "dark", WIDE), ("phone", "light", PHONE), ("phone-dark", "dark", PHONE))


class _Scene:
    """A server with the packaged models, and its requests."""

    def __init__(self, models: Models, primary: SlowedReranker, url: str) -> None:
        corpus = load_corpus()
        self._index = MemoisingEmbedder(models.embedder)
        self._retriever = InMemoryRetriever(corpus.passages, self._index)
        self._requests: Iterator[DemoRequest] = iter(traffic(corpus.questions, 100_000, 7))
        self._client = httpx.Client(base_url=url, timeout=60)
        self.primary = primary

    def ask_for(self, seconds: float, breaking: Callable[[], None] = lambda: None) -> None:
        """Make requests one after the other for so long; after a quarter of that, ``breaking`` breaks something."""
        begin, is_broken = time(), False
        while (passed := time() - begin) < seconds:
            if not is_broken and passed > seconds / 4:
                breaking()
                is_broken = True
            request = next(self._requests)
            documents = [found.text for found in self._retriever.candidates(request.query, request.variant)]
            asked = {"query": request.query, "documents": documents, "top_n": TOP_N}
            self._client.post("/v2/rerank", json=asked, headers={"X-Tenant": request.tenant}).raise_for_status()


def main(folder: Path) -> None:
    """Take all screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    models = packaged_models()
    primary = SlowedReranker(models.reranker, SLOW_S)
    begin = time()

    def fast() -> float:
        return begin + SPEED * (time() - begin) - (SPEED - 1) * (BUSY_S + DEGRADED_S)

    redis = EmbeddedRedis()
    redis.start()
    clocks = [patch(f"semcache.server.live.{module}.time", fast) for module in ("view", "parts")]
    with clocks[0], clocks[1], _served(models, primary, redis.url, Recorder(fast)) as url, launched() as browser:
        scene = _Scene(models, primary, url)
        _shoot(browser, url, folder, "empty")
        scene.ask_for(BUSY_S)
        _shoot(browser, url, folder, "busy")

        def break_down() -> None:
            primary.is_slow = True
            redis.close()

        scene.ask_for(DEGRADED_S, break_down)
        _shoot(browser, url, folder, "degraded")


@contextmanager
def _served(models: Models, primary: SlowedReranker, redis_url: str, recorder: Recorder) -> Iterator[str]:
    settings = Settings(
        redis={"url": redis_url},
        monitor={"window_size": 40, "min_samples": 20, "p95_threshold_s": THRESHOLD_S},
        reuse={"audit_rate": 0.5},
        cache={"namespace": "shop"},
    )
    fallback = EmbeddingReranker(models.embedder)
    with ExitStack() as stack:
        pipeline = stack.enter_context(
            OptimizedRerankerPipeline(
                primary, fallback, embedding_model=models.embedder, settings=settings, observers=[recorder]
            )
        )
        app = create_app(pipeline, settings=settings)
        # It listens already, so that connections wait until the server accepts them.
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with httpx.Client(timeout=60) as client:
                while not client.get(f"{url}/readyz").is_success:
                    sleep(0.1)
            yield url
        finally:
            server.should_exit = True
            thread.join()


def _shoot(browser: "Browser", url: str, folder: Path, state: str) -> None:
    for name, scheme, (width, height) in LOOKS:
        with browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
        ) as context:
            page = context.new_page()
            page.goto(url)
            page.wait_for_selector("#figures:not([hidden])")
            _settled(page)
            path = folder / f"page-{state}-{name}.png"
            if folder != FOLDER or path.stem in IN_DOCS:
                # The docs show the first screen of a phone: the whole page would be ten times as high as wide.
                whole = folder != FOLDER or width > PHONE[0]
                picture = Image.open(BytesIO(page.screenshot(full_page=whole))).convert("RGB")
                # The page has few colours; the rest are edges of letters, and take half of a file.
                picture.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)


def _settled(page: "Page") -> None:
    """Until the charts are drawn, which the browser does after it has laid them out."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
