"""The page, its files and its figures over HTTP."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from httpx import Client

from semcache import OptimizedRerankerPipeline
from semcache.server import create_app
from semcache.server.live.recorder import Recorder
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S
from tests.server.conftest import Serve
from tests.server.running import running

ASKED = {"query": "red apples", "documents": ["an apple", "a car"]}
OPERATOR, OF_A_TENANT = "operator-0123456789", "shop-a-0123456789"
KEYS = f"{OPERATOR} shop-a:{OF_A_TENANT}"


@contextmanager
def served(settings: Settings) -> Iterator[Client]:
    """A client of a server that records what happens."""
    pipeline = OptimizedRerankerPipeline(
        CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings, observers=[Recorder()]
    )
    with (
        pipeline,
        running(create_app(pipeline, settings=settings)) as url,
        Client(base_url=url, timeout=PATIENCE_S) as client,
    ):
        yield client


@pytest.fixture
def client(redis_url: str, namespace: str) -> Iterator[Client]:
    with served(Settings(redis={"url": redis_url}, cache={"namespace": namespace})) as client:
        yield client


def test_the_figures_are_those_of_stats(client: Client) -> None:
    for _ in range(3):
        client.post("/v2/rerank", json=ASKED)
    stats, shown = client.get("/stats").json(), client.get("/live").json()
    for name in ("requests", "by_status", "pairs_asked", "pairs_reused", "cache_hits", "outages"):
        assert shown["totals"][name] == stats["cache"][name]
    assert sum(shown["window"]["by_status"]["exact"]) == stats["cache"]["by_status"]["exact"] == 2
    assert shown["redis"] == {"up": True, "entries": 1, "is_about": False, "error": None, "remedy": None}
    assert shown["about"]["reranker"] == "counting"
    assert [process["process"] for process in shown["processes"]] == [stats["process"]]


def test_nothing_of_a_request_is_told(client: Client) -> None:
    client.post("/v2/rerank", json=ASKED, headers={"X-Tenant": "shop-a"})
    told = client.get("/live").text
    assert not any(text in told for text in ("apple", "shop-a"))


def test_a_window_is_one_of_those_that_are_kept(client: Client) -> None:
    assert client.get("/live?window=24h").json()["window"]["seconds"] == 86_400
    refused = client.get("/live?window=1y")
    assert (refused.status_code, refused.json()["message"]) == (422, "window is '1y'; it must be one of 15m, 24h")


def test_the_figures_need_the_key_of_an_operator_and_the_page_none(serve: Serve) -> None:
    client = serve(api_keys=KEYS)
    for key, status in ((None, 401), ("wrong-key-0123456789", 401), (OF_A_TENANT, 403), (OPERATOR, 200)):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        assert client.get("/live", headers=headers).status_code == status
    page = client.get("/")
    assert page.status_code == 200
    assert not any(key in page.text for key in (OPERATOR, OF_A_TENANT))


def test_the_page_can_be_left_out(serve: Serve) -> None:
    client = serve(page=False)
    assert (client.get("/").status_code, client.get("/page/page.js").status_code) == (404, 404)
    assert client.get("/live").status_code == 200


def test_every_file_that_the_page_names_is_served_and_nothing_else(client: Client) -> None:
    page = client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    named = set(re.findall(r'(?:src|href)="(page/[^"]+)"', page.text))
    scripts = {name for name in named if name.endswith(".js")}
    while scripts:
        imported = re.findall(r'from "\./([^"]+)"', client.get(f"/{scripts.pop()}").text)
        scripts |= {f"page/{name}" for name in imported} - named
        named |= scripts
    assert {name.rpartition("/")[2] for name in named} == {
        "icon.svg",
        "page.css",
        "page.js",
        "show.js",
        "chart.js",
        "nearest.js",
        "words.js",
    }
    for name in named:
        answer = client.get(f"/{name}")
        assert answer.status_code == 200
        assert "//" not in re.sub(r"(?m)^\s*//.*|http://www\.w3\.org/2000/svg", "", answer.text), (
            "it loads from elsewhere"
        )
    assert client.get("/page/app.py").status_code == 404
    assert client.get("/page/..%2Fapp.py").status_code == 404


def test_a_browser_that_has_a_file_is_told_that_it_is_the_same(client: Client) -> None:
    first = client.get("/page/page.js")
    again = client.get("/page/page.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["Cache-Control"] == "no-cache"
    assert client.get("/page/page.js", headers={"If-None-Match": '"another"'}).status_code == 200


def test_a_redis_that_is_away_is_told_with_a_remedy() -> None:
    with served(Settings(redis={"url": "redis://127.0.0.1:9"})) as client:
        client.post("/v2/rerank", json=ASKED)
        shown = client.get("/live").json()
    assert not shown["redis"]["up"] and "semcache doctor" in shown["redis"]["remedy"]
    assert shown["happened"][0]["event"] == "CacheUnavailable"
    assert shown["errors"][0]["part"] == "cache"
    assert shown["totals"]["outages"] == 1


def test_without_a_recorder_the_page_says_so(serve: Serve) -> None:
    client = serve()
    client.post("/v2/rerank", json=ASKED)
    shown = client.get("/live").json()
    assert (shown["recorded"], shown["totals"]["requests"]) == (False, 1)
