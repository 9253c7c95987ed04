"""Settings: precedence, origins, and a readable complaint about every mistake."""

import dataclasses
import json

import pytest
import yaml

from semcache.degradation.breaker import BreakerPolicy
from semcache.errors import ConfigurationError
from semcache.flow.reuse import ReusePolicy
from semcache.settings import Breaker, Cache, Redis, Reuse, Rung, Settings, explain, hidden, template
from semcache.settings.knobs import knobs, reason_of
from semcache.settings.misspelling import did_you_mean, nearest
from semcache.settings.sources import SHORTCUTS, variables
from semcache.settings.yaml_files import load_yaml, schema_path


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch, tmp_path):
    """A directory without .env and an environment without our variables."""
    import os

    for name in [name for name in os.environ if name.upper().startswith("SEMCACHE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def source_of(settings, name):
    return next(line.source for line in explain(settings) if line.setting == name)


class TestOneSourceOfTruth:
    def test_the_packaged_yaml_is_what_the_code_writes(self):
        written = schema_path("pipeline.yaml").read_text()
        assert written == template(Settings), "write it anew by `semcache config --template`"

    def test_the_packaged_yaml_names_every_knob(self):
        said = load_yaml(schema_path("pipeline.yaml"))
        for path, _ in knobs(Settings):
            section = said
            for name in path:
                assert name in section, f"{path} is missing from pipeline.yaml"
                section = section[name]

    def test_defaults_in_yaml_and_code_agree(self, monkeypatch, tmp_path):
        (tmp_path / "empty.yaml").touch()
        from_yaml = Settings().model_dump()
        monkeypatch.setenv("SEMCACHE_CONFIG", "empty.yaml")
        assert Settings().model_dump() == from_yaml

    @pytest.mark.parametrize(("section", "policy"), [(Reuse(), ReusePolicy()), (Breaker(), BreakerPolicy())])
    def test_a_section_agrees_with_the_policy_it_configures(self, section, policy):
        shared = dataclasses.asdict(policy).keys() & section.model_dump().keys()
        assert {name: getattr(section, name) for name in shared} == {name: getattr(policy, name) for name in shared}

    def test_every_knob_has_a_meaning_and_a_reason(self):
        for path, field in [*knobs(Settings), *knobs(Rung)]:
            assert field.description, path
            assert reason_of(field), path

    def test_every_duration_has_its_unit(self):
        for path, field in knobs(Settings):
            assert path[-1].endswith("_s") == ((field.json_schema_extra or {})["unit"] == "s"), path


class TestPrecedence:
    def test_each_source_yields_to_the_stronger_one(self, monkeypatch, tmp_path):
        assert source_of(Settings(), "cache.ttl_s") == "packaged YAML"
        (tmp_path / "mine.yaml").write_text("cache:\n  ttl_s: 1\n")
        monkeypatch.setenv("SEMCACHE_CONFIG", "mine.yaml")
        assert (Settings().cache.ttl_s, source_of(Settings(), "cache.ttl_s")) == (1, "mine.yaml")
        (tmp_path / ".env").write_text("SEMCACHE_TTL=2\nOTHER=3\n")
        assert (Settings().cache.ttl_s, source_of(Settings(), "cache.ttl_s")) == (2, ".env SEMCACHE_TTL")
        monkeypatch.setenv("SEMCACHE_CACHE__TTL_S", "3")
        assert (Settings().cache.ttl_s, source_of(Settings(), "cache.ttl_s")) == (
            3,
            "environment SEMCACHE_CACHE__TTL_S",
        )
        given = Settings(cache={"ttl_s": 4})
        assert (given.cache.ttl_s, source_of(given, "cache.ttl_s")) == (4, "constructor")

    def test_what_a_source_does_not_say_comes_from_below(self, monkeypatch, tmp_path):
        (tmp_path / "mine.yaml").write_text("cache:\n  ttl_s: 1\n  namespace: mine\nreuse:\n")
        monkeypatch.setenv("SEMCACHE_CONFIG", str(tmp_path / "mine.yaml"))
        settings = Settings(cache=Cache(ttl_s=9))
        assert (settings.cache.ttl_s, settings.cache.namespace, settings.cache.neighbours) == (9, "mine", 4)
        assert source_of(settings, "cache.neighbours") == "default"
        assert source_of(settings, "reuse.trust_threshold") == "default"

    def test_the_yaml_can_be_named_in_dotenv(self, tmp_path):
        (tmp_path / "mine.yaml").write_text("cache: {namespace: mine}\n")
        (tmp_path / ".env").write_text("SEMCACHE_CONFIG=mine.yaml\n")
        assert Settings().cache.namespace == "mine"

    def test_a_list_is_replaced_whole(self):
        assert [rung.kind for rung in Settings(rerankers=[{"kind": "embedding"}]).rerankers] == ["embedding"]
        assert Settings(rerankers=[Rung(kind="embedding")]).rerankers == (Rung(kind="embedding"),)

    @pytest.mark.parametrize("value", ["", "  "])
    def test_an_empty_variable_is_not_set(self, monkeypatch, value):
        monkeypatch.setenv("SEMCACHE_TTL", value)
        assert Settings().cache.ttl_s == 3600

    @pytest.mark.parametrize("value", ["none", "null", "None"])
    def test_none_means_no_expiry(self, monkeypatch, value):
        monkeypatch.setenv("SEMCACHE_TTL", value)
        assert Settings().cache.ttl_s is None

    def test_zero_is_a_value(self, monkeypatch):
        monkeypatch.setenv("SEMCACHE_SIMILARITY_THRESHOLD", "0")
        monkeypatch.setenv("SEMCACHE_REUSE__REUSE_THRESHOLD", "-0.5")
        assert (Settings().reuse.trust_threshold, Settings().reuse.reuse_threshold) == (0.0, -0.5)

    def test_the_ladder_can_be_given_as_json(self, monkeypatch):
        monkeypatch.setenv("SEMCACHE_RERANKERS", json.dumps([{"kind": "onnx", "model": "/models/a"}]))
        assert Settings().rerankers == (Rung(kind="onnx", model="/models/a"),)

    @pytest.mark.parametrize(("name", "path"), SHORTCUTS.items())
    def test_every_shortcut_sets_what_it_stands_for(self, monkeypatch, name, path):
        text = {"SEMCACHE_REDIS_URL": "embedded", "SEMCACHE_EMBEDDING_MODEL": "m", "SEMCACHE_NAMESPACE": "n"}.get(name)
        monkeypatch.setenv(name, text or "0.9")
        assert source_of(Settings(), ".".join(path)) == f"environment {name}"

    def test_a_shortcut_and_its_long_name_may_agree(self, monkeypatch):
        monkeypatch.setenv("SEMCACHE_TTL", "60")
        monkeypatch.setenv("SEMCACHE_CACHE__TTL_S", "60.0")
        assert Settings().cache.ttl_s == 60

    def test_every_knob_has_a_variable(self):
        assert {path for path, _ in variables(Settings).values()} == {path for path, _ in knobs(Settings)}

    def test_settings_do_not_change(self):
        with pytest.raises(ValueError, match="frozen"):
            Settings().cache.ttl_s = 5


ENVIRONMENT_MISTAKES = [
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "1.5"}, r"reuse.trust_threshold \(environment .*\) is '1.5': .* at most 1"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "-1.01"}, "at least -1, at most 1"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "nan"}, "is 'nan': must be a number, at least -1, at most 1"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "high"}, "is 'high': must be a number"),
    ({"SEMCACHE_SIMILARITY_THRESHOLD": "none"}, "is 'none': must be a number"),
    (
        {"SEMCACHE_SIMILARITY_THRESHOLD": "0.5"},
        r"trust_threshold 0.5 is below reuse_threshold 0.6; .* \(trust_threshold from environment "
        r"SEMCACHE_SIMILARITY_THRESHOLD, reuse_threshold from packaged YAML\)",
    ),
    ({"SEMCACHE_TTL": "0"}, "is '0': must be more than 0 seconds; for entries that never expire use none"),
    ({"SEMCACHE_TTL": "-5"}, "is '-5': must be more than 0 seconds"),
    ({"SEMCACHE_TTL": "inf"}, "is 'inf': must be a number"),
    ({"SEMCACHE_NAMESPACE": "a b"}, "is 'a b': must match"),
    ({"SEMCACHE_NAMESPACE": "{a}"}, "must match"),
    ({"SEMCACHE_EMBEDDER__BACKEND": "tensor"}, "is 'tensor': must be one of torch, onnx, onnx-int8"),
    ({"SEMCACHE_CACHE__NEIGHBOURS": "0"}, "is '0': must be a whole number, at least 1, at most 64"),
    ({"SEMCACHE_CACHE__NEIGHBOURS": "2.5"}, "is '2.5': must be a whole number"),
    ({"SEMCACHE_CACHE__STORE_QUERIES": "perhaps"}, "is 'perhaps': must be true or false"),
    ({"SEMCACHE_TLL": "5"}, r"SEMCACHE_TLL \(environment\) is not a setting; did you mean SEMCACHE_TTL\?"),
    ({"SEMCACHE_REUSE__TRUST_TRESHOLD": "0.9"}, r"did you mean SEMCACHE_REUSE__TRUST_THRESHOLD\?"),
    ({"SEMCACHE_TRUST_THRESHOLD": "0.9"}, r"did you mean SEMCACHE_REUSE__TRUST_THRESHOLD\?"),
    ({"SEMCACHE_CACHE__TRUST_THRESHOLD": "0.9"}, r"did you mean SEMCACHE_REUSE__TRUST_THRESHOLD\?"),
    ({"SEMCACHE_CONFG": "a.yaml"}, r"did you mean SEMCACHE_CONFIG\?"),
    ({"SEMCACHE_QQQQ": "1"}, "is not a setting; known are: .*SEMCACHE_TTL"),
    ({"semcache_ttl": "5"}, r"semcache_ttl \(environment\) is not a setting; did you mean SEMCACHE_TTL\?"),
    ({"SEMCACHE_MONITOR": "2"}, "is a section; set its members one by one: SEMCACHE_MONITOR__WINDOW_SIZE"),
    (
        {"SEMCACHE_TTL": "5", "SEMCACHE_CACHE__TTL_S": "6"},
        "SEMCACHE_CACHE__TTL_S=6 and SEMCACHE_TTL=5 set the same thing to different values; unset one",
    ),
    ({"SEMCACHE_REDIS_URL": "http://h"}, "is 'http://h': use redis://host:port"),
    ({"SEMCACHE_REDIS_URL": "redis://"}, "use redis://host:port"),
    ({"SEMCACHE_RERANKERS": "[oops"}, "SEMCACHE_RERANKERS is not valid JSON"),
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
    ({"SEMCACHE_REDIS__RETRY_AFTER_S": "60"}, "max_retry_after_s 30.0 is below retry_after_s 60.0"),
]


