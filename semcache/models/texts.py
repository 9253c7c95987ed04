"""What of a text a model is given."""

CHARACTERS_PER_TOKEN = 16
"""Texts are cut to this many characters per token of the maximum length before they are tokenized.

Tokenizers read a whole text before they truncate it, 2 s per megabyte. English has 4 to 5 characters per token with
the blanks, German 5, source code 3, so 16 leaves the first ``max_length`` tokens of any prose untouched. Only texts of
unbroken runs (base64, padding) are shortened earlier, and always to the same prefix.
"""

ASSUMED_LENGTH = 8192
"""Tokens assumed for a model that does not say its maximum: what the longest encoders in common use read."""


def readable(text: str, max_length: int | None) -> str:
    """The beginning of a text that a model of ``max_length`` tokens can read, fit to be encoded."""
    return encodable(text[: (max_length or ASSUMED_LENGTH) * CHARACTERS_PER_TOKEN])


def encodable(text: str) -> str:
    """The text with lone surrogates, which broken crawls have and tokenizers and JSON refuse, as question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
