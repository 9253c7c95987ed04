"""The quality monitor end to end: a scripted reranker behind a cache on a real Redis."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np
import pytest

from semcache.audit.auditor import Auditor
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.events import AuditDropped, CacheFailed, Event, TrustChanged
from semcache.flow.outcome import all_known
from semcache.flow.requests import checked_request
from semcache.protocols import FloatArray, Guard, Pair, Scored
from semcache.quality.statistics import Floats
from semcache.ranking import Ranking, Status
from semcache.redis.keys import KeySpace
from semcache.settings import Settings
from tests.fakes import CountingOrder

E = TypeVar("E")

PATIENCE_S = 30  # how long a test waits for a background thread before it fails
DOCUMENTS = [f"passage {n}" for n in range(24)]


def numbers(*parts: object) -> np.random.Generator:
    """Chance that depends on nothing but these parts."""
    return np.random.default_rng(int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest()))


class DialEmbedder:
    """``"<topic> <wording> <similarity>"`` has exactly this similarity to the topic itself, ``"<topic> 0 1"``."""

    name = "dial"
    dims = 32

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.array([self._vector(*text.split()) for text in texts], dtype=np.float32)

    def _vector(self, topic: str, wording: str, similarity: str) -> Floats:
        topic_vector = self._unit(numbers("topic", topic).normal(size=self.dims))
        other = numbers("wording", topic, wording).normal(size=self.dims)
        other = self._unit(other - (other @ topic_vector) * topic_vector)
        cosine = float(similarity)
        return cosine * topic_vector + np.sqrt(1 - cosine**2) * other

    @staticmethod
    def _unit(vector: Floats) -> Floats:
        return vector / np.linalg.norm(vector)


class Model:
    """Scores by topic and passage, off a little by wording; another ``seed`` is another model under the same name.

    ``spread`` is how far the passages of a topic are apart, ``batch_noise`` how much a score depends on what else is in
    the batch.
    """

    name = "model"
    listwise = False

    def __init__(self) -> None:
        self.seed = 0
        self.noise = 0.05
        self.spread = 4.0
        self.batch_noise = 0.0
        self.threads: list[str] = []
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        scores = np.array([self.score_of(*pair) for pair in pairs])
        if self.batch_noise:
            scores += numbers("batch", *pairs).normal(scale=self.batch_noise, size=len(pairs))
        return scores.astype(np.float32)

    def score_of(self, query: str, text: str) -> float:
        topic, wording, _ = query.split()
        drift = numbers(wording, text).normal(scale=self.noise)
        return numbers(self.seed, topic, text).normal(scale=self.spread) + drift


class Process:
    """One process: its own connection, cache and model, and a list of what happened."""

    def __init__(
        self,
        url: str,
        namespace: str,
        *,
        ladder: Callable[[Any], Any] | None = None,
        guard: Guard | None = None,
        **reuse: float,
    ) -> None:
        self.events: list[Event] = []
        knobs = {"audit_rate": 1.0, "quality_budget": 0.05, **reuse}
        settings = Settings(cache={"namespace": namespace}, reuse=knobs)
        self.model = Model()
        self.cache = RedisSemanticCache(
            url, DialEmbedder(), 0.97, guard=guard, settings=settings, observers=[self.events.append]
        )
        self.reranker = CachedReranker(self.model if ladder is None else ladder(self.model), self.cache)
        self.cache = self.reranker.cache
        self.audit = self.reranker.audit
        assert self.audit.drain(PATIENCE_S)

    def ask(self, topic: object, wording: int = 0, similarity: float = 1.0, tenant: str = "") -> Ranking[Any]:
        """One request, and everything it sets going in the background."""
        ranking = self.reranker.rerank(f"{topic} {wording} {similarity}", DOCUMENTS, 5, tenant=tenant)
        assert self.audit.drain(PATIENCE_S)
        return ranking

    def events_of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def bands(self) -> dict[str, Any]:
        return self.reranker.get_stats()["quality"]["bands"]


StartProcess = Callable[..., Process]


@pytest.fixture
def start_process(redis_url: str, namespace: str) -> Iterator[StartProcess]:
    processes: list[Process] = []

    def start(**options: Any) -> Process:
        processes.append(Process(redis_url, namespace, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.model.gate.set()
        process.reranker.close()


def until(condition: Callable[[], object], steps: Iterable[Callable[[], object]]) -> int:
    """How many of the steps it took; fails when there were not enough."""
    for count, step in enumerate(steps, start=1):
        step()
        if condition():
            return count
    raise AssertionError("the condition was never met")


class TestPoisoned:
    def test_exact_hits_of_another_model_are_noticed_and_what_they_hold_is_only_verified(
        self, start_process: StartProcess
    ) -> None:
        process = start_process()
        for topic in range(150):
            assert process.ask(topic).status is Status.FRESH
        for topic in range(40):
            assert process.ask(topic).status is Status.EXACT
        assert process.events_of(TrustChanged) == []
        process.model.seed = 1
        steps = [lambda topic=topic: process.ask(topic) for topic in range(150)]
        assert until(lambda: process.events_of(TrustChanged), steps) <= 60
        (event,) = process.events_of(TrustChanged)
        assert (event.old, event.new) == (0.97, np.inf)
        assert "scored differently" in event.reason
        ranking = process.ask(149)
        assert ranking.status is not Status.EXACT
        assert ranking.asked >= 5
        truth = {text: process.model.score_of("149 0 1.0", text) for text in DOCUMENTS}
        for document, score in zip(ranking.documents, ranking.scores, strict=True):
            assert score == pytest.approx(truth[document], abs=1e-4)

    def test_near_hits_of_another_model_are_noticed(self, start_process: StartProcess) -> None:
        process = start_process()
        for topic in range(60):
            process.ask(topic)
            assert process.ask(topic, 1, 0.985).status is Status.SEMANTIC
        assert process.events_of(TrustChanged) == []
        process.model.seed = 1
        steps = [lambda topic=topic: process.ask(topic, 2, 0.985) for topic in range(60)]
        assert until(lambda: process.events_of(TrustChanged), steps) <= 40
        assert process.ask(0, 3, 0.985).status is not Status.SEMANTIC

    def test_verified_hits_alone_tell_that_cached_orders_are_worth_nothing(self, start_process: StartProcess) -> None:
        process = start_process(audit_rate=1e-9)
        for topic in range(140):
            process.ask(topic)
        for topic in range(40):
            assert process.ask(topic, 1, 0.9).status is Status.VERIFIED
        assert process.events_of(TrustChanged) == []
        process.model.seed = 1
        steps = [lambda topic=topic: process.ask(topic, 2, 0.9) for topic in range(40, 140)]
        assert until(lambda: process.events_of(TrustChanged), steps) <= 100
        assert process.events_of(TrustChanged)[0].reason == "cached orders are worth nothing"

    def test_trust_returns_after_the_model_is_mended(self, start_process: StartProcess) -> None:
        process = start_process()
        for topic in range(40):
            process.ask(topic)
        process.model.seed = 1
        until(lambda: process.events_of(TrustChanged), [lambda topic=topic: process.ask(topic) for topic in range(40)])
        process.model.seed = 0
        steps = [
            step
            for wording in range(1, 12)
            for topic in range(40)
            for step in (lambda t=topic: process.ask(t), lambda t=topic, w=wording: process.ask(t, w, 0.98))
        ]
        until(
            lambda: process.cache.scoped.policy().trust_exact and process.events_of(TrustChanged)[-1].new == 0.97, steps
        )
        assert process.reranker.get_stats()["quality"]["trust_threshold"] == 0.97
        assert process.cache.scoped.policy().trust_exact
        assert process.ask(0).status is Status.EXACT
        assert process.ask(0, 99, 0.99).status is Status.SEMANTIC


class TestTenants:
    """Tenants ``a``, ``b`` and ``c`` are in groups of their own."""

    def ask_both(self, process: Process, topic: int, wording: int = 0, similarity: float = 1.0) -> list[Ranking[Any]]:
        return [process.ask(topic, wording, similarity, tenant) for tenant in ("a", "b")]

    def worthless(self, process: Process, topic: int, wording: int, similarity: float, tenant: str) -> Ranking[Any]:
        """A request whose scores have nothing to do with those of its neighbours."""
        noise, process.model.noise = process.model.noise, 50.0
        ranking = process.ask(topic, wording, similarity, tenant)
        process.model.noise = noise
        return ranking

    @pytest.mark.parametrize(("similarity", "status"), [(0.9, Status.VERIFIED), (0.985, Status.SEMANTIC)])
    def test_worthless_orders_of_one_tenant_withdraw_its_trust_and_not_that_of_others(
        self, start_process: StartProcess, similarity: float, status: Status
    ) -> None:
        process = start_process()
        for topic in range(8):
            self.ask_both(process, topic)
            process.ask(topic, tenant="c")
        for number in range(1, 57):
            for ranking in self.ask_both(process, number % 8, number, similarity):
                assert ranking.status is status
            self.worthless(process, number % 8, number, similarity, "c")
        (event,) = {event.scope for event in process.events_of(TrustChanged)}
        assert event.endswith(", a group of tenants")
        assert {ranking.status for ranking in self.ask_both(process, 0, 99, 0.985)} == {Status.SEMANTIC}
        ranking = process.ask(0, 99, 0.985, "c")
        assert ranking.status is not Status.SEMANTIC
        assert "trust withdrawn" in (ranking.why or "")
        quality = process.reranker.get_stats()["quality"]
        assert (quality["trust_threshold"], quality["tenant_groups_with_less_trust"]) == (0.97, 1)

    def test_a_tenant_that_comes_first_withdraws_only_its_own(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(0, tenant="c")
        for number in range(1, 57):
            self.worthless(process, 0, number, 0.985, "c")
        assert process.reranker.get_stats()["quality"]["trust_threshold"] != 0.97
        process.ask(0, tenant="a")
        assert process.ask(0, 1, 0.985, "a").status is Status.SEMANTIC

    def test_what_several_tenants_see_is_withdrawn_for_all(self, start_process: StartProcess) -> None:
        process = start_process()
        for topic in range(40):
            self.ask_both(process, topic)
            process.ask(topic, tenant="c")
        process.model.seed = 1

        def is_withdrawn_for_all() -> bool:
            scopes = {event.scope for event in process.events_of(TrustChanged)}
            return any(not scope.endswith("tenants") for scope in scopes)

        until(is_withdrawn_for_all, [lambda topic=topic: self.ask_both(process, topic) for topic in range(40)])
        assert process.ask(0, tenant="c").status is not Status.EXACT


class TestHealthy:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_noisy_model_is_trusted_on(self, start_process: StartProcess, seed: int) -> None:
        """Noise as that of an int8 model: 0.16 per score, another one in every look."""
        process = start_process(quality_budget=0.01)
        process.model.noise = 0.16
        for topic in range(seed * 100, seed * 100 + 60):
            process.ask(topic)
            process.ask(topic)
            process.ask(topic, 1, 0.985)
            process.ask(topic, 2, 0.85)
        assert process.events_of(TrustChanged) == []
        assert process.bands["exact"]["n"] >= 50
        assert process.bands["0.98"]["n"] >= 50

    def test_an_audited_near_hit_is_an_exact_one_afterwards(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(1)
        assert process.ask(1, 1, 0.98).status is Status.SEMANTIC
        ranking = process.ask(1, 1, 0.98)
        assert ranking.status is Status.EXACT
        assert ranking.scores[0] == pytest.approx(process.model.score_of("1 1 0.98", ranking[0]), abs=1e-4)

    def test_statistics_name_what_was_seen(self, start_process: StartProcess) -> None:
        process = start_process()
        assert process.reranker.get_stats()["quality"]["bands"] == {}
        for topic in range(8):
            process.ask(topic)
            process.ask(topic)
        summary = process.bands["exact"]
        assert summary["n"] == 8
        assert (summary["loss"], summary["overlap"], summary["drift"]) == (0, 1, pytest.approx(0, abs=1e-5))


class TestNoise:
    """Passages that differ in one number, and a model that rounds by the batch, as those of eight bits do."""

    @pytest.fixture
    def process(self, start_process: StartProcess) -> Process:
        process = start_process(quality_budget=0.01)
        process.model.noise, process.model.spread, process.model.batch_noise = 0.0, 0.02, 0.1
        return process

    def test_near_ties_are_trusted_on(self, process: Process) -> None:
        for topic in range(60):
            assert process.ask(topic).status is Status.FRESH
            assert process.ask(topic).status is Status.EXACT
            assert process.ask(topic, 1, 0.985).status is Status.SEMANTIC
            assert process.ask(topic, 2, 0.85).status is Status.VERIFIED
        assert process.events_of(TrustChanged) == []
        # Of the orders of 24 passages by chance more than a third is lost.
        assert process.bands["exact"]["loss"] < 0.01
        assert process.bands["0.98"]["loss"] < 0.01
        # Twice the standard deviation of the difference of two answers.
        assert process.reranker.get_stats()["quality"]["tolerance"] == pytest.approx(2 * np.sqrt(2) * 0.1, rel=0.2)

    def test_another_model_with_the_same_noise_is_noticed(self, process: Process) -> None:
        process.model.spread = 4.0
        for topic in range(60):
            process.ask(topic)
        process.model.seed = 1
        steps = [lambda topic=topic: process.ask(topic) for topic in range(60)]
        assert until(lambda: process.events_of(TrustChanged), steps) <= 40
        assert not process.cache.scoped.policy().trust_exact

    def test_another_model_without_noise_is_noticed_among_near_ties(self, process: Process) -> None:
        process.model.batch_noise = 0.0
        for topic in range(60):
            process.ask(topic)
        process.model.seed = 1
        steps = [lambda topic=topic: process.ask(topic) for topic in range(60)]
        assert until(lambda: process.events_of(TrustChanged), steps) <= 40
        assert process.reranker.get_stats()["quality"]["tolerance"] == 0

    def test_without_time_for_a_second_answer_the_loss_counts(
        self, process: Process, start_process: StartProcess
    ) -> None:
        asked: list[int] = []

        class Ladder:
            def score_when_idle(self, query: str, texts: Sequence[str], positions: Sequence[int]) -> Scored:
                asked.extend(positions)
                if len(asked) > len(DOCUMENTS):
                    return Scored(None, "model", "busy")
                return Scored(process.model.score([(query, texts[at]) for at in positions]), "model")

        ladder: Any = Ladder()
        auditor = Auditor(process.cache.scoped, ladder, audit_rate=1.0, quality_budget=0.01)
        cached = all_known([float(number) for number in range(len(DOCUMENTS))], Status.EXACT, "model")
        auditor.consider(checked_request("1 0 1.0", DOCUMENTS, 5), cached)
        assert auditor.drain(PATIENCE_S)
        auditor.close()
        assert sorted(asked[: len(DOCUMENTS)]) == list(range(len(DOCUMENTS)))
        assert process.events_of(AuditDropped) == [AuditDropped("busy")]
        assert auditor.snapshot()["tolerance"] == 0
        seen = start_process().bands["exact"]
        assert (seen["n"], seen["loss"] > 0.1) == (1, True)

    def test_it_is_measured_where_there_are_no_audits(self, start_process: StartProcess) -> None:
        process = start_process(quality_budget=0.01, audit_rate=1e-9)
        process.model.noise, process.model.spread, process.model.batch_noise = 0.0, 0.02, 0.1
        for topic in range(60):
            process.ask(topic)
            assert process.ask(topic, 1, 0.96).asked > 0
        assert process.reranker.get_stats()["quality"]["tolerance"] == pytest.approx(2 * np.sqrt(2) * 0.1, rel=0.4)
        assert process.events_of(TrustChanged) == []
        assert process.bands["0.96"]["loss"] < 0.02

    def test_it_is_measured_by_some_pairs_now_and_then(self, process: Process) -> None:
        asked: list[int] = []
        now = 0.0

        class Ladder:
            def score_when_idle(self, query: str, texts: Sequence[str], positions: Sequence[int]) -> Scored:
                asked.extend(positions)
                return Scored(process.model.score([(query, texts[at]) for at in positions]), "model")

        def asked_again() -> int:
            """Of how many pairs an audit wanted a second answer."""
            asked.clear()
            auditor.consider(checked_request("1 0 1.0", DOCUMENTS, 5), cached)
            assert auditor.drain(PATIENCE_S)
            return len(asked) - len(DOCUMENTS)

        ladder: Any = Ladder()
        auditor = Auditor(process.cache.scoped, ladder, audit_rate=1.0, quality_budget=0.01, clock=lambda: now)
        cached = all_known([float(number) for number in range(len(DOCUMENTS))], Status.EXACT, "model")
        for _ in range(8):
            assert [asked_again(), asked_again()] == [16, 0]
            now += 11
        assert [asked_again(), asked_again()] == [16, 0]
        now += 300
        assert asked_again() == 0, "it is well known by now"
        now += 301
        assert asked_again() == 16
        auditor.close()


class TestShared:
    def test_what_one_process_learns_another_follows_and_a_later_one_starts_with(
        self, start_process: StartProcess
    ) -> None:
        one, other = start_process(), start_process()
        for topic in range(60):
            one.ask(topic)
        one.model.seed = other.model.seed = 1
        # Half of the evidence each: neither would have seen enough alone after so few.
        steps = [lambda s=process, t=topic: s.ask(t) for topic in range(60) for process in (one, other)]
        until(lambda: one.events_of(TrustChanged) and other.events_of(TrustChanged), steps)
        one.reranker.close()
        later = start_process()
        assert not later.cache.scoped.policy().trust_exact
        assert not later.cache.scoped.policy().trust_near
        assert later.events_of(TrustChanged)[0].new == np.inf

    def test_another_reranker_on_the_same_connection_is_not_concerned(self, start_process: StartProcess) -> None:
        process = start_process()
        for topic in range(40):
            process.ask(topic)
        process.model.seed = 1
        until(lambda: process.events_of(TrustChanged), [lambda topic=topic: process.ask(topic) for topic in range(40)])
        assert process.cache.of("another").scoped.policy() == process.cache.backend.policy


class TestOffThePath:
    def test_audits_run_on_a_thread_of_their_own(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(1)
        assert set(process.model.threads) == {threading.current_thread().name}
        process.model.threads.clear()
        process.ask(1)
        assert set(process.model.threads) == {"semcache-audit"}
        assert len(process.model.threads) == len(DOCUMENTS) / 8  # in pieces, so that no request waits long

    def test_an_answer_does_not_wait_for_its_audit(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(1)
        process.model.gate.clear()
        process.model.entered.clear()
        assert process.reranker.rerank("1 0 1.0", DOCUMENTS, 5).status is Status.EXACT
        assert process.model.entered.wait(PATIENCE_S)  # the audit is in the model, and we are here
        process.model.gate.set()

    def test_no_more_than_a_few_wait(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(1)
        process.model.gate.clear()
        process.model.entered.clear()
        process.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert process.model.entered.wait(PATIENCE_S)
        for _ in range(7):
            process.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert process.events_of(AuditDropped) == [AuditDropped("queue")] * 3
        process.model.gate.set()

    @pytest.mark.parametrize("behind", ["bare", "ladder"])
    def test_a_busy_reranker_is_not_disturbed(self, start_process: StartProcess, behind: str) -> None:
        process = start_process(ladder=None if behind == "bare" else _ladder)
        process.ask(1)
        process.model.gate.clear()
        process.model.entered.clear()
        request = threading.Thread(target=process.reranker.rerank, args=("2 0 1.0", DOCUMENTS))
        request.start()
        assert process.model.entered.wait(PATIENCE_S)
        assert process.ask(1).status is Status.EXACT
        assert process.events_of(AuditDropped) == [AuditDropped("busy")]
        process.model.gate.set()
        request.join(PATIENCE_S)

    def test_a_request_waits_for_one_piece_of_an_audit_only(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(1)
        process.model.threads.clear()
        process.model.gate.clear()
        process.model.entered.clear()
        process.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert process.model.entered.wait(PATIENCE_S)
        answered = []
        request = threading.Thread(
            target=lambda: answered.append(process.reranker.rerank("2 0 1.0", DOCUMENTS)), name="request"
        )
        request.start()
        process.model.gate.set()
        request.join(PATIENCE_S)
        assert answered[0].status is Status.FRESH
        assert "request" in process.model.threads

    def test_a_degraded_primary_is_left_alone_and_no_fallback_is_asked(self, start_process: StartProcess) -> None:
        process = start_process(ladder=_ladder)
        process.ask(1)
        process.reranker.ladder.force_open()
        process.model.threads.clear()
        assert process.ask(1).status is Status.EXACT
        assert process.events_of(AuditDropped) == [AuditDropped("degraded")]
        assert process.model.threads == []
        assert process.bands == {}

    def test_an_audit_that_fails_is_told_and_forgotten(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(1)
        process.model.error = RuntimeError("scripted")
        assert process.ask(1).status is Status.EXACT
        assert process.events_of(AuditDropped) == [AuditDropped("error")]
        assert process.bands == {}

    def test_closing_ends_an_audit_under_way(self, start_process: StartProcess) -> None:
        process = start_process()
        process.ask(1)
        process.model.threads.clear()
        process.model.gate.clear()
        process.model.entered.clear()
        process.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert process.model.entered.wait(PATIENCE_S)
        closing = threading.Thread(target=process.audit.close, args=(PATIENCE_S,))
        closing.start()
        while not process.audit.is_closed:
            closing.join(0.001)
        process.model.gate.set()
        closing.join(PATIENCE_S)
        assert len(process.model.threads) == 1


class TestOff:
    def test_without_a_rate_nothing_is_spent(self, start_process: StartProcess, namespace: str) -> None:
        process = start_process(audit_rate=0)
        before = {thread.name for thread in threading.enumerate()}
        for wording, similarity in ((0, 1.0), (0, 1.0), (1, 0.98), (2, 0.8)):
            process.ask(1, wording, similarity)
        # Queries are embedded in a thread of their own, and leases renewed; the first request may have started both.
        assert {thread.name for thread in threading.enumerate()} - before <= {"semcache-embed", "semcache-lease"}
        assert "semcache-audit" not in before | set(process.model.threads)
        assert process.bands == {}
        key = f"{KeySpace.of(namespace, 'model', 'dial').base}:q"
        assert not process.cache.backend.connection.client.exists(key)

    def test_a_listwise_reranker_is_not_watched(self, start_process: StartProcess) -> None:
        order = CountingOrder()
        process = start_process(ladder=lambda model: order)
        process.ask(1)
        asked = len(order.pairs)
        assert process.ask(1).status is Status.EXACT
        assert len(order.pairs) == asked
        assert process.bands == {}

    def test_redis_away_is_told_once_and_answers_go_on(self, namespace: str) -> None:
        events: list[Event] = []
        settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 1.0})
        cache = RedisSemanticCache("redis://localhost:1", DialEmbedder(), settings=settings, observers=[events.append])
        with CachedReranker(Model(), cache) as reranker:
            assert reranker.audit.drain(PATIENCE_S)
            assert reranker.rerank("1 0 1.0", DOCUMENTS).status is Status.FRESH
            assert reranker.audit.drain(PATIENCE_S)
        assert [event.step for event in events if isinstance(event, CacheFailed)].count("Quality") == 1


class TestScope:
    def test_what_is_seen_after_a_move_counts_in_the_other_scope(
        self, start_process: StartProcess, namespace: str
    ) -> None:
        process = start_process()
        process.ask(1)
        process.ask(1)
        key = f"{KeySpace.of(namespace, 'model~other', 'dial').base}:q"
        assert not process.cache.backend.connection.client.exists(key)
        process.cache.scoped.move("model~other", listwise=False, is_private=False)
        process.ask(1)
        assert process.ask(1).status is Status.EXACT
        assert process.cache.backend.connection.client.exists(key)

    def test_a_private_scope_is_not_watched(self, start_process: StartProcess) -> None:
        process = start_process()
        process.cache.scoped.move("model~private-0", listwise=False, is_private=True)
        process.ask(1)
        assert process.ask(1).status is Status.EXACT
        assert process.bands == {}


class TestSampling:
    def test_the_share_is_that_of_the_rate(self, start_process: StartProcess) -> None:
        process = start_process()
        rolls = iter([0.009, 0.011, 0.5, 0.001])
        auditor = Auditor(
            process.reranker.cache.scoped,
            process.reranker.ladder,
            audit_rate=0.01,
            quality_budget=0.05,
            rng=lambda: next(rolls),
        )
        request = checked_request("1 0 1.0", DOCUMENTS, 5)
        exact = all_known([0.0] * len(DOCUMENTS), Status.EXACT, process.model.name)
        audited = []
        for _ in range(4):
            before = len(process.model.threads)
            auditor.consider(request, exact)
            assert auditor.drain(PATIENCE_S)
            audited.append(len(process.model.threads) > before)
        auditor.close()
        assert audited == [True, False, False, True]

    def test_what_a_guard_tells_apart_teaches_nothing_about_trust(self, start_process: StartProcess) -> None:
        class Wordings:
            def cues(self, query: str) -> bytes:
                return query.split()[1].encode()

            def difference(self, ours: bytes, theirs: bytes, similarity: float = 1.0) -> str | None:
                return None if ours == theirs else "wording"

        process = start_process(guard=Wordings())
        for topic in range(10):
            process.ask(topic)
            assert process.ask(topic, 1, 0.99).status is Status.VERIFIED
        assert process.bands == {}


def _ladder(model: Model) -> DegradableReranker:
    return DegradableReranker(model, CountingOrder("fallback"), LatencyMonitor())


class Service(Model):
    """An asynchronous client, of which each call is billed."""

    is_loop_bound = False

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []

    async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        self.calls.append(len(pairs))
        return self.score(pairs)


def test_a_service_behind_a_ladder_is_audited_by_one_call(redis_url: str, namespace: str) -> None:
    events: list[Event] = []
    settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 1.0})
    service = Service()
    ladder = DegradableReranker(service, None, LatencyMonitor(p95_threshold=PATIENCE_S), probe=False)
    cache = RedisSemanticCache(redis_url, DialEmbedder(), guard=None, settings=settings, observers=[events.append])
    with ladder, CachedReranker(ladder, cache) as reranker:
        assert reranker.rerank("moon 0 1.0", DOCUMENTS).status is Status.FRESH
        assert reranker.rerank("moon 1 0.999", DOCUMENTS).status is Status.SEMANTIC
        assert reranker.audit.drain(PATIENCE_S)
    assert service.calls == [len(DOCUMENTS)] * 2
    assert not [event for event in events if isinstance(event, AuditDropped)]
