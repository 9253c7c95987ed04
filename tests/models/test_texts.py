"""Texts are cut and cleaned for a model, and its configuration tells how much of them it reads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semcache.models.names import DEFAULT_CROSS_ENCODER, find_folder
from semcache.models.onnx import open_onnx
from semcache.models.texts import CHARACTERS_PER_TOKEN, encodable, max_tokens, readable


@given(st.text(st.characters(codec=None)))
def test_every_text_can_be_encoded_and_keeps_its_length(text: str) -> None:
    assert len(encodable(text).encode("utf-8").decode("utf-8")) == len(text)


@given(st.text())
def test_whole_texts_are_unchanged(text: str) -> None:
    assert encodable(text) == text


@pytest.mark.parametrize(("max_length", "kept"), [(8, 8 * CHARACTERS_PER_TOKEN), (None, 8192 * CHARACTERS_PER_TOKEN)])
def test_long_texts_are_cut(max_length: int | None, kept: int) -> None:
    assert readable("x" * 1_000_000, max_length) == "x" * kept


def test_the_cut_leaves_the_tokens_of_prose_alone() -> None:
    folder = find_folder(DEFAULT_CROSS_ENCODER, "onnx-int8")
    assert folder
    tokenizer = open_onnx(folder / "model.onnx", folder / "tokenizer.json", 512, 1).tokenizer
    prose = (
        "The internationalisation of administrative responsibilities necessitates interdepartmental cooperation. " * 200
    )
    assert tokenizer.encode("q", readable(prose, 512)).ids == tokenizer.encode("q", prose).ids


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({}, 512),
        ({"max_position_embeddings": 8192, "model_type": "modernbert"}, 8192),
        ({"max_position_embeddings": 514, "model_type": "roberta"}, 512),
        ({"max_position_embeddings": 514, "model_type": "xlm-roberta-xl"}, 512),
    ],
)
def test_reads_the_most_tokens_of_a_model(config: dict[str, Any], tokens: int) -> None:
    assert max_tokens(config) == tokens
