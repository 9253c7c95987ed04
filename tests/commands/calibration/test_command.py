"""``semcache calibrate``: what a user sees, and what is left behind when it is stopped."""

import json
import random
from io import StringIO

import pytest
import typer
from rich.console import Console

from semcache.commands.calibration import command
from semcache.commands.calibration.command import calibrate
from semcache.commands.calibration.plot import check_plot
from semcache.commands.calibration.report import report
from semcache.commands.calibration.run import calibrate_log
from semcache.errors import ConfigurationError, InvalidInputError
from tests.commands.calibration.test_run import OPTIONS, TEXTS, WORDS, Stopping, quiet
from tests.fakes import CountingReranker, WordEmbedder


@pytest.fixture
def log(tmp_path, monkeypatch):
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
def models(monkeypatch):
    """Makes the command use small models."""

    def use(reranker):
        monkeypatch.setattr(command, "_models", lambda settings: (WordEmbedder(), reranker))
        return reranker

    return use


def test_stopped_it_says_how_to_go_on_and_then_does(log, models, capsys):
    stopped = models(Stopping(5))
    with pytest.raises(typer.Exit) as exit_:
        calibrate(log, max_pairs=2000)
    assert exit_.value.exit_code == 130
    assert "log.jsonl.scores" in capsys.readouterr().err
    reranker = models(CountingReranker())
    calibrate(log, max_pairs=2000, json_file=log.with_name("resumed.json"))
    models(CountingReranker())
    calibrate(log, max_pairs=2000, json_file=log.with_name("whole.json"), state=log.with_name("other"))
    assert log.with_name("resumed.json").read_text() == log.with_name("whole.json").read_text()
    assert stopped.pairs
    assert not set(stopped.pairs) & set(reranker.pairs)


def test_table_json_and_plot(log, models, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    models(CountingReranker())
    calibrate(log, max_pairs=2000, json_file=log.with_name("found.json"), plot_file=log.with_name("found.png"))
    said = capsys.readouterr().out
    assert "trust_threshold" in said and "0.45" in said and "0.99" in said
    found = json.loads(log.with_name("found.json").read_text())
    assert [row["threshold"] for row in found["verified"]] == [row["threshold"] for row in found["trusted"]]
    assert log.with_name("found.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_fits_80_columns_and_cuts_nothing(log, tmp_path):
    from semcache.commands.calibration.log import read_log

    found = calibrate_log(read_log(log), WordEmbedder(), CountingReranker(), OPTIONS, tmp_path / "state", quiet)
    console = Console(width=80, file=StringIO())
    console.print(report(found))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]


def test_a_bad_log_is_told_before_any_model_is_loaded(log, monkeypatch):
    monkeypatch.setattr(command, "_models", None)
    log.write_text('{"query": "a"}\n')
    with pytest.raises(InvalidInputError, match="line 1"):
        calibrate(log)


@pytest.mark.parametrize("arguments", [{}, {"log": "x", "from_cache": True}])
def test_a_log_or_the_cache_and_not_both(arguments):
    with pytest.raises(InvalidInputError, match="--from-cache"):
        calibrate(**arguments)


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path):
    with pytest.raises(ConfigurationError, match="make it first"):
        check_plot(tmp_path / "missing" / "plot.png")


class TestFromCache:
    @pytest.fixture
    def running(self, redis_url, namespace, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
        monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)

    def test_an_empty_cache_says_where_it_looked(self, running, models, namespace):
        models(CountingReranker())
        with pytest.raises(InvalidInputError, match=f"{namespace}.*no entry of counting"):
            calibrate(from_cache=True)

    def test_a_private_server_has_nothing_to_compare(self, models, monkeypatch):
        models(CountingReranker())
        monkeypatch.setenv("SEMCACHE_REDIS_URL", "embedded")
        with pytest.raises(ConfigurationError, match="embedded"):
            calibrate(from_cache=True)

    @pytest.mark.parametrize("is_kept", [False, True])
    def test_entries_are_compared_without_a_model_call(self, running, models, monkeypatch, capsys, is_kept):
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
            models(reranker)
            calibrate(from_cache=True)
        assert len(reranker.pairs) == asked
        said = " ".join(capsys.readouterr().out.split())
        assert "6 entries" in said
        assert ("STORE_QUERIES=true" in said) is not is_kept
        assert ("how can i reset change" in said) is is_kept
