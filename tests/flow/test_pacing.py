"""Many flows ask a ladder for no more at once than it takes, and then wait for as long as it takes."""

from collections.abc import Generator, Sequence
from math import inf
from typing import Any

import numpy as np
import pytest

from semcache.flow.calls import Calls
from semcache.flow.pacing import first_within
from semcache.flow.run import arun_many, run_many
from semcache.flow.steps import Score
from semcache.protocols import Scored
from tests.fakes import MemoryStore

STEPS = [Score(f"q{number}", ("a", "b", "c"), (0, 1, 2)) for number in range(5)]


class Ladder:
    """Takes seven pairs at once, and keeps how many calls were under way and which deadlines they had."""

    def __init__(self) -> None:
        self.deadlines: list[float | None] = []
        self.parts: list[int] = []

    def pairs_at_once(self) -> int:
        self.parts.append(len(self.deadlines))
        return 7

    def score(
        self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
    ) -> Scored:
        self.deadlines.append(deadline_s)
        return Scored(np.full(len(ask), float(query[1:]), np.float32), "ladder")

    async def ascore(self, *arguments: Any, **options: Any) -> Scored:
        return self.score(*arguments, **options)


def asking(step: Score) -> Generator[Any, Any, float]:
    scored = yield step
    return float(scored.scores[0])


@pytest.mark.parametrize(("most", "count"), [(0, 1), (2, 1), (3, 1), (6, 2), (7, 2), (14, 4), (15, 5), (10**6, 5)])
def test_as_many_as_fit_and_one_at_least(most: int, count: int) -> None:
    assert len(first_within(STEPS, lambda: most)) == count
    assert first_within([], lambda: most) == []
    assert first_within(STEPS, None) == STEPS


@pytest.mark.parametrize("is_awaited", [False, True])
async def test_parts_follow_each_other(is_awaited: bool) -> None:
    ladder, store = Ladder(), MemoryStore()

    def calls(score: Any, pairs_at_once: Any) -> Any:
        return Calls(store, lambda texts: np.empty(0, np.float32), score, 4, print, pairs_at_once=pairs_at_once)  # type: ignore[type-var]

    if is_awaited:
        answers = await arun_many(map(asking, STEPS), calls(ladder.ascore, ladder.pairs_at_once))
    else:
        answers = run_many(map(asking, STEPS), calls(ladder.score, ladder.pairs_at_once))
    assert answers == [0, 1, 2, 3, 4]
    assert ladder.parts[:3] == [0, 2, 4], "the next part is sent when the one before it is answered"
    assert ladder.deadlines == [inf] * 5
    ladder.deadlines.clear()
    run_many(map(asking, STEPS), calls(ladder.score, None))
    assert ladder.deadlines == [None] * 5, "a ladder that does not pace is asked as ever"
