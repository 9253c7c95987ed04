"""`semcache serve` as a service manager runs it: in one process and in several, until SIGTERM."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from httpx import Client, ConnectError

from tests.rerank_service import Handler, Request, RerankService, Response, tei
from tests.scripted import PATIENCE_S

SEMCACHE = [sys.executable, "-c", "from semcache.commands import main; main()"]
Started = tuple["subprocess.Popen[str]", Client]


def is_ready(client: Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except ConnectError:  # the port is bound, and no worker listens yet
        return False


@pytest.fixture
def service() -> Iterator[RerankService]:
    with RerankService("tei") as service:
        yield service


@pytest.fixture
def environment(service: RerankService, redis_url: str, namespace: str, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "SEMCACHE_REDIS_URL": redis_url,
        "SEMCACHE_NAMESPACE": namespace,
        "SEMCACHE_RERANKERS": json.dumps([{"kind": "http", "dialect": "tei", "url": service.url, "retries": 0}]),
        "COLUMNS": "500",
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., Started]]:
    with ExitStack() as stack:

        def start(workers: int = 1) -> Started:
            process = stack.enter_context(
                subprocess.Popen(
                    [*SEMCACHE, "serve", "--port", "0", "--workers", str(workers)],
                    stderr=subprocess.PIPE,
                    text=True,
                    env=environment,
                )
            )
            stack.callback(process.kill)
            assert process.stderr is not None
            started = re.compile(r"running on (http://\S+)|startup complete")
            found = list(islice(filter(None, map(started.search, process.stderr)), workers + 1))
            [url] = filter(None, (line[1] for line in found))
            client = stack.enter_context(Client(base_url=url, timeout=PATIENCE_S))
            late = monotonic() + PATIENCE_S
            while not is_ready(client):
                assert monotonic() < late, "it does not become ready"
            return process, client

        yield start


def test_a_request_under_way_is_answered_before_the_end(start: Callable[..., Started], service: RerankService) -> None:
    inside, go = Event(), Event()

    def answer(handler: Handler, request: Request) -> Response | None:
        if request.body["query"] == "wait":
            inside.set()
            assert go.wait(PATIENCE_S)
        return tei(handler, request)

    service.always = answer
    process, client = start()
    with ThreadPoolExecutor(1) as thread:
        asked = {"query": "wait", "texts": ["please wait", "a car"]}
        under_way = thread.submit(client.post, "/rerank", json=asked, headers={"Connection": "close"})
        assert inside.wait(PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert any("Shutting down" in line for line in process.stderr)
        go.set()
        answered = under_way.result(PATIENCE_S)
    assert (answered.status_code, answered.json()[0]["index"]) == (200, 0)
    assert process.wait(PATIENCE_S) == 0
    assert service.all_closed()


def test_several_workers_share_entries_metrics_and_figures(start: Callable[..., Started]) -> None:
    process, client = start(workers=2)
    asked = {"query": "red apples", "documents": ["red apples", "a car"]}
    statuses = []
    for _ in range(12):
        # A connection of its own each time, so that both processes get some.
        answer = client.post("/v1/rerank", json=asked, headers={"Connection": "close"})
        statuses.append(answer.headers["X-Semcache-Status"])
    assert statuses == ["fresh", *["exact"] * 11]
    metrics = client.get("/metrics").text
    counted = re.findall(r"^semcache_requests_total\{.*\} ([\d.]+)$", metrics, re.M)
    assert sum(map(float, counted)) == 12
    closed = re.findall(r'^semcache_breaker_state\{.*state="closed"\} ([\d.]+)$', metrics, re.M)
    assert closed == ["2.0"], "processes whose breaker is closed"
    shown = client.get("/live").json()
    assert (shown["totals"]["requests"], len(shown["processes"]), shown["silent"]) == (12, 2, 0)
    assert sum(shown["window"]["by_status"]["exact"]) == 11
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (("--workers", "2"), {"SEMCACHE_REDIS_URL": "embedded"}, "each worker would have a Redis of its own"),
        ((), {"SEMCACHE_RERANKERS": '[{"kind": "onnx", "model": "/no/such/model"}]'}, "/no/such/model"),
    ],
)
def test_what_is_wrong_is_said_before_it_serves(
    environment: dict[str, str], arguments: tuple[str, ...], variables: dict[str, str], said: str
) -> None:
    done = subprocess.run(
        [*SEMCACHE, "serve", "--port", "0", *arguments],
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert said in done.stderr
    assert "Traceback" not in done.stderr
