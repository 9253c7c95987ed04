"""Whose scores are served: of rerankers that differ in one thing only never each other's, of equal ones always."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from semcache import AsyncBatchReranker, DegradableReranker, LatencyMonitor, OptimizedRerankerPipeline
from semcache.cache import RedisSemanticCache
from semcache.cached import CachedReranker
from semcache.embedders import CallableEmbedder
from semcache.errors import ConfigurationError
from semcache.events import CacheFailed, Event, IdentityChanged
from semcache.identity.kinds import IdentifiedBy
from semcache.protocols import FloatArray, Pair
from semcache.ranking import Status
from semcache.rerankers import CrossEncoderReranker, OnnxCrossEncoder, adapt
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder

QUERY = "how many people live in berlin ?"
DOCUMENTS = ["paris is the capital of france .", "many people live in berlin", "museums"]


def unwatched(namespace: str) -> Settings:
    return Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def cache(redis_url: str, namespace: str, heard: list[Event]) -> Iterator[RedisSemanticCache]:
    with RedisSemanticCache(
        redis_url, WordEmbedder(), 0.9, settings=unwatched(namespace), observers=[heard.append]
    ) as cache:
        yield cache


def reasons(heard: Sequence[Event]) -> list[str]:
    return [event.reason for event in heard if isinstance(event, IdentityChanged)]


def closure(weight: float) -> Callable[[str, list[str]], list[float]]:
    def score(query: str, texts: list[str]) -> list[float]:
        return [weight * len(text) for text in texts]

    return score


@dataclass
class Service:
    """A client of a service whose model is replaced behind the same name."""

    version: int
    model: str = "rank-1"

    def rerank(self, query: str, documents: list[str], top_n: int) -> Any:
        scores = [len(text) if self.version == 1 else text.count("e") for text in documents]
        order = sorted(range(len(documents)), key=lambda place: -scores[place])
        return SimpleNamespace(results=[SimpleNamespace(index=place) for place in order[:top_n]])


class Instructed:
    """A model of one class whose answers depend on a setting that is no part of any name."""

    def __init__(self, longest_first: bool) -> None:
        self.longest_first = longest_first

    def predict(self, pairs: list[Pair]) -> list[float]:
        return [len(text) if self.longest_first else -len(text) for _, text in pairs]


def of_torch(folder: Path, change: Callable[[Any], Any] = lambda model: model, **options: Any) -> Any:
    from sentence_transformers import CrossEncoder

    return change(CrossEncoder(str(folder), device="cpu", **options))


def trained(model: Any) -> Any:
    import torch

    with torch.no_grad():
        for weights in model.model.parameters():
            weights.mul_(-1)
    return model


def quantised(model: Any) -> Any:
    import torch

    torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, inplace=True)
    return model


def leaky(slope: float) -> Any:
    import torch

    return torch.nn.LeakyReLU(slope)


PROMPTED = {"prompts": {"web": "museums : "}, "default_prompt_name": "web"}


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(lambda folder: (of_torch(folder), of_torch(folder, **PROMPTED)), id="prompt"),
        pytest.param(
            lambda folder: tuple(of_torch(folder, activation_fn=leaky(slope)) for slope in (0.1, 0.2)), id="activation"
        ),
        pytest.param(lambda folder: (of_torch(folder), of_torch(folder, quantised)), id="quantisation"),
        pytest.param(lambda folder: (of_torch(folder), of_torch(folder, trained)), id="weights in memory"),
        pytest.param(lambda folder: (closure(1.0), closure(-1.0)), id="closure"),
        pytest.param(lambda folder: (closure(1.0), closure(1.0001)), id="closure, nearly the same"),
        pytest.param(lambda folder: (Instructed(True), Instructed(False)), id="setting"),
        pytest.param(lambda folder: (Instructed(True).predict, Instructed(False).predict), id="bound method"),
        pytest.param(lambda folder: (Service(1), Service(2)), id="version of a service"),
        pytest.param(
            lambda folder: (
                lambda query, texts: [len(text) for text in texts],
                lambda query, texts: [-len(text) for text in texts],
            ),
            id="lambda",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:.*quantiz:DeprecationWarning", "ignore:.*quantiz:UserWarning")
def test_two_that_differ_in_one_thing_share_no_score(
    cache: RedisSemanticCache, tiny_cross_encoder: Path, pair: Callable[[Path], tuple[object, object]]
) -> None:
    for reranker in pair(tiny_cross_encoder):
        fresh = CachedReranker(reranker, cache).rerank(QUERY, DOCUMENTS, 3)
        again = CachedReranker(reranker, cache).rerank(QUERY, DOCUMENTS, 3)
        assert (fresh.status, again.status) == (Status.FRESH, Status.EXACT)
        assert again.scores == fresh.scores


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: closure(1.0), id="closure"),
        pytest.param(lambda folder: Instructed(True), id="object"),
        pytest.param(lambda folder: Service(1), id="service"),
        pytest.param(of_torch, id="loaded model"),
        pytest.param(str, id="folder"),
        pytest.param(lambda folder: CrossEncoderReranker(folder, batch_size=2), id="folder, other batches"),
    ],
)
def test_two_that_are_equal_share_their_scores(
    cache: RedisSemanticCache, heard: list[Event], tiny_cross_encoder: Path, make: Callable[[Path], object]
) -> None:
    first, second = (CachedReranker(make(tiny_cross_encoder), cache) for _ in range(2))
    fresh = first.rerank(QUERY, DOCUMENTS, 3)
    exact = second.rerank(QUERY, DOCUMENTS, 3)
    assert (exact.status, exact.scores) == (Status.EXACT, fresh.scores)
    assert second.rerank("who lives in berlin ?", DOCUMENTS, 3).status is Status.FRESH
    assert reasons(heard) == []


_PROCESS = """
import sys
from semcache import CachedReranker, RedisSemanticCache
from semcache.rerankers import OnnxCrossEncoder
from semcache.settings import Settings
from tests.fakes import WordEmbedder
from tests.test_identity import DOCUMENTS, QUERY
url, namespace, batch_size = sys.argv[1:]
settings = Settings(cache={"namespace": namespace}, reuse={"audit_rate": 0})
cache = RedisSemanticCache(url, WordEmbedder(), settings=settings)
with CachedReranker(OnnxCrossEncoder(batch_size=int(batch_size)), cache) as reranker:
    for query in (QUERY, "a query of another process"):
        print(reranker.rerank(query, DOCUMENTS).status.value, end=" ")
    print(reranker.identity.is_settled, reranker.identity.scope, reranker.get_stats()["identity_changes"])
