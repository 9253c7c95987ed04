"""What of a text a model is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.models.texts import CHARACTERS_PER_TOKEN, encodable, readable


@given(st.text(st.characters(codec=None)))
def test_every_text_can_be_encoded_and_keeps_its_length(text: str) -> None:
    assert len(encodable(text).encode("utf-8").decode("utf-8")) == len(text)


@given(st.text())
def test_whole_texts_are_unchanged(text: str) -> None:
    assert encodable(text) == text


@pytest.mark.parametrize(("max_length", "kept"), [(8, 8 * CHARACTERS_PER_TOKEN), (None, 8192 * CHARACTERS_PER_TOKEN)])
def test_long_texts_are_cut(max_length: int | None, kept: int) -> None:
    assert readable("x" * 1_000_000, max_length) == "x" * kept


def test_the_cut_leaves_the_tokens_of_prose_alone(cross_encoder) -> None:
    tokenizer = cross_encoder._model.tokenizer
    prose = (
        "The internationalisation of administrative responsibilities necessitates interdepartmental cooperation. " * 200
    )
    assert tokenizer.encode("q", readable(prose, 512)).ids == tokenizer.encode("q", prose).ids
