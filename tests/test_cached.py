"""A reranker behind the cache, on a real Redis with scripted models that count what they are asked."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.entries.fingerprint import tenant_group
from semcache.errors import InvalidInputError, RerankerError
from semcache.events import CacheFailed, CacheUnavailable, Event, Reranked
from semcache.flow.policy import TenantTrust
from semcache.protocols import FloatArray, Pair, Scored
from semcache.ranking import Status
from semcache.redis.server.embedded import EmbeddedRedis
from semcache.settings import Settings
from tests.fakes import CountingOrder, CountingReranker, OneRung, WordEmbedder
from tests.scripted import PATIENCE_S

DOCUMENTS = [SimpleNamespace(page_content=f"passage {n} about the moon", metadata={"n": n}) for n in range(20)]
QUERY = "how far is the moon"


def settings_of(namespace: str) -> Settings:
    # No audits and no learning: tests here count what is asked of the model and of Redis.
    return Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0}, prune={"mode": "off"})


def cached(redis_url: str, namespace: str, reranker: CountingReranker | None = None, **options: Any) -> CachedReranker:
    cache = RedisSemanticCache(redis_url, WordEmbedder(), 0.9, settings=settings_of(namespace))
    return CachedReranker(reranker or CountingReranker(), cache, **options)


@pytest.fixture
def model() -> CountingReranker:
    """The model behind ``reranker``."""
    return CountingReranker()


@pytest.fixture
def reranker(redis_url: str, namespace: str, model: CountingReranker) -> Iterator[CachedReranker]:
    with cached(redis_url, namespace, model) as reranker:
        yield reranker


def calls(reranker: CachedReranker) -> Counter[str]:
    """Calls per command since the last reset, as the server counts them."""
    stats = reranker.cache.backend.connection.client.info("commandstats")
    counts = Counter({name.removeprefix("cmdstat_").lower(): value["calls"] for name, value in stats.items()})
    reranker.cache.backend.connection.client.config_resetstat()
    counts.pop("info", None)
    counts.pop("config|resetstat", None)
    return counts


def test_the_callers_own_objects_come_back_in_order_with_raw_scores(
    reranker: CachedReranker, model: CountingReranker
) -> None:
    ranking = reranker.rerank(QUERY, DOCUMENTS, 5)
    scores = [model.score_of(QUERY, document.page_content) for document in DOCUMENTS]
    best = np.argsort(-np.array(scores, dtype=np.float32), kind="stable")[:5]
    assert list(ranking) == [DOCUMENTS[position] for position in best]
    assert ranking.indices == tuple(best)
    assert ranking.scores == tuple(float(np.float32(scores[position])) for position in best)
    assert all(document is DOCUMENTS[position] for document, position in zip(ranking, best, strict=True))
    assert repr(ranking) == "<Ranking fresh: 5 documents by counting, 20 pairs asked, 0 reused>"


def test_a_smaller_earlier_top_k_does_not_shorten_a_later_larger_one(reranker: CachedReranker) -> None:
    assert len(reranker.rerank(QUERY, DOCUMENTS, 1)) == 1
    later = reranker.rerank(QUERY, DOCUMENTS, 20)
    assert (len(later), later.status) == (20, Status.EXACT)


def test_another_requests_documents_never_come_back(reranker: CachedReranker) -> None:
    reranker.rerank(QUERY, DOCUMENTS[:10])
    ranking = reranker.rerank(QUERY, DOCUMENTS[10:], 20)
    assert sorted(ranking.indices) == list(range(10))
    assert all(any(document is mine for mine in DOCUMENTS[10:]) for document in ranking)


def test_a_changed_text_is_the_only_one_sent_to_the_reranker(reranker: CachedReranker, model: CountingReranker) -> None:
    reranker.rerank(QUERY, DOCUMENTS)
    model.pairs.clear()
    changed = [*DOCUMENTS[:7], SimpleNamespace(page_content="passage 7, revised", metadata={}), *DOCUMENTS[8:]]
    ranking = reranker.rerank(QUERY, changed, 20)
    assert model.pairs == [(QUERY, "passage 7, revised")]
    assert (ranking.status, ranking.asked, ranking.reused) == (Status.PARTIAL, 1, 19)


def test_round_trips(reranker: CachedReranker) -> None:
    reranker.rerank(QUERY, DOCUMENTS)
    # Other tests may have left so many keys on the server that the new index is looked at once more in the background.
    assert reranker.cache.backend.drain(5)
    calls(reranker)
    reranker.cache.backend.embedder.texts.clear()

    reranker.rerank(QUERY, DOCUMENTS)
    assert calls(reranker) == {"getrange": 1}
    assert reranker.cache.backend.embedder.texts == []

    assert reranker.rerank("is the moon how far", DOCUMENTS).status is Status.SEMANTIC
    # And the claim of a lease, which it turns out not to need: a round trip of its own would delay every miss.
    assert calls(reranker) == {"getrange": 2, "ft.search": 1, "set": 1}
    assert len(reranker.cache.backend.embedder.texts) == 1

    assert reranker.rerank(QUERY, [*DOCUMENTS, "new"]).status is Status.PARTIAL
    partial = calls(reranker)
    assert partial["append"] == 1
    assert partial["hset"] == 0


def test_equal_documents_each_come_back_and_are_scored_once(reranker: CachedReranker, model: CountingReranker) -> None:
    ranking = reranker.rerank(QUERY, ["a", "b", "a", "a"], 4)
    assert sorted(ranking.indices) == [0, 1, 2, 3]
    assert len(model.pairs) == 2


def test_no_documents_ask_no_model(reranker: CachedReranker, model: CountingReranker) -> None:
    ranking = reranker.rerank(QUERY, [])
    assert (list(ranking), ranking.scores, model.pairs) == ([], (), [])
    assert reranker.get_stats()["hit_rate"] == "0.00%"


def test_stats_keep_their_old_names(reranker: CachedReranker) -> None:
    for query in (QUERY, QUERY, "is the moon how far"):
        reranker.rerank(query, DOCUMENTS)
    stats = reranker.get_stats()
    assert (stats["cache_hits"], stats["cache_misses"], stats["hit_rate"]) == (2, 1, "66.67%")
    others = dict.fromkeys(("verified", "partial", "pruned", "degraded"), 0)
    assert stats["by_status"] == {"exact": 1, "semantic": 1, "fresh": 1, **others}
    assert (stats["pairs_asked"], stats["pairs_reused"]) == (20, 40)


def test_many_at_once_are_like_one_after_the_other(redis_url: str, namespace: str) -> None:
    queries = [QUERY, "best pizza dough", QUERY, "is the moon how far"]
    model = CountingReranker()
    with cached(redis_url, namespace, model) as many, cached(redis_url, namespace + "x") as single:
        rankings = many.rerank_many(queries, [DOCUMENTS] * 4, 3)
        singly = [list(single.rerank(query, DOCUMENTS, 3)) for query in queries[:3]]
        assert [list(ranking) for ranking in rankings[:3]] == singly
        assert len(model.pairs) == 60, "the repeated query is scored once"
        again = many.rerank_many(queries, [DOCUMENTS] * 4, 3)
        assert {ranking.status for ranking in again} == {Status.EXACT}


@pytest.mark.parametrize(
    ("queries", "documents"), [([QUERY], []), (QUERY, [DOCUMENTS]), ([QUERY, " "], [DOCUMENTS, DOCUMENTS])]
)
def test_many_at_once_are_checked_before_any_work(
    reranker: CachedReranker, model: CountingReranker, queries: Any, documents: Any
) -> None:
    with pytest.raises(InvalidInputError):
        reranker.rerank_many(queries, documents)
    assert model.pairs == []


def test_warming_from_a_log_makes_requests_exact(reranker: CachedReranker) -> None:
    log = [(f"question number {n} is this", DOCUMENTS) for n in range(40)]
    assert reranker.warm(iter(log)) == 800
    assert reranker.warm(log) == 0
    assert {reranker.rerank(query, documents).status for query, documents in log} == {Status.EXACT}
    assert reranker.rerank("number this question is 5", DOCUMENTS).status is Status.SEMANTIC


def test_warming_scores_anew_what_is_not_trusted_for_that_tenant(reranker: CachedReranker) -> None:
    log = [(QUERY, DOCUMENTS)]
    for tenant in ("a", "b"):
        assert reranker.warm(log, tenant=tenant) == 20
    distrusted = {tenant_group("a"): TenantTrust(trust_near=False, trust_exact=False, trust_threshold=1.0)}
    backend = reranker.cache.backend
    backend.restrict(reranker.cache.reranker, lambda policy: replace(policy, tenants=distrusted))
    assert reranker.warm(log, tenant="a") == 20
    assert reranker.warm(log, tenant="b") == 0


@pytest.mark.parametrize(
    "log", [[QUERY], ["qd"], [(QUERY,)], [(QUERY, DOCUMENTS, "shop-a")], [None], {QUERY: DOCUMENTS}]
)
def test_a_log_holds_pairs(reranker: CachedReranker, model: CountingReranker, log: Any) -> None:
    with pytest.raises(InvalidInputError, match="pass pairs of a query and its documents"):
        reranker.warm(log)
    assert model.pairs == []


def test_what_a_log_repeats_is_scored_once(reranker: CachedReranker, model: CountingReranker) -> None:
    assert reranker.warm([(QUERY, DOCUMENTS), ("best pizza dough", DOCUMENTS)] * 4) == 40
    assert len(model.pairs) == 40


def test_warming_does_not_count_what_a_lower_rung_has_scored(redis_url: str, namespace: str) -> None:
    ladder = DegradableReranker(CountingReranker(), CountingReranker("fallback"), LatencyMonitor())
    cache = RedisSemanticCache(redis_url, WordEmbedder(), settings=settings_of(namespace))
    with ladder, CachedReranker(ladder, cache, repair=False) as reranker:
        ladder.force_open()
        assert reranker.warm([(QUERY, DOCUMENTS)]) == 0
        ladder.reset()
        assert reranker.warm([(QUERY, DOCUMENTS)]) == len(DOCUMENTS)


async def test_pairs_that_equal_requests_share_count_once(reranker: CachedReranker, model: CountingReranker) -> None:
    rankings = await asyncio.gather(*(reranker.arerank(QUERY, DOCUMENTS, 3) for _ in range(4)))
    assert [ranking.status for ranking in rankings] == [Status.FRESH] * 4
    await reranker.arerank_many(["best pizza dough"] * 2, [DOCUMENTS] * 2, 3)
    stats = reranker.get_stats()
    assert (stats["pairs_asked"], stats["pairs_reused"]) == (len(model.pairs), 4 * 20) == (40, 80)


@pytest.mark.parametrize(
    ("scores", "reason", "said"),
    [
        ([np.nan] * 20, None, "20 of 20 scores that are not finite"),
        ([1.0] * 19, None, "19 scores for 20 pairs"),
        (None, None, "instead of one number per pair"),
        ([1.0] * 19, "open", "19 scores for 20 pairs"),
    ],
)
async def test_a_ladder_of_the_callers_own_is_checked(
    redis_url: str, namespace: str, scores: Any, reason: str | None, said: str
) -> None:
    class Wrong(OneRung):
        def score(self, *asked: Any, **options: Any) -> Scored:
            return Scored(scores, "wrong", reason)

    with cached(redis_url, namespace, Wrong(CountingReranker())) as reranker:  # type: ignore[arg-type]
        with pytest.raises(RerankerError, match=said):
            reranker.rerank(QUERY, DOCUMENTS)
        with pytest.raises(RerankerError, match=said):
            await reranker.arerank(QUERY, DOCUMENTS)


async def test_a_ladder_of_the_callers_own_need_not_know_event_loops(redis_url: str, namespace: str) -> None:
    class Blocking(OneRung):
        def __init__(self) -> None:
            super().__init__(CountingReranker())
            self.called: list[str] = []

        def warmup(self) -> None:
            self.called.append("warmup")

        def close(self) -> None:
            self.called.append("close")

    cache, ladder = RedisSemanticCache(redis_url, WordEmbedder(), settings=settings_of(namespace)), Blocking()
    async with CachedReranker(ladder, cache) as reranker:
        await reranker.awarmup()
    assert ladder.called == ["warmup", "close"]


async def test_warming_in_an_event_loop_does_the_same(reranker: CachedReranker) -> None:
    log = [(f"question number {n} is this", DOCUMENTS) for n in range(40)]
    assert await reranker.awarm(iter(log), tenant="a") == 800
    assert await reranker.awarm(log, tenant="a") == 0
    assert (await reranker.arerank(*log[7], tenant="a")).status is Status.EXACT
    assert (await reranker.arerank(*log[7])).status is Status.FRESH


@pytest.mark.parametrize("deadline_s", [0, -1, float("nan"), "1"])
def test_a_deadline_is_a_time_to_come(reranker: CachedReranker, deadline_s: Any) -> None:
    with pytest.raises(InvalidInputError, match="deadline_s must be a number of seconds above 0"):
        reranker.rerank(QUERY, DOCUMENTS, deadline_s=deadline_s)


@pytest.mark.parametrize(
    ("scores", "said"),
    [([1.0], "gave 1 scores for 20 pairs"), ([float("nan")] * 20, "not finite"), ([float("inf")] * 20, "not finite")],
)
def test_bad_scores_are_the_rerankers_error_and_are_not_stored(
    redis_url: str, namespace: str, scores: list[float], said: str
) -> None:
    class Bad(CountingReranker):
        def score(self, pairs: Sequence[Pair]) -> FloatArray:
            return np.array(scores, dtype=np.float32)

    with cached(redis_url, namespace, Bad()) as bad:
        with pytest.raises(RerankerError, match=said):
            bad.rerank(QUERY, DOCUMENTS)
        assert bad.cache.lookup(QUERY, DOCUMENTS).status is None


def test_a_listwise_order_is_kept_whole(redis_url: str, namespace: str) -> None:
    with cached(redis_url, namespace, CountingOrder()) as listwise:
        first = listwise.rerank(QUERY, DOCUMENTS, 3)
        assert listwise.rerank(QUERY, DOCUMENTS, 20).status is Status.EXACT
        assert list(listwise.rerank("is the moon how far", DOCUMENTS, 3)) == list(first)
        assert listwise.rerank(QUERY, [*DOCUMENTS, "new"], 3).status is Status.FRESH
        assert listwise.rerank(QUERY, [*DOCUMENTS, "new"], 3).status is Status.EXACT


class Held(CountingReranker):
    """Holds every call inside the model until the test opens the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.gate = threading.Event(), threading.Event()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.started.set()
        assert self.gate.wait(PATIENCE_S)
        return super().score(pairs)