"""


def test_the_packaged_model_is_one_in_every_process_and_batch_size(
    cache: RedisSemanticCache, redis_url: str, namespace: str
) -> None:
    ours = CachedReranker(OnnxCrossEncoder(batch_size=32), cache)
    ours.rerank(QUERY, DOCUMENTS)
    command = [sys.executable, "-c", _PROCESS, redis_url, namespace, "1"]
    other = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert other.stdout.split() == ["exact", "fresh", "True", ours.identity.scope, "0"], other.stderr
    assert ours.rerank("a query of another process", DOCUMENTS).status is Status.EXACT
    assert ours.get_stats()["identity_changes"] == 0


class Named(CountingReranker):
    """Says that its content is in its name."""

    identified_by = IdentifiedBy.CONTENT


class Lying(Named):
    def score_of(self, query: str, text: str) -> float:
        return -super().score_of(query, text)


class TestLie:
    def test_a_model_that_is_not_what_its_name_says_is_kept_apart_when_it_works(
        self, cache: RedisSemanticCache, heard: list[Event]
    ) -> None:
        honest, lying = CachedReranker(Named(), cache), CachedReranker(Lying(), cache)
        true = honest.rerank(QUERY, DOCUMENTS, 3)
        assert lying.rerank(QUERY, DOCUMENTS, 3).status is Status.EXACT, "nothing shows yet that it lies"
        other = lying.rerank("what is in paris ?", DOCUMENTS, 3)
        assert reasons(heard) == ["different"]
        assert lying.rerank(QUERY, DOCUMENTS, 3).status is Status.FRESH
        assert lying.rerank("what is in paris ?", DOCUMENTS, 3).scores == other.scores
        again = honest.rerank("what is in paris ?", DOCUMENTS, 3)
        assert again.status is Status.FRESH, "its first scores went to its own scope, too"
        assert honest.rerank(QUERY, DOCUMENTS, 3).scores == true.scores
        assert lying.get_stats()["identity_changes"] == 1

    async def test_also_in_an_event_loop(self, cache: RedisSemanticCache, heard: list[Event]) -> None:
        honest, lying = CachedReranker(Named(), cache), CachedReranker(Lying(), cache)
        await honest.arerank(QUERY, DOCUMENTS, 3)
        other = await lying.arerank("what is in paris ?", DOCUMENTS, 3)
        assert (await lying.arerank("what is in paris ?", DOCUMENTS, 3)).scores == other.scores
        assert (await honest.arerank("what is in paris ?", DOCUMENTS, 3)).status is Status.FRESH
        assert reasons(heard) == ["different"]

    def test_requests_of_one_batch_go_to_its_own_scope_as_well(self, cache: RedisSemanticCache) -> None:
        CachedReranker(Named(), cache).rerank(QUERY, DOCUMENTS, 3)
        lying = CachedReranker(Lying(), cache)
        queries = ["what is in paris ?", "what is in france ?"]
        lying.rerank_many(queries, [DOCUMENTS] * 2, 3)
        assert [one.status for one in lying.rerank_many(queries, [DOCUMENTS] * 2, 3)] == [Status.EXACT] * 2
        assert CachedReranker(Named(), cache).rerank(queries[0], DOCUMENTS, 3).status is Status.FRESH


class Looked:
    """Scores from a table, which a function cannot be seen to use."""

    def __init__(self, table: dict[str, float]) -> None:
        self.table = table
        self.is_away = False
        self.calls: list[int] = []

    def up(self, query: str, texts: list[str]) -> list[float]:
        return [self.table[text] for text in texts]

    def up_or_zero(self, query: str, texts: list[str]) -> list[float]:
        return [self.table.get(text, 0.0) for text in texts]

    def lengths(self, query: str, texts: list[str]) -> list[float]:
        self.calls.append(len(texts))
        if self.is_away:
            raise TimeoutError("scripted")
        return [float(len(text)) for text in texts]


class TestUnknown:
    def test_one_that_fails_on_probes_is_remembered_for_itself(
        self, cache: RedisSemanticCache, heard: list[Event]
    ) -> None:
        looked_up = Looked(dict(zip(DOCUMENTS, (1.0, 2.0, 3.0), strict=True))).up
        mine = CachedReranker(looked_up, cache)
        assert [mine.rerank(QUERY, DOCUMENTS).status for _ in range(2)] == [Status.FRESH, Status.EXACT]
        assert reasons(heard) == ["failed"]
        other = Looked(dict.fromkeys(DOCUMENTS, 0.5)).up
        assert CachedReranker(other, cache).rerank(QUERY, DOCUMENTS).status is Status.FRESH

    def test_a_private_scope_leaves_no_index_behind(self, cache: RedisSemanticCache, namespace: str) -> None:
        before = cache.backend.connection.client.execute_command("FT._LIST")
        flat = CachedReranker(Looked({}).up_or_zero, cache)
        assert [flat.rerank(QUERY, DOCUMENTS).status for _ in range(2)] == [Status.FRESH, Status.EXACT]
        assert flat.rerank("berlin people many how live in ?", DOCUMENTS).status is Status.FRESH, "exact queries only"
        assert cache.backend.connection.client.execute_command("FT._LIST") == before

    def test_a_service_that_is_away_at_the_start_is_known_when_it_answers(
        self, cache: RedisSemanticCache, heard: list[Event]
    ) -> None:
        service = Looked({})
        service.is_away = True
        early = CachedReranker(service.lengths, cache)
        service.is_away = False
        late = CachedReranker(service.lengths, cache)
        late.rerank(QUERY, DOCUMENTS)
        early.identity.verify()
        assert reasons(heard) == ["failed"]
        assert early.identity.is_private, "it is asked again a second later"

    def test_redis_away_costs_nothing_but_the_cache(self, namespace: str, heard: list[Event]) -> None:
        cache = RedisSemanticCache(
            "redis://localhost:1", WordEmbedder(), settings=unwatched(namespace), observers=[heard.append]
        )
        with CachedReranker(closure(1.0), cache) as lonely:
            assert lonely.rerank(QUERY, DOCUMENTS).status is Status.FRESH
        assert CacheFailed in map(type, heard) and not reasons(heard)


class TestVouched:
    def test_a_version_is_asked_nothing_and_tells_apart(self, cache: RedisSemanticCache) -> None:
        asked: list[str] = []

        def remote(query: str, texts: list[str]) -> list[float]:
            asked.extend(texts)
            return [float(len(text)) for text in texts]

        first = CachedReranker(remote, cache, name="service", version="1")
        assert asked == []
        first.rerank(QUERY, DOCUMENTS)
        assert CachedReranker(closure(2.0), cache, name="service", version="1").rerank(QUERY, DOCUMENTS).status is (
            Status.EXACT
        ), "the user vouches for it"
        assert (
            CachedReranker(remote, cache, name="service", version="2").rerank(QUERY, DOCUMENTS).status is Status.FRESH
        )

    def test_without_a_probe_the_name_is_all(self, cache: RedisSemanticCache) -> None:
        CachedReranker(closure(1.0), cache, probe=False).rerank(QUERY, DOCUMENTS)
        assert CachedReranker(closure(2.0), cache, probe=False).rerank(QUERY, DOCUMENTS).status is Status.EXACT

    def test_a_name_alone_still_tells_by_answers(self, cache: RedisSemanticCache) -> None:
        CachedReranker(closure(1.0), cache, name="mine").rerank(QUERY, DOCUMENTS)
        other = CachedReranker(closure(2.0), cache, name="mine").rerank(QUERY, DOCUMENTS)
        assert (other.status, other.reranker) == (Status.FRESH, "mine")

    def test_a_class_of_the_users_own_chose_its_name(self, cache: RedisSemanticCache) -> None:
        reranker = CountingReranker("own")
        cached = CachedReranker(reranker, cache)
        cached.rerank(QUERY, DOCUMENTS)
        assert len(reranker.pairs) == len(DOCUMENTS)
        assert cached.cache.reranker == "own"


@pytest.mark.parametrize("through", ["pipeline", "ladder", "batches"])
def test_every_way_to_the_cache_tells_rerankers_apart(
    redis_url: str, namespace: str, cache: RedisSemanticCache, through: str
) -> None:
    def made(weight: float) -> CachedReranker:
        if through == "pipeline":
            return OptimizedRerankerPipeline(
                closure(weight), None, redis_url, embedding_model=WordEmbedder(), settings=unwatched(namespace)
            )
        if through == "ladder":
            return CachedReranker(DegradableReranker(closure(weight), None, LatencyMonitor()), cache)
        return CachedReranker(AsyncBatchReranker(closure(weight)), cache)

    for weight in (1.0, -1.0):
        with made(weight) as reranker:
            answer = reranker.rerank(QUERY, DOCUMENTS, 3)
            assert answer.status is Status.FRESH
            assert answer.scores == tuple(sorted((weight * len(text) for text in DOCUMENTS), reverse=True))


def test_one_that_is_wrapped_for_each_request_is_asked_once(cache: RedisSemanticCache) -> None:
    service = Looked({})
    for _ in range(5):
        CachedReranker(service.lengths, cache).rerank(QUERY, DOCUMENTS)
    assert service.calls == [10, 3, 3], "two calls for the probes, one for the documents"


class Mirrored:
    """Words as vectors, seen in a mirror or not; nothing of it can be read from outside."""

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def embed(self, texts: list[str]) -> FloatArray:
        words = WordEmbedder().embed(texts)
        words[:, 0] += 1
        words[:, 1:] *= self.sign
        return words


class TestEmbedders:
    """Each pair of statuses is of a query, and of the same words in another order."""

    def statuses(self, sign: float, dims: int | None, url: str, namespace: str, heard: list[Event]) -> list[Status]:
        embedder = CallableEmbedder(Mirrored(sign).embed, dims, per_text=False)
        cache = RedisSemanticCache(url, embedder, 0.9, settings=unwatched(namespace), observers=[heard.append])
        with CachedReranker(CountingReranker(), cache) as reranker:
            return [reranker.rerank(query, DOCUMENTS).status for query in ("people of berlin", "berlin of people")]

    def test_two_of_one_name_share_nothing(self, redis_url: str, namespace: str, heard: list[Event]) -> None:
        found = [self.statuses(sign, None, redis_url, namespace, heard) for sign in (1.0, -1.0, -1.0)]
        assert found == [[Status.FRESH, Status.SEMANTIC]] * 2 + [[Status.EXACT, Status.SEMANTIC]]
        assert reasons(heard) == ["different"]

    def test_one_whose_dims_are_given_is_known_by_its_first_text(
        self, redis_url: str, namespace: str, heard: list[Event]
    ) -> None:
        found = [self.statuses(sign, WordEmbedder.dims, redis_url, namespace, heard) for sign in (1.0, -1.0)]
        # An exact query needs no vector, so its scores are right whatever the embedder is.
        assert found == [[Status.FRESH, Status.SEMANTIC], [Status.EXACT, Status.FRESH]]
        assert reasons(heard) == ["different"]


class AsyncService:
    """A client that has to be awaited, and belongs to the event loop that uses it."""

    def __init__(self, sign: float) -> None:
        self.sign = sign
        self.loops: set[int] = set()
        self.calls = 0

    async def rerank(self, query: str, documents: list[str]) -> list[dict[str, float]]:
        self.loops.add(id(asyncio.get_running_loop()))
        self.calls += 1
        return [{"index": place, "relevance_score": self.sign * len(text)} for place, text in enumerate(documents)]


async def settled(reranker: CachedReranker) -> CachedReranker:
    while not reranker.identity.is_settled:
        await asyncio.sleep(0)
    return reranker


class TestAwaited:
    async def test_two_share_nothing_and_each_keeps_to_its_loop(self, cache: RedisSemanticCache) -> None:
        for sign in (1.0, -1.0, -1.0):
            service = AsyncService(sign)
            reranker = CachedReranker(adapt(service.rerank, listwise=False), cache)
            assert service.calls == 0, "it is asked on the loop that uses it"
            await reranker.arerank("a first query", DOCUMENTS, 3)
            await settled(reranker)
            answer = await reranker.arerank(QUERY, DOCUMENTS, 3)
            assert answer.scores == tuple(sorted((sign * len(text) for text in DOCUMENTS), reverse=True))
            assert service.loops == {id(asyncio.get_running_loop())}
        assert answer.status is Status.EXACT, "the third is the second"

    async def test_an_asynchronous_class_of_the_users_own_chose_its_name(self, cache: RedisSemanticCache) -> None:
        class Own:
            name, listwise = "own", False

            async def score(self, pairs: Sequence[Pair]) -> list[float]:
                return [float(len(text)) for _, text in pairs]

        reranker = CachedReranker(Own(), cache)
        assert (reranker.cache.reranker, reranker.identity.is_settled) == ("own", True)


def test_a_service_with_a_limit_per_call_is_asked_within_it(cache: RedisSemanticCache) -> None:
    service = Looked({})
    CachedReranker(adapt(service.lengths, max_pairs_per_call=4), cache)
    assert service.calls == [4, 4, 2, 3]


def test_a_ranker_of_unknown_kind_is_asked_no_more_for_that(cache: RedisSemanticCache) -> None:
    service, calls = Service(1), 0

    def rerank(query: str, documents: list[str], top_n: int) -> Any:
        nonlocal calls
        calls += 1
        return service.rerank(query, documents, top_n)

    reranker = CachedReranker(rerank, cache)
    assert (calls, reranker.cache.scoped.listwise) == (2, True)


class TestFunctions:
    def test_one_that_computes_from_its_code_is_not_asked(self, cache: RedisSemanticCache) -> None:
        asked: list[str] = []

        def lengths(query: str, texts: list[str]) -> list[float]:
            asked.extend(texts)
            return [float(len(text)) for text in texts]

        for status in (Status.FRESH, Status.EXACT):
            reranker = CachedReranker(lengths, cache)
            assert reranker.identity.is_settled
            assert reranker.rerank(QUERY, DOCUMENTS).status is status
        assert asked == DOCUMENTS

    def test_rules_that_no_probe_meets_are_told_apart(self, cache: RedisSemanticCache) -> None:
        def rule(word: str) -> Callable[[str, list[str]], list[float]]:
            return lambda query, texts: [float(word in text) for text in texts]

        for word in ("museums", "capital"):
            answer = CachedReranker(rule(word), cache).rerank(QUERY, DOCUMENTS, 1)
            assert word in answer[0]
            assert answer.status is Status.FRESH

    def test_one_name_of_several_is_asked_for_by_its_scope(self, cache: RedisSemanticCache) -> None:
        first = CachedReranker(closure(1.0), cache)
        first.rerank(QUERY, DOCUMENTS)
        name = first.ladder.name
        assert cache.of(name).reranker == first.cache.reranker != name
        assert cache.of(name).lookup(QUERY, DOCUMENTS).status is Status.EXACT
        CachedReranker(closure(2.0), cache)
        with pytest.raises(ConfigurationError, match=r"several rerankers are called .* pass the scope"):
            cache.of(name)
        assert cache.of(first.cache.reranker).clear() == 1
        assert cache.of("never used").reranker == "never used"
