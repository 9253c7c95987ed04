"""The quality monitor end to end: a scripted reranker behind a cache on a real Redis."""

import threading
from hashlib import blake2b

import numpy as np
import pytest

from semcache.audit.auditor import Auditor
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.degradation.monitor import LatencyMonitor
from semcache.degradation.reranker import DegradableReranker
from semcache.entries.fingerprint import index_id
from semcache.events import AuditDropped, CacheFailed, TrustChanged
from semcache.ranking import Status
from semcache.settings import Settings
from tests.fakes import CountingOrder

PATIENCE_S = 30  # how long a test waits for a background thread before it fails
DOCUMENTS = [f"passage {n}" for n in range(24)]


def numbers(*parts: object) -> np.random.Generator:
    """Chance that depends on nothing but these parts."""
    return np.random.default_rng(int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest()))


class DialEmbedder:
    """``"<topic> <wording> <similarity>"`` has exactly this similarity to the topic itself, ``"<topic> 0 1"``."""

    name = "dial"
    dims = 32

    def embed(self, texts):
        return np.array([self._vector(*text.split()) for text in texts], dtype=np.float32)

    def _vector(self, topic, wording, similarity):
        topic_vector = self._unit(numbers("topic", topic).normal(size=self.dims))
        other = numbers("wording", topic, wording).normal(size=self.dims)
        other = self._unit(other - (other @ topic_vector) * topic_vector)
        cosine = float(similarity)
        return cosine * topic_vector + np.sqrt(1 - cosine**2) * other

    @staticmethod
    def _unit(vector):
        return vector / np.linalg.norm(vector)


class Model:
    """Scores by topic and passage, off a little by wording; another ``seed`` is another model under the same name."""

    name = "model"
    listwise = False

    def __init__(self):
        self.seed = 0
        self.noise = 0.05
        self.threads = []
        self.entered = threading.Event()
        self.breaker = threading.Event()
        self.breaker.set()
        self.error = None

    def score(self, pairs):
        self.threads.append(threading.current_thread().name)
        self.entered.set()
        assert self.breaker.wait(PATIENCE_S)
        if self.error is not None:
            raise self.error
        return np.array([self.score_of(*pair) for pair in pairs], dtype=np.float32)

    def score_of(self, query, text):
        topic, wording, _ = query.split()
        drift = numbers(wording, text).normal(scale=self.noise)
        return numbers(self.seed, topic, text).normal(scale=4) + drift


