"""A namespace with small models and some entries, as commands find it."""

from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from semcache import CachedReranker, RedisSemanticCache
from semcache.commands import models as models_module
from semcache.commands.app import app
from semcache.commands.models import Models
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

DOCUMENTS = [
    f"a passage about {word} and {word}s" for word in ["moon", "car", "pie", "wind", "river", "tower", "zoo", "park"]
]
QUERIES = ("how far is the moon", "how far is the moon away", "where is the zoo")

Cli = Callable[..., Any]


@pytest.fixture
def configured(redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a namespace of the test's own, with an embedder of words and a reranker that counts."""
    monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
    monkeypatch.setenv("SEMCACHE_REUSE__AUDIT_RATE", "0")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(models_module, "configured_models", lambda settings: Models(WordEmbedder(), CountingReranker()))
    return Settings()


def fill(settings: Settings, *tenants: str) -> None:
    """Rerank the queries for tenants."""
    with CachedReranker(CountingReranker(), RedisSemanticCache.from_settings(settings, embedder=WordEmbedder())) as it:
        for tenant in tenants:
            it.warm([(query, DOCUMENTS) for query in QUERIES], tenant=tenant)


@pytest.fixture
def filled(configured: Settings) -> Settings:
    """``configured``, with the queries remembered for the default tenant and for shop-a."""
    fill(configured, "", "shop-a")
    return configured


@pytest.fixture
def cli() -> Cli:
    """Runs a command in this process."""

    def cli(*arguments: str, code: int = 0, **options: Any) -> Any:
        done = CliRunner().invoke(app, arguments, **options)
        assert done.exit_code == code, done.output
        return done

    return cli
