"""``semcache warm`` on a real Redis."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from semcache import RedisSemanticCache
from semcache.commands import models as models_module
from semcache.commands.models import Models
from semcache.commands.warm import run
from semcache.commands.warm.requests import WarmRequest, read_requests
from semcache.errors import InvalidInputError
from semcache.settings import Settings
from tests.commands.conftest import DOCUMENTS, QUERIES, Cli
from tests.fakes import CountingReranker, WordEmbedder

Use = Callable[[CountingReranker], CountingReranker]


@pytest.fixture
def use(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Has the command use this reranker."""

    def use(reranker: CountingReranker) -> CountingReranker:
        monkeypatch.setattr(models_module, "configured_models", lambda settings: Models(WordEmbedder(), reranker))
        return reranker

    return use


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    lines = [{"query": query, "documents": DOCUMENTS} for query in QUERIES]
    lines.append({"query": QUERIES[0], "documents": DOCUMENTS, "tenant": "shop-a"})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def status(settings: Settings, query: str, tenant: str = "") -> str | None:
    with RedisSemanticCache.from_settings(settings, embedder=WordEmbedder(), reranker="counting") as cache:
        return cache.lookup(query, DOCUMENTS, tenant=tenant).status


def test_requests_are_answered_exactly_afterwards(configured: Settings, use: Use, cli: Cli, log: Path) -> None:
    reranker = use(CountingReranker())
    done = cli("warm", str(log))
    assert f"4 requests stored in namespace {configured.cache.namespace}: 32 pairs scored, 0 were known" in done.stdout
    assert len(reranker.pairs) == 4 * len(DOCUMENTS)
    assert status(configured, QUERIES[0]) == status(configured, QUERIES[0], "shop-a") == "exact"
    assert status(configured, QUERIES[2], "shop-a") is None
    # As neighbours, too.
    assert status(configured, "how is the moon far") == "semantic"


def test_what_is_known_is_not_scored_again(configured: Settings, use: Use, cli: Cli, log: Path) -> None:
    use(CountingReranker())
    cli("warm", str(log))
    again = use(CountingReranker())
    found = json.loads(cli("warm", str(log), "--json").stdout)
    assert again.pairs == []
    assert (found["requests"], found["pairs"], found["scored"], found["known"]) == (4, 32, 0, 32)


def test_the_tenant_of_the_command_is_that_of_requests_without_one(
    configured: Settings, use: Use, cli: Cli, log: Path
) -> None:
    use(CountingReranker())
    cli("warm", str(log), "--tenant", "shop-b")
    assert [status(configured, QUERIES[0], tenant) for tenant in ("", "shop-a", "shop-b")] == [None, "exact", "exact"]


def test_a_table(configured: Settings, use: Use, cli: Cli) -> None:
    reranker = use(CountingReranker())
    rows = "".join(f'"{query}","{document}"\n' for query in QUERIES[:2] for document in DOCUMENTS)
    cli("warm", "-", input=f"query,document\n{rows}")
    assert len(reranker.pairs) == 2 * len(DOCUMENTS)
    assert status(configured, QUERIES[1]) == "exact"


def test_a_rate_is_kept(use: Use, cli: Cli, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(run, "sleep", waited.append)
    use(CountingReranker())
    cli("warm", str(log), "--pairs-per-minute", "120")
    # Eight pairs in four seconds, less what they took.
    assert len(waited) == 4 and all(3.0 < seconds <= 4.0 for seconds in waited)


def test_stopped_it_goes_on(use: Use, cli: Cli, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(seconds: float) -> None:
        if len(first.pairs) == 2 * len(DOCUMENTS):
            raise KeyboardInterrupt

    first = use(CountingReranker())
    with monkeypatch.context() as patch:
        patch.setattr(run, "sleep", stop)
        said = cli("warm", str(log), "--pairs-per-minute", "1000", code=130).stderr
    assert "stopped; 2 of 4 requests are stored, and the same command goes on" in said
    second = use(CountingReranker())
    assert "16 pairs scored, 16 were known" in cli("warm", str(log)).stdout
    assert len(second.pairs) == 2 * len(DOCUMENTS)


def test_a_redis_that_is_away_is_said_before_anything_is_scored(
    use: Use, cli: Cli, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMCACHE_REDIS_URL", "redis://localhost:1")
    reranker = use(CountingReranker())
    said = cli("warm", str(log), code=4).stderr
    assert "cannot be reached" in said and "circuit breaker" not in said
    assert reranker.pairs == []


class TestReading:
    @staticmethod
    def read(text: str) -> list[WarmRequest]:
        return list(read_requests(io.BytesIO(text.encode()), "log"))

    def test_rows_that_follow_each_other_are_a_request(self) -> None:
        found = self.read('query,document,tenant\nq,a,\nq,b,\nq,a,\nq,a,t\n"r, s","a\nb",t\nq,c,\n')
        assert found == [
            WarmRequest("q", ("a", "b")),  # a cell that is empty names no tenant
            WarmRequest("q", ("a",), "t"),
            WarmRequest("r, s", ("a\nb",), "t"),
            WarmRequest("q", ("c",)),
        ]

    def test_a_byte_order_mark_is_no_part_of_it(self) -> None:
        assert self.read("\ufeffquery,document\nq,a\n") == [WarmRequest("q", ("a",))]
        assert self.read('\ufeff{"query": "q", "documents": ["a"]}\n') == [WarmRequest("q", ("a",))]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "log is empty; give lines like .*, or a table .*, where the first row must name the columns"),
            ("question,text\nq,a\n", "log has the columns .*'question', 'text'.*; give lines like"),
            ("query,document\nq\n", "log, line 2: there is no document"),
            ("query,document\n ,a\n", "log, line 2: query is blank"),
            ('query,document\nq,"a" b\n', "log, line 2: no CSV"),
            ('{"query": "q"}', 'log, line 1: "documents" is missing'),
            ('{"query": "q", "documents": ["a"], "tenant": 5}', 'log, line 1: "tenant" is 5'),
        ],
    )
    def test_what_is_wrong_is_named(self, text: str, said: str) -> None:
        with pytest.raises(InvalidInputError, match=said):
            self.read(text)

    def test_nothing_is_scored_before_all_of_it_was_read(self, use: Use, cli: Cli, log: Path) -> None:
        reranker = use(CountingReranker())
        log.write_text(f"{log.read_text()}no json\n")
        assert "line 5: not JSON" in cli("warm", str(log), code=2).stderr
        assert reranker.pairs == []
