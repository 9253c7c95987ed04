"""Settings from constructor, environment, .env and YAML: which one wins, and where each value came from."""

import json
from pathlib import Path

import pytest

from semcache.errors import ConfigurationError
from semcache.settings import Cache, Reuse, Rung, Settings
from semcache.settings.knobs import knobs
from semcache.settings.sources import SHORTCUTS, variables
from tests.settings.source_of import source_of


class TestPrecedence:
    def test_each_source_yields_to_the_stronger_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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

    def test_what_a_source_does_not_say_comes_from_below(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("cache:\n  ttl_s: 1\n  namespace: mine\nreuse:\n")
        monkeypatch.setenv("SEMCACHE_CONFIG", str(tmp_path / "mine.yaml"))
        settings = Settings(cache=Cache(ttl_s=9))
        assert (settings.cache.ttl_s, settings.cache.namespace, settings.cache.neighbours) == (9, "mine", 4)
        assert source_of(settings, "cache.neighbours") == "default"
        assert source_of(settings, "reuse.trust_threshold") == "default"

    def test_the_yaml_can_be_named_in_dotenv(self, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("cache: {namespace: mine}\n")
        (tmp_path / ".env").write_text("SEMCACHE_CONFIG=mine.yaml\n")
        assert Settings().cache.namespace == "mine"

    def test_what_stands_in_the_place_of_a_list_names_its_own_source(self) -> None:
        with pytest.raises(ConfigurationError, match=r"rerankers \(constructor\) is dict: must be a list"):
            Settings(rerankers={"kind": "onnx", "model": "m"})
        with pytest.raises(ConfigurationError, match=r"redis \(constructor\) must be a mapping"):
            Settings(redis="redis://h")

    def test_a_list_is_replaced_whole(self) -> None:
        assert [rung.kind for rung in Settings(rerankers=[{"kind": "embedding"}]).rerankers] == ["embedding"]
        assert Settings(rerankers=[Rung(kind="embedding")]).rerankers == (Rung(kind="embedding"),)

    @pytest.mark.parametrize("value", ["", "  "])
    def test_an_empty_variable_is_not_set(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("SEMCACHE_TTL", value)
        assert Settings().cache.ttl_s == 3600

    @pytest.mark.parametrize("value", ["none", "null", "None"])
    def test_none_means_no_expiry(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("SEMCACHE_TTL", value)
        assert Settings().cache.ttl_s is None

    def test_zero_is_a_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_SIMILARITY_THRESHOLD", "0")
        monkeypatch.setenv("SEMCACHE_REUSE__REUSE_THRESHOLD", "-0.5")
        assert (Settings().reuse.trust_threshold, Settings().reuse.reuse_threshold) == (0.0, -0.5)

    def test_the_ladder_can_be_given_as_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_RERANKERS", json.dumps([{"kind": "onnx", "model": "/models/a"}]))
        assert Settings().rerankers == (Rung(kind="onnx", model="/models/a"),)

    @pytest.mark.parametrize(("name", "path"), SHORTCUTS.items())
    def test_every_shortcut_sets_what_it_stands_for(
        self, monkeypatch: pytest.MonkeyPatch, name: str, path: tuple[str, ...]
    ) -> None:
        text = {"SEMCACHE_REDIS_URL": "embedded", "SEMCACHE_EMBEDDING_MODEL": "m", "SEMCACHE_NAMESPACE": "n"}.get(name)
        monkeypatch.setenv(name, text or "0.9")
        assert source_of(Settings(), ".".join(path)) == f"environment {name}"

    def test_a_shortcut_and_its_long_name_may_agree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_TTL", "60")
        monkeypatch.setenv("SEMCACHE_CACHE__TTL_S", "60.0")
        assert Settings().cache.ttl_s == 60

    def test_every_knob_has_a_variable(self) -> None:
        assert {path for path, _ in variables(Settings).values()} == {path for path, _ in knobs(Settings)}

    def test_settings_do_not_change(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().cache.ttl_s = 5


def test_the_benchmarks_own_variables_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMCACHE_BENCH_DATA", "/data")
    assert Settings().cache.namespace == "default"


class TestFormerNames:
    """reuse.max_pairs is now reuse.max_pairs_share: a share; batching.max_batch_pairs is a number of pairs."""

    def test_in_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS", "0.5")
        with pytest.warns(DeprecationWarning, match=r"MAX_PAIRS \(environment\) is now .*_MAX_PAIRS_SHARE"):
            settings = Settings()
        assert settings.reuse.max_pairs_share == 0.5
        assert source_of(settings, "reuse.max_pairs_share") == "environment SEMCACHE_REUSE__MAX_PAIRS"

    def test_in_dotenv(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("SEMCACHE_REUSE__MAX_PAIRS=0.5\n")
        with pytest.warns(DeprecationWarning, match="now called SEMCACHE_REUSE__MAX_PAIRS_SHARE"):
            assert Settings().reuse.max_pairs_share == 0.5

    def test_in_yaml(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("reuse: {max_pairs: 0.5}\n")
        monkeypatch.setenv("SEMCACHE_CONFIG", "mine.yaml")
        with pytest.warns(DeprecationWarning, match=r"max_pairs \(mine.yaml\) is now called max_pairs_share"):
            settings = Settings()
        assert settings.reuse.max_pairs_share == 0.5
        assert source_of(settings, "reuse.max_pairs_share") == "mine.yaml"

    @pytest.mark.parametrize("section", [dict, Reuse])
    def test_in_the_constructor(self, section: type) -> None:
        with pytest.warns(DeprecationWarning, match=r"max_pairs .* is now called max_pairs_share"):
            assert Settings(reuse=section(max_pairs=0.5)).reuse.max_pairs_share == 0.5

    def test_a_stronger_source_wins_under_either_name(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("reuse: {max_pairs: 0.5}\n")
        monkeypatch.setenv("SEMCACHE_CONFIG", "mine.yaml")
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS_SHARE", "0.25")
        with pytest.warns(DeprecationWarning):
            assert Settings().reuse.max_pairs_share == 0.25

    def test_the_present_name_warns_of_nothing(self, recwarn: pytest.WarningsRecorder) -> None:
        assert Settings(reuse={"max_pairs_share": 0.5}).reuse.max_pairs_share == 0.5
        assert not recwarn

    def test_a_wrong_value_is_named_with_its_source(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS", "128")
        message = r"reuse.max_pairs_share \(environment SEMCACHE_REUSE__MAX_PAIRS\) is '128': .* at most 1"
        with pytest.warns(DeprecationWarning), pytest.raises(ConfigurationError, match=message):
            Settings()

    @pytest.mark.parametrize("section", [dict, Reuse])
    def test_both_names_at_once_are_an_error(self, section: type) -> None:
        with pytest.raises(ValueError, match=r"max_pairs is the former name of max_pairs_share.*keep max_pairs_share"):
            Settings(reuse=section(max_pairs=0.5, max_pairs_share=0.5))

    def test_both_variables_must_agree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS", "0.5")
        monkeypatch.setenv("SEMCACHE_REUSE__MAX_PAIRS_SHARE", "0.25")
        with pytest.warns(DeprecationWarning), pytest.raises(ConfigurationError, match="set the same thing"):
            Settings()

    def test_the_batcher_keeps_its_count(self, recwarn: pytest.WarningsRecorder) -> None:
        assert Settings(batching={"max_batch_pairs": 7}).batching.max_batch_pairs == 7
        assert not recwarn
