"""``semcache breaker``: one command for all processes of a namespace."""

import json

import pytest
import redis
from typer.testing import CliRunner

from semcache.commands.app import app


@pytest.fixture
def breaker(redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> "Breaker":
    monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
    monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
    return Breaker(redis_url, namespace)


class Breaker:
    """The command, and the key that it writes."""

    def __init__(self, url: str, namespace: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.key = f"semcache:{namespace}:breaker"
        self.namespace = namespace

    def __call__(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, ["breaker", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    def stored(self) -> dict[str, object]:
        return dict(json.loads(self.client.get(self.key)))  # type: ignore[arg-type]


def test_without_a_decision_the_breakers_decide(breaker: Breaker) -> None:
    assert breaker() == f"{breaker.namespace}: no decision; each process's breaker decides\n"
    assert breaker.client.get(breaker.key) is None


def test_open_takes_the_primary_out_of_service(breaker: Breaker) -> None:
    shown = breaker("open", "--reason", "new model")
    assert "forced-open since" in shown
    assert "(new model)" in shown
    assert (breaker.stored()["state"], breaker.stored()["reason"]) == ("forced-open", "new model")
    assert breaker("status") == shown


def test_a_decision_may_end_by_itself(breaker: Breaker) -> None:
    assert " until " in breaker("disable", "--for", "60")
    assert breaker.stored()["state"] == "disabled"
    assert breaker.stored()["reason"] == "semcache breaker disable"
    assert 55_000 < int(breaker.client.pttl(breaker.key)) <= 60_000  # type: ignore[arg-type]


def test_reset_ends_it(breaker: Breaker) -> None:
    breaker("open")
    assert "each process's breaker decides" in breaker("reset")
    assert breaker.stored()["state"] == "reset"


def test_of_another_namespace(breaker: Breaker) -> None:
    breaker("open", "--namespace", f"{breaker.namespace}-b")
    assert breaker.client.get(breaker.key) is None


@pytest.mark.parametrize("arguments", [["close"], ["open", "--for", "0"]])
def test_a_wrong_argument_is_named(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["breaker", *arguments])
    assert done.exit_code == 2
    assert "Error" in done.output
