"""A vocabulary of the user's own."""

from semcache.guards import ENGLISH, CueGuard, Vocabulary
from semcache.guards.vocabulary import grouped


def difference_of(ours: str, theirs: str, guard: CueGuard) -> str | None:
    return guard.difference(guard.cues(ours), guard.cues(theirs))


def test_a_vocabulary_can_be_extended() -> None:
    german = CueGuard(ENGLISH.extended(ignored=["der", "die", "ist"], negations=["nicht"], same=["handy telefon"]))
    assert difference_of("ist die Tür offen", "Tür offen", german) is None
    assert difference_of("Tür offen", "Tür nicht offen", german) == "negation"
    assert difference_of("Handy laden", "Telefon laden", german) is None
    assert difference_of("ist die Tür offen", "Tür offen", CueGuard()) == "word"


def test_an_empty_vocabulary_compares_words_numbers_and_order() -> None:
    bare = CueGuard(Vocabulary())
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
