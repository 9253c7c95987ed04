"""The requests of the demo and their order: repeats, spellings, rewrites and changed candidates, from two tenants."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

TENANTS = ("acme", "globex")

# Shares in percent. In logs of web search about a third of the queries are exact repeats.
_KINDS = {"new": 25, "repeat": 28, "spelling": 14, "rewrite": 18, "changed": 15}
# A question that comes again is one of so many latest ones: interest in a topic rises and fades.
_RECENT = 40


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """A request to be made. ``variant`` None takes the retriever's best candidates, a number others of them."""

    tenant: str
    query: str
    variant: int | None = None


def traffic(questions: Sequence[Sequence[str]], requests: int, seed: int) -> list[DemoRequest]:
    """As many requests as asked for; the same for the same seed."""
    chance = Random(seed)
    # Both tenants ask the same questions. The cache must not answer one with the entries of the other.
    unasked = [(tenant, phrasings) for tenant in TENANTS for phrasings in questions]
    chance.shuffle(unasked)
    asked: list[tuple[str, Sequence[str]]] = []
    made = []
    for kind in chance.choices(list(_KINDS), list(_KINDS.values()), k=requests):
        # The first request is new whatever was drawn; when all questions were asked, only old ones come.
        if unasked and (kind == "new" or not asked):
            asked.append(unasked.pop())
            tenant, (question, *_) = asked[-1]
            made.append(DemoRequest(tenant, question))
            continue
        tenant, (question, *rewrites) = chance.choice(asked[-_RECENT:])
        variant = None
        match kind:
            case "spelling":
                question = chance.choice([question.lower(), question.rstrip("?"), question + "?", f"{question} "])
            case "rewrite":
                question = chance.choice(rewrites)
            case "changed":
                variant = chance.randrange(5)
        made.append(DemoRequest(tenant, question, variant))
    return made
