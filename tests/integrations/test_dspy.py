"""The module in programs of DSPy."""

from types import SimpleNamespace
from typing import Any

import dspy
import numpy as np
import pytest
from dspy.utils.callback import BaseCallback

from semcache import CachedReranker, RedisSemanticCache
from semcache.errors import ConfigurationError, InvalidInputError
from semcache.integrations.dspy import SemcacheRerank
from semcache.settings import Settings
from tests.fakes import CountingReranker, WordEmbedder
from tests.integrations.waiting import WaitingReranker, beside

QUERY = "the moon"
TEXTS = ["a mango", "the moon is far", "museums of berlin", "the moon"]


def texts(query: str) -> list[str]:
    return TEXTS


def best(count: int) -> tuple[list[str], Any]:
    """Texts and scores of the best by the counting reranker itself."""
    scored = sorted(((CountingReranker().score_of(QUERY, text), text) for text in TEXTS), reverse=True)[:count]
    return [text for _, text in scored], pytest.approx([score for score, _ in scored])


async def test_a_program_is_answered_from_the_cache(cached: CachedReranker, model: CountingReranker) -> None:
    class Program(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.search = SemcacheRerank(texts, cached, k=2)

        def forward(self, question: str) -> dspy.Prediction:
            return self.search(question)

        async def aforward(self, question: str) -> dspy.Prediction:
            return await self.search.acall(question)

    program = Program()
    for answer, status in ((program(QUERY), "fresh"), (await program.acall(QUERY), "exact")):
        assert (answer.passages, answer.scores, answer.status) == (*best(2), status)
    assert program.search(QUERY, k=1).passages == best(1)[0]
    assert len(model.pairs) == len(TEXTS)


def test_what_a_retriever_of_dspy_says_of_passages_comes_in_their_order(cached: CachedReranker) -> None:
    retriever = dspy.retrievers.Embeddings(TEXTS, lambda many: WordEmbedder().embed(many), k=4)
    answer = SemcacheRerank(retriever, cached, k=3)(QUERY)
    assert answer.passages == best(3)[0]
    assert [TEXTS[index] for index in answer.indices] == answer.passages


@pytest.mark.parametrize(
    "kind", [lambda text: {"long_text": text, "score": 0.5}, lambda text: SimpleNamespace(long_text=text)]
)
def test_passages_with_a_long_text_come_back_as_they_are(cached: CachedReranker, kind: Any) -> None:
    passages = [kind(text) for text in TEXTS]
    answer = SemcacheRerank(lambda query: passages, cached, k=1)(QUERY)
    assert answer.passages[0] is passages[TEXTS.index(best(1)[0][0])]


async def test_asynchronous_retrievers_are_awaited(cached: CachedReranker) -> None:
    class Retriever(dspy.Module):
        async def aforward(self, query: str, site: str = "") -> dspy.Prediction:
            return dspy.Prediction(passages=[*TEXTS, site])

    async def found(query: str) -> list[str]:
        return TEXTS

    for retriever in (Retriever(), found):
        assert (await SemcacheRerank(retriever, cached, k=2).acall(QUERY)).passages == best(2)[0]
    assert (await SemcacheRerank(Retriever(), cached, k=9).acall(QUERY, site="the site")).passages.count(
        "the site"
    ) == 1


async def test_the_event_loop_is_not_blocked(settings: Settings) -> None:
    reranker = WaitingReranker()
    cache = RedisSemanticCache(embedding_model=WordEmbedder(), settings=settings)
    async with CachedReranker(reranker, cache) as cached:
        answer = await beside(SemcacheRerank(texts, cached, k=2).acall(QUERY), reranker)
    assert answer.passages == best(2)[0]


def test_callbacks_hear_of_it_with_the_status(cached: CachedReranker) -> None:
    class Heard(BaseCallback):
        def __init__(self) -> None:
            self.outputs: list[Any] = []

        def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
            self.outputs.append(outputs)

    heard = Heard()
    with dspy.context(callbacks=[heard]):
        SemcacheRerank(texts, cached)(QUERY)
    assert [one.status for one in heard.outputs] == ["fresh"]


def test_copies_share_the_reranker(cached: CachedReranker, model: CountingReranker) -> None:
    module = SemcacheRerank(texts, cached)
    for copy in (module, module.deepcopy(), module.reset_copy()):
        assert copy(QUERY).passages == best(3)[0]
    assert len(model.pairs) == len(TEXTS)


def test_nothing_found_and_a_blank_query_are_no_error(cached: CachedReranker) -> None:
    nothing = SemcacheRerank(lambda query: dspy.Prediction(passages=[], indices=[]), cached)(QUERY)
    assert (nothing.passages, nothing.scores) == ([], [])
    blank = SemcacheRerank(texts, cached, k=2)(" ")
    assert (blank.passages, blank.scores, blank.status) == (TEXTS[:2], [0.0, -1.0], "degraded")


def test_tenants_are_kept_apart(cached: CachedReranker, model: CountingReranker) -> None:
    for tenant in ("a", "b", "a"):
        SemcacheRerank(texts, cached, tenant=tenant)(QUERY)
    assert len(model.pairs) == 2 * len(TEXTS)


@pytest.mark.parametrize("answer", ["one text", None, dspy.Prediction(answer="no passages"), np.zeros(3)])
def test_a_retriever_that_gives_no_passages_is_named(cached: CachedReranker, answer: Any) -> None:
    with pytest.raises(InvalidInputError, match="the retriever gave"):
        SemcacheRerank(lambda query: answer, cached)(QUERY)


def test_wrong_arguments_are_refused_at_once(cached: CachedReranker) -> None:
    with pytest.raises(ConfigurationError, match="k must be"):
        SemcacheRerank(texts, cached, k=0)
    with pytest.raises(ConfigurationError, match="retriever is a list"):
        SemcacheRerank(TEXTS, cached)
    with pytest.raises(InvalidInputError, match="k must be"):
        SemcacheRerank(texts, cached)(QUERY, k=0)


def test_what_it_opened_is_closed_with_it(settings: Settings) -> None:
    def score(query: str, passages: list[str]) -> list[float]:
        return [CountingReranker().score_of(query, text) for text in passages]

    with SemcacheRerank(texts, score, settings=settings, k=1) as module:
        assert module(QUERY).passages == best(1)[0]
