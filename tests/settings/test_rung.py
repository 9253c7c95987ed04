"""Rungs of the ladder: which knobs belong to which kind, and keys that nothing shows."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from semcache.errors import ConfigurationError
from semcache.rerankers.http import DIALECTS
from semcache.settings import Rung, Settings, explain
from semcache.settings.knobs import allowed

SERVICE: dict[str, Any] = {
    "kind": "http",
    "dialect": "tei",
    "url": "https://me:geheim@host:8080/?token=geheim",
    "api_key": "sk-geheim",
}


def test_the_dialects_are_those_that_are_known() -> None:
    assert allowed(Rung.model_fields["dialect"]) == f"one of {', '.join(DIALECTS)} (or none)"


@pytest.mark.parametrize(
    ("rung", "message"),
    [
        ({"kind": "http"}, r"a rung of kind http needs a dialect, such as cohere or tei"),
        ({"kind": "http", "dialect": "coher"}, r"rerankers\.0\.dialect \(constructor\) is 'coher': must be one of"),
        ({"kind": "http", "dialect": "tei", "max_length": 9}, r"takes no max_length; a service cuts"),
        ({"kind": "embedding", "url": "http://h"}, r"kind embedding takes no url; these are for kind http"),
        ({"kind": "auto", "model": "m", "retries": 1}, r"kind auto takes no retries; these are for kind http"),
        ({"kind": "embedding", "model": "m"}, r"kind embedding takes no model, got 'm'"),
        ({"kind": "onnx"}, r"kind onnx needs a model"),
        ({**SERVICE, "timeout_s": 0}, r"rerankers\.0\.timeout_s \(constructor\) is 0: must be a number, more than 0"),
        ({**SERVICE, "concurrency": 0}, r"concurrency \(constructor\) is 0: must be a whole number, at least 1"),
        ({**SERVICE, "retries": -1}, r"retries \(constructor\) is -1: must be a whole number, at least 0"),
        ({**SERVICE, "retries": True}, r"retries \(constructor\) is True"),
        ({**SERVICE, "options": "raw"}, r"options \(constructor\) is 'raw': must be a mapping of names to values"),
    ],
)
def test_a_wrong_rung_is_an_error_that_says_what_is_allowed(rung: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Settings(rerankers=[rung])


def test_a_rung_may_say_that_its_service_is_listwise() -> None:
    assert Settings(rerankers=[{**SERVICE, "listwise": True}]).rerankers[0].listwise is True


@pytest.mark.parametrize(
    "show",
    [repr, str, lambda s: json.dumps(explain(s)[-1].value), lambda s: s.model_dump_json(), lambda s: repr(s.rerankers)],
)
def test_no_display_shows_a_key(show: Callable[[Settings], str]) -> None:
    settings = Settings(rerankers=[SERVICE])
    assert "geheim" not in show(settings)
    assert settings.rerankers[0].api_key is not None
    assert settings.rerankers[0].api_key.get_secret_value() == "sk-geheim"


def test_the_host_of_a_service_is_shown() -> None:
    (shown,) = (line.value for line in explain(Settings(rerankers=[SERVICE])) if line.setting == "rerankers")
    assert shown[0]["url"] == "https://host:8080/"
    assert shown[0]["api_key"] == "***"


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": ""},
        {"api_key": ["sk-geheim"]},
        {"url": ["https://me:geheim@host"]},
        {"dialect": "geheim-not"},
        {"timeout_s": "soon"},
        {"kind": "embedding"},
        {"kind": "htp"},
        {"api_key_": "sk-geheim"},
    ],
)
def test_no_error_shows_a_key(wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    rung = {**SERVICE, **wrong, "dialect": "tei" if "dialect" not in wrong else "te"}
    for ladder in ([rung], [{"kind": "retrieval-order"}, rung]):
        with pytest.raises(ConfigurationError) as caught:
            Settings(rerankers=ladder)
        assert "geheim" not in str(caught.value)
    monkeypatch.setenv("SEMCACHE_RERANKERS", json.dumps([rung])[:-1])
    with pytest.raises(ConfigurationError, match="SEMCACHE_RERANKERS is not valid JSON") as caught:
        Settings()
    assert "geheim" not in str(caught.value)


def test_a_ladder_with_a_service_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_RERANKERS", json.dumps([SERVICE, {"kind": "retrieval-order"}]))
    first, last = Settings().rerankers
    assert first.api_key is not None
    assert (first.dialect, first.api_key.get_secret_value(), last.kind) == ("tei", "sk-geheim", "retrieval-order")
