"""When a subject is asked, who waits for it, and what is told about it."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from semcache.errors import StoreError
from semcache.events import CacheFailed, Event, IdentityChanged
from semcache.identity.behaviour import Scores
from semcache.identity.identity import Identity, is_private
from semcache.identity.kinds import IdentifiedBy
from semcache.identity.settled import SettledScopes
from tests.forks import in_child
from tests.identity.scripted import MemoryVariants, ScriptedSubject, in_turn, scores
from tests.scripted import PATIENCE_S, ScriptedClock

PROBE, CONTENT, NAME = IdentifiedBy.PROBE, IdentifiedBy.CONTENT, IdentifiedBy.NAME
OTHER = scores(40.0)
KNOWN = f"scorer#1~{scores().id()}"


class Scene:
    """An identity with everything that it was told, and a clock of its own."""

    def __init__(self, subject: ScriptedSubject, variants: MemoryVariants | None = None, **options: Any) -> None:
        self.subject = subject
        self.variants = variants or MemoryVariants()
        self.clock = ScriptedClock()
        self.events: list[Event] = []
        self.moves: list[tuple[str, bool]] = []
        self.identity = Identity(
            subject,
            self.variants,
            on_event=self.events.append,
            on_moved=lambda scope, is_private: self.moves.append((scope, is_private)),
            clock=self.clock,
            **options,
        )

    def verify_later(self) -> None:
        """Once the subject has worked, and long enough after the last attempt."""
        self.clock.pass_(10)
        self.identity.verify(PATIENCE_S)
        # A probed subject is not waited for, its thread is.
        for thread in threading.enumerate():
            if thread.name == "semcache-identity":
                thread.join(PATIENCE_S)

    @property
    def reasons(self) -> list[str]:
        return [event.reason for event in self.events if isinstance(event, IdentityChanged)]


def answering(kind: IdentifiedBy, *answers: Scores) -> ScriptedSubject:
    return ScriptedSubject(kind, in_turn(answers))


def raising(error: Exception) -> Callable[[], Scores]:
    def fail() -> Scores:
        raise error

    return fail


class TestStart:
    def test_a_name_that_is_vouched_for_is_taken_at_its_word(self) -> None:
        scene = Scene(answering(NAME))
        scene.identity.start()
        scene.verify_later()
        assert (scene.moves, scene.identity.is_settled, scene.subject.asked) == ([("scorer#1", False)], True, 0)

    def test_a_probed_subject_is_asked_at_once(self) -> None:
        scene = Scene(answering(PROBE, scores()))
        scene.identity.start()
        assert scene.moves[-1] == (KNOWN, False)
        assert scene.identity.is_settled
        assert scene.events == []

    def test_what_is_named_by_content_is_not_asked_before_it_works(self) -> None:
        scene = Scene(answering(CONTENT, scores()))
        scene.identity.start()
        assert (scene.moves, scene.subject.asked) == ([("scorer#1", False)], 0)
        scene.verify_later()
        assert (scene.identity.is_settled, scene.identity.scope, scene.events) == (True, "scorer#1", [])

    def test_the_one_that_says_something_else_goes_elsewhere_and_this_is_told(self) -> None:
        variants = MemoryVariants()
        variants.records["scorer#1"] = [OTHER.packed]
        scene = Scene(answering(PROBE, scores(), scores()), variants)
        scene.identity.start()
        assert scene.identity.scope == KNOWN
        (event,) = scene.events
        assert isinstance(event, IdentityChanged)
        assert (event.name, event.scope, event.reason) == ("scorer", KNOWN, "different")
        assert event.detail == "scorer does not answer the probes as the first one of this name did"

    def test_it_runs_in_the_callers_context(self) -> None:
        tenant = contextvars.ContextVar("tenant", default="none")
        seen: list[str] = []
        subject = answering(PROBE)
        subject.answer = lambda: (seen.append(tenant.get()), scores())[1]
        tenant.set("shop")
        Scene(subject).identity.start()
        assert seen == ["shop"]


class TestFailure:
    def test_a_scorer_that_fails_is_private_until_it_answers(self) -> None:
        scene = Scene(answering(PROBE))
        scene.subject.answer = raising(TimeoutError("scripted"))
        scene.identity.start()
        scope, private = scene.moves[-1]
        assert private and is_private(scope) and scope.startswith("scorer#1~")
        (event,) = scene.events
        assert isinstance(event, IdentityChanged)
        assert event.reason == "failed"
        assert "raised TimeoutError" in event.detail and "pass version=" in event.detail
        scene.subject.answer = scores
        scene.verify_later()
        assert scene.moves[-1] == (KNOWN, False)
        assert scene.reasons == ["failed", "identified"]

    def test_two_private_scopes_never_meet(self) -> None:
        scopes = set()
        for _ in range(2):
            scene = Scene(answering(PROBE))
            scene.subject.answer = raising(ValueError("scripted"))
            scene.identity.start()
            scopes.add(scene.identity.scope)
        assert len(scopes) == 2

    def test_a_scorer_that_works_but_fails_on_probes_is_left_alone_after_three_tries(self) -> None:
        scene = Scene(answering(PROBE))
        scene.subject.answer = raising(KeyError("unknown text"))
        scene.identity.start()
        for _ in range(5):
            scene.verify_later()
        assert scene.subject.asked == 4, "once at the start, when nothing showed that it works, and three times later"
        assert scene.identity.is_private and scene.identity.is_settled
        assert scene.reasons == ["failed"]

    def test_what_is_named_by_content_keeps_its_name_when_probes_fail(self) -> None:
        scene = Scene(answering(CONTENT))
        scene.subject.answer = raising(ValueError("scripted"))
        scene.identity.start()
        for _ in range(5):
            scene.verify_later()
        assert (scene.identity.scope, scene.reasons, scene.identity.is_settled) == ("scorer#1", ["failed"], True)

    def test_it_is_not_tried_again_at_once(self) -> None:
        scene = Scene(answering(PROBE))
        scene.subject.answer = raising(ValueError("scripted"))
        scene.identity.start()
        scene.identity.verify()
        scene.identity.verify()
        assert scene.subject.asked == 1

    @pytest.mark.parametrize(
        ("answers", "reason"),
        [(Scores(np.ones(13, np.float32)), "uninformative"), (scores(repeated=5.0), "unrepeatable")],
    )
    def test_what_cannot_be_told_apart_shares_nothing_and_says_so_once(self, answers: Scores, reason: str) -> None:
        scene = Scene(ScriptedSubject(PROBE, lambda: answers))
        scene.identity.start()
        scene.verify_later()
        assert scene.identity.is_private and scene.identity.is_settled
        assert (scene.reasons, scene.subject.asked) == ([reason], 1)

    def test_one_that_hangs_does_not_hold_up_the_start(self) -> None:
        answered = threading.Event()
        scene = Scene(answering(PROBE), patience_s=0.05)
        scene.subject.answer = lambda: scores() if answered.wait(PATIENCE_S) else OTHER
        scene.identity.start()
        assert scene.identity.is_private
        assert scene.reasons == ["failed"]
        answered.set()
        scene.verify_later()
        assert scene.moves[-1] == (KNOWN, False)


class TestRedisAway:
    def test_a_probed_scorer_is_known_by_its_own_answers_until_redis_is_back(self) -> None:
        scene = Scene(answering(PROBE, scores()))
        scene.variants.is_away = True
        scene.identity.start()
        assert (scene.identity.scope, scene.identity.is_settled, scene.events) == (KNOWN, False, [])
        scene.variants.is_away = False
        scene.variants.records["scorer#1"] = [scores(0.004).packed]
        scene.verify_later()
        assert scene.identity.scope == f"scorer#1~{scores(0.004).id()}"
        assert scene.subject.asked == 1

    def test_what_is_named_by_content_is_compared_when_redis_is_back(self) -> None:
        scene = Scene(answering(CONTENT, scores(), scores()))
        scene.identity.start()
        scene.variants.is_away = True
        scene.verify_later()
        assert (scene.identity.scope, scene.identity.is_settled) == ("scorer#1", False)
        scene.variants.is_away = False
        scene.variants.records["scorer#1"] = [OTHER.packed]
        scene.verify_later()
        assert scene.identity.scope == KNOWN
        assert scene.reasons == ["different"]

    def test_a_refusal_of_redis_is_told_once(self) -> None:
        class Refusing(MemoryVariants):
            def read(self, base: str, length: int) -> list[bytes]:
                raise StoreError("no permission")

        scene = Scene(ScriptedSubject(PROBE, scores), Refusing())
        scene.identity.start()
        scene.verify_later()
        assert scene.events == [CacheFailed("Identity", "StoreError: no permission")]


class TestAgain:
    def test_the_same_object_is_not_asked_again(self) -> None:
        settled, holder = SettledScopes(), MemoryVariants()
        first = Scene(answering(PROBE, scores()), settled=settled, holder=holder)
        first.identity.start()
        second = Scene(answering(PROBE), settled=settled, holder=holder)
        second.identity.start()
        assert second.moves == first.moves[-1:] == [(KNOWN, False)]
        assert second.subject.asked == 0


class TestTasks:
    async def test_they_wait_for_what_is_named_by_content(self) -> None:
        scene = Scene(answering(CONTENT, scores()))
        scene.identity.start()
        await asyncio.gather(*(scene.identity.averify(PATIENCE_S) for _ in range(8)))
        assert scene.identity.is_settled
        assert scene.subject.asked == 1

    async def test_one_that_gives_up_takes_nothing_along(self) -> None:
        may_answer = threading.Event()
        scene = Scene(answering(CONTENT))
        scene.subject.answer = lambda: scores() if may_answer.wait(PATIENCE_S) else OTHER
        scene.identity.start()
        await scene.identity.averify(0.01)
        waiting = asyncio.create_task(scene.identity.averify(PATIENCE_S))
        await asyncio.sleep(0)
        waiting.cancel()
        may_answer.set()
        await scene.identity.averify(PATIENCE_S)
        assert scene.identity.is_settled

    async def test_what_is_awaited_is_asked_on_the_loop_that_uses_it(self) -> None:
        class Awaited(ScriptedSubject):
            is_awaited = True

            async def aask(self) -> Scores:
                loops.append(asyncio.get_running_loop())
                return self.ask()

        loops: list[object] = []
        scene = Scene(Awaited(PROBE, scores))
        scene.identity.start()
        assert scene.identity.is_private and not scene.events
        await scene.identity.averify()
        while not scene.identity.is_settled:
            await asyncio.sleep(0)
        assert loops == [asyncio.get_running_loop()]
        assert scene.moves[-1] == (KNOWN, False)
        assert scene.events == []


def test_an_attempt_that_is_under_way_at_a_fork_is_begun_anew_in_the_child() -> None:
    may_answer = threading.Event()
    scene = Scene(answering(CONTENT))
    scene.subject.answer = lambda: scores() if may_answer.wait(PATIENCE_S) else OTHER
    scene.identity.start()
    scene.identity.verify(0.01)

    def in_the_child() -> bool:
        scene.subject.answer = scores
        scene.verify_later()
        return scene.identity.is_settled

    assert in_child(in_the_child)
    assert not scene.identity.is_settled
    may_answer.set()
    scene.verify_later()
    assert scene.identity.is_settled


def test_it_shows_its_scope() -> None:
    scene = Scene(answering(CONTENT, scores()))
    assert repr(scene.identity) == "<Identity scorer#1, not settled yet>"
