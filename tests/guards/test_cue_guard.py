"""The guard as a whole: by kind of difference, on labelled pairs, and on any text at all."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semcache.errors import ConfigurationError
from semcache.guards import ENGLISH, CueGuard, Vocabulary
from semcache.protocols import Guard

GUARD = CueGuard(mode="strict")
PAIRS = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data/guard_pairs.jsonl").read_text("utf-8").splitlines()
]
CHINESE_PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data/guard_pairs_zh.jsonl").read_text("utf-8").splitlines()
]
RISKY = [pair for pair in PAIRS if not pair["trust_ok"]]
HARMLESS = [pair for pair in PAIRS if pair["trust_ok"]]
ANY_TEXT = st.text(st.characters(), max_size=300)  # surrogates, controls and unassigned code points too
WORDS = st.sampled_from(
    [
        "how",
        "to",
        "from",
        "by",
        "not",
        "without",
        "5",
        "10",
        "ten",
        "mg",
        "km",
        "$",
        "%",
        "paris",
        "london",
        "cause",
        "convert",
        "C++",
        "3.11",
        "2024-01-05",
        "'x'",
        '"a b"',
        "may",
        "one",
        "million",
        "turn",
        "off",
        "--v",
    ]
)
SENTENCES = st.lists(WORDS, max_size=120).map(" ".join)


def difference(ours: str, theirs: str, guard: CueGuard = GUARD) -> str | None:
    return guard.difference(guard.cues(ours), guard.cues(theirs))


def test_is_a_guard() -> None:
    assert isinstance(GUARD, Guard)


def test_the_pairs_are_many_varied_and_different() -> None:
    assert len(PAIRS) >= 300
    assert len({(pair["a"], pair["b"]) for pair in PAIRS}) == len(PAIRS)
    assert min(Counter(pair["kind"] for pair in RISKY).values()) >= 8


@pytest.mark.parametrize("pair", RISKY, ids=lambda pair: f"{pair['kind']}: {pair['b']}")
def test_a_risky_pair_is_not_trusted(pair: dict[str, Any]) -> None:
    assert difference(pair["a"], pair["b"]) is not None


@pytest.mark.parametrize("kind", sorted({pair["kind"] for pair in HARMLESS}))
def test_harmless_twins_stay_trusted(kind: str) -> None:
    twins = [pair for pair in HARMLESS if pair["kind"] == kind]
    refused = [pair for pair in twins if difference(pair["a"], pair["b"]) is not None]
    # A misspelt word is another word to the guard: few misspellings are near enough to be trusted in any case.
    allowed = 0.75 if kind == "misspelling" else 0.12
    assert len(refused) <= allowed * len(twins), refused


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("is it open", "is it not open", "negation"),
        ("never use eval", "use eval", "negation"),
        ("fly with a visa", "fly without a visa", "negation"),
        ("lose 10 pounds", "lose 20 pounds", "number"),
        ("5 to 10 percent", "5 to 15 percent", "number"),
        ("-5 degrees", "5 degrees", "number"),
        ("the second law", "the third law", "number"),
        ("python 3.11", "python 3.12", "number"),
        ("world cup 2014", "world cup 2018", "date"),
        ("rain in May 2020", "rain in June 2020", "date"),
        ("open on monday", "open on sunday", "date"),
        ("5 mg of salt", "5 g of salt", "unit"),
        ("$5 fee", "€5 fee", "unit"),
        ("C++ strings", "C# strings", "code"),
        ("grep -v word", "grep -V word", "code"),
        ("use get_a_b", "use get_a_c", "code"),
        ("a == b", "a === b", "code"),
        ("enable sync", "turn off sync", "scope"),
        ("eat before a run", "eat after a run", "scope"),
        ("when was Bach born", "where was Bach born", "question"),
        ("capital of France", "capital of Spain", "word"),
        ("capital", "capital of Spain", "word"),
        ("法国的首都", "德国的首都", "character"),
        ("what is it", "where are they", "question"),
        ("what is it", "how are they", "word"),
        ('origin of "to be"', 'origin of "to be or"', "quote"),
        ("flights from Paris to Rome", "flights from Rome to Paris", "order"),
        ("flights to Rome from Paris", "flights to Paris from Rome", "order"),
        ("convert miles to km", "convert km to miles", "order"),
        ("does stress cause pain", "does pain cause stress", "order"),
        ("is gold heavier than lead", "is lead heavier than gold", "order"),
        ("is pain caused by stress", "is stress caused by pain", "order"),
    ],
)
def test_a_difference_is_named(ours: str, theirs: str, expected: str) -> None:
    assert difference(ours, theirs) == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("1,000 miles", "1000 miles"),
        ("twenty five ways", "25 ways"),
        ("two hundred thousand people", "200,000 people"),
        ("1.5 million people", "1500000 people"),
        ("\u0665 apples", "5 apples"),
        ("the 3rd man", "the third man"),
        ("$5.00 fee", "5 dollar fee"),
        ("5km run", "5 kilometres run"),
        ("on 2024-03-05", "on 5 March 2024"),
        ("on March 5, 2024", "on 5 March 2024"),
        ("it isn't open", "it is not open"),
        ("it isn\u2019t open", "it isn't open"),
        ("how to reset a password", "password reset how to"),
        ("from Paris to Rome", "to Rome from Paris"),
        ("miles to km", "from miles to km"),
        ("does stress cause pain", "is pain caused by stress"),
        ("tea vs coffee", "coffee vs tea"),
        ("log in to the site", "login to the site"),
        ("colours of puppies", "color of a puppy"),
        ('meaning of "inertia"', "meaning of inertia"),
        ("", "   "),
    ],
)
def test_the_same_in_other_words_is_no_difference(ours: str, theirs: str) -> None:
    assert difference(ours, theirs) is None


@given(st.one_of(ANY_TEXT, SENTENCES), st.one_of(ANY_TEXT, SENTENCES))
@settings(max_examples=400, deadline=None)
def test_any_two_texts_can_be_compared(ours: str, theirs: str) -> None:
    our_cues, their_cues = GUARD.cues(ours), GUARD.cues(theirs)
    assert max(len(our_cues), len(their_cues)) <= 255
    assert our_cues == GUARD.cues(ours)
    assert GUARD.difference(our_cues, our_cues) is None
    assert GUARD.difference(our_cues, their_cues) == GUARD.difference(their_cues, our_cues)


@given(SENTENCES)
@settings(deadline=None)
def test_equal_cues_built_anew_have_no_difference(text: str) -> None:
    cues = GUARD.cues(text)
    assert GUARD.difference(cues, bytes(bytearray(cues))) is None


@given(st.binary(max_size=255), st.binary(max_size=255))
@settings(deadline=None)
def test_damaged_cues_are_compared_without_an_error(ours: bytes, theirs: bytes) -> None:
    assert GUARD.difference(ours, theirs) == GUARD.difference(theirs, ours)
    assert GUARD.difference(ours, ours) is None


@pytest.mark.parametrize(
    "unit", ["word ", "a1", "5,", "not ", "_", "a_", "🙂", "سؤال ", "語", "'", '"x', "ten ", "5 mg ", "\ud800", "-"]
)
def test_a_megabyte_is_short_work(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert len(GUARD.cues(text)) <= 255
    assert difference(text, text) is None
    assert difference(text, text + "!") == "length"


def test_a_difference_behind_the_81st_cue_is_seen() -> None:
    # 120 different words, none of them listed
    words = [f"wo{chr(97 + i // 26)}{chr(97 + i % 26)}q" for i in range(120)]
    assert difference(" ".join(words), " ".join([*words[:-1], "another"])) == "length"
    assert difference(" ".join(words), " ".join(words)) is None


@pytest.mark.parametrize("changed", [1, 2])
def test_every_byte_of_a_hash_counts(changed: int) -> None:
    ours = bytearray(GUARD.cues("dog"))
    theirs = bytearray(ours)
    theirs[2 + changed] ^= 1
    assert GUARD.difference(bytes(ours), bytes(theirs)) == "word"


def test_text_behind_the_first_4096_characters_must_be_equal() -> None:
    start = "a " * 2048
    assert difference(start + "dog", start + "cat") == "length"
    assert difference(start[:-2] + "dog", start[:-2] + "cat") == "word"


def test_cues_of_nothing_or_of_another_vocabulary_are_not_compared() -> None:
    other = CueGuard(ENGLISH.extended(ignored=["kindest"]), mode="strict")
    assert GUARD.difference(GUARD.cues("a dog"), b"") == "format"
    assert GUARD.difference(GUARD.cues("a dog"), other.cues("a dog")) == "format"


def test_cues_that_are_stored_stay_readable() -> None:
    """Behind the header. Where the bytes have to change, raise the format in cue_guard.py: it keeps old cues apart."""
    everything = 'who does not fly from Paris to Rome by 5 May 2020 for $5 with get_a "x y" enabled'
    assert GUARD.cues(everything).hex()[4:] == (
        "70fcf21016b38027428165b58308d92356d53331b83054052056d5407c9450f6cc80269d8092996023cbc156d5c356d5907138"
    )
    assert GUARD.cues("miles to km caused by pain").hex()[4:] == "824e11833bff8384eb83fb1ec1fb1e"


def test_cues_hold_no_text() -> None:
    assert b"password" not in GUARD.cues("reset my password")
    assert len(GUARD.cues("reset my password")) == 2 + 2 * 3


def test_repr_names_the_vocabulary() -> None:
    assert repr(CueGuard(mode="strict")) == repr(GUARD)
    assert repr(CueGuard(Vocabulary(), mode="strict")) != repr(GUARD)


FACTS = CueGuard()


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("is it safe", "is it not safe", "negation"),
        ("take 5 mg", "take 5 g", "unit"),
        ("python 3.10 release", "python 3.11 release", "number"),
        ("enable two factor login", "disable two factor login", "scope"),
        ("flights in may 2024", "flights in june 2024", "date"),
        ("who invented it", "when invented it", "question"),
        ("fly from paris to rome", "fly from rome to paris", "order"),
        ("may I park here", "must I park here", "modal"),
        ("does my tenant owe me money", "do I owe my tenant money", "person"),
        ("songs by children", "songs for children", "relation"),
        ("hotels in salem or", "hotels in salem ma", "place"),
        ("the best schools in town", "the worst schools in town", "opposite"),
    ],
)
def test_facts_always_count(ours: str, theirs: str, expected: str) -> None:
    assert difference(ours, theirs, FACTS) == expected
    assert difference(theirs, ours, FACTS) == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "similarity"),
    [
        ("How does RAG work?", "Explain how RAG functions", 0.825),
        ("how can I lose weight fast", "what is the best way to lose weight quickly", 0.93),
        ("how do I get a passport", "tell me how to get a passport", 0.90),
    ],
)
def test_other_words_are_weighed_with_the_similarity(ours: str, theirs: str, similarity: float) -> None:
    cues = FACTS.cues(ours), FACTS.cues(theirs)
    assert FACTS.difference(*cues, similarity) is None
    assert FACTS.difference(*reversed(cues), similarity) is None


def test_a_lower_similarity_never_makes_words_harmless() -> None:
    for pair in RISKY:
        cues = FACTS.cues(pair["a"]), FACTS.cues(pair["b"])
        trusted = [FACTS.difference(*cues, similarity) is None for similarity in (0.6, 0.8, 0.9, 0.95, 0.99)]
        assert trusted == sorted(trusted), pair


@pytest.mark.parametrize("pair", CHINESE_PAIRS, ids=lambda pair: f"{pair['kind']}: {pair['b']}")
def test_chinese_pairs(pair: dict[str, Any]) -> None:
    """With the similarity of a good multilingual embedder for such pairs."""
    cues = FACTS.cues(pair["a"]), FACTS.cues(pair["b"])
    assert (FACTS.difference(*cues, 0.93) is None) == pair["trust_ok"]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'loose'; give 'facts' or 'strict'"):
        CueGuard(mode="loose")  # type: ignore[arg-type]
