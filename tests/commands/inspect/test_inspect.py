"""``semcache inspect`` on a real Redis: it foretells what a request gets, and changes nothing."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from semcache import CachedReranker, RedisSemanticCache
from semcache.commands import models as models_module
from semcache.commands.inspect.documents import read_documents
from semcache.commands.inspect.sight import Answer, inspect_query
from semcache.commands.models import Models
from semcache.entries.fingerprint import document_fingerprints, entry_id
from semcache.errors import InvalidInputError
from semcache.pruning.earlier import standardised
from semcache.pruning.features import features
from semcache.pruning.statistics import Statistics
from semcache.quality.pruning import Pruning
from semcache.quality.trust import Trust
from semcache.redis.client.connection import RedisConnection
from semcache.redis.earlier import Taught
from semcache.redis.pruning_state import PruningStore
from semcache.redis.quality_state import QualityStore
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.commands.conftest import DOCUMENTS, QUERIES, Cli, fill
from tests.fakes import CountingReranker, WordEmbedder

NEW = "a passage that is new"


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def connection(redis_url: str) -> Iterator[RedisConnection]:
    with RedisConnection(redis_url, timeout_s=10) as connection:
        yield connection


def everything(client: redis.Redis, namespace: str) -> dict[bytes, Any]:
    """All keys of a namespace with their bytes and the time at which they end, and the indexes of the server."""
    keys: Any = client.keys(f"semcache:{namespace}:*")
    found = {key: (client.dump(key), client.execute_command("PEXPIRETIME", key)) for key in keys}
    return {**found, b"indexes": sorted(client.execute_command("FT._LIST"))}


def fill_one(settings: Settings, query: str, documents: list[str]) -> None:
    with CachedReranker(CountingReranker(), RedisSemanticCache.from_settings(settings, embedder=WordEmbedder())) as it:
        it.warm([(query, documents)])


def answer(settings: Settings, query: str, documents: list[str], tenant: str = "") -> Answer:
    with RedisConnection(settings.redis.url.get_secret_value(), timeout_s=10) as connection:
        found = inspect_query(settings, connection, query, tenant, documents, 2, 5)
    assert found.answer is not None
    return found.answer


@pytest.mark.parametrize(
    ("query", "documents", "tenant", "status", "asked"),
    [
        (QUERIES[0], DOCUMENTS, "", "exact", 0),
        (QUERIES[0], DOCUMENTS, "shop-a", "exact", 0),
        (QUERIES[0], DOCUMENTS, "shop-b", "fresh", 8),
        (QUERIES[2], [*DOCUMENTS, NEW], "", "partial", 1),
        ("how far  is the moon", DOCUMENTS, "", "exact", 0),
        ("how is the moon far", DOCUMENTS, "", "semantic", 0),
        ("is the moon not far", DOCUMENTS, "", "verified", 4),
        ("something else entirely", DOCUMENTS, "", "fresh", 8),
    ],
)
def test_a_request_gets_what_was_foretold(
    filled: Settings, query: str, documents: list[str], tenant: str, status: str, asked: int
) -> None:
    foretold = answer(filled, query, documents, tenant)
    assert (foretold.status, foretold.asked) == (status, asked)
    with CachedReranker(CountingReranker(), RedisSemanticCache.from_settings(filled, embedder=WordEmbedder())) as it:
        ranking = it.rerank(query, documents, 2, tenant=tenant)
    assert ranking.status == foretold.status
    assert ranking.asked >= foretold.asked
    if ranking.status != "verified":
        assert (ranking.asked, ranking.why) == (foretold.asked, foretold.why)


MANY = [f"passage {number}" for number in range(30)]


@pytest.fixture
def learned(
    configured: Settings, connection: RedisConnection, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A namespace where pruning is on and in force, by what documents scored for earlier queries alone."""
    monkeypatch.setenv("SEMCACHE_PRUNE__MODE", "on")
    monkeypatch.setenv("SEMCACHE_PRUNE__EXPLORE", "0")
    monkeypatch.setenv("SEMCACHE_PRUNE__MAX_ROUNDS", "1")
    settings, rng = Settings(), np.random.default_rng(7)
    fill(settings)
    better = standardised(np.array([number % 15 for number in range(30)], dtype=float))
    sums = Statistics.empty()
    for _ in range(40):
        order = rng.permutation(30)
        sums += Statistics.of(features("q", [MANY[place] for place in order], earlier=better[order]), better[order])
    store = PruningStore(connection, namespace, "counting", "words")
    store.add_sums(sums)
    store.change(store.read(), Pruning(2.0, "pruning costs less than the budget"))
    with RedisSemanticCache.from_settings(settings, embedder=WordEmbedder(), reranker="counting") as cache:
        fingerprints = document_fingerprints(MANY)
        cache.store.add_earlier("", [Taught(entry_id("", f"q{n}"), fingerprints, better) for n in range(30)], 1000)
    return settings


def test_pruning_is_foretold_with_what_is_kept_of_documents(learned: Settings) -> None:
    foretold = answer(learned, "something new", MANY)
    assert foretold.status == "pruned" and 2 <= foretold.asked < 12
    with CachedReranker(CountingReranker(), RedisSemanticCache.from_settings(learned, embedder=WordEmbedder())) as it:
        assert it.audit.drain(30)
        ranking = it.rerank("something new", MANY, 2)
        stranger = it.rerank("something new", MANY, 2, tenant="another")
    assert (ranking.status, ranking.asked, ranking.why) == ("pruned", foretold.asked, foretold.why)
    assert answer(learned, "something else", MANY, "another").asked == stranger.asked > ranking.asked


