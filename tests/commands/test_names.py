"""Scopes of rerankers that are known by their answers: found without asking them again."""

import json
import re
from pathlib import Path

import pytest

from semcache import CachedReranker, RedisSemanticCache
from semcache.commands import models as models_module
from semcache.commands.models import Models
from semcache.identity.kinds import IdentifiedBy
from semcache.protocols import FloatArray, Pair
from semcache.settings import Settings
from tests.commands.conftest import DOCUMENTS, QUERIES, Cli
from tests.fakes import CountingReranker, WordEmbedder


class Service(CountingReranker):
    """A reranker whose name says nothing: what it answers to the probes is a part of its identity."""

    identified_by = IdentifiedBy.PROBE

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__("service")
        self._factor = factor

    def score(self, pairs: list[Pair]) -> FloatArray:  # type: ignore[override]
        scores = super().score(pairs)
        return (scores**self._factor).astype("float32")


def remember(settings: Settings, service: Service) -> None:
    cache = RedisSemanticCache.from_settings(settings, embedder=WordEmbedder())
    with CachedReranker(service, cache) as cached:
        cached.warm([(query, DOCUMENTS) for query in QUERIES])


@pytest.fixture
def service(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Service:
    """What the settings name."""
    service = Service()
    monkeypatch.setattr(models_module, "configured_models", lambda settings: Models(WordEmbedder(), service))
    return service


def test_its_entries_are_found_and_carried_without_asking_it(
    configured: Settings, service: Service, cli: Cli, namespace: str, tmp_path: Path
) -> None:
    remember(configured, Service())
    found = json.loads(cli("inspect", QUERIES[0], "--json").stdout)
    assert found["exact"]["known"] == len(DOCUMENTS)
    assert found["reranker"].startswith("service~")
    [scope] = [scope for scope in json.loads(cli("stats", "--json").stdout)["scopes"] if scope["entries"]]
    assert scope["is_configured"] and scope["reranker"] == found["reranker"]
    file = str(tmp_path / "entries")
    cli("export", file)
    assert "0 of 3 entries stored, 3 were there" in cli("import", file).stderr
    # Also where it was never seen: what it answers to the probes will be the same there.
    assert "3 of 3 entries stored" in cli("import", file, "--namespace", f"{namespace}-b").stderr
    with_it = Settings(cache={"namespace": f"{namespace}-b"})
    cache = RedisSemanticCache.from_settings(with_it, embedder=WordEmbedder())
    with CachedReranker(Service(), cache) as cached:
        assert cached.rerank(QUERIES[0], DOCUMENTS).status == "exact"
    assert service.pairs == []


def test_two_of_one_name_are_not_mistaken_for_each_other(
    configured: Settings, service: Service, cli: Cli, tmp_path: Path
) -> None:
    remember(configured, Service())
    remember(configured, Service(0.2))
    scopes = [scope for scope in json.loads(cli("stats", "--json").stdout)["scopes"] if scope["entries"]]
    assert len({scope["reranker"] for scope in scopes}) == 2
    assert "2 services of the name service" in cli("inspect", QUERIES[0], code=3).stderr
    exported, others = cli("export", str(tmp_path / "a")).stderr.splitlines()[-2:]
    assert exported.startswith("3 entries of service~") and others.startswith("not in it: ")
    assert {scope["reranker"] for scope in scopes} == set(re.findall(r"service~[\w-]+", f"{exported} {others}"))


def test_one_that_was_never_seen_is_said(configured: Settings, service: Service, cli: Cli, tmp_path: Path) -> None:
    assert "has never seen this reranker" in cli("inspect", QUERIES[0], code=3).stderr
    assert "there is nothing to export" in cli("export", str(tmp_path / "a"), code=2).stderr
    assert cli("stats").stdout