@pytest.mark.parametrize(("environment", "message"), ENVIRONMENT_MISTAKES)
def test_a_mistake_in_the_environment_names_variable_value_and_remedy(monkeypatch, environment, message):
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
def test_a_mistake_in_the_yaml_names_file_key_and_remedy(monkeypatch, tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setenv("SEMCACHE_CONFIG", "mine.yaml")
    with pytest.raises(ConfigurationError, match=message):
        Settings()


def test_a_mistake_in_the_constructor_says_so():
    with pytest.raises(ConfigurationError, match=r"cache.ttl_s \(constructor\) is -1: must be more than 0 seconds"):
        Settings(cache={"ttl_s": -1})
    with pytest.raises(ConfigurationError, match=r"redis_url \(constructor\) is not a setting; did you mean redis"):
        Settings(redis_url="embedded")


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigurationError) as caught:
        Settings(cache={"ttl_s": -1}, monitor={"window_size": 0})
    assert len(str(caught.value).splitlines()) == 2


def test_the_benchmarks_own_variables_are_left_alone(monkeypatch):
    monkeypatch.setenv("SEMCACHE_BENCH_DATA", "/data")
    assert Settings().cache.namespace == "default"


class TestFormerNames:
    """reuse.max_pairs is now reuse.max_pairs_share: it is a share, and batching.max_pairs is a number of pairs."""

    def test_in_the_environment(self, monkeypatch):
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS", "0.5")
        with pytest.warns(DeprecationWarning, match=r"MAX_PAIRS \(environment\) is now .*_MAX_PAIRS_SHARE"):
            settings = Settings()
        assert settings.reuse.max_pairs_share == 0.5
        assert source_of(settings, "reuse.max_pairs_share") == "environment SEMCACHE_REUSE__MAX_PAIRS"

    def test_in_dotenv(self, tmp_path):
        (tmp_path / ".env").write_text("SEMCACHE_REUSE__MAX_PAIRS=0.5\n")
        with pytest.warns(DeprecationWarning, match="now called SEMCACHE_REUSE__MAX_PAIRS_SHARE"):
            assert Settings().reuse.max_pairs_share == 0.5

    def test_in_yaml(self, monkeypatch, tmp_path):
        (tmp_path / "mine.yaml").write_text("reuse: {max_pairs: 0.5}\n")
        monkeypatch.setenv("SEMCACHE_CONFIG", "mine.yaml")
        with pytest.warns(DeprecationWarning, match=r"max_pairs \(mine.yaml\) is now called max_pairs_share"):
            settings = Settings()
        assert settings.reuse.max_pairs_share == 0.5
        assert source_of(settings, "reuse.max_pairs_share") == "mine.yaml"

    @pytest.mark.parametrize("section", [dict, Reuse])
    def test_in_the_constructor(self, section):
        with pytest.warns(DeprecationWarning, match=r"max_pairs .* is now called max_pairs_share"):
            assert Settings(reuse=section(max_pairs=0.5)).reuse.max_pairs_share == 0.5

    def test_a_stronger_source_wins_under_either_name(self, monkeypatch, tmp_path):
        (tmp_path / "mine.yaml").write_text("reuse: {max_pairs: 0.5}\n")
        monkeypatch.setenv("SEMCACHE_CONFIG", "mine.yaml")
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS_SHARE", "0.25")
        with pytest.warns(DeprecationWarning):
            assert Settings().reuse.max_pairs_share == 0.25

    def test_the_present_name_warns_of_nothing(self, recwarn):
        assert Settings(reuse={"max_pairs_share": 0.5}).reuse.max_pairs_share == 0.5
        assert not recwarn

    def test_a_wrong_value_is_named_with_its_source(self, monkeypatch):
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS", "128")
        message = r"reuse.max_pairs_share \(environment SEMCACHE_REUSE__MAX_PAIRS\) is '128': .* at most 1"
        with pytest.warns(DeprecationWarning), pytest.raises(ConfigurationError, match=message):
            Settings()

    @pytest.mark.parametrize("section", [dict, Reuse])
    def test_both_names_at_once_are_an_error(self, section):
        with pytest.raises(ValueError, match=r"max_pairs is the former name of max_pairs_share.*keep max_pairs_share"):
            Settings(reuse=section(max_pairs=0.5, max_pairs_share=0.5))

    def test_both_variables_must_agree(self, monkeypatch):
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS", "0.5")
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS_SHARE", "0.25")
        with pytest.warns(DeprecationWarning), pytest.raises(ConfigurationError, match="set the same thing"):
            Settings()

    def test_the_batcher_keeps_its_count(self, recwarn):
        assert Settings(batching={"max_pairs": 7}).batching.max_pairs == 7
        assert not recwarn


