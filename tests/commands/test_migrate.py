"""``semcache migrate``: status, run and clean, as a user types them."""

import json
import signal
from typing import Any

import pytest
from typer.testing import CliRunner

from semcache.cached import CachedReranker
from semcache.commands.app import app
from semcache.settings import Settings
from tests.fakes import WordEmbedder
from tests.migration.conftest import DOCUMENTS, LetterEmbedder, reranker_of


@pytest.fixture
def migrate(redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> "Migrate":
    """The command on a namespace with three entries of the former embedder."""

    def opened(settings: Settings) -> CachedReranker:
        return reranker_of(redis_url, namespace, LetterEmbedder(), migrate_from=WordEmbedder())

    monkeypatch.setattr("semcache.commands.migrate.opened", opened)
    with reranker_of(redis_url, namespace, WordEmbedder()) as before:
        for query in ("one", "two", "three"):
            before.rerank(query, DOCUMENTS, 3)
    return Migrate()


class Migrate:
    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["migrate", *arguments])
        assert done.exit_code == code, done.output
        return done.output

    def values(self, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(CliRunner().invoke(app, ["migrate", *arguments, "--json"]).stdout))


def test_from_the_beginning_to_the_end(migrate: Migrate) -> None:
    assert "0 entries, 3 in" in migrate() and "nothing is moved yet" in migrate("status")
    assert "3 entries, 3 in" in migrate("run")
    assert "all that was there is moved" in migrate()
    assert "the former entries are removed" in migrate("clean")


def test_json(migrate: Migrate) -> None:
    (scope, *_) = migrate.values("run")["scopes"]
    assert (scope["entries"], scope["state"]["embedded"], scope["is_running"]) == (3, 3, False)
    assert scope["state"]["finished_at"] > 0
    assert migrate.values("clean")["removed_keys"] >= 6


def test_cleaning_before_a_run_is_refused(migrate: Migrate) -> None:
    assert "not all moved yet" in migrate("clean", code=2)
    assert "the former entries are removed" in migrate("clean", "--force")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_stopped(migrate: Migrate, monkeypatch: pytest.MonkeyPatch, stop: signal.Signals) -> None:
    def interrupted(*_: object) -> None:
        signal.raise_signal(stop)

    with monkeypatch.context() as patch:
        patch.setattr("semcache.migration.carrier.Carrier.carry", interrupted)
        assert "the same command goes on" in migrate("run", code=130)
    assert "all that was there is moved" in migrate("run")


def test_without_a_former_embedder(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
    done = CliRunner().invoke(app, ["migrate"])
    assert done.exit_code == 3 and "migration.from_model is not set" in done.output
    monkeypatch.setenv("SEMCACHE_REDIS_URL", "embedded")
    assert "a new private server is empty" in CliRunner().invoke(app, ["migrate"]).output
