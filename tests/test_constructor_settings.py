"""An argument that was given wins, else the settings (environment, YAML), else the default: one rule everywhere."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from semcache import LatencyMonitor, OptimizedRerankerPipeline, RedisSemanticCache
from semcache.embedders.callable import CallableEmbedder
from semcache.errors import ConfigurationError
from semcache.events import Reranked
from semcache.flow.policy import ReusePolicy
from semcache.settings import FROM_SETTINGS, Settings
from tests.fakes import CountingReranker, WordEmbedder

ROOT = Path(__file__).parent.parent
KINDS = [RedisSemanticCache, OptimizedRerankerPipeline]
QUERY, DOCUMENTS = "how far is the moon", ["the moon is far", "a red car", "far away"]


@pytest.fixture
def settings(redis_url: str, namespace: str) -> Settings:
    return Settings(
        redis={"url": redis_url},
        cache={"namespace": namespace, "ttl_s": 77},
        reuse={"trust_threshold": 0.91, "audit_rate": 0},
        monitor={"p95_threshold_s": 1.5},
        rerankers=[{"kind": "embedding"}],
    )


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield request.param


def cache_of(made: Any) -> RedisSemanticCache:
    return made.cache if isinstance(made, OptimizedRerankerPipeline) else made


def in_force(cache: RedisSemanticCache) -> tuple[float, float | None, str]:
    reuse = cache.scoped.policy().reuse
    assert reuse is not None
    return reuse.trust_threshold, cache.backend.ttl_s, cache.backend.connection.where


class TestWhatIsNotGiven:
    def test_comes_from_the_settings(self, kind: Any, settings: Settings, redis_url: str) -> None:
        with kind(embedding_model=WordEmbedder(), settings=settings) as made:
            threshold, ttl, where = in_force(cache_of(made))
            assert (threshold, ttl) == (0.91, 77)
            assert where.removeprefix("Redis at ") in redis_url

    def test_comes_from_the_environment(
        self, kind: Any, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        values = {"REDIS_URL": redis_url, "SIMILARITY_THRESHOLD": "0.88", "TTL": "66", "NAMESPACE": namespace}
        for name, value in values.items():
            monkeypatch.setenv(f"SEMCACHE_{name}", value)
        monkeypatch.setenv("SEMCACHE_RERANKERS", '[{"kind": "embedding"}]')
        with kind(embedding_model=WordEmbedder()) as made:
            assert in_force(cache_of(made))[:2] == (0.88, 66)

    def test_comes_from_a_yaml_file(
        self, kind: Any, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mine.yaml").write_text(
            f"redis: {{url: '{redis_url}'}}\ncache: {{ttl_s: null}}\nrerankers: [{{kind: embedding}}]\n"
        )
        monkeypatch.setenv("SEMCACHE_CONFIG", str(tmp_path / "mine.yaml"))
        with kind(embedding_model=WordEmbedder()) as made:
            assert in_force(cache_of(made))[:2] == (0.97, None)

    def test_the_url_is_that_of_the_settings(self, kind: Any) -> None:
        settings = Settings(redis={"url": "redis://localhost:1"}, rerankers=[{"kind": "embedding"}])
        with kind(embedding_model=WordEmbedder(), settings=settings) as made:
            assert "localhost:1" in cache_of(made).backend.connection.where

    def test_the_model_is_that_of_the_settings(self, kind: Any, settings: Settings) -> None:
        settings = settings.model_copy(update={"embedder": settings.embedder.model_copy(update={"model": "not here"})})
        with pytest.raises(ConfigurationError, match="not here"):
            kind(settings=settings)


class TestWhatIsGiven:
    def test_wins_over_settings_and_environment(
        self, kind: Any, settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMCACHE_TTL", "66")
        elsewhere = settings.redis.model_copy(update={"url": SecretStr("redis://localhost:1")})
        ttl_name = "ttl" if kind is RedisSemanticCache else "cache_ttl"
        with kind(
            redis_url=redis_url,
            similarity_threshold=0.99,
            embedding_model=WordEmbedder(),
            settings=settings.model_copy(update={"redis": elsewhere}),
            **{ttl_name: 5},
        ) as made:
            assert in_force(cache_of(made))[:2] == (0.99, 5)

    def test_also_where_it_is_none_or_0(self, kind: Any, settings: Settings) -> None:
        ttl_name = "ttl" if kind is RedisSemanticCache else "cache_ttl"
        with kind(
            similarity_threshold=0.0, embedding_model=WordEmbedder(), settings=settings, **{ttl_name: None}
        ) as made:
            assert in_force(cache_of(made))[:2] == (0.0, None)


class TestTheLadder:
    def test_a_pipeline_without_arguments_has_that_of_the_settings(
        self, redis_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMCACHE_REDIS_URL", redis_url)
        monkeypatch.setenv("SEMCACHE_NAMESPACE", namespace)
        monkeypatch.setenv("SEMCACHE_RERANKERS", '[{"kind": "embedding"}]')
        with OptimizedRerankerPipeline(embedding_model=WordEmbedder()) as pipeline:
            assert "words" in pipeline.rerank(QUERY, DOCUMENTS).reranker
            assert pipeline.reranker.monitor.p95_threshold == 2.0

    def test_a_rung_that_is_given_replaces_that_of_the_settings(self, settings: Settings) -> None:
        ladder = [{"kind": "auto", "model": "a model that is not here"}] * 2 + [{"kind": "embedding"}]
        settings = Settings(**(settings.model_dump() | {"rerankers": ladder}))
        heard: list[object] = []
        with OptimizedRerankerPipeline.from_settings(
            settings,
            primary=CountingReranker("mine"),
            fallback=CountingReranker("below"),
            embedder=WordEmbedder(),
            observers=[heard.append],
        ) as pipeline:
            assert pipeline.rerank(QUERY, DOCUMENTS).reranker == "mine"
            pipeline.reranker.force_open()
            assert pipeline.rerank("best pizza dough", DOCUMENTS).reranker == "below"
            assert "words" in repr(pipeline.reranker), "the rung below both is still that of the settings"
            assert [event.status for event in heard if isinstance(event, Reranked)] == ["fresh", "degraded"]
            assert pipeline.reranker.monitor.p95_threshold == 1.5

    def test_no_fallback_is_the_retrievers_order_at_once(self, settings: Settings) -> None:
        ladder = [{"kind": "embedding"}] * 3
        settings = Settings(**(settings.model_dump() | {"rerankers": ladder}))
        with OptimizedRerankerPipeline(
            CountingReranker(), None, embedding_model=WordEmbedder(), settings=settings
        ) as pipeline:
            pipeline.reranker.force_open()
            assert pipeline.rerank(QUERY, DOCUMENTS).scores is None

    def test_rungs_that_are_given_replace_those_below_the_fallback(self, settings: Settings) -> None:
        with OptimizedRerankerPipeline.from_settings(
            settings,
            primary=CountingReranker("one"),
            fallback=CountingReranker("two"),
            rungs=[CountingReranker("three")],
            embedder=WordEmbedder(),
        ) as pipeline:
            assert repr(pipeline.reranker) == "<DegradableReranker closed: one, two, three, retrieval-order>"


class TestOneDefault:
    """No signature repeats a default of the settings."""

    @pytest.mark.parametrize(
        ("kind", "names"),
        [
            (RedisSemanticCache, ("redis_url", "embedding_model", "similarity_threshold", "ttl")),
            (
                OptimizedRerankerPipeline,
                (
                    *("primary_reranker", "fallback_reranker", "redis_url", "cache_ttl", "similarity_threshold"),
                    *("p95_threshold", "embedding_model", "rungs"),
                ),
            ),
        ],
    )
    def test_signatures_leave_it_to_the_settings(self, kind: Any, names: tuple[str, ...]) -> None:
        parameters = inspect.signature(kind).parameters
        assert {name: parameters[name].default for name in names} == dict.fromkeys(names, FROM_SETTINGS)
        assert str(parameters["similarity_threshold"]).endswith(" = <from settings>"), "help() shows it so"

    def test_the_trust_threshold_stands_once(self) -> None:
        assert Settings().reuse.trust_threshold == ReusePolicy().trust_threshold == 0.97
        written = re.compile(r"(?:similarity|trust)_threshold\b[^=\n]*=\s*(0?\.\d+)")
        found = {
            (path.name, number)
            for path in (ROOT / "semcache").rglob("*.py")
            for number in written.findall(path.read_text())
        }
        assert found == {("policy.py", "0.97")}

    def test_the_monitor_alone_has_that_of_the_settings_too(self) -> None:
        assert LatencyMonitor().p95_threshold == Settings().monitor.p95_threshold_s


def test_a_function_may_stand_for_the_embedder(settings: Settings) -> None:
    words = WordEmbedder()

    def embed(texts: list[str]) -> object:
        return words.embed(texts)

    with RedisSemanticCache.from_settings(settings, embedder=embed, ttl=9) as cache:
        assert isinstance(cache.backend.embedder, CallableEmbedder)
        assert cache.backend.ttl_s == 9
