"""Which questions are asked in which order: repeats, spellings, rewrites and changed candidates, of two tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

TENANTS = ("acme", "globex")

_KINDS = {"new": 25, "repeat": 28, "spelling": 14, "rewrite": 18, "changed": 15}
"""Shares in percent. In logs of web search about a third of the queries are exact repeats."""

_RECENT = 40
"""Somebody who asks again asks what was asked lately: one of so many latest questions."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to be made. ``variant`` None takes the retriever's best candidates, a number others of them."""

    tenant: str
    query: str
    variant: int | None = None


def traffic(questions: Sequence[Sequence[str]], requests: int, seed: int) -> list[Ask]:
    """So many requests; the same for the same seed."""
    chance = Random(seed)
    unasked = [(tenant, phrasings) for tenant in TENANTS for phrasings in questions]
    chance.shuffle(unasked)
    asked: list[tuple[str, Sequence[str]]] = []
    asks = []
    for kind in chance.choices(list(_KINDS), list(_KINDS.values()), k=requests):
        if unasked and (kind == "new" or not asked):
            asked.append(unasked.pop())
            tenant, phrasings = asked[-1]
            asks.append(Ask(tenant, phrasings[0]))
        else:
            asks.append(_again(kind, *chance.choice(asked[-_RECENT:]), chance))
    return asks


def _again(kind: str, tenant: str, phrasings: Sequence[str], chance: Random) -> Ask:
    match kind:
        case "spelling":
            return Ask(tenant, chance.choice(_spellings(phrasings[0])))
        case "rewrite":
            return Ask(tenant, chance.choice(phrasings[1:]))
        case "changed":
            return Ask(tenant, phrasings[0], chance.randrange(5))
    return Ask(tenant, phrasings[0])


def _spellings(question: str) -> list[str]:
    return [question.lower(), question.rstrip("?"), question + "?", f"{question} "]