def test_why_nothing_is_pruned_yet_is_foretold(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_PRUNE__MODE", "on")
    fill(Settings(), "")
    assert answer(Settings(), "something new", MANY).why.endswith("pruning: too little is known yet")


def test_no_more_neighbours_help_than_a_request_looks_at(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_CACHE__NEIGHBOURS", "1")
    # The nearest entry is that of the query itself, which knows none of these documents.
    fill_one(Settings(), "where is the zoo", [NEW])
    fill_one(Settings(), "where is the park zoo", [NEW])
    assert answer(Settings(), "where is the zoo park", DOCUMENTS).why.startswith("nothing shared")


def test_nothing_is_changed(filled: Settings, cli: Cli, client: redis.Redis, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(DOCUMENTS))
    # One entry is damaged, which a request would remove.
    key = next(client.scan_iter(match=f"semcache:{namespace}:*:s:*"))
    client.setrange(key, 30, b"xxxx")
    before = everything(client, namespace)
    shown = ""
    for query in (*QUERIES, "how is the moon far", "never asked"):
        for tenant in ("", "shop-a", "shop-c"):
            shown += cli("inspect", query, "--tenant", tenant, "--documents", str(file)).stdout
    assert everything(client, namespace) == before
    assert "damaged (scores: check)" in shown


def test_of_an_empty_namespace(configured: Settings, cli: Cli, client: redis.Redis, namespace: str) -> None:
    shown = cli("inspect", "how far is the moon").stdout
    assert shown.startswith("fresh: nothing that could help is remembered")
    assert not client.keys(f"semcache:{namespace}:*")


def test_what_is_shown_of_a_near_entry(filled: Settings, cli: Cli) -> None:
    found = json.loads(cli("inspect", "how is the moon far", "--json").stdout)
    nearest = found["neighbours"][0]
    assert nearest["similarity"] == pytest.approx(1)
    assert nearest["known"] == len(DOCUMENTS)
    assert 0 <= nearest["age_s"] < 60 and 3000 < nearest["left_s"] < 4400
    assert nearest["query"] is None
    assert (nearest["guard"], nearest["verdict"]) == (None, "trusted: its scores are served")
    assert found["thresholds"] == {
        "trust": 0.97, "configured": 0.97, "reuse": 0.8, "guard": "facts", "trust_exact": True, "reason": "",
    }  # fmt: skip
    shown = cli("inspect", "how is the moon far").stdout
    assert shown.startswith("semantic for any of the 8 documents")
    assert max(map(len, shown.splitlines())) <= 80


def test_the_guards_reason_is_shown(filled: Settings, cli: Cli) -> None:
    assert "guard: negation" in cli("inspect", "how far is not the moon").stdout


def test_stored_queries_are_shown(configured: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_CACHE__STORE_QUERIES", "true")
    fill(Settings(), "")
    assert "'how far is the moon'" in cli("inspect", "how is the moon far").stdout


def test_trust_that_was_withdrawn_is_in_force(
    filled: Settings, cli: Cli, connection: RedisConnection, namespace: str
) -> None:
    store = QualityStore(connection, namespace, "counting", "words")
    store.change(store.read(), Trust(near=0.99, reason="near queries cost more than the budget"))
    shown = " ".join(cli("inspect", "how is the moon far").stdout.split())
    assert "trusted from 0.99 (0.97 in the settings; near queries cost more than the budget)" in shown


def test_of_signed_entries(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_CACHE__SIGNING_KEY", "a secret of more than sixteen letters")
    signed = Settings()
    fill(signed, "")
    assert answer(signed, QUERIES[0], DOCUMENTS).status == "exact"
    assert answer(configured, QUERIES[0], DOCUMENTS).status == "fresh"


def test_on_a_cluster(configured: Settings, cluster: EmbeddedRedis, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_REDIS_URL", cluster.url)
    fill(Settings(), "", "shop-a")
    for tenant in ("", "shop-a"):
        found = json.loads(cli("inspect", "how is the moon far", "--tenant", tenant, "--json").stdout)
        assert len(found["neighbours"]) == len(QUERIES)
        assert found["neighbours"][0]["verdict"].startswith("trusted")


def test_no_model_of_the_reranker_is_called(configured: Settings, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = CountingReranker()
    monkeypatch.setattr(models_module, "configured_models", lambda settings: Models(WordEmbedder(), reranker))
    cli("inspect", "how far is the moon")
    assert reranker.pairs == []


class TestDocuments:
    @pytest.mark.parametrize(
        "text", ['["a red car", {"text": "the moon"}]', "a red car\n\nthe moon\n", '\n [ "a red car", "the moon"]']
    )
    def test_a_json_list_or_lines(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "a").write_text(text)
        assert read_documents(tmp_path / "a") == ["a red car", "the moon"]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "holds no documents"),
            (b"[1", "not JSON"),
            (b"\xff\xfe", "not UTF-8"),
            (None, "cannot read"),
        ],
    )
    def test_what_is_wrong_is_named(self, tmp_path: Path, content: bytes | None, said: str) -> None:
        if content is not None:
            (tmp_path / "a").write_bytes(content)
        with pytest.raises(InvalidInputError, match=said):
            read_documents(tmp_path / "a")
