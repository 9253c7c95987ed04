"""Whether the process lives, whether requests may come, and what was counted."""

import re
import sys
import tomllib
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import yaml
from httpx import Client
from prometheus_client import CollectorRegistry

from semcache import OptimizedRerankerPipeline
from semcache.errors import MissingExtraError
from semcache.observers import PrometheusObserver
from semcache.server import create_app
from semcache.settings import Settings
from semcache.settings.sources import variables as variables_of
from tests.fakes import CountingReranker, WordEmbedder
from tests.rerank_service import RerankService, Response
from tests.scripted import PATIENCE_S
from tests.server.conftest import Serve
from tests.server.running import running

ASKED = {"query": "red apples", "documents": ["an apple", "a car"]}


def until_ready(client: Client, tries: int = 2000) -> bool:
    return any(client.get("/readyz").status_code == 200 for _ in range(tries))


def test_it_is_ready_when_its_models_are_loaded(serve: Serve) -> None:
    class Loading(CountingReranker):
        loaded = Event()

        def score(self, pairs: Any) -> Any:
            assert self.loaded.wait(PATIENCE_S)
            return super().score(pairs)

    client = serve(Loading())
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["message"]) == (503, "models are being loaded")
    assert client.get("/healthz").text == "alive\n"
    Loading.loaded.set()
    assert until_ready(client)


def test_a_model_that_cannot_be_loaded_is_said_without_its_message(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(WordEmbedder):
        def embed(self, texts: Any) -> Any:
            raise OSError("/home/me/secret-folder")

    settings = Settings(redis={"url": redis_url}, cache={"namespace": namespace})
    pipeline = OptimizedRerankerPipeline(CountingReranker(), None, embedding_model=Broken(), settings=settings)
    with pipeline, running(create_app(pipeline)) as url, Client(base_url=url) as client:
        answers = (client.get("/readyz").json()["message"] for _ in range(2000))
        said = next(message for message in answers if "cannot be loaded" in message)
        assert "secret-folder" not in said
        assert client.post("/v2/rerank", json=ASKED).status_code == 200
    assert "secret-folder" in caplog.text


def test_a_redis_that_is_away_makes_no_difference() -> None:
    settings = Settings(redis={"url": "redis://127.0.0.1:9"})
    pipeline = OptimizedRerankerPipeline(CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings)
    with pipeline, running(create_app(pipeline)) as url, Client(base_url=url) as client:
        assert until_ready(client)
        assert client.post("/v2/rerank", json=ASKED).headers["X-Semcache-Status"] == "fresh"


def test_a_service_that_is_away_is_stood_in_for(redis_url: str, namespace: str) -> None:
    with RerankService("tei") as service:
        service.always = lambda handler, request: Response({"message": "no"}, 500)
        settings = Settings(
            redis={"url": redis_url},
            cache={"namespace": namespace},
            rerankers=[
                {"kind": "http", "dialect": "tei", "url": service.url, "retries": 0},
                {"kind": "retrieval-order"},
            ],
        )
        pipeline = OptimizedRerankerPipeline.from_settings(settings, embedder=WordEmbedder())
        with pipeline, running(create_app(pipeline)) as url, Client(base_url=url) as client:
            assert until_ready(client)
            assert client.post("/v2/rerank", json=ASKED).headers["X-Semcache-Status"] == "degraded"
            service.always = None
            pipeline.reranker.reset()
            assert client.post("/v2/rerank", json=ASKED).headers["X-Semcache-Status"] == "fresh"


def test_stats_and_metrics_count_requests(redis_url: str, namespace: str) -> None:
    registry = CollectorRegistry()
    settings = Settings(redis={"url": redis_url}, cache={"namespace": namespace})
    pipeline = OptimizedRerankerPipeline(
        CountingReranker(),
        None,
        embedding_model=WordEmbedder(),
        settings=settings,
        observers=[PrometheusObserver(registry)],
    )
    with pipeline, running(create_app(pipeline, registry=registry)) as url, Client(base_url=url) as client:
        for _ in range(2):
            client.post("/v2/rerank", json=ASKED)
        assert client.get("/stats").json()["cache"]["requests"] == 2
        metrics = client.get("/metrics")
        here = 'namespace="default",pipeline="default"'
        assert f'semcache_requests_total{{{here},reason="",status="exact"}} 1.0' in metrics.text
        assert metrics.headers["Content-Type"].startswith("text/plain; version=")


def test_watchers_may_ask_for_headers_alone(serve: Serve) -> None:
    client = serve()
    for path in ("/healthz", "/", "/page/page.js"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert client.head("/readyz").status_code in (200, 503)


def test_another_method_is_refused_with_the_one_that_is_taken(serve: Serve) -> None:
    answer = serve().get("/v2/rerank")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
    assert answer.json()["message"] == "this path takes POST"


def test_openapi_describes_what_is_sent_and_answered(serve: Serve) -> None:
    described = serve().get("/openapi.json").json()
    asked = described["paths"]["/v2/rerank"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"query", "documents"} <= set(asked["required"])
    assert {"RerankAnswer", "Refusal"} <= described["components"]["schemas"].keys()
    refusals = {"/v2/rerank": "400 401 403 408 413 422 429 502 503 504", "/metrics": "401 403 404"}
    for path, statuses in refusals.items():
        [route] = described["paths"][path].values()
        assert route["responses"].keys() == {"200", *statuses.split()}


def test_the_docs_name_every_route_setting_and_header(serve: Serve) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    client = serve()
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            assert f"| `{method.upper()} {path}` |" in docs
    headers = client.post("/v2/rerank", json=ASKED).headers
    for name in filter(re.compile("x-semcache-").match, headers):
        assert f"`{name}`" in docs.lower()


def test_the_containers_say_what_the_settings_do() -> None:
    top = Path(__file__).parents[2]
    compose = yaml.safe_load((top / "compose.yaml").read_text())
    assert compose["services"]["redis"]["image"] == "redis:8"
    semcache, server = compose["services"]["semcache"], Settings().server
    assert semcache["ports"] == [f"127.0.0.1:{server.port}:{server.port}"]
    assert float(semcache["stop_grace_period"].rstrip("s")) > server.shutdown_s
    variables = variables_of(Settings)
    assert set(semcache["environment"]) <= set(variables)
    dockerfile = (top / "Dockerfile").read_text()
    assert set(re.findall(r"SEMCACHE_\w+", dockerfile)) <= set(variables)
    assert f"EXPOSE {server.port}\n" in dockerfile and f":{server.port}/readyz" in dockerfile
    # Kubernetes tells of a number alone whether it is root, as runAsNonRoot of docs/deployment.md asks.
    assert re.findall(r"^USER (.*)$", dockerfile, re.M) == re.findall(r"--uid (\d+)", dockerfile)
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.M) for name in line.split()}
    kept = {line[1:] for line in (top / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == kept and all((top / name).exists() for name in copied)
    extras = tomllib.loads((top / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [asked] = re.findall(r"'\.\[(.*)\]'", dockerfile)
    assert set(asked.split(",")) <= set(extras)


def test_without_fastapi_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fastapi" or name == "semcache.server.app"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    import semcache.server

    with pytest.raises(MissingExtraError, match=r"redis-semcache\[server\]"):
        _ = semcache.server.create_app
