"""Cuts and cleans texts so that a model can read them."""

from collections.abc import Mapping
from typing import Any

CHARACTERS_PER_TOKEN = 16
"""Texts are cut to this many characters per token of the maximum length before they are tokenized.

Tokenizers read a whole text before they truncate it, so a text of megabytes would hold up a request for seconds.
English has 4 to 5 characters per token with the blanks, German 5, source code 3, so 16 leaves the first ``max_length``
tokens of any prose untouched. Only texts of unbroken runs (base64, padding) are cut earlier, and always to the same
prefix.
"""

ASSUMED_LENGTH = 8192
"""Tokens assumed for a model that does not say its maximum: the longest encoders in common use read this many."""


def readable(text: str, max_length: int | None) -> str:
    """The beginning of a text that a model of ``max_length`` tokens can read, fit to be encoded.

    None stands for a model that does not say its maximum length.
    """
    return encodable(text[: (max_length or ASSUMED_LENGTH) * CHARACTERS_PER_TOKEN])


def encodable(text: str) -> str:
    """The text with question marks for lone surrogates, which broken crawls contain and tokenizers and JSON refuse."""
    # isascii() reads a flag of the string, so the common text is neither encoded nor copied.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def max_tokens(config: Mapping[str, Any]) -> int:
    """The most tokens that a transformer reads, by its ``config.json``; 512, as for every BERT, if that is silent."""
    positions = int(config.get("max_position_embeddings", 512))
    # RoBERTa and the models derived from it (xlm-roberta, xlm-roberta-xl) keep the first two positions for padding.
    return positions - 2 if "roberta" in str(config.get("model_type", "")) else positions
