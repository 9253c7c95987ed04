"""How it is known that scores of one name belong together."""

from enum import StrEnum
from typing import Any


class IdentifiedBy(StrEnum):
    """The kind of evidence that stands behind a name.

    A reranker or embedder says it by an attribute ``identified_by``. One without this attribute is a class of the
    user's own, which chose its name itself: that is ``NAME``.
    """

    NAME = "name"
    """The name is all: its author, or a version that the caller gave, vouches for it. Nothing is probed."""

    CODE = "code"
    """A function that computes from its code alone, all of which was read. Nothing is probed."""

    CONTENT = "content"
    """The name holds everything that changes a score: weights, configuration, prompts. It is known before the model is
    loaded; what the model says is compared when it first works."""

    PROBE = "probe"
    """A client, an unknown object, or a function that uses one, which may do anything under its name. What it says
    about a few fixed probes is a part of its identity, so it is asked before it is used."""


def identified_by(scorer: Any) -> IdentifiedBy:
    """The kind of evidence that stands behind the name of a reranker or embedder."""
    return IdentifiedBy(getattr(scorer, "identified_by", IdentifiedBy.NAME))


def base_name(scorer: Any) -> str:
    """The name, with a digest of what can be read of a function; two functions of one name need not do the same."""
    content = "" if identified_by(scorer) is IdentifiedBy.NAME else getattr(scorer, "content", "")
    return f"{scorer.name}#{content}" if content else str(scorer.name)
