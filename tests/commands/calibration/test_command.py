"""``semcache calibrate``: what a user sees, and what is left behind when it is stopped."""

import json
import random
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console

from semcache.commands import models as models_module
from semcache.commands.calibration.command import calibrate
from semcache.commands.calibration.report import report
from semcache.commands.calibration.run import calibrate_log
from semcache.commands.models import Models
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.settings import Settings
from semcache.settings.yaml_files import load_yaml
from tests.commands.calibration.test_run import OPTIONS, TEXTS, WORDS, Stopping, quiet
from tests.fakes import CountingReranker, WordEmbedder

Use = Callable[[CountingReranker], None]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("SEMCACHE_CONFIG", "SEMCACHE_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    chance = random.Random(5)
    path = tmp_path / "log.jsonl"
    path.write_text(
        "".join(
            json.dumps({"query": " ".join(chance.sample(WORDS, 6)), "documents": chance.sample(TEXTS[:30], 20)}) + "\n"
            for _ in range(60)
        )
    )
    return path


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Makes the command use small models: the reranker given, and an embedder of words."""

    def use(reranker: CountingReranker) -> None:
        monkeypatch.setattr(models_module, "configured_models", lambda settings: Models(WordEmbedder(), reranker))

    return use


def test_stopped_it_says_how_to_go_on_and_then_does(log: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = Stopping(5)
    use(stopped)
    state = log.with_name("kept")
    with pytest.raises(typer.Exit) as exit_:
        calibrate(log, max_pairs=2000, state=state)
    assert exit_.value.exit_code == 130
    assert f"{state}, and the same command goes on" in capsys.readouterr().err
    reranker = CountingReranker()
    use(reranker)
    calibrate(log, max_pairs=2000, json_file=log.with_name("resumed.json"), state=state)
    use(CountingReranker())
    calibrate(log, max_pairs=2000, json_file=log.with_name("whole.json"))
    assert log.with_name("resumed.json").read_text() == log.with_name("whole.json").read_text()
    assert stopped.pairs
    assert not set(stopped.pairs) & set(reranker.pairs)


def test_no_file_is_written_that_was_not_named(log: Path, use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use(CountingReranker())
    calibrate(log, max_pairs=2000)
    use(Stopping(5))
    with pytest.raises(typer.Exit):
        calibrate(log, max_pairs=2000)
    assert "with --state FILE the scores are kept" in capsys.readouterr().err
    assert [path.name for path in log.parent.iterdir()] == [log.name]


def test_the_advice_comes_first_and_can_be_pasted(
    log: Path, use: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(CountingReranker())
    # A budget that everything keeps, so that something is recommended.
    calibrate(log, max_pairs=2000, budget=1.0, json_file=log.with_name("found.json"))
    printed = capsys.readouterr().out
    assert printed.startswith("trust_threshold")
    assert printed.index("For your YAML file:") < printed.index("Trusted: served")
    after = printed.split("For your YAML file:\n")[1]
    yaml_text, rest = after.split("or for the environment:\n")
    variables = dict(line.split("=") for line in rest.split("\n\n")[0].splitlines() if "=" in line)
    (log.parent / "pasted.yaml").write_text(yaml_text)
    values = load_yaml(log.parent / "pasted.yaml")
    by_yaml = Settings(**values)
    by_json = Settings(**json.loads(log.with_name("found.json").read_text())["settings"])
    assert values and (by_yaml.reuse, by_yaml.prune) == (by_json.reuse, by_json.prune)
    for name, value in variables.items():
        monkeypatch.setenv(name.strip(), value.strip())
    assert Settings().reuse == by_yaml.reuse
    assert (Settings().prune.mode, Settings().prune.confidence) == (by_yaml.prune.mode, by_yaml.prune.confidence)
    # In force, there is nothing left to recommend.
    monkeypatch.setenv("SEMCACHE_PRUNE__MODE", "measure")
    use(CountingReranker())
    calibrate(log, max_pairs=2000, budget=1.0)
    assert "reuse:" not in capsys.readouterr().out


def test_table_json_and_plot(
    log: Path, use: Use, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    use(CountingReranker())
    calibrate(log, max_pairs=2000, json_file=log.with_name("found.json"), plot_file=log.with_name("found.png"))
    printed = capsys.readouterr().out
    assert "trust_threshold" in printed and "0.45" in printed and "0.99" in printed
    found = json.loads(log.with_name("found.json").read_text())
    assert [row["threshold"] for row in found["verified"]] == [row["threshold"] for row in found["trusted"]]
    assert log.with_name("found.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_fits_80_columns_and_cuts_nothing(log: Path, tmp_path: Path) -> None:
    from semcache.commands.calibration.log import read_log

    found = calibrate_log(read_log(log), WordEmbedder(), CountingReranker(), OPTIONS, tmp_path / "state", quiet)
    text = StringIO()
    Console(width=80, file=text).print(report(found))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]


def test_a_bad_log_is_reported_before_any_model_is_loaded(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "configured_models", None)
    log.write_text('{"query": "a"}\n')
    with pytest.raises(InvalidInputError, match="line 1"):
        calibrate(log)


@pytest.mark.parametrize("arguments", [{}, {"log": "x", "from_cache": True}])
def test_a_log_or_the_cache_and_not_both(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="--from-cache"):
        calibrate(**arguments)


class TestFromCache:
    @pytest.fixture
    def running(self, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
        monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)

    def test_an_empty_cache_says_where_it_looked(self, running: None, use: Use, namespace: str) -> None:
        use(CountingReranker())
        with pytest.raises(InvalidInputError, match=f"{namespace}.*no entry of counting"):
            calibrate(from_cache=True)

    def test_a_private_server_has_nothing_to_compare(self, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
        use(CountingReranker())
        monkeypatch.setenv("SEMCACHE_REDIS_URL", "embedded")
        with pytest.raises(ConfigurationError, match="embedded"):
            calibrate(from_cache=True)

    @pytest.mark.parametrize("is_kept", [False, True])
    def test_entries_are_compared_without_a_model_call(
        self,
        running: None,
        use: Use,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        is_kept: bool,
    ) -> None:
        from semcache import CachedReranker, RedisSemanticCache
        from semcache.settings import Settings

        monkeypatch.setenv("SEMCACHE_CACHE__STORE_QUERIES", str(is_kept))
        monkeypatch.setenv("SEMCACHE_REUSE__REUSE_THRESHOLD", "0.3")
        monkeypatch.setenv("SEMCACHE_SIMILARITY_THRESHOLD", "0.3")
        settings = Settings()
        cache = RedisSemanticCache(settings.redis.url.get_secret_value(), WordEmbedder(), settings=settings)
        reranker = CountingReranker()
        with CachedReranker(reranker, cache) as cached:
            log = [(" ".join(WORDS[first : first + 5]), TEXTS[:20]) for first in range(6)]
            cached.warm(log)
            asked = len(reranker.pairs)
            use(reranker)
            calibrate(from_cache=True)
        assert len(reranker.pairs) == asked
        printed = " ".join(capsys.readouterr().out.split())
        assert "6 entries" in printed
        assert ("STORE_QUERIES=true" in printed) is not is_kept
        assert ("how can i reset change" in printed) is is_kept
