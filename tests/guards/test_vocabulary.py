"""A vocabulary of the user's own."""

from dataclasses import replace
from typing import Any

import pytest

from semcache.guards import ENGLISH, CueGuard, Vocabulary
from semcache.guards.vocabulary import grouped


def difference_of(ours: str, theirs: str, guard: CueGuard) -> str | None:
    return guard.difference(guard.cues(ours), guard.cues(theirs))


def test_a_vocabulary_can_be_extended() -> None:
    german = CueGuard(
        ENGLISH.extended(ignored=["der", "die", "ist"], negations=["nicht"], same=["handy telefon"]), mode="strict"
    )
    assert difference_of("ist die Tür offen", "Tür offen", german) is None
    assert difference_of("Tür offen", "Tür nicht offen", german) == "negation"
    assert difference_of("Handy laden", "Telefon laden", german) is None
    assert difference_of("ist die Tür offen", "Tür offen", CueGuard(mode="strict")) == "word"


def test_an_empty_vocabulary_compares_words_numbers_and_order() -> None:
    bare = CueGuard(Vocabulary(), mode="strict")
    assert difference_of("el perro", "el gato", bare) == "word"
    assert difference_of("5 perros", "6 perros", bare) == "number"
    assert difference_of("perro muerde gato", "gato muerde perro", bare) == "order"
    assert difference_of("¿Perro?", "perro", bare) is None


def test_a_group_is_named_by_its_first_word() -> None:
    assert grouped(["ban forbid", "max"]) == {"ban": "ban", "forbid": "ban", "max": "max"}


def test_extending_leaves_the_original_alone() -> None:
    extended = ENGLISH.extended(scopes=["sync resync"], ignored=["kindest"])
    assert extended.scopes["resync"] == "sync" and extended.scopes["maximum"] == "max"
    assert "kindest" in extended.ignored and "the" in extended.ignored
    assert "resync" not in ENGLISH.scopes and "kindest" not in ENGLISH.ignored
    assert extended.questions == ENGLISH.questions and extended.phrases == ENGLISH.phrases


def test_of_phrases_that_begin_alike_the_longest_is_meant() -> None:
    guard = CueGuard(Vocabulary(phrases={("aa", "bb"): "xx", ("aa", "bb", "cc"): "yy", ("aa",): "zz"}), mode="strict")
    assert difference_of("aa bb cc", "yy", guard) is None
    assert difference_of("aa bb dd", "xx dd", guard) is None
    assert difference_of("aa dd", "zz dd", guard) is None


@pytest.mark.parametrize(
    "changed",
    [
        *[{"ignored": frozenset({"x"})}, {"negations": frozenset({"x"})}, {"sources": frozenset({"x"})}],
        *[{"targets": frozenset({"x"})}, {"questions": {"x": "y"}}, {"scopes": {"x": "y"}}, {"same": {"x": "y"}}],
        *[{"phrases": {("x",): "y"}}, {"same": {"x": "z"}}],
    ],
)
def test_cues_of_another_vocabulary_are_not_compared(changed: dict[str, Any]) -> None:
    ours, theirs = CueGuard(Vocabulary(same={"a": "b"})), CueGuard(replace(Vocabulary(same={"a": "b"}), **changed))
    assert ours.difference(ours.cues("dog"), theirs.cues("dog")) == "format"
