"""A whole measurement: its timings and its report, and that nothing of it is left in Redis however it ends."""

from io import StringIO
from pathlib import Path

import pytest
import redis
from rich.console import Console

from semcache.commands.bench import namespace as namespace_module
from semcache.commands.bench.report import report
from semcache.commands.bench.result import BenchOptions, BenchResult
from semcache.commands.bench.run import run_bench
from semcache.commands.demo.corpus import load_corpus
from semcache.commands.models import Models
from semcache.errors import StoreError, StoreUnavailableError
from semcache.redis.client.connection import RedisConnection
from semcache.settings import Settings
from tests.fakes import CountingOrder, CountingReranker, WordEmbedder

TINY = BenchOptions(entries=30, documents=5, seconds=0.02)
LOOK_UPS = {"ping", "get", "exact_hit", "semantic_hit", "miss", "neighbours", "exact_request"}


def printed(result: BenchResult) -> str:
    text = StringIO()
    Console(width=80, file=text).print(report(result))
    return text.getvalue()


class TestRun:
    def test_without_models(self, settings: Settings, unchanged: None) -> None:
        found = run_bench(TINY, settings, None)
        assert set(found.timings) == LOOK_UPS | {"remember"}
        assert all(timing.n >= 3 and timing.p50_ms > 0 for timing in found.timings.values())
        assert [ratio.name for ratio in found.ratios()] == ["exact_hit_to_get"]
        assert (found.embedder, found.reranker) == (None, None)

    @pytest.mark.parametrize("reranker", [CountingReranker(), CountingOrder()], ids=["scores", "orders"])
    def test_with_models(self, settings: Settings, unchanged: None, reranker: CountingReranker) -> None:
        words = WordEmbedder()
        found = run_bench(TINY, settings, lambda _: Models(words, reranker))
        assert set(found.timings) == LOOK_UPS | {"remember", "embed", "fresh_rerank"}
        assert [ratio.name for ratio in found.ratios()] == ["exact_hit_to_get", "fresh_to_exact", "fresh_to_semantic"]
        assert (found.dims, found.embedder, found.reranker) == (64, "words", "counting")
        # The look-ups ask no model: what was asked are the questions of the corpus.
        questions = {question for question, *_ in load_corpus().questions}
        assert {query for query, _ in reranker.pairs} <= questions and set(words.texts) <= questions

    def test_the_report_fits_80_columns_and_cuts_nothing(self, settings: Settings) -> None:
        text = printed(run_bench(TINY, settings, lambda _: Models(WordEmbedder(), CountingReranker())))
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        for word in ("synthetic", "PING", "bare GET", "p99 ms", "rerank 5 passages afresh", "counting"):
            assert word in text

    def test_one_entry_is_enough(self, settings: Settings, unchanged: None) -> None:
        assert run_bench(BenchOptions(1, 1, 0.01), settings, None).timings["semantic_hit"].n >= 3

    def test_settings_that_would_get_in_the_way_do_not(self, settings: Settings, unchanged: None) -> None:
        odd = settings.model_copy(
            update={
                "cache": settings.cache.model_copy(update={"max_scores": 1, "max_query_chars": 1}),
                "reuse": settings.reuse.model_copy(update={"trust_threshold": 1.0, "reuse_threshold": 1.0}),
            }
        )
        assert run_bench(TINY, odd, None).timings["semantic_hit"].n >= 3

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
    @pytest.mark.parametrize("during", ["storing", "measuring look-ups", "measuring writes"])
    def test_nothing_is_left_after_an_interruption(
        self, settings: Settings, unchanged: None, error: type[BaseException], during: str
    ) -> None:
        def stop(phase: str) -> None:
            if phase.startswith(during):
                raise error

        with pytest.raises(error):
            run_bench(TINY, settings, None, stop)

    def test_entries_that_vanish_are_an_error_not_a_fast_miss(self, settings: Settings, client: redis.Redis) -> None:
        def evict(phase: str) -> None:
            if phase == "measuring look-ups":
                client.delete(*client.keys("semcache:bench-*"))

        with pytest.raises(StoreError, match="found by meaning; see that Redis neither fails nor evicts"):
            run_bench(TINY, settings, None, evict)

    def test_what_could_not_be_removed_is_named(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(connection: RedisConnection, namespace: str) -> None:
            monkeypatch.undo()
            namespace_module.remove_namespace(connection, namespace)
            raise StoreUnavailableError("nobody there")

        monkeypatch.setattr(namespace_module, "remove_namespace", refuse)
        with pytest.raises(
            StoreError, match=r"namespace bench-\w+ could not be removed \(nobody there\).*FT.DROPINDEX"
        ):
            run_bench(TINY, settings, None)

    def test_redis_is_asked_before_models_are_loaded(self, settings: Settings, tmp_path: Path) -> None:
        away = settings.model_copy(update={"redis": Settings(redis={"url": f"unix://{tmp_path}/none"}).redis})
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            run_bench(TINY, away, lambda _: pytest.fail("loaded"))
