"""How rerankers and embedders are asked about the probes."""

from collections.abc import Sequence

import numpy as np
import pytest

from semcache.embedders import CallableEmbedder
from semcache.identity.behaviour import TIGHT, WIDE
from semcache.identity.kinds import IdentifiedBy
from semcache.identity.pairs import LONG_AND_OTHERS, LONG_AND_REPEATED, SHORT, TEXT
from semcache.identity.subjects import EmbedderSubject, RerankerSubject
from semcache.protocols import FloatArray, Pair
from tests.fakes import CountingOrder, CountingReranker


class Recording(CountingReranker):
    def __init__(self, kind: IdentifiedBy) -> None:
        super().__init__()
        self.identified_by = kind
        self.calls: list[tuple[Pair, ...]] = []

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.calls.append(tuple(pairs))
        return super().score(pairs)


class Awaited(Recording):
    async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
        return self.score(pairs)


def test_a_reranker_that_scores_is_asked_in_two_calls() -> None:
    reranker = Recording(IdentifiedBy.PROBE)
    answers = RerankerSubject(reranker).ask()
    assert reranker.calls == [SHORT, LONG_AND_REPEATED]
    assert (answers.scores.shape, answers.tolerance, answers.listwise) == ((13,), TIGHT, False)


def test_one_that_orders_is_not_asked_about_a_text_twice() -> None:
    class Ordering(CountingOrder):
        identified_by = IdentifiedBy.PROBE

    reranker = Ordering()
    answers = RerankerSubject(reranker).ask()
    assert reranker.pairs == [*SHORT, *LONG_AND_OTHERS]
    assert answers.listwise


def test_one_that_is_named_by_content_is_asked_in_one_short_call() -> None:
    reranker = Recording(IdentifiedBy.CONTENT)
    answers = RerankerSubject(reranker).ask()
    assert reranker.calls == [SHORT]
    assert (answers.scores.shape, answers.tolerance) == ((10,), WIDE)


async def test_one_that_is_awaited_gives_the_same_answers() -> None:
    reranker = Awaited(IdentifiedBy.PROBE)
    subject = RerankerSubject(reranker)
    assert subject.is_awaited and not RerankerSubject(CountingReranker()).is_awaited
    assert (await subject.aask()).packed == subject.ask().packed


class Client:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, text: str) -> list[float]:
        self.asked.append(text)
        return [3.0, 4.0, 0.0]


@pytest.mark.parametrize("dims", [None, 3])
async def test_an_embedder_is_asked_for_one_text(dims: int | None) -> None:
    client = Client()
    asked = client.asked
    subject = EmbedderSubject(CallableEmbedder(client.embed, dims, name="e", per_text=True))
    first = subject.ask()
    assert asked == [TEXT], "where it had to say its dims, that vector counts"
    assert first.vector == pytest.approx([0.6, 0.8, 0.0])
    assert (await subject.aask()).packed == first.packed
    assert asked == [TEXT, TEXT], "a second answer is a new one"
    assert subject.kind is (IdentifiedBy.PROBE if dims is None else IdentifiedBy.CONTENT)
    assert subject.base.startswith("e#")


def test_answers_may_be_of_any_number_type() -> None:
    class Doubles(Recording):
        def score(self, pairs: Sequence[Pair]) -> FloatArray:
            return np.arange(len(pairs), dtype=np.float64)  # type: ignore[return-value]

    assert RerankerSubject(Doubles(IdentifiedBy.CONTENT)).ask().scores.dtype == np.float32
