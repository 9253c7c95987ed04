"""The scope that answers lead to, by what is known under the name; without threads and without Redis."""

import numpy as np
import pytest

from semcache.errors import StoreError, StoreUnavailableError
from semcache.flow.drive import drive
from semcache.identity.behaviour import WIDE, Scores
from semcache.identity.kinds import IdentifiedBy
from semcache.identity.settle import MOST_RECORDS, AddRecord, Ask, ReadRecords, Step, Verdict, settle
from tests.identity.scripted import MemoryVariants, in_turn, scores

PROBE, CONTENT = IdentifiedBy.PROBE, IdentifiedBy.CONTENT
OTHER = scores(40.0)


def settled(
    kind: IdentifiedBy, *answers: Scores, variants: MemoryVariants | None = None, given: Scores | None = None
) -> Verdict:
    variants, ask = variants or MemoryVariants(), in_turn(answers)

    def perform(step: Step) -> object:
        match step:
            case Ask():
                return ask()
            case ReadRecords(base, length):
                return variants.read(base, length)
            case AddRecord(base, record):
                return variants.add(base, record)

    return drive(settle(kind, "base", given), perform)


def knowing(*answers: Scores) -> MemoryVariants:
    variants = MemoryVariants()
    variants.records["base"] = [answer.packed for answer in answers]
    return variants


@pytest.mark.parametrize(
    ("kind", "known", "answers", "scope", "reason"),
    [
        (PROBE, [], [scores()], f"base~{scores().id()}", None),
        (PROBE, [scores()], [scores()], f"base~{scores().id()}", None),
        (PROBE, [OTHER, scores()], [scores()], f"base~{scores().id()}", None),
        # It is named by the record, whatever its own answers would be called.
        (PROBE, [scores(0.004)], [scores()], f"base~{scores(0.004).id()}", None),
        (PROBE, [OTHER], [scores(), scores()], f"base~{scores().id()}", "different"),
        # Asked again, it says something else: it may be any of those that are so far away.
        (PROBE, [scores(1.0)], [scores(), scores(0.6)], f"base~{scores(1.0).id()}", None),
        (PROBE, [OTHER], [scores(), scores(9.0)], None, "unrepeatable"),
        (PROBE, [], [scores(repeated=5.0)], None, "unrepeatable"),
        (PROBE, [], [Scores(np.ones(13, np.float32))], None, "uninformative"),
        (CONTENT, [], [scores()], "base", None),
        (CONTENT, [scores()], [scores()], "base", None),
        (CONTENT, [scores(1.0)], [scores(tolerance=WIDE)], "base", None),
        (CONTENT, [OTHER], [scores(), scores()], f"base~{scores().id()}", "different"),
        (CONTENT, [OTHER, scores()], [scores()], f"base~{scores().id()}", "different"),
        (CONTENT, [OTHER], [scores(), scores(9.0)], "base", "unrepeatable"),
        (CONTENT, [], [Scores(np.ones(10, np.float32))], "base", "uninformative"),
    ],
)
def test_scope_and_reason(
    kind: IdentifiedBy, known: list[Scores], answers: list[Scores], scope: str | None, reason: str | None
) -> None:
    verdict = settled(kind, *answers, variants=knowing(*known))
    assert (verdict.scope, verdict.reason) == (scope, reason)
    assert bool(verdict.detail) is (reason is not None)


def test_what_is_known_is_not_added_again() -> None:
    variants = knowing(scores())
    settled(PROBE, scores(), variants=variants)
    assert len(variants.records["base"]) == 1


def test_a_record_that_was_evicted_comes_back_under_the_same_id() -> None:
    variants = knowing(OTHER)
    before = settled(PROBE, scores(), scores(), variants=variants).scope
    variants.records.clear()
    assert settled(PROBE, scores(), variants=variants).scope == before
    assert settled(PROBE, OTHER, OTHER, variants=variants).scope != before


def test_two_that_come_at_once_agree_on_the_one_whose_record_came_first() -> None:
    class Racing(MemoryVariants):
        """Another process adds a like record between our read and our write."""

        def add(self, base: str, record: bytes) -> list[bytes]:
            super().add(base, scores(0.004).packed)
            return super().add(base, record)

    variants = Racing()
    ours = settled(PROBE, scores(), variants=variants)
    theirs = settled(PROBE, scores(0.004), variants=variants)
    assert ours.scope == theirs.scope == f"base~{scores(0.004).id()}"


def test_a_name_that_too_many_have_had_takes_no_more_records() -> None:
    variants = knowing(*(scores(100.0 * number) for number in range(1, MOST_RECORDS + 1)))
    verdict = settled(PROBE, scores(), scores(), variants=variants)
    assert verdict.scope == f"base~{scores().id()}"
    assert len(variants.records["base"]) == MOST_RECORDS


@pytest.mark.parametrize(("kind", "scope"), [(PROBE, f"base~{scores().id()}"), (CONTENT, "base")])
def test_without_redis_the_verdict_is_provisional(kind: IdentifiedBy, scope: str) -> None:
    variants = MemoryVariants()
    variants.is_away = True
    verdict = settled(kind, scores(), variants=variants)
    assert verdict.scope == scope
    assert isinstance(verdict.unread, StoreUnavailableError)
    variants.is_away = False
    later = settled(kind, variants=variants, given=verdict.answers)  # type: ignore[arg-type]
    assert (later.scope, later.unread) == (scope, None)


def test_what_the_scorer_raises_is_raised() -> None:
    def failing(step: Step) -> object:
        raise StoreError("of the scorer") if isinstance(step, ReadRecords) else ValueError("scripted")

    with pytest.raises(ValueError, match="scripted"):
        drive(settle(PROBE, "base"), failing)
