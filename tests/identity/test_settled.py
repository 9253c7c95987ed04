"""Scopes that are remembered for objects that are passed again."""

import gc

import pytest

from semcache.identity.settled import SettledScopes


class Scorer:
    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.calls: list[int] = []

    def score(self) -> float:
        return self.weight

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scorer)

    __hash__ = None  # type: ignore[assignment]


class Slotted:
    __slots__ = ()


@pytest.fixture
def settled() -> SettledScopes:
    return SettledScopes()


def test_an_object_finds_its_scope_again(settled: SettledScopes) -> None:
    scorer = Scorer(1.0)
    assert settled.find(scorer, "base") is None
    settled.keep(scorer, "base", "scope", is_private=False)
    assert settled.find(scorer, "base") == ("scope", False)
    assert settled.find(scorer, "other base") is None


def test_methods_are_found_by_their_object(settled: SettledScopes) -> None:
    scorer = Scorer(1.0)
    settled.keep(scorer.score, "base", "scope", is_private=True)
    assert settled.find(scorer.score, "base") == ("scope", True)


def test_equal_objects_are_not_the_same(settled: SettledScopes) -> None:
    ours = Scorer(1.0)
    settled.keep(ours, "base", "scope", is_private=False)
    assert settled.find(Scorer(1.0), "base") is None


def test_a_changed_setting_is_settled_anew_and_used_memory_is_not(settled: SettledScopes) -> None:
    scorer = Scorer(1.0)
    settled.keep(scorer, "base", "scope", is_private=False)
    scorer.calls.append(1)
    assert settled.find(scorer, "base") is not None
    scorer.weight = 2.0
    assert settled.find(scorer, "base") is None


def test_objects_are_forgotten_with_their_life(settled: SettledScopes) -> None:
    scorer = Scorer(1.0)
    settled.keep(scorer, "base", "scope", is_private=False)
    settled.keep(scorer, "base", "later scope", is_private=False)
    assert len(settled) == 1
    del scorer
    gc.collect()
    assert len(settled) == 0


@pytest.mark.parametrize("holder", ["a name", 3, None, Slotted()])
def test_what_takes_no_weak_reference_is_not_remembered(settled: SettledScopes, holder: object) -> None:
    settled.keep(holder, "base", "scope", is_private=False)
    assert settled.find(holder, "base") is None
