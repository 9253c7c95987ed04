"""AsyncBatchReranker: the names and call shapes that users have, on top of the batcher."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from semcache.batching.reranker import AsyncBatchReranker
from semcache.errors import DeadlineExceededError, InvalidInputError
from semcache.protocols import Reranker
from semcache.ranking import Status
from tests.scripted import GatedReranker, ScriptedReranker, poison


@dataclass
class LangChainDocument:
    page_content: str
    metadata: dict[str, object] = field(default_factory=dict)


def documents(*texts: str) -> list[LangChainDocument]:
    return [LangChainDocument(text) for text in texts]


class TestDropIn:
    async def test_rerank_async_gives_the_callers_own_objects(self) -> None:
        mine = documents("a", "ccc", "bb")
        with AsyncBatchReranker(ScriptedReranker(), 10, 4) as reranker:
            ranking = await reranker.rerank_async("q", mine, 2)
        assert ranking[0] is mine[1]
        assert ranking == [mine[1], mine[2]]
        assert (ranking.scores, ranking.indices, ranking.status) == ((3.0, 2.0), (1, 2), Status.FRESH)
        assert (ranking.reranker, ranking.asked, ranking.reused) == ("scripted", 3, 0)

    async def test_batch_rerank_async_gives_one_ranking_per_query(self) -> None:
        lists = [documents("a", "bb"), documents("ccc"), []]
        async with AsyncBatchReranker(reranker=ScriptedReranker(), batch_size=2, max_workers=1) as reranker:
            rankings = await reranker.batch_rerank_async(["q1", "q2", "q3"], lists, 1)
        assert rankings == [[lists[0][1]], [lists[1][0]], []]

    def test_batch_rerank_without_an_event_loop(self) -> None:
        with AsyncBatchReranker(ScriptedReranker()) as reranker:
            assert reranker.batch_rerank(["q1", "q2"], [["a", "bb"], ["ccc"]], 5) == [["bb", "a"], ["ccc"]]

    async def test_batch_rerank_inside_a_running_loop(self) -> None:
        with AsyncBatchReranker(ScriptedReranker()) as reranker:
            assert reranker.batch_rerank(["q1", "q2"], [["a", "bb"], ["ccc"]], top_k=1) == [["bb"], ["ccc"]]

    def test_takes_a_plain_function_of_pairs(self) -> None:
        def lengths(pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [float(len(text)) for _, text in pairs]

        with AsyncBatchReranker(lengths) as reranker:
            assert reranker.rerank("q", ["a", "ccc"], 1) == ["ccc"]

    def test_is_a_reranker_itself(self) -> None:
        with AsyncBatchReranker(ScriptedReranker()) as reranker:
            assert isinstance(reranker, Reranker)
            assert (reranker.name, reranker.listwise) == ("scripted", False)
            assert reranker.score([("q", "aa")]).tolist() == [2]


class TestBatchSize:
    async def test_is_the_number_of_requests_that_one_call_merges(self) -> None:
        model = GatedReranker()
        async with AsyncBatchReranker(model, batch_size=2) as reranker:
            tasks = [asyncio.create_task(reranker.rerank_async("q", [str(number)], 1)) for number in range(5)]
            await asyncio.to_thread(model.wait_until_inside)
            model.let_go(5)
            await asyncio.gather(*tasks)
        assert [len(call) for call in model.calls][1:] == [2, 2]

    def test_a_batch_larger_than_the_queue_goes_through_it_in_parts(self) -> None:
        with AsyncBatchReranker(ScriptedReranker(), max_queue_pairs=10, max_batch_pairs=10) as reranker:
            queries = [f"q{number}" for number in range(50)]
            assert len(reranker.batch_rerank(queries, [["a", "bb", "ccc"]] * 50, 1)) == 50
            assert len(asyncio.run(reranker.batch_rerank_async(queries, [["a", "bb", "ccc"]] * 50, 1))) == 50


class TestDocuments:
    def test_equal_documents_all_come_back_and_are_scored_once(self) -> None:
        model = ScriptedReranker()
        mine = documents("aa", "b", "aa")
        with AsyncBatchReranker(model) as reranker:
            ranking = reranker.rerank("q", mine, 3)
        assert [id(document) for document in ranking] == [id(mine[0]), id(mine[2]), id(mine[1])]
        assert ranking.asked == len(model.calls[0]) == 2

    def test_no_documents_need_no_model(self) -> None:
        model = ScriptedReranker()
        with AsyncBatchReranker(model) as reranker:
            assert reranker.rerank("q", [], 5) == []
        assert model.calls == []

    def test_the_callers_list_is_left_alone(self) -> None:
        mine = ["a", "ccc", "bb"]
        with AsyncBatchReranker(ScriptedReranker()) as reranker:
            reranker.rerank("q", mine, 2)
        assert mine == ["a", "ccc", "bb"]

    def test_a_larger_top_k_gets_more(self) -> None:
        with AsyncBatchReranker(ScriptedReranker()) as reranker:
            assert [len(reranker.rerank("q", ["a", "bb", "ccc"], top_k)) for top_k in (1, 3, 9)] == [1, 3, 3]


class TestTrouble:
    def test_the_rerankers_error_is_the_callers(self) -> None:
        model = ScriptedReranker()
        model.fail = poison("bad")
        with AsyncBatchReranker(model) as reranker:
            with pytest.raises(ValueError, match="cannot read bad"):
                reranker.batch_rerank(["q1", "q2"], [["a"], ["bad"]], 1)
            with pytest.raises(ValueError, match="cannot read bad"):
                asyncio.run(reranker.batch_rerank_async(["q1", "q2"], [["a"], ["bad"]], 1))
            assert reranker.rerank("q", ["a"], 1) == ["a"]

    async def test_deadlines(self) -> None:
        model = GatedReranker()
        with AsyncBatchReranker(model) as reranker:
            with pytest.raises(DeadlineExceededError):
                await reranker.rerank_async("q", ["a"], 1, deadline_s=0.01)
            with pytest.raises(DeadlineExceededError):
                reranker.rerank("q", ["a"], 1, deadline_s=0.01)
            model.let_go(2)

    @pytest.mark.parametrize(
        ("query", "given", "top_k", "message"),
        [
            (" ", ["a"], 1, "query is blank"),
            (7, ["a"], 1, "query must be a string"),
            ("q", "abc", 1, "must be a list"),
            ("q", [object()], 1, "no text found"),
            ("q", ["a"], 0, "top_k must be"),
        ],
    )
    def test_bad_input_is_named_and_reaches_no_model(
        self, query: object, given: object, top_k: int, message: str
    ) -> None:
        model = ScriptedReranker()
        with AsyncBatchReranker(model) as reranker, pytest.raises(InvalidInputError, match=message):
            reranker.rerank(query, given, top_k)  # type: ignore[arg-type]
        assert model.calls == []

    def test_as_many_lists_as_queries(self) -> None:
        with (
            AsyncBatchReranker(ScriptedReranker()) as reranker,
            pytest.raises(InvalidInputError, match="2 queries for 1 lists"),
        ):
            reranker.batch_rerank(["q1", "q2"], [["a"]], 1)

    def test_a_text_is_no_list_of_queries(self) -> None:
        with (
            AsyncBatchReranker(ScriptedReranker()) as reranker,
            pytest.raises(InvalidInputError, match="pass a list of queries"),
        ):
            reranker.batch_rerank("ab", [["a"], ["b"]], 1)

    @pytest.mark.parametrize("deadline_s", [float("nan"), "1", True])
    def test_a_deadline_that_is_no_number_reaches_no_model(self, deadline_s: Any) -> None:
        model = ScriptedReranker()
        with (
            AsyncBatchReranker(model) as reranker,
            pytest.raises(InvalidInputError, match="deadline_s must be a number"),
        ):
            reranker.rerank("q", ["a"], 1, deadline_s=deadline_s)
        assert model.calls == []


def test_the_former_name_of_max_batch_pairs_still_works() -> None:
    with pytest.warns(DeprecationWarning, match="max_pairs is now called max_batch_pairs"):
        reranker = AsyncBatchReranker(ScriptedReranker(), max_pairs=7)
    with reranker:
        assert reranker.batcher.max_batch_pairs == 7
