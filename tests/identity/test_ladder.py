"""A ladder whose primary is verified when it has answered."""

from collections.abc import Sequence

import pytest

from semcache.identity.identity import Identity
from semcache.identity.kinds import IdentifiedBy
from semcache.identity.ladder import IdentifiedLadder, primary_of
from semcache.protocols import Ladder, Scored
from semcache.rerankers.single import SingleRung
from tests.fakes import CountingReranker, OneRung
from tests.identity.scripted import MemoryVariants, ScriptedSubject, scores

DOCUMENTS = ["a", "b"]


class Scene:
    def __init__(self, ladder: Ladder, kind: IdentifiedBy = IdentifiedBy.CONTENT) -> None:
        self.subject = ScriptedSubject(kind, scores)
        self.variants = MemoryVariants()
        self.identity = Identity(
            self.subject, self.variants, on_event=lambda event: None, on_moved=lambda scope, is_private: None
        )
        self.identity.start()
        self.ladder = IdentifiedLadder(ladder, self.identity)


@pytest.fixture
def rung() -> OneRung:
    return OneRung(CountingReranker())


def test_it_is_the_ladder_inside(rung: OneRung) -> None:
    ladder = Scene(rung).ladder
    assert isinstance(ladder, Ladder)
    assert (ladder.name, ladder.listwise) == (rung.name, rung.listwise)
    assert "not settled yet" in repr(ladder)


async def test_the_primary_is_verified_once_when_it_has_answered(rung: OneRung) -> None:
    scene = Scene(rung)
    for _ in range(2):
        assert scene.ladder.score("q", DOCUMENTS, [0, 1]).reason is None
        assert (await scene.ladder.ascore("q", DOCUMENTS, [0, 1])).reason is None
    assert (scene.subject.asked, scene.identity.is_settled) == (1, True)


async def test_an_answer_of_another_rung_verifies_nothing(rung: OneRung) -> None:
    scene = Scene(rung)
    rung.degrade = "open"
    assert scene.ladder.score("q", DOCUMENTS, [0]).reason == "open"
    assert (await scene.ladder.ascore("q", DOCUMENTS, [0])).reason == "open"
    assert scene.subject.asked == 0


def test_a_passed_deadline_is_not_spent_on_it(rung: OneRung) -> None:
    scene = Scene(rung)
    assert scene.ladder.score("q", DOCUMENTS, [0], deadline_s=1e-9).reason is None


def test_background_work_learns_that_the_scope_was_another_one(rung: OneRung) -> None:
    assert Scene(rung).ladder.score_when_idle is None, "the ladder inside has none"
    scene = Scene(SingleRung(CountingReranker()))
    scene.variants.records["scorer#1"] = [scores(40.0).packed]
    score = scene.ladder.score_when_idle
    assert score is not None
    assert score("q", DOCUMENTS, [0]) == Scored(None, "counting", "identity")
    assert score("q", DOCUMENTS, [0]).scores is not None


def test_the_primary_of_a_ladder_of_the_users_own_is_the_ladder(rung: OneRung) -> None:
    reranker = CountingReranker()
    assert primary_of(SingleRung(reranker)) is reranker
    assert primary_of(rung) is rung
    rung.primary = "a word of the user's own"  # type: ignore[attr-defined]
    assert primary_of(rung) is rung


class TestSequence:
    def test_positions_are_passed_on(self) -> None:
        class Seeing(OneRung):
            def score(
                self, query: str, documents: Sequence[str], ask: Sequence[int], *, deadline_s: float | None = None
            ) -> Scored:
                seen.append((query, list(documents), list(ask), deadline_s))
                return super().score(query, documents, ask)

        seen: list[object] = []
        Scene(Seeing(CountingReranker())).ladder.score("q", DOCUMENTS, [1], deadline_s=3.0)
        assert seen == [("q", DOCUMENTS, [1], 3.0)]


class Closing(OneRung):
    """Has what a ladder need not have, and remembers how it was called."""

    def __init__(self) -> None:
        super().__init__(CountingReranker())
        self.called: list[object] = []

    def warmup(self) -> None:
        self.called.append("warmup")

    async def awarmup(self) -> None:
        self.called.append("awarmup")

    def close(self, *timeout_s: float) -> None:
        self.called.append(timeout_s)

    async def aclose(self, *timeout_s: float) -> None:
        self.called.append(timeout_s)


async def test_it_warms_up_and_closes_the_ladder_which_hears_of_a_timeout_only_where_there_is_one() -> None:
    inside = Closing()
    scene = Scene(inside)
    scene.ladder.warmup()
    await scene.ladder.awarmup()
    scene.ladder.close()
    scene.ladder.close(2.0)
    await scene.ladder.aclose()
    await scene.ladder.aclose(3.0)
    assert inside.called == ["warmup", "awarmup", (), (2.0,), (), (3.0,)]
    assert scene.identity.is_settled


async def test_a_ladder_that_has_nothing_to_warm_up_or_close_is_left_alone(rung: OneRung) -> None:
    scene = Scene(rung)
    scene.ladder.warmup()
    await scene.ladder.awarmup()
    scene.ladder.close(1.0)
    await scene.ladder.aclose(1.0)
    assert (scene.subject.asked, scene.identity.is_settled) == (1, True)
