"""Requests that are larger than one call of a service."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from semcache.errors import ConfigurationError
from semcache.protocols import FloatArray, Pair, Reranker
from semcache.rerankers import SplitReranker, adapt
from semcache.rerankers.split import split
from tests.contracts.reranker import PointwiseContract
from tests.scripted import ScriptedReranker


def many(count: int) -> list[Pair]:
    return [("q", "x" * at) for at in range(count)]


class TestSplit(PointwiseContract):
    @pytest.fixture
    def reranker(self) -> Reranker:
        return adapt(lambda pairs: [float(len(text)) for _, text in pairs], name="limited", max_pairs_per_call=2)


@pytest.mark.parametrize(("pairs", "sizes"), [(0, [0]), (1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])])
def test_no_call_is_larger_than_the_service_takes(pairs: int, sizes: list[int]) -> None:
    model = ScriptedReranker()
    assert split(model, 100).score(many(pairs)).tolist() == list(range(pairs))
    assert [len(call) for call in model.calls] == sizes


async def test_parts_are_awaited_one_after_the_other() -> None:
    under_way: list[int] = []

    async def service(query: str, texts: list[str]) -> list[float]:
        under_way.append(len(texts))
        await asyncio.sleep(0)
        assert under_way.pop() == len(texts)
        return [float(len(text)) for text in texts]

    reranker: Any = adapt(service, max_pairs_per_call=3)
    assert (await reranker.ascore_pairs(many(8))).tolist() == list(range(8))
    assert (await reranker.ascore_pairs([])).tolist() == []


def test_it_is_the_reranker_inside_in_everything_else() -> None:
    inside = ScriptedReranker(concurrency=4)
    reranker: Any = split(inside, 2)
    assert (reranker.name, reranker.listwise, reranker.concurrency) == ("scripted", False, 4)
    assert not hasattr(reranker, "ascore_pairs")
    assert "at most 2 pairs" in repr(reranker)


def test_without_a_limit_nothing_is_in_between() -> None:
    model = ScriptedReranker()
    assert split(model, None) is model
    assert isinstance(split(model, 1), SplitReranker)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "100"])
def test_a_limit_is_a_whole_number_of_at_least_1(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_pairs_per_call must be a whole number of at least 1"):
        adapt(lambda pairs: [], name="any", max_pairs_per_call=limit)


def test_a_limit_may_be_a_number_of_numpy() -> None:
    model = ScriptedReranker()
    split(model, np.int64(2)).score(many(3))  # type: ignore[arg-type]
    assert [len(call) for call in model.calls] == [2, 1]


def test_an_order_cannot_be_put_together_from_parts() -> None:
    def orders(query: str, documents: Sequence[str], top_k: int) -> Sequence[str]:
        return documents[::-1][:top_k]

    with pytest.raises(ConfigurationError, match=r"max_pairs_per_call=100 cannot be kept for orders: it is listwise"):
        adapt(orders, name="orders", max_pairs_per_call=100)


def test_scores_of_a_part_are_those_of_its_pairs() -> None:
    class Reversed(ScriptedReranker):
        def score(self, pairs: Sequence[Pair]) -> FloatArray:
            return super().score(pairs) * -1

    assert split(Reversed(), 2).score(many(5)).tolist() == [0, -1, -2, -3, -4]
