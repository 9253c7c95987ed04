"""A ladder of one rung: scores of the documents asked for, the reranker's errors, and background work."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from semcache.errors import RerankerError
from semcache.protocols import FloatArray, Ladder, Pair
from semcache.rerankers import PairReranker, RetrievalOrder
from semcache.rerankers.single import SingleRung, as_ladder

DOCUMENTS = ["a", "bb", "ccc"]
LENGTHS = PairReranker(lambda pairs: [float(len(text)) for _, text in pairs], "lengths")


class BlockedReranker:
    """Scores when it is allowed to."""

    name = "blocked"
    listwise = False

    def __init__(self) -> None:
        self.started = Event()
        self.may_end = Event()

    def score(self, pairs: Sequence[Pair]) -> FloatArray:
        self.started.set()
        assert self.may_end.wait(10)
        return np.zeros(len(pairs), dtype=np.float32)


def test_fits_the_protocol_and_is_named_by_its_reranker() -> None:
    ladder = SingleRung(RetrievalOrder())
    assert isinstance(ladder, Ladder)
    assert (ladder.name, ladder.listwise) == ("retrieval-order", True)
    assert "retrieval-order" in repr(ladder)


async def test_scores_the_documents_asked_for_in_their_order() -> None:
    ladder = SingleRung(LENGTHS)
    for scored in (
        ladder.score("q", DOCUMENTS, [2, 0]),
        await ladder.ascore("q", DOCUMENTS, [2, 0]),
        ladder.score_when_idle("q", DOCUMENTS, [2, 0]),
    ):
        assert scored.scores is not None
        assert scored.scores.tolist() == [3.0, 1.0]
        assert (scored.reranker, scored.reason) == ("lengths", None)


def test_errors_of_the_reranker_reach_the_caller() -> None:
    with pytest.raises(RerankerError, match="none gave 0 scores for 1 pairs"):
        SingleRung(PairReranker(lambda pairs: [], "none")).score("q", DOCUMENTS, [0])


@pytest.mark.parametrize("raised", [StopIteration(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()])
async def test_what_only_python_raises_is_an_ordinary_error_of_the_reranker(raised: BaseException) -> None:
    def fails(query: str, texts: list[str]) -> list[float]:
        raise raised

    async def fails_awaited(query: str, texts: list[str]) -> list[float]:
        raise raised

    # asyncio makes a RuntimeError of a StopIteration.
    expected = pytest.raises((RerankerError, RuntimeError), match=type(raised).__name__)
    for ladder in (as_ladder(fails), as_ladder(fails_awaited)):
        with expected:
            await ladder.ascore("q", DOCUMENTS, [0])
        with expected:
            await asyncio.to_thread(ladder.score, "q", DOCUMENTS, [0])
    with expected:
        as_ladder(fails).score("q", DOCUMENTS, [0])


def test_an_interrupt_is_the_users_in_the_main_thread_and_the_rerankers_in_others() -> None:
    def fails(query: str, texts: list[str]) -> list[float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        as_ladder(fails).score("q", DOCUMENTS, [0])
    with pytest.raises(RerankerError, match="KeyboardInterrupt"):
        as_ladder(fails).score("q", DOCUMENTS, [0], deadline_s=10)


def test_gives_no_scores_to_background_work_while_a_caller_uses_the_reranker() -> None:
    reranker = BlockedReranker()
    ladder = SingleRung(reranker)
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(ladder.score, "q", DOCUMENTS, [0])
        assert reranker.started.wait(10)
        refused = ladder.score_when_idle("q", DOCUMENTS, [0])
        reranker.may_end.set()
        future.result(10)
    assert (refused.scores, refused.reason) == (None, "busy")
    assert ladder.score_when_idle("q", DOCUMENTS, [0]).scores is not None


def test_a_ladder_stays_as_it_is_and_a_reranker_becomes_one() -> None:
    ladder = SingleRung(LENGTHS)
    assert as_ladder(ladder) is ladder
    assert as_ladder(LENGTHS).name == "lengths"


def test_a_model_of_the_callers_own_that_ends_itself_does_not_end_the_caller() -> None:
    class Ending:
        name, listwise = "ending", False

        def score(self, pairs: Sequence[Pair]) -> FloatArray:
            raise SystemExit(3)

        async def ascore_pairs(self, pairs: Sequence[Pair]) -> FloatArray:
            raise SystemExit(3)

    for deadline_s in (None, 10.0):
        with pytest.raises(RerankerError, match="ending raised SystemExit"):
            as_ladder(Ending()).score("q", DOCUMENTS, [0], deadline_s=deadline_s)