class Scope:
    """One process: its own connection, cache and model, and a list of what happened."""

    def __init__(self, url, namespace, *, ladder=None, **reuse):
        self.events = []
        knobs = {"audit_rate": 1.0, "quality_budget": 0.05, **reuse}
        settings = Settings(cache={"namespace": namespace}, reuse=knobs)
        self.model = Model()
        self.cache = RedisSemanticCache(
            url, DialEmbedder(), 0.97, guard=None, settings=settings, observers=[self.events.append]
        )
        self.reranker = CachedReranker(self.model if ladder is None else ladder(self.model), self.cache)
        self.cache = self.reranker.cache
        self.audit = self.reranker.audit
        assert self.audit.drain(PATIENCE_S)

    def ask(self, topic, wording=0, similarity=1.0):
        """One request, and everything it sets going in the background."""
        ranking = self.reranker.rerank(f"{topic} {wording} {similarity}", DOCUMENTS, 5)
        assert self.audit.drain(PATIENCE_S)
        return ranking

    def told(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def bands(self):
        return self.reranker.get_stats()["quality"]["bands"]


@pytest.fixture
def open_scope(redis_url, namespace):
    scopes = []

    def open_scope(**options):
        scopes.append(Scope(redis_url, namespace, **options))
        return scopes[-1]

    yield open_scope
    for scope in scopes:
        scope.model.breaker.set()
        scope.reranker.close()


def until(condition, steps):
    """How many of the steps it took; fails when there were not enough."""
    for count, step in enumerate(steps, start=1):
        step()
        if condition():
            return count
    raise AssertionError("the condition was never met")


class TestPoisoned:
    def test_exact_hits_of_another_model_are_noticed_and_what_they_hold_is_only_verified(self, open_scope):
        scope = open_scope()
        for topic in range(150):
            assert scope.ask(topic).status is Status.FRESH
        for topic in range(40):
            assert scope.ask(topic).status is Status.EXACT
        assert scope.told(TrustChanged) == []
        scope.model.seed = 1
        steps = [lambda topic=topic: scope.ask(topic) for topic in range(150)]
        assert until(lambda: scope.told(TrustChanged), steps) <= 60
        (event,) = scope.told(TrustChanged)
        assert (event.old, event.new) == (0.97, np.inf)
        assert "scored differently" in event.reason
        ranking = scope.ask(149)
        assert ranking.status is not Status.EXACT
        assert ranking.asked >= 5
        truth = {text: scope.model.score_of("149 0 1.0", text) for text in DOCUMENTS}
        for document, score in zip(ranking.documents, ranking.scores, strict=True):
            assert score == pytest.approx(truth[document], abs=1e-4)

    def test_near_hits_of_another_model_are_noticed(self, open_scope):
        scope = open_scope()
        for topic in range(60):
            scope.ask(topic)
            assert scope.ask(topic, 1, 0.985).status is Status.SEMANTIC
        assert scope.told(TrustChanged) == []
        scope.model.seed = 1
        steps = [lambda topic=topic: scope.ask(topic, 2, 0.985) for topic in range(60)]
        assert until(lambda: scope.told(TrustChanged), steps) <= 40
        assert scope.ask(0, 3, 0.985).status is not Status.SEMANTIC

    def test_verified_hits_alone_tell_that_cached_orders_are_worth_nothing(self, open_scope):
        scope = open_scope(audit_rate=1e-9)
        for topic in range(140):
            scope.ask(topic)
        for topic in range(40):
            assert scope.ask(topic, 1, 0.9).status is Status.VERIFIED
        assert scope.told(TrustChanged) == []
        scope.model.seed = 1
        steps = [lambda topic=topic: scope.ask(topic, 2, 0.9) for topic in range(40, 140)]
        assert until(lambda: scope.told(TrustChanged), steps) <= 100
        assert scope.told(TrustChanged)[0].reason == "cached orders are worth nothing"

    def test_trust_returns_after_the_model_is_mended(self, open_scope):
        scope = open_scope()
        for topic in range(40):
            scope.ask(topic)
        scope.model.seed = 1
        until(lambda: scope.told(TrustChanged), [lambda topic=topic: scope.ask(topic) for topic in range(40)])
        scope.model.seed = 0
        steps = [
            step
            for wording in range(1, 12)
            for topic in range(40)
            for step in (lambda t=topic: scope.ask(t), lambda t=topic, w=wording: scope.ask(t, w, 0.98))
        ]
        until(lambda: scope.cache.policy().trust_exact and scope.told(TrustChanged)[-1].new == 0.97, steps)
        assert scope.reranker.get_stats()["quality"]["trust_threshold"] == 0.97
        assert scope.cache.policy().trust_exact
        assert scope.ask(0).status is Status.EXACT
        assert scope.ask(0, 99, 0.99).status is Status.SEMANTIC


class TestHealthy:
    @pytest.mark.parametrize("seed", range(3))
    def test_a_noisy_model_is_trusted_on(self, open_scope, seed):
        """Noise as that of an int8 model: 0.16 per score, another one in every look."""
        scope = open_scope(quality_budget=0.01)
        scope.model.noise = 0.16
        for topic in range(seed * 100, seed * 100 + 60):
            scope.ask(topic)
            scope.ask(topic)
            scope.ask(topic, 1, 0.985)
            scope.ask(topic, 2, 0.85)
        assert scope.told(TrustChanged) == []
        assert scope.bands["exact"]["n"] >= 50
        assert scope.bands["0.98"]["n"] >= 50

    def test_an_audited_near_hit_is_an_exact_one_afterwards(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        assert scope.ask(1, 1, 0.98).status is Status.SEMANTIC
        ranking = scope.ask(1, 1, 0.98)
        assert ranking.status is Status.EXACT
        assert ranking.scores[0] == pytest.approx(scope.model.score_of("1 1 0.98", ranking[0]), abs=1e-4)

    def test_statistics_name_what_was_seen(self, open_scope):
        scope = open_scope()
        assert scope.reranker.get_stats()["quality"]["bands"] == {}
        for topic in range(8):
            scope.ask(topic)
            scope.ask(topic)
        summary = scope.bands["exact"]
        assert summary["n"] == 8
        assert (summary["loss"], summary["overlap"], summary["drift"]) == (0, 1, pytest.approx(0, abs=1e-5))


class TestShared:
    def test_what_one_process_finds_out_another_follows_and_a_later_one_starts_with(self, open_scope):
        one, other = open_scope(), open_scope()
        for topic in range(60):
            one.ask(topic)
        one.model.seed = other.model.seed = 1
        # Half of the evidence each: neither would have seen enough alone after so few.
        steps = [lambda s=scope, t=topic: s.ask(t) for topic in range(60) for scope in (one, other)]
        until(lambda: one.told(TrustChanged) and other.told(TrustChanged), steps)
        one.reranker.close()
        later = open_scope()
        assert not later.cache.policy().trust_exact
        assert not later.cache.policy().trust_near
        assert later.told(TrustChanged)[0].new == np.inf

    def test_another_reranker_on_the_same_connection_is_not_concerned(self, open_scope):
        scope = open_scope()
        for topic in range(40):
            scope.ask(topic)
        scope.model.seed = 1
        until(lambda: scope.told(TrustChanged), [lambda topic=topic: scope.ask(topic) for topic in range(40)])
        assert scope.cache.of("another").policy() == scope.cache.backend.policy


class TestOffThePath:
    def test_audits_run_on_a_thread_of_their_own(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        assert set(scope.model.threads) == {threading.current_thread().name}
        scope.model.threads.clear()
        scope.ask(1)
        assert set(scope.model.threads) == {"semcache-audit"}
        assert len(scope.model.threads) == len(DOCUMENTS) / 8  # in pieces, so that nobody waits long

    def test_an_answer_does_not_wait_for_its_audit(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        scope.model.breaker.clear()
        scope.model.entered.clear()
        assert scope.reranker.rerank("1 0 1.0", DOCUMENTS, 5).status is Status.EXACT
        assert scope.model.entered.wait(PATIENCE_S)  # the audit is in the model, and we are here
        scope.model.breaker.set()

    def test_no_more_than_a_few_wait(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        scope.model.breaker.clear()
        scope.model.entered.clear()
        scope.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert scope.model.entered.wait(PATIENCE_S)
        for _ in range(7):
            scope.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert scope.told(AuditDropped) == [AuditDropped("queue")] * 3
        scope.model.breaker.set()

    @pytest.mark.parametrize("behind", ["bare", "ladder"])
    def test_a_busy_reranker_is_not_disturbed(self, open_scope, behind):
        scope = open_scope(ladder=None if behind == "bare" else _ladder)
        scope.ask(1)
        scope.model.breaker.clear()
        scope.model.entered.clear()
        request = threading.Thread(target=scope.reranker.rerank, args=("2 0 1.0", DOCUMENTS))
        request.start()
        assert scope.model.entered.wait(PATIENCE_S)
        assert scope.ask(1).status is Status.EXACT
        assert scope.told(AuditDropped) == [AuditDropped("busy")]
        scope.model.breaker.set()
        request.join(PATIENCE_S)

    def test_a_request_waits_for_one_piece_of_an_audit_only(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        scope.model.threads.clear()
        scope.model.breaker.clear()
        scope.model.entered.clear()
        scope.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert scope.model.entered.wait(PATIENCE_S)
        answered = []
        request = threading.Thread(
            target=lambda: answered.append(scope.reranker.rerank("2 0 1.0", DOCUMENTS)), name="request"
        )
        request.start()
        scope.model.breaker.set()
        request.join(PATIENCE_S)
        assert answered[0].status is Status.FRESH
        assert "request" in scope.model.threads

    def test_a_degraded_primary_is_left_alone_and_no_fallback_is_asked(self, open_scope):
        scope = open_scope(ladder=_ladder)
        scope.ask(1)
        scope.reranker.ladder.force_open()
        scope.model.threads.clear()
        assert scope.ask(1).status is Status.EXACT
        assert scope.told(AuditDropped) == [AuditDropped("degraded")]
        assert scope.model.threads == []
        assert scope.bands == {}

    def test_an_audit_that_fails_is_told_and_forgotten(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        scope.model.error = RuntimeError("scripted")
        assert scope.ask(1).status is Status.EXACT
        assert scope.told(AuditDropped) == [AuditDropped("error")]
        assert scope.bands == {}

    def test_closing_ends_an_audit_under_way(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        scope.model.threads.clear()
        scope.model.breaker.clear()
        scope.model.entered.clear()
        scope.reranker.rerank("1 0 1.0", DOCUMENTS, 5)
        assert scope.model.entered.wait(PATIENCE_S)
        closing = threading.Thread(target=scope.audit.close, args=(PATIENCE_S,))
        closing.start()
        while not scope.audit.is_closed:
            closing.join(0.001)
        scope.model.breaker.set()
        closing.join(PATIENCE_S)
        assert len(scope.model.threads) == 1


class TestOff:
    def test_without_a_rate_nothing_is_spent(self, open_scope, namespace):
        scope = open_scope(audit_rate=0)
        before = {thread.name for thread in threading.enumerate()}
        for wording, similarity in ((0, 1.0), (0, 1.0), (1, 0.98), (2, 0.8)):
            scope.ask(1, wording, similarity)
        assert {thread.name for thread in threading.enumerate()} - before == set()
        assert "semcache-audit" not in before | set(scope.model.threads)
        assert scope.bands == {}
        key = f"semcache:{namespace}:{index_id('model', 'dial')}:q"
        assert not scope.cache.backend.connection.client.exists(key)

    def test_a_listwise_reranker_is_not_watched(self, open_scope):
        order = CountingOrder()
        scope = open_scope(ladder=lambda model: order)
        scope.ask(1)
        asked = len(order.pairs)
        assert scope.ask(1).status is Status.EXACT
        assert len(order.pairs) == asked
        assert scope.bands == {}

    def test_redis_away_is_told_once_and_answers_go_on(self, namespace):
        events = []
        settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 1.0})
        cache = RedisSemanticCache("redis://localhost:1", DialEmbedder(), settings=settings, observers=[events.append])
        with CachedReranker(Model(), cache) as reranker:
            assert reranker.audit.drain(PATIENCE_S)
            assert reranker.rerank("1 0 1.0", DOCUMENTS).status is Status.FRESH
            assert reranker.audit.drain(PATIENCE_S)
        assert [event.step for event in events if isinstance(event, CacheFailed)].count("Quality") == 1


class TestSampling:
    def test_the_share_is_that_of_the_rate(self, open_scope):
        scope = open_scope()
        scope.ask(1)
        rolls = iter([0.009, 0.011, 0.5, 0.001])
        auditor = Auditor(
            scope.reranker.cache, scope.reranker.ladder, audit_rate=0.01, quality_budget=0.05, rng=lambda: next(rolls)
        )
        scope.reranker.audit = scope.audit = auditor
        scope.model.threads.clear()
        audited = []
        for _ in range(4):
            before = len(scope.model.threads)
            scope.ask(1)
            audited.append(len(scope.model.threads) > before)
        assert audited == [True, False, False, True]

    def test_what_a_guard_tells_apart_teaches_nothing_about_trust(self, open_scope):
        class Wordings:
            def cues(self, query):
                return query.split()[1].encode()

            def difference(self, ours, theirs):
                return None if ours == theirs else "wording"

        scope = open_scope()
        backend = scope.cache.backend
        from dataclasses import replace

        backend.policy = replace(backend.policy, guard=Wordings())
        for topic in range(10):
            scope.ask(topic)
            assert scope.ask(topic, 1, 0.99).status is Status.VERIFIED
        assert scope.bands == {}


def _ladder(model):
    return DegradableReranker(model, CountingOrder("fallback"), LatencyMonitor())
