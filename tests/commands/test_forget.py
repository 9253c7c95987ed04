"""``semcache forget`` and ``semcache clear`` on a real Redis."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer import Abort

from semcache import CachedReranker, RedisSemanticCache
from semcache.entries.fingerprint import document_fingerprint
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.commands.conftest import DOCUMENTS, QUERIES, Cli, fill
from tests.fakes import CountingReranker, WordEmbedder


def known(settings: Settings, query: str = QUERIES[0], tenant: str = "") -> list[str]:
    """The documents that are known for a query."""
    with RedisSemanticCache.from_settings(settings, embedder=WordEmbedder(), reranker="counting") as cache:
        scores = cache.lookup(query, DOCUMENTS, tenant=tenant).scores
    return [text for text, score in zip(DOCUMENTS, scores, strict=True) if score is not None]


def test_a_query(filled: Settings, cli: Cli) -> None:
    assert cli("forget", "--query", QUERIES[2]).stdout.startswith("1 entry changed or removed in namespace ")
    assert not known(filled, QUERIES[2])
    assert known(filled, QUERIES[2], "shop-a") == DOCUMENTS
    assert json.loads(cli("forget", "--query", QUERIES[2], "--tenant", "shop-a", "--json").stdout)["entries"] == 1
    assert not known(filled, QUERIES[2], "shop-a")


@pytest.mark.parametrize("way", ["--document", "--document-file", "--fingerprint", "stdin"])
def test_a_document_in_all_tenants(filled: Settings, cli: Cli, tmp_path: Path, way: str) -> None:
    text = DOCUMENTS[0]
    (tmp_path / "text").write_text(f"{text}\n")
    given: dict[str, tuple[str, str]] = {
        "--document": (way, text),
        "--document-file": (way, str(tmp_path / "text")),
        "--fingerprint": (way, document_fingerprint(text).hex()),
        "stdin": ("--document-file", "-"),
    }
    options: dict[str, Any] = {"input": f"{text}\n"} if way == "stdin" else {}
    assert json.loads(cli("forget", *given[way], "--json", **options).stdout)["entries"] == 2 * len(QUERIES)
    for tenant in ("", "shop-a"):
        assert known(filled, tenant=tenant) == DOCUMENTS[1:]


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_line_breaks_of_a_document_are_a_part_of_it(configured: Settings, cli: Cli, tmp_path: Path, way: str) -> None:
    text = "a passage\r\nabout the moon\r"
    with CachedReranker(
        CountingReranker(), RedisSemanticCache.from_settings(configured, embedder=WordEmbedder())
    ) as it:
        it.warm([("a moon", [text])])
    (tmp_path / "text").write_bytes(f"{text}\r\n".encode())
    name = "-" if way == "stdin" else str(tmp_path / "text")
    options: dict[str, Any] = {"input": f"{text}\r\n".encode()} if way == "stdin" else {}
    assert cli("forget", "--document-file", name, **options).stdout.startswith("1 entry ")


def test_a_tenant(filled: Settings, cli: Cli) -> None:
    assert json.loads(cli("forget", "--tenant", "shop-a", "--json").stdout)["entries"] == len(QUERIES)
    assert not known(filled, tenant="shop-a")
    assert known(filled) == DOCUMENTS


def test_whichever_reranker_it_is_of(filled: Settings, cli: Cli) -> None:
    cache = RedisSemanticCache.from_settings(filled, embedder=WordEmbedder())
    with CachedReranker(CountingReranker("another"), cache) as another:
        another.warm([(QUERIES[0], DOCUMENTS)])
    assert json.loads(cli("forget", "--document", DOCUMENTS[0], "--json").stdout)["entries"] == 2 * len(QUERIES) + 1


def test_signed_entries_stay_readable(configured: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_CACHE__SIGNING_KEY", "a secret of more than sixteen letters")
    fill(Settings(), "")
    cli("forget", "--document", DOCUMENTS[0])
    assert known(Settings()) == DOCUMENTS[1:]


def test_on_a_cluster(configured: Settings, cluster: EmbeddedRedis, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_REDIS_URL", cluster.url)
    fill(Settings(), "", "shop-a")
    assert json.loads(cli("forget", "--document", DOCUMENTS[0], "--json").stdout)["entries"] == 2 * len(QUERIES)
    assert json.loads(cli("clear", "--yes", "--json").stdout)["entries"] == 2 * len(QUERIES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "or --tenant alone; semcache clear removes everything"),
        (("--query", "a", "--document", "b"), "give either --query or a document"),
        (("--query", " "), "query is blank"),
        (("--document", "a", "--fingerprint", "00"), "give one of --document"),
        (("--fingerprint", "00"), "has not 32 hexadecimal digits"),
        (("--fingerprint", "x" * 32), "has not 32 hexadecimal digits"),
        (("--document-file", "/no/such/file"), "cannot read /no/such/file"),
    ],
)
def test_what_cannot_be_forgotten_is_said(
    configured: Settings, cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    assert said in cli("forget", *arguments, code=2).stderr


class TestClear:
    def test_it_asks(self, filled: Settings, cli: Cli, namespace: str) -> None:
        declined = cli("clear", code=1, input="n\n")
        assert f"Remove 6 entries in namespace {namespace}" in declined.stderr
        assert declined.stderr.endswith("nothing was removed\n") and "entries" not in declined.stdout
        assert known(filled) == DOCUMENTS
        assert "6 entries removed" in cli("clear", input="y\n").stdout
        assert not known(filled)

    def test_without_an_answer_nothing_is_removed(self, filled: Settings, cli: Cli) -> None:
        assert "pass --yes" in cli("clear", code=2, input="").stderr
        assert known(filled) == DOCUMENTS

    def test_ctrl_c_at_the_question_is_no_answer(
        self, filled: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object, **__: object) -> bool:
            """As Typer does: the same error for Ctrl-C as for the end of stdin."""
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                raise Abort from None

        monkeypatch.setattr("typer.confirm", interrupted)
        assert "--yes" not in cli("clear", code=130).stderr
        assert known(filled) == DOCUMENTS

    def test_with_yes_it_does_not_ask(self, filled: Settings, cli: Cli) -> None:
        done = cli("clear", "--yes", "--json")
        assert json.loads(done.stdout)["entries"] == 6
        assert "Remove" not in done.stderr

    def test_an_empty_namespace_is_no_question(self, configured: Settings, cli: Cli) -> None:
        assert "0 entries removed" in cli("clear").stdout

    def test_afterwards_the_cache_works(self, filled: Settings, cli: Cli) -> None:
        cli("clear", "-y")
        fill(filled, "")
        found = json.loads(cli("inspect", "how is the moon far", "--json").stdout)
        assert found["neighbours"][0]["verdict"].startswith("trusted")