def test_threads_share_one_computation(redis_url: str, namespace: str) -> None:
    model = Held()
    with cached(redis_url, namespace, model) as shared, ThreadPoolExecutor(8) as pool:
        first = pool.submit(shared.rerank, QUERY, DOCUMENTS)
        assert model.started.wait(PATIENCE_S)
        others = [pool.submit(shared.rerank, QUERY, list(DOCUMENTS)) for _ in range(7)]
        model.gate.set()
        rankings = [future.result(10) for future in (first, *others)]
        assert len({ranking.indices for ranking in rankings}) == 1
        assert len(model.pairs) == 20


def test_threads_with_different_requests_all_get_their_own(redis_url: str, namespace: str) -> None:
    with cached(redis_url, namespace) as shared, ThreadPoolExecutor(8) as pool:
        requests = [(f"question number {n % 7} here", DOCUMENTS[n % 5 :], f"tenant {n % 3}") for n in range(120)]
        rankings = list(pool.map(lambda sent: shared.rerank(sent[0], sent[1], 20, tenant=sent[2]), requests))
        for (_, documents, _), ranking in zip(requests, rankings, strict=True):
            assert sorted(ranking.indices) == list(range(len(documents)))
        assert shared.get_stats()["requests"] == 120
        assert shared.get_stats()["cache_failures"] == 0


