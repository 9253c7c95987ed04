"""Pruning end to end: learned from requests that were scored whole, proven, put in force, and given up."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import pytest

from semcache.audit.tenant_shares import TenantShares
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.entries.fingerprint import document_fingerprint
from semcache.events import CacheFailed, Event, PruningChanged, PruningMeasured
from semcache.flow.policy import PrunePolicy
from semcache.protocols import FloatArray
from semcache.pruning.features import FEATURES
from semcache.pruning.statistics import Statistics
from semcache.ranking import Ranking, Status
from semcache.redis.pruning_state import PruningStore
from semcache.settings import Settings
from tests.fakes import CountingOrder, CountingReranker, WordEmbedder

E = TypeVar("E")

PATIENCE_S = 30
DOCUMENTS = [f"passage {n}" for n in range(30)]
Z = PrunePolicy().confidence
BUDGET = 0.1
ENOUGH = 60
"""Requests after which a loss of nothing is proven to be below that budget."""


def noise(*parts: object) -> float:
    return float(np.random.default_rng(crc32(repr(parts).encode())).normal())


class ChanceEmbedder(WordEmbedder):
    """No two queries are near each other."""

    fails = False

    def embed(self, texts: Sequence[str]) -> FloatArray:
        if self.fails:
            raise RuntimeError("scripted")
        self.texts.extend(texts)
        rows = np.array([np.random.default_rng(crc32(text.encode())).normal(size=self.dims) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Model(CountingReranker):
    """Likes the retriever's order, but for some noise; ``has_changed`` likes the last documents best from then on.

    The first ones do not show the change.
    """

    has_changed = False

    def score_of(self, query: str, text: str) -> float:
        place = int(text.removeprefix("passage "))
        bonus = 10 if self.has_changed and place > 24 else 0
        return bonus - place / 5 + 0.2 * noise(query, text)


class Partial(CountingReranker):
    """Likes the same documents best for every query, wherever the retriever puts them, but for some noise."""

    def score_of(self, query: str, text: str) -> float:
        return noise(text) + 0.05 * noise(query, text)


class Process:
    """One process: its own connection, cache and model, and a list of what happened."""

    def __init__(
        self,
        url: str,
        namespace: str,
        *,
        model: CountingReranker | None = None,
        budget: float = BUDGET,
        **prune: Any,
    ) -> None:
        self.events: list[Event] = []
        self.namespace = namespace
        settings = Settings(
            cache={"namespace": namespace},
            reuse={"audit_rate": 0, "quality_budget": budget},
            prune={"mode": "on", "explore": 0.0, **prune},
        )
        cache = RedisSemanticCache(url, ChanceEmbedder(), settings=settings, observers=[self.events.append])
        self.model = model or Model("model")
        self.reranker = CachedReranker(self.model, cache)
        # These models answer faster than one can learn from them.
        self.reranker.audit.pruning.share_of_time = inf
        self.drain()

    def drain(self) -> None:
        assert self.reranker.audit.drain(PATIENCE_S)

    def ask(self, number: int, **options: Any) -> Ranking[Any]:
        return self.reranker.rerank(f"question {number} {number * 7}", DOCUMENTS, 5, **options)

    def learn(self, count: int, start: int = 0) -> None:
        for number in range(start, start + count):
            self.ask(number)
            if number % 20 == 19:
                self.drain()
        self.drain()

    def events_of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def figures(self) -> dict[str, Any]:
        return self.reranker.get_stats()["quality"]["pruning"]


@pytest.fixture
def start(redis_url: str, namespace: str) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(**options: Any) -> Process:
        started.append(Process(redis_url, namespace, **options))
        return started[-1]

    yield start
    for process in started:
        process.reranker.close()


def test_what_is_learned_is_proven_before_it_is_used_and_other_processes_share_it(start: Any) -> None:
    first = start()
    answer = first.ask(0)
    assert answer.status is Status.FRESH and answer.why.endswith("pruning: too little is known yet")
    first.learn(ENOUGH + 40, start=1)
    second = start()
    for process in (first, second):
        ranking = process.ask(1000 + len(process.events))
        assert (ranking.status, ranking.skipped) == (Status.PRUNED, 30 - ranking.asked)
        assert ranking.asked < 20
    assert first.events_of(PruningChanged) == [
        PruningChanged(first.events_of(PruningChanged)[0].scope, inf, Z, "pruning costs less than the budget")
    ]
    figures = second.figures
    assert (figures["mode"], figures["confidence"]) == ("on", Z)
    assert figures["avoided"] > 0.3 and figures["loss"] < 0.01 and figures["loss_high"] < 0.12
    assert first.reranker.get_stats()["pairs_skipped"] > 0
    assert not first.events_of(CacheFailed)


class Moody(Model):
    """Likes the retriever's order, but for much noise, so that several rounds are worth their while."""

    def score_of(self, query: str, text: str) -> float:
        return super().score_of(query, text) + 0.5 * noise("mood", query, text)


