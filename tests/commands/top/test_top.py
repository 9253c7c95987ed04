"""`semcache top` against a running server: the same figures as the page, in any width, until Ctrl-C."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from io import StringIO
from typing import Any

import httpx
import pytest
from httpx import Client
from rich.console import Console
from typer.testing import CliRunner

from semcache import OptimizedRerankerPipeline
from semcache.commands.app import app
from semcache.commands.exit_codes import ExitCode
from semcache.commands.top.report import report, sparkline
from semcache.commands.top.watching import watch
from semcache.errors import RerankServiceError
from semcache.server import Recorder, create_app
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.scripted import PATIENCE_S
from tests.server.running import running

KEY, OF_A_TENANT = "operator-0123456789", "shop-a-0123456789"
ASKED = {"query": "red apples", "documents": ["an apple", "a car"]}

Top = Callable[..., Any]


@pytest.fixture
def top(monkeypatch: pytest.MonkeyPatch) -> Top:
    def top(*arguments: str, columns: int = 100, **environment: str) -> Any:
        return CliRunner().invoke(app, ["top", *arguments], env={"COLUMNS": str(columns), **environment})

    return top


@pytest.fixture
def pipeline(redis_url: str, namespace: str) -> Iterator[OptimizedRerankerPipeline]:
    settings = Settings(redis={"url": redis_url}, cache={"namespace": namespace}, reuse={"audit_rate": 0})
    with OptimizedRerankerPipeline(
        CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings, observers=[Recorder()]
    ) as pipeline:
        yield pipeline


@pytest.fixture
def url(pipeline: OptimizedRerankerPipeline) -> Iterator[str]:
    with running(create_app(pipeline)) as url, Client(base_url=url, timeout=PATIENCE_S) as client:
        for _ in range(3):
            client.post("/v2/rerank", json=ASKED).raise_for_status()
        yield url


def test_it_shows_the_figures_of_the_server(top: Top, url: str) -> None:
    done = top("--url", url, "--once")
    assert done.exit_code == 0
    lines = {line.split()[0]: line.split() for line in done.output.splitlines() if line.strip()}
    assert "All is well." in done.output
    assert lines["exact"][1:3] == ["2", "66.7%"]
    assert lines["fresh"][1:3] == ["1", "33.3%"]
    assert "3 since the start" in done.output
    assert lines["counting"][1] == "closed"
    assert "up, 1 entries" in done.output


@pytest.mark.parametrize("columns", [36, 40, 60, 80, 200])
def test_it_fits_into_any_terminal(top: Top, url: str, columns: int) -> None:
    done = top("--url", f"{url}/", "--once", columns=columns)
    assert done.exit_code == 0
    assert max(map(len, done.output.splitlines())) <= columns
    assert "exact" in done.output


@pytest.mark.parametrize("columns", [64, 80])
def test_long_names_of_models_take_no_room_from_figures(url: str, columns: int) -> None:
    figures = httpx.get(f"{url}/live", timeout=PATIENCE_S).json()
    figures["rerankers"][0] |= {"reranker": "ms-marco-MiniLM-L-12-v2@9fd08c42/onnx/logits/max512", "answers": 123_456}
    console = Console(file=StringIO(), width=columns)
    console.print(report(figures, columns))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    [line] = [line for line in written.splitlines() if line.strip().startswith("ms-marco")]
    assert "…" in line and {"closed", "123,456"} <= set(line.split())
    assert {"rung", "breaker", "answers", "p95", "waiting"} <= set(written.split())


def test_json_is_what_the_server_tells(top: Top, url: str) -> None:
    told = json.loads(top("--url", url, "--json").output)
    assert told["totals"]["requests"] == 3
    assert told["window"]["name"] == "15m"
    assert json.loads(top("--url", url, "--window", "24h", "--json", "-").output)["window"]["seconds"] == 86_400


def test_the_server_is_that_of_the_settings(top: Top, url: str) -> None:
    port = url.rpartition(":")[2]
    done = top("--once", SEMCACHE_SERVER__HOST="0.0.0.0", SEMCACHE_SERVER__PORT=port)
    assert (done.exit_code, "All is well." in done.output) == (0, True)


def test_an_address_of_ipv6_is_one(top: Top) -> None:
    done = top("--once", SEMCACHE_SERVER__HOST="::1", SEMCACHE_SERVER__PORT="9")
    assert (done.exit_code, "http://[::1]:9" in done.output) == (ExitCode.UNAVAILABLE, True)


def test_the_key_of_an_operator_is_used(top: Top, pipeline: OptimizedRerankerPipeline) -> None:
    keys = f"shop-a:{OF_A_TENANT} {KEY}"
    settings = Settings(server={"api_keys": keys})
    with running(create_app(pipeline, settings=settings)) as url:
        assert top("--url", url, "--once", SEMCACHE_SERVER__API_KEYS=keys).exit_code == 0
        refused = top("--url", url, "--once", SEMCACHE_SERVER__API_KEYS=f"shop-a:{OF_A_TENANT}")
    assert refused.exit_code == ExitCode.CONFIGURATION
    assert "SEMCACHE_SERVER__API_KEYS" in refused.output
    assert not any(key in refused.output for key in (KEY, OF_A_TENANT))


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://127.0.0.1:9", ExitCode.UNAVAILABLE, "semcache serve"),
        ("http://127.0.0.1:9", ExitCode.UNAVAILABLE, "semcache stats"),
        ("localhost:8080", ExitCode.USAGE, "http://localhost:8080"),
        ("file:///etc/passwd", ExitCode.USAGE, "http://localhost:8080"),
    ],
)
def test_what_is_wrong_is_a_line_with_what_to_do(top: Top, url: str, code: ExitCode, said: str) -> None:
    done = top("--url", url, "--once")
    assert done.exit_code == code
    assert said in done.output
    assert len(done.output.splitlines()) == 1


def test_it_goes_on_until_ctrl_c_also_while_the_server_is_away(url: str) -> None:
    first = httpx.get(f"{url}/live", timeout=PATIENCE_S).json()
    again = [first, RerankServiceError("gone"), RerankServiceError("gone"), first, KeyboardInterrupt()]
    waits: list[float] = []

    def asked() -> Any:
        answer = again.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    console = Console(file=StringIO(), force_terminal=True, width=100, height=50)
    watch(console, first, asked, 2.0, waits.append)
    assert waits == [2.0, 2.0, 4.0, 8.0, 2.0]
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert written.count("The server does not answer") == 2
    # The screen is given back, and what was seen last stays.
    assert "All is well." in written.rpartition("\x1b[?1049l")[2]


def test_what_is_wrong_and_what_happened_are_shown_with_their_remedies(url: str) -> None:
    shown = httpx.get(f"{url}/live", timeout=PATIENCE_S).json()
    shown["wrong"] = [{"level": "bad", "what": "Redis does not answer.", "more": "refused", "remedy": "start it"}]
    shown["redis"]["up"] = False
    happened = {"text": "Redis is away", "remedy": "start it", "is_over": False}
    day_ago = shown["now"] - 86_000
    shown["happened"] = [{"at": shown["now"], **happened}, {"at": day_ago, **happened}]
    shown["pruning"] |= {"n": 300, "avoided": 0.42, "loss": 0.001, "loss_high": 0.004, "confidence": 1.5}
    console = Console(file=StringIO(), width=100)
    console.print(report(shown, 100))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    for said in ("Redis does not answer. refused", "start it", "Redis is away", "away", "avoids 42%"):
        assert said in written
    # What is longer ago than half a day says of which day it is.
    assert f"{datetime.fromtimestamp(day_ago):%d %b %H:%M:%S} Redis is away" in written


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([0, 1, 2, 4], 4, " ▂▄█"),
        ([0, 1, 2, 4], 2, "▂█"),
        ([0, 0.001, None, 1], 10, " ▁ █"),
        ([0, None], 5, "  "),
        ([], 5, ""),
        ([1], 0, ""),
    ],
)
def test_a_sparkline(values: list[float | None], width: int, drawn: str) -> None:
    assert sparkline(values, width) == drawn