async def test_tasks_get_the_same_and_do_not_block_the_loop(redis_url: str, namespace: str) -> None:
    model = CountingReranker()
    async with cached(redis_url, namespace, model) as shared:
        rankings = await asyncio.gather(*(shared.arerank(QUERY, DOCUMENTS) for _ in range(20)))
        assert len({ranking.indices for ranking in rankings}) == 1
        assert len(model.pairs) == 20
        many = await shared.arerank_many([QUERY, "best pizza dough"], [DOCUMENTS, DOCUMENTS])
        assert [ranking.status for ranking in many] == [Status.EXACT, Status.FRESH]
        assert (await shared.arerank("is the moon how far", DOCUMENTS)).status is Status.SEMANTIC


async def test_a_cancelled_task_does_not_cancel_the_others(redis_url: str, namespace: str) -> None:
    model = Held()
    async with cached(redis_url, namespace, model) as shared:
        tasks = [asyncio.create_task(shared.arerank(QUERY, DOCUMENTS)) for _ in range(3)]
        await asyncio.to_thread(model.started.wait, PATIENCE_S)
        tasks[0].cancel()
        model.gate.set()
        rankings = await asyncio.gather(*tasks[1:])
        assert {ranking.status for ranking in rankings} == {Status.FRESH}
        assert tasks[0].cancelled()