def test_a_service_is_pruned_in_one_round_and_proven_by_one(start: Any) -> None:
    service = Moody("service")
    service.concurrency = 4  # type: ignore[attr-defined]
    remote, local = start(model=service), start(model=Moody("model"))
    for process in (remote, local):
        process.learn(ENOUGH + 40)
    asked = [[process.ask(1000 + number) for number in range(5)] for process in (remote, local)]
    assert {ranking.status for rankings in asked for ranking in rankings} == {Status.PRUNED}
    assert [ranking.rounds for ranking in asked[0]] == [1] * 5
    assert max(ranking.rounds for ranking in asked[1]) > 1
    # What a single round avoids is what was measured.
    assert remote.figures["avoided"] < local.figures["avoided"]


class Hasty(Model):
    """A cheap model that nearly agrees."""

    def score_of(self, query: str, text: str) -> float:
        return super().score_of(query, text) + 0.1 * noise(text)


def test_what_a_cheap_rung_says_is_learned_in_spare_time_and_counted_where_it_helps(
    redis_url: str, namespace: str
) -> None:
    settings = Settings(
        cache={"namespace": namespace},
        reuse={"audit_rate": 0, "quality_budget": BUDGET},
        prune={"mode": "on", "explore": 0.0, "cascade": "hasty"},
    )
    cache = RedisSemanticCache(redis_url, ChanceEmbedder(), settings=settings)
    ladder = DegradableReranker(Model("model"), Hasty("hasty"), LatencyMonitor(p95_threshold=30))
    with ladder, CachedReranker(ladder, cache, repair=False) as reranker:
        reranker.audit.pruning.share_of_time = inf
        for number in range(ENOUGH):
            assert reranker.rerank(f"question {number} {number * 7}", DOCUMENTS, 5).cheap_asked == 0
            if number % 20 == 19:
                assert reranker.audit.drain(PATIENCE_S)
        figures = reranker.get_stats()["quality"]["pruning"]
        assert figures["features"]["cheap_score"] == 1.0
        cascade = figures["cascade"]
        assert (cascade["reranker"], cascade["pairs_learned"]) == ("hasty", 30 * ENOUGH)
        assert cascade["cost_share"] > 0
        ranking = reranker.rerank("a new question", DOCUMENTS, 5)
        assert (ranking.status, ranking.cheap_asked) == (Status.PRUNED, 30)
        assert reranker.get_stats()["pairs_cheap_asked"] == 30


def test_measuring_changes_no_answer_and_says_what_would_have_been(start: Any) -> None:
    process = start(mode="measure")
    process.learn(ENOUGH + 40)
    assert process.ask(1000).status is Status.FRESH
    figures = process.figures
    assert (figures["mode"], figures["confidence"]) == ("measure", None)
    assert figures["n"] >= ENOUGH and figures["avoided"] > 0.3 and figures["loss"] < 0.01
    assert set(figures["by_confidence"]) == {Z, 2.5, 3.0, 4.0}
    measured = process.events_of(PruningMeasured)
    assert measured and measured[0].confidence == Z
    assert not process.events_of(PruningChanged)


def test_what_documents_scored_for_earlier_queries_tells_all_processes_what_need_not_be_asked(start: Any) -> None:
    first, second = start(model=Partial("partial")), start(model=Partial("partial"))
    first.learn(ENOUGH)
    # From the surrogate's first prediction on, a request says how documents differ; then their weight is learned.
    first.learn(40, start=ENOUGH)
    second.drain()
    pruned = [second.ask(number) for number in range(1000, 1010)]
    assert {answer.status for answer in pruned} == {Status.PRUNED}
    assert sum(answer.asked for answer in pruned) < 0.5 * len(pruned) * len(DOCUMENTS)
    best = sorted(DOCUMENTS, key=noise, reverse=True)[:3]
    assert all(set(best) <= set(answer) for answer in pruned)
    # What one tenant's documents scored is not known to another: all of them look alike there.
    stranger = second.ask(2000, tenant="another")
    assert stranger.asked > max(answer.asked for answer in pruned)


def test_a_query_that_was_scored_whole_before_teaches_nothing_of_its_own_scores(start: Any) -> None:
    process = start(model=Partial("partial"), mode="measure")
    process.learn(ENOUGH)
    known = process.reranker.cache.store.read_earlier("", "", [document_fingerprint(text) for text in DOCUMENTS])
    process.reranker.cache.forget(query="question 59 413")
    process.learn(1, start=59)
    again = process.reranker.cache.store.read_earlier("", "", [document_fingerprint(text) for text in DOCUMENTS])
    assert again.tolist() == known.tolist()


def test_off_learns_nothing(start: Any) -> None:
    process = start(mode="off")
    process.learn(40)
    assert process.figures == {"mode": "off"}
    assert start(mode="measure").figures["learned_from"] == 0


