"""Every mistake in a setting is an error that names the setting, its source, its value and the remedy."""

from pathlib import Path

import pytest

from semcache.errors import ConfigurationError
from semcache.settings import Settings

ENVIRONMENT_MISTAKES = [
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "1.5"}, r"reuse.trust_threshold \(environment .*\) is '1.5': .* at most 1"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "-1.01"}, "at least -1, at most 1"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "nan"}, "is 'nan': must be a number, at least -1, at most 1"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "high"}, "is 'high': must be a number"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "none"}, "is 'none': must be a number"),
    (
        {"SEMCACHE_SIMILARITY_THRESHOLD": "0.5"},
        r"trust_threshold 0.5 is below reuse_threshold 0.8; .* \(trust_threshold from environment "
        r"SEMCACHE_SIMILARITY_THRESHOLD, reuse_threshold from packaged YAML\)",
    ),
    (
        {"SEMCACHE_TTL": "0"},
        "is '0': must be more than 0 seconds and at most .*; for entries that never expire use none",
    ),
    ({"SEMCACHE_TTL": "1e18"}, r"is '1e18': .*at most 315360000 \(ten years\)"),
    ({"SEMCACHE_TTL": "-5"}, "is '-5': must be more than 0 seconds"),
    ({"SEMCACHE_TTL": "inf"}, "is 'inf': must be a number"),
    ({"SEMCACHE_NAMESPACE": "a b"}, "is 'a b': must match"),
    ({"SEMCACHE_NAMESPACE": "{a}"}, "must match"),
    ({"SEMCACHE_EMBEDDER__BACKEND": "tensor"}, "is 'tensor': must be one of auto, torch, onnx, onnx-int8"),
    ({"SEMCACHE_CACHE__NEIGHBOURS": "0"}, "is '0': must be a whole number, at least 1, at most 64"),
    ({"SEMCACHE_CACHE__NEIGHBOURS": "2.5"}, "is '2.5': must be a whole number"),
    ({"SEMCACHE_CACHE__STORE_QUERIES": "perhaps"}, "is 'perhaps': must be true or false"),
    ({"SEMCACHE_TLL": "5"}, r"SEMCACHE_TLL \(environment\) is not a setting; did you mean SEMCACHE_TTL\?"),
    ({"SEMCACHE_REUSE__TRUST_TRESHOLD": "0.9"}, r"did you mean SEMCACHE_REUSE__TRUST_THRESHOLD\?"),
    ({"SEMCACHE_TRUST_THRESHOLD": "0.9"}, r"did you mean SEMCACHE_REUSE__TRUST_THRESHOLD\?"),
    ({"SEMCACHE_CACHE__TRUST_THRESHOLD": "0.9"}, r"did you mean SEMCACHE_REUSE__TRUST_THRESHOLD\?"),
    ({"SEMCACHE_CONFG": "a.yaml"}, r"did you mean SEMCACHE_CONFIG\?"),
    ({"SEMCACHE_QQQQ": "1"}, "is not a setting; semcache config lists the"),
    ({"semcache_ttl": "5"}, r"semcache_ttl \(environment\) is not a setting; did you mean SEMCACHE_TTL\?"),
    ({"SEMCACHE_MONITOR": "2"}, "is a section; set its members one by one: SEMCACHE_MONITOR__WINDOW_SIZE"),
    (
        {"SEMCACHE_TTL": "5", "SEMCACHE_CACHE__TTL_S": "6"},
        "SEMCACHE_CACHE__TTL_S=6 and SEMCACHE_TTL=5 set the same thing to different values; unset one",
    ),
    ({"SEMCACHE_REDIS_URL": "http://h"}, "is 'http://h': use redis://host:port"),
    ({"SEMCACHE_REDIS_URL": "redis://"}, "use redis://host:port"),
    ({"SEMCACHE_RERANKERS": "[oops"}, "SEMCACHE_RERANKERS is not valid JSON"),
    ({"SEMCACHE_RERANKERS": "[" * 100_000}, "SEMCACHE_RERANKERS is not valid JSON: maximum recursion depth exceeded"),
    ({"SEMCACHE_RERANKERS": "onnx"}, "is 'onnx': must be a list"),
    ({"SEMCACHE_RERANKERS": "[]"}, r"is \[\]: must name at least one reranker"),
    ({"SEMCACHE_RERANKERS": '[{"kind": "onx"}]'}, "rerankers.0.kind .* is 'onx': must be one of auto, onnx"),
    ({"SEMCACHE_RERANKERS": '[{"knd": "onnx"}]'}, r"rerankers.0.knd .* did you mean rerankers.0.kind\?"),
    ({"SEMCACHE_RERANKERS": '[{"kind": "onnx"}]'}, "a rung of kind onnx needs a model"),
    ({"SEMCACHE_RERANKERS": '[{"kind": "embedding", "model": "m"}]'}, "takes no model, got 'm'; remove it"),
    (
        {"SEMCACHE_RERANKERS": '[{"kind": "retrieval-order"}, {"kind": "embedding"}]'},
        "no rung below it is ever asked; put it last",
    ),
    ({"SEMCACHE_CONFIG": "nowhere.yaml"}, "cannot read nowhere.yaml"),
    ({"SEMCACHE_BREAKER__MAX_OPEN_S": "1"}, "max_open_s 1.0 is below open_s 5.0"),
    ({"SEMCACHE_MONITOR__WINDOW_SIZE": "5"}, "min_samples 20 is above window_size 5"),
    ({"SEMCACHE_REDIS__RETRY_AFTER_S": "60"}, "max_retry_after_s 5.0 is below retry_after_s 60.0"),
]


@pytest.mark.parametrize(("environment", "message"), ENVIRONMENT_MISTAKES)
def test_a_mistake_in_the_environment_names_variable_value_and_remedy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=message):
        Settings()


YAML_MISTAKES = [
    ("reuze: {trust_threshold: 0.9}", r"reuze \(mine.yaml\) is not a setting; did you mean reuse\?"),
    ("cache: {ttl: 5}", r"cache.ttl \(mine.yaml\) is not a setting; did you mean cache.ttl_s\?"),
    ("cache: {trust_threshold: 0.9}", r"did you mean reuse.trust_threshold\?"),
    ("trust_threshold: 0.9", r"did you mean reuse.trust_threshold\?"),
    ("cache: 5", r"cache \(mine.yaml\) must be a mapping of names to values"),
    ("cache: {ttl_s: yes}", "cache.ttl_s .* is True: must be a number"),
    ("cache: {ttl_s: 0}", "cache.ttl_s .* is 0: must be more than 0 seconds"),
    ("reuse: {trust_threshold: .nan}", "is nan: must be a number, at least -1, at most 1"),
    ("rerankers: [5]", r"rerankers.0 \(mine.yaml\) must be a mapping"),
]


@pytest.mark.parametrize(("text", "message"), YAML_MISTAKES)
def test_a_mistake_in_the_yaml_names_file_key_and_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setenv("SEMCACHE_CONFIG", "mine.yaml")
    with pytest.raises(ConfigurationError, match=message):
        Settings()


def test_a_mistake_in_the_constructor_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"cache.ttl_s \(constructor\) is -1: must be more than 0 seconds"):
        Settings(cache={"ttl_s": -1})
    with pytest.raises(ConfigurationError, match=r"redis_url \(constructor\) is not a setting; did you mean redis"):
        Settings(redis_url="embedded")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(cache={"ttl_s": -1}, monitor={"window_size": 0})
    assert len(str(caught.value).splitlines()) == 2