def test_one_cached_reranker_serves_several_event_loops(redis_url: str, namespace: str) -> None:
    shared = cached(redis_url, namespace)
    for _ in range(3):
        asyncio.run(shared.arerank(QUERY, DOCUMENTS))
    assert shared.get_stats()["cache_hits"] == 2
    shared.close()


def test_redis_that_dies_in_mid_flight_costs_only_the_cache(namespace: str) -> None:
    events: list[Event] = []
    server = EmbeddedRedis().start()
    with cached(server.url, namespace, observers=[events.append]) as lonely:
        fresh = lonely.rerank(QUERY, DOCUMENTS)
        server.close()
        ranking = lonely.rerank(QUERY, DOCUMENTS)
        assert (ranking.status, list(ranking), ranking.scores) == (Status.FRESH, list(fresh), fresh.scores)
        assert lonely.get_stats()["cache_failures"] > 0


STEPS = ("ReadExact", "ReadVector", "FindNeighbours", "Remember")


async def test_redis_that_is_away_from_the_start_costs_only_the_cache(namespace: str) -> None:
    failures: list[Event] = []
    cache = RedisSemanticCache("redis://localhost:1", WordEmbedder(), observers=[failures.append])
    async with CachedReranker(CountingReranker(), cache) as lonely:
        assert (await lonely.arerank(QUERY, DOCUMENTS)).status is Status.FRESH
        assert lonely.rerank(QUERY, DOCUMENTS).status is Status.FRESH
    told = [type(event) for event in failures if not isinstance(event, CacheFailed) or event.step in STEPS]
    assert told == [CacheUnavailable, CacheFailed, Reranked, CacheFailed, Reranked], "one for all steps of a request"


def test_observers_hear_of_requests_and_cannot_break_them(redis_url: str, namespace: str) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("observer bug")

    with cached(redis_url, namespace, observers=[broken, heard.append]) as observed:
        observed.rerank(QUERY, DOCUMENTS, tenant="a")
    (event,) = heard
    assert isinstance(event, Reranked)
    assert (event.status, event.tenant, event.documents, event.asked) == ("fresh", "a", 20, 20)
    assert event.why == "no near query: none of similarity 0.8 or more"
    assert event.duration_s > 0


def test_a_megabyte_of_query_or_document_is_served(reranker: CachedReranker) -> None:
    query, document = "moon " * 200_000, "passage " * 125_000
    assert reranker.rerank(query, [document, "short"]).status is Status.FRESH
    assert reranker.rerank(query, [document, "short"]).status is Status.EXACT