def test_losses_end_pruning_and_start_the_learning_anew(start: Any) -> None:
    process = start(explore=1.0, budget=BUDGET / 4, confidence=1.5)
    process.learn(180)
    assert process.figures["confidence"] is not None
    process.model.has_changed = True
    process.learn(60, start=1000)
    begun, ended = process.events_of(PruningChanged)[:2]
    assert begun.new == ended.old == 1.5
    assert (ended.new, ended.reason) == (inf, "pruning cost more than the budget")
    # What it is like now is learned from nothing, and proves good in its turn.
    process.learn(200, start=2000)
    assert process.events_of(PruningChanged)[-1].new < inf
    assert process.figures["learned_from"] < 300


def test_degraded_answers_and_listwise_orders_teach_nothing(start: Any) -> None:
    listwise = start(model=CountingOrder("order"))
    listwise.learn(3)
    assert listwise.figures == {"mode": "off"}


def test_another_reranker_learns_for_itself(start: Any) -> None:
    start().learn(40)
    other = start(model=Model("another"))
    assert other.figures["learned_from"] == 0


def test_what_was_learned_is_shared_when_a_process_ends(start: Any, redis_url: str, namespace: str) -> None:
    process = Process(redis_url, namespace)
    for number in range(10):
        process.ask(number)
    process.reranker.close()
    assert start().figures["learned_from"] == 10


def test_damaged_sums_are_an_event_and_are_learned_anew(start: Any, redis_url: str, namespace: str) -> None:
    process = start(mode="measure")
    process.learn(40)
    sums = PruningStore(process.reranker.cache.backend.connection, namespace, "model", ChanceEmbedder.name)
    numbers = sums.read_sums().sums.copy()
    numbers[3:103] *= -1
    sums.drop_sums()
    sums.add_sums(Statistics(numbers))
    process.ask(1000)
    process.drain()
    assert [event.step for event in process.events_of(CacheFailed)] == ["Learn"]
    assert "damaged in Redis; it is learned anew" in process.events_of(CacheFailed)[0].error
    process.learn(40, start=2000)
    assert process.figures["learned_from"] >= 40


def test_a_tenant_teaches_no_more_than_all_others(start: Any) -> None:
    shares = TenantShares()
    assert all(shares.admits("only") for _ in range(500))
    assert all(shares.admits(f"other {n}") for n in range(40))
    assert not shares.admits("only")
    while not shares.admits("only"):
        assert shares.admits("another")


def test_tenants_that_come_and_go_are_forgotten() -> None:
    shares = TenantShares()
    for number in range(20_000):
        shares.admits(f"tenant {number}")
    assert "4096" not in repr(shares)
    assert int(repr(shares).split()[2]) <= 4096


def test_documents_are_embedded_once_and_their_vectors_are_learned_from(start: Any) -> None:
    process = start(mode="measure", document_vectors="embed")
    embedder = process.reranker.cache.backend.embedder
    process.reranker.audit.pruning.documents.share_of_time = 1.0
    process.ask(0)
    process.drain()
    assert set(DOCUMENTS) <= set(embedder.texts)
    embedder.texts.clear()
    process.learn(40, start=1)
    assert not set(DOCUMENTS) & set(embedder.texts)
    sums = PruningStore(process.reranker.cache.backend.connection, process.namespace, "model", ChanceEmbedder.name)
    rows = sums.read_sums().part("rows").reshape(len(FEATURES) + 1, -1)
    place = FEATURES.index("cosine")
    assert rows[place, place] >= 39 * len(DOCUMENTS)


def test_vectors_that_callers_pass_are_learned_from_unless_that_is_off(start: Any) -> None:
    vectors = ChanceEmbedder().embed(DOCUMENTS)
    for document_vectors, times in (("given", 1), ("off", 0)):
        process = start(model=Model(document_vectors), mode="measure", document_vectors=document_vectors)
        process.ask(0, document_vectors=vectors)
        process.drain()
        store = PruningStore(
            process.reranker.cache.backend.connection, process.namespace, document_vectors, ChanceEmbedder.name
        )
        rows = store.read_sums().part("rows").reshape(len(FEATURES) + 1, -1)
        place = FEATURES.index("cosine")
        assert rows[place, place] == times * len(DOCUMENTS)


def test_an_embedder_that_fails_is_an_event_and_requests_go_on(start: Any) -> None:
    process = start(mode="measure", document_vectors="embed")
    process.reranker.audit.pruning.documents.share_of_time = 1.0
    process.reranker.cache.backend.embedder.fails = True
    assert process.ask(0).status is Status.FRESH
    process.drain()
    assert "EmbedDocuments" in {event.step for event in process.events_of(CacheFailed)}


def test_a_private_scope_is_not_learned_from(start: Any) -> None:
    class Unrepeatable(Model):
        calls = 0

        def score_of(self, query: str, text: str) -> float:
            self.calls += 1
            return super().score_of(query, text) + self.calls

        identified_by = "probe"

    process = start(model=Unrepeatable("chance"))
    process.learn(3)
    assert process.reranker.cache.scoped.is_private
    assert process.ask(100).why == "near queries are not looked for"