class TestSecrets:
    URL = "redis://me:pa:ss/w@rd@host:6379/0"

    def test_the_url_is_usable(self):
        assert Settings(redis={"url": self.URL}).redis.url.get_secret_value() == self.URL

    @pytest.mark.parametrize(
        "show", [repr, str, lambda s: str(explain(s)), lambda s: repr(s.redis), lambda s: s.model_dump_json()]
    )
    def test_no_display_shows_the_password(self, show):
        assert "pa:ss" not in show(Settings(redis={"url": self.URL}))

    def test_what_is_not_secret_is_shown(self):
        lines = {line.setting: line.value for line in explain(Settings(redis={"url": self.URL}))}
        assert lines["redis.url"] == "redis://me:***@host:6379/0"

    @pytest.mark.parametrize(
        "environment",
        [
            {"SEMCACHE_REDIS_URL": "http://me:geheim@h"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__URL": "redis://me:geheim@h2"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__TIMEOUT_S": "-1"},
            {"SEMCACHE_REDIS_URL": "redis://me:geheim@h", "SEMCACHE_REDIS__RETRY_AFTER_S": "60"},
        ],
    )
    def test_no_error_shows_the_password(self, monkeypatch, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError) as caught:
            Settings()
        assert "geheim" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://h:1", "redis://h:1"),
            ("redis://:p@h", "redis://:***@h"),
            ("redis://h?password=p&db=1", "redis://h?password=***&db=1"),
            ("unix:///tmp/s.sock", "unix:///tmp/s.sock"),
            ("embedded", "embedded"),
            ("rediss://u@h", "rediss://u@h"),
        ],
    )
    def test_only_the_password_is_hidden(self, url, shown):
        assert hidden(url) == shown

    def test_a_section_alone_hides_it_too(self):
        assert "pa:ss" not in repr(Redis(url=self.URL))


class TestMisspelling:
    def test_the_same_last_word_elsewhere_wins(self):
        assert nearest("cache.probes", ["cache.ttl_s", "breaker.probes"]) == "breaker.probes"

    def test_nothing_near_lists_all(self):
        assert did_you_mean("zzz", ["b", "a"]) == "known are: a, b"


def test_the_template_is_yaml_that_says_the_defaults():
    assert yaml.safe_load(template(Settings))["reuse"]["trust_threshold"] == 0.97
