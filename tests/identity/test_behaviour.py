"""Answers to probes: what makes two of them the same scorer's."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from semcache.identity.behaviour import TIGHT, WIDE, Scores, Vector
from semcache.identity.pairs import LONG_AND_OTHERS, LONG_AND_REPEATED, SHORT
from semcache.protocols import Pair
from tests.identity.scripted import scores

WEIGHTS = st.lists(st.integers(-20, 20), min_size=4, max_size=4)


def linear(weights: list[int], pairs: tuple[Pair, ...] = (*SHORT, *LONG_AND_REPEATED)) -> Scores:
    """Scores by a weighted sum of plain features of each pair."""
    features = [
        (len(text), len(text.split()), len(set(query.split()) & set(text.split())), sum(map(str.isdigit, text)))
        for query, text in pairs
    ]
    return Scores(np.array(features, dtype=np.float32) @ np.array(weights, dtype=np.float32))


@given(WEIGHTS, WEIGHTS)
def test_no_two_linear_scorers_are_taken_for_one(ours: list[int], theirs: list[int]) -> None:
    assume(ours != theirs and any(ours) and any(theirs))
    assert not linear(ours).resembles(linear(theirs).packed)
    assert linear(ours).id() != linear(theirs).id()


@given(WEIGHTS)
def test_equal_scorers_are_always_taken_for_one(weights: list[int]) -> None:
    assert linear(weights).resembles(linear(list(weights)).packed)
    assert linear(weights).id() == linear(list(weights)).id()


@given(WEIGHTS, st.floats(-1e-6, 1e-6))
def test_rounding_errors_make_no_other_scorer(weights: list[int], error: float) -> None:
    assume(any(weights))
    ours = linear(weights)
    theirs = Scores(ours.scores + np.float32(error * ours.spread))
    assert ours.resembles(theirs.packed) and theirs.resembles(ours.packed)


@pytest.mark.parametrize(
    ("ours", "theirs", "alike"),
    [
        (scores(), scores(), True),
        (scores(0.0), scores(0.0 + 0.5 * TIGHT * 9), True),
        (scores(0.0), scores(0.0 + 2.0 * TIGHT * 9), False),
        (scores(tolerance=WIDE), scores(1.0), True),
        (scores(tolerance=WIDE), scores(2.0), False),
        # A scorer that does not repeat itself is compared by what it can repeat; whichever of the two it is.
        (scores(repeated=0.5), scores(1.0, repeated=0.5), True),
        (scores(), scores(1.0, repeated=0.5), True),
        (scores(), scores(5.0, repeated=0.5), False),
        (scores(listwise=True), scores(1.0, 0.0, listwise=True), False),
    ],
)
def test_scores_are_alike_within_the_tolerance(ours: Scores, theirs: Scores, alike: bool) -> None:
    assert ours.resembles(theirs.packed) is alike


def test_another_scale_is_another_scorer() -> None:
    ours = linear([1, 2, 3, 4])
    for factor in (-1, 0.5, 2, 1.01):
        theirs = Scores(ours.scores * np.float32(factor))
        assert not ours.resembles(theirs.packed)
        assert ours.id() != theirs.id()


@pytest.mark.parametrize(
    ("answers", "says_nothing"),
    [
        (Scores(np.zeros(13, np.float32)), True),
        (Scores(np.full(13, 0.25, np.float32)), True),
        (scores(), False),
        # An order as it was sent says that the texts were not read.
        (Scores(np.arange(13, 0, -1).astype(np.float32), listwise=True), True),
        (Scores(np.arange(13, 0, -1).astype(np.float32)), False),
        (scores(listwise=True), False),
    ],
)
def test_some_answers_say_nothing(answers: Scores, says_nothing: bool) -> None:
    assert answers.says_nothing is says_nothing


def test_noise_is_a_share_of_the_spread() -> None:
    assert scores(repeated=0.9).own_noise == pytest.approx(0.1)
    assert scores(listwise=True, repeated=0.9).own_noise == 0
    assert Scores(np.arange(10, dtype=np.float32)).own_noise == 0
    assert scores(0.0).noise(scores(4.5)) == pytest.approx(0.5)
    assert scores().tolerating(0.1).tolerance == pytest.approx(0.3)
    assert scores().tolerating(0.0).tolerance == TIGHT


def test_answers_survive_their_record() -> None:
    answers = scores(0.1, -7.5)
    assert answers.of(answers.packed).scores.tolist() == answers.scores.tolist()
    vector = Vector(np.array([0.6, 0.8], np.float32))
    assert vector.of(vector.packed).vector.tolist() == vector.vector.tolist()


@pytest.mark.parametrize(
    ("cosine", "of_function", "of_content"), [(1, True, True), (0.99, False, True), (0.9,) + (False,) * 2]
)
def test_vectors_are_alike_by_their_cosine(cosine: float, of_function: bool, of_content: bool) -> None:
    ours = np.array([1.0, 0.0], np.float32)
    theirs = Vector(np.array([cosine, np.sqrt(1 - cosine**2)], np.float32))
    assert Vector(ours).resembles(theirs.packed) is of_function
    assert Vector.by_content(ours).resembles(theirs.packed) is of_content
    assert (Vector(ours).id() == theirs.id()) is (cosine == 1)


def test_a_noisy_embedder_is_tolerated_as_far_as_its_noise() -> None:
    ours, theirs = Vector(np.array([1.0, 0.0], np.float32)), Vector(np.array([0.98, 0.199], np.float32))
    assert ours.noise(theirs) == pytest.approx(0.02)
    assert ours.tolerating(ours.noise(theirs)).resembles(theirs.packed)


def test_the_probes_are_of_one_query_and_differ_in_what_models_read() -> None:
    calls = (SHORT, LONG_AND_REPEATED, LONG_AND_OTHERS)
    assert len({query for pairs in calls for query, _ in pairs}) == 1
    texts = [text for _, text in SHORT]
    assert len(set(texts)) == 10
    # Two differ in the order of their words alone.
    assert len({len(text) for text in texts}) == 9
    words = set(SHORT[0][0].lower().strip("?").split())
    assert len({len(words & set(text.lower().split())) for text in texts}) > 4
    assert LONG_AND_REPEATED[-1] == LONG_AND_REPEATED[-2] and len(set(LONG_AND_OTHERS)) == 3
